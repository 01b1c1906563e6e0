"""What the processes of a program use: time, memory, and which processes there are. Standard library only."""

# pyright: reportOptionalMemberAccess=false
from __future__ import annotations

import _signal  # pyright: ignore[reportMissingImports]
import contextlib
import os
import time
from collections.abc import Collection

try:
    import resource
except ImportError:  # not on Windows
    resource = None  # type: ignore[assignment]


LOOK = 0.1  # seconds between looks at a program that takes its time
GUARD = 60  # times its limit, after which a program is ended though it never got a processor


def resident(pid: str) -> int:
    """Bytes of memory that a process has in use."""
    try:
        with open(f"/proc/{pid}/statm") as file:
            return int(file.read().split()[1]) * resource.getpagesize()
    except (OSError, IndexError):
        return 0


SOCKET, PIPE = 208 << 10, 64 << 10  # bytes that the kernel may hold in a socket and in a pipe
MOST_PIPES = 256  # of a program: the kernel gives all processes of a user no more than 1024 that are not small


def hold_too_much(pids: Collection[str], shared: int, most: int) -> bool:
    """True if processes together hold more than `most` bytes of memory, or too many pipes.

    What is in sockets and pipes is the kernel's memory, of which `resident` knows nothing.

    Args:
        pids: by their numbers in `/proc`.
        shared: bytes that each has from the process that it comes from.
        most: bytes.
    """
    ends = {end for pid in pids for end in _ends(pid)}
    pipes, sockets = (sum(end.startswith(kind) for end in ends) for kind in ("pipe:", "socket:"))
    memory = sum(max(resident(pid) - shared, 0) for pid in pids) + pipes * PIPE + sockets * SOCKET
    return pipes > MOST_PIPES or memory > most


def _ends(pid: str) -> list[str]:
    """What the descriptors of a process stand for."""
    targets = []
    with contextlib.suppress(OSError):  # it has ended
        for fd in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                targets.append(os.readlink(f"/proc/{pid}/fd/{fd}"))
    return targets


def cpu_of(pid: str, *, children: bool = False) -> float:
    """CPU seconds of a process and of its children that have ended; of the latter alone if `children`. To ten milliseconds."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            times = list(map(int, file.read().rpartition(b")")[2].split()[11:15]))
    except (OSError, ValueError):
        return 0.0
    return sum(times[2:] if children else times) / _TICKS


_TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


def me() -> str:
    """The number of this process in `/proc`; empty if it has none there."""
    try:
        return os.readlink("/proc/self")
    except OSError:
        return ""


def below(pid: str) -> list[str]:
    """The processes that come from one, by their numbers in `/proc`, as far as they are shown there."""
    descendants, todo = [], [pid]
    while todo:
        with contextlib.suppress(OSError):  # it has ended
            parent = todo.pop()
            for thread in os.listdir(f"/proc/{parent}/task"):
                with open(f"/proc/{parent}/task/{thread}/children") as file:
                    children = file.read().split()
                descendants += children
                todo += children
    return descendants


def cpu_seconds(pid: int) -> float:
    """CPU time of a process, of all its threads: the clock that clock_getcpuclockid(3) names."""
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return 0.0


class Clock:
    """What became of a process's time: computing (`cpu`), or nothing (`idle`). Seconds; `look` brings them up to date.

    The rest it was ready to run and did not get a processor. That depends on the machine's load and is no fault of the
    program, so no verdict may depend on it. The kernel counts such a wait when it is over. So what passed while a program that
    is ready now (R) did not compute is in doubt until the next look, and no longer if it has run since: else a program that
    sleeps between the looks would only have to be awake for each.
    """

    def __init__(self, pid: int, proc_pid: str, start: float | None = None) -> None:
        self.pid, self.proc_pid = pid, proc_pid  # its number for this process, and in /proc; empty if it has none there
        self.start = time.monotonic() if start is None else start
        self.cpu = self.idle = self.passed = self._last_look = self._waited = self._doubt = 0.0
        self.states = ""  # of its threads: R runs or is ready to, S sleeps, T is stopped, ...
        self._ready: dict[str, int] = {}

    def due(self) -> bool:
        """True if it is time to look: not for what ends at once."""
        self.passed = time.monotonic() - self.start
        return self.passed - self._last_look >= LOOK / 20 and self.passed >= LOOK / 2

    def look(self) -> None:
        """Reads `/proc` once and notes what the process did since the last look."""
        states, waited, ready = threads(self.proc_pid) if self.proc_pid else ("", None, {})
        starved = any(self._ready.get(thread) == runtime for thread, runtime in ready.items())
        self._ready = ready
        self.note(time.monotonic() - self.start, cpu_seconds(self.pid), waited, states, starved)

    def note(self, passed: float, cpu: float, waited: float | None, states: str, starved: bool = False) -> None:
        """Takes down what is known now.

        Args:
            passed: seconds since the start.
            cpu: seconds that it computed.
            waited: seconds that it waited for a processor, as far as the kernel has counted them. None: it does not say.
            states: of its threads.
            starved: a thread is ready, was so at the last look, and has not run in between.
        """
        length, worked = passed - self._last_look, cpu - self.cpu
        wait = max(self._doubt + length - worked - max((waited or 0.0) - self._waited, 0.0), 0.0)
        self._doubt = 0.0
        if "R" in states and waited is None:
            wait = 0.0
        elif "R" in states:
            self._doubt = wait if starved or not worked else min(wait, length)
        self.idle += wait - self._doubt
        self.states, self._last_look, self.cpu, self._waited = states, passed, cpu, waited or 0.0


def threads(pid: str) -> tuple[str, float | None, dict[str, int]]:
    """What the threads of a process do.

    Returns:
        their states; the seconds that they were ready to run and did not get a processor, if the kernel counts them; how long,
        in nanoseconds, those that are ready now have run.
    """
    states, waited, total, ready = "", 0.0, 0, {}
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/stat", "rb") as file:
                state = chr(file.read().rpartition(b")")[2][1])
            states += state
            with open(f"/proc/{pid}/task/{thread}/schedstat", "rb") as file:
                runtime, delayed, _ = map(int, file.read().split())
            waited += delayed / 1e9
            total += runtime
            if state == "R":
                ready[thread] = runtime
    except (OSError, ValueError):  # it ends, or the kernel keeps no such statistics
        pass
    return states, waited if total else None, ready


def end_children() -> None:
    """Kills all that comes from this process, until nothing of it is left."""
    while True:
        try:
            while os.wait4(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        kill_below()
        time.sleep(0.001)


def kill_below() -> None:
    """Kills all that comes from this process. Not for a PID namespace that `/proc` is not of.

    All are stopped first. What is killed makes room for others, which a program that forks without end has at once. What is
    stopped does not. Raises OSError where `/proc` does not show what comes from a process.
    """
    os.stat(f"/proc/self/task/{os.getpid()}/children")
    stopped: set[str] = set()
    while fresh := set(below("self")) - stopped:
        _signal_all(fresh, _signal.SIGSTOP)
        stopped |= fresh
    _signal_all(stopped, _signal.SIGKILL)


def _signal_all(pids: Collection[str], signal: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):  # it has ended by itself
            os.kill(int(pid), signal)
