"""Inspect AI: our problems as a task, our judge as a scorer. It needs inspect-ai, which this file imports.

    inspect eval rltf/unit_tests -T dataset=humaneval -T digest=151f7846 --model openai/...        where rltf is installed
    eval(unit_tests("humaneval", samples=20, k=10), model=...)                                    from Python

The scorer runs beside no sandbox of Inspect: programs run in our judge. What it could not judge is
*unscored*, which Inspect leaves out of its metrics and of pass@k, and counts (`unscored_samples`).
"""

# pyright: reportCallIssue=false, reportGeneralTypeIssues=false
# (where Inspect is not installed, a type checker takes this file for it)
from __future__ import annotations

from typing import Any

from inspect_ai import Epochs, Task, task  # pyright: ignore[reportMissingImports]
from inspect_ai.dataset import MemoryDataset, Sample  # pyright: ignore[reportMissingImports]
from inspect_ai.scorer import (  # pyright: ignore[reportMissingImports]
    Score,
    Scorer,
    Target,
    accuracy,
    mean,
    scorer,
    stderr,
)
from inspect_ai.solver import TaskState, generate  # pyright: ignore[reportMissingImports]

from rltf_env import answers, datasets, prompts
from rltf_env.adapters import judge
from rltf_env.errors import SandboxError, UsageError

UNJUDGED = "judge_failed"  # the reason of a score that is none


@task(name="rltf/unit_tests")  # Inspect finds a namespace only where package and distribution have one name
def unit_tests(
    dataset: str = "procedural",
    split: str | None = None,
    root: str | None = None,
    digest: str = "",
    limit: int | None = None,
    samples: int = 1,
    k: int | list[int] = 1,
    reward: str = "coarse",
    dataset_options: dict[str, Any] | None = None,
    judge_options: dict[str, Any] | None = None,
) -> Task:
    """A user message for each problem, an answer, the verdict on the program in it.

    Args:
        dataset, split, root, dataset_options: of `datasets.load`.
        digest: the first digits that the problems' digest must have; "" asks nothing.
        limit: the first so many problems.
        samples: answers for each problem (epochs). k: of pass@k, one or several, at most `samples`.
        reward: the reward whose total is the score `reward`.
        judge_options: further options of `UnitTestEnv`.
    """
    ks = [k] if isinstance(k, int) else list(k)
    if samples < 1 or not all(1 <= each <= samples for each in ks):
        raise UsageError(f"Expected samples of at least 1 and 1 <= k <= samples, got {samples} and {k}.")
    own = dataset_options or {}
    loaded = judge.problems(dataset, split, root, digest, **own)[:limit]
    how = {"split": split, "root": root, "dataset_options": own, "reward": reward, **(judge_options or {})}
    how = {name: value for name, value in how.items() if value not in (None, {})}
    rows = [Sample(prompts.message(problem)["content"], id=problem.id, target=problem.id) for problem in loaded]
    return Task(
        dataset=MemoryDataset(rows, name=dataset),
        solver=generate(),
        scorer=verdict(dataset, **how),
        epochs=Epochs(samples, ["mean", *(f"pass_at_{each}" for each in ks)]) if samples > 1 else None,
        metadata={"dataset": dataset, "split": split, "digest": datasets.digest(loaded)},
        version=1,
    )


@scorer(
    metrics={"passed": [accuracy(), stderr()], "pass_ratio": [mean(), stderr()], "reward": [mean(), stderr()]},
    name="unit_tests",
)
def verdict(dataset: str, **options: Any) -> Scorer:
    """`passed` (0 or 1), `pass_ratio` and `reward` of the program in an answer; unscored where the judge failed twice.

    Args:
        dataset, options: what `adapters.judge.opened` takes. The target of a sample is its problem's id.
    """

    async def score(state: TaskState, target: Target) -> Score:
        env = judge.opened(dataset, **options)
        problem = judge.find(env, target.text)
        answer = state.output.completion
        try:
            result = await judge.judged(env, problem, answer)
        except SandboxError as error:
            return Score.unscored(reason=UNJUDGED, answer=answers.whole(problem, answer), explanation=str(error))
        value = {**result.notes, "reward": result.reward}
        return Score(value=value, answer=result.program.text, explanation=result.failure or "passed")

    return score
