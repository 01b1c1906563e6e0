"""RLTF's weights against the vectors of the paper's arithmetic; its baselines, its rhythm, its memory."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from pairs import chessboard

from agents.algorithms import rltf
from agents.core import Episode
from agents.policies.causal import CausalPolicy
from agents.testing import check_agent
from rltf_env import rewards
from rltf_env.core import Attempt, CaseResult, Failure, Feedback, Outcome, Problem, Program, Verdict
from rltf_env.env import UnitTestEnv
from rltf_env.errors import UnknownName, UsageError
from rltf_env.rewards.rltf import PAPER, RELEASED_CODE

MakeEnv = Callable[..., UnitTestEnv]


SMALL: dict[str, Any] = {
    "buffer": 16, "fill": 8, "refresh": 4, "refresh_every": 3, "samples_per_problem": 2, "batch_size": 4,
    "optimiser": {"lr": 1e-3, "warmup": 2},
}  # fmt: skip


def verdict(passed: int, of: int = 4, error: Failure | None = None) -> Verdict:
    worse = (
        CaseResult(Outcome.RUNTIME_ERROR, error) if error else CaseResult(Outcome.WRONG_ANSWER, Failure("WrongAnswer"))
    )
    return Verdict((CaseResult(Outcome.PASSED),) * passed + (worse,) * (of - passed))


def program() -> Program:
    """200 tokens of one character each; the second line has 10."""
    text = "x" * 94 + "\n" + "y" * 10 + "\n" + "z" * 94
    return Program(np.zeros(200, np.int64), text, np.arange(200))


def episode(env: UnitTestEnv, problem: Problem, judged: Verdict) -> Episode:
    nothing = np.zeros(200, np.float32)
    feedback = env.reward(Attempt(problem, program(), judged))
    return Episode(problem.id, np.zeros(3, np.int64), program(), nothing, nothing, judged, feedback, 0)


def weights(agent: rltf.RLTF, judged: Sequence[Verdict], baseline: Verdict | None) -> list[tuple[float, float]]:
    """(on the second line, elsewhere) for each program, where all tokens of each kind weigh the same."""
    problem = agent.env.source.find("p0")
    group = [episode(agent.env, problem, v) for v in judged]
    found, line = [], program().tokens_on(2)
    assert line.sum() == 10
    for w in agent._weights(problem, group, baseline):
        assert w.dtype == np.float32
        assert w.shape == (200,)
        assert np.ptp(w[line]) < 1e-5
        assert np.ptp(w[~line]) < 1e-5
        found.append((float(w[line][0]), float(w[~line][0])))
    return found


INDEX_ERROR = verdict(0, error=Failure("IndexError", line=2, bases=("LookupError", "Exception")))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        # The baseline's -0.3 + (-0.3 + 1.3 * 0.25) = -0.275 is taken off everything: off 1; off -0.3 + (-0.3 + 1.3 * 0.75); off
        # -0.6 - 0.3 of the error, which has fine 200/10 * -0.3 = -6 on the line besides.
        ({}, [(-6.625, -0.625), (1.275, 1.275), (0.65, 0.65), (0.0, 0.0)]),
        # coarse -0.6 - -0.3 = -0.3 everywhere; fine as above. Pass: 1 - -0.3. Failures: coarse 0,
        # adaptive (-0.3 + 1.3 * 0.75) - (-0.3 + 1.3 * 0.25) = 0.65.
        (PAPER, [(-6.3, -0.3), (1.3, 1.3), (0.65, 0.65), (0.0, 0.0)]),
        # R_b = -0.3 + 1.3 * 0.25 = 0.025
        (RELEASED_CODE, [(-0.925, -0.625), (0.975, 0.975), (0.65, 0.65), (0.0, 0.0)]),
    ],
    ids=["default", "paper", "released code"],
)
def test_weights_against_a_baseline(
    policy: CausalPolicy, make_env: MakeEnv, options: dict[str, Any], expected: list[tuple[float, float]]
) -> None:
    agent = rltf.load(policy, make_env(reward=rewards.load("rltf", **options)), seed=0)
    found = weights(agent, [INDEX_ERROR, verdict(4), verdict(3), verdict(1)], verdict(1))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_weights_against_the_mean_of_the_others(policy: CausalPolicy, make_env: MakeEnv) -> None:
    agent = rltf.load(policy, make_env(), seed=0, baseline="group_mean")
    # whole programs: 1; -0.6 - 0.3; -0.3 + (-0.3 + 0.65) = 0.05. Less the others' means -0.425, 0.525, 0.05. Fine as it is.
    found = weights(agent, [verdict(4), INDEX_ERROR, verdict(2)], None)
    np.testing.assert_allclose(found, [(1.425, 1.425), (-7.425, -1.425), (0.0, 0.0)], atol=1e-5)


def test_weights_against_nothing(policy: CausalPolicy, make_env: MakeEnv) -> None:
    agent = rltf.load(policy, make_env(), seed=0, baseline="none")
    found = weights(agent, [verdict(4), INDEX_ERROR], None)
    np.testing.assert_allclose(found, [(1.0, 1.0), (-6.9, -0.9)], atol=1e-5)


@pytest.mark.parametrize(("ratio", "same"), [("policy", False), ("behaviour", True)])
def test_a_ratio_compares_with_the_policy_or_with_what_was_drawn_from(
    policy: CausalPolicy, make_env: MakeEnv, ratio: str, same: bool
) -> None:
    sizes = {"fill": 8, "samples_per_problem": 8, "baseline": "group_mean", "sampling": {"temperature": 0.5}}
    agent = rltf.load(policy, make_env(), seed=0, ratio=ratio, **sizes)
    _, groups, samples = agent.write(8)
    sharp = [e.behaviour_logprobs for group in groups for e in group]
    agent.ingest(samples, [e.verdict.outcome for group in groups for e in group], {})
    stored = [s.old_logprobs for s in agent.buffer.draw(8, agent.collector.rng)]
    assert len(stored) == 8
    assert same == all(any(np.array_equal(a, b) for b in sharp) for a in stored)


def answers(*sequence: int | Outcome) -> Callable[[str, Problem], Verdict]:
    """A rule that gives these verdicts one after the other: cases passed of four, or an outcome for all.

    Programs are judged as they end; those of at most 8 tokens (`SYNC_EVERY`), in their order.
    """
    left: Iterator[int | Outcome] = iter(sequence)

    def rule(source: str, problem: Problem) -> Verdict:
        answer = next(left)
        return verdict(0, error=Failure("RuntimeError")) if isinstance(answer, Outcome) else verdict(answer)

    return rule


ERROR = Outcome.RUNTIME_ERROR


# Each refresh: two sampled programs, then the greedy one.
STORY = (0, ERROR, 2), (4, ERROR, ERROR), (0, 0, 1)


# ---------------------------------------------------------------------------------------------------------- baselines


@pytest.mark.parametrize(
    ("baseline", "expected"),
    [
        # R_b: 0.35, the greedy program's; 0.35, remembered; 1, of the program that passed at the second refresh.
        ("best_so_far", [(-0.65, -0.95), (0.65, -0.95), (-1.3, -1.3)]),
        # R_b: 0.35; -0.6; 0.025
        ("greedy", [(-0.65, -0.95), (1.6, 0.0), (-0.325, -0.325)]),
    ],
)
def test_what_a_refresh_is_measured_against(
    policy: CausalPolicy, make_env: MakeEnv, problems: list[Problem], baseline: str, expected: list[tuple[float, ...]]
) -> None:
    rule = answers(*(answer for refresh in STORY for answer in refresh))
    env = make_env(rule, problems=problems[:1], reward=rewards.load("rltf", **RELEASED_CODE), max_program_tokens=8)
    agent = rltf.load(policy, env, seed=0, baseline=baseline, **SMALL)
    for want in expected:
        agent.collect(2)
        newest = list(agent.buffer._samples)[-2:]
        assert [w for s in newest for w in set(np.round(s.weights, 4).tolist())] == pytest.approx(want, abs=1e-4)


def test_a_problem_drawn_twice_in_one_refresh_remembers_its_first_group(
    policy: CausalPolicy, make_env: MakeEnv, problems: list[Problem]
) -> None:
    # Both groups are sampled first, then both greedy programs. The first group passes once; the second is measured with it.
    rule, reward = answers(4, 0, 0, 0, 1, 1), rewards.load("rltf", **RELEASED_CODE)
    env = make_env(rule, problems=problems[:1], reward=reward, max_program_tokens=8)
    agent = rltf.load(policy, env, seed=0, **SMALL)
    agent.collect(4)
    found = [float(s.weights[0]) for s in agent.buffer._samples]
    assert found == pytest.approx([0.975, -0.325, -1.3, -1.3], abs=1e-5)


def test_what_is_remembered_is_bounded_and_the_longest_unseen_goes_first(
    policy: CausalPolicy, make_env: MakeEnv, problems: list[Problem]
) -> None:
    agent = rltf.load(policy, make_env(), seed=0, history=2, **SMALL)
    for i in (0, 1, 0, 2):
        agent._remember(problems[i], [episode(agent.env, problems[i], verdict(i))])
    assert {id: round(v.pass_ratio * 4) for (id, _), v in agent.best.items()} == {"p0": 0, "p2": 2}
    assert all(r.stdout == "" for v in agent.best.values() for r in v.results)


def test_a_stage_of_a_curriculum_is_not_measured_against_another(
    policy: CausalPolicy, make_env: MakeEnv, problems: list[Problem]
) -> None:
    agent, easy = rltf.load(policy, make_env(), seed=0, **SMALL), replace(problems[0], prefix="x = ")
    agent._remember(easy, [episode(agent.env, easy, verdict(4))])
    greedy = [episode(agent.env, problems[0], verdict(1))]
    assert [getattr(agent._baseline(p, greedy), "pass_ratio", 0) for p in (problems[0], easy)] == [0.25, 1.0]


def test_group_mean_asks_for_no_greedy_program(
    policy: CausalPolicy, make_env: MakeEnv, problems: list[Problem]
) -> None:
    env = make_env(answers(4, 0), problems=problems[:1])  # a third program would be one too many
    agent = rltf.load(policy, env, seed=0, baseline="group_mean", **SMALL)
    agent.collect(2)
    assert len(agent.buffer) == 2
    assert agent.best == {}


# -------------------------------------------------------------------------------------------------------------- rhythm


@pytest.mark.parametrize(("ratio", "expected"), [(0, "rrrrrr"), (1, "srsrsr"), (2, "ssrssr")])
def test_supervised_and_rl_updates_take_turns(
    policy: CausalPolicy, make_env: MakeEnv, ratio: int, expected: str
) -> None:
    agent = rltf.load(policy, make_env(), seed=0, supervised=ratio, **SMALL)
    lines = [agent.update() for _ in range(6)]
    assert "".join("s" if "supervised_loss" in line else "r" for line in lines) == expected
    assert all(("rl_loss" in line) != ("supervised_loss" in line) for line in lines)


def test_a_supervised_update_may_have_a_size_of_its_own(
    policy: CausalPolicy, make_env: MakeEnv, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    real = rltf.draw_pairs

    def noted(env: UnitTestEnv, source: Any, rng: np.random.Generator, count: int) -> Any:
        asked.append(count)
        return real(env, source, rng, count)

    monkeypatch.setattr(rltf, "draw_pairs", noted)
    for size in (0, 2):
        rltf.load(policy, make_env(), seed=0, supervised_batch=size, **SMALL).update()
    assert asked == [4, 2]


@pytest.mark.parametrize(
    ("story", "kept"),
    # Groups of two: only the second differs; none differs, so all stay.
    [((4, 4, 0, 4, 1, 1), 2), ((4, 4, 0, 0, 1, 1), 6)],
    ids=["some weighted", "none weighted"],
)
def test_programs_of_groups_that_earned_the_same_can_be_left_out(
    policy: CausalPolicy, make_env: MakeEnv, story: tuple[int, ...], kept: int
) -> None:
    options = SMALL | {"baseline": "group_mean", "keep": "weighted", "fill": 6, "supervised": 0}
    agent = rltf.load(policy, make_env(answers(*story), max_program_tokens=8), seed=0, **options)
    line = agent.update()
    assert len(agent.buffer) == line["buffer"] == kept
    assert line["weighted"] == pytest.approx(kept % 6 / 6)


def test_the_buffer_is_filled_once_and_refreshed_at_its_rhythm(policy: CausalPolicy, make_env: MakeEnv) -> None:
    agent = rltf.load(policy, make_env(), seed=0, **SMALL)
    sizes, versions = [], []
    for _ in range(8):
        agent.update()
        sizes.append(len(agent.buffer))
        versions.append(sorted(set(agent.buffer.versions().tolist())))
    assert sizes == [8, 8, 8, 12, 12, 12, 16, 16]
    assert versions[2:4] == [[0], [0, 3]]
    assert versions[6] == [0, 3, 6]
    for _ in range(2):
        agent.update()
    assert len(agent.buffer) == 16
    assert agent.buffer.versions().tolist() == [0] * 4 + [3] * 4 + [6] * 4 + [9] * 4


def test_staleness_is_the_mean_age_in_updates(policy: CausalPolicy, make_env: MakeEnv) -> None:
    agent = rltf.load(policy, make_env(), seed=0, supervised=0, **SMALL)
    assert [agent.update()["staleness"] for _ in range(3)] == [0, 1, 2]


def test_old_samples_are_passed_over(policy: CausalPolicy, make_env: MakeEnv) -> None:
    agent = rltf.load(policy, make_env(), seed=0, supervised=0, max_staleness=2, **SMALL)
    for _ in range(40):
        assert agent.update()["staleness"] <= 2
    assert agent.buffer.versions().min() < 37 - 2  # there were old ones


def test_only_old_samples_are_an_error_with_the_remedy(policy: CausalPolicy, make_env: MakeEnv) -> None:
    agent = rltf.load(policy, make_env(), seed=0, supervised=0, max_staleness=1, **SMALL)
    agent.update()
    agent.update()
    with pytest.raises(UsageError, match=r"max_staleness=1 updates old\. Lower refresh_every"):
        agent.update()


def test_rl_updates_move_towards_what_passed(policy: CausalPolicy, make_env: MakeEnv, problems: list[Problem]) -> None:
    """Programs that begin with a token below the middle of the vocabulary pass: soon nearly all begin so."""

    def rule(source: str, problem: Problem) -> bool:
        return source[:1] < "P"

    env = make_env(rule, problems=problems[:2], max_program_tokens=2, reward="coarse")
    options = SMALL | {"buffer": 32, "fill": 32, "refresh": 32, "refresh_every": 1, "samples_per_problem": 16}
    options |= {"batch_size": 32, "optimiser": {"lr": 3e-2, "warmup": 1, "weight_decay": 0.0}}
    agent = rltf.load(policy, env, seed=0, supervised=0, baseline="group_mean", **options)
    lines = [agent.update() for _ in range(20)]
    assert lines[0]["outcome/passed"] < 0.7
    assert lines[-1]["outcome/passed"] > 0.9


# --------------------------------------------------------------------------------------------------------------- state


@pytest.mark.parametrize(("baseline", "clip"), chessboard(["best_so_far", "greedy", "group_mean", "none"], [0.0, 0.2]))
def test_contract(baseline: str, clip: float) -> None:
    check_agent(lambda p, e, s: rltf.load(p, e, seed=s, baseline=baseline, clip=clip, **SMALL))


@pytest.mark.parametrize("forgotten", ["buffer", "rng", "generator", "learner", "best"])
def test_contract_sees_what_a_state_forgets(forgotten: str) -> None:
    class Forgetful(rltf.RLTF):
        def load_state_dict(self, state: Any) -> None:
            super().load_state_dict({**state, forgotten: self.state_dict()[forgotten]})

    def make(policy: Any, env: Any, seed: int) -> rltf.RLTF:
        agent = rltf.load(policy, env, seed=seed, **SMALL)
        agent.__class__ = Forgetful
        return agent

    with pytest.raises((AssertionError, UsageError)):
        check_agent(make)


def test_remembered_verdicts_weigh_the_same_after_a_restart(policy: CausalPolicy, make_env: MakeEnv) -> None:
    agent = rltf.load(policy, make_env(), seed=0, **SMALL)
    agent.best = {("p0", ""): INDEX_ERROR, ("p1", ""): verdict(1), ("p2", "x = "): verdict(4)}
    file = io.BytesIO()
    torch.save(agent.state_dict(), file)
    file.seek(0)
    again = rltf.load(policy, make_env(), seed=1, **SMALL)
    again.load_state_dict(torch.load(file, weights_only=True))
    for key, before in agent.best.items():
        after = again.best[key]
        assert (after.outcome, after.pass_ratio) == (before.outcome, before.pass_ratio)
        attempt = Attempt(agent.env.source.find(key[0]), program(), verdict(2))
        for options in ({}, RELEASED_CODE):
            reward: Any = rewards.load("rltf", **options)
            np.testing.assert_array_equal(
                reward.relative(attempt, before).rewards, reward.relative(attempt, after).rewards
            )


# -------------------------------------------------------------------------------------------------------------- errors


def test_a_reward_without_comparison_needs_another_baseline(policy: CausalPolicy, make_env: MakeEnv) -> None:
    def plain(attempt: Attempt) -> Feedback:
        return Feedback.build(attempt.program, "plain", program_reward=1.0)

    with pytest.raises(UsageError, match="baseline='group_mean' or 'none'"):
        rltf.load(policy, make_env(reward=plain), seed=0)
    rltf.load(policy, make_env(reward=plain), seed=0, baseline="none", **SMALL).update()


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"bufer": 3}, UnknownName),
        ({"baseline": "best"}, UnknownName),
        ({"reduction": "mean"}, UnknownName),
        ({"buffer": 0}, UsageError),
        ({"clip": -1.0}, UsageError),
        ({"supervised_batch": -1}, UsageError),
        ({"keep": "best"}, UnknownName),
        ({"baseline": "group_mean", "samples_per_problem": 1}, UsageError),
        ({"sampling": {"temp": 1}}, UnknownName),
    ],
)
def test_impossible_options_are_refused(
    policy: CausalPolicy, make_env: MakeEnv, options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        rltf.load(policy, make_env(), seed=0, **options)
