"""TRL's GRPOTrainer on procedural problems, with unit tests as its reward function.

pip install 'rltf[agents,thirdparty]'
python -m agents.examples.grpo                    two updates of a tiny random model: shows that everything meets
python -m agents.examples.grpo --model NAME --steps 200
"""

from __future__ import annotations

import tempfile
from typing import Any

from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer

from agents.policies import causal, tiny
from agents.trl import dataset, reward_function
from rltf_env import datasets
from rltf_env.command import Parser
from rltf_env.env import UnitTestEnv
from rltf_env.tokenizers import HuggingFace


def make(policy: Any, env: UnitTestEnv, folder: str, *, steps: int = 2, **options: Any) -> GRPOTrainer:
    """The trainer. `options` are those of `GRPOConfig`; the environment is left open."""
    config = GRPOConfig(
        output_dir=folder,
        max_steps=steps,
        **{"num_generations": 4, "per_device_train_batch_size": 4, "max_completion_length": 48, "beta": 0.0}
        | {"logging_steps": 1, "save_strategy": "no", "report_to": "none", "disable_tqdm": True, "use_cpu": True}
        | options,
    )
    return GRPOTrainer(
        policy.model,
        reward_funcs=reward_function(env),
        args=config,
        train_dataset=dataset(datasets.load("procedural", size=64)),
        processing_class=policy.tokenizer,
    )


def main() -> None:
    """Trains as the command line says."""
    parser = Parser(prog="python -m agents.examples.grpo", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model", help="hub id or folder of a causal language model; default: a tiny random one")
    parser.add_argument("--steps", type=int, default=2)
    options = parser.parse_args()
    policy = causal.load(options.model) if options.model else tiny.load(width=32, layers=1, heads=2, vocab_size=400)
    env = UnitTestEnv("procedural", tokenizer=HuggingFace(policy.tokenizer), reward="coarse+adaptive")
    with tempfile.TemporaryDirectory() as folder:
        trainer = make(policy, env, folder, steps=options.steps)
        trainer.train()
        for line in trainer.state.log_history:
            print({key: line[key] for key in ("step", "reward", "reward_std", "loss") if key in line})
    env.close()


if __name__ == "__main__":
    main()
