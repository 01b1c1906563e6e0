"""One process of the referee (`referee/process.py`), and the thread in the caller's process that looks after it.

The thread starts the process, sends it jobs ahead of need, reads verdicts, and if the process dies starts another: what it
held is judged again. It waits for nothing for ever: a process that hangs is ended, and so is one that takes longer over a
program than all limits of a program allow.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from rltf_env.core import CaseResult, Failure, FailureKind, Outcome, Verdict
from rltf_env.errors import SandboxError
from rltf_env.sandbox import messages
from rltf_env.sandbox.board import Board
from rltf_env.sandbox.cage import folders, isolation
from rltf_env.sandbox.pool import pulse, wire
from rltf_env.sandbox.pool.blame import finish_stuck
from rltf_env.sandbox.pool.channel import POSIX, Channel
from rltf_env.sandbox.pool.options import Options
from rltf_env.sandbox.pool.scheduler import Job, Scheduler, Seat, closed

TRIES = 3
STUCK = -getattr(signal, "SIGPROF", 0)  # how a process ends when the comparison of a program's values does not
PATIENCE = 30.0  # seconds beyond all limits of a program after which its process is given up
PAUSE = 0.5  # seconds before a process that could not be started is started again; before the third time twice that
STARTING = 120.0  # seconds that a process may take to start
PROCESS = Path(__file__).parents[1] / "referee" / "process.py"
_OF_TESTS = "-test"  # what the name of the folder in which tests run ends with
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
UMASK = 0o022  # a caller's own, such as 0o077, would keep programs from their folders


class Overdue(Exception):
    """A process took longer over a program than all limits of a program allow."""


class Hung(Exception):
    """A process does not move any more."""


class Worker:
    """A process and its thread. It holds the scheduler, not the sandbox: a sandbox that is forgotten ends all the same.

    Args:
        board: where the process notes which job it has begun with; None where there is none.
        place: its place there.
    """

    def __init__(
        self, scheduler: Scheduler, backend: str, options: Options, board: Board | None = None, place: int = 0
    ) -> None:
        self.scheduler, self.backend, self.options = scheduler, backend, options
        self.board, self.place = board, place
        self.seat = Seat(self._cancel)
        scheduler.seats.append(self.seat)
        self.process: subprocess.Popen[bytes] | None = None
        self.channel: Channel | None = None
        self.judge = self.folder = ""
        self.broken: Exception | None = None
        self.failed_starts = 0  # in a row
        self.ready = threading.Event()
        self.thread = threading.Thread(target=self._loop, name="rltf-judge", daemon=True)

    def end(self) -> None:
        """Ends the process; the thread, which is told by the scheduler, ends with it."""
        process = self.process
        if process is not None:
            process.terminate()

    # ------------------------------------------------------------------------------------------------- thread

    def _loop(self) -> None:
        try:
            while not self.scheduler.closed:
                try:
                    if self.process is None:
                        self._start()
                    self._serve_once()
                except Exception as error:  # whatever it was, whoever waits is served
                    started = self.seat.running
                    self._on_death(error)
                    if not started:
                        self._on_failed_start(error)
                    if self.broken:
                        self.ready.set()
                        self.scheduler.give_up(self.seat, self.broken)
                        return
        finally:
            self.ready.set()
            self._stop()
            for job in self.scheduler.take_back(self.seat):
                self.scheduler.finish(job, closed())

    def _on_failed_start(self, error: Exception) -> None:
        """Waits a little before the next try: what the machine lacked it may have again. The last of them was enough."""
        self.failed_starts += 1
        if self.failed_starts < TRIES:
            self.scheduler.rest(PAUSE * self.failed_starts)
        elif not self.broken:
            self.broken = SandboxError(f"The judge could not be started: {error}")

    def _serve_once(self) -> None:
        """Sends what there is room for, then reads one answer."""
        while (job := self.scheduler.next_for(self.seat)) is not None:
            self._send(job)
        if self.scheduler.closed or not self.seat.jobs:
            return
        reply = self._receive()
        if isinstance(reply, messages.CalmWanted):
            self.scheduler.wait_for_calm(self.seat, reply.number)
            self._tell(messages.CalmGranted())
        elif isinstance(reply, messages.Judged | messages.Unjudgeable | messages.Failed):
            self._on_answer(reply)
        else:
            raise SandboxError(f"the cage was lost: {getattr(reply, 'error', reply)}")

    def _on_answer(self, reply: messages.Judged | messages.Unjudgeable | messages.Failed) -> None:
        job = self.scheduler.judged(self.seat, reply.number)
        if job is not None:
            self.scheduler.finish(job, self._result(job, reply))
        if isinstance(reply, messages.Judged) and reply.last:
            self._hand_back()

    def _result(self, job: Job, reply: messages.Judged | messages.Unjudgeable | messages.Failed) -> Verdict | Exception:
        if isinstance(reply, messages.Unjudgeable):
            return wire.unjudgeable(job.problem, reply.reason)
        if isinstance(reply, messages.Failed):
            return SandboxError(f"The judge failed on {job.problem.id!r}: {reply.error}\n{reply.trace}")
        try:
            return job.joined.as_written(wire.verdict(reply, self.judge))
        except Exception as error:
            return SandboxError(f"The judge gave no verdict on {job.problem.id!r}: {error}")

    def _send(self, job: Job) -> None:
        problem = ""
        if id(job.problem) not in self.seat.problems:
            try:
                problem = self.scheduler.encoded_problem(job.problem) or json.dumps(wire.encoded_problem(job.problem))
            except Exception as error:
                self.scheduler.drop(self.seat, job)
                self.scheduler.finish(job, error)
                return
        with self.scheduler.changed:
            self.seat.learn(job.problem)
            forget, self.seat.forget = self.seat.forget, []
        job.size = self._tell(messages.Judge(job.number, job.joined.text, id(job.problem), forget), problem)

    def _cancel(self, numbers: list[int]) -> None:
        """Tells the process which jobs it need not judge. Called from other workers' threads."""
        self._tell(messages.Cancel(numbers))

    def _tell(self, message: messages.Message, last: str = "") -> int:
        """Sends a message, if there is a process; returns its length in bytes."""
        payload, channel = messages.encode(message, last), self.channel
        if channel is not None:
            channel.send(payload)
        return len(payload)

    def _receive(self) -> messages.Message:
        """The next message. Raises EOFError when the process has died, Hung, Overdue."""
        channel, process = self.channel, self.process
        if channel is None or process is None:
            raise EOFError("the process has gone")
        begin, watched = time.monotonic(), None
        payload = channel.receive(pulse.LOOK)
        while payload is None:
            watched = watched or pulse.Pulse(process.pid, children=self.backend == "forkserver")
            if self.seat.jobs and time.monotonic() - self.seat.since > self._longest():
                raise Overdue("a process took longer than all limits of a program allow")
            if not self.seat.running and time.monotonic() - begin > STARTING:
                raise Hung("a process of the judge did not start")
            if watched.hung():
                raise Hung(f"a process of the judge has not moved for {pulse.HUNG:g} s")
            if self.scheduler.closed:  # it was told to end, and had a moment for it
                raise Hung("a process of the judge did not end")
            payload = channel.receive(pulse.LOOK)
        return messages.decode(payload)

    def _longest(self) -> float:
        o = self.options
        program, wall = o.program_seconds or 0.0, o.wall_seconds or 0.0
        return 5 * (3 * program + wall + 2 * o.case_seconds + 10) + o.check_seconds + PATIENCE

    # ------------------------------------------------------------------------------------------------- process

    def _start(self) -> None:
        self.folder = os.path.join(tempfile.gettempdir(), f"rltf-{os.getpid()}-{os.urandom(6).hex()}")
        self.seat.problems.clear()
        self._open_process()
        ready = self._receive()
        if not isinstance(ready, messages.Ready):
            raise SandboxError(getattr(ready, "error", f"the judge began with {ready!r}"))
        judge, levels = f"{self.backend}/{ready.level}:{'+'.join(ready.layers)}", isolation.LEVELS
        if levels.index(ready.level) < levels.index(self.options.require):
            self.broken = SandboxError(
                f"Expected isolation of level {self.options.require!r} or better, got {judge!r}. "
                "`python -m rltf_env.doctor` says what is missing and how to get it."
            )
            raise self.broken
        self.judge, self.failed_starts = judge, 0
        self.seat.running = True
        self.scheduler.report_missing()
        self.ready.set()

    def _open_process(self) -> None:
        board = -1 if self.board is None else self.board.fd
        own = {"backend": self.backend, "board": board, "place": self.place}
        own |= {"folder": self.folder, "workplace": self.folder + _OF_TESTS}  # of programs, which may look around there
        options = json.dumps({**self.options.for_worker(), **own})
        if self.board is not None:
            self.board.clear(self.place)
        self.process = process = subprocess.Popen(
            [sys.executable, "-s", "-S", "-P", "-B", "-X", "utf8", str(PROCESS), options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if _has_stderr() else subprocess.DEVNULL,
            bufsize=0,
            env={**ENVIRONMENT, **{name: os.environ[name] for name in INHERITED if name in os.environ}},
            start_new_session=POSIX,
            umask=UMASK,
            pass_fds=() if board < 0 else (board,),
        )
        assert process.stdin is not None
        assert process.stdout is not None
        self.channel = Channel(process.stdout, process.stdin)

    def _on_death(self, error: Exception) -> None:
        """The process died, or was given up: what it held is judged again, by its successor or another's."""
        status = self._stop(0.0 if isinstance(error, Overdue | Hung) else 5.0)
        jobs = self._take_back()
        current = None if self.board is None else self.board.job(self.place)
        culprit = next((job for job in jobs if job.number == current), None)
        if culprit is not None and (status == STUCK or isinstance(error, Overdue)):
            jobs.remove(culprit)
            verdict = _timed_out(culprit, status == STUCK, self.judge, self.options)
            (finish_stuck if status == STUCK else Scheduler.finish)(self.scheduler, culprit, verdict)
            culprit = None
        elif culprit is None and jobs and status != STUCK:  # it had answered the one before and not noted the next
            culprit = jobs[0]
        for job in reversed(jobs):
            job.tries += job is culprit
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
        jobs = self.scheduler.take_back(self.seat)
        if not self.scheduler.closed:
            return jobs
        for job in jobs:
            self.scheduler.finish(job, closed())
        return []

    def _stop(self, patience: float = 5.0) -> int | None:
        """Ends the process, by force after so many seconds; returns how it ended."""
        process, self.process = self.process, None
        channel, self.channel = self.channel, None
        self.seat.running = False
        if process is None:
            return None
        if channel is not None:
            channel.close()
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        folders.remove(self.folder)  # both are gone, unless the process was killed
        folders.remove(self.folder + _OF_TESTS)
        return process.returncode


def _has_stderr() -> bool:
    """False where standard error is closed, as a daemon's may be, and where its number is now that of a file of Python's."""
    try:
        return os.get_inheritable(2)
    except OSError:
        return False


def _timed_out(job: Job, comparing: bool, judge: str, options: Options) -> Verdict:
    """The verdict on a program that could not be judged in any time: nothing is known of its lines."""
    message, detail = ("took too long to compare", "check") if comparing else ("took too long to judge", "wall")
    failure = Failure(FailureKind.TIMEOUT, message, None, detail)
    nothing: frozenset[int] | None = frozenset() if options.trace else None
    result = CaseResult(Outcome.RUNTIME_ERROR, failure, executed=nothing if options.trace_cases else None)
    return Verdict((result,) * len(job.problem.cases), nothing, judge, code=nothing)
