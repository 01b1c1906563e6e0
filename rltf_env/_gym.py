"""Three things that Gymnasium does to an environment, and what it takes to live with them.

`TimeLimit` (`gymnasium.make(..., max_episode_steps=N)`) ends an episode from outside, without a word: the program would never be
judged. `time_limit` finds the wrapper while it calls `reset`, so that the environment can end the episode itself, at the same
step. And every wrapper's `spec` is a deep copy, arguments included, which a running sandbox does not survive: `shared` makes
copies of a spec share what is no plain data. Lastly it hands any `options` on to `reset` unread: `reset_options` reads them.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Mapping
from typing import Any

import gymnasium
from gymnasium.envs.registration import EnvSpec
from gymnasium.wrappers import TimeLimit

from rltf_env.errors import UsageError


def time_limit(env: gymnasium.Env[Any, Any]) -> int | None:
    """The least `max_episode_steps` of the `TimeLimit` wrappers whose `reset` is calling that of `env` now; None without one.

    A wrapper is not known to what it wraps, so it is looked for among the callers: once an episode, never in `step`.
    """
    limits: list[int] = []
    frame = sys._getframe(1)
    while (frame := frame.f_back) is not None:
        if frame.f_code is TimeLimit.reset.__code__:
            wrapper = frame.f_locals["self"]
            if wrapper.unwrapped is env:
                limits.append(wrapper._max_episode_steps)
    return min(limits, default=None)


def shared(spec: EnvSpec | None) -> EnvSpec | None:
    """`spec`, with arguments whose copies share sandboxes, tokenizers, problems and whatever else is no plain data."""
    if spec is not None:
        spec.kwargs = _Arguments(spec.kwargs)
    return spec


class _Arguments(dict[str, Any]):
    def __deepcopy__(self, memo: dict[int, Any]) -> _Arguments:
        return _Arguments({key: copy.deepcopy(value, memo) if _plain(value) else value for key, value in self.items()})


def _plain(value: Any) -> bool:
    """True for what JSON can hold."""
    if isinstance(value, dict):
        return all(map(_plain, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_plain, value))
    return value is None or isinstance(value, str | int | float)


def reset_options(options: Mapping[str, Any] | None) -> dict[str, Any]:
    """The options of `reset` as a dict of its own; UsageError unless they are a mapping, or None."""
    if options is not None and not isinstance(options, Mapping):
        raise UsageError(f'Expected the options of reset() as a dict, such as {{"problem": ID}}, got {options!r}.')
    return dict(options or {})
