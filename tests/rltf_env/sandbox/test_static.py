"""The judge that runs nothing: what it finds, with lines, and that its PASSED counts nowhere as a solved problem."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import processes
import pytest

from rltf_env import datasets, plain, rewards, sandbox, testing
from rltf_env.adapters import judge as adapters
from rltf_env.adapters import trl
from rltf_env.core import Attempt, CallCase, FailureKind, Outcome, Problem, Program, StdinCase
from rltf_env.datasets import audit
from rltf_env.doctor import examine
from rltf_env.env import UnitTestEnv
from rltf_env.errors import MissingData, UnknownName, UsageError
from rltf_env.sandbox.battery import trials as battery
from rltf_env.sandbox.static import FINDINGS, StaticSandbox
from rltf_env.serve.settings import Settings
from rltf_env.strengthen import strengthen
from rltf_env.synthesis.results import ask
from rltf_env.text import TextEnv
from rltf_env.view import ansi, html

pytestmark = processes.linux
CALL = Problem("call", "Any.", [CallCase((1,), 1)] * 3, "f", solutions=["def f(x):\n    return x\n"])
READ = Problem("read", "Any.", [StdinCase("1", "1")])
REFERENCES_WITH_FINDINGS = {"mbpp/218"}  # it calls `swap`, which is nowhere, in a branch that no test comes to
BATTERY_WITH_FINDINGS = {"long_source", "long_line"}  # beyond what is read


@pytest.fixture(scope="module")
def judge() -> Iterator[StaticSandbox]:
    with sandbox.load("static", facts=True) as opened:
        yield opened


# ----------------------------------------------------------------------------------------------------------- findings


@pytest.mark.parametrize(
    ("source", "kind", "line"),
    [
        ("def f(x):\n    y = len(x)\n    return z + y\n", FailureKind.UNDEFINED_NAME, 3),
        ("def f(x):\n    return math.sqrt(x)\n", FailureKind.UNDEFINED_NAME, 2),
        ("print(q)\n", FailureKind.UNDEFINED_NAME, 1),
        ("def f(x):\n    return g(x, 1)\ndef g(x):\n    return x\n", FailureKind.WRONG_ARITY, 2),
        ("def f(x):\n    n += 1\n    return n\n", FailureKind.UNBOUND_LOCAL, 2),
        ("def h(x):\n    return x\n", FailureKind.MISSING_ENTRY_POINT, None),
    ],
)
def test_a_finding_is_a_run_time_error_on_its_line(
    judge: StaticSandbox, source: str, kind: str, line: int | None
) -> None:
    verdict = judge.run(source, CALL)
    assert verdict.outcome is Outcome.RUNTIME_ERROR
    assert [(r.failure and r.failure.kind, r.failure and r.failure.line) for r in verdict.results] == [(kind, line)] * 3


@pytest.mark.parametrize(
    "source",
    [
        "def f(x):\n    return g(x)\ndef g(x):\n    return x\n",
        "class Solution:\n    def f(self, x):\n        return x\n",
        "from math import *\n",
        "exec('def f(x): return x')\n",
        "def f(x):\n    exit()\n",
        "größe = 1\ndef f(x):\n    return größe\n",
        f"f = lambda x: {'9' * 5000}\n",
        "def f(x):\n    while True:\n        pass\n",
    ],
    ids=["below", "a method stands in", "star import", "exec", "exit", "beyond ASCII", "long number", "endless"],
)
def test_nothing_is_found_in_what_may_well_run(judge: StaticSandbox, source: str) -> None:
    verdict = judge.run(source, CALL)
    assert verdict.outcome is Outcome.PASSED
    assert not verdict.was_run


@pytest.mark.parametrize(
    ("source", "line"),
    [("def f(x):\n    return (x\n", 2), ("x = 1\ny = '\ud800'\n", 2), ("x = '\0'\n", None), ("  x = 1\n", 1)],
    ids=["open", "surrogate", "null", "indented"],
)
def test_what_is_not_python_is_a_syntax_error_with_its_line(
    judge: StaticSandbox, source: str, line: int | None
) -> None:
    verdict = judge.run(source, CALL)
    assert verdict.outcome is Outcome.SYNTAX_ERROR
    assert verdict.failure is not None
    assert line is None or verdict.failure.line == line


@pytest.mark.parametrize(
    "source", ["x = 1\n" * 12000, "-" * 5000 + "1\n", "x = 1\n" * 5000], ids=["long", "deep", "too much"]
)
def test_what_cannot_be_read_is_never_passed(judge: StaticSandbox, source: str) -> None:
    verdict = judge.run(source, READ)
    assert verdict.failure is not None
    assert verdict.failure.kind == FailureKind.NOT_RUN
    assert judge.run("print(input())\n", READ).outcome is Outcome.PASSED


def test_a_program_that_reads_its_input_needs_no_entry_point(judge: StaticSandbox) -> None:
    assert judge.run("print(input())\n", READ).outcome is Outcome.PASSED


def test_which_findings_count_is_an_option() -> None:
    source = "def f(x):\n    if x:\n        return y\n"
    for kinds, expected in ((["NotReturned"], ("NotReturned", 2)), ([], None), (FINDINGS, ("UndefinedName", 3))):
        with sandbox.load("static", findings=kinds) as opened:
            failure = opened.run(source, CALL).failure
            assert (failure and (failure.kind, failure.line)) == expected
    with pytest.raises(UnknownName, match="UndefinedName"):
        sandbox.load("static", findings=["Undefined"])
    with pytest.raises(UsageError, match="tuple or list"):
        sandbox.load("static", findings="UndefinedName")


def test_lines_are_those_of_the_program_behind_given_code(judge: StaticSandbox) -> None:
    given = Problem("given", "", [CallCase((1,), 1)], "f", prefix="import math\n")
    verdict = judge.run("import math\nfrom __future__ import annotations\ndef f(x):\n    return y\n", given)
    assert verdict.failure is not None
    assert (verdict.failure.kind, verdict.failure.line) == ("UndefinedName", 4)


def test_facts_come_only_if_they_are_asked_for(judge: StaticSandbox) -> None:
    assert judge.run("def f(x):\n    return x\n", CALL).facts is not None
    with sandbox.load("static") as opened:
        assert opened.run("def f(x):\n    return x\n", CALL).facts is None


@pytest.mark.parametrize(
    ("name", "split"),
    [("procedural", "train"), ("mbpp", "train"), ("mbpp", "test"), ("humaneval", "test")],
)
def test_no_reference_has_a_finding(judge: StaticSandbox, name: str, split: str) -> None:
    try:
        problems = datasets.load(name, split)[:500]
    except MissingData as error:
        pytest.skip(str(error))
    pairs = [(solution, problem) for problem in problems for solution in problem.solutions[:2]]
    verdicts = zip(pairs, judge.map(pairs), strict=True)
    found = {problem.id for (_, problem), verdict in verdicts if verdict.outcome is not Outcome.PASSED}
    assert found <= REFERENCES_WITH_FINDINGS


def test_programs_of_the_battery_that_pass_have_no_finding(judge: StaticSandbox) -> None:
    right = [(trial, problem) for trial in battery.trials() if "Passed" in trial.right for problem in trial.problems]
    verdicts = judge.map((trial.source, problem) for trial, problem in right)
    found = {t.name for (t, _), v in zip(right, verdicts, strict=True) if v.outcome is not Outcome.PASSED}
    assert found == BATTERY_WITH_FINDINGS


# --------------------------------------------------------------------------------------------------- nothing is run


def test_no_program_runs_and_no_process_is_started_for_one(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    program = f"open({str(trace)!r}, 'w').write('ran')\nimport os\nos.fork()\ndef f(x):\n    return x\n"
    before = processes.descendants(os.getpid())
    with sandbox.load("static") as opened:
        opened.run("x = 1\n", READ)
        started = processes.descendants(os.getpid()) - before
        assert [v.outcome for v in opened.map([(program, CALL)] * 20)] == [Outcome.PASSED] * 20
        assert processes.descendants(os.getpid()) - before == started
        assert len(started) == 3  # the one that answers, the one that reads, and its guard
    assert not trace.exists()
    assert not started & processes.descendants(os.getpid())


def test_a_reader_that_dies_is_replaced_and_answers_stay_in_step() -> None:
    with sandbox.load("static") as opened:
        assert opened.run("def f(x:\n", CALL).outcome is Outcome.SYNTAX_ERROR
        process = opened._reader._process
        assert process is not None
        process.kill()
        process.wait()
        assert opened.run("def f(x):\n    return y\n", CALL).outcome is Outcome.RUNTIME_ERROR
        with ThreadPoolExecutor(4) as pool:
            texts = [f"def f(x):\n{'    x += 1' + chr(10)}    return y{i}\n" * (i % 2) or "(" for i in range(40)]
            outcomes = list(pool.map(lambda text: opened.run(text, CALL).outcome, texts))
        assert outcomes == [Outcome.SYNTAX_ERROR, Outcome.RUNTIME_ERROR] * 20


def test_a_closed_judge_says_so() -> None:
    opened = sandbox.load("static")
    opened.run("x = 1\n", READ)
    opened.close()
    opened.close()
    with pytest.raises(UsageError, match="closed"):
        opened.run("x = 1\n", READ)


def test_it_keeps_the_protocol(judge: StaticSandbox) -> None:
    testing.check_sandbox(judge)


# -------------------------------------------------------------------------------------------------------- its rewards


def forty_tokens() -> Program:
    """Forty tokens, one for each character, the second of whose three lines has ten besides its end."""
    text = "\n".join(("x" * 14, "y" * 10, "z" * 14))
    return Program(np.arange(40), text, np.arange(40))


@pytest.mark.parametrize(("alpha", "on_token", "in_all"), [("none", -0.3, -3.6), ("span_ratio", -1.2, -12.6)])
def test_a_finding_is_charged_to_its_line(judge: StaticSandbox, alpha: str, on_token: float, in_all: float) -> None:
    verdict = judge.run("def f(x):\n    return y\n", CALL)
    reward = rewards.load("coarse+fine", coarse={"passed": 0.0}, fine={"alpha": alpha})
    feedback = reward(Attempt(CALL, forty_tokens(), verdict))
    assert feedback.program_reward == pytest.approx(-0.6)
    assert feedback.token_rewards[15:25] == pytest.approx([on_token] * 10)
    assert np.count_nonzero(feedback.token_rewards) == 10
    assert feedback.program_reward + feedback.token_rewards.sum() == pytest.approx(in_all)
    assert feedback.total == pytest.approx(-0.9)


@pytest.mark.parametrize(
    ("source", "expected"),
    [("def f(x:\n", -1.3), ("def f(x):\n    return x\n", 0.0), ("def g(x):\n    return x\n", -0.9)],
)
def test_the_grounding_function_needs_no_test(judge: StaticSandbox, source: str, expected: float) -> None:
    reward = rewards.load("coarse+fine", coarse={"passed": 0.0})
    program = Program(np.arange(len(source)), source, np.arange(len(source)))
    assert reward(Attempt(CALL, program, judge.run(source, CALL))).total == pytest.approx(expected)


# --------------------------------------------------------------------------------------- PASSED is no solved problem


def words_of(action: Callable[[], Any]) -> str:
    with pytest.raises(UsageError) as caught:
        action()
    return str(caught.value)


def env(**options: Any) -> UnitTestEnv:
    return UnitTestEnv([CALL], sandbox="static", **options)


def test_every_door_that_counts_solved_problems_refuses_it_in_words(judge: StaticSandbox) -> None:
    doors: dict[str, Callable[[], Any]] = {
        "service": lambda: Settings(sandbox="static"),
        "service that is given one": lambda: Settings(sandbox=judge),
        "adapter": lambda: adapters.opened("procedural", sandbox="static"),
        "adapter of an environment": lambda: adapters.opened(env()),
        "TRL": lambda: trl.reward_function(env()),
        "TRL, by token": lambda: trl.UnitTests(env()),
        "TRL, through a tool": lambda: trl.ProgramEnvironment(env()),
        "curriculum": lambda: env(curriculum="cccs"),
        "further turns": lambda: TextEnv([CALL], sandbox="static", max_turns=2),
        "references": lambda: list(audit.findings([CALL], judge)),
        "answers": lambda: ask(judge, [("def f(x): return x", "f", [])]),
        "stronger tests": lambda: list(strengthen([CALL], judge, np.random.default_rng(0))),
        "doctor": lambda: examine("static"),
        "by another name": lambda: Settings(sandbox="rltf_env.sandbox.static:load"),
    }
    for door, action in doors.items():
        words = words_of(action)
        assert "runs none" in words, door
        assert "Choose another sandbox" in words, door


def test_its_verdict_is_refused_by_whoever_gets_it_some_other_way(judge: StaticSandbox) -> None:
    program = Program(np.arange(2), "f=1", np.arange(2))
    with env() as made:
        result = adapters.Result(CALL, program, made.judge(CALL, "def f(x):\n    return x\n"))
    for action in (lambda: result.passed, lambda: result.notes, lambda: result.reward):
        assert "runs none" in words_of(action)


def test_a_verdict_says_that_nothing_was_run_also_after_a_journey(judge: StaticSandbox) -> None:
    verdict = judge.run("def f(x):\n    return x\n", CALL)
    again = plain.decode_verdict(json.loads(json.dumps(plain.encode_verdict(verdict))), "here")
    assert not again.was_run
    with sandbox.load("scripted", default=True) as scripted:
        assert scripted.run("", CALL).was_run
        sandbox.check_runs(scripted, "pass@1")
    sandbox.check_runs("auto", "pass@1")


def test_nobody_who_looks_at_it_reads_that_a_program_passed() -> None:
    source = "def f(x):\n    return x\n"
    with env(reward="coarse") as made:
        judgement = made.judge(CALL, source)
        attempt = Attempt(CALL, made.program_of(CALL, source), judgement.verdict)
    for words in (ansi.words(judgement), html.fragment(attempt, judgement.feedback)):
        assert "passed" not in words.lower()
        assert "not run" in words


def test_a_reward_that_needs_facts_gets_them_and_one_that_needs_lines_is_refused() -> None:
    with env(reward="structure") as made:
        assert made.judge(CALL, CALL.solutions[0]).feedback.parts["ast"] == 1.0
    with env(reward="executed") as made, pytest.raises(UnknownName, match="trace"):
        made.judge(CALL, CALL.solutions[0])
