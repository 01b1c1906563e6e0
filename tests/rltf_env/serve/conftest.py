"""Services on a free port of this machine, and a client without manners to ask them with."""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest

from rltf_env.core import CallCase, CaseResult, Outcome, Problem, Verdict
from rltf_env.sandbox import protocol, scripted

TOKEN = "a token of some length"


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.text.splitlines() if line]


class Client:
    """One connection for each request."""

    def __init__(self, url: str) -> None:
        self.url, self.place = url, urlsplit(url).netloc

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        """`body`: bytes as they are, anything else as JSON."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        opened = http.client.HTTPConnection(self.place, timeout=30)
        shown = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            opened.request(method, path, data, {"Content-Type": "application/json", **shown})
            reply = opened.getresponse()
            return Reply(reply.status, {k.lower(): v for k, v in reply.getheaders()}, reply.read().decode())
        finally:
            opened.close()

    def get(self, path: str, **headers: str) -> Reply:
        return self.ask("GET", path, **headers)

    def post(self, path: str, body: Any, **headers: str) -> Reply:
        return self.ask("POST", path, body, **headers)


class Held:
    """A sandbox whose verdicts come when the test says so."""

    def __init__(self) -> None:
        self.futures: list[Future[Verdict]] = []

    def submit(self, source: str, problem: Problem) -> Future[Verdict]:
        self.futures.append(Future())
        return self.futures[-1]

    def run(self, source: str, problem: Problem) -> Verdict:
        return self.submit(source, problem).result()

    def map(self, jobs: Any) -> Iterator[Verdict]:
        return (self.run(*job) for job in jobs)

    def close(self) -> None:
        return

    def release(self) -> None:
        """Passes all that is held and still wanted."""
        for future in self.futures:
            if future.set_running_or_notify_cancel():
                future.set_result(Verdict((CaseResult(Outcome.PASSED),)))
        self.futures.clear()


Opened = Callable[..., Client]


@pytest.fixture
def serve() -> Iterator[Opened]:
    """Opens services with these settings; they end with the test."""
    app = pytest.importorskip(
        "rltf_env.serve.app", reason="needs FastAPI: pip install 'rltf[serve]'", exc_type=ImportError
    )
    from rltf_env.serve.settings import Settings

    with contextlib.ExitStack() as stack:

        def opened(**settings: Any) -> Client:
            settings = {"port": 0, "sandbox": scripted.load(default=Outcome.PASSED), **settings}
            return Client(stack.enter_context(app.background(Settings(**settings))))

        yield opened


@pytest.fixture(scope="module")
def judging(request: pytest.FixtureRequest) -> Iterator[Client]:
    """A service with a real judge of one worker, and the problem `add`."""
    app = pytest.importorskip(
        "rltf_env.serve.app", reason="needs FastAPI: pip install 'rltf[serve]'", exc_type=ImportError
    )
    from rltf_env.serve.settings import Settings

    options = {"workers": 1, "case_seconds": 0.5, "memory_mb": 300}
    with app.background(Settings(port=0, options=options, problems=[add()])) as url:
        yield Client(url)


def add() -> Problem:
    return Problem(
        "add",
        "Add.",
        [CallCase((1, 2), 3), CallCase((2, 2), 4)],
        "add",
        solutions=["def add(a, b):\n    return a + b\n"],
    )


@pytest.fixture
def problem() -> Problem:
    return add()


@pytest.fixture
def digest(problem: Problem) -> str:
    return protocol.digest(problem)


@pytest.fixture
def held() -> Held:
    return Held()


@pytest.fixture
def token() -> str:
    return TOKEN
