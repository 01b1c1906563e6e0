"""The discriminator beside a policy: what it pays, when and from what it learns, and when it says that it is noise."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from agents.algorithms.grounding import LOOKED_AT, DiscriminatorConfig, Grounding
from agents.core import Episode
from agents.learning.learner import OptimiserConfig
from agents.policies import tiny
from agents.policies.causal import CausalPolicy
from rltf_env.core import CallCase, Problem
from rltf_env.env import UnitTestEnv
from rltf_env.errors import MissingData, UsageError
from rltf_env.tokenizers import HuggingFace

REFERENCE = "def f():\n    return {}\n"
SCORED, FINDING, SYNTAX = "def f():\n    return 9\n", "def f():\n    return y\n", "def f(:\n"
FAST = OptimiserConfig(lr=1e-2, warmup=0, weight_decay=0.0)


@pytest.fixture(scope="module")
def policy() -> CausalPolicy:
    return tiny.load(width=16, layers=1, heads=2, vocab_size=300, dataset_options={"size": 16}, max_positions=96)


@pytest.fixture(scope="module")
def env(policy: CausalPolicy) -> Iterator[UnitTestEnv]:
    problems = [
        Problem(f"p{i}", f"Give {i}.", [CallCase((), i)], "f", solutions=[REFERENCE.format(i)]) for i in range(16)
    ]
    options: dict[str, Any] = {"coarse": {"passed": 0.0}, "fine": {"alpha": "none"}}
    with UnitTestEnv(
        problems, tokenizer=HuggingFace(policy.tokenizer), max_prompt_tokens=40, max_program_tokens=40,
        reward="coarse+fine", reward_options=options, sandbox="static", sandbox_options={"facts": True},
    ) as made:  # fmt: skip
        yield made


def grounding(policy: CausalPolicy, env: UnitTestEnv, **options: Any) -> Grounding:
    config = DiscriminatorConfig(**{"updates": 1, "batch_size": 4, "optimiser": FAST, **options})
    return Grounding(policy, env, config, programs=4, seed=0)


def episode(env: UnitTestEnv, problem: Problem, text: str) -> Episode:
    program = env.program_of(problem, text)
    nothing = np.zeros(len(program), np.float32)
    return Episode(problem.id, env.encode_prompt(problem), program, nothing, nothing, *env.judge(problem, program), 0)


def round_of(env: UnitTestEnv, ids: Sequence[str], texts: Sequence[str]) -> Any:
    problems = [env.source.find(id) for id in ids]
    return [(problem, [episode(env, problem, text) for text in texts]) for problem in problems]


def saying(made: Grounding, *table: float) -> Grounding:
    """The same with a discriminator whose scores are a table."""
    made.discriminator.scores = lambda samples, alone=False: np.array(table[: len(samples)])  # type: ignore[method-assign]
    return made


def seen_and_unseen(made: Grounding) -> tuple[list[str], list[str]]:
    problems = made.env.source.problems  # type: ignore[attr-defined]
    unseen = [p.id for p in problems if made._is_unseen(p)]
    return [p.id for p in problems if p.id not in unseen], unseen


# ------------------------------------------------------------------------------------------------------------- paying


def test_programs_in_which_nothing_was_found_earn_twice_the_score_less_one(
    policy: CausalPolicy, env: UnitTestEnv
) -> None:
    made = saying(grounding(policy, env), 0.9, 0.5, 0.1)
    ((_, group),) = made(round_of(env, ["p0"], [SCORED, SCORED + "#\n", FINDING, SCORED + "##\n", SYNTAX]))
    assert [e.feedback.program_reward for e in group] == pytest.approx([0.8, 0.0, -0.6, -0.8, -1.0])
    assert [e.feedback.parts["discriminator"] for e in group] == pytest.approx([0.8, 0.0, 0.0, -0.8, 0.0])
    assert [e.feedback.total for e in group] == pytest.approx([0.8, 0.0, -0.9, -0.8, -1.3])
    line = group[2].program.tokens_on(2) & group[2].program.generated_mask
    assert group[2].feedback.token_rewards[line] == pytest.approx([-0.3] * int(line.sum()))
    assert made.metrics["discriminator"] == pytest.approx(0.5)


def test_weight_and_where_are_options(policy: CausalPolicy, env: UnitTestEnv) -> None:
    made = saying(grounding(policy, env, weight=0.5, where="all"), 0.9, 0.5, 0.1)
    ((_, group),) = made(round_of(env, ["p0"], [SCORED, FINDING, SYNTAX]))
    assert [e.feedback.parts["discriminator"] for e in group] == pytest.approx([0.4, 0.0, -0.4])


def test_how_many_programs_are_copies_of_a_reference_is_told(policy: CausalPolicy, env: UnitTestEnv) -> None:
    made = grounding(policy, env)
    made(
        round_of(
            env, ["p0"], ["def f():\n    return 0\n", "def  f() : return 0 # as it was\n", SCORED, FINDING, SYNTAX]
        )
    )
    assert made.metrics["copied"] == 0.5


# ------------------------------------------------------------------------------------------------------------ learning


def test_a_program_is_scored_before_it_is_learnt_from(policy: CausalPolicy, env: UnitTestEnv) -> None:
    made = grounding(policy, env)
    seen, _ = seen_and_unseen(made)
    for expected in ([0.0, 0.0], None):
        ((_, group),) = made(round_of(env, seen[:1], [SCORED, SCORED]))
        values = [e.feedback.parts["discriminator"] for e in group]
        assert values == expected if expected else values[0] != 0


def test_it_learns_to_pay_references_more_than_what_the_policy_writes(policy: CausalPolicy, env: UnitTestEnv) -> None:
    made = grounding(policy, env, updates=8)
    seen, unseen = seen_and_unseen(made)
    for _ in range(3):
        made(round_of(env, seen[:4], ["f = 9\n"]))
    ((_, group),) = made(round_of(env, unseen[:1], ["f = 9\n", REFERENCE.format(3)]))
    values = [e.feedback.parts["discriminator"] for e in group]
    assert values[0] < 0 < values[1]


def test_what_it_learns_from_are_pairs_of_equal_problems_and_never_those_set_aside(
    policy: CausalPolicy, env: UnitTestEnv
) -> None:
    made = grounding(policy, env, unseen=0.5, generations=8)
    seen, unseen = seen_and_unseen(made)
    assert seen
    assert unseen
    made(round_of(env, [*seen[:3], *unseen[:2]], [SCORED, FINDING]))
    prompts = [sorted(s.prompt.tolist() for s in buffer._samples) for buffer in (made.samples, made.references)]
    wanted = sorted(made.discriminator.sample(env.source.find(id), "").prompt.tolist() for id in seen[:3])
    assert prompts == [wanted, wanted]
    texts = {env.tokenizer.program(s.tokens).text for s in made.references._samples}
    assert texts == {env.source.find(id).solutions[0] for id in seen[:3]}
    assert {env.tokenizer.program(s.tokens).text for s in made.samples._samples} == {SCORED}
    assert len(made.right) == 2 * 2


def test_it_learns_every_so_many_rounds_and_remembers_the_newest(policy: CausalPolicy, env: UnitTestEnv) -> None:
    made = grounding(policy, env, every=2, generations=2)
    seen, _ = seen_and_unseen(made)
    learnt = []
    for number in range(5):
        made(round_of(env, seen[:4], [SCORED + f"# {number}\n"]))
        learnt.append("discriminator_loss" in made.metrics)
    assert learnt == [True, False, True, False, True]
    assert made.discriminator.learner.updates == 3
    texts = [env.tokenizer.program(s.tokens).text for s in made.samples._samples]
    assert texts == [SCORED + f"# {number}\n" for number in (3, 4) for _ in range(4)]


def test_half_of_a_batch_are_references(
    policy: CausalPolicy, env: UnitTestEnv, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, sizes = grounding(policy, env, batch_size=4), []
    monkeypatch.setattr(
        made.discriminator, "learn", lambda real, written: sizes.append((len(real), len(written))) or {"discriminator_loss": 1.0}
    )  # fmt: skip
    made(round_of(env, seen_and_unseen(made)[0][:6], [SCORED]))
    assert sizes == [(2, 2)]


def test_every_reference_of_a_problem_comes_to_be_read(policy: CausalPolicy, env: UnitTestEnv) -> None:
    made, problem = grounding(policy, env), env.source.find("p0")
    both = replace(problem, solutions=(*problem.solutions, "f = lambda: 0\n"))
    texts = {env.tokenizer.program(made._reference(both).tokens).text for _ in range(20)}  # type: ignore[union-attr]
    assert texts == set(both.solutions)


def test_a_program_that_was_cut_off_is_read_without_an_end(policy: CausalPolicy, env: UnitTestEnv) -> None:
    made, whole = grounding(policy, env), episode(env, env.source.find("p0"), SCORED)
    program = env.tokenizer.program(whole.program.tokens[:-1], truncated=True)
    group = [whole, replace(whole, program=program)]
    ends = [sample.tokens[-1] == policy.eos_id for _, _, sample in made._read([(env.source.find("p0"), group)])]
    assert ends == [True, False]


def test_so_large_a_share_of_problems_is_set_aside(policy: CausalPolicy, env: UnitTestEnv) -> None:
    made, problem = grounding(policy, env, unseen=0.2), env.source.find("p0")
    assert np.mean([made._is_unseen(replace(problem, id=f"p{i}")) for i in range(2000)]) == pytest.approx(0.2, abs=0.03)


def test_the_policy_is_left_as_it_is(policy: CausalPolicy, env: UnitTestEnv) -> None:
    before = {name: tensor.clone() for name, tensor in policy.model.state_dict().items()}
    made = grounding(policy, env)
    made(round_of(env, seen_and_unseen(made)[0][:2], [SCORED]))
    assert made.discriminator.learner.updates == 1
    assert all(tensor.equal(before[name]) for name, tensor in policy.model.state_dict().items())


def test_its_state_is_all_of_it(policy: CausalPolicy, env: UnitTestEnv) -> None:
    first, second = grounding(policy, env), grounding(policy, env)
    seen, unseen = seen_and_unseen(first)
    first(round_of(env, [*seen[:2], unseen[0]], [SCORED]))
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for each in (first, second):
        each(round_of(env, [*seen[2:5], unseen[0]], [SCORED, REFERENCE.format(7)]))
    assert first.metrics == second.metrics
    assert (first.rounds, list(first.right)) == (second.rounds, list(second.right)) == (2, list(first.right))
    one, other = (each.discriminator.state_dict()["head"] for each in (first, second))
    assert all(one[name].equal(other[name]) for name in one)


# ------------------------------------------------------------------------------------------------------------ refusals


def test_one_that_is_right_no_more_than_by_chance_says_that_it_is_noise(policy: CausalPolicy, env: UnitTestEnv) -> None:
    made = grounding(policy, env)
    assert made.warnings == []
    made.right.extend([0, 1] * (LOOKED_AT // 2))
    (words,) = made.warnings
    assert "noise" in words
    assert "50%" in words
    made.right.extend([1] * 2 * LOOKED_AT)
    assert made.warnings == []
    made.right.extend([0] * (LOOKED_AT - 4))  # 53 %: more than half, but not surely
    assert "53%" in made.warnings[0]


def test_problems_without_references_are_refused(policy: CausalPolicy) -> None:
    problems = [Problem("p", "Give 1.", [CallCase((), 1)], "f")]
    with (
        UnitTestEnv(problems, tokenizer=HuggingFace(policy.tokenizer), sandbox="static") as bare,
        pytest.raises(UsageError, match="references"),
    ):
        grounding(policy, bare)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"every": 0}, "path"),
        ({"generations": 1}, "generations >= 2"),
        ({"batch_size": 3}, "even batch_size"),
        ({"weight": -1.0}, "weight"),
        ({"unseen": 0.0}, "unseen"),
    ],
)
def test_options_without_sense_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        DiscriminatorConfig(**options)


def test_a_folder_without_a_discriminator_is_refused(policy: CausalPolicy, env: UnitTestEnv, tmp_path: Any) -> None:
    with pytest.raises(MissingData, match="train_discriminator"):
        grounding(policy, env, path=str(tmp_path))
