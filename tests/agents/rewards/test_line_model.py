"""The dense reward of a line model: the table, its properties, the contract, and that runs with it go on."""

from __future__ import annotations

import json
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from same_runs import assert_same_run, lines
from small_policies import copy_of
from small_runs import AGENTS, COMMON, place_judge

from agents import functional
from agents.algorithms import ppo
from agents.algorithms.ppo import Config, earned
from agents.config import read
from agents.core import Episode
from agents.critics.line_model import LineModel, Wording
from agents.policies import tiny
from agents.policies.causal import CausalPolicy
from agents.rewards import line_model
from agents.rewards.line_model import LineReward, line_rewards
from agents.testing import check_agent
from agents.training import train
from rltf_env import plugins, rewards, sandbox
from rltf_env.core import Attempt, CallCase, CaseResult, Failure, Outcome, Problem, Program, Verdict
from rltf_env.env import UnitTestEnv
from rltf_env.errors import MissingData, UnknownName, UsageError
from rltf_env.testing import check_reward

NAME = "agents.rewards.line_model:load"
SCORES, ENDS = np.array([0.9, 0.8, -0.2, -0.7], np.float32), np.array([2, 5, 8, 9])
ALL = np.ones(10, bool)
WRONG = Verdict((CaseResult(Outcome.WRONG_ANSWER, Failure("WrongAnswer")),))
PROBLEM = Problem("p", "Give 1.", [CallCase((), 1)], "f")


class Knows:
    """In the place of a line model: known scores."""

    def __init__(self, *scores: float) -> None:
        self.scores = np.array(scores, np.float32)

    def lines(self, problem: Problem, text: str) -> np.ndarray:
        return self.scores


def written(text: str, starts: list[int], prefix_length: int = 0) -> Program:
    return Program(np.arange(len(starts)), text, np.array(starts), prefix_length)


# Ten tokens, of which 2, 5, 8 and 9 end a line.
PROGRAM = written("abc\nde\nfg\nh", [0, 1, 2, 4, 5, 6, 7, 8, 9, 10])


@pytest.fixture
def folder(tmp_path: Path) -> str:
    """A saved line model with an opinion of its own."""
    policy = copy_of(
        tiny.load, width=16, layers=1, heads=2, vocab_size=280, dataset_options={"size": 4}, max_positions=512
    )
    model = LineModel(policy, Wording(style="statement"))
    with torch.no_grad():
        model.head.weight.normal_(0, 0.05, generator=torch.Generator().manual_seed(0))
    model.save(tmp_path / "lines")
    return str(tmp_path / "lines")


# --------------------------------------------------------------------------------------- tables


def test_each_line_earns_its_share_at_its_last_token() -> None:
    expected = [0, 0, 0.225, 0, 0, 0.2, 0, 0, -0.05, -0.175]
    np.testing.assert_allclose(line_rewards(SCORES, ENDS, ALL), expected, atol=1e-7)


def test_the_potential_form_pays_differences_whose_sum_is_the_last_score() -> None:
    paid = line_rewards(SCORES, ENDS, ALL, "potential")
    np.testing.assert_allclose(paid[ENDS], [0.9, -0.1, -1.0, -0.5], atol=1e-6)
    assert paid.sum() == pytest.approx(-0.7)
    assert np.count_nonzero(paid) == 4


def test_with_the_terminal_reward_rewards_and_returns_are_those_of_the_table() -> None:
    """By the reward itself, `coarse` and PPO's own way from feedback to rewards."""
    dense = LineReward(Knows(*SCORES))  # type: ignore[arg-type]
    attempt = Attempt(PROBLEM, PROGRAM, WRONG)
    feedback = rewards.summed(rewards.load("coarse"), dense)(attempt)
    row = np.zeros(10, np.float32)
    episode = Episode("p", row, PROGRAM, row, row, WRONG, feedback, 0)  # type: ignore[arg-type]
    by_token = earned(episode, 10, Config())
    np.testing.assert_allclose(by_token, [0, 0, 0.225, 0, 0, 0.2, 0, 0, -0.05, -0.475], atol=1e-6)
    mask = torch.ones(1, 10, dtype=torch.bool)
    _, returns = functional.gae(torch.tensor(by_token)[None], torch.zeros(1, 10), mask, 1.0, 1.0)
    expected = [-0.1, -0.1, -0.1, -0.325, -0.325, -0.325, -0.525, -0.525, -0.525, -0.475]
    np.testing.assert_allclose(returns[0], expected, atol=1e-6)
    at_the_end = earned(episode, 10, Config(credit="program"))
    np.testing.assert_allclose(at_the_end, [0] * 9 + [-0.1], atol=1e-6)
    assert feedback.parts == pytest.approx({"coarse": -0.3, "line_model": 0.2})
    assert feedback.program_reward == pytest.approx(-0.3), "no share of the program's"


# ----------------------------------------------------------------------------------- properties


def test_more_lines_of_the_same_worth_do_not_earn_more() -> None:
    twice, ends = np.repeat(SCORES, 2), np.arange(8)
    for form in line_model.FORMS:
        once = line_rewards(SCORES, np.arange(4), ALL[:4], form).sum()
        assert line_rewards(twice, ends, ALL[:8], form).sum() == pytest.approx(once)
    assert line_rewards(np.ones(4, np.float32), np.arange(4), ALL[:4]).sum() == pytest.approx(4 * 1 / 4)
    assert line_rewards(np.ones(8, np.float32), np.arange(8), ALL[:8]).sum() == pytest.approx(8 * 1 / 8)


def test_a_comment_of_score_zero_adds_nothing_and_lowers_the_others() -> None:
    paid = line_rewards(np.array([1, 0, 1], np.float32), np.arange(3), ALL[:3])
    np.testing.assert_allclose(paid, [1 / 3, 0, 1 / 3])


def test_lines_that_were_given_earn_nothing_and_do_not_count() -> None:
    mask = np.arange(10) >= 6
    np.testing.assert_allclose(line_rewards(SCORES, ENDS, mask)[ENDS], [0, 0, -0.1, -0.35])
    potential = line_rewards(SCORES, ENDS, mask, "potential")
    assert potential.sum() == pytest.approx(-0.7)
    assert not line_rewards(SCORES, ENDS, np.zeros(10, bool)).any()


def test_lines_without_a_score_earn_nothing() -> None:
    scores = np.array([np.nan, 0.5, np.nan, -0.5], np.float32)
    np.testing.assert_allclose(line_rewards(scores, ENDS, ALL)[ENDS], [0, 0.125, 0, -0.125])
    np.testing.assert_allclose(line_rewards(scores, ENDS, ALL, "potential")[ENDS], [0, 0.5, 0, -1.0])


def test_two_lines_that_end_in_one_token_are_paid_there() -> None:
    assert line_rewards(np.array([0.5, 0.25], np.float32), np.array([1, 1]), ALL[:3]).tolist() == [0, 0.375, 0]


def test_the_weight_is_a_factor_and_there_is_no_baseline() -> None:
    attempt = Attempt(PROBLEM, PROGRAM, WRONG)
    once, twice = (LineReward(Knows(*SCORES), weight)(attempt) for weight in (1, 2))  # type: ignore[arg-type]
    np.testing.assert_allclose(twice.rewards, 2 * once.rewards)
    reward = LineReward(Knows(*SCORES))  # type: ignore[arg-type]
    assert reward.relative(attempt, WRONG) == reward(attempt)
    assert reward(attempt).loss_mask.all()


# ------------------------------------------------------------------------------------- contract


@pytest.mark.parametrize("options", [{}, {"form": "potential", "weight": -0.5}])
def test_reward_keeps_its_contract_alone_and_in_a_sum(folder: str, options: dict[str, Any]) -> None:
    check_reward(NAME, path=folder, **options)
    if not options:
        check_reward(f"rltf+{NAME}", **{NAME: {"path": folder}})


def test_every_learned_reward_is_found_by_its_file() -> None:
    assert "line_model" in plugins.names("rewards", package="agents")


def test_a_program_earns_the_same_whatever_is_judged_beside_it_and_in_another_process(folder: str) -> None:
    reward = rewards.load(NAME, path=folder)
    texts = [f"def f():\n    x = {i}\n    return x\n" for i in range(12)]
    programs = [written(text, list(range(len(text)))) for text in texts]
    attempts = [Attempt(PROBLEM, program, WRONG) for program in programs]
    alone = [reward(attempt) for attempt in attempts]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(reward, attempts)) == alone
    assert len({feedback.total for feedback in alone}) > 6
    copied = pickle.loads(pickle.dumps(reward))
    assert [copied(attempt) for attempt in attempts] == alone
    assert all(p.grad is None and not p.requires_grad for p in reward.model.policy.model.parameters())


def test_the_newest_programs_are_remembered_and_the_oldest_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_model, "REMEMBERED", 2)
    known, read = Knows(1.0), []
    known.lines = lambda problem, text: (read.append(text), known.scores)[1]  # type: ignore[method-assign]
    reward = LineReward(known)  # type: ignore[arg-type]
    for text in ("a", "b", "a", "c", "b", "a"):
        reward(Attempt(PROBLEM, written(text, [0]), WRONG))
    reward(Attempt(Problem("p", "Give 2.", PROBLEM.cases, "f"), written("a", [0]), WRONG))
    assert read == ["a", "b", "c", "a", "a"]


def test_tokens_of_another_vocabulary_are_paid_at_the_same_places(folder: str) -> None:
    reward = rewards.load(NAME, path=folder)
    text = "def f():\n    x = 1\n    return x\n"
    by_byte = reward(Attempt(PROBLEM, written(text, list(range(len(text) + 1))), WRONG))
    by_line = reward(Attempt(PROBLEM, written(text, [0, 9, 19, len(text)]), WRONG))
    np.testing.assert_array_equal(by_byte.rewards[[8, 18, 31]], by_line.rewards[[0, 1, 2]])
    assert np.count_nonzero(by_byte.rewards) == np.count_nonzero(by_line.rewards) == 3
    assert by_line.rewards[-1] == 0, "the end token ends no line"


def test_impossible_options_say_so(folder: str, tmp_path: Path) -> None:
    made = rewards.load(NAME, path=folder, form="potential", weight=-0.5)
    assert (made.form, made.weight) == ("potential", -0.5)
    with pytest.raises(UnknownName, match="Did you mean 'potential'"):
        rewards.load(NAME, path=folder, form="potentials")
    with pytest.raises(UsageError, match="weight to be a finite number"):
        rewards.load(NAME, path=folder, weight=float("nan"))
    with pytest.raises(MissingData, match="train_line_model"):
        rewards.load(NAME, path=str(tmp_path))
    with pytest.raises(UsageError, match="options that build"):
        rewards.load(NAME)


# ---------------------------------------------------------------------------------------- agents


def test_ppo_on_dense_rewards_with_values_that_begin_as_the_model_keeps_its_contract(tmp_path: Path) -> None:
    def make(policy: CausalPolicy, env: UnitTestEnv, seed: int) -> Any:
        if not (tmp_path / "config.json").is_file():
            LineModel(policy).save(tmp_path)
        env.reward = rewards.summed(env.reward, rewards.load(NAME, path=str(tmp_path)))
        value = {"trunk": "own", "lr": 1e-2, "path": str(tmp_path)}
        return ppo.load(policy, env, seed=seed, value=value, problems=2, samples_per_problem=2, batch_size=4, epochs=1)

    check_agent(make, updates=2)


def test_a_run_in_two_parts_is_the_run_in_one(folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dense rewards and values that begin as the line model, as a recipe names them."""
    place_judge(tmp_path, monkeypatch)
    (tmp_path / "ppo.toml").write_text(COMMON.replace("width = 16", "width = 16\nmax_positions = 512") + AGENTS["ppo"])
    named = f'{{ "{NAME}" = {{ path = {json.dumps(folder)} }} }}'

    def run(out: str, *overrides: str) -> None:
        recipe = [
            f"run.out={json.dumps(str(tmp_path / out))}", f'env.reward="coarse+{NAME}"', f"env.reward_options={named}",
            f'agent.value={{ trunk = "own", path = {json.dumps(folder)}, lr = 1e-2 }}', "run.eval_every=0",
        ]  # fmt: skip
        train(read(tmp_path / "ppo.toml", [*recipe, *overrides]))

    run("whole", "run.updates=4")
    run("parts", "run.updates=2")
    run("parts", "run.updates=4")
    assert_same_run(tmp_path / "whole", tmp_path / "parts")
    assert all("reward/line_model" in line for line in lines(tmp_path / "whole"))
    assert any(line["reward/line_model"] for line in lines(tmp_path / "whole"))


def test_an_environment_takes_it_by_name(folder: str) -> None:
    judge = sandbox.load("scripted", rules=lambda source, problem: False)
    with UnitTestEnv([PROBLEM], reward=f"coarse+{NAME}", reward_options={NAME: {"path": folder}}, sandbox=judge) as env:
        feedback = env.judge(PROBLEM, "def f():\n    return 2\n").feedback
    assert set(feedback.parts) == {"coarse", "line_model"}
    assert -1 <= feedback.parts["line_model"] <= 1
