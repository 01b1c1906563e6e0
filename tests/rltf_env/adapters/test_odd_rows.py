"""What a trainer hands over by mistake is refused in words: answers that are no text, rows without a problem, uneven columns."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from rltf_env import datasets
from rltf_env.adapters import judge, lm_eval, openenv, openrlhf, skyrl, trl, verl
from rltf_env.env import UnitTestEnv
from rltf_env.errors import UsageError

PROBLEMS = datasets.load("procedural", size=2)
ID = PROBLEMS[0].id
OPTIONS: dict[str, Any] = {"dataset_options": {"size": 2}, "sandbox_options": {"workers": 1}}
ENV = UnitTestEnv(PROBLEMS, sandbox_options={"workers": 1})
REWARDS = openrlhf.reward_function("procedural", **OPTIONS)


def _skyrl(answer: Any, id: Any) -> Any:
    steps = skyrl.UnitTestSteps(None, {"reward_spec": {"ground_truth": id}}, {"dataset": "procedural", **OPTIONS})
    return steps.step(answer)


def _openenv(answer: Any, id: Any) -> Any:
    episodes = openenv.Episodes("procedural", **OPTIONS)
    return episodes.step(SimpleNamespace(answer=answer, problem=id))


DOORS: dict[str, Callable[[Any, Any], Any]] = {
    "trl": lambda answer, id: trl.reward_function(ENV)([answer], problem=[id]),
    "openrlhf": lambda answer, id: REWARDS([answer], ["p"], [id]),
    "verl": lambda answer, id: verl.compute_score("procedural", answer, id, **OPTIONS),
    "skyrl": _skyrl,
    "openenv": _openenv,
    "lm_eval": lambda answer, id: lm_eval.programs(
        [[answer]], [{"id": id, "judge": json.dumps({"dataset": "procedural", **OPTIONS})}]
    ),
}


@pytest.mark.parametrize("answer", [b"def f(x): ...", 3, 1.5, [{"role": "assistant", "content": [None]}], object()])
@pytest.mark.parametrize("door", DOORS)
def test_an_answer_that_is_no_text_is_refused(door: str, answer: Any) -> None:
    with pytest.raises(UsageError, match=r"Expected (an answer|a completion|a query)"):
        DOORS[door](answer, ID)


@pytest.mark.parametrize("id", [3, 1.5, ["p"], b"p"])
@pytest.mark.parametrize("door", DOORS)
def test_what_is_no_id_names_no_problem(door: str, id: Any) -> None:
    with pytest.raises(UsageError, match=r"Expected the id of a problem|Unknown problem"):
        DOORS[door]("p", id)


@pytest.mark.parametrize("id", [None, 3, ["p"], {}])
def test_a_source_names_what_it_was_asked_for(id: Any) -> None:
    with pytest.raises(UsageError, match="Unknown problem"):
        ENV.source.find(id)


@pytest.mark.parametrize("labels", [None, [], [ID, ID]])
def test_columns_are_of_one_length(labels: Any) -> None:
    with pytest.raises(UsageError, match="Expected as many queries"):
        REWARDS(["pa"], ["p"], labels)
    with pytest.raises(UsageError, match=r"Expected a (completion for each|column)"):
        trl.reward_function(ENV)(["a"], problem=labels)
    with pytest.raises(UsageError, match=r"Expected a (completion for each|column)"):
        trl.UnitTests(ENV)([[1]], problem=labels)


@pytest.mark.parametrize("ids", [[1.5], None, "abc", [[1]], [[1], [2, 3]], [10**30], [None]])
def test_ids_of_a_completion_are_integers(ids: Any) -> None:
    with pytest.raises(UsageError, match="Expected token ids as integers"):
        trl.UnitTests(ENV)([ids], problem=[ID])


@pytest.mark.parametrize("row", [{}, {"id": ID}, {"id": ID, "judge": "x"}, {"id": ID, "judge": "{}"}, None])
def test_a_document_was_made_by_documents(row: Any) -> None:
    with pytest.raises(UsageError, match="Expected a document made by"):
        lm_eval.programs([["a"]], [row])


def test_a_program_is_text() -> None:
    with pytest.raises(UsageError, match="Expected a program as text, got bytes"):
        ENV.program_of(PROBLEMS[0], b"def f(x): ...")  # type: ignore[arg-type]


def test_what_is_opened_has_a_name() -> None:
    with pytest.raises(UsageError, match=r"Expected the name of a dataset, .* got Problems"):
        judge.opened(PROBLEMS)  # type: ignore[arg-type]
    steps = skyrl.UnitTestSteps(None, {"reward_spec": {"ground_truth": ID}}, {"split": "train"})
    with pytest.raises(UsageError, match=r"Expected the name of a dataset, .* got none"):
        steps.step("p")
    with pytest.raises(UsageError, match="Expected at least 8 digits"):
        judge.check_digest(PROBLEMS, 12345678, "procedural")  # type: ignore[arg-type]


@pytest.mark.parametrize("which", ["dataset", "sandbox", "reward", "source", "curriculum"])
def test_options_are_names_and_values(which: str) -> None:
    options: dict[str, Any] = {"source": "uniform", f"{which}_options": 3}
    with pytest.raises(UsageError, match=f"Expected {which}_options to be a dict"):
        UnitTestEnv(PROBLEMS, **options)
