"""A small suite with records on it, and a headless Chromium by way of chromedriver and the W3C WebDriver protocol."""

from __future__ import annotations

import base64
import contextlib
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from benchmarks import evaluation, records, suites
from benchmarks.records import boards
from benchmarks.solvers.function import Function
from benchmarks.suites import Suite
from rltf_env import datasets, sandbox
from rltf_env.core import Failure, Problem

OPTIONS = {"size": 6, "seed": 1, "depths": [2]}


@pytest.fixture
def suite(monkeypatch: pytest.MonkeyPatch) -> Suite:
    """A suite of six problems, the only one that there is."""
    digest = datasets.digest(datasets.load("procedural", split="test", **OPTIONS))
    made = Suite("small", "procedural", "test", "Six problems.", digest, options=OPTIONS, samples=2, ks=(1, 2))
    monkeypatch.setattr(suites, "SUITES", {"small": made})
    return made


Rules = Callable[[str, Problem], Any] | Mapping[str, Any]
Write = Callable[[Problem, int, int], list[Any]]


def record(
    folder: Path, suite: Suite, write: Write, rules: Rules | None = None, name: str = "someone", **head: Any
) -> records.Record:
    """A finished record of what `write` answers, judged by rules (`rltf_env.sandbox.scripted`), with changes to its header."""
    problems, digest, status = suites.problems(suite)
    solver = Function("here:write", write)
    made = evaluation.header(suite, status, suite.departures(), digest, problems, solver, "scripted", name)
    records.begin(folder, {**made, **head})
    with sandbox.load("scripted", rules=rules) as judge:
        samples = evaluation.evaluate(suite, solver, problems, folder, judge)
    return evaluation.complete(folder, samples, {**made, **head})


@pytest.fixture
def make_record() -> Callable[..., records.Record]:
    """The function `record`."""
    return record


# -------------------------------------------------------------------------------------------------- ranked records

HOSTILE = "'</script><script>document.title = \"taken\"</script><img src=x onerror=\"document.title='taken'\">'"
NAME = '<b>evil</b> | "quoted" `x`'
BAD = f"def f(x):\n    {HOSTILE}\n    return x / 0\n"


def solver(passes: int) -> Any:
    """Solves the first `passes` problems that it is asked, and fails the others in a hostile way."""
    asked: list[str] = []

    def write(problem: Any, samples: int, seed: int) -> list[str]:
        asked.append(problem.id)
        return [problem.solutions[0] if len(asked) <= passes else BAD] * samples

    return write


def rules(source: str, problem: Any) -> Any:
    return Failure("ZeroDivisionError", HOSTILE, 3, "", ("ArithmeticError",)) if source == BAD else True


@dataclass(frozen=True)
class Ranked:
    """A folder with three records, of which one has a hostile name and hostile programs."""

    folder: Path
    name: str = NAME
    hostile: str = HOSTILE

    def board(self) -> boards.Board:
        """The one board, all of whose records can be read."""
        entries, broken = boards.load(self.folder)
        assert not broken
        (board,) = boards.boards(entries)
        return board

    def edit(self, path: str, **changes: Any) -> None:
        """Changes fields of a JSON file below the folder."""
        records.write_json(self.folder / path, {**records.read_json(self.folder / path), **changes})

    def protocol(self, record: str, **changes: Any) -> None:
        """Changes the protocol that a record's header names."""
        header = f"{record}/header.json"
        self.edit(header, suite={**records.read_json(self.folder / header)["suite"], **changes})


@pytest.fixture
def ranked(suite: Suite, tmp_path: Path) -> Ranked:
    """Records `r6` (good), `r5` (middling) and `r1` (the hostile one)."""
    for name, passes in (("good", 6), ("middling", 5), (NAME, 1)):
        record(tmp_path / f"r{passes}", suite, solver(passes), rules, name)
    return Ranked(tmp_path)


# ------------------------------------------------------------------------------------------------------------ browser

CHROMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def missing() -> str:
    """Why there is no browser to test in; "" if there is one."""
    if not any(map(shutil.which, CHROMES)):
        return f"no browser: install chromium (looked for {', '.join(CHROMES)})"
    return "" if shutil.which("chromedriver") else "no chromedriver: install chromium-driver"


class Browser:
    """One session."""

    def __init__(self, base: str, session: str) -> None:
        self.base = f"{base}/session/{session}"

    def call(self, method: str, path: str, body: Any = None) -> Any:
        return call(method, f"{self.base}/{path}", body)

    def open(self, url: str) -> None:
        self.call("POST", "url", {"url": url})

    def run(self, script: str, *arguments: Any) -> Any:
        """What a script's `return` gives; a promise is waited for."""
        return self.call("POST", "execute/sync", {"script": script, "args": list(arguments)})

    def click(self, selector: str) -> None:
        """As a user does: scrolled to, and refused if something lies above it."""
        found = self.call("POST", "element", {"using": "css selector", "value": selector})
        self.call("POST", f"element/{next(iter(found.values()))}/click", {})

    def until(self, script: str, seconds: float = 60.0) -> Any:
        """The first true value of a script."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if value := self.run(script):
                return value
        raise AssertionError(f"not true within {seconds} s: {script}")

    def emulate(self, width: int, height: int, *, dark: bool) -> None:
        """A screen of this size, and the user's wish for dark or light."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        feature = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.devtools("Emulation.setDeviceMetricsOverride", metrics)
        self.devtools("Emulation.setEmulatedMedia", {"features": feature})

    def devtools(self, command: str, parameters: dict[str, Any]) -> Any:
        return self.call("POST", "goog/cdp/execute", {"cmd": command, "params": parameters})

    def logs(self) -> list[str]:
        """What the console complained of since the last time."""
        return [entry["message"] for entry in self.call("POST", "se/log", {"type": "browser"})]

    def shot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.call("GET", "screenshot")))


def call(method: str, url: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=60) as reply:
            return json.load(reply)["value"]
    except urllib.error.HTTPError as error:
        raise AssertionError(error.read().decode()) from None


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A headless browser; skips, with the reason, where there is none."""
    if reason := missing():
        pytest.skip(reason)
    with started(tmp_path_factory.mktemp("browser")) as made:
        yield made


@contextlib.contextmanager
def started(profile: Path) -> Iterator[Browser]:
    """A browser that may use no network but the files it is given."""
    binary = next(filter(None, map(shutil.which, CHROMES)))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    driver = subprocess.Popen(
        ["chromedriver", f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    flags = [
        "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
        f"--user-data-dir={profile}", "--host-resolver-rules=MAP * ~NOTFOUND", "--window-size=1280,900",
    ]  # fmt: skip
    wanted = {"goog:chromeOptions": {"binary": binary, "args": flags}, "goog:loggingPrefs": {"browser": "ALL"}}
    base = f"http://127.0.0.1:{port}"
    try:
        session = _started(base, {"capabilities": {"alwaysMatch": wanted}}, driver)
        try:
            yield Browser(base, session)
        finally:
            call("DELETE", f"{base}/session/{session}")
    finally:
        driver.terminate()
        driver.wait(10)


def _started(base: str, wanted: Any, driver: subprocess.Popen[bytes]) -> str:
    end = time.monotonic() + 30
    while True:
        try:
            return call("POST", f"{base}/session", wanted)["sessionId"]
        except urllib.error.URLError:  # not listening yet
            if time.monotonic() > end or driver.poll() is not None:
                raise
