"""The vector environment: the same episodes as N single ones, in every mode of autoreset, and programs judged meanwhile."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.error import InvalidAction, ResetNeeded
from gymnasium.utils.env_checker import data_equivalence
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from rltf_env import datasets
from rltf_env.core import Outcome, Problem, Verdict
from rltf_env.env import UnitTestEnv
from rltf_env.errors import SandboxError, UnknownName, UsageError
from rltf_env.sandbox.scripted import ScriptedSandbox, verdict
from rltf_env.sources import Cycle
from rltf_env.vector import UnitTestVectorEnv

EOS, PAD, ROWS = 256, 257, 5
PROBLEMS = datasets.load("procedural", size=7)
MODES = ("NextStep", "SameStep", "Disabled")


def by_length(source: str, problem: Problem) -> Outcome:
    """A judge's rule that tells programs and problems apart."""
    return Outcome((len(source) + len(problem.statement)) % 4)


def both(mode: str, **options: Any) -> tuple[UnitTestVectorEnv, SyncVectorEnv]:
    """The vector environment, and Gymnasium's own over single environments of the same arguments."""
    options = {"dataset": PROBLEMS, "sandbox": ScriptedSandbox(by_length, False), "max_program_tokens": 6} | options
    single = {key: value for key, value in options.items() if key not in ("overlap", "copy")}
    ours = UnitTestVectorEnv(num_envs=ROWS, autoreset_mode=mode, **options)
    return ours, SyncVectorEnv([lambda: UnitTestEnv(**single)] * ROWS, autoreset_mode=mode)


def actions(rng: np.random.Generator) -> np.ndarray:
    """Tokens of which one in four ends a program."""
    return np.where(rng.random(ROWS) < 0.25, EOS, rng.integers(32, 127, ROWS))


def assert_same(ours: Any, theirs: Any) -> None:
    for one, other in zip(ours, theirs, strict=True):
        same = data_equivalence(one, other, exact=True)
        assert same, f"expected {other}, got {one}"


# ------------------------------------------------------------------------------------- as N single environments


@pytest.mark.parametrize("copy", [True, False], ids=["copies", "no copies"])
@pytest.mark.parametrize("overlap", [True, False], ids=["overlap", "waiting"])
@pytest.mark.parametrize("mode", MODES)
def test_rows_play_what_single_environments_play(mode: str, overlap: bool, copy: bool) -> None:
    """With a judge that answers at once, `overlap` changes nothing but the rows it lists."""
    ours, theirs = both(mode, overlap=overlap, copy=copy)
    rng = np.random.default_rng(1)
    assert_same(ours.reset(seed=11), theirs.reset(seed=11))
    for _ in range(60):
        tokens = actions(rng)
        mine, other = ours.step(tokens), theirs.step(tokens)
        if overlap:
            assert not mine[4].pop("judging").any()
            assert not mine[4].pop("_judging").any()
        assert_same(mine, other)
        over = mine[2] | mine[3]
        if mode == "Disabled" and over.any():
            assert_same(ours.reset(options={"reset_mask": over}), theirs.reset(options={"reset_mask": over.copy()}))


@pytest.mark.parametrize("mode", MODES)
def test_a_real_judge_gives_the_same_too(mode: str) -> None:
    ours, theirs = both(mode, dataset="procedural", sandbox="auto", max_program_tokens=4)
    texts = [b"x=1 ", b"x = ", b"1/0 ", b"f=1 ", b"    "]
    assert_same(ours.reset(seed=3), theirs.reset(seed=3))
    for step in range(4):
        tokens = np.array([text[step] for text in texts])
        assert_same(ours.step(tokens), theirs.step(tokens))
    ours.close()
    theirs.close()


def test_rows_with_a_prefix_and_a_time_limit_too() -> None:
    ours = UnitTestVectorEnv(PROBLEMS, num_envs=2, sandbox="scripted", max_program_tokens=9, max_episode_steps=3)
    make = lambda: gymnasium.wrappers.TimeLimit(UnitTestEnv(PROBLEMS, sandbox="scripted", max_program_tokens=9), 3)  # noqa: E731
    theirs = SyncVectorEnv([make] * 2)
    options = {"problem": PROBLEMS[3].id, "prefix": "def "}
    assert_same(ours.reset(seed=0, options=options), theirs.reset(seed=0, options=options))
    for _ in range(5):
        mine = ours.step(np.array([65, 66]))
        assert_same(mine, theirs.step(np.array([65, 66])))
    ours.reset(options={"prefix": "1234567"})
    ours.step(np.array([65, 66]))
    *_, truncated, infos = ours.step(np.array([65, 66]))
    assert truncated.all()  # room for two, whatever the limit
    assert [program.prefix_length for program in infos["program"]] == [7, 7]


def test_seeds_and_generators_are_those_of_the_rows() -> None:
    ours, theirs = both("NextStep")
    for seed in (4, [3, None, 7, 7, 0]):
        assert_same(
            ours.reset(seed=seed)[0]["prompt"][[0, 2, 3, 4]], theirs.reset(seed=seed)[0]["prompt"][[0, 2, 3, 4]]
        )
        known = [0, 2, 3, 4]
        mine, other = ours.np_random, theirs.np_random
        assert [mine[i].bit_generator.state for i in known] == [other[i].bit_generator.state for i in known]
        assert [ours.np_random_seed[i] for i in known] == [theirs.np_random_seed[i] for i in known]
    with pytest.raises(UsageError, match="a seed for each of 5 rows, got 2"):
        ours.reset(seed=[1, 2])


def test_make_vec_makes_it_and_its_spec_makes_it_again() -> None:
    env = gymnasium.make_vec("RLTF-Procedural-v0", num_envs=3, autoreset_mode="SameStep", max_program_tokens=8)
    assert isinstance(env, UnitTestVectorEnv)
    assert env.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    assert env.observation_space["program"].shape == (3, 8)
    twin = gymnasium.make_vec(type(env.spec).from_json(env.spec.to_json()))
    assert (twin.num_envs, twin.autoreset_mode) == (3, AutoresetMode.SAME_STEP)
    first, second = env.reset(seed=1), twin.reset(seed=1)
    assert_same(first, second)
    assert first[0] in env.observation_space
    assert env.action_space.sample() in env.action_space


def test_gymnasiums_vector_wrappers_work() -> None:
    env = gymnasium.make_vec("RLTF-Procedural-v0", num_envs=2, sandbox="scripted", max_program_tokens=4)
    env = gymnasium.wrappers.vector.RecordEpisodeStatistics(env)
    env.reset(seed=0)
    for _ in range(4):
        *_, infos = env.step(np.array([65, 66]))
    assert infos["episode"]["l"].tolist() == [4, 4]
    assert infos["episode"]["r"] == pytest.approx([feedback.total for feedback in infos["feedback"]])


def test_a_source_that_goes_round_is_one_for_all_rows() -> None:
    env = UnitTestVectorEnv(source=Cycle(PROBLEMS), num_envs=3, sandbox="scripted", max_program_tokens=1)
    _, infos = env.reset()
    env.step(np.full(3, 65))
    *_, again = env.step(np.full(3, 65))
    ids = [problem.id for problem in PROBLEMS]
    assert [*infos["problem"], *again["problem"]] == ids[:6]


# --------------------------------------------------------------------------------------------------- observations


def test_an_observation_never_changes_while_somebody_holds_it_or_a_view() -> None:
    env, _ = both("NextStep", max_program_tokens=50)
    held, views = [env.reset(seed=0)[0]], []
    for token in range(40, 70):
        observation = env.step(np.full(ROWS, token))[0]
        views.append(observation["program"][1]) if token % 2 else held.append(observation)
    for number, observation in enumerate(held):
        assert (observation["program"] != PAD).sum() == ROWS * max(0, 2 * number - 1)
    for number, view in enumerate(views):
        assert (view != PAD).sum() == 2 * number + 2
    observation["program"][:] = 0  # nor does the environment see what is done to it
    assert (env.step(np.full(ROWS, 65))[0]["program"][0, :31] != 0).all()


def test_memory_that_nobody_holds_is_used_again() -> None:
    env, _ = both("NextStep", max_program_tokens=50)
    env.reset(seed=0)
    seen = {id(env.step(np.full(ROWS, 65))[0]["program"]) for _ in range(10)}
    assert len(seen) <= 2


def test_without_copies_the_same_arrays_are_written_to() -> None:
    env, _ = both("NextStep", copy=False)
    first = env.reset()[0]
    second = env.step(np.full(ROWS, 65))[0]
    assert first["program"] is second["program"]
    assert (first["program"][:, 0] == 65).all()


def test_frames_show_each_row() -> None:
    env = UnitTestVectorEnv(PROBLEMS, num_envs=2, sandbox="scripted", max_program_tokens=3, render_mode="ansi")
    env.reset(seed=0)
    env.step(np.array([65, EOS]))
    first, second = env.render()
    assert "1/3 tokens" in first
    assert "0 of 6 cases passed" in second
    plain = UnitTestVectorEnv(PROBLEMS, sandbox="scripted")
    with pytest.warns(UserWarning, match='render_mode="ansi"'):
        assert plain.render() is None


# -------------------------------------------------------------------------------------------------------- refusals


def test_many_rows_are_not_drawn_on_one_terminal_and_the_error_says_why() -> None:
    with pytest.raises(UsageError, match="take one another's place"):
        UnitTestVectorEnv(PROBLEMS, num_envs=2, sandbox="scripted", render_mode="human")


@pytest.mark.parametrize(
    "tokens", [[65], [65] * 6, [65, 65, 65, 65, PAD], [65, 65, 65, 65, -1], [1.0] * 5, [[65] * 5], None]
)
def test_what_is_no_token_for_each_row_is_refused(tokens: Any) -> None:
    env, _ = both("NextStep")
    env.reset()
    env.step(np.full(ROWS, 65))
    with pytest.raises(InvalidAction):
        env.step(tokens)
    assert (env.step(np.full(ROWS, 66))[0]["program"][:, :2] == [65, 66]).all()  # nothing was written down


def test_the_action_of_a_row_that_is_reset_is_not_looked_at() -> None:
    env, _ = both("NextStep")
    env.reset(seed=0)
    env.step(np.array([EOS, 65, 65, 65, 65]))
    observation, *_ = env.step(np.array([-7, 65, 65, 65, 65]))
    assert (observation["program"][0] == PAD).all()


@pytest.mark.parametrize("mode", MODES)
def test_step_needs_a_reset_first(mode: str) -> None:
    env, _ = both(mode)
    with pytest.raises(ResetNeeded):
        env.step(np.full(ROWS, 65))
    env.reset(options={"reset_mask": np.array([True, True, False, True, True])})
    with pytest.raises(ResetNeeded, match=r"rows \[2\]"):
        env.step(np.full(ROWS, 65))


def test_with_autoreset_disabled_a_row_that_ended_has_to_be_reset() -> None:
    env, _ = both("Disabled")
    env.reset()
    env.step(np.array([65, EOS, 65, 65, 65]))
    with pytest.raises(ResetNeeded, match=r"rows \[1\]"):
        env.step(np.full(ROWS, 65))


@pytest.mark.parametrize("mask", [[True] * 5, np.ones(4, bool), np.ones(5), np.zeros(5, bool)])
def test_a_reset_mask_is_an_array_of_a_flag_for_each_row(mask: Any) -> None:
    env, _ = both("Disabled")
    with pytest.raises(UsageError, match="reset_mask"):
        env.reset(options={"reset_mask": mask})


def test_unknown_names_are_said_at_once() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'SameStep'"):
        UnitTestVectorEnv(autoreset_mode="SameSteps")
    with pytest.raises(UsageError, match="num_envs"):
        UnitTestVectorEnv(num_envs=0)
    env, _ = both("NextStep")
    with pytest.raises(UnknownName, match="Did you mean 'problem'"):
        env.reset(options={"problme": "x"})


# --------------------------------------------------------------------------------------------- judged meanwhile


class Held:
    """A judge that answers when it is told to: a fake of the public protocol."""

    def __init__(self) -> None:
        self.asked: dict[str, tuple[Future[Verdict], Problem]] = {}
        self.waited = 0

    def submit(self, source: str, problem: Problem) -> Future[Verdict]:
        self.asked[source] = (Future(), problem)
        return self.asked[source][0]

    def answer(self, source: str, said: Any) -> None:
        future, problem = self.asked.pop(source)
        if isinstance(said, Exception):
            future.set_exception(said)
        else:
            future.set_result(verdict(said, problem))

    def run(self, source: str, problem: Problem) -> Verdict:
        raise SandboxError(f"asked again about {source!r}")

    def map(self, jobs: Iterable[tuple[str, Problem]]) -> Iterator[Verdict]:
        return (self.run(*job) for job in jobs)

    def close(self) -> None:
        pass


def overlapping(judge: Any, rows: int = 3, mode: str = "NextStep", **options: Any) -> UnitTestVectorEnv:
    options = {"reward": "coarse", "max_program_tokens": 20} | options
    env = UnitTestVectorEnv(PROBLEMS, num_envs=rows, sandbox=judge, overlap=True, autoreset_mode=mode, **options)
    env.reset(seed=0)
    return env


def step(env: UnitTestVectorEnv, tokens: Sequence[int]) -> tuple[Any, list[float], list[bool], dict[str, Any]]:
    observation, rewards, terminated, truncated, infos = env.step(np.array(tokens))
    return observation, rewards.tolist(), (terminated | truncated).tolist(), infos


def test_a_row_that_is_being_judged_stands_still_while_the_others_go_on() -> None:
    env = overlapping(judge := Held())
    step(env, [65, 66, 67])
    _, rewards, over, infos = step(env, [EOS, 66, 67])
    assert infos["judging"].tolist() == [True, False, False]
    assert (rewards, over) == ([0, 0, 0], [False] * 3)
    assert "program" not in infos
    for length in (3, 4):
        observation, rewards, over, infos = step(env, [99, 66, 67])  # 99 is ignored
        assert observation["program"][0][:3].tolist() == [65, EOS, PAD]
        assert (observation["program"][1:] != PAD).sum(1).tolist() == [length, length]
        assert (rewards, over, infos["judging"].tolist()) == ([0, 0, 0], [False] * 3, [True, False, False])
    judge.answer("A", True)
    observation, rewards, over, infos = step(env, [99, 66, 67])
    assert (rewards, over, infos["judging"].tolist()) == ([1, 0, 0], [True, False, False], [False] * 3)
    assert infos["_program"].tolist() == [True, False, False]
    assert infos["program"][0].text == "A"
    assert infos["verdict"][0].outcome is Outcome.PASSED
    assert observation["program"][0][:3].tolist() == [65, EOS, PAD]
    observation, rewards, *_, infos = step(env, [99, 66, 67])  # Gymnasium's NextStep, as ever
    assert (observation["program"][0] == PAD).all()
    assert infos["_prompt"].tolist() == [True, False, False]


def test_with_same_step_the_verdict_comes_with_the_next_episode() -> None:
    env = overlapping(judge := Held(), mode="SameStep")
    step(env, [EOS, 66, 67])
    judge.answer("", False)
    observation, rewards, over, infos = step(env, [99, 66, 67])
    assert (over, rewards[0]) == ([True, False, False], pytest.approx(-0.3))
    assert infos["final_info"]["program"][0].text == ""
    assert infos["final_obs"][0]["program"][0] == EOS
    assert (observation["program"][0] == PAD).all()


def test_verdicts_may_come_in_any_order() -> None:
    env = overlapping(judge := Held())
    step(env, [65, 66, 67])
    step(env, [EOS, EOS, 67])
    judge.answer("B", True)
    *_, over, infos = step(env, [1, 1, 67])
    assert (over, infos["judging"].tolist()) == ([False, True, False], [True, False, False])
    judge.answer("A", True)
    *_, over, infos = step(env, [1, 1, 67])
    assert (over, infos["judging"].any()) == ([True, False, False], False)


def test_a_step_waits_only_when_every_row_is_being_judged() -> None:
    class Late(Held):
        """Answers the moment that somebody waits."""

        def submit(self, source: str, problem: Problem) -> Future[Verdict]:
            future = super().submit(source, problem)
            if len(self.asked) == 3:
                self.answer("B", True)
            return future

    env = overlapping(judge := Late())
    step(env, [65, 66, 67])
    *_, infos = step(env, [EOS, EOS, 67])
    assert infos["judging"].tolist() == [True, True, False]
    *_, over, infos = step(env, [1, 1, EOS])
    assert (over, infos["judging"].tolist()) == ([False, True, False], [True, False, True])
    judge.answer("A", True)
    *_, over, infos = step(env, [1, 1, 1])
    assert over == [True, False, False]


def test_a_row_that_is_reset_while_it_is_judged_forgets_its_program() -> None:
    env = overlapping(judge := Held())
    step(env, [EOS, 66, 67])
    env.reset(options={"reset_mask": np.array([True, False, False])})
    judge.answer("", True)
    _, rewards, over, infos = step(env, [65, 66, 67])
    assert (rewards[0], over[0], infos["judging"][0]) == (0, False, False)


# --------------------------------------------------------------------------------------------- a judge that fails


def test_a_failure_of_the_judge_takes_back_the_step() -> None:
    broken = [True]
    rules = lambda source, problem: SandboxError("down") if broken[0] and source == "A" else True  # noqa: E731
    ours, _ = both("NextStep", sandbox=ScriptedSandbox(rules, True))
    ours.reset(seed=0)
    ours.step(np.array([65, 66, 67, 68, 69]))
    for _ in range(2):
        with pytest.raises(SandboxError, match="down"):
            ours.step(np.array([EOS, EOS, 67, 68, 69]))
    broken[0] = False
    observation, _, terminated, _, infos = ours.step(np.array([EOS, EOS, 67, 68, 69]))
    assert terminated.tolist() == [True, True, False, False, False]
    assert [program and program.text for program in infos["program"]] == ["A", "B", None, None, None]
    assert (observation["program"] != PAD).sum(1).tolist() == [2] * 5


def test_a_failure_meanwhile_is_raised_and_asked_again() -> None:
    class Twice(Held):
        def run(self, source: str, problem: Problem) -> Verdict:
            raise SandboxError("down again")

    env = overlapping(judge := Twice())
    step(env, [65, 66, 67])
    step(env, [EOS, 66, 67])
    pending = env._rows[0].verdict
    judge.answer("A", SandboxError("down"))
    assert isinstance(pending.exception(10), SandboxError)  # it is asked again in a thread, and fails again
    with pytest.raises(SandboxError, match="down again"):
        step(env, [1, 66, 67])
    judge.answer("A", True)
    observation, _, over, _ = step(env, [1, 66, 67])
    assert over == [True, False, False]
    assert (observation["program"][1] != PAD).sum() == 3
