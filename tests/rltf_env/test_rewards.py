"""Rewards beyond the tables: names and options, sums, given tokens, truncation, and the contract itself."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rltf_env import plugins, rewards
from rltf_env.core import (
    Attempt,
    CaseResult,
    ComparativeReward,
    Failure,
    FailureKind,
    Feedback,
    Outcome,
    Problem,
    Program,
    StdinCase,
    Verdict,
)
from rltf_env.errors import UnknownName, UsageError
from rltf_env.rewards import _categories, fine
from rltf_env.rewards.rltf import PAPER, RELEASED_CODE
from rltf_env.testing import check_reward
from rltf_env.tokenizers import Bytes

PROBLEM = Problem("p", "Any.", [StdinCase("", "")] * 4)
PASSED = Verdict((CaseResult(Outcome.PASSED),) * 4)
OPTIONS: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in plugins.names("rewards")),
    ("coarse+fine", {}),
    ("adaptive", {"applies": "always"}),
    ("adaptive", {"applies": "unsolved"}),
    ("adaptive", {"applies": "failures"}),
    ("fine", {"alpha": "none"}),
    ("fine", {"alpha": "clipped", "clip": 3}),
    ("fine", {"categories": {"IndexError": "global", "Timeout": "ignore"}}),
    ("rltf", dict(PAPER)),
    ("rltf", dict(RELEASED_CODE)),
    ("rltf", {"weights": {"fine": 0.5, "coarse": 0, "adaptive": 2}, "combine": "replace"}),
]


def error(
    kind: str = "IndexError", line: int | None = 1, *bases: str, syntax: bool = False, detail: str = ""
) -> Verdict:
    outcome = Outcome.SYNTAX_ERROR if syntax else Outcome.RUNTIME_ERROR
    ancestors = ("SyntaxError", *bases) if syntax and kind != "SyntaxError" else bases
    return Verdict((CaseResult(outcome, Failure(kind, "", line, detail, ancestors)),))


def wrong(passed: int) -> Verdict:
    bad = CaseResult(Outcome.WRONG_ANSWER, Failure(FailureKind.WRONG_ANSWER))
    return Verdict((CaseResult(Outcome.PASSED),) * passed + (bad,) * (4 - passed))


def attempt(text: str, verdict: Verdict, *, given: int = 0, truncated: bool = False) -> Attempt:
    ids = Bytes().encode(text) + [Bytes().eos_id] * (not truncated)
    return Attempt(PROBLEM, Bytes().program(ids, prefix_length=given, truncated=truncated), verdict)


# ---------------------------------------------------------------------------------------------------------- contract


@pytest.mark.parametrize(("name", "options"), OPTIONS)
def test_every_reward_keeps_the_contract(name: str, options: dict[str, Any]) -> None:
    check_reward(name, **options)


def test_all_rewards_are_found_by_name() -> None:
    own = ("adaptive", "blame", "coarse", "executed", "fine", "rltf", "structure")
    assert plugins.names("rewards") == own


@pytest.mark.parametrize(("name", "options"), OPTIONS)
def test_rewards_are_values(name: str, options: dict[str, Any]) -> None:
    reward = rewards.load(name, **options)
    assert reward == rewards.load(name, **options)
    assert hash(reward) == hash(rewards.load(name, **options))
    assert pickle.loads(pickle.dumps(reward)) == reward


def broken(change: Callable[[Attempt, Feedback], Feedback]) -> Any:
    coarse = rewards.load("coarse")
    return lambda attempt: change(attempt, coarse(attempt))


def stateful() -> Any:
    calls: list[Attempt] = []

    def reward(attempt: Attempt) -> Feedback:
        calls.append(attempt)
        return Feedback.build(attempt.program, "calls", program_reward=float(len(calls)))

    return reward


BROKEN = {
    "float32": broken(lambda a, f: replace(f, rewards=f.rewards.astype(np.float64))),
    "shape": broken(lambda a, f: Feedback(f.rewards[1:], f.loss_mask[1:], f.parts)),
    "finite": broken(lambda a, f: replace(f, rewards=np.full_like(f.rewards, np.nan))),
    "generated tokens": broken(lambda a, f: replace(f, loss_mask=np.ones_like(f.loss_mask))),
    "sum to the total": broken(lambda a, f: replace(f, parts={**f.parts, "bonus": 1.0})),
    "same feedback twice": stateful(),
    "Expected Feedback": lambda attempt: 1.0,
}


@pytest.mark.parametrize("complaint", BROKEN)
def test_check_reward_finds_what_is_wrong(complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        check_reward(BROKEN[complaint])


def test_check_reward_finds_a_reward_that_changes_the_program() -> None:
    def reward(attempt: Attempt) -> Feedback:
        attempt.program.tokens[:] = 0
        return Feedback.build(attempt.program, "vandal", program_reward=1.0)

    with pytest.raises(ValueError, match="read-only"):
        check_reward(reward)


class Lopsided:
    """Subtracts nothing, or takes the baseline out of single tokens too."""

    def __init__(self, from_tokens: bool) -> None:
        self.from_tokens = from_tokens

    def __call__(self, attempt: Attempt) -> Feedback:
        return Feedback.build(attempt.program, "x", program_reward=1.0, tokens=np.ones(len(attempt.program)))

    def relative(self, attempt: Attempt, baseline: Verdict) -> Feedback:
        if self.from_tokens:
            return Feedback.build(attempt.program, "x")
        return self(attempt)


@pytest.mark.parametrize(
    ("from_tokens", "complaint"), [(False, "0 against its own verdict"), (True, "to have no baseline")]
)
def test_check_reward_finds_a_wrong_baseline(from_tokens: bool, complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        check_reward(Lopsided(from_tokens))


# ------------------------------------------------------------------------------------------------- names and options


def test_a_reward_itself_is_returned_as_it_is() -> None:
    reward = rewards.load("fine")
    assert rewards.load(reward) is reward


def test_a_third_party_names_a_function_that_builds_a_reward() -> None:
    assert rewards.load("rltf_env.rewards.coarse:load", passed=2) == rewards.load("coarse", passed=2)


BAD: list[tuple[str, dict[str, Any], str]] = [
    ("corse", {}, "Did you mean 'coarse'"),
    ("coarse+fin", {}, "Did you mean 'fine'"),
    ("", {}, "Unknown reward ''"),
    ("fine", {"alhpa": "none"}, "Did you mean 'alpha'"),
    ("fine", {"alpha": "span ratio"}, "Did you mean 'span_ratio'"),
    ("fine", {"value": float("nan")}, "value to be a finite number"),
    ("fine", {"alpha": "clipped", "clip": 0.5}, "at least 1"),
    ("fine", {"clip": 3}, 'needs alpha="clipped"'),
    ("fine", {"categories": {"Timeout": "ignored"}}, "Did you mean 'ignore'"),
    ("fine", {"categories": "ignore"}, "categories as a mapping"),
    ("coarse", {"passed": "1"}, "passed to be a finite number"),
    ("coarse", {"passed": True}, "passed to be a finite number"),
    ("adaptive", {"applies": "failure"}, "Did you mean 'failures'"),
    ("adaptive", {"failed": float("inf")}, "failed to be a finite number"),
    ("rltf", {"combine": "add"}, "Known: replace, sum"),
    ("rltf", {"weights": {"fime": 1}}, "Did you mean 'fine'"),
    ("rltf", {"weights": {"fine": None}}, "weight of fine to be a finite number"),
    ("rltf", {"weights": 2}, "weights as a mapping"),
    ("coarse+coarse", {}, "each reward once"),
    ("coarse+fine", {"alpha": "none"}, "part of 'coarse\\+fine'"),
    ("coarse+fine", {"fine": "none"}, "options of 'fine'"),
    ("coarse+fine", {"fine": {"alhpa": "none"}}, "Did you mean 'alpha'"),
    ("no_such_module:load", {}, "not installed"),
    ("rltf_env.rewards.coarse:laod", {}, "Did you mean 'load'"),
    ("builtins:dict", {}, "a function that builds a reward"),
    ("rltf_env.rewards:scaled", {"weight": 2}, "missing a required argument: 'reward'"),
]


@pytest.mark.parametrize(("name", "options", "message"), BAD)
def test_bad_names_and_options_are_clear_errors(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        rewards.load(name, **options)


@pytest.mark.parametrize("spec", [3, None, fine.Fine, ["coarse"]])
def test_what_is_no_reward_is_refused(spec: Any) -> None:
    with pytest.raises(UsageError, match="Expected the name of a reward"):
        rewards.load(spec)


def test_options_beside_a_ready_reward_are_refused() -> None:
    with pytest.raises(UsageError, match="no options"):
        rewards.load(rewards.load("fine"), alpha="none")


def test_an_unknown_reward_is_an_unknown_name_with_the_known_ones() -> None:
    with pytest.raises(UnknownName) as caught:
        rewards.load("corse")
    assert caught.value.known == plugins.names("rewards")


# ---------------------------------------------------------------------------------------------------------- sums


def test_a_sum_adds_what_its_terms_give() -> None:
    judged = attempt("a[9]\nx", error())
    feedback = rewards.load("coarse+fine", fine={"alpha": "none"})(judged)
    np.testing.assert_allclose(feedback.rewards, [-0.075, -0.075, -0.075, -0.075, 0, 0, -0.6], atol=1e-7)
    np.testing.assert_allclose(feedback.token_rewards, [-0.3, -0.3, -0.3, -0.3, 0, 0, 0], atol=1e-7)
    np.testing.assert_allclose(feedback.weights, [-0.9, -0.9, -0.9, -0.9, -0.6, -0.6, -0.6], atol=1e-7)
    assert feedback.parts == pytest.approx({"coarse": -0.6, "fine": -0.3})
    assert feedback.program_reward == -0.6


def test_rltf_is_the_sum_of_its_three_parts_and_pays_a_pass_once() -> None:
    assert rewards.load("rltf") == rewards.load("coarse+fine+adaptive", adaptive={"applies": "unsolved"})
    assert rewards.load("rltf")(attempt("x", PASSED)).total == 1
    assert rewards.load("coarse+fine+adaptive")(attempt("x", PASSED)).total == 2


def test_the_paper_as_it_is_mostly_read_has_a_name() -> None:
    assert rewards.load("rltf", **PAPER) == rewards.load("coarse+fine+adaptive", adaptive={"applies": "failures"})


def test_parts_of_rltf_are_always_the_same_three() -> None:
    for verdict in (PASSED, wrong(2), error(), error("SyntaxError", syntax=True)):
        for options in ({}, RELEASED_CODE):
            assert set(rewards.load("rltf", **options)(attempt("x", verdict)).parts) == {"coarse", "fine", "adaptive"}


def test_weights_scale_the_parts() -> None:
    weights = {"coarse": 2, "fine": 0.5, "adaptive": 3}
    for verdict in (wrong(3), error(), PASSED):
        for combine in ("sum", "replace"):
            plain = rewards.load("rltf", combine=combine)(attempt("x\ny", verdict)).parts
            scaled = rewards.load("rltf", combine=combine, weights=weights)(attempt("x\ny", verdict)).parts
            assert scaled == pytest.approx({part: weights[part] * plain[part] for part in plain})


def test_a_weight_scales_what_the_whole_earned_and_what_tokens_earned() -> None:
    twice = rewards.scaled(rewards.load("coarse+fine", fine={"alpha": "none"}), 2)(attempt("xx\ny", error()))
    assert twice.program_reward == -1.2
    np.testing.assert_allclose(twice.token_rewards, [-0.6, -0.6, 0, 0, 0], atol=1e-6)
    assert twice.total == pytest.approx(-1.8)


def test_weights_reach_the_baseline_too() -> None:
    reward = rewards.load("rltf", combine="replace", weights={"coarse": 2, "adaptive": 3})
    assert isinstance(reward, ComparativeReward)
    assert reward.relative(attempt("x", wrong(2)), PASSED).program_reward == pytest.approx(3 * 0.35 - 2 * 1.0)


def test_a_sum_with_a_term_without_baseline_says_that_it_has_none() -> None:
    def length(attempt: Attempt) -> Feedback:
        return Feedback.build(attempt.program, "length", program_reward=-float(len(attempt.program)))

    mixed = rewards.summed(rewards.load("coarse"), length)
    assert mixed(attempt("abc", PASSED)).parts == {"coarse": 1.0, "length": -4.0}
    assert not isinstance(mixed, ComparativeReward)
    assert not isinstance(rewards.scaled(length, 2), ComparativeReward)
    assert isinstance(rewards.load("coarse+fine"), ComparativeReward)


def test_nothing_can_not_be_added() -> None:
    with pytest.raises(UsageError, match="at least one"):
        rewards.summed()


# ------------------------------------------------------------------------------------------------------------ spans


def test_given_tokens_are_neither_charged_nor_counted() -> None:
    judged = attempt("abcd\nefgh", error(line=1), given=2)
    feedback = rewards.load("fine")(judged)
    # Chosen: c d newline e f g h and the end, 8 tokens; c and d are on line 1: alpha is 4.
    np.testing.assert_allclose(feedback.token_rewards, [0, 0, -1.2, -1.2, 0, 0, 0, 0, 0, 0], rtol=1e-6)
    np.testing.assert_allclose(feedback.rewards, [0, 0, -0.15, -0.15, 0, 0, 0, 0, 0, 0], rtol=1e-6)
    assert not feedback.loss_mask[:2].any()


def test_a_line_of_given_tokens_charges_nobody() -> None:
    feedback = rewards.load("rltf")(attempt("abcd\nefgh", error(line=1), given=5))
    assert feedback.parts == pytest.approx({"coarse": -0.6, "fine": 0.0, "adaptive": -0.3})


def test_the_message_decides_nothing() -> None:
    for message in ("", "RecursionError", "TimeoutException", "inconsistent use of tabs and spaces in indentation"):
        bad = CaseResult(Outcome.RUNTIME_ERROR, Failure("IndexError", message, 1))
        assert rewards.load("fine")(attempt("x", Verdict((bad,)))).token_rewards[0] == pytest.approx(2 * -0.3)


def test_the_line_is_that_of_the_first_of_the_worst_results() -> None:
    first = error("KeyError", 2).results
    other = error("KeyError", 1).results
    judged = attempt("ab\nc", Verdict((*wrong(1).results, *first, *other)))
    assert rewards.load("fine", alpha="none")(judged).rewards.nonzero()[0].tolist() == [3]


def test_alpha_gives_a_line_the_weight_of_a_whole_program() -> None:
    for text in ("a\nbbbb", "aaaaaa\nb", "a"):
        judged = attempt(text, error())
        assert rewards.load("fine")(judged).weights.mean() == pytest.approx(-0.3)


@pytest.mark.parametrize("alpha", fine.ALPHAS)
def test_a_return_loses_the_same_for_a_line_of_any_length_whatever_its_tokens_weigh(alpha: str) -> None:
    for text in ("a\nbbbb", "aaaaaa\nb", "a", "a" + "\nb" * 400):
        judged = attempt(text, error())
        assert rewards.load("fine", alpha=alpha)(judged).total == pytest.approx(-0.3)


def test_clip_defaults_to_ten() -> None:
    judged = attempt("a\n" + "b" * 98, error())
    assert rewards.load("fine", alpha="clipped")(judged).weights.min() == pytest.approx(-3.0)
    assert rewards.load("fine", alpha="span_ratio")(judged).weights.min() == pytest.approx(-30.3)


# ------------------------------------------------------------------------------------------------------- categories


def category(text: str, verdict: Verdict, *, truncated: bool = False) -> str | None:
    return _categories.category(attempt(text, verdict, truncated=truncated))


@pytest.mark.parametrize(
    ("text", "line", "truncated", "expected"),
    [
        ("if x:", 1, False, "ignore"),
        ("if x:", 1, True, "global"),  # the body was cut off
        ("if x:\n   ", 2, True, "global"),
        ("if x:\n\n\n", 3, True, "global"),
        ("if x:\npri", 2, True, "global"),
        ("x\n  y\nz", 2, True, "ignore"),  # unexpected where it stands: the cut, further down, did not cause it
        ("x\n  y\nz", 2, False, "ignore"),
        ("x\n  y\nz", None, True, "global"),
    ],
)
def test_an_indentation_error_is_global_only_where_the_program_was_cut(
    text: str, line: int | None, truncated: bool, expected: str
) -> None:
    for kind in ("IndentationError", "TabError"):
        assert category(text, error(kind, line, syntax=True), truncated=truncated) == expected


def test_an_open_bracket_of_a_truncated_program_is_global_although_its_line_is_not_the_last() -> None:
    assert category("f(1,\n2\n", error("SyntaxError", 1, syntax=True), truncated=True) == "global"
    assert category("f(1,\n2\n", error("SyntaxError", 1, syntax=True)) == "line"


def test_a_syntax_error_at_run_time_is_charged_to_the_line_that_compiled_the_text() -> None:
    for kind, bases, detail in (
        ("SyntaxError", (), ""),
        ("SyntaxError", (), "triple_quote"),
        ("IndentationError", ("SyntaxError",), ""),
        ("TabError", ("IndentationError", "SyntaxError"), ""),
    ):
        for truncated in (False, True):
            assert category("eval('(')", error(kind, 1, *bases, detail=detail), truncated=truncated) == "line"


def test_what_ends_a_program_without_a_line_is_global() -> None:
    kinds = [value for name, value in vars(FailureKind).items() if name.isupper() and value != FailureKind.WRONG_ANSWER]
    assert {category("x", error(kind, None)) for kind in kinds} == {"global"}


def test_an_exception_without_a_line_is_not() -> None:
    assert category("x", error("ValueError", None)) == "line"
    assert rewards.load("fine")(attempt("x", error("ValueError", None))).total == 0


def test_a_class_of_the_programs_own_counts_as_its_nearest_ancestor() -> None:
    assert category("x", error("Own", 1, "Exception")) == "line"
    assert category("x", error("TooDeep", 1, "RecursionError", "RuntimeError", "Exception")) == "global"


def test_programs_that_ran_to_their_end_have_no_category() -> None:
    assert category("x", PASSED) is None
    assert category("x", wrong(0)) is None


def test_categories_of_ones_own_replace_those_of_the_table() -> None:
    reward = rewards.load("fine", categories={"Timeout:wall": "ignore", "LookupError": "global"})
    timeouts = [reward(attempt("x", error("Timeout", None, detail=detail))).total for detail in ("wall", "cpu")]
    assert timeouts == pytest.approx([0, -0.3])
    assert reward(attempt("xy", error("KeyError", 1, "LookupError"))).program_reward == 0, (
        "the table names KeyError itself"
    )
    assert reward(attempt("xy", error("Own", 1, "LookupError"))).program_reward == -0.3


def test_a_program_without_tokens_can_not_be_paid() -> None:
    nothing = Program(np.zeros(0, np.int64), "", np.zeros(0, np.int64))
    with pytest.raises(UsageError, match="at least one token"):
        rewards.load("rltf")(Attempt(PROBLEM, nothing, PASSED))
