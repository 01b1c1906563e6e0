"""Longer and longer completions: the curriculum of StepCoder (CCCS; arXiv 2402.01391, section 3.1 and algorithm 1).

A problem begins with most of its reference given, and the policy writes the end. When it passes often enough, a shorter
beginning is given, at last none. With E conditional statements in the reference, n = ceil(sqrt(E)), s = ceil(E / n):

    stage c = n - 1, ..., 0:     given is the reference up to conditional s * c (from 1); in stage 0, nothing
    rho <- alpha * [passed] + (1 - alpha) * rho;      rho > threshold and c > 0:  rho <- 0, c <- c - 1

The paper gives no alpha, no threshold and no list of what a conditional is; ours are the defaults below. Its algorithm
prints min(c - 1, 0), which must be max. We cut at the beginning of the statement's line, so that what is given ends with a
line end, and count no statement that begins where the problem does: it spares nothing.

By itself this can stall: a problem moves to a stage at which nothing passes, has no signal there, and there is no way
back. Three options, off by default, see to that. Together they end in whole problems, by steps that are small:

    statements = ["stmt"], stride = 1     a stage for every statement: each asks for one more than the one before
    mix = 0.5                             now and then an easier stage, so that what was learnt stays
    back = 32                             after so many failures in a row, one stage back
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from rltf_env import plugins
from rltf_env.core import Attempt, Outcome, Problem, Problems, Source, line_starts
from rltf_env.datasets._files import parse_python
from rltf_env.errors import DataError, UnknownName, UsageError
from rltf_env.sources import restore, state_of

CONDITIONALS = ("If", "For", "While", "Match")  # an `elif` is an `If` of its own
KEPT = 4096  # problems whose stages are remembered; those not asked for longest are made again
PATIENCE = 100  # problems in a row without a reference, after which an endless source is said to have none

_LINE_END = re.compile(r"\r\n?")
_NO_REFERENCE = "Expected problems with references, which CCCS cuts, got none that has one. Choose another dataset."


# ------------------------------------------------------------------------------------------------------------- stages


def cuts(count: int, stride: int = 0) -> tuple[int, ...]:
    """Numbers of the statements (from 1) before which the stages end, the easiest stage first; 0 is the whole problem.

    Args:
        count: E, the statements that can be cut at.
        stride: statements from one stage to the next; 0: the paper's ceil(E / ceil(sqrt(E))), in ceil(sqrt(E)) stages.
    """
    if not count:
        return (0,)
    rows = math.isqrt(count - 1) + 1  # ceil(sqrt(E))
    step, number = (stride, count // stride + 1) if stride else (-(-count // rows), rows)
    return tuple(step * c for c in reversed(range(number)))


def stages(
    reference: str,
    given: str = "",
    statements: Sequence[str] = CONDITIONALS,
    stride: int = 0,
    what: str = "a reference",
) -> tuple[str, ...]:
    """What is given at each stage, stage 0 first, where it is no more than what the problem gives itself.

    Args:
        reference: Python; it begins with `given`.
        given: the problem's own prefix. Statements that begin in it are not counted.
        statements: names of classes of `ast`; "stmt" stands for every statement.
        stride: see `cuts`.
        what: names the reference in a message.

    Raises:
        DataError: no Python.
        UnknownName: no such class of statements.
    """
    places = [place for place in _places(reference, _kinds(statements), what) if place > len(given)]
    numbers = reversed(cuts(len(places), stride))
    return tuple(reference[: places[number - 1]] if number else given for number in numbers)


def _places(reference: str, kinds: tuple[type[ast.stmt], ...], what: str) -> list[int]:
    """Offsets, rising, of the lines that begin with such a statement: what follows a `;` may be inside a text."""
    starts, found = line_starts(reference), set()
    for node in ast.walk(parse_python(reference, what)):
        if isinstance(node, kinds):
            line = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", ()))])
            start = starts[line - 1]
            if not reference[start : start + node.col_offset].strip():
                found.add(start)
    return sorted(found)


def _kinds(names: Sequence[str]) -> tuple[type[ast.stmt], ...]:
    known = {kind.__name__: kind for kind in (ast.stmt, *ast.stmt.__subclasses__())}
    for name in names:
        if name not in known:
            raise UnknownName("statement", str(name), known)
    return tuple(known[name] for name in names)


# --------------------------------------------------------------------------------------------------------- curriculum


class _Plan(NamedTuple):
    """The reference that is cut, and what each stage gives of it."""

    reference: str
    stages: tuple[str, ...]


class CCCS:
    """Another source's problems, each with as much of a reference given as its stage says. See the head of this file.

    A problem is found, by its id, whole. One without a reference, or without a place to cut at, is drawn whole too. A
    problem in a later stage has only the reference that was cut: the others would not begin with what is given. Attempts
    count for the stage that they were made at, and only while that is the present one.

    The state is that of the source, and for each key how many stages it has advanced, its rho, and the failures since
    the last pass.
    """

    def __init__(
        self,
        source: Source,
        *,
        alpha: float,
        threshold: float,
        by: str,
        statements: Sequence[str],
        stride: int,
        mix: float,
        back: int,
        longest: int,
    ) -> None:
        self.source, self.alpha, self.threshold = source, alpha, threshold
        self.by, self.statements, self.stride = by, tuple(statements), stride
        self.mix, self.back, self.longest = mix, back, longest
        self.key: Callable[[Problem], Any] | None = plugins.find("curricula", by) if ":" in by else None
        self.standings: dict[str, tuple[int, float, int]] = {}
        self._plans: dict[str, _Plan | None] = {}
        self._bare = 0  # problems without a reference in a row, of a source that may have none at all

    @property
    def problems(self) -> Problems:
        """Those of the source, whole. AttributeError where it is endless."""
        return self.source.problems  # type: ignore[attr-defined]

    def draw(self, rng: np.random.Generator) -> Problem:
        """The source's next problem, at its stage or, with probability `mix`, at that or an easier one."""
        problem = self.source.draw(rng)
        self._check_referenced(problem)
        plan = self._plan(problem)
        if plan is None or len(plan.stages) == 1:
            return problem
        c = self._stage(problem, plan)
        if self.mix and rng.random() < self.mix:
            c = int(rng.integers(c, len(plan.stages)))
        return replace(problem, prefix=plan.stages[c], solutions=(plan.reference,)) if c else problem

    def find(self, id: str) -> Problem:
        """The source's problem with this id, whole; raises `UnknownName`."""
        return self.source.find(id)

    def observe(self, attempt: Attempt) -> None:
        """Counts an attempt at a problem's present stage; the source is told of every one."""
        self.source.observe(attempt)
        try:
            plan = self._plan(attempt.problem, find=True)
        except UnknownName:  # somebody else's problem
            return
        if plan is None or len(plan.stages) == 1:
            return
        c = self._stage(attempt.problem, plan)
        if attempt.problem.prefix == plan.stages[c]:
            self._count(self._key(attempt.problem, plan), c, attempt.verdict.outcome is Outcome.PASSED)

    def _count(self, key: str, c: int, passed: bool) -> None:
        advanced, rho, misses = self.standings.get(key, (0, 0.0, 0))
        rho, misses = self.alpha * passed + (1 - self.alpha) * rho, 0 if passed else misses + 1
        if rho > self.threshold and c > 0:
            advanced, rho, misses = advanced + 1, 0.0, 0
        elif self.back and misses >= self.back and advanced:
            advanced, rho, misses = advanced - 1, 0.0, 0
        self.standings[key] = advanced, rho, misses

    def stage(self, problem: Problem) -> int:
        """c: the stage at which `problem` is drawn next; 0 is the whole problem."""
        plan = self._plan(problem, find=True)
        return 0 if plan is None else self._stage(problem, plan)

    def _stage(self, problem: Problem, plan: _Plan) -> int:
        advanced = self.standings.get(self._key(problem, plan), (0,))[0]
        return max(len(plan.stages) - 1 - advanced, 0)

    def _key(self, problem: Problem, plan: _Plan) -> str:
        if self.key is not None:
            return str(self.key(problem))
        return problem.id if self.by == "problem" else str(len(plan.stages))

    # ---------------------------------------------------------------------------------------------------------- plans

    def _plan(self, problem: Problem, *, find: bool = False) -> _Plan | None:
        """The plan of a problem; `find`: what is at hand may be cut already, so it is made from the source's own."""
        if problem.id not in self._plans:
            self._plans[problem.id] = self._planned(self.source.find(problem.id) if find else problem)
            while len(self._plans) > KEPT:
                del self._plans[next(iter(self._plans))]
        plan = self._plans.pop(problem.id)
        self._plans[problem.id] = plan  # the newest are last
        return plan

    def _planned(self, problem: Problem) -> _Plan | None:
        """The first reference that is Python, cut; None where there is none to cut. APPS has some of an older Python.

        Raises:
            DataError: there are some, and none is Python.
        """
        failed: DataError | None = None
        for number, text in enumerate(problem.solutions):
            reference = _LINE_END.sub("\n", text)  # as the supervised half of an agent writes it
            if not reference.startswith(problem.prefix) or 0 < self.longest < len(reference):
                continue
            what = f"solution {number} of problem {problem.id!r}"
            try:
                return _Plan(reference, stages(reference, problem.prefix, self.statements, self.stride, what))
            except DataError as error:
                failed = failed or error
        if failed is not None:
            raise failed
        return None

    def _check_referenced(self, problem: Problem) -> None:
        """Raises UsageError when an endless source has shown no reference for long."""
        if self._bare < 0 or problem.solutions:
            self._bare = -1
            return
        self._bare += 1
        if self._bare == PATIENCE:
            raise UsageError(_NO_REFERENCE)

    # ---------------------------------------------------------------------------------------------------------- state

    def get_state(self) -> dict[str, Any]:
        """Plain data: where the source is, and how far each key has come."""
        return {"source": state_of(self.source), "standings": {key: [*at] for key, at in self.standings.items()}}

    def set_state(self, saved: dict[str, Any]) -> None:
        """Goes to what `get_state` said."""
        restore(self.source, saved["source"])
        self.standings = {
            key: (int(n), float(rho), int(misses)) for key, (n, rho, misses) in saved["standings"].items()
        }

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_plans": {}}  # a copy makes its own


def load(
    source: Source,
    *,
    alpha: float = 0.1,
    threshold: float = 0.3,
    by: str = "problem",
    statements: Sequence[str] = CONDITIONALS,
    stride: int = 0,
    mix: float = 0.0,
    back: int = 0,
    longest: int = 0,
) -> CCCS:
    """The curriculum of completions around `source`.

    Args:
        alpha: share that the newest attempt has in rho, in (0, 1].
        threshold: of rho, in [0, 1), above which a stage is left. The defaults leave it after four passes in a row.
        by: what shares a rho and a stage: "problem" (the paper's); "stages", all problems of as many stages, for endless
            sources, which show no problem twice; or `"module:attr"`, a function from a problem to its key.
        statements: what is cut at; `("stmt",)` is every statement.
        stride: statements from one stage to the next; 0: the paper's.
        mix: probability of a stage drawn from the present and the easier ones, in [0, 1).
        back: failures in a row at a stage that lead one stage back; 0: there is no way back.
        longest: references of more characters are not cut, so that what is given leaves room; 0: no limit.

    Raises:
        UsageError: an impossible value, an endless source `by` problem, or problems that all lack references.
        UnknownName: no such statement.
    """
    if not (0 < alpha <= 1 and 0 <= threshold < 1 and 0 <= mix < 1):
        raise UsageError(
            f"Expected 0 < alpha <= 1, 0 <= threshold < 1 and 0 <= mix < 1, got {alpha}, {threshold} and {mix}."
        )
    if min(stride, back, longest) < 0:
        raise UsageError(f"Expected stride, back, longest >= 0, got {stride}, {back} and {longest}.")
    if isinstance(statements, str) or not statements:
        raise UsageError(f'Expected statements as a list of names such as ["If", "For"], got {statements!r}.')
    if by not in ("problem", "stages") and ":" not in by:
        raise UnknownName("value of by", by, ("problem", "stages", "module:attr"))
    _kinds(statements)
    _check_source(source, by)
    return CCCS(
        source, alpha=alpha, threshold=threshold, by=by, statements=statements, stride=stride, mix=mix, back=back,
        longest=longest,
    )  # fmt: skip


def _check_source(source: Source, by: str) -> None:
    problems = getattr(source, "problems", None)
    if problems is None and by == "problem":
        raise UsageError(
            f"Expected a finite source for by='problem', got {source!r}, which shows no problem twice. Take "
            "by='stages', or source='uniform' with a dataset of some size."
        )
    if problems and not any(problem.solutions for problem in problems):
        raise UsageError(_NO_REFERENCE)
