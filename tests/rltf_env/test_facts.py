"""Facts of texts: trees, flow and keys on literal programs, findings with their lines."""

from __future__ import annotations

from collections import Counter

import pytest

from rltf_env import datasets, facts
from rltf_env.facts import Facts

SUM = "def f(x):\n    n = 0\n    for v in x:\n        n = n + v\n    return n\n"
NEXT = "def f(x):\n    y = x + 1\n    return y\n"


def of(source: str) -> Facts:
    found = facts.of(source)
    assert found is not None
    return found


def shared(program: str, reference: str) -> tuple[int, int, int, int]:
    a, b = of(program), of(reference)
    both = [(Counter(x) & Counter(y)).total() for x, y in ((a.tree, b.tree), (a.flow, b.flow))]
    return both[0], len(b.tree), both[1], len(b.flow)


@pytest.mark.parametrize(
    ("program", "reference", "expected"),
    [
        (SUM, SUM, (8, 8, 4, 4)),
        ("def f(x):\n    k = 1\n    for a in x:\n        k = k + a\n    return k\n", SUM, (8, 8, 4, 4)),
        (SUM.replace("n = n + v", "n = v"), SUM, (3, 8, 3, 4)),
        ("def f(x):\n    return sum(x)\n", SUM, (1, 8, 0, 4)),
        ("def f(x):\n    y = 1 + x\n    return y\n", NEXT, (2, 6, 2, 2)),
        ("def f(x):\n    return x * 2\n", NEXT, (1, 6, 0, 2)),
    ],
    ids=["itself", "other names and start", "assigns in the loop", "builtin", "turned round", "other operation"],
)
def test_subtrees_and_flow_are_shared_as_counted_by_hand(
    program: str, reference: str, expected: tuple[int, int, int, int]
) -> None:
    assert shared(program, reference) == expected


def test_flow_says_where_values_come_from() -> None:
    assert of(SUM).flow == ("return v1", "v1 from ", "v1 from v1,v2", "v2 each v0")
    source = (
        "def f(a, b):\n    a[b] = len(a)\n    b += 1\n    while a:\n        (c, d) = b, a\n    return [e for e in c]\n"
    )
    assert set(of(source).flow) == {
        "v0 from len,v0,v1", "v1 from v1", "test v0", "v2 from v0,v1", "v3 from v0,v1", "return v2,v4", "v4 each v2",
    }  # fmt: skip


def test_names_of_two_functions_are_not_mixed_up() -> None:
    one = "def g(x):\n    return x\ndef f(y):\n    return g(y)\n"
    other = "def g(y):\n    return y\ndef f(y):\n    return g(y)\n"
    assert of(one).flow == of(other).flow
    assert of(one).key == of(other).key


@pytest.mark.parametrize(
    "program",
    [
        "def f(value):  # c\n 'doc'\n t = value + 1\n return (t)",
        "def f(x: int) -> int:\n    y: int = x + 1\n    return y\n".replace("y: int =", "y ="),
    ],
)
def test_names_comments_docstrings_and_annotations_do_not_change_the_key(program: str) -> None:
    assert of(program).key == of(NEXT).key


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (NEXT, NEXT.replace("x + 1", "1 + x")),
        (NEXT, NEXT.replace("x + 1", "x + 2")),
        ("def f(x):\n    return len(x)\n", "def f(x):\n    return sum(x)\n"),
        ("def g(a, b):\n    return a - b\ng(a=1, b=2)\n", "def g(b, a):\n    return b - a\ng(a=1, b=2)\n"),
        ("class A:\n    def g(self):\n        return 1\n", "class A:\n    def h(self):\n        return 1\n"),
    ],
    ids=["order", "constant", "builtin", "keywords", "methods"],
)
def test_programs_that_mean_different_things_have_different_keys(one: str, other: str) -> None:
    assert of(one).key != of(other).key


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("def f(x):\n    y = len(x)\n    return z + y\n", [("UndefinedName", 3)]),
        ("def f(x):\n    return g(x)\ndef g(x):\n    return x\n", []),
        ("def f(x):\n    return math.sqrt(x)\n", [("UndefinedName", 2)]),
        ("print(q)\n", [("UndefinedName", 1)]),
        ("from math import *\nprint(q)\n", []),
        ("def f(a):\n    global z\n    z = 1\nprint(z)\n", []),
        ("class A:\n    n = 1\n    def g(self):\n        return n\n", [("UndefinedName", 4)]),
        ("def f(x):\n    return [y := a for a in x], y\n", []),
        ("try:\n    pass\nexcept ValueError as e:\n    print(e)\n", []),
        ("match 1:\n    case {'a': b, **r}:\n        print(b, r)\n    case [*s]:\n        print(s)\n", []),
        ("f = lambda x: (x, w)\n", [("UndefinedName", 1)]),
        ("def f(x):\n    return {k: v for k, v in x if k in [j for j in v]}\n", []),
        ("def f(x):\n    return g(x, 1)\ndef g(x):\n    return x\n", [("WrongArity", 2)]),
        ("def f(x):\n    return g()\ndef g(x, y=1):\n    return x\n", [("WrongArity", 2)]),
        ("def f(x):\n    return g(1, y=2), g(*x), g(1, 2)\ndef g(x, y=1):\n    return x\n", []),
        ("def f(x):\n    return g(x, 1)\ndef g(*x):\n    return x\n", []),
        ("def f(x):\n    n += 1\n    return n\n", [("UnboundLocal", 2)]),
        ("def f(x):\n    'doc'\n    y = y + x\n    return y\n", [("UnboundLocal", 3)]),
        ("n = 0\ndef f(x):\n    global n\n    n += 1\n    return n\n", []),
        ("def f(x):\n    for i in x:\n        y = i\n    return y\n", []),
    ],
)
def test_findings_name_what_is_wrong_and_its_line(source: str, expected: list[tuple[str, int]]) -> None:
    assert list(of(source).findings) == expected


def test_names_of_a_module_are_those_bound_at_its_top() -> None:
    assert of("import os.path as p, sys\nx, (y, *z) = 1, (2, 3)\ndef f(a):\n    b = a\nclass C: pass\n").defines == {
        "p", "sys", "x", "y", "z", "f", "C",
    }  # fmt: skip


@pytest.mark.parametrize(
    "source", ["x = (", "x = '\0'", "-" * 200 + "1", "x = 1\n" * 5000], ids=["syntax", "null", "deep", "many"]
)
def test_what_cannot_be_read_or_is_too_much_has_no_facts(source: str) -> None:
    assert facts.of(source) is None


def test_no_reference_of_the_procedural_problems_has_a_finding() -> None:
    for problem in datasets.load("procedural", size=200):
        assert of(problem.solutions[0]).findings == ()
