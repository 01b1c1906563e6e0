"""Tests whose syntax is nested deeply, and the frames that a test has where it runs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from judged_suites import judged, share

from rltf_env import sandbox
from rltf_env.core import CallCase, Problem, Sandbox
from rltf_env.errors import InvalidProblem

RIGHT, WRONG = "def f(n):\n    return 2 * n\n", "def f(n):\n    return 3 * n\n"
SUM = "+".join(["1"] * 1100)
BRANCHES = "    if n == 0:\n        r = 0\n" + "".join(
    f"    elif n == {n}:\n        r = {2 * n}\n" for n in range(1, 250)
)
TESTS = {
    "a sum": f"assert f(550) == {SUM}",
    "a sum in a function": f"def test_sum():\n    assert f(550) == {SUM}\n",
    "branches": f"def expected(n):\n{BRANCHES}    return r\ndef test_branches():\n    assert f(5) == expected(5)\n",
    "calls of calls": "text = 'a'" + ".replace('a', 'a')" * 300 + "\nassert f(2) == 4, text",
}


@pytest.fixture(scope="module")
def judge() -> Iterator[Sandbox]:
    with sandbox.load(workers=1, cache=0) as opened:
        yield opened


@pytest.mark.parametrize("solutions", [[RIGHT], []], ids=["reference", "none"])
@pytest.mark.parametrize("name", TESTS)
def test_a_test_may_be_nested_as_deeply_as_python_reads_it(judge: Sandbox, name: str, solutions: list[str]) -> None:
    assert share(judged(judge, RIGHT, TESTS[name], *solutions)) == (1, 1)
    assert share(judged(judge, WRONG, TESTS[name], *solutions)) == (0, 1)


DEEP = "def deep(n):\n    return 0 if n == 0 else 1 + deep(n - 1)\n"


@pytest.mark.parametrize(("frames", "tests"), [(900, 1), (1100, 0)])
def test_a_test_has_the_frames_of_a_process_of_its_own(judge: Sandbox, frames: int, tests: int) -> None:
    """It runs apart, beside the reading of tests, which goes deeper."""
    script = f"{DEEP}try:\n    depth = deep({frames})\nexcept RecursionError:\n    depth = -1\nassert f({frames}) == 2 * depth"
    verdict = judged(judge, RIGHT, script, entry_point="f")
    assert (verdict.way, share(verdict)) == ("apart", (tests, 1))


@pytest.mark.parametrize(("frames", "right"), [(900, True), (1100, False)])
def test_so_has_a_checker(judge: Sandbox, frames: int, right: bool) -> None:
    checker = f"{DEEP}def check(given, expected, got):\n    return deep({frames}) == {frames}\n"
    problem = Problem("p", "", [CallCase((1,), 2)], "f", meta={"checker": checker}, solutions=("f = lambda n: 2",))
    if right:
        assert judge.run(RIGHT, problem).pass_ratio == 1
    else:
        with pytest.raises(InvalidProblem, match="RecursionError"):
            judge.run(RIGHT, problem)
