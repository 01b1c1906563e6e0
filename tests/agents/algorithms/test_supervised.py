"""Supervised learning: references as targets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from agents.algorithms import rltf, supervised
from agents.learning.learner import OptimiserConfig
from agents.policies.causal import CausalPolicy
from agents.testing import check_agent
from rltf_env.core import Problem
from rltf_env.env import UnitTestEnv
from rltf_env.errors import UsageError

MakeEnv = Callable[..., UnitTestEnv]


SMALL: dict[str, Any] = {
    "buffer": 16, "fill": 8, "refresh": 4, "refresh_every": 3, "samples_per_problem": 2, "batch_size": 4,
    "optimiser": {"lr": 1e-3, "warmup": 2},
}  # fmt: skip


@pytest.mark.parametrize("module", [rltf, supervised])
def test_references_are_summed_as_equation_7_has_it_where_that_is_asked_for(
    policy: CausalPolicy, make_env: MakeEnv, module: Any
) -> None:
    option = "supervised_reduction" if module is rltf else "reduction"
    options = SMALL if module is rltf else {"batch_size": 4}
    losses, tokens = {}, []
    for how in ("token_mean", "seq_sum", "constant"):
        agent = module.load(policy, make_env(), seed=0, **options, constant=4.0, **{option: how})
        agent.learner.config = OptimiserConfig(lr=1e-30, warmup=0)
        step = agent.learner.step
        agent.learner.step = lambda pairs, *rest, step=step: (
            tokens.append(sum(int(s.loss_mask.sum()) for s in pairs)) or step(pairs, *rest)
        )
        losses[how] = agent.update()["supervised_loss"]
    assert tokens[0] == tokens[1] > 4
    assert losses["seq_sum"] == pytest.approx(losses["token_mean"] * tokens[0] / 4, rel=1e-4)
    assert losses["constant"] == pytest.approx(losses["seq_sum"] / 4, rel=1e-4)


@pytest.mark.parametrize("options", [{"batch_size": 0}, {"constant": 0.0}, {"constant": float("nan")}])
def test_a_batch_of_nothing_is_refused_before_anything_is_learnt(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"Expected agent.batch_size >= 1 and a finite constant > 0, got"):
        supervised.Config(**options)


def test_supervised_contract() -> None:
    check_agent(lambda p, e, s: supervised.load(p, e, seed=s, batch_size=3, optimiser={"lr": 1e-3, "warmup": 2}))


def test_a_reference_is_a_target_with_its_end(policy: CausalPolicy, make_env: MakeEnv, problems: list[Problem]) -> None:
    env = make_env()
    crlf = Problem("crlf", "x", problems[0].cases, "f", solutions=["def f():\r\n    pass\r\n\r\n\r\n"])
    made = supervised.reference(env, crlf, 0)
    assert made is not None
    assert made.tokens[-1] == policy.eos_id
    assert env.tokenizer.program(made.tokens).text == "def f():\n    pass\n"
    assert made.loss_mask.all()


def test_given_code_is_no_target(make_env: MakeEnv, problems: list[Problem]) -> None:
    env = make_env()
    made, given = supervised.reference(env, problems[-1], 0), env.encode_prefix(problems[-1])
    assert made is not None
    np.testing.assert_array_equal(made.tokens[: len(given)], given)
    assert made.loss_mask.tolist() == [False] * len(given) + [True] * (len(made.tokens) - len(given))


def test_references_that_do_not_fit_are_passed_over(make_env: MakeEnv, problems: list[Problem]) -> None:
    lengths = [len(s.tokens) for s in pairs(make_env(), 40)]
    limit = min(lengths)
    short = pairs(make_env(max_program_tokens=limit), 40)
    assert max(len(s.tokens) for s in short) == limit < max(lengths)


def test_no_reference_at_all_is_an_error(make_env: MakeEnv, problems: list[Problem]) -> None:
    with pytest.raises(UsageError, match=r"Raise env\.max_program_tokens"):
        pairs(make_env(max_program_tokens=3), 1)


def pairs(env: UnitTestEnv, count: int) -> list[Any]:
    return supervised.draw_pairs(env, env.source, np.random.default_rng(0), count)


def test_picked_references_are_of_the_problems_that_the_environment_was_asked_for() -> None:
    env = UnitTestEnv("procedural", dataset_options={"depths": [3]}, sandbox="scripted")
    whole: Any = supervised.reference_source(env, {"size": 8})
    assert {p.difficulty for p in whole.problems} == {"depth-3"}
    picked: Any = supervised.reference_source(env, {"size": 8, "depths": [1]})
    assert {p.difficulty for p in picked.problems} == {"depth-1"}


def test_a_few_references_are_learnt_by_heart(policy: CausalPolicy, make_env: MakeEnv, problems: list[Problem]) -> None:
    options = {"lr": 3e-2, "warmup": 1, "weight_decay": 0.0}
    agent = supervised.load(policy, make_env(problems=problems[:1]), seed=0, batch_size=8, optimiser=options)
    losses = [agent.update()["supervised_loss"] for _ in range(40)]
    assert losses[0] > 4
    assert losses[-1] < 1
