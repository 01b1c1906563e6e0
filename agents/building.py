"""From a recipe to its parts: the policy, the environment and the agent that it names."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

import gymnasium as gym

from agents.config import Recipe
from agents.core import Agent, Policy
from rltf_env import plugins, prompts
from rltf_env.env import MissingDataWarning, UnitTestEnv
from rltf_env.errors import MissingData, UnknownName, UsageError
from rltf_env.tokenizers import HuggingFace


def make_policy(recipe: Recipe) -> Policy[Any]:
    """The policy that the recipe names, its weights drawn with the run's seed if they are random."""
    options = dict(recipe.policy)
    kind = _kind(options, "policy")
    options.setdefault("seed", recipe.run.seed)
    return _call(plugins.find("policies", kind, package="agents"), "policy", options)


@contextmanager
def make_env(recipe: Recipe, policy: Policy[Any]) -> Iterator[UnitTestEnv]:
    """The training environment, with the policy's tokenizer; closed at the end.

    `prompt_style = "chat"` puts problems into the words of the tokenizer's chat template; the answer then begins with
    `chat_opening` (a code fence, say), which is a part of the prompt.
    """
    options = dict(recipe.env)
    env_id = options.pop("id", None)
    if env_id is None:
        raise UsageError('[env]: expected id, e.g. id = "RLTF-Procedural-v0", got none.')
    opening = options.pop("chat_opening", "")
    if options.get("prompt_style") == "chat":
        options["prompt_style"] = partial(
            prompts.chat, apply_chat_template=policy.tokenizer.apply_chat_template, opening=opening
        )
    with warnings.catch_warnings():  # a run on stand-in problems is nobody's wish: missing data end it here
        warnings.simplefilter("error", MissingDataWarning)
        try:
            env = _call(partial(gym.make, env_id), "env", {"tokenizer": HuggingFace(policy.tokenizer), **options})
        except MissingDataWarning as error:
            raise MissingData(str(error).partition(" Until then ")[0]) from None
        except gym.error.Error as error:
            ours = [name for name in gym.registry if name.startswith("RLTF-")]
            raise UnknownName("environment", str(env_id), ours, hint=str(error)) from error
    try:
        yield cast(UnitTestEnv, env.unwrapped)
    finally:
        env.close()


def make_agent(recipe: Recipe, policy: Policy[Any], env: UnitTestEnv) -> Agent:
    """The agent that the recipe names."""
    options = dict(recipe.agent)
    kind = _kind(options, "agent")
    return plugins.find("algorithms", kind, package="agents")(policy, env, seed=recipe.run.seed, **options)


def _kind(options: dict[str, Any], table: str) -> str:
    if "kind" not in options:
        raise UsageError(f"[{table}]: expected kind, got none.")
    return options.pop("kind")


def _call(load: Any, where: str, options: dict[str, Any]) -> Any:
    try:
        return load(**options)
    except TypeError as error:
        raise UsageError(f"[{where}]: {error}") from error


def quiet_libraries() -> None:
    """Keeps transformers' own progress bars out of ours."""
    from transformers import modeling_gguf_pytorch_utils as gguf
    from transformers.utils import logging

    logging.disable_progress_bar()
    gguf.__dict__["tqdm"] = lambda tensors, **_: tensors  # the one bar that cannot be told
