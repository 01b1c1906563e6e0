"""Makes the cage and returns the way to run programs in it: `runner(options) -> (run, level)`. Standard library only."""

from __future__ import annotations

import marshal
import os
import sys
from typing import Any

from rltf_env.sandbox import harness, isolation


def runner(options: dict[str, Any]) -> tuple[Any, str]:
    """The runner that `options["backend"]` asks for, and the isolation level that is in force."""
    if options["backend"] == "subprocess":
        from rltf_env.sandbox import _spawn

        return _spawn.runner(options)
    return _forks(options)


def _forks(options: dict[str, Any]) -> tuple[Any, str]:
    harness.warm_up()
    requests, to_cage = os.pipe()
    from_cage, replies = os.pipe()
    layers = isolation.enter_namespaces(options)
    pid = os.fork()
    if not pid:
        try:
            os.close(to_cage), os.close(from_cage)
            _become_cage(options, requests, replies, layers)
        finally:
            os._exit(70)
    os.close(requests), os.close(replies)
    level = harness.read_frame(from_cage).decode()

    def run(request: dict[str, Any]) -> Any:
        harness.write_frame(to_cage, marshal.dumps(request))
        return marshal.loads(harness.read_frame(from_cage))

    return run, level


def _become_cage(options: dict[str, Any], requests: int, replies: int, layers: list[str]) -> None:
    isolation.die_with_parent()
    files = {name: os.memfd_create(name, 0) for name in ("stdin", "stdout", "result", "report", "lines")}
    null = os.open(os.devnull, os.O_RDWR)
    order = [files["stdin"], files["stdout"], null, files["result"], files["report"], files["lines"], requests, replies]
    high = [os.dup(os.dup2(fd, 100 + i)) and 100 + i for i, fd in enumerate(order)]
    for number, fd in enumerate(high):
        os.dup2(fd, number)
    os.closerange(len(order), 4096)
    layers += isolation.confine(options)
    level = "+".join(layers) or "none"
    harness.write_frame(harness.REPLIES, level.encode())
    for name in [name for name in sys.modules if name.startswith("rltf_env")]:
        del sys.modules[name]
    sys.modules["__main__"].__dict__.clear()
    sys.argv[:] = ["program.py"]
    harness.serve(options, alone="pid" in layers)
