"""Stable-Baselines3's PPO, A2C and DQN on the small task, as they are, with a transformer that reads the tokens.

python -m agents.examples.sb3_agents PPO          what it solves before and after

Seen with seed 0, one thread, the real judge, on a machine that did other things too; all solve at most one of eight before, as
does who does not read the prompt (`tests/slow/test_examples_learning.py`):

    PPO     60,000 tokens    8 of 8    84 s
    A2C     120,000 tokens   8 of 8    56 s
    DQN     30,000 tokens    8 of 8    67 s
"""

from __future__ import annotations

from typing import Any

from stable_baselines3 import A2C, DQN, PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.env_util import make_vec_env

from agents.examples import small
from agents.sb3 import Judged, policy_kwargs
from rltf_env import sandbox
from rltf_env.command import Parser
from rltf_env.core import Sandbox

POLICY = policy_kwargs(width=32, layers=1, heads=2)
# The algorithm, its own options, how many environments it steps at once, and how many steps it is given. gamma = 1: two tokens.
AGENTS: dict[str, tuple[type[BaseAlgorithm], dict[str, Any], int, int]] = {
    "PPO": (
        PPO,
        {"n_steps": 32, "batch_size": 256, "n_epochs": 4, "learning_rate": 1e-3, "ent_coef": 0.03},
        32,
        60_000,
    ),
    "A2C": (A2C, {"n_steps": 8, "learning_rate": 2e-3, "ent_coef": 0.02, "use_rms_prop": False}, 32, 120_000),
    "DQN": (
        DQN,
        {
            "learning_rate": 1e-3,
            "buffer_size": 30_000,
            "learning_starts": 1000,
            "batch_size": 64,
            "train_freq": (1, "step"),
            "target_update_interval": 400,
            "exploration_fraction": 0.6,
            "exploration_final_eps": 0.02,
        },
        8,
        30_000,
    ),
}


def make(name: str, judge: Sandbox, seed: int = 0) -> BaseAlgorithm:
    """The algorithm `name`, untrained, on the small task."""
    kind, options, n_envs, _ = AGENTS[name]
    env = make_vec_env(lambda: Judged(small.environment(judge=judge)), n_envs, seed=seed)
    shared: dict[str, Any] = {"gamma": 1.0, "policy_kwargs": POLICY, "seed": seed, "device": "cpu"}
    return kind("MultiInputPolicy", env, **shared, **options)


def solved(model: BaseAlgorithm, judge: Sandbox) -> float:
    """The share of the problems that the model's best tokens solve."""
    env = small.environment(judge=judge)
    return small.solved(env, lambda observation, _: int(model.predict(observation, deterministic=True)[0]))


def main() -> None:
    """Trains the agent that the command line names."""
    parser = Parser(prog="python -m agents.examples.sb3_agents", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("agent", choices=AGENTS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, help="tokens that are tried; default: as many as the table of agents says")
    options = parser.parse_args()
    with sandbox.load("auto") as opened:
        judge = small.Remembering(opened)
        model = make(options.agent, judge, options.seed)
        before = solved(model, judge)
        model.learn(options.steps or AGENTS[options.agent][3])
        print(
            f"{options.agent} solves {before:.0%} before and {solved(model, judge):.0%} after {model.num_timesteps:,} tokens"
        )


if __name__ == "__main__":
    main()
