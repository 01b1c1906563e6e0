"""Compiles programs before their turn, in a process that runs none of them and knows no answers. Standard library only; Linux.

In a fork of the warm parent a compilation copies some eighty pages of memory, which takes longer than the compilation. Here it
happens while other programs run, and the fork gets code; what is no Python needs no fork. Whatever goes wrong (it takes too
long or too much memory, the compiler dies of it) nothing is known of it, and the fork compiles the program itself: what it
dies of has its name. Another such process says what an analysis finds in the texts (`Analyser`), where that is asked for.
"""

from __future__ import annotations

import fcntl
import json
import marshal
import os
import resource
import select
import signal
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn

from rltf_env.sandbox.cage import isolation, program
from rltf_env.sandbox.frames import read_frame, write_frame

LONGEST = 1 << 13  # bytes of a program: a longer one is not compiled ahead
SECONDS = 0.1  # of CPU time that a compilation may take
PATIENCE = 5.0  # seconds without an answer after which nothing is compiled ahead any more
MEMORY = 1 << 30  # bytes of address space
PAGE = resource.getpagesize()  # a pipe holds so many; a message begins a new one unless it fits into the last
_SEAL = _LENGTH = 8  # bytes
Work = Callable[[str], bytes]  # what is answered to a source


class Compiler:
    """A process that compiles, and one that starts another when that dies. Make it before there are secrets to inherit."""

    longest, seconds, patience = LONGEST, SECONDS, PATIENCE

    def __init__(self) -> None:
        self._start(lambda: _compiled)

    def _start(self, make: Callable[[], Work]) -> None:
        """Starts the process. It makes what it does before it has shut itself in."""
        requests, self._to = os.pipe()
        self._from, replies = os.pipe()
        self._pid = os.fork()
        if not self._pid:
            try:
                first, second = sorted((requests, replies))
                for low, high in ((3, first), (first + 1, second), (second + 1, 4096)):
                    os.closerange(low, high)
                os.dup2(os.open(os.devnull, os.O_RDWR), 2)  # where the compiler's warnings go
                _keep_serving(requests, replies, make(), self.seconds)
            finally:
                os._exit(70)
        os.close(requests)
        os.close(replies)
        self._room = fcntl.fcntl(self._to, fcntl.F_GETPIPE_SZ) // PAGE  # less for a user who holds many pipes
        self._poll = select.poll()
        self._poll.register(self._from, select.POLLIN)
        self._requests: deque[tuple[str, int]] = deque()  # with their pages, in the order in which answers come
        self._last: tuple[str, bytes | dict[str, Any]] = "", b""
        self._waiting = 0  # pages in the pipe, at most
        self._good = True

    def ask(self, source: str) -> None:
        """Has a program compiled, if there is room."""
        if not self._good or len(source) > self.longest:
            return
        try:
            data = source.encode()
        except UnicodeEncodeError:  # a lone surrogate: no version of Python reads it
            return
        pages = -(-(len(data) + _LENGTH) // PAGE)
        if len(data) > self.longest or self._waiting + pages > self._room:  # so asking never blocks
            return
        try:
            write_frame(self._to, data)
        except OSError:
            self.close()
            return
        self._requests.append((source, pages))
        self._waiting += pages

    def answer(self, source: str) -> bytes | dict[str, Any]:
        """What `program.prepared` makes of a program that was asked for, as marshal has it, or what makes it no Python.

        Empty if neither is known.
        """
        if self._last[0] == source:
            return self._last[1]
        while self._good and any(request == source for request, _ in self._requests):
            try:
                if not self._poll.poll(1000 * self.patience):
                    raise EOFError
                reply = read_frame(self._from)
            except EOFError:
                self.close()
                break
            request, pages = self._requests.popleft()
            self._waiting -= pages
            seal, answer = reply[:_SEAL], reply[_SEAL:]
            if answer and seal != _seal(request, answer):  # it was killed in the midst of a message
                self.close()
                break
            if request == source:
                self._last = source, json.loads(answer) if answer.startswith(b"{") else answer
                return self._last[1]
        return b""

    def close(self) -> None:
        """Ends it; what is asked for later has no code. May be called again."""
        if self._good:
            self._good = False
            os.close(self._to)
            os.close(self._from)
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)


class Analyser(Compiler):
    """The same for the facts of programs' texts (`rltf_env/facts.py`): asked ahead, or when they are needed."""

    seconds = 0.5  # rewards depend on the answer, so a busy machine must not take it away

    def __init__(self) -> None:
        self._start(_analysis)

    def facts(self, source: str) -> dict[str, Any] | None:
        """The facts as plain data (`messages.Judged`). None of what has none (`facts.of`), is too long, or took too much.

        Raises EOFError if the process is lost, for nothing may depend on that.
        """
        try:
            data = source.encode()
        except UnicodeEncodeError:
            return None
        if len(data) > self.longest:
            return None
        if self._good and self._last[0] != source and all(asked != source for asked, _ in self._requests):
            self._ask_now(source, data)
        answer = self.answer(source)
        if not self._good:
            raise EOFError("the process that analyses programs was lost")
        return answer if isinstance(answer, dict) else None

    def _ask_now(self, source: str, data: bytes) -> None:
        """Asks although there may be no room: what was asked ahead is answered first, and asked again in its turn."""
        if self._requests:
            self.answer(self._requests[-1][0])
        try:
            write_frame(self._to, data)
        except OSError:
            self.close()
            return
        self._requests.append((source, 0))


def _seal(source: str, answer: bytes) -> bytes:
    """Tells what belongs to a source from what is left of a message. Processes with a common ancestor agree on it."""
    return (hash((source, answer)) & (1 << 64) - 1).to_bytes(_SEAL, "little")


def _keep_serving(requests: int, replies: int, work: Work, seconds: float) -> NoReturn:
    """Answers each request, with nothing for the one that the answering process died of."""
    isolation.die_with_parent()
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGVTALRM"):
        signal.signal(getattr(signal, name), signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    program.compile_program("é = 1")  # a name beyond ASCII has a module loaded, which is not to be had behind the walls
    for wall in (lambda: isolation.landlock((), ()), isolation.seccomp):
        with suppress(OSError):
            wall()
    while True:
        pid = os.fork()
        if not pid:
            try:
                _serve(requests, replies, work, seconds)
            finally:
                os._exit(70)
        _, status = os.waitpid(pid, 0)
        if os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0:
            os._exit(0)
        write_frame(replies, b"")


def _serve(requests: int, replies: int, work: Work, seconds: float) -> NoReturn:
    isolation.die_with_parent()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    while True:
        try:
            source = read_frame(requests).decode()
        except EOFError:
            os._exit(0)
        signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
        answer = work(source)
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        write_frame(replies, _seal(source, answer) + answer)


def _compiled(source: str) -> bytes:
    """A program's code and traits, or why it is no Python; empty if neither is known."""
    compiled, traits = program.prepared(source)
    if not isinstance(compiled, dict):
        return marshal.dumps((compiled, traits))
    if "SyntaxError" in (compiled["kind"], *compiled["bases"]):
        return json.dumps(compiled).encode()
    return b""  # it may be this process that has no memory, or no stack, for it


def _analysis() -> Work:
    """What says of a program which facts its text has, as JSON."""
    import warnings

    from rltf_env import facts

    warnings.simplefilter("ignore")  # of what the texts say

    def work(source: str) -> bytes:
        found = facts.of(source)
        return b"null" if found is None else json.dumps({**vars(found), "defines": sorted(found.defines)}).encode()

    return work
