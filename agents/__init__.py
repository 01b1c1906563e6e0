"""Learning: policies, decoding and algorithms. Torch and transformers live here."""

from __future__ import annotations

import importlib
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if sys.argv[:1] == ["-m"]:  # a command of ours begins
    import rltf_env  # noqa: F401  before all that takes its time: it looks after Ctrl-C

if TYPE_CHECKING:
    from agents._make import make

__all__ = ["make"]

_absent = [name for name in ("torch", "transformers", "rich", "tomli_w", "matplotlib") if find_spec(name) is None]
if _absent:
    _names = ", ".join(_absent)
    raise ModuleNotFoundError(
        f"agents needs {_names}, and got none. It is run from a checkout: pip install -e '.[agents]' there.",
        name=_absent[0],
    )

_ROOMS = {  # where modules that stood here before are now
    "actors": {"frames": "messages", "generator": "process", "scale": "pool"},
    "algorithms": "actor_critic dapo dr_grpo grpo policy_gradient ppo reinforce rloo rltf supervised",
    "critics": {"critic": "outcome"},
    "decoding": {"public": "examples"},
    "engines": {"decoding._vllm": "vllm"},
    "learning": {"learner": "learner", "reference": "reference", "replay": "replay", "rounds": "minibatches"},
    "running": {
        "_svg": "_svg", "checkpoint": "checkpoint", "folders": "folder", "journal": "journal", "live": "panel",
        "trackers": "trackers",
    },
}  # fmt: skip


class _Moved:
    """Says where a module has gone: who imports `agents.grpo` is told of `agents.algorithms.grpo`."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> None:
        package, _, old = name.partition(".")
        if package != __name__:
            return
        for room, names in _ROOMS.items():
            moved = names if isinstance(names, dict) else {each: each for each in names.split()}
            if old in moved:
                raise ModuleNotFoundError(f"{name} is now {__name__}.{room}.{moved[old]}: import that.")


sys.meta_path[:0] = [_Moved]  # the first to be asked: another copy that is installed may still have the old module


def __getattr__(name: str) -> Any:
    """`agents.make`, imported at first use, because importing torch takes seconds."""
    if name == "make":
        return importlib.import_module("agents._make").make
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
