"""What a person sees: frames of a running and of a finished episode, worked by hand."""

from __future__ import annotations

import re

import numpy as np
import pytest

from rltf_env import render
from rltf_env.core import CallCase, CaseResult, Failure, Feedback, Judgement, Outcome, Problem, Verdict
from rltf_env.tokenizers import Bytes

PROBLEM = Problem("double", "Return twice x.", (CallCase((2,), 4), CallCase((3,), 6)), entry_point="f")
FAILED = Verdict(
    (
        CaseResult(Outcome.PASSED),
        CaseResult(Outcome.RUNTIME_ERROR, Failure("ZeroDivisionError", "division by zero", line=2)),
    )
)


def plain(frame: str) -> str:
    """The frame without colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", frame)


def judged(text: str, rewards: dict[int, float], verdict: Verdict = FAILED, sequence: float = 0.0) -> str:
    program = Bytes().program([*text.encode(), 256])
    tokens = np.zeros(len(program), np.float32)
    tokens[list(rewards)] = list(rewards.values())
    feedback = Feedback.build(program, "fine", tokens=tokens) + Feedback.build(program, "coarse", sequence=sequence)
    return render.ansi(PROBLEM, program, 64, Judgement(verdict, feedback))


def test_a_running_episode_shows_the_program_so_far() -> None:
    frame = render.ansi(PROBLEM, Bytes().program(list(b"def f(x):\n\tretu")), 64)
    assert plain(frame) == "double  15/64 tokens\n    1 | def f(x):\n    2 | \tretu"


def test_an_empty_program_can_be_shown() -> None:
    assert plain(render.ansi(PROBLEM, Bytes().program([]), 64)) == "double  0/64 tokens\n    1 | "


def test_the_end_says_the_verdict_in_words_and_marks_the_line() -> None:
    frame = plain(judged("def f(x):\n    x / 0\n", {14: -1.5}, sequence=-0.5))
    assert frame.split("\n") == [
        "double  21/64 tokens",
        "    1 | def f(x):",
        ">   2 |     x / 0",
        "    3 | ",
        "error while running, 1 of 2 cases passed. It raised ZeroDivisionError on line 2: division by zero",
        "reward -2.00 = fine -1.50, coarse -0.50",
        "tokens ··············█·····▃",
    ]


def test_a_passed_program_has_no_failing_line() -> None:
    frame = plain(judged("f = abs", {}, Verdict((CaseResult(Outcome.PASSED),)), sequence=1.0))
    assert frame.endswith("\npassed, 1 of 1 cases passed.\nreward +1.00 = fine +0.00, coarse +1.00\ntokens ·······█")
    assert ">" not in frame


def test_each_token_is_as_warm_as_its_own_reward() -> None:
    frame = judged("abcd", {0: -1.0, 1: -0.25, 3: 0.5}, sequence=-9.0)  # the whole program's share is in words alone
    assert "\x1b[48;5;160ma\x1b[0m\x1b[48;5;88mb\x1b[0mc\x1b[48;5;34md\x1b[0m" in frame


def test_the_bytes_of_one_character_add_up() -> None:
    frame = judged("é", {0: -0.5, 1: -0.5})
    assert "\x1b[48;5;160mé\x1b[0m" in frame


@pytest.mark.parametrize(
    ("text", "seen"),
    [("\x1b[2J", "\u241b[2J"), ("a\x07\x7f", "a\u2407\u2421"), ("\u202e\x9b", "\ufffd\ufffd"), ("\tü", "\tü")],
)
def test_what_a_program_wrote_cannot_reach_the_terminal(text: str, seen: str) -> None:
    frame = render.ansi(PROBLEM, Bytes().program(list(text.encode())), 64)
    assert plain(frame).endswith(f"| {seen}")
    assert "\x1b" not in plain(frame)  # but the frame's own colours


def test_a_carriage_return_ends_a_line_as_in_python() -> None:
    frame = plain(render.ansi(PROBLEM, Bytes().program(list(b"a\r\nb\rc")), 64))
    assert frame.split("\n")[1:] == ["    1 | a", "    2 | b", "    3 | c"]


def test_a_failures_message_cannot_reach_the_terminal() -> None:
    verdict = Verdict((CaseResult(Outcome.RUNTIME_ERROR, Failure("E\x1b[2J", "\x1b]0;x\x07\n")),))
    assert "It raised E\u241b[2J: \u241b]0;x\u2407\u240a" in plain(judged("x", {}, verdict))
