"""What stands for values of NumPy's in a script that is judged apart answers as they do."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from rltf_env.sandbox.values import Unrepresentable, decode, dump

NUMBERS = (
    *(np.int64(3), np.int32(-2), np.uint8(7), np.bool_(True), np.bool_(False), np.float32(0.5), np.float64(1.5)),
    np.str_("ab"),
)
OF_NUMBERS = (
    *(
        "x == 3",
        "3 == x",
        "x == 3.0",
        "x + 1",
        "1 + x",
        "x / 2",
        "7 // x",
        "x < 4",
        "x > 1",
        "bool(x)",
        "not x",
        "abs(x)",
    ),
    *(
        "int(x)",
        "float(x)",
        "divmod(x, 2)",
        "hash(x) == hash(3)",
        "{3: 'a'}.get(x)",
        "x in [1, 3, 5]",
        "[1, 2, 3, 4][x]",
    ),
    *(
        "isinstance(x, int)",
        "isinstance(x, float)",
        "isinstance(x, list)",
        "isinstance(x, str)",
        "x is True",
        "x == True",
    ),
    *("len(x)", "list(range(x))", "str(x) == '1.5'", "f'{x:.2f}' == '0.50'"),
)
ROWS = (np.array([1, 2]), np.array([5]), np.array([0.5, 2.0]), np.zeros((0, 3)))
OF_ROWS = (
    *(
        "len(x)",
        "x[0] == 1",
        "[v == 1 for v in x]",
        "sum(x)",
        "max(x)",
        "sorted(x) == [1, 2]",
        "1 in x",
        "x[1:] == [2]",
    ),
    *("x == [1, 2]", "x == [5]", "x != [1, 3]", "x < 4", "x == 1", "bool(x)", "isinstance(x, list)", "x is True"),
)
TABLES = (np.array([[1, 2], [3, 4]]),)
OF_TABLES = (
    *(
        "len(x)",
        "isinstance(x, list)",
        "x[0] == [1, 2]",
        "list(map(list, x)) == [[1, 2], [3, 4]]",
        "x == [[1, 2], [3, 4]]",
    ),
    *("x[1][0] == 3", "x == 1", "[sum(row) for row in x] == [3, 7]"),
)


def copied(value: Any) -> Any:
    """A value as a script sees it that is judged apart."""
    return decode(json.loads(dump(value, lambda thing: None)), lambda number: None)


def answer(question: str, x: Any) -> Any:
    """What an `assert` would make of the answer, or of a number its value."""
    try:
        found = eval(question, {"x": x})
        return bool(found) if hasattr(found, "__len__") else float(found)
    except Exception as error:
        return isinstance(error, Exception)


@pytest.mark.parametrize(
    ("values", "questions"),
    [(NUMBERS, OF_NUMBERS), (ROWS, OF_ROWS), (TABLES, OF_TABLES)],
    ids=["numbers", "rows", "tables"],
)
def test_a_plain_test_cannot_tell_a_stand_in_from_a_value_of_numpys(values: Any, questions: Any) -> None:
    pairs = {(repr(x), q): (answer(q, x), answer(q, copied(x))) for x in values for q in questions}
    assert {key: pair for key, pair in pairs.items() if pair[0] != pair[1]} == {}


def test_a_case_that_compares_values_sees_plain_ones() -> None:
    tree = json.loads(dump([np.int64(3), np.array([1, 2]), np.float64(0.5)], lambda thing: None))
    assert decode(tree) == [3, [1, 2], 0.5]
    assert [type(item) for item in decode(tree)] == [int, list, float]


def test_what_a_script_hands_on_is_pythons_own() -> None:
    assert dump(copied(np.array([1, 2]))) == "[1, 2]"
    assert dump(copied(np.int64(3))) == "3"


def test_an_array_of_long_integers_is_a_list_of_them() -> None:
    tree = json.loads(dump(np.array([[10**30], [1]])))
    assert decode(tree) == [[10**30], [1]]
    with pytest.raises(Unrepresentable):
        dump(np.array([object()]))
