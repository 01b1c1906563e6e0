"""What a person sees: frames of a running and of a finished episode, worked by hand."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.wrappers import Autoreset, RecordEpisodeStatistics, RecordVideo, RenderCollection

import rltf_env  # noqa: F401 (registers the ids)
from rltf_env import sandbox
from rltf_env.core import CallCase, CaseResult, Failure, FailureKind, Feedback, Judgement, Outcome, Problem, Verdict
from rltf_env.tokenizers import Bytes
from rltf_env.view import ansi, screen, syntax

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


def judged(text: str, rewards: dict[int, float], verdict: Verdict = FAILED, program_reward: float = 0.0) -> str:
    program = Bytes().program([*text.encode(), 256])
    tokens = np.zeros(len(program), np.float32)
    tokens[list(rewards)] = list(rewards.values())
    feedback = Feedback.build(program, "fine", tokens=tokens) + Feedback.build(
        program, "coarse", program_reward=program_reward
    )
    return ansi.frame(PROBLEM, program, 64, Judgement(verdict, feedback))


def test_a_running_episode_shows_the_program_so_far() -> None:
    frame = ansi.frame(PROBLEM, Bytes().program(list(b"def f(x):\n\tretu")), 64)
    assert plain(frame) == "double  15/64 tokens\n    1 | def f(x):\n    2 | \tretu"


def test_an_empty_program_can_be_shown() -> None:
    assert plain(ansi.frame(PROBLEM, Bytes().program([]), 64)) == "double  0/64 tokens\n    1 | "


def test_the_end_says_the_verdict_in_words_and_marks_the_line() -> None:
    frame = plain(judged("def f(x):\n    x / 0\n", {14: -1.5}, program_reward=-0.5))
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
    frame = plain(judged("f = abs", {}, Verdict((CaseResult(Outcome.PASSED),)), program_reward=1.0))
    assert frame.endswith("\npassed, 1 of 1 cases passed.\nreward +1.00 = fine +0.00, coarse +1.00\ntokens ·······█")
    assert ">" not in frame


def test_each_token_is_as_warm_as_its_own_reward() -> None:
    # The whole program's share is in words alone.
    frame = judged("abcd", {0: -1.0, 1: -0.25, 3: 0.5}, program_reward=-9.0)
    assert "\x1b[48;5;160ma\x1b[0m\x1b[48;5;88mb\x1b[0mc\x1b[48;5;34md\x1b[0m" in frame


def test_the_bytes_of_one_character_add_up() -> None:
    frame = judged("é", {0: -0.5, 1: -0.5})
    assert "\x1b[48;5;160mé\x1b[0m" in frame


@pytest.mark.parametrize(
    ("text", "seen"),
    [("\x1b[2J", "\u241b[2J"), ("a\x07\x7f", "a\u2407\u2421"), ("\u202e\x9b", "\ufffd\ufffd"), ("\tü", "\tü")],
)
def test_what_a_program_wrote_cannot_reach_the_terminal(text: str, seen: str) -> None:
    frame = ansi.frame(PROBLEM, Bytes().program(list(text.encode())), 64)
    assert plain(frame).endswith(f"| {seen}")
    assert "\x1b" not in plain(frame)  # but the frame's own colours


def test_a_carriage_return_ends_a_line_as_in_python() -> None:
    frame = plain(ansi.frame(PROBLEM, Bytes().program(list(b"a\r\nb\rc")), 64))
    assert frame.split("\n")[1:] == ["    1 | a", "    2 | b", "    3 | c"]


def test_a_failures_message_cannot_reach_the_terminal() -> None:
    verdict = Verdict((CaseResult(Outcome.RUNTIME_ERROR, Failure("E\x1b[2J", "\x1b]0;x\x07\n")),))
    assert "It raised E\u241b[2J: \u241b]0;x\u2407\u240a" in plain(judged("x", {}, verdict))


# ----------------------------------------------------------------------------------------------------- colours, words


def test_python_has_colours_and_a_token_keeps_them_on_its_heat() -> None:
    pytest.importorskip("pygments")
    frame = ansi.frame(PROBLEM, Bytes().program(list(b"def f(): # x")), 64)
    assert "\x1b[35mdef\x1b[0m \x1b[34mf\x1b[0m(): \x1b[2m# x\x1b[0m" in frame
    assert "\x1b[35;48;5;160md\x1b[0m\x1b[35mef\x1b[0m" in judged("def f(): # x", {0: -1.0})


@pytest.mark.parametrize("text", ["def f(:\n\t'''", "\\", "x = 'é\r\n", "\x00", "0x", "f'{", ""])
def test_each_character_of_any_text_has_a_kind(text: str) -> None:
    kinds = syntax.kinds(text)
    assert len(kinds) == len(text)
    assert set(kinds) <= {"", *syntax.KINDS}


def test_without_pygments_and_on_very_long_texts_all_is_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(syntax.kinds("if " * syntax.LONGEST)) == {""}
    monkeypatch.setitem(sys.modules, "pygments.lexers.python", None)
    assert syntax.kinds("def") == ["", "", ""]
    assert plain(ansi.frame(PROBLEM, Bytes().program(list(b"def")), 64)).endswith("| def")


def test_every_kind_of_failure_has_a_sentence_of_its_own() -> None:
    kinds = [value for name, value in vars(FailureKind).items() if name.isupper()]
    sentences = {kind: ansi.sentence(Failure(kind)) for kind in (*kinds, "KeyError", "SyntaxError")}
    assert len(set(sentences.values())) == len(kinds) + 2
    assert not [kind for kind in kinds if "raised" in sentences[kind] or kind in sentences[kind]]
    assert all(sentence.endswith(".") for sentence in sentences.values())


@pytest.mark.parametrize(
    ("failure", "sentence"),
    [
        (Failure("KeyError", "'x'", line=3), "It raised KeyError on line 3: 'x'"),
        (
            Failure("TabError", "mixed", 2, bases=("IndentationError", "SyntaxError")),
            "It is no Python on line 2: mixed",
        ),
        (Failure(FailureKind.KILLED, detail="9"), "Its process was killed by signal 9."),
        (
            Failure(FailureKind.EXITED, detail="0", line=4),
            "It ended its process before it had answered with status 0 on line 4.",
        ),
    ],
)
def test_sentences_say_what_where_and_why(failure: Failure, sentence: str) -> None:
    assert ansi.sentence(failure) == sentence


def test_the_heat_line_has_a_mark_for_each_token_and_wraps() -> None:
    program = Bytes().program([97] * 70 + [256])
    rewards = [0.0] * 70
    rewards[0], rewards[1], rewards[69] = -1.0, 0.1, 0.5
    feedback = Feedback.build(program, "x", tokens=[*rewards, 0.0])
    lines = ansi.heat_line(feedback)
    assert [plain(line) for line in lines] == ["tokens █▁" + "·" * 62, "       ·····▅·"]
    assert lines[0].startswith(f"tokens {ansi.RED}█{ansi.RESET}{ansi.GREEN}▁{ansi.RESET}")
    assert ansi.heat_line(Feedback.build(program, "x")) == []


# -------------------------------------------------------------------------------------------------- modes, wrappers


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def make(mode: str | None = "ansi", **options: Any) -> gymnasium.Env:
    rules = {"ok": Outcome.PASSED}
    judge = sandbox.load("scripted", rules=rules)
    return gymnasium.make("RLTF-Procedural-v0", render_mode=mode, sandbox=judge, max_program_tokens=4, **options)


def run(env: gymnasium.Env, text: str = "ok") -> dict[str, Any]:
    """An episode that writes `text`; the last info."""
    env.reset(seed=0)
    for token in [*text.encode(), 256]:
        *_, terminated, truncated, info = env.step(token)
        if terminated or truncated:
            return info
    raise AssertionError("the episode did not end")


def test_human_mode_draws_each_moment_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", terminal := Terminal())
    env = make("human")
    run(env)
    assert env.render() is None
    frames = terminal.getvalue().split(screen.CLEAR)[1:]
    assert [plain(frame).split("  ")[1].split("\n")[0] for frame in frames] == [
        f"{n}/4 tokens" for n in (0, 1, 2, 3, 3)
    ]
    assert "passed, 6 of 6 cases passed." in plain(frames[-1])


def test_human_mode_writes_the_last_frame_alone_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    run(make("human"))
    out = capsys.readouterr().out
    assert out.count("tokens\n") == 1
    assert "\x1b" not in out
    assert "passed, 6 of 6" in out


def test_a_terminal_that_wants_no_colours_gets_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", terminal := Terminal())
    monkeypatch.setenv("NO_COLOR", "1")
    screen.draw(f"{ansi.BOLD}code{ansi.RESET}", last=False)
    assert terminal.getvalue() == f"{screen.CLEAR}code\n"


def test_a_terminal_that_cannot_move_gets_the_last_frame_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", terminal := Terminal())
    monkeypatch.setenv("TERM", "dumb")
    screen.draw("first", last=False)
    screen.draw(f"{ansi.BOLD}last{ansi.RESET}", last=True)
    assert terminal.getvalue() == "last\n"


def test_without_a_mode_nothing_is_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    run(make(None))
    assert capsys.readouterr().out == ""


def test_frames_are_collected_by_gymnasiums_own_wrapper() -> None:
    env = RenderCollection(make())
    run(env)
    frames = [plain(frame) for frame in env.render()]  # type: ignore[union-attr]
    assert [frame.split("\n")[1] for frame in frames] == ["    1 | ", "    1 | o", "    1 | ok", "    1 | ok"]
    assert "6 of 6 cases passed" in frames[-1]


def test_episode_statistics_are_recorded() -> None:
    env = RecordEpisodeStatistics(make())
    info = run(env)
    assert (info["episode"]["l"], info["episode"]["r"]) == (3, pytest.approx(1.0))
    assert run(env, "nope")["episode"]["l"] == 4


def test_statistics_and_order_survive_together_with_autoreset() -> None:
    env = RecordEpisodeStatistics(Autoreset(make()))
    run(env)
    _, reward, terminated, truncated, info = env.step(0)  # the step that resets
    assert (reward, terminated, truncated) == (0.0, False, False)
    assert info["problem"].startswith("procedural/")


def test_a_video_wants_pixels_and_gymnasium_says_so(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Render mode is ansi"):
        RecordVideo(make(), str(tmp_path))
