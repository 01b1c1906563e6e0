"""The curriculum of completions: its stages and averages by hand, what it draws, and that it goes on where it was."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import rltf_env  # noqa: F401 - the ids
from rltf_env import curricula, datasets
from rltf_env.core import Attempt, CaseResult, Failure, Outcome, Problem, Program, Source, StdinCase, Verdict
from rltf_env.curricula import cccs
from rltf_env.env import UnitTestEnv
from rltf_env.errors import DataError, UnknownName, UsageError
from rltf_env.sources import Cycle, Uniform
from rltf_env.testing import check_curriculum, check_source

LADDER = "def f(x):\n    if x < 0:\n        return 0\n    for v in range(x):\n        print(v)\n    while x:\n        x -= 1\n"
SMALL = {"alpha": 0.5, "threshold": 0.6}
OURS: dict[str, Any] = {"statements": ["stmt"], "stride": 1, "mix": 0.5, "back": 4}


def conditionals(count: int) -> str:
    return (
        "def f(x):\n"
        + "".join(f"    if x == {n}:\n        return {n}\n" for n in range(1, count + 1))
        + "    return 0\n"
    )


def problem(reference: str = LADDER, id: str = "p", **fields: Any) -> Problem:
    return Problem(id, "Do it.", [StdinCase("", "")], solutions=(reference,), **fields)


def attempt(at: Problem, passed: bool) -> Attempt:
    result = CaseResult(Outcome.PASSED) if passed else CaseResult(Outcome.WRONG_ANSWER, Failure("WrongAnswer"))
    return Attempt(at, Program(np.zeros(1, np.int64), "", np.zeros(1, np.int64)), Verdict((result,)))


def at_stage(curriculum: cccs.CCCS, c: int, at: Problem) -> Problem:
    return replace(at, prefix=cccs.stages(at.solutions[0], at.prefix)[c])


def draw(curriculum: Source, seed: int = 0) -> Problem:
    return curriculum.draw(np.random.default_rng(seed))


# ------------------------------------------------------------------------------------------------------------- stages


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, [0]), (1, [0]), (2, [1, 0]), (3, [2, 0]), (4, [2, 0]), (5, [4, 2, 0]), (7, [6, 3, 0]), (9, [6, 3, 0]),
        (10, [9, 6, 3, 0]), (16, [12, 8, 4, 0]), (17, [16, 12, 8, 4, 0]),
    ],
)  # fmt: skip
def test_the_papers_stages_are_those_counted_by_hand(count: int, expected: list[int]) -> None:
    assert list(cccs.cuts(count)) == expected
    given = cccs.stages(conditionals(count))
    assert [text.count("if") for text in reversed(given)] == [max(number - 1, 0) for number in expected]


@pytest.mark.parametrize("count", range(40))
def test_no_stage_asks_for_a_statement_that_is_not_there(count: int) -> None:
    for stride in (0, 1, 2, 3):
        numbers = cccs.cuts(count, stride)
        assert list(numbers) == sorted(set(numbers), reverse=True)


def test_a_stride_of_one_has_a_stage_for_each_statement() -> None:
    lines = LADDER.splitlines(keepends=True)
    given = cccs.stages(LADDER, statements=("stmt",), stride=1)
    assert given == ("", *("".join(lines[:n]) for n in range(1, 7)))


def test_what_is_given_ends_before_the_line_of_a_conditional() -> None:
    assert cccs.stages(LADDER) == ("", LADDER[: LADDER.index("    for")])
    chain = "def f(x):\n    if x:\n        return 1\n    elif x is None:\n        return 2\n    match x:\n        case _: pass\n"
    assert cccs.stages(chain, stride=1)[1:] == (
        "def f(x):\n",
        chain[: chain.index("    elif")],
        chain[: chain.index("    match")],
    )


def test_nothing_is_cut_inside_a_text_or_in_what_the_problem_gives() -> None:
    tricky = 'x = """a\nb"""; y = 1\nif x: y = 2\n@str\nclass A: pass\n'
    given = cccs.stages(tricky, statements=("stmt",), stride=1)
    assert given == ("", tricky[: tricky.index("if")], tricky[: tricky.index("@")])
    start = LADDER[: LADDER.index("    for")]
    assert cccs.stages(LADDER, start, stride=1) == (start, LADDER[: LADDER.index("    while")])


# ---------------------------------------------------------------------------------------------------------- averages


def test_rho_is_that_of_the_algorithm() -> None:
    source = curricula.load("cccs", Cycle([problem()]), **SMALL)
    assert isinstance(source, cccs.CCCS)
    found = []
    for passed in (True, True, False, True, True):
        source.observe(attempt(draw_next(source), passed))
        found.append((source.standings["p"][1], source.stage(problem())))
    assert found == [(0.5, 1), (0.0, 0), (0.0, 0), (0.5, 0), (0.75, 0)]


def test_the_newest_attempt_has_the_share_alpha_and_a_stage_is_left_above_the_threshold_alone() -> None:
    """1/4; 3/4 * 1/4; 1/4 + 3/4 * 3/16 = 25/64."""
    source = curricula.load("cccs", Cycle([problem()]), alpha=0.25, threshold=0.25)
    assert isinstance(source, cccs.CCCS)
    found = []
    for passed in (True, False, True):
        source.observe(attempt(draw_next(source), passed))
        found.append(source.standings["p"])
    assert found == [(0, 0.25, 0), (0, 0.1875, 1), (1, 0.0, 0)]


def test_the_source_observes_every_attempt() -> None:
    observed: list[Attempt] = []

    class Recording(Cycle):
        def observe(self, attempt: Attempt) -> None:
            observed.append(attempt)

    source = curricula.load("cccs", Recording([problem()]), **SMALL)
    attempts = [attempt(draw_next(source), True), attempt(replace(problem(), id="another"), False)]
    for each in attempts:
        source.observe(each)
    assert observed == attempts


def draw_next(source: Source) -> Problem:
    return copy.deepcopy(source).draw(np.random.default_rng(0))


def test_only_attempts_at_the_present_stage_count() -> None:
    source = curricula.load("cccs", Cycle([problem()]), **SMALL)
    assert isinstance(source, cccs.CCCS)
    for _ in range(5):
        source.observe(attempt(problem(), True))  # the whole problem, before its time
        source.observe(attempt(replace(problem(), prefix="def f(x):\n"), True))
        source.observe(attempt(replace(problem(), id="another"), True))
    assert source.standings == {}


def test_a_group_that_passes_moves_its_problem_one_stage_and_no_more() -> None:
    source = curricula.load("cccs", Cycle([problem(conditionals(9))]))
    assert isinstance(source, cccs.CCCS)
    drawn = draw_next(source)
    for _ in range(20):
        source.observe(attempt(drawn, True))
    assert source.standings["p"] == (1, 0.0, 0)


def test_after_failures_in_a_row_there_is_a_way_back() -> None:
    source = curricula.load("cccs", Cycle([problem(conditionals(9))]), **SMALL, back=3)
    assert isinstance(source, cccs.CCCS)
    stages = []
    for passed in (1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0):
        source.observe(attempt(draw_next(source), bool(passed)))
        stages.append(source.stage(problem(conditionals(9))))
        if len(stages) == 8:
            assert source.standings["p"] == (0, 0.0, 0), "the way back begins anew"
    assert stages == [2, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2], "from the easiest, no further back"


# ---------------------------------------------------------------------------------------------------------- what comes


def test_a_later_stage_has_the_reference_that_was_cut_alone() -> None:
    many = replace(problem(), solutions=("print 1\n", LADDER.replace("\n", "\r\n"), "def f(y): pass\n"))
    drawn = draw(curricula.load("cccs", Cycle([many])))
    assert drawn.solutions == (LADDER,)
    assert LADDER.startswith(drawn.prefix)
    assert drawn.prefix


def test_a_reference_that_does_not_begin_with_the_problems_prefix_is_not_cut() -> None:
    other = LADDER.replace("def f(x)", "def f(y)")
    given = replace(problem(prefix="def f(x):\n"), solutions=(other, LADDER))
    drawn = draw(curricula.load("cccs", Cycle([given])))
    assert drawn.solutions == (LADDER,)
    assert drawn.prefix.startswith("def f(x):\n    if x")


@pytest.mark.parametrize("reference", ["def f(x):\n    return x\n", "if x:\n    pass\n"])
def test_what_cannot_be_cut_comes_whole(reference: str) -> None:
    assert draw(curricula.load("cccs", Cycle([problem(reference)]))) == problem(reference)


def test_what_is_too_long_comes_whole() -> None:
    assert draw(curricula.load("cccs", Cycle([problem()]), longest=20)) == problem()
    assert draw(curricula.load("cccs", Cycle([problem()]), longest=len(LADDER))).prefix


def test_without_mix_no_number_is_taken_from_the_generator() -> None:
    rng = np.random.default_rng(0)
    curricula.load("cccs", Cycle([problem()])).draw(rng)
    assert rng.bit_generator.state == np.random.default_rng(0).bit_generator.state


def test_mix_draws_the_present_stage_and_easier_ones() -> None:
    source = curricula.load("cccs", Cycle([problem(conditionals(16))]), mix=0.9)
    assert isinstance(source, cccs.CCCS)
    source.standings["p"] = (2, 0.0, 0)
    rng, stages = np.random.default_rng(0), cccs.stages(conditionals(16))
    drawn = [stages.index(source.draw(rng).prefix) for _ in range(400)]
    assert set(drawn) == {1, 2, 3}
    assert 110 < drawn.count(2) < 130 + 20  # 0.9 / 3 of 400


def test_endless_problems_share_their_stages() -> None:
    endless = datasets.source("procedural", "train", depths=[3])
    source = curricula.load("cccs", endless, by="stages", **SMALL)
    assert isinstance(source, cccs.CCCS)
    check_source(source)
    rng = np.random.default_rng(0)
    for _ in range(60):
        source.observe(attempt(source.draw(rng), True))
    assert set(source.standings) <= {"2", "3"}
    assert source.standings["2"][0] == 1, "problems of two stages have all come to the whole"


def by_length(at: Problem) -> str:
    return "long" if len(at.solutions[0]) > 100 else "short"


def test_a_key_of_ones_own_may_be_named() -> None:
    source = curricula.load("cccs", Cycle([problem()]), by=f"{__name__}:by_length")
    source.observe(attempt(draw_next(source), True))
    assert list(source.standings) == ["long"]  # type: ignore[attr-defined]


def one_key(at: Problem) -> str:
    return "all"


def test_a_problem_of_fewer_stages_than_its_key_has_advanced_comes_whole() -> None:
    long, short = problem(conditionals(16), id="long"), problem(id="short")
    source = curricula.load("cccs", Cycle([long, short]), by=f"{__name__}:one_key", **SMALL)
    assert isinstance(source, cccs.CCCS)
    source.standings["all"] = (3, 0.0, 0)
    rng = np.random.default_rng(0)
    assert [source.draw(rng) for _ in range(2)] == [long, short]
    assert (source.stage(long), source.stage(short)) == (0, 0)


def test_stages_that_are_forgotten_are_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cccs, "KEPT", 2)
    problems, rng = [problem(conditionals(n), id=f"p{n}") for n in (4, 9, 16)], np.random.default_rng(0)
    source = curricula.load("cccs", Cycle(problems))
    assert isinstance(source, cccs.CCCS)
    assert [source.draw(rng).prefix for _ in range(6)] == [cccs.stages(p.solutions[0])[-1] for p in problems] * 2
    assert list(source._plans) == ["p9", "p16"]


@pytest.mark.parametrize("options", [{}, OURS, {"by": "stages", "mix": 0.3}])
def test_every_way_keeps_the_contract(options: dict[str, Any]) -> None:
    check_curriculum("cccs", **options)


def test_what_always_passes_ends_in_whole_problems() -> None:
    problems = datasets.load("procedural", "train", size=20, depths=[3])
    source, rng = curricula.load("cccs", Uniform(problems), **{**OURS, "mix": 0.0}), np.random.default_rng(0)
    for _ in range(1000):
        drawn = source.draw(rng)
        for _ in range(8):
            source.observe(attempt(drawn, True))
    assert not any(source.draw(rng).prefix for _ in range(100))


# ----------------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"statements": ["Iff"]}, UnknownName, "Did you mean 'If'"),
        ({"statements": "If"}, UsageError, "as a list of names"),
        ({"alpha": 0.0}, UsageError, "0 < alpha <= 1"),
        ({"threshold": 1.0}, UsageError, "0 <= threshold < 1"),
        ({"mix": 1.0}, UsageError, "0 <= mix < 1"),
        ({"back": -1}, UsageError, "back, longest >= 0"),
        ({"by": "stage"}, UnknownName, "Did you mean 'stages'"),
        ({"pace": 2}, UsageError, "'pace'"),
    ],
)
def test_impossible_options_say_what_is_possible(options: dict[str, Any], error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        curricula.load("cccs", Cycle([problem()]), **options)


def test_a_reference_that_is_no_python_is_named() -> None:
    source = curricula.load("cccs", Cycle([problem("print 1\n")]))
    with pytest.raises(DataError, match=r"solution 0 of problem 'p': expected Python"):
        draw(source)


def test_problems_without_references_are_refused() -> None:
    bare = replace(problem(), solutions=())
    with pytest.raises(UsageError, match="references, which CCCS cuts"):
        curricula.load("cccs", Cycle([bare]))

    class Endless:
        def draw(self, rng: np.random.Generator) -> Problem:
            return bare

        def find(self, id: str) -> Problem:
            return bare

        def observe(self, attempt: Attempt) -> None:
            pass

    source = curricula.load("cccs", Endless(), by="stages")
    for _ in range(cccs.PATIENCE - 1):
        assert draw(source) == bare
    with pytest.raises(UsageError, match="references, which CCCS cuts"):
        draw(source)


def test_an_endless_source_has_no_stages_by_problem() -> None:
    with pytest.raises(UsageError, match="by='stages'"):
        curricula.load("cccs", datasets.source("procedural", "train"))


# -------------------------------------------------------------------------------------------------------- environments


def finite(**options: Any) -> UnitTestEnv:
    return UnitTestEnv([problem(conditionals(5), id=f"p{n}") for n in range(3)], **options)


def test_an_environment_begins_with_what_the_stage_gives() -> None:
    env = gym.make("RLTF-Procedural-v0", dataset=[problem()], curriculum="cccs").unwrapped
    assert isinstance(env, UnitTestEnv)
    env.reset(seed=0)
    given = env.tokenizer.encode(LADDER[: LADDER.index("    for")])
    assert env.tokens.tolist() == given
    env.reset(options={"problem": "p"})
    assert env.tokens.tolist() == [], "one that is asked for by name comes whole"
    env.close()


def test_the_digest_of_the_data_does_not_see_the_curriculum() -> None:
    plain, with_one = finite(), finite(curriculum="cccs", curriculum_options=OURS)
    assert plain.data_digest == with_one.data_digest


def test_options_without_a_curriculum_and_unknown_ones_are_refused() -> None:
    with pytest.raises(UsageError, match="curriculum_options with a curriculum"):
        finite(curriculum_options={"mix": 0.5})
    with pytest.raises(UnknownName, match="Did you mean 'cccs'"):
        finite(curriculum="ccs")
    with pytest.raises(UsageError, match="makes a source of a source"):
        finite(curriculum=lambda source: None)


def test_a_moment_of_an_episode_is_found_again_with_its_stage() -> None:
    env = finite(curriculum="cccs", curriculum_options=SMALL)
    env.reset(seed=1)
    saved = json.loads(json.dumps(env.get_state()))
    other = finite(curriculum="cccs", curriculum_options=SMALL)
    other.set_state(saved)
    assert other.problem.prefix == env.problem.prefix != ""
    assert other.tokens.tolist() == env.tokens.tolist()
