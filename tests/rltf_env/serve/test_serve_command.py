"""The command `rltf serve`: where it listens, what it refuses to start with, how it ends."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from rltf_env.serve import __main__ as command

fastapi = pytest.mark.skipif(find_spec("fastapi") is None or find_spec("uvicorn") is None, reason="needs rltf[serve]")


def test_without_fastapi_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in sys.modules if name.startswith("rltf_env.serve.") and name != command.__name__]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr(sys.modules["rltf_env.serve"], "app", raising=False)
    for name in ("fastapi", "uvicorn"):
        monkeypatch.setitem(sys.modules, name, None)
    assert command.main([]) == 2
    assert "pip install 'rltf[serve]'" in capsys.readouterr().err


@fastapi
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--host", "0.0.0.0"], "Expected a token"),
        (["--token-file", "nowhere"], "Expected a file with the token"),
        (["--set", "case_secnds=1"], "Did you mean 'case_seconds'?"),
        (["--set", "case_seconds"], "KEY=VALUE"),
        (["--dataset", "nope"], "nope"),
        (["--reward", "nope"], "Unknown reward"),
        (["--port", "99999"], "Expected a port from 0"),
        (["--host", "192.0.2.1", "--token-file", "TOKEN"], "rltf serve: "),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(
    arguments: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv(command.TOKEN, raising=False)
    (tmp_path / "token").write_text("a token of some length\n")
    paths = [str(tmp_path / "token") if each == "TOKEN" else each for each in arguments]
    assert command.main(["--port", "0", *paths]) == 2
    assert words in capsys.readouterr().err


@fastapi
@pytest.mark.parametrize("arguments", [["--queue", "0"], ["--port=-1"]])
def test_a_number_below_the_least_is_refused_in_a_sentence(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        command.main(arguments)
    assert "expected a whole number of at least" in capsys.readouterr().err


@pytest.fixture
def started(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    environment = {**os.environ, command.TOKEN: "a token of some length"}
    words = ["--port", "0", "--workers", "1", "--require", "none", "--dataset", "procedural:test"]
    words += ["--set", "case_seconds=0.5"]
    process = subprocess.Popen(
        [sys.executable, "-m", "rltf_env.serve", *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        yield process, process.stdout.readline()
    finally:
        process.kill()
        process.communicate()


@fastapi
def test_it_says_where_it_listens_and_ends_when_what_was_asked_is_answered(started: Any) -> None:
    process, line = started
    assert "rltf serve: http://127.0.0.1:" in line
    assert "with a token" in line
    place = line.split("http://")[1].split()[0]
    opened = http.client.HTTPConnection(place, timeout=60)
    headers = {"Authorization": "Bearer a token of some length", "Content-Type": "application/json"}
    opened.request("GET", "/problems?limit=1", headers=headers)
    (problem,) = json.loads(opened.getresponse().read())["problems"]
    jobs = [{"program": "while True: pass", "problem": problem["id"]}, {"program": "x = (", "problem": problem["id"]}]
    opened.request("POST", "/judge", json.dumps({"jobs": jobs}), headers)
    reply = opened.getresponse()
    first = reply.readline()  # the endless loop is being judged
    process.send_signal(signal.SIGTERM)
    lines = [json.loads(each) for each in (first + reply.read()).splitlines() if each.strip()]
    assert sorted(each["n"] for each in lines) == [0, 1]
    assert all("verdict" in each for each in lines)
    opened.close()
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, "", "")


@fastapi
def test_a_second_ctrl_c_answers_with_errors_and_one_line_and_cuts_off_who_is_still_sending(started: Any) -> None:
    process, line = started
    place = line.split("http://")[1].split()[0]
    headers = {"Authorization": "Bearer a token of some length", "Content-Type": "application/json"}
    sending = http.client.HTTPConnection(place, timeout=60)
    sending.request("POST", "/judge", b"{", {**headers, "Content-Length": "1000"})
    waiting = http.client.HTTPConnection(place, timeout=60)
    echo = {"id": "echo", "statement": "", "cases": [{"stdin": "", "stdout": str(n)} for n in range(400)]}
    loop = "import time\ntime.sleep(0.4)"  # on each of the cases
    waiting.request("POST", "/judge", json.dumps({"jobs": [{"program": loop, "problem": echo}] * 3}), headers)
    reply = waiting.getresponse()
    process.send_signal(signal.SIGINT)
    reply.readline()  # a sign of life: the first signal waits
    process.send_signal(signal.SIGINT)
    lines = [json.loads(each) for each in reply.read().splitlines() if each.strip()]
    assert [(each["n"], each["error"]) for each in lines] == [(n, "SandboxError") for n in range(3)]
    with pytest.raises((ConnectionError, http.client.RemoteDisconnected)):
        sending.getresponse()
    sending.close()
    waiting.close()
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, "")
    assert err == "WARNING rltf.serve ended before 3 programs were judged\n"
