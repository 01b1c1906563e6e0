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

import ast
import builtins
import collections
import contextlib
import hashlib
import json
import re
import types
from collections.abc import Iterable
from typing import Any

from rltf_env.sandbox.harness import Unrepresentable, decode, dump, seed

LONGEST_PLAN = 100_000
LONGEST_GUESS = 5_000
REMEMBERED = 256  # outcomes of a script

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


# ---------------------------------------------------------------------------------------------------------- scripts


class Script:
    """A ScriptCase, compiled. Raises SyntaxError or ValueError if it is not Python.

    Args:
        given: code that the problem gives for free; its complete functions other than the entry point belong to the test.
    """

    def __init__(self, setup: str, script: str, entry_point: str | None, given: str, solutions: list[str]) -> None:
        self._texts = [text for text in (setup, script) if text.strip()]
        self.codes = [compile(text, "<test>", "exec", dont_inherit=True) for text in self._texts]
        self.entry_point = (entry_point or "").partition(".")[0]
        own, self.given = _given(given, self.entry_point)
        nodes = [node for text in self._texts for node in _walk(ast.parse(text))]
        bound = _bound(nodes) | own
        used = {node.id for node in nodes if isinstance(node, ast.Name)} - bound
        builtin = {name for name in used if hasattr(builtins, name)}
        foreign = used - builtin | (builtin & {self.entry_point, *_defined(solutions, builtin)})
        self.names = list(dict.fromkeys(name for code in self.codes for name in _globals_of(code, foreign)))
        self.keeps_things = any(isinstance(node, _KEEPING) for node in nodes)
        capital = any(name[:1].isupper() for name in self.names)
        self.has_classes = any(map(_CLASS.search, solutions)) if solutions else capital
        self.plan: list[str] | None = None  # which programs are given first
        self._said: dict[bytes, Said] = {}  # by what a program's results, as text, hash to

    def remembered(self, plan: list[str], data: bytes) -> Said | None:
        """What this script said before to the same results. Programs that are right mostly return the same."""
        return self._said.get(_digest(data)) if plan is self.plan and self._said else None

    def remember(self, plan: list[str], data: bytes, said: Said) -> None:
        """Keeps what this script said to these results of the plan that programs are given first."""
        if plan is self.plan and said[0] != "miss":
            if len(self._said) >= REMEMBERED:
                self._said.clear()
            self._said[_digest(data)] = said

    def guess(self, plan: list[str], results: list[Any]) -> list[str]:
        """The plan, as far as it can be told from what is known: `results` of the first operations of `plan`."""
        replay = Replay(self, plan, results, guess=True)
        if replay.run()[0] == "failed":  # as it may: what is not known yet is said to be true
            replay = Replay(self, plan, results, guess=True, codes=self._without_asserts())
            replay.run()
        return replay.made

    def crosses(self) -> bool:
        """True if what the script hands to a program can cross to it, as far as that is the script's."""
        return Replay(self, [], [], guess=True).run()[0] != "impossible"

    def _without_asserts(self) -> list[types.CodeType]:
        """The script with its assertions as plain expressions: it goes on where they do not hold."""
        trees = [ast.parse(text) for text in self._texts]
        for tree in trees:
            for node in _walk(tree):
                _unassert(node)
        return [compile(tree, "<test>", "exec", dont_inherit=True) for tree in trees]


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=32).digest()


_KEEPING = (ast.Assign, ast.AugAssign, ast.AnnAssign, ast.For, ast.NamedExpr, ast.With, ast.comprehension)


def _unassert(node: ast.AST) -> None:
    """Makes the asserts right below a node plain expressions: a guess goes through the whole script."""
    for name in ("body", "orelse", "finalbody"):
        block = getattr(node, name, None)
        if isinstance(block, list):  # a lambda's body, and both sides of a conditional expression, are no blocks
            block[:] = [ast.copy_location(ast.Expr(s.test), s) if isinstance(s, ast.Assert) else s for s in block]


def _globals_of(code: types.CodeType, among: set[str]) -> list[str]:
    """Which of these names the code looks up among its globals, in the order in which it does.

    Most code has none of them: it need not be read instruction by instruction.
    """
    names: list[str] = []
    if not among.isdisjoint(code.co_names):
        import dis

        names += [i.argval for i in dis.get_instructions(code) if i.opname in ("LOAD_GLOBAL", "LOAD_NAME")]
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names += _globals_of(constant, among)
    return [name for name in names if name in among]


def _walk(tree: ast.AST) -> list[ast.AST]:
    """The tree's nodes, parents first; `ast.walk` takes twice as long."""
    nodes: list[ast.AST] = [tree]
    for node in nodes:  # which grows
        for name in node._fields:
            value = getattr(node, name, None)
            if isinstance(value, list):
                nodes += [item for item in value if isinstance(item, ast.AST)]
            elif isinstance(value, ast.AST) and not isinstance(value, ast.expr_context):
                nodes.append(value)
    return nodes


def _bound(nodes: Iterable[ast.AST]) -> set[str]:
    """Names that the script itself gives a value."""
    names = set()
    for node in nodes:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef)):
            names.add(node.name)
        elif isinstance(node, ast.Name):
            if isinstance(node.ctx, ast.Store):
                names.add(node.id)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names.update((alias.asname or alias.name).partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            names.add(node.name)
    return names


def _defined(sources: Iterable[str], names: set[str]) -> set[str]:
    """Which of these names some source gives a function or a class."""
    found = set()
    for source in sources:
        if not names.isdisjoint(_DEFINED.findall(source)):
            with contextlib.suppress(SyntaxError, ValueError, RecursionError):
                body = ast.parse(source).body
                found |= {node.name for node in body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    return found & names


_CLASS = re.compile(r"^\s*class\s", re.MULTILINE)
_DEFINED = re.compile(r"^\f*(?:def|class)\s+(\w+)", re.MULTILINE)  # and what only looks like it, in a string


def _given(source: str, entry_point: str) -> tuple[set[str], types.CodeType | None]:
    """Helper functions that come with the problem: the test uses its own copy of them, not what the program made of them."""
    if set(_DEFINED.findall(source)) <= {entry_point}:
        return set(), None
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError):
        return set(), None
    helpers = [n for n in body if isinstance(n, ast.FunctionDef) and n.name != entry_point and not _is_stub(n)]
    if not helpers:
        return set(), None
    imports = [n for n in body if isinstance(n, (ast.Import, ast.ImportFrom))]
    code = compile(ast.Module([*imports, *helpers], []), "<given>", "exec")
    return {helper.name for helper in helpers}, code


def _is_stub(node: ast.FunctionDef) -> bool:
    return all(
        isinstance(part, ast.Pass) or (isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant))
        for part in node.body
    )
