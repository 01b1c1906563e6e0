"""How the judge is asked: in order, endlessly, once for the same program; bad options; the fake."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator

import pytest

from rltf_env import sandbox
from rltf_env.core import CallCase, Failure, Outcome, Problem, ScriptCase, StdinCase, Verdict
from rltf_env.errors import InvalidProblem, SandboxError, UnknownName, UsageError
from rltf_env.sandbox.pool import wire
from rltf_env.sandbox.pool.pool import PoolSandbox

ADD = Problem("add", "", [CallCase((1, 2), 3), CallCase((5, 5), 10)], "add")


SQUARE = Problem("square", "", [StdinCase("3\n", "9\n"), StdinCase("4\n", "16\n")])


GOOD = "def add(a, b):\n    return a + b\n"


@pytest.fixture(scope="module")
def fork() -> Iterator[PoolSandbox]:
    with sandbox.load("forkserver", workers=2, case_seconds=0.5) as opened:
        yield opened


def script(text: str, setup: str = "", entry_point: str | None = None, **more: object) -> Problem:
    return Problem("script", "", [ScriptCase(text, setup)], entry_point, **more)  # type: ignore[arg-type]


def failure(verdict: Verdict) -> Failure:
    assert verdict.failure is not None
    return verdict.failure


# ----------------------------------------------------------------------------------------------------------- how to ask


def test_map_keeps_order_and_takes_endless_jobs(fork: PoolSandbox) -> None:
    jobs = ((f"def add(a, b):\n    return a + b + {i} % 2\n", ADD) for i in itertools.count())
    verdicts = list(itertools.islice(fork.map(jobs), 100))
    assert [v.outcome is Outcome.PASSED for v in verdicts] == [i % 2 == 0 for i in range(100)]


def test_the_same_program_is_judged_once(fork: PoolSandbox) -> None:
    source = "import os\nprint(os.urandom(8).hex())"
    first = fork.run(source, SQUARE)
    assert fork.run(source, SQUARE) is first
    futures = [fork.submit(source + "\n", SQUARE) for _ in range(5)]
    assert len({id(f.result()) for f in futures}) == 1


def test_the_cache_has_a_switch() -> None:
    source = "import os\nprint(os.urandom(8).hex())"
    with sandbox.load("forkserver", workers=1, cache=0) as opened:
        assert opened.run(source, SQUARE).results[0].stdout != opened.run(source, SQUARE).results[0].stdout


def test_equal_problems_that_are_two_are_not_mixed_up(fork: PoolSandbox) -> None:
    other = Problem("add", "", [CallCase((1, 2), 4)], "add")
    assert fork.run(GOOD, ADD).outcome is Outcome.PASSED
    assert fork.run(GOOD, other).outcome is Outcome.WRONG_ANSWER


def test_more_problems_than_a_worker_remembers() -> None:
    problems = [Problem(f"p{i}", "", [CallCase((i,), i + 1)], "f") for i in range(600)]
    with sandbox.load("forkserver", workers=1, cache=0) as opened:
        jobs = [("def f(x): return x + 1", p) for p in [*problems, *problems[:100]]]
        assert all(v.outcome is Outcome.PASSED for v in opened.map(jobs))


def test_large_problems_and_programs(fork: PoolSandbox) -> None:
    text = "".join(f"{i}\n" for i in range(200_000))
    problem = Problem("large", "", [StdinCase(text, text)] * 2)
    source = "import sys\nsys.stdout.write(sys.stdin.read())\n" + "#" * 300_000
    jobs = [(source, problem), (GOOD, ADD), (source + "#", problem), (GOOD + "#", ADD)] * 2
    assert all(v.outcome is Outcome.PASSED for v in fork.map(jobs))


BAD_OPTIONS = [
    ({"case_second": 1}, UnknownName, "case_seconds"),
    ({"case_seconds": 0}, UsageError, "positive"),
    ({"workers": 1.5}, UsageError, "whole"),
    ({"trace": 1}, UsageError, "True or False"),
    ({"require": "ful"}, UnknownName, "full"),
    ({"without": ("seccom",)}, UnknownName, "seccomp"),
    ({"packages": "numpy"}, UsageError, "tuple"),
    ({"packages": None}, UsageError, "tuple"),
    ({"packages": ("",)}, UsageError, "tuple"),
    ({"packages": iter(["numpy"])}, UsageError, "tuple"),
    ({"without": 3}, UsageError, "tuple"),
    ({"case_seconds": float("inf")}, UsageError, "below"),
    ({"memory_mb": 10**30}, UsageError, "below"),
]


@pytest.mark.parametrize(("options", "error", "text"), BAD_OPTIONS)
@pytest.mark.parametrize("name", ["forkserver", "subprocess"])
def test_bad_options_are_refused(name: str, options: dict, error: type, text: str) -> None:
    with pytest.raises(error, match=text):
        sandbox.load(name, **options)


def test_unknown_sandbox_names_the_nearest() -> None:
    with pytest.raises(UnknownName, match="forkserver"):
        sandbox.load("forkserve")


def test_problems_that_cannot_be_sent_are_refused(fork: PoolSandbox) -> None:
    with pytest.raises(InvalidProblem, match="entry_point"):
        fork.run(GOOD, Problem("x", "", [CallCase((1,), 2)]))
    with pytest.raises(InvalidProblem, match="plain data"):
        fork.run(GOOD, Problem("x", "", [CallCase((object(),), 2)], "f"))
    with pytest.raises(InvalidProblem, match="order"):
        fork.run(GOOD, Problem("x", "", [CallCase((1,), 2)], "f", meta={"order": "none"}))
    with pytest.raises(UsageError, match="Problem"):
        fork.submit(GOOD, "add")  # type: ignore[arg-type]
    assert fork.run(GOOD, ADD).outcome is Outcome.PASSED


@pytest.mark.parametrize(
    ("case", "fault"),
    [
        (StdinCase("a\ud800\n", "1\n"), "the input of case 0"),
        (StdinCase("1\n", "\udfff\n"), "the output of case 0"),
        (StdinCase("a\udc80\xe9\n", "\udcff\n"), ""),  # bytes that are no text
    ],
)
def test_text_that_no_stream_can_hold_is_the_problems_fault(case: StdinCase, fault: str) -> None:
    problem = Problem("half", "", [case])
    with pytest.raises(InvalidProblem, match=fault) if fault else contextlib.nullcontext():
        assert wire.encoded_problem(problem)["cases"][0][0] == "stdin"
    checked = Problem("half", "", [StdinCase("1\n", "\udfff")], meta={"checker": "def check(a, b, c): return True"})
    assert wire.encoded_problem(checked)["checker"]


def test_a_test_that_is_not_python_is_the_problem_s_fault(fork: PoolSandbox) -> None:
    for problem in (
        script("assert ((", entry_point="add"),
        Problem("c", "", ADD.cases, "add", meta={"checker": "1/0"}),
    ):
        for _ in range(2):
            with pytest.raises(InvalidProblem, match="cannot be judged"):
                fork.run(GOOD, problem)


def test_a_closed_sandbox_says_so() -> None:
    opened = sandbox.load("forkserver", workers=1)
    opened.run(GOOD, ADD)
    opened.close()
    opened.close()
    with pytest.raises(UsageError, match="closed"):
        opened.submit(GOOD, ADD)


# ------------------------------------------------------------------------------------------------------------ the fake


def test_the_fake_answers_by_table_rule_and_exception() -> None:
    rules = {"a": Outcome.PASSED, "b": "ZeroDivisionError", "c": [True, False], "d": SandboxError("down")}
    with sandbox.load("scripted", rules=rules) as fake:
        assert fake.run("a", ADD).outcome is Outcome.PASSED
        assert failure(fake.run("b", ADD)).kind == "ZeroDivisionError"
        assert fake.run("c", ADD).pass_ratio == 0.5
        assert fake.run("other", ADD).outcome is Outcome.WRONG_ANSWER
        assert isinstance(fake.submit("d", ADD).exception(), SandboxError)
        assert [source for source, _ in fake.requests] == ["a", "b", "c", "other", "d"]
        with pytest.raises(SandboxError, match="down"):
            fake.run("d", ADD)
    by_rule = sandbox.load("scripted", rules=lambda source, problem: Failure("SyntaxError", line=len(source)))
    assert by_rule.run("xyz", ADD).outcome is Outcome.SYNTAX_ERROR
    with pytest.raises(UsageError, match="each of the 2 cases"):
        sandbox.load("scripted", default=[True]).run("x", ADD)
