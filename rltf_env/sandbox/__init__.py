"""Judges: `load(name)` gives a `core.Sandbox`, which says of a program what became of it on each case of a problem.

    with sandbox.load() as judge:
        verdict = judge.run(source, problem)

One file = one backend: `forkserver` (Linux), `subprocess` (portable), `scripted` (runs nothing, for tests), `static` (runs
nothing: it reads programs, and what it passes need not be right), `http` (a service), `ray` (a cluster). The first two share
three rooms, one for each kind of process: `pool/` is the caller's; `referee/` knows the answers and runs no line of a
program; `cage/` is around and beside a program and knows no answers. `values.py` and `frames.py` are what crosses between them,
`battery/` the hostile, odd and honest programs that every judge is tried on.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Sequence
from typing import Any

from rltf_env import plugins
from rltf_env.core.verdicts import nothing_ran
from rltf_env.errors import UnknownName, UsageError

__all__ = ["check_runs", "find", "load", "packages"]


def load(name: str = "auto", **options: Any) -> Any:
    """A sandbox by name, to be closed after use: `with load(...) as judge:`.

    Args:
        name: a file of this folder, `"module:attr"`, or `"auto"`: `forkserver` on Linux, `subprocess` elsewhere.
        options: the backend's own, checked by it; `pool.options.Options` lists those of both judges.

    Raises:
        UnknownName: no such sandbox, or no such option.
    """
    opens = find(name)
    known = inspect.signature(opens).parameters
    if not any(each.kind is each.VAR_KEYWORD for each in known.values()):
        for option in options:
            if option not in known:
                raise UnknownName(f"option of sandbox {name!r}", option, known)
    return opens(**options)


def find(name: str = "auto") -> Any:
    """What opens the sandbox of this name, unopened. Raises UnknownName."""
    if name == "auto":
        name = "forkserver" if sys.platform.startswith("linux") else "subprocess"
    return plugins.find("sandbox", name)


def check_runs(judge: Any, use: str) -> None:
    """Raises UsageError where `use`, in its words, needs a judge that runs programs, and this one only reads them.

    Args:
        judge: an open sandbox, or the name of one.
        use: what it is for, such as "pass@1".
    """
    if isinstance(judge, str):
        reads = getattr(find(judge), "__module__", "") == f"{__name__}.static"
    else:
        reads = not getattr(judge, "runs_programs", True)
    if reads:
        raise UsageError(nothing_ran(use))


def packages(names: Sequence[str] | None = None) -> dict[str, str]:
    """The third-party packages that programs and tests may import, with their versions; those that are not installed are left out.

    Args:
        names: as in the option `packages` of a judge; its default if None.
    """
    from rltf_env.sandbox.pool import options

    asked = options.Options().packages if names is None else names
    return options.versions(options.with_requirements(asked))
