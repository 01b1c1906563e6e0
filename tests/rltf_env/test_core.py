"""The dictionary: outcomes, verdicts, the way from lines to tokens, and the arithmetic of feedback."""

from __future__ import annotations

import ast
import copy
import dataclasses
import json
import pickle
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rltf_env import core, rewards
from rltf_env.core import (
    CallCase,
    CaseResult,
    Failure,
    FailureKind,
    Feedback,
    Outcome,
    Problem,
    Problems,
    Program,
    ScriptCase,
    StdinCase,
    Verdict,
    line_starts,
)
from rltf_env.errors import InvalidProblem, UsageError
from rltf_env.tokenizers import Bytes

GOOD = CaseResult(Outcome.PASSED)
WRONG = CaseResult(Outcome.WRONG_ANSWER, Failure(FailureKind.WRONG_ANSWER))
ERROR = CaseResult(Outcome.RUNTIME_ERROR, Failure("KeyError", "'a'", 2, bases=("LookupError", "Exception")))
SYNTAX = CaseResult(Outcome.SYNTAX_ERROR, Failure("IndentationError", line=1, bases=("SyntaxError", "Exception")))


# --------------------------------------------------------------------------------------------- problems and verdicts


def test_outcomes_are_ordered_worst_first_as_the_classes_of_codrels_critic() -> None:
    assert [outcome.name for outcome in sorted(Outcome)] == ["SYNTAX_ERROR", "RUNTIME_ERROR", "WRONG_ANSWER", "PASSED"]
    assert list(map(int, Outcome)) == [0, 1, 2, 3]


def test_a_problem_needs_an_id_and_a_case() -> None:
    with pytest.raises(InvalidProblem, match="no cases"):
        Problem("p", "Any.", [])
    with pytest.raises(InvalidProblem, match="non-empty id"):
        Problem("", "Any.", [StdinCase("", "")])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"id": 7}, "id to be a text, got int 7"),
        ({"statement": None}, "statement to be a text, got NoneType"),
        ({"cases": "assert f(2) == 4"}, "cases to be a list of StdinCase, CallCase or ScriptCase, got str"),
        ({"cases": ["assert f(2) == 4"]}, r"got list \['assert f\(2\) == 4'\]"),
        ({"cases": [{"args": [2], "expected": 4}]}, "got list .*'args'"),
        ({"examples": StdinCase("", "")}, "examples to be a list of StdinCase"),
        ({"solutions": "print(1)"}, "solutions to be a list of texts, got str 'print"),
        ({"solutions": [1]}, "solutions to be a list of texts, got list"),
        ({"entry_point": "f(x)"}, r'entry_point to be the name of a function \("f", "Solution.f"\) or None, got str'),
        ({"limits": 2.0}, "limits to be core.Limits or None, got float"),
    ],
)
def test_a_field_of_another_type_is_named(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidProblem, match=message):
        Problem(**{"id": "p", "statement": "Any.", "cases": [StdinCase("", "")]} | wrong)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CallCase(2, 4), r"args of a CallCase as a tuple, got int 2. One argument is \(x,\)"),
        (lambda: CallCase("ab", 4), "got str 'ab'"),
        (lambda: CallCase((2,), 4, [1]), "kwargs of a CallCase as a dict, got list"),
        (lambda: ScriptCase(["assert f(2) == 4"]), "script of a ScriptCase as a text, got list"),
        (lambda: StdinCase("2", b"4"), "stdout of a StdinCase as a text, got bytes"),
    ],
)
def test_a_case_of_another_type_is_named(make: Callable[[], object], message: str) -> None:
    with pytest.raises(InvalidProblem, match=message):
        make()


def test_problems_remember_what_was_skipped() -> None:
    problems = Problems([Problem("p", "Any.", [StdinCase("", "")])], [("q", "no tests")])
    assert (len(problems), problems.skipped) == (1, (("q", "no tests"),))


@pytest.mark.parametrize(
    ("results", "outcome", "ratio", "kind"),
    [
        ((GOOD, GOOD), Outcome.PASSED, 1.0, None),
        ((GOOD, WRONG, GOOD, GOOD), Outcome.WRONG_ANSWER, 0.75, "WrongAnswer"),
        ((WRONG, ERROR, GOOD, WRONG), Outcome.RUNTIME_ERROR, 0.25, "KeyError"),
        ((SYNTAX,), Outcome.SYNTAX_ERROR, 0.0, "IndentationError"),
        ((ERROR, SYNTAX), Outcome.SYNTAX_ERROR, 0.0, "IndentationError"),
    ],
)
def test_a_verdict_is_the_worst_of_its_results(
    results: tuple[CaseResult, ...], outcome: Outcome, ratio: float, kind: str | None
) -> None:
    verdict = Verdict(results)
    assert (verdict.outcome, verdict.pass_ratio) == (outcome, ratio)
    assert (verdict.failure and verdict.failure.kind) == kind


def test_the_failure_of_a_verdict_is_that_of_the_first_of_the_worst() -> None:
    other = CaseResult(Outcome.RUNTIME_ERROR, Failure("IndexError"))
    assert Verdict((WRONG, ERROR, other)).failure is ERROR.failure


def test_a_verdict_needs_a_result() -> None:
    with pytest.raises(UsageError, match="at least one case"):
        Verdict(())


def test_a_failure_goes_with_every_outcome_but_passed() -> None:
    with pytest.raises(UsageError, match="failure must go"):
        CaseResult(Outcome.PASSED, Failure("IndexError"))
    with pytest.raises(UsageError, match="failure must go"):
        CaseResult(Outcome.WRONG_ANSWER)


def test_a_verdict_is_never_copied_deeply() -> None:
    verdict = Verdict((CaseResult(Outcome.PASSED),))
    assert copy.deepcopy([{"verdict": verdict}])[0]["verdict"] is verdict


def test_the_same_verdict_may_take_another_time() -> None:
    slow = dataclasses.replace(ERROR, seconds=3.0, stdout="x")
    assert Verdict((ERROR,)).same(Verdict((slow,), judged_by="other"))
    assert not Verdict((ERROR,)).same(Verdict((WRONG,)))
    assert not Verdict((ERROR,)).same(Verdict((ERROR,), executed=frozenset({1})))


def test_a_failure_knows_its_ancestors() -> None:
    assert ERROR.failure is not None
    assert ERROR.failure.is_a("KeyError")
    assert ERROR.failure.is_a("ValueError", "LookupError")
    assert not ERROR.failure.is_a("IndexError")
    assert not ERROR.failure.is_a()


@pytest.mark.parametrize("value", [Verdict((GOOD, ERROR)), SYNTAX, Problem("p", "Any.", [StdinCase("1", "2")])])
def test_values_cross_processes(value: Any) -> None:
    assert pickle.loads(pickle.dumps(value)) == value


# ---------------------------------------------------------------------------------------------------- lines to tokens


def program(*spelled: str, **options: Any) -> Program:
    """A program whose tokens spell these texts, one after the other."""
    starts = np.cumsum([0, *map(len, spelled)])[:-1]
    return Program(np.arange(len(spelled)), "".join(spelled), starts.astype(np.int64), **options)


def on(line: int, *spelled: str) -> list[str]:
    return [token for token, yes in zip(spelled, program(*spelled).tokens_on(line), strict=True) if yes]


@pytest.mark.parametrize(
    ("text", "starts"),
    [
        ("", [0]),
        ("a", [0]),
        ("a\n", [0, 2]),
        ("a\r\nb\rc\nd", [0, 3, 5, 7]),
        ("\n\n", [0, 1, 2]),
        ("a\x0bb\x0cc\x1cd\x85e\u2028f", [0]),  # str.splitlines would see six lines
    ],
)
def test_lines_are_counted_as_python_counts_them(text: str, starts: list[int]) -> None:
    assert line_starts(text) == starts


def test_lines_are_those_of_pythons_parser() -> None:
    text = "a = 1\r\nb = 2\rc = '\x0c\u2028'\n\n\nd = 4"
    assigned = {node.lineno for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Assign)}
    assert assigned == {1, 2, 3, 6}
    assert [text[line_starts(text)[line - 1]] for line in sorted(assigned)] == ["a", "b", "c", "d"]


def test_a_line_is_on_the_tokens_that_spell_it() -> None:
    tokens = ("x", " =", " 1", "\n", "y", " = 2")
    assert on(1, *tokens) == ["x", " =", " 1"]
    assert on(2, *tokens) == ["y", " = 2"]


def test_repeated_lines_are_told_apart() -> None:
    whole = program("x=a[0]", "\n", "x=a[0]", "\n", "x=a[0]")
    assert [whole.tokens_on(line).nonzero()[0].tolist() for line in (1, 2, 3)] == [[0], [2], [4]]


def test_a_token_that_spells_a_line_end_and_the_next_lines_indentation_is_on_that_line() -> None:
    tokens = ("if", " x:", "\n    ", "y", "\n\n  \t", "z")
    assert on(1, *tokens) == ["if", " x:"]
    assert on(2, *tokens) == ["\n    ", "y"]
    assert on(4, *tokens) == ["\n\n  \t", "z"]


def test_a_token_that_spans_lines_is_on_each() -> None:
    assert on(1, "a\nb\nc", "d") == ["a\nb\nc"]
    assert on(2, "a\nb\nc", "d") == ["a\nb\nc"]
    assert on(3, "a\nb\nc", "d") == ["a\nb\nc", "d"]


def test_an_empty_line_is_on_the_token_that_ends_it() -> None:
    assert on(2, "a", "\n", "\n", "b") == ["\n"]
    whole = program("a", "\n", "\n", "b")
    assert whole.tokens_on(2).tolist() == [False, False, True, False]
    assert on(2, "a", "\r\n", "\r\n", "b") == ["\r\n"]


def test_the_empty_last_line_is_on_no_token() -> None:
    assert on(2, "a", "\n") == []
    assert on(1, "") == []


def test_both_parts_of_a_split_crlf_are_off_the_line() -> None:
    assert on(1, "a", "\r", "\n", "b") == ["a"]
    assert on(2, "a", "\r", "\n", "b") == ["b"]


@pytest.mark.parametrize("line", [-1, 0, 3, 10**9])
def test_a_line_that_is_not_there_is_on_no_token(line: int) -> None:
    assert on(line, "a", "\n", "b") == []


def test_the_bytes_of_one_character_are_on_its_line_together() -> None:
    whole = Bytes().program([*"é\n日".encode(), 256])
    assert whole.tokens_on(1).tolist() == [True, True, False, False, False, False, False]
    assert whole.tokens_on(2).tolist() == [False, False, False, True, True, True, False]


def test_the_end_is_on_no_line() -> None:
    whole = Bytes().program([*b"a\nb\n", 256])
    assert not any(whole.tokens_on(line)[-1] for line in range(5))


@given(st.lists(st.text(alphabet="ab\n\r\t é日", min_size=1, max_size=4), max_size=12))
def test_tokens_on_is_what_each_character_says(spelled: list[str]) -> None:
    whole = program(*spelled)
    owner = [i for i, token in enumerate(spelled) for _ in token]
    starts = [*line_starts(whole.text), len(whole.text)]
    for line, (begin, end) in enumerate(pairwise(starts), 1):
        body = [at for at in range(begin, end) if whole.text[at] not in "\r\n"]
        characters = body or range(begin, end)  # an empty line is its own end
        assert set(whole.tokens_on(line).nonzero()[0]) == {owner[at] for at in characters}


def test_chosen_tokens_come_after_the_given_ones() -> None:
    assert program("a", "b", "c", prefix_length=2).generated_mask.tolist() == [False, False, True]
    assert program("a", "b", "c").generated_mask.all()


def test_a_program_checks_its_shapes() -> None:
    with pytest.raises(UsageError, match="one shape"):
        Program(np.zeros(2, np.int64), "ab", np.zeros(3, np.int64))
    with pytest.raises(UsageError, match="one shape"):
        Program(np.zeros((1, 2), np.int64), "ab", np.zeros((1, 2), np.int64))
    for length in (-1, 3):
        with pytest.raises(UsageError, match="0 <= prefix_length <= 2"):
            program("a", "b", prefix_length=length)


# ----------------------------------------------------------------------------------------------------------- feedback

WHOLE = program("a", "b", "c", prefix_length=1)


def test_what_the_whole_earned_is_on_the_last_token() -> None:
    feedback = Feedback.build(WHOLE, "coarse", program_reward=-0.6)
    np.testing.assert_allclose(feedback.rewards, [0, 0, -0.6], rtol=1e-6)
    assert feedback.rewards.dtype == np.float32
    assert feedback.loss_mask.tolist() == [False, True, True]
    assert (feedback.program_reward, feedback.total) == (-0.6, pytest.approx(-0.6))
    assert feedback.parts == pytest.approx({"coarse": -0.6})
    assert not feedback.token_rewards.any()


def test_token_rewards_are_the_rest() -> None:
    feedback = Feedback.build(WHOLE, "both", program_reward=1.0, tokens=[0, -0.5, -0.25])
    np.testing.assert_allclose(feedback.rewards, [0, -0.5, 0.75])
    np.testing.assert_allclose(feedback.token_rewards, [0, -0.5, -0.25])
    assert feedback.total == pytest.approx(0.25)


def test_feedback_adds_rewards_intersects_learn_and_merges_parts() -> None:
    one = Feedback.build(WHOLE, "coarse", program_reward=1.0)
    two = Feedback(np.array([0, 2, 0], np.float32), np.array([True, True, False]), {"fine": 2.0, "coarse": 0.5}, 0.0)
    both = one + two
    np.testing.assert_allclose(both.rewards, [0, 2, 1])
    assert both.loss_mask.tolist() == [False, True, False]
    assert both.parts == {"coarse": 1.5, "fine": 2.0}
    assert both.program_reward == 1.0
    assert one.rewards.tolist() == [0, 0, 1], "adding must not change its terms"


def test_feedback_adds_to_feedback_only() -> None:
    with pytest.raises(TypeError):
        Feedback.build(WHOLE, "coarse") + 1  # type: ignore[operator]


def test_building_feedback_does_not_keep_the_callers_array() -> None:
    tokens = np.ones(3, np.float32)
    feedback = Feedback.build(WHOLE, "fine", program_reward=1.0, tokens=tokens)
    assert tokens.tolist() == [1, 1, 1]
    feedback.token_rewards[:] = 7
    assert feedback.total == 4.0


def test_feedback_checks_its_shapes() -> None:
    with pytest.raises(UsageError, match="one shape"):
        Feedback(np.zeros(2, np.float32), np.zeros(3, bool))
    with pytest.raises(UsageError, match="one shape"):
        Feedback.build(WHOLE, "fine", tokens=np.zeros(2))


# -------------------------------------------------------------------------------------------------------------- seams


def test_the_protocols_tell_their_own() -> None:
    assert isinstance(Bytes(), core.Tokenizer)
    assert isinstance(rewards.load("coarse"), core.Reward)
    assert isinstance(rewards.load("coarse"), core.ComparativeReward)
    assert not isinstance(len, core.ComparativeReward)
    assert not isinstance(3, core.Reward)


def test_an_outcome_is_a_number_that_prints_as_its_name():
    assert f"{Outcome.PASSED}" == str(Outcome.PASSED) == "PASSED"
    assert json.dumps([Outcome.PASSED]) == "[3]"
    assert Outcome.PASSED > Outcome.WRONG_ANSWER


def test_feedback_keeps_plain_numbers_whatever_a_reward_computes_with() -> None:
    """What logs and checkpoints can hold: NumPy's scalars are refused by both."""
    feedback = Feedback(np.zeros(2, np.float32), np.ones(2, bool), {"mean": np.mean([1.0, 2.0])}, np.float32(0.5))
    assert type(feedback.parts["mean"]) is type(feedback.program_reward) is float
    assert type((feedback + feedback).parts["mean"]) is float
