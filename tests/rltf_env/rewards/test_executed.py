"""The mask of executed code on literal programs, what it keeps in any case, and what an agent learns behind it."""

from __future__ import annotations

from collections.abc import Set

import numpy as np
import pytest
import torch

from agents.algorithms import rltf
from agents.core import Batch
from rltf_env import rewards, sandbox
from rltf_env.core import Attempt, CallCase, CaseResult, Failure, Outcome, Problem, Program, Verdict
from rltf_env.env import UnitTestEnv
from rltf_env.errors import UnknownName, UsageError
from rltf_env.rewards.executed import Executed

TEXT = "def f(x):\n    if x < 0:\n        y = -x\n    else:\n        y = x + 1\n    # done\n    return y\n"
CODE = frozenset({1, 2, 3, 5, 7})
PROBLEM = Problem("p", "", [CallCase((-3,), 3), CallCase((-1,), 1)], "f")


def program(text: str = TEXT, given: int = 0) -> Program:
    """A token for each character, and the end token."""
    count = len(text) + 1
    return Program(np.arange(count), text, np.arange(count), given)


def ran(*lines: int, code: Set[int] = CODE, outcome: Outcome = Outcome.PASSED) -> Verdict:
    failure = None if outcome is Outcome.PASSED else Failure("SyntaxError" if outcome == 0 else "KeyError")
    return Verdict((CaseResult(outcome, failure),), frozenset(lines), code=frozenset(code))


@pytest.mark.parametrize(
    ("lines", "idle", "kept"),
    [
        ((1, 2, 3, 7), "inherit", 64),
        ((1, 2, 3, 7), "drop", 53),
        ((1, 2, 3, 5, 7), "inherit", 92),
        ((1, 2, 3, 5, 7), "drop", 71),
    ],
)
def test_kept_tokens_are_those_counted_by_hand(lines: tuple[int, ...], idle: str, kept: int) -> None:
    mask = Executed(idle).kept(program(), ran(*lines))
    assert (len(mask), mask.sum()) == (92, kept)
    assert mask[-1], "the end token"


def test_the_lines_left_out_are_those_of_the_branch_and_what_leads_to_it() -> None:
    mask = Executed().kept(program(), ran(1, 2, 3, 7))
    out = "".join(char for char, keep in zip(TEXT, mask[:-1], strict=True) if not keep)
    assert out == "    else:\n        y = x + 1\n"


def test_a_token_on_two_lines_is_kept_for_either() -> None:
    text = "a\nb\nc\n"
    starts = np.array([0, 1, 3, 6])  # "a", "\nb", "\nc\n", the end
    spelled = Program(np.arange(4), text, starts)
    assert Executed().kept(spelled, ran(1, code={1, 2, 3})).tolist() == [True, True, False, True]
    assert Executed().kept(spelled, ran(3, code={1, 2, 3})).tolist() == [False, False, True, True]


def test_tokens_that_share_a_character_stand_on_its_line() -> None:
    text = "é\nb\n"
    spelled = Program(np.arange(5), text, np.array([0, 0, 1, 2, 3]))  # two bytes of one character
    assert Executed().kept(spelled, ran(2, code={1, 2})).tolist() == [False, False, False, True, True]


def test_a_line_that_ran_is_kept_also_where_it_is_not_among_the_code() -> None:
    keep = Executed("drop").kept(program("a\nb\nc\n"), ran(1, 2, code={1}))
    assert keep.tolist() == [True] * 4 + [False] * 2 + [True]


def test_lines_after_the_last_code_do_as_it_does() -> None:
    text = "if a:\n    b\n    c\n# end\n"
    keep = Executed().kept(program(text), ran(1, code={1, 2, 3}))
    assert "".join(char for char, k in zip(text, keep[:-1], strict=True) if k) == "if a:\n"
    keep = Executed().kept(program(text), ran(1, 2, 3, code={1, 2, 3}))
    assert keep.all()


@pytest.mark.parametrize("verdict", [ran(1, outcome=Outcome.SYNTAX_ERROR), ran(outcome=Outcome.RUNTIME_ERROR)])
def test_no_python_and_what_never_began_keep_all(verdict: Verdict) -> None:
    assert Executed().kept(program(), verdict).all()


def test_given_tokens_are_never_learnt_from_and_nothing_is_paid() -> None:
    feedback = Executed()(Attempt(PROBLEM, program(given=20), ran(1, 2, 3, 7)))
    assert not feedback.loss_mask[:20].any()
    assert (feedback.total, feedback.program_reward, feedback.loss_mask.sum()) == (0.0, 0.0, 44)


def test_twice_is_once_and_more_cases_never_take_away() -> None:
    rng = np.random.default_rng(0)
    for _ in range(100):
        lines = set(rng.choice([1, 2, 3, 5, 7], rng.integers(1, 5), replace=False).tolist())
        attempt = Attempt(PROBLEM, program(), ran(*lines))
        once = Executed()(attempt)
        twice = once + Executed()(attempt)
        assert np.array_equal(once.loss_mask, twice.loss_mask)
        more = Executed().kept(program(), ran(*lines, int(rng.choice([1, 2, 3, 5, 7]))))
        own = Executed(idle="drop").kept(program(), ran(*lines))
        assert (more | ~own).all(), "a line that ran stays"


def test_what_ran_in_no_case_has_a_gradient_of_exactly_zero() -> None:
    kept = Executed().kept(program(), ran(1, 2, 3, 7))
    count = len(kept)
    logits = torch.randn(1, count, 8, generator=torch.Generator().manual_seed(0)).requires_grad_()
    ones, mask = torch.ones(1, count), torch.tensor(kept)[None]
    tokens = torch.arange(count)[None] % 8
    batch = Batch(tokens[:, :1], torch.ones(1, 1, dtype=torch.bool), tokens, ones.bool(), mask, ones, ones)
    loss, _ = rltf.loss(batch, logits, rltf.Config())
    loss.backward()
    assert logits.grad is not None
    assert (logits.grad[0].abs().sum(-1) > 0).tolist() == kept.tolist()


@pytest.mark.parametrize("backend", ["forkserver", "subprocess"])
def test_both_judges_lead_to_the_masks_counted_by_hand(backend: str) -> None:
    with sandbox.load(backend, workers=1, trace=True) as judge:
        verdict = judge.run(TEXT, PROBLEM)
        assert Executed().kept(program(), verdict).sum() == 64
        other = Problem("q", "", [CallCase((-3,), 3), CallCase((4,), 5)], "f")
        assert Executed("drop").kept(program(), judge.run(TEXT, other)).sum() == 71


def test_an_environment_opens_its_judge_with_what_the_reward_needs() -> None:
    with UnitTestEnv([PROBLEM], reward="coarse+executed", sandbox_options={"workers": 1}) as env:
        judged = env.judge(PROBLEM, TEXT)
    assert judged.feedback.total == 1.0
    assert judged.feedback.loss_mask.sum() == 64


def test_a_judge_that_was_told_not_to_trace_is_refused() -> None:
    with pytest.raises(UsageError, match="trace = True"):
        UnitTestEnv([PROBLEM], reward="executed", sandbox_options={"trace": False})
    with sandbox.load("forkserver", workers=1) as judge, pytest.raises(UsageError, match="trace=True"):
        UnitTestEnv([PROBLEM], reward="executed", sandbox=judge)
    silent = sandbox.load("scripted", default=True)
    env = UnitTestEnv([PROBLEM], reward="executed", sandbox=silent)
    with pytest.raises(UsageError, match="trace=True"):
        env.judge(PROBLEM, TEXT)


def test_an_unknown_way_with_idle_lines_is_named() -> None:
    with pytest.raises(UnknownName, match="inherit"):
        rewards.load("executed", idle="inherited")
