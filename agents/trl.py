"""TRL's GRPOTrainer with our judge. It needs nothing of `agents`, and has moved to `rltf_env.adapters.trl`."""

from __future__ import annotations

from rltf_env.adapters.trl import PROBLEM, completion_text, dataset, reward_function

__all__ = ["PROBLEM", "completion_text", "dataset", "reward_function"]
