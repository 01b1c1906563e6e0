"""A judge's service of the tests' own: it answers each request as a test says, by the rules of `protocol`."""

from __future__ import annotations

import http.server
import json
import socket
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator
from typing import Any

from rltf_env.core import CallCase, CaseResult, Outcome, Problem, Verdict
from rltf_env.errors import SandboxError
from rltf_env.sandbox import protocol
from rltf_env.sandbox.client import RemoteSandbox
from rltf_env.sandbox.http import load

ADD = Problem("add", "", [CallCase((1, 2), 3)], "add")
PASSED = Verdict((CaseResult(Outcome.PASSED),), judged_by="fake/full:")
ABOUT = {"rltf": "0", "python": "3", "judge": "fake/full:", "options": {}, "body": 1 << 20}
Rule = Callable[["Fake", http.server.BaseHTTPRequestHandler, list[Any]], None]


class Fake:
    """A service that treats its requests by `rules`, one after the other, and then well. `handed` counts programs."""

    def __init__(self, *rules: Rule, about: dict[str, Any] = ABOUT, port: int = 0) -> None:
        self.rules, self.about = deque(rules), about
        self.handed: Counter[str] = Counter()
        self.batches: list[int] = []
        self.stop = threading.Event()
        fake = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                reply(self, 200, fake.about)

            def do_POST(self) -> None:
                jobs = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["jobs"]
                rule = fake.rules.popleft() if fake.rules else judge
                rule(fake, self, jobs)

            def log_message(self, format: str, *arguments: object) -> None:
                return

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # type: ignore[method-assign]
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self) -> Fake:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def reply(handler: Any, status: int, body: Any, **headers: str) -> None:
    text = json.dumps(body).encode()
    handler.send_response(status)
    for name, value in {"Content-Length": str(len(text)), **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(text)


def stream(handler: Any, lines: Iterator[str] | list[str], *, end: bool = True) -> None:
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    for line in lines:
        handler.wfile.write(f"{len(line):x}\r\n{line}\r\n".encode())
    if end:
        handler.wfile.write(b"0\r\n\r\n")


def judge(fake: Fake, handler: Any, jobs: list[Any]) -> None:
    fake.batches.append(len(jobs))
    fake.handed.update(job["program"] for job in jobs)
    stream(handler, [protocol.encode_line(n, PASSED) for n in reversed(range(len(jobs)))])


def status(code: int, **headers: str) -> Rule:
    return lambda fake, handler, jobs: reply(handler, code, {"detail": "no"}, **headers)


def half(fake: Fake, handler: Any, jobs: list[Any]) -> None:
    """Answers the first half of the jobs and dies."""
    part = jobs[: len(jobs) // 2]
    fake.handed.update(job["program"] for job in part)
    stream(handler, [protocol.encode_line(n, PASSED) for n in range(len(part))], end=False)
    hang_up(fake, handler, jobs)


def hang_up(fake: Fake, handler: Any, jobs: list[Any]) -> None:
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


def silence(fake: Fake, handler: Any, jobs: list[Any]) -> None:
    fake.stop.wait(20)


def failed(fake: Fake, handler: Any, jobs: list[Any]) -> None:
    stream(handler, [protocol.encode_line(n, SandboxError("down")) for n in range(len(jobs))])


def opened(*fakes: Fake, **options: Any) -> RemoteSandbox:
    return load([fake.url for fake in fakes], **{"patience": 5.0, "wait": 20.0, **options})


def programs(count: int) -> list[tuple[str, Problem]]:
    return [(str(n), ADD) for n in range(count)]
