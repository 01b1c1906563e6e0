"""Assertion scripts judged apart: the script runs here, in the process that knows the answers, the program in its cage.

The program first performs the plan that is guessed for the script, in one go. Where that was not all that the script asked, and
for scripts that have no plan, the two meet step by step (`replay.py`). Either way the program sees arguments, and never what
they are compared with.
"""

from __future__ import annotations

import marshal
import os
from typing import TYPE_CHECKING, Any

from rltf_env.sandbox.referee.deadline import Deadline
from rltf_env.sandbox.referee.failures import (
    PASSED,
    RUNTIME_ERROR,
    WRONG_ANSWER,
    CannotCross,
    NoCode,
    NothingUsed,
    failure,
    results_of,
    unfinished,
)
from rltf_env.sandbox.referee.operations import Operation
from rltf_env.sandbox.referee.replay import Conclusion, End, Live, Recorded
from rltf_env.sandbox.referee.runs import Report, is_late

if TYPE_CHECKING:
    from rltf_env.sandbox.referee.script import Script

MOST_RUNS = 200  # of one program on one script, where no program can be asked one thing after another
# Of a program that is only run live.
NOT_RUN: Report = {"status": 0, "seconds": 0.0, "wall": 0.0, "end": ""}, b"", b""
Finding = tuple[int, list[Any] | None]  # an outcome, and the failure


class Apart:
    """Judges scripts for a referee (`judge.Referee`), whose runner and limits it uses."""

    def __init__(self, referee: Any) -> None:
        self.referee, self.options = referee, referee.options
        # Runs a program step by step.
        self._live = getattr(referee.runner, "live", None) if os.name == "posix" else None

    def live(self, script: Script) -> bool:
        """True if programs are asked by a script one thing after another from the start."""
        if script.plan is None:
            with Deadline(self.options["check_seconds"]):
                script.prepare()
        return script.live and self._live is not None

    def request(self, script: Script) -> tuple[str, Any]:
        """What programs are asked by a script in one go, as a case of a request."""
        return "", [] if self.live(script) else [step.packed for step in script.plan or []]

    def judge(self, source: str, script: Script, report: Report) -> tuple[Finding, Report, list[Any]]:
        """The script against what its plan came to; where that was not all that it asks, against a live program.

        Returns:
            the result, the report on the run that it is of, the lines of each run besides (`trace.Traced`).
        """
        judgement = self._judge(source, script, report)
        _, detail = judgement[0]
        if not script.imports or detail is None or detail[0] != NameError.__name__ or self._used_up():
            return judgement
        finding, report, lines = self._judge_anew(f"{source}\n{script.imports}\n", script)
        return finding, report, [*judgement[2], *(each and each.within(source) for each in lines)]

    def _judge_anew(self, source: str, script: Script) -> tuple[Finding, Report, list[Any]]:
        """A program that lacked a name, with what the test imports: in one file with the test it would have that."""
        if self._live is not None:
            return self._step_by_step(source, script)
        missed = Conclusion(End.MISSED, script.plan or [], 0, False)
        return self._rerun(source, script, missed, NOT_RUN)

    def _judge(self, source: str, script: Script, report: Report) -> tuple[Finding, Report, list[Any]]:
        if not self.live(script):
            conclusion = self._recorded(script, script.plan or [], report)
            if isinstance(conclusion, list):
                return (RUNTIME_ERROR, conclusion), report, []
            if conclusion.end is not End.MISSED:
                return self._finding(script, conclusion, report, len(script.plan or [])), report, []
            if self._live is None:
                return self._rerun(source, script, conclusion, report)
        too_long = self._used_up()
        if too_long is not None:
            return (RUNTIME_ERROR, too_long), report, []
        return self._step_by_step(source, script)

    # ------------------------------------------------------------------------------------------------------ in one go

    def _recorded(self, script: Script, plan: list[Operation], report: Report) -> Conclusion | list[Any]:
        """How the script ends with a program's results, or the failure of one that left none."""
        record, stdout, data = report
        own = plan is script.plan
        conclusion = script.remembered(data) if own else None
        if conclusion is not None:
            return conclusion
        deadline = self.referee.deadline
        with deadline:
            lines = results_of(data, len(plan) + 1)
        if not lines or "ok" not in lines[0]:
            death = self.referee.death(record, stdout, data) or unfinished(lines, 2, record)
            return death or failure("Exited", "left no result")
        replay = Recorded(script, plan, lines[1:])
        with deadline:
            conclusion = replay.run()
        if own:
            script.remember(data, conclusion)
        return conclusion

    def _rerun(self, source: str, script: Script, conclusion: Any, report: Report) -> tuple[Finding, Report, list[Any]]:
        """The script against run after run, each of a longer plan: where no program can be asked one thing after another."""
        plan: list[Operation] = script.plan or []
        executed: list[Any] = []
        for _ in range(MOST_RUNS):
            if isinstance(conclusion, list) or conclusion.end is not End.MISSED or self._used_up():
                break
            results = results_of(report[2], conclusion.steps + 1)[1:]
            with self.referee.deadline:
                plan = script.guess([*plan[: conclusion.steps], *conclusion.detail], results)
            case = "", [step.packed for step in plan]
            _, (report,), lines = self.referee.runner(source, marshal.dumps([case]), 1, True, 1)
            executed.append(lines)
            self.referee.budget.add(report)
            conclusion = self._recorded(script, plan, report)
        if isinstance(conclusion, list):
            return (RUNTIME_ERROR, conclusion), report, executed
        return self._finding(script, conclusion, report, len(plan)), report, executed

    # -------------------------------------------------------------------------------------------------- step by step

    def _step_by_step(self, source: str, script: Script) -> tuple[Finding, Report, list[Any]]:
        error, report, lines, flooded, conclusion = self._conversation(source, script)
        if report is not None and is_late(report[0], self.options["case_seconds"]):
            self.referee.bench.calm()  # what ran beside it may have been why
            error, report, lines, flooded, conclusion = self._conversation(source, script)
        if report is None:
            raise NoCode(error)
        executed = [lines]
        if flooded:
            cap = self.options["output_bytes"]
            return (RUNTIME_ERROR, failure("OutputLimit", f"returned more than {cap} bytes")), report, executed
        self.referee.budget.add(report)
        if isinstance(conclusion, dict):
            death = self.referee.death(*report) or unfinished([conclusion] if conclusion else [], 2, report[0])
            return (RUNTIME_ERROR, death or failure("Exited", "left no result")), report, executed
        return self._finding(script, conclusion, report, 0), report, executed

    def _conversation(self, source: str, script: Script) -> tuple[Any, Report | None, Any, bool, Any]:
        """The script and a live program: why it has no code, its report, lines that ran, whether it said too much, how it ended.

        That is a conclusion, or what became of the program if it was not ready to be asked.
        """
        replies: list[Any] = []

        def converse(talk: Any) -> bool:
            if "ok" not in talk.first:
                replies.append(talk.first)
                return False
            replay = Live(script, talk, self.referee.deadline.left)
            with self.referee.deadline:
                replies.append(replay.run())
            return replies[0].end is End.PASSED

        assert self._live is not None
        syntax, report, lines, flooded = self._live(source, converse)
        if report is not None and report[0]["end"] == "done":  # it was ended since nothing more was wanted of it
            report[0].update(end="", status=0)
        return syntax, report, lines, flooded, replies[0] if replies else {}

    def _used_up(self) -> list[Any] | None:
        """Why the program may not be run again, if it may not."""
        which = self.referee.budget.over
        return failure("Timeout", f"over the limit of {which} time of all cases", None, which) if which else None

    # ------------------------------------------------------------------------------------------------------- results

    def _finding(self, script: Script, conclusion: Conclusion, report: Report, planned: int) -> Finding:
        """The result that a conclusion is. Raises BadProblem where the script cannot be judged apart."""
        end, detail, steps, used, script.paths, script.calculations = conclusion
        if end is End.PASSED:
            if not used:
                raise NothingUsed("its test comes to an end and has used nothing of the program")
            death = self.referee.death(*report) if steps >= planned else None
            return (PASSED, None) if death is None else (RUNTIME_ERROR, death)
        if end is End.FAILED:
            return WRONG_ANSWER, failure("WrongAnswer", detail)
        if end is End.RAISED:
            return RUNTIME_ERROR, detail
        if end is End.MISSING:
            return RUNTIME_ERROR, failure("MissingEntryPoint", f"the program defines no {detail!r}")
        if end is End.UNREPRESENTABLE:
            return WRONG_ANSWER, failure("Unrepresentable", str(detail))
        if end is End.DIED:
            return RUNTIME_ERROR, self._death(report, steps)
        if end is End.MISSED:
            return RUNTIME_ERROR, failure("Timeout", "the test and the program never came to an end", None, "check")
        return self._not_crossed(script, detail)

    def _death(self, report: Report, steps: int) -> list[Any]:
        record, stdout, data = report
        death = self.referee.death(record, stdout, data) or unfinished(results_of(data, steps), steps + 1, record)
        return death or failure("Exited", "ended before the test did")

    def _not_crossed(self, script: Script, why: str) -> Finding:
        """Something cannot be handed to the program: of the program's own making, or of the script's."""
        if script.proven:
            return WRONG_ANSWER, failure(
                "Unrepresentable", f"its answers led the test to hand over what cannot cross: {why}"
            )
        with self.referee.deadline:
            crosses = script.crosses()
        if crosses:
            return WRONG_ANSWER, failure("Unrepresentable", f"what the test makes of its answers cannot cross: {why}")
        raise CannotCross(f"its test hands something to the program that cannot cross to it, since {why}")
