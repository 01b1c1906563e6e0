"""Judges: `load(name)` gives a `core.Sandbox`, which says of a program what became of it on each case of a problem.

    with sandbox.load() as judge:
        verdict = judge.run(source, problem)

One file = one backend: `forkserver` (Linux), `subprocess` (portable), `scripted` (runs nothing, for tests). The first two share
three rooms, one for each kind of process: `pool/` is the caller's; `referee/` knows the answers and runs no line of a
program; `cage/` is around and beside a program and knows no answers. `values.py` and `frames.py` are what crosses between them,
`battery/` the hostile, odd and honest programs that every judge is tried on.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from rltf_env import plugins

__all__ = ["find", "load", "packages"]


def load(name: str = "auto", **options: Any) -> Any:
    """A sandbox by name, to be closed after use: `with load(...) as judge:`.

    Args:
        name: a file of this folder, `"module:attr"`, or `"auto"`: `forkserver` on Linux, `subprocess` elsewhere.
        options: the backend's own, checked by it; `pool.options.Options` lists those of both judges.

    Raises:
        UnknownName: no such sandbox, or no such option.
    """
    return find(name)(**options)


def find(name: str = "auto") -> Any:
    """What opens the sandbox of this name, unopened. Raises UnknownName."""
    if name == "auto":
        name = "forkserver" if sys.platform.startswith("linux") else "subprocess"
    return plugins.find("sandbox", name)


def packages(names: Sequence[str] | None = None) -> dict[str, str]:
    """The third-party packages that programs and tests may import, with their versions; those that are not installed are left out.

    Args:
        names: as in the option `packages` of a judge; its default if None.
    """
    from rltf_env.sandbox.pool import options

    asked = options.Options().packages if names is None else names
    return options.versions(options.with_requirements(asked))
