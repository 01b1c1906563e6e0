"""The portable judge: a fresh Python process for every case. Same verdicts as `forkserver`, slower, and fewer layers."""

from __future__ import annotations

from typing import Any

from rltf_env.sandbox.pool.options import Options
from rltf_env.sandbox.pool.pool import PoolSandbox


def load(**options: Any) -> PoolSandbox:
    """A judge that starts a process for every case. Options: see `pool.options.Options`.

    Raises:
        UnknownName, UsageError: an option that there is not, or of no use.
    """
    return PoolSandbox("subprocess", Options.check("subprocess", options))
