"""RLTF: reinforcement learning from unit test feedback, as a Gymnasium environment. Start with `core.py`."""

from rltf_env.errors import DataError, MissingData, RLTFError, SandboxError, UnknownName, UsageError

__all__ = ["DataError", "MissingData", "RLTFError", "SandboxError", "UnknownName", "UsageError"]
