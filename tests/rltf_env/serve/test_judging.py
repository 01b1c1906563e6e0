"""`POST /judge`: a verdict for each job, as soon as it is there; all of a request is checked before any of it is judged."""

from __future__ import annotations

import http.client
import json
import math
import threading
import time
from typing import Any

import pytest

from rltf_env import plain, sandbox
from rltf_env.core import CallCase, Problem
from rltf_env.errors import SandboxError
from rltf_env.sandbox import protocol, scripted

pytest.importorskip("fastapi", reason="needs FastAPI: pip install 'rltf[serve]'")

from rltf_env.serve import judging as judging_module

GOOD = "def add(a, b):\n    return a + b\n"


def row(problem: Problem) -> dict[str, Any]:
    return plain.encode_problem(problem)


def test_a_whole_problem_a_known_one_and_a_digest_are_judged_alike(judging: Any, problem: Problem, digest: str) -> None:
    jobs = [
        {"program": GOOD, "problem": row(problem)},
        {"program": GOOD, "problem": "add"},
        {"program": GOOD, "problem": "add", "digest": digest},
        {"program": GOOD, "digest": digest},
        {"program": "def add(a, b):\n    return 3\n", "digest": digest},
    ]
    reply = judging.post("/judge", {"jobs": jobs})
    assert reply.status == 200
    verdicts = {line["n"]: plain.decode_verdict(line["verdict"], "") for line in reply.lines}
    assert [verdicts[n].pass_ratio for n in range(5)] == [1.0, 1.0, 1.0, 1.0, 0.5]


def test_a_verdict_is_that_of_a_judge_in_this_process(judging: Any, problem: Problem, digest: str) -> None:
    programs = [GOOD, "x = (", "def add(a, b):\n    return 1 / 0\n", "while True: pass", "def add(a, b):\n    print(a)"]
    reply = judging.post("/judge", {"jobs": [{"program": text, "digest": digest} for text in programs]})
    verdicts = dict(protocol.decode_line(json.dumps(line), "") for line in reply.lines)
    with sandbox.load(workers=1, case_seconds=0.5, memory_mb=300) as local:
        for number, text in enumerate(programs):
            assert local.run(text, problem).same(verdicts[number])


def test_values_that_json_has_no_word_for_cross_unchanged(judging: Any) -> None:
    values = [math.inf, (1, "\ud800"), {2: {3}}, 10**5000, 2j]
    asked = Problem("same", "", [CallCase((value,), value) for value in values], "f")
    reply = judging.post("/judge", {"jobs": [{"program": "def f(x):\n    return x", "problem": row(asked)}]})
    assert reply.lines[0]["verdict"]["results"][0][0] == 3
    assert [result[0] for result in reply.lines[0]["verdict"]["results"]] == [3] * 5


def test_an_unknown_digest_is_named_and_nothing_is_judged(serve: Any, digest: str, problem: Problem) -> None:
    judge = scripted.load(default=True)
    client = serve(sandbox=judge)
    body = {"jobs": [{"program": "x", "problem": row(problem)}, {"program": "x", "digest": "0" * 64}]}
    reply = client.post("/judge", body)
    assert (reply.status, reply.json) == (409, {"unknown": ["0" * 64]})
    assert not judge.requests


def test_a_problem_that_was_sent_once_is_known_by_its_digest(serve: Any, problem: Problem, digest: str) -> None:
    client = serve()
    assert client.post("/judge", {"jobs": [{"program": "x", "digest": digest}]}).status == 409
    first = {"jobs": [{"program": "x", "digest": digest}], "problems": [row(protocol.essence(problem))]}
    assert client.post("/judge", first).status == 200
    assert client.post("/judge", {"jobs": [{"program": "x", "digest": digest}]}).status == 200


def test_nobody_can_put_another_problem_under_a_digest(serve: Any, problem: Problem, digest: str) -> None:
    easy = Problem("add", "Add.", [CallCase((1, 2), None)], "add")
    client = serve()
    assert client.post("/judge", {"jobs": [{"program": "x", "problem": row(easy), "digest": digest}]}).status == 422
    sent = {"jobs": [{"program": "x", "digest": digest}], "problems": [row(easy)]}
    assert client.post("/judge", sent).json == {"unknown": [digest]}


def test_a_digest_that_is_not_the_named_problem_s_is_refused(serve: Any, problem: Problem) -> None:
    client = serve(problems=[problem])
    reply = client.post("/judge", {"jobs": [{"program": "x", "problem": "add", "digest": "0" * 64}]})
    assert reply.status == 422
    assert "expected the digest of problem 'add'" in reply.json["detail"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"jobs": {}},
        {"jobs": [1]},
        {"jobs": [{"program": "x"}]},
        {"jobs": [{"program": 1, "problem": "add"}]},
        {"jobs": [{"program": "x", "problem": "nope"}]},
        {"jobs": [{"program": "x", "problem": {"id": "p"}}]},
        {"jobs": [{"program": "x", "digest": "short"}]},
        {"jobs": [{"program": "x", "problem": "add", "timeout": 1}]},
        {"jobs": [], "problem": []},
        [],
    ],
)
def test_what_is_no_request_is_refused_with_a_sentence(serve: Any, problem: Problem, body: Any) -> None:
    reply = serve(problems=[problem]).post("/judge", body)
    assert reply.status == 422
    assert reply.json["detail"]


@pytest.mark.parametrize("body", [b"", b"{", b"[" * 100_000, b"\xff\xfe", b"1" * 5000])
def test_what_is_no_json_is_refused(serve: Any, body: bytes) -> None:
    assert serve().post("/judge", body).status == 422


def test_a_full_service_says_when_to_come_again(serve: Any, held: Any, problem: Problem) -> None:
    client = serve(sandbox=held, queue=2, problems=[problem])
    body = {"jobs": [{"program": str(n), "problem": "add"} for n in range(2)]}
    first: list[Any] = []
    thread = threading.Thread(target=lambda: first.append(client.post("/judge", body)))
    thread.start()
    wait_until(lambda: len(held.futures) == 2)
    reply = client.post("/judge", {"jobs": body["jobs"][:1]})
    assert (reply.status, reply.headers["retry-after"]) == (429, "1")
    held.release()
    thread.join()
    assert len(first[0].lines) == 2


def test_more_jobs_than_there_is_room_for_are_refused_for_good(serve: Any, problem: Problem) -> None:
    client = serve(queue=2, problems=[problem])
    assert client.post("/judge", {"jobs": [{"program": "x", "problem": "add"}] * 3}).status == 413


def test_verdicts_come_while_others_are_judged(serve: Any, held: Any, problem: Problem) -> None:
    client = serve(sandbox=held, problems=[problem])
    opened = http.client.HTTPConnection(client.place, timeout=30)
    body = {"jobs": [{"program": "1", "problem": "add"}, {"program": "2", "problem": "add"}]}
    opened.request("POST", "/judge", json.dumps(body), {"Content-Type": "application/json"})
    wait_until(lambda: len(held.futures) == 2)
    second, first = held.futures.pop(), held.futures[0]
    held.release()
    reply = opened.getresponse()
    assert json.loads(reply.readline())["n"] == 0
    assert first.done()
    assert not second.done()
    held.futures = [second]
    held.release()
    lines = [json.loads(line) for line in reply.read().splitlines() if line.strip()]
    opened.close()
    assert [line["n"] for line in lines] == [1]


def test_the_last_verdict_of_a_request_waits_for_nobody(
    serve: Any, problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("COMPANY", "BEAT"):
        monkeypatch.setattr(judging_module, name, 60.0)
    client, begin = serve(), time.monotonic()
    jobs = [{"program": f"x = {n}", "problem": row(problem)} for n in range(3)]
    assert len(client.post("/judge", {"jobs": jobs}).lines) == 3
    assert time.monotonic() - begin < 50


def test_a_client_that_hangs_up_takes_its_programs_with_it(serve: Any, held: Any, problem: Problem) -> None:
    client = serve(sandbox=held, queue=3, problems=[problem])
    opened = http.client.HTTPConnection(client.place, timeout=30)
    body = {"jobs": [{"program": str(n), "problem": "add"} for n in range(3)]}
    opened.request("POST", "/judge", json.dumps(body), {"Content-Type": "application/json"})
    wait_until(lambda: len(held.futures) == 3)
    opened.close()  # and not a word was read
    wait_until(lambda: all(future.cancelled() for future in held.futures))
    assert "rltf_programs_inside 0" in client.get("/metrics").text


def test_a_judge_that_fails_is_an_error_of_the_job_and_no_verdict(serve: Any, problem: Problem) -> None:
    rules = {"good": True, "bad": SandboxError("down")}
    client = serve(sandbox=scripted.load(rules), problems=[problem])
    jobs = [{"program": name, "problem": "add"} for name in rules]
    lines = {line["n"]: line for line in client.post("/judge", {"jobs": jobs}).lines}
    assert lines[0]["verdict"]["results"][0][0] == 3
    assert lines[1] == {"n": 1, "error": "SandboxError", "message": "down"}


def test_a_problem_that_cannot_be_judged_is_named_so(judging: Any) -> None:
    odd = Problem("odd", "", [CallCase((1,), 1)], "f", meta={"order": "sideways"})
    (line,) = judging.post("/judge", {"jobs": [{"program": "f = abs", "problem": row(odd)}]}).lines
    assert line["error"] == "InvalidProblem"


def test_what_is_not_judged_in_time_is_an_error_of_the_job(serve: Any, held: Any, problem: Problem) -> None:
    client = serve(sandbox=held, patience=0.2, problems=[problem])
    (line,) = client.post("/judge", {"jobs": [{"program": "x", "problem": "add"}]}).lines
    assert (line["n"], line["error"]) == (0, "SandboxError")


def test_no_jobs_are_answered_with_no_lines(serve: Any) -> None:
    reply = serve().post("/judge", {"jobs": []})
    assert (reply.status, reply.lines) == (200, [])


def wait_until(happens: Any, seconds: float = 20) -> None:
    end, pause = time.monotonic() + seconds, threading.Event()
    while not happens():
        assert time.monotonic() < end, "it did not happen"
        pause.wait(0.01)
