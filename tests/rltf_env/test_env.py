"""Episodes: what is seen, what may be done, how they begin and end, what is earned, what is refused."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from episodes import DOUBLE, EOS, PAD, PROGRAMS, play
from gymnasium.error import InvalidAction, ResetNeeded

from rltf_env import rewards, sandbox
from rltf_env.core import Outcome, Problem
from rltf_env.env import UnitTestEnv
from rltf_env.errors import UnknownName, UsageError
from rltf_env.sources import Cycle
from rltf_env.tokenizers import Bytes
from rltf_env.view import pixels


@pytest.fixture(scope="module")
def judge() -> Iterator[Any]:
    """One real sandbox that all environments of this file share."""
    with sandbox.load("auto") as shared:
        yield shared


@pytest.fixture
def make(judge: Any) -> Any:
    """Builds an environment over `DOUBLE` alone, unless told otherwise."""

    def build(problems: Sequence[Problem] = (DOUBLE,), **kwargs: Any) -> UnitTestEnv:
        return UnitTestEnv(problems, **({"sandbox": judge, "max_prompt_tokens": 64, "max_program_tokens": 64} | kwargs))

    return build


# ------------------------------------------------------------------------------------------------------- observations


def test_prompt_and_program_are_padded_on_the_right(make: Any) -> None:
    env = make(prompt_style="statement", max_program_tokens=4)
    observation, info = env.reset()
    prompt = list(b"Return twice x.\n")
    assert observation["prompt"].tolist() == prompt + [PAD] * (64 - len(prompt))
    assert observation["program"].tolist() == [PAD] * 4
    assert info == {"problem": "double", "prompt": "Return twice x.\n"}
    observation, *_ = env.step(ord("x"))
    assert observation["program"].tolist() == [ord("x"), PAD, PAD, PAD]


def test_an_observation_never_changes_once_handed_out(make: Any) -> None:
    env = make()
    handed_out = [env.reset()[0]] + [env.step(token)[0] for token in (65, 66, 67)]
    kept = [{key: array.copy() for key, array in one.items()} for one in handed_out]
    for key in ("prompt", "program"):
        handed_out[-1][key][:] = kept[-1][key][:] = 0  # nor does the environment see what is done to it
    observation, *_ = env.step(68)
    env.reset()
    assert observation["program"][:4].tolist() == [65, 66, 67, 68]
    for one, copy in zip(handed_out, kept, strict=True):
        assert all(np.array_equal(one[key], copy[key]) for key in one)


def test_steps_encode_nothing(make: Any) -> None:
    class Counting(Bytes):
        calls = 0

        def encode(self, text: str) -> list[int]:
            Counting.calls += 1
            return super().encode(text)

    env = make(tokenizer=Counting())
    env.reset()
    before = Counting.calls
    for _ in range(50):
        env.step(65)
    assert before
    assert Counting.calls == before


# --------------------------------------------------------------------------------------------------- how it ends


def test_the_end_token_terminates(make: Any) -> None:
    earned, terminated, truncated, info = play(make(), [*b"f = abs", EOS])
    assert (terminated, truncated) == (True, False)
    assert earned[:-1] == [0.0] * 7
    assert info["program"].text == "f = abs"
    assert not info["program"].truncated
    assert info["problem"] == "double"


def test_the_last_allowed_token_truncates(make: Any) -> None:
    _, terminated, truncated, info = play(make(max_program_tokens=7), list(b"f = abs"))
    assert (terminated, truncated) == (False, True)
    assert info["program"].truncated


def test_an_end_token_in_the_last_place_terminates_only(make: Any) -> None:
    _, terminated, truncated, info = play(make(max_program_tokens=8), [*b"f = abs", EOS])
    assert (terminated, truncated) == (True, False)
    assert not info["program"].truncated


def test_truncated_program_is_still_judged(make: Any) -> None:
    text = b"def f(x): return 2 * x"
    earned, _, truncated, info = play(make(max_program_tokens=len(text)), text)
    assert truncated
    assert info["verdict"].outcome is Outcome.PASSED
    assert earned[-1] > 0


def test_step_rewards_sum_to_what_the_tokens_earned(make: Any) -> None:
    for text in PROGRAMS:
        earned, *_, info = play(make(), [*text.encode(), EOS])
        assert sum(earned) == pytest.approx(float(info["feedback"].rewards.sum()))
        assert len(info["feedback"].rewards) == len(earned)


@pytest.mark.parametrize("reward", ["coarse", "adaptive", "fine", "rltf", "coarse+fine"])
@pytest.mark.parametrize("end", ["terminated", "truncated"])
def test_stepping_equals_judging(make: Any, reward: str, end: str) -> None:
    for text, outcome in PROGRAMS.items():
        tokens = [*text.encode(), EOS] if end == "terminated" else list(text.encode())
        env = make(reward=reward, max_program_tokens=len(tokens))
        earned, _, truncated, info = play(env, tokens)
        assert truncated == (end == "truncated")
        assert info["verdict"].outcome is outcome
        for same in (info["program"], tokens, np.array(tokens)):
            judged = env.judge(DOUBLE, same)
            assert judged.verdict.same(info["verdict"])
            assert judged.feedback.total == earned[-1]
            assert np.array_equal(judged.feedback.rewards, info["feedback"].rewards)
            assert np.array_equal(judged.feedback.loss_mask, info["feedback"].loss_mask)
            assert judged.feedback.parts == info["feedback"].parts


def test_step_needs_a_reset_first(make: Any) -> None:
    with pytest.raises(ResetNeeded, match="no episode has begun"):
        make().step(65)


def test_step_needs_a_reset_after_the_end(make: Any) -> None:
    env = make()
    play(env, [EOS])
    with pytest.raises(ResetNeeded, match="the episode has ended"):
        env.step(65)
    env.reset()
    env.step(65)


@pytest.mark.parametrize("action", [-1, 257, 1000, 1.0, "a", None, np.array([5]), np.float64(3), [5]])
def test_what_is_not_a_token_is_refused(make: Any, action: Any) -> None:
    env = make()
    env.reset()
    with pytest.raises(InvalidAction, match=r"integer in \[0, 257\)"):
        env.step(action)
    assert env.step(65)[0]["program"][0] == 65  # nothing was written down


@pytest.mark.parametrize("action", [65, np.int64(65), np.uint8(65), np.array(65)])
def test_any_integer_is_a_token(make: Any, action: Any) -> None:
    env = make()
    env.reset()
    assert env.step(action)[0]["program"][0] == 65


THREE = tuple(replace(DOUBLE, id=name) for name in ("one", "two", "three"))


# ------------------------------------------------------------------------------------------------- how it begins


def test_same_seed_same_problems(make: Any) -> None:
    def problems(env: UnitTestEnv, seed: int) -> list[str]:
        return [env.reset(seed=seed if i == 0 else None)[1]["problem"] for i in range(20)]

    first = problems(make(THREE), 4)
    assert first == problems(make(THREE), 4)
    assert first != problems(make(THREE), 5)
    assert set(first) == {"one", "two", "three"}


def test_no_global_randomness_is_touched(make: Any) -> None:
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002 - the state that must not move
    before = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    env = make(THREE)
    play(env, [65, EOS], seed=3)
    env.reset()
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before  # noqa: NPY002


def test_a_problem_can_be_chosen(make: Any) -> None:
    env = make(THREE)
    for name in ("three", "one", "three"):
        assert env.reset(options={"problem": name})[1]["problem"] == name
        assert env.problem.id == name


def test_a_chosen_problem_costs_no_randomness(make: Any) -> None:
    env, twin = make(THREE), make(THREE)
    env.reset(seed=9, options={"problem": "two"})
    twin.reset(seed=9, options={"problem": "one"})
    assert env.np_random.bit_generator.state == twin.np_random.bit_generator.state


def test_a_prefix_is_given_and_not_learned(make: Any) -> None:
    env = make()
    observation, _ = env.reset(options={"prefix": "f = "})
    assert observation["program"][:5].tolist() == [*b"f = ", PAD]
    for token in [*b"lambda x: x * 2", EOS]:
        *_, info = env.step(token)
    assert info["program"].text == "f = lambda x: x * 2"
    assert info["program"].prefix_length == 4
    assert info["verdict"].outcome is Outcome.PASSED
    assert info["feedback"].loss_mask.tolist() == [False] * 4 + [True] * 16


def test_a_problems_own_prefix_begins_the_program(make: Any) -> None:
    problem = replace(DOUBLE, prefix="def f(x):\n")
    env = make((problem,), max_program_tokens=12)
    observation, _ = env.reset()
    assert observation["program"].tolist() == [*b"def f(x):\n", PAD, PAD]
    env.step(ord(" "))
    _, _, _, truncated, info = env.step(ord("1"))
    assert truncated  # what is given counts
    assert info["program"].prefix_length == 10


def test_a_prefix_may_only_extend_the_problems_own(make: Any) -> None:
    env = make((replace(DOUBLE, prefix="def f(x):\n"),))
    env.reset(options={"prefix": "def f(x):\n    return"})
    with pytest.raises(UsageError, match="begins with that of problem 'double'"):
        env.reset(options={"prefix": "f = abs"})


def test_a_prefix_must_leave_room_for_a_token(make: Any) -> None:
    env = make(max_program_tokens=5)
    env.reset(options={"prefix": "abcd"})
    with pytest.raises(UsageError, match="less than max_program_tokens = 5 tokens, got 5"):
        env.reset(options={"prefix": "abcde"})
    assert env.step(ord("e"))[3]  # the episode before goes on


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"problme": "one"}, "Did you mean 'problem'"),
        ({"problem": "thre"}, "Did you mean 'three'"),
        ({"problem": 3}, "to be a string, got 3"),
        ({"prefix": None}, "to be a string, got None"),
    ],
)
def test_reset_options_are_strict(make: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make(THREE).reset(options=options)


def test_a_prompt_that_is_too_long_is_an_error_or_cut(make: Any) -> None:
    problem = replace(DOUBLE, statement="Return twice x. " * 10)
    with pytest.raises(UsageError, match="at most 64 tokens"):
        make((problem,)).reset()
    env = make((problem,), on_long_prompt="truncate", prompt_style="mbpp")
    observation, info = env.reset()
    assert bytes(observation["prompt"].astype(np.uint8)).decode() == info["prompt"]  # shown as it is seen
    assert len(info["prompt"]) == 64
    assert env.encode_prompt(problem).tolist() == observation["prompt"].tolist()


def test_a_prompt_style_may_be_a_function(make: Any) -> None:
    env = make(prompt_style=lambda problem: f"# {problem.id}\n")
    assert env.reset()[1]["prompt"] == "# double\n"
    assert bytes(env.encode_prompt(DOUBLE).tolist()) == b"# double\n"


def test_a_prompt_is_encoded_without_padding(make: Any) -> None:
    env = make(prompt_style="statement")
    encoded = env.encode_prompt(DOUBLE)
    assert encoded.dtype == np.int64
    assert encoded.tolist() == list(b"Return twice x.\n")


# ------------------------------------------------------------------------------------------------------- construction


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"dataset": "mbbp"}, "Did you mean 'mbpp'"),
        ({"split": "trian"}, "Did you mean 'train'"),
        ({"dataset_options": {"dephts": [2]}}, "Did you mean 'depths'"),
        ({"reward": "rlft"}, "Did you mean 'rltf'"),
        ({"reward_options": {"alhpa": "none"}}, "Did you mean 'alpha'"),
        ({"prompt_style": "plian"}, "Did you mean 'plain'"),
        ({"on_long_prompt": "trucnate"}, "Did you mean 'truncate'"),
        ({"render_mode": "anso"}, "Did you mean 'ansi'"),
        ({"sandbox": "forkservr"}, "Did you mean 'forkserver'"),
        ({"max_programm_tokens": 8}, "Unknown argument 'max_programm_tokens'. Did you mean 'max_program_tokens'"),
        ({"rendermode": "ansi"}, "Did you mean 'render_mode'"),
    ],
)
def test_unknown_names_are_said_at_once(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(UnknownName, match=message):
        UnitTestEnv(**kwargs)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"max_prompt_tokens": 0}, "max_prompt_tokens to be an integer of at least 1, got 0"),
        ({"max_program_tokens": 2.5}, "max_program_tokens to be an integer of at least 1, got 2.5"),
        ({"max_program_tokens": True}, "got True"),
        ({"reward": rewards.load("coarse"), "reward_options": {"passed": 2}}, "reward and no options"),
        ({"source": Cycle(THREE), "dataset_options": {"depths": [2]}}, "dataset_options"),
        ({"source": Cycle(THREE), "source_options": {"pace": 2}}, "with the name of a source"),
        ({"source": "cycle", "source_options": {"pace": 2}}, "Source 'cycle'"),
        ({"source": "cycel"}, "Did you mean 'cycle'"),
        ({"dataset": (), "split": None}, "at least one problem"),
    ],
)
def test_what_cannot_be_is_refused(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        UnitTestEnv(**kwargs)


def test_options_go_to_names_only(judge: Any) -> None:
    with pytest.raises(UsageError, match="sandbox_options with the name of a sandbox"):
        UnitTestEnv(sandbox=judge, sandbox_options={"workers": 1})


# ----------------------------------------------------------------------------------------------------------- rendering


def test_frames_follow_the_episode(make: Any) -> None:
    env = make(render_mode="ansi", reward="fine")
    with pytest.raises(ResetNeeded):
        env.render()
    env.reset(options={"prefix": "def f(x):\n"})
    assert "10/64 tokens" in env.render()
    for token in [*b" return x / 0", EOS]:
        env.step(token)
    frame = env.render()
    assert "ZeroDivisionError on line 2" in frame
    assert "0 of 2 cases passed" in frame
    env.reset()
    assert "cases passed" not in env.render()


def test_a_mode_that_there_is_not_is_an_error_that_trainers_who_probe_for_it_catch(make: Any) -> None:
    for kind in (TypeError, UnknownName):
        with pytest.raises(kind, match="Known: ansi, human"):
            make(render_mode="rgb")


def test_without_pillow_there_is_no_picture_and_trainers_who_probe_go_on(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pixels, "available", lambda: False)
    with pytest.raises(TypeError, match=r"Known: ansi, human. rgb_array needs Pillow"):
        make(render_mode="rgb_array")


def test_pictures_are_of_one_size_and_show_the_verdict(make: Any) -> None:
    env = make(render_mode="rgb_array", reward="fine", max_program_tokens=64)
    env.reset()
    begun = env.render()
    for token in [*b"def f(x):\n return x / 0", EOS]:
        env.step(token)
    ended = env.render()
    assert begun.shape == ended.shape == env.render().shape
    assert begun.dtype == np.uint8
    assert begun.shape[2] == 3
    assert not any(side % 2 for side in begun.shape[:2])  # what a codec of videos needs
    red = (ended[..., 0] > 200) & (ended[..., 1] < 150)
    assert red.any()
    assert not ((begun[..., 0] > 200) & (begun[..., 1] < 150)).any()


def test_rendering_needs_a_mode(make: Any) -> None:
    env = make()
    env.reset()
    with pytest.warns(UserWarning, match='render_mode="ansi"'):
        assert env.render() is None
