"""Filters, splits and held-out cases: worked by hand on small lists, and where they must not leak."""

from __future__ import annotations

import hashlib
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rltf_env import UnitTestEnv, datasets, prompts, sandbox
from rltf_env.core import CallCase, Case, Outcome, Problem, Problems, ScriptCase, StdinCase
from rltf_env.datasets import _pick
from rltf_env.datasets._apps_cases import LazyCases, Place
from rltf_env.errors import DataError, UnknownName, UsageError
from rltf_env.testing import check_dataset, check_source

ONE = CallCase((1,), 2)


def made(id: str, case: Case = ONE, difficulty: str = "easy", source: str = "", tags: tuple = ()) -> Problem:
    called = None if isinstance(case, StdinCase) else "f"
    return Problem(id, "Add.", (case,), called, difficulty=difficulty, meta={"source": source, "tags": tags})


MIXED = Problems(
    (
        made("a", source="one", tags=("x", "y")),
        made("b", StdinCase("", ""), "hard", "two", ("y",)),
        made("c", ScriptCase("f()"), "hard", "one"),
    ),
    [("d", "no tests")],
)


def ids(problems: Problems) -> str:
    return "".join(problem.id for problem in problems)


# ------------------------------------------------------------------------------------------------------------ filters


@pytest.mark.parametrize(
    ("wanted", "left"),
    [
        ({}, "abc"),
        ({"difficulty": "hard"}, "bc"),
        ({"difficulty": ("hard", "easy")}, "abc"),
        ({"difficulty": None}, "abc"),
        ({"kind": "stdin"}, "b"),
        ({"kind": ["call", "script"]}, "ac"),
        ({"source": "one"}, "ac"),
        ({"tag": "y"}, "ab"),
        ({"tag": {"x", "y"}}, "ab"),
        ({"source": "one", "difficulty": "hard"}, "c"),
    ],
)
def test_filters_keep_what_has_one_of_the_values(wanted: dict[str, Any], left: str) -> None:
    found = datasets.load(MIXED, **wanted)
    assert ids(found) == left
    assert found.skipped == MIXED.skipped
    assert datasets.digest(found) == datasets.digest([p for p in MIXED if p.id in left])


def test_a_value_that_no_problem_has_is_named_with_the_counts() -> None:
    with pytest.raises(
        UnknownName, match=r"difficulty 'hrad'\. Did you mean 'hard'.*In 3 problems: 'hard' 2, 'easy' 1"
    ):
        datasets.load(MIXED, difficulty=("easy", "hrad"))
    with pytest.raises(UnknownName, match=r"kind 'calls'\. Did you mean 'call'"):
        datasets.load(MIXED, kind="calls")
    with pytest.raises(UnknownName, match=r"tag 'z'.*no values"):
        datasets.load(MIXED[2:], tag="z")


def test_filters_that_leave_nothing_are_an_error() -> None:
    with pytest.raises(UsageError, match="some of 3 problems to have kind='stdin', source='one', got none"):
        datasets.load(MIXED, kind="stdin", source="one")


def test_an_option_that_no_list_has_names_those_that_it_has() -> None:
    with pytest.raises(UnknownName, match=r"'dificulty'\. Did you mean 'difficulty'"):
        datasets.load(MIXED, dificulty="hard")


def test_tags_that_are_no_list_of_strings_are_refused() -> None:
    with pytest.raises(DataError, match=r"meta\['tags'\] of problem 'a' to be a list of strings, got 'x y'"):
        datasets.load([replace(MIXED[0], meta={"tags": "x y"})], tag="x")


def test_the_kind_of_cases_in_a_large_file_is_known_without_reading_it(tmp_path: Path) -> None:
    for function, kind in ((None, "stdin"), ("f", "call")):
        lazy = LazyCases(Place(tmp_path / "gone.json", "", "gone"), function)
        problem = Problem("a", "Big.", lazy, function)
        assert _pick.kind_of(problem) == _pick.kind_of(datasets.hold_out(problem, 0.5)) == kind


def test_named_datasets_are_filtered_too() -> None:
    deep = datasets.load("procedural", size=60, difficulty="depth-2", tag="digits")
    assert deep
    assert all(problem.difficulty == "depth-2" and "digits" in problem.meta["signature"] for problem in deep)


def test_an_endless_set_cannot_be_filtered() -> None:
    with pytest.raises(UsageError, match=r"got it with 'procedural', which is endless. Pass a list"):
        UnitTestEnv("procedural", dataset_options={"difficulty": "depth-1"})


# ------------------------------------------------------------------------------------------------------------- splits

MANY = Problems(made(f"p/{number}") for number in range(2000))


def test_splits_of_a_list_are_disjoint_and_complete_and_near_their_fractions() -> None:
    parts = {split: datasets.load(MANY, split) for split in ("train", "validation", "test")}
    assert sorted(p.id for part in parts.values() for p in part) == sorted(p.id for p in MANY)
    for split, share in zip(parts, _pick.FRACTIONS, strict=True):
        assert abs(len(parts[split]) / 2000 - share) < 0.03  # four standard deviations
    assert datasets.load(MANY, "all") == datasets.load(MANY) == MANY
    assert len({datasets.digest(part) for part in parts.values()}) == 3


def test_the_split_of_a_problem_is_that_of_its_hash() -> None:
    position = int(hashlib.sha256(b"p/7").hexdigest()[:16], 16) / 16**16
    assert position == pytest.approx(0.8728, abs=1e-4)
    for fractions, split in (
        ((0.88, 0.02, 0.1), "train"),
        ((0.87, 0.1, 0.03), "validation"),
        ((0.8, 0.07, 0.13), "test"),
    ):
        assert "p/7" in [p.id for p in datasets.load(MANY, split, fractions=fractions)]


def test_a_problem_keeps_its_split_when_others_come_and_go() -> None:
    train = {p.id for p in datasets.load(MANY, "train")}
    assert {p.id for p in datasets.load(MANY[500:900], "train")} == train & {p.id for p in MANY[500:900]}


@pytest.mark.parametrize("fractions", [(0.8, 0.2), (0.8, 0.1, 0.2), (1.2, -0.1, -0.1), ("a", "b", "c")])
def test_impossible_fractions_are_refused(fractions: Any) -> None:
    with pytest.raises(UsageError, match="fractions of train, validation and test that add up to 1"):
        datasets.load(MANY, "train", fractions=fractions)


def test_a_split_of_nothing_is_an_error_and_an_unknown_one_is_named() -> None:
    with pytest.raises(UsageError, match="some of 3 problems in split 'test', got none"):
        datasets.load(MIXED, "test", fractions=(1, 0, 0))
    with pytest.raises(UnknownName, match=r"'vaildation'\. Did you mean 'validation'"):
        datasets.load(MIXED, "vaildation")


def test_fractions_of_a_dataset_with_splits_of_its_own_are_refused() -> None:
    with pytest.raises(UnknownName, match="'fractions'"):
        datasets.load("procedural", "train", fractions=(0.8, 0.1, 0.1))


# ------------------------------------------------------------------------------------------------------ held-out cases


def with_cases(*numbers: int, **fields: Any) -> Problem:
    return Problem("a", "Square.", tuple(CallCase((n,), n * n) for n in numbers), "f", **fields)


@pytest.mark.parametrize(
    ("count", "share", "aside"),
    [(1, 0.5, 0), (2, 0.1, 1), (2, 0.9, 1), (3, 0.5, 1), (4, 0.5, 2), (10, 0.25, 2), (10, 0.99, 9)],
)
def test_the_share_is_rounded_down_but_one_is_held_out_and_one_is_left(count: int, share: float, aside: int) -> None:
    problem = with_cases(*range(count))
    split = datasets.hold_out(problem, share)
    assert (len(split.cases), len(split.held_out)) == (count - aside, aside)
    assert sorted((*split.cases, *split.held_out), key=problem.cases.index) == list(problem.cases)


def test_the_sides_depend_on_content_and_id_not_on_order() -> None:
    forth, back = (datasets.hold_out(with_cases(*numbers), 0.5) for numbers in (range(8), reversed(range(8))))
    assert set(map(repr, forth.held_out)) == set(map(repr, back.held_out))
    other = datasets.hold_out(replace(with_cases(*range(8)), id="b"), 0.5)
    assert set(map(repr, forth.held_out)) != set(map(repr, other.held_out))


def test_copies_of_a_case_stay_on_one_side() -> None:
    split = datasets.hold_out(with_cases(*(1, 2, 3, 4) * 5), 0.5)
    assert not {case.args for case in split.cases} & {case.args for case in split.held_out}  # type: ignore[union-attr]
    assert (len(split.cases), len(split.held_out)) == (10, 10)


def test_an_example_that_is_held_out_is_shown_no_more() -> None:
    asserts = tuple(ScriptCase(f"assert f({n}) == {n * n}") for n in range(6))
    split = datasets.hold_out(Problem("a", "Square.", asserts, "f", examples=asserts), 0.5)
    assert split.examples == split.cases
    shown = prompts.render(split)
    assert all((case.script in shown) is (case in split.cases) for case in asserts)


def test_the_held_out_cases_are_judged_only_when_asked_for() -> None:
    split = datasets.hold_out(with_cases(*range(6)), 0.5)
    cheat = "def f(x):\n    return {" + ", ".join(f"{c.args[0]}: {c.expected}" for c in split.cases) + "}.get(x)"  # type: ignore[union-attr]
    rest = datasets.unseen(split)
    assert rest is not None
    assert (rest.id, rest.cases, rest.held_out) == ("a", split.held_out, ())
    with sandbox.load() as judge:
        assert judge.run(cheat, split).outcome is Outcome.PASSED
        assert len(judge.run(cheat, split).results) == 3
        assert judge.run(cheat, rest).pass_ratio == 0


def test_a_problem_of_one_case_has_nothing_to_hold_out() -> None:
    split = datasets.hold_out(with_cases(1), 0.5)
    assert (split, datasets.unseen(split)) == (with_cases(1), None)
    with pytest.raises(UsageError, match="of two cases or more to hold some out of, got 1 of one case each"):
        datasets.load([with_cases(1)], held_out=0.5)


@pytest.mark.parametrize("share", [0, 1, -0.5, 1.5, True, "half"])
def test_an_impossible_share_is_refused(share: Any) -> None:
    with pytest.raises(UsageError, match=r"share of the cases in \(0, 1\)"):
        datasets.load([with_cases(1, 2)], held_out=share)
    with pytest.raises(UsageError, match=r"share of the cases in \(0, 1\)"):
        datasets.source("procedural", held_out=share)


def test_cases_are_held_out_once() -> None:
    with pytest.raises(UsageError, match="cases held out already"):
        datasets.hold_out(datasets.hold_out(with_cases(1, 2, 3), 0.5), 0.5)


def test_the_digest_tells_the_share() -> None:
    shares = (None, 0.3, 0.5)
    assert len({datasets.digest(datasets.load([with_cases(*range(10))], held_out=share)) for share in shares}) == 3
    only = replace(with_cases(1, 2), held_out=(CallCase((3,), 9),))
    assert datasets.digest([only]) != datasets.digest([with_cases(1, 2)])


def test_lazy_cases_stay_lazy_and_pickle() -> None:
    gone = LazyCases(Place(Path("gone.json"), "", "gone"), "f")
    split = datasets.hold_out(Problem("a", "Square.", gone, "f"), 0.5)  # reading would raise
    assert bool(split.cases)
    assert pickle.loads(pickle.dumps(split)).id == "a"


def test_lazy_sides_are_those_of_cases_at_hand() -> None:
    problem = with_cases(*range(9))
    side, eager = _pick.Side(problem, 0.5, aside=True), datasets.hold_out(problem, 0.5)
    assert side == eager.held_out
    assert side[0] == side[:1][0] == next(iter(side))
    assert len(side) == 4
    assert _pick.Side(problem, 0.5, aside=False) == eager.cases


def test_cases_of_an_endless_set_are_held_out_as_they_come() -> None:
    source = datasets.source("procedural", "train", held_out=0.5)
    check_source(source)
    problem = source.draw(np.random.default_rng(0))
    assert (len(problem.cases), len(problem.held_out)) == (3, 3)
    assert source.find(problem.id) == problem
    plain, part = UnitTestEnv("procedural"), UnitTestEnv("procedural", dataset_options={"held_out": 0.5})
    assert plain.data_digest != part.data_digest


def test_a_dataset_with_held_out_cases_keeps_its_contract() -> None:
    check_dataset("procedural", limit=10, held_out=0.5)


def test_mbpp_shows_and_judges_two_of_its_three_asserts(data: Path) -> None:
    problems = datasets.load("mbpp", "test", root=data, held_out=0.5)
    assert {(len(p.cases), len(p.held_out), len(p.examples)) for p in problems} >= {(2, 1, 2)}
    assert all(p.examples == p.cases for p in problems)
