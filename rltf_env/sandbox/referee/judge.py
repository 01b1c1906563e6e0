"""The trusted side: turns what became of a program into the result of each case. Runs in the worker, never a program.

`Referee.judge` asks a runner (see `launch.py`) to run the program on inputs and operations, and compares what comes back:
`compare.py` for texts and values, `script.py` and `replay.py` for assertions.
"""

from __future__ import annotations

import json
import marshal
import os
import signal
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

try:
    import resource
except ImportError:  # not on Windows
    resource = None  # type: ignore[assignment]

from rltf_env.compare import text_matches, value_matches
from rltf_env.sandbox.board import Note
from rltf_env.sandbox.cage import seeds
from rltf_env.sandbox.referee.failures import (
    PASSED,
    RUNTIME_ERROR,
    SYNTAX_ERROR,
    WRONG_ANSWER,
    BadProblem,
    failure,
    raised,
    results_of,
    stuck_line,
    syntax_failure,
    unfinished,
)
from rltf_env.sandbox.referee.replay import Replay, Said, Stuck
from rltf_env.sandbox.referee.runs import Bench, Budget, Report, Runner, Runs, is_late
from rltf_env.sandbox.referee.script import Script
from rltf_env.sandbox.referee.ways import Way, Ways
from rltf_env.sandbox.values import Unrepresentable, decode

MOST_RUNS = 200  # of one program on one script, whose operations may depend on what earlier ones came to
Result = list[Any]  # outcome, failure (kind, message, line, detail, bases) or None, seconds, stdout


class Pending(NamedTuple):
    """A problem that no program has been judged on yet."""

    data: dict[str, Any]


class Problem:
    """What the referee knows of a problem: built once, from the plain data that `pool.wire.encoded_problem` makes."""

    def __init__(self, data: dict[str, Any]) -> None:
        self.kinds = [case[0] for case in data["cases"]]
        self.cases = data["cases"]
        self.any_order = data["any_order"]
        self.checker = _checker(data["checker"])
        self.expected: dict[int, Any] = {}
        self.scripts: dict[int, Script] = {}
        self.request: bytes | None = None  # what a program is asked to do, once that is known
        self.data = data
        self.ways: Ways | None = None  # of its scripts, once a program is to be judged
        self.apart: Problem | None = (
            self  # with the cases that need not run together with the program; None: no such case
        )

    def choose(self, options: dict[str, Any]) -> Ways:
        """How its scripts are judged. Raises BadProblem where that cannot be."""
        if self.ways is None:
            self.ways = Ways(self.data, options)
            self.split()
        return self.ways

    def split(self) -> None:
        """Sets the cases aside that run together with the program."""
        together = self.ways.together if self.ways else {}
        if together:
            cases = [case for index, case in enumerate(self.cases) if index not in together]
            self.apart = Problem({**self.data, "cases": cases}) if cases else None

    @property
    def width(self) -> int:
        """How many results a program gets: one for a case, one for each test of a suite."""
        together = self.ways.together if self.ways else {}
        return sum(together[index].width if index in together else 1 for index in range(len(self.cases)))

    def script(self, index: int) -> Script:
        if index not in self.scripts:
            _, script, setup = self.cases[index]
            data = self.data
            try:
                self.scripts[index] = Script(setup, script, data["entry_point"], data["prefix"], data["solutions"])
            except (SyntaxError, ValueError) as error:
                raise BadProblem(f"the test of case {index} is not Python: {error}") from error
        return self.scripts[index]

    def answer(self, index: int) -> Any:
        if index not in self.expected:
            self.expected[index] = decode(json.loads(self.cases[index][3]))
        return self.expected[index]


def _checker(source: str | None) -> Any:
    if source is None:
        return None
    namespace: dict[str, Any] = {"__name__": "checker"}
    try:
        exec(compile(source, "<checker>", "exec"), namespace)
        return namespace["check"]
    except Exception as error:
        raise BadProblem(f"its checker does not define check(given, expected, got): {error!r}") from error


class Referee:
    """Judges programs.

    Args:
        runner: runs them, see `launch.runner`.
        options: as in `pool/options.py`.
        note: this referee's place on the board.
        calm: returns when no other referee runs a program, until the present one is judged.
    """

    def __init__(self, runner: Runner, options: dict[str, Any], note: Note, calm: Callable[[], None]) -> None:
        self.runner, self.options = runner, options
        self.bench = Bench(runner, options, note, calm)
        self.deadline = _Deadline(0.0)  # what comparing the values of the present program may still take
        self.budget = Budget(options)  # what running it may

    def judge(self, source: str, problem: Problem) -> dict[str, Any]:
        """The results of all cases and the lines that ran, and how scripts were judged."""
        ways = problem.choose(self.options)
        reply = self._judge_apart(source, problem.apart) if problem.apart else None
        if reply is not None and ways.unproven and reply["results"][0][0] != SYNTAX_ERROR:
            self._settle(problem, ways, reply["results"])
        if ways.together:
            return self._with_together(source, problem, ways, reply)
        return {**(reply or {}), "way": Way.APART if "script" in problem.kinds else ""}

    def _settle(self, problem: Problem, ways: Ways, results: list[Result]) -> None:
        """Asks the references about each script that has just been failed for the first time."""
        for index in sorted(ways.unproven):
            if results[index][0] != PASSED and ways.settle(
                index, lambda s, i=index: self._passes(s, problem, i), self.runner
            ):
                problem.split()

    def _passes(self, source: str, problem: Problem, index: int) -> bool:
        """True if a reference passes a script apart."""
        alone = Problem({**problem.data, "cases": [problem.cases[index]]})
        try:
            return self._judge_apart(source, alone)["results"][0][0] == PASSED
        except BadProblem:
            return False

    def _with_together(self, source: str, problem: Problem, ways: Ways, reply: dict[str, Any] | None) -> dict[str, Any]:
        """The results of the cases that were judged apart, with those that are judged together in their places."""
        apart = iter((reply or {"results": []})["results"])
        ran, results = set((reply or {}).get("lines") or ()), []
        for index in range(len(problem.cases)):
            together = ways.together.get(index)
            if together is None:
                results.append(next(apart))
                continue
            together.prove(self.runner)
            syntax, rows, lines = together.judge(source, self.runner)
            if syntax is not None:
                failed = syntax_failure(syntax, source)
                return {
                    "results": [[SYNTAX_ERROR, failed, 0.0, ""]] * problem.width,
                    "lines": [] if self.options["trace"] else None,
                }
            results += rows
            ran |= lines
        way = (
            Way.TOGETHER
            if "script" not in (problem.apart.kinds if problem.apart else [])
            else f"{Way.APART}+{Way.TOGETHER}"
        )
        unguarded = sum(len(together.unguarded) for together in ways.together.values())
        lines = sorted(ran) if self.options["trace"] else None
        return {"results": results, "lines": lines, "way": way, "unguarded": unguarded}

    def _judge_apart(self, source: str, problem: Problem) -> dict[str, Any]:
        """The results of all cases, and the lines that ran if they were asked for."""
        count, traced = len(problem.cases), self.options["trace"]
        self.deadline = _Deadline(self.options["check_seconds"])
        runs = Runs(self.bench, source, count, partial(self._request, problem))
        self.budget = runs.budget
        error = runs.finish()
        if error is not None:
            failed = syntax_failure(error, source)
            return {"results": [[SYNTAX_ERROR, failed, 0.0, ""]] * count, "lines": [] if traced else None}
        ran, results = runs.lines, []
        for index, report in enumerate(runs.reports):
            result, more = self._case(source, problem, index, report)
            ran |= more
            results.append(result)
            if result[1] and result[1][0] == "Timeout" and result[1][3] == "check":  # once is enough
                break
        rest = failure("NotRun", "an earlier case used up what the program had")
        results += [[RUNTIME_ERROR, rest, 0.0, ""] for _ in range(count - len(results))]
        return {"results": results, "lines": sorted(ran) if traced else None}

    def _request(self, problem: Problem, indices: range) -> bytes:
        """What the cage is asked to do in some cases. That in all of them is made once."""
        if len(indices) < len(problem.cases):
            return marshal.dumps([self._plan(problem, index) for index in indices])
        if problem.request is None:
            problem.request = marshal.dumps([self._plan(problem, index) for index in indices])
        return problem.request

    def _plan(self, problem: Problem, index: int) -> tuple[str, Any]:
        """What the program is given in a case: standard input, and what is asked of it."""
        case = problem.cases[index]
        if case[0] == "stdin":
            return case[1], None
        if case[0] == "call":
            name = json.dumps(problem.data["entry_point"])
            return _operations([f'["name", {name}]', f'["call", 0, [{case[1]}, {case[2]}], 0]'])
        script = problem.script(index)
        plan = script.plan
        if plan is None:
            with _Deadline(self.options["check_seconds"]):
                plan = script.plan = script.guess([], [])
        return _operations(plan)

    # ------------------------------------------------------------------------------------------------- one case

    def _case(self, source: str, problem: Problem, index: int, report: Report) -> tuple[Result, set[int]]:
        kind = problem.kinds[index]
        try:
            if kind == "script":
                return self._script_case(source, problem, index, report)
            with self.deadline:
                found = self._stdin(problem, index, report) if kind == "stdin" else self._call(problem, index, report)
        except Stuck:
            found = RUNTIME_ERROR, failure("Timeout", "took too long to compare", None, "check")
        except MemoryError:
            found = RUNTIME_ERROR, failure("MemoryLimit", "took too much memory to compare", None, "check")
        return self._result(found, report), set()

    def _result(self, found: tuple[int, Any], report: Any) -> Result:
        record, stdout, _ = report
        return [*found, record["seconds"], stdout[: self.options["kept_output"]].decode("utf-8", "backslashreplace")]

    def _stdin(self, problem: Problem, index: int, report: Any) -> tuple[int, Any]:
        record, stdout, data = report
        death = self._death(record, stdout, data)
        lines = results_of(data, 4)
        error = next((line for line in lines if "e" in line or "x" in line), None)
        if death is None and error is not None:
            death = raised(error) if "e" in error or error.get("x") else None
        if death is None and record["status"] != 0:
            death = failure("Exited", "ended with a status", None, str(os.waitstatus_to_exitcode(record["status"])))
        if death is not None:
            return RUNTIME_ERROR, death
        _, given, expected = problem.cases[index]
        got = stdout.decode("utf-8", "backslashreplace")
        if problem.checker:
            return _asked(problem.checker, given, expected, got)
        right = text_matches(expected, got, any_order=problem.any_order)
        return (PASSED, None) if right else (WRONG_ANSWER, failure("WrongAnswer", _contrast(expected, got)))

    def _call(self, problem: Problem, index: int, report: Any) -> tuple[int, Any]:
        record, stdout, data = report
        lines = results_of(data, 3)
        death = self._death(record, stdout, data) or unfinished(lines, 3, record)
        if death is not None:
            return RUNTIME_ERROR, death
        reply = lines[2]
        if "m" in lines[1]:
            name = problem.data["entry_point"]
            return RUNTIME_ERROR, failure("MissingEntryPoint", f"the program defines no {name!r}")
        if "e" in lines[1]:
            return RUNTIME_ERROR, raised(lines[1])
        if "e" in reply or "x" in reply:
            return RUNTIME_ERROR, raised(reply)
        try:
            if "v" not in reply:
                raise Unrepresentable(f"the result, of type {reply.get('kind', '?')}, is not plain data")
            got = decode(reply["v"])
        except (Unrepresentable, RecursionError) as error:
            return WRONG_ANSWER, failure("Unrepresentable", str(error))
        expected = problem.answer(index)
        if problem.checker:
            given = tuple(decode(json.loads(text)) for text in problem.cases[index][1:3])
            return _asked(problem.checker, given, expected, got)
        right = value_matches(expected, got, any_order=problem.any_order)
        return (PASSED, None) if right else (WRONG_ANSWER, failure("WrongAnswer", _contrast(expected, got)))

    def _script_case(self, source: str, problem: Problem, index: int, report: Any) -> tuple[Result, set[int]]:
        script = problem.script(index)
        plan = script.plan or []
        ran: set[int] = set()
        runs = 0
        while True:
            data, runs = report[2], runs + 1
            said, replay = script.remembered(plan, data), None
            if said is None:
                replay = self._replay(script, plan, report)
                if isinstance(replay, list):
                    return self._result((RUNTIME_ERROR, replay), report), ran
                with self.deadline:
                    said = (*replay.run(), len(replay.made))
                script.remember(plan, data, said)
            if replay is None or said[0] != "miss" or self.budget.used_up or runs >= MOST_RUNS:
                break
            with self.deadline:
                plan = script.guess(replay.made, replay.results[: len(replay.made) - 1])
            _, (report,), more = self.runner(source, marshal.dumps([_operations(plan)]), 1, True, 1)
            self.budget.add(report)
            ran |= set(more or ())
        if said[0] == "impossible" and self._crosses(script):
            said = ("unrepresentable", "the program's values nest too deeply", said[2])
        return self._result(self._script_outcome(said, report, len(plan)), report), ran

    def _crosses(self, script: Script) -> bool:
        with self.deadline:
            return script.crosses()

    def _replay(self, script: Script, plan: list[str], report: Any) -> Replay | list[Any]:
        """The script against a program's results, or the failure of one that left none."""
        record, stdout, data = report
        with self.deadline:
            lines = results_of(data, len(plan) + 1)
        if lines and "ok" in lines[0]:
            return Replay(script, plan, lines[1:], guess=False)
        death = self._death(record, stdout, data) or unfinished(lines, 2, record)
        return death or failure("Exited", "left no result")

    def _script_outcome(self, said: Said, report: Any, planned: int) -> tuple[int, Any]:
        (what, detail, made), (record, stdout, data) = said, report
        if what == "passed":
            death = self._death(record, stdout, data) if made >= planned else None
            return (PASSED, None) if death is None else (RUNTIME_ERROR, death)
        if what == "failed":
            return WRONG_ANSWER, failure("WrongAnswer", detail)
        if what == "raised":
            return RUNTIME_ERROR, raised(detail)
        if what == "missing":
            return RUNTIME_ERROR, failure("MissingEntryPoint", f"the program defines no {detail!r}")
        if what == "unrepresentable":
            return WRONG_ANSWER, failure("Unrepresentable", str(detail))
        if what == "died":
            death = self._death(record, stdout, data) or unfinished(results_of(data, planned + 1), planned + 1, record)
            return RUNTIME_ERROR, death or failure("Exited", "ended before the test did")
        if what in ("miss", "long"):
            return RUNTIME_ERROR, failure("Timeout", "the test and the program never came to an end", None, "check")
        raise BadProblem(f"its test hands something to the program that cannot cross to it, since {detail}")

    # ------------------------------------------------------------------------------------------------- deaths

    def _death(self, record: dict[str, Any], stdout: bytes, data: bytes) -> list[Any] | None:
        """How the process was ended from outside, or None if it went by itself."""
        line = stuck_line(data)
        if record["end"] == "memory":
            return failure("MemoryLimit", "its processes together held too much memory", line, bases=("MemoryError",))
        if record["end"] == "stopped":
            return failure("ForbiddenCall", "stopped the process that it came from", line)
        if record["end"] or is_late(record, self.options["case_seconds"]):
            which = record["end"] or "cpu"
            return failure("Timeout", f"over the limit of {which} time", line, which)
        status = record["status"]
        cap = self.options["output_bytes"]
        if len(stdout) > cap:
            return failure("OutputLimit", f"printed more than {cap} bytes", line)
        if len(data) > cap:
            return failure("OutputLimit", f"returned more than {cap} bytes", line)
        if not os.WIFSIGNALED(status):
            return None
        number = os.WTERMSIG(status)
        if number == signal.SIGXFSZ:
            return failure("FileLimit", f"wrote a file of more than {self.options['file_bytes']} bytes", line)
        if number == signal.SIGSYS:
            return failure("ForbiddenCall", "made a system call that is not allowed", line)
        if number == signal.SIGXCPU:
            return failure("Timeout", "over the limit of cpu time", line, "cpu")
        return failure("Killed", f"ended by signal {number}", line, str(number))


def _operations(plan: list[str]) -> tuple[str, Any]:
    """A plan as a case of a request, see `harness._Session.perform`."""
    return "", [_operation(json.loads(text)) for text in plan]


def _operation(op: Any) -> Any:
    if op[0] == "name":
        return tuple(op)
    verb, target, trees, watch = op
    try:
        values = [decode(tree) for tree in trees]
        marshal.dumps(values)
        return verb, target, True, values, watch
    except (Unrepresentable, ValueError):  # references, or values that marshal has no name for
        return verb, target, False, trees, watch


def _contrast(expected: Any, got: Any) -> str:
    return f"expected {_short(expected)}, got {_short(got)}"


def _short(value: Any) -> str:
    try:
        text = repr(value)
    except (ValueError, RecursionError):
        return f"a {type(value).__name__}"
    return text if len(text) <= 200 else text[:200] + "..."


def _asked(checker: Any, given: Any, expected: Any, got: Any) -> tuple[int, Any]:
    """The checker's verdict. Where it raises, it did not expect such an answer: that is not a right one."""
    why = _contrast(expected, got)
    try:
        if checker(given, expected, got) is True:
            return PASSED, None
    except MemoryError:
        raise
    except Exception as error:
        why += f"; the checker raised {type(error).__name__}"
    return WRONG_ANSWER, failure("WrongAnswer", why)


class _Deadline:
    """Limits what the trusted side does with values that a program made, in CPU time: what else the machine does is not counted.

    After `seconds`, all blocks together, `Stuck` is raised. Where that is not heard, since a single C function runs on and on, a
    signal ends this process two seconds later: the caller knows by it that the program is to blame (`pool.worker.STUCK`).
    """

    def __init__(self, seconds: float) -> None:
        self.left = seconds

    def __enter__(self) -> None:
        if hasattr(signal, "setitimer"):
            if self.left <= 0:
                raise Stuck
            signal.setitimer(signal.ITIMER_VIRTUAL, self.left)
            signal.setitimer(signal.ITIMER_PROF, self.left + 2)
            self.left = 0.0

    def __exit__(self, *exc: object) -> None:
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_PROF, 0)  # first: Stuck may be raised here
            self.left, _ = signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def prepare(output_bytes: int) -> None:
    """Readies this process for deadlines, and for values of `output_bytes` that grow when they are read, or put to use."""
    if resource is not None:
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        most = (2 << 30) + 64 * output_bytes
        resource.setrlimit(resource.RLIMIT_AS, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
    seeds.install()  # tests draw random numbers, too
    warnings.simplefilter("ignore")  # a test's bad escapes are its author's, and nobody reads them here
    if hasattr(signal, "SIGVTALRM"):
        signal.signal(signal.SIGVTALRM, _on_alarm)
        signal.signal(signal.SIGPROF, signal.SIG_DFL)


def _on_alarm(*args: Any) -> None:
    raise Stuck
