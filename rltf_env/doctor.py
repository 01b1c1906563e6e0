"""`python -m rltf_env.doctor [--require LEVEL]`: what the judge is worth on this machine, and how to get more.

`--sandbox http` asks the services of $RLTF_JUDGE_URL the same, `--sandbox ray` the nodes of $RAY_ADDRESS, or a Ray of this
machine; `--set` gives options of a judge.

Prints the layers of isolation that are in force and those that are not, with the remedy; holds the judge to its contract
(`testing.check_sandbox`); measures how fast it is. Exit status 0: the contract holds and the level is at least the one asked
for ("filtered" unless told otherwise); 1: not so; 2: the judge does not start.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rltf_env import plugins, sandbox
from rltf_env.command import guarded, leave, parser
from rltf_env.core import CallCase, Problem, Sandbox
from rltf_env.sandbox.cage import isolation
from rltf_env.sandbox.http import URLS
from rltf_env.testing import check_sandbox

NAMESPACES = (
    "needs unprivileged user namespaces (kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0, "
    "user.max_user_namespaces above 0) or CAP_SYS_ADMIN; in Docker: --security-opt seccomp=unconfined, or --cap-add SYS_ADMIN"
)
REMEDIES = {
    "pid": NAMESPACES,
    "net": NAMESPACES,
    "ipc": NAMESPACES,
    "uts": NAMESPACES,
    "root": f"a file system of its own {NAMESPACES}; in Docker also --security-opt apparmor=unconfined",
    "rlimits": "needs a POSIX system",
    "uid": "as root, needs the layer 'root', or an interpreter that everybody may read",
    "landlock": "needs Linux 5.13 or later with 'landlock' among the kernel's lsm= (CONFIG_SECURITY_LANDLOCK)",
    "seccomp": "needs Linux with CONFIG_SECCOMP_FILTER on x86_64 or aarch64",
}
PROGRAMS, SECONDS = 50, 2.0
HERE = ("auto", "forkserver", "subprocess")  # judges of this machine
STARTED = (*HERE, "ray")  # judges that start with us, so that their options are ours to choose


@dataclass(frozen=True)
class Health:
    """What was found: isolation level and layers, contract kept or not (and why), programs a second."""

    judge: str
    level: str
    layers: tuple[str, ...]
    complaint: str
    rate: float
    start_seconds: float
    service: bool = False  # the judge is elsewhere
    hosts: tuple[str, ...] = ()  # then: where

    def sound(self, require: str) -> bool:
        """True if the contract holds at the required level or above."""
        return not self.complaint and isolation.LEVELS.index(self.level) >= isolation.LEVELS.index(require)


def examine(name: str = "auto", **options: Any) -> Health:
    """Starts the judge `name`, checks and measures it: some ten seconds.

    `options` are the judge's. One of this machine has limits of half a second unless told otherwise; a service has its own.

    Raises:
        SandboxError: it does not start.
        UsageError: it runs no programs.
    """
    start = time.perf_counter()
    sandbox.check_runs(name, "a check of how programs are kept in")
    quick = {"case_seconds": 0.5, "cache": 0} if name in STARTED else {}
    with sandbox.load(name, **{**quick, **options}) as judge:
        full = judge.level()
        started = time.perf_counter() - start
        complaint = ""
        try:
            check_sandbox(judge)
        except AssertionError as error:
            complaint = str(error)
        rate, hosts = _rate(judge), tuple(getattr(judge, "hosts", ()))
    level, _, layers = full.partition("/")[2].partition(":")
    return Health(full, level, tuple(layers.split("+")), complaint, rate, started, name not in HERE, hosts)


def _rate(judge: Sandbox) -> float:
    """Programs a second: a function of two lines, three calls."""
    problem = Problem("rate", "", [CallCase((i, 2), i + 2) for i in range(3)], "add")
    done, start = 0, time.perf_counter()
    while time.perf_counter() - start < SECONDS:
        jobs = [(f"def add(a, b):\n    return a + b  # {done + i}\n", problem) for i in range(PROGRAMS)]
        done += sum(1 for _ in judge.map(jobs))
    return done / (time.perf_counter() - start)


def report(health: Health, require: str) -> str:
    """The finding, for people."""
    lines = [
        _place(health),
        f"judge     {health.judge.partition('/')[0]}, ready after {health.start_seconds:.2f} s",
        f"level     {health.level} (of: {', '.join(isolation.LEVELS)})",
        f"speed     {health.rate:.0f} small programs a second, three cases each",
        f"contract  {'holds' if not health.complaint else 'BROKEN: ' + health.complaint}",
        "layers",
    ]
    for layer in isolation.LAYERS:
        if layer in health.layers:
            lines.append(f"  {layer:9} in force")
        elif layer == "uid" and os.geteuid() and not health.service:
            lines.append(f"  {layer:9} not needed: whoever runs this is not root")
        elif layer in REMEDIES:
            lines.append(f"  {layer:9} MISSING: {REMEDIES[layer]}")
    verdict = "sound" if health.sound(require) else f"NOT sound: asked for level {require!r} and a contract that holds"
    return "\n".join([*lines, f"verdict   {verdict}"])


def _place(health: Health) -> str:
    if health.service:
        where = ", ".join(health.hosts) or os.environ.get(URLS, "of the URLs given")
        return f"a service ({where}): what is missing is missing where it runs"
    return f"Python {platform.python_version()} on {platform.platform()}, {os.cpu_count()} processors"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns the exit status."""
    made = parser("rltf_env.doctor", __doc__)
    made.add_argument("--sandbox", default="auto", help="which judge: auto, forkserver, subprocess, http, ray")
    made.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="an option of the judge; may be repeated"
    )
    made.add_argument("--require", default="filtered", choices=isolation.LEVELS, help="the weakest level that will do")
    args = made.parse_args(arguments)
    return guarded(lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    sys.stderr.write("Starting the judge, trying hostile programs on it and measuring it: some ten seconds.\n")
    sys.stderr.flush()
    health = examine(args.sandbox, **plugins.options(args.set))
    print(report(health, args.require))
    return 0 if health.sound(args.require) else 1


if __name__ == "__main__":
    leave(main())
