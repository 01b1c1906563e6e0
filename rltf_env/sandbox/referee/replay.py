"""The trusted side of an assertion script: it runs here, against proxies, and the program only ever sees arguments.

Every use that the script makes of something of the program's (fetch a name, call it, read an attribute) is an *operation*.
A *plan* is the list of operations that a script makes. It is guessed once: the script runs with wildcards for results, which
answer every question with yes. The program performs the plan in one go and reports what came of each operation; then the
script is *replayed* here against those results, and no step costs a round trip.

Where the script turns out to make an operation that is not next in the plan (a message that calls the program, a branch, a
call on the last one's result), the program is run afresh and *live*: each operation is sent when the script makes it. So the
verdict is always that of one run in which script and program met step by step. No program is told what another answered.
"""

from __future__ import annotations

import builtins
import json
import marshal
import time
import types
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from rltf_env.sandbox.cage.program import seed
from rltf_env.sandbox.cage.session import AFTERWARDS, OBJECTS
from rltf_env.sandbox.referee import workplace
from rltf_env.sandbox.referee.deadline import Leave, Stuck
from rltf_env.sandbox.referee.failures import raised
from rltf_env.sandbox.referee.objects import Objects, is_object, path_to
from rltf_env.sandbox.referee.operations import Operation, is_plain, is_simple, operation, overwrite
from rltf_env.sandbox.referee.proxies import DEEPEST, Remote, Wildcard, contradiction, remote_error
from rltf_env.sandbox.referee.recursion import as_at_start
from rltf_env.sandbox.values import MESSAGE, Unrepresentable, decode, dump

if TYPE_CHECKING:
    from rltf_env.sandbox.cage.live import Conversation

LONGEST_GUESS = 20_000  # operations; what makes more is run live


class End(StrEnum):
    """How a script came to its end."""

    PASSED = "passed"
    FAILED = "failed"  # it raised an exception of its own, an AssertionError for one
    RAISED = "raised"  # the program raised one, and the script let it pass
    MISSED = "missed"  # it made an operation that was not planned
    DIED = "died"  # the program was no more when it was asked
    MISSING = "missing"  # the program has no such entry point
    UNREPRESENTABLE = "unrepresentable"  # what the program came up with is no plain data, and the script needs it to be
    CANNOT_CROSS = "cannot cross"  # what the script hands over is no plain data
    LONG = "long"  # a guess came to no end, or led nowhere


class Conclusion(NamedTuple):
    """What came of a script. It is short, whatever a program had to say.

    Args:
        detail: a message; with RAISED the failure, with MISSED the operation.
        steps: operations made.
        used: something of the program's was put to use.
        paths, calculations: to objects of the program's, and to those that were handed plain data (`objects.py`).
    """

    end: End
    detail: Any
    steps: int
    used: bool = True
    paths: frozenset[str] = frozenset()
    calculations: frozenset[str] = frozenset()


class Interrupted(BaseException):
    """The replay cannot go on. Not an Exception, so that a script's own handlers do not hold it up."""


class Assertions(Protocol):
    """What a replay has to know of a script (`script.py`).

    Args:
        codes: its setup and its text, compiled.
        helpers: code that stands before them.
        names: what it takes from the program, and `entry_point`, which has to be there.
        has_classes: it takes more than functions, so what a thing says of itself may change.
        is_proof: it is run with a reference, to show that it may be judged apart.
        keeps_things: it may hold on to something of the program's, and look at it again.
    """

    codes: list[types.CodeType]
    helpers: types.CodeType | None
    names: list[str]
    entry_point: str
    has_classes: bool
    is_proof: bool
    keeps_things: bool


class Replay(Objects):
    """One run of a script against what a run of the program came to. Subclasses say where results come from."""

    def __init__(self, script: Assertions, codes: list[types.CodeType] | None = None) -> None:
        self.script, self.codes = script, script.codes if codes is None else codes
        super().__init__()
        self.steps = 0  # operations made so far
        self.used = False
        self.epoch = 0  # things done so far that may have changed something
        self.outcome: tuple[End, Any] | None = None  # what stopped the replay, if anything did
        self.remotes: dict[int, Remote] = {}
        self._origin: tuple[str, tuple[Any, ...]] = ("name", ("",))  # of the present result
        self.objects = OBJECTS if script.has_classes else 0

    def perform(self, verb: str, *args: Any) -> Any:
        """The result of an operation, a value or a proxy."""
        raise NotImplementedError

    # ------------------------------------------------------------------------------------------- what proxies ask

    def act(self, verb: str, target: Any, *args: Any) -> Any:
        """Does something to a thing of the program's. What is known of it, or where it has classes of anything, is forgotten."""
        self.used = True
        self.epoch += 1
        if verb == "call" and target._rltf_owner is not None and not self.script.has_classes:
            self.note(target._rltf_owner, *args[0], *args[1].values())
        for thing in (target, target._rltf_owner):
            if thing is not None:
                thing._rltf_answers.clear()
        return self.perform(verb, target, *args)

    def look(self, verb: str, target: Any, *args: Any) -> Any:
        """Asks a thing of the program's something about itself, once."""
        answers = self._answers(target)
        key = (verb, *args) if verb == "get" else (verb, self._text(args)) if args else verb
        if key not in answers:
            self.used = True
            answers[key] = self._owned(self.perform(verb, target, *args), target)
            if not self.script.has_classes and contradiction(answers):
                self.stop(End.UNREPRESENTABLE, f"a {target._rltf_kind} that contradicts itself")
        return answers[key]

    def _answers(self, target: Any) -> dict[Any, Any]:
        """What a thing has said of itself: for good where only plain data is right, else until something is done."""
        if self.script.has_classes and target._rltf_epoch != self.epoch:
            target._rltf_answers.clear()
            object.__setattr__(target, "_rltf_epoch", self.epoch)
        return target._rltf_answers

    def _owned(self, value: Any, owner: Any) -> Any:
        if type(value) in (Remote, Wildcard) and value._rltf_owner is None:
            object.__setattr__(value, "_rltf_owner", owner)
        return value

    def items_of(self, remote: Remote) -> list[Any]:
        """What is in a thing of the program's. What is used up by that has nothing more in it."""
        used_up, items = self._contents(remote)
        if used_up:
            remote._rltf_answers["list"] = (True, [])
        return items

    def _contents(self, remote: Remote) -> tuple[bool, list[Any]]:
        contents = self.look("list", remote)
        if type(contents) is not tuple or [type(part) for part in contents] != [bool, list]:
            self.stop(End.UNREPRESENTABLE, "malformed result")
        return contents

    def refuse(self, why: str) -> Any:
        """Stops a script that cannot be run on this side."""
        return self.stop(End.CANNOT_CROSS, why)

    def stop(self, end: End, detail: Any) -> Any:
        """Ends the replay, whatever the script would go on with."""
        if self.outcome is None:
            self.outcome = (End(end), detail)
        raise Interrupted

    # ------------------------------------------------------------------------------------------- operations

    def _describe(self, verb: str, args: tuple[Any, ...]) -> str:
        """An operation as JSON text, by which two are compared: what is done, to which result, with what."""
        if verb == "name":
            return json.dumps([verb, *args])
        if is_simple(verb, args):
            return (
                f'["call", {args[0]._rltf_index}, [[{", ".join([dump(value) for value in args[1]])}], {{"d": []}}], '
                f"{self.objects}]"
            )
        return f'["{verb}", {args[0]._rltf_index}, [{self._text(args[1:])}], {self._watch(verb)}]'

    def _packed(self, verb: str, args: tuple[Any, ...], text: str = "") -> tuple[Any, ...]:
        """An operation as a program's process takes it."""
        if verb == "name":
            return verb, *args
        if is_simple(verb, args):
            return "call", args[0]._rltf_index, True, args[1:], self.objects
        values = args[1:]
        if all(map(is_plain, values)):
            return verb, args[0]._rltf_index, True, values, self._watch(verb)
        return operation(text or self._describe(verb, args))

    def _watch(self, verb: str) -> int:
        return self.objects | (AFTERWARDS if verb == "call" and self.script.keeps_things else 0)

    def _text(self, values: tuple[Any, ...]) -> str:
        try:
            return ", ".join([dump(value, self._ref) for value in values])
        except (Unrepresentable, RecursionError) as error:
            return self.stop(End.CANNOT_CROSS, str(error))

    def _ref(self, value: Any) -> Any:
        """The number of a thing of the program's, which may be changed by what it is handed to."""
        thing = vars(value).get("_rltf_thing") if hasattr(type(value), "_rltf_stand_in") else value
        if type(thing) is not Remote:
            return None
        thing._rltf_answers.clear()
        return thing._rltf_index

    def _result(self, verb: str, reply: Any, args: tuple[Any, ...], index: int) -> Any:
        if type(reply) is not dict:
            self.stop(End.UNREPRESENTABLE, "malformed result")
        if reply.get("a") is not None:
            self._update([*args[1], *args[2].values()], reply["a"])
        if "v" in reply:
            self._origin = verb, args
            if is_object(reply["v"]):
                self.paths.add(path_to(verb, args))
            try:
                return decode(reply["v"], self._resolve)
            except Unrepresentable as error:
                self.stop(End.UNREPRESENTABLE, str(error))
        if "h" in reply:
            plain = reply.get("p")
            plain = plain if type(plain) is int else 0
            kind, true = str(reply.get("kind"))[:MESSAGE], bool(reply.get("b"))
            return self._remote(index, kind, path_to(verb, args), true, plain)
        if "m" in reply and verb == "name":
            return _MISSING
        if "e" in reply or "x" in reply:
            raise remote_error(verb, reply)
        return self.stop(End.UNREPRESENTABLE, reply.get("u", "malformed result"))

    def _resolve(self, reference: Any) -> Any:
        """The thing that a value refers to, and whether it is to be taken for the whole of what is plain data besides."""
        path = path_to(*self._origin) + "[]"
        if type(reference) is tuple:
            return self._remote(int(reference[0]), "", path, False, 2), self.script.is_proof
        index, plain = reference if type(reference) is list else (reference, 0)
        return self._remote(int(index), "", path, False, int(plain))

    def _remote(self, index: int, kind: str, path: str, true: bool = False, plain: int = 0) -> Remote:
        """The proxy of a thing: the same for the same thing, so that the script can tell which is which.

        Only a script that takes classes from the program has use for what such a thing is as plain data.
        """
        if index not in self.remotes:
            self.remotes[index] = Remote(self, index, kind, path, true, plain if self.objects else 0)
        self.paths.add(path)
        self.remotes[index]._rltf_paths.add(path)
        return self.remotes[index]

    def _update(self, args: list[Any], tree: Any) -> None:
        """Makes changes that the program made to its arguments visible to the script."""
        try:
            for old, new in zip(args, decode(tree, self._resolve), strict=True):
                overwrite(old, new)
        except (Unrepresentable, ValueError, TypeError):
            self.stop(End.UNREPRESENTABLE, "malformed arguments")

    # ------------------------------------------------------------------------------------------------- run

    def run(self) -> Conclusion:
        """Runs the script."""
        seed()
        workplace.tidy()
        try:
            namespace: dict[str, Any] = {
                "__name__": "test",
                "__builtins__": builtins,
                HELD_BACK: (Interrupted, Stuck, Leave),
            }
            self._bind(namespace)
            with as_at_start():
                for code in self.codes:
                    exec(code, namespace)
        except Interrupted:
            pass
        except BaseException as error:
            self._conclude(error)
        end, detail = self.outcome or (End.PASSED, None)
        detail = detail[:MESSAGE] if isinstance(detail, str) else detail
        paths = frozenset(self.paths), frozenset(self.calculations)
        return Conclusion(end, detail, self.steps, self.used, *paths)

    def _conclude(self, error: BaseException) -> None:
        """Takes down which exception ended the script, unless it was stopped before."""
        if isinstance(error, (Stuck, Leave)):
            raise error
        record = getattr(error, "_rltf_record", None)
        if self.outcome is not None or (isinstance(error, SystemExit) and not record and error.code in (None, 0)):
            return
        text = "" if isinstance(error, AssertionError) else f"{type(error).__name__}: "
        outcome = (End.RAISED, raised(record)) if record else (End.FAILED, (text + _text(error)).strip())
        self.outcome = self.outcome or outcome  # which a look at the error may have set

    def _bind(self, namespace: dict[str, Any]) -> None:
        if self.script.helpers:
            with as_at_start():
                exec(self.script.helpers, namespace)
        for name in self.script.names:
            value = self.perform("name", name)
            if name == self.script.entry_point and not isinstance(value, (Remote, Wildcard, type)):
                self.stop(*((End.MISSING, name) if value is _MISSING else (End.RAISED, raised(_NOT_CALLABLE))))
            self.used = self.used or type(value) is not Remote
            if value is not _MISSING:
                namespace[name] = value


class Recorded(Replay):
    """A run against the results of a plan that the program has performed."""

    def __init__(self, script: Assertions, plan: list[Operation], results: list[Any]) -> None:
        super().__init__(script)
        self.plan, self.results = plan, results

    def perform(self, verb: str, *args: Any) -> Any:
        """The recorded answer to the next planned operation. Raises Interrupted where the script makes another."""
        text, k = self._describe(verb, args), self.steps
        if k >= len(self.plan) or self.plan[k].text != text:
            self.stop(End.MISSED, (Operation(text, self._packed(verb, args, text)),))
        self.steps += 1
        if k >= len(self.results):
            self.stop(End.DIED, None)
        return self._result(verb, self.results[k], args, k)


class Live(Replay):
    """A run against a live program, which is asked one thing after another.

    Args:
        seconds: CPU time that this process may take for it.
    """

    def __init__(self, script: Assertions, talk: Conversation, seconds: float) -> None:
        super().__init__(script)
        self.talk, self.until = talk, time.process_time() + seconds

    def perform(self, verb: str, *args: Any) -> Any:
        """Sends the operation to the program and waits for what came of it. Raises Stuck past the time limit."""
        # Most of the time is the system's, which no alarm here counts.
        if not self.steps % 256 and time.process_time() > self.until:
            raise Stuck
        reply = self.talk.ask(marshal.dumps(self._packed(verb, args)))
        self.steps += 1
        if reply is None:
            self.stop(End.DIED, None)
        return self._result(verb, reply, args, self.steps - 1)


class Guess(Replay):
    """A run against wildcards, which finds out what a script does as long as everything is right.

    Args:
        plan, results: what is known of a program already; wildcards stand for what came after that.
    """

    def __init__(
        self, script: Assertions, plan: list[Operation], results: list[Any], codes: list[types.CodeType] | None
    ) -> None:
        super().__init__(script, codes)
        self.plan, self.results = plan, results
        self.operations: list[Operation] = []
        self._depth = 0  # of the wildcards in what is described

    def perform(self, verb: str, *args: Any) -> Any:
        """Notes the operation in the plan and answers with a wildcard, which says yes to every question."""
        self._depth = 0
        text, k = self._describe(verb, args), self.steps
        if k >= LONGEST_GUESS:
            self.stop(End.LONG, None)
        depth = max(self._depth, getattr(args[0], "_rltf_depth", 0)) + (verb == "call")
        if depth > DEEPEST:
            self.stop(End.LONG, None)
        packed = self._packed(verb, args, text)
        if verb != "name" and not is_simple(verb, args):  # what is done later may change a value
            packed = marshal.loads(marshal.dumps(packed))
        self.operations.append(Operation(text, packed))
        self.steps += 1
        if k < len(self.results) and self.plan[k].text == text:
            return self._result(verb, self.results[k], args, k)
        return Wildcard(self, k, depth)

    def _ref(self, value: Any) -> Any:
        if type(value) is Wildcard:
            self._depth = max(self._depth, value._rltf_depth)
            value._rltf_answers.clear()
            return value._rltf_index
        return super()._ref(value)

    def _conclude(self, error: BaseException) -> None:
        if isinstance(error, Stuck):
            self.outcome = (End.LONG, None)
        else:
            super()._conclude(error)


HELD_BACK = "__held_back__"  # in the namespace of a script: what its handlers of everything must let pass
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
        return str(error)[:MESSAGE]
    except Interrupted:
        return ""
    except Exception:
        return ""
