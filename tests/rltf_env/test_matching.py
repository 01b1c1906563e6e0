"""When is an output right? Tables, worked by hand."""

from __future__ import annotations

import math
import random
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from decimal import Decimal
from fractions import Fraction
from itertools import permutations
from typing import Any

import pytest

from rltf_env.matching import text_matches, value_matches

RIGHT_TEXTS = [
    ("9\n", "9\n"),
    ("9\n", "9"),
    ("9\n", "9  \n\n"),
    ("a\nb\n", "a\r\nb\r\n"),
    ("a\n\nb\n", "a\nb\n"),
    ("", "\n \n"),
    ("0.5\n", "0.5000000001\n"),
    ("0.5\n", ".5\n"),
    ("1e-3 x\n", "0.001 x\n"),
    ("100000000.0", "100000001"),
    ("x 1.5  2", "x 1.5 2"),
    ("1 2\n", "1  2\n"),
    (" 1\n", "1\n"),
    ("1 2", "1\t2 \r"),
    ("Hello, World!", "  Hello,     World!"),
    ("1 2\n10 20", " 1  2\n10 20"),
    ("1.5e400", "15e399"),
    ("1.5e400", "1.5000001e400"),
    ("9" * 320 + ".0", "9" * 320),
    ("1e-400", "0"),
    ("0." + "3" * 1000, "0." + "3" * 1200),
]
WRONG_TEXTS = [
    ("9\n", "9.0\n"),
    ("9\n", "8\n"),
    ("9\n", "9 9\n"),
    ("9\n9\n", "9\n"),
    ("1 2 2\n", "1 2\n"),
    ("a b\n", "b a\n"),
    ("a\nb\n", "b\na\n"),
    ("YES\n", "Yes\n"),
    ("1 2\n", "1\n2\n"),
    ("a b\n", "ab\n"),
    ("a b\n", "a\u00a0b\n"),
    ("1  2\n", "1 2 2\n"),
    ("1 2", "1 2.0"),
    ("1.5e400", "9e999"),
    ("1.5e400", "2e308"),
    ("-1.5e400", "1.5e400"),
    ("1.0", "9e999"),
    ("9" * 320 + ".0", "1.1e320"),
    ("0.5\n", "0.51\n"),
    ("0.5\n", "nan\n"),
    ("0.5\n", "0_5\n"),
    ("0.5\n", "٠.٥\n"),
    ("0.5\n", "1e99999\n"),
    ("9\n", "9\0\n"),
    ("1_0.5", "10.5"),
]


@pytest.mark.parametrize(("expected", "got"), RIGHT_TEXTS)
def test_text_is_right(expected: str, got: str) -> None:
    assert text_matches(expected, got)


@pytest.mark.parametrize(("expected", "got"), WRONG_TEXTS)
def test_text_is_wrong(expected: str, got: str) -> None:
    assert not text_matches(expected, got)


RIGHT_VALUES = [
    (OrderedDict(a=1, b=2), OrderedDict(a=1, b=2.0)),
    (OrderedDict(a=1, b=2), {"b": 2, "a": 1}),
    ({"a": 1, "b": 2}, OrderedDict(b=2, a=1)),
    (3, 3),
    (3, 3.0),
    (1, True),
    (0.1 + 0.2, 0.3),
    (1e300, 1e300 * (1 + 1e-9)),
    (2.0, 2),
    (math.nan, math.nan),
    (math.inf, math.inf),
    ([1, 2], (1, 2)),
    ((1, 2), (1, 2)),
    ([[1.0, "a"], None], [(1, "a"), None]),
    ({"1": [2]}, {1: [2]}),
    ({"a": 0.5}, {"a": 0.5 + 1e-9}),
    ({1, 2}, frozenset({2, 1})),
    (1 + 2j, 1 + 2j),
    (b"x", b"x"),
    ("", ""),
    (4, Decimal(4)),
    (4, Fraction(4)),
    (4, 4 + 0j),
    (0.5, Decimal("0.5")),
    (0.5, Fraction(1, 2)),
    (0.5, 0.5 + 0j),
    (-1.0, -1 + 1.2e-16j),
    (1 / 3, Fraction(1, 3)),
    (0.3, Decimal("0.1") + Decimal("0.2")),
    (0.5 + 1j, complex(0.5, 1 + 1e-9)),
    (0.5 + 0j, Fraction(1, 2)),
    (Decimal("0.5"), 0.5),
    (Fraction(1, 2), 0.5),
    (Decimal("NaN"), math.nan),
    (math.nan, Decimal("NaN")),
    (math.inf, Decimal("Infinity")),
    ([0.5, {"a": (0.25, None)}], [Decimal("0.5"), {"a": (Fraction(1, 4), None)}]),
    ({0.3}, {0.1 + 0.2}),
    ({0.3}, {Decimal("0.3")}),
    ({(0.3, "a"), (0.6, "b")}, {(0.1 + 0.2, "a"), (0.2 + 0.4, "b")}),
    ({frozenset({0.3})}, {frozenset({0.1 + 0.2})}),
    ({0.3: 1}, {0.1 + 0.2: 1}),
    ({0.3: 0.3}, {Fraction(3, 10): Decimal("0.3")}),
    ({(0.3, 1): [0.6]}, {(0.1 + 0.2, 1): [0.2 + 0.4]}),
    ({math.nan: 1}, {float("nan"): 1}),
    (deque([0.3]), deque([0.1 + 0.2])),
]
WRONG_VALUES = [
    (OrderedDict(a=1, b=2), OrderedDict(b=2, a=1)),
    ([OrderedDict(a=1, b=2)], [OrderedDict(b=2, a=1)]),
    (3, 4),
    (3, "3"),
    (3, [3]),
    (3, None),
    ([3], 3),
    (3, math.nan),
    (3, 3.0000001),
    (0.5, "0.5"),
    (0.5, 0.51),
    (0.5, 10**400),
    (math.nan, 0.0),
    (1e9, math.inf),
    ((1, 2), [1, 2]),
    ([1, 2], [2, 1]),
    ([1, 2], {1, 2}),
    ((), []),
    ([1], [1, 1]),
    ({"a": 1}, {"a": 2}),
    ({"a": 1}, {"a": 1, "b": 2}),
    ({1: "x"}, {"1": "x"}),
    ({"1": 2, "x": 3}, {1: 2, "y": 3}),
    ("a", b"a"),
    (None, 0),
    ([[]], [[[]]]),
    (0.5, Decimal("0.51")),
    (0.5, 0.5 + 0.1j),
    (4, 4 + 1e-9j),
    (4, Decimal("4.0000001")),
    (0.5, Decimal("sNaN")),
    (0.5, None),
    (math.inf, 10**400),
    (math.inf, Decimal("1e400")),
    (1e308, Decimal("1e400")),
    (-math.inf, math.inf),
    (Decimal("0.1"), 0.1),
    ({0.3}, {0.31}),
    ({0.3, 0.6}, {0.3}),
    ({1, 2}, {1, 2.0000001}),
    ({0.3: 1}, {0.1 + 0.2: 2}),
    ({0.3: 1}, {"0.3": 1}),
    ({0.5, 0.5000004}, {0.5000002, 7.0}),
    (deque([1]), [1]),
]


@pytest.mark.parametrize(("expected", "got"), RIGHT_VALUES)
def test_value_is_right(expected: object, got: object) -> None:
    assert value_matches(expected, got)


@pytest.mark.parametrize(("expected", "got"), WRONG_VALUES)
def test_value_is_wrong(expected: object, got: object) -> None:
    assert not value_matches(expected, got)


def test_order_is_free_only_where_the_problem_says_so() -> None:
    assert value_matches([1, 2, 2], [2, 1, 2], any_order=True)
    assert not value_matches([1, 2, 2], [2, 1, 1], any_order=True)
    assert value_matches([[1, 2], [3]], [[3], [1, 2]], any_order=True)
    assert not value_matches([[1, 2], [3]], [[3], [2, 1]], any_order=True)
    assert text_matches("a\nb\nb\n", "b\na\nb\n", any_order=True)
    assert not text_matches("a\nb\nb\n", "b\na\na\n", any_order=True)


def test_many_items_in_any_order_take_no_time() -> None:
    """Pairing each with each would take ten thousand million comparisons."""
    items = list(range(100_000))
    assert value_matches(items, items[::-1], any_order=True)
    assert not value_matches(items, [*items[:0:-1], -1], any_order=True)
    assert text_matches("\n".join(map(str, items)), "\n".join(map(str, items[::-1])), any_order=True)
    assert value_matches([0.5, 1, "a"], ["a", 0.5 + 1e-9, 1], any_order=True)
    assert not value_matches([1, 1], [1, True, 1], any_order=True)


def test_values_too_deep_to_compare_are_different() -> None:
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    assert not value_matches(deep, [deep])


# ------------------------------------------------------------------------------------------ any order


def slowly(expected: Sequence[Any], got: Sequence[Any], matches: Callable[[Any, Any], bool]) -> bool:
    """Whether each expected item has a partner of its own, by trying all of them."""
    partner: dict[int, int] = {}

    def finds(index: int, tried: set[int]) -> bool:
        for other in range(len(got)):
            if other not in tried and matches(expected[index], got[other]):
                tried.add(other)
                if other not in partner or finds(partner[other], tried):
                    partner[other] = index
                    return True
        return False

    return len(expected) == len(got) and all(finds(index, set()) for index in range(len(expected)))


NEAR = [0, 1, 0.0, 1.0, 5e-7, -4e-7, 9e-7, 1 + 5e-7, 1 - 7e-7, 0.5, Decimal("0.5"), Fraction(1, 2), True, 1 + 0j]
NEAR += [-1, -2, math.nan, math.inf, 10**400, Decimal("1e400"), Decimal("1.0000004"), 1e9, 1e9 + 600.0, 10**9]


def some(rng: random.Random, depth: int = 0) -> Any:
    """A plain value, nearly always with a number in it that is close to others."""
    choice = rng.random() + 0.3 * depth
    if choice < 0.12:
        return [some(rng, depth + 1) for _ in range(rng.randint(1, 2))]
    if choice < 0.24:
        return tuple(some(rng, depth + 1) for _ in range(rng.randint(1, 2)))
    if choice < 0.36:
        return {rng.choice(NEAR) if rng.random() < 0.7 else (rng.choice(NEAR), "a") for _ in range(rng.randint(1, 3))}
    if choice < 0.48:
        return {rng.choice([1, "1", "x", 0.5, *NEAR]): some(rng, depth + 1) for _ in range(rng.randint(1, 2))}
    return "a" if choice < 0.52 else rng.choice(NEAR)


def another(rng: random.Random, value: Any) -> Any:
    """What may stand for a value, or just not."""
    if isinstance(value, list | tuple):
        return rng.choice([type(value), tuple])(another(rng, item) for item in value)
    if isinstance(value, set):
        return {another(rng, item) for item in value}
    if isinstance(value, dict):
        return {another(rng, key): another(rng, item) for key, item in value.items()}
    if type(value) is float and math.isfinite(value):
        near = value + rng.uniform(-1.2e-6, 1.2e-6) * max(1, abs(value))
        return rng.choice([near, near, value, Fraction(value), complex(value)])
    return value


def test_any_order_gives_what_trying_all_partners_gives() -> None:
    found = []
    for seed in range(2000):
        rng = random.Random(seed)
        expected = [some(rng) for _ in range(rng.randint(2, 5))]
        got = [another(rng, item) for item in expected]
        rng.shuffle(got)
        right = slowly(expected, got, value_matches)
        assert value_matches(expected, got, any_order=True) is right, (seed, expected, got)
        found.append(right)
    assert 500 < sum(found) < 1900


def test_members_of_sets_and_keys_find_the_partners_that_trying_all_finds() -> None:
    for seed in range(2000):
        rng = random.Random(seed)
        expected = {rng.uniform(0, 4e-6) if rng.random() < 0.8 else (rng.uniform(0, 4e-6), 1) for _ in range(4)}
        got = {another(rng, item) for item in expected}
        right = slowly(list(expected), list(got), value_matches)
        assert value_matches(expected, got) is right, (seed, expected, got)
        first, second = dict.fromkeys(expected, 0.5), dict.fromkeys(got, 0.5)
        assert value_matches(first, second) is right, (seed, expected, got)


def test_lines_in_any_order_find_the_partners_that_trying_all_finds() -> None:
    words = ["1", "1.0", "a", "1.0000005", "1.0000009", "0.9999995", "1.5e400", "9e999", "2"]
    for seed in range(2000):
        rng = random.Random(seed)
        expected = [" ".join(rng.choices(words, k=rng.randint(1, 2))) for _ in range(4)]
        got = [line if rng.random() < 0.5 else line.replace("1.0", "1.00") for line in expected]
        got[0] = got[0].replace("1.0000005", "1.0000001")
        rng.shuffle(got)
        right = slowly(expected, got, text_matches)
        assert text_matches("\n".join(expected), "\n".join(got), any_order=True) is right, (seed, expected, got)


def test_an_item_does_not_take_the_only_partner_of_another() -> None:
    assert value_matches([0.0, 9e-7], [8e-7, -5e-7], any_order=True)
    assert value_matches([0.0, 9e-7], [-5e-7, 8e-7], any_order=True)
    assert value_matches([1.0, 1], [1, 1.0000001], any_order=True)
    assert value_matches([1, 1.0], [1.0000001, 1], any_order=True)
    assert text_matches("0.0\n9e-7", "8e-7\n-5e-7", any_order=True)


LISTS = [list(each) for each in permutations(range(7))]
DRAW = random.Random(1)
FLOATS = [DRAW.random() for _ in range(8000)]
DENSE = [index * 6e-8 for index in range(8000)]
PAIRS = [[DRAW.random() * 1e-3, DRAW.random()] for _ in range(5000)]
SETS = [{index * 0.5, index * 0.25 + 0.1} for index in range(2000)]


@pytest.mark.parametrize(
    ("expected", "got", "right"),
    [
        (LISTS, LISTS[::-1], True),
        (LISTS, [tuple(each) for each in LISTS[::-1]], True),
        (LISTS, [*LISTS[:0:-1], [0] * 7], False),
        (FLOATS, FLOATS[::-1], True),
        (FLOATS, [each + 9e-7 for each in FLOATS[::-1]], True),
        (FLOATS, [each + 2e-6 for each in FLOATS[::-1]], False),
        (DENSE, [each + 5e-7 for each in DENSE[::-1]], True),
        (DENSE, [each + 2e-6 for each in DENSE[::-1]], False),
        (PAIRS, [[a + 5e-7, b - 5e-7] for a, b in PAIRS[::-1]], True),
        (SETS, [{each + 1e-9 for each in item} for item in SETS[::-1]], True),
        ([1] * 4000 + [1.0] * 4000, [0.9999999] * 4000 + [1] * 4000, True),
        ([1] * 4000 + [1.0] * 4000, [0.9999999] * 4001 + [1] * 3999, False),
        (set(FLOATS), {each + 1e-9 for each in FLOATS}, True),
        (dict.fromkeys(FLOATS, 1), dict.fromkeys([each + 1e-9 for each in FLOATS], 1), True),
    ],
)
def test_thousands_of_items_in_any_order_take_no_time(expected: Any, got: Any, right: bool) -> None:
    """A hundredth of a second to some tenths; trying each with each, most of them take minutes."""
    began = time.process_time()
    assert value_matches(expected, got, any_order=True) is right
    assert time.process_time() - began < 2


def test_numbers_too_long_to_print_are_compared() -> None:
    numbers = [10**5000 + index for index in range(20)]
    assert value_matches(numbers, numbers[::-1], any_order=True)
    assert not value_matches(numbers, [*numbers[:0:-1], 10**5000 + 20], any_order=True)
