"""Who may ask, and how much: tokens, other sites' pages, the size of a body; nothing of a program is logged."""

from __future__ import annotations

import base64
import logging
import socket
from typing import Any

import pytest

from rltf_env.errors import UsageError
from rltf_env.sandbox import scripted
from rltf_env.serve.settings import Settings, is_loopback

ROUTES = ("/judge", "/run_code", "/problems", "/problems/x", "/about", "/metrics", "/docs", "/openapi.json", "/nothing")


def basic(token: str) -> str:
    return "Basic " + base64.b64encode(f"x:{token}".encode()).decode()


def test_every_route_but_health_asks_for_the_token(serve: Any, token: str) -> None:
    client = serve(token=token)
    for path in ROUTES:
        assert client.get(path).status == 401
        assert client.post(path, {}).status == 401
    assert client.get("/health").status == 200


@pytest.mark.parametrize(
    "shown",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer another token here",
        "Basic",
        "Basic !!!",
        "Basic eA==",
        basic("another"),
        "Digest x",
    ],
)
def test_another_token_is_refused_and_says_what_is_expected(serve: Any, token: str, shown: str) -> None:
    reply = serve(token=token).get("/about", Authorization=shown)
    assert reply.status == 401
    assert reply.headers["www-authenticate"].startswith("Basic")
    assert "Bearer" in reply.json["detail"]


def test_the_token_is_taken_as_bearer_and_as_basic_s_password(serve: Any, token: str) -> None:
    client = serve(token=token)
    for shown in (f"Bearer {token}", f"bearer {token}", basic(token)):
        assert client.get("/about", Authorization=shown).status == 200


def test_tokens_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch, serve: Any, token: str) -> None:
    from rltf_env.serve import gate

    compared: list[tuple[bytes, bytes]] = []

    def compare(a: bytes, b: bytes) -> bool:
        compared.append((a, b))
        return a == b

    monkeypatch.setattr(gate.hmac, "compare_digest", compare)
    client = serve(token=token)
    client.get("/about", Authorization="Bearer x")
    client.get("/about", Authorization=f"Bearer {token}")
    assert len(compared) == 2
    assert {len(side) for pair in compared for side in pair} == {32}  # no length is told either


def test_without_a_token_nothing_but_loopback_is_served() -> None:
    for host in ("0.0.0.0", "::", "10.0.0.1", "example.org"):
        with pytest.raises(UsageError, match="Expected a token"):
            Settings(host=host)
    assert all(map(is_loopback, ("127.0.0.1", "127.8.8.8", "localhost", "::1", "[::1]")))


def test_a_token_that_could_be_guessed_is_refused() -> None:
    for short in ("short", "a line\nand another one", "ünïcödé ünïcödé ünïcödé"):
        with pytest.raises(UsageError, match="Expected a token of 16"):
            Settings(token=short)


def test_a_page_of_another_site_reaches_nothing(serve: Any) -> None:
    client = serve()
    assert client.get("/about", Origin="https://evil.example").status == 403
    assert client.get("/about", Origin="null").status == 403
    assert client.get("/about", Host="evil.example:8080").status == 403
    assert client.get("/about", Origin=client.url, Host="localhost:1").status == 200


def test_a_body_that_is_too_long_is_refused_before_it_is_read(serve: Any) -> None:
    client = serve(body=1000)
    assert client.post("/judge", b" " * 1001).status == 413
    assert client.post("/run_code", b" " * 1001).status == 413
    assert client.post("/judge", b'{"jobs": []}').status == 200


def test_a_body_without_a_length_is_counted_as_it_comes(serve: Any) -> None:
    client = serve(body=1000)
    chunk = b"1f4\r\n" + b" " * 500 + b"\r\n"
    assert (
        raw(client, b"POST /judge HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n" + 3 * chunk) == 413
    )


def test_a_body_that_does_not_come_is_not_waited_for(serve: Any) -> None:
    client = serve(upload=0.1)
    assert raw(client, b"POST /judge HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 10\r\n\r\n{") == 408


def raw(client: Any, request: bytes) -> int:
    host, port = client.place.split(":")
    with socket.create_connection((host, int(port)), timeout=10) as opened:
        opened.sendall(request)
        return int(opened.recv(100).split()[1])


def test_nothing_of_a_program_or_its_output_is_logged(
    serve: Any, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    secret = "hush" * 4

    def rule(source: str, problem: Any) -> Any:
        raise ValueError(source)

    client = serve(sandbox=scripted.load(rule))
    with caplog.at_level(logging.DEBUG):
        client.post("/run_code", {"code": secret, "language": "python"})
        client.post(
            "/judge",
            {
                "jobs": [
                    {"program": secret, "problem": {"id": "a", "statement": "", "cases": [{"stdin": "", "stdout": ""}]}}
                ]
            },
        )
        client.post("/run_code", {"code": secret, "language": secret, "stdin": 3})
        client.post("/reward", {"response": secret, "label": secret})
    seen = capfd.readouterr()
    assert secret not in caplog.text + seen.out + seen.err


def test_a_fault_is_logged_by_place_and_answered_without_its_words(
    serve: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from rltf_env.sandbox.store import ProblemStore

    def broken(self: Any, id: str) -> None:
        raise RuntimeError(id)

    monkeypatch.setattr(ProblemStore, "find", broken)
    client = serve()
    reply = client.post("/reward", {"response": "x", "label": "hushhush"})
    client.get("/about")  # the log is written behind the reply
    assert reply.status == 500
    assert "hush" not in reply.text + caplog.text
    assert "RuntimeError in" in caplog.text


def test_a_client_that_hangs_up_in_its_request_is_no_fault(serve: Any, caplog: pytest.LogCaptureFixture) -> None:
    client = serve()
    host, port = client.place.split(":")
    with socket.create_connection((host, int(port))) as opened:
        opened.sendall(b"POST /judge HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{")
    while 'route="/judge",status="' not in (metrics := client.get("/metrics").text):
        pass
    assert 'route="/judge",status="499"' in metrics
    assert not caplog.text
