"""Public contracts, in the manner of `gymnasium.utils.env_checker.check_env`.

A component of your own is right when its check passes: `check_dataset`, `check_source`, `check_curriculum`, `check_reward`,
`check_sandbox`. Each raises `AssertionError` with what was expected and what came.
"""

from __future__ import annotations

import itertools
import json
import pickle
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from typing import Any

import numpy as np

from rltf_env import curricula, datasets, rewards
from rltf_env.core import (
    Attempt,
    CallCase,
    Case,
    CaseResult,
    ComparativeReward,
    Failure,
    FailureKind,
    Feedback,
    Outcome,
    Problem,
    Program,
    Reward,
    Sandbox,
    Source,
    StdinCase,
    Verdict,
)
from rltf_env.datasets import audit
from rltf_env.errors import UnknownName
from rltf_env.facts import of as facts_of
from rltf_env.sandbox.battery import trials as _battery
from rltf_env.sources import Cycle, restore, state_of

# -------------------------------------------------------------------------------------------------- datasets, sources


def check_dataset(
    dataset: str | Sequence[Problem], sandbox: Sandbox | None = None, *, limit: int | None = None, **options: Any
) -> None:
    """Checks the problems of a dataset: what they hold and, given a sandbox, that their references solve them.

    Args:
        dataset: what `datasets.load` takes: a name, `"module:attr"`, or the problems themselves.
        sandbox: if given, every reference solution must pass every case, and every public example too.
        limit: look at the first so many problems only.
        options: passed to `datasets.load` (`split`, `root`, ...).
    """
    problems = datasets.load(dataset, **options)[:limit]
    assert problems, f"Expected at least one problem in {dataset!r}, got none."
    twice = [id for id, count in Counter(problem.id for problem in problems).items() if count > 1]
    assert not twice, f"Expected unique ids, got these more than once: {twice}."
    for problem in problems:
        _check_problem(problem)
    if sandbox is not None:
        _check_solutions(problems, sandbox)


def _check_problem(problem: Problem) -> None:
    name = f"problem {problem.id!r}"
    assert problem.statement.strip(), f"Expected {name} to have a statement, got {problem.statement!r}."
    assert len(problem.cases) > 0, f"Expected {name} to have cases, got none."
    for case in (*problem.cases, *problem.examples):
        assert isinstance(case, Case), f"Expected cases of {name}, got {type(case).__name__}."
        if isinstance(case, StdinCase):
            right_value, right = "None, since it reads standard input", problem.entry_point is None
        else:
            right_value, right = "the name to call", problem.entry_point or not isinstance(case, CallCase)
        assert right, f"Expected the entry_point of {name} to be {right_value}, got {problem.entry_point!r}."
    for number, solution in enumerate(problem.solutions):
        assert solution.startswith(problem.prefix), f"Expected solution {number} of {name} to begin with its prefix."
    copy = pickle.loads(pickle.dumps(problem))
    assert datasets.digest([copy]) == datasets.digest([problem]), f"Expected {name} to survive pickling unchanged."


def _check_solutions(problems: Iterable[Problem], sandbox: Sandbox) -> None:
    wrong = [
        f"{finding.problem.id}, {finding.what}, solution {finding.solution}: {finding.words}, "
        f"{getattr(finding.verdict, 'failure', None)}"
        for finding in audit.findings(problems, sandbox)
        if not finding.passed
    ]
    assert not wrong, f"Expected every reference to pass, got {len(wrong)} that do not:\n" + "\n".join(wrong)


def check_source(source: Source, *, draws: int = 20) -> None:
    """Checks a source: the same generator gives the same problems, what it gives it finds, and it touches nothing else."""
    assert isinstance(source, Source), f"Expected a Source with draw, find and observe, got {type(source).__name__}."
    before = random.getstate(), pickle.dumps(np.random.get_state())  # noqa: NPY002 (looked at, not used)
    first, second = pickle.loads(pickle.dumps(source)), pickle.loads(pickle.dumps(source))
    rng, again = np.random.default_rng(0), np.random.default_rng(0)
    for number in range(draws):
        problem, twin = first.draw(rng), second.draw(again)
        assert isinstance(problem, Problem), f"Expected draw to give a Problem, got {type(problem).__name__}."
        assert problem.id == twin.id, (
            f"Expected draw {number} to depend on its generator alone, got {problem.id}, {twin.id}."
        )
        assert first.find(problem.id).id == problem.id, f"Expected find to know {problem.id!r}, which was drawn."
        for each in (first, second):
            each.observe(_attempt(problem))
    after = random.getstate(), pickle.dumps(np.random.get_state())  # noqa: NPY002
    assert before == after, "Expected the global random generators to be left alone, got a changed state."
    _check_unknown(first)


def check_curriculum(curriculum: curricula.AnyCurriculum, *, draws: int = 65, **options: Any) -> None:
    """Checks a curriculum around twelve problems, with passing and failing attempts.

    It keeps the contract of a source (`check_source`). What it draws has the id of one of its source's problems, begins
    with what that one gives, and keeps a reference that begins so. Its state survives JSON, the source's in it, and leads
    another one to the same draws. Attempts at somebody else's problems change nothing.

    Args:
        curriculum: what `curricula.load` takes: a name, `"module:attr"`, or the function itself.
        draws: to look at; the state is that after so many.
        options: passed to `curricula.load`.
    """
    problems = datasets.load("procedural", "train", size=12, depths=[2, 3])
    made = curricula.load(curriculum, Cycle(problems), **options)
    assert getattr(made, "problems", None) == problems, "Expected the source's `problems` to be passed on."
    check_source(made)
    rng = np.random.default_rng(0)
    for number in range(draws):
        problem = made.draw(rng)
        _check_easier(problem, {each.id: each for each in problems})
        made.observe(_attempt(problem, passed=number % 3 > 0))
    before = state_of(made)
    made.observe(_attempt(replace(problems[0], id="check/another")))
    assert state_of(made) == before, f"Expected {before} after an attempt at a foreign problem, got {state_of(made)}."
    _check_restored(made, curricula.load(curriculum, Cycle(problems), **options), rng, draws)


def _check_easier(problem: Problem, known: Mapping[str, Problem]) -> None:
    name = f"problem {problem.id!r}"
    assert problem.id in known, f"Expected the id of one of the source's problems, got {problem.id!r}."
    given = known[problem.id].prefix
    assert problem.prefix.startswith(given), f"Expected {name} to give {given!r} and more, got {problem.prefix!r}."
    begins = all(solution.startswith(problem.prefix) for solution in problem.solutions)
    assert problem.solutions, f"Expected {name} to keep a reference, got none."
    assert begins, f"Expected the references of {name} to begin with {problem.prefix!r}, got {problem.solutions}."
    assert replace(problem, prefix=given, solutions=()) == replace(known[problem.id], solutions=()), (
        f"Expected {name} to differ from the source's in prefix and solutions alone, got {problem}."
    )


def _check_restored(made: Source, fresh: Source, rng: np.random.Generator, draws: int) -> None:
    """A new curriculum with the state of `made` draws the same."""
    restore(fresh, json.loads(json.dumps(state_of(made))))
    twin = np.random.default_rng(0)
    twin.bit_generator.state = rng.bit_generator.state
    for number in range(draws):
        problem, again = made.draw(rng), fresh.draw(twin)
        assert (problem.id, problem.prefix) == (again.id, again.prefix), (
            f"Expected a restored curriculum to draw {problem.id!r} with {problem.prefix!r}, got {again.id!r} with "
            f"{again.prefix!r}. Its get_state and set_state must hold the source's, too."
        )
        for each in (made, fresh):
            each.observe(_attempt(problem, passed=number % 3 > 0))


def _attempt(problem: Problem, *, passed: bool = True) -> Attempt:
    """An attempt of one token that passed, or gave wrong answers."""
    failure = None if passed else Failure(FailureKind.WRONG_ANSWER)
    result = CaseResult(Outcome.PASSED if passed else Outcome.WRONG_ANSWER, failure)
    verdict = Verdict((result,) * len(problem.cases))
    return Attempt(problem, Program(np.zeros(1, np.int64), "", np.zeros(1, np.int64)), verdict)


def _check_unknown(source: Source) -> None:
    try:
        answer = source.find("no such id")
    except UnknownName:
        return
    raise AssertionError(f"Expected find to raise UnknownName on an unknown id, got {answer!r}.")


# ------------------------------------------------------------------------------------------------------------ rewards


def check_reward(reward: str | Reward, **options: Any) -> None:
    """Checks a reward on a family of attempts: all outcomes, cut off or not, one token, a prefix, any line or none.

    Each feedback has finite float32 rewards and credit (T,) and learns only from generated tokens; its parts sum to its total; a
    second call, in another order, gives the same and leaves its arguments as they are. Of a `ComparativeReward` the same
    holds against a baseline of each outcome, and: credit of single tokens has no baseline, and a program that ran to its
    end earns nothing against its own verdict. A reward that has `needs` gets verdicts that have what it reads: of each
    three, on which all lines ran, some, or none.

    Args:
        reward: what `rewards.load` takes: a name, `"module:attr"`, or the reward itself.
        options: passed to `rewards.load`.
    """
    reward = rewards.load(reward, **options)
    attempts = list(_attempts(rewards.needs(reward)))
    first = [_checked_feedback(reward(attempt), attempt) for attempt in attempts]
    for attempt, earlier in reversed(list(zip(attempts, first, strict=True))):
        _assert_same(reward(attempt), earlier, attempt)
    if isinstance(reward, ComparativeReward):
        for attempt, feedback in zip(attempts, first, strict=True):
            _check_relative(reward, attempt, feedback)


def _check_relative(reward: ComparativeReward, attempt: Attempt, feedback: Feedback) -> None:
    for baseline in {verdict.outcome: verdict for verdict in _verdicts(lines=(None,))}.values():
        relative = _checked_feedback(reward.relative(attempt, baseline), attempt)
        _assert_same(reward.relative(attempt, baseline), relative, attempt)
        tolerance = 1e-5 * max(1.0, float(np.abs(feedback.token_rewards).max()))
        assert np.allclose(relative.token_rewards, feedback.token_rewards, atol=tolerance), (
            f"Expected the credit of single tokens to have no baseline, got {relative.token_rewards} against {baseline} "
            f"and {feedback.token_rewards} without, on {attempt}."
        )
    own = reward.relative(attempt, attempt.verdict)
    if attempt.verdict.outcome in (Outcome.PASSED, Outcome.WRONG_ANSWER):
        assert abs(own.program_reward) < 1e-6, (
            f"Expected 0 against its own verdict, got {own.program_reward} on {attempt}."
        )


def _checked_feedback(feedback: Feedback, attempt: Attempt) -> Feedback:
    length = len(attempt.program)
    assert isinstance(feedback, Feedback), f"Expected Feedback, got {type(feedback).__name__} on {attempt}."
    for name, array, dtype in (("rewards", feedback.rewards, np.float32), ("loss_mask", feedback.loss_mask, np.bool_)):
        assert array.dtype == dtype, f"Expected {name} of {np.dtype(dtype)}, got {array.dtype} on {attempt}."
        assert array.shape == (length,), f"Expected {name} of shape ({length},), got {array.shape} on {attempt}."
    assert np.isfinite(feedback.rewards).all(), f"Expected finite rewards, got {feedback.rewards} on {attempt}."
    own = feedback.token_rewards
    assert own.dtype == np.float32, f"Expected credit of float32, got {own.dtype} on {attempt}."
    assert np.isfinite(own).all(), f"Expected finite credit of single tokens, got {own} on {attempt}."
    assert np.isfinite(feedback.program_reward), (
        f"Expected a finite sequence, got {feedback.program_reward} on {attempt}."
    )
    assert not (feedback.loss_mask & ~attempt.program.generated_mask).any(), (
        f"Expected to learn from generated tokens only, got {feedback.loss_mask} on {attempt}."
    )
    parts, tolerance = sum(feedback.parts.values()), 1e-5 * max(1.0, float(np.abs(feedback.rewards).sum()))
    assert abs(parts - feedback.total) <= tolerance, (
        f"Expected the parts to sum to the total {feedback.total}, got {dict(feedback.parts)} on {attempt}."
    )
    return feedback


def _assert_same(again: Feedback, earlier: Feedback, attempt: Attempt) -> None:
    same = (
        np.array_equal(again.rewards, earlier.rewards)
        and np.array_equal(again.loss_mask, earlier.loss_mask)
        and np.array_equal(again.token_rewards, earlier.token_rewards)
        and (again.program_reward, dict(again.parts)) == (earlier.program_reward, dict(earlier.parts))
    )
    assert same, f"Expected the same feedback twice, got {earlier}, then {again} on {attempt}."


def _attempts(needs: Set[str] = frozenset()) -> Iterator[Attempt]:
    problem = Problem("check", "Any.", [StdinCase("", "")] * 4, solutions=("x = 1\nprint(x)", "print(1)"))
    for program, verdict in itertools.product(_programs(), _verdicts()):
        for dressed in _dressed(verdict, program.text) if needs else (verdict,):
            yield Attempt(problem, program, dressed)


def _dressed(verdict: Verdict, text: str) -> Iterator[Verdict]:
    """The verdict with lines for each case, lines with code, and facts: all lines ran, some, or none."""
    code = frozenset(number for number, line in enumerate(text.split("\n"), 1) if line)
    for share, facts in ((4, facts_of(text)), (1, facts_of("while x:\n    x = x - 1\n")), (0, None)):
        ran = [frozenset(line for line in code if (line + case) % 4 < share) for case in range(len(verdict.results))]
        results = tuple(replace(r, executed=lines) for r, lines in zip(verdict.results, ran, strict=True))
        yield replace(verdict, results=results, executed=frozenset().union(*ran), code=code, facts=facts)


def _programs() -> Iterator[Program]:
    """A program of six lines, twice the same among them, in many ways; its arrays can't be written to."""
    text = "x = 1\nif x:\n    x = 1\n\nx = 1\nprint(x)"
    whole, one = np.arange(len(text) + 1), np.zeros(1, np.int64)
    for tokens, written_text in ((whole, text), (one, "x")):
        tokens.flags.writeable = False
        for prefix_length, truncated in itertools.product(sorted({0, len(tokens) // 2, len(tokens)}), (False, True)):
            yield Program(tokens, written_text, tokens, prefix_length, truncated)


def _verdicts(lines: Sequence[int | None] = (None, 0, 1, 3, 4, 6, 7, 99)) -> Iterator[Verdict]:
    """All outcomes; failures on a line of the text, on none, and on lines that are not there."""
    passed = CaseResult(Outcome.PASSED)
    wrong = CaseResult(Outcome.WRONG_ANSWER, Failure(FailureKind.WRONG_ANSWER))
    yield Verdict((passed,) * 4)
    yield from (Verdict((passed,) * count + (wrong,) * (4 - count)) for count in range(4))
    for kind, line in itertools.product(
        ("IndexError", "RecursionError", FailureKind.TIMEOUT, FailureKind.KILLED, "Own"), lines
    ):
        failure = Failure(
            kind, line=line, bases=() if kind in (FailureKind.TIMEOUT, FailureKind.KILLED) else ("Exception",)
        )
        yield Verdict((passed, CaseResult(Outcome.RUNTIME_ERROR, failure), wrong, passed))
    for (kind, detail), line in itertools.product(
        (("SyntaxError", ""), ("SyntaxError", "triple_quote"), ("IndentationError", "")), lines
    ):
        failure = Failure(kind, line=line, detail=detail, bases=("SyntaxError", "Exception"))
        yield Verdict((CaseResult(Outcome.SYNTAX_ERROR, failure),) * 4)


# ---------------------------------------------------------------------------------------------------------- sandboxes


def check_sandbox(sandbox: Sandbox, *, battery: bool = False) -> None:
    """Checks a sandbox: it judges every kind of case, in order, the same way twice, and says of each death what it was.

    A sandbox that runs nothing (attribute `judges = False`, as `scripted` has it) is only held to the protocol. The sandbox is
    not closed. Programs here are hostile: limits of a second or less keep this short.

    Args:
        battery: also run the whole public battery (`sandbox/battery/`, more than 200 programs): none may be judged wrongly.
    """
    assert isinstance(sandbox, Sandbox), (
        f"Expected run, submit, map and close, got {type(sandbox).__name__} without one."
    )
    _check_protocol(sandbox)
    if not getattr(sandbox, "judges", True):
        return
    _check_cases(sandbox)
    trials = [trial for trial in _battery.trials() if battery or trial.name in _FIRST]
    jobs = [(trial, problem) for trial in trials for problem in trial.problems]
    verdicts = sandbox.map((trial.source, problem) for trial, problem in jobs)
    complaints = [trial.complaint(verdict) for (trial, _), verdict in zip(jobs, verdicts, strict=True)]
    assert not any(complaints), "\n".join(filter(None, complaints))


_FIRST = frozenset(
    "plain plain_stdin solution_class exit_at_end atexit_output int_subclass wrong prefix_only list_of_answer other_name "
    "syntax triple_quote helper_line own_exception recursion_error exit_top hard_exit kill_self memory_one "
    "always_equal always_equal_int liar_dict frame_reader forge_results patch_builtins state_between_cases".split()
)


def _check_protocol(sandbox: Sandbox) -> None:
    """Runs, futures and endless maps give a verdict with a result for every case, the same each time, in order."""
    good = _battery.ADD.solutions[0]
    first = sandbox.run(good, _battery.ADD)
    assert isinstance(first, Verdict), f"Expected run to give a Verdict, got {type(first).__name__}."
    assert len(first.results) == len(_battery.ADD.cases), (
        f"Expected a result for each of {len(_battery.ADD.cases)} cases, got {len(first.results)}."
    )
    again = sandbox.submit(good, _battery.ADD).result(60)
    assert first.same(again), f"Expected submit to give what run gave, {first}, got {again}."
    jobs = itertools.cycle([(good, _battery.ADD), ("x = 1", _battery.SQUARE), ("x = (", _battery.ADD_SCRIPT)])
    mapped = list(itertools.islice(sandbox.map(jobs), 6))
    sizes = [2, 2, 1] * 2
    assert [len(verdict.results) for verdict in mapped] == sizes, (
        f"Expected verdicts of {sizes} results, in the order of the jobs, got {mapped}."
    )
    assert all(a.same(b) for a, b in zip(mapped[:3], mapped[3:], strict=True)), (
        f"Expected the same twice, got {mapped}."
    )


def _check_cases(sandbox: Sandbox) -> None:
    """Each kind of case is passed by a right program, and failed by one that is right on another case alone."""
    for problem in (_battery.ADD, _battery.ADD_SCRIPT, _battery.SQUARE):
        good = "def add(a, b):\n    return a + b\n" if problem is not _battery.SQUARE else "print(int(input()) ** 2)"
        verdict = sandbox.run(good, problem)
        assert verdict.outcome is Outcome.PASSED, f"Expected a right program to pass {problem.id!r}, got {verdict}."
        assert verdict.judged_by, f"Expected the verdict to name its judge, got {verdict}."
    half = sandbox.run("def add(a, b):\n    return 3\n", _battery.ADD)
    assert half.pass_ratio == 0.5, f"Expected half of the cases to pass, got {half}."
    stuck = sandbox.run("while True: pass", _battery.SQUARE)
    assert [r.failure.kind for r in stuck.results if r.failure] == [FailureKind.TIMEOUT, FailureKind.NOT_RUN], (
        f"Expected one time limit for an endless loop, got {stuck}."
    )
