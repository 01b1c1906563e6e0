"""The rewards against tables that were worked by hand: `tests/golden/rewards.txt`, `tests/golden/table2.txt`."""

from __future__ import annotations

import builtins
import re
from pathlib import Path

import numpy as np
import pytest

from rltf_env import rewards
from rltf_env.core import (
    Attempt,
    CaseResult,
    ComparativeReward,
    Failure,
    FailureKind,
    Outcome,
    Problem,
    StdinCase,
    Verdict,
)
from rltf_env.rewards import _categories
from rltf_env.rewards.rltf import PAPER, RELEASED_CODE
from rltf_env.tokenizers import Bytes

GOLDEN = Path(__file__).parents[1] / "golden"
REWARDS = {
    "coarse": rewards.load("coarse"),
    "adaptive": rewards.load("adaptive"),
    "unsolved": rewards.load("adaptive", applies="unsolved"),
    "failures": rewards.load("adaptive", applies="failures"),
    "always": rewards.load("adaptive", applies="always"),
    "fine": rewards.load("fine"),
    "none": rewards.load("fine", alpha="none"),
    "clip5": rewards.load("fine", alpha="clipped", clip=5),
    "rltf": rewards.load("rltf"),
    "paper": rewards.load("rltf", **PAPER),
    "code": rewards.load("rltf", **RELEASED_CODE),
    "ratio": rewards.load("rltf", combine="replace", alpha="span_ratio", categories=RELEASED_CODE["categories"]),
}
KINDS = {value for name, value in vars(FailureKind).items() if name.isupper()}
PROBLEM = Problem("p", "Any.", [StdinCase("", "")] * 4)
TEXT = "a = [0]\ni = 100\ny = a[100]\n#" + "." * 171  # 199 characters; line 3 has 10


def rows(name: str) -> list[tuple[str, ...]]:
    lines = (GOLDEN / name).read_text(encoding="utf-8").splitlines()
    return [tuple(cell.strip() for cell in line.split("|")) for line in lines if line and not line.startswith("#")]


def failure(kind: str, line: int | None = None) -> Failure:
    kind, _, detail = kind.partition(":")
    error = getattr(builtins, kind, None)
    bases = tuple(base.__name__ for base in error.__mro__[1:-1]) if error else ()
    return Failure(kind, "any text", line, detail, bases)


def verdict(text: str) -> Verdict:
    """`"pass"`, or `"wrong 3/4"`, or `"IndexError 1/4 @3"`."""
    kind, passed, line = re.fullmatch(r"(\S+)(?: (\d)/4)?(?: @(\d+))?(?: cut)?", text).groups()  # type: ignore[union-attr]
    good = CaseResult(Outcome.PASSED)
    if kind == "pass":
        return Verdict((good,) * 4)
    wrong = CaseResult(Outcome.WRONG_ANSWER, Failure(FailureKind.WRONG_ANSWER))
    if kind == "wrong":
        return Verdict((wrong,) * (4 - int(passed)) + (good,) * int(passed))
    why = failure(kind, int(line) if line else None)
    bad = CaseResult(Outcome.SYNTAX_ERROR if is_syntax(why) else Outcome.RUNTIME_ERROR, why)
    return Verdict((wrong,) * (3 - int(passed)) + (bad,) + (good,) * int(passed))


def is_syntax(why: Failure) -> bool:
    return why.is_a("SyntaxError")


def attempt(text: str) -> Attempt:
    cut = text.endswith(" cut")
    tokenizer = Bytes()
    ids = tokenizer.encode(TEXT + "." if cut else TEXT) + [tokenizer.eos_id] * (not cut)
    return Attempt(PROBLEM, tokenizer.program(ids, truncated=cut), verdict(text))


def test_the_program_of_the_tables_has_200_tokens_and_10_on_line_3() -> None:
    for text in ("pass", "pass cut"):
        program = attempt(text).program
        assert (len(program), int(program.tokens_on(3).sum())) == (200, 10)


@pytest.mark.parametrize("row", rows("rewards.txt"), ids=lambda row: " / ".join(row[:3]))
def test_reward_is_what_the_equations_give_by_hand(row: tuple[str, ...]) -> None:
    name, tried, baseline, sequence, on_line, _ = row
    reward, judged = REWARDS[name], attempt(tried)
    assert isinstance(reward, ComparativeReward)
    feedback = reward(judged) if baseline == "-" else reward.relative(judged, verdict(baseline))
    expected = np.where(judged.program.tokens_on(3), float(on_line), 0.0)
    np.testing.assert_allclose(feedback.token_rewards, expected, atol=1e-6)
    assert feedback.program_reward == pytest.approx(float(sequence), abs=1e-9)
    assert feedback.total == pytest.approx(float(sequence) - 0.3 * (float(on_line) != 0), abs=1e-6)
    np.testing.assert_allclose(feedback.weights, expected + float(sequence), atol=1e-6)
    assert feedback.rewards[-1] == pytest.approx(float(sequence), abs=1e-6), "earned by the whole: on the last token"
    assert feedback.loss_mask.all()


@pytest.mark.parametrize("row", rows("table2.txt"), ids=lambda row: f"{row[1]} {row[2]}")
def test_category_is_that_of_table_2(row: tuple[str, ...]) -> None:
    _, name, cut, expected = row
    why = failure(name, line=3)
    assert why.kind in KINDS or why.bases, f"{name} is neither an exception nor a kind"
    outcome = Outcome.SYNTAX_ERROR if is_syntax(why) else Outcome.RUNTIME_ERROR
    judged = attempt("pass cut" if cut else "pass")
    judged = Attempt(PROBLEM, judged.program, Verdict((CaseResult(outcome, why),)))
    assert _categories.category(judged) == expected


def test_table_2_is_complete() -> None:
    listed = {row[1].partition(":")[0] for row in rows("table2.txt")}
    assert {name.partition(":")[0] for name in _categories.TABLE_2} <= listed
