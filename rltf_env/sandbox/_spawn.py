"""Runs each case of a program in a Python process of its own: the portable runner, behind `subprocess`.

The worker starts `python _spawn.py FOLDER`; the folder holds the request and receives output and results, and goes away with
the case. On Linux the process shuts itself in (`isolation.py`) before the program runs. Standard library only.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import marshal
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import types
from pathlib import Path
from typing import Any

LOOK = 0.1  # seconds between looks at a process that is still running
LINUX = sys.platform.startswith("linux")


class Spawner:
    """`run(source, cases, count)` for the referee."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options
        self.cpu = options["case_seconds"]
        self.hard = self.cpu + max(0.25 * self.cpu, 0.1)
        self.user = 60_000 + os.getpid() % 5_000
        self.layers: list[str] = []

    def run(self, source: str, cases: bytes, count: int, isolated: bool = False) -> Any:
        """What became of a program: why it has no code, a report for each case, the lines that ran.

        The first process runs all cases if the program is pure, else the first one; then each has a process of its own.
        """
        from rltf_env.sandbox.harness import unpacked

        todo = unpacked(cases)
        reports: list[Any] = []
        lines: set[int] = set()
        spent, size, most, start = 0.0, 0, self.options["program_seconds"], time.monotonic()
        while todo:
            several = not isolated and not reports and len(todo) > 1
            said, report, ran = self._in_folder(source, todo if several else todo[:1])
            lines |= ran
            traced = sorted(lines) if self.options["trace"] else None
            if said.get("code") is not None:
                return said["code"], [], traced
            if said["batch"]:
                return "batch", [report], traced
            todo = todo[1:]
            reports.append(report)
            spent += report[0]["seconds"]
            size += len(report[1]) + len(report[2])
            used_up = spent > most or time.monotonic() - start > 2 * most or size > 4 * self.options["output_bytes"]
            if report[0]["end"] in ("cpu", "wall") or used_up:
                break
        return None, reports, sorted(lines) if self.options["trace"] else None

    def _in_folder(self, source: str, cases: list[Any]) -> Any:
        folder = Path(tempfile.mkdtemp(dir=self.options["folder"]))
        try:
            return self._run_cases(folder, source, cases)
        finally:
            if LINUX:
                from rltf_env.sandbox import _cage

                _cage.end_children()
            shutil.rmtree(folder, ignore_errors=True)

    def _run_cases(self, folder: Path, source: str, cases: list[Any]) -> Any:
        (folder / "request").write_bytes(marshal.dumps((source, cases, self.options, self.user)))
        (folder / "lines").write_bytes(bytes(len(source) + 2) if self.options["trace"] else b"")
        (folder / "work").mkdir()
        command = [sys.executable, "-s", "-S", "-P", "-B", "-X", "utf8", __file__, str(folder)]
        with open(folder / "stdin", "w+b") as stdin, open(folder / "stdout", "wb") as stdout:
            process = subprocess.Popen(
                command, stdin=stdin, stdout=stdout, stderr=subprocess.DEVNULL, start_new_session=os.name == "posix"
            )
            record = self._watch(process)
        most = max(self.options["output_bytes"], self.options["file_bytes"]) + 4096
        output, results = _read(folder / "stdout", most), _read(folder / "result", most)
        ran = {line for line, seen in enumerate(_read(folder / "lines", 1 << 30)) if seen}
        said = json.loads(_read(folder / "said", 1 << 20) or b"{}")
        self.layers = said.get("layers", [])
        if not said:
            raise OSError(f"a process for a program could not be started, or ended with {record}")
        return said, (record, output, results), ran

    def _watch(self, process: subprocess.Popen[bytes]) -> dict[str, Any]:
        from rltf_env.sandbox import _cage

        start, end, usage = time.monotonic(), "", None
        longest = self.options["wall_seconds"] + 0.3  # the interpreter's own start
        while usage is None and not end:
            usage = _reap(process, LOOK)
            passed = time.monotonic() - start
            if usage is not None:
                break
            if passed >= self.hard and _cage.cpu_seconds(process.pid) >= self.hard:
                end = "cpu"
            elif passed >= longest and (passed - _cage.waited(process.pid) >= longest or passed >= 5 * longest):
                end = "wall"
            elif LINUX and _cage.resident(str(process.pid)) > self.options["memory_mb"] + 32 << 20:
                end = "memory"
        if usage is None:
            process.send_signal(getattr(signal, "SIGABRT", signal.SIGTERM))
            usage = _reap(process, 0.3)
            process.kill()
            usage = usage or _reap(process, 10)
        _kill_group(process.pid)
        status, seconds = usage or (signal.SIGTERM, 0.0)
        return {"status": status, "seconds": seconds, "end": end}


def runner(options: dict[str, Any]) -> tuple[Any, list[str]]:
    """The runner, and the layers of isolation that a first program found."""
    if LINUX:
        from rltf_env.sandbox import _cage, isolation

        isolation.adopt_orphans()
        atexit.register(_cage.end_children)
    os.mkdir(options["folder"], 0o700)
    atexit.register(shutil.rmtree, options["folder"], ignore_errors=True)
    spawner = Spawner(options)
    spawner.run("pass", marshal.dumps([("", None)]), 1)
    return spawner.run, spawner.layers


def _read(path: Path, most: int) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(most)
    except FileNotFoundError:
        return b""


def _reap(process: subprocess.Popen[bytes], patience: float) -> tuple[int, float] | None:
    """Status as wait(2) has it and CPU seconds, or None if it is still running after `patience` seconds."""
    if not hasattr(os, "wait4"):
        try:
            return process.wait(patience) << 8, 0.0
        except subprocess.TimeoutExpired:
            return None
    end, pause = time.monotonic() + patience, 0.001
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
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)


# ---------------------------------------------------------------------------------------------------- in the process


def _main(folder: Path) -> None:
    """Reads the request, shuts this process in, and runs the case."""
    for name, path in (("rltf_env", Path(__file__).parent.parent), ("rltf_env.sandbox", Path(__file__).parent)):
        package = types.ModuleType(name)
        package.__path__ = [str(path)]
        sys.modules[name] = package
    from rltf_env.sandbox import _cage, harness

    source, cases, options, user = harness.unpacked((folder / "request").read_bytes())
    result = os.open(folder / "result", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    said = os.open(folder / "said", os.O_WRONLY | os.O_CREAT, 0o600)
    seen = harness.map_lines(os.open(folder / "lines", os.O_RDWR)) if options["trace"] else None
    os.chdir(folder / "work")
    if LINUX:  # so that /dev/stdin can be opened where the folder cannot
        os.dup2(os.memfd_create("stdin", 0), 0)
    harness.warm_up()
    layers = _shut_in(options, user)
    code = harness.compile_program(source)
    failed = code if isinstance(code, dict) else None
    batch = failed is None and len(cases) > 1 and harness.pure(code, options["packages"])
    os.write(said, json.dumps({"layers": layers, "code": failed, "batch": batch}).encode())
    if failed is not None:
        return
    try:
        _cage.become_program(result, options)
        if batch:
            harness.run_batch(code, cases, options["case_seconds"] / 4 + time.thread_time(), seen)
        harness.give(cases[0][0])
        harness.run_case(code, cases[0][1], seen)
    finally:
        os._exit(70)


def _shut_in(options: dict[str, Any], user: int) -> list[str]:
    if not LINUX:
        return ["rlimits"] if os.name == "posix" else []
    from rltf_env.sandbox import isolation

    packages = [path for paths in options["packages"].values() for path in paths]
    layers = isolation.enter_namespaces([*options["without"], "pid"])
    layers = isolation.confine(options, layers, packages, user)
    isolation.die_with_parent()
    isolation.dumpable()()
    return layers


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
