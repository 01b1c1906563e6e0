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

from rltf_env.sandbox.referee import caged, stand_ins
from rltf_env.sandbox.referee.caged import Run
from rltf_env.sandbox.referee.canaries import Canaries, Falsehood, Where
from rltf_env.sandbox.referee.copies import Copy, compiled, worth
from rltf_env.sandbox.referee.dependence import may_depend
from rltf_env.sandbox.referee.failures import RUNTIME_ERROR, BadProblem, failure
from rltf_env.sandbox.referee.imports import names_defined, statements_of
from rltf_env.sandbox.referee.outcomes import (
    SCRIPT,
    Outcome,
    fault_of,
    is_fault,
    is_impossible,
    result_of,
)
from rltf_env.sandbox.referee.stand_ins import BOMB, NAMELESS, NULL, STAND_IN_SECONDS
from rltf_env.sandbox.referee.suite import Suite
from rltf_env.sandbox.referee.tally import Tally, base, runs_of, with_failures

PAIRS = (Where.VALUES, Where.VALUES, Where.ANY)  # of copies that are kept; each is in a round, beside the test as it is
EXTRA = 2  # copies of each other kind, for tests that no pair guards; a round has one
CONFIRMED = 3  # times, and tests, that a program which passed a copy is asked about again
ROUNDS = 3  # a program that passes one is tried again: whoever guesses which run counts has to guess each time
TRIES = 4  # of something else to falsify, where a reference notices nothing


class Together:
    """A script case that runs together with the program.

    Args:
        suite: the script, read.
        entry_point: of the problem, may be empty.
        solutions: reference programs, which show which copies of the test a right program fails.
        options: of the judge.
    """

    def __init__(self, suite: Suite, entry_point: str, solutions: list[str], options: dict[str, Any]) -> None:
        self.suite, self.options, self.entry_point = suite, options, entry_point.partition(".")[0]
        if suite.runner == "pytest" and "pytest" not in options["packages"]:
            raise BadProblem(
                'its tests need pytest, which is not among the judge\'s packages: packages=("pytest", ...)'
            )
        self.defined = names_defined(statements_of(solutions))
        self.names: list[str] | None = None  # of the tests, once a reference has run them
        self.solved: set[str] = set()  # those that it passes
        self.tally = Tally([""], [])  # of the tests, where none has
        self.pairs: list[list[Copy]] = []  # together the two of a pair guard every test that they can
        self.extra: list[Copy] = []  # guard tests that no pair does
        self.canaries: Canaries | None = None
        self.unguarded: set[str] = set()  # tests of which no copy can be falsified
        self.proven = False
        self._stand_in = NULL  # for any program, in this test
        self._broken: set[str] = set()  # tests that end with an error of their own beside it
        self._reversed: set[str] = set()  # tests that are passed by failing
        self._shown: set[str] = set()  # other tests that a reference passes, and functions
        self._secret = random.SystemRandom()
        self._solutions = solutions
        self._real = compiled(suite.trees)

    def passes(self, run: Run) -> bool:
        """True if a reference passes all tests."""
        return any(o.passed_all() for s in self._solutions for o in self._run(run, s, [self._real]))

    def prove(self, run: Run) -> None:
        """Finds out, once, what a reference does: which tests there are, and which copies it fails. Without one, what is sound.

        Raises BadProblem if no program has a part in the test, or the test fails whatever the program is.
        """
        if self.proven:
            return
        self.proven = True
        self.check_faults(run)
        reference = self._reference(run)
        canaries = self.canaries = Canaries(self.suite, {self.entry_point} - {""})
        sound = reference is None
        canaries.keep_sound(scope for scope in canaries.targets if not self._heirs(scope) & self._shown)
        guarded = canaries.falsifiable(sound=sound)
        if reference is None:
            choices = [canaries.split(self._secret, where, sound=True) for where in PAIRS] if guarded else []
            self.pairs = [[self._sound(self._fitting(run, part)) for part in pair if part] for pair in choices]
            tests = {base(name) for name in self.tally.names} | set(self.tally.loose)
            self.unguarded = tests - {name for pair in self.pairs for copy in pair for name in copy.tests}
            return
        pairs = [self._pair(run, reference, where) for where in PAIRS]
        self.pairs = [pair for pair in pairs if pair]
        self._note_unguarded()
        self.extra += self._more(run, reference, Where.DIRECTIONS, self.unguarded)
        self._note_unguarded()
        self.extra += self._more(run, reference, Where.HELPERS, self.unguarded | self._missed(run))
        self._note_unguarded()

    def _rounds(self) -> list[list[Copy]]:
        """The copies of each round. The pair of the first falsifies values, if any does.

        Who says yes to all that is asked fails where the question is negated; who reads the answers in the test fails there,
        too, and is found out where a value is false.
        """
        pairs = self._secret.sample(self.pairs, len(self.pairs))
        pairs.sort(key=lambda pair: not any(copy.falsifies_value for copy in pair))
        extra = [[copy] for copy in self._secret.sample(self.extra, len(self.extra))]
        extra.sort(key=lambda copies: not copies[0].falsifies_value)
        return [
            [copy for some in (pairs, extra) if some for copy in some[number % len(some)]] for number in range(ROUNDS)
        ]

    def _fitting(self, run: Run, falsehoods: dict[str, Falsehood]) -> dict[str, Falsehood]:
        """Others, where a change does not fit its value: such a copy ends before anything is compared, whatever the program is."""
        assert self.canaries is not None
        for _ in range(TRIES):
            (outcome,) = self._run(run, self._stand_in, [self._falsified(falsehoods)], STAND_IN_SECONDS)
            broken = {base(name) for name in outcome.broken(self.suite.raised)} - self._broken
            scopes = {s for s in falsehoods if runs_of(s, self.tally.names, self.suite) & broken}
            if not scopes:
                break
            falsehoods = {**falsehoods, **self.canaries.choose(self._secret, Where.VALUES, sound=True, among=scopes)}
        return falsehoods

    def _sound(self, falsehoods: dict[str, Falsehood]) -> Copy:
        """A copy that no right program passes by its text alone."""
        tests = {heir for scope in falsehoods for heir in runs_of(scope, self.tally.names, self.suite)}
        return Copy(self._falsified(falsehoods), tests - self._reversed, falsehoods)

    def _falsified(self, falsehoods: dict[str, Falsehood]) -> bytes:
        assert self.canaries is not None
        return compiled(self.canaries.falsified(falsehoods.values()))

    def _pair(self, run: Run, reference: str, where: Where) -> list[Copy]:
        """Two copies. Where a reference does not notice what is false, something else is tried."""
        assert self.canaries is not None
        parts = self.canaries.split(self._secret, where)
        copies: list[Copy] = []
        for _ in range(TRIES):
            copies = self._failed(run, reference, parts)
            guarded = {name for copy in copies for name in copy.noticed}
            failed = {base(name) for copy in copies for name in copy.tests}
            dull = [
                {s for s in part if self._heirs(s) & self._shown and not self._heirs(s) & guarded} for part in parts
            ]
            if not any(dull):
                break
            useless = {scope for part in dull for scope in part if not self._heirs(scope) & failed}
            pairs = zip(parts, dull, strict=True)
            parts = [self.canaries.again(self._secret, where, part, names, useless) for part, names in pairs]
        return copies

    def _missed(self, run: Run) -> set[str]:
        """Tests that a stand-in which is equal to everything passes, and no copy of them: a helper compares, they count."""
        assert self.canaries is not None
        copies = [copy for pair in self.pairs for copy in pair]
        if not any(site.value for sites in self.canaries.helpers for site in sites):
            return set()
        test, *others = self._run(run, self._stand_in, [self._real, *(c.codes for c in copies)], STAND_IN_SECONDS)
        found = {name for copy, other in zip(copies, others, strict=True) for name in copy.tests & other.passed()}
        return set(map(base, test.passed())) - set(map(base, found))

    def _more(self, run: Run, reference: str, where: Where, unguarded: set[str]) -> list[Copy]:
        """Two copies, or fewer, for tests that no pair guards: if a reference notices a value that is false, one has such a value.

        What is false may be of another type than what is compared, and the test ends before it compares anything. Such a copy
        tells a right program from one that is equal to everything no better than the test does: it is the last resort.
        """
        assert self.canaries is not None
        wanted = unguarded & self._shown
        scopes = self.canaries.falsifiable(where) if where is Where.DIRECTIONS else wanted
        if not any(self._heirs(scope) & wanted for scope in scopes):
            return []
        copies: list[Copy] = []
        noticed: list[Copy] = []
        top = max((worth(site) for sites in self.canaries.helpers for site in sites), default=0)
        for number in range(2 * TRIES):
            choices = [self.canaries.choose(self._secret, where, most=1 if not number else 0.5) for _ in range(EXTRA)]
            found = self._failed(run, reference, [choice for choice in choices if choice])
            copies += [copy for copy in found if {base(name) for name in copy.tests} & unguarded]
            noticed = [copy for copy in copies if copy.noticed & unguarded]
            has_value = where is not Where.HELPERS or any(copy.worth >= (top, bool(top)) for copy in noticed)
            if (not number and not any(choices)) or (len(noticed) >= EXTRA and has_value):
                break
        best = sorted(noticed or copies, key=lambda copy: copy.worth, reverse=True)
        return [best[0], best[-1]] if len(best) >= EXTRA else best

    def _heirs(self, scope: str) -> set[str]:
        """The test functions that run what the text has under this name."""
        return runs_of(scope, self.names or (), self.suite)

    def _failed(self, run: Run, reference: str, choices: list[dict[str, Falsehood]]) -> list[Copy]:
        """Of these copies those in which a reference fails tests that it passes, or no right program passes one of the others."""
        shown = self._shown.intersection(self.names or ())
        codes = [self._falsified(falsehoods) for falsehoods in choices]
        copies = []
        for copy, falsehoods, outcome in zip(codes, choices, self._run(run, reference, codes), strict=True):
            tests = outcome.failed(shown) | self._sure(falsehoods) if outcome.rows else set()
            tests = {name for name in tests if base(name) not in self._elsewhere(falsehoods)}
            if tests:
                broken = outcome.broken(self.suite.raised)
                noticed = {base(name) for name in tests - broken} if SCRIPT not in broken else set()
                copies.append(Copy(copy, tests, falsehoods, noticed))
        return copies

    def _elsewhere(self, falsehoods: dict[str, Falsehood]) -> set[str]:
        """Test functions that another copy guards: what is false in others may be an input of theirs, of which nobody knows what
        wrong programs make."""
        assert self.canaries is not None
        if any(scope not in self.canaries.targets for scope in falsehoods):  # a helper, which any test may call
            return set()
        here = {heir for scope in falsehoods for heir in self._heirs(scope)}
        return {h for scope in self.canaries.falsifiable() for h in self._heirs(scope)} - here

    def _sure(self, falsehoods: dict[str, Falsehood]) -> set[str]:
        """Test functions that no reference passes, and that no right program passes in a copy by its text alone."""
        heirs = {h for scope, each in falsehoods.items() if each.target.sound for h in self._heirs(scope)}
        return heirs & {base(name) for name in self.names or ()} - self._shown - self._reversed

    def _note_unguarded(self) -> None:
        copies = [*self.extra, *(copy for pair in self.pairs for copy in pair)]
        guarded = {base(name) for copy in copies for name in copy.tests}
        self.unguarded = {base(name) for name in self.names or ()} - guarded

    def _reference(self, run: Run) -> str | None:
        """The reference that passes the most tests, if any passes one; its tests are then those that every program has to pass."""
        best = None
        for source in self._solutions:
            (outcome,) = self._run(run, source, [self._real])
            self._refuse_impossible(run, outcome)
            self._reversed |= outcome.reversed()
            names, passed = outcome.counted(), outcome.passed()
            shown = {*passed, *map(base, passed)} - self._reversed
            if names and passed and (best is None or len(shown) > len(self._shown)):
                best, self.names, self._shown = source, names, shown
            if best and outcome.fails_nothing():
                break
        return best

    def _refuse_impossible(self, run: Run, outcome: Outcome) -> None:
        """Raises BadProblem if a test wants what is not here, and no reference passes it for all that."""
        impossible = {name: row for name, row in outcome.rows.items() if is_impossible(row, self.suite.absent)}
        passed = {
            name for s in self._solutions if impossible for o in self._run(run, s, [self._real]) for name in o.passed()
        }
        if refused := [row for name, row in impossible.items() if name not in passed]:
            raise BadProblem(
                "its tests want what is not here (no other package, no plugin of pytest's, no other process, no connection), and "
                f"no reference solution brings it: {refused[0].get('id')!r} ends with {fault_of(refused[0])}"
            )

    def check_faults(self, run: Run) -> None:
        """Raises BadProblem if the test comes to the same whatever the program is."""
        own = sorted(name for name in self.defined if not name.startswith("__"))  # what `__all__` is, Python asks
        names = [*self.suite.bare, *self.suite.imported, self.entry_point, *own]
        assignments = stand_ins.assignments(names, self.defined, has_reference=bool(self._solutions))
        self._stand_in = NULL + assignments
        (outcome,) = self._run(run, self._stand_in, [self._real], STAND_IN_SECONDS)
        self._broken = {base(name) for name in outcome.broken(self.suite.raised)}
        self._reversed = outcome.reversed()
        rows = list(outcome.rows.values())
        nameless = all(NAMELESS in name.lower() for name in outcome.rows)
        if nameless and outcome.error is None and not (self.suite.visible or self._solutions):
            raise BadProblem(
                "its tests are made of what a program has, and no reference solution shows which there are"
            )
        self._refuse_impossible(run, outcome)
        faults = [row for row in rows if is_fault(row) and (self._solutions or not may_depend(row, self.suite))]
        if faults and len(faults) == len(rows) and self._reference(run) is None:
            raise BadProblem(f"its test fails whatever the program is: {fault_of(faults[0])}")
        self.tally = Tally.of(outcome.rows, self.suite, self.suite.program_names | ({self.entry_point} - {""}))
        (unused,) = self._run(run, BOMB + assignments, [self._real], STAND_IN_SECONDS)
        if outcome.passed_all() and unused.passed_all():  # one of them alone: a test that expects any error, or none
            raise BadProblem("its test passes whatever the program is: nothing of the program is used in it")

    # ------------------------------------------------------------------------------------------------- one program

    def judge(self, source: str, run: Run) -> tuple[Any, list[list[Any]], list[Any]]:
        """Why a program has no code, or the results of its tests; the lines of each run."""
        real: list[Outcome] = []
        lines: list[Any] = []
        lenient: set[str] = set()
        for copies in self._rounds():
            order: list[Copy | None] = [None, *copies]
            self._secret.shuffle(order)  # whatever a program does: else it would know the test by its place
            outcomes: list[Outcome] = []
            for copy in order:
                late = {name for outcome in real for name in outcome.late()}
                syntax, (outcome,), executed = self._outcomes(run, source, [copy.codes if copy else self._real], late)
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
                passed = copy.tests & outcome.passed() & real[-1].passed() - lenient if copy else set()
                fooled = {name for name in passed if copy and self._comes_to(run, source, copy, name)}
                own = {name for name in fooled if copy and copy.compares_own(name)}
                times = {name: self._passes_again(run, source, copy, name) for name in sorted(own)[:CONFIRMED]}
                now_and_then = any(0 < each < CONFIRMED for each in times.values())
                if copy and (now_and_then or self._is_fooled(run, source, copy, fooled - own)):
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
        assert self.canaries is not None
        falsehood = copy.falsehoods.get(base(name))
        if falsehood is None or falsehood.target.sound or not falsehood.target.places:
            return True
        demanding = [self.canaries.demanding(falsehood.target, some, self._secret) for some in ([], [falsehood])]
        try:
            test, *copies = [compiled(trees) for trees in (demanding[0], *demanding[1:] * CONFIRMED)]
        except SyntaxError:
            return True
        choices = [
            self.canaries.choose(self._secret, Where.VALUES, sound=True, among={base(name)}) for _ in range(CONFIRMED)
        ]
        copies += [self._falsified(choice) for choice in choices if choice]
        outcomes = self._run(run, source, copies)
        if not all(outcome.lacks_name(name) for outcome in outcomes[:CONFIRMED]):
            return True
        shown = any(name in o.passed() for s in self._solutions for o in self._run(run, s, [test]))
        return not shown or any(name in outcome.passed() for outcome in outcomes[CONFIRMED:])

    def _passes_again(self, run: Run, source: str, copy: Any, name: str) -> int:
        """How often of `CONFIRMED` times a program passes a test where nothing else is false."""
        again = [self._falsified({name: copy.falsehoods[base(name)]})] * CONFIRMED
        return sum(name in outcome.as_far_as_it_came().passed() for outcome in self._run(run, source, again))

    @property
    def width(self) -> int:
        """How many results a program gets."""
        return self.tally.width if self.names is None else len(self.names)

    def _check_names(self, missing: list[str]) -> None:
        """Raises BadProblem for a name that neither test nor program defines, though the program has what was asked for.

        Where no reference shows what a program has to define, only for what looks like a module that the test did not import.
        """
        unasked = [name for name in missing if name not in self.defined and name != self.entry_point]
        if not (self.entry_point and self._solutions):
            unasked = [name for name in unasked if name in sys.stdlib_module_names]
        if unasked and self.entry_point not in missing and not self.suite.modules:
            raise BadProblem(f"its test uses {unasked[0]!r}, which neither the test nor the program defines")

    def _fooled(self, outcome: Outcome, names: Iterable[str]) -> list[list[Any]]:
        bad = _fooled_by(min(names))
        return [self._row(RUNTIME_ERROR, bad, outcome) for _ in self._names(outcome)]

    def _names(self, outcome: Outcome) -> list[str]:
        return self.tally.counted(outcome.rows) if self.names is None else with_failures(self.names, outcome.rows)

    def _results(self, real: list[Outcome], lenient: Iterable[str] = ()) -> list[list[Any]]:
        """A result for each test: of the first run in which it did not pass.

        `lenient`: tests that a program passes since objects of its own are equal to more than they should be.
        """
        results = []
        for name in dict.fromkeys(name for outcome in real for name in self._names(outcome)):
            worst = next((outcome for outcome in real if name not in outcome.passed()), real[0])
            result = (RUNTIME_ERROR, _fooled_by(name)) if name in lenient else result_of(worst, name)
            results.append(self._row(*result, real[0]))
        return results

    def _row(self, outcome: int, failed: Any, run: Outcome) -> list[Any]:
        record, stdout, _ = run.report
        text = stdout[: self.options["kept_output"]].decode("utf-8", "backslashreplace")
        return [outcome, failed, record["seconds"] / max(len(self._names(run)), 1), text]

    # ------------------------------------------------------------------------------------------------- runs

    def _run(self, run: Run, source: str, copies: list[bytes], seconds: float | None = None) -> list[Outcome]:
        return self._outcomes(run, source, copies, seconds=seconds)[1]

    def _outcomes(
        self, run: Run, source: str, copies: list[bytes], skip: Iterable[str] = (), seconds: float | None = None
    ) -> tuple[Any, list[Outcome], list[Any]]:
        """What became of copies that ran with a program, as `caged.outcomes` says."""
        tests = max(self.suite.runs, len(self.names or ()), self.tally.width)
        return caged.outcomes(run, source, copies, self.suite, self.options, tests=tests, skip=skip, seconds=seconds)


def _fooled_by(name: str) -> list[Any]:
    text = f"passed a copy of the test {name!r} in which an expectation is false" if name else "passed a falsified test"
    return failure("FooledTest", text)
