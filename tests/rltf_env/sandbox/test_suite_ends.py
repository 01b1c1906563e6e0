"""Suites whose program swallows the end of its time, or goes as deep as it may: what plain unittest and pytest say."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from judged_suites import judged, share

from rltf_env import sandbox
from rltf_env.core import Sandbox

REFERENCE = "def f(n):\n    return n + 1\n"


@pytest.fixture(scope="module")
def judge() -> Iterator[Sandbox]:
    with sandbox.load(workers=1, case_seconds=0.4, wall_seconds=0.8) as judge:
        yield judge


SWALLOWING = """
class Slow:
    def __del__(self):
        while True:
            pass
def f(n):
    if n > 1:
        Slow()
    return n + 1
"""


@pytest.mark.parametrize("head", ["", "import pytest\n@pytest.fixture\ndef fixture(): return 1\n"])
def test_a_program_that_swallows_the_end_of_its_time_is_late(judge: Sandbox, head: str) -> None:
    test = (
        head
        + "from solution import f\ndef test_one():\n    assert f(1) == 2\ndef test_two(FIXTURE):\n    assert f(2) == 3\n"
    )
    verdict = judged(judge, SWALLOWING, test.replace("FIXTURE", "fixture" if head else ""), REFERENCE)
    assert share(verdict) == (1, 2)
    assert verdict.failure is not None
    assert verdict.failure.kind == "Timeout"


def test_a_script_whose_program_swallows_the_end_of_its_time_is_late(judge: Sandbox) -> None:
    verdict = judged(judge, SWALLOWING, "from solution import f\nassert f(1) == 2\nassert f(2) == 3\n", REFERENCE)
    assert verdict.failure is not None
    assert verdict.failure.kind == "Timeout"


DEEP = "def deep(n):\n    return 0 if n == 0 else 1 + deep(n - 1)\n"
_DEPTHS = """
    assert deep(985) == 985
    try:
        deep(sys.getrecursionlimit() + 1)
    except RecursionError:
        reached = True
    else:
        reached = False
    assert reached
"""
_METHODS = "    def test_depth(self):" + _DEPTHS.replace("\n", "\n    ")


@pytest.mark.parametrize("limit", ["", "import sys\nsys.setrecursionlimit(2000)\n"])
@pytest.mark.parametrize(
    "test",
    [
        f"def test_depth():{_DEPTHS}",
        f"import pytest\n@pytest.mark.parametrize('n', [1])\ndef test_depth(n):{_DEPTHS}",
        f"import unittest\nclass Depths(unittest.TestCase):\n{_METHODS}",
        f"import pytest, unittest\nclass TestDepths(unittest.TestCase):\n{_METHODS}",
        f"import pytest\nclass TestDepths:\n{_METHODS}",
    ],
)
def test_a_program_reaches_the_recursion_limit_that_it_reads_whoever_runs_its_test(
    judge: Sandbox, test: str, limit: str
) -> None:
    verdict = judged(judge, limit + DEEP, f"import sys\nfrom solution import deep\n{test}", limit + DEEP)
    assert verdict.failure is None, verdict.failure


OWN_FILE = """
import os, pathlib, unittest
from solution import f
TEXT = pathlib.Path(os.path.abspath(__file__)).read_text()
class T(unittest.TestCase):
    def test_own(self):
        with open(__file__) as file:
            self.assertEqual(f(file.read()), TEXT + '!')
        self.assertGreater(os.path.getsize(__file__), 0)
    def test_program(self):
        self.assertTrue(os.path.exists(os.path.join(os.path.dirname(__file__), 'solution.py')))
        self.assertEqual(f('b'), 'b!')
"""


@pytest.mark.parametrize("head", ["", "import pytest\n@pytest.fixture\ndef one(): return 1\n"])
def test_a_test_may_open_its_own_file(judge: Sandbox, head: str) -> None:
    right = "def f(text):\n    return text + '!'\n"
    for solutions in ([right], []):
        assert share(judged(judge, right, head + OWN_FILE, *solutions)) == (2, 2)
        assert share(judged(judge, "def f(text):\n    return 'b!'\n", head + OWN_FILE, *solutions)) == (1, 2)


@pytest.mark.parametrize("head", ["", "import pytest\n@pytest.fixture\ndef one(): return 1\n"])
def test_memory_that_is_used_up_is_called_so_whoever_asked_for_the_last_of_it(judge: Sandbox, head: str) -> None:
    test = (
        head
        + "from solution import f\ndef test_one():\n    assert f(1) == 2\ndef test_two():\n    assert len(b'x' * f(2)) == 3\n"
    )
    verdict = judged(judge, "def f(n):\n    return 2 if n == 1 else 10 ** 12\n", test, REFERENCE)
    assert [result.failure and result.failure.kind for result in verdict.results] == [None, "MemoryLimit"]


GROWING = """
def f(n):
    numbers = [0] * 6_000_000
    for i in range(len(numbers) * (n == 2)):
        numbers[i] = i + 1_000
    return n + 1
"""
PYTEST = "import pytest\n@pytest.fixture\ndef two(): return f(2)\n@pytest.fixture\ndef one(): return 1\n"
FULL = {  # what has no room left
    "a function": "def test_full():\n    assert f(2) == 3\n",
    "pytest's caller of a function": PYTEST + "def test_full():\n    assert f(2) == 3\n",
    "a fixture": PYTEST + "def test_full(two):\n    assert two == 3\n",
    "the test's module": "ALL = [f(2)]\ndef test_full():\n    assert ALL == [3]\n",
}


since_3_12 = pytest.mark.skipif(sys.version_info >= (3, 12), reason="pytest's handlers turn round there: see SECURITY")


@pytest.mark.parametrize(
    "place", [pytest.param(name, marks=since_3_12 if name == "a fixture" else ()) for name in FULL]
)
def test_a_program_that_fills_all_memory_with_small_objects_does_not_stay_in_it(place: str) -> None:
    test = "from solution import f\n" + FULL[place] + "def test_later():\n    assert f(3) == 4\n"
    with sandbox.load(workers=1, memory_mb=120, case_seconds=5.0) as judge:
        results = judged(judge, GROWING, test, REFERENCE).results
    later = "MemoryLimit" if place == "the test's module" else None
    assert [result.failure and result.failure.kind for result in results] == ["MemoryLimit", later]


SQUARES = """
import unittest
{0}
class T(unittest.TestCase):
    def test_a(self):
        self.assertEqual({1}(2), 4)
    def test_b(self):
        self.assertEqual({1}(3), 9)
"""


@pytest.mark.parametrize(
    ("imports", "call", "name"),
    [("from solution import solution", "solution", "solution"),
     ("from .solution import solution as s", "s", "solution"),
     ("from square import square", "square", "square"),
     ("import solution", "solution.solution", "solution"),
     ("from . import solution", "solution.f", "f"),
     ("from solution import solution", "solution.f", "f")],
)  # fmt: skip
def test_a_function_may_have_the_name_of_its_module(judge: Sandbox, imports: str, call: str, name: str) -> None:
    test, right = SQUARES.format(imports, call), f"def {name}(n):\n    return n * n\n"
    for solutions in ([right], []):
        assert share(judged(judge, right, test, *solutions)) == (2, 2)
        assert share(judged(judge, right.replace("n * n", "4"), test, *solutions)) == (1, 2)
        assert share(judged(judge, "def other(n):\n    return n * n\n", test, *solutions)) == (0, 2)
