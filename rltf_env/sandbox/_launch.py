"""Starts the cage and returns the way to run programs in it: `runner(options) -> (run, layers)`. Standard library only."""

from __future__ import annotations

import atexit
import json
import marshal
import os
import sys
from typing import Any

from rltf_env.sandbox import _folders, isolation
from rltf_env.sandbox._frames import Alert, read_frame, unpack, write_frame

FILES = ("stdin", "stdout", None, "result", "report", "lines")  # descriptors 0 to 5 of the cage; None: the null device


def runner(options: dict[str, Any], alert: Alert) -> tuple[Any, list[str]]:
    """The runner that `options["backend"]` asks for, and the layers of isolation that are in force."""
    if options["backend"] == "subprocess":
        from rltf_env.sandbox import _spawn

        return _spawn.runner(options)
    return _forks(options, alert)


def _forks(options: dict[str, Any], alert: Alert) -> tuple[Any, list[str]]:
    from rltf_env.sandbox import _cage

    _cage.warm_up()
    requests, to_cage = os.pipe()
    from_cage, replies = os.pipe()
    layers, user = isolation.enter_namespaces(options["without"]), 60_000 + os.getpid() % 5_000
    folder = options["folder"]
    os.mkdir(folder, 0o700)
    inode = os.fstat(replies).st_ino
    if not os.fork():
        try:
            os.close(to_cage)
            os.close(from_cage)
            _become_cage(options, requests, replies, layers, user, folder)
        except BaseException as error:
            moved = os.fstat(_cage.REPLIES).st_ino == inode
            write_frame(
                _cage.REPLIES if moved else replies, json.dumps({"error": f"{type(error).__name__}: {error}"}).encode()
            )
        finally:
            os._exit(70)
    os.close(requests)
    os.close(replies)

    hello = json.loads(read_frame(from_cage))
    if "error" in hello:
        raise OSError(f"the cage could not be made: {hello['error']}")
    if "root" in hello["layers"]:
        _folders.remove(folder)
    else:
        atexit.register(_folders.remove, folder)

    def run(source: str, cases: bytes, count: int, isolated: bool = False) -> Any:
        write_frame(to_cage, count.to_bytes(4, "little") + marshal.dumps((source, cases, isolated)))
        alert.wait(from_cage)
        head, pieces = unpack(read_frame(from_cage))
        lines = None
        if isinstance(head, dict):
            raise EOFError(f"the cage failed: {head['error']}")
        if options["trace"]:
            lines = head
            head, pieces = unpack(pieces[0])
        said, records = head
        return said, list(zip(records, pieces[::2], pieces[1::2], strict=True)), lines

    return run, hello["layers"]


def _become_cage(
    options: dict[str, Any], requests: int, replies: int, layers: list[str], user: int, folder: str
) -> None:
    from rltf_env.sandbox import _cage

    null = os.open(os.devnull, os.O_RDWR)
    order = [null if name is None else os.memfd_create(name, 0) for name in FILES] + [requests, replies]
    for number, fd in enumerate([os.dup2(fd, 100 + number) for number, fd in enumerate(order)]):
        os.dup2(fd, number)
    os.closerange(len(order), 4096)
    packages = [path for paths in options["packages"].values() for path in paths]
    os.mkdir(os.path.join(folder, "work"))
    os.chdir(os.path.join(folder, "work"))
    layers = isolation.confine(options, layers, packages, user)
    isolation.die_with_parent()
    write_frame(_cage.REPLIES, json.dumps({"layers": layers}).encode())
    on_entry, adopt, alone = isolation.dumpable(), isolation.adopt_orphans, "pid" in layers
    if not alone:
        adopt()
        on_entry = _first(on_entry, os.setsid, "seccomp" in layers)
    for name in [name for name in sys.modules if name.startswith("rltf_env")]:
        del sys.modules[name]
    sys.modules["__main__"].__dict__.clear()
    sys.argv[:] = ["program.py"]
    _cage.serve(options, alone=alone, on_entry=on_entry, adopt=adopt)


def _first(dumpable: Any, setsid: Any, filtered: bool) -> Any:
    """What a program's process does first where no PID namespace keeps it apart: it may signal none but itself."""

    def on_entry() -> None:
        setsid()
        isolation.die_with_parent()
        dumpable()
        if filtered:
            isolation.seccomp(os.getpid())

    return on_entry
