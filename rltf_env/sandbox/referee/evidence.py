"""What a reference, and programs that stand for any, show of a test that runs together with the program: asked once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from rltf_env.sandbox.referee import caged, stand_ins
from rltf_env.sandbox.referee.caged import Run
from rltf_env.sandbox.referee.copies import compiled
from rltf_env.sandbox.referee.dependence import ends_itself, may_depend
from rltf_env.sandbox.referee.failures import BadProblem
from rltf_env.sandbox.referee.imports import names_defined, statements_of
from rltf_env.sandbox.referee.outcomes import Outcome, fault_of, is_fault, is_impossible
from rltf_env.sandbox.referee.stand_ins import BOMB, NAMELESS, NULL, STAND_IN_SECONDS
from rltf_env.sandbox.referee.suite import Suite
from rltf_env.sandbox.referee.tally import Tally, base, runs_of, with_failures


class Evidence:
    """What is known of a test before a program is judged.

    Args:
        suite: the script, read.
        entry_point: of the problem, may be empty.
        solutions: reference programs, which show which tests there are, and which copies of them a right program fails.
        options: of the judge.
    """

    def __init__(self, suite: Suite, entry_point: str, solutions: list[str], options: dict[str, Any]) -> None:
        self.suite, self.options, self.entry_point = suite, options, entry_point.partition(".")[0]
        self.solutions = solutions
        self.defined = names_defined(statements_of(solutions))
        self.real = compiled(suite.trees)  # the test as it is
        self.names: list[str] | None = None  # of the tests, once a reference has run them
        self.tally = Tally([""], [])  # of the tests, where none has
        self.shown: set[str] = set()  # tests that a reference passes, and functions
        self.broken: set[str] = set()  # tests that end with an error of their own beside a stand-in
        self.fooled: dict[str, set[str]] = {}  # by stand-in that is equal to everything: test functions that it passes
        self.reversed: set[str] = set()  # tests that are passed by failing
        self.stand_in = NULL  # for any program, in this test

    def check_faults(self, run: Run) -> None:
        """Raises BadProblem if the test comes to the same whatever the program is."""
        own = sorted(name for name in self.defined if not name.startswith("__"))  # what `__all__` is, Python asks
        names = [*self.suite.bare, *self.suite.imported, self.entry_point, *own]
        assignments = stand_ins.assignments(names, self.defined, has_reference=bool(self.solutions))
        self.stand_in = NULL + assignments
        (outcome,) = self.run(run, self.stand_in, [self.real], STAND_IN_SECONDS)
        self.broken = {base(name) for name in outcome.broken(self.suite.raised)}
        self.fooled = {self.stand_in: {base(name) for name in outcome.passed()}}
        self.reversed = outcome.reversed()
        rows = list(outcome.rows.values())
        nameless = all(NAMELESS in name.lower() for name in outcome.rows)
        if nameless and outcome.error is None and not (self.suite.visible or self.solutions):
            raise BadProblem(
                "its tests are made of what a program has, and no reference solution shows which there are"
            )
        self._refuse_impossible(run, outcome)
        if outcome.ended and ends_itself(self.suite) and all(each.ended for each in self.references(run)):
            raise BadProblem("its test ends its own process, whatever the program is")
        faults = [row for row in rows if is_fault(row) and not self._may_depend(row)]
        if faults and len(faults) == len(rows) and self.reference(run) is None:
            raise BadProblem(f"its test fails whatever the program is: {fault_of(faults[0])}")
        self.tally = Tally.of(outcome.rows, self.suite, self.suite.program_names | ({self.entry_point} - {""}))
        (unused,) = self.run(run, BOMB + assignments, [self.real], STAND_IN_SECONDS)
        if outcome.passed_all() and unused.passed_all():  # one of them alone: a test that expects any error, or none
            raise BadProblem("its test passes whatever the program is: nothing of the program is used in it")

    def _may_depend(self, row: dict[str, Any]) -> bool:
        """True if the text leaves it open whose fault a test's error is. Of an end, a reference that fails says no more."""
        is_end = (row.get("raised") or {}).get("kind") == "SystemExit"
        return (is_end or not self.solutions) and may_depend(row, self.suite)

    def reference(self, run: Run) -> str | None:
        """The reference that passes the most tests, if any passes one; its tests are then those that every program has to pass."""
        best = None
        for source in self.solutions:
            (outcome,) = self.run(run, source, [self.real])
            self._refuse_impossible(run, outcome)
            self.reversed |= outcome.reversed()
            names, passed = outcome.counted(), outcome.passed()
            shown = {*passed, *map(base, passed)} - self.reversed
            if names and passed and (best is None or len(shown) > len(self.shown)):
                best, self.names, self.shown = source, names, shown
            if best and outcome.fails_nothing():
                break
        return best

    def ask_typed(self, run: Run, reference: str) -> None:
        """Asks a stand-in that answers with values of the reference's types about the tests that the other one fails."""
        rest = {base(name) for name in self.names or ()} & self.shown - self.fooled[self.stand_in]
        names = self.defined.intersection([*self.suite.bare, *self.suite.imported, self.entry_point])
        if rest and names:
            source = stand_ins.typed(reference, sorted(names))
            (outcome,) = self.run(run, source, [self.real], STAND_IN_SECONDS)
            self.fooled[source] = {base(name) for name in outcome.passed()} & rest

    def _refuse_impossible(self, run: Run, outcome: Outcome) -> None:
        """Raises BadProblem if a test wants what is not here, and no reference passes it for all that."""
        impossible = {name: row for name, row in outcome.rows.items() if is_impossible(row, self.suite.absent)}
        passed = {name for each in (self.references(run) if impossible else ()) for name in each.passed()}
        if refused := [row for name, row in impossible.items() if name not in passed]:
            raise BadProblem(
                "its tests want what is not here (no other package, no plugin of pytest's, no other process, no connection), and "
                f"no reference solution brings it: {refused[0].get('id')!r} ends with {fault_of(refused[0])}"
            )

    def heirs(self, scope: str) -> set[str]:
        """The test functions that run what the text has under this name."""
        return runs_of(scope, self.names or (), self.suite)

    @property
    def width(self) -> int:
        """How many results a program gets."""
        return self.tally.width if self.names is None else len(self.names)

    def counted(self, outcome: Outcome) -> list[str]:
        """The tests that count for a program that came to this."""
        return self.tally.counted(outcome.rows) if self.names is None else with_failures(self.names, outcome.rows)

    def references(self, run: Run, codes: bytes | None = None) -> Iterator[Outcome]:
        """What becomes of the test, or of a copy of it, with each reference solution."""
        return (outcome for source in self.solutions for outcome in self.run(run, source, [codes or self.real]))

    def run(self, run: Run, source: str, copies: list[bytes], seconds: float | None = None) -> list[Outcome]:
        """What became of copies that ran with a program."""
        return self.outcomes(run, source, copies, seconds=seconds)[1]

    def outcomes(
        self, run: Run, source: str, copies: list[bytes], skip: Iterable[str] = (), seconds: float | None = None
    ) -> tuple[Any, list[Outcome], list[Any]]:
        """The same with why the program has no code, and the lines that ran, as `caged.outcomes` says."""
        tests = max(self.suite.runs, len(self.names or ()), self.tally.width)
        return caged.outcomes(run, source, copies, self.suite, self.options, tests=tests, skip=skip, seconds=seconds)
