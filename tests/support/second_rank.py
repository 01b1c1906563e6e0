"""Small runs of every agent, done by two ranks together or by one alone; as a program, the second rank.

python second_rank.py PORT CASE ...      does the cases, one after the other, as rank 1 of 2
"""

from __future__ import annotations

import copy
import dataclasses
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
import torch.distributed as dist

from agents import parallel, ranks
from agents._make import make
from agents.building import quiet_libraries
from agents.learning import shards
from agents.policies import tiny
from agents.testing import by_checksum
from rltf_env import sandbox
from rltf_env.core import CallCase, Problem, ScriptCase
from rltf_env.env import UnitTestEnv
from rltf_env.tokenizers import HuggingFace

OPTIMISER = {"lr": 1e-3, "warmup": 1, "micro_batch": 2, "clip_norm": 0.5}
ROUND = {"problems": 3, "samples_per_problem": 3, "batch_size": 5, "epochs": 2}
BUFFER = {"buffer": 12, "fill": 8, "refresh": 4, "refresh_every": 2, "samples_per_problem": 2, "batch_size": 5}
ADAPTERS = {"r": 2, "alpha": 4, "targets": ["q_proj", "v_proj"]}
CASES: dict[str, dict[str, Any]] = {
    "grpo": {**ROUND, "kl": 0.1, "entropy": 0.01, "reduction": "seq_mean"},
    "dapo": {**ROUND, "reduction": "token_mean"},
    "dr_grpo": {**ROUND, "reduction": "constant"},
    "rloo": {**ROUND, "epochs": 1, "reduction": "seq_sum", "lora": ADAPTERS, "kl": 0.1},
    "reinforce": {**ROUND, "epochs": 1, "micro_tokens": 60},
    "ppo": {**ROUND, "value_warmup": 1},
    "ppo own": {**ROUND, "value": {"trunk": "own"}},
    "grpo bfloat16": {**ROUND, "dtype": "bfloat16"},
    "actor_critic": {**BUFFER, "value": {"trunk": "own"}},
    "actor_critic shared": BUFFER,
    "rltf": {**BUFFER, "critic": {"mode": "online", "updates": 2, "batch_size": 3}},
    "hindsight": BUFFER,
    "soft_q": {**BUFFER, "offline": 0.4},
    "supervised": {"batch_size": 5},
    "grpo shard": {**ROUND, "kl": 0.1, "entropy": 0.01, "reduction": "seq_mean", "layers": 2},
    "rloo shard": {**ROUND, "epochs": 1, "reduction": "seq_sum", "lora": ADAPTERS, "kl": 0.1},
    "ppo shard": {**ROUND, "value_warmup": 1},
    "grpo shard bfloat16": {**ROUND, "dtype": "bfloat16"},
    "rltf shard": {**BUFFER, "critic": {"mode": "online", "updates": 2, "batch_size": 3}},
    "atc": {"batch_size": 5, "latent": 8, "hidden": 8},
    "atc written": {"batch_size": 5, "latent": 8, "hidden": 8, "programs": "policy"},
}
SLOW_CASES: dict[str, dict[str, Any]] = {
    "ppo shard own": {**ROUND, "value": {"trunk": "own"}},
    "actor_critic shard": BUFFER,
    "soft_q shard": {**BUFFER, "offline": 0.4},
    "hindsight shard": BUFFER,
    "dapo shard": {**ROUND, "reduction": "token_mean", "layers": 3},
    "supervised shard": {"batch_size": 1},
    "grpo shard checkpointing": {**ROUND, "gradient_checkpointing": True, "layers": 2},
}
OF_POLICY = ("lora", "dtype", "layers", "gradient_checkpointing")
UPDATES = 2


def _options(case: str) -> dict[str, Any]:
    return CASES.get(case) or SLOW_CASES[case]


def policy_of(case: str) -> Any:
    """Made before the ranks meet, as in a run: of a group, transformers saves on the first rank alone, and a policy is tried."""
    policy = copy.copy(
        _loaded(
            "lora" in _options(case),
            _options(case).get("layers", 1),
            _options(case).get("gradient_checkpointing", False),
        )
    )
    policy.model = copy.deepcopy(policy.model).to(getattr(torch, _options(case).get("dtype", "float32")))
    return policy


@cache
def _loaded(adapters: bool, layers: int, recompute: bool) -> Any:
    sizes: dict[str, Any] = {"width": 16, "layers": layers, "heads": 2, "vocab_size": 280, "max_positions": 128}
    return tiny.load(
        **sizes, dataset_options={"size": 4}, lora=ADAPTERS if adapters else None, gradient_checkpointing=recompute
    )


def run(case: str, policy: Any) -> tuple[list[dict[str, float]], list[torch.Tensor]]:
    """Metrics of a few updates, and all that has learnt in the end."""
    options = {name: value for name, value in _options(case).items() if name not in OF_POLICY}
    optimiser = dict(OPTIMISER)
    if tokens := options.pop("micro_tokens", 0):
        optimiser = {**optimiser, "micro_tokens": tokens}
        del optimiser["micro_batch"]
    problems = [
        Problem(
            f"p{i}",
            f"Give {i}.",
            [CallCase((), i)] * 4,
            "f",
            solutions=[f"def f():\n    return {i}\n"],
            examples=[ScriptCase(f"assert f() == {i}")],  # which asks no question that hindsight could answer
        )
        for i in range(5)
    ]
    kind, shared_out = case.partition(" ")[0], "shard" in case.split() and parallel.current().world > 1
    ranks_of_case = dataclasses.replace(parallel.current(), sharded=shared_out)
    with parallel.within(ranks_of_case), sandbox.load("scripted", rules=by_checksum) as judge:
        env = UnitTestEnv(
            problems, sandbox=judge, tokenizer=HuggingFace(policy.tokenizer), max_prompt_tokens=64,
            max_program_tokens=24, prompt_style="examples" if kind == "hindsight" else "statement",
        )  # fmt: skip
        agent: Any = make(kind, policy, env, seed=0, optimiser=optimiser, **options)
        lines = [agent.update() for _ in range(UPDATES)]
        if shared_out:  # and every second number is here
            here, all_of_them = _numbers(agent.learner)
            assert here <= 0.51 * all_of_them + 64, f"{here} of {all_of_them}"
    learners = [agent.learner, *(p for p in getattr(agent, "parts", {}).values() if hasattr(p, "parts"))]
    weights = {
        id(p): shards.whole(p.detach().float())
        for each in learners
        for part in each.parts.values()
        for p in part.parameters()
    }
    return lines, list(weights.values())


def _numbers(learner: Any) -> tuple[int, int]:
    """Of a learner's weights, gradients and moments: on this rank, and in all."""
    state = [t for of in learner.optimiser.state.values() for name, t in of.items() if name != "step"]
    tensors = [*learner._parameters(), *(p.grad for p in learner._parameters() if p.grad is not None), *state]
    return sum(t.to_local().numel() for t in tensors), sum(t.numel() for t in tensors)


@contextmanager
def together(store: dist.Store, rank: int) -> Iterator[None]:
    """As one of two ranks."""
    torch.set_num_threads(1)
    with ranks.loopback(), ranks.within_group(store, rank, 2, 60.0):
        yield


def main() -> None:
    """The second rank."""
    quiet_libraries()
    policies = {case: policy_of(case) for case in sys.argv[2:]}
    store = dist.TCPStore(ranks.HOST, int(sys.argv[1]), 2, is_master=False)
    with together(store, 1):
        for case, policy in policies.items():
            run(case, policy)
            assert parallel.current().world == 2


if __name__ == "__main__":
    main()
