"""Plain values as JSON text: what may cross between the judge's processes. Standard library only."""

from __future__ import annotations

import collections
import collections.abc
import functools
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
    if kind is bytes or kind is bytearray:
        return f'{{"{"b" if kind is bytes else "B"}": "{v.hex()}"}}'
    if kind is complex:
        return f'{{"c": [{dump(v.real)}, {dump(v.imag)}]}}'
    if kind is range:
        return f'{{"r": [{dump(v.start)}, {dump(v.stop)}, {dump(v.step)}]}}'
    if kind is slice:
        return f'{{"l": [{", ".join([dump(part, refs, depth) for part in (v.start, v.stop, v.step)])}]}}'
    if kind is collections.deque:
        return f'{{"q": [{", ".join([dump(item, refs, depth) for item in v])}]}}'
    if kind is collections.OrderedDict:
        return _dump_pairs("o", [(key, v[key]) for key in v], refs, depth)
    if kind is type and v in _NAMES:
        return f'{{"n": "{_NAMES[v]}"}}'
    if v is NotImplemented or v is Ellipsis:
        return f'{{"n": "{v!r}"}}'
    return _dump_base(v, kind, refs, depth, number)


_BASES: tuple[tuple[Any, Any], ...] = (
    (int, int.__int__),
    (float, float.__float__),
    (str, str.__str__),
    (complex, complex.__complex__),
    (list, lambda v: list.__getitem__(v, slice(None))),
    (tuple, lambda v: tuple.__getitem__(v, slice(None))),
    (dict, lambda v: {key: dict.__getitem__(v, key) for key in dict.keys(v)}),
    (set, lambda v: set(set.__iter__(v))),
    (frozenset, lambda v: frozenset(frozenset.__iter__(v))),
    (bytes, lambda v: bytes.__getitem__(v, slice(None))),
    (bytearray, lambda v: bytearray.__getitem__(v, slice(None))),
)


_mro_of, _names_of = (type.__dict__[name].__get__ for name in ("__mro__", "__dict__"))


def _dump_base(v: Any, kind: Any, refs: Any, depth: int, number: Any, mro: Any = _mro_of) -> str:
    bases = mro(kind)
    numpy = sys.modules.get("numpy")
    kinds = "biufcUSO" if refs is None else "biufcUS"  # an array of long integers is one of objects
    if numpy and (numpy.generic in bases or numpy.ndarray in bases) and v.dtype.kind in kinds:
        text = dump(v.tolist(), refs, depth)
        return text if refs is None else f'{{"N": [{quote(v.dtype.name)}, {dump(v.shape, None)}, {text}]}}'
    for base, plain in _BASES:
        if base in bases:
            text = dump(plain(v), refs, depth)
            plainly = refs is None or "_rltf_stand_in" in type.__dict__["__dict__"].__get__(kind)
            rest = "" if number is None else f", {number[0]}"
            return text if plainly else f'{{"S": [{_dump_kind(v, kind, base, bases)}, {text}{rest}]}}'
    if refs is not None and kind in WRAPPERS:
        return _dump_wrapper(v, kind, refs, depth)
    if refs is not None and kind in _VIEWS:
        return f'{{"{_VIEWS[kind]}": {dump(list(v), refs, depth)}}}'
    fraction, decimal = sys.modules.get("fractions"), sys.modules.get("decimal")
    if decimal and kind is decimal.Decimal:
        return f'{{"D": {quote(str(v))}}}'
    if fraction and kind is fraction.Fraction:
        return f'{{"F": [{dump(v.numerator)}, {dump(v.denominator)}]}}'
    if kind in (arrays.Array, arrays.Number):
        return dump(arrays.plain(v), refs, depth)
    raise Unrepresentable(f"{type_name(kind)} is not plain data")


WRAPPERS: dict[Any, Any] = {  # of Python's own: what they hold, by which they compare
    collections.UserDict: lambda v: [v.data],
    collections.UserList: lambda v: [v.data],
    collections.UserString: lambda v: [v.data],
    collections.ChainMap: lambda v: v.maps,
    types.MappingProxyType: lambda v: [dict(v)],
}
_WRAPPING = {kind.__name__: kind for kind in WRAPPERS}


def _dump_wrapper(v: Any, kind: Any, refs: Any, depth: int) -> str:
    try:
        parts = list(WRAPPERS[kind](v))
    except Exception as error:  # what it holds may be of the program's own making
        raise Unrepresentable(f"{type_name(kind)} holds no plain data") from error
    return f'{{"W": [{", ".join([quote(type_name(kind)), *(dump(part, refs, depth) for part in parts)])}]}}'


_VIEWS = {type({}.keys()): "K", type({}.items()): "I"}  # which compare what is in them


def _dump_kind(v: Any, kind: Any, base: Any, bases: Any, names: Any = type.__dict__["__dict__"].__get__) -> str:
    """The class of an instance of a plain type's subclass: its name, whether it has a text of its own, a factory of defaults."""
    factory = _NAMES.get(v.default_factory, "") if kind is collections.defaultdict else ""
    own = [part for part in bases[: bases.index(base)] if kind not in _PYTHONS_OWN]
    texts = any(name in names(part) for part in own for name in ("__str__", "__repr__", "__format__"))
    return f"{quote(str(type_name(kind)))}, {int(texts)}, {quote(factory)}"


_PYTHONS_OWN = (collections.Counter, collections.defaultdict)  # which show themselves as Python says
COPY, OPERATORS, READING = range(3)  # what an instance of a plain type's subclass has more than its plain value
_MUTABLE = frozenset({list, dict, set, bytearray})
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
    bases = _mro_of(type(v))
    return next((plain(v) for base, plain in _BASES if base in bases and type(v) is not base), v)


def more_than_plain(v: Any) -> tuple[int, bool]:
    """What an instance of a plain type's subclass has more than its plain value, and whether a copy would miss changes of it.

    COPY: nothing; READING: attributes; OPERATORS: attributes, maybe, and operators of its own.
    """
    bases = _mro_of(type(v))
    numpy = sys.modules.get("numpy")
    base = next((base for base, _ in _BASES if base in bases), None)
    if base is None or type(v) is base or (numpy and (numpy.generic in bases or numpy.ndarray in bases)):
        return COPY, False
    own = [part for part in bases[: bases.index(base)] if part.__flags__ & _HEAP_TYPE and part not in _PYTHONS_OWN]
    names = {name for part in own for name in _names_of(part)} - _ATTRIBUTES
    if any(name[:2] == "__" == name[-2:] and name not in _LOOKING for name in names):
        return OPERATORS, True
    return (READING if names or getattr(v, "__dict__", None) else COPY), base in _MUTABLE


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
    name, texts, factory, tree, *number = body
    value = decode(tree, refs)
    if refs is None:
        return value
    if name == "Counter" and type(value) is dict:
        return collections.Counter(value)
    if name == "defaultdict" and type(value) is dict:
        return collections.defaultdict(_CLASSES.get(factory), value)
    instance = _subclass(name, type(value), bool(texts), bool(number))(value)
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
    "K": lambda body, refs: dict.fromkeys(decode(body, refs)).keys(),
    "I": lambda body, refs: dict(decode(body, refs)).items(),
    "D": _decimal,
    "F": _fraction,
}

type_name = type.__dict__["__name__"].__get__
