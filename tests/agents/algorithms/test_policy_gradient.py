"""The policy-gradient family, PPO and actor-critic: what a token weighs by hand, groups, rounds, values, the reference."""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle
from typing import Any

import numpy as np
import pytest
import torch
from pairs import chessboard

from agents import functional
from agents.algorithms import actor_critic, dapo, dr_grpo, grpo, ppo, reinforce, rloo
from agents.algorithms.policy_gradient import PolicyGradient, bare_sample
from agents.batching import batch
from agents.core import Episode, TrainingSample
from agents.learning.minibatches import RolloutBuffer
from agents.policies.causal import CausalPolicy
from agents.testing import check_agent
from rltf_env.core import Attempt, CaseResult, Feedback, Outcome, Problem, Program, Verdict
from rltf_env.env import UnitTestEnv
from rltf_env.errors import UnknownName, UsageError

MakeEnv = Callable[..., UnitTestEnv]
FAMILY = {"reinforce": reinforce, "rloo": rloo, "grpo": grpo, "dr_grpo": dr_grpo, "dapo": dapo}
SMALL: dict[str, Any] = {
    "problems": 1,
    "samples_per_problem": 2,
    "batch_size": 2,
    "optimiser": {"lr": 1e-3, "warmup": 2},
}


def answers(*sequence: bool) -> Callable[[str, Problem], bool]:
    """A rule that lets programs pass or fail in this order, whatever they are; then it goes round again."""
    left = cycle(sequence)
    return lambda source, problem: next(left)


def paid(attempt: Attempt) -> Feedback:
    """3 for a pass, 1 for a failure; and -0.25 on the first token."""
    own = np.zeros(len(attempt.program), np.float32)
    own[0] = -0.25
    whole = 3.0 if attempt.verdict.outcome is Outcome.PASSED else 1.0
    return Feedback.build(attempt.program, "paid", program_reward=whole, tokens=own)


def written(agent: PolicyGradient) -> list[TrainingSample]:
    """The samples of a fresh round, in the order in which they were written."""
    agent.collect()
    return agent.round._samples


# -------------------------------------------------------------------------------------------------------------- weights


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("reinforce", (2.75, 0.75)),  # the running mean is still 0
        ("rloo", (2.0, -2.0)),  # less the other
        ("grpo", (1 / 1.0001, -1 / 1.0001)),  # less the mean, over the deviation, 1
        ("dr_grpo", (1.0, -1.0)),  # less the mean
        ("dapo", (1 / 1.0001, -1 / 1.0001)),
    ],
)
def test_what_a_program_weighs(
    policy: CausalPolicy, make_env: MakeEnv, name: str, expected: tuple[float, float]
) -> None:
    env = make_env(answers(True, False), reward=paid, max_program_tokens=8)
    samples = written(FAMILY[name].load(policy, env, seed=0, **SMALL, **options_without_length(name)))
    for sample, want in zip(samples, expected, strict=True):
        np.testing.assert_allclose(sample.weights, np.full(len(sample.tokens), want), atol=1e-4)


def options_without_length(name: str) -> dict[str, Any]:
    return {"overlong": "judge"} if name == "dapo" else {}


def test_a_program_is_measured_against_its_own_group_alone(policy: CausalPolicy, make_env: MakeEnv) -> None:
    """One of two passes, and none of two."""
    env = make_env(answers(True, False, False, False), reward=paid, max_program_tokens=8)
    samples = written(rloo.load(policy, env, seed=0, **{**SMALL, "problems": 2, "kl_reward": 0.0}))
    assert sorted(float(s.weights[0]) for s in samples) == pytest.approx([-2, 0, 0, 2])


def test_token_level_credit_stands_on_its_token_beside_the_groups_advantage(
    policy: CausalPolicy, make_env: MakeEnv
) -> None:
    env = make_env(answers(True, False), reward=paid, max_program_tokens=8)
    for sample, want in zip(written(rloo.load(policy, env, seed=0, credit="token", **SMALL)), (2.0, -2.0), strict=True):
        expected = np.full(len(sample.tokens), want)
        expected[0] -= 0.25
        np.testing.assert_allclose(sample.weights, expected, atol=1e-5)


def test_the_running_mean_follows_the_returns(policy: CausalPolicy, make_env: MakeEnv) -> None:
    agent = reinforce.load(policy, make_env(answers(True), reward=paid), seed=0, **SMALL)
    # 2.75 * 0.9 ** n
    assert [float(written(agent)[0].weights[0]) for _ in range(3)] == pytest.approx([2.75, 2.475, 2.2275])


def test_a_program_that_strays_from_the_reference_earns_less(policy: CausalPolicy, make_env: MakeEnv) -> None:
    agent = rloo.load(policy, make_env(answers(True), reward=paid), seed=0, **{**SMALL, "kl_reward": 0.5})
    with torch.no_grad():
        for p in policy.model.parameters():
            p.mul_(1.5)
    a, b = written(agent)
    assert a.loss_mask.dtype == bool
    strayed = [float((s.old_logprobs - s.extra["reference"])[s.loss_mask].sum()) for s in (a, b)]
    assert abs(strayed[0] - strayed[1]) > 1e-2
    np.testing.assert_allclose(a.weights, -0.5 * (strayed[0] - strayed[1]), rtol=1e-4)


# --------------------------------------------------------------------------------------------------------------- groups


def test_a_program_that_is_alone_has_no_group_but_may_have_a_running_mean(
    policy: CausalPolicy, make_env: MakeEnv, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, least in ((grpo, 2), (reinforce, 1)):
        agent, asked = module.load(policy, make_env(), seed=0, **SMALL), []
        groups = agent.collector.groups
        monkeypatch.setattr(agent.collector, "groups", lambda *a, g=groups, to=asked: to.append(a[-1]) or g(*a))
        agent._groups(1)
        assert asked == [least]


def test_groups_that_all_earned_the_same_are_replaced(policy: CausalPolicy, make_env: MakeEnv) -> None:
    env = make_env(answers(True, True, True, False), reward=paid)
    agent = dapo.load(policy, env, seed=0, **{**SMALL, "overlong": "judge"})
    weights = [float(s.weights[0]) for s in written(agent)]
    assert weights == pytest.approx([1, -1], abs=1e-3)
    assert (agent.sampled["groups"], agent.sampled["groups_drawn"]) == (1, 2)
    assert agent.sampled["outcome/passed"] == 0.75  # what the policy does, not what was kept


def test_without_any_telling_group_the_last_are_taken_and_teach_nothing(
    policy: CausalPolicy, make_env: MakeEnv
) -> None:
    agent = dapo.load(policy, make_env(answers(True), reward=paid), seed=0, **{**SMALL, "overlong": "judge"})
    assert not any(s.weights.any() for s in written(agent))
    assert (agent.sampled["groups"], agent.sampled["groups_drawn"]) == (1, 4)


def test_a_group_whose_tokens_earned_something_tells_something_with_token_credit(
    policy: CausalPolicy, make_env: MakeEnv
) -> None:
    options = {**SMALL, "overlong": "judge", "credit": "token"}
    agent = dapo.load(policy, make_env(answers(True), reward=paid), seed=0, **options)
    assert all(s.weights[0] == -0.25 for s in written(agent))
    assert agent.sampled["groups_drawn"] == 1


# ------------------------------------------------------------------------------------------------------------- overlong


def test_programs_that_were_cut_off_teach_nothing_when_filtered(policy: CausalPolicy, make_env: MakeEnv) -> None:
    env = make_env(answers(True, False), reward=paid, max_program_tokens=6)
    for how, expected in (("judge", True), ("filter", False)):
        samples = written(rloo.load(policy, env, seed=0, overlong=how, **{**SMALL, "samples_per_problem": 8}))
        cut = [s for s in samples if s.tokens[-1] != policy.eos_id]
        assert cut
        assert all(s.loss_mask.any() == expected for s in cut)


def test_long_programs_are_punished_by_their_length(policy: CausalPolicy, make_env: MakeEnv) -> None:
    env = make_env(answers(True), reward=paid, max_program_tokens=10)
    options = {**SMALL, "samples_per_problem": 8, "overlong": "punish", "overlong_cache": 1.0, "advantage": "running"}
    for s in written(rloo.load(policy, env, seed=0, **options)):
        assert float(s.weights[0]) == pytest.approx(2.75 - len(s.tokens) / 10, abs=1e-5)


# ---------------------------------------------------------------------------------------------------------------- rounds


def sample(i: int) -> TrainingSample:
    nothing = np.zeros(1, np.float32)
    return TrainingSample(np.array([1]), np.array([i]), np.ones(1, bool), nothing, nothing, extra={"x": nothing + i})


def test_a_round_hands_out_every_sample_once_an_epoch_in_nearly_equal_parts() -> None:
    made = RolloutBuffer()
    assert not made
    made.start([sample(i) for i in range(7)], 2, 3, np.random.default_rng(0))
    parts = []
    while made:
        parts.append([int(s.tokens[0]) for s in made.draw()])
    assert [len(part) for part in parts] == [3, 2, 2] * 2
    for epoch in (parts[:3], parts[3:]):
        assert sorted(i for part in epoch for i in part) == list(range(7))
    assert made.state_dict() == {"samples": [], "parts": []}  # what is over is not carried along


def test_a_round_in_the_middle_comes_back_from_its_state() -> None:
    made, again = RolloutBuffer(), RolloutBuffer()
    made.start([sample(i) for i in range(5)], 1, 2, np.random.default_rng(0))
    made.draw()
    again.load_state_dict(made.state_dict())
    while made:
        a, b = made.draw(), again.draw()
        assert [(int(s.tokens[0]), float(s.extra["x"][0])) for s in a] == [
            (int(s.tokens[0]), float(s.extra["x"][0])) for s in b
        ]
    assert not again


TERMS: list[dict[str, Any]] = [{"credit": "token", "kl": 0.1}, {"kl_reward": 0.1, "entropy": 0.01}]


@pytest.mark.parametrize(("name", "options"), chessboard(list(FAMILY), TERMS))
def test_contract_of_the_family_with_every_term(name: str, options: dict[str, Any]) -> None:
    check_agent(lambda p, e, s: FAMILY[name].load(p, e, seed=s, **SMALL, **options))


def test_epochs_without_a_clip_and_a_group_of_one_are_refused(policy: CausalPolicy, make_env: MakeEnv) -> None:
    with pytest.raises(UsageError, match="clip > 0 with epochs > 1"):
        rloo.load(policy, make_env(), seed=0, epochs=2)
    with pytest.raises(UsageError, match="samples_per_problem >= 2"):
        grpo.load(policy, make_env(), seed=0, samples_per_problem=1)
    with pytest.raises(UnknownName, match="'overlong'"):
        grpo.load(policy, make_env(), seed=0, overlon="filter")


# ----------------------------------------------------------------------------------------------------------------- PPO


def test_gae_of_a_round_is_whitened_over_what_is_learnt() -> None:
    nothing = np.zeros(3, np.float32)
    learn = [np.array([True, True, True]), np.array([False, True])]
    samples = [TrainingSample(np.array([1]), np.arange(len(m)), m, nothing[: len(m)], nothing[: len(m)]) for m in learn]
    rewards = [np.array([1, 0, 2], np.float32), np.array([0, 1], np.float32)]
    values = [np.array([1, 2, 3], np.float32), np.array([2, 4], np.float32)]
    made = ppo.advantages(samples, rewards, values, 0.5, 0.5)
    raw = np.array([0.8125, -0.75, -1.0, -3.0])  # see the table of `gae`; the second program's first token was given
    want = (raw - raw.mean()) / raw.std()
    np.testing.assert_allclose([*made[0].weights, made[1].weights[1]], want, atol=1e-5)
    assert made[1].weights[0] == 0
    np.testing.assert_allclose(made[0].extra["returns"], [1.8125, 1.25, 2.0])
    np.testing.assert_allclose(made[1].extra["values"], [2, 4])


@pytest.mark.parametrize("module", [ppo, actor_critic])
@pytest.mark.parametrize("size", [50, 128, 512])
def test_an_outcome_reaches_the_first_token_however_long_the_program_is(module: Any, size: int) -> None:
    c = module.Config()
    rewards, mask = torch.zeros(2, size), torch.ones(2, size, dtype=torch.bool)
    rewards[:, -1] = torch.tensor([1.0, -0.6])  # one passes, one fails
    advantages, returns = functional.gae(rewards, torch.zeros(2, size), mask, c.gamma, c.lam)
    assert returns[:, 0].tolist() == pytest.approx([1.0, -0.6])
    assert functional.whiten(advantages, mask)[:, 0].tolist() == pytest.approx([1.0, -1.0], abs=1e-4)


def test_the_value_head_starts_at_zero_and_learns_the_return(
    policy: CausalPolicy, make_env: MakeEnv, problems: list[Problem]
) -> None:
    env = make_env(answers(True), reward=paid, max_program_tokens=3, problems=problems[:2])
    options = {"lr": 3e-2, "warmup": 1, "weight_decay": 0.0}
    small = {**SMALL, "samples_per_problem": 8, "batch_size": 8, "value_clip": 0.0, "kl": 0.0, "credit": "program"}
    agent = ppo.load(policy, env, seed=0, **{**small, "optimiser": options})
    values = [agent.update()["value"] for _ in range(60)]
    assert values[0] == 0
    assert np.mean(values[-20:]) == pytest.approx(2.75, abs=0.3)  # it goes to and fro at such a learning rate


def test_in_the_values_warm_up_the_policy_stays_as_it_is(policy: CausalPolicy, make_env: MakeEnv) -> None:
    agent = ppo.load(policy, make_env(), seed=0, value_warmup=2, **SMALL)
    before = {name: t.clone() for name, t in policy.model.state_dict().items()}
    for expected in (True, True, False):
        agent.update()
        assert all(torch.equal(t, before[name]) for name, t in policy.model.state_dict().items()) == expected
        assert agent.values.head.weight.any()


def test_the_kl_coefficient_steers_and_the_reference_stays(policy: CausalPolicy, make_env: MakeEnv) -> None:
    agent = ppo.load(policy, make_env(), seed=0, **{**SMALL, "epochs": 1, "kl": 0.5, "kl_target": 1.0})
    assert agent.reference is not None
    first = {name: t.clone() for name, t in agent.reference.state_dict().items()}
    lines = [agent.update() for _ in range(3)]
    assert lines[0]["kl_reference"] == pytest.approx(0, abs=1e-4)
    # Below the target: 0.5 * (1 - 0.02)
    assert [line["kl_coefficient"] for line in lines[:2]] == pytest.approx([0.5, 0.49])
    assert all(torch.equal(t, first[name]) for name, t in agent.reference.state_dict().items())


def test_the_kl_is_that_of_whole_programs_in_the_mean(policy: CausalPolicy, make_env: MakeEnv) -> None:
    """3 and 1 nats: 2, twice the target; the coefficient may rise by a fifth of a tenth."""
    agent = ppo.load(policy, make_env(), seed=0, **{**SMALL, "kl": 0.5, "kl_target": 1.0})
    assert agent._adapt_kl([np.array([1.0, 2.0]), np.array([1.0])]) == {"kl_reference": 2.0, "kl_coefficient": 0.5}
    assert agent.kl == pytest.approx(0.51)


def test_straying_is_charged_token_by_token(policy: CausalPolicy, make_env: MakeEnv) -> None:
    options = {**SMALL, "kl": 0.5, "kl_target": 0.0, "lam": 0.95}
    agent = ppo.load(policy, make_env(answers(True), reward=paid), seed=0, **options)
    agent.kl = 1.0  # as the coefficient has become
    with torch.no_grad():
        for p in policy.model.parameters():
            p.mul_(1.5)
    agent.collect()
    for s in agent.round._samples:
        marked = agent.reference.with_reference_logprobs([s])[0] if agent.reference else s
        rewards = -(s.old_logprobs - marked.extra["reference"]) * s.loss_mask
        rewards[0] -= 0.25
        rewards[-1] += 3.0
        # values are 0 and gamma is 1, so at lambda 1 a return would be the sum of what is to come; here discounted by lambda
        expected = [sum(0.95 ** (k - t) * rewards[k] for k in range(t, len(rewards))) for t in range(len(rewards))]
        np.testing.assert_allclose(s.extra["returns"], expected, atol=1e-4)


@pytest.mark.parametrize(
    "options", [{"credit": "program", "overlong": "punish"}, {"kl": 0.0, "value_warmup": 2, "entropy": 0.1}]
)
def test_contract_of_ppo(options: dict[str, Any]) -> None:
    check_agent(lambda p, e, s: ppo.load(p, e, seed=s, **SMALL, **options))


# -------------------------------------------------------------------------------------------------------- actor-critic


def test_contract_of_actor_critic_with_its_options() -> None:
    small = {"buffer": 12, "fill": 8, "refresh": 4, "refresh_every": 2, "samples_per_problem": 2, "batch_size": 4}
    options = {"max_staleness": 3, "entropy": 0.1, "credit": "program", "reduction": "seq_sum"}
    check_agent(lambda p, e, s: actor_critic.load(p, e, seed=s, **small, **options))


def test_actor_critics_values_leave_the_transformer_alone(policy: CausalPolicy, make_env: MakeEnv) -> None:
    """Rewards of nothing, values of something: all that is to learn is the head's."""

    def nothing(attempt: Attempt) -> Feedback:
        return Feedback.build(attempt.program, "nothing")

    small = {
        "fill": 8,
        "samples_per_problem": 2,
        "batch_size": 4,
        "optimiser": {"lr": 1e-2, "weight_decay": 0.0, "warmup": 0},
    }
    agent = actor_critic.load(policy, make_env(reward=nothing), seed=0, lam=0.0, gamma=0.0, value_weight=1.0, **small)
    with torch.no_grad():
        agent.values.head.bias.fill_(1.0)
    before = {name: t.clone() for name, t in policy.model.state_dict().items()}
    assert agent.update()["value_loss"] == pytest.approx(0.5)
    assert float(agent.values.head.bias.detach()) < 1.0
    moved = [n for n, t in policy.model.state_dict().items() if not torch.equal(t, before[n])]
    assert moved  # by the advantage, which is -1: less probable, whatever was written


def test_old_programs_count_by_what_they_were_sampled_from(policy: CausalPolicy, make_env: MakeEnv) -> None:
    options = {"fill": 8, "samples_per_problem": 2, "batch_size": 4, "sampling": {"temperature": 0.5}}
    agent = actor_critic.load(policy, make_env(), seed=0, **options)
    agent.collect(8)
    data = list(agent.buffer._samples)
    assert all((s.old_logprobs[s.loss_mask] <= 0).all() for s in data)
    other = actor_critic.load(policy, make_env(), seed=0, **{**options, "sampling": {"temperature": 1.0}})
    other.collect(8)
    assert np.mean([s.old_logprobs.mean() for s in data]) > np.mean(
        [s.old_logprobs.mean() for s in other.buffer._samples]
    )


def test_actor_critics_value_loss_ends_at_the_head(policy: CausalPolicy, make_env: MakeEnv) -> None:
    agent = actor_critic.load(policy, make_env(), seed=0, fill=8, samples_per_problem=2, batch_size=4)
    sample = agent._sample(earning(1.0))
    assert sample.old_logprobs.tolist() == [-0.5] * 3, "what it was drawn with"
    logits, states = torch.zeros(1, 3, 5, requires_grad=True), torch.ones(1, 3, 16, requires_grad=True)
    torch.nn.init.ones_(agent.values.head.weight)
    agent._loss(batch([sample], policy.pad_id), (logits, states))[0].backward()
    assert states.grad is None
    assert bool(agent.values.head.weight.grad.any())  # type: ignore[union-attr]
    assert logits.grad is not None


def test_episodes_of_a_group_share_their_problem(policy: CausalPolicy, make_env: MakeEnv) -> None:
    agent = grpo.load(policy, make_env(), seed=0, **{**SMALL, "problems": 3})
    groups, drawn = agent._groups(agent.config.problems)
    assert len(groups) == len(drawn) == 3
    for problem, group in groups:
        assert [e.problem for e in group] == [problem.id] * 2
        assert isinstance(group[0], Episode)


def earning(whole: float, tokens: tuple[float, float, float] = (0.0, 0.0, 0.0), given: int = 0) -> Episode:
    """Three tokens; the policy thinks -1 of each, and they were drawn with -0.5."""
    places, own = np.arange(3), np.full(3, -1, np.float32)
    program = Program(places, "abc", places, given)
    feedback = Feedback.build(program, "table", program_reward=whole, tokens=tokens)
    return Episode("p", np.array([1]), program, own, own / 2, Verdict((CaseResult(Outcome.PASSED),)), feedback, 3)


def test_a_group_tells_something_by_small_differences_and_by_tokens_that_were_chosen(
    policy: CausalPolicy, make_env: MakeEnv
) -> None:
    by_program, by_token = (dapo.load(policy, make_env(), seed=0, **SMALL, credit=c) for c in ("program", "token"))
    assert by_program._has_signal([earning(0.2), earning(0.4)])
    assert not by_program._has_signal([earning(0.4), earning(0.2, (0.2, 0.0, 0.0))]), "of equal sum"
    assert by_token._has_signal([earning(0.2), earning(0.2, (0.0, 0.1, 0.0), given=1)])
    assert not by_token._has_signal([earning(0.2), earning(0.2, (0.1, 0.0, 0.0), given=1)])


def test_a_sample_has_the_policys_probabilities_and_beside_them_those_of_the_draw() -> None:
    made = bare_sample(earning(1.0))
    assert (made.old_logprobs.tolist(), made.extra["behaviour"].tolist()) == ([-1.0] * 3, [-0.5] * 3)
    assert made.version == 3


def test_what_rounding_leaves_of_a_token_s_reward_tells_nothing(policy: CausalPolicy, make_env: MakeEnv) -> None:
    def third(attempt: Attempt) -> Feedback:
        tokens = np.full(len(attempt.program), 0.0, np.float32)
        return Feedback.build(attempt.program, "third", program_reward=1 / 3) + Feedback.build(
            attempt.program, "tenth", program_reward=0.1, tokens=tokens
        )

    options = {**SMALL, "overlong": "judge", "credit": "token"}
    agent = dapo.load(policy, make_env(answers(True), reward=third), seed=0, **options)
    written(agent)
    assert agent.sampled["groups_drawn"] == 4, "none told anything"


def test_an_older_checkpoint_with_rewards_for_weights_is_read(policy: CausalPolicy, make_env: MakeEnv) -> None:
    options = {"fill": 8, "samples_per_problem": 2, "batch_size": 4}
    agent, again = (actor_critic.load(policy, make_env(), seed=0, **options) for _ in range(2))
    agent.collect(8)
    state = agent.state_dict()
    older = [{**s, "weights": s["extra"]["rewards"], "extra": {}} for s in state["buffer"]["samples"]]
    again.load_state_dict({**state, "buffer": {**state["buffer"], "samples": older}})
    for a, b in zip(agent.buffer._samples, again.buffer._samples, strict=True):
        np.testing.assert_array_equal(a.extra["rewards"], b.extra["rewards"])
    assert any(s.extra["rewards"].any() for s in again.buffer._samples)
