"""Inspect AI: our task and scorer in the real package, where it is installed, on a model that says what it is told."""

from __future__ import annotations

import math
from typing import Any

import pytest

pytest.importorskip("inspect_ai", reason="needs inspect-ai: pip install inspect-ai")

from inspect_ai import eval as evaluate
from inspect_ai.model import ModelOutput, ModelUsage, get_model

from rltf_env import datasets
from rltf_env.adapters.inspect_ai import unit_tests
from rltf_env.errors import DataError, UsageError

pytestmark = pytest.mark.filterwarnings("default")


def says(answers: list[str]) -> Any:
    outputs = [ModelOutput.from_content("mockllm/model", answer) for answer in answers]
    for output in outputs:
        output.usage = ModelUsage(input_tokens=1, output_tokens=1, total_tokens=2)  # or a tokenizer is fetched
    return get_model("mockllm/model", custom_outputs=outputs)


def log_of(task: Any, answers: list[str], folder: Any) -> Any:
    (log,) = evaluate(task, model=says(answers), log_dir=str(folder), display="none", max_samples=1)
    assert log.status == "success", log.error
    return log


def figures(log: Any) -> dict[str, dict[str, float]]:
    """By score and reducer: the first metric."""
    return {
        f"{score.name} {score.reducer or ''}".strip(): next(iter(score.metrics.values())).value
        for score in log.results.scores
    }


def test_a_program_is_scored_by_its_cases(double: str, world: Any, tmp_path: Any) -> None:
    log = log_of(unit_tests(double), [world.half], tmp_path)
    assert figures(log) == {"passed": 0.0, "pass_ratio": 0.5, "reward": pytest.approx(-0.3)}
    (sample,) = log.samples
    assert sample.scores["unit_tests"].answer == world.half
    assert log.eval.metadata["digest"] == datasets.digest([world.problem])


def test_several_samples_have_pass_at_k(double: str, world: Any, tmp_path: Any) -> None:
    log = log_of(unit_tests(double, samples=3, k=[1, 2]), [world.right, world.half, world.half], tmp_path)
    found = figures(log)
    assert found["passed pass_at_1"] == pytest.approx(1 / 3)
    assert found["passed pass_at_2"] == pytest.approx(2 / 3)


def test_a_failure_of_the_judge_is_unscored_and_no_0(double: str, world: Any, tmp_path: Any) -> None:
    log = log_of(unit_tests(double, judge_options={"sandbox": world.broken}), [world.right], tmp_path)
    (sample,) = log.samples
    score = sample.scores["unit_tests"]
    assert math.isnan(score.value)
    assert score.reason == "judge_failed"
    assert all(each.scored_samples == 0 and each.unscored_samples == 1 for each in log.results.scores)


def test_problems_of_another_digest_are_refused(double: str) -> None:
    with pytest.raises(DataError, match="digest"):
        unit_tests(double, digest="0" * 64)


def test_an_impossible_k_is_refused(double: str) -> None:
    with pytest.raises(UsageError, match="k <= samples"):
        unit_tests(double, samples=2, k=3)
