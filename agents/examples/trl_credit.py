"""TRL's GRPOTrainer with one number a completion, beside the same with credit for its tokens, on the same seeds.

pip install 'rltf[agents,thirdparty]'
python -m agents.examples.trl_credit                    two updates of a tiny random model each: shows that everything meets
python -m agents.examples.trl_credit --model FOLDER --steps 200 --seeds 5

Both runs start from the same weights and see the same problems. In the first, every token of a program has the advantage of its
whole program; in the second, a line that raised is charged besides. What is printed is the share of programs that
passed, over the last half of the steps, as the judge saw them.
"""

from __future__ import annotations

import copy
import tempfile
from typing import Any

from trl.trainer.grpo_config import GRPOConfig

from agents.policies import causal, tiny
from rltf_env import datasets
from rltf_env.adapters.trl import TokenCreditTrainer, dataset
from rltf_env.command import Parser
from rltf_env.core import Attempt, Feedback, Outcome, Problem
from rltf_env.env import UnitTestEnv
from rltf_env.rewards import load
from rltf_env.tokenizers import HuggingFace

REWARD = {"alpha": "clipped", "clip": 10.0, "weights": {"fine": 0.3}}  # of "rltf": no line costs more than its program


class Counting:
    """A reward that also keeps count of what passed."""

    def __init__(self) -> None:
        self.reward, self.passed = load("rltf", **REWARD), list[bool]()

    def __call__(self, attempt: Attempt) -> Feedback:
        self.passed.append(attempt.verdict.outcome is Outcome.PASSED)
        return self.reward(attempt)


def run(policy: Any, problems: list[Problem], weight: float, *, steps: int = 2, seed: int = 0, **options: Any) -> float:
    """The share of programs that passed over the last half of a run. `options` are those of `GRPOConfig`."""
    reward = Counting()
    env = UnitTestEnv(problems, tokenizer=HuggingFace(policy.tokenizer), reward=reward)
    base = {"num_generations": 4, "per_device_train_batch_size": 4, "max_completion_length": 48, "beta": 0.0}
    base |= {"save_strategy": "no", "report_to": "none", "disable_tqdm": True, "use_cpu": True, "bf16": False}
    with tempfile.TemporaryDirectory() as folder:
        trainer = TokenCreditTrainer(
            copy.deepcopy(policy.model),
            env=env,
            credit_weight=weight,
            args=GRPOConfig(output_dir=folder, max_steps=steps, seed=seed, **(base | options)),
            train_dataset=dataset(problems),
            processing_class=policy.tokenizer,
        )
        trainer.train()
    env.close()
    last = reward.passed[len(reward.passed) // 2 :]
    return sum(last) / len(last)


def compare(policy: Any, steps: int, seeds: int, **options: Any) -> list[tuple[int, float, float]]:
    """Seed, share passed with one number a completion, share passed with token credit."""
    problems = list(datasets.load("procedural", size=64))
    return [
        (seed, *(run(policy, problems, weight, steps=steps, seed=seed, **options) for weight in (0.0, 1.0)))  # type: ignore[misc]
        for seed in range(seeds)
    ]


def main() -> None:
    """Trains as the command line says."""
    parser = Parser(prog="python -m agents.examples.trl_credit", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model", help="hub id or folder of a causal language model; default: a tiny random one")
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=1)
    asked = parser.parse_args()
    policy = causal.load(asked.model) if asked.model else tiny.load(width=32, layers=1, heads=2, vocab_size=400)
    print("seed  scalar  tokens")
    for seed, scalar, tokens in compare(policy, asked.steps, asked.seeds):
        print(f"{seed:4}  {scalar:6.1%}  {tokens:6.1%}")


if __name__ == "__main__":
    main()
