"""sb3-contrib's MaskablePPO on the small task: only tokens with which the program can still become Python are tried.

pip install 'rltf[agents,thirdparty]'
python -m agents.examples.masked_ppo

Seen with seed 0, one thread, the real judge: at most one of the eight problems before, all after 50,000 tokens and 61 s.
"""

from __future__ import annotations

from sb3_contrib import MaskablePPO
from stable_baselines3.common.env_util import make_vec_env

from agents.examples import small
from agents.examples.sb3_agents import POLICY
from agents.sb3 import Judged
from rltf_env import sandbox
from rltf_env.command import Parser
from rltf_env.core import Sandbox

STEPS = 50_000
OPTIONS = {"n_steps": 32, "batch_size": 256, "n_epochs": 4, "learning_rate": 1e-3, "ent_coef": 0.03, "gamma": 1.0}


def make(judge: Sandbox, seed: int = 0) -> MaskablePPO:
    """The algorithm, untrained, on the small task with masks: it finds them by the method `action_masks`."""
    env = make_vec_env(lambda: Judged(small.environment(masked=True, judge=judge)), 32, seed=seed)
    return MaskablePPO("MultiInputPolicy", env, policy_kwargs=POLICY, seed=seed, device="cpu", **OPTIONS)


def solved(model: MaskablePPO, judge: Sandbox) -> float:
    """The share of the problems that the model's best allowed tokens solve."""
    env = small.environment(masked=True, judge=judge)
    return small.solved(
        env,
        lambda observation, info: int(
            model.predict(observation, deterministic=True, action_masks=info["action_mask"])[0]
        ),
    )


def main() -> None:
    """Trains as the command line says."""
    parser = Parser(prog="python -m agents.examples.masked_ppo", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=STEPS, help="tokens that are tried")
    options = parser.parse_args()
    with sandbox.load("auto") as opened:
        judge = small.Remembering(opened)
        model = make(judge, options.seed)
        before = solved(model, judge)
        model.learn(options.steps)
        print(
            f"MaskablePPO solves {before:.0%} before and {solved(model, judge):.0%} after {model.num_timesteps:,} tokens"
        )


if __name__ == "__main__":
    main()
