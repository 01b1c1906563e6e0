"""What a service says of itself: problems, health, metrics, its page."""

from __future__ import annotations

import re
import threading
from typing import Any

import pytest

from rltf_env import plain
from rltf_env.core import CallCase, Problem
from rltf_env.errors import SandboxError
from rltf_env.sandbox import scripted


def problems(count: int) -> list[Problem]:
    return [
        Problem(f"p/{n}", f"Say {n}.", [CallCase((), n)], "f", solutions=[f"f = lambda: {n}"]) for n in range(count)
    ]


def test_problems_are_listed_in_pages_without_what_a_policy_must_not_see(serve: Any) -> None:
    client = serve(problems=problems(5))
    first = client.get("/problems?limit=3").json
    assert [row["id"] for row in first["problems"]] == ["p/0", "p/1", "p/2"]
    assert not {"cases", "solutions", "held_out", "meta"} & set(first["problems"][0])
    rest = client.get(f"/problems?limit=3&after={first['next']}").json
    assert ([row["id"] for row in rest["problems"]], rest["next"]) == (["p/3", "p/4"], None)


def test_a_whole_problem_comes_back_as_it_was(serve: Any) -> None:
    (known,) = problems(1)
    row = serve(problems=[known]).get("/problems/p/0?whole=true").json
    row.pop("digest")
    assert plain.decode_problem(row, "") == plain.decode_problem(plain.encode_problem(known), "")


def test_problems_may_be_sent_ahead(serve: Any, problem: Problem, digest: str) -> None:
    client = serve()
    assert client.post("/problems", {"problems": [plain.encode_problem(problem)]}).json == {"digests": [digest]}
    assert client.get(f"/problems/{digest}").json["id"] == "add"
    assert client.post("/judge", {"jobs": [{"program": "x", "digest": digest}]}).status == 200


def test_a_problem_that_is_not_there_is_404(serve: Any) -> None:
    assert serve().get("/problems/nope").status == 404


def test_two_problems_of_one_id_are_refused(problem: Problem) -> None:
    from rltf_env.errors import UsageError
    from rltf_env.sandbox.store import ProblemStore

    with pytest.raises(UsageError, match="'add' twice"):
        ProblemStore([problem, problem], 1000)


def test_what_was_sent_longest_ago_makes_room_and_what_was_named_stays(problem: Problem, digest: str) -> None:
    from rltf_env.sandbox.store import ProblemStore

    store = ProblemStore([problem], room=500)
    keys = [store.put(plain.encode_problem(each), "")[0] for each in problems(20)]
    assert store.get(digest) is problem
    assert store.get(keys[0]) is None
    assert store.get(keys[-1]) is not None
    assert store.used <= 500


def test_equal_problems_are_one_object(problem: Problem) -> None:
    from rltf_env.sandbox.store import ProblemStore

    store = ProblemStore([], room=10_000)
    row = plain.encode_problem(problem)
    assert store.put(row, "")[1] is store.put(dict(row), "")[1]


def test_health_has_the_judge_judge(serve: Any, held: Any, no_memory: None) -> None:
    client = serve(sandbox=held)
    replies: list[Any] = []
    thread = threading.Thread(target=lambda: replies.append(client.get("/health")))
    thread.start()
    while thread.is_alive():
        held.release()
        thread.join(0.01)
    assert (replies[0].status, replies[0].json) == (200, {"status": "ok"})


@pytest.mark.parametrize("silent", [True, False])
def test_a_judge_that_gives_no_verdict_is_not_healthy(serve: Any, held: Any, no_memory: None, silent: bool) -> None:
    client = serve(sandbox=held if silent else scripted.load(default=SandboxError("down")))
    assert client.get("/health").status == 503


@pytest.fixture
def no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """An earlier verdict proves nothing, and a proof must come soon."""
    queue = pytest.importorskip("rltf_env.serve.queue", exc_type=ImportError)
    monkeypatch.setattr(queue, "FRESH", 0.0)
    monkeypatch.setattr(queue, "PROBE", 0.5)


def test_about_names_the_judge_and_its_limits(judging: Any) -> None:
    about = judging.get("/about").json
    assert about["judge"].startswith("forkserver/")
    assert about["options"]["case_seconds"] == 0.5


def test_metrics_are_what_prometheus_reads(judging: Any) -> None:
    judging.post("/run_code", {"code": "1", "language": "python"})
    judging.get('/x"y\nz'.encode("unicode_escape").decode())
    text = judging.get("/metrics").text
    number = r"-?[0-9.e+-]+|\+Inf|NaN"
    line = re.compile(rf'(# (HELP|TYPE) \w+ .+|\w+(\{{(\w+="[^"\\\n]*",?)*\}})? ({number}))')
    assert all(line.fullmatch(each) for each in text.splitlines())
    assert 'route="/run_code",status="200"' in text
    assert 'route="other"' in text
    counts = [int(each.split()[-1]) for each in text.splitlines() if "_bucket" in each]
    assert counts == sorted(counts)
    assert f"rltf_verdict_seconds_count {counts[-1]}" in text


def test_the_page_shows_every_route_and_loads_nothing(serve: Any) -> None:
    client = serve()
    page, schema = client.get("/docs").text, client.get("/openapi.json").json
    assert all(path in page for path in schema["paths"])
    assert "<script" not in page
    assert "http" not in page.replace("HTTP", "")
    for calls in schema["paths"].values():
        assert all(call["description"] for call in calls.values())
