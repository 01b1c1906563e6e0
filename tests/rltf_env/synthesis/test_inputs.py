"""Types are read from annotations and values; what is drawn, or changed a little, is of its type."""

from __future__ import annotations

import ast
from typing import Any

import numpy as np
import pytest

from rltf_env.errors import UsageError
from rltf_env.synthesis import inputs
from rltf_env.synthesis.inputs import Type

INT, STR, NONE = Type("int"), Type("str"), Type("None")
SPELLED = {
    "int": INT,
    "list[int]": Type("list", (INT,)),
    "List[List[str]]": Type("list", (Type("list", (STR,)),)),
    "typing.Sequence[int]": Type("list", (INT,)),
    "Iterable[bool]": Type("list", (Type("bool"),)),
    "dict[str, float]": Type("dict", (STR, Type("float"))),
    "Mapping[str, int]": Type("dict", (STR, INT)),
    "tuple[int, str]": Type("tuple", (INT, STR)),
    "Tuple[int, ...]": Type("tuples", (INT,)),
    "set[str]": Type("set", (STR,)),
    "frozenset[int]": Type("frozenset", (INT,)),
    "Optional[int]": Type("union", (INT, NONE)),
    "Union[int, str]": Type("union", (INT, STR)),
    "int | str | None": Type("union", (INT, STR, NONE)),
    "Literal['up', 'down', 3]": Type("literal", values=("up", "down", 3)),
    "'list[int]'": Type("list", (INT,)),
    "None": NONE,
}


def parsed(text: str) -> Type:
    return inputs.parse(ast.parse(text, mode="eval").body)


@pytest.mark.parametrize("text", SPELLED)
def test_an_annotation_is_read(text: str) -> None:
    assert parsed(text) == SPELLED[text]


@pytest.mark.parametrize(
    "text",
    [
        *("Any", "list", "list[Any]", "Callable[[int], int]", "np.ndarray", "T", "set[list[int]]", "'list['", "object"),
        *("tuple[()]", "Literal[()]", "Union[()]", "'int; int'", r"'\0'", "list[" * 50 + "int" + "]" * 50),
        *(repr("-" * 50_000 + "1"), repr("int | " * 20_000 + "int"), repr("a." * 50_000 + "a")),
    ],
    ids=range(15 + 3),
)
def test_a_type_of_which_nothing_is_drawn_is_refused_by_name(text: str) -> None:
    with pytest.raises(UsageError, match="of which values can be drawn, got the type"):
        parsed(text)


@pytest.mark.parametrize("text", SPELLED)
def test_what_is_drawn_is_of_its_type(text: str) -> None:
    type_, rng = SPELLED[text], np.random.default_rng(0)
    for value in (*inputs.edges(type_), *(inputs.draw(type_, rng) for _ in range(60))):
        assert inputs.is_of(value, type_)


@pytest.mark.parametrize("text", [text for text in SPELLED if not text.startswith("Literal")])
def test_what_is_changed_a_little_stays_of_its_type(text: str) -> None:
    type_, rng = SPELLED[text], np.random.default_rng(0)
    seeds = [inputs.draw(type_, rng) for _ in range(5)]
    for seed in seeds:
        value = seed
        for _ in range(20):
            value = inputs.mutate(value, rng, seeds)
            assert inputs.is_of(value, type_) or type_.kind == "union"


def test_a_change_changes_and_none_stays_none() -> None:
    rng = np.random.default_rng(0)
    for value in (5, "word", [1, 2], {"a": 1}, (1, "x")):
        assert any(inputs.mutate(value, rng) != value for _ in range(5))
    assert inputs.mutate(True, rng) is False
    assert inputs.mutate(None, rng) is None
    assert inputs.mutate([], rng, [[7]]) == [7]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2], INT),
        ([1, 2.5], Type("float")),
        ([[], [1]], Type("list", (INT,))),
        ([(1, "a"), (2, "b")], Type("tuple", (INT, STR))),
        ([(1,), (1, 2)], Type("tuples", (INT,))),
        ([{"a": [1]}], Type("dict", (STR, Type("list", (INT,))))),
        ([None, 3], Type("union", (NONE, INT))),
        ([[1, "a"]], Type("list", (Type("union", (INT, STR)),))),
    ],
)
def test_arguments_say_a_type(values: list[Any], expected: Type) -> None:
    assert inputs.of_values(values) == expected
    assert expected == Type("float") or all(inputs.is_of(value, expected) for value in values)


@pytest.mark.parametrize("values", [[[]], [object()], [{}]])
def test_arguments_that_say_no_type_are_refused(values: list[Any]) -> None:
    with pytest.raises(UsageError, match="of which values can be drawn"):
        inputs.of_values(values)


def test_edges_come_first_and_no_input_twice() -> None:
    types = [Type("list", (INT,)), Type("union", (INT, NONE))]
    result = inputs.draw_all(types, np.random.default_rng(0), 30)
    assert result[0] == ([], 0)
    assert len({repr(args) for args in result}) == len(result) == 30
    assert any(args[1] is None for args in result)
    assert result == inputs.draw_all(types, np.random.default_rng(0), 30)


def test_a_type_of_few_values_gives_few_inputs() -> None:
    assert sorted(inputs.draw_all([Type("bool")], np.random.default_rng(0), 30)) == [(False,), (True,)]
