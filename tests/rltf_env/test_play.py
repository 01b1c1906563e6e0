"""`python -m rltf_env.play`, driven through a pipe: what a person types, what it answers."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest

from rltf_env import play
from rltf_env.tokenizers import Bytes
from rltf_env.view import screen

Play = Callable[..., str]


@pytest.fixture
def typed(capsys: pytest.CaptureFixture[str]) -> Play:
    """What the command writes when this is typed; it must end well."""

    def run(text: str, *arguments: str, status: int = 0) -> str:
        out = io.StringIO()
        assert play.main(["--seed", "0", *arguments], io.StringIO(text), out) == status
        return out.getvalue() + capsys.readouterr().err

    return run


def test_a_program_is_judged_at_an_empty_line_and_at_the_end_of_the_input(typed: Play) -> None:
    out = typed("def f(x):\n    return 1 / 0\n\ndef f(x):\n    return (len(x) + 1) ** 2\n")
    assert "Given a list of integers x, count the numbers, then add 1" in out
    assert ">   2 |     return 1 / 0" in out
    assert "0 of 6 cases passed. It raised ZeroDivisionError on line 2: division by zero" in out
    assert out.count("reward") == 2
    assert "passed, 6 of 6 cases passed." in out
    assert "\x1b" not in out


def test_token_by_token(typed: Play) -> None:
    out = typed(":step\nx = 1\n\ny\n:end\n:quit\n")
    assert "    1 | x = 1\n    2 | \n>   3 | y\n" in out
    assert "10/512 tokens" in out
    assert out.count("procedural/train/") == 2  # the problem and the frame of the end: the next one is for the asking


def test_lines_that_are_entered_one_by_one_are_lines_of_the_program(typed: Play) -> None:
    out = typed(":step\ndef f(x):\n    return (len(x) + 1) ** 2\n:end\n:quit\n")
    assert "passed, 6 of 6 cases passed." in out


def test_steps_can_be_left_and_the_program_cut_off(typed: Play) -> None:
    out = typed(":step\nabc\n:quit\nx\n\n:q\n")
    assert "abc" not in out
    assert ">   1 | x\n" in out
    assert "4/4 tokens" in typed(":step\nabcdefgh\n:quit\n", "--env", "max_program_tokens=4")


def test_commands_by_their_beginning_and_unknown_ones_by_name(typed: Play) -> None:
    out = typed(":ref\n:n\n:r\n:prompt\n:\n:nxt\n\n:quit\nignored\n")
    assert out.count("passed, 6 of 6 cases passed.") == 2
    assert out.count("Given an integer x") == 2
    assert out.count(":reference  ") == 1  # the help
    assert "Unknown command ':nxt'. Did you mean ':next'?" in out
    assert "ignored" not in out


def test_a_command_within_a_program_is_no_line_of_it(typed: Play) -> None:
    out = typed("def f(x):\n    return 1\n:end\n:quit\n")
    assert "wrong answer" in out
    assert "no Python" not in out
    out = typed("def f(x):\n:what\n    return 1\n:next\n:quit\n")
    assert "Unknown command ':what'" in out
    assert "Dropped 2 lines that were typed before :next." in out
    assert "reward" not in out


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_in_a_terminal_lines_are_edited_recalled_and_dropped() -> None:
    pytest.importorskip("readline")
    import pty

    ours, theirs = pty.openpty()
    run = [sys.executable, "-m", "rltf_env.play", "--seed", "0"]
    with subprocess.Popen(run, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True) as process:
        os.close(theirs)
        seen = _reads(ours, ">>> ")
        for keys, wanted in (
            ("a = 13\x1b[D2\n\n", "reward"),  # an arrow to the left: a = 123
            ("\x1b[A\n\n", "reward"),  # an arrow up: the line again
            (":quit\n", ""),
        ):
            os.write(ours, keys.encode())
            seen += _reads(ours, wanted) if wanted else ""
        assert process.wait(20) == 0
    os.close(ours)
    assert seen.count("1 |\x1b[0m a = ") == 2
    assert "123" in seen
    assert "^[[" not in seen


def _reads(terminal: int, wanted: str) -> str:
    """What a terminal shows until this has come, and is shown the prompt again."""
    seen = ""
    while wanted not in seen or not seen.rstrip().endswith(">>>"):
        seen += os.read(terminal, 4096).decode(errors="replace")
    return seen


def test_a_policy_is_watched(typed: Play) -> None:
    out = typed("", "--policy", "rltf_env.play:reference", "--episodes", "3")
    assert out.count("passed, 6 of 6 cases passed.") == 3
    assert ">>>" not in out


def test_a_policy_of_somebodys_own_gets_options_and_gives_its_tokenizer(
    typed: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Upper(Bytes):
        def encode(self, text: str) -> list[int]:
            return super().encode(text.upper())

    def load(word: str, times: int = 1) -> play.Policy:
        def policy(env, observation):
            assert (observation["program"] == env.pad_id).all()
            return env.tokenizer.encode(word * times)

        policy.tokenizer = Upper()  # type: ignore[attr-defined]
        return policy

    somebody = types.ModuleType("somebody")
    vars(somebody)["load"] = load
    monkeypatch.setitem(sys.modules, "somebody", somebody)
    assert "| XYXYXY\n" in typed("", "--policy", "somebody:load", "--with", "word=xy", "--with", "times=3")


def test_code_that_is_given_is_shown_and_kept(typed: Play, data: Path) -> None:
    out = typed("    return 1\n\n", "RLTF-HumanEval-v0", "--problem", "HumanEval/53")
    assert "The program begins with:\n" in out
    assert ">   " in out or "wrong answer" in out
    assert "def add(x: int, y: int)" in out.split("The program begins with:")[1]


def test_judged_programs_are_kept_as_a_page(typed: Play, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    out = typed("x = '</script>'\n\n:ref\n", "--html", str(page))
    assert f"2 judged programs are in {page}" in out
    text = page.read_text(encoding="utf-8")
    assert text.count('<section class="rltf">') == 2
    assert "</script>" not in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["RLTF-Nothing-v0"], "RLTF-Nothing"),
        (["--policy", "tiny"], 'Expected a policy as "module:attr"'),
        (["--problem", "procedural/train/9/1"], "Unknown problem"),
        (["--env", "max_program_tokens"], "Expected an option as KEY=VALUE"),
        (["--env", "reward=cours"], "Did you mean 'coarse'"),
    ],
)
def test_mistakes_end_with_a_word(arguments: list[str], message: str, typed: Play) -> None:
    assert message in typed("", *arguments, status=2)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_there_are_prompts_and_every_token_is_drawn() -> None:
    out = Terminal()
    assert play.main(["--seed", "0"], io.StringIO(":step\nab\n:quit\nx\n\n"), out) == 0
    frames = out.getvalue().split(screen.CLEAR)
    assert len(frames) == 4
    assert "1/512 tokens" in frames[1]
    assert "2/512 tokens" in frames[2]
    assert "tok> " in frames[0]
    assert ">>> ... " in frames[3]
    assert "\x1b[1m" in frames[0]


def test_the_command_works_in_a_pipe() -> None:
    run = [sys.executable, "-W", "error", "-m", "rltf_env.play", "--seed", "0"]
    done = subprocess.run(run, input=":reference\n", capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stderr) == (0, "")
    assert "passed, 6 of 6 cases passed." in done.stdout
