"""A failed program is the reference of the question that its own outputs ask, where a prompt is nothing but examples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from agents.algorithms import hindsight
from agents.algorithms.hindsight import look_back
from agents.core import Episode
from agents.policies.causal import CausalPolicy
from agents.testing import check_agent
from rltf_env import prompts, sandbox
from rltf_env.core import CallCase, Problem, ScriptCase
from rltf_env.env import UnitTestEnv
from rltf_env.errors import UsageError
from rltf_env.tokenizers import HuggingFace

SMALL: dict[str, Any] = {
    "buffer": 12, "fill": 8, "refresh": 4, "refresh_every": 2, "samples_per_problem": 2, "batch_size": 4,
    "optimiser": {"lr": 1e-3, "warmup": 2},
}  # fmt: skip
TWICE = Problem(
    "twice",
    "Double x.",
    [CallCase((2,), 4)],
    "f",
    examples=[CallCase((3,), 6), CallCase((5,), 10)],
    solutions=["def f(x):\n    return 2 * x\n"],
)


@pytest.fixture
def env(policy: CausalPolicy) -> Iterator[UnitTestEnv]:
    with sandbox.load(workers=1, case_seconds=1.0) as judge:
        tokenizer = HuggingFace(policy.tokenizer)
        yield UnitTestEnv([TWICE], sandbox=judge, tokenizer=tokenizer, prompt_style="examples", max_program_tokens=120)


def episode(env: UnitTestEnv, text: str, problem: Problem = TWICE, truncated: bool = False) -> Episode:
    tokens = np.array([*env.tokenizer.encode(text), *([] if truncated else [env.tokenizer.eos_id])])
    program = env.tokenizer.program(tokens, truncated=truncated)
    verdict, feedback = env.judge(problem, program)
    zeros = np.zeros(len(program), np.float32)
    return Episode(problem.id, env.encode_prompt(problem), program, zeros, zeros, verdict, feedback, 0)


def questions(env: UnitTestEnv, *texts: str) -> list[str]:
    pairs = look_back(env, [TWICE], [[episode(env, text) for text in texts]])
    return [env.tokenizer.program(pair.prompt).text for pair in pairs]


def test_a_wrong_program_is_right_for_what_it_gives(env: UnitTestEnv) -> None:
    text = "def f(x):\n    return [x + 1]\n"
    (pair,) = look_back(env, [TWICE], [[episode(env, text)]])
    assert env.tokenizer.program(pair.prompt).text == "f(3) == [4]\nf(5) == [6]\n"
    assert env.tokenizer.program(pair.tokens).text == text
    assert pair.tokens[-1] == env.tokenizer.eos_id
    assert pair.loss_mask.all()
    asked = hindsight.relabelled(TWICE, [[4], [6]])
    assert env.judge(replace(asked, cases=asked.examples), text).verdict.pass_ratio == 1


def test_the_control_asks_what_another_program_answers(env: UnitTestEnv) -> None:
    groups = [[episode(env, f"def f(x):\n    return x + {i}\n") for i in (1, 3)]]
    own, others = (list(look_back(env, [TWICE], groups, outputs)) for outputs in ("own", "others"))
    assert [pair.prompt.tolist() for pair in own] == [pair.prompt.tolist() for pair in others][::-1]
    assert [pair.tokens.tolist() for pair in own] == [pair.tokens.tolist() for pair in others]


@pytest.mark.parametrize(
    "text",
    [
        "def f(x):\n    return 2 * x\n",  # right
        "def f(x):\n    return 1\n",  # all the same
        "def f(x):\n    return 1 if x < 3 else 2 / (x - 5)\n",  # raises on an example
        "def f(x):\n    return x + 6 // (x - 2)\n",  # raises on the hidden case
        "def f(x):\n    return 1 if x < 3 else object()\n",
        "def f(x):\n    return 1 if x < 3 else 'x' * 300 * x\n",
        "def f(x:\n",
    ],
    ids=["right", "constant", "raises", "raises elsewhere", "no data", "long", "no Python"],
)
def test_what_asks_no_question_is_no_pair(env: UnitTestEnv, text: str) -> None:
    assert questions(env, text) == []


def test_one_example_is_a_question_and_arguments_by_name_are_asked_with(env: UnitTestEnv) -> None:
    named = replace(TWICE, examples=[CallCase((3,), 6, {"k": 2})])
    text = "def f(x, k=0):\n    return x + k\n"
    (pair,) = look_back(env, [named], [[episode(env, text)]])
    assert env.tokenizer.program(pair.prompt).text == "f(3, k=2) == 5\n"


def test_a_method_is_not_asked(env: UnitTestEnv) -> None:
    wrong = episode(env, "def f(x):\n    return x + 1\nclass A:\n    f = f\n")
    assert list(look_back(env, [replace(TWICE, entry_point="A.f")], [[wrong]])) == []


def test_tokens_that_were_given_are_not_learnt_from(env: UnitTestEnv) -> None:
    made = episode(env, "def f(x):\n    return x + 1\n")
    given = env.tokenizer.program(made.program.tokens, prefix_length=3)
    (pair,) = look_back(env, [TWICE], [[replace(made, program=given)]])
    assert pair.loss_mask.tolist() == [False] * 3 + [True] * (len(given) - 3)


def test_the_control_takes_no_answers_to_another_number_of_questions(env: UnitTestEnv) -> None:
    single = replace(TWICE, id="single", examples=TWICE.examples[:1])
    groups = [[episode(env, "def f(x):\n    return x + 1\n")] for _ in range(2)]
    assert len(list(look_back(env, [TWICE, single], groups))) == 2
    assert list(look_back(env, [TWICE, single], groups, "others")) == []


def test_a_program_that_was_cut_off_is_no_reference(env: UnitTestEnv) -> None:
    cut = episode(env, "def f(x):\n    return x + 1", truncated=True)
    assert list(look_back(env, [TWICE], [[cut]])) == []


def test_a_prompt_that_does_not_fit_makes_no_pair(env: UnitTestEnv) -> None:
    made = [episode(env, "def f(x):\n    return x + 1\n")]
    (pair,) = look_back(env, [TWICE], [made])
    env.max_prompt_tokens = len(pair.prompt)
    assert len(list(look_back(env, [TWICE], [made]))) == 1
    env.max_prompt_tokens -= 1
    assert list(look_back(env, [TWICE], [made])) == []


def test_with_a_statement_in_the_prompt_it_is_refused(env: UnitTestEnv) -> None:
    made = [episode(env, "def f(x):\n    return x + 1\n")]
    env.prompt_style = "plain"
    with pytest.raises(UsageError, match="prompt_style = 'examples' for hindsight, got 'plain'"):
        list(look_back(env, [TWICE], [made]))


def test_the_style_shows_examples_alone_and_needs_some() -> None:
    assert prompts.render(TWICE, "examples") == "f(3) == 6\nf(5) == 10\n"
    script = replace(TWICE, examples=[ScriptCase("assert f(3) == 6")])
    assert prompts.render(script, "examples") == "assert f(3) == 6\n"
    with pytest.raises(UsageError, match="to have public examples"):
        prompts.render(replace(TWICE, examples=()), "examples")


def test_a_share_of_the_supervised_batch_is_made_in_hindsight(policy: CausalPolicy, env: UnitTestEnv) -> None:
    agent = hindsight.load(policy, env, seed=0, **SMALL, baseline="group_mean", share=0.25)
    assert len(agent.pairs(4)) == 4
    groups = [[episode(env, f"def f(x):\n    return x + {i}\n") for i in (1, 3)]]
    agent.log_samples([TWICE], groups, [agent._sample(e, np.zeros(len(e.program), np.float32)) for e in groups[0]])
    assert len(agent.relabelled) == agent.sampled["relabelled"] == 2
    made = {pair.tokens.tobytes() for pair in agent.relabelled._samples}
    drawn = agent.pairs(4)
    assert [pair.tokens.tobytes() in made for pair in drawn] == [True, False, False, False]


def test_generators_are_refused(policy: CausalPolicy, env: UnitTestEnv) -> None:
    agent = hindsight.load(policy, env, seed=0, **SMALL)
    agent.fill_from_actors = lambda: None
    with pytest.raises(UsageError, match=r"Remove \[scale\]"):
        agent.update()


@pytest.mark.parametrize("options", [{"share": 0.0}, {"share": 1.5}, {"pairs": 0}, {"buffer": 0}])
def test_impossible_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        hindsight.Config(**options)


def test_contract() -> None:
    check_agent(lambda p, e, s: hindsight.load(p, e, seed=s, **SMALL))
