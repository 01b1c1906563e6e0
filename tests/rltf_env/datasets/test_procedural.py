"""Procedural problems: right by independent means, the same everywhere, and split so that test is never seen in train."""

from __future__ import annotations

import copy
import itertools
import pickle
import re

import numpy as np
import pytest

from rltf_env.core import CallCase, Problem
from rltf_env.datasets import _procedural_ops as ops
from rltf_env.datasets import procedural

SPLITS_AND_DEPTHS = [("train", 1), *itertools.product(procedural.SPLITS, (2, 3))]


# op -> rows of (constants, input, output), worked by hand.
TABLE: dict[str, list[tuple[dict, object, object]]] = {
    "keep_odd": [({}, [1, 2, -3, 0], [1, -3]), ({}, [], [])],
    "keep_multiples": [({"k": 3}, [3, 4, -6, 0], [3, -6, 0]), ({"k": 2}, [1], [])],
    "keep_above": [({"k": 4}, [4, 5, -9, 6], [5, 6]), ({"k": 0}, [0], [])],
    "add_each": [({"k": 3}, [1, -3], [4, 0]), ({"k": 1}, [], [])],
    "multiply_each": [({"k": 3}, [1, -3, 0], [3, -9, 0])],
    "square_each": [({}, [2, -3, 0], [4, 9, 0])],
    "sort_up": [({}, [3, -1, 2, 3], [-1, 2, 3, 3])],
    "sort_down": [({}, [3, -1, 2, 3], [3, 3, 2, -1])],
    "reverse_list": [({}, [1, 2, 3], [3, 2, 1]), ({}, [], [])],
    "take_first": [({"k": 2}, [7, 8, 9], [7, 8]), ({"k": 4}, [7], [7])],
    "append_number": [({"k": 0}, [7], [7, 0]), ({"k": 9}, [], [9])],
    "sum": [({}, [1, -3, 5], 3), ({}, [], 0)],
    "largest": [({}, [-4, -2, -3], -2), ({}, [], 0)],
    "count": [({}, [5, 5], 2), ({}, [], 0)],
    "sort_words": [({}, ["red", "a", "Tom"], ["Tom", "a", "red"])],
    "reverse_words": [({}, ["red", "a"], ["a", "red"])],
    "long_words": [({"k": 3}, ["blue", "red", "a"], ["blue"])],
    "lengths": [({}, ["blue", "", "a"], [4, 0, 1])],
    "count_words": [({}, ["blue", "a"], 2), ({}, [], 0)],
    "upper": [({}, "Red sky", "RED SKY")],
    "reverse_text": [({}, "ab c", "c ba"), ({}, "", "")],
    "replace_letter": [({"j": "a", "k": "x"}, "banana", "bxnxnx"), ({"j": "o", "k": "z"}, "O", "O")],
    "remove_vowels": [({}, "Alice eel", "Alc l")],
    "double_characters": [({}, "ab ", "aabb  ")],
    "take_text": [({"k": 3}, "stone", "sto"), ({"k": 2}, "a", "a")],
    "repeat": [({"k": 3}, "ab", "ababab")],
    "length": [({}, "red sky", 7), ({}, "", 0)],
    "words": [({}, "red sky", ["red", "sky"]), ({}, "", [])],
    "positions": [({"k": "t"}, "otter", [1, 2]), ({"k": "a"}, "", [])],
    "join_words": [({"k": "-"}, ["a", "b", "c"], "a-b-c"), ({"k": "+"}, [], "")],
    "add": [({"k": 4}, -6, -2)],
    "multiply": [({"k": 4}, -6, -24)],
    "square": [({}, -6, 36)],
    "remainder": [({"k": 5}, 12, 2), ({"k": 5}, -1, 4)],
    "count_up": [({}, 3, [1, 2, 3]), ({}, 0, []), ({}, -4, [])],
    "digits": [({}, -120, [1, 2, 0]), ({}, 0, [0])],
    "to_text": [({}, -12, "-12")],
    "at_least": [({"k": 5}, 4, 5), ({"k": 5}, 6, 6)],
    "halve_or_add": [({"k": 3}, -8, -4), ({"k": 3}, 7, 10)],
    "next_multiple": [({"k": 4}, 9, 12), ({"k": 4}, 12, 12), ({"k": 4}, -7, -4)],
    "digit_sum": [({}, 305, 8), ({}, -21, 3), ({}, 0, 0)],
    "alternate_sum": [({}, [4, 3, 2, -1], 4), ({}, [], 0)],
    "running_sums": [({}, [1, 2, -5], [1, 3, -2]), ({}, [], [])],
    "unique": [({}, [3, 1, 3, 2, 1], [3, 1, 2])],
    "until_negative": [({}, [3, 0, -1, 5], [3, 0]), ({}, [-1, 2], [])],
    "count_vowels": [({}, "Alice eel", 4), ({}, "sky", 0)],
    "longest": [({}, ["a", "red", "sky"], "red"), ({}, [], "")],
}


# The same ops once more, in other words than the generator's templates.
ORACLE = {
    "keep_odd": lambda x: list(filter(lambda v: v & 1, x)),
    "keep_multiples": lambda x, k: [v for v in x if v == v // k * k],
    "keep_above": lambda x, k: [v for v in x if not v <= k],
    "add_each": lambda x, k: list(map(k.__add__, x)),
    "multiply_each": lambda x, k: list(map(k.__mul__, x)),
    "square_each": lambda x: [v**2 for v in x],
    "sort_up": lambda x: np.sort(np.array(x, int)).tolist(),
    "sort_down": lambda x: np.sort(np.array(x, int)).tolist()[::-1],
    "reverse_list": lambda x: list(reversed(x)),
    "take_first": lambda x, k: [v for i, v in enumerate(x) if i < k],
    "append_number": lambda x, k: [*x, k],
    "sum": lambda x: int(np.sum(np.array(x, int))),
    "largest": lambda x: sorted(x)[-1] if x else 0,
    "count": lambda x: sum(1 for _ in x),
    "sort_words": lambda x: np.sort(np.array(x, object)).tolist(),
    "reverse_words": lambda x: list(reversed(x)),
    "long_words": lambda x, k: [w for w in x if w[k:]],
    "lengths": lambda x: list(map(len, x)),
    "count_words": lambda x: sum(1 for _ in x),
    "upper": lambda x: "".join(chr(ord(c) - 32) if "a" <= c <= "z" else c for c in x),
    "reverse_text": lambda x: "".join(reversed(x)),
    "replace_letter": lambda x, j, k: x.translate({ord(j): k}),
    "remove_vowels": lambda x: re.sub("[aeiou]", "", x),
    "double_characters": lambda x: re.sub("(.)", r"\1\1", x),
    "take_text": lambda x, k: "".join(c for i, c in enumerate(x) if i < k),
    "repeat": lambda x, k: "".join([x] * k),
    "length": lambda x: sum(1 for _ in x),
    "words": lambda x: re.findall(r"[^ ]+", x),
    "positions": lambda x, k: [m.start() for m in re.finditer(k, x)],
    "join_words": lambda x, k: "".join(part for w in x for part in (k, w))[1:],
    "add": lambda x, k: k - -x,
    "multiply": lambda x, k: sum([x] * k),
    "square": lambda x: x**2,
    "remainder": lambda x, k: x - x // k * k,
    "count_up": lambda x: [*range(x + 1)][1:],
    "digits": lambda x: list(map(int, str(x).lstrip("-"))),
    "to_text": lambda x: f"{x:d}",
    "at_least": lambda x, k: max(x, k),
    "halve_or_add": lambda x, k: x + k if x & 1 else x >> 1,
    "next_multiple": lambda x, k: -(-x // k) * k,
    "digit_sum": lambda x: sum(map(int, str(x).lstrip("-"))),
    "alternate_sum": lambda x: sum(-v if v & 1 else v for v in x),
    "running_sums": lambda x: list(itertools.accumulate(x)),
    "unique": lambda x: list(dict.fromkeys(x)),
    "until_negative": lambda x: list(itertools.takewhile(lambda v: v >= 0, x)),
    "count_vowels": lambda x: len(re.findall("[aeiou]", x)),
    "longest": lambda x: max(x, key=len, default=""),
}


GOLDEN_STATEMENT = "Given a string x, keep the first 2 characters, then double each character, and return the result."


GOLDEN_REFERENCE = "def f(x):\n    x = x[:2]\n    return ''.join([c + c for c in x])\n"


GOLDEN_CASES = [
    ("Tom cat", "TToo"), ("silver pi silver", "ssii"), ("sky", "sskk"), ("owl", "ooww"),
    ("otter area", "oott"), ("to cat cat", "ttoo"), ("X", "XX"), ("", ""),
]  # fmt: skip


def some(split: str, depth: int, n: int = 60, seed: int = 0) -> list[Problem]:
    rng = np.random.default_rng(seed)
    return [procedural.draw(rng, split, depth) for _ in range(n)]


def run(source: str, x: object) -> object:
    """The result of `f(x)`; an exception's class name where there is none."""
    names: dict = {}
    exec(source, names)
    try:
        return names["f"](copy.deepcopy(x))
    except Exception as error:
        return type(error).__name__


def call(problem: Problem) -> list[CallCase]:
    cases = [*problem.examples, *problem.cases]
    assert all(isinstance(case, CallCase) for case in cases)
    return cases


# --------------------------------------------------------------------------------------------------------------- ops


def test_tables_cover_every_op():
    assert set(TABLE) == set(ORACLE) == set(procedural.OPS)


@pytest.mark.parametrize("name", TABLE)
def test_op_gives_what_was_worked_out_by_hand(name):
    for constants, x, expected in TABLE[name]:
        step = ops.step(name, tuple(constants.values()))
        assert step.constants == constants
        assert (step.apply(copy.deepcopy(x)), ORACLE[name](copy.deepcopy(x), **constants)) == (expected, expected)


def test_module_docstring_lists_every_op_under_its_types():
    rows = re.findall(r"^    (\S+) -> (\S+)  +((?:\w+\s+)+?)(?=\n|    \S+ ->)", procedural.__doc__ or "", re.MULTILINE)
    listed = {(takes, gives): names.split() for takes, gives, names in rows}
    for op in procedural.OPS.values():
        assert op.name in listed[op.takes, op.gives]
    assert sum(map(len, listed.values())) == len(procedural.OPS)


def test_phrases_tell_ops_and_constants_apart():
    steps = [ops.step(op.name, c) for op in procedural.OPS.values() for c in itertools.product(*op.choices.values())]
    assert len({step.phrase for step in steps}) == len(steps)
    assert not [step.phrase for step in steps if ", then" in step.phrase or ", and" in step.phrase]


def test_families_of_control_flow_hold_if_else_for_and_while():
    control = "\n".join(op.code for op in ops.CONTROL)
    assert all(keyword in control for keyword in ("if ", "else:", "for ", "while ", "break"))


# ---------------------------------------------------------------------------------------------------------- problems


@pytest.mark.parametrize(("split", "depth"), SPLITS_AND_DEPTHS)
def test_reference_and_independent_evaluation_agree_on_every_case(split, depth):
    for problem in some(split, depth):
        for case in call(problem):
            expected = copy.deepcopy(case.args[0])
            for name, constants in problem.meta["ops"]:
                expected = ORACLE[name](expected, **constants)
            assert case.expected == expected
            assert type(case.expected) is type(expected)
            assert run(problem.solutions[0], case.args[0]) == expected


@pytest.mark.parametrize(("split", "depth"), SPLITS_AND_DEPTHS)
def test_no_constant_and_no_shorter_program_passes(split, depth):
    for problem in some(split, depth):
        results = [case.expected for case in problem.cases]
        assert max(map(results.count, results)) <= len(results) // 2
        steps = problem.meta["ops"]
        for n in range(len(steps)):
            for part in itertools.combinations(steps, n):
                shorter = [ops.step(name, tuple(constants.values())) for name, constants in part]
                source = ops.print_program(shorter) if shorter else "def f(x): return x"
                assert [run(source, case.args[0]) for case in problem.cases] != results


@pytest.mark.parametrize(("split", "depth"), SPLITS_AND_DEPTHS)
def test_values_are_small_and_inputs_all_differ(split, depth):
    for problem in some(split, depth):
        cases = call(problem)
        assert (len(problem.examples), len(problem.cases)) == (2, 6)
        assert len({repr(case.args) for case in cases}) == len(cases)
        for value in (v for case in cases for v in (case.args[0], case.expected)):
            items = value if isinstance(value, list) else [value]
            assert len(items) <= 20
            assert all(abs(v) <= 9999 if isinstance(v, int) else len(v) <= 40 for v in items)


def test_edge_inputs_are_among_the_hidden_cases():
    for kind, edge in (("list[int]", []), ("str", ""), ("int", 0), ("list[str]", [])):
        problems = [p for p in some("train", 1, 300) if procedural.OPS[p.meta["signature"][0]].takes == kind]
        assert any(case.args == (edge,) for p in problems for case in p.cases)
        assert not any(case.args in (("",), ([],)) for p in problems for case in p.examples)


def test_reference_leaves_its_argument_alone():
    for problem in itertools.chain.from_iterable(some("train", depth) for depth in (1, 2, 3)):
        names: dict = {}
        exec(problem.solutions[0], names)
        for case in call(problem):
            x = copy.deepcopy(case.args[0])
            names["f"](x)
            assert x == case.args[0]


def test_problems_share_no_list_with_each_other():
    edges = [case.args[0] for p in some("train", 1, 200) for case in p.cases]
    lists = [x for x in edges if isinstance(x, list)]
    assert len({id(x) for x in lists}) == len(lists)


def test_same_statement_means_same_signature_and_constants():
    meaning: dict[str, object] = {}
    for split, depth in SPLITS_AND_DEPTHS:
        for problem in some(split, depth, 200):
            assert meaning.setdefault(problem.statement, problem.meta["ops"]) == problem.meta["ops"]


def test_a_problem_stays_what_it_was():
    problem = procedural.find("procedural/train/2/4")
    assert problem.statement == GOLDEN_STATEMENT
    assert problem.solutions == (GOLDEN_REFERENCE,)
    assert [(case.args[0], case.expected) for case in call(problem)] == GOLDEN_CASES


def test_problem_says_its_depth_signature_and_entry_point():
    problem = procedural.find("procedural/test/3/5")
    assert (problem.difficulty, problem.entry_point) == ("depth-3", "f")
    assert problem.meta["signature"] == tuple(name for name, _ in problem.meta["ops"])
    assert len(problem.meta["signature"]) == 3
    assert pickle.loads(pickle.dumps(problem)) == problem
