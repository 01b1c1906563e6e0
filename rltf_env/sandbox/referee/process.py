"""The worker process: `python process.py OPTIONS`, started by `pool/worker.py`, which it talks to over its standard streams.

It is the referee. Before it knows any answer, and before it imports what only a referee needs, it makes the cage: the process
in which programs run. Every import up to there is paid for again at every fork.
"""

from __future__ import annotations

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
    """Makes the cage, says what it is made of, then answers jobs until there are no more."""
    _borrow()
    options = json.loads(sys.argv[1])
    from rltf_env.sandbox.cage import stack

    stack.enlarge(options["memory_mb"] << 20)
    os.environ.pop("LD_BIND_NOW", None)  # it has done its work, and is none of a program's business
    inbox, outbox = os.dup(0), os.dup(1)
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    os.dup2(0, 1)
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), _leave)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, who closes us
    from rltf_env.sandbox.frames import Alert, write_frame
    from rltf_env.sandbox.referee import launch

    alert = Alert()
    try:
        runner, announce, layers = launch.runner(options, alert)
    except OSError as error:
        write_frame(outbox, json.dumps({"error": str(error)}).encode())
        return
    from rltf_env.sandbox.cage import isolation

    if sys.platform.startswith("linux"):
        isolation.die_with_parent(signal.SIGTERM)
        if os.getppid() != options["parent"]:
            return
    write_frame(outbox, json.dumps({"level": isolation.level(layers), "layers": layers}).encode())
    _judge(options, runner, announce, alert, inbox, outbox)


def _judge(options: dict[str, Any], runner: Any, announce: Any, alert: Any, inbox: int, outbox: int) -> None:
    from rltf_env.sandbox.frames import write_frame
    from rltf_env.sandbox.referee import judge

    judge.prepare(options["output_bytes"])
    referee = judge.Referee(runner, options)
    problems: dict[int, Any] = {}
    waiting: deque[dict[str, Any]] = deque()
    while True:
        try:
            _receive(inbox, alert, announce, waiting, problems)
        except EOFError:
            return
        if not waiting:
            continue
        job = waiting.popleft()
        try:
            answer = _answer(referee, problems, job)
        except (EOFError, BrokenPipeError) as error:  # the cage is lost: so is this worker, its successor judges again
            write_frame(outbox, json.dumps({"lost": str(error)}).encode())
            return
        write_frame(outbox, json.dumps({"number": job["number"], **answer}).encode())
        if "last" in answer:
            return


def _receive(inbox: int, alert: Any, announce: Any, waiting: deque[dict[str, Any]], problems: dict[int, Any]) -> None:
    """Takes in all messages that have come, at least one if nothing waits: jobs, and jobs taken back."""
    from rltf_env.sandbox.frames import read_frame
    from rltf_env.sandbox.referee.judge import Pending

    while not waiting or (os.name == "posix" and select.select([inbox], [], [], 0)[0]):
        alert.wait(inbox)
        job = json.loads(read_frame(inbox))
        if "cancel" in job:
            kept = [other for other in waiting if other["number"] not in job["cancel"]]
            waiting.clear()
            waiting.extend(kept)
            if not waiting:
                return
            continue
        waiting.append(job)
        announce(job["source"])
        for key in job["forget"]:
            problems.pop(key, None)
        if "problem" in job:
            problems[job["key"]] = Pending(job["problem"])


def _leave(number: int, frame: Any) -> None:
    signal.signal(number, signal.SIG_IGN)  # once is enough: what is left to do on the way out must not be cut short
    sys.exit(0)


def _answer(referee: Any, problems: dict[int, Any], job: dict[str, Any]) -> dict[str, Any]:
    from rltf_env.sandbox.referee.failures import RUNTIME_ERROR, failure
    from rltf_env.sandbox.referee.judge import BadProblem, Pending, Problem
    from rltf_env.sandbox.referee.launch import Unclean

    try:
        problem = problems[job["key"]]
        if isinstance(problem, Pending):
            problem = problems[job["key"]] = Problem(problem.data)
        return referee.judge(job["source"], problem, alone=job["alone"])
    except (EOFError, BrokenPipeError):
        raise
    except Unclean as error:  # only the program can have done it, in whichever of its runs
        blame = failure("ForbiddenCall", f"left its folder so that it cannot be emptied: {error}")
        count = problems[job["key"]].width
        lines = [] if referee.options["trace"] else None
        return {"results": [[RUNTIME_ERROR, blame, 0.0, ""]] * count, "lines": lines, "last": True}
    except BadProblem as error:
        return {"invalid": str(error)}
    except Exception as error:
        import traceback

        return {"error": f"{type(error).__name__}: {error}", "trace": traceback.format_exc()}


if __name__ == "__main__":
    try:
        main()
    finally:
        for ending in ("SIGTERM", "SIGHUP"):
            if hasattr(signal, ending):
                signal.signal(getattr(signal, ending), signal.SIG_IGN)  # it ends already
