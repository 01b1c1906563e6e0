"""Starts the cage and returns the way to run programs in it. Standard library only."""

from __future__ import annotations

import atexit
import json
import marshal
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rltf_env.sandbox.cage import crowd, folders, isolation, program
from rltf_env.sandbox.cage.files import BATCH, Files, content
from rltf_env.sandbox.cage.limits import Limits
from rltf_env.sandbox.cage.turns import LAYOUT
from rltf_env.sandbox.frames import Alert, read_frame, unpack, write_frame

if TYPE_CHECKING:
    from rltf_env.sandbox.cage.live import Conversation
    from rltf_env.sandbox.cage.trace import Traced
    from rltf_env.sandbox.referee import precompile


class Unclean(Exception):
    """A program left its folder so that it cannot be emptied: no other can be run in its cage."""


def runner(options: dict[str, Any], alert: Alert) -> tuple[Any, Any, list[str]]:
    """The runner that `options["backend"]` asks for, what to tell the programs that are to come, the layers in force.

    `run(source, cases, count, isolated, spare)` runs a program on so many cases: each in a process of its own if it is
    `isolated`, until `spare` of them have come to an end too late. It returns why the program has no code, or "batch" if
    all ran in one process; the reports; the lines, as `trace.Traced`, if they are traced. `run.use(limits)` says what the
    programs to come may use.
    """
    if "rlimits" not in options["without"] and os.name == "posix":
        program.check_hard_limits(options, isolation.OPEN_FILES)
        isolation.allow_open_files()
    if options["backend"] == "subprocess":
        from rltf_env.sandbox.cage import per_case

        run, layers = per_case.runner(options)
        return run, lambda source: None, layers
    return _forks(options, alert)


def _forks(options: dict[str, Any], alert: Alert) -> tuple[Any, Any, list[str]]:
    from rltf_env.sandbox.cage import parent, warmup
    from rltf_env.sandbox.referee import precompile

    warmup.load()
    program.warm_up()
    program.rehearse(40)
    compiler = precompile.Compiler()
    analyser = precompile.Analyser() if options["facts"] else None
    files = Files()
    requests, to_cage = os.pipe()
    from_cage, replies = os.pipe()
    turns, (ask_end, ask), (tell_end, tell) = os.memfd_create("turns", 0), os.pipe(), os.pipe()  # of a live program
    os.ftruncate(turns, LAYOUT.size)
    user = isolation.free_user()
    layers = isolation.enter_namespaces(options["without"])
    folder = options["folder"]
    os.mkdir(folder, 0o700)
    inode = os.fstat(replies).st_ino
    if not os.fork():
        try:
            os.close(to_cage)
            os.close(from_cage)
            _become_cage(options, [*files.in_order(), turns, ask_end, tell, requests, replies], layers, user, folder)
        except BaseException as error:
            is_cage = os.fstat(parent.REPLIES).st_ino == inode
            write_frame(
                parent.REPLIES if is_cage else replies,
                json.dumps({"error": f"{type(error).__name__}: {error}"}).encode(),
            )
        finally:
            os._exit(70)
    os.close(requests)
    os.close(replies)

    hello = json.loads(read_frame(from_cage))
    if "error" in hello:
        raise OSError(f"the cage could not be made: {hello['error']}")
    if "root" in hello["layers"]:
        folders.remove(folder)
    else:
        atexit.register(folders.remove, folder)

    from rltf_env.sandbox.cage import live

    forks = Forks(options, alert, compiler, files, (to_cage, from_cage))
    forks.analyser = analyser
    forks.pipes, forks.turns = live.Pipes((ask_end, ask), (tell_end, tell)), live.Turns(turns)
    return forks, _announcing(compiler, analyser), hello["layers"]


def _announcing(compiler: precompile.Compiler, analyser: precompile.Analyser | None) -> Callable[[str], None]:
    """What is told of the programs that are to come."""
    if analyser is None:
        return compiler.ask

    def announce(source: str) -> None:
        compiler.ask(source)
        analyser.ask(source)

    return announce


class Forks:
    """Runs programs in forks of the warm parent."""

    def __init__(
        self, options: dict[str, Any], alert: Alert, compiler: Any, files: Files, cage: tuple[int, int]
    ) -> None:
        self.options, self._alert, self._compiler, self._files = options, alert, compiler, files
        self._to_cage, self._from_cage = cage
        self._own = Limits.of(options)
        self.pipes: Any = None  # both are made when the cage is, so that it has nothing of them
        self.turns: Any = None
        self.analyser: precompile.Analyser | None = None
        self._warmed = {"plain"}

    def use(self, own: Limits) -> None:
        """Holds the programs from now on to these limits."""
        self._own = own

    def __call__(self, source: str, cases: bytes, count: int, isolated: bool = False, spare: int = 2) -> Any:
        """What became of a program: why it has no code, or "batch"; a report for each case; the lines that ran."""
        compiled = self._compiler.answer(source)
        if isinstance(compiled, dict):
            return compiled, [], None
        self._files.empty()
        self._request(source, compiled, cases, count, isolated, spare)
        record = self._record()
        lines = self._traced(count)
        report = content(self._files.report)
        if not report or report == BATCH:  # only programs of several cases, and those without code, are reported on
            return "batch" if report else None, [(record, *self._files.output())], lines
        (code, records), pieces = unpack(report)
        return code, list(zip(records, pieces[::2], pieces[1::2], strict=True)), lines

    def live(self, source: str, converse: Callable[[Conversation], bool]) -> Any:
        """Runs a program that is asked one thing after another, by `converse`, which says whether it is to leave by itself.

        Returns:
            why it has no code; its report; the lines that ran; whether it said more than it may.
        """
        from rltf_env.sandbox.cage.live import Conversation
        from rltf_env.sandbox.cage.program import LIVE

        compiled = self._compiler.answer(source)
        if isinstance(compiled, dict):
            return compiled, None, None, False
        self._files.empty()
        self.pipes.clear()
        self.turns.reset()
        self._request(source, compiled, marshal.dumps([("", LIVE)]), 1, True, 1)
        leave = False
        try:
            talk = Conversation(self.pipes, self.turns, self.options["output_bytes"], self._wait)
            leave = converse(talk)
            talk.close(leave=leave)
        finally:
            if not leave:
                self.turns.end()
            record = self._record()
            self.turns.reset()
        lines = self._traced(1)
        report = content(self._files.report)
        if report:
            return unpack(report)[0][0], None, lines, False
        return None, (record, *self._files.output()), lines, talk.flooded

    def facts(self, source: str) -> dict[str, Any] | None:
        """What an analysis finds in a program's text, where that is asked for."""
        return None if self.analyser is None else self.analyser.facts(source)

    def warm(self, runner: str) -> None:
        """Has what runs a kind of test suite ("unittest", "pytest") imported once, for all programs that follow."""
        if runner not in self._warmed:
            self._warmed.add(runner)
            write_frame(self._to_cage, self._own.packed(0) + runner.encode())
            self._record()

    def _request(self, source: str, compiled: Any, cases: bytes, count: int, isolated: bool, spare: int) -> None:
        request = marshal.dumps((source if self.options["trace"] else compiled or source, cases, isolated, spare))
        write_frame(self._to_cage, self._own.packed(count) + request)

    def _traced(self, count: int) -> Traced | None:
        """The lines of a program that has run in so many cases, where they are traced."""
        if not self.options["trace"]:
            return None
        return self._files.traced(count if self.options["trace_cases"] else 1)

    def _record(self) -> dict[str, Any]:
        self._alert.wait(self._from_cage)
        record = json.loads(read_frame(self._from_cage))
        if "error" in record:
            raise EOFError(f"the cage failed: {record['error']}")
        if "unclean" in record:
            raise Unclean(record["unclean"])
        return record

    def _wait(self, fd: int, event: int) -> bool:
        return self._alert.wait_for(fd, event, self._from_cage)


def _become_cage(options: dict[str, Any], fds: list[int], layers: list[str], user: int, folder: str) -> None:
    from rltf_env.sandbox.cage import home, parent

    for number, fd in enumerate([os.dup2(fd, 100 + number) for number, fd in enumerate(fds)]):
        os.dup2(fd, number)
    os.closerange(len(fds), 4096)
    packages = [path for paths in options["packages"].values() for path in paths]
    os.makedirs(os.path.join(folder, "own", "work"))
    os.chdir(os.path.join(folder, "own", "work"))
    layers = isolation.confine(options, layers, packages, user)
    home.hold(parent.FOLDERS)
    write_frame(parent.REPLIES, json.dumps({"layers": layers}).encode())
    on_entry, adopt, alone = isolation.dumpable(), isolation.adopt_orphans, "pid" in layers
    if not alone:  # it has to end a program's processes, and then itself, when its parent has gone: see `Cage`
        adopt()
        on_entry = _first(on_entry, os.setsid, "seccomp" in layers)
    else:
        isolation.die_with_parent()  # and all of its namespace with it
        if {"root", "landlock"}.isdisjoint(layers):
            on_entry = _in_session(on_entry)
    others = crowd.Crowd(options["processes"])
    if "rlimits" in layers:
        on_entry = _within(others, on_entry)
    for name in [name for name in sys.modules if name.startswith("rltf_env")]:
        del sys.modules[name]
    sys.modules["__main__"].__dict__.clear()
    sys.argv[:] = ["program.py"]
    parent.serve(options, alone=alone, on_entry=on_entry, adopt=adopt, count=others.count)


def _in_session(dumpable: Any) -> Any:
    """What it does first where it may write to `/proc`: by way of its session it could take the judge's processor away."""

    def on_entry() -> None:
        os.setsid()
        dumpable()

    return on_entry


def _within(others: crowd.Crowd, rest: Any) -> Any:
    """What it does first where it may have so many processes beside those of others."""

    def on_entry() -> None:
        others.limit()
        rest()

    return on_entry


def _first(dumpable: Any, setsid: Any, filtered: bool) -> Any:
    """What a program's process does first where no PID namespace keeps it apart: it may signal none but itself."""

    def on_entry() -> None:
        setsid()
        isolation.die_with_parent()
        dumpable()
        if filtered:
            isolation.seccomp(os.getpid())

    return on_entry
