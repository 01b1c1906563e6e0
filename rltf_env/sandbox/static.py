"""A judge that runs nothing: it reads a program's text, compiles it, and looks for what is likely wrong with it.

    sandbox.load("static").run("def f(x):\n    return y\n", problem)       RUNTIME_ERROR, UndefinedName on line 2

The grounding function of RLCF (arXiv 2305.18341) without its language model: with the rewards `coarse` and `fine` it is
feedback without tests. Every case of a problem gets the same result:

    SYNTAX_ERROR     the text is not Python; with its line
    RUNTIME_ERROR    it has a finding (`rltf_env/facts`): the first, with its line; or it does not define what the problem
                     calls (`MissingEntryPoint`); or it is too long, too deep or too slow to be read (`NotRun`)
    PASSED           nothing was found

A finding may be wrong, such as a name that nothing binds in a branch that never runs. And PASSED does not say that the
program is right: `Verdict.was_run` is False, and whatever counts solved problems refuses such a verdict. Programs are read
in a process of their own (`referee/examiner.py`), one after the other.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rltf_env import plain
from rltf_env.core import CaseResult, Facts, Failure, FailureKind, Outcome, Problem, StdinCase, Verdict
from rltf_env.core.verdicts import STATIC
from rltf_env.errors import SandboxError, UnknownName, UsageError
from rltf_env.joining import full_text
from rltf_env.sandbox.pool import wire
from rltf_env.sandbox.pool.channel import Channel
from rltf_env.sandbox.pool.scheduler import check_open
from rltf_env.sandbox.pool.worker import ENVIRONMENT, INHERITED

PROCESS = Path(__file__).parent / "referee" / "examiner.py"
PATIENCE = 90.0  # seconds that an answer may take, on a busy machine
TRIES = 3
ANCESTORS = {  # of a finding, those of what Python would raise there
    FailureKind.UNDEFINED_NAME: ("NameError", "Exception", "BaseException"),
    FailureKind.WRONG_ARITY: ("TypeError", "Exception", "BaseException"),
    FailureKind.UNBOUND_LOCAL: ("UnboundLocalError", "NameError", "Exception", "BaseException"),
    FailureKind.NOT_RETURNED: (),
}
FINDINGS = (FailureKind.UNDEFINED_NAME, FailureKind.WRONG_ARITY, FailureKind.UNBOUND_LOCAL)


@dataclass(frozen=True)
class Options:
    """What a static judge looks for.

    Args:
        facts: give the facts of each text, in `Verdict.facts`.
        findings: kinds of finding that count; `"NotReturned"`, which is often meant so, is not among them unless it is named.
    """

    facts: bool = False
    findings: Sequence[str] = FINDINGS

    def __post_init__(self) -> None:
        if not isinstance(self.facts, bool):
            raise UsageError(f"Expected facts to be True or False, got {self.facts!r}.")
        if isinstance(self.findings, str):
            raise UsageError(f"Expected findings as names in a tuple or list, got {self.findings!r}.")
        for kind in self.findings:
            if kind not in ANCESTORS:
                raise UnknownName("kind of finding", kind, ANCESTORS)


def load(facts: bool = False, findings: Sequence[str] = FINDINGS) -> StaticSandbox:
    """A judge that runs nothing. Options: see `Options`.

    Raises:
        UnknownName: no such kind of finding.
        UsageError: an option of the wrong type, or not on Linux.
    """
    if not sys.platform.startswith("linux"):
        raise UsageError(f"Expected Linux for the sandbox {STATIC!r}, got {sys.platform!r}.")
    return StaticSandbox(Options(facts, findings))


class StaticSandbox:
    """See the module's head. Safe to use from threads; close it, or use it with `with`."""

    judges = False  # for `testing.check_sandbox`: no case is run
    runs_programs = False

    def __init__(self, options: Options) -> None:
        self.options, self.closed = options, False
        self._pid, self._lock, self._reader = os.getpid(), threading.Lock(), _Reader()
        self._finalizer = weakref.finalize(self, self._reader.stop)

    def run(self, source: str, problem: Problem) -> Verdict:
        """What reading `source` says of it. Raises SandboxError if the process that reads was lost, again and again."""
        wire.check_job(source, problem)
        joined = full_text(problem.prefix, source)
        check_open(self.closed, os.getpid() == self._pid)  # in a fork the lock may be held by nobody that is there
        with self._lock:
            check_open(self.closed, True)
            reply = self._read(joined.text)
        facts = plain.decode_facts(reply["facts"]) if "facts" in reply else None
        result = _result(reply, facts, problem, self.options.findings)
        kept = facts if self.options.facts else None
        return joined.as_written(Verdict((result,) * len(problem.cases), judged_by=STATIC, facts=kept))

    def submit(self, source: str, problem: Problem) -> Future[Verdict]:
        """The same as a future, which is done at once."""
        future: Future[Verdict] = Future()
        future.set_running_or_notify_cancel()
        try:
            future.set_result(self.run(source, problem))
        except SandboxError as error:
            future.set_exception(error)
        return future

    def map(self, jobs: Iterable[tuple[str, Problem]]) -> Iterator[Verdict]:
        """Verdicts in the order of `jobs`, which may be endless, one at a time."""
        for source, problem in jobs:
            yield self.run(source, problem)

    def level(self) -> str:
        """The name of this judge, as `Verdict.judged_by` has it."""
        return STATIC

    def close(self) -> None:
        """Ends the process; from now on `run` raises UsageError. May be called again."""
        self.closed = True
        if os.getpid() == self._pid:
            with self._lock:
                self._finalizer()

    def __enter__(self) -> StaticSandbox:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _read(self, text: str) -> dict[str, Any]:
        """What the process answers, or a new one in its place where it is lost."""
        try:
            data = text.encode()
        except UnicodeEncodeError as error:  # a lone surrogate: no version of Python reads it
            line = text.count("\n", 0, error.start) + 1
            return {"syntax": ["SyntaxError", str(error.reason), line, "", ["Exception", "BaseException"]]}
        why = ""
        for _ in range(TRIES):
            try:
                return self._reader.ask(data) or {}
            except (EOFError, TimeoutError) as error:
                why = f"{type(error).__name__}: {error}"
                self._reader.stop()
        raise SandboxError(f"The process that reads programs was lost {TRIES} times in a row, the last time by {why}.")


class _Reader:
    """The process that reads texts, started when the first comes."""

    def __init__(self) -> None:
        self._owner = os.getpid()
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: Channel | None = None

    def ask(self, data: bytes) -> dict[str, Any] | None:
        """What reading a text gives (`referee/examiner.py`). Raises EOFError, TimeoutError where the process is lost."""
        channel = self._channel or self._start()
        channel.send(data)
        reply = channel.receive(PATIENCE)
        if reply is None:
            raise TimeoutError(f"no answer in {PATIENCE:g} s")
        return json.loads(reply)

    def _start(self) -> Channel:
        self._process = process = subprocess.Popen(
            [sys.executable, "-s", "-S", "-P", "-B", "-X", "utf8", str(PROCESS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            env={**ENVIRONMENT, **{name: os.environ[name] for name in INHERITED if name in os.environ}},
            start_new_session=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        self._channel = Channel(process.stdout, process.stdin)
        return self._channel

    def stop(self) -> None:
        """Ends the process, unless a fork asks for it. May be called again."""
        if os.getpid() != self._owner:
            return
        process, self._process = self._process, None
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()
        if process is not None:
            process.kill()
            process.wait()


def _result(reply: dict[str, Any], facts: Facts | None, problem: Problem, kinds: Sequence[str]) -> CaseResult:
    """What each case of a problem comes to."""
    if "syntax" in reply:
        kind, message, line, detail, bases = reply["syntax"]
        return CaseResult(Outcome.SYNTAX_ERROR, Failure(kind, message, line, detail, tuple(bases)))
    if facts is None:
        failure = Failure(FailureKind.NOT_RUN, "too long, too deep or too slow to be read")
        return CaseResult(Outcome.RUNTIME_ERROR, failure)
    for kind, line in facts.findings:
        if kind in kinds:
            return CaseResult(Outcome.RUNTIME_ERROR, Failure(kind, "", line, bases=ANCESTORS[kind]))
    if _misses_entry_point(facts, problem):
        failure = Failure(FailureKind.MISSING_ENTRY_POINT, f"the program defines no {problem.entry_point!r}")
        return CaseResult(Outcome.RUNTIME_ERROR, failure)
    return CaseResult(Outcome.PASSED)


def _misses_entry_point(facts: Facts, problem: Problem) -> bool:
    """True if what the cases call is bound nowhere; a method of a class `Solution` may stand in for it."""
    name = problem.entry_point
    if not name or all(isinstance(case, StdinCase) for case in problem.cases):
        return False
    return facts.defines.isdisjoint((name.partition(".")[0], name.rpartition(".")[2], "Solution", "*"))
