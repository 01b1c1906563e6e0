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
import select
import signal
import subprocess
import sys
import tempfile
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

LOOK = 0.1  # seconds between looks at a process that is still running
INTERPRETER = 32 << 20  # bytes of memory that Python takes, in each process of a program
LINUX = sys.platform.startswith("linux")
FILES = (("stdin", "w+b"), ("stdout", "w+b"), ("result", "w+b"), ("lines", "r+b"))  # in the folder of a case


class Spawner:
    """Runs programs for the referee."""

    def __init__(self, options: dict[str, Any]) -> None:
        from rltf_env.sandbox.cage.limits import Limits

        self.options = options
        self.user = _free_user()
        self.layers: list[str] = []
        self.use(Limits.of(options))

    def use(self, own: Any) -> None:
        """Holds the programs from now on to these limits."""
        self.options = {**self.options, **own._asdict()}

    def warm(self, runner: str) -> None:
        """Nothing: every case has an interpreter of its own."""

    def __call__(self, source: str, cases: bytes, count: int, isolated: bool = False, spare: int = 2) -> Any:
        """What became of a program: why it has no code, a report for each case, the lines that ran. See `launch.runner`.

        The first process runs all cases if the program is pure, else the first one; then each has a process of its own.
        """
        from rltf_env.sandbox.cage import together
        from rltf_env.sandbox.cage.program import unpacked

        todo = unpacked(cases)
        reports: list[Any] = []
        traced = []
        cpu, passed, size, most = 0.0, 0.0, 0, self.options["program_seconds"]
        while todo:
            several = not isolated and not reports and len(todo) > 1
            reply, report, executed = self._in_folder(source, todo if several else todo[:1])
            traced.append(executed)
            if reply.get("code") is not None:
                return reply["code"], [], self._merged(traced)
            if reply["batch"]:
                return "batch", [report], executed
            case, todo = todo[0], todo[1:]
            reports.append(report)
            cpu += report[0]["seconds"]
            passed += report[0]["wall"]
            size += len(report[1]) + len(report[2])
            suite = together.runs_together(case)
            used_up = size > 4 * self.options["output_bytes"]
            used_up = used_up or (not suite and (cpu > most or passed > 2 * most))  # each run of a suite has that much
            late = not report[0]["end"] and report[0]["seconds"] > self.options["case_seconds"]
            spare -= late and not suite
            if report[0]["end"] in ("cpu", "wall") or used_up or not spare:
                break
        return None, reports, self._merged(traced)

    def _merged(self, runs: list[Any]) -> Any:
        """What was traced in processes that ran one case after another."""
        from rltf_env.sandbox.cage.trace import Traced

        if not self.options["trace"]:
            return None
        code = sorted({line for run in runs for line in run.code})
        firsts = [run.rows[0] for run in runs]  # a process may have been meant to go on with the cases after its own
        return Traced(code, firsts if self.options["trace_cases"] else [sorted({n for row in firsts for n in row})])

    def _in_folder(self, source: str, cases: list[Any]) -> Any:
        with self._folder() as folder:
            return self._run_cases(folder, source, cases)

    @contextlib.contextmanager
    def _folder(self) -> Iterator[Path]:
        folder = Path(tempfile.mkdtemp(dir=self.options["folder"]))
        try:
            yield folder
        finally:
            if LINUX:
                from rltf_env.sandbox.cage import clock

                clock.end_children()
            from rltf_env.sandbox.cage import folders

            folders.remove(folder)

    def _run_cases(self, folder: Path, source: str, cases: list[Any]) -> Any:
        from rltf_env.sandbox.cage import together

        with self._opened(folder, source, cases) as files:
            process = self._start(folder, files)
            record = _Watch(process, self.options, tests=together.tests_in(cases[0])).to_the_end()
            return self._left_behind(process, files, record, source, len(cases))

    def live(self, source: str, converse: Callable[[Any], bool]) -> Any:
        """Runs a program that is asked one thing after another, by `converse`, which says whether it is to leave by itself.

        Returns:
            why it has no code; its report; the lines that ran; whether it said more than it may.
        """
        with self._folder() as folder:
            reply, report, lines, flooded = self._converse(folder, source, converse)
        return reply["code"], report if reply["code"] is None else None, lines, flooded

    def _converse(self, folder: Path, source: str, converse: Callable[[Any], bool]) -> Any:
        from rltf_env.sandbox.cage.live import Conversation, Pipes, Turns
        from rltf_env.sandbox.cage.program import LIVE

        pipes, turns = Pipes(os.pipe(), os.pipe()), Turns()
        ends = (pipes.ask_end, pipes.tell)
        with self._opened(folder, source, [("", LIVE)], ends) as files, pipes, turns:
            turns.reset()
            process = self._start(folder, files, ends)
            for fd in ends:
                os.close(fd)
            watch, leave, talk = _Watch(process, self.options, turns.passed), False, None
            try:
                talk = Conversation(pipes, turns, self.options["output_bytes"], watch.wait_for)
                leave = converse(talk)
                talk.close(leave=leave)
            finally:
                record = watch.to_the_end() if leave else watch.stopped("done")
            return *self._left_behind(process, files, record, source, 1), talk.flooded

    @contextlib.contextmanager
    def _opened(self, folder: Path, source: str, cases: list[Any], pipes: tuple[int, ...] = ()) -> Iterator[Any]:
        """The files of a case. All that a process leaves is read from what was open before: its folder may be the program's."""
        (folder / "request").write_bytes(marshal.dumps((source, cases, self.options, self.user, pipes)))
        (folder / "lines").write_bytes(bytes(self._marks(source, len(cases))))
        (folder / "work").mkdir()
        with contextlib.ExitStack() as opened:
            yield {name: opened.enter_context(_file(folder, name, mode)) for name, mode in FILES}

    def _start(self, folder: Path, files: dict[str, Any], pipes: tuple[int, ...] = ()) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-s", "-S", "-P", "-B", "-X", "utf8", __file__, str(folder)]
        return subprocess.Popen(
            command,
            stdin=files["stdin"],
            stdout=files["stdout"],
            stderr=subprocess.PIPE,
            pass_fds=pipes,
            start_new_session=os.name == "posix",
        )

    def _rows(self, cases: int) -> int:
        return cases if self.options["trace_cases"] else 1

    def _marks(self, source: str, cases: int) -> int:
        """Bytes of the file of lines; 0 where nothing is traced."""
        from rltf_env.sandbox.cage.trace import size

        return size(source, self._rows(cases)) if self.options["trace"] else 0

    def _left_behind(
        self, process: subprocess.Popen[bytes], files: dict[str, Any], record: Any, source: str, cases: int
    ) -> Any:
        from rltf_env.sandbox.cage.trace import read

        with process.stderr or contextlib.nullcontext():
            reply = _reply_of(process)
        most = max(self.options["output_bytes"], self.options["file_bytes"]) + 4096
        output, results = _read(files["stdout"], most), _read(files["result"], most)
        marks = _read(files["lines"], self._marks(source, cases))
        if "layers" not in reply:
            raise OSError(f"a process for a program could not be started, or ended with {record}")
        self.layers = reply["layers"]
        return reply, (record, output, results), read(marks, self._rows(cases)) if self.options["trace"] else None


class _Watch:
    """Looks after a process until it has ended, or ends it at its limits.

    Args:
        others: the seconds that passed and were not the program's.
        tests: how many tests the process runs, each of which has a case's time.
    """

    def __init__(
        self, process: subprocess.Popen[bytes], options: dict[str, Any], others: Any = float, tests: float = 1
    ) -> None:
        from rltf_env.sandbox.cage.clock import Clock, cpu_of

        self.process, self.options, self.others = process, options, others
        self.hard = tests * (options["case_seconds"] + max(0.25 * options["case_seconds"], 0.1))
        self.longest = tests * options["wall_seconds"] + 0.3  # the interpreter's own start
        self.clock = Clock(process.pid, str(process.pid) if LINUX else "")
        self.before = cpu_of("self", children=True) if LINUX else 0.0
        self.usage: tuple[int, float] | None = None
        self.end = ""
        self.looked = time.monotonic()

    def ended(self, patience: float) -> bool:
        """True if the process ended within so many seconds, or is over a limit."""
        self.usage = self.usage or _reap(self.process, patience)
        if self.usage is None and not self.end:
            self.clock.due()
            self.clock.look()
            self.end = self._over()
        return self.usage is not None or bool(self.end)

    def _over(self) -> str:
        from rltf_env.sandbox.cage.clock import GUARD, below, hold_too_much

        clock, others, longest = self.clock, self.others(), self.longest
        if max(clock.cpu, self._cpu() - self.before) >= self.hard:
            return "cpu"
        if clock.cpu + clock.idle - others >= longest or clock.passed - others >= GUARD * longest:
            return "wall"
        most = self.options["memory_mb"] << 20
        return "memory" if LINUX and hold_too_much(below("self"), INTERPRETER, most) else ""

    def _cpu(self) -> float:
        """CPU seconds of all processes that came from this one, those that have ended too."""
        from rltf_env.sandbox.cage.clock import below, cpu_of

        return sum(map(cpu_of, below("self"))) + cpu_of("self", children=True) if LINUX else 0.0

    def wait_for(self, fd: int, event: int) -> bool:
        """True when a descriptor is ready, False when the process has ended, or is to."""
        poll = select.poll()
        poll.register(fd, event)
        while True:
            ready = poll.poll(1000 * LOOK)
            if time.monotonic() - self.looked >= LOOK:
                self.looked = time.monotonic()
                if self.ended(0) and not ready:
                    return False
            if ready:
                return bool(ready[0][1] & event) and not self.end

    def to_the_end(self) -> dict[str, Any]:
        """Waits for the end. Returns how it came."""
        while not self.ended(LOOK):
            pass
        return self.stopped(self.end)

    def stopped(self, end: str) -> dict[str, Any]:
        """Ends the process if it has not ended. Returns how it came to its end."""
        self.usage = self.usage or _reap(self.process, 0 if self.end else LOOK)
        if self.usage is None:
            self.end = self.end or end
            self.process.send_signal(getattr(signal, "SIGABRT", signal.SIGTERM))
            self.usage = _reap(self.process, 0.3)
            self.process.kill()
            self.usage = self.usage or _reap(self.process, 10)
        _kill_group(self.process.pid)
        status, seconds = self.usage or (signal.SIGTERM, 0.0)
        wall = seconds + max(self.clock.idle - self.others(), 0.0)
        return {"status": status, "seconds": seconds, "wall": wall, "end": self.end}


def runner(options: dict[str, Any]) -> tuple[Any, list[str]]:
    """The runner, and the layers of isolation that a first program found."""
    from rltf_env.sandbox.cage import folders

    if LINUX:
        from rltf_env.sandbox.cage import clock, isolation

        isolation.adopt_orphans()
        atexit.register(clock.end_children)
    os.mkdir(options["folder"], 0o700)
    os.chmod(options["folder"], 0o711)  # a program that is a user of its own passes through to its own folder
    atexit.register(folders.remove, options["folder"])
    spawner = Spawner(options)
    spawner("pass", marshal.dumps([("", None)]), 1)
    return spawner, spawner.layers


def _free_user() -> int:
    if not LINUX:
        return 0
    from rltf_env.sandbox.cage import isolation

    return isolation.free_user()


def _file(folder: Path, name: str, mode: str) -> Any:
    """A file of a case, unbuffered. On Linux its output is in memory, so that a program can open /dev/stdout."""
    in_memory = LINUX and name == "stdout"
    return open(os.memfd_create(name, 0) if in_memory else folder / name, mode, buffering=0)


def _read(file: Any, most: int) -> bytes:
    file.seek(0)
    data = file.read(most)
    while len(data) < most and (more := file.read(most - len(data))):
        data += more
    return data


def _reply_of(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    """What the process said of itself before the program began: nothing of it can be the program's."""
    assert process.stderr is not None
    reply: dict[str, Any] = {"batch": False, "code": None}
    for line in process.stderr.read().splitlines():
        reply.update(json.loads(line))
    return reply


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

    source, cases, options, user, pipes = program.unpacked((folder / "request").read_bytes())
    result = os.open(folder / "result", os.O_WRONLY | os.O_APPEND)
    reply_fd = os.dup(2)
    os.dup2(os.open(os.devnull, os.O_RDWR), 2)
    lines = None
    if options["trace"]:
        lines = trace.Lines(os.open(folder / "lines", os.O_RDWR), len(cases) if options["trace_cases"] else 1)
    os.chdir(folder / "work")
    if LINUX:  # so that /dev/stdin can be opened where the folder cannot
        os.dup2(os.memfd_create("stdin", 0), 0)
    program.warm_up()
    layers = _shut_in(options, user)
    os.write(reply_fd, json.dumps({"layers": layers}).encode() + b"\n")
    streams.give(cases[0][0])  # before the limits: it may be longer than a file of the program's
    entry.limit({**options, "case_seconds": options["case_seconds"] * together.tests_in(cases[0])})
    code, traits = program.prepared(source)
    failed = code if isinstance(code, dict) else None
    batch = len(cases) > 1 and bool(traits & purity.PURE) and streams.fit(cases, options)
    os.write(reply_fd, json.dumps({"code": failed, "batch": batch}).encode() + b"\n")
    os.close(reply_fd)
    if failed is not None:
        return
    try:
        entry.become_program(result, options, pipes)
        if batch:
            program.run_batch(
                code, traits, cases, options["case_seconds"] / 4 + time.thread_time(), lines, options["recursion"]
            )
        run_case = (together if together.runs_together(cases[0]) else program).run_case
        run_case(code, traits, cases[0][1], lines, options["recursion"])
    finally:
        os._exit(70)


def _shut_in(options: dict[str, Any], user: int) -> list[str]:
    if not LINUX:
        return ["rlimits"] if os.name == "posix" else []
    from rltf_env.sandbox.cage import crowd, isolation

    packages = [path for paths in options["packages"].values() for path in paths]
    layers = isolation.enter_namespaces([*options["without"], "pid"])
    layers = isolation.confine(options, layers, packages, user)
    if "rlimits" in layers:
        others = crowd.Crowd(options["processes"])
        others.count()
        others.limit()
    isolation.die_with_parent()
    isolation.dumpable()()
    return layers


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
