"""Tests that run in one process with the program, and the canaries that guard them.

A run is the test as it is, or a falsified copy of it (`canaries.py`). Each has a process of its own, in random order, and
nothing in the process tells which it is. A program that passes a copy has fooled the comparison, not answered it. Whatever
a program does to its process, it can only forge results, and forged results pass the copies too.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterable
from typing import Any

from rltf_env.sandbox.referee.caged import Run
from rltf_env.sandbox.referee.canaries import Where
from rltf_env.sandbox.referee.copies import Copy, compiled
from rltf_env.sandbox.referee.evidence import Evidence
from rltf_env.sandbox.referee.failures import RUNTIME_ERROR, BadProblem, failure
from rltf_env.sandbox.referee.guards import Guards
from rltf_env.sandbox.referee.outcomes import Outcome, result_of
from rltf_env.sandbox.referee.suite import Suite
from rltf_env.sandbox.referee.tally import base

CONFIRMED = 3  # times, and tests, that a program which passed a copy is asked about again


class Together:
    """A script case that runs together with the program.

    Args:
        suite: the script, read.
        entry_point: of the problem, may be empty.
        solutions: reference programs, which show which copies of the test a right program fails.
        options: of the judge.
    """

    def __init__(self, suite: Suite, entry_point: str, solutions: list[str], options: dict[str, Any]) -> None:
        if suite.runner == "pytest" and "pytest" not in options["packages"]:
            raise BadProblem(
                'its tests need pytest, which is not among the judge\'s packages: packages=("pytest", ...)'
            )
        self.suite, self.options = suite, options
        self.evidence = Evidence(suite, entry_point, solutions, options)
        self.guards: Guards | None = None  # once the test is proven
        self._secret = random.SystemRandom()

    def check_faults(self, run: Run) -> None:
        """Raises BadProblem if the test comes to the same whatever the program is."""
        self.evidence.check_faults(run)

    def passes(self, run: Run) -> bool:
        """True if a reference passes all tests."""
        return any(outcome.passed_all() for outcome in self.evidence.references(run))

    def prove(self, run: Run) -> None:
        """Finds out, once, what a reference does: which tests there are, and which copies it fails. Without one, what is sound.

        Raises BadProblem if no program has a part in the test, or the test fails whatever the program is.
        """
        if self.guards is None:
            self.evidence.check_faults(run)
            reference = self.evidence.reference(run)
            guards = Guards(self.evidence)
            guards.draw(run, reference)
            self.guards = guards

    @property
    def unguarded(self) -> set[str]:
        """The tests of which no copy can be falsified."""
        return self.guards.unguarded if self.guards else set()

    @property
    def width(self) -> int:
        """How many results a program gets."""
        return self.evidence.width

    # ------------------------------------------------------------------------------------------------- one program

    def judge(self, source: str, run: Run) -> tuple[Any, list[list[Any]], list[Any]]:
        """Why a program has no code, or the results of its tests; the lines of each run."""
        assert self.guards is not None, "prove() comes first"
        real: list[Outcome] = []
        lines: list[Any] = []
        lenient: set[str] = set()
        for copies in self.guards.rounds():
            order: list[Copy | None] = [None, *copies]
            self._secret.shuffle(order)  # whatever a program does: else it would know the test by its place
            outcomes: list[Outcome] = []
            for copy in order:
                late = {name for outcome in real for name in outcome.late()}
                syntax, (outcome,), executed = self.evidence.outcomes(
                    run, source, [copy.codes if copy else self.evidence.real], late
                )
                if syntax is not None:
                    return syntax, [], lines
                lines += executed
                self._check_names(outcome.missing)
                outcome = outcome.as_far_as_it_came()
                outcomes.append(outcome)
                if copy is None:
                    real.append(outcome)
                if real and not real[-1].passed():  # nothing is left that a copy could refute
                    return None, self._results(real), lines
            for outcome, copy in zip(outcomes, order, strict=True):
                if copy is None:
                    continue
                passed = copy.tests & outcome.passed() & real[-1].passed() - lenient
                fooled = {name for name in passed if self._comes_to(run, source, copy, name)}
                own = {name for name in fooled if copy.compares_own(name)}
                times = {name: self._passes_again(run, source, copy, name) for name in sorted(own)[:CONFIRMED]}
                now_and_then = any(0 < each < CONFIRMED for each in times.values())
                if now_and_then or self._is_fooled(run, source, copy, fooled - own):
                    return None, self._fooled(real[-1], fooled), lines
                lenient |= own if all(times.values()) else {name for name, each in times.items() if each}
            if not copies:
                break
        return None, self._results(real, lenient), lines

    def _is_fooled(self, run: Run, source: str, copy: Copy, names: set[str]) -> bool:
        """True if a program that passed tests of a copy passes one where nothing else is false.

        A test that runs after others may meet what these left behind, and by chance just what was made of its expectation.
        With the others as they are, it meets what it met in the test as it is, and fails. Programs that only cheat now and
        then are asked more than once.
        """
        for name in sorted(names)[:CONFIRMED]:
            falsehood = copy.falsehoods.get(base(name))
            if falsehood is None or len(copy.falsehoods) == 1 or self._passes_again(run, source, copy, name):
                return True
        return False

    def _comes_to(self, run: Run, source: str, copy: Copy, name: str) -> bool:
        """True unless a program passes a test of a copy since the test never comes to what is false there.

        A copy that demands to come there is no more than the test to a reference. What is sound in that function, no such program
        passes: it may have replaced what looks at how much it answered.
        """
        assert self.guards is not None
        falsehood = copy.falsehoods.get(base(name))
        if falsehood is None or falsehood.target.sound or not falsehood.target.places:
            return True
        demanding = [self.guards.canaries.demanding(falsehood.target, some, self._secret) for some in ([], [falsehood])]
        choices = [
            self.guards.canaries.choose(self._secret, Where.VALUES, sound=True, among={base(name)})
            for _ in range(CONFIRMED)
        ]
        try:
            test, *copies = [compiled(trees) for trees in (demanding[0], *demanding[1:] * CONFIRMED)]
            copies += [self.guards.falsified(choice) for choice in choices if choice]
        except SyntaxError:
            return True
        outcomes = self.evidence.run(run, source, copies)
        if not all(outcome.lacks_name(name) for outcome in outcomes[:CONFIRMED]):
            return True
        shown = any(name in outcome.passed() for outcome in self.evidence.references(run, test))
        return not shown or any(name in outcome.passed() for outcome in outcomes[CONFIRMED:])

    def _passes_again(self, run: Run, source: str, copy: Copy, name: str) -> int:
        """How often of `CONFIRMED` times a program passes a test where nothing else is false."""
        assert self.guards is not None
        again = [self.guards.falsified({name: copy.falsehoods[base(name)]})] * CONFIRMED
        return sum(name in outcome.as_far_as_it_came().passed() for outcome in self.evidence.run(run, source, again))

    def _check_names(self, missing: list[str]) -> None:
        """Raises BadProblem for a name that neither test nor program defines, though the program has what was asked for.

        Where no reference shows what a program has to define, only for what looks like a module that the test did not import.
        """
        unasked = [name for name in missing if name not in self.evidence.defined and name != self.evidence.entry_point]
        if not (self.evidence.entry_point and self.evidence.solutions):
            unasked = [name for name in unasked if name in sys.stdlib_module_names]
        if unasked and self.evidence.entry_point not in missing and not self.suite.modules:
            raise BadProblem(f"its test uses {unasked[0]!r}, which neither the test nor the program defines")

    def _fooled(self, outcome: Outcome, names: Iterable[str]) -> list[list[Any]]:
        bad = _fooled_by(min(names))
        return [self._row(RUNTIME_ERROR, bad, outcome) for _ in self.evidence.counted(outcome)]

    def _results(self, real: list[Outcome], lenient: Iterable[str] = ()) -> list[list[Any]]:
        """A result for each test: of the first run in which it did not pass.

        `lenient`: tests that a program passes since objects of its own are equal to more than they should be.
        """
        results = []
        for name in dict.fromkeys(name for outcome in real for name in self.evidence.counted(outcome)):
            worst = next((outcome for outcome in real if name not in outcome.passed()), real[0])
            result = (RUNTIME_ERROR, _fooled_by(name)) if name in lenient else result_of(worst, name)
            results.append(self._row(*result, real[0]))
        return results

    def _row(self, outcome: int, failed: Any, run: Outcome) -> list[Any]:
        record, stdout, _ = run.report
        text = stdout[: self.options["kept_output"]].decode("utf-8", "backslashreplace")
        return [outcome, failed, record["seconds"] / max(len(self.evidence.counted(run)), 1), text]


def _fooled_by(name: str) -> list[Any]:
    text = f"passed a copy of the test {name!r} in which an expectation is false" if name else "passed a falsified test"
    return failure("FooledTest", text)
