"""A buffer takes no program twice, by text or by syntax tree; its control drops as many at random."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pairs import chessboard

from agents.algorithms import actor_critic, rltf
from agents.core import Episode, TrainingSample
from agents.learning.distinct import Distinct
from agents.learning.replay import pack, unpack
from agents.policies.causal import CausalPolicy
from agents.testing import check_agent
from rltf_env import facts
from rltf_env.core import CaseResult, Feedback, Outcome, Problem, Program, Verdict
from rltf_env.env import UnitTestEnv
from rltf_env.errors import UsageError
from rltf_env.tokenizers import HuggingFace

MakeEnv = Callable[..., UnitTestEnv]
SMALL: dict[str, Any] = {
    "buffer": 16,
    "fill": 8,
    "refresh": 4,
    "refresh_every": 2,
    "samples_per_problem": 2,
    "batch_size": 4,
}
SMALL |= {"optimiser": {"lr": 1e-3, "warmup": 2}}


def sample(key: str) -> TrainingSample:
    one = np.ones(1, np.float32)
    return TrainingSample(np.array([1]), np.array([1]), np.array([True]), one, one, key=key)


def kept(distinct: Distinct, keys: str, seed: int = 0) -> str:
    return "".join(each.key for each in distinct(list(map(sample, keys)), np.random.default_rng(seed)))


def test_what_is_remembered_goes_first_in_first_out_and_a_repeat_refreshes_nothing() -> None:
    assert [kept(distinct, key) for distinct in [Distinct("text", 2)] for key in "abaca"] == ["a", "b", "", "c", "a"]


def test_the_control_lets_as_many_through_whichever_they_are() -> None:
    distinct = [Distinct("random", 9) for _ in range(20)]
    result = [kept(each, "aabbbcaaab", seed) for seed, each in enumerate(distinct)]
    assert {len(each) for each in result} == {3}
    assert len(set(result)) > 5
    assert all(each.state_dict()["seen"] == list("abc") for each in distinct)


def episode(text: str, problem: str = "p", known: bool = True) -> Episode:
    program = Program(np.array([1]), text, np.array([0]))
    verdict = Verdict((CaseResult(Outcome.PASSED),), facts=facts.of(text) if known else None)
    zeros = np.zeros(1, np.float32)
    return Episode(problem, np.array([1]), program, zeros, zeros, verdict, Feedback.build(program, "none"), 0)


FIRST = "def f(x):\n    y = x + 1\n    return y\n"


@pytest.mark.parametrize(
    ("other", "by_text", "by_tree"),
    [
        (FIRST, True, True),
        ("def f(value):  # c\n    'doc'\n    t = value + 1\n    return (t)\n", False, True),
        ("def f(x):\n    y = 1 + x\n    return y\n", False, False),
        ("def f(x):\n    y = x + 2\n    return y\n", False, False),
    ],
    ids=["itself", "other names", "other order", "another number"],
)
def test_equal_programs_have_equal_keys(other: str, by_text: bool, by_tree: bool) -> None:
    for by, equal in (("text", by_text), ("tree", by_tree), ("random", by_tree)):
        key = Distinct(by, 9).key  # type: ignore[arg-type]
        assert (key(episode(FIRST)) == key(episode(other))) == equal
        assert key(episode(FIRST)) != key(episode(FIRST, problem="q"))


def test_without_facts_a_program_goes_by_its_text() -> None:
    key = Distinct("tree", 9).key
    assert (
        key(episode("x = (", known=False)) == key(episode("x = (", known=False)) != key(episode("x = ((", known=False))
    )
    assert key(episode(FIRST, known=False)) != key(episode(FIRST))


def test_a_key_comes_through_a_checkpoint_and_none_takes_no_room() -> None:
    assert unpack(pack(sample("abc"))).key == "abc"
    assert "key" not in pack(sample(""))


@pytest.mark.parametrize(("agent", "by"), chessboard([rltf, actor_critic], ["text", "tree", "random"]))
def test_contract(agent: Any, by: str) -> None:
    check_agent(lambda p, e, s: agent.load(p, e, seed=s, distinct=by, **SMALL))


def test_contract_sees_that_what_entered_is_forgotten() -> None:
    class Forgetful(rltf.RLTF):
        def load_state_dict(self, state: Any) -> None:
            super().load_state_dict({**state, "distinct": {"seen": []}})

    def make(policy: Any, env: Any, seed: int) -> rltf.RLTF:
        agent = rltf.load(policy, env, seed=seed, distinct="text", **SMALL)
        agent.__class__ = Forgetful
        return agent

    with pytest.raises(AssertionError):
        check_agent(make)


@pytest.mark.parametrize("agent", [rltf, actor_critic], ids=["rltf", "actor_critic"])
def test_the_buffer_takes_each_program_once_and_its_share_is_told(
    policy: CausalPolicy, make_env: MakeEnv, problems: list[Problem], agent: Any
) -> None:
    env = make_env(problems=problems[:1], max_program_tokens=1)  # one token a program: they repeat
    options = {"distinct": "text", "fill": 64, "buffer": 600, "samples_per_problem": 64, "refresh": 64}
    made = agent.load(policy, env, seed=0, **{**SMALL, **options})
    made.collect(64)
    line = made.sampled
    texts = [s.tokens.tobytes() for s in made.buffer._samples]
    assert line["buffer"] == len(texts) < 64
    assert line["repeated"] == pytest.approx(1 - len(texts) / 64)
    assert len({env.tokenizer.program(s.tokens).text for s in made.buffer._samples}) == len(texts)


def test_weights_are_those_of_the_whole_group(policy: CausalPolicy, make_env: MakeEnv, problems: list[Problem]) -> None:
    env = make_env(problems=problems[:1], max_program_tokens=1)
    options = {**SMALL, "baseline": "group_mean", "samples_per_problem": 64, "fill": 64, "buffer": 600}
    every, once = (rltf.load(policy, env, seed=0, distinct=by, **options) for by in ("none", "text"))
    every.collect(64)
    once.collect(64)
    weights = {s.tokens.tobytes(): s.weights.tolist() for s in every.buffer._samples}
    assert len(once.buffer) < len(every.buffer)
    assert all(s.weights.tolist() == weights[s.tokens.tobytes()] for s in once.buffer._samples)


@pytest.mark.parametrize("by", ["tree", "random"])
def test_by_tree_the_judge_is_asked_for_facts(policy: CausalPolicy, problems: list[Problem], by: str) -> None:
    options: dict[str, Any] = {"tokenizer": HuggingFace(policy.tokenizer), "max_program_tokens": 24}
    env = UnitTestEnv(problems, sandbox_options={"workers": 1}, **options)
    before = env.judge(problems[0], FIRST).verdict
    rltf.load(policy, env, seed=0, distinct=by, **SMALL)
    after = env.judge(problems[0], FIRST).verdict
    env.close()
    assert (before.facts, after.facts) == (None, facts.of(FIRST))


def test_by_tree_a_judge_without_facts_is_refused(policy: CausalPolicy, problems: list[Problem]) -> None:
    env = UnitTestEnv(problems, tokenizer=HuggingFace(policy.tokenizer), sandbox_options={"facts": False})
    with pytest.raises(UsageError, match='which distinct = "tree" needs, got False'):
        rltf.load(policy, env, seed=0, distinct="tree", **SMALL)
