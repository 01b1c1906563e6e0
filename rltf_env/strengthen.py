"""`python -m rltf_env.strengthen mbpp --out strong.jsonl`: more tests for problems that have some, where wrong programs pass them.

    inputs of the cases --changed a little, up to 5 times--> inputs --references, in the judge--> outputs
    --> the fewest that fail the wrong programs which pass so far

Type-aware mutation as in EvalPlus (arXiv 2305.01210), a greedy set cover as in its reduced suites. The wrong programs are
mutants of the first reference and, where there are some, programs that somebody wrote. What a problem takes for granted of
its inputs nobody has written down, so an input is dropped on which any reference raises, or gives another answer than the
others or than itself the second time; and so is a new test that a reference does not pass. Where a mutant is in fact
right, no test can fail it: the share that survives is an upper bound.

New tests go to `held_out`: training is unchanged, and `benchmarks.evaluate` says what it exploits. With `--into cases` they
are cases of a problem with a new id, which ends in `+`.

Exit status 0: it is written; 2: the data cannot be read; 130: interrupted.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from rltf_env import datasets, plugins, sandbox
from rltf_env.command import guarded, leave, parser
from rltf_env.core import CallCase, Outcome, Problem, Problems, Sandbox
from rltf_env.datasets._mutants import mutants
from rltf_env.errors import DataError, RLTFError, UsageError
from rltf_env.plain import spelled
from rltf_env.synthesis import coverage
from rltf_env.synthesis._options import add_options
from rltf_env.synthesis.inputs import Arguments, mutate
from rltf_env.synthesis.making import DEEP
from rltf_env.synthesis.results import LARGEST, Call, ask, judge_options, steady
from rltf_env.synthesis.seeds import inputs_of
from rltf_env.view import ansi

Into = Literal["held_out", "cases"]
RUNS = (1, 2)  # seeds of the two runs


@dataclass(frozen=True)
class Settings:
    """How tests are added.

    Args:
        inputs: new ones that are tried for a problem.
        steps: changes that an input is away from one of the problem's own, at the most.
        budget: tests that a problem gets, at the most.
        mutants: of the first reference.
        largest: characters of an output, as JSON.
    """

    inputs: int = 60
    steps: int = 5
    budget: int = 10
    mutants: int = 10
    largest: int = LARGEST

    def __post_init__(self) -> None:
        if min(self.inputs, self.steps, self.budget, self.mutants, self.largest) < 1:
            raise UsageError(f"Expected sizes of at least 1, got {self}.")


SIZES = {  # of the settings, what a command may set
    "inputs": "new inputs to try for each problem",
    "steps": "most changes between a new input and one of the problem's own",
    "budget": "most tests to add to a problem",
    "mutants": "wrong programs to make of each problem's first reference",
}


@dataclass(frozen=True)
class Strengthened:
    """What became of a problem.

    Args:
        problem: as it was.
        added: new tests; every reference passes them.
        wrong: programs that the tests were tried on.
        before, after: how many of these passed all cases, and pass the new ones too.
        why: reason why nothing could be tried, or "".
    """

    problem: Problem
    added: tuple[CallCase, ...] = ()
    wrong: int = 0
    before: int = 0
    after: int = 0
    why: str = ""

    def stronger(self, into: Into = "held_out") -> Problem:
        """The problem with its new tests: kept from training, or among its cases and under a new id."""
        if not self.added:
            return self.problem
        if into == "held_out":
            return replace(self.problem, held_out=(*self.problem.held_out, *self.added))
        return replace(self.problem, id=f"{self.problem.id}+", cases=(*self.problem.cases, *self.added))


def strengthen(
    problems: Iterable[Problem],
    judge: Sandbox,
    rng: np.random.Generator,
    settings: Settings | None = None,
    programs: Mapping[str, Sequence[str]] | None = None,
) -> Iterator[Strengthened]:
    """Each problem in turn, with the tests that it lacks.

    Args:
        problems: each with a reference and an entry point, and cases that are calls or assert calls on plain data.
        judge: one that keeps enough of what is printed, see `synthesis.judge_options`.
        rng: draws inputs and mutants.
        settings: how many.
        programs: by problem id, programs that somebody wrote, such as an evaluation's: those that pass all
            cases stay in doubt, and count as wrong if a new test fails them.
    """
    sandbox.check_runs(judge, "stronger tests")
    for problem in problems:
        try:
            yield _stronger(problem, judge, rng, settings or Settings(), (programs or {}).get(problem.id, ()))
        except (UsageError, DataError) as why:
            yield Strengthened(problem, why=str(why))
        except RecursionError:
            yield Strengthened(problem, why=DEEP)


def _stronger(
    problem: Problem, judge: Sandbox, rng: np.random.Generator, settings: Settings, programs: Sequence[str]
) -> Strengthened:
    if not problem.solutions or not problem.entry_point or "." in problem.entry_point:
        raise UsageError("it has no reference, or nothing to call")
    seeds = inputs_of(problem, problem.entry_point)
    wrong = [*(m.text for m in mutants(problem.solutions[0], settings.mutants, rng)), *programs]
    soon = coverage.hurried(judge, problem, problem.solutions)
    verdicts = judge.map((text, soon) for text in wrong)
    passing = [text for text, verdict in zip(wrong, verdicts, strict=True) if verdict.outcome is Outcome.PASSED]
    result = Strengthened(problem, wrong=len(wrong), before=len(passing), after=len(passing))
    if not passing:
        return result
    cases = _answered(problem, changed(seeds, rng, settings), judge, settings)
    if not cases:
        return result
    references = len(problem.solutions)
    soon = coverage.hurried(judge, replace(problem, cases=tuple(cases), examples=(), held_out=()), problem.solutions)
    failures = coverage.kills(judge, soon, cases, [*problem.solutions, *passing])
    sound = [i for i, killed in enumerate(failures) if not any(number < references for number in killed)]
    killed, sizes = [failures[i] for i in sound], [len(spelled(cases[i].args)) for i in sound]
    chosen = coverage.cover(killed, sizes, settings.budget)
    failed = {number for i in chosen for number in killed[i]}
    return replace(result, added=tuple(cases[sound[i]] for i in chosen), after=len(passing) - len(failed))


# ----------------------------------------------------------------------------------------------------------- inputs


def changed(seeds: Sequence[Arguments], rng: np.random.Generator, settings: Settings) -> list[Arguments]:
    """Different inputs, each up to `steps` changes away from one of the seeds; none of the seeds."""
    known, inputs = {spelled(args) for args in seeds}, dict[str, Arguments]()
    for _ in range(4 * settings.inputs):
        args = list(seeds[int(rng.integers(len(seeds)))])
        for _ in range(int(rng.integers(1, settings.steps + 1)) if args else 0):
            at = int(rng.integers(len(args)))
            args[at] = mutate(args[at], rng, [other[at] for other in seeds if len(other) == len(args)])
        if spelled(tuple(args)) not in known:
            inputs.setdefault(spelled(tuple(args)), tuple(args))
        if len(inputs) == settings.inputs:
            break
    return list(inputs.values())


def _answered(problem: Problem, arguments: Sequence[Arguments], judge: Sandbox, settings: Settings) -> list[CallCase]:
    """A case for each input to which all references give one answer."""
    assert problem.entry_point is not None
    if not arguments:
        return []
    jobs = [
        (solution, problem.entry_point, [Call(args, seed=seed) for args in arguments])
        for solution in problem.solutions
        for seed in RUNS
    ]
    answers = steady(ask(judge, jobs, settings.largest))
    return [CallCase(args, a.value) for args, a in zip(arguments, answers, strict=True) if not a.why]


# ---------------------------------------------------------------------------------------------------------- command


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns the exit status."""
    return guarded(lambda: _main(arguments))


def _main(arguments: Sequence[str] | None) -> int:
    asked = _parser().parse_args(arguments)
    try:
        out = Path(asked.out)
        if out.exists():
            raise UsageError(f"Expected a new file with --out, got {out}, which is there. Remove it, or name another.")
        settings = Settings(asked.inputs, asked.steps, asked.budget, asked.mutants)
        problems = datasets.load(asked.name, asked.split, asked.root, **datasets.checked(plugins.options(asked.option)))
        sandbox.check_runs(asked.sandbox, "stronger tests")
        with sandbox.load(asked.sandbox, **judge_options(settings.largest, asked.seconds)) as judge:
            results = list(strengthen(problems[: asked.limit], judge, np.random.default_rng(asked.seed), settings))
        datasets.dump(Problems(each.stronger(asked.into) for each in results), out)
    except RLTFError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Interrupted: nothing was written.", file=sys.stderr)
        return 130
    print(report(results))
    print(f"written to {out}")
    return 0


def report(results: Sequence[Strengthened]) -> str:
    """What came, for people."""
    wrong, before, after = (sum(getattr(each, name) for each in results) for name in ("wrong", "before", "after"))
    added = [len(each.added) for each in results if each.added]
    lines = [f"{sum(added)} tests added to {len(added)} of {len(results)} problems"]
    if wrong:
        lines.append(
            f"wrong programs that pass: {before} of {wrong} ({before / wrong:.1%}) before, {after} ({after / wrong:.1%}) after"
        )
    whys = Counter(each.why for each in results if each.why)
    return "\n".join([*lines, *(f"  {n} not tried: {ansi.printable(why)}" for why, n in whys.most_common(8))])


def _parser() -> argparse.ArgumentParser:
    made = parser("rltf_env.strengthen", __doc__)
    made.add_argument("--into", choices=("held_out", "cases"), default="held_out", help="where new tests go")
    add_options(made, "problems", Settings(), SIZES)
    return made


if __name__ == "__main__":
    leave(main())
