"""RLTF: reinforcement learning from unit test feedback, as a Gymnasium environment. Start with `core.py`.

Importing registers the environments' ids with Gymnasium (`registration.py`) and loads nothing heavier than NumPy: neither
torch nor transformers, nor any dataset. The modules below are imported when they are first asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from rltf_env._moved import redirect
from rltf_env.errors import DataError, InvalidProblem, MissingData, RLTFError, SandboxError, UnknownName, UsageError
from rltf_env.registration import register

if TYPE_CHECKING:
    from rltf_env import (
        audit,
        core,
        datasets,
        errors,
        plugins,
        prompts,
        rewards,
        sandbox,
        sources,
        testing,
        tokenizers,
    )
    from rltf_env.env import MissingDataWarning, UnitTestEnv
    from rltf_env.text import TextEnv
    from rltf_env.vector import UnitTestVectorEnv

__all__ = [
    "DataError",
    "InvalidProblem",
    "MissingData",
    "MissingDataWarning",
    "RLTFError",
    "SandboxError",
    "TextEnv",
    "UnitTestEnv",
    "UnitTestVectorEnv",
    "UnknownName",
    "UsageError",
    "audit",
    "core",
    "datasets",
    "errors",
    "plugins",
    "prompts",
    "rewards",
    "sandbox",
    "sources",
    "testing",
    "tokenizers",
]

_CLASSES = {
    "MissingDataWarning": "rltf_env.base",
    "TextEnv": "rltf_env.text",
    "UnitTestEnv": "rltf_env.env",
    "UnitTestVectorEnv": "rltf_env.vector",
}

register()
redirect(
    __name__,
    {
        "html": "view.html",
        "hub": "datasets.hub",
        "judging": "base",
        "masking": "wrappers.action_mask",
        "render": "view.ansi",
        "sandbox.harness": "sandbox.cage.program",
        "sandbox.isolation": "sandbox.cage.isolation",
        "screen": "view.screen",
        "shaping": "wrappers.prefix_reward",
        "syntax": "view.syntax",
    },
)


def __getattr__(name: str) -> Any:
    """The public classes and modules, imported at first use."""
    if name in _CLASSES:
        return getattr(importlib.import_module(_CLASSES[name]), name)
    if name in __all__ or name == "html":  # html: for one version, with the warning that it has moved
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
