"""One process of the referee (`referee/process.py`), and the thread in the caller's process that looks after it.

The thread starts the process, sends it jobs ahead of need, reads verdicts, and if the process dies starts another: what it
held is judged again.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from rltf_env.core import CaseResult, Failure, Kind, Outcome, Problem, Verdict
from rltf_env.errors import InvalidProblem, SandboxError
from rltf_env.sandbox.cage import folders, isolation
from rltf_env.sandbox.frames import read_frame, write_frame
from rltf_env.sandbox.pool import wire
from rltf_env.sandbox.pool.options import Options
from rltf_env.sandbox.pool.scheduler import Job, Scheduler, Seat, closed

TRIES = 3
STUCK = -getattr(signal, "SIGPROF", 0)  # how a process ends when the comparison of a program's values does not
PATIENCE = 30.0  # seconds beyond all limits of a program after which its process is given up
PROCESS = Path(__file__).parents[1] / "referee" / "process.py"
ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "HOME": "/tmp",
    "LANG": "C.UTF-8",
    "PYTHONHASHSEED": "0",
    "LD_BIND_NOW": "1",  # else every program resolves symbols anew
    "PYTHONIOENCODING": "utf-8:strict",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
}
INHERITED = ("SYSTEMROOT", "TEMP", "TMP", "TMPDIR", "LD_LIBRARY_PATH")  # without these Python may not start


class Worker:
    """A process and its thread. It holds the scheduler, not the sandbox: a sandbox that is forgotten ends all the same."""

    def __init__(self, scheduler: Scheduler, backend: str, options: Options) -> None:
        self.scheduler, self.backend, self.options = scheduler, backend, options
        self.seat = Seat(self._cancel)
        scheduler.seats.append(self.seat)
        self.process: subprocess.Popen[bytes] | None = None
        self.judge = self.folder = ""
        self.broken: Exception | None = None
        self.ready = threading.Event()
        self.sending = threading.Lock()
        self.thread = threading.Thread(target=self._loop, name="rltf-judge", daemon=True)

    def end(self) -> None:
        """Ends the process; the thread, which is told by the scheduler, ends with it."""
        process = self.process
        if process is not None:
            process.terminate()

    # ------------------------------------------------------------------------------------------------- thread

    def _loop(self) -> None:
        try:
            failures = 0
            while not self.scheduler.closed:
                try:
                    if self.process is None:
                        self._start()
                    self._serve_once()
                    failures = 0
                except Exception as error:  # whatever it was, whoever waits is served
                    failures += not self.judge
                    if failures >= TRIES and not self.broken:
                        self.broken = SandboxError(f"The judge could not be started: {error}")
                    self._on_death(error)
                    if self.broken:
                        self.seat.broken = True
                        self.ready.set()
                        self.scheduler.refuse(self.broken)
                        return
        finally:
            self.ready.set()
            self._stop()
            for job in self.scheduler.take_back(self.seat):
                self.scheduler.finish(job, closed())

    def _serve_once(self) -> None:
        """Sends what there is room for, then reads one answer."""
        while (job := self.scheduler.next_for(self.seat)) is not None:
            self._send(job)
        if self.scheduler.closed or not self.seat.held:
            return
        reply = json.loads(self._read())
        if "lost" in reply:
            raise SandboxError(reply["lost"])
        job = self.scheduler.judged(self.seat, reply["number"])
        if job is None:
            return
        if "again" in reply:
            job.alone = True
            self.scheduler.requeue(job)
        else:
            self.scheduler.finish(job, self._result(job, reply))
        if "last" in reply:  # the program has spoilt the process: no other has to do with that
            self._hand_back()

    def _result(self, job: Job, reply: dict[str, Any]) -> Verdict | Exception:
        if "invalid" in reply:
            return InvalidProblem(f"{job.problem.id!r} cannot be judged: {reply['invalid']}.")
        if "error" in reply:
            return SandboxError(f"The judge failed on {job.problem.id!r}: {reply['error']}\n{reply['trace']}")
        try:
            return wire.verdict(reply, self.judge)
        except Exception as error:
            return SandboxError(f"The judge gave no verdict on {job.problem.id!r}: {error}")

    def _send(self, job: Job) -> None:
        problem = ""
        if id(job.problem) not in self.seat.known:
            try:
                problem = f', "problem": {self._text(job.problem)}'
            except Exception as error:
                self.scheduler.drop(self.seat, job)
                self.scheduler.finish(job, error)
                return
        with self.scheduler.changed:
            self.seat.learn(job.problem)
            forget, self.seat.forget = self.seat.forget, []
        key = id(job.problem)
        message = {"number": job.number, "source": job.source, "key": key, "alone": job.alone, "forget": forget}
        payload = json.dumps(message)[:-1] + problem + "}"
        job.size = len(payload)
        with self.sending:  # another worker's thread may be taking jobs back
            write_frame(_stream(self.process, "stdin"), payload.encode())

    def _cancel(self, numbers: list[int]) -> None:
        """Tells the process which jobs it need not judge."""
        try:
            with self.sending:
                write_frame(_stream(self.process, "stdin"), json.dumps({"cancel": numbers}).encode())
        except (OSError, ValueError):  # it died: this worker's thread sees to that
            pass

    def _text(self, problem: Problem) -> str:
        return self.scheduler.text(problem) or json.dumps(wire.problem(problem))

    def _read(self) -> bytes:
        fd = _stream(self.process, "stdout")
        if os.name == "posix":
            poll = select.poll()
            poll.register(fd, select.POLLIN)
            if not poll.poll(1000 * self._longest()):
                raise SandboxError("a worker did not answer in time")
        return read_frame(fd)

    def _longest(self) -> float:
        o = self.options
        program, wall = o.program_seconds or 0.0, o.wall_seconds or 0.0
        return 5 * (3 * program + wall + 2 * o.case_seconds + 10) + o.check_seconds + PATIENCE

    # ------------------------------------------------------------------------------------------------- process

    def _start(self) -> None:
        self.folder = os.path.join(tempfile.gettempdir(), f"rltf-{os.getpid()}-{os.urandom(6).hex()}")
        options = json.dumps({**self.options.for_worker(), "backend": self.backend, "folder": self.folder})
        command = [sys.executable, "-s", "-S", "-P", "-B", "-X", "utf8", str(PROCESS), options]
        environment = {**ENVIRONMENT, **{name: os.environ[name] for name in INHERITED if name in os.environ}}
        self.seat.known.clear()
        self.judge = ""
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            env=environment,
            start_new_session=os.name == "posix",
        )
        hello = json.loads(self._read())
        if "error" in hello:
            raise SandboxError(hello["error"])
        judge, levels = f"{self.backend}/{hello['level']}:{'+'.join(hello['layers'])}", isolation.LEVELS
        if levels.index(hello["level"]) < levels.index(self.options.require):
            self.broken = SandboxError(
                f"Expected isolation of level {self.options.require!r} or better, got {judge!r}. "
                "`python -m rltf_env.doctor` says what is missing and how to get it."
            )
            raise self.broken
        self.judge = judge
        self.seat.running = True
        self.ready.set()

    def _on_death(self, error: Exception) -> None:
        """The process died: what it held is judged again, by its successor or another's."""
        status = self._stop()
        held = self._take_back()
        if held and status == STUCK:
            job = held.pop(0)
            self.scheduler.finish(job, _stuck(job, self.judge))
        for index, job in reversed(list(enumerate(held))):
            job.tries += index == 0
            if job.tries >= TRIES:
                text = f"The judge failed {job.tries} times on {job.problem.id!r}: {error!r}"
                self.scheduler.finish(job, SandboxError(text))
            else:
                self.scheduler.requeue(job)

    def _hand_back(self) -> None:
        """The process judges no more: what it held is for others, or its successor."""
        for job in reversed(self._take_back()):
            self.scheduler.requeue(job)
        self._stop()

    def _take_back(self) -> list[Job]:
        held = self.scheduler.take_back(self.seat)
        if not self.scheduler.closed:
            return held
        for job in held:
            self.scheduler.finish(job, closed())
        return []

    def _stop(self) -> int | None:
        process, self.process = self.process, None
        self.seat.running = False
        if process is None:
            return None
        for stream in (process.stdin, process.stdout):
            if stream:
                stream.close()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        folders.remove(self.folder)  # it is gone, unless the process was killed
        return process.returncode


def _stuck(job: Job, judge: str) -> Verdict:
    """The verdict on a program whose values could not be compared in any time."""
    failure = Failure(Kind.TIMEOUT, "took too long to compare", None, "check")
    return Verdict((CaseResult(Outcome.RUNTIME_ERROR, failure),) * len(job.problem.cases), None, judge)


def _stream(process: subprocess.Popen[bytes] | None, name: str) -> int:
    stream = getattr(process, name)
    if stream is None:
        raise BrokenPipeError("the process has gone")
    return stream.fileno()
