"""`POST /run_code`: what SandboxFusion's clients read, and 504 for all that says nothing on the program."""

from __future__ import annotations

import base64
import socket
import threading
from typing import Any

import pytest

from rltf_env.errors import SandboxError
from rltf_env.sandbox import scripted


def asked(code: str, **more: Any) -> dict[str, Any]:
    """A request as verl's client sends it."""
    usual = {"compile_timeout": 10, "run_timeout": 10, "stdin": "", "memory_limit_MB": 1024, "language": "python"}
    return {**usual, "files": {}, "fetch_files": [], "code": code, **more}


@pytest.mark.parametrize(
    ("code", "status", "run", "returned", "stdout"),
    [
        ("print(int(input()) + 1)", "Success", "Finished", 0, "2\n"),
        ("import sys\nprint(3)\nsys.exit(0)", "Success", "Finished", 0, "3\n"),
        ("import sys\nprint(3)\nsys.exit(3)", "Failed", "Finished", 3, "3\n"),
        ("print(1)\n1 / 0", "Failed", "Finished", 1, "1\n"),
        ("x = (", "Failed", "Finished", 1, ""),
        ("while True: pass", "Failed", "TimeLimitExceeded", None, ""),
        ("import os\nos.kill(os.getpid(), 9)", "Failed", "Finished", 1, ""),
    ],
)
def test_a_run_is_told_as_sandboxfusion_tells_it(
    judging: Any, code: str, status: str, run: str, returned: int | None, stdout: str
) -> None:
    reply = judging.post("/run_code", asked(code, stdin="1\n"))
    assert reply.status == 200
    reply_body = reply.json
    assert set(reply_body) == {"status", "message", "compile_result", "run_result", "executor_pod_name", "files"}
    assert (reply_body["status"], reply_body["compile_result"]) == (status, None)
    result = reply_body["run_result"]
    assert (result["status"], result["return_code"], result["stdout"]) == (run, returned, stdout)
    assert isinstance(result["execution_time"], float)
    assert bool(result["stderr"]) == (status == "Failed")


def test_all_that_a_program_prints_comes_back(judging: Any) -> None:
    reply = judging.post("/run_code", asked("print('x' * 100_000)"))
    assert len(reply.json["run_result"]["stdout"]) == 100_001


def test_output_that_is_no_utf8_does_not_break_the_reply(judging: Any) -> None:
    reply = judging.post("/run_code", asked("import sys\nsys.stdout.buffer.write(b'\\xff\\x00')\nprint('\\u2028')"))
    assert reply.json["run_result"]["stdout"] == "\\xff\x00\u2028\n"


def test_a_failure_is_on_the_program_s_own_line(judging: Any) -> None:
    code = "from __future__ import annotations\nimport helper\n1 / helper.ZERO"
    files = {"helper.py": base64.b64encode(b"ZERO = 0").decode()}
    reply = judging.post("/run_code", asked(code, files=files))
    assert "line 3\nZeroDivisionError" in reply.json["run_result"]["stderr"]


def test_files_lie_in_the_program_s_folder(judging: Any) -> None:
    files = {"in/a.txt": base64.b64encode(b"hello").decode(), "none.txt": None}
    reply = judging.post("/run_code", asked("print(open('in/a.txt').read(), sorted(globals())[-1])", files=files))
    assert reply.json["run_result"]["stdout"].split()[0] == "hello"


@pytest.mark.parametrize(
    "more",
    [
        {"language": "cpp"},
        {"fetch_files": ["a"]},
        {"files": {"/etc/passwd": ""}},
        {"files": {"../x": ""}},
        {"files": {"x": "no base64!"}},
        {"files": {"": ""}},
        {"run_timeout": 0},
        {"run_timeout": "soon"},
        {"code": 1},
        {"stdin": 1},
    ],
)
def test_what_cannot_be_run_is_refused(serve: Any, more: dict[str, Any]) -> None:
    assert serve().post("/run_code", asked("x") | more).status == 422


def test_limits_are_the_smaller_of_the_client_s_and_the_service_s(judging: Any) -> None:
    reply = judging.post("/run_code", asked("while True: pass", run_timeout=0.1))
    assert reply.json["run_result"]["execution_time"] < 0.4
    reply = judging.post("/run_code", asked("x = bytearray(200 << 20)", memory_limit_MB=64))
    assert reply.json["status"] == "Failed"


def test_a_judge_that_fails_is_504(serve: Any) -> None:
    client = serve(sandbox=scripted.load(default=SandboxError("down")))
    assert client.post("/run_code", asked("x")).status == 504


def test_a_fault_of_the_service_is_504(serve: Any) -> None:
    client = serve(sandbox=scripted.load(lambda source, problem: 1 / 0))
    assert client.post("/run_code", asked("x")).status == 504


def test_input_that_no_stream_holds_is_a_fault_of_the_request(judging: Any) -> None:
    reply = judging.post("/run_code", asked("print(input())", stdin="\ud800"))
    assert (reply.status, reply.json["detail"].startswith("stdin: ")) == (422, True)


def test_a_full_queue_is_504_before_the_client_gives_up(serve: Any, held: Any) -> None:
    client = serve(sandbox=held, queue=1, waiting=1, patience=0.3)
    replies: list[int] = []
    threads = [
        threading.Thread(target=lambda: replies.append(client.post("/run_code", asked("x")).status)) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert replies == [504] * 4
    assert "rltf_programs_inside 0" in client.get("/metrics").text


def test_a_request_waits_for_room_and_is_then_answered(serve: Any, held: Any) -> None:
    client = serve(sandbox=held, queue=1)
    replies: list[int] = []
    threads = [
        threading.Thread(target=lambda: replies.append(client.post("/run_code", asked("x")).status)) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        held.release()
        threads[0].join(0.01)
    assert replies == [200] * 3


def test_a_body_that_does_not_come_is_504(serve: Any) -> None:
    """The client's own clock runs while it sends: what it pays for a late request is no program's fault."""
    client = serve(upload=0.1)
    host, port = client.place.split(":")
    with socket.create_connection((host, int(port)), timeout=10) as opened:
        opened.sendall(b"POST /run_code HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 10\r\n\r\n{")
        assert opened.recv(100).startswith(b"HTTP/1.1 504")
