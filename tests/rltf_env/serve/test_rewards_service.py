"""The routes of OpenRLHF and slime: a number for each answer, or an error; never a number for a judge that failed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rltf_env import plain
from rltf_env.core import Problem
from rltf_env.errors import SandboxError
from rltf_env.sandbox import scripted

GOOD = "Here it is:\n```python\ndef add(a, b):\n    return a + b\n```\n"
BAD = "```python\ndef add(a, b):\n    return 3\n```"


def test_openrlhf_gets_rewards_scores_and_logs(judging: Any) -> None:
    body = {"query": [f"Q{GOOD}", f"Q{BAD}"], "prompts": ["Q", "Q"], "labels": ["add", "add"]}
    reply = judging.post("/get_reward", body)
    assert reply.json == {
        "rewards": [1.0, pytest.approx(-0.3)],
        "scores": [1.0, 0.5],
        "extra_logs": {"passed": [1.0, 0.0]},
    }


def test_slime_gets_a_bare_number(judging: Any) -> None:
    for prompt in ("Q", [{"role": "user", "content": "Q"}]):
        assert judging.post("/reward", {"prompt": prompt, "response": GOOD, "label": "add"}).json == 1.0


def test_code_in_the_prompt_is_not_the_answer(judging: Any) -> None:
    body = {"query": [f"{GOOD}No idea."], "prompts": [GOOD], "labels": ["add"]}
    assert judging.post("/get_reward", body).json["scores"] == [0.0]


def test_a_label_may_be_a_whole_problem(judging: Any, problem: Problem) -> None:
    row = plain.encode_problem(problem)
    for label in (row, json.dumps(row)):
        assert judging.post("/reward", {"prompt": "", "response": GOOD, "label": label}).json == 1.0


def test_given_code_goes_before_the_answer(judging: Any, problem: Problem) -> None:
    row = plain.encode_problem(problem) | {"prefix": "def add(a, b):\n", "solutions": []}
    assert judging.post("/reward", {"response": "```python\n    return a + b\n```", "label": row}).json == 1.0


@pytest.mark.parametrize("label", ["nope", "{", {"id": "x"}, 3])
def test_a_label_that_names_no_problem_is_refused(judging: Any, label: Any) -> None:
    assert judging.post("/reward", {"response": GOOD, "label": label}).status == 422


def test_lists_of_different_lengths_are_refused(judging: Any) -> None:
    assert judging.post("/get_reward", {"query": ["a"], "prompts": [], "labels": ["add"]}).status == 422


def test_a_judge_that_fails_is_no_number(serve: Any, problem: Problem) -> None:
    client = serve(sandbox=scripted.load(default=SandboxError("down")), problems=[problem])
    assert client.post("/reward", {"response": "x", "label": "add"}).status == 503
    body = {"query": ["x"] * 3, "prompts": [""] * 3, "labels": ["add"] * 3}
    assert client.post("/get_reward", body).status == 503
    assert "rltf_programs_inside 0" in client.get("/metrics").text


def test_the_service_s_judge_records_what_its_reward_reads(serve: Any, problem: Problem) -> None:
    client = serve(sandbox="auto", options={"workers": 1}, reward="executed", problems=[problem])
    assert client.get("/about").json["options"]["trace"] is True
    assert client.post("/reward", {"response": GOOD, "label": "add"}).status == 200


def test_the_reward_is_the_one_the_service_was_told(serve: Any, problem: Problem) -> None:
    client = serve(problems=[problem], reward="coarse")
    assert client.post("/reward", {"response": "x = 1", "label": "add"}).json == 1.0
