"""Assertion scripts judged apart from the program: what plain Python says is what the judge says."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rltf_env import sandbox
from rltf_env.core import CallCase, FailureKind, Outcome, Problem, ScriptCase
from rltf_env.errors import InvalidProblem
from rltf_env.sandbox.pool.pool import PoolSandbox
from rltf_env.sandbox.referee import replay
from rltf_env.sandbox.referee.script import Script

TEXT = (Path(__file__).parent / "scripts.txt").read_text("utf-8")
ENTRIES = {entry.partition(" |")[0]: entry for entry in re.split(r"^=== ", TEXT, flags=re.M)[1:]}


@pytest.fixture(scope="module", params=["forkserver", "subprocess"])
def judge(request: pytest.FixtureRequest) -> Iterator[PoolSandbox]:
    with sandbox.load(request.param, workers=1, cache=0, case_seconds=1.0) as opened:
        yield opened


@pytest.fixture(scope="module")
def fork() -> Iterator[PoolSandbox]:
    with sandbox.load("forkserver", workers=1, cache=0, case_seconds=1.0, require_apart=True) as opened:
        yield opened


def script(text: str, entry_point: str = "f", *solutions: str) -> Problem:
    return Problem("script", "", [ScriptCase(text)], entry_point, solutions=solutions)


def kind(judge: PoolSandbox, source: str, problem: Problem) -> str | None:
    failure = judge.run(source, problem).failure
    return failure.kind if failure else None


# ------------------------------------------------------------------------------------------------- everyday scripts


def programs(name: str) -> tuple[str, str, list[str], list[str]]:
    """An entry's script, entry point, right programs and wrong ones."""
    text, *sources = re.split(r"^--- (right|wrong)\n", ENTRIES[name], flags=re.M)
    head, _, body = text.partition("\n")
    pairs = list(zip(sources[::2], sources[1::2], strict=True))
    right, wrong = ([source for what, source in pairs if what == which] for which in ("right", "wrong"))
    return body, head.partition(" | ")[2], right, wrong


def passes(source: str, text: str) -> bool:
    """What plain Python says."""
    namespace: dict[str, object] = {}
    try:
        exec(source, namespace)
        exec(text, namespace)
    except SystemExit as error:
        return not error.code
    except BaseException:
        return False
    return True


@pytest.mark.parametrize("name", ENTRIES)
def test_a_script_says_what_it_says_in_one_process(fork: PoolSandbox, name: str) -> None:
    text, entry_point, right, wrong = programs(name)
    problem = script(text, entry_point, right[0])
    for source in [*right, *wrong] * 2:  # the second time the judge has learnt what the script is like
        if "_exit" not in source:
            assert passes(source, text) == (source in right)
        verdict = fork.run(source, problem)
        assert (verdict.outcome is Outcome.PASSED) == (source in right), (source, verdict.failure)


def test_scripts_that_end_by_themselves_or_not(fork: PoolSandbox) -> None:
    source = "def f(x):\n    return x\n"
    assert kind(fork, source, script("import sys\nassert f(1) == 1\nsys.exit()", "f", source)) is None
    retry = "while True:\n    try:\n        f(1)\n        break\n    except BaseException:\n        pass\n"
    assert kind(fork, "import os\ndef f(x): os._exit(3)", script(retry, "f", source)) == FailureKind.EXITED
    assert kind(fork, "def f(x): raise SystemExit", script("f(1)", "f", source)) == FailureKind.EXITED


# -------------------------------------------------------------------------------------- what is no matter of the program's


@pytest.mark.parametrize("text", ["f(lambda x: x)", "f(open)", "import re\nf(re.compile('a'))"])
def test_a_script_that_hands_over_what_cannot_cross_is_refused_or_runs_together(fork: PoolSandbox, text: str) -> None:
    source = "def f(x): return 1"
    with pytest.raises(InvalidProblem, match="cannot cross"):
        fork.run(source, script(text + "\nassert f(2) == 1", "f", source))
    with sandbox.load("forkserver", workers=1) as free:
        assert free.run(source, script(text + "\nassert f(2) == 1", "f", source)).way == "together"


@pytest.mark.parametrize(
    "text", ["if False:\n    f(1)", "def check(g):\n    pass\ncheck(f)", "def check():\n    assert x == 1"]
)
def test_a_script_that_uses_nothing_of_the_program_tests_nothing(fork: PoolSandbox, text: str) -> None:
    with pytest.raises(InvalidProblem, match="nothing of the program"):
        fork.run("def f(x): return 1", script(text, "f", "def f(x): return 2"))


# ----------------------------------------------------------------------------------------------------- objects that lie

LIARS = {
    "a number": (
        "r = f()\nassert float(r) ** 2 - 5 * float(r) + 6 == 0 and float(r) ** 2 - float(r) == 0",
        "def f(): return 2.0",
        "class L:\n    n = iter([2.0, 2.0, 0.0, 0.0])\n    def __float__(self): return next(L.n)\ndef f(): return L()",
    ),
    "items": (
        "r = f()\nassert r[0] * r[1] == 36 and r[0] + r[1] == 13 and 1 < r[0] < r[1] < 10",
        "def f(): return [4, 9]",
        "class L:\n    n = iter([36, 1, 13, 0, 2, 2, 3])\n    def __getitem__(self, i): return next(L.n)\n"
        "def f(): return L()",
    ),
    "contents": (
        "r = f()\nassert len(r) == 3 and len(set(r)) == 3 and sum(r) == 6 and max(r) == 100",
        "def f(): return [1, 2, 3]",
        "class L:\n    n = iter([[1, 2, 3], [6], [100]])\n    def __len__(self): return 3\n"
        "    def __iter__(self): return iter(next(L.n))\ndef f(): return L()",
    ),
    "contents that are used up": (
        "r = f()\nassert sorted(r) == [1, 2, 3] and sum(r) == 7",
        "def f(): return [1, 2, 3]",
        "class L:\n    n = iter([[1, 2, 3], [7]])\n    def __iter__(self):\n        self.m = iter(next(L.n))\n"
        "        return self\n    def __next__(self): return next(self.m)\ndef f(): return L()",
    ),
    "truth": (
        "r = f()\nassert r and not r",
        "def f(): return True",
        "class L:\n    n = iter([True, False])\n    def __bool__(self): return next(L.n)\ndef f(): return L()",
    ),
    "its text": (
        "r = f()\nassert str(r) == 'a' and str(r) == 'b'",
        "def f(): return 'a'",
        "class L:\n    n = iter('ab')\n    def __str__(self): return next(L.n)\ndef f(): return L()",
    ),
    "attributes": (
        "r = f()\nassert r.real == 1 and r.real == 2",
        "def f(): return 1",
        "class L:\n    n = iter([1, 2])\n    @property\n    def real(self): return next(L.n)\ndef f(): return L()",
    ),
    "length and contents": (
        "r = f()\nassert len(r) == 2 and list(r) == [1]",
        "def f(): return [1]",
        "class L:\n    def __len__(self): return 2\n    def __iter__(self): return iter([1])\ndef f(): return L()",
    ),
    "whole and not": (
        "r = f()\nassert int(r) == 3 and float(r) == 5.0",
        "def f(): return 3",
        "class L:\n    def __int__(self): return 3\n    def __float__(self): return 5.0\ndef f(): return L()",
    ),
    "what it holds": (
        "assert 3 in f() and 4 in f()",
        "def f(): return [3, 4]",
        "class L:\n    def __contains__(self, x): return True\ndef f(): return L()",
    ),
    "sums": (
        "r = f()\nassert r + 1 == 4 and r + 1 == 5",
        "def f(): return 3",
        "class L:\n    n = iter([4, 5])\n    def __add__(self, x): return next(L.n)\ndef f(): return L()",
    ),
}


@pytest.mark.parametrize("classes", [False, True])
@pytest.mark.parametrize("what", LIARS)
def test_an_object_is_not_another_one_at_each_look(fork: PoolSandbox, what: str, classes: bool) -> None:
    text, solution, liar = LIARS[what]
    if classes and what in ("what it holds", "sums", "length and contents", "whole and not"):
        return  # of a class of its own an object may say so, as far as it says the same
    problem = script(text, "f", "class A: pass\n" * classes + solution)
    for _ in range(3):
        assert fork.run(liar, problem).outcome is Outcome.WRONG_ANSWER


def test_what_an_object_says_of_itself_may_change_when_something_is_done_to_it(fork: PoolSandbox) -> None:
    source = (
        "class Box:\n    def __init__(self): self.n = 0\n    def put(self): self.n += 1\n"
        "    def __len__(self): return self.n\n"
    )
    text = (
        "b = Box()\nassert len(b) == 0 and b.n == 0\nb.put()\nassert len(b) == 1 and b.n == 1\n"
        "b.n = 5\nassert b.n == 5 == len(b)"
    )
    assert kind(fork, source, script(text, "Box", source)) is None
    assert (
        kind(fork, source.replace("class Box", "class box") + "Box = box", script(text, "Box", "def Box(): return 3"))
        is None
    )


# ----------------------------------------------------------------------------------------- what one leaves to the next


def test_a_checker_may_use_up_what_is_expected(judge: PoolSandbox) -> None:
    checker = (
        "def check(given, expected, got):\n    for item in got:\n        if item not in expected:\n            return False\n"
        "        expected.remove(item)\n    return not expected\n"
    )
    cases = [CallCase((12,), [1, 2, 3, 4, 6]), CallCase((10,), [1, 2, 5])]
    problem = Problem("divisors", "", cases, "f", meta={"checker": checker})
    right = "def f(n): return [d for d in range(n - 1, 0, -1) if n % d == 0]"
    part, rest = "def f(n): return [1, 2, 99]", "def f(n): return [3, 4, 6] if n == 12 else [5]"
    seen = [judge.run(s, problem).outcome for s in (part, rest, right, "def f(n): return []", right)]
    assert [outcome is Outcome.PASSED for outcome in seen] == [False, False, True, False, True]


def test_an_operator_of_an_object_says_why_it_is_refused(fork: PoolSandbox) -> None:
    source = "class Row:\n    def __add__(self, other): return [1, 2, *other]\ndef f(): return Row()"
    failure = fork.run(source, script("assert f() + [3] == [1, 2, 3]", "f", "def f(): return [1, 2]")).failure
    assert failure is not None
    assert (failure.kind, failure.message) == ("Unrepresentable", "Row")


def test_no_checker_remembers_another_program(fork: PoolSandbox) -> None:
    head = "import random, sys\nseen = []\ndef check(given, expected, got):\n    "
    checker = head + "seen.append(got)\n    return len(seen) <= 2 and random.random() < 0.9\n"
    problem = Problem("seen", "", [CallCase((1,), 1), CallCase((2,), 2)], "f", meta={"checker": checker})
    programs = [f"def f(x): return x + {n}" for n in range(4)]
    assert {fork.run(program, problem).outcome for program in programs} == {Outcome.PASSED}
    leaves = Problem("leaves", "", problem.cases, "f", meta={"checker": head + "sys.exit(0)\n    return True\n"})
    with pytest.raises(InvalidProblem, match="ends the process"):
        fork.run(programs[0], leaves)


def test_a_program_has_what_its_test_sets_for_both_though_the_reference_does_without(judge: PoolSandbox) -> None:
    problem = script("import sys\nsys.setrecursionlimit(10 ** 5)\nassert f(1500) == 1500", "f", "f = int")
    verdict = judge.run("def f(n): return n and 1 + f(n - 1)", problem)
    assert (verdict.outcome, verdict.way) == (Outcome.PASSED, "together")


def test_what_is_remembered_of_a_program_is_short(fork: PoolSandbox) -> None:
    made = Script("", "assert f(1) == 2", "f", "", [])
    forged = {"e": {"kind": "x" * 10**6, "own": True, "bases": ["y" * 10**6] * 1000, "message": "z" * 10**6}}
    for reply in (forged, {"u": "u" * 10**6}, {"h": 1, "kind": "k" * 10**6}, {"v": "v" * 10**6}):
        replayed = replay.Recorded(made, made.guess([], []), [{"h": 0, "kind": "function"}, reply])
        assert len(repr(replayed.run())) < 5000
    text = 'b\'{"e": {"kind": "ValueError", "own": true, "message": "\' + b\'x\' * 4_000_000 + b\'"}}\\n\''
    source = (
        f"import os\ndef f(x):\n    data = {text}\n    while data: data = data[os.write(3, data):]\n    os._exit(0)\n"
    )
    assert kind(fork, source, script("assert f(1) == 2")) == "ValueError"


def test_the_same_program_takes_no_longer_when_many_were_wrong_before(fork: PoolSandbox) -> None:
    problem = script('for i in range(50):\n    assert f(i) == i, f"{f(0)} {f(1)}"')
    sources = [f"def f(x):\n    return x if x < {n} else -1\n" for n in range(1, 50)]
    began = time.process_time()
    assert {kind(fork, source, problem) for source in sources} == {FailureKind.WRONG_ANSWER}
    assert kind(fork, "def f(x):\n    return x\n", problem) is None
    assert time.process_time() - began < 5


COMPLAINTS = (
    "import sys\nprint(f(2), file=sys.stderr)",
    "import logging\nlogging.warning('%s', f(2))",
    "import warnings\nwarnings.warn(f'{f(2)}')",
    "class Last:\n    def __del__(self):\n        assert f(2) == 5\nlast = Last()\ndel last",
    "import atexit\natexit.register(f, 2)",
    "import asyncio\nasync def work():\n    assert f(2) == 5\n"
    "async def main():\n    task = asyncio.create_task(work())\n    await asyncio.sleep(0)\nasyncio.run(main())",
)


@pytest.mark.parametrize("complaint", COMPLAINTS, ids=["print", "log", "warn", "del", "atexit", "task"])
def test_what_a_test_complains_of_stays_off_the_caller_s_terminal(
    complaint: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """It may quote answers, and those are not fit for a terminal."""
    source = "def f(n):\n    return 2 * n"
    problem = Problem("p", "", (ScriptCase(f"{complaint}\nassert f(3) == 6"),), solutions=(source,))
    with sandbox.load(workers=1) as judge:
        assert judge.run(source, problem).outcome is Outcome.PASSED
    assert capfd.readouterr().err == ""
