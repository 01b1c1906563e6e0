"""The trusted side: turns what became of a program into the result of each case. Runs in the worker, never a program.

`Referee.judge` asks a runner (see `launch.py`) to run the program on inputs and operations, and compares what comes back:
`matching.py` for texts and values, `apart.py` for assertions.
"""

from __future__ import annotations

import json
import marshal
import os
import signal
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

from rltf_env.matching import text_matches, value_matches
from rltf_env.sandbox.board import Note
from rltf_env.sandbox.cage.limits import Limits
from rltf_env.sandbox.referee import checker, room, workplace
from rltf_env.sandbox.referee.apart import NOT_RUN, Apart
from rltf_env.sandbox.referee.coverage import Coverage
from rltf_env.sandbox.referee.deadline import Deadline, Stuck
from rltf_env.sandbox.referee.failures import (
    PASSED,
    RUNTIME_ERROR,
    SYNTAX_ERROR,
    WRONG_ANSWER,
    BadProblem,
    CannotCross,
    NoCode,
    NotApart,
    failure,
    not_python,
    raised,
    results_of,
    stuck_line,
    syntax_failure,
    unfinished,
)
from rltf_env.sandbox.referee.operations import operation
from rltf_env.sandbox.referee.runs import Bench, Budget, Report, Runner, Runs, is_late
from rltf_env.sandbox.referee.script import Script
from rltf_env.sandbox.referee.ways import Way, Ways
from rltf_env.sandbox.values import Unrepresentable, decode

Result = list[Any]  # outcome, failure (kind, message, line, detail, bases) or None, seconds, stdout; lines, if asked


class Pending(NamedTuple):
    """A problem that no program has been judged on yet."""

    data: dict[str, Any]


class Problem:
    """What the referee knows of a problem: built once, from the plain data that `pool.wire.encoded_problem` makes."""

    def __init__(self, data: dict[str, Any]) -> None:
        self.kinds = [case[0] for case in data["cases"]]
        self.cases = data["cases"]
        self.any_order = data["any_order"]
        self.checker = checker.load(data["checker"])
        self.checked = False  # whether the checker is at fault where it raises or is late, as far as references show
        self.expected: dict[int, Any] = {}
        self.scripts: dict[int, Script] = {}
        self.request: bytes | None = None  # what a program is asked to do, once that is known
        self.live: list[bool] = []  # which of the scripts that leaves out
        self.data = data
        self.ways: Ways | None = None  # of its scripts, once a program is to be judged
        self.fault = ""  # why no program can be judged on it, once that is known
        self.apart: Problem | None = (
            self  # with the cases that need not run together with the program; None: no such case
        )

    def choose(self, options: dict[str, Any]) -> Ways:
        """How its scripts are judged. Raises BadProblem where that cannot be."""
        if self.ways is None:
            room.check(self.data, options["output_bytes"])
            self.ways = Ways(self.data, options)
            self.split()
        return self.ways

    def once(self, find_out: Callable[..., Any], *args: Any) -> Any:
        """What is found out about it, whatever the program. That it cannot be judged holds for all programs that follow."""
        if self.fault:
            raise BadProblem(self.fault)
        try:
            return find_out(*args)
        except BadProblem as error:
            self.fault = str(error)
            raise

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
        """The compiled assertion script of a case, made at its first use."""
        if index not in self.scripts:
            _, script, setup = self.cases[index]
            data = self.data
            try:
                self.scripts[index] = Script(setup, script, data["entry_point"], data["prefix"], data["solutions"])
            except (SyntaxError, ValueError) as error:
                raise not_python(index, error) from error
        return self.scripts[index]

    def answer(self, index: int) -> Any:
        """The value that a case expects: for a checker a new one, which it may use up."""
        if self.checker:
            return decode(json.loads(self.cases[index][3]))
        if index not in self.expected:
            self.expected[index] = decode(json.loads(self.cases[index][3]))
        return self.expected[index]


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
        self.usual = self.limits = Limits.of(options)  # the judge's own, and those of the present problem
        self.bench = Bench(runner, options, note, calm)
        self.apart = Apart(self)
        self.deadline = Deadline(0.0)  # what comparing the values of the present program may still take
        self.budget = Budget(options)  # what running it may

    def judge(self, source: str, problem: Problem) -> dict[str, Any]:
        """The fields of a reply (`messages.Judged`): results of all cases, lines and facts, and how scripts were judged."""
        reply = self._judge(source, problem)
        return {**reply, "facts": self.runner.facts(source)} if self.options["facts"] else reply  # type: ignore[attr-defined]

    def _judge(self, source: str, problem: Problem) -> dict[str, Any]:
        workplace.tidy()
        self._use(self.usual.within(problem.data.get("limits")))
        ways = problem.once(problem.choose, self.options)
        try:
            reply = self._judge_apart(source, problem.apart) if problem.apart else None
        except NotApart as error:
            crossing = isinstance(error, CannotCross)
            changed = self._put_together(problem, ways, cannot_cross=crossing)
            if not changed and not (crossing and self._trust(problem, ways)):
                raise
            return self._judge(source, problem)
        if reply is not None and reply["results"][0][0] != SYNTAX_ERROR and "script" in problem.kinds:
            reply["results"] = self._settled(problem, ways, reply["results"])
        if reply is not None and problem.checker and not problem.checked:
            problem.once(self._check_checker, problem, reply["results"])
        if ways.together:
            return self._with_together(source, problem, ways, reply)
        return {**(reply or {}), "way": Way.APART if "script" in problem.kinds else ""}

    def _use(self, limits: Limits) -> None:
        """Holds the programs from now on to these limits."""
        if limits == self.limits:
            return
        self.limits = limits
        self.options = {**self.options, **limits._asdict()}
        self.bench.use(self.options)
        self.apart.options = self.options
        self.runner.use(limits)  # type: ignore[attr-defined]

    def _settled(self, problem: Problem, ways: Ways, results: list[Result]) -> list[Result]:
        """Asks the references about each script that has just been failed for the first time, or passed by objects.

        Returns the results of those that are still judged apart.
        """
        apart = self._apart(problem, ways)
        for place, index in enumerate(apart):
            if not self._is_plain(problem, ways, place, index, results[place]):
                why = "an object of its own calculates, where a right answer is plain data"
                results[place] = [WRONG_ANSWER, failure("Unrepresentable", why), *results[place][2:]]
            if index in ways.unproven and results[place][0] != PASSED:
                self._settle_one(problem, ways, index)
        left = [result for index, result in zip(apart, results, strict=True) if index not in ways.together]
        if len(left) < len(apart):
            problem.split()
        return left

    def _check_checker(self, problem: Problem, results: list[Result]) -> None:
        """Asks the references who is to blame where the checker raises or is late. Raises BadProblem if it is the checker."""

        def of_references() -> Iterator[list[Result]]:
            problem.checked = True
            for source in problem.data["solutions"]:
                yield self._judge_apart(source, alone)["results"]

        cases = [case for case in problem.cases if case[0] != "script"]
        alone = Problem({**problem.data, "cases": cases})
        checker.compare(results, of_references())

    def _is_plain(self, problem: Problem, ways: Ways, place: int, index: int, result: Result) -> bool:
        """False if a program passed by objects that were handed plain data by operators, where no reference's objects are."""
        script = problem.apart.scripts.get(place) if problem.apart else None
        if script is None or result[0] != PASSED or not script.calculations:
            return True
        if index not in ways.paths:
            paths: set[str] = set()
            for source in ways.solutions:
                alone = self._alone(problem, index)
                self._passes(source, alone)
                paths |= alone.script(0).paths
            ways.paths[index] = frozenset(paths)
        return script.calculations <= ways.paths[index]

    def _alone(self, problem: Problem, index: int) -> Problem:
        """A problem of one script, for the references."""
        alone = Problem({**problem.data, "cases": [problem.cases[index]]})
        alone.script(0).is_proof = True
        return alone

    def _apart(self, problem: Problem, ways: Ways) -> list[int]:
        return [index for index in range(len(problem.cases)) if index not in ways.together]

    def _trust(self, problem: Problem, ways: Ways) -> bool:
        """Notes which scripts a reference passes apart. True if that is new of one: what goes wrong there is the program's."""
        apart = problem.apart or problem
        places = [k for k, index in enumerate(self._apart(problem, ways)) if index in ways.proven]
        new = [script for script in map(apart.script, places) if not script.proven]
        for script in new:
            script.proven = True
        return bool(new)

    def _put_together(self, problem: Problem, ways: Ways, *, cannot_cross: bool) -> bool:
        """Asks the references about each script that nothing is known of yet. True if some are judged together from now on.

        `cannot_cross`: one of them hands something over that cannot leave this side. Where no reference has shown otherwise, none
        is judged apart then.
        """
        settle = partial(self._settle_one, cannot_cross=cannot_cross)
        changes = [settle(problem, ways, index) for index in sorted(ways.unproven)]
        problem.split()
        return any(changes)

    def _settle_one(self, problem: Problem, ways: Ways, index: int, *, cannot_cross: bool = False) -> bool:
        def passes(source: str) -> bool:
            return self._passes(source, self._alone(problem, index))

        return problem.once(ways.settle, index, passes, self.runner, cannot_cross)

    def _passes(self, source: str, problem: Problem) -> bool:
        """True if a reference passes a problem of one script apart."""
        try:
            return self._judge_apart(source, problem)["results"][0][0] == PASSED
        except BadProblem:
            return False

    def _with_together(self, source: str, problem: Problem, ways: Ways, reply: dict[str, Any] | None) -> dict[str, Any]:
        """The results of the cases that were judged apart, with those that are judged together in their places."""
        apart = iter((reply or {"results": []})["results"])
        coverage, results = Coverage(self.options), []
        coverage.executed.update((reply or {}).get("lines") or ())
        coverage.code.update((reply or {}).get("code") or ())
        for index in range(len(problem.cases)):
            together = ways.together.get(index)
            if together is None:
                results.append(next(apart))
                continue
            self.runner.warm(together.suite.runner)  # type: ignore[attr-defined]
            problem.once(together.prove, self.runner)
            syntax, rows, lines = together.judge(source, self.runner)
            if syntax is not None:
                return self._no_code(syntax, source, problem.width)
            own = Coverage(self.options)
            for each in lines:
                own.add(each, ())
            coverage.join(own)
            results += own.everywhere(rows)
        way = (
            Way.TOGETHER
            if "script" not in (problem.apart.kinds if problem.apart else [])
            else f"{Way.APART}+{Way.TOGETHER}"
        )
        unguarded = sum(len(together.unguarded) for together in ways.together.values())
        return {"results": results, **coverage.summary(), "way": way, "unguarded": unguarded}

    def _judge_apart(self, source: str, problem: Problem) -> dict[str, Any]:
        """The results of all cases, and the lines that ran if they were asked for."""
        self.deadline = Deadline(self.options["check_seconds"])
        try:
            return self._results(source, problem, *self._reports(source, problem))
        except NoCode as error:
            return self._no_code(error.record, source, len(problem.cases))

    def _no_code(self, record: Any, source: str, count: int) -> dict[str, Any]:
        """What is said of a program that is no Python: the same for so many cases."""
        coverage, failed = Coverage(self.options), syntax_failure(record, source)
        results = coverage.on([SYNTAX_ERROR, failed, 0.0, ""] for _ in range(count))
        return {"results": results, **coverage.summary()}

    def _reports(self, source: str, problem: Problem) -> tuple[list[Report], Coverage]:
        """What became of each case in one go, where there is anything to do in one. Raises NoCode."""
        count = len(problem.cases)
        live = [self.apart.live(problem.script(i)) for i in range(count) if problem.kinds[i] == "script"]
        if live != problem.live:
            problem.request, problem.live = None, live
        runs = Runs(self.bench, source, count, partial(self._request, problem))
        self.budget = runs.budget
        if len(live) == count and all(live):
            return [NOT_RUN] * count, runs.lines
        error = runs.finish()
        if error is not None:
            raise NoCode(error)
        return runs.reports, runs.lines

    def _results(self, source: str, problem: Problem, reports: list[Report], coverage: Coverage) -> dict[str, Any]:
        count = len(problem.cases)
        results: list[Result] = []
        if problem.checker:
            problem.once(problem.checker.renew, self.options["check_seconds"])
        for index, report in enumerate(reports):
            result, more = self._case(source, problem, index, report)
            for lines in more:
                coverage.add(lines, [index])
            results.append(result)
            if result[1] and result[1][0] == "Timeout" and result[1][3] == "check":  # once is enough
                break
        rest = failure("NotRun", "an earlier case used up what the program had")
        results += [[RUNTIME_ERROR, rest, 0.0, ""] for _ in range(count - len(results))]
        return {"results": coverage.on(results), **coverage.summary()}

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
            return "", [operation(f'["name", {name}]'), operation(f'["call", 0, [{case[1]}, {case[2]}], 0]')]
        return self.apart.request(problem.script(index))

    # ------------------------------------------------------------------------------------------------- one case

    def _case(self, source: str, problem: Problem, index: int, report: Report) -> tuple[Result, list[Any]]:
        kind = problem.kinds[index]
        try:
            if kind == "script":
                finding, report, executed = self.apart.judge(source, problem.script(index), report)
                return self._result(finding, report), executed
            with self.deadline:
                finding = self._stdin(problem, index, report) if kind == "stdin" else self._call(problem, index, report)
        except Stuck:
            finding = RUNTIME_ERROR, failure("Timeout", "took too long to compare", None, "check")
        except MemoryError:
            finding = RUNTIME_ERROR, failure("MemoryLimit", "took too much memory to compare", None, "check")
        return self._result(finding, report), []

    def _result(self, finding: tuple[int, Any], report: Any) -> Result:
        record, stdout, _ = report
        return [*finding, record["seconds"], stdout[: self.options["kept_output"]].decode("utf-8", "backslashreplace")]

    def _stdin(self, problem: Problem, index: int, report: Any) -> tuple[int, Any]:
        record, stdout, data = report
        death = self.death(record, stdout, data)
        lines = results_of(data, 4)
        error = next((line for line in lines if "e" in line or "x" in line), None)
        if death is None and error is not None:
            death = raised(error) if "e" in error or error.get("x") else None
        if death is None and record["status"] != 0:
            death = failure("Exited", "ended with a status", None, str(os.waitstatus_to_exitcode(record["status"])))
        if death is not None:
            return RUNTIME_ERROR, death
        _, stdin, expected = problem.cases[index]
        output = stdout.decode("utf-8", "surrogateescape")  # a byte that is no text is met by nothing that is
        if problem.checker:
            return problem.checker.ask(stdin, expected, output)
        right = text_matches(expected, output, any_order=problem.any_order)
        return (PASSED, None) if right else (WRONG_ANSWER, failure("WrongAnswer", checker.contrast(expected, output)))

    def _call(self, problem: Problem, index: int, report: Any) -> tuple[int, Any]:
        record, stdout, data = report
        lines = results_of(data, 3)
        death = self.death(record, stdout, data) or unfinished(lines, 3, record)
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
            value = decode(reply["v"])
        except (Unrepresentable, RecursionError) as error:
            return WRONG_ANSWER, failure("Unrepresentable", str(error))
        expected = problem.answer(index)
        if problem.checker:
            args = tuple(decode(json.loads(text)) for text in problem.cases[index][1:3])
            return problem.checker.ask(args, expected, value)
        right = value_matches(expected, value, any_order=problem.any_order)
        return (PASSED, None) if right else (WRONG_ANSWER, failure("WrongAnswer", checker.contrast(expected, value)))

    # ------------------------------------------------------------------------------------------------- deaths

    def death(self, record: dict[str, Any], stdout: bytes, data: bytes) -> list[Any] | None:
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
