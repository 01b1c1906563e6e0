"""Runs each case of a program in a Python process of its own: the portable runner, behind `subprocess`.

The worker starts `python _spawn.py FOLDER`; the folder holds the request and receives output and results, and goes away with
the case. Standard library only.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

POLL = 0.25  # seconds between looks at a process that is still running


def runner(options: dict[str, Any]) -> tuple[Any, str]:
    """`run(request)` for the referee, and the isolation level."""

    def run(request: dict[str, Any]) -> Any:
        reports, lines, spent = [], set(), 0.0
        for case in request["cases"]:
            folder = Path(tempfile.mkdtemp(prefix="rltf-"))
            try:
                said, report, ran = _run_case(folder, request["source"], case, options)
            finally:
                shutil.rmtree(folder, ignore_errors=True)
            if said is not None:
                return said, [], [] if options["trace"] else None
            reports.append(report)
            lines |= ran
            spent += report[0]["seconds"]
            if report[0]["timeout"] or spent > options["program_seconds"]:
                break
        return None, reports, sorted(lines) if options["trace"] else None

    return run, "rlimits" if os.name == "posix" else "none"


def _run_case(folder: Path, source: str, case: dict[str, Any], options: dict[str, Any]) -> Any:
    request = {"source": source, "case": case, "options": options}
    (folder / "request").write_text(json.dumps(request))
    (folder / "stdin").write_bytes(case["stdin"].encode("utf-8", "surrogateescape"))
    (folder / "lines").write_bytes(bytes(len(source) + 2) if options["trace"] else b"")
    (folder / "work").mkdir()
    command = [sys.executable, "-s", "-S", "-P", "-B", "-X", "utf8", __file__, str(folder)]
    with open(folder / "stdin", "rb") as stdin, open(folder / "stdout", "wb") as stdout:
        process = subprocess.Popen(
            command, stdin=stdin, stdout=stdout, stderr=subprocess.DEVNULL, cwd=folder / "work", start_new_session=True
        )
        record = _watch(process, options)
    said = _read(folder / "said", 1 << 20)
    cap = options["output_bytes"]
    output, results = _read(folder / "stdout", cap + 1), _read(folder / "result", cap + 4096)
    ran = {line for line, seen in enumerate(_read(folder / "lines", 1 << 30)) if seen}
    return json.loads(said) if said else None, (record, output, results), ran


def _read(path: Path, most: int) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(most)
    except FileNotFoundError:
        return b""


def _watch(process: subprocess.Popen[bytes], options: dict[str, Any]) -> dict[str, Any]:
    from rltf_env.sandbox._cage import cpu_seconds, waited

    start, timeout, usage = time.monotonic(), "", None
    limit, longest = options["case_seconds"] * 1.25 + 0.3, options["wall_seconds"] + 0.3
    while usage is None:
        usage = _reap(process, POLL)
        passed = time.monotonic() - start
        if usage is not None or timeout:
            break
        if cpu_seconds(process.pid) >= limit:
            timeout = "cpu"
        elif passed >= longest and passed - waited(process.pid) >= longest:
            timeout = "wall"
        if timeout:
            os.kill(process.pid, getattr(signal, "SIGABRT", signal.SIGTERM))
            usage = _reap(process, 0.3)
            process.kill()
            usage = usage or _reap(process, 10)
    _kill_group(process.pid)
    status, seconds = usage or (signal.SIGTERM, 0.0)
    return {"status": status, "seconds": seconds, "timeout": timeout}


def _reap(process: subprocess.Popen[bytes], patience: float) -> tuple[int, float] | None:
    """Status as wait(2) has it and CPU seconds, or None if it is still running after `patience` seconds."""
    end = time.monotonic() + patience
    while not hasattr(os, "wait4"):
        try:
            return process.wait(patience) << 8, 0.0
        except subprocess.TimeoutExpired:
            return None
    pause = 0.001
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            return status, usage.ru_utime + usage.ru_stime
        if time.monotonic() >= end:
            return None
        time.sleep(pause)
        pause = min(pause * 1.5, 0.02)


def _kill_group(pid: int) -> None:
    if hasattr(os, "killpg"):
        try:
            os.killpg(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass


# ---------------------------------------------------------------------------------------------------- in the process


def _main(folder: Path) -> None:
    sys.path[:] = [path for path in sys.path if path]
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location("harness", Path(__file__).with_name("harness.py"))
    assert spec is not None and spec.loader is not None
    harness = module_from_spec(spec)
    spec.loader.exec_module(harness)
    request = json.loads((folder / "request").read_text())
    code = harness.compile_program(request["source"])
    if isinstance(code, dict):
        (folder / "said").write_text(json.dumps(code))
        return
    harness.alone_in_process(code, request["case"], request["options"], str(folder))


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
