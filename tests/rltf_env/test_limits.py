"""Limits of a problem's own: kept with it, and kept to by the judge."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rltf_env import datasets, sandbox
from rltf_env.core import CallCase, FailureKind, Limits, Outcome, Problem, Sandbox, ScriptCase, StdinCase
from rltf_env.errors import DataError, InvalidProblem

PLAIN = Problem("p", "s", (StdinCase("", "1"),))
LOOP = "import time\nend = time.process_time() + {}\nwhile time.process_time() < end: pass\nprint(1)\n"
FILL = "text = bytearray({} << 20)\nprint(1)\n"
DEEP = "class Solution:\n    def f(self, n):\n        return 0 if n == 0 else 1 + self.f(n - 1)\n"


def limited(problem: Problem, **limits: Any) -> Problem:
    return replace(problem, limits=Limits(**limits))


# ------------------------------------------------------------------------------------------- the value


@pytest.mark.parametrize(
    "limits", [{"seconds": 0}, {"seconds": True}, {"seconds": "2"}, {"memory_mb": 1.5}, {"recursion": -1}]
)
def test_limits_that_are_none_are_refused(limits: dict[str, Any]) -> None:
    with pytest.raises(InvalidProblem, match="Expected limit"):
        Limits(**limits)


def test_limits_have_to_be_limits() -> None:
    with pytest.raises(InvalidProblem, match=r"expected limits to be core\.Limits"):
        replace(PLAIN, limits={"seconds": 2})  # type: ignore[arg-type]


def test_limits_that_limit_nothing_are_no_limits() -> None:
    assert limited(PLAIN) == PLAIN
    assert PLAIN.limits is None


def test_limits_are_part_of_the_digest_and_of_no_digest_before_them() -> None:
    kinds = [{}, {"seconds": 2}, {"seconds": 3}, {"memory_mb": 2}, {"recursion": 2}, {"seconds": 2, "memory_mb": 2}]
    digests = [datasets.digest([limited(PLAIN, **kind)]) for kind in kinds]
    assert len(set(digests)) == len(kinds)
    # As before there were limits.
    assert digests[0] == "f84799a076c2d68cd4c743e94d10db9f88e5b575cf4f58208625031b61bbd44b"
    assert datasets.digest([limited(PLAIN, seconds=2)]) == datasets.digest([limited(PLAIN, seconds=2.0)])


def test_limits_come_back_from_json_lines(tmp_path: Path) -> None:
    problems = [PLAIN, replace(limited(PLAIN, seconds=1.5, memory_mb=64, recursion=5000), id="q")]
    datasets.dump(problems, tmp_path / "problems.jsonl")
    assert list(datasets.load(tmp_path / "problems.jsonl")) == problems
    assert pickle.loads(pickle.dumps(problems)) == problems


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ('{"second": 2}', "Did you mean 'seconds'"),
        ('{"seconds": -2}', "positive number"),
        ("2", "expected a JSON object"),
    ],
)
def test_malformed_limits_name_the_line(limits: str, message: str, tmp_path: Path) -> None:
    row = '{"id": "p", "statement": "s", "cases": [{"script": "f()"}], "limits": ' + limits + "}"
    (tmp_path / "p.jsonl").write_text(row)
    with pytest.raises(DataError, match=rf"p.jsonl:1, limits.*{message}"):
        datasets.load(tmp_path / "p.jsonl")


def test_held_out_problems_keep_their_limits() -> None:
    problem = limited(replace(PLAIN, cases=(StdinCase("", "1"), StdinCase("", "2"))), seconds=2)
    kept = datasets.hold_out(problem, 0.5)
    unseen = datasets.unseen(kept)
    assert unseen is not None
    assert kept.limits == unseen.limits == Limits(seconds=2)


# ------------------------------------------------------------------------------------------- the judge


@pytest.fixture(scope="module", params=["forkserver", pytest.param("subprocess", marks=pytest.mark.slow)])
def judge(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    with sandbox.load(request.param, workers=1, case_seconds=2.0, memory_mb=512, cache=0) as judge:
        yield judge


def kind(judge: Sandbox, source: str, problem: Problem) -> str:
    failure = judge.run(source, problem).failure
    return "" if failure is None else failure.kind


def test_a_judge_keeps_to_the_seconds_of_a_problem_and_to_its_own(judge: Sandbox) -> None:
    slow, endless = LOOP.format(0.6), LOOP.format(60)
    assert kind(judge, slow, PLAIN) == ""
    assert kind(judge, slow, limited(PLAIN, seconds=0.2)) == FailureKind.TIMEOUT
    assert kind(judge, slow, PLAIN) == ""
    verdict = judge.run(endless, limited(PLAIN, seconds=1000))
    assert verdict.failure is not None
    assert (verdict.failure.kind, verdict.failure.detail) == (FailureKind.TIMEOUT, "cpu")  # not for being idle later on
    verdict = judge.run(endless, limited(PLAIN, seconds=0.2))
    assert 0.2 <= verdict.results[0].seconds < 0.6


def test_a_judge_keeps_to_the_memory_of_a_problem_and_to_its_own(judge: Sandbox) -> None:
    assert kind(judge, FILL.format(200), PLAIN) == ""
    assert kind(judge, FILL.format(200), limited(PLAIN, memory_mb=100)) == FailureKind.MEMORY_LIMIT
    assert kind(judge, FILL.format(200), PLAIN) == ""
    assert kind(judge, FILL.format(700), limited(PLAIN, memory_mb=4000)) == FailureKind.MEMORY_LIMIT


@pytest.mark.parametrize("depths", [(3000,), (3000, 2500)])
def test_a_problem_may_give_programs_the_frames_that_its_statement_counts_on(
    judge: Sandbox, depths: tuple[int, ...]
) -> None:
    problem = Problem("d", "s", [CallCase((depth,), depth) for depth in depths], entry_point="Solution.f")
    assert kind(judge, DEEP, problem) == "RecursionError"
    assert kind(judge, DEEP, limited(problem, recursion=600_000)) == ""
    assert kind(judge, DEEP, problem) == "RecursionError"
    assert kind(judge, DEEP, limited(problem, recursion=100)) == "RecursionError"


def test_cases_that_share_a_process_have_the_problem_s_time_each(judge: Sandbox) -> None:
    cases = [StdinCase(f"{seconds}\n", "1") for seconds in (0.0, 0.5, 0.0)]
    source = "n = int(10_000_000 * float(input()))\nfor i in range(n): pass\nfor i in range(n): pass\nprint(1)\n"
    verdict = judge.run(source, limited(replace(PLAIN, cases=cases), seconds=0.1))
    assert verdict.outcome is Outcome.RUNTIME_ERROR
    assert verdict.results[0].outcome is Outcome.PASSED
    assert verdict.failure is not None
    assert verdict.failure.kind == FailureKind.TIMEOUT


# ----------------------------------------------------------------------- numbers, bytes, future imports


def test_whole_numbers_of_any_length_go_in_and_out(judge: Sandbox) -> None:
    long = "1" + "0" * 5000
    assert kind(judge, "print(10 ** 5000)", replace(PLAIN, cases=[StdinCase("", long)] * 2)) == ""
    assert kind(judge, "print(int(input()))", replace(PLAIN, cases=[StdinCase(f"{long}\n", long)])) == ""
    called = replace(PLAIN, cases=[CallCase((10**5000,), long), CallCase((7,), "7")], entry_point="f")
    assert kind(judge, "def f(n): return str(n)", called) == ""
    called = replace(called, cases=[CallCase((long,), 10**5000)])
    assert kind(judge, "def f(n): return int(n)", called) == ""
    assert kind(judge, "def f(n): return int(n) + 1", called) == FailureKind.WRONG_ANSWER


def test_a_byte_that_is_no_text_is_not_the_text_that_spells_it(judge: Sandbox) -> None:
    byte = r"import sys; sys.stdout.buffer.write(b'\xff')"
    assert kind(judge, byte, replace(PLAIN, cases=[StdinCase("", r"\xff")])) == FailureKind.WRONG_ANSWER
    assert kind(judge, r"print(r'\xff')", replace(PLAIN, cases=[StdinCase("", r"\xff")])) == ""
    assert kind(judge, byte, replace(PLAIN, cases=[StdinCase("", "\udcff")])) == ""


def test_future_imports_behind_given_code_are_python_and_lines_stay(judge: Sandbox) -> None:
    given = "import math\n"
    problem = Problem("f", "s", [CallCase((4,), 2.0), CallCase((0,), 1)], entry_point="f", prefix=given)
    program = given + "from __future__ import annotations\ndef f(n: unknown):\n    return math.sqrt(n) / (n > 0)\n"
    verdict = judge.run(program, problem)
    assert verdict.results[0].outcome is Outcome.PASSED
    assert verdict.failure is not None
    assert (verdict.failure.kind, verdict.failure.line) == ("ZeroDivisionError", 4)
    verdict = judge.run(program + "def g(:\n", problem)
    assert verdict.failure is not None
    assert (verdict.outcome, verdict.failure.line) == (Outcome.SYNTAX_ERROR, 5)
    late = judge.run(given + "x = 1\nfrom __future__ import annotations\n", problem)
    assert late.outcome is Outcome.SYNTAX_ERROR
    assert late.failure is not None
    assert late.failure.line == 3


def test_a_test_that_runs_together_with_a_program_keeps_to_the_problem_s_limits(judge: Sandbox) -> None:
    script = (
        "import unittest\nclass Test(unittest.TestCase):\n    def test_f(self):\n        self.assertEqual(f({}), {})\n"
    )
    plain = "def f(n):\n    return 0 if n == 0 else 1 + f(n - 1)\n"
    slow = LOOP.format(0.6).replace("print(1)\n", "") + plain

    def problem(depth: int, **limits: Any) -> Problem:
        case = ScriptCase(script.format(depth, depth))
        return limited(Problem("t", "s", [case], "f", solutions=[plain]), **limits)

    assert kind(judge, slow, problem(3)) == ""
    assert kind(judge, slow, problem(3, seconds=0.2)) == FailureKind.TIMEOUT
    assert kind(judge, plain, problem(3000, recursion=600_000)) == ""


@pytest.mark.parametrize(("backend", "isolate"), [("forkserver", False), ("forkserver", True), ("subprocess", False)])
def test_an_input_may_be_longer_than_what_a_program_may_write(backend: str, isolate: bool) -> None:
    read, write = "import sys\nprint(len(sys.stdin.read()))\n", "open('x', 'w').write(input())\nprint(1)\n"
    long, short = StdinCase("é" * 9000, "9000"), StdinCase("1", "1")
    problems = [Problem(str(n), "s", cases) for n, cases in enumerate([(long,), (short, long)])]
    with sandbox.load(backend, workers=1, isolate=isolate, output_bytes=4096, file_bytes=4096) as judge:
        for problem in problems:
            assert judge.run(read, problem).outcome is Outcome.PASSED
            failure = judge.run(write, problem).failure
            assert failure is not None
            assert failure.kind == FailureKind.FILE_LIMIT
