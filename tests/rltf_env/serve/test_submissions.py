"""`POST /submit` and ScaleBox's routes: a whole program in a request, and 504 for all that says nothing on it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from rltf_env.core import Problem, ScriptCase
from rltf_env.errors import SandboxError
from rltf_env.sandbox import scripted

ROUTES = ("/submit", "/common_evaluate", "/common_evaluate_batch")
SUM = "Sure:\n```python\na, b = map(int, input().split())\nprint(a + b)\n```\n"
STREAMS = [
    {"input": {"stdin": "1 2"}, "output": {"stdout": "3"}},
    {"input": {"stdin": "3 4"}, "output": {"stdout": "7"}},
]
BATCH = {"type": "stdin_stdout", "input": ["1 2", "3 4"], "output": ["3", "7"], "fn_name": None}
CALLS = {
    "type": "function_call",
    "fn_name": "add",
    "input": [[1, 2], [3, 4]],
    "output": [[3], [7]],
    "json_input": False,
}
CASE = {"type": "stdin_stdout", "input": "1 2", "output": "3"}
CALL = {"type": "function_call", "fn_name": "add", "input": [1, 2], "output": [3]}
ASSERT = {"type": "assert", "entry_point": "add", "test": "def check(candidate):\n    assert candidate(1, 2) == 3\n"}
ADD = "```python\ndef add(a, b):\n    return a + b\n```"


def asked(completion: str, data: Any = None, extra: Any = None, **more: Any) -> dict[str, Any]:
    """A request as the clients send it, with the fields that they always fill."""
    config = {
        "dataset_type": None, "language": "python", "locale": None, "is_fewshot": None, "compile_timeout": None,
        "run_timeout": 10, "custom_extract_logic": None, "provided_data": data, "extra": extra or {},
    }  # fmt: skip
    return {"dataset": "own", "id": 0, "completion": completion, "config": config, **more}


def broken(source: str, problem: Problem) -> bool:
    raise ZeroDivisionError


def passes(reply: Any) -> list[bool]:
    assert reply.status == 200, reply.text
    return [case["passed"] for case in reply.json["tests"]]


def test_an_answer_comes_back_as_sandboxfusion_tells_it(judging: Any) -> None:
    reply = judging.post("/submit", asked(SUM, {"id": 0, "content": "Add.", "labels": {}, "test": STREAMS})).json
    run = {"status": "Finished", "execution_time": reply["tests"][0]["exec_info"]["run_result"]["execution_time"]}
    ran = run | {"return_code": 0, "stdout": "3\n", "stderr": ""}
    assert reply["tests"][0] == {
        "passed": True,
        "exec_info": {
            "status": "Success", "message": "", "compile_result": None, "run_result": ran, "executor_pod_name": None,
            "files": {},
        },
        "test_info": STREAMS[0],
    }  # fmt: skip
    assert {name: value for name, value in reply.items() if name != "tests"} == {
        "id": 0, "accepted": True, "extracted_code": "a, b = map(int, input().split())\nprint(a + b)\n",
        "full_code": None, "test_code": None, "extracted_type": None, "extra": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("completion", "data"),
    [
        (SUM, {"test": STREAMS}),
        (SUM, {"test": json.dumps(STREAMS)}),
        (SUM, [{"id": 1, "test": []}, {"id": 0, "test": STREAMS}]),
        (SUM, {"test_cases": BATCH}),
        (SUM, {"test_cases": json.dumps(BATCH)}),
        (SUM, {"test_cases": [{"type": "stdin_stdout", "input": "1 2", "output": "3"}] * 2}),
        (ADD, {"test_cases": CALLS}),
        (ADD, {"test_cases": {"fn_name": "add", "input": [[1, 2], ["a", "b"]], "output": [[3], ["ab"]]}}),
        (ADD, {"test_cases": [{"fn_name": "add", "input": [1, 2], "output": [3]}] * 2}),
        (ADD, {"test_cases": CALLS | {"json_input": True, "input": ["1\n2", '"a"\n"b"'], "output": ["3", '"ab"']}}),
        (
            "```python\nclass Solution:\n    def add(self, a: List[int], b: int) -> int:\n        return a + b\n```",
            {"test_cases": CALLS},
        ),
    ],
)
def test_tests_of_all_shapes_judge_alike(judging: Any, completion: str, data: Any) -> None:
    for route in ROUTES:  # the second and the third are remembered
        assert passes(judging.post(route, asked(completion, data))) == [True, True]


def test_humaneval_s_check_is_one_case(judging: Any) -> None:
    test = "\n\ndef check(candidate):\n    assert candidate(1, 2) == 3\n    assert candidate(3, 4) == 7\n"
    data = {"test_cases": {"type": "assert", "entry_point": "add", "test": test}}
    assert passes(judging.post("/common_evaluate_batch", asked(ADD, data))) == [True]
    assert passes(judging.post("/common_evaluate_batch", asked(ADD.replace("+", "-"), data))) == [False]


def test_every_check_of_a_list_counts(judging: Any) -> None:
    second = ASSERT | {"test": "def check(candidate):\n    assert candidate(5, 5) == 10\n"}
    data = {"test_cases": [ASSERT, second]}
    assert passes(judging.post("/common_evaluate", asked(ADD, data))) == [True, True]
    by_heart = "```python\ndef add(a, b):\n    return 3\n```"
    assert passes(judging.post("/common_evaluate", asked(by_heart, data))) == [True, False]


def test_what_fails_ends_the_list_unless_all_is_asked_for(judging: Any) -> None:
    data = {"test_cases": BATCH | {"output": ["3", "8"], "input": ["1 3", "4 4"]}}
    reply = judging.post("/common_evaluate_batch", asked(SUM, data))
    assert passes(reply) == [False]
    assert reply.json["accepted"] is False
    assert reply.json["tests"][0]["exec_info"]["status"] == "Success"  # it ran; the answer is wrong
    assert passes(judging.post("/common_evaluate_batch", asked(SUM, data, {"run_all_cases": True}))) == [False, True]


@pytest.mark.parametrize(
    ("completion", "status"),
    [("no program", None), ("```python\nx = (\n```", "Failed"), ("```python\n1 / 0\n```", "Failed")],
)
def test_an_answer_that_is_no_program_is_not_accepted(judging: Any, completion: str, status: str | None) -> None:
    reply = judging.post("/submit", asked(completion, {"test": STREAMS})).json
    assert (reply["accepted"], reply["tests"][0]["passed"]) == (False, False)
    assert status in (None, reply["tests"][0]["exec_info"]["status"])


def test_scalebox_s_verl_client_needs_neither_dataset_nor_id(judging: Any) -> None:
    config = {"language": "python", "compile_timeout": 30, "run_timeout": 30, "memory_limit_mb": 1024,
              "provided_data": {"test_cases": BATCH},
              "extra": {"run_all_cases": True, "total_timeout": 30, "special_judge_program": None,
                        "special_judge_language": None}}  # fmt: skip
    assert passes(judging.post("/common_evaluate_batch", {"completion": SUM, "config": config})) == [True, True]


def test_problems_of_the_service_go_by_name_and_hide_their_tests(serve: Any, problem: Problem) -> None:
    client = serve(problems=[problem, replace(problem, id="own/7")])
    for names in ({"dataset": "", "id": "add"}, {"dataset": "own", "id": 7}, {"dataset": "own", "id": "own/7"}):
        reply = client.post("/submit", asked(ADD, **names))
        assert passes(reply) == [True] * len(reply.json["tests"])
        assert reply.json["tests"][0]["test_info"] is None
    assert client.post("/submit", asked(ADD, id="nope")).status == 422


def test_code_that_is_given_for_free_goes_before_the_answer(judging: Any, serve: Any, problem: Problem) -> None:
    judge = scripted.load(lambda source, problem: source.startswith("import math\n"))
    client = serve(sandbox=judge, problems=[replace(problem, prefix="import math\n", solutions=())])
    reply = client.post("/submit", asked(ADD, id="add")).json
    assert reply["accepted"] is True
    assert reply["full_code"].startswith("import math\n")
    assert reply["extracted_code"].startswith("def add")


def test_prompts_show_no_tests(serve: Any, problem: Problem) -> None:
    client = serve(problems=[problem, replace(problem, id="own/7"), replace(problem, id="own/8")])
    assert client.get("/list_datasets").json == ["", "own"]
    page = {"dataset": "own", "config": asked("")["config"]}
    assert client.post("/list_ids", page).json == ["own/7", "own/8"]
    assert client.post("/list_ids", {**page, "dataset": ""}).json == ["add", "own/7", "own/8"]
    (shown,) = client.post("/get_prompts", {**page, "offset": 1, "limit": 5}).json
    assert shown == {"id": "own/8", "prompt": "Add.\n", "labels": {"entry_point": "add"}}
    assert client.post("/get_prompt_by_id", {**page, "id": 8}).json == shown
    assert client.post("/get_prompt_by_id", {**page, "id": 9}).status == 422


def test_equal_tests_are_one_problem_that_the_judge_remembers(serve: Any) -> None:
    judge = scripted.load(default=True)
    client = serve(sandbox=judge)
    for _ in range(3):
        client.post("/submit", asked(SUM, {"test": STREAMS}))
    assert len({id(problem) for _, problem in judge.requests}) == 1


@pytest.mark.parametrize(
    "data",
    [
        {}, [], {"test": []}, {"test": "["}, {"test": [{}]}, {"test": [{"input": {}, "output": {}}]}, {"id": 1},
        {"test": [{"input": {"stdin": 1}, "output": {"stdout": ""}}]},
        {"test": [{"input": {"stdin": "", "a.txt": ""}, "output": {"stdout": ""}}]},
        {"test_cases": {}}, {"test_cases": []}, {"test_cases": 3}, {"test_cases": [3]}, {"test_cases": "x"},
        {"test_cases": BATCH | {"type": "magic"}}, {"test_cases": BATCH | {"output": ["3"]}},
        {"test_cases": BATCH | {"input": [1, 2]}}, {"test_cases": CALLS | {"fn_name": 3}},
        {"test_cases": CALLS | {"output": [3, 7]}}, {"test_cases": CALLS | {"output": [[], []]}},
        {"test_cases": CALLS | {"json_input": True, "input": ["{", "x"], "output": ["", ""]}},
        {"test_cases": [{"input": "1"}]}, [{"id": 4, "test": STREAMS}, {"id": 5, "test": STREAMS}],
        {"test_cases": {"type": "assert", "test": "", "entry_point": "__import__('os')"}},
        {"test_cases": {"type": "assert", "test": ""}},
        {"test_cases": [CASE, CASE | {"type": "function_call", "fn_name": "add"}]},
        {"test_cases": [CALL, CALL | {"fn_name": "sub"}]}, {"test_cases": [CALL, CALL | {"json_input": True}]},
        {"test_cases": [ASSERT, ASSERT | {"entry_point": "sub"}]}, {"test_cases": [ASSERT, CASE]},
    ],
)  # fmt: skip
def test_tests_of_no_known_shape_are_refused(judging: Any, data: Any) -> None:
    reply = judging.post("/common_evaluate_batch", asked(SUM, data, id=9))
    assert (reply.status, list(reply.json)) == (422, ["detail"])


@pytest.mark.parametrize(
    ("change", "extra"),
    [
        ({"custom_extract_logic": "import os"}, None),
        ({"language": "cpp"}, None),
        ({"dataset_type": "HumanEvalDataset"}, None),
        ({"run_timeout": 0}, None),
        ({}, {"special_judge_program": "import sys; sys.exit(0)"}),
    ],
)
def test_what_the_service_does_not_do_is_refused(judging: Any, change: dict[str, Any], extra: Any) -> None:
    body = asked(SUM, {"test": STREAMS}, extra)
    body["config"] |= change
    assert judging.post("/submit", body).status == 422


@pytest.mark.parametrize("route", ROUTES)
def test_a_judge_that_cannot_judge_is_504_and_nothing_else(serve: Any, held: Any, route: str) -> None:
    body = asked(SUM, {"test": STREAMS})
    assert serve(sandbox=scripted.load(default=SandboxError("down"))).post(route, body).status == 504
    assert serve(sandbox=scripted.load(broken)).post(route, body).status == 504
    busy = serve(sandbox=held, patience=0.2)
    assert busy.post(route, body).status == 504
    assert "rltf_programs_inside 0" in busy.get("/metrics").text


def test_a_client_s_own_clock_is_minded(serve: Any, held: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from rltf_env.serve import fusion

    monkeypatch.setattr(fusion, "EARLY", fusion.MARGIN)
    body = asked(SUM, {"test": STREAMS})
    body["config"] |= {"compile_timeout": 0.1, "run_timeout": 0.1}
    assert serve(sandbox=held).post("/submit", body).status == 504


def test_limits_of_the_request_count(judging: Any) -> None:
    body = asked("```python\ninput()\nwhile True: pass\n```", {"test": STREAMS})
    body["config"]["run_timeout"] = 0.1
    reply = judging.post("/submit", body).json
    result = reply["tests"][0]["exec_info"]["run_result"]
    assert result["status"] == "TimeLimitExceeded"
    assert result["execution_time"] < 0.4


def test_a_script_that_was_sent_is_run_in_the_cage_alone(serve: Any) -> None:
    judge = scripted.load(default=True)
    data = {"test_cases": {"type": "assert", "entry_point": "add", "test": "raise SystemExit"}}
    serve(sandbox=judge).post("/submit", asked(ADD, data))
    ((_, problem),) = judge.requests
    assert problem.cases == (ScriptCase("raise SystemExit\ncheck(add)\n"),)
