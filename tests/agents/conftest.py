"""A really tiny policy, a judge by rule, and one thread: numbers to the bit, also on a busy machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from small_policies import copy_of

from agents.building import quiet_libraries
from agents.policies import tiny
from agents.policies.causal import CausalPolicy
from agents.testing import by_checksum
from rltf_env import sandbox
from rltf_env.core import CallCase, Problem
from rltf_env.env import UnitTestEnv
from rltf_env.tokenizers import HuggingFace


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    quiet_libraries()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def policy() -> CausalPolicy:
    return copy_of(
        tiny.load, width=16, layers=1, heads=2, vocab_size=280, dataset_options={"size": 4}, max_positions=128
    )


@pytest.fixture
def problems() -> list[Problem]:
    """Six, with statements of different length; the last gives code for free."""
    made = [
        Problem(
            f"p{i}",
            f"Give {'1 + ' * i}{i}.",
            [CallCase((), i)] * 4,
            "f",
            solutions=[f"def f():\n    return {i}\n", f"f = lambda: {i}\n"],
        )
        for i in range(5)
    ]
    given = Problem(
        "given", "Go on.", [CallCase((), 7)] * 4, "f", prefix="def f", solutions=["def f():\n    return 7\n"]
    )
    return [*made, given]


@pytest.fixture
def make_env(policy: CausalPolicy, problems: list[Problem]) -> Callable[..., UnitTestEnv]:
    """An environment over the problems whose judge decides by a rule (default: by the text's checksum)."""

    def make(rules: Any = by_checksum, **options: Any) -> UnitTestEnv:
        defaults: dict[str, Any] = {"max_prompt_tokens": 64, "max_program_tokens": 24, "prompt_style": "statement"}
        judge = options.pop("sandbox", None) or sandbox.load("scripted", rules=rules)
        tokenizer = HuggingFace(policy.tokenizer)
        return UnitTestEnv(
            options.pop("problems", problems), sandbox=judge, tokenizer=tokenizer, **{**defaults, **options}
        )

    return make
