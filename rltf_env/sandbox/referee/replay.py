"""The trusted side of an assertion script: it runs here, against proxies, and the program only ever sees arguments.

Every use that the script makes of something of the program's (fetch a name, call it, read an attribute) is an *operation*.
A *plan* is the list of operations that a script makes. The program performs a plan in one go and reports what came of each;
then the script is *replayed* here against those results. If it makes an operation that is not next in the plan, the plan is
cut there, the operation appended, and the program run afresh. The verdict is thus always that of one run in which script and
program met step by step, but no step costs a round trip. The first plan is guessed: the script runs with wildcards for
results, which answer every question with yes. Plans that hold what a program answered are for that program alone: another
would be told the answer.
"""

from __future__ import annotations

import builtins
import collections
import json
import types
from typing import TYPE_CHECKING, Any

from rltf_env.sandbox.cage.program import seed
from rltf_env.sandbox.values import Unrepresentable, decode, dump

if TYPE_CHECKING:
    from rltf_env.sandbox.referee.script import Script

LONGEST_PLAN = 100_000
LONGEST_GUESS = 5_000

Said = tuple[str, Any, int]  # what came of a script: "passed", "failed", ...; a detail; the number of operations made


class Stuck(BaseException):
    """What the trusted side does with a program's values took longer than it may."""


class Interrupted(BaseException):
    """The replay cannot go on. Not an Exception, so that a script's own handlers do not hold it up."""


class _Wildcard:
    """Stands for a result that is not known yet, when the operations of a script are guessed."""

    def __init__(self, replay: Replay, index: int) -> None:
        self.__dict__.update(_replay=replay, _index=index)

    def _same(self, *args: Any) -> Any:
        return self

    def _true(self, *args: Any) -> bool:
        return True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._replay.perform("call", self, list(args), kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self._replay.perform("get", self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._replay.perform("set", self, name, value)

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


class _Remote:
    """Something of the program's that is not plain data: it stays in the program, this names it.

    It can be called, read, written, indexed and passed back, but not compared: the program would decide the comparison. Nor can
    it be asked what it holds, unless the problem's own solutions have classes (or its script a name that looks like one).
    """

    def __init__(self, replay: Replay, index: int, kind: str) -> None:
        self.__dict__.update(_replay=replay, _index=index, _kind=kind)

    def _do(self, verb: str, *rest: Any) -> Any:
        return self._replay.perform(verb, self, *rest)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._do("call", list(args), kwargs)

    def __getattr__(self, name: str) -> Any:
        if name in ("__iter__", "__next__", "__len__", "__getitem__"):
            raise AttributeError(name)
        return self._do("get", name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._do("set", name, value)

    def __getitem__(self, key: Any) -> Any:
        return self._do("item", key)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._do("put", key, value)

    def __len__(self) -> Any:
        return self._do("len")

    def __iter__(self) -> Any:
        return iter(self._do("list"))

    def __next__(self) -> Any:
        return self._do("next")

    def __contains__(self, item: Any) -> Any:
        if not self._replay.script.has_classes:  # no right answer is an object that could say what it holds
            self._replay.stop("unrepresentable", self._kind)
        return self._do("in", item)

    def __instancecheck__(self, value: Any) -> Any:
        return self._do("isinstance", value)

    def __str__(self) -> str:
        return self._do("str")

    def __repr__(self) -> str:
        return self._do("repr")

    def __bool__(self) -> bool:
        return self._do("bool")

    def __int__(self) -> int:
        return self._do("int")

    def __float__(self) -> float:
        return self._do("float")

    def _compare(self, other: Any) -> bool:
        return self._replay.uncomparable(self, other)

    def __ne__(self, other: Any) -> bool:
        return not self._compare(other)

    __eq__ = __lt__ = __le__ = __gt__ = __ge__ = _compare  # type: ignore[assignment]
    __hash__ = object.__hash__


class Replay:
    """One run of a script against the results of one run of the program."""

    def __init__(
        self,
        script: Script,
        plan: list[str],
        results: list[Any],
        *,
        guess: bool,
        codes: list[types.CodeType] | None = None,
    ) -> None:
        self.script, self.plan, self.results, self.guess = script, plan, results, guess
        self.codes = script.codes if codes is None else codes
        self.made: list[str] = []  # operations made so far
        self.outcome: tuple[str, Any] | None = None  # what stopped the replay, if anything did

    # ------------------------------------------------------------------------------------------- operations

    def perform(self, verb: str, *args: Any) -> Any:
        op = self._describe(verb, args)
        k = len(self.made)
        if k >= (LONGEST_GUESS if self.guess else LONGEST_PLAN):
            self.stop("long", None)
        self.made.append(op)
        if k < len(self.plan) and self.plan[k] == op:
            if k < len(self.results):
                return self._result(verb, self.results[k], args)
            if not self.guess:
                self.stop("died", None)
        if not self.guess:
            self.stop("miss", None)
        return _Wildcard(self, k)

    def stop(self, what: str, detail: Any) -> None:
        if self.outcome is None:
            self.outcome = (what, detail)
        raise Interrupted

    def uncomparable(self, remote: Any, other: Any) -> bool:
        if remote is other:
            return True
        if other is None:
            return False
        self.stop("unrepresentable", remote.__dict__["_kind"])
        return False

    def _describe(self, verb: str, args: tuple[Any, ...]) -> str:
        """An operation as JSON text, by which two are compared: what is done, to which result, with what."""
        if verb == "name":
            return json.dumps([verb, *args])
        target, *values = args
        try:
            texts = [dump(value, self._ref) for value in values]
        except (Unrepresentable, RecursionError) as error:
            self.stop("impossible", str(error))
        watch = int(verb == "call" and self.script.keeps_things)
        return f'["{verb}", {target.__dict__["_index"]}, [{", ".join(texts)}], {watch}]'  # pyright: ignore

    def _ref(self, value: Any) -> Any:
        kind = type(value)
        return value.__dict__["_index"] if kind is _Remote or kind is _Wildcard else None

    def _result(self, verb: str, reply: Any, args: tuple[Any, ...]) -> Any:
        if type(reply) is not dict:
            self.stop("unrepresentable", "malformed result")
        if reply.get("a") is not None:
            self._update(args[1], reply["a"])
        if "v" in reply:
            try:
                return decode(reply["v"], self._resolve)
            except Unrepresentable as error:
                self.stop("unrepresentable", str(error))
        if "h" in reply:
            return _Remote(self, len(self.made) - 1, str(reply.get("kind")))
        if "m" in reply and verb == "name":
            return _MISSING
        if "e" in reply or "x" in reply:
            raise _remote_error(verb, reply)
        return self.stop("unrepresentable", str(reply.get("u", "malformed result")))

    def _resolve(self, index: Any) -> Any:
        return _Remote(self, int(index), "")

    def _update(self, args: list[Any], tree: Any) -> None:
        """Makes changes that the program made to its arguments visible to the script."""
        try:
            for old, new in zip(args, decode(tree, self._resolve), strict=True):
                _overwrite(old, new)
        except (Unrepresentable, ValueError, TypeError):
            self.stop("unrepresentable", "malformed arguments")

    # ------------------------------------------------------------------------------------------------- run

    def run(self) -> tuple[str, Any]:
        """Runs the script: ("passed", None), ("failed", message), ("raised", record), ("miss" | "died" | ..., detail)."""
        seed()
        try:
            namespace: dict[str, Any] = {"__name__": "test", "__builtins__": builtins}
            self._bind(namespace)
            for code in self.codes:
                exec(code, namespace)
        except Interrupted:
            pass
        except Stuck:
            if not self.guess:
                raise
        except BaseException as error:
            if self.outcome is None:
                record = getattr(error, "_rltf_record", None)
                text = "" if isinstance(error, AssertionError) else f"{type(error).__name__}: "
                self.outcome = ("raised", record) if record else ("failed", (text + _text(error)).strip())
        return self.outcome or ("passed", None)

    def _bind(self, namespace: dict[str, Any]) -> None:
        if self.script.given:
            exec(self.script.given, namespace)
        for name in self.script.names:
            value = self.perform("name", name)
            if name == self.script.entry_point and not isinstance(value, (_Remote, _Wildcard, type)):
                self.stop(*(("missing", name) if value is _MISSING else ("raised", _NOT_CALLABLE)))
            if value is not _MISSING:
                namespace[name] = value


_MISSING = object()
_NOT_CALLABLE = {
    "e": {
        "kind": "TypeError",
        "own": True,
        "bases": ["Exception", "BaseException"],
        "line": None,
        "message": "the entry point cannot be called",
    }
}


def _text(error: BaseException) -> str:
    try:
        return str(error)[:500]
    except Interrupted:
        return ""
    except Exception:
        return ""


def _remote_error(verb: str, reply: dict[str, Any]) -> BaseException:
    """An exception of the program's, to be raised in the script: of the nearest built-in class, carrying the record.

    What would quietly end a loop of the script's is a RuntimeError, unless it asked for the next item (as PEP 479 has it).
    """
    record = reply.get("e") if isinstance(reply.get("e"), dict) else reply
    assert record is not None
    names = [record.get("kind")] if record.get("own") else []
    names += [name for name in record.get("bases") or () if isinstance(name, str)]
    base: type[BaseException] = next(
        (b for b in (getattr(builtins, str(n), Exception) for n in names) if _is_error(b)), Exception
    )
    if issubclass(base, StopIteration | StopAsyncIteration | GeneratorExit) and verb != "next":
        base = RuntimeError
    made = type(base.__name__, (base,), {"__init__": lambda self, message: None, "__str__": lambda self: self.args[0]})
    error: Any = made(str(record.get("message", "")))
    error._rltf_record = reply
    return error


def _is_error(value: Any) -> bool:
    """True for an exception class that can be made from a message: not for a group of exceptions."""
    return isinstance(value, type) and issubclass(value, BaseException) and not issubclass(value, BaseExceptionGroup)


def _overwrite(old: Any, new: Any) -> None:
    if type(old) is not type(new):
        return
    if isinstance(old, list):
        if len(old) == len(new):
            for i, (a, b) in enumerate(zip(old, new, strict=True)):
                if isinstance(a, (list, dict, set)) and type(a) is type(b):
                    _overwrite(a, b)
                else:
                    old[i] = b
        else:
            old[:] = new
    elif isinstance(old, (dict, set)):
        old.clear()
        old.update(new)
    elif isinstance(old, collections.deque):
        old.clear()
        old.extend(new)
