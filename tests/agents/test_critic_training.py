"""Training a critic on what a policy writes: what it learns, and what it is measured on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console

from agents import critic_training
from agents.algorithms.supervised import draw_pairs
from agents.core import TrainingSample
from agents.critics.outcome import Critic
from agents.critics.settings import Settings
from agents.decoding.sampling import Sampling
from agents.learning.learner import OptimiserConfig
from agents.policies import tiny
from agents.policies.causal import CausalPolicy
from rltf_env.core import CallCase, Outcome, Problem
from rltf_env.env import UnitTestEnv
from rltf_env.errors import UsageError


def trained(policy: CausalPolicy, env: UnitTestEnv, **options: Any) -> tuple[Critic, dict[str, Any]]:
    own = tiny.load(width=16, layers=1, heads=2, vocab_size=280, dataset_options={"size": 4}, max_positions=128)
    critic = Critic(own, classes=options.get("classes", 2), optimiser=OptimiserConfig(lr=1e-2, warmup=0))
    settings = Settings(**{"problems": 24, "samples": 8, "updates": 60, "batch_size": 16, **options})
    return critic, critic_training.train_critic(policy, critic, env, settings, Sampling(), Console(quiet=True))


def test_critic_learns_what_becomes_of_programs_it_has_not_seen(
    policy: CausalPolicy, make_env: Callable[..., UnitTestEnv]
) -> None:
    """A rule that can be read off the statement, on problems that it was not taught."""
    words = ("Double it", "Add it up", "Halve it")
    problems = [Problem(f"p{i}", f"{words[i % 3]}: {i}.", [CallCase((), 1)], "f") for i in range(400)]
    env = make_env(lambda source, problem: problem.statement.startswith("Halve"), problems=problems)
    weights = {name: t.clone() for name, t in policy.model.state_dict().items()}
    _, measured = trained(policy, env, references=0.0, unseen=0.25)
    assert measured["unseen"]["programs"] == 8 * measured["unseen"]["problems"]
    assert measured["unseen"]["accuracy"] > measured["unseen"]["most_frequent"] + 0.1
    assert sum(measured["outcomes"].values()) == 24 * 8
    assert all(torch.equal(t, weights[name]) for name, t in policy.model.state_dict().items())


def test_references_count_as_passed(
    policy: CausalPolicy, make_env: Callable[..., UnitTestEnv], monkeypatch: Any
) -> None:
    env = make_env(lambda source, problem: "NameError")
    env.max_program_tokens = 40
    seen: list[tuple[list[TrainingSample], list[Outcome]]] = []
    monkeypatch.setattr(Critic, "learn", lambda self, samples, outcomes: (seen.append((samples, outcomes)), {})[1])
    trained(policy, env, references=0.25, updates=3, problems=20)
    assert len(seen) == 3
    for samples, outcomes in seen:
        assert outcomes == [Outcome.RUNTIME_ERROR] * 12 + [Outcome.PASSED] * 4
        assert all("f" in env.tokenizer.program(s.tokens).text for s in samples[12:])


def test_accuracy_stands_beside_that_of_the_most_frequent_outcome(policy: CausalPolicy) -> None:
    critic = Critic(policy)  # fresh: names the first class
    row = np.zeros(2, np.float32)
    samples = [TrainingSample(np.array([5]), np.array([40, 41 + i]), np.ones(2, bool), row, row) for i in range(4)]
    outcomes = [Outcome.SYNTAX_ERROR, Outcome.PASSED, Outcome.PASSED, Outcome.PASSED]
    assert critic_training.accuracy(critic, samples, outcomes) == {
        "programs": 4, "accuracy": 0.25, "most_frequent": 0.75
    }  # fmt: skip


def test_a_problem_that_is_drawn_again_is_not_taught_and_measured_at_once(
    policy: CausalPolicy, make_env: Callable[..., UnitTestEnv]
) -> None:
    env = make_env(problems=[Problem("only", "Do it.", [CallCase((), 1)], "f")])
    with pytest.raises(UsageError, match="different problems"):
        trained(policy, env, references=0.0)


def test_wrong_settings_say_so() -> None:
    for wrong in ({"problems": 1}, {"updates": 0}, {"unseen": 0.0}, {"references": 1.0}, {"lr": 0.0}):
        with pytest.raises(UsageError, match="Expected"):
            Settings(**wrong)


def test_references_of_problems_that_are_held_out_are_not_taught(make_env: Callable[..., UnitTestEnv]) -> None:
    env = make_env()
    held = {f"p{i}" for i in range(4)}
    prompts = {tuple(env.encode_prompt(env.source.find(id))): id for id in (*held, "p4", "given")}
    pairs = draw_pairs(env, env.source, np.random.default_rng(0), 50, held)
    drawn = {prompts[tuple(sample.prompt)] for sample in pairs}
    assert drawn == {"p4", "given"}
    with pytest.raises(UsageError, match="besides those held out"):
        draw_pairs(env, env.source, np.random.default_rng(0), 1, held | drawn)
