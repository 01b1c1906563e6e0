"""The warm parent of the programs: one per worker, in the cage that `isolation.py` makes, single-threaded.

It forks a child for every program. The child compiles it and, when there are several cases, forks again for each, so that no
state passes from case to case; a single case runs in the child itself. A case's output, and what its calls return, go to
memory files that the trusted side reads when the process is dead. Limits are on CPU time, and on idle time besides it; the time
that a program only waits for a processor is nobody's fault and does not count (`Clock`).

Descriptors: 0 standard input, 1 standard output, 2 null, 3 results. A program has these; the others are closed before it runs.
"""

# pyright: reportPossiblyUnboundVariable=false, reportOptionalMemberAccess=false
# (modules that some platforms lack are used only where the layers that need them are)
from __future__ import annotations

import _signal  # pyright: ignore[reportMissingImports]
import contextlib
import gc
import json
import os
import sys
import time
from typing import Any, NoReturn

try:
    import resource
except ImportError:  # not on Windows
    resource = None  # type: ignore[assignment]

from rltf_env.sandbox.cage import home, program, purity, seeds, streams, together, trace, turns, warmup
from rltf_env.sandbox.cage.clock import GUARD, LOOK, Clock, below, cpu_of, hold_too_much, kill_below, me, resident
from rltf_env.sandbox.cage.entry import DUMPING, Packages, leave_stack, numbers
from rltf_env.sandbox.cage.files import (
    ASK_END,
    BATCH,
    CASE,
    LINES,
    MODE,
    REPORT,
    RESULT,
    STDERR,
    STDOUT,
    TELL_END,
    TURNS,
    content,
    empty,
    may_restore,
    release,
    restore,
)
from rltf_env.sandbox.cage.limits import Limits, unpacked
from rltf_env.sandbox.frames import Turns, pack, pack_text, write_all, write_frame

REQUESTS, REPLIES = TELL_END + 1, TELL_END + 2  # pipes
FOLDERS = REPLIES + 1  # the first of the private folders, see `home.hold`
LAST = FOLDERS + 8  # no program has a descriptor from REPORT to this one, but a live one its two pipes

_HIDDEN = (*numbers("SIGCHLD SIGABRT SIGSEGV SIGBUS SIGFPE SIGILL"), *DUMPING)
Report = tuple[dict[str, Any], bytes, bytes]


class Cage:
    """Runs programs in forked children.

    Args:
        alone: this is the first process of a PID namespace, so whatever else is alive in it belongs to the program.
        count, on_entry: called before a child is forked, and in it before it runs a program.
    """

    def __init__(self, options: dict[str, Any], *, alone: bool, on_entry: Any, adopt: Any, count: Any) -> None:
        self.options, self.alone, self.on_entry, self.adopt, self.count = options, alone, on_entry, adopt, count
        self.size = program.own_size()
        self.used: Limits | None = None
        self.use(Limits.of(options))
        self.parent = os.getppid()  # without which nobody wants to know
        self.home, self.restores_files = home.Home(FOLDERS), may_restore(CASE, MODE)
        self.lost = False
        self.rows = 1  # of the file of lines
        self.own = resident("self")
        self.proc_pid = me()
        self.depth = program.depth()  # frames below `run`, which its children have besides their own
        self.own_proc = alone and self.proc_pid == str(os.getpid())

    # ----------------------------------------------------------------------------------------------- in the parent

    def use(self, own: Limits) -> None:
        """Holds the programs from now on to these limits."""
        if own == self.used:
            return
        self.used = own
        self.options = {**self.options, **own._asdict()}
        self.cpu = float(own.case_seconds)
        self.hard = self.cpu + max(0.25 * self.cpu, 0.1)  # killed here; between the two it is run once more, alone
        self.limits = program.limits(self.options, self.size)

    def run(self, request: bytes | memoryview, cases: int) -> bytes:
        """Runs a program; says how its process ended, as JSON. What it left is in the files, which the trusted side reads."""
        self.count()
        own = os.getpid()
        pid = os.fork()
        if not pid:
            self.parent = own
            self._child(request, cases)
        if cases == 1:
            record = self._watch(pid, self.hard, self.options["wall_seconds"])
        else:
            longest = 2 * self.options["program_seconds"] + self.options["wall_seconds"] + self.hard + 5
            record = self._watch(pid, longest, GUARD * longest, several=True)
        try:
            self.home.tidy(self.parent)
        except OSError as error:  # what it left behind cannot be removed: this cage has judged its last
            self.lost = True
            return json.dumps({"unclean": str(error)}).encode()
        return (_RECORD % record).encode()

    def warm(self, runner: str) -> bytes:
        """Has what runs a kind of test suite at hand for all programs that follow."""
        with warmup.no_hooks(), contextlib.suppress(ImportError):  # then each of these programs hears of it
            together.import_runner(runner)
        gc.collect()
        warmup.settle()
        gc.freeze()
        self.size, self.own, self.used = program.own_size(), resident("self"), None
        return b"{}"

    # ----------------------------------------------------------------------------------------------- in the child

    def _child(self, payload: bytes | memoryview, count: int) -> NoReturn:
        try:
            os.closerange(REQUESTS, REPLIES + 1)
            source, packed, isolated, spare = program.unpacked(payload)
            cases = program.unpacked(packed)
            if self.options["trace"]:
                self.rows = count if self.options["trace_cases"] else 1
                os.ftruncate(LINES, trace.size(source, self.rows))
            suite = type(cases[0][1]) is dict  # `together.runs_together`: a call less, which is a few pages to copy
            alone = len(cases) == 1 and not suite
            if alone:
                _signal.pthread_sigmask(_signal.SIG_SETMASK, ())
                if cases[0][0]:
                    streams.give(cases[0][0])  # before the limits: it may be longer than a file of the program's
                self._limit()
                code, traits = program.code_of(source)
            else:
                code, traits = self._compile_within_limits(source)
            if isinstance(code, dict):
                write_all(REPORT, pack([code, []], []))
                os._exit(0)
            if alone:
                self._enter(program.run_case, code, traits, cases[0], self.depth + 2)
            if not isolated and traits & purity.PURE and streams.fit(cases, self.options):
                self._batch(code, traits, cases)
            self._each(together.run_case if suite else program.run_case, code, traits, cases, spare)
        finally:
            os._exit(70)

    def _compile_within_limits(self, source: str | bytes) -> tuple[Any, int]:
        kinds = (resource.RLIMIT_AS, resource.RLIMIT_CPU)
        before = [resource.getrlimit(kind) for kind in kinds]
        for kind, limit in self.limits:
            if kind in kinds:
                resource.setrlimit(kind, (limit[0], resource.getrlimit(kind)[1]))
        _signal.pthread_sigmask(_signal.SIG_UNBLOCK, (_signal.SIGXCPU,))
        prepared = program.code_of(source)
        _signal.pthread_sigmask(_signal.SIG_BLOCK, (_signal.SIGXCPU,))
        for kind, limit in zip(kinds, before, strict=True):
            resource.setrlimit(kind, limit)
        return prepared

    def _each(self, run: Any, code: Any, traits: int, cases: list[tuple[str, Any]], spare: int) -> NoReturn:
        """Runs none of the program: a fork for each case, until `spare` of them are late."""
        if not self.alone:
            self.adopt()
        most = self.options["program_seconds"]
        cpu, passed, size, records, outputs = 0.0, 0.0, 0, [], []
        tests = together.prepare(cases[0])
        limits = (
            program.limits({**self.options, "case_seconds": self.cpu * tests}, self.size) if tests > 1 else self.limits
        )
        for number, case in enumerate(cases):
            empty(CASE)
            release(STDERR)
            if self.restores_files:
                restore(CASE, MODE)
            pid = os.fork()
            if not pid:
                _signal.pthread_sigmask(_signal.SIG_SETMASK, ())
                if case[0]:
                    streams.give(case[0])
                self._limit(limits)
                self._enter(run, code, traits, case, self.depth + 3, number)
            record = self._watch(pid, self.hard * tests, self.options["wall_seconds"] * tests)
            self.home.tidy(self.parent)
            records.append(record)
            outputs.append((content(STDOUT), content(RESULT)))
            cpu += record["seconds"]
            passed += record["wall"]
            size += len(outputs[-1][0]) + len(outputs[-1][1])
            suite = together.runs_together(case)
            used_up = size > 4 * self.options["output_bytes"]
            used_up = used_up or (not suite and (cpu > most or passed > 2 * most))  # each run of a suite has that much
            late = not record["end"] and record["seconds"] > self.cpu
            spare -= late and not suite
            if record["end"] in ("cpu", "wall") or used_up or not spare:
                break
        write_all(REPORT, _packed(records, outputs))
        os._exit(0)

    def _batch(self, code: Any, traits: int, cases: list[tuple[str, Any]]) -> NoReturn:
        """Runs all cases in this process, which from now on is the program's."""
        write_all(REPORT, BATCH)
        _signal.pthread_sigmask(_signal.SIG_SETMASK, ())
        self._limit()
        lines = self._lines() if self.options["trace"] else None
        os.closerange(REPORT, LAST + 1)
        self.on_entry()
        program.run_batch(code, traits, cases, self.cpu / 4, lines, self.options["recursion"], self.depth + 2)

    def _lines(self, case: int = 0) -> trace.Lines:
        """Where the lines are marked that run in a case."""
        return trace.Lines(LINES, self.rows, case if self.rows > 1 else 0)

    def _limit(self, limits: list[Any] | None = None) -> None:
        for what, pair in limits or self.limits:
            resource.setrlimit(what, pair)

    def _enter(self, run: Any, code: Any, traits: int, case: tuple[str, Any], below: int, number: int = 0) -> NoReturn:
        """The last trusted step: gives up what the program must not have, then runs case `number` by `run`.

        There are `below` frames below this one.
        """
        try:
            lines = self._lines(number) if self.options["trace"] else None
            first = REPORT
            if case[1] == program.LIVE:
                os.dup2(ASK_END, program.ASK)
                os.dup2(TELL_END, program.TELL)
                first = program.TELL + 1
            os.closerange(first, LAST + 1)  # with what `Lines` opened
            self.on_entry()
            run(code, traits, case[1], lines, self.options["recursion"], below)
        finally:
            os._exit(70)

    # ------------------------------------------------------------------------------------------------- watching

    def _watch(self, pid: int, limit: float, longest: float, *, several: bool = False) -> dict[str, Any]:
        """Waits for a child, ends it at its limits, and what it left behind in any case; says how it died."""
        start, clock, end, pause, before = time.monotonic(), None, "", LOOK / 2, 0.0
        while True:
            _signal.sigtimedwait((_signal.SIGCHLD,), pause)  # it waits there if the child ended before this
            child, status, usage = self._reap(pid, os.WNOHANG | (os.WUNTRACED if several else 0))
            if child and not os.WIFSTOPPED(status):
                break
            if clock is None:  # most have ended by now, and need none
                clock, before = Clock(pid, self._proc_pid(pid), start), self._dead_cpu()
            if several and os.fstat(REPORT).st_size == len(BATCH):  # it runs all cases itself
                several, limit, longest = False, self.hard, self.options["wall_seconds"]
            if several and child:  # it runs nothing of the program, so only the program can have stopped it
                end = "stopped"
            end = end or self._over(clock, limit, longest, several, before)
            if end:
                status, usage = self._stop(pid)
                break
            pause = min(LOOK, max(limit - clock.passed, LOOK / 10))
        self._sweep(pid)
        if end == "gone":
            os._exit(0)
        seconds = usage.ru_utime + usage.ru_stime
        wall = seconds + (max(clock.idle - turns.read(TURNS)[0], 0.0) if clock else 0.0)
        return {"status": status, "seconds": seconds, "wall": wall, "end": end}

    def _over(self, clock: Clock, limit: float, longest: float, several: bool, before: float) -> str:
        """The limit that a process, or all of a program's together, are over, if any: "cpu", "wall" or "memory".

        "done" if no more is wanted of it, "gone" if its judge has ended.
        """
        if not clock.due():
            return ""
        clock.look()
        if os.getppid() != self.parent:
            return "gone"
        others, done = turns.read(TURNS)  # what passed while a live program waited for the referee
        if clock.cpu >= limit:
            return "cpu"
        if clock.cpu + clock.idle - others >= longest or clock.passed - others >= GUARD * longest:
            return "wall"
        if done:
            return "done"
        if several:
            return ""
        everybody = self._everybody()
        if sum(map(cpu_of, everybody)) + self._dead_cpu() - before >= limit:
            return "cpu"
        return "memory" if hold_too_much(everybody, self.own, self.options["memory_mb"] << 20) else ""

    def _everybody(self) -> list[str]:
        """The processes of the program, by their numbers in `/proc`."""
        everybody = [name for name in os.listdir("/proc") if name.isdigit()] if self.own_proc else below(self.proc_pid)
        return [each for each in everybody if each not in (self.proc_pid, me())]

    def _dead_cpu(self) -> float:
        """CPU seconds of processes that have ended and had no parent left but this one, or the first of the namespace."""
        return sum(cpu_of(each, children=True) for each in {self.proc_pid, me()} - {""})

    def _proc_pid(self, pid: int) -> str:
        """The number of a child in `/proc`, which may be that of another PID namespace."""
        if not self.alone or self.own_proc:
            return str(pid)
        with contextlib.suppress(OSError):
            for number in below("self"):
                with open(f"/proc/{number}/status") as file:
                    if f"\t{pid}\n" in next((line for line in file if line.startswith("NSpid:")), ""):
                        return number
        return ""

    def _stop(self, pid: int) -> Any:
        """Ends a child that is over its limit: an abort first, on which it leaves its stack, then a kill."""
        for signal, patience in ((_signal.SIGABRT, 0.2), (_signal.SIGKILL, 10.0)):
            os.kill(pid, signal)
            end = time.monotonic() + patience
            while time.monotonic() < end:
                child, status, usage = self._reap(pid)
                if child:
                    return status, usage
                _signal.sigtimedwait((_signal.SIGCHLD,), 0.01)
        os._exit(71)  # cannot be killed: this cage is lost, the worker is replaced

    def _reap(self, child: int, options: int = os.WNOHANG) -> Any:
        while True:
            pid, status, usage = os.wait4(-1, options)
            if pid in (child, 0):
                return pid, status, usage

    def _sweep(self, pid: int) -> None:
        """Kills what the program left behind, until nothing is left."""
        pause = 0.0
        while self._bury() or self._others(pid):
            if pause:
                _signal.sigtimedwait((_signal.SIGCHLD,), pause)
            pause = min(pause + 0.001, 0.02)

    def _bury(self) -> bool:
        """Takes dead children away. True if there are live ones."""
        try:
            while os.wait4(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return False
        if self.alone:
            os.kill(-1, _signal.SIGKILL)  # a child may be one that the program has foisted on us
        else:
            kill_below()
        return True

    def _others(self, pid: int) -> bool:
        """Kills all but this process and the first of the namespace. True if there were any."""
        if not self.alone or os.getpid() == 1:  # what is left behind becomes this process's child, see _bury
            return False
        try:
            os.kill(-1, _signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True


def _packed(records: list[dict[str, Any]], outputs: list[tuple[bytes, bytes]]) -> bytes:
    """The answer for a program of several cases. The JSON is written by hand: an encoder touches, and so copies, forty pages."""
    texts = ", ".join([_RECORD % record for record in records])
    return pack_text(f"[null, [{texts}]]", [piece for pair in outputs for piece in pair])


_RECORD = '{"status": %(status)d, "seconds": %(seconds)r, "wall": %(wall)r, "end": "%(end)s"}'


# -------------------------------------------------------------------------------------------------------- the process


def serve(options: dict[str, Any], *, alone: bool, on_entry: Any, adopt: Any, count: Any) -> NoReturn:
    """The warm parent's loop: a program in, what became of it out, until the referee goes away."""
    requests = Turns(REQUESTS)
    cage = Cage(options, alone=alone, on_entry=on_entry, adopt=adopt, count=count)
    _signal.set_wakeup_fd(-1)
    _signal.pthread_sigmask(_signal.SIG_BLOCK, _HIDDEN)
    for signal in (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP):
        _signal.signal(signal, _signal.SIG_DFL)
    leave_stack()
    sys.meta_path.append(Packages(options["packages"]))  # type: ignore[arg-type]
    program.hide_own_frames()
    seeds.install()
    seeds.seed()
    gc.collect()
    warmup.settle()
    gc.freeze()
    while True:
        try:
            payload = requests.read()
        except EOFError:
            os._exit(0)
        try:
            cases, own, request = unpacked(payload)
            cage.use(own)
            answer = cage.run(request, cases) if cases else cage.warm(bytes(request).decode())
        except Exception as error:  # the cage is lost, and says why
            where = error.__traceback__
            while where is not None and where.tb_next is not None:
                where = where.tb_next
            text = f"{type(error).__name__}: {error} (line {where.tb_lineno if where else 0})"
            write_frame(REPLIES, json.dumps({"error": text}).encode())
            os._exit(70)
        write_frame(REPLIES, answer)
        if cage.lost:
            os._exit(70)
