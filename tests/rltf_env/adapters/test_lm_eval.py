"""lm-evaluation-harness: the task's parts by their shapes, and the whole of it in the real package, where it is installed."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from rltf_env import datasets
from rltf_env.adapters import lm_eval as adapter
from rltf_env.errors import DataError, UnknownName, UsageError

pytest.importorskip("datasets", reason="lm-eval's rows are a Dataset: pip install datasets")


def judged(double: str, answers: list[str], ks: tuple[int, ...] = (1, 2), **options: Any) -> dict[str, float]:
    """One document through filter and metric, as lm-eval calls them."""
    config = adapter.task(double, samples=len(answers), ks=ks, judge_options=options)
    (doc,) = config["custom_dataset"](**config["dataset_kwargs"], version=1.0)["test"]
    (made,) = adapter.programs([answers], [doc])
    return adapter.pass_at_k(references=[doc["id"]], predictions=[made], k=list(ks))


def test_pass_at_k_is_over_the_answers_of_a_document(double: str, world: Any) -> None:
    figures = judged(double, [world.right, world.half, world.right])
    assert figures == {"pass@1": pytest.approx(2 / 3), "pass@2": 1.0, "unjudged": 0.0}


@pytest.mark.parametrize(
    ("n", "correct", "k", "value"), [(5, 0, 1, 0.0), (5, 2, 1, 0.4), (5, 2, 3, 0.9), (2, 1, 2, 1.0), (6, 2, 1, 1 / 3)]
)
def test_the_estimate_by_hand(n: int, correct: int, k: int, value: float) -> None:
    assert adapter.estimate(n, correct, k) == value  # rounded once


def test_a_document_without_samples_has_no_figure() -> None:
    figures = adapter.pass_at_k(["double"], [[]], 1)
    assert figures.keys() == {"pass@1", "unjudged"}
    assert all(math.isnan(each) for each in figures.values())
    with pytest.raises(UsageError, match="of one document, got 2 ids and programs of 1"):
        adapter.pass_at_k(["double", "double"], [[]], [1])


def test_a_failure_of_the_judge_is_no_wrong_answer(double: str, world: Any) -> None:
    figures = judged(double, [world.right, world.right], sandbox=world.broken)
    assert math.isnan(figures["pass@1"])
    assert figures["unjudged"] == 1.0
    assert adapter.mean([figures["pass@1"], 1.0, 0.0]) == 0.5
    assert math.isnan(adapter.mean([math.nan]))


def test_programs_that_did_not_go_through_the_filter_are_an_error() -> None:
    with pytest.raises(UsageError, match="filter"):
        adapter.pass_at_k(["double"], [["def f(x): return 2 * x  # from elsewhere"]], [1])


def test_problems_of_another_digest_are_refused(double: str) -> None:
    with pytest.raises(DataError, match="digest"):
        adapter.documents(double, digest="0" * 64)


def test_impossible_protocols_are_refused(double: str) -> None:
    with pytest.raises(UsageError, match="k <= samples"):
        adapter.task(double, samples=1, ks=(2,))
    with pytest.raises(UnknownName, match="prompt"):
        adapter.task(double, prompt="chats")


def test_a_base_model_goes_on_with_the_code_that_is_given(world: Any, tmp_path: Path) -> None:
    from dataclasses import replace

    problem = replace(world.problem, prefix="def f(x):\n")
    datasets.dump([problem], tmp_path / "given.jsonl")
    (doc,) = adapter.documents(str(tmp_path / "given.jsonl"), prompt="text")["test"]
    assert doc["prompt"].endswith("def f(x):")
    (made,) = adapter.programs([["    return 2 * x"]], [doc])
    assert adapter.pass_at_k([doc["id"]], [made], [1])["pass@1"] == 1.0


# ------------------------------------------------------------------------------------------- the real package


@pytest.fixture
def harness() -> Any:
    return pytest.importorskip("lm_eval", reason="needs lm-eval: pip install lm-eval")


def model(answers: list[str]) -> Any:
    from lm_eval.api.model import LM

    class Says(LM):
        """Says the given answers in turn."""

        def generate_until(self, requests: Any, disable_tqdm: bool = False) -> list[str]:
            return [answers[i % len(answers)] for i in range(len(requests))]

        def loglikelihood(self, requests: Any, disable_tqdm: bool = False) -> Any:
            raise NotImplementedError

        loglikelihood_rolling = loglikelihood

    return Says()


def evaluated(tasks: list[Any], answers: list[str], **options: Any) -> Any:
    from lm_eval import simple_evaluate

    return simple_evaluate(model=model(answers), tasks=tasks, log_samples=True, bootstrap_iters=0, **options)


@pytest.mark.filterwarnings("default")
def test_a_task_in_the_real_package(harness: Any, double: str, world: Any) -> None:
    config = adapter.task(double, name="rltf_double", samples=2, ks=(1, 2))
    results = evaluated([config], [world.right, world.half])
    figures = results["results"]["rltf_double"]
    assert figures["pass@1,judged"] == 0.5
    assert figures["pass@2,judged"] == 1.0
    assert figures["unjudged,judged"] == 0.0
    (sample,) = results["samples"]["rltf_double"]
    assert sample["doc"]["id"] == sample["target"] == "double"
    assert sample["filtered_resps"][0][0].startswith("def f(x):") or sample["filtered_resps"][0].startswith("def f(x):")


@pytest.mark.filterwarnings("default")
def test_a_yaml_file_is_the_same_task(harness: Any, double: str, world: Any, tmp_path: Path) -> None:
    from lm_eval.tasks import TaskManager

    folder = tmp_path / "tasks"
    folder.mkdir()
    digest = datasets.digest([world.problem])
    text = adapter.as_yaml(double, name="rltf_written", samples=2, ks=(1, 2), digest=digest)
    (folder / "rltf_written.yaml").write_text(text)
    manager = TaskManager(include_path=str(folder), include_defaults=False)
    results = evaluated(["rltf_written"], [world.right, world.half], task_manager=manager)
    assert results["results"]["rltf_written"]["pass@1,judged"] == 0.5


@pytest.mark.filterwarnings("default")
def test_a_judge_that_fails_gives_no_figure_in_the_real_package(harness: Any, double: str, world: Any) -> None:
    config = adapter.task(double, name="rltf_down", judge_options={"sandbox": world.broken})
    figures = evaluated([config], [world.right])["results"]["rltf_down"]
    assert math.isnan(figures["pass@1,judged"])
    assert figures["unjudged,judged"] == 1.0


def test_a_yaml_file_is_json_but_for_the_names_of_functions(double: str) -> None:
    lines = dict(line.split(": ", 1) for line in adapter.as_yaml(double).splitlines())
    assert json.loads(lines["repeats"]) == 1
    assert lines["custom_dataset"] == "!function rltf_env.adapters.lm_eval.documents"
