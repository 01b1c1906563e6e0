"""Whole programs as actions: the same rewards as token by token; repairs that learn of public examples and of nothing else."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.error import InvalidAction, ResetNeeded
from gymnasium.spaces.utils import flatten, flatten_space, unflatten

from rltf_env import sandbox
from rltf_env.core import Attempt, CallCase, Outcome, Problem, ScriptCase, StdinCase
from rltf_env.env import UnitTestEnv
from rltf_env.errors import SandboxError, UnknownName, UsageError
from rltf_env.sandbox.scripted import ScriptedSandbox
from rltf_env.sources import Uniform
from rltf_env.spaces import Unicode
from rltf_env.text import TextEnv
from rltf_env.view import screen

EOS = 256
DOUBLE = Problem(
    "double",
    "Return twice x.",
    (CallCase((2,), 4), CallCase((3,), 6), CallCase((5,), 10)),
    entry_point="f",
    examples=(CallCase((2,), 4),),
)
PROGRAMS = (
    "def f(x):\n    return x +",
    "def f(x):\n    return x / 0\n",
    "def f(x):\n    return 4\n",
    "def f(x):\n    return 2 * x\n",
    "def f(x):  # größer 🙂\n    return 2 * x\n",
    "",
    "x" * 64,
    "x" * 63,
    "x" * 500,
    "ö" * 40,
)


@pytest.fixture(scope="module")
def judge() -> Iterator[Any]:
    with sandbox.load("auto") as shared:
        yield shared


@pytest.fixture
def make(judge: Any) -> Any:
    """A text environment over `DOUBLE` alone, unless told otherwise."""

    def build(*problems: Problem, **options: Any) -> TextEnv:
        options = {"sandbox": judge, "max_program_tokens": 64, "max_prompt_tokens": 64} | options
        return TextEnv(problems or (DOUBLE,), **options)

    return build


# ------------------------------------------------------------------------------------------ as token by token


@pytest.mark.parametrize("reward", ["rltf", "fine", "coarse"])
@pytest.mark.parametrize("prefix", ["", "def f(x):\n"])
def test_a_program_earns_what_its_tokens_earn(make: Any, judge: Any, reward: str, prefix: str) -> None:
    text = make(reward=reward)
    token = UnitTestEnv((DOUBLE,), sandbox=judge, reward=reward, max_program_tokens=64, max_prompt_tokens=64)
    for program in PROGRAMS:
        rest = program.removeprefix(prefix)
        for env in (text, token):
            env.reset(options={"prefix": prefix})
        told = text.step(rest)
        for action in [*rest.encode(), EOS]:
            stepped = token.step(action)
            if stepped[2] or stepped[3]:
                break
        assert told[1:4] == stepped[1:4]
        assert told[4]["program"] == stepped[4]["program"]
        assert told[4]["feedback"] == stepped[4]["feedback"]
        assert [r.outcome for r in told[4]["verdict"].results] == [r.outcome for r in stepped[4]["verdict"].results]


def test_the_same_seed_gives_the_same_problems_as_tokens() -> None:
    env, twin = gymnasium.make("RLTF-Procedural-Text-v0"), gymnasium.make("RLTF-Procedural-v0")
    for seed in (5, None, None):
        observation, info = env.reset(seed=seed)
        assert info == twin.reset(seed=seed)[1]
        assert observation == info["prompt"]


def test_what_is_given_stands_at_the_end_of_the_observation(make: Any) -> None:
    env = make(replace(DOUBLE, prefix="def f(x):\n"))
    observation, info = env.reset()
    assert observation == info["prompt"] + "def f(x):\n"
    observation, reward, terminated, *_, info = env.step("    return x + x\n")
    assert info["program"].text == "def f(x):\n    return x + x\n"
    assert (reward, terminated) == (1.0, True)
    assert observation.endswith("def f(x):\n    return x + x\n")


def test_a_text_that_spells_the_end_token_ends_there() -> None:
    class Dollar:
        """Characters below 128 as tokens; a dollar sign ends."""

        vocab_size, eos_id = 128, ord("$")

        def encode(self, text: str) -> list[int]:
            return list(text.encode("ascii"))

        def program(self, tokens: Any, *, prefix_length: int = 0, truncated: bool = False) -> Any:
            from rltf_env.core import Program

            ids = np.asarray(tokens, np.int64)
            text = bytes(ids[ids != self.eos_id].tolist()).decode()
            return Program(ids, text, np.minimum(np.arange(len(ids)), len(text)), prefix_length, truncated)

    env = TextEnv((DOUBLE,), sandbox=ScriptedSandbox({"ab": True}, False), tokenizer=Dollar(), reward="coarse")
    env.reset()
    _, reward, terminated, truncated, info = env.step("ab$cd")
    assert (reward, terminated, truncated) == (1.0, True, False)
    assert info["program"].text == "ab"


@pytest.mark.parametrize("action", [None, 3, b"x", ["x"], "\ud800"])
def test_what_is_no_text_is_refused(make: Any, action: Any) -> None:
    env = make()
    env.reset()
    with pytest.raises(InvalidAction, match="a text that UTF-8 can hold"):
        env.step(action)
    assert env.step("f = abs")[2]


def test_step_needs_a_reset(make: Any) -> None:
    env = make()
    with pytest.raises(ResetNeeded):
        env.step("")
    env.reset()
    env.step("")
    with pytest.raises(ResetNeeded, match="has ended"):
        env.step("")


# ----------------------------------------------------------------------------------------------------------- repairs


def test_a_program_that_fails_may_be_repaired(make: Any) -> None:
    env = make(max_turns=3)
    first, _ = env.reset()
    observation, *rest, info = env.step("def f(x):\n    return x + 3\n")
    assert rest == [0.0, False, False]
    assert observation == (
        f"{first}\nProgram 1 of 3:\ndef f(x):\n    return x + 3\n\n"
        "Result:\nf(2) == 4\n-> WrongAnswer: expected 4, got 5\n\nProgram 2 of 3, from its beginning:\n"
    )
    assert info["examples"].outcome is Outcome.WRONG_ANSWER
    observation, *rest, info = env.step("def f(x):\n    return 4\n")
    assert rest == [0.0, False, False]
    assert "f(2) == 4\n-> passed\nFails tests that are not shown.\n" in observation
    _, *rest, info = env.step("def f(x):\n    return 2 * x\n")
    assert rest == [1.0, True, False]
    assert info["turn"] == 3


def test_a_program_that_passes_ends_the_episode(make: Any) -> None:
    env = make(max_turns=3)
    env.reset()
    _, reward, terminated, _, info = env.step("def f(x):\n    return 2 * x\n")
    assert (reward, terminated, info["turn"]) == (1.0, True, 1)


def test_the_reward_is_that_of_the_last_program(make: Any) -> None:
    env = make(max_turns=2)
    single = make()
    for last in PROGRAMS:
        env.reset()
        single.reset()
        assert env.step("def f(x):\n    return 7\n")[1] == 0
        assert env.step(last)[1:4] == single.step(last)[1:4]


def test_the_source_is_told_of_the_last_program_only(make: Any) -> None:
    class Remembering(Uniform):
        def observe(self, attempt: Attempt) -> None:
            seen.append(attempt.program.text)

    seen: list[str] = []
    env = make(source=Remembering([DOUBLE]), max_turns=2)
    env.reset()
    env.step("a")
    assert not seen
    env.step("b")
    assert seen == ["b"]


def test_max_turns_of_the_text_id_is_the_repair_id() -> None:
    repair, text = gymnasium.make("RLTF-Procedural-Repair-v0"), gymnasium.make("RLTF-Procedural-Text-v0", max_turns=3)
    assert repair.observation_space == text.observation_space
    assert repair.reset(seed=1) == text.reset(seed=1)
    for env in (repair, text):
        assert [env.step("x = 1")[2] for _ in range(3)] == [False, False, True]
        env.close()


def test_a_time_limit_allows_fewer_programs_and_judges_the_last() -> None:
    env = gymnasium.make("RLTF-Procedural-Repair-v0", max_episode_steps=2, sandbox="scripted")
    env.reset(seed=0)
    assert env.step("x")[3] is False
    _, reward, terminated, truncated, info = env.step("x")
    assert (terminated, truncated) == (False, True)
    assert reward == info["feedback"].total


def test_observations_stay_within_their_space(make: Any) -> None:
    examples = tuple(CallCase((i,), "🙂" * 200) for i in range(20))
    env = make(replace(DOUBLE, examples=examples), max_turns=4, prompt_style="statement")
    observation, _ = env.reset()
    for program in ("🙂" * 500, "raise ValueError('\\ud800' * 9999)", "print('\\x1b[31m')\n" * 40, "x" * 9999):
        assert observation in env.observation_space
        observation, *_ = env.step(program)
    assert observation in env.observation_space


# --------------------------------------------------------------------------------------- what must not be told

CANARY = "c4n4ry"
SPIES = (  # each tries to make the judge talk about the hidden case
    "def f(x):\n    print(x)\n    return x\n",
    "def f(x):\n    raise ValueError(x)\n",
    "def f(x):\n    return {x: x}[None]\n",
    "def f(x):\n    import sys\n    sys.stderr.write(str(x))\n    return str(x) * 2\n",
    "import sys\ntext = sys.stdin.read()\nprint(text)\nraise KeyError(text)\n",
    "def f(x",
)


def hidden(kind: str, public: bool) -> Problem:
    """A problem whose hidden case holds the canary in every place."""
    if kind == "call":
        case, shown, entry = CallCase((CANARY,), f"{CANARY}!"), CallCase(("a",), "a!"), "f"
    elif kind == "stdin":
        case, shown, entry = StdinCase(f"{CANARY}\n", f"{CANARY}!\n"), StdinCase("a\n", "a!\n"), None
    else:
        case, shown, entry = (
            ScriptCase(f"assert f({CANARY!r}) == '{CANARY}!', {CANARY!r}"),
            ScriptCase("assert f(1)"),
            "f",
        )
    return Problem(kind, "Say it.", (case, shown), entry_point=entry, examples=(shown,) if public else ())


@pytest.mark.parametrize("public", [True, False], ids=["with examples", "without"])
@pytest.mark.parametrize("kind", ["call", "stdin", "script"])
def test_no_observation_and_no_info_tells_what_a_hidden_case_holds(make: Any, kind: str, public: bool) -> None:
    env = make(hidden(kind, public), max_turns=2, max_program_tokens=128)
    told = env.judge(env.source.find(kind), SPIES[4 if kind == "stdin" else 1]).verdict
    assert CANARY in repr(told)  # so there is something to hide
    for spy in SPIES:
        seen = [env.reset(), env.step(spy), env.step(spy)]
        assert CANARY not in repr(seen)
        assert seen[-1][2] is True
        assert "verdict" not in seen[1][-1]


def test_of_a_public_case_everything_is_told(make: Any) -> None:
    env = make()
    env.reset()
    *_, info = env.step("def f(x):\n    print('hello')\n    return 1\n")
    first, *others = info["verdict"].results
    assert (first.failure.message, first.stdout) == ("expected 4, got 1", "hello\n")
    assert {(result.failure.message, result.stdout) for result in others} == {("", "")}


SUITE = f"""
import unittest
from solution import f
class Tests(unittest.TestCase):
    def test_one(self):
        self.assertEqual(f(2), 4, "{CANARY}")
    def test_two(self):
        self.assertEqual(f(3), 6, "{CANARY}")
"""


@pytest.mark.parametrize("public", [True, False], ids=["with examples", "without"])
def test_a_suite_has_a_result_for_each_of_its_tests(make: Any, public: bool) -> None:
    cases = (ScriptCase(SUITE),)
    problem = Problem("suite", "Twice.", cases, solutions=("def f(x):\n    return 2 * x\n",))
    env = make(replace(problem, examples=cases if public else ()), max_turns=3, max_prompt_tokens=512)
    env.reset()
    assert (CANARY in env.step("def f(x):\n    return x * x\n")[0]) is public
    observation, *_ = env.step("def f(x):\n    return x + 2\n")
    assert observation.count("\n-> passed\n-> WrongAnswer") == (2 if public else 0)
    *_, info = env.step("def f(x):\n    return 4\n")
    assert [result.outcome for result in info["verdict"].results] == [Outcome.PASSED, Outcome.WRONG_ANSWER]
    assert (CANARY in repr(info)) is public


def test_without_examples_only_the_programs_own_syntax_is_told(make: Any) -> None:
    env = make(replace(DOUBLE, examples=()), max_turns=3)
    env.reset()
    assert "Result:\nSyntaxError on line 1\n" in env.step("def f(x")[0]
    observation, *_, info = env.step("def f(x):\n    return 1 / 0\n")
    assert observation.count("Fails tests that are not shown.") == 1
    assert "examples" not in info


# ------------------------------------------------------------------------------------------- a judge that fails


@pytest.mark.parametrize("sound", [0, 1])
def test_a_judge_that_fails_takes_back_the_step(make: Any, sound: int) -> None:
    left = [sound, 2]

    def rules(source: str, problem: Problem) -> Any:
        index = next((i for i, count in enumerate(left) if count), None)
        if index is not None:
            left[index] -= 1
        return SandboxError("down") if index == 1 else False

    env = make(sandbox=ScriptedSandbox(rules, False), max_turns=2)
    env.reset()
    with pytest.raises(SandboxError):
        env.step("x")
    assert env.step("x")[1:4] == (0.0, False, False)
    assert env.step("x")[2] is True


# -------------------------------------------------------------------------------------------------- the space


def test_the_space_holds_any_text_that_utf8_can() -> None:
    space = Unicode(5, seed=1)
    assert all(text in space for text in ("", "abc", "ö🙂\0\n\r", "é" * 5))
    assert not any(text in space for text in ("abcdef", "\ud800", b"abc", 3, None))
    assert space == Unicode(5) != Unicode(6)
    assert all(space.sample() in space for _ in range(50))
    assert len(Unicode(500, seed=1).sample(mask=(200, None))) == 200


@pytest.mark.parametrize("text", ["", "abc", "ö🙂\0\n", "🙂" * 9])
def test_a_text_survives_flattening(text: str) -> None:
    space = Unicode(9)
    flat = flatten(space, text)
    assert flat in flatten_space(space)
    assert unflatten(space, flat) == text


def test_text_environments_vectorise() -> None:
    env = gymnasium.make_vec("RLTF-Procedural-Text-v0", num_envs=2, sandbox="scripted")
    prompts, infos = env.reset(seed=0)
    assert prompts == tuple(infos["prompt"])
    *_, terminated, _, infos = env.step(("a", "ö"))
    assert terminated.all()
    assert [program.text for program in infos["program"]] == ["a", "ö"]


def test_turns_are_counted_from_one() -> None:
    with pytest.raises(UsageError, match="max_turns to be an integer of at least 1, got 0"):
        TextEnv(max_turns=0)


def test_unknown_arguments_are_told_with_those_of_repairs() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'max_turns'"):
        TextEnv(max_turn=2)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_human_mode_draws_every_program(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", terminal := Terminal())
    env = make(max_turns=2, render_mode="human")
    env.reset()
    env.step("def f(x):\n    return 1\n")
    env.step("def f(x):\n    return 1 / 0\n")
    begun, failed, ended = screen.plain(terminal.getvalue()).split(screen.CLEAR)[1:]
    assert "0/64 tokens" in begun
    assert "return 1" in failed
    assert "cases passed" not in failed
    assert "ZeroDivisionError on line 2" in ended


def test_frames_show_the_latest_program(make: Any) -> None:
    env = make(max_turns=2, render_mode="ansi")
    env.reset()
    assert "0/64 tokens" in env.render()
    env.step("def f(x):\n    return 1\n")
    assert "return" in env.render()
    assert "cases passed" not in env.render()
    env.step("def f(x):\n    return 1 / 0\n")
    assert "ZeroDivisionError on line 2" in env.render()
    silent = make()
    silent.reset()
    with pytest.warns(UserWarning, match='render_mode="ansi"'):
        assert silent.render() is None
