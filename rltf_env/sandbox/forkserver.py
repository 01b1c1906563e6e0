"""The default judge on Linux: warm workers, a fork for every program, the strongest isolation that the machine allows."""

from __future__ import annotations

import sys
from typing import Any

from rltf_env.errors import UsageError
from rltf_env.sandbox.pool.options import Options
from rltf_env.sandbox.pool.pool import PoolSandbox


def load(**options: Any) -> PoolSandbox:
    """A judge with forked programs. Options: see `pool.options.Options`.

    Raises:
        UnknownName, UsageError: an option that there is not, or of no use; or not on Linux.
    """
    if not sys.platform.startswith("linux"):
        raise UsageError(f"Expected Linux for the sandbox 'forkserver', got {sys.platform!r}. Use 'subprocess'.")
    return PoolSandbox("forkserver", Options.check("forkserver", options))
