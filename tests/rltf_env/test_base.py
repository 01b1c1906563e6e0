"""What all environments share: where their problems come from, how programs are judged, and a judge that fails."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from typing import Any

import gymnasium
import numpy as np
import pytest
from episodes import DOUBLE, EOS, PAD, PROGRAMS, play

from rltf_env import rewards, sandbox
from rltf_env.core import Attempt, Judgement, Outcome, Problem, Program, Verdict
from rltf_env.env import MissingDataWarning, UnitTestEnv
from rltf_env.errors import SandboxError, UsageError
from rltf_env.sandbox.scripted import ScriptedSandbox
from rltf_env.sources import Cycle, Uniform
from rltf_env.tokenizers import Bytes


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


THREE = tuple(replace(DOUBLE, id=name) for name in ("one", "two", "three"))


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


# -------------------------------------------------------------------------------------------------- a judge that fails


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
