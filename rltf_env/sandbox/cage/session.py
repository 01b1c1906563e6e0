"""What a program does for a test: it fetches things by name, calls and reads them, and says what came of it. Standard library only.

This runs beside the program, which can only harm its own results.
"""

from __future__ import annotations

import contextlib
import errno
import json
import operator
from typing import Any

from rltf_env.sandbox.values import (
    COPY,
    FILENAME,
    MESSAGE,
    OPERATORS,
    Unrepresentable,
    decode,
    dump,
    more_than_plain,
    plain_base,
    quote,
    type_name,
)

AFTERWARDS, OBJECTS = 1, 2  # what a test wants to hear besides: bits of `watch`


class Session:
    """The program's side of a conversation with a test: named things are fetched, called, read, and results reported.

    A result is one line of JSON, an object with some of these keys:

        v  the value, if it is plain data (`values.dump`); {"x": n} in it is a thing of the program's with the number n
        h  the number of a thing of the program's that is no plain data; `kind` its class, `b` that it can only be true, `p`
           that it is plain data besides: more than 1 if that is all that operators make use of
        a  what a call left of its arguments: those by position, then those by name
        m  the program has no such name
        e  the exception that it raised
        x  the status with which it left
        u  why there is nothing to report

    A thing has the number of the operation that it came of; one inside another value has a negative number.
    """

    def __init__(self, namespace: dict[str, Any]) -> None:
        self.namespace = namespace
        self.results: list[Any] = []  # what each operation came to
        self.objects = False  # the test may want more of a value than what is plain in it
        self.inner: list[Any] = []  # things inside of what they came to
        # Of the things that the test has heard of, by id: they are held, so ids stay theirs.
        self.numbers: dict[int, int] = {}

    def perform(self, op: Any) -> str:
        """Does one operation and says what came of it, as JSON.

        Operations are `("name", text)` and `(verb, number of the thing it is done to, plain, values, watch)`. Values are
        themselves if `plain`, else trees that may refer to things. `watch`: AFTERWARDS to say what a call did to its
        arguments, OBJECTS to keep what has attributes of its own, though it is plain data besides.
        """
        verb, values, watch = op[0], (), 0
        try:
            if verb == "name":
                value = self._name(op[1])
            else:
                _, target, plain, values, watch = op
                if not plain:
                    values = [decode(tree, self._thing) for tree in values]
                value = VERBS[verb](self._thing(target), *values)
        except _Missing:
            self.results.append(None)
            return '{"m": 1}'
        except BaseException as error:
            self.results.append(None)
            return json.dumps(failure_record(error))
        self.results.append(value)
        if type(value) is _FunctionType and verb == "name":  # nearly always: not by way of an exception
            return f'{{"h": {self._number(value)}, "kind": "function"}}'
        self.objects = bool(watch & OBJECTS) and verb != "plain"
        after = f', "a": {self._after(values)}' if watch & AFTERWARDS and verb == "call" else ""
        try:
            if self.objects and type(value) not in _PLAINLY and (more := self._more(value)):
                return self._handle(value, verb, after, more)
            return f'{{"v": {dump(value, self._reference)}{after}}}'
        except Unrepresentable:
            return self._handle(value, verb, after)
        except RecursionError:
            return '{"u": "nested too deeply"}'

    def _more(self, value: Any) -> int:
        """What operators of a test can do with a value that is to be kept, and is plain data besides: 1 or 2; else 0."""
        more, changes = more_than_plain(value)
        return 0 if more == COPY or not changes else 1 if more == OPERATORS else 2

    def _handle(self, value: Any, verb: str, after: str, plain: int = 0) -> str:
        """What is said of a value that is no plain data. A container is copied, unless it may be changed where it is."""
        if type(value) in _CONTAINERS and verb in _COPYING:
            try:
                return f'{{"v": {dump(value, self._hold)}{after}}}'
            except (Unrepresentable, RecursionError):
                pass
        kind = quote(str(type_name(type(value))))
        true = "" if _may_be_false(type(value)) else ', "b": 1'
        besides = f', "p": {plain}' if plain else ""
        return f'{{"h": {self._number(value)}, "kind": {kind}{true}{besides}{after}}}'

    def _number(self, value: Any) -> int:
        return self.numbers.setdefault(id(value), len(self.results) - 1)

    def _thing(self, number: int) -> Any:
        return self.results[number] if number >= 0 else self.inner[~number]

    def _reference(self, value: Any) -> Any:
        if self.objects and type(value) is not _MethodType and (more := more_than_plain(value))[0] != COPY:
            number = self._inner(value)
            return [number, self._more(value)] if more[1] else (number,)
        return self.numbers.get(id(value)) if self.numbers else None

    def _hold(self, value: Any) -> Any:
        """The number of a thing inside a result; None if it is plain data itself."""
        number = self._reference(value)
        if number is not None:
            return number
        try:
            dump(value)
            return None
        except (Unrepresentable, RecursionError):
            return self._inner(value)

    def _inner(self, value: Any) -> int:
        """The number of a thing, which it has from now on."""
        if id(value) not in self.numbers:
            self.inner.append(value)
            self.numbers[id(value)] = -len(self.inner)
        return self.numbers[id(value)]

    def _after(self, values: Any) -> str:
        try:
            return dump([*values[0], *values[1].values()], self._reference)
        except (Unrepresentable, RecursionError):
            return "null"

    def _name(self, path: str) -> Any:
        """The thing of this name; "Solution.f" is a method of a fresh Solution, and either stands in for a missing other."""
        first, _, method = path.partition(".")
        value = self.namespace.get(first, _Missing)
        if method:
            if value is not _Missing:
                return getattr(value(), method)
            value = self.namespace.get(method, _Missing)
        elif value is _Missing and "Solution" in self.namespace and hasattr(self.namespace["Solution"], first):
            return getattr(self.namespace["Solution"](), first)
        if value is _Missing:
            raise _Missing
        return value


class _Missing(Exception):
    """The program defines no such name."""


_FunctionType, _MethodType = type(lambda: 0), type(Session({}).perform)
_PLAINLY = frozenset({type(None), bool, int, str, float, list, tuple, dict, set, _MethodType})  # nothing besides
_CONTAINERS = frozenset({list, tuple, dict, set, frozenset})
# What `get` and `item` come to may be part of something that the test changes.
_COPYING = frozenset({"call", "list", "next"})


def _may_be_false(kind: Any, mro=type.__dict__["__mro__"].__get__, names=type.__dict__["__dict__"].__get__) -> bool:
    return any("__bool__" in names(base) or "__len__" in names(base) for base in mro(kind))


def _get_item(value: Any, key: Any) -> Any:
    return value[key]


def _set_item(value: Any, key: Any, item: Any) -> None:
    value[key] = item


def _as_list(value: Any) -> tuple[bool, list[Any]]:
    """All that is in something, and whether it is used up by that."""
    items = iter(value)
    return items is value, list(items)


def _reflected(act: Any) -> Any:
    return lambda right, left: act(left, right)


def _left(value: Any) -> Any:
    return type(value).__exit__(value, None, None, None)


_OPERATORS = "add sub mul truediv floordiv mod pow matmul and_ or_ xor lshift rshift neg pos abs invert delitem".split()
VERBS: dict[str, Any] = {
    "call": lambda f, args, kwargs: f(*args, **kwargs),
    "get": getattr,
    "set": setattr,
    "delete": delattr,
    "item": _get_item,
    "put": _set_item,
    "len": len,
    "list": _as_list,
    "str": str,
    "repr": repr,
    "format": format,
    "next": next,
    "bool": bool,
    "int": int,
    "float": float,
    "hash": hash,
    "round": round,
    "divmod": divmod,
    "in": lambda value, item: item in value,
    "isinstance": lambda kind, value: isinstance(value, kind),
    "plain": plain_base,
    "enter": lambda value: type(value).__enter__(value),
    "exit": _left,
    **{name: getattr(operator, name) for name in _OPERATORS},
    **{f"r{name}": _reflected(getattr(operator, name)) for name in _OPERATORS[:13]},
}


# ------------------------------------------------------------------------------------------------------- exceptions


def describe(error: BaseException, _type=type, mro=type.__dict__["__mro__"].__get__) -> dict[str, Any]:
    """An exception as data: class, built-in ancestors, the line of the last frame inside the program, message."""
    cls = _type(error)
    line, trace = None, BaseException.__dict__["__traceback__"].__get__(error)
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == FILENAME and trace.tb_lineno is not None:
            line = trace.tb_lineno
        trace = trace.tb_next
    builtin = [base for base in mro(cls) if _BUILTIN.get(type_name(base)) is base]
    record: dict[str, Any] = {
        "kind": type_name(cls),
        "own": _BUILTIN.get(type_name(cls)) is cls,
        "bases": [type_name(base) for base in builtin if base is not cls],
        "line": line,
    }
    try:
        record["message"] = str(error)[:MESSAGE]
    except BaseException:  # the program's own __str__ may do anything
        record["message"] = ""
    if isinstance(error, OSError):
        record["errno"] = OSError.__dict__["errno"].__get__(error)
    return record


_BUILTIN = {
    name: value
    for name, value in vars(__import__("builtins")).items()
    if isinstance(value, type) and issubclass(value, BaseException)
}


def failure_record(error: BaseException) -> dict[str, Any]:
    """What came of an operation that ended with an exception, or left."""
    if isinstance(error, SystemExit):
        return {"x": _exit_status(error), **describe(error)}
    give_memory_back(error)
    record = describe(error)
    if limit := _limit_of(error):
        record["limit"] = limit
    return {"e": record}


def give_memory_back(error: BaseException | None) -> None:
    """Empties the frames that a MemoryError holds, once they are left. What they have used up may be all there was.

    CPython goes round and round in its handling of exceptions where it has not even room for a number.
    """
    trace = error.__traceback__ if error is not None and issubclass(type(error), MemoryError) else None
    while trace is not None:
        with contextlib.suppress(RuntimeError):  # it is still running
            trace.tb_frame.clear()
        trace = trace.tb_next


def _exit_status(error: SystemExit) -> int:
    code: Any = error.code
    return 0 if code is None else int.__int__(code) if issubclass(type(code), int) else 1


def _limit_of(error: BaseException) -> str:
    """What is missing if nothing more can be started, which is then what this error was about; told by trying, not by its text.

    "memory" if a thread can be started with a small stack, and not with one as large as the program asks for.
    """
    if type(error) is not RuntimeError and not (isinstance(error, OSError) and error.errno == errno.EAGAIN):
        return ""
    size = _stack_size()
    try:
        _stack_size(size + size // 64 // _PAGE * _PAGE)  # what was missing may have been little
        _start_new_thread(int, ())
        return ""
    except RuntimeError:
        pass
    finally:
        _stack_size(size)
    try:
        _stack_size(_SMALL_STACK)
        _start_new_thread(int, ())
        return "memory"
    except RuntimeError:
        return "processes"
    finally:
        _stack_size(size)


_start_new_thread, _stack_size = (getattr(__import__("_thread"), name) for name in ("start_new_thread", "stack_size"))
_SMALL_STACK, _PAGE = 1 << 16, 1 << 12  # bytes
