"""Public contracts, in the manner of `gymnasium.utils.env_checker.check_env`.

A component of your own is right when its check passes: `check_dataset`, `check_source`, `check_reward`, `check_sandbox`.
Each raises `AssertionError` with what was expected and what came.
"""

from __future__ import annotations

# -------------------------------------------------------------------------------------------------- datasets, sources

# ------------------------------------------------------------------------------------------------------------ rewards

# ---------------------------------------------------------------------------------------------------------- sandboxes
