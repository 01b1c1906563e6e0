"""check_dataset: it passes what is right and names what is not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rltf_env import datasets, sandbox
from rltf_env.core import CallCase, Problem, StdinCase
from rltf_env.errors import MissingData
from rltf_env.testing import check_dataset

GOOD = Problem("a", "Add.", (CallCase((1, 2), 3),), "add", solutions=("def add(a, b): return a + b",))
ECHO = Problem("b", "Echo.", (StdinCase("x", "x"),), solutions=("print(input())",))


OF_OTHERS = {"mixture"}  # has no problems but those that it is told of


@pytest.mark.parametrize("name", sorted(set(datasets.names()) - OF_OTHERS))
def test_every_dataset_of_the_package_is_right(name: str, request: pytest.FixtureRequest):
    root = {"root": request.getfixturevalue("data")} if name in ("apps", "mbpp") else {}
    try:
        check_dataset(name, limit=100, **root)
    except MissingData as error:
        pytest.skip(str(error))


def test_problems_that_are_right_pass():
    check_dataset([GOOD, ECHO])


class Unstable(tuple):
    """A sequence of cases that does not survive pickling."""

    def __reduce__(self) -> tuple:
        return (tuple, ((StdinCase("y", "y"),),))


@pytest.mark.parametrize(
    ("problems", "message"),
    [
        ([], "at least one problem"),
        ([GOOD, ECHO, GOOD], r"unique ids, got these more than once: \['a'\]"),
        ([Problem("c", " \n", ECHO.cases)], "problem 'c' to have a statement"),
        ([Problem("c", "Add.", GOOD.cases)], "entry_point of problem 'c' to be the name to call, got None"),
        ([Problem("c", "Echo.", ECHO.cases, "f")], "to be None, since it reads standard input, got 'f'"),
        ([Problem("c", "Echo.", ECHO.cases, solutions=("x",), prefix="y")], "solution 0 of problem 'c' to begin with"),
        ([Problem("c", "Echo.", Unstable(ECHO.cases))], "problem 'c' to survive pickling"),
    ],
)
def test_problems_that_are_wrong_are_named(problems: list[Problem], message: str):
    with pytest.raises(AssertionError, match=message):
        check_dataset(problems)


def test_only_the_first_ones_are_looked_at():
    check_dataset([GOOD, Problem("c", "", ECHO.cases)], limit=1)


def test_references_that_do_not_pass_are_named_with_the_failure():
    wrong = replace(
        GOOD, id="c", solutions=(*GOOD.solutions, "def add(a, b): return a - b", "def add(a, b): return a / 0")
    )
    liar = replace(GOOD, id="d", examples=(CallCase((1, 1), 3),))
    with sandbox.load("forkserver") as judge:
        check_dataset([GOOD, ECHO], judge)
        with pytest.raises(AssertionError) as caught:
            check_dataset([GOOD, wrong, liar], judge)
    first, second, third, fourth = str(caught.value).splitlines()
    assert first == "Expected every reference to pass, got 3 that do not:"
    assert second.startswith("c, cases, solution 1: WRONG_ANSWER, Failure(kind='WrongAnswer'")
    assert third.startswith("c, cases, solution 2: RUNTIME_ERROR, Failure(kind='ZeroDivisionError'")
    assert fourth.startswith("d, examples, solution 0: WRONG_ANSWER")
