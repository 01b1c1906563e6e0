"""Rewards: from a judged attempt to what each token earned. One file = one reward: coarse, adaptive, fine, rltf,
and executed, blame, structure, which other papers and this project add to it.

    load("rltf")                                           the paper's sum
    load("fine", alpha="none")                             one reward with options
    load("coarse+fine", fine={"alpha": "none"})            the sum of several, options by name
    load("my_package.my_module:load", weight=2)            yours: a function that builds a reward

A reward is any function from `core.Attempt` to `core.Feedback`; one that also has `relative` (`core.ComparativeReward`)
can be measured against a baseline. One that reads more of a verdict than is always there says so: its attribute `needs` names
options of the sandbox (`"trace"`), and environments open theirs with them. One with `reads_references` compares programs
with references. `testing.check_reward` says whether a reward keeps the contract.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rltf_env import plugins
from rltf_env.core import Reward
from rltf_env.errors import UsageError
from rltf_env.rewards._compose import needs, reads_references, scaled, summed
from rltf_env.rewards._options import call, choice

__all__ = ["load", "needs", "reads_references", "scaled", "summed"]


def load(spec: str | Reward, **options: Any) -> Reward:
    """The reward that `spec` names; a reward itself is returned as it is.

    Raises:
        UnknownName: no such reward or option; the message names the nearest.
        UsageError: an option with an impossible value.
    """
    if not isinstance(spec, str):
        if options or isinstance(spec, type) or not isinstance(spec, Reward):
            raise UsageError(f"Expected the name of a reward, or a reward and no options, got {spec!r}, {options!r}.")
        return spec
    names = [name.strip() for name in spec.split("+")]
    if len(names) == 1:
        return _one(names[0], options)
    if len(set(names)) < len(names):
        raise UsageError(f"Expected each reward once, got {spec!r}. To weigh one, use rewards.scaled.")
    for name, value in options.items():
        choice(f"part of {spec!r} to give options to", name, names)
        if not isinstance(value, Mapping):
            raise UsageError(f"Expected the options of {name!r} in {spec!r} as a mapping, got {value!r}.")
    return summed(*(_one(name, options.get(name, {})) for name in names))


def _one(name: str, options: Mapping[str, Any]) -> Reward:
    reward = call(f"reward {name!r}", plugins.find("rewards", name), options)
    if not isinstance(reward, Reward):
        raise UsageError(f"Expected {name!r} to be a function that builds a reward, but it returned {reward!r}.")
    return reward
