"""Verdicts that the judge cannot give: asked for again, left out, counted. They end nothing, and teach nothing."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import numpy as np
import pytest
import torch

from agents.actors.process import rollout_batch
from agents.algorithms import actor_critic, dapo, grpo, ppo, reinforce, rloo, rltf
from agents.core import rngs
from agents.decoding import best_of_n
from agents.decoding.sampling import Sampling
from agents.evaluation import evaluate
from agents.policies.causal import CausalPolicy
from agents.rollout import collect
from agents.running.journal import UpdateLog
from agents.testing import by_checksum
from rltf_env import sandbox
from rltf_env.core import Problem, Verdict
from rltf_env.env import UnitTestEnv
from rltf_env.errors import SandboxError

MakeEnv = Callable[..., UnitTestEnv]


class Flaky:
    """A judge by rule that fails on every program whose number `fails` picks, each time that it is asked about it."""

    def __init__(self, fails: Callable[[int], bool]) -> None:
        self.inner, self.fails = sandbox.load("scripted", rules=by_checksum), fails
        self.numbers: dict[str, int] = {}
        self.asked = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def run(self, source: str, problem: Problem) -> Verdict:
        self.asked += 1
        if self.fails(self.numbers.setdefault(source + problem.id, len(self.numbers))):
            raise SandboxError("the judge died.")
        return self.inner.run(source, problem)

    def submit(self, source: str, problem: Problem) -> Future[Verdict]:
        future: Future[Verdict] = Future()
        try:
            future.set_result(self.run(source, problem))
        except SandboxError as error:
            future.set_exception(error)
        return future


@pytest.fixture
def flaky(make_env: MakeEnv) -> Callable[..., tuple[UnitTestEnv, Flaky]]:
    def make(fails: Callable[[int], bool], **options: Any) -> tuple[UnitTestEnv, Flaky]:
        judge = Flaky(fails)
        return make_env(sandbox=judge, **options), judge

    return make


SMALL = {"samples_per_problem": 4, "batch_size": 8, "optimiser": {"lr": 1e-3, "warmup": 2}}
AGENTS: dict[str, tuple[Any, dict[str, Any]]] = {
    "grpo": (grpo, {"problems": 3}),
    "rloo": (rloo, {"problems": 3}),
    "dapo": (dapo, {"problems": 3}),
    "reinforce": (reinforce, {"problems": 3}),
    "ppo": (ppo, {"problems": 3}),
    "actor_critic": (actor_critic, {"fill": 12}),
    **{
        f"rltf {b}": (rltf, {"fill": 12, "supervised": 0, "baseline": b})
        for b in ("best_so_far", "greedy", "group_mean", "none")
    },
}


@pytest.mark.parametrize("name", AGENTS)
def test_an_update_goes_on_without_the_programs_whose_verdicts_were_lost(
    policy: CausalPolicy, flaky: Any, name: str
) -> None:
    module, options = AGENTS[name]
    env, judge = flaky(lambda number: number % 5 == 2)
    agent = module.load(policy, env, seed=0, **SMALL, **options)
    lines = [agent.update() for _ in range(3)]
    assert lines[0]["lost"] >= 1
    assert all(np.isfinite(value) for line in lines for value in line.values())
    assert judge.asked > len(judge.numbers), "each was asked for more than once"
    agent.load_state_dict(agent.state_dict())
    agent.update()


def test_a_group_without_the_lost_is_measured_against_the_others_of_it(policy: CausalPolicy, flaky: Any) -> None:
    env, _ = flaky(lambda number: number in (1, 4, 5, 6))  # one of the first four, three of the next: one is left alone
    agent = rloo.load(policy, env, seed=0, problems=2, kl_reward=0.0, **SMALL)
    groups, drawn = agent._groups(2)
    assert len(drawn) == len(groups)
    assert [len(group) for _, group in groups] == [3]
    returns = agent._returns([g for _, g in groups], [])
    weights = agent._weights([g for _, g in groups], returns)
    totals = [e.feedback.total for e in groups[0][1]]
    expected = [t - (sum(totals) - t) / 2 for t in totals]
    assert [float(w[0]) for w in weights] == pytest.approx(expected, abs=1e-5)


def test_a_verdict_that_comes_at_the_next_try_is_not_lost(policy: CausalPolicy, flaky: Any, problems: Any) -> None:
    broken = [True]
    env, judge = flaky(lambda number: number == 1 and broken[0])
    submit = env.submit

    def mended(*arguments: Any) -> Any:  # by the time that the whole round has been handed in
        broken[0] = len(judge.numbers) < 8
        return submit(*arguments)

    env.submit = mended
    journal = UpdateLog()
    generator = rngs(0, policy.device)[1]
    groups = collect(policy, env, problems[:2], Sampling(), repeats=4, generator=generator, journal=journal)
    assert [len(group) for group in groups] == [4, 4]
    assert journal.take_lost() == 0


def test_a_group_whose_greedy_program_is_lost_keeps_the_best_so_far_or_is_left_out(
    policy: CausalPolicy, flaky: Any, problems: list[Problem]
) -> None:
    for baseline, remembered, kept in (("greedy", False, 0), ("best_so_far", False, 0), ("best_so_far", True, 4)):
        env, _ = flaky(lambda number: number == 4, problems=problems[:1])  # the fifth is the greedy one
        agent = rltf.load(policy, env, seed=0, baseline=baseline, **SMALL)
        if remembered:
            agent.best["p0", ""] = by_checksum_verdict(problems[0])
        _, groups, samples = agent.write(4)
        assert len(samples) == sum(map(len, groups)) == kept


def by_checksum_verdict(problem: Problem) -> Verdict:
    return sandbox.load("scripted", rules=by_checksum).run("x", problem)


@pytest.mark.parametrize("name", AGENTS)
def test_a_judge_that_loses_everything_ends_the_run_and_says_why(policy: CausalPolicy, flaky: Any, name: str) -> None:
    module, options = AGENTS[name]
    env, _ = flaky(lambda number: True)
    with pytest.raises(SandboxError, match=r"none in 3 rounds.*the judge died\..*rltf doctor"):
        module.load(policy, env, seed=0, **SMALL, **options).update()


def test_the_only_program_of_a_round_may_be_lost(policy: CausalPolicy, flaky: Any) -> None:
    env, _ = flaky(lambda number: number == 0)
    line = reinforce.load(policy, env, seed=0, problems=1, samples_per_problem=1, batch_size=1).update()
    assert line["lost"] == 1


def test_an_actor_sends_what_is_left(policy: CausalPolicy, flaky: Any) -> None:
    env, _ = flaky(lambda number: number % 4 == 3)
    agent = rltf.load(policy, env, seed=0, baseline="group_mean", **SMALL)
    lot = rollout_batch(agent, 12)
    assert len(lot["samples"]) == len(lot["outcomes"]) == 12 - lot["sampled"]["lost"] < 12


def test_a_problem_with_a_lost_verdict_is_left_out_of_an_evaluation_and_counted(
    policy: CausalPolicy, flaky: Any, problems: list[Problem]
) -> None:
    env, judge = flaky(lambda number: number == 2)
    result = evaluate(policy, env, problems, Sampling(), samples=2)
    (lost,) = (p.id for p in problems if list(judge.numbers)[2].endswith(p.id))
    assert result.problems == tuple(p.id for p in problems if p.id != lost)
    assert result.to_dict()["lost"] == 1
    with pytest.raises(SandboxError, match="for none"):
        evaluate(policy, flaky(lambda number: True)[0], problems[:1], Sampling())


def test_a_lost_verdict_of_a_public_example_ends_no_decoding(policy: CausalPolicy, flaky: Any) -> None:
    env, _ = flaky(lambda number: number == 0)
    problem = env.source.find("p0")
    public = Problem(problem.id, problem.statement, problem.cases, "f", examples=problem.cases[:1])
    generator = rngs(0, torch.device("cpu"))[1]
    ((episode,),) = collect(policy, env, [public], best_of_n.load(n=4), repeats=1, generator=generator)
    assert episode.problem == "p0"
