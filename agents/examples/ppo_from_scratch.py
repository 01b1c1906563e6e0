"""PPO in one file, in the manner of CleanRL: configuration, collection, advantages, update, in reading order.

    python -m agents.examples.ppo_from_scratch            what it solves of the small task before and after
    python -m agents.examples.ppo_from_scratch steps=64000 seed=1

It uses nothing of `agents` but the extractor (a small transformer) and the task: what it shows is the loop around a
Gymnasium vector environment with token actions and masks. Proximal policy optimisation: Schulman et al. 2017 (arXiv 1707.06347),
eq. 7; advantages: Schulman et al. 2016 (arXiv 1506.02438), eq. 16. Left out: learning rate annealing, value clipping, a
limit on the divergence. Different on purpose: a cut-off program is the end of an episode, since it was judged.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from torch import Tensor, nn

from agents.examples import small
from agents.sb3 import TransformerExtractor
from rltf_env import sandbox
from rltf_env.core import Sandbox

# ------------------------------------------------------------------------------------------------------ configuration


@dataclass(frozen=True)
class Config:
    """Everything that can be set; `name=value` on the command line."""

    seed: int = 0
    steps: int = 32_000  # tokens that are tried, in all
    envs: int = 32
    rollout: int = 16  # tokens for each environment between updates
    epochs: int = 4
    batch_size: int = 128
    lr: float = 1e-3
    gamma: float = 1.0  # two tokens: the future is as good as the present
    gae_lambda: float = 0.95
    clip: float = 0.2
    entropy: float = 0.03
    value: float = 0.5
    max_norm: float = 0.5
    width: int = 32


def configured(arguments: list[str]) -> Config:
    """A configuration from `name=value`; an unknown name is an error."""
    types: dict[str, Any] = {field.name: type(field.default) for field in fields(Config)}
    pairs = dict(argument.split("=", 1) for argument in arguments)
    unknown = pairs.keys() - types.keys()
    if unknown:
        raise SystemExit(f"Unknown setting {sorted(unknown)}. Known: {', '.join(types)}.")
    return Config(**{name: types[name](value) for name, value in pairs.items()})


# -------------------------------------------------------------------------------------------------------------- model


class Model(nn.Module):
    """A transformer over prompt and program, with a head for the next token and one for the value."""

    def __init__(self, env: gymnasium.Env[Any, Any] | SyncVectorEnv, config: Config) -> None:
        super().__init__()
        space: Any = getattr(env, "single_observation_space", env.observation_space)
        actions: Any = getattr(env, "single_action_space", env.action_space)
        self.body = TransformerExtractor(space, width=config.width, layers=1, heads=2)
        self.actor, self.critic = nn.Linear(config.width, int(actions.n)), nn.Linear(config.width, 1)
        nn.init.orthogonal_(self.actor.weight, 0.01)

    def forward(self, observation: dict[str, Tensor], mask: Tensor) -> tuple[Tensor, Tensor]:
        """log-probabilities (B, V), of which forbidden tokens have none, and values (B,)."""
        features = self.body(observation)
        logits = self.actor(features).masked_fill(~mask, torch.finfo(torch.float32).min)
        return logits.log_softmax(-1), self.critic(features).squeeze(-1)


def tensors(observation: dict[str, np.ndarray], mask: np.ndarray) -> tuple[dict[str, Tensor], Tensor]:
    """An observation's arrays and its mask, bool (N, V), as tensors."""
    return {key: torch.as_tensor(array) for key, array in observation.items()}, torch.as_tensor(mask, dtype=torch.bool)


# --------------------------------------------------------------------------------------------------------------- loop


def train(config: Config, judge: Sandbox) -> Model:
    """PPO on the small task."""
    generator = torch.Generator().manual_seed(config.seed)
    env = SyncVectorEnv(
        [lambda: small.environment(masked=True, judge=judge)] * config.envs, autoreset_mode=AutoresetMode.SAME_STEP
    )
    with torch.random.fork_rng(devices=[]):  # layers draw their weights from the global generator: lend it the seed
        torch.default_generator.manual_seed(config.seed)
        model = Model(env, config)
    optimiser = torch.optim.Adam(model.parameters(), lr=config.lr, eps=1e-5)
    observation, info = env.reset(seed=config.seed)
    for _ in range(config.steps // (config.envs * config.rollout)):
        # ---- collection: what was seen, what was done, what was earned, (rollout, envs, ...)
        seen: list[tuple[dict[str, Tensor], Tensor]] = []
        done: list[tuple[Tensor, Tensor, Tensor]] = []
        earned: list[tuple[Tensor, Tensor]] = []
        for _ in range(config.rollout):
            seen.append(tensors(observation, info["action_mask"]))
            with torch.no_grad():
                logprobs, values = model(*seen[-1])
            actions = torch.multinomial(logprobs.exp(), 1, generator=generator).squeeze(1)  # (envs,)
            done.append((actions, logprobs.gather(1, actions[:, None]).squeeze(1), values))
            observation, rewards, terminated, truncated, info = env.step(actions.numpy())
            earned.append((torch.as_tensor(rewards, dtype=torch.float32), torch.as_tensor(terminated | truncated)))
        actions, old_logprobs, values = (torch.stack(column) for column in zip(*done, strict=True))
        rewards, over = (torch.stack(column) for column in zip(*earned, strict=True))

        # ---- advantages, from the last token to the first
        with torch.no_grad():
            next_value = model(*tensors(observation, info["action_mask"]))[1]
        advantages, later = torch.zeros_like(rewards), torch.zeros(config.envs)
        for t in reversed(range(config.rollout)):
            goes_on = (~over[t]).float()
            delta = rewards[t] + config.gamma * goes_on * next_value - values[t]
            later = delta + config.gamma * config.gae_lambda * goes_on * later
            advantages[t], next_value = later, values[t]
        returns = (advantages + values).flatten()

        # ---- update
        observations = {key: torch.cat([one[key] for one, _ in seen]) for key in observation}  # (rollout * envs, ...)
        masks = torch.cat([mask for _, mask in seen])
        actions, old_logprobs, advantages = actions.flatten(), old_logprobs.flatten(), advantages.flatten()
        for _ in range(config.epochs):
            for rows in torch.randperm(len(actions), generator=generator).split(config.batch_size):
                logprobs, values = model({key: array[rows] for key, array in observations.items()}, masks[rows])
                ratio = (logprobs.gather(1, actions[rows, None]).squeeze(1) - old_logprobs[rows]).exp()
                advantage = (advantages[rows] - advantages[rows].mean()) / (advantages[rows].std() + 1e-8)
                gain = torch.min(ratio * advantage, ratio.clamp(1 - config.clip, 1 + config.clip) * advantage).mean()
                entropy = -(logprobs.exp() * logprobs).sum(-1).mean()
                miss = 0.5 * (values - returns[rows]).square().mean()
                loss = -gain - config.entropy * entropy + config.value * miss
                optimiser.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), config.max_norm)
                optimiser.step()
    env.close()
    return model


def solved(model: Model, judge: Sandbox) -> float:
    """The share of the problems that the model's best allowed tokens solve."""

    @torch.no_grad()
    def act(observation: dict[str, np.ndarray], info: dict[str, Any]) -> int:
        batch = {key: array[None] for key, array in observation.items()}
        return int(model(*tensors(batch, info["action_mask"][None]))[0].argmax())

    return small.solved(small.environment(masked=True, judge=judge), act)


def main(arguments: list[str]) -> None:
    """Trains, and prints the share of problems solved before and after."""
    config = configured(arguments)
    with sandbox.load("auto") as opened:
        judge = small.Remembering(opened)
        before = solved(Model(small.environment(judge=judge), config), judge)
        after = solved(train(config, judge), judge)
        print(f"PPO solves {before:.0%} before and {after:.0%} after {config.steps:,} tokens")


if __name__ == "__main__":
    main(sys.argv[1:])
