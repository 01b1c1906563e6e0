"""The worker process: `python _worker.py OPTIONS`, started by `_pool.py`, which it talks to over its standard streams.

It is the referee. Before it knows any answer it makes the cage: the process in which programs run.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
import types
from pathlib import Path
from typing import Any


def _borrow(folder: Path) -> None:
    """Makes the few modules of the judge importable without the packages around them, which import numpy and more."""
    for name, path in (("rltf_env", folder.parent), ("rltf_env.sandbox", folder)):
        package = types.ModuleType(name)
        package.__path__ = [str(path)]
        sys.modules[name] = package


def main() -> None:
    _borrow(Path(__file__).resolve().parent)
    from rltf_env.sandbox import _launch, _referee, isolation
    from rltf_env.sandbox._frames import read_frame, write_frame

    options = json.loads(sys.argv[1])
    inbox, outbox = os.dup(0), os.dup(1)
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    os.dup2(0, 1)
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), _leave)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, who closes us
    try:
        runner, layers = _launch.runner(options)
    except OSError as error:
        write_frame(outbox, json.dumps({"error": str(error)}).encode())
        return
    if sys.platform.startswith("linux"):
        isolation.die_with_parent(signal.SIGTERM)
        if os.getppid() != options["parent"]:
            return
    _referee.prepare()
    referee = _referee.Referee(runner, options)
    problems: dict[int, Any] = {}
    write_frame(outbox, json.dumps({"level": isolation.level(layers), "layers": layers}).encode())
    while True:
        try:
            job = json.loads(read_frame(inbox))
        except EOFError:
            return
        for key in job["forget"]:
            problems.pop(key, None)
        try:
            answer = _answer(referee, problems, job)
        except (EOFError, BrokenPipeError) as error:  # the cage is lost: so is this worker, its successor judges again
            write_frame(outbox, json.dumps({"lost": str(error)}).encode())
            return
        write_frame(outbox, json.dumps(answer).encode())


def _leave(number: int, frame: Any) -> None:
    signal.signal(number, signal.SIG_IGN)  # once is enough: what is left to do on the way out must not be cut short
    sys.exit(0)


def _answer(referee: Any, problems: dict[int, Any], job: dict[str, Any]) -> dict[str, Any]:
    from rltf_env.sandbox._referee import Problem

    try:
        key = job["key"]
        if "problem" in job:
            problems[key] = Problem(job["problem"])
        return referee.judge(job["source"], problems[key], alone=job["alone"])
    except (EOFError, BrokenPipeError):
        raise
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}", "trace": traceback.format_exc()}


if __name__ == "__main__":
    main()
