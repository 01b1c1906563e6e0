"""Procedural problems: no pair of test is ever seen in train, and what lists and ids hold."""

from __future__ import annotations

import itertools
import os
import pickle
import random
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rltf_env import datasets
from rltf_env.core import Problem, Source
from rltf_env.datasets import _procedural_ops as ops
from rltf_env.datasets import procedural
from rltf_env.datasets._procedural_ops import belongs, compositions, print_program, split_of_steps, step
from rltf_env.errors import UnknownName, UsageError

SIGNED = ("train", "validation", "test")  # what a signature decides


SPLITS_AND_DEPTHS = [("train", 1), *itertools.product(procedural.SPLITS, (2, 3))]


# What these were when they were first published: a change here is a new version of the environment.
GOLDEN_SPLITS = ["validation", "validation", "train", "test", "train"]


def some(split: str, depth: int, n: int = 60, seed: int = 0) -> list[Problem]:
    rng = np.random.default_rng(seed)
    return [procedural.draw(rng, split, depth) for _ in range(n)]


# ------------------------------------------------------------------------------------------------------------ splits


def test_every_pair_of_fitting_types_is_in_exactly_one_split():
    pairs = procedural.signatures(2)
    assert len(set(pairs)) == len(pairs)
    for first, second in pairs:
        assert procedural.OPS[first].gives == procedural.OPS[second].takes
    shares = Counter(map(procedural.split_of, pairs))
    assert shares["test"] / len(pairs) == pytest.approx(0.2, abs=0.05)
    assert shares["validation"] / len(pairs) == pytest.approx(0.1, abs=0.05)
    assert sum(shares.values()) == len(pairs)


def test_all_pairs_drawn_for_a_split_belong_to_it():
    of = {split: {s for s in procedural.signatures(2) if procedural.split_of(s) == split} for split in SIGNED}
    of["seen"] = of["train"]
    drawn = {split: {p.meta["signature"] for p in some(split, 2, 600)} for split in procedural.SPLITS}
    for split, signatures in drawn.items():
        assert signatures <= of[split]
    assert not drawn["train"] & drawn["test"]
    assert not drawn["train"] & drawn["validation"]
    assert not drawn["test"] & drawn["validation"]


def test_every_signature_of_one_or_two_ops_has_problems():
    stream = procedural.Stream(0)

    def found(signature):
        steps = [procedural._draw_step(stream, name) for name in signature]
        inputs = procedural._draw_inputs(stream, steps)
        return inputs is not None and not procedural._degenerate(steps, inputs[procedural.EXAMPLES :])

    barren = [s for d in (1, 2) for s in procedural.signatures(d) if not any(found(s) for _ in range(400))]
    assert barren == []


def test_ops_set_apart_exist_and_their_types_fit():
    for before, after in ops.APART:
        for first, second in itertools.product(before.split(), after.split()):
            assert second not in ops.followers(first)
            assert procedural.OPS[first].gives in {procedural.OPS[b].takes for b in after.split()}
            assert second in procedural.OPS


@pytest.mark.parametrize("depth", [2, 3, 4])
def test_train_never_shows_a_held_out_pair(depth):
    for problem in some("train", depth):
        assert all(procedural.split_of(pair) == "train" for pair in itertools.pairwise(problem.meta["signature"]))


@pytest.mark.parametrize("depth", [2, 3, 4])
@pytest.mark.parametrize("split", ["validation", "test"])
def test_held_out_problem_has_a_held_out_pair(split, depth):
    for problem in some(split, depth):
        pairs = {procedural.split_of(pair) for pair in itertools.pairwise(problem.meta["signature"])}
        assert split in pairs
        assert split == "test" or "test" not in pairs


def test_split_of_a_longer_signature_is_that_of_its_most_held_out_pair():
    for signature in procedural.signatures(3)[::7]:
        pairs = [procedural.split_of(pair) for pair in itertools.pairwise(signature)]
        expected = next((s for s in ("test", "validation") if s in pairs), "train")
        assert procedural.split_of(signature) == expected


@pytest.mark.parametrize("depth", [2, 3, 4])
def test_seen_has_compositions_of_train_and_no_problem_that_train_shows(depth):
    def pairs(problem):
        return set(itertools.pairwise((name, tuple(constants.items())) for name, constants in problem.meta["ops"]))

    train, seen = some("train", depth, 1500), some("seen", depth, 150)
    shown = {p.meta["signature"] for p in train}
    assert sum(p.meta["signature"] in shown for p in seen) > (130 if depth == 2 else 0)
    assert all(procedural.split_of(p.meta["signature"]) == "train" for p in seen)
    shown_pairs = set().union(*map(pairs, train))
    assert all(pairs(p) - shown_pairs for p in seen)  # each has a pair that train never shows


def test_a_tenth_of_the_pairs_with_constants_is_kept_from_train():
    constant = lambda name: [ops.step(name, c) for c in itertools.product(*ops.OPS[name].choices.values())]  # noqa: E731
    of_train = [s for s in procedural.signatures(2) if procedural.split_of(s) == "train"]
    pairs = [pair for s in of_train for pair in itertools.product(*map(constant, s))]
    plain = [pair for pair in pairs if not any(step.constants for step in pair)]
    assert {ops.split_of_steps(pair) for pair in plain} == {"train"}
    kept = sum(ops.split_of_steps(pair) == "seen" for pair in pairs)
    assert kept / (len(pairs) - len(plain)) == pytest.approx(0.1, abs=0.01)


def test_hash_of_a_pair_stays_what_it_was():
    shown = [("add_each", "sum"), ("keep_odd", "sum"), ("words", "longest"), ("upper", "words"), ("add", "square")]
    assert [procedural.split_of(pair) for pair in shown] == GOLDEN_SPLITS


def test_every_op_of_test_is_seen_in_train_alone_and_in_pairs():
    train = {name for s in procedural.signatures(2) if procedural.split_of(s) == "train" for name in s}
    assert train == set(procedural.OPS)
    assert {(name,) for name in procedural.OPS} == set(procedural.signatures(1))
    assert all(procedural.split_of(s) == "train" for s in procedural.signatures(1))


@pytest.mark.parametrize("split", ["validation", "test", "seen"])
def test_single_ops_outside_train_are_refused(split):
    for ask in (
        lambda: procedural.load(split, depths=(1, 2)),
        lambda: procedural.draw(np.random.default_rng(0), split, 1),
        lambda: procedural.find(f"procedural/{split}/1/7"),
        lambda: procedural.source(split, depths=[1]),
    ):
        with pytest.raises(UsageError, match=r"Expected depths of 2 or more in .*Leave out 1"):
            ask()


# ---------------------------------------------------------------------------------------------------------- sameness


@settings(max_examples=150)
@given(st.sampled_from(SPLITS_AND_DEPTHS), st.integers(0, 10**18 - 1))
def test_any_number_is_a_problem_of_its_split_and_the_same_again(where, number):
    split, depth = where
    id = f"procedural/{split}/{depth}/{number}"
    problem = procedural.find(id)
    assert problem.id == id
    assert problem == procedural.find(id)
    assert procedural.split_of(problem.meta["signature"]) == ("train" if split == "seen" else split)
    assert len(problem.meta["signature"]) == depth


OTHER_IDS = ["", "mbpp/1", "procedural/train/2", "procedural/tset/2/1", "procedural/train/7/1"]


OTHER_NUMBERS = ["", "-1", "01", "1\n", "1.5", "9" * 19]


@pytest.mark.parametrize("id", [*OTHER_IDS, *(f"procedural/train/2/{number}" for number in OTHER_NUMBERS)])
def test_id_of_another_form_is_unknown(id):
    with pytest.raises(UnknownName, match="procedural/train/DEPTH/NUMBER"):
        procedural.find(id)


def test_other_processes_make_the_same_problems():
    code = (
        "import hashlib; from rltf_env.datasets import procedural as p;"
        "print(hashlib.sha256(repr((p.load(size=60), p.load('test', size=60, seed=5))).encode()).hexdigest())"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": salt},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for salt in ("0", "1234")
    }
    assert len(seen) == 1


def test_no_global_generator_is_touched():
    before = random.getstate(), repr(np.random.get_state())  # noqa: NPY002
    procedural.load(size=20)
    assert (random.getstate(), repr(np.random.get_state())) == before  # noqa: NPY002


def test_draw_takes_one_number_and_gives_what_find_gives():
    rng, other = np.random.default_rng(3), np.random.default_rng(3)
    problem = procedural.draw(rng, "validation", 3)
    assert problem == procedural.find(f"procedural/validation/3/{other.integers(2**48)}")
    assert rng.bit_generator.state == other.bit_generator.state


# --------------------------------------------------------------------------------------------------------------- API


def test_load_gives_depths_in_turn_and_more_only_adds():
    problems = procedural.load("train", size=30, seed=4)
    assert [p.difficulty for p in problems[:4]] == ["depth-1", "depth-2", "depth-3", "depth-1"]
    assert procedural.load("train", size=50, seed=4)[:30] == problems
    assert procedural.load("train", size=30, seed=5) != problems
    assert {p.difficulty for p in procedural.load("test", size=4)} == {"depth-2", "depth-3"}
    assert problems.skipped == ()


@pytest.mark.parametrize(("split", "depth", "least"), [("train", 1, 163), ("seen", 2, 460), ("test", 2, 1300)])
def test_load_finds_every_statement_there_is_and_says_how_many(split, depth, least):
    problems = procedural.load(split, size=5000 if split == "test" else 1000, depths=[depth])
    assert least <= len(problems) <= len(compositions(split, depth))
    assert len({p.statement for p in problems}) == len({p.id for p in problems}) == len(problems)
    assert f"{len(problems)} different statements exist" in problems.skipped[0][1]
    rng = np.random.default_rng(8)
    drawn = {procedural.draw(rng, split, depth).statement for _ in range(300)}
    assert drawn <= {p.statement for p in problems}


def test_no_statement_comes_twice_even_with_depths_that_run_out():
    problems = procedural.load("train", size=700)
    assert len({p.statement for p in problems}) == 700
    assert problems.skipped == ()
    assert Counter(p.difficulty for p in problems)["depth-1"] == 163


def test_problem_from_the_list_is_found_by_its_id_again():
    problems = procedural.load("seen", size=1000, depths=[2])
    listed = [p for p in problems if int(p.id.split("/")[-1]) >= procedural.BY_COMPOSITION]
    assert listed
    assert all(procedural.find(p.id) == p for p in listed[:20])


def test_no_reference_that_evaluates_is_one_of_train_letter_for_letter():
    train = {print_program(steps) for depth in (1, 2) for steps in compositions("train", depth)}
    for split in ("validation", "test", "seen"):
        steps = compositions(split, 2)
        assert steps
        assert not train & {print_program(each) for each in steps}
        assert not train & {p.solutions[0] for p in procedural.load(split, size=200, depths=[2])}


def test_twin_in_other_words_keeps_a_composition_out_of_evaluation():
    twin = (step("count_words", ()), step("to_text", ()))  # the code of ("count", "to_text"), which train has
    assert split_of_steps(twin) == "test"
    assert not belongs(twin, "test")


def test_load_by_name_ignores_the_root():
    assert datasets.load("procedural", "test", "/no/such/folder", size=3) == procedural.load("test", size=3)


def test_source_draws_endless_problems_of_its_split_and_depths():
    source = datasets.source("procedural", "test", "/no/such/folder", depths=[3])
    assert isinstance(source, Source)
    rng = np.random.default_rng(0)
    problems = [source.draw(rng) for _ in range(20)]
    assert len({p.id for p in problems}) == 20
    assert {p.difficulty for p in problems} == {"depth-3"}
    assert source.find(problems[0].id) == problems[0]
    assert pickle.loads(pickle.dumps(source)) == source
    with pytest.raises(UnknownName, match="another split"):
        source.find("procedural/train/2/1")


@pytest.mark.parametrize("depths", [(), (0,), (7,), (1.5,), 2, "12"])
def test_impossible_depths_are_refused(depths):
    with pytest.raises(UsageError, match=r"Expected .*depth"):
        procedural.load(depths=depths)


def test_unknown_splits_ops_and_sizes_are_refused():
    with pytest.raises(UnknownName, match="Did you mean 'train'"):
        procedural.load("trian")
    with pytest.raises(UnknownName, match="Did you mean 'sum'"):
        procedural.split_of(("keep_odd", "sun"))
    with pytest.raises(UsageError, match="size >= 1"):
        procedural.load(size=0)
