"""What a script sees in place of things of the program's: wildcards while its operations are guessed, proxies afterwards.

A proxy can be called, read, written, indexed and passed back, but not compared: the program would decide the comparison. What
it is asked about itself it answers once: the same question has the same answer until something is done that may change it.
Otherwise an object could be a different one at each look, which no value is.
"""

from __future__ import annotations

import builtins
import operator
from typing import Any

from rltf_env.sandbox.referee.failures import as_list

# Classes of Python's own whose objects compare nothing: what they contain is told by their items.
ITERABLES = frozenset(
    "generator map filter zip enumerate reversed range_iterator list_iterator list_reverseiterator tuple_iterator str_iterator "
    "str_ascii_iterator set_iterator dict_keyiterator dict_valueiterator dict_itemiterator bytes_iterator callable_iterator "
    "dict_keys dict_values dict_items chain islice accumulate combinations permutations product takewhile dropwhile "
    "filterfalse starmap zip_longest compress pairwise groupby repeat cycle count array memoryview".split()
)
_ITERATORS = frozenset("generator map filter zip enumerate reversed chain islice".split())
DEEPEST = 64  # results that a guess follows, each made of the last one


class Wildcard:
    """Stands for a result that is not known yet, when the operations of a script are guessed. It says yes to everything."""

    __slots__ = ("_replay", "_rltf_answers", "_rltf_depth", "_rltf_epoch", "_rltf_index", "_rltf_owner")

    def __init__(self, replay: Any, index: int, depth: int, write: Any = object.__setattr__) -> None:
        write(self, "_replay", replay)
        write(self, "_rltf_answers", {})
        write(self, "_rltf_depth", depth)
        write(self, "_rltf_epoch", 0)
        write(self, "_rltf_index", index)
        write(self, "_rltf_owner", None)

    def _same(self, *args: Any) -> Any:
        return self

    def _true(self, *args: Any) -> bool:
        return True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._replay.act("call", self, list(args), kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self._replay.look("get", self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._replay.act("set", self, name, value)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._replay.act("put", self, key, value)

    def __iter__(self) -> Any:
        return iter((self, self))

    def __len__(self) -> int:
        return 1

    def __hash__(self) -> int:
        return 0

    def __index__(self) -> int:
        return 1

    __int__ = __index__

    def __float__(self) -> float:
        return 1.0

    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __contains__ = __bool__ = _true  # type: ignore[assignment]
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _same
    __mod__ = __rmod__ = __floordiv__ = __rfloordiv__ = __pow__ = __rpow__ = __neg__ = __abs__ = __round__ = _same
    __getitem__ = _same


def _operator(verb: str) -> Any:
    def act(self: Remote, *operands: Any) -> Any:
        return self._rltf_replay.calculate(verb, self, *operands)

    return act


def _comparison(act: Any) -> Any:
    def compare(self: Remote, other: Any) -> bool:
        return self._rltf_replay.compare(act, self, other)

    return compare


class Remote:
    """Something of the program's that is not plain data: it stays in the program, this names it.

    Nor can it be asked what it contains, or take part in arithmetic, unless the problem's own solutions have classes (or its
    script a name that looks like one): no right answer is an object that could say so.
    """

    __slots__ = (
        "_rltf_answers",
        "_rltf_epoch",
        "_rltf_index",
        "_rltf_kind",
        "_rltf_owner",
        "_rltf_path",
        "_rltf_paths",
        "_rltf_plain",
        "_rltf_replay",
        "_rltf_true",
    )

    def __init__(self, replay: Any, index: int, kind: str, path: str, true: bool = False, plain: int = 0) -> None:
        values = ({}, 0, index, kind, None, path, {path}, plain, replay, true or kind == "function")
        for name, value in zip(Remote.__slots__, values, strict=True):
            object.__setattr__(self, name, value)

    def _do(self, verb: str, *rest: Any) -> Any:
        return self._rltf_replay.act(verb, self, *rest)

    def _look(self, verb: str, *rest: Any) -> Any:
        return self._rltf_replay.look(verb, self, *rest)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._rltf_replay.act("call", self, list(args), kwargs)

    def __getattr__(self, name: str) -> Any:
        if name in _PROTOCOL:
            raise AttributeError(name)
        return self._look("get", name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._do("set", name, value)

    def __delattr__(self, name: str) -> None:
        self._do("delete", name)

    def __getitem__(self, key: Any) -> Any:
        return self._look("item", key)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._do("put", key, value)

    def __delitem__(self, key: Any) -> None:
        self._do("delitem", key)

    def __len__(self) -> Any:
        return self._look("len")

    def __iter__(self) -> Any:
        return iter(self._rltf_replay.items_of(self))

    def __next__(self) -> Any:
        return self._do("next")

    def __contains__(self, item: Any) -> Any:
        return self._rltf_replay.contains(self, item)

    def __instancecheck__(self, value: Any) -> Any:
        return self._do("isinstance", value)

    def __str__(self) -> str:
        return self._look("str")

    def __repr__(self) -> str:
        return self._look("repr")

    def __format__(self, spec: str) -> str:
        return self._look("format", spec)

    def __bool__(self) -> bool:
        return True if self._rltf_true else self._look("bool")

    def __int__(self) -> int:
        return self._look("int")

    def __float__(self) -> float:
        return self._look("float")

    def __round__(self, *digits: Any) -> Any:
        self._rltf_replay.only_for_classes(self)
        return self._look("round", *digits)

    def __enter__(self) -> Any:
        return self._do("enter")

    def __exit__(self, kind: Any, error: Any, trace: Any) -> Any:
        if kind is not None:
            self._rltf_replay.refuse(
                "an exception of the script's would have to be handed to a context manager of the program's"
            )
        return self._do("exit")

    def __ne__(self, other: Any) -> bool:
        if self._rltf_kind in _ITERATORS:  # equal to nothing but themselves
            return self is not other
        return not self == other

    __eq__, __lt__, __le__ = map(_comparison, (operator.eq, operator.lt, operator.le))  # type: ignore[assignment]
    __gt__, __ge__ = map(_comparison, (operator.gt, operator.ge))
    __hash__ = object.__hash__
    __neg__, __pos__, __abs__, __invert__ = map(_operator, ("neg", "pos", "abs", "invert"))
    __divmod__ = _operator("divmod")
    __add__, __radd__ = _operator("add"), _operator("radd")
    __sub__, __rsub__ = _operator("sub"), _operator("rsub")
    __mul__, __rmul__ = _operator("mul"), _operator("rmul")
    __truediv__, __rtruediv__ = _operator("truediv"), _operator("rtruediv")
    __floordiv__, __rfloordiv__ = _operator("floordiv"), _operator("rfloordiv")
    __mod__, __rmod__ = _operator("mod"), _operator("rmod")
    __pow__, __rpow__ = _operator("pow"), _operator("rpow")
    __matmul__, __rmatmul__ = _operator("matmul"), _operator("rmatmul")
    __and__, __rand__ = _operator("and_"), _operator("rand_")
    __or__, __ror__ = _operator("or_"), _operator("ror_")
    __xor__, __rxor__ = _operator("xor"), _operator("rxor")
    __lshift__, __rlshift__ = _operator("lshift"), _operator("rlshift")
    __rshift__, __rrshift__ = _operator("rshift"), _operator("rrshift")


Remote.__doc__ = property(lambda self: self._look("get", "__doc__"))  # type: ignore[assignment]  # a script may ask for its own
_PROTOCOL = frozenset("__iter__ __next__ __len__ __getitem__ __index__ __length_hint__ __array__ __fspath__".split())


def contradiction(answers: dict[Any, Any]) -> bool:
    """True if no plain value could have given these answers about itself."""
    length, (used_up, items) = answers.get("len"), answers.get("list") or (True, [])
    if not used_up and length is not None and length != len(items):
        return True
    number, whole = answers.get("float"), answers.get("int")
    return number is not None and whole is not None and whole != _truncated(number)


def _truncated(number: float) -> Any:
    try:
        return int(number)
    except (ValueError, OverflowError):
        return None


def remote_error(verb: str, reply: dict[str, Any]) -> BaseException:
    """An exception of the program's, to be raised in the script: of the nearest built-in class, carrying the record.

    What would quietly end a loop of the script's is a RuntimeError, unless it asked for the next item (as PEP 479 has it).
    """
    record = reply.get("e") if isinstance(reply.get("e"), dict) else reply
    assert record is not None
    names = [record.get("kind")] if record.get("own") else []
    names += [name for name in as_list(record.get("bases")) if isinstance(name, str)]
    base: type[BaseException] = next(
        (b for b in (getattr(builtins, str(n), Exception) for n in names) if _is_error(b)), Exception
    )
    if issubclass(base, StopIteration | StopAsyncIteration | GeneratorExit) and verb != "next":
        base = RuntimeError
    kind = type(base.__name__, (base,), {"__init__": lambda self, message: None, "__str__": lambda self: self.args[0]})
    error: Any = kind(str(record.get("message", "")))
    error._rltf_record = reply
    return error


def _is_error(value: Any) -> bool:
    """True for an exception class that can be made from a message: not for a group of exceptions."""
    return isinstance(value, type) and issubclass(value, BaseException) and not issubclass(value, BaseExceptionGroup)
