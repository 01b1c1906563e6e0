"""Evaluation: counts by hand, the same twice, and no trace in the run that it measures."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from agents.algorithms import rltf
from agents.core import Episode
from agents.decoding.sampling import Sampling
from agents.evaluation import Evaluation, count, evaluate, gap, on_held_out
from agents.policies.causal import CausalPolicy
from rltf_env import datasets, sandbox
from rltf_env.core import CallCase, CaseResult, Failure, Feedback, Outcome, Problem, Program, Verdict
from rltf_env.env import UnitTestEnv
from rltf_env.errors import UsageError

MakeEnv = Callable[..., UnitTestEnv]


def episode(problem: str, *kinds: str, length: int = 2) -> Episode:
    """An episode whose cases ended like this; "" passed."""
    known = {"": Outcome.PASSED, "WrongAnswer": Outcome.WRONG_ANSWER, "SyntaxError": Outcome.SYNTAX_ERROR}
    results = tuple(CaseResult(known.get(k, Outcome.RUNTIME_ERROR), Failure(k) if k else None) for k in kinds)
    nothing = np.zeros(length, np.float32)
    program = Program(nothing.astype(np.int64), "", nothing.astype(np.int64))
    feedback = Feedback(nothing, nothing > 0)
    return Episode(problem, nothing.astype(np.int64), program, nothing, nothing, Verdict(results), feedback, 0)


def test_counts_by_hand() -> None:
    groups = [
        [episode("a", "", ""), episode("a", "", "WrongAnswer", length=4)],
        [episode("b", "", "", length=3), episode("b", "", "")],
        [episode("c", "SyntaxError", "SyntaxError"), episode("c", "KeyError", "WrongAnswer", length=5)],
    ]
    e = count(groups, 2)
    assert e.problems == ("a", "b", "c")
    assert e.passed.tolist() == [1, 2, 0]
    assert e.pass_at_1 == pytest.approx(0.5)
    assert e.standard_error == pytest.approx(0.5 / math.sqrt(3))  # rates 0.5, 1, 0: deviation 0.5
    assert e.outcomes == {"SYNTAX_ERROR": 1, "RUNTIME_ERROR": 1, "WRONG_ANSWER": 1, "PASSED": 3}
    assert e.kinds == {"KeyError": 1, "SyntaxError": 1, "WrongAnswer": 1}
    assert e.pass_ratio == pytest.approx((1 + 0.5 + 1 + 1 + 0 + 0) / 6)
    assert e.program_tokens == pytest.approx((2 + 4 + 3 + 2 + 2 + 5) / 6)


def test_different_right_programs_are_counted_by_text_and_wrong_ones_not() -> None:
    texts = ("a", "a", "b", "c")
    kinds = ("", "", "", "WrongAnswer")
    group = [episode("p", kind) for kind in kinds]
    named = [replace(e, program=replace(e.program, text=text)) for e, text in zip(group, texts, strict=True)]
    e = count([named, [episode("q", "KeyError")] * 4], 4)
    assert e.distinct == (2, 0)
    assert e.to_dict()["distinct"] == [2, 0]
    assert "distinct" not in count([named[:1]], 1).to_dict()


def test_the_gap_is_counted_over_problems_with_held_out_cases() -> None:
    groups = [
        [episode("a", ""), episode("a", "")],
        [episode("b", ""), episode("b", "")],
        [episode("c", ""), episode("c", "KeyError")],
    ]
    again = [[episode("a", kind).verdict for kind in ("WrongAnswer", "")], [], [episode("c", "").verdict] * 2]
    found = gap(groups, again, 2)
    assert found is not None
    assert (found.problems, found.trained_on.tolist(), found.held_out.tolist()) == (("a", "c"), [2, 1], [1, 2])
    assert found.value == 0  # +1/2 and -1/2
    assert found.standard_error == pytest.approx(0.5)  # deviation sqrt(1/2), over sqrt(2)
    assert gap(groups, [[], [], []], 2) is None


def test_learning_the_visible_cases_by_heart_shows_as_a_gap() -> None:
    problem = Problem(
        "a", "Square.", [CallCase((n,), n * n) for n in range(8)], "f", solutions=["def f(x): return x * x"]
    )
    split = datasets.hold_out(problem, 0.5)
    table = {case.args[0]: case.expected for case in split.cases if isinstance(case, CallCase)}
    with sandbox.load() as judge:
        env = UnitTestEnv([split], sandbox=judge)
        programs = [f"def f(x): return {table}.get(x)", problem.solutions[0]]
        group = [replace(episode("a", ""), program=env.tokenizer.program(env.tokenizer.encode(p))) for p in programs]
        group = [replace(e, verdict=env.judge(split, e.program).verdict) for e in group]
        again = on_held_out(env, [split, problem], [group, group])
    assert [[v.outcome is Outcome.PASSED for v in verdicts] for verdicts in again] == [[False, True], []]
    found = gap([group, group], again, 2)
    assert found is not None
    assert (found.trained_on.tolist(), found.held_out.tolist(), found.value) == ([2], [1], 0.5)


def test_an_evaluation_reports_the_gap_where_cases_are_held_out(
    policy: CausalPolicy, make_env: MakeEnv, problems: list[Problem]
) -> None:
    cases = (CallCase((), 0), CallCase((1,), 0), CallCase((2,), 0))
    split = [datasets.hold_out(replace(problem, cases=cases), 0.5) for problem in problems[:2]]
    result = evaluate(policy, make_env(max_program_tokens=6), [*split, *problems[2:3]], Sampling(), samples=2)
    assert result.gap is not None
    assert result.gap.problems == tuple(problem.id for problem in split)
    assert result.to_dict()["held_out"]["gap"] == result.gap.value
    assert "held_out" not in evaluate(policy, make_env(max_program_tokens=6), problems[:1], Sampling()).to_dict()


def test_one_problem_has_no_standard_error() -> None:
    one = count([[episode("a", "")]], 1)
    assert math.isnan(one.standard_error)
    assert one.to_dict()["standard_error"] is None
    only = gap([[episode("a", "")]], [[episode("a", "").verdict]], 1)
    assert only is not None
    assert only.to_dict()["standard_error"] is None


def same(a: Evaluation, b: Evaluation) -> bool:
    return a.to_dict() == b.to_dict()


def test_the_same_twice_and_another_with_another_seed(
    policy: CausalPolicy, make_env: MakeEnv, problems: list[Problem]
) -> None:
    env = make_env()
    runs = [evaluate(policy, env, problems, Sampling(), samples=4, seed=seed) for seed in (0, 0, 1)]
    assert same(runs[0], runs[1])
    assert not same(runs[0], runs[2])


def test_progress_is_told_of_every_problem_once(
    policy: CausalPolicy, make_env: MakeEnv, problems: list[Problem]
) -> None:
    told: list[int] = []
    many = [problems[i % 5] for i in range(130)]
    result = evaluate(policy, make_env(max_program_tokens=6), many, Sampling(0.0), advance=told.append)
    assert told == [64, 64, 2]
    assert len(result.passed) == 130


def test_nothing_to_measure_on_is_an_error(policy: CausalPolicy, make_env: MakeEnv) -> None:
    with pytest.raises(UsageError, match="at least one problem"):
        evaluate(policy, make_env(), [], Sampling())


def test_measuring_leaves_no_trace_in_the_run(policy: CausalPolicy, make_env: MakeEnv, problems: list[Problem]) -> None:
    def lines(measure: bool) -> list[dict[str, float]]:
        weights = {k: v.clone() for k, v in policy.model.state_dict().items()}
        env = make_env()
        options: dict[str, Any] = {"buffer": 8, "fill": 8, "refresh": 4, "refresh_every": 2, "samples_per_problem": 2}
        agent = rltf.load(policy, env, seed=0, batch_size=4, optimiser={"lr": 1e-2, "warmup": 1}, **options)
        out = []
        for _ in range(5):
            if measure:
                state = torch.random.get_rng_state()
                evaluate(policy, env, problems, Sampling(), samples=2)
                assert torch.equal(state, torch.random.get_rng_state())
            out.append(agent.update())
        policy.model.load_state_dict(weights)
        return out

    assert lines(False) == lines(True)


def test_a_judge_that_runs_nothing_measures_nothing(
    policy: CausalPolicy, make_env: Callable[..., UnitTestEnv], problems: list[Problem]
) -> None:
    with make_env(sandbox="static") as env, pytest.raises(UsageError, match=r"runs programs for pass@1"):
        evaluate(policy, env, problems[:2], Sampling())
    found = episode("p", "")
    unread = replace(found, verdict=replace(found.verdict, judged_by="static"))
    with pytest.raises(UsageError, match="runs none"):
        count([[unread]], 1)
