"""The same program gets the same verdict: random numbers, line ends and limits are alike in every case and every run."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from rltf_env import sandbox
from rltf_env.core import CallCase, CaseResult, Failure, FailureKind, Outcome, Problem, ScriptCase, StdinCase, Verdict
from rltf_env.sandbox.pool.pool import PoolSandbox

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="forks")
WAYS = [("forkserver", False), ("forkserver", True), ("subprocess", False), ("subprocess", True)]


@pytest.fixture(scope="module", params=WAYS, ids=lambda way: f"{way[0]}{'-isolated' * way[1]}")
def judge(request: pytest.FixtureRequest) -> Iterator[PoolSandbox]:
    backend, isolate = request.param
    with sandbox.load(backend, workers=1, isolate=isolate, cache=0, kept_output=5000) as opened:
        yield opened


def outputs(judge: PoolSandbox, source: str, stdin: str = "") -> list[str]:
    """What a program prints in three equal cases, twice."""
    problem = Problem("p", "", [StdinCase(stdin, "")] * 3)
    return [result.stdout for _ in range(2) for result in judge.run(source, problem).results]


DRAWS = [
    "import random\nprint(random.random())",
    "import random\nprint(random.Random().random(), random.Random().random())",
    "import random\nrandom.seed()\nprint(random.random())",
    "import numpy as np\nprint(np.random.randint(10 ** 9))",
    "from numpy.random import rand\nprint(rand())",
    "import numpy.random\nprint(numpy.random.default_rng().integers(10 ** 9))",
    "import numpy as np\nprint(np.random.RandomState().randint(10 ** 9), np.random.SeedSequence().entropy)",
    "import numpy as np\nnp.random.seed()\nprint(np.random.randint(10 ** 9))",
]


@pytest.mark.parametrize("source", DRAWS)
def test_random_numbers_are_the_same_in_every_case_and_run(judge: PoolSandbox, source: str) -> None:
    assert len(set(outputs(judge, source))) == 1


def test_generators_without_a_seed_still_differ_from_each_other(judge: PoolSandbox) -> None:
    source = "import random, numpy as np\nprint(random.Random().random() == random.Random().random())\n"
    source += "print(np.random.default_rng().random() == np.random.default_rng().random())"
    assert set(outputs(judge, source)) == {"False\nFalse\n"}


def test_a_seed_gives_the_numbers_that_it_gives_anywhere(judge: PoolSandbox) -> None:
    import random

    source = "import random\nrandom.seed(5)\nprint(random.random(), random.Random(5).random())"
    number = random.Random(5).random()
    assert set(outputs(judge, source)) == {f"{number} {number}\n"}


def test_a_script_s_own_generators_draw_the_same_numbers() -> None:
    script = "import random\nx = [random.Random().random() for _ in range(3)]\nassert f(x) == x"
    problem = Problem("s", "", [ScriptCase(script)], "f")
    with sandbox.load("forkserver", workers=1, cache=0) as opened:
        assert opened.run("def f(x): return list(x)", problem).outcome is Outcome.PASSED


READS = [
    ("print(len(input()))", "ab\r\n", "3\n"),
    ("print('YES' if input() == input() else 'NO')", "ab\r\nab", "NO\n"),
    ("import sys\nprint(len(sys.stdin.readlines()))", "a\rb\n", "1\n"),
    ("import sys\nprint([line for line in sys.stdin])", "a\rb\r\nc", "['a\\rb\\r\\n', 'c']\n"),
    ("print(repr(open(0).read()))", "a\r\nb", "'a\\nb'\n"),  # as `open` has it
    ("import sys\nprint(sys.stdin.buffer.read())", "a\r\nb\r", "b'a\\r\\nb\\r'\n"),
    ("import sys\nprint(sys.stdin.name, sys.stdout.name, sys.stdin.mode, sys.stdout.mode)", "", "<stdin> <stdout> r w\n"),
    ("import sys\nprint(sys.stdin.buffer.name, sys.stdin.errors, sys.stdout.line_buffering)", "", "<stdin> strict False\n"),
    ("import sys\nprint(sys.getrecursionlimit())", "", "1000\n"),
    ("import sys\nsys.setrecursionlimit(5000)\nprint(sys.getrecursionlimit())", "", "5000\n"),
    ("import sys\nsys.setrecursionlimit(2 ** 31 - 1)\nprint(sys.getrecursionlimit() > 10 ** 9)", "", "True\n"),
    ("def f(n):\n    return n and f(n - 1)\nprint(f(990))", "", "0\n"),
    ("def f(n):\n    return n and f(n - 1)\ntry:\n    f(1010)\nexcept RecursionError:\n    print('deep')", "", "deep\n"),
    ("import sys\nfor bad in (0, -1, 2 ** 40, '5'):\n    try:\n        sys.setrecursionlimit(bad)\n    except Exception as error:\n"
     "        print(type(error).__name__)", "", "ValueError\nValueError\nOverflowError\nTypeError\n"),
]  # fmt: skip


@pytest.mark.parametrize(("source", "stdin", "printed"), READS)
def test_a_program_finds_what_it_finds_in_plain_python(
    judge: PoolSandbox, source: str, stdin: str, printed: str
) -> None:
    assert outputs(judge, source, stdin) == [printed] * 6


DEPTH = "def depth(n=1):\n    try:\n        return depth(n + 1)\n    except RecursionError:\n        return n\n"


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="Python counts other frames since")
def test_a_program_may_call_itself_as_often_as_in_plain_python(judge: PoolSandbox) -> None:
    run = subprocess.run([sys.executable, "-c", DEPTH + "print(depth())"], capture_output=True, text=True, check=True)
    plain = int(run.stdout)
    script = f"assert depth() == {plain}"
    together = f"from solution import depth\nassert abs(depth() - {plain}) <= 2"
    cases = [StdinCase("", run.stdout)], [CallCase((), plain)], [ScriptCase(script)], [ScriptCase(together)]
    for case in cases:
        verdict = judge.run(DEPTH + ("print(depth())" if case is cases[0] else ""), Problem("depth", "", case, "depth"))
        assert verdict.failure is None


# ----------------------------------------------------------------------------------------------------- sameness


def verdict(*failures: Failure, lines: frozenset[int] | None = None) -> Verdict:
    return Verdict(tuple(CaseResult(Outcome.RUNTIME_ERROR, failure) for failure in failures), lines)


def test_where_a_program_was_stopped_is_evidence_not_identity() -> None:
    one = verdict(Failure(FailureKind.TIMEOUT, "over the limit of cpu time", 3, "cpu"), lines=frozenset({1, 2, 3}))
    other = verdict(
        Failure(FailureKind.TIMEOUT, "over the limit of wall time", 4, "wall"), lines=frozenset({1, 2, 3, 4})
    )
    assert one.same(other)
    full = [verdict(Failure(FailureKind.MEMORY_LIMIT, line=line)) for line in (3, 4)]
    assert full[0].same(full[1])


def test_where_a_program_failed_by_itself_is_identity() -> None:
    failures = [Failure("KeyError", "1", 3), Failure("KeyError", "1", 4), Failure("ValueError", "1", 3)]
    verdicts = [verdict(failure) for failure in failures]
    assert not any(one.same(other) for one in verdicts for other in verdicts if one is not other)
    assert not verdict(failures[0]).same(verdict(Failure(FailureKind.TIMEOUT, "1", 3)))
    assert not verdict(failures[0], lines=frozenset({1})).same(verdict(failures[0], lines=frozenset({2})))


def test_an_endless_loop_of_many_lines_is_judged_the_same_twice() -> None:
    source = "n = 0\nwhile True:\n" + "".join(f"    n += {i}\n" for i in range(200))
    problem = Problem("p", "", [StdinCase("", "")])
    with sandbox.load("forkserver", workers=1, cache=0, case_seconds=0.1) as opened:
        verdicts = [opened.run(source, problem) for _ in range(4)]
    assert len({each.failure.line for each in verdicts if each.failure}) > 1, "else nothing is tried here"
    assert all(each.same(verdicts[0]) for each in verdicts)
