"""What keeps a program in its cage: namespaces, and more. Standard library only, through ctypes."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
from typing import Any

NEWNS, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET = 0x20000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000
PR_SET_PDEATHSIG = 1


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def enter_namespaces(options: dict[str, Any]) -> list[str]:
    """Gives this process and its next child their own view of the system; returns what took hold."""
    libc, layers = _libc(), []
    uid, gid = os.getuid(), os.getgid()
    if uid and libc.unshare(NEWUSER) == 0:
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"{uid} {uid} 1")
        _write("/proc/self/gid_map", f"{gid} {gid} 1")
        layers.append("user")
    for name, flag in (("pid", NEWPID), ("net", NEWNET), ("ipc", NEWIPC), ("uts", NEWUTS)):
        if libc.unshare(flag) == 0:
            layers.append(name)
    return layers


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


def die_with_parent() -> None:
    _libc().prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def confine(options: dict[str, Any]) -> list[str]:
    """Applies what every program inherits; limits that would bind the warm parent too are set in each child."""
    for what, limit in ((resource.RLIMIT_CORE, 0), (resource.RLIMIT_NOFILE, 256)):
        resource.setrlimit(what, (limit, limit))
    return ["rlimits"]
