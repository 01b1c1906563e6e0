"""The process behind the sandbox `static`: `python examiner.py`, which `sandbox/static.py` talks to over its standard streams.

A frame comes with a program's text, and a frame goes back with what reading it gives, as JSON:

    {"syntax": [kind, message, line, detail, bases]}      it is not Python
    {"facts": {...}}                                      it is, and these are its facts (`rltf_env/facts`)
    null                                                  nothing is known: too long, too deep, or out of time or memory

No program runs here and no answer is known here. The text is read by a further process, which may die of it: the
`Examiner`, a compiler with wider limits than the one that compiles ahead.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

LONGEST = 1 << 16  # bytes of a text
SECONDS, PATIENCE = 1.0, 60.0  # CPU seconds, and seconds in all, that reading it may take


def _borrow() -> None:
    """Makes the few modules of the judge importable without the packages around them, which import numpy and more."""
    room = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    for name, path in (("rltf_env", os.path.dirname(room)), ("rltf_env.sandbox", room)):
        package = type(sys)(name)
        package.__path__ = [path]
        sys.modules[name] = package


def main() -> None:
    """Answers each text, until there are no more."""
    _borrow()
    inbox, outbox = os.dup(0), os.dup(1)
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    os.dup2(0, 1)
    sys.set_int_max_str_digits(0)  # as where programs are run
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the caller, who closes us
    from rltf_env.sandbox.cage import isolation
    from rltf_env.sandbox.frames import read_frame, write_frame
    from rltf_env.sandbox.referee.precompile import Analyser

    class Examiner(Analyser):
        longest, seconds, patience = LONGEST, SECONDS, PATIENCE

        def __init__(self) -> None:
            self._start(_examination)

    isolation.die_with_parent(signal.SIGTERM)
    examiner = Examiner()
    while True:
        try:
            source = read_frame(inbox).decode()
        except EOFError:
            return
        write_frame(outbox, json.dumps(examiner.facts(source)).encode())


def _examination() -> Any:
    """What says of a text what reading it gives, as JSON."""
    import warnings

    from rltf_env import facts
    from rltf_env.sandbox.cage import program
    from rltf_env.sandbox.referee.failures import syntax_failure

    warnings.simplefilter("ignore")  # of what the texts say

    def work(source: str) -> bytes:
        code = program.compile_program(source)
        if isinstance(code, dict):
            no_text = code["kind"] in ("ValueError", "UnicodeEncodeError")  # a NUL: no version of Python reads it
            syntax = no_text or "SyntaxError" in (code["kind"], *code["bases"])
            return json.dumps({"syntax": syntax_failure(code, source)}).encode() if syntax else b"null"
        found = facts.of(source.removeprefix("\ufeff"))
        if found is None:
            return b"null"
        return json.dumps({"facts": {**vars(found), "defines": sorted(found.defines)}}).encode()

    return work


if __name__ == "__main__":
    main()
