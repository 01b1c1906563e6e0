"""The start of a command: while Python imports the packages, Ctrl-C ends it without a traceback.

`guarded` and `importing` (`command.py`) can look after Ctrl-C only when they are imported themselves. Until then the signal
ends `rltf` at once, and a module of ours that is run (`python -m agents.train`) by its exception, which is told in a word. No other
program that imports the package is touched.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import TracebackType

NAMES = frozenset(("rltf", "rltf.exe", "rltf-script.py"))  # of the installed command
PACKAGES = frozenset(("rltf_env", "agents", "benchmarks"))


def begin() -> None:
    """Has Ctrl-C end the process without a traceback, if this is a command, and nobody else has seen to it."""
    arguments = getattr(sys, "argv", None) or [""]
    command = os.path.basename(arguments[0]) in NAMES
    if (command or _module(arguments) in PACKAGES) and sys.excepthook is sys.__excepthook__:
        sys.excepthook = _brief
    ours = threading.current_thread() is threading.main_thread()
    if command and ours and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def end() -> None:
    """Has Ctrl-C raise KeyboardInterrupt again, as `begin` found it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _module(arguments: list[str]) -> str:
    """The package of what `python -m` runs; "" where something else is run."""
    at = len(sys.orig_argv) - len(arguments)
    return sys.orig_argv[at].partition(".")[0] if at > 0 and sys.orig_argv[at - 1] == "-m" else ""


def _brief(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.stderr.write("Stopped.\n")
    else:
        sys.__excepthook__(kind, error, trace)
