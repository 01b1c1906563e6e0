"""The first half second of the command `rltf`: while Python imports the package, Ctrl-C ends it without a traceback.

`guarded` and `importing` (`command.py`) can look after Ctrl-C only when they are imported themselves. Until then the signal
has its usual effect on a program that knows nothing of it. No other program that imports the package is touched.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

NAMES = frozenset(("rltf", "rltf.exe", "rltf-script.py"))  # of the installed command


def begin() -> None:
    """Has Ctrl-C end the process at once, if this is the command, and nobody else has seen to it."""
    command = os.path.basename((getattr(sys, "argv", None) or [""])[0]) in NAMES
    ours = threading.current_thread() is threading.main_thread()
    if command and ours and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def end() -> None:
    """Has Ctrl-C raise KeyboardInterrupt again, as `begin` found it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
