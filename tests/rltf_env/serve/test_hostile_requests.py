"""Requests drawn from the service's own OpenAPI page, and worse: each is refused or answered, and none breaks it."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rltf_env import plain
from rltf_env.core import CallCase, Outcome, Problem
from rltf_env.sandbox import scripted

ADD = Problem("add", "Add.", [CallCase((1, 2), 3)], "add")
ROW = plain.encode_problem(ADD)
POSTS = {
    "/judge", "/run_code", "/submit", "/common_evaluate", "/common_evaluate_batch", "/get_prompts", "/get_prompt_by_id",
    "/list_ids", "/get_reward", "/reward", "/problems",
}  # fmt: skip
TESTS = {"test": [{"input": {"stdin": "\ud800"}, "output": {"stdout": "1"}}]}
CALLS = {"test_cases": {"fn_name": "add", "input": [[1, 2]], "output": [[3]]}}
TEXT = st.text(st.characters(), max_size=20) | st.sampled_from(
    ["add", "python", "\x00", "\ud800", "/", "..", "def add(a, b): return 3", "0" * 64, json.dumps(ROW), "{", "$tuple"]
)
NUMBER = st.integers() | st.floats() | st.sampled_from([0, -1, 10**400, 2**63])
JUNK = st.recursive(
    st.none() | st.booleans() | NUMBER | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    app = pytest.importorskip(
        "rltf_env.serve.app", reason="needs FastAPI: pip install 'rltf[serve]'", exc_type=ImportError
    )
    from rltf_env.serve.settings import Settings

    judge = scripted.load(default=Outcome.PASSED)
    with app.background(Settings(port=0, sandbox=judge, problems=[ADD], upload=0.5)) as url:
        yield url.removeprefix("http://")


def values(schema: dict[str, Any], page: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values of a JSON schema, now and then with something else in their place."""
    valid = _valid(schema, page)
    return st.one_of(valid, valid, valid, JUNK)


def _valid(schema: dict[str, Any], page: dict[str, Any]) -> st.SearchStrategy[Any]:
    if "$ref" in schema:
        return values(page["components"]["schemas"][schema["$ref"].rpartition("/")[2]], page)
    if "anyOf" in schema:
        return st.one_of([values(each, page) for each in schema["anyOf"]])
    match schema.get("type"):
        case "object" if schema.get("title") == "Config":
            known = _fields(schema, page)
            return (
                st.builds(lambda own, data: own | {"provided_data": data}, known, st.sampled_from([TESTS, CALLS]))
                | known
            )
        case "object" if "cases" in schema.get("properties", {}):
            return st.just(ROW) | _fields(schema, page)
        case "object":
            return _fields(schema, page)
        case "array":
            return st.lists(values(schema.get("items", {}), page), max_size=3)
        case "string":
            return TEXT
        case "integer" | "number":
            return NUMBER | st.integers(1, 10)
        case "boolean":
            return st.booleans()
        case "null":
            return st.none()
    return JUNK


def _fields(schema: dict[str, Any], page: dict[str, Any]) -> st.SearchStrategy[Any]:
    known = {name: values(each, page) for name, each in schema.get("properties", {}).items()}
    needed = {name: known.pop(name) for name in schema.get("required", ()) if name in known}
    extra = st.dictionaries(TEXT, JUNK, max_size=1)
    return st.builds(lambda own, more: {**more, **own}, st.fixed_dictionaries(needed, optional=known), extra)


def ask(place: str, method: str, path: str, body: bytes | None) -> int:
    opened = http.client.HTTPConnection(place, timeout=20)
    with contextlib.closing(opened):
        opened.request(method, path, body, {"Content-Type": "application/json"})
        reply = opened.getresponse()
        reply.read()
        return reply.status


def test_no_request_of_its_own_page_s_shape_breaks_the_service(client: str) -> None:
    opened = http.client.HTTPConnection(client, timeout=20)
    with contextlib.closing(opened):
        opened.request("GET", "/openapi.json")
        page = json.loads(opened.getresponse().read())
    routes = {
        path: calls["post"]["requestBody"]["content"]["application/json"]["schema"]
        for path, calls in page["paths"].items()
        if "post" in calls
    }
    assert set(routes) == POSTS
    bodies = st.one_of([st.tuples(st.just(path), values(schema, page)) for path, schema in routes.items()])
    seen: set[int] = set()

    @settings(max_examples=120, suppress_health_check=list(HealthCheck))
    @given(bodies)
    def fuzz(drawn: tuple[str, Any]) -> None:
        path, body = drawn
        status = ask(client, "POST", path, json.dumps(body).encode())
        seen.add(status)
        assert status in (200, 400, 409, 413, 422), (path, body, status)

    fuzz()
    assert {200, 422} <= seen


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(
    path=st.sampled_from(sorted(POSTS)),
    body=st.binary(max_size=50)
    | st.sampled_from([b"[" * 50_000, b'{"a":' * 50_000, b"NaN", b'"\\ud800"', b"1" * 10_000]),
)
def test_no_bytes_break_the_service(client: str, path: str, body: bytes) -> None:
    assert 400 <= ask(client, "POST", path, body) < 500


@pytest.mark.parametrize("where", ["args", "meta"])
def test_values_that_are_nested_too_deeply_are_the_client_s_fault(client: str, where: str) -> None:
    deep = "[" * 3000 + "]" * 3000  # from Python 3.12 on a level may take less than a frame
    row = json.dumps({**ROW, "cases": [{"args": ["DEEP"], "expected": 1}], "meta": {"note": "DEEP"}})
    row = row.replace('"DEEP"', deep if where == "args" else "1", 1).replace('"DEEP"', deep if where == "meta" else "1")
    assert ask(client, "POST", "/judge", f'{{"jobs": [{{"program": "", "problem": {row}}}]}}'.encode()) == 422


@pytest.mark.parametrize(
    "target",
    ["/problems?limit=0", "/problems?limit=x", "/problems?limit=" + "9" * 5000, "/problems?whole=maybe", "/problems/%00",
     "/problems/%ff", "/problems/..%2f..%2fetc", "/%", "//", "/nothing", "/judge"],
)  # fmt: skip
def test_no_address_breaks_the_service(client: str, target: str) -> None:
    assert 400 <= ask(client, "GET", target, None) < 500


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GARBAGE\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /judge HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST /judge HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        b"POST /judge HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
        b"POST /judge HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /about HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 200_000 + b"\r\n\r\n",
        b"GET /about HTTP/1.1\r\nHost: [\r\n\r\n",
        b"GET /about HTTP/1.1\r\nHost: localhost\r\nOrigin: http://[\r\n\r\n",
        b"TRACE /judge HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
)
def test_no_broken_http_breaks_the_service(client: str, request_bytes: bytes) -> None:
    host, port = client.split(":")
    with socket.create_connection((host, int(port)), timeout=20) as opened:
        with contextlib.suppress(OSError):  # it may hang up before all is said
            opened.sendall(request_bytes)
        with contextlib.suppress(ConnectionError):
            head = opened.recv(100)
            assert head == b"" or head.startswith(b"HTTP/1.1 4"), head
    assert ask(client, "GET", "/health", None) == 200
