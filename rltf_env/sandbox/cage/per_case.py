"""Runs each case of a program in a Python process of its own: the portable runner, behind `subprocess`.

The worker starts `python per_case.py FOLDER`; the folder holds the request and receives output and results, and goes away with
the case. What the process says of itself, before the program begins, comes over its standard error. On Linux it shuts itself
in (`isolation.py`) before the program runs. Standard library only.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import marshal
import os
import signal
import subprocess
import sys
import tempfile
import time
import types
from pathlib import Path
from typing import Any

LOOK = 0.1  # seconds between looks at a process that is still running
INTERPRETER = 32 << 20  # bytes of memory that Python takes, in each process of a program
LINUX = sys.platform.startswith("linux")
FILES = (("stdin", "w+b"), ("stdout", "w+b"), ("result", "w+b"), ("lines", "r+b"))  # in the folder of a case


class Spawner:
    """`run(source, cases, count)` for the referee."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options
        self.cpu = options["case_seconds"]
        self.hard = self.cpu + max(0.25 * self.cpu, 0.1)
        self.user = _free_user()
        self.layers: list[str] = []

    def run(self, source: str, cases: bytes, count: int, isolated: bool = False, spare: int = 2) -> Any:
        """What became of a program: why it has no code, a report for each case, the lines that ran. See `launch.runner`.

        The first process runs all cases if the program is pure, else the first one; then each has a process of its own.
        """
        from rltf_env.sandbox.cage import together
        from rltf_env.sandbox.cage.program import unpacked

        todo = unpacked(cases)
        reports: list[Any] = []
        lines: set[int] = set()
        spent, passed, size, most = 0.0, 0.0, 0, self.options["program_seconds"]
        while todo:
            several = not isolated and not reports and len(todo) > 1
            said, report, ran = self._in_folder(source, todo if several else todo[:1])
            lines |= ran
            traced = sorted(lines) if self.options["trace"] else None
            if said.get("code") is not None:
                return said["code"], [], traced
            if said["batch"]:
                return "batch", [report], traced
            case, todo = todo[0], todo[1:]
            reports.append(report)
            spent += report[0]["seconds"]
            passed += report[0]["wall"]
            size += len(report[1]) + len(report[2])
            used_up = spent > most or passed > 2 * most or size > 4 * self.options["output_bytes"]
            late = not report[0]["end"] and report[0]["seconds"] > self.cpu
            spare -= late and not together.wanted(case)
            if (report[0]["end"] in ("cpu", "wall") and not together.wanted(case)) or used_up or not spare:
                break
        return None, reports, sorted(lines) if self.options["trace"] else None

    def _in_folder(self, source: str, cases: list[Any]) -> Any:
        folder = Path(tempfile.mkdtemp(dir=self.options["folder"]))
        try:
            return self._run_cases(folder, source, cases)
        finally:
            if LINUX:
                from rltf_env.sandbox.cage import clock

                clock.end_children()
            from rltf_env.sandbox.cage import folders

            folders.remove(folder)

    def _run_cases(self, folder: Path, source: str, cases: list[Any]) -> Any:
        """Starts the process. All that it leaves is read from files that were open before: its own folder may be the program's."""
        from rltf_env.sandbox.cage import together
        from rltf_env.sandbox.cage.trace import lines_in

        (folder / "request").write_bytes(marshal.dumps((source, cases, self.options, self.user)))
        (folder / "lines").write_bytes(bytes(len(source) + 2) if self.options["trace"] else b"")
        (folder / "work").mkdir()
        command = [sys.executable, "-s", "-S", "-P", "-B", "-X", "utf8", __file__, str(folder)]
        with contextlib.ExitStack() as opened:
            files = {name: opened.enter_context(open(folder / name, mode, buffering=0)) for name, mode in FILES}
            process = subprocess.Popen(
                command,
                stdin=files["stdin"],
                stdout=files["stdout"],
                stderr=subprocess.PIPE,
                start_new_session=os.name == "posix",
            )
            record = self._watch(process, together.tests_in(cases[0]))
            with process.stderr or contextlib.nullcontext():
                said = _said(process)
            most = max(self.options["output_bytes"], self.options["file_bytes"]) + 4096
            output, results = _read(files["stdout"], most), _read(files["result"], most)
            lines = _read(files["lines"], lines_in(source) + 1)
        if "layers" not in said:
            raise OSError(f"a process for a program could not be started, or ended with {record}")
        self.layers = said["layers"]
        return said, (record, output, results), {line for line, seen in enumerate(lines) if seen}

    def _watch(self, process: subprocess.Popen[bytes], tests: int = 1) -> dict[str, Any]:
        from rltf_env.sandbox.cage.clock import GUARD, Clock, below, cpu_of, hold_too_much

        end, usage, clock = "", None, Clock(process.pid, str(process.pid) if LINUX else "")
        before = cpu_of("self", children=True)
        longest = self.options["wall_seconds"] * tests + 0.3  # the interpreter's own start
        while usage is None and not end:
            usage = _reap(process, LOOK)
            if usage is not None:
                break
            clock.due()
            clock.look()
            if max(clock.cpu, self._spent() - before) >= self.hard * tests:
                end = "cpu"
            elif clock.cpu + clock.idle >= longest or clock.passed >= GUARD * longest:
                end = "wall"
            elif LINUX and hold_too_much(below("self"), INTERPRETER, self.options["memory_mb"] << 20):
                end = "memory"
        if usage is None:
            process.send_signal(getattr(signal, "SIGABRT", signal.SIGTERM))
            usage = _reap(process, 0.3)
            process.kill()
            usage = usage or _reap(process, 10)
        _kill_group(process.pid)
        status, seconds = usage or (signal.SIGTERM, 0.0)
        return {"status": status, "seconds": seconds, "wall": seconds + clock.idle, "end": end}

    def _spent(self) -> float:
        """CPU seconds of all processes that came from this one, those that have ended too."""
        from rltf_env.sandbox.cage.clock import below, cpu_of

        return sum(map(cpu_of, below("self"))) + cpu_of("self", children=True) if LINUX else 0.0


def runner(options: dict[str, Any]) -> tuple[Any, list[str]]:
    """The runner, and the layers of isolation that a first program found."""
    from rltf_env.sandbox.cage import folders

    if LINUX:
        from rltf_env.sandbox.cage import clock, isolation

        isolation.adopt_orphans()
        atexit.register(clock.end_children)
    os.mkdir(options["folder"], 0o700)
    atexit.register(folders.remove, options["folder"])
    spawner = Spawner(options)
    spawner.run("pass", marshal.dumps([("", None)]), 1)
    return spawner.run, spawner.layers


def _free_user() -> int:
    if not LINUX:
        return 0
    from rltf_env.sandbox.cage import isolation

    return isolation.free_user()


def _read(file: Any, most: int) -> bytes:
    file.seek(0)
    data = file.read(most)
    while len(data) < most and (more := file.read(most - len(data))):
        data += more
    return data


def _said(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    """What the process said of itself before the program began: nothing of it can be the program's."""
    assert process.stderr is not None
    said: dict[str, Any] = {"batch": False}
    for line in process.stderr.read().splitlines():
        said.update(json.loads(line))
    return said


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
    sandbox = Path(__file__).parents[1]
    for name, path in (("rltf_env", sandbox.parent), ("rltf_env.sandbox", sandbox)):
        package = types.ModuleType(name)
        package.__path__ = [str(path)]
        sys.modules[name] = package
    from rltf_env.sandbox.cage import entry, program, purity, streams, together, trace

    source, cases, options, user = program.unpacked((folder / "request").read_bytes())
    result = os.open(folder / "result", os.O_WRONLY | os.O_APPEND)
    said = os.dup(2)
    os.dup2(os.open(os.devnull, os.O_RDWR), 2)
    seen = trace.map_lines(os.open(folder / "lines", os.O_RDWR)) if options["trace"] else None
    os.chdir(folder / "work")
    if LINUX:  # so that /dev/stdin can be opened where the folder cannot
        os.dup2(os.memfd_create("stdin", 0), 0)
    program.warm_up()
    layers = _shut_in(options, user)
    os.write(said, json.dumps({"layers": layers}).encode() + b"\n")
    entry.limit({**options, "case_seconds": options["case_seconds"] * together.tests_in(cases[0])})
    code = program.compile_program(source)
    failed = code if isinstance(code, dict) else None
    batch = failed is None and len(cases) > 1 and purity.pure(code, options["packages"])
    os.write(said, json.dumps({"code": failed, "batch": batch}).encode() + b"\n")
    os.close(said)
    if failed is not None:
        return
    try:
        entry.become_program(result, options)
        if batch:
            program.run_batch(code, cases, options["case_seconds"] / 4 + time.thread_time(), seen)
        streams.give(cases[0][0])
        (together if together.wanted(cases[0]) else program).run_case(code, cases[0][1], seen)
    finally:
        os._exit(70)


def _shut_in(options: dict[str, Any], user: int) -> list[str]:
    if not LINUX:
        return ["rlimits"] if os.name == "posix" else []
    from rltf_env.sandbox.cage import isolation

    packages = [path for paths in options["packages"].values() for path in paths]
    layers = isolation.enter_namespaces([*options["without"], "pid"])
    layers = isolation.confine(options, layers, packages, user)
    isolation.die_with_parent()
    isolation.dumpable()()
    return layers


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
