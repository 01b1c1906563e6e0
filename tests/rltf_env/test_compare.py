"""When is an output right? Tables, worked by hand."""

from __future__ import annotations

import math

import pytest

from rltf_env.compare import text_matches, value_matches

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
    ("1 2\n", "1  2\n"),
    (" 1\n", "1\n"),
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
]
WRONG_VALUES = [
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
