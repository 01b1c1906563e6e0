"""RLTF: reinforcement learning from unit test feedback, as a Gymnasium environment. Start with `core`.

Importing registers the environments' ids with Gymnasium (`registration.py`) and loads nothing heavier than NumPy: neither
torch nor transformers, nor any dataset. The modules below are imported when they are first asked for.
"""

from __future__ import annotations

from rltf_env import _starting

_starting.begin()  # before all that takes its time

# ruff: noqa: E402
import importlib
from typing import TYPE_CHECKING, Any

from rltf_env._moved import redirect
from rltf_env.errors import DataError, InvalidProblem, MissingData, RLTFError, SandboxError, UnknownName, UsageError
from rltf_env.registration import register

if TYPE_CHECKING:
    from rltf_env import (
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
        wrappers,
    )
    from rltf_env.core import (
        Attempt,
        CallCase,
        CaseResult,
        Failure,
        Feedback,
        Judgement,
        Limits,
        Outcome,
        Problem,
        Program,
        ScriptCase,
        StdinCase,
        Verdict,
    )
    from rltf_env.env import MissingDataWarning, UnitTestEnv
    from rltf_env.text import TextEnv
    from rltf_env.vector import UnitTestVectorEnv
    from rltf_env.wrappers.action_mask import ActionMask
    from rltf_env.wrappers.prefix_reward import PrefixReward

__all__ = [
    "ActionMask",
    "Attempt",
    "CallCase",
    "CaseResult",
    "DataError",
    "Failure",
    "Feedback",
    "InvalidProblem",
    "Judgement",
    "Limits",
    "MissingData",
    "MissingDataWarning",
    "Outcome",
    "PrefixReward",
    "Problem",
    "Program",
    "RLTFError",
    "SandboxError",
    "ScriptCase",
    "StdinCase",
    "TextEnv",
    "UnitTestEnv",
    "UnitTestVectorEnv",
    "UnknownName",
    "UsageError",
    "Verdict",
    "__version__",
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
    "wrappers",
]

_HOMES = {  # of the public classes; those that are not listed stand in `core`
    "ActionMask": "wrappers.action_mask",
    "MissingDataWarning": "_problems",
    "PrefixReward": "wrappers.prefix_reward",
    "TextEnv": "text",
    "UnitTestEnv": "env",
    "UnitTestVectorEnv": "vector",
}

__version__ = "0.1.0"

register()
redirect(
    __name__,
    {
        "audit": "datasets.audit",
        "compare": "matching",
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
    if name in __all__ and name[0].isupper():
        return getattr(importlib.import_module(f"{__name__}.{_HOMES.get(name, 'core')}"), name)
    # The last two for one version, with a warning that they have moved.
    if name in __all__ or name in ("audit", "html"):
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
