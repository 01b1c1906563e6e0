"""The worker process: `python process.py OPTIONS`, started by `pool/worker.py`, which it talks to over its standard streams.

It is the referee. Before it knows any answer, and before it imports what only a referee needs, it makes the cage: the process
in which programs run. Every import up to there is paid for again at every fork.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sys
from collections import deque
from typing import Any

_sandbox = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def _borrow() -> None:
    """Makes the few modules of the judge importable without the packages around them, which import numpy and more."""
    for name, path in (("rltf_env", os.path.dirname(_sandbox)), ("rltf_env.sandbox", _sandbox)):
        package = type(sys)(name)
        package.__path__ = [path]
        sys.modules[name] = package


def main() -> None:
    """Makes the cage, says what it is made of, then answers jobs until there are no more (`messages.py`)."""
    _borrow()
    options = json.loads(sys.argv.pop())  # a test or a checker finds no arguments
    from rltf_env.sandbox.cage import stack

    stack.enlarge(options["memory_mb"] << 20)
    os.environ.pop("LD_BIND_NOW", None)  # it has done its work, and is none of a program's business
    inbox, outbox = os.dup(0), os.dup(1)
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    os.dup2(0, 1)
    if hasattr(signal, "SIGCHLD"):  # whoever ignores it does not learn how its children end, nor do they of theirs
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), _leave)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, who closes us
    from rltf_env.sandbox.frames import Alert, write_frame
    from rltf_env.sandbox.referee import launch

    alert, failed = Alert(), ""
    try:
        runner, announce, layers = launch.runner(options, alert)
    except (OSError, EOFError) as error:
        runner, announce, layers, failed = None, None, [], str(error)
    from rltf_env.sandbox import messages
    from rltf_env.sandbox.cage import isolation
    from rltf_env.sandbox.referee import recursion, workplace

    if failed:
        write_frame(outbox, messages.encode(messages.NotReady(failed)))
        return

    if sys.platform.startswith("linux"):
        isolation.die_with_parent(signal.SIGTERM)
        if os.getppid() != options["parent"]:
            return
    write_frame(outbox, messages.encode(messages.Ready(isolation.level(layers), layers)))
    workplace.move_in(options["workplace"])
    recursion.allow_reading()
    own = sys.stderr
    sys.stderr = (
        sys.stdout
    )  # a test's complaints and log go nowhere: they quote answers, which are not fit for a terminal
    try:
        _Desk(options, runner, announce, alert, inbox, outbox).work()
    except Exception:
        sys.stderr = own
        raise


class _Desk:
    """The jobs that came and wait, and the problems that they are on."""

    def __init__(
        self, options: dict[str, Any], runner: Any, announce: Any, alert: Any, inbox: int, outbox: int
    ) -> None:
        from rltf_env.sandbox import frames, messages
        from rltf_env.sandbox.board import Note
        from rltf_env.sandbox.referee import deadline, judge

        self.frames, self.messages, self.judge = frames, messages, judge
        deadline.prepare(options["output_bytes"])
        self.announce, self.alert, self.inbox, self.outbox = announce, alert, inbox, outbox
        self.note = Note(options["board"], options["place"])
        self.referee = judge.Referee(runner, options, self.note, self._calm)
        self.problems: dict[int, Any] = {}
        self.waiting: deque[Any] = deque()
        self.present = 0  # the number of the job that is being judged

    def work(self) -> None:
        """Answers jobs until there are no more, or the cage is lost: its successor judges again."""
        try:
            while True:
                self._receive_all()
                if self.waiting and not self._judge(self.waiting.popleft()):
                    return
        except _Over:
            return
        except (EOFError, BrokenPipeError) as error:
            with contextlib.suppress(BrokenPipeError):  # it was the caller that has gone, with nobody to tell
                self._send(self.messages.Lost(str(error)))

    def _judge(self, job: Any) -> bool:
        """Answers a job. False if it was this process's last."""
        self.present = job.number
        self.note.begin(job.number)
        answer = _answer(self.referee, self.problems, job)
        self._send(answer)
        return not getattr(answer, "last", False)

    def _calm(self) -> None:
        """Returns when no other referee runs a program, until the present job is answered."""
        self._send(self.messages.CalmWanted(self.present))
        while not isinstance(self._receive(), self.messages.CalmGranted):
            pass

    def _receive_all(self) -> None:
        """Takes in all messages that have come, at least one if nothing waits."""
        while not self.waiting or (os.name == "posix" and select.select([self.inbox], [], [], 0)[0]):
            self._receive()

    def _receive(self) -> Any:
        """Takes in a message: a job, jobs taken back, or calm."""
        self.alert.wait(self.inbox)
        try:
            message = self.messages.decode(self.frames.read_frame(self.inbox))
        except EOFError:
            raise _Over from None
        if isinstance(message, self.messages.Cancel):
            self.waiting = deque(job for job in self.waiting if job.number not in message.numbers)
        elif isinstance(message, self.messages.Judge):
            self.waiting.append(message)
            self.announce(message.source)
            for key in message.forget:
                self.problems.pop(key, None)
            if message.problem is not None:
                self.problems[message.key] = self.judge.Pending(message.problem)
        return message

    def _send(self, message: Any) -> None:
        self.frames.write_frame(self.outbox, self.messages.encode(message))


class _Over(Exception):
    """The caller has gone, or closed the sandbox."""


def _leave(number: int, frame: Any) -> None:
    signal.signal(number, signal.SIG_IGN)  # once is enough: what is left to do on the way out must not be cut short
    deadline = sys.modules.get("rltf_env.sandbox.referee.deadline")  # no test runs before it is there, imported whole
    raise getattr(deadline, "Leave", SystemExit)(0)


def _answer(referee: Any, problems: dict[int, Any], job: Any) -> Any:
    from rltf_env.sandbox import messages
    from rltf_env.sandbox.referee.failures import RUNTIME_ERROR, failure
    from rltf_env.sandbox.referee.judge import BadProblem, Pending, Problem
    from rltf_env.sandbox.referee.launch import Unclean

    try:
        problem = problems[job.key]
        if isinstance(problem, Pending):
            problem = problems[job.key] = Problem(problem.data)
        return messages.Judged(job.number, **referee.judge(job.source, problem))
    except (EOFError, BrokenPipeError, _Over):
        raise
    except Unclean as error:  # only the program can have done it, in whichever of its runs
        blame = failure("ForbiddenCall", f"left its folder so that it cannot be emptied: {error}")
        from rltf_env.sandbox.referee.coverage import Coverage

        nothing = Coverage(referee.options)  # was seen of it
        results = nothing.on([RUNTIME_ERROR, blame, 0.0, ""] for _ in range(problems[job.key].width))
        return messages.Judged(job.number, results, **nothing.summary(), last=True)
    except BadProblem as error:
        return messages.Unjudgeable(job.number, str(error))
    except Exception as error:
        import traceback

        return messages.Failed(job.number, f"{type(error).__name__}: {error}", traceback.format_exc())


if __name__ == "__main__":
    try:
        main()
    finally:
        for ending in ("SIGTERM", "SIGHUP"):
            if hasattr(signal, ending):
                signal.signal(getattr(signal, ending), signal.SIG_IGN)  # it ends already
