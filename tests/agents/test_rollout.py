"""From a policy to judged episodes, and from episodes to rectangles."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from agents.batching import batch
from agents.core import TrainingSample, rngs
from agents.decoding.sampling import Sampling
from agents.policies.causal import CausalPolicy
from agents.rollout import collect
from agents.running.journal import UpdateLog
from rltf_env.core import Attempt, Problem
from rltf_env.env import UnitTestEnv

MakeEnv = Callable[..., UnitTestEnv]


def collected(policy: CausalPolicy, env: UnitTestEnv, problems: list[Problem], repeats: int = 3, seed: int = 0):
    generator = rngs(seed, policy.device)[1]
    return collect(policy, env, problems, Sampling(), repeats=repeats, generator=generator, version=7)


def test_groups_are_of_the_problems_in_order(policy: CausalPolicy, make_env: MakeEnv, problems: list[Problem]) -> None:
    asked = [problems[i] for i in (5, 2, 0, 2, 4)]
    env = make_env()
    groups = collected(policy, env, asked)
    assert [[e.problem for e in group] for group in groups] == [[p.id] * 3 for p in asked]
    for problem, group in zip(asked, groups, strict=True):
        for e in group:
            np.testing.assert_array_equal(e.prompt, env.encode_prompt(problem))
            assert len(e.program) == len(e.logprobs) == len(e.behaviour_logprobs) == len(e.feedback.rewards)
            assert e.version == 7


def test_episodes_are_what_the_environment_says_of_the_program(
    policy: CausalPolicy, make_env: MakeEnv, problems: list[Problem]
) -> None:
    env = make_env()
    outcomes = set()
    for problem, group in zip(problems, collected(policy, env, problems), strict=True):
        for e in group:
            verdict, feedback = env.judge(problem, e.program)
            assert e.verdict.same(verdict)
            np.testing.assert_array_equal(e.feedback.rewards, feedback.rewards)
            np.testing.assert_array_equal(e.feedback.loss_mask, feedback.loss_mask)
            again = env.judge(problem, e.program.tokens)  # and the tokens alone mean the same
            np.testing.assert_array_equal(again.feedback.rewards, feedback.rewards)
            outcomes.add(e.verdict.outcome)
    assert len(outcomes) > 1  # the rule does tell programs apart


def test_given_code_begins_the_program_and_is_not_learnt(
    policy: CausalPolicy, make_env: MakeEnv, problems: list[Problem]
) -> None:
    [group] = collected(policy, make_env(), problems[-1:])
    given = len(policy.tokenizer.encode("def f", add_special_tokens=False))
    for e in group:
        assert e.program.text.startswith("def f")
        assert e.program.prefix_length == given
        assert not e.feedback.loss_mask[:given].any()
        assert e.feedback.loss_mask[given:].all()
        assert (e.logprobs[:given] == 0).all()


def test_given_code_counts_towards_the_limit(policy: CausalPolicy, make_env: MakeEnv, problems: list[Problem]) -> None:
    for group in collected(policy, make_env(max_program_tokens=9), problems, repeats=8):
        for e in group:
            assert len(e.program) <= 9
            assert e.program.truncated == (e.program.tokens[-1] != policy.eos_id)


def test_same_generator_same_episodes(policy: CausalPolicy, make_env: MakeEnv, problems: list[Problem]) -> None:
    env = make_env()
    texts = [[e.program.text for group in collected(policy, env, problems, seed=s) for e in group] for s in (0, 0, 1)]
    assert texts[0] == texts[1] != texts[2]


def test_batch_by_hand() -> None:
    long = TrainingSample(
        np.array([1, 2, 3]), np.array([4, 5]), np.array([False, True]), np.float32([0.5, -1]), np.float32([0, -2])
    )
    short = TrainingSample(
        np.array([6]), np.array([7, 8, 9]), np.ones(3, bool), np.float32([1, 2, 3]), np.float32([-1, -1, -1])
    )
    empty = TrainingSample(np.array([], np.int64), np.array([3]), np.ones(1, bool), np.float32([9]), np.float32([-9]))
    made = batch([long, short, empty], pad_id=0)
    assert made.prompt.tolist() == [[1, 2, 3], [0, 0, 6], [0, 0, 0]]
    assert made.prompt_mask.tolist() == [[True] * 3, [False, False, True], [False] * 3]
    assert made.tokens.tolist() == [[4, 5, 0], [7, 8, 9], [3, 0, 0]]
    assert made.token_mask.tolist() == [[True, True, False], [True] * 3, [True, False, False]]
    assert made.loss_mask.tolist() == [[False, True, False], [True] * 3, [True, False, False]]
    assert made.weights.tolist() == [[0.5, -1, 0], [1, 2, 3], [9, 0, 0]]
    assert made.old_logprobs.tolist() == [[0, -2, 0], [-1, -1, -1], [-9, 0, 0]]
    assert (made.tokens.dtype, made.loss_mask.dtype, made.weights.dtype) == (torch.int64, torch.bool, torch.float32)


def test_batch_moves_whole() -> None:
    one = TrainingSample(np.array([1]), np.array([2]), np.ones(1, bool), np.float32([1]), np.float32([1]))
    assert batch([one], 0).to("meta").weights.device == torch.device("meta")


@pytest.mark.parametrize("seed", [0, 1])
def test_host_and_device_generators_are_of_the_seed(seed: int) -> None:
    first, second = rngs(seed, torch.device("cpu")), rngs(seed, torch.device("cpu"))
    assert first[0].random() == second[0].random()
    assert torch.equal(first[1].get_state(), second[1].get_state())
    assert not torch.equal(first[1].get_state(), rngs(seed + 1, torch.device("cpu"))[1].get_state())


def test_whoever_observes_is_told_of_every_attempt(
    policy: CausalPolicy, make_env: MakeEnv, problems: list[Problem]
) -> None:
    seen: list[Attempt] = []
    generator = rngs(0, policy.device)[1]
    groups = collect(policy, make_env(), problems[:2], Sampling(), repeats=3, generator=generator, observe=seen.append)
    told = [(attempt.problem.id, attempt.verdict, attempt.program.text) for attempt in seen]
    assert told == [(e.problem, e.verdict, e.program.text) for group in groups for e in group]


def test_progress_of_writing_and_of_judging_ends_at_all_of_it(
    policy: CausalPolicy, make_env: MakeEnv, problems: list[Problem]
) -> None:
    told: list[tuple[str, int, int]] = []
    journal = UpdateLog(progress=lambda *part: told.append(part))
    generator = rngs(0, policy.device)[1]
    collect(policy, make_env(), problems[:2], Sampling(), repeats=3, generator=generator, journal=journal)
    last = {what: (done, total) for what, done, total in told}
    assert last == {"writing programs": (6, 6), "waiting for the judge": (6, 6)}
