"""Line labels: the search on tables and against a linear scan, what is asked of the judge, and what counts as an answer."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, isnan, log2
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from agents.core import Completion
from agents.line_labels import (
    LineLabels,
    beginning,
    bisect,
    code_lines,
    completes,
    holds_code,
    label,
    labels_of,
    prefix_line_count,
)  # fmt: skip
from agents.policies.causal import CausalPolicy
from rltf_env.core import Attempt, CallCase, CaseResult, Failure, Outcome, Problem, Verdict
from rltf_env.env import UnitTestEnv
from rltf_env.errors import UsageError

PASSED, WRONG, SYNTAX = Outcome.PASSED, Outcome.WRONG_ANSWER, Outcome.SYNTAX_ERROR
RIGHT = "def f():\n    a = 1\n    # done\n    b = 2\n    return a + b\n"
EARLY, LATE = RIGHT.replace("a = 1", "a = 5"), RIGHT.replace("a + b", "a - b")


def verdict(outcome: Outcome, code: set[int] | None = None) -> Verdict:
    result = CaseResult(outcome, None if outcome is PASSED else Failure("x"))
    return Verdict((result,), code=None if code is None else frozenset(code))


class Finishes:
    """A decoder that writes the rest of `RIGHT` after any number of whole lines, with `seam` in front; once, or else nothing."""

    def __init__(self, env: UnitTestEnv, seam: str = "", once: bool = False) -> None:
        self.env, self.seam, self.once, self.asked = env, seam, once, []

    def __call__(self, policy: Any, prompts: Any, given: Any, *, repeats: int, **_: Any) -> list[list[Completion]]:
        groups = []
        for tokens in given:
            beginning_text = self.env.tokenizer.program(tokens).text
            self.asked.append(beginning_text)
            rest = "".join(RIGHT.splitlines(keepends=True)[len(beginning_text.splitlines()) :])
            line_end = "" if beginning_text.endswith("\n") or not beginning_text else "\n"
            written = [*tokens, *self.env.tokenizer.encode(self.seam + line_end + rest), self.env.tokenizer.eos_id]
            nothing = [*tokens, self.env.tokenizer.eos_id]
            texts = [nothing] * (repeats - 1) + [written] if self.once else [written] * repeats
            rows = [np.zeros(len(text), np.float32) for text in texts]
            groups.append(
                [Completion(np.array(t), row, row, len(tokens), False) for t, row in zip(texts, rows, strict=True)]
            )
        done = _["done"]
        for i, group in enumerate(groups):
            for k, completion in enumerate(group):
                done(i, k, completion)
        return groups


@pytest.fixture
def env(make_env: Callable[..., UnitTestEnv]) -> UnitTestEnv:
    problem = Problem("sum", "Give 3.", [CallCase((), 3)], "f", held_out=[CallCase((), 4)])
    return make_env(lambda source, problem: source == RIGHT, problems=[problem], max_program_tokens=100)


def attempt(env: UnitTestEnv, text: str, outcome: Outcome = WRONG, code: Any = (1, 2, 4, 5)) -> Attempt:
    problem = env.source.find("sum")
    return Attempt(problem, env.program_of(problem, text), verdict(outcome, code and set(code)))


def labelled(
    policy: CausalPolicy, env: UnitTestEnv, *attempts: Attempt, k: int = 2, seam: str = "", once: bool = False
) -> Any:
    decoder = Finishes(env, seam, once)
    done = label(policy, env, attempts, k, decoder, torch.Generator().manual_seed(0))
    return done, decoder.asked


# ---------------------------------------------------------------------------------------- the search


@pytest.mark.parametrize(
    ("lines", "recoverable", "asked"),
    [(8, 3, [4, 2, 3]), (6, 4, [3, 4, 5]), (5, 0, [2, 1]), (7, 6, [3, 5, 6]), (1, 0, []), (2, 1, [1])],
)
def test_the_search_asks_the_middle_of_what_is_open(lines: int, recoverable: int, asked: list[int]) -> None:
    questions: list[int] = []
    assert bisect(lines, lambda m: (questions.append(m), m <= recoverable)[1]) == recoverable
    assert questions == asked


def test_the_search_is_the_linear_scan_and_costs_the_logarithm() -> None:
    for lines in range(1, 65):
        for recoverable in range(lines):
            questions: list[int] = []
            result = bisect(lines, lambda m, r=recoverable, q=questions: (q.append(m), m <= r)[1])
            assert result == recoverable
            assert len(questions) <= ceil(log2(lines)) if lines > 1 else not questions


def test_lines_that_are_given_are_not_asked_about() -> None:
    questions: list[int] = []
    assert bisect(8, lambda m: (questions.append(m), False)[1], prefix_lines=4) == 4
    assert questions == [6, 5]


def test_labels_are_those_of_the_table() -> None:
    assert labels_of(6, 4, frozenset({1, 3, 4, 6})) == (1, 0, 1, 1, 0, -1)
    assert labels_of(3, 0, frozenset({1, 2, 3})) == (-1, -1, -1)
    assert labels_of(3, 3, frozenset({1, 3})) == (1, 0, 1)


# ---------------------------------------------------------------------------------------- the labels


def test_programs_are_labelled_side_by_side_up_to_their_first_fatal_line(
    policy: CausalPolicy, env: UnitTestEnv
) -> None:
    result, asked = labelled(policy, env, attempt(env, EARLY), attempt(env, LATE), attempt(env, RIGHT, PASSED))
    early, late, right = result.labels
    assert (early.recoverable, early.labels) == (1, (1, -1, 0, -1, -1))
    assert (late.recoverable, late.labels) == (4, (1, 1, 0, 1, -1))
    assert (right.recoverable, right.labels) == (5, (1, 1, 0, 1, 1))
    assert [each.revised for each in result.labels] == [True, True, False]
    assert [len(beginning_text.splitlines()) for beginning_text in asked] == [2, 2, 1, 3, 4], (
        "a round asks one question of each"
    )
    assert result.completions == 5 * 2


def test_one_completion_that_passes_is_enough(policy: CausalPolicy, env: UnitTestEnv) -> None:
    result, _ = labelled(policy, env, attempt(env, LATE), k=3, once=True)
    assert result.labels[0].recoverable == 4
    assert result.completions == 3 * 3


def test_the_judge_runs_the_cases_and_nothing_that_is_held_out(policy: CausalPolicy, env: UnitTestEnv) -> None:
    labelled(policy, env, attempt(env, LATE))
    asked = env.sandbox.requests  # type: ignore[attr-defined]
    assert {repr(problem.cases) for _, problem in asked} == {repr(env.source.find("sum").cases)}


def test_a_completion_that_goes_on_in_the_last_line_is_none_of_these_lines(
    policy: CausalPolicy, env: UnitTestEnv
) -> None:
    env.sandbox.rules = lambda source, problem: True  # type: ignore[attr-defined]
    result, _ = labelled(policy, env, attempt(env, LATE), seam=" ")
    assert result.labels[0].recoverable == 0
    result, _ = labelled(policy, env, attempt(env, LATE))
    assert result.labels[0].recoverable == 4
    task = beginning(attempt(env, LATE), 2)
    assert task.prefix == "def f():\n    a = 1\n"

    def episode(outcome: Outcome, text: str) -> Any:
        return SimpleNamespace(verdict=verdict(outcome), program=SimpleNamespace(text=text))

    assert completes(task, episode(PASSED, RIGHT))
    assert not completes(task, episode(WRONG, RIGHT))
    assert not completes(task, episode(PASSED, EARLY))


def test_a_beginning_that_leaves_no_room_is_not_recoverable(policy: CausalPolicy, env: UnitTestEnv) -> None:
    env.max_program_tokens = len(env.tokenizer.encode("def f():\n    a = 1"))
    result, asked = labelled(policy, env, attempt(env, LATE))
    assert result.labels[0].recoverable == 1
    assert [len(beginning_text.splitlines()) for beginning_text in asked] == [1]
    assert result.completions == 2


def test_a_program_of_one_line_is_labelled_by_its_outcome(policy: CausalPolicy, env: UnitTestEnv) -> None:
    one = "f = lambda: 1\n"
    result, asked = labelled(policy, env, attempt(env, one, code=(1,)), attempt(env, one, PASSED, (1,)))
    assert [each.labels for each in result.labels] == [(-1,), (1,)]
    assert not asked
    assert labelled(policy, env, attempt(env, ""))[0].labels == ()


def test_lines_that_are_given_are_nobodys_and_are_not_taught(policy: CausalPolicy, env: UnitTestEnv) -> None:
    made = attempt(env, LATE)
    size = len(env.tokenizer.encode("def f():\n    a = 1\n"))
    program = env.tokenizer.program(made.program.tokens, prefix_length=size)
    given = Attempt(made.problem, program, made.verdict)
    assert prefix_line_count(made) == 0
    assert prefix_line_count(given) == 2
    result, asked = labelled(policy, env, given)
    assert [len(beginning_text.splitlines()) for beginning_text in asked] == [3, 4]
    assert [isnan(value) for value in result.labels[0].targets] == [True, True, False, False, False]
    assert result.labels[0].targets[2:] == [0.0, 1.0, -1.0]


def test_revised_is_wrong_and_had_a_line_of_its_own_to_build_on() -> None:
    def made(outcome: Outcome, given: int, recoverable: int) -> bool:
        return LineLabels("p", "a\nb\n", outcome, given, recoverable, (1, -1)).revised

    assert made(WRONG, 0, 1)
    assert not made(WRONG, 0, 0)
    assert not made(WRONG, 1, 1)
    assert not made(PASSED, 0, 2)


def test_lines_of_a_program_that_does_not_compile_hold_code_unless_they_look_idle() -> None:
    text = "def f(:\n\n    # why\n    if x:  # so\n        y = '#'\n    else: # or\n        z\n"
    assert code_lines(text, verdict(SYNTAX, set())) == {1, 4, 5, 7}
    assert code_lines(text, verdict(WRONG, {1, 2})) == {1, 2}
    assert [holds_code(line) for line in (" ", "# x", "else:", "finally: # x", "x # y", "'#'")] == [
        False, False, False, False, True, True
    ]  # fmt: skip


def test_verdicts_without_lines_and_no_completions_are_refused(policy: CausalPolicy, env: UnitTestEnv) -> None:
    with pytest.raises(UsageError, match="with trace=True"):
        labelled(policy, env, attempt(env, LATE, code=None))
    with pytest.raises(UsageError, match="at least 1 completion"):
        labelled(policy, env, attempt(env, LATE), k=0)


def test_labels_survive_a_file() -> None:
    made = LineLabels("p", "a\nb\n", WRONG, 0, 1, (1, -1))
    assert LineLabels.from_dict(made.to_dict()) == made
    assert made.to_dict()["outcome"] == "WRONG_ANSWER"


def test_the_judge_says_which_lines_hold_code(policy: CausalPolicy, env: UnitTestEnv) -> None:
    """The judge itself: `else:` and comments are reported as no code, and completions are run."""
    text = "def f():\n    if not f:\n        return 1\n    else:\n        # so\n        return 2\n"
    problem = Problem("sum", "Give 3.", [CallCase((), 3)], "f")
    with UnitTestEnv(
        [problem], tokenizer=env.tokenizer, max_program_tokens=100, sandbox_options={"workers": 1}
    ) as real:
        real.require("trace", "the test")
        made = Attempt(problem, real.program_of(problem, text), real.verdict_on(problem, text))
        result, _ = labelled(policy, real, made)
    assert result.labels[0].labels == (1, -1, -1, 0, 0, -1)
