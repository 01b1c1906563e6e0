"""From a recipe to its parts: the policy, the environment and the agent that it names."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, cast

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import load_env_creator

from agents.config import Recipe, read, trained_with
from agents.core import Agent, Policy
from agents.options import build
from agents.policies._loading import prepare
from agents.policies._tokenizer import tokenizer_of as tokenizer_of
from rltf_env import plugins, prompts, rewards
from rltf_env.core import Problem
from rltf_env.env import MissingDataWarning, UnitTestEnv
from rltf_env.errors import MissingData, UnknownName, UsageError
from rltf_env.sandbox import check_runs

MEASURING = 'pass@1, such as [eval] sandbox = "auto"'


def check(recipe: Recipe) -> None:
    """Every name and option of a recipe that can be looked at without loading anything: typos end a run in a moment.

    Raises:
        UnknownName, UsageError: what `make_policy`, `make_env` and `make_agent` would raise, later.
    """
    policy, agent = dict(recipe.policy), dict(recipe.agent)
    load = plugins.find("policies", _kind(policy, "policy"), package="agents")
    _check_options(load, "policy", policy)
    config = _config_of(_kind(agent, "agent"))
    if dataclasses.is_dataclass(config):
        build(cast(type, config), agent, "agent")
    _check_env(dict(recipe.env))
    check_runs(recipe.env.get("sandbox", "auto") if not recipe.eval.sandbox else recipe.eval.sandbox, MEASURING)


def _config_of(kind: str) -> Any:
    """Where an agent says what it takes: its module's `Config`, or without one its `load`."""
    load = plugins.find("algorithms", kind, package="agents")
    return getattr(sys.modules.get(load.__module__), "Config", load)


def _check_env(options: dict[str, Any]) -> None:
    spec = _spec(_env_id(options))
    entry = load_env_creator(spec.entry_point) if isinstance(spec.entry_point, str) else None
    if isinstance(entry, type) and issubclass(entry, UnitTestEnv):
        options.pop("chat_opening", None)
        _check_options(entry, "env", options)
        _check_parts(options)


def _check_parts(options: Mapping[str, Any]) -> None:
    """Raises UnknownName for a reward, a source or a curriculum of the package that is not there, or a reward's option."""
    reward = options.get("reward", inspect.signature(UnitTestEnv).parameters["reward"].default)
    if ":" not in str(reward):  # what somebody else wrote may read a model
        rewards.load(reward, **options.get("reward_options", {}))
    for key, folder in (("source", "sources"), ("curriculum", "curricula")):
        if isinstance(name := options.get(key), str):
            plugins.find(folder, name)


def _check_options(function: Any, where: str, options: Mapping[str, Any]) -> None:
    """Raises UnknownName for an option that `function` does not take, where it says what it takes.

    `**how` stands for the options of `agents.policies._loading.prepare`; what else hands on, takes anything.
    """
    parameters = inspect.signature(function).parameters
    rest = next((each.name for each in parameters.values() if each.kind is each.VAR_KEYWORD), None)
    if rest not in (None, "how"):
        return
    known = [each for each in parameters if each not in ("self", rest)]
    known += inspect.signature(prepare).parameters if rest else []
    for name in options:
        if name not in known:
            raise UnknownName(f"key in [{where}]", name, known)


def _env_id(options: dict[str, Any]) -> str:
    env_id = options.pop("id", None)
    if env_id is None:
        raise UsageError('[env]: expected id, e.g. id = "RLTF-Procedural-v0", got none.')
    return env_id


def _spec(env_id: str) -> Any:
    try:
        return gym.spec(env_id)
    except gym.error.Error as error:
        raise _unknown_env(env_id, error) from error


def _unknown_env(env_id: str, error: Exception) -> UnknownName:
    ours = [name for name in gym.registry if name.startswith("RLTF-")]
    return UnknownName("environment", str(env_id), ours, hint=str(error))


def make_policy(recipe: Recipe) -> Policy[Any]:
    """The policy that the recipe names, its weights drawn with the run's seed if they are random."""
    from agents.policies._door import entered  # transformers takes seconds to be imported

    options = dict(recipe.policy)
    kind = _kind(options, "policy")
    options.setdefault("seed", recipe.run.seed)
    return entered(_call(plugins.find("policies", kind, package="agents"), "policy", options))


@contextmanager
def make_env(recipe: Recipe, policy: Policy[Any]) -> Iterator[UnitTestEnv]:
    """The training environment, with the policy's tokenizer; closed at the end.

    `prompt_style = "chat"` puts problems into the words of the tokenizer's chat template; the answer then begins with
    `chat_opening` (a code fence, say), which is a part of the prompt.
    """
    options = dict(recipe.env)
    env_id = _env_id(options)
    opening = options.pop("chat_opening", "")
    if options.get("prompt_style") == "chat":
        options["prompt_style"] = partial(
            prompts.chat, apply_chat_template=policy.tokenizer.apply_chat_template, opening=opening
        )
    with warnings.catch_warnings():  # a run on stand-in problems is nobody's wish: missing data end it here
        warnings.simplefilter("error", MissingDataWarning)
        try:
            env = _call(partial(gym.make, env_id), "env", {"tokenizer": tokenizer_of(policy), **options})
        except MissingDataWarning as error:
            raise MissingData(str(error).partition(" Until then ")[0]) from None
        except gym.error.Error as error:
            raise _unknown_env(env_id, error) from error
    try:
        yield cast(UnitTestEnv, env.unwrapped)
    finally:
        env.close()


@contextmanager
def make_eval_env(recipe: Recipe, policy: Policy[Any], env: UnitTestEnv) -> Iterator[UnitTestEnv]:
    """Where the policy is measured: `env`, or one like it with the judge of `[eval]`, without curriculum and dear rewards."""
    if not recipe.eval.sandbox:
        yield env
        return
    kept = {key: value for key, value in recipe.env.items() if not key.startswith(("curriculum", "reward", "sandbox"))}
    judge = {"sandbox": recipe.eval.sandbox, "sandbox_options": recipe.eval.sandbox_options, "reward": "coarse"}
    with make_env(dataclasses.replace(recipe, env={**kept, **judge}), policy) as own:
        yield own


def make_agent(recipe: Recipe, policy: Policy[Any], env: UnitTestEnv) -> Agent:
    """The agent that the recipe names."""
    options = dict(recipe.agent)
    kind = _kind(options, "agent")
    _introduce(policy, env, recipe.run.seed)
    return plugins.find("algorithms", kind, package="agents")(policy, env, seed=recipe.run.seed, **options)


def _introduce(policy: Policy[Any], env: UnitTestEnv, seed: int) -> None:
    """Shows prompts to a policy that begins by what it will meet; a checkpoint, if there is one, is restored after it."""
    meet = getattr(policy, "meet", None)
    if meet is not None:
        source, rng = copy.deepcopy(env.source), np.random.default_rng(seed)  # the run's own draws stay as they are
        meet(lambda: np.array(env.encode_prompt(source.draw(rng)), np.int64))


def continues_code(recipe: Recipe) -> bool:
    """Whether the recipe lets a pretrained model continue code, in no chat, and names no texts that end its programs."""
    sampling = recipe.agent.get("sampling", {})
    pretrained = recipe.policy.get("kind") == "causal" and recipe.env.get("prompt_style") != "chat"
    return pretrained and isinstance(sampling, dict) and "stop" not in sampling


def with_stops(recipe: Recipe, env: UnitTestEnv) -> Recipe:
    """The recipe with the customary stop texts, if it `continues_code`.

    Such a model often goes on after its program: with tests, other functions, the next question. One that a run of ours has
    trained stops as it did there, and one that answers in a chat by its own end. `agent.sampling.stop = []` is none. Of an agent
    that learns from references alone they end the programs of its evaluations.
    """
    if not continues_code(recipe):
        return recipe
    path = recipe.policy.get("path", "")
    before = Path(path).parent / "recipe.toml"
    if path and before.is_file():
        stop = trained_with(read(before)).stop
    else:
        known = getattr(env.source, "problems", ())
        stop = prompts.stops(known or [env.source.draw(np.random.default_rng(0))])
    if not stop:
        return recipe
    settings = inspect.signature(_config_of(recipe.agent["kind"])).parameters
    if "sampling" not in settings:  # it writes nothing while it learns
        looked = dataclasses.replace(recipe.eval.sampling, stop=recipe.eval.sampling.stop or stop)
        return dataclasses.replace(recipe, eval=dataclasses.replace(recipe.eval, sampling=looked))
    sampling = {**recipe.agent.get("sampling", {}), "stop": list(stop)}
    return dataclasses.replace(recipe, agent={**recipe.agent, "sampling": sampling})


def check_room(policy: Policy[Any], env: UnitTestEnv, problems: Sequence[Problem]) -> None:
    """Refuses prompts and programs that the policy has no positions for, before the first is written.

    Args:
        problems: whose prompts are looked at, beside those of the environment's source where it has a list of them.

    Raises:
        UsageError: the longest prompt and `env.max_program_tokens` do not fit.
    """
    has_room: Callable[[int, int], bool] | None = getattr(policy, "has_room", None)
    if has_room is None or has_room(env.max_prompt_tokens, env.max_program_tokens):
        return
    known = (*getattr(env.source, "problems", ()), *problems)
    longest = max((len(env.encode_prompt(problem)) for problem in known), default=env.max_prompt_tokens)
    if not has_room(longest, env.max_program_tokens):
        raise UsageError(cast(Any, policy).no_room(longest, env.max_program_tokens))


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
