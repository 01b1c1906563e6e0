"""`python -m benchmarks.studies.practice STUDY [--seeds N]`: what to practise next, and which tokens deserve what.

    curricula       longer and longer completions (StepCoder, arXiv 2402.01391) from a warm start that passes a few per cent
    curricula-weak  the same from a weaker one, which passes hardly anything
    masks           learning from code that ran alone (the same paper), on two cases a problem
    blame           credit for wrong answers by line, beside the same credit on shuffled lines
    lines           the same two on the problems of "curricula", with all of their cases
    feedback        each part of RLTF's feedback from a start a quarter as long, when a quarter of the failures are errors

A study predicts before its first run; what it says stands in `STUDIES`, beside its arms. A curriculum eats references, so there
are controls that have the same ones. Measured is pass@1 on whole problems, on all of their cases. How arms are run and compared
is said in `benchmarks.studies.arms`. Stopped and started again, a study goes on where it was.

From 1,000 grown references of 1 to 3 conditionals and 600 updates the small transformer passes no grown problem (a trial), which is
why "lines" and "feedback" are not on those.

A trial before (seed 0, 200 problems, 240 updates): of the literal curriculum 10 % of the programs passed at first and 2 % after
112 updates; with a random line given, 10 % at first and 25 % at the end; and whole problems, hardly any, either way. From a start
that passes 2 to 3 % of whole problems, no curriculum went from 11 to 26 % in 64 updates. The window in which one can help is
narrow, and "a random line wins" would be a result.
"""

from __future__ import annotations

import ast
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from rich.console import Console

from agents.config import Recipe
from benchmarks import demo
from benchmarks.studies.arms import STOPPED, WHOLE, Arm, Runs, Size, Study, command, run_arms
from rltf_env import datasets, rewards
from rltf_env.command import guarded, leave
from rltf_env.core import Attempt, Feedback, Problem, Reward, Source
from rltf_env.curricula import cccs
from rltf_env.rewards.executed import Executed

SPLITS = {"seen": "seen", "unseen": "test"}  # by measure
TRAINED, MEASURED = 400, 300  # problems of depth 3 with two conditionals or more


@dataclass(frozen=True)
class Practice(Study):
    """A study with changes to the recipe of every arm."""

    changed: tuple[str, ...] = ()


# ----------------------------------------------------------------------------------------------------------- problems


def make_problems(out: Path) -> None:
    """A folder of procedural problems of depth 3 with two conditionals or more, a file for each split; made once."""
    folder = out / "problems"
    folder.mkdir(exist_ok=True)
    for split, size in (("train", TRAINED), ("seen", MEASURED), ("test", MEASURED)):
        if not (folder / f"{split}.jsonl").exists():
            many = datasets.load("procedural", split, size=6 * size, seed=3, depths=[3])
            datasets.dump([p for p in many if _conditionals(p) >= 2][:size], folder / f"{split}.jsonl")


def _conditionals(problem: Problem) -> int:
    nodes = ast.walk(ast.parse(problem.solutions[0]))  # the data's own text
    return sum(isinstance(node, ast.If | ast.For | ast.While) for node in nodes)


# ----------------------------------------------------------------------------------------------------------- controls


class RandomLine(cccs.CCCS):
    """A line of the reference at random, without a schedule: the same data as the curriculum, and nothing else of it."""

    def draw(self, rng: np.random.Generator) -> Problem:
        """A problem whose reference is given up to a line at random."""
        problem = self.source.draw(rng)
        plan = self._plan(problem)
        c = 0 if plan is None else int(rng.integers(len(plan.stages)))
        return replace(problem, prefix=plan.stages[c], solutions=(plan.reference,)) if plan and c else problem

    def observe(self, attempt: Attempt) -> None:
        """Learns nothing: there is no schedule."""
        self.source.observe(attempt)


def random_line(source: Source) -> RandomLine:
    """The curriculum `RandomLine`, cut at every statement."""
    known = cccs.load(source, statements=("stmt",), stride=1)
    return RandomLine(
        source, alpha=known.alpha, threshold=known.threshold, by=known.by, statements=known.statements,
        stride=known.stride, mix=0.0, back=0, longest=0,
    )  # fmt: skip


@dataclass(frozen=True)
class AsManyAtRandom:
    """As many tokens masked out as `executed` masks, whichever: what of the mask's effect is that batches shrink."""

    needs: ClassVar[frozenset[str]] = Executed.needs

    def __call__(self, attempt: Attempt) -> Feedback:
        feedback = Feedback.build(attempt.program, "random")
        chosen = np.flatnonzero(feedback.loss_mask)
        dropped = int((feedback.loss_mask & ~Executed().kept(attempt.program, attempt.verdict)).sum())
        rng = np.random.default_rng(zlib.crc32(attempt.program.text.encode()))
        learn = feedback.loss_mask.copy()
        learn[rng.permutation(chosen)[:dropped]] = False
        return replace(feedback, loss_mask=learn)


def as_many_at_random() -> AsManyAtRandom:
    """The reward `AsManyAtRandom`."""
    return AsManyAtRandom()


@dataclass(frozen=True)
class ShuffledBlame:
    """`blame` with the lines of the program shuffled: the same amounts, in places that say nothing."""

    blame: Reward
    needs: ClassVar[frozenset[str]] = frozenset({"trace_cases"})

    def __call__(self, attempt: Attempt) -> Feedback:
        verdict = attempt.verdict
        lines = sorted(frozenset().union(*(result.executed or () for result in verdict.results)))
        rng = np.random.default_rng(zlib.crc32(attempt.program.text.encode()))
        moved = dict(zip(lines, rng.permutation(np.array(lines, int)).tolist(), strict=True))
        results = tuple(
            replace(result, executed=frozenset(moved[line] for line in result.executed or ()))
            for result in verdict.results
        )
        return self.blame(replace(attempt, verdict=replace(verdict, results=results)))


def shuffled_blame(**options: Any) -> ShuffledBlame:
    """The reward `ShuffledBlame`; options are those of `blame`."""
    return ShuffledBlame(rewards.load("blame", **options))


# ------------------------------------------------------------------------------------------------------------ studies

_HERE = "benchmarks.studies.practice"
_DEPTH_3 = (
    'env.dataset="{out}/problems"', "env.dataset_options={}", "env.max_prompt_tokens=192", "env.max_program_tokens=192",
    "agent.references={}", "agent.supervised=0", f"eval.size={MEASURED}", "eval.options={}",
)  # fmt: skip
_DEPTH_3_WARM = ("env.dataset_options={ depths = [1, 2, 3] }", "agent.references={ size = 600, depths = [1, 2, 3] }")
_REFERENCES = ("agent.supervised=1",)
_CCCS = ('env.curriculum="cccs"',)
_STEPS = 'env.curriculum_options={ statements = ["stmt"], stride = 1, mix = 0.5, back = 32 }'
_CURRICULA: Mapping[str, Arm] = {
    "none": Arm("whole problems", "rltf"),
    "cccs": Arm("CCCS", "rltf", _CCCS),
    "mix": Arm("CCCS, easier stages mixed in", "rltf", (*_CCCS, "env.curriculum_options={ mix = 0.5 }")),
    "back": Arm("CCCS with a way back", "rltf", (*_CCCS, "env.curriculum_options={ back = 32 }")),
    "steps": Arm("a stage a statement, mixed, with a way back", "rltf", (*_CCCS, _STEPS)),
    "random": Arm("a random line given", "rltf", (f'env.curriculum="{_HERE}:random_line"',)),
    "references": Arm("whole problems + their references", "rltf", _REFERENCES),
    "cccs-references": Arm("CCCS + references", "rltf", (*_CCCS, *_REFERENCES)),
}
_CURRICULA_COMPARED = (
    ("cccs", "none"), ("cccs", "random"), ("mix", "cccs"), ("back", "cccs"), ("steps", "cccs"), ("steps", "none"),
    ("cccs", "references"), ("cccs-references", "references"),
)  # fmt: skip

GROWN = (
    'env.dataset="grown"', "env.max_prompt_tokens=384", "env.max_program_tokens=320", "agent.references={}",
    f"eval.size={MEASURED}",
)  # fmt: skip
PPO = (  # 128 programs a round, four updates on each round
    'agent={ kind = "ppo", problems = 16, samples_per_problem = 8, batch_size = 128, epochs = 4, kl = 0.02, kl_target = 0.0, '
    'optimiser = { lr = 2e-4, warmup = 20, weight_decay = 0.01, beta2 = 0.95, decay = "linear", length = {updates} } }'
)
GROWN_WARM = (
    'env.dataset="grown"', "env.dataset_options={ conditionals = [1, 6] }", "env.max_prompt_tokens=384",
    "env.max_program_tokens=320", "agent.references={ size = 2000, conditionals = [1, 6] }", "run.updates=1500",
    "agent.optimiser.length=1500", "run.eval_every=0", "eval.size=8", "eval.options={ conditionals = [2, 3] }",
)  # fmt: skip
_HARD, _MIDDLE = "conditionals = [4, 9]", "conditionals = [3, 6]"


def _weights(fine: float, adaptive: float) -> str:
    return f'env.reward_options={{ alpha = "none", weights = {{ fine = {fine}, adaptive = {adaptive} }} }}'


_SHUFFLED = (
    f'env.reward="rltf+{_HERE}:shuffled_blame"',
    f'env.reward_options={{ rltf = {{ alpha = "none" }}, "{_HERE}:shuffled_blame" = {{ alpha = "none" }} }}',
)
_RLTF = 'env.reward_options={ rltf = { alpha = "none" } }'
_BLAMED = 'env.reward_options={ rltf = { alpha = "none" }, blame = { alpha = "none" } }'

STUDIES: Mapping[str, Practice] = {
    "curricula": Practice(
        "Whole problems need no curriculum from here: none is not below CCCS. Random > CCCS while learning. Against references "
        "learnt directly nothing is predicted.",
        _CURRICULA,
        _CURRICULA_COMPARED,
        make_problems,
        warm=_DEPTH_3_WARM,
        changed=_DEPTH_3,
    ),
    "curricula-weak": Practice(
        "None stays near 0, for no group has a signal; the literal CCCS stalls; small steps, mixed and with a way back, > random "
        "> none on whole problems.",
        _CURRICULA,
        _CURRICULA_COMPARED,
        make_problems,
        warm=("env.dataset_options={ depths = [1, 2, 3] }", "agent.references={ size = 200, depths = [1, 2, 3] }"),
        changed=_DEPTH_3,
    ),
    "masks": Practice(
        "Executed > none by a few points and > as many at random; with 12 cases, where little is dead, the gain shrinks. The "
        "paper has +1.5 points: expect small.",
        {
            "ppo": Arm("PPO", "rltf"),
            "executed": Arm("+ executed", "rltf", ('env.reward="coarse+executed"',)),
            "random": Arm("+ as many tokens at random", "rltf", (f'env.reward="coarse+{_HERE}:as_many_at_random"',)),
            "ppo-12": Arm("PPO, 12 cases", "rltf", (f"env.dataset_options={{ {_HARD} }}",)),
            "executed-12": Arm(
                "+ executed, 12 cases",
                "rltf",
                (f"env.dataset_options={{ {_HARD} }}", 'env.reward="coarse+executed"'),
            ),
        },
        (("executed", "ppo"), ("executed", "random"), ("executed-12", "ppo-12")),
        warm=GROWN_WARM,
        changed=(
            *GROWN[:3],
            "env.max_prompt_tokens=512",  # nine conditionals are described in up to 437
            f"eval.size={MEASURED}",
            PPO,
            'env.reward="coarse"',
            "env.reward_options={}",
            f"env.dataset_options={{ {_HARD}, cases = 2 }}",
            f"eval.options={{ {_HARD}, size = {MEASURED} }}",
        ),
    ),
    "blame": Practice(
        "Blame > none where cases take different paths, as they do here; on shuffled lines it is worth nothing; top and all are "
        "not told apart.",
        {
            "rltf": Arm("RLTF", "rltf"),
            "blame": Arm("+ blame, the most suspicious lines", "rltf", ('env.reward="rltf+blame"', _BLAMED)),
            "all": Arm(
                "+ blame, all lines",
                "rltf",
                (
                    'env.reward="rltf+blame"',
                    'env.reward_options={ rltf = { alpha = "none" }, blame = { alpha = "none", share = "all" } }',
                ),
            ),
            "shuffled": Arm("+ blame on shuffled lines", "rltf", _SHUFFLED),
        },
        (("blame", "rltf"), ("blame", "shuffled"), ("blame", "all")),
        warm=GROWN_WARM,
        changed=(
            *GROWN,
            f"env.dataset_options={{ {_MIDDLE} }}",
            f"eval.options={{ {_MIDDLE}, size = {MEASURED} }}",
            "agent.supervised=0",
        ),
    ),
    "lines": Practice(
        "Executed and blame are each within 2 points of RLTF, for these programs have few branches, and all of their cases are "
        "run; as many tokens at random are below executed, and shuffled lines below blame.",
        {
            "none": Arm("RLTF", "rltf"),
            "executed": Arm("+ executed", "rltf", ('env.reward="rltf+executed"', _RLTF)),
            "random-mask": Arm("+ as many tokens at random", "rltf", (f'env.reward="rltf+{_HERE}:as_many_at_random"', _RLTF)),
            "blame": Arm("+ blame", "rltf", ('env.reward="rltf+blame"', _BLAMED)),
            "shuffled": Arm("+ blame on shuffled lines", "rltf", _SHUFFLED),
        },
        (("executed", "none"), ("executed", "random-mask"), ("blame", "none"), ("blame", "shuffled")),
        make_problems,
        warm=_DEPTH_3_WARM,
        changed=_DEPTH_3,
    ),
    "feedback": Practice(
        "Coarse > supervised. Fine > coarse by a point or two, for a quarter of the failures at first name a line. What adaptive "
        "adds to it is within 2 points.",
        {
            "warm": Arm("warm start", "warm"),
            "supervised": Arm("supervised only", "supervised"),
            "coarse": Arm("+ coarse", "rltf", (_weights(0.0, 0.0),)),
            "fine": Arm("+ coarse + fine", "rltf", (_weights(1.0, 0.0),)),
            "rltf": Arm("+ coarse + fine + adaptive", "rltf"),
        },
        (("coarse", "supervised"), ("fine", "coarse"), ("rltf", "fine"), ("rltf", "coarse"), ("rltf", "supervised")),
        warm=("run.updates=150", "agent.optimiser.length=150"),
    ),
}  # fmt: skip


# ------------------------------------------------------------------------------------------------------------ running


def warm(study: Practice, out: Path, seed: int, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe of the warm start that all arms of a seed begin with."""
    return demo.recipe("warm", out / f"seed-{seed}", seed, [*study.warm, *overrides])


def recipe(study: Practice, id: str, out: Path, seed: int, size: Size = WHOLE, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe of an arm, in a folder of its own below the seed's. Only its last policy is measured, by `measured`."""
    arm = study.arms[id]
    if arm.base == "warm":
        return warm(study, out, seed)
    changed = [size.fill(text, out) for text in (*study.changed, *arm.changed)]
    return demo.recipe(
        id, out / f"seed-{seed}", seed, [*changed, *size.changed, "run.eval_every=0", *overrides], arm.base
    )


def measured(
    study: Practice, id: str, out: Path, seed: int, measure: str, size: Size = WHOLE, overrides: Sequence[str] = ()
) -> Recipe:
    """A recipe without updates, which measures an arm's policy on whole problems, as they come without its curriculum."""
    if study.arms[id].base == "warm":  # measured as the arms are that go on from it
        study = replace(study, arms={id: replace(study.arms[id], base="rltf")})
    made = recipe(study, id, out, seed, size, overrides)
    folder = out / f"seed-{seed}"
    policy = {**made.policy, "path": str(folder / id / "policy")}
    env = {key: value for key, value in made.env.items() if not key.startswith("curriculum")}
    run = replace(made.run, out=str(folder / f"{id}-{measure}"), updates=0)
    return replace(made, run=run, env=env, policy=policy, eval=replace(made.eval, split=SPLITS[measure]))


def run(study: Practice, out: Path, seed: int, console: Console, size: Size, overrides: Sequence[str] = ()) -> Runs:
    """All arms from one warm start; the evaluations by measure and arm."""
    return run_arms(
        study, seed, console, warm(study, out, seed),
        lambda id: recipe(study, id, out, seed, size, overrides),
        lambda id, measure: measured(study, id, out, seed, measure, size, overrides),
    )  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    return guarded(lambda: command("benchmarks.studies.practice", __doc__ or "", STUDIES, run, arguments), STOPPED)


if __name__ == "__main__":
    leave(main())
