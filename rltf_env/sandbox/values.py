"""Plain values as JSON text: what may cross between the judge's processes. Standard library only."""

from __future__ import annotations

import collections
import collections.abc
import functools
import itertools
import json
import sys
import types
from typing import Any

from rltf_env.sandbox import arrays

FILENAME = "<program>"
TEST = "<test>"
DEEPEST = 200  # levels of nesting that a value may have on its way out
MESSAGE = 500  # characters of an exception's message that are kept


_SCALARS = frozenset({int, float, str, bool, type(None)})
_BIG = 1 << 4096  # above this an int would meet Python's limit on digits
_CLASSES = {kind.__name__: kind for kind in (int, float, str, bool, list, tuple, dict, set, frozenset, bytes, complex)}
_CLASSES |= {"object": object, "type": type, "bytearray": bytearray, "NoneType": type(None)}
_NAMES = {kind: name for name, kind in _CLASSES.items()}
quote = json.encoder.encode_basestring_ascii


class Unrepresentable(Exception):
    """A value that is not plain data."""


def dump(v: Any, refs: Any = None, depth: int = 0, type: Any = type, len: Any = len) -> str:
    """JSON text of a plain value: exact types, none of the value's own code is run. `decode(json.loads(text))` gives it back.

    An instance of a subclass of a plain type leaves as its plain base value; numpy's scalars and arrays as Python's. `refs`
    may turn anything else into a reference (a number, or a list that begins with one); without it, it is Unrepresentable. With
    `refs`, which are those of a script, what these are leaves besides: a script may ask for a value's type, and for what
    its class has more, if `refs` gives it a number in a tuple.
    """
    kind = type(v)
    if kind is int:
        return int.__repr__(v) if -_BIG < v < _BIG else f'{{"i": "{v:x}"}}'
    if kind is str:
        return quote(v)
    if kind is bool:
        return "true" if v else "false"
    if v is None:
        return "null"
    if kind is float:
        return float.__repr__(v) if -_INFINITY < v < _INFINITY else _ODD[float.__repr__(v)]
    if depth > DEEPEST:
        raise Unrepresentable("nested too deeply")
    depth += 1
    if kind is list:
        return _dump_list(v, refs, depth)
    if kind is tuple:
        return f'{{"t": [{", ".join([dump(item, refs, depth) for item in v])}]}}'
    if kind is dict:
        return _dump_pairs("d", v.items(), refs, depth)
    if kind is set or kind is frozenset:
        return f'{{"{"s" if kind is set else "f"}": [{", ".join([dump(item, refs, depth) for item in v])}]}}'
    return _dump_other(v, kind, refs, depth)


_INFINITY = float("inf")
_ODD = {"inf": "Infinity", "-inf": "-Infinity", "nan": "NaN"}


def _dump_list(v: list[Any], refs: Any, depth: int) -> str:
    if len(v) > 64:
        kinds = set(map(type, v))
        if kinds <= _SCALARS and (int not in kinds or (len(kinds) == 1 and min(v) > -_BIG and max(v) < _BIG)):
            return json.dumps(v)
    return f"[{', '.join([dump(item, refs, depth) for item in v])}]"


def _dump_pairs(tag: str, pairs: Any, refs: Any, depth: int) -> str:
    texts = [f"[{dump(key, refs, depth)}, {dump(item, refs, depth)}]" for key, item in pairs]
    return f'{{"{tag}": [{", ".join(texts)}]}}'


def _dump_other(v: Any, kind: Any, refs: Any, depth: int) -> str:
    number = None
    if refs is not None:
        number = refs(v)
        if number is not None and type(number) is not tuple:
            return f'{{"x": {number}}}'
    write = _WRITERS.get(id(kind))  # a class may have ways of its own to be hashed and compared
    if write is not None:
        return write(v, refs, depth)
    if kind is type and v in _NAMES:
        return f'{{"n": "{_NAMES[v]}"}}'
    if v is NotImplemented or v is Ellipsis:
        return f'{{"n": "{v!r}"}}'
    return _dump_base(v, kind, refs, depth, number)


def _listed(tag: str, read: Any = list) -> Any:
    """Writes what is in a value, as a list."""
    return lambda v, refs, depth: f'{{"{tag}": {dump(_read(read, v), refs, depth)}}}'


def _read(read: Any, v: Any) -> Any:
    """What is in a value, which may be of the program's own making."""
    try:
        return read(v)
    except Exception as error:
        raise Unrepresentable(f"{type_name(type(v))} holds no plain data") from error


WRAPPERS: dict[Any, Any] = {  # of Python's own: what they hold, by which they compare
    collections.UserDict: lambda v: [v.data],
    collections.UserList: lambda v: [v.data],
    collections.UserString: lambda v: [v.data],
    collections.ChainMap: lambda v: v.maps,
    types.MappingProxyType: lambda v: [dict(v)],
}
_WRAPPING = {kind.__name__: kind for kind in WRAPPERS}


def _dump_wrapper(v: Any, refs: Any, depth: int, type: Any = type) -> str:
    parts = _read(lambda v: list(WRAPPERS[type(v)](v)), v)
    return f'{{"W": [{", ".join([quote(type_name(type(v))), *(dump(part, refs, depth) for part in parts)])}]}}'


def _wrapped_anew(kind: Any) -> Any:
    """Makes one of Python's own wrappers of an instance of a class that is derived from it."""

    def make(v: Any) -> Any:
        parts = WRAPPERS[kind](v)
        made = kind.__new__(kind)
        vars(made).update(zip(("maps",), [parts], strict=True) if kind is collections.ChainMap else {"data": parts[0]})
        return made

    return make


def _dump_defaults(v: Any, refs: Any, depth: int) -> str:
    factory = next((name for kind, name in _NAMES.items() if kind is v.default_factory), "")
    return f'{{"y": [{quote(factory)}, {_dump_pairs("d", v.items(), refs, depth)}]}}'


def _dump_view(v: Any, refs: Any, depth: int) -> str:
    kind, shape = quote(v.format), dump(list(v.shape), None)
    return f'{{"M": [{kind}, {shape}, "{_read(memoryview.tobytes, v).hex()}"]}}'


_WRITERS: dict[int, Any] = {
    id(kind): write
    for kind, write in {
        bytes: lambda v, refs, depth: f'{{"b": "{v.hex()}"}}',
        bytearray: lambda v, refs, depth: f'{{"B": "{v.hex()}"}}',
        complex: lambda v, refs, depth: f'{{"c": [{dump(v.real)}, {dump(v.imag)}]}}',
        range: lambda v, refs, depth: f'{{"r": [{dump(v.start)}, {dump(v.stop)}, {dump(v.step)}]}}',
        slice: _listed("l", lambda v: [v.start, v.stop, v.step]),
        memoryview: lambda v, refs, depth: _dump_view(_read(memoryview, v), refs, depth),
        collections.deque: _listed("q"),
        collections.OrderedDict: lambda v, refs, depth: _dump_pairs("o", [(key, v[key]) for key in v], refs, depth),
        collections.Counter: lambda v, refs, depth: _dump_pairs("C", v.items(), refs, depth),
        collections.defaultdict: _dump_defaults,
        **dict.fromkeys(map(type, ({}.keys(), collections.OrderedDict().keys())), _listed("K")),
        **dict.fromkeys(map(type, ({}.items(), collections.OrderedDict().items())), _listed("I")),
        collections.abc.KeysView: _listed("K"),
        collections.abc.ItemsView: _listed("I"),
        **dict.fromkeys(WRAPPERS, _dump_wrapper),
        **dict.fromkeys((arrays.Array, arrays.Number), lambda v, refs, depth: dump(arrays.plain(v), refs, depth)),
    }.items()
}


def _dict_of(v: Any) -> dict[Any, Any]:
    return {key: dict.__getitem__(v, key) for key in dict.keys(v)}


_BASES: dict[int, tuple[Any, Any]] = {  # how an instance of a class that is derived from one is copied as that
    id(kind): (kind, plain)
    for kind, plain in {
        int: int.__int__,
        float: float.__float__,
        str: str.__str__,
        complex: complex.__complex__,
        list: lambda v: list.__getitem__(v, slice(None)),
        tuple: lambda v: tuple.__getitem__(v, slice(None)),
        dict: _dict_of,
        set: lambda v: set(set.__iter__(v)),
        frozenset: lambda v: frozenset(frozenset.__iter__(v)),
        bytes: lambda v: bytes.__getitem__(v, slice(None)),
        bytearray: lambda v: bytearray.__getitem__(v, slice(None)),
        collections.deque: lambda v: collections.deque(collections.deque.__iter__(v)),
        collections.Counter: lambda v: collections.Counter(_dict_of(v)),
        collections.defaultdict: lambda v: collections.defaultdict(v.default_factory, _dict_of(v)),
        collections.OrderedDict: lambda v: collections.OrderedDict(
            (key, dict.__getitem__(v, key)) for key in collections.OrderedDict.__iter__(v)
        ),
        **{kind: _wrapped_anew(kind) for kind in WRAPPERS if kind is not types.MappingProxyType},
    }.items()
}
_LATER = {  # the same, of modules that a program may have imported
    ("fractions", "Fraction"): lambda kind, v: kind(kind._numerator.__get__(v), kind._denominator.__get__(v)),
    ("decimal", "Decimal"): lambda kind, v: kind(kind.__str__(v)),
}
_mro_of, _names_of = (type.__dict__[name].__get__ for name in ("__mro__", "__dict__"))


def _plain_type(bases: Any) -> tuple[Any, Any]:
    """The first of a class's bases that is a plain type, and how an instance is copied as that; None where none is."""
    for part in bases:
        if id(part) in _BASES:
            return _BASES[id(part)]
    for (module, name), plain in _LATER.items():
        kind = getattr(sys.modules.get(module), name, None)
        if any(part is kind for part in bases):
            return kind, functools.partial(plain, kind)
    return None, None


def _derived(bases: Any, base: Any) -> list[Any]:
    """The classes that are derived from a plain type, among the bases of one."""
    return list(itertools.takewhile(lambda part: part is not base, bases))


def _is_numpys(bases: Any) -> bool:
    numpy: Any = sys.modules.get("numpy")
    return numpy is not None and any(part is numpy.generic or part is numpy.ndarray for part in bases)


def _dump_base(v: Any, kind: Any, refs: Any, depth: int, number: Any, mro: Any = _mro_of) -> str:
    bases = mro(kind)
    kinds = "biufcUSO" if refs is None else "biufcUS"  # an array of long integers is one of objects
    if _is_numpys(bases) and v.dtype.kind in kinds:
        text = dump(_pythons(v.tolist()), refs, depth)
        return text if refs is None else f'{{"N": [{quote(v.dtype.name)}, {dump(v.shape, None)}, {text}]}}'
    base, plain = _plain_type(bases)
    if base is kind:
        return f'{{"D": {quote(str(v))}}}' if base.__name__ == "Decimal" else _dump_fraction(v.numerator, v.denominator)
    if base is not None:
        text = dump(_read(plain, v), refs, depth)
        plainly = refs is None or "_rltf_stand_in" in _names_of(kind)
        rest = "" if number is None else f", {number[0]}"
        return text if plainly else f'{{"S": [{_dump_kind(kind, base, bases)}, {text}{rest}]}}'
    raise Unrepresentable(f"{type_name(kind)} is not plain data")


def _dump_fraction(numerator: Any, denominator: Any) -> str:
    return f'{{"F": [{dump(numerator)}, {dump(denominator)}]}}'


def _pythons(value: Any, type: Any = type) -> Any:
    """Numbers of NumPy's that are longer than Python's, as Python's: fractions where no float is equal."""
    if type(value) is list:
        return value if set(map(type, value)) <= _SCALARS else [_pythons(item) for item in value]
    if not _is_numpys(_mro_of(type(value))):
        return value
    if value.dtype.kind == "c":
        return complex(_pythons(value.real), _pythons(value.imag))
    near = float(value)
    if near == value or near != near:
        return near
    from fractions import Fraction

    return Fraction(*value.as_integer_ratio())


def _dump_kind(kind: Any, base: Any, bases: Any) -> str:
    """The class of an instance of a plain type's subclass: its name, and whether it has a text of its own."""
    texts = any(
        name in _names_of(part) for part in _derived(bases, base) for name in ("__str__", "__repr__", "__format__")
    )
    return f"{quote(str(type_name(kind)))}, {int(texts)}"


COPY, OPERATORS, READING = range(3)  # what an instance of a plain type's subclass has more than its plain value
_FIXED = frozenset("int float str complex tuple frozenset bytes UserString Fraction Decimal".split())
_HOLDING = frozenset(("data", "maps"))  # attributes of wrappers
_HEAP_TYPE = 1 << 9  # a flag of classes that are made at run time
_ATTRIBUTES = frozenset(  # special names that change nothing of what a value does, or that copies do without
    [f"__{name}__" for name in (
        "module doc dict weakref slots qualname new init repr str format eq ne lt le gt ge hash getnewargs match_args "
        "annotations annotate annotate_func orig_bases parameters static_attributes firstlineno init_subclass class_getitem "
        "reduce reduce_ex copy deepcopy replace getstate setstate sizeof dir del post_init"
    ).split()]
)  # fmt: skip
_LOOKING = frozenset(("__getattr__", "__getattribute__", "__setattr__", "__delattr__"))


def plain_base(v: Any) -> Any:
    """A copy of what an instance of a plain type's subclass is besides; anything else as it is."""
    base, plain = _plain_type(_mro_of(type(v)))
    return v if base is None or base is type(v) else plain(v)


def more_than_plain(v: Any) -> tuple[int, bool]:
    """What an instance of a plain type's subclass has more than its plain value, and whether a copy would miss changes of it.

    COPY: nothing; READING: attributes; OPERATORS: attributes, maybe, and operators of its own.
    """
    bases = _mro_of(type(v))
    base, _ = _plain_type(bases)
    if base is None or type(v) is base or _is_numpys(bases):
        return COPY, False
    own = [part for part in _derived(bases, base) if part.__flags__ & _HEAP_TYPE]
    names = {name for part in own for name in _names_of(part)} - _ATTRIBUTES
    if any(name[:2] == "__" == name[-2:] and name not in _LOOKING for name in names):
        return OPERATORS, True
    held = set(getattr(v, "__dict__", None) or ()) - (_HOLDING if base in WRAPPERS else set())
    return (READING if names or held else COPY), base.__name__ not in _FIXED


def decode(tree: Any, refs: Any = None) -> Any:
    """The value whose `dump` reads as the JSON `tree`: plain types only. Raises Unrepresentable on anything else."""
    if type(tree) is list:
        if set(map(type, tree)) <= _SCALARS:
            return tree
        return [decode(item, refs) for item in tree]
    if type(tree) is not dict:
        return tree
    try:
        ((tag, body),) = tree.items()
        return refs(body) if tag == "x" and refs else _DECODERS[tag](body, refs)
    except Unrepresentable:
        raise
    except Exception as error:  # a forged result may be anything
        raise Unrepresentable("malformed value") from error


def _decimal(text: str, refs: Any) -> Any:
    from decimal import Decimal

    return Decimal(text)


def _fraction(pair: Any, refs: Any) -> Any:
    from fractions import Fraction

    return Fraction(decode(pair[0]), decode(pair[1]))


class Unprintable:
    """In front of a plain type: a value whose text is what the program says."""

    def _text(self, *spec: Any) -> str:
        raise Unrepresentable(f"the text of {type(self).__name__} is its own")

    __str__ = __repr__ = __format__ = _text  # type: ignore[assignment]


def _instance(body: Any, refs: Any) -> Any:
    """An instance of a plain type's subclass, for a script; else the plain value."""
    name, texts, tree, *number = body
    value = decode(tree, refs)
    if refs is None:
        return value
    kind = _subclass(name, type(value), bool(texts), bool(number))
    instance = kind(value.default_factory, value) if isinstance(value, collections.defaultdict) else kind(value)
    if not number:
        return instance
    instance._rltf_thing, whole = refs((number[0],))
    return instance._rltf_thing if whole else instance


@functools.lru_cache(256)
def _subclass(name: str, base: type, texts: bool, linked: bool) -> type:
    """A class in the place of one of the program's. To the program itself, its instances go as plain values.

    `linked`: or as the thing that they stand for, which has the attributes that they have not.
    """
    names = {"_rltf_stand_in": True, **({"__getattr__": _of_thing} if linked else {})}
    return type(name, (Unprintable, base) if texts else (base,), names)


def _of_thing(self: Any, name: str) -> Any:
    if name[:2] == "__" or name == "_rltf_thing":
        raise AttributeError(name)
    return getattr(self._rltf_thing, name)


def _array(body: Any, refs: Any) -> Any:
    """A scalar or an array of NumPy's: for a script what answers as one, else Python's."""
    name, shape, tree = body
    value = decode(tree)
    return value if refs is None else arrays.make(name, decode(shape), value)


def _wrapper(name: str, parts: list[Any], refs: Any) -> Any:
    """A container around plain data, for a script; else the plain data."""
    kind = _WRAPPING[name]
    if kind is collections.ChainMap and not all(isinstance(part, collections.abc.Mapping) for part in parts):
        raise Unrepresentable("a chain of what is no mapping")
    value = kind(*parts)
    return value if refs is not None else dict(value) if kind is collections.ChainMap else parts[0]


_DECODERS: dict[str, Any] = {
    "i": lambda body, refs: int(body, 16),
    "t": lambda body, refs: tuple(decode(item, refs) for item in body),
    "d": lambda body, refs: {decode(k, refs): decode(v, refs) for k, v in body},
    "o": lambda body, refs: collections.OrderedDict((decode(k, refs), decode(v, refs)) for k, v in body),
    "s": lambda body, refs: {decode(item, refs) for item in body},
    "f": lambda body, refs: frozenset(decode(item, refs) for item in body),
    "q": lambda body, refs: collections.deque(decode(item, refs) for item in body),
    "b": lambda body, refs: bytes.fromhex(body),
    "B": lambda body, refs: bytearray.fromhex(body),
    "c": lambda body, refs: complex(*body),
    "r": lambda body, refs: range(*(decode(n) for n in body)),
    "l": lambda body, refs: slice(*(decode(part, refs) for part in body)),
    "n": lambda body, refs: {"NotImplemented": NotImplemented, "Ellipsis": ...}.get(body) or _CLASSES[body],
    "S": _instance,
    "N": _array,
    "W": lambda body, refs: _wrapper(body[0], [decode(part, refs) for part in body[1:]], refs),
    "C": lambda body, refs: (collections.Counter if refs else dict)(
        {decode(k, refs): decode(v, refs) for k, v in body}
    ),
    "y": lambda body, refs: (
        collections.defaultdict(_CLASSES.get(body[0]), decode(body[1], refs)) if refs else decode(body[1])
    ),
    "M": lambda body, refs: memoryview(bytes.fromhex(body[2])).cast(body[0], body[1]),
    "K": lambda body, refs: dict.fromkeys(decode(body, refs)).keys() if refs else set(decode(body)),
    "I": lambda body, refs: dict(decode(body, refs)).items() if refs else set(decode(body)),
    "D": _decimal,
    "F": _fraction,
}

type_name = type.__dict__["__name__"].__get__
