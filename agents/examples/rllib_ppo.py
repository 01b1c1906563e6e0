"""RLlib's PPO on the small task.

    pip install 'ray[rllib]' -e '.[agents]'         ray pins its own version of Gymnasium: use an environment of its own
    python -m agents.examples.rllib_ppo

Seen with ray 2.60.0 and Gymnasium 1.2.2: five iterations of about twenty seconds, too few to learn (0 to 4 % of cases passed).

RLlib's default models take vectors, so tokens come as one: prompt and program, one-hot (`flat`).
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.wrappers import FlattenObservation, TransformObservation

from agents.examples import small
from agents.sb3 import Judged
from rltf_env.command import Parser
from rltf_env.errors import UsageError

ITERATIONS = 30


def flat(_: Any = None) -> gymnasium.Env[Any, Any]:
    """The small task with one observation float32 (N,): every token one-hot, padding a token like another."""
    env = FlattenObservation(Judged(small.environment()))
    assert isinstance(env.observation_space, gymnasium.spaces.Box)
    size, length = int(env.observation_space.high.max()) + 1, int(np.prod(env.observation_space.shape or ()))
    space = gymnasium.spaces.Box(0.0, 1.0, (length * size,), np.float32)
    table = np.eye(size, dtype=np.float32)
    return TransformObservation(env, lambda tokens: table[tokens].ravel(), space)


def make(seed: int = 0) -> Any:
    """RLlib's PPO on `flat`, in this process.

    Raises:
        UsageError: ray is not installed.
    """
    try:
        import ray  # pyright: ignore[reportMissingImports]
        from ray.rllib.algorithms.ppo import PPOConfig  # pyright: ignore[reportMissingImports]
        from ray.tune.registry import register_env  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise UsageError(
            "Expected RLlib to be installed: pip install 'ray[rllib]', in an environment of its own."
        ) from error
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, ignore_reinit_error=True)
    register_env("rltf-small", flat)
    config = (
        PPOConfig()
        .environment("rltf-small")
        .env_runners(num_env_runners=0, num_envs_per_env_runner=8)
        .learners(num_learners=0)
        .training(
            gamma=1.0, lr=1e-3, train_batch_size_per_learner=1024, minibatch_size=256, num_epochs=4, entropy_coeff=0.03
        )
        .debugging(seed=seed, log_level="ERROR")
    )
    return config.build_algo()


def mean_return(result: dict[str, Any]) -> float:
    """The mean return of the episodes of an iteration: the share of cases passed, in [0, 1]."""
    return float(result["env_runners"]["episode_return_mean"])


def main() -> None:
    """Trains as the command line says."""
    parser = Parser(prog="python -m agents.examples.rllib_ppo", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--iterations", type=int, default=ITERATIONS)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    algorithm = make(options.seed)
    for iteration in range(options.iterations):
        print(f"iteration {iteration}: mean share of passed cases {mean_return(algorithm.train()):.2f}")
    algorithm.stop()


if __name__ == "__main__":
    main()
