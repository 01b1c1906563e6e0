"""The discriminator by itself: its loss and reward on tables, what it reads, and that it learns to tell two kinds apart."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_policies import copy_of

from agents import functional
from agents.critics.discriminator import Discriminator
from agents.learning.learner import OptimiserConfig
from agents.policies import tiny
from rltf_env.core import CallCase, Problem
from rltf_env.errors import MissingData, UsageError

PROBLEM = Problem("p", "Give one.", [CallCase((), 1)], "f", solutions=["def f():\n    return 1\n"])
OTHER = replace(PROBLEM, id="q", statement="Give two.")


@pytest.fixture
def discriminator() -> Discriminator:
    policy = copy_of(
        tiny.load, width=16, layers=1, heads=2, vocab_size=300, dataset_options={"size": 16}, max_positions=96
    )
    optimiser = OptimiserConfig(lr=1e-2, warmup=0, weight_decay=0.0)
    return Discriminator(policy, max_prompt_tokens=40, max_program_tokens=24, optimiser=optimiser)


def test_the_loss_is_half_of_what_each_kind_costs() -> None:
    logits = torch.logit(torch.tensor([0.8, 0.4]))
    loss = functional.discriminator_loss(logits, torch.tensor([True, False]))
    assert float(loss) == pytest.approx((0.2231 + 0.5108) / 2, abs=1e-4)
    assert float(functional.discriminator_loss(logits[:1], torch.tensor([True]))) == pytest.approx(0.2231, abs=1e-4)
    assert float(functional.discriminator_loss(logits[1:], torch.tensor([False]))) == pytest.approx(0.5108, abs=1e-4)


def test_the_loss_of_certain_errors_is_finite() -> None:
    logits = torch.tensor([-200.0, 200.0])
    assert float(functional.discriminator_loss(logits, torch.tensor([True, False]))) == pytest.approx(200.0)


def test_a_new_one_knows_nothing(discriminator: Discriminator) -> None:
    scores = discriminator.scores([discriminator.sample(PROBLEM, text) for text in ("def f(): return 1", "x = (")])
    assert scores.tolist() == [0.5, 0.5]
    assert discriminator.scores([]).shape == (0,)


def test_it_learns_to_tell_two_kinds_apart_and_pushes_each_to_its_side(discriminator: Discriminator) -> None:
    real = [discriminator.sample(p, "def f():\n    return 1\n") for p in (PROBLEM, OTHER)]
    made = [discriminator.sample(p, "x = 1\n") for p in (PROBLEM, OTHER)]
    first = discriminator.learn(real, made)["discriminator_loss"]
    assert first == pytest.approx(np.log(2), abs=1e-4)
    losses = [discriminator.learn(real, made)["discriminator_loss"] for _ in range(15)]
    assert losses[-1] < 0.3
    assert discriminator.scores(real).min() > 0.7
    assert discriminator.scores(made).max() < 0.3


def test_it_reads_the_whole_program_and_the_problem(discriminator: Discriminator) -> None:
    with torch.no_grad():
        discriminator.head.weight.normal_(generator=torch.Generator().manual_seed(0))
    texts = ["a = 1\n", "a = 2\n", "b = 1\n", "a = 1"]
    samples = [discriminator.sample(PROBLEM, text) for text in texts]
    samples += [discriminator.sample(OTHER, texts[0]), discriminator.sample(PROBLEM, texts[0], ended=False)]
    assert len(set(discriminator.scores(samples).round(6))) == 6


def test_a_score_does_not_depend_on_what_stands_beside_it(discriminator: Discriminator) -> None:
    with torch.no_grad():
        discriminator.head.weight.normal_(generator=torch.Generator().manual_seed(0))
    samples = [discriminator.sample(PROBLEM, "x = 1\n" * n) for n in (1, 4, 2)]
    together = discriminator.scores(samples)
    alone = [float(discriminator.scores([sample], alone=True)[0]) for sample in samples]
    assert together == pytest.approx(alone, abs=1e-5)
    assert discriminator.scores(samples, alone=True).tolist() == alone


def test_what_is_too_long_is_cut_and_ends_where_it_was_ended(discriminator: Discriminator) -> None:
    end = discriminator.tokenizer.eos_id
    long = replace(PROBLEM, statement="Give one. " * 200)
    sample = discriminator.sample(long, "x = 1\n" * 100)
    assert len(sample.prompt) <= 40
    assert len(sample.tokens) == 24
    assert sample.tokens[-1] == end
    cut = discriminator.sample(PROBLEM, "x = 1\n", ended=False)
    assert end not in cut.tokens
    assert discriminator.sample(PROBLEM, "", ended=False).tokens.tolist() == [end]
    assert len(discriminator.sample(PROBLEM, "x = '\ud800'\n").tokens) > 1


def test_as_many_references_as_samples_are_wanted(discriminator: Discriminator) -> None:
    sample = discriminator.sample(PROBLEM, "x = 1\n")
    for real, made in (([sample], []), ([], []), ([sample], [sample] * 2)):
        with pytest.raises(UsageError, match="as many references as samples"):
            discriminator.learn(real, made)


def test_what_is_saved_comes_back(discriminator: Discriminator, tmp_path: Path) -> None:
    real, made = discriminator.sample(PROBLEM, "def f(): return 1\n"), discriminator.sample(PROBLEM, "x = 1\n")
    discriminator.learn([real], [made])
    discriminator.style = "statement"
    discriminator.save(tmp_path / "d")
    again = Discriminator.load(tmp_path / "d")
    assert (again.style, again.max_prompt_tokens, again.max_program_tokens) == ("statement", 40, 24)
    assert again.scores([real, made]) == pytest.approx(discriminator.scores([real, made]), abs=1e-5)
    assert set(json.loads((tmp_path / "d" / "discriminator.json").read_text())) == {
        "kind", "style", "max_prompt_tokens", "max_program_tokens",
    }  # fmt: skip


def test_its_state_is_all_of_it(discriminator: Discriminator) -> None:
    twin: Any = copy.deepcopy(discriminator)
    real, made = discriminator.sample(PROBLEM, "def f(): return 1\n"), discriminator.sample(PROBLEM, "x = 1\n")
    discriminator.learn([real], [made])
    twin.load_state_dict(copy.deepcopy(discriminator.state_dict()))
    for each in (discriminator, twin):
        each.learn([real], [made])
    assert twin.scores([real, made]).tolist() == discriminator.scores([real, made]).tolist()


def test_words_of_a_function_cannot_be_saved_and_a_missing_folder_says_so(
    discriminator: Discriminator, tmp_path: Path
) -> None:
    discriminator.style = lambda problem: problem.statement
    with pytest.raises(UsageError, match="prompt_style"):
        discriminator.save(tmp_path / "d")
    with pytest.raises(MissingData, match="train_discriminator"):
        Discriminator.load(tmp_path / "nothing")
