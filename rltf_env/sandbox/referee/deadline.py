"""How long the trusted side may be at a program's values. Standard library only."""

from __future__ import annotations

import signal
import warnings
from typing import Any

from rltf_env.sandbox.cage import seeds

try:
    import resource
except ImportError:  # not on Windows
    resource = None  # type: ignore[assignment]


class Stuck(BaseException):
    """What the trusted side does with a program's values took longer than it may."""


class Leave(SystemExit):
    """The caller has no more use for this process: whatever a test makes of exits is not asked."""


class Deadline:
    """Limits what the trusted side does with values that a program made, in CPU time: what else the machine does is not counted.

    After `seconds`, all blocks together, `Stuck` is raised. Where that is not heard, since a single C function runs on and on, a
    signal ends this process two seconds later: the caller knows by it that the program is to blame (`pool.worker.STUCK`).
    """

    def __init__(self, seconds: float) -> None:
        self.left = seconds

    def __enter__(self) -> None:
        if hasattr(signal, "setitimer"):
            if self.left <= 0:
                raise Stuck
            signal.setitimer(signal.ITIMER_VIRTUAL, self.left)
            signal.setitimer(signal.ITIMER_PROF, self.left + 2)
            self.left = 0.0

    def __exit__(self, *exc: object) -> None:
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_PROF, 0)  # first: Stuck may be raised here
            self.left, _ = signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def prepare(output_bytes: int) -> None:
    """Readies this process for deadlines, and for values of `output_bytes` that grow when they are read, or put to use."""
    if resource is not None:
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        most = (2 << 30) + 64 * output_bytes
        resource.setrlimit(resource.RLIMIT_AS, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
    seeds.install()  # tests draw random numbers, too
    warnings.simplefilter("ignore")  # a test's bad escapes are its author's, and nobody reads them here
    if hasattr(signal, "SIGVTALRM"):
        signal.signal(signal.SIGVTALRM, _on_alarm)
        signal.signal(signal.SIGPROF, signal.SIG_DFL)


def _on_alarm(*args: Any) -> None:
    raise Stuck
