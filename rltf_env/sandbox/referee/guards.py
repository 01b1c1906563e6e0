"""The copies of a test that guard it: drawn once for a problem, and proven on a reference, if it has one."""

from __future__ import annotations

import random
from typing import Any

from rltf_env.sandbox.referee.caged import Run
from rltf_env.sandbox.referee.canaries import Canaries, Falsehood, Where
from rltf_env.sandbox.referee.copies import Copy, compiled, worth
from rltf_env.sandbox.referee.evidence import Evidence
from rltf_env.sandbox.referee.outcomes import SCRIPT
from rltf_env.sandbox.referee.renaming import Renaming
from rltf_env.sandbox.referee.stand_ins import STAND_IN_SECONDS
from rltf_env.sandbox.referee.tally import base, runs_of

PAIRS = (Where.VALUES, Where.VALUES, Where.ANY)  # of copies that are kept; each is in a round, beside the test as it is
EXTRA = 2  # copies of each other kind, for tests that no pair guards; the rounds share them
ROUNDS = 3  # a program that passes one is tried again: whoever guesses which run counts has to guess each time
COMPARED = 32  # sides of comparisons that are tried where nothing else shows who is equal to everything
TRIES = 4  # of something else to falsify, where a reference notices nothing


class Guards:
    """The copies that guard a test.

    Args:
        evidence: what is known of the test.
    """

    def __init__(self, evidence: Evidence) -> None:
        self.evidence, self.suite = evidence, evidence.suite
        self.canaries = Canaries(self.suite, {evidence.entry_point} - {""})
        self.pairs: list[list[Copy]] = []  # together the two of a pair guard every test that they can
        self.extra: list[Copy] = []  # guard tests that no pair does
        self.renamed: list[Copy] = []  # guard tests that have what they expect from where nothing is read
        self.unguarded: set[str] = set()  # tests of which no copy can be falsified
        self._fooled: set[str] = set()  # test functions that who is equal to everything passes
        self._blunt: set[str] = set()  # those of them of which such a program passes no copy
        self._secret = random.SystemRandom()
        self.canaries.keep_sound(scope for scope in self.canaries.targets if not evidence.heirs(scope) & evidence.shown)

    def draw(self, run: Run, reference: str | None) -> None:
        """Chooses them: copies that the reference fails; without one, those that no right program passes by their text.

        If one is not Python, what made it so is left out from now on, and all are drawn anew.
        """
        try:
            self._draw(run, reference)
        except SyntaxError:
            self.pairs, self.extra, self.renamed = [], [], []
            self.draw(run, reference)

    def _draw(self, run: Run, reference: str | None) -> None:
        if reference is None:
            self._draw_sound(run)
            return
        self.evidence.ask_typed(run, reference)
        self._fooled = set().union(*self.evidence.fooled.values())
        self._blunt = set(self._fooled)
        pairs = [self._pair(run, reference, where) for where in PAIRS]
        self.pairs = [pair for pair in pairs if pair]
        self._note_unguarded()
        self.extra += self._more(run, reference, Where.DIRECTIONS, self.unguarded)
        self._note_unguarded()
        self.extra += self._more(run, reference, Where.HELPERS, self.unguarded | self._blunt)
        self._blunt -= self._sharp(run, self.extra)
        self.extra += self._turned(run, reference)
        self.renamed = Renaming(self.evidence, self.canaries, reference).copies(run)
        self._note_unguarded()

    def _draw_sound(self, run: Run) -> None:
        self.canaries.lend()
        guarded = self.canaries.falsifiable(sound=True)
        choices = [self.canaries.split(self._secret, where, sound=True) for where in PAIRS] if guarded else []
        self.pairs = [[self._sound(self._fitting(run, part)) for part in pair if part] for pair in choices]
        tests = {base(name) for name in self.evidence.tally.names} | set(self.evidence.tally.loose)
        self.unguarded = tests - {name for pair in self.pairs for copy in pair for name in copy.tests}

    def rounds(self) -> list[list[Copy]]:
        """The copies of each round. The pair of the first falsifies values, if any does.

        Who says yes to all that is asked fails where the question is negated; who reads the answers in the test fails there,
        too, and is found out where a value is false.
        """
        pairs = self._secret.sample(self.pairs, len(self.pairs))
        pairs.sort(key=lambda pair: not any(copy.falsifies_value for copy in pair))
        extra = self._secret.sample(self.extra, len(self.extra))
        extra.sort(key=lambda copy: not copy.falsifies_value)
        return [
            [
                *(copy for pair in _share(pairs, number) for copy in pair),
                *_share(extra, number),
                *_share(self.renamed, number),
            ]
            for number in range(ROUNDS)
        ]

    def _fitting(self, run: Run, falsehoods: dict[str, Falsehood]) -> dict[str, Falsehood]:
        """Others, where a change does not fit its value: such a copy ends before anything is compared, whatever the program is.

        And where a stand-in notices it that is equal to everything, as long as something else can be false.
        """
        names, stand_in = self.evidence.tally.names, self.evidence.stand_in
        for _ in range(TRIES):
            (outcome,) = self.evidence.run(run, stand_in, [self.falsified(falsehoods)], STAND_IN_SECONDS)
            broken = {base(name) for name in outcome.broken(self.suite.raised)} - self.evidence.broken
            blunt = self.evidence.fooled[stand_in] - {base(name) for name in outcome.passed()}
            scopes = {
                scope
                for scope, each in falsehoods.items()
                if runs_of(scope, names, self.suite) & (broken | blunt if self._has_other(scope, each) else broken)
            }
            if not scopes:
                break
            falsehoods = {**falsehoods, **self.canaries.choose(self._secret, Where.VALUES, sound=True, among=scopes)}
        return falsehoods

    def _sound(self, falsehoods: dict[str, Falsehood]) -> Copy:
        """A copy that no right program passes by its text alone."""
        tests = {heir for scope in falsehoods for heir in runs_of(scope, self.evidence.tally.names, self.suite)}
        return Copy(self.falsified(falsehoods), tests - self.evidence.reversed, falsehoods)

    def falsified(self, falsehoods: dict[str, Falsehood]) -> bytes:
        """A copy of the test with these falsehoods, compiled.

        Raises SyntaxError if it is not Python, and forgets what made it so.
        """
        try:
            return compiled(self.canaries.falsified(falsehoods.values()))
        except (SyntaxError, TypeError, ValueError) as error:
            alone = [each for each in falsehoods.values() if len(falsehoods) > 1 and not self._is_python(each)]
            self.canaries.forget([each.target for each in alone or falsehoods.values()])
            raise SyntaxError(f"a copy of the test is not Python: {error}") from error

    def _is_python(self, falsehood: Falsehood) -> bool:
        try:
            return bool(compiled(self.canaries.falsified([falsehood])))
        except (SyntaxError, TypeError, ValueError):
            return False

    def _pair(self, run: Run, reference: str, where: Where) -> list[Copy]:
        """Two copies. Where a reference does not notice what is false, or a stand-in does, too, something else is tried."""
        parts = self.canaries.split(self._secret, where)
        copies: list[Copy] = []
        for _ in range(TRIES):
            copies = self._failed(run, reference, parts)
            noticed = {name for copy in copies for name in copy.noticed}
            failed = {base(name) for copy in copies for name in copy.tests}
            sharp = self._sharp(run, copies)
            self._blunt -= sharp
            blunt = self._fooled - sharp
            dull = [{s for s, each in part.items() if self._is_dull(s, each, noticed, blunt)} for part in parts]
            if not any(dull):
                break
            useless = {scope for part in dull for scope in part if not self.evidence.heirs(scope) & failed - blunt}
            pairs = zip(parts, dull, strict=True)
            parts = [self.canaries.again(self._secret, where, part, names, useless) for part, names in pairs]
        return copies

    def _is_dull(self, scope: str, falsehood: Falsehood, noticed: set[str], blunt: set[str]) -> bool:
        """True if something else has to be false in a test function.

        `noticed`: functions in which a reference noticed it; `blunt`: in which who is equal to everything notices it, too.
        """
        heirs = self.evidence.heirs(scope)
        is_blunt = bool(heirs & blunt) and self._has_other(scope, falsehood)
        return bool(heirs & self.evidence.shown) and (is_blunt or not heirs & noticed)

    def _has_other(self, scope: str, falsehood: Falsehood) -> bool:
        """True if a value is false in a test function, and another one could be."""
        sound = not self.evidence.shown
        values = [each for each in self.canaries.targets[scope] if each.value and (each.sound or not sound)]
        return falsehood.target.value and len(values) > 1

    def _sharp(self, run: Run, copies: list[Copy]) -> set[str]:
        """The test functions in which something is false that only those notice who are not equal to everything.

        The text says so, or a stand-in. What a test counts and asserts later (`assert points == 5`) is false to anybody.
        """
        sure = {scope for copy in copies for scope, each in copy.falsehoods.items() if each.target.direct}
        sharp = {heir for scope in sure for heir in self.evidence.heirs(scope)}
        asked = {base(name) for copy in copies for name in copy.tests} & self._fooled - sharp
        return sharp | (self._passed(run, copies, asked) if asked else set())

    def _passed(self, run: Run, copies: list[Copy], asked: set[str]) -> set[str]:
        """Of some test functions those of which a stand-in passes a copy. The others do not run: it may keep them going."""
        codes, found, evidence = [copy.codes for copy in copies], set[str](), self.evidence
        for source, names in evidence.fooled.items():
            if wanted := names & asked:
                others = [name for name in evidence.names or () if base(name) not in wanted]
                _, outcomes, _ = evidence.outcomes(run, source, codes, others, STAND_IN_SECONDS)
                pairs = zip(copies, outcomes, strict=True)
                found |= {base(n) for copy, outcome in pairs for n in copy.tests & outcome.passed()} & wanted
        return found

    def _more(self, run: Run, reference: str, where: Where, unguarded: set[str]) -> list[Copy]:
        """Two copies, or fewer, for tests that no pair guards: if a reference notices a value that is false, one has such a value.

        What is false may be of another type than what is compared, and the test ends before it compares anything. Such a copy
        tells a right program from one that is equal to everything no better than the test does: it is the last resort.
        """
        wanted = unguarded & self.evidence.shown
        scopes = self.canaries.falsifiable(where) if where is Where.DIRECTIONS else wanted
        if not any(self.evidence.heirs(scope) & wanted for scope in scopes):
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

    def _turned(self, run: Run, reference: str) -> list[Copy]:
        """For tests of which no copy shows who is equal to everything: copies in which any comparison is false that does."""
        found: list[Copy] = []
        comparisons = self.canaries.comparisons if self._blunt & self.evidence.shown else []
        for target in self._secret.sample(comparisons, min(len(comparisons), COMPARED)):
            for copy in self._failed(run, reference, [{"comparison": Falsehood(target, self._secret.getrandbits(64))}]):
                passed = self._passed(run, [copy], self._blunt)
                found += [copy] if passed else []
                self._blunt -= passed
            if not self._blunt:
                break
        return found

    def _failed(self, run: Run, reference: str, choices: list[dict[str, Falsehood]]) -> list[Copy]:
        """Of these copies those in which a reference fails tests that it passes, or no right program passes one of the others."""
        shown = self.evidence.shown.intersection(self.evidence.names or ())
        codes = [self.falsified(falsehoods) for falsehoods in choices]
        copies = []
        for copy, falsehoods, outcome in zip(codes, choices, self.evidence.run(run, reference, codes), strict=True):
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
        if any(scope not in self.canaries.targets for scope in falsehoods):  # a helper, which any test may call
            return set()
        here = {heir for scope in falsehoods for heir in self.evidence.heirs(scope)}
        return {h for scope in self.canaries.falsifiable() for h in self.evidence.heirs(scope)} - here

    def _sure(self, falsehoods: dict[str, Falsehood]) -> set[str]:
        """Test functions that no reference passes, and that no right program passes in a copy by its text alone."""
        heirs = {h for scope, each in falsehoods.items() if each.target.sound for h in self.evidence.heirs(scope)}
        return heirs & {base(name) for name in self.evidence.names or ()} - self.evidence.shown - self.evidence.reversed

    def _note_unguarded(self) -> None:
        copies = [*self.extra, *self.renamed, *(copy for pair in self.pairs for copy in pair)]
        guarded = {base(name) for copy in copies for name in copy.tests}
        self.unguarded = {base(name) for name in self.evidence.names or ()} - guarded


def _share(copies: list[Any], number: int) -> list[Any]:
    """A round's share of copies, or of pairs: each is in one round at least. Of few it has one, and they take turns."""
    return copies[number::ROUNDS] or copies[number % max(len(copies), 1) :][:1]
