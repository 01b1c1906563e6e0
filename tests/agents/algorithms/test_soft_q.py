"""Soft Q-learning: where its losses end, what it learns from, and that a run goes on as it was."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agents import functional
from agents.algorithms import soft_q
from agents.algorithms.policy_gradient import Config as PolicyGradient
from agents.algorithms.policy_gradient import loss as policy_gradient_loss
from agents.batching import batch
from agents.core import Batch
from agents.policies.causal import CausalPolicy
from agents.testing import check_agent
from rltf_env import datasets
from rltf_env.core import Feedback, Outcome, Problem, Program
from rltf_env.env import UnitTestEnv
from rltf_env.errors import DataError, MissingData, UnknownName, UsageError

MakeEnv = Callable[..., UnitTestEnv]
SMALL: dict[str, Any] = {
    "buffer": 16,
    "fill": 8,
    "refresh": 4,
    "refresh_every": 3,
    "samples_per_problem": 2,
    "batch_size": 4,
    "optimiser": {"lr": 1e-3, "warmup": 2},
}

# --------------------------------------------------------------------------------------------------- four programs

PROGRAMS = torch.tensor(list(product((0, 1), (0, 1))))  # aa, ab, ba, bb
EARNED = torch.tensor([1.0, 0.0, 0.0, -1.0])
BEST = [0.534447, 0.196612, 0.196612, 0.072329]  # exp(r) / Z
WRONG = {  # what the one-sided losses end at
    "single": [0.308, 0.157, 0.451, 0.083],
    "multi": [0.404, 0.226, 0.269, 0.102],
    "both": [0.355, 0.197, 0.343, 0.105],
}
BOTH_TOKENS = torch.ones(4, 2, dtype=torch.bool)


class Table:
    """A policy for two tokens as a table: logits of the first, and of the second after either."""

    def __init__(self) -> None:
        self.parts = [torch.zeros(2, requires_grad=True), torch.zeros(2, 2, requires_grad=True)]

    def logits(self) -> torch.Tensor:
        """(4, 2, 2), along the four programs."""
        return torch.stack([self.parts[0].expand(4, 2), self.parts[1][PROGRAMS[:, 0]]], 1)

    def probabilities(self) -> list[float]:
        chosen = self.logits().log_softmax(-1).gather(-1, PROGRAMS[..., None])[..., 0]
        return chosen.sum(1).exp().tolist()


def learnt(kind: str, coefficient: float, steps: int = 500) -> tuple[list[float], float]:
    """Where uniform data of all four lead: the policy, and the loss that is left."""
    policy, target = Table(), Table()
    optimiser = torch.optim.Adam(policy.parts, lr=0.1)
    c = soft_q.Config(loss=kind, coefficient=coefficient, scale=1.0)  # type: ignore[arg-type]
    last = torch.stack([torch.zeros(4), EARNED], 1)
    prompt = torch.ones(4, 1, dtype=torch.long)
    data = Batch(prompt, prompt > 0, PROGRAMS, BOTH_TOKENS, BOTH_TOKENS, last, torch.zeros(4, 2))
    left = torch.zeros(())
    for _ in range(steps):
        left, _ = soft_q.loss(data, (policy.logits(), target.logits().detach()), c)
        optimiser.zero_grad()
        left.backward()
        optimiser.step()
        with torch.no_grad():
            for ours, theirs in zip(target.parts, policy.parts, strict=True):
                ours.lerp_(theirs, 0.2)
    return policy.probabilities(), float(left.detach())


@pytest.mark.parametrize("kind", ["vanilla", "single", "multi", "both"])
def test_the_symmetric_loss_ends_at_the_best_policy(kind: str) -> None:
    probabilities, left = learnt(kind, 0.5)
    assert probabilities == pytest.approx(BEST, abs=2e-3)
    assert left < 1e-4


@pytest.mark.parametrize("kind", ["single", "multi", "both"])
def test_a_one_sided_loss_ends_at_a_wrong_policy_with_much_of_the_loss_left(kind: str) -> None:
    probabilities, left = learnt(kind, 0.0)
    assert probabilities == pytest.approx(WRONG[kind], abs=5e-3)
    assert left > 0.9


def test_reinforce_on_the_same_data_forgets_all_but_one_program() -> None:
    policy = Table()
    optimiser = torch.optim.Adam(policy.parts, lr=0.1)
    prompt, weights = torch.ones(4, 1, dtype=torch.long), EARNED[:, None].expand(4, 2)
    data = Batch(prompt, prompt > 0, PROGRAMS, BOTH_TOKENS, BOTH_TOKENS, weights, torch.zeros(4, 2))
    for _ in range(300):
        optimiser.zero_grad()
        policy_gradient_loss(data, policy.logits(), PolicyGradient())[0].backward()
        optimiser.step()
    assert policy.probabilities()[0] > 0.99


@pytest.mark.parametrize("kind", ["vanilla", "single", "multi", "both"])
def test_the_best_policy_has_no_loss_on_any_program(kind: Any) -> None:
    """Q(a) = log(e + 1), Q(b) = log(1 + 1/e), and after them the rewards."""
    first, second = [1.313262, 0.313262], [[1.0, 0.0], [0.0, -1.0]]
    logits = torch.tensor([[first, second[a]] for a, _ in PROGRAMS.tolist()])
    rewards = torch.stack([torch.zeros(4), EARNED], 1)
    left = functional.path_consistency(logits, logits.logsumexp(-1), PROGRAMS, rewards, BOTH_TOKENS, kind)
    assert float(left.max()) < 1e-9
    assert float(logits[0, 0].logsumexp(-1)) == pytest.approx(1.626523)


@pytest.mark.parametrize("kind", ["vanilla", "single", "multi"])
def test_an_offset_of_logits_and_return_alike_changes_nothing(kind: Any) -> None:
    rng = torch.Generator().manual_seed(0)
    logits, target, rewards = (torch.randn(s, generator=rng) for s in ((5, 4, 3), (5, 4), (5, 4)))
    tokens = torch.randint(3, (5, 4), generator=rng)
    mask = torch.arange(4) < torch.tensor([4, 1, 2, 3, 4])[:, None]
    ends = mask & ~torch.cat([mask[:, 1:], torch.zeros(5, 1, dtype=torch.bool)], 1)
    first = functional.path_consistency(logits, target, tokens, rewards, mask, kind)
    again = functional.path_consistency(logits + 7, target + 7, tokens, rewards + 7.0 * ends, mask, kind)
    torch.testing.assert_close(first, again, atol=1e-3, rtol=1e-4)


def test_the_papers_map_of_rewards_is_a_scale() -> None:
    mask = torch.ones(4, 1, dtype=torch.bool)
    earned = torch.tensor([[1.0], [-0.3], [-0.6], [-1.0]])
    assert soft_q.scaled(earned, mask, 10.0, 0.0)[:, 0].tolist() == pytest.approx([10, -3, -6, -10])


def test_given_tokens_cost_nothing_and_the_first_chosen_one_says_the_value() -> None:
    """Q 1, 2 and 1; V' after the first token 1.6931; at the ends 1.5 and -1: errors .4805, .25 and 4, of which the first is given.

    V 2.1269 before the second token of the first program, 1.3133 before the second program's.
    """
    logits = torch.tensor([[[1.0, 0.0], [0.0, 2.0]], [[0.0, 1.0], [0.0, 0.0]]])
    target = torch.tensor([[[0.5, 0.5], [1.0, 1.0]], [[0.0, 0.0], [0.0, 0.0]]])
    mask, chosen = torch.tensor([[True, True], [True, False]]), torch.tensor([[False, True], [True, False]])
    rewards, prompt = torch.tensor([[0.0, 1.5], [-1.0, 0.0]]), torch.ones(2, 1, dtype=torch.long)
    data = Batch(prompt, prompt > 0, torch.tensor([[0, 1], [1, 0]]), mask, chosen, rewards, torch.zeros(2, 2))
    c = soft_q.Config(loss="vanilla", coefficient=0.0, scale=1.0)
    value, log = soft_q.loss(data, (logits, target), c)
    assert float(value) == pytest.approx((0.25 + 4) / 2, abs=1e-4)
    assert float(log["value"]) == pytest.approx((2.1269 + 1.3133) / 2, abs=1e-4)


# ------------------------------------------------------------------------------------------------------- the agent


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"offline": 0.0, "credit": "token"},
        {"offline": 1.0, "shift": "none"},
        {"offline_only": 2},
        {"refresh": 0},
        soft_q.RELEASED_CODE,
    ],
    ids=["mixed", "online", "references alone", "references first", "what it wrote first", "released code"],
)
def test_contract(options: dict[str, Any]) -> None:
    check_agent(lambda p, e, s: soft_q.load(p, e, seed=s, **{**SMALL, **options}))


@pytest.mark.parametrize("forgotten", ["buffer", "rng", "generator", "learner", "target", "shift"])
def test_contract_sees_what_a_state_forgets(forgotten: str) -> None:
    class Forgetful(soft_q.SoftQ):
        def load_state_dict(self, state: Any) -> None:
            super().load_state_dict({**state, forgotten: self.state_dict()[forgotten]})

    def make(policy: Any, env: Any, seed: int) -> soft_q.SoftQ:
        agent = soft_q.load(policy, env, seed=seed, **SMALL)
        agent.__class__ = Forgetful
        return agent

    with pytest.raises((AssertionError, UsageError)):
        check_agent(make)


def test_the_target_follows_by_its_share_and_does_not_learn_itself(policy: CausalPolicy, make_env: MakeEnv) -> None:
    agent = soft_q.load(policy, make_env(), seed=0, polyak=0.25, **SMALL)
    before = [p.clone() for p in agent.target.policy.model.parameters()]
    agent.update()
    moved = zip(before, agent.target.policy.model.parameters(), policy.model.parameters(), strict=True)
    for old, target, online in moved:
        torch.testing.assert_close(target, old + 0.25 * (online - old))
        assert target.grad is None


def test_a_batch_is_part_references_and_part_programs(
    policy: CausalPolicy, make_env: MakeEnv, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = soft_q.load(policy, make_env(), seed=0, offline=0.25, **SMALL)
    sizes: list[int] = []
    real = agent.learner.step
    monkeypatch.setattr(
        agent.learner, "step", lambda samples, *rest: (sizes.append(len(samples)), real(samples, *rest))[1]
    )
    asked: list[int] = []
    draw = soft_q.draw_references
    monkeypatch.setattr(soft_q, "draw_references", lambda *a: (asked.append(a[-1]), draw(*a))[1])
    agent.update()
    assert (sizes, asked) == ([4], [1])


def test_a_reference_earns_what_the_judge_says_and_is_judged_once(
    policy: CausalPolicy, make_env: MakeEnv, problems: list[Problem]
) -> None:
    judged: list[str] = []

    def rule(source: str, problem: Problem) -> bool:
        judged.append(source)
        return "lambda" in source

    env = make_env(rule, problems=problems[:2], reward="coarse")
    agent = soft_q.load(policy, env, seed=0, offline=1.0, **SMALL)
    for _ in range(5):
        for sample in agent._references(4):
            text = env.tokenizer.program(sample.tokens).text
            assert sample.weights[-1] == pytest.approx(1.0 if "lambda" in text else -0.3)
            assert not sample.weights[:-1].any()
    assert len(judged) == len(set(judged)) == 4


def test_what_a_program_earned_may_stand_on_its_tokens(policy: CausalPolicy, make_env: MakeEnv) -> None:
    env = make_env(reward="rltf")
    agent = soft_q.load(policy, env, seed=0, credit="token", **SMALL)
    _, groups, samples = agent.write(4)
    for e, sample in zip((e for group in groups for e in group), samples, strict=True):
        np.testing.assert_array_equal(sample.weights, e.feedback.rewards)


def test_a_program_earns_its_whole_return_at_its_end(policy: CausalPolicy, make_env: MakeEnv) -> None:
    agent = soft_q.load(policy, make_env(), seed=0, **SMALL)
    tokens = np.arange(3)
    feedback = Feedback.build(Program(tokens, "abc", tokens), "table", program_reward=2.0, tokens=[0.5, -1.0, 0.0])
    assert agent._earned(feedback).tolist() == [0.0, 0.0, 1.5]


def test_what_is_read_is_the_policys_with_a_gradient_and_the_targets_without(
    policy: CausalPolicy, make_env: MakeEnv
) -> None:
    agent = soft_q.load(policy, make_env(), seed=0, **SMALL)
    _, _, samples = agent.write(4)
    with torch.no_grad():
        for p in policy.model.parameters():
            p.mul_(1.5)
    data = batch(samples, policy.pad_id)
    ours, theirs = agent._read(data)
    torch.testing.assert_close(ours, policy.logits(data))
    torch.testing.assert_close(theirs, agent.target.policy.logits(data))
    assert not torch.allclose(ours, theirs, atol=1e-2)
    assert (ours.requires_grad, theirs.requires_grad) == (True, False)


def test_a_sample_says_which_policy_wrote_it_and_what_is_too_old_is_passed_over(
    policy: CausalPolicy, make_env: MakeEnv
) -> None:
    options: dict[str, Any] = {**SMALL, "refresh": 0, "refresh_every": 1, "offline": 0.0, "max_staleness": 2}
    agent = soft_q.load(policy, make_env(), seed=0, **options)
    assert [agent.update()["staleness"] for _ in range(3)] == [0, 1, 2]
    assert len(agent.buffer) == 8, "nothing is written after the first"
    with pytest.raises(UsageError, match="max_staleness=2"):
        agent.update()
    assert {sample.version for sample in agent.write(4)[2]} == {3}


def test_of_a_reference_the_tokens_that_are_not_learnt_are_given(policy: CausalPolicy, make_env: MakeEnv) -> None:
    env = make_env()
    agent = soft_q.load(policy, env, seed=0, offline=1.0, **SMALL)
    given = env.source.find("given")
    pairs = [(problem, sample) for problem, sample in soft_q.draw_references(env, agent.references, agent.collector.rng, 40)
             if problem.id == given.id]  # fmt: skip
    assert pairs
    assert {agent._program(sample).prefix_length for _, sample in pairs} == {len(env.encode_prefix(given))}


def test_calibration_leaves_a_program_of_no_reward_as_likely_to_end(policy: CausalPolicy, make_env: MakeEnv) -> None:
    agent = soft_q.load(policy, make_env(), seed=0, **SMALL)
    _, _, samples = agent.write(8)
    shift = agent._values_at_the_end(samples)
    ends = [policy.logits(batch([s], policy.pad_id))[0, -1].detach() for s in samples]
    values = [float(logits.logsumexp(-1)) for logits in ends]
    assert shift == pytest.approx(np.mean(values), abs=1e-4)


def test_with_references_alone_nothing_is_written(policy: CausalPolicy, make_env: MakeEnv) -> None:
    agent = soft_q.load(policy, make_env(), seed=0, offline_only=2, **SMALL)
    lines = [agent.update() for _ in range(3)]
    assert ["staleness" in line for line in lines] == [False, False, True]
    assert lines[2]["buffer"] == 8


# --------------------------------------------------------------------------------------------------------- records


def row(problem: str, text: str, outcome: Outcome, **more: Any) -> dict[str, Any]:
    passed = outcome is Outcome.PASSED
    failures = {} if passed else {"failures": [["WrongAnswer", "", None, "", []]], "why": [0] * 4}
    return {"problem": problem, "sample": 0, "text": text, "outcomes": str(int(outcome)) * 4, **failures, **more}


ROWS = [
    row("p0", "def f():\n    return 0\n", Outcome.PASSED),
    row("p1", "def f():\n    return", Outcome.WRONG_ANSWER, truncated=True),
    row("given", "def f():\n    return 7\n", Outcome.PASSED),
    row("p2", "x = 1\n" * 40, Outcome.WRONG_ANSWER),  # too long
]


def record(folder: Path, rows: list[dict[str, Any]], **header: Any) -> Path:
    folder.mkdir()
    content = "".join(json.dumps(each) + "\n" for each in rows).encode()
    (folder / "samples.jsonl.gz").write_bytes(gzip.compress(content))
    suite = {"dataset": "procedural", "split": "seen", "options": {"size": 3}}
    (folder / "header.json").write_text(json.dumps({"suite": suite, **header}))
    return folder


def test_a_run_may_learn_from_a_file_of_judged_programs_alone(
    policy: CausalPolicy, make_env: MakeEnv, tmp_path: Path
) -> None:
    path = tmp_path / "programs.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in ROWS))
    env = make_env(rules=lambda *_: pytest.fail("nothing is judged"), reward="coarse", max_program_tokens=40)
    agent = soft_q.load(policy, env, seed=0, offline=0.0, offline_data=str(path), **{**SMALL, "refresh": 0})
    line = agent.update()
    assert line["buffer"] == 3
    first, cut, given = agent.buffer._samples
    assert [s.weights[-1] for s in (first, cut, given)] == pytest.approx([1.0, -0.3, 1.0])
    assert [s.tokens[-1] == policy.eos_id for s in (first, cut, given)] == [True, False, True]
    assert env.tokenizer.program(given.tokens).text == "def f():\n    return 7\n"
    assert given.loss_mask.tolist() == [False] * (~given.loss_mask).sum() + [True] * given.loss_mask.sum()


def test_a_record_brings_its_problems_and_its_digest(policy: CausalPolicy, make_env: MakeEnv, tmp_path: Path) -> None:
    problems = datasets.load("procedural", "seen", size=3)
    rows = [row(problem.id, problem.solutions[0], Outcome.PASSED) for problem in problems]
    right, wrong = datasets.digest(problems), "0" * 64
    env = make_env(max_program_tokens=400, max_prompt_tokens=400)
    options: Any = {**SMALL, "refresh": 0, "offline": 0.0}
    agent = soft_q.load(policy, env, seed=0, offline_data=str(record(tmp_path / "a", rows, data=right)), **options)
    assert agent.update()["buffer"] == 3
    agent = soft_q.load(policy, env, seed=0, offline_data=str(record(tmp_path / "b", rows, data=wrong)), **options)
    with pytest.raises(DataError, match="to have the digest 0000"):
        agent.update()


@pytest.mark.parametrize(
    ("rows", "error"),
    [([ROWS[3]], UsageError), ([{**ROWS[0], "problem": "p99"}], DataError), ([{"problem": "p0"}], DataError)],
    ids=["none fits", "no such problem", "no program"],
)
def test_what_is_no_program_of_these_problems_is_an_error(
    policy: CausalPolicy, make_env: MakeEnv, tmp_path: Path, rows: Any, error: type[Exception]
) -> None:
    path = tmp_path / "programs.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in rows))
    agent = soft_q.load(policy, make_env(), seed=0, offline=0.0, offline_data=str(path), **SMALL)
    with pytest.raises(error):
        agent.update()


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"scale": 0.0}, UsageError),
        ({"polyak": 0.0}, UsageError),
        ({"polyak": 1.5}, UsageError),
        ({"offline": 1.5}, UsageError),
        ({"coefficient": -0.1}, UsageError),
        ({"offline": 0.0, "offline_only": 3}, UsageError),
        ({"fill": 0}, UsageError),
        ({"loss": "double"}, UnknownName),
        ({"shift": "some"}, UnknownName),
        ({"offline_data": "nowhere.jsonl"}, MissingData),
    ],
)
def test_impossible_options_are_refused(
    policy: CausalPolicy, make_env: MakeEnv, options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        soft_q.load(policy, make_env(), seed=0, **{**SMALL, **options})
