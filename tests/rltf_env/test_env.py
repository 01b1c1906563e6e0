"""Episodes: what is seen, what may be done, how they begin and end, what is earned, what is refused."""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.error import InvalidAction, ResetNeeded

from rltf_env import rewards, sandbox
from rltf_env.core import Attempt, CallCase, Judgement, Outcome, Problem, Program, Verdict
from rltf_env.env import MissingDataWarning, UnitTestEnv
from rltf_env.errors import SandboxError, UnknownName, UsageError
from rltf_env.sandbox.scripted import ScriptedSandbox
from rltf_env.sources import Cycle, Uniform
from rltf_env.tokenizers import Bytes
from rltf_env.view import pixels

EOS, PAD = 256, 257
DOUBLE = Problem("double", "Return twice x.", (CallCase((2,), 4), CallCase((3,), 6)), entry_point="f")
PROGRAMS = {
    "def f(x):\n    return x +": Outcome.SYNTAX_ERROR,
    "def f(x):\n    return x / 0\n": Outcome.RUNTIME_ERROR,
    "def f(x):\n    return 4\n": Outcome.WRONG_ANSWER,
    "def f(x):\n    return 2 * x\n": Outcome.PASSED,
}


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


def play(env: UnitTestEnv, tokens: Sequence[int], **reset: Any) -> tuple[list[float], bool, bool, dict[str, Any]]:
    """A whole episode of these tokens: all step rewards, and the end."""
    env.reset(**reset)
    earned = []
    for token in tokens:
        _, reward, terminated, truncated, info = env.step(token)
        earned.append(reward)
    return earned, terminated, truncated, info


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


# ------------------------------------------------------------------------------------------------- how it begins

THREE = tuple(replace(DOUBLE, id=name) for name in ("one", "two", "three"))


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


# ------------------------------------------------------------------------------------------------------ sources, data


def test_the_source_is_told_of_every_finished_attempt_and_of_no_other(make: Any) -> None:
    class Remembering(Uniform):
        def observe(self, attempt: Attempt) -> None:
            seen.append(attempt)

    seen: list[Attempt] = []
    env = make(source=Remembering(THREE))
    env.judge(DOUBLE, "f = abs")
    assert not seen
    *_, info = play(env, [65, EOS])
    assert [(one.problem.id, one.program, one.verdict) for one in seen] == [
        (info["problem"], info["program"], info["verdict"])
    ]


def test_a_named_source_draws_from_the_dataset(make: Any) -> None:
    env = make(THREE, source="cycle")
    assert [env.reset(seed=7)[1]["problem"] for _ in range(4)] == [*(each.id for each in THREE), THREE[0].id]
    small = make("procedural", source="cycle", dataset_options={"size": 3, "seed": 1})
    assert small.dataset_name == "procedural"
    assert len(small.source) == 3


def test_a_source_decides_what_comes(make: Any) -> None:
    env = make(source=Cycle(THREE))
    assert [env.reset()[1]["problem"] for _ in range(4)] == ["one", "two", "three", "one"]
    assert env.dataset_name == "custom"


def test_without_data_the_embedded_problems_are_used_and_said_to_be(tmp_path: Any) -> None:
    with pytest.warns(MissingDataWarning, match=r"(?s)mbpp\.jsonl.*RLTF_DATA.*embedded procedural") as caught:
        env = gymnasium.make("RLTF-MBPP-v0", root=str(tmp_path), max_program_tokens=4).unwrapped
    assert len(caught) == 1
    assert str(tmp_path) in str(caught[0].message)
    assert caught[0].filename != UnitTestEnv.__init__.__code__.co_filename
    plain = UnitTestEnv(max_program_tokens=4)
    assert env.dataset_name == "procedural"
    assert env.data_digest == plain.data_digest
    assert env.reset(seed=0)[1]["problem"] == plain.reset(seed=0)[1]["problem"]
    assert env.observation_space["prompt"].shape == (4608,)


def test_the_fallback_keeps_the_split(tmp_path: Any) -> None:
    with pytest.warns(MissingDataWarning):
        env = UnitTestEnv("mbpp", split="test", root=str(tmp_path))
    assert env.reset()[1]["problem"].startswith("procedural/test/")


def test_the_fallback_keeps_the_options_that_it_understands_and_names_the_others(tmp_path: Any) -> None:
    asked = {"held_out": 0.5, "tag": "math"}
    with pytest.warns(MissingDataWarning, match="Of its dataset_options tag mean nothing"):
        env = UnitTestEnv("mbpp", root=str(tmp_path), dataset_options=asked)
    env.reset(seed=0)
    assert env.problem.held_out
    assert env.dataset_options == {"held_out": 0.5}


def test_the_digest_says_which_problems_are_in_use(make: Any) -> None:
    assert make(THREE).data_digest == make(source=Cycle(THREE)).data_digest != make().data_digest
    endless = UnitTestEnv()
    state = endless.np_random.bit_generator.state
    assert endless.data_digest == UnitTestEnv().data_digest != UnitTestEnv(split="test").data_digest
    assert endless.np_random.bit_generator.state == state


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


# ------------------------------------------------------------------------------------------------------------- judging


def test_a_text_is_judged_as_it_is(make: Any) -> None:
    env = make()
    for text, outcome in PROGRAMS.items():
        judged = env.judge(DOUBLE, text)
        assert isinstance(judged, Judgement)
        assert judged.verdict.outcome is outcome
        assert len(judged.feedback.rewards) == len(text.encode()) + 1


def test_of_a_text_the_problems_prefix_is_given(make: Any) -> None:
    problem = replace(DOUBLE, prefix="def f(x):\n")
    whole = "def f(x):\n    return 2 * x"
    env = make((problem,))
    for program in (whole, [*whole.encode(), EOS]):
        judged = env.judge(problem, program)
        assert judged.verdict.outcome is Outcome.PASSED
        assert int(np.argmax(judged.feedback.loss_mask)) == 10
    rewritten = env.judge(problem, "f = lambda x: 2 * x")  # the answer is its own, from the first token on
    assert rewritten.verdict.outcome is Outcome.PASSED
    assert rewritten.feedback.loss_mask.all()


def test_tokens_may_be_padded_as_in_an_observation(make: Any) -> None:
    env = make()
    env.reset()
    for token in b"f = abs":
        observation, *_ = env.step(token)
    judged = env.judge(DOUBLE, observation["program"])
    assert len(judged.feedback.rewards) == 7


def test_tokens_without_an_end_are_cut_off_only_at_the_limit(make: Any) -> None:
    class Kept:
        def __call__(self, attempt: Attempt) -> Any:
            programs.append(attempt.program)
            return rewards.load("coarse")(attempt)

    programs: list[Program] = []
    env = make(reward=Kept(), max_program_tokens=4)
    for text in (b"abc", b"abcd"):
        env.judge(DOUBLE, list(text))
    assert [program.truncated for program in programs] == [False, True]


@pytest.mark.parametrize(
    "tokens",
    [[], [PAD, PAD], [65, PAD, 66], [65, EOS, 66], [300], [-1], [[65], [66]], [1.5], [EOS, EOS]],
)
def test_tokens_that_no_episode_could_give_are_refused(make: Any, tokens: Any) -> None:
    with pytest.raises(UsageError):
        make().judge(DOUBLE, tokens)


def test_a_text_that_the_tokenizer_cannot_spell_is_refused(make: Any) -> None:
    class Capitals(Bytes):
        def encode(self, text: str) -> list[int]:
            return super().encode(text.upper())

    with pytest.raises(UsageError, match="comes back as 'X'"):
        make(tokenizer=Capitals()).judge(DOUBLE, "x")


def test_judging_leaves_the_episode_alone(make: Any) -> None:
    env = make(THREE)
    env.reset(options={"problem": "two"})
    env.step(65)
    env.judge(THREE[0], "f = abs")
    observation, *_ = env.step(66)
    assert observation["program"][:3].tolist() == [65, 66, PAD]
    assert env.problem.id == "two"


def test_many_are_judged_in_order(make: Any) -> None:
    env = make()
    texts = list(PROGRAMS) * 3
    judged = list(env.judge_many((DOUBLE, text) for text in texts))
    assert [one.verdict.outcome for one in judged] == [PROGRAMS[text] for text in texts]
    assert [one.feedback.total for one in judged] == [env.judge(DOUBLE, text).feedback.total for text in texts]


def test_an_endless_number_can_be_judged(make: Any) -> None:
    drawn = 0

    def endless() -> Iterator[tuple[Problem, str]]:
        nonlocal drawn
        while True:
            drawn += 1
            yield DOUBLE, f"f = lambda x: x * 2 + {drawn} - {drawn}"

    judged = make().judge_many(endless())
    assert [next(judged).verdict.outcome for _ in range(5)] == [Outcome.PASSED] * 5
    judged.close()
    assert drawn < 500


def test_a_program_can_be_judged_in_the_background(make: Any) -> None:
    env = make()
    futures = [env.submit(DOUBLE, text) for text in PROGRAMS]
    assert [future.result(60).verdict.outcome for future in futures] == list(PROGRAMS.values())


def test_what_the_reward_raises_comes_out_of_the_future(make: Any) -> None:
    def broken(attempt: Attempt) -> Any:
        raise ZeroDivisionError("a broken reward")

    with pytest.raises(ZeroDivisionError, match="a broken reward"):
        make(reward=broken).submit(DOUBLE, "x").result(60)


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


# -------------------------------------------------------------------------------------------------- a judge that fails


class Ahead(ScriptedSandbox):
    """The public fake, taking jobs ahead of need as real judges do."""

    def map(self, jobs: Iterable[tuple[str, Problem]]) -> Iterator[Verdict]:
        jobs = iter(jobs)
        ahead = list(islice(jobs, 3))
        while ahead:
            yield self.run(*ahead.pop(0))
            ahead += islice(jobs, 1)


def flaky(failures: int, sound: int = 0) -> ScriptedSandbox:
    """A judge that is right about `PROGRAMS`, but for `failures` judgements after the first `sound`."""
    left = {"failures": failures, "sound": sound}

    def rules(source: str, problem: Problem) -> Outcome | SandboxError:
        kind = next((kind for kind in ("sound", "failures") if left[kind]), None)
        if kind:
            left[kind] -= 1
        return (
            SandboxError("the judge broke down") if kind == "failures" else PROGRAMS.get(source, Outcome.WRONG_ANSWER)
        )

    return Ahead(rules, Outcome.WRONG_ANSWER)


def test_a_failure_of_the_judge_is_tried_again(make: Any) -> None:
    env = make(sandbox=flaky(1))
    assert env.judge(DOUBLE, "f = abs").verdict.outcome is Outcome.WRONG_ANSWER


def test_a_judge_that_fails_twice_is_an_error_and_no_reward(make: Any) -> None:
    env = make(sandbox=flaky(2))
    env.reset()
    for token in b"f = abs":
        env.step(token)
    with pytest.raises(SandboxError, match="broke down"):
        env.step(EOS)
    _, reward, terminated, _, info = env.step(EOS)  # the step that failed can be taken again
    assert terminated
    assert info["program"].text == "f = abs"
    assert reward == env.judge(DOUBLE, "f = abs").feedback.total


def test_another_token_can_be_taken_after_a_failure(make: Any) -> None:
    env = make(sandbox=flaky(2))
    env.reset()
    with pytest.raises(SandboxError):
        env.step(EOS)
    assert env.step(65)[0]["program"][:2].tolist() == [65, PAD]


@pytest.mark.parametrize("sound", [0, 1, 4, 7])
def test_a_failure_among_many_loses_and_repeats_nothing(make: Any, sound: int) -> None:
    texts = list(PROGRAMS) * 2
    judged = make(sandbox=flaky(1, sound)).judge_many((DOUBLE, text) for text in texts)
    assert [one.verdict.outcome for one in judged] == [PROGRAMS[text] for text in texts]


def test_many_stop_at_the_one_that_fails_twice(make: Any) -> None:
    judged = make(sandbox=flaky(2, sound=2)).judge_many((DOUBLE, text) for text in PROGRAMS)
    assert len([next(judged), next(judged)]) == 2
    with pytest.raises(SandboxError):
        next(judged)


@pytest.mark.parametrize(("failures", "works"), [(1, True), (2, False)])
def test_a_failure_in_the_background_is_tried_again_once(make: Any, failures: int, works: bool) -> None:
    future = make(sandbox=flaky(failures)).submit(DOUBLE, "f = abs")
    if works:
        assert future.result(60).verdict.outcome is Outcome.WRONG_ANSWER
    else:
        assert isinstance(future.exception(60), SandboxError)


def test_a_shared_sandbox_is_left_open(make: Any) -> None:
    shared = flaky(0)
    make(sandbox=shared).close()
    assert not shared.closed


def test_a_sandbox_is_opened_at_the_first_judgement_and_closed_at_the_end() -> None:
    opened.clear()
    env = UnitTestEnv((DOUBLE,), sandbox=f"{__name__}:open_one", sandbox_options={"failures": 0})
    env.reset()
    env.step(65)
    assert not opened
    env.judge(DOUBLE, "f = abs")
    env.step(EOS)
    assert len(opened) == 1
    env.close()
    assert opened[0].closed
    env.close()


def test_several_threads_open_one_sandbox() -> None:
    opened.clear()
    env = UnitTestEnv((DOUBLE,), sandbox=f"{__name__}:open_one", sandbox_options={"failures": 0})
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(lambda _: id(env.sandbox), range(32)))) == 1
    assert len(opened) == 1


opened: list[ScriptedSandbox] = []


def open_one(failures: int) -> ScriptedSandbox:
    with contextlib.suppress(threading.BrokenBarrierError):
        threading.Barrier(2).wait(0.05)  # time for another thread to come in, if it could
    opened.append(flaky(failures))
    return opened[-1]
