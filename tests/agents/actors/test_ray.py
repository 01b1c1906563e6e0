"""Actors of a cluster: what the learner asks of them, and what becomes of a run whose actors die, hang, or never start.

`FakeCluster` stands in for Ray (`support/fake_cluster.py`); `tests/slow/test_ray.py` kills real processes.
"""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from fake_cluster import FakeCluster
from small_runs import place_judge

from agents import train
from agents.actors import core, pool, ray, writer
from agents.actors.process import rollout_batch
from agents.config import Recipe, read
from agents.core import OffPolicyAgent
from rltf_env.cluster import Gone, StoreFull

RECIPE = """
[run]
updates = 12
threads = 1

[env]
id = "RLTF-Procedural-v0"
split = "train"
prompt_style = "statement"
max_prompt_tokens = 400
max_program_tokens = 32
sandbox = "judge_by_rule:load"
dataset_options = { depths = [1] }

[policy]
kind = "tiny"
width = 16
layers = 1
heads = 2
vocab_size = 280
dataset_options = { size = 4 }

[agent]
kind = "rltf"
buffer = 16
fill = 8
refresh = 8
refresh_every = 2
samples_per_problem = 2
batch_size = 4
max_staleness = 4
references = { size = 8 }

[scale]
engine = "ray"
generators = 2
push_every = 2
"""
JUDGE = """
from agents.testing import by_checksum
from rltf_env import sandbox

def load():
    return sandbox.load("scripted", rules=by_checksum)
"""
SMALL = (
    "buffer = 16, fill = 8, refresh = 8, refresh_every = 2, samples_per_problem = 2, batch_size = 4, max_staleness = 4"
)
MakeRecipe = Callable[..., Recipe]


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeRecipe:
    place_judge(tmp_path, monkeypatch, JUDGE)
    path = tmp_path / "scaled.toml"
    path.write_text(RECIPE)
    for name, seconds in {"FIRST": 0.01, "STEP": 0.02}.items():
        monkeypatch.setattr(ray, name, seconds)
    return lambda *overrides: read(path, [f"run.out={json.dumps(str(tmp_path / 'run'))}", *overrides])


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    fake = FakeCluster("")
    monkeypatch.setattr(ray, "Cluster", lambda address: fake)
    return fake


@contextmanager
def fed(recipe: Recipe, out: Path) -> Iterator[tuple[OffPolicyAgent, pool.ActorPool]]:
    policy = train.make_policy(recipe)
    with train.make_env(recipe, policy) as env:
        agent = train.make_agent(recipe, policy, env)
        assert isinstance(agent, OffPolicyAgent)
        with pool.actors(recipe, agent, out):
            assert isinstance(agent.fill_from_actors, pool.ActorPool)
            yield agent, agent.fill_from_actors


def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


ROUND = "problems = 4, samples_per_problem = 2, batch_size = 4, max_staleness = 4"


@pytest.mark.parametrize("kind", ["grpo", "ppo"])
def test_actors_write_the_rounds_of_an_on_policy_agent_and_no_program_is_too_old(
    recipe: MakeRecipe, tmp_path: Path, cluster: FakeCluster, kind: str
) -> None:
    begun: list[tuple[int, int]] = []
    with fed(recipe(f'agent={{ kind = "{kind}", {ROUND} }}'), tmp_path / "g") as (agent, feed):
        begin = agent.begin  # type: ignore[attr-defined]

        def noting(samples: Any) -> Any:
            begun.append((len(samples), max(agent.learner.updates - s.version for s in samples)))
            return begin(samples)

        agent.begin = noting  # type: ignore[attr-defined]
        metrics = [agent.update() for _ in range(3 * agent.config.refresh_every)]
    assert [count for count, _ in begun] == [8, 8, 8]
    assert max(age for _, age in begun) <= 4
    assert feed.received >= 24
    assert all(0 <= line["staleness"] <= 4 + agent.config.refresh_every for line in metrics)


@pytest.mark.parametrize("kind", ["rltf", "actor_critic", "soft_q"])
def test_actors_feed_every_agent_with_a_buffer_and_no_program_is_too_old(
    recipe: MakeRecipe, tmp_path: Path, cluster: FakeCluster, kind: str
) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with fed(recipe(f'agent={{ kind = "{kind}", {SMALL} }}'), tmp_path / "g") as (agent, feed):
        for _ in range(8):
            step, metrics = agent.learner.updates, agent.update()
            ages = step - agent.buffer.versions()
            assert 0 <= ages.min() <= ages.max() <= 4
            assert feed.received >= feed._due(step)  # pace
        assert {
            f"generator_{i}/{what}" for i in (0, 1) for what in ("programs", "behind", "silent", "lost")
        } <= metrics.keys()
        assert sum(metrics[f"generator_{i}/programs"] for i in (0, 1)) == feed.received + feed.dropped
        assert min(metrics[f"generator_{i}/behind"] for i in (0, 1)) >= 0
        assert all(actor.kind is writer.Writer for actor in cluster.actors)
    torch.set_num_threads(threads)
    assert cluster.closed
    assert agent.fill_from_actors is None


@pytest.mark.parametrize(("age", "taken"), [(4, True), (5, False)])
def test_a_lot_that_comes_too_late_is_dropped(recipe: MakeRecipe, tmp_path: Path, age: int, taken: bool) -> None:
    made = recipe()
    policy = train.make_policy(made)
    with train.make_env(made, policy) as env:
        agent = train.make_agent(made, policy, env)
        assert isinstance(agent, OffPolicyAgent)
        feed = pool.ActorPool(made, agent, tmp_path)
        lot = rollout_batch(agent, 4)
        agent.learner.updates = age
        feed.lots.put((SimpleNamespace(index=1), lot))
        feed._take()
    assert (feed.received, feed.dropped, len(agent.buffer)) == ((4, 0, 4) if taken else (0, 4, 0))
    assert agent.sampled["generator_1/behind"] == age


@pytest.mark.parametrize("end", ["killed", "node", "stopped"])
def test_an_actor_that_is_lost_is_named_and_replaced_as_often_as_it_takes(
    recipe: MakeRecipe, tmp_path: Path, cluster: FakeCluster, end: str
) -> None:
    made = recipe("scale.generators=1", "scale.patience=0.3", "agent.max_staleness=0")
    reason = {"killed": "it has died", "node": "its node does not answer", "stopped": r"no sign of life for 0\.3 s"}[
        end
    ]
    with fed(made, tmp_path / "g") as (agent, feed):
        agent.update()
        for deaths in range(1, 4):
            until(lambda: feed.processes[0]._alive or agent.update())  # type: ignore[attr-defined]
            victim = cluster.actors[-1]
            if end == "killed":
                cluster.kill(victim)
            elif end == "node":
                cluster.lose("")
            else:
                victim.running.clear()
            with pytest.warns(core.GeneratorWarning, match=rf"Generator 0 ended with {reason}.*, and was replaced"):
                until(lambda deaths=deaths: agent.update() and feed.replaced == deaths)
            victim.running.set()
        assert agent.update()["generator_0/lost"] == 3
    assert "Life 3 ended" in (tmp_path / "g" / "generators" / "0.log").read_text()


def test_a_run_whose_actors_never_send_anything_ends_with_the_reason(
    recipe: MakeRecipe, tmp_path: Path, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Any, version: int, weights: Any) -> bytes:
        raise RuntimeError("no such model")

    monkeypatch.setattr(writer.Writer, "lot", broken)
    with (
        fed(recipe(), tmp_path / "g") as (agent, _),
        pytest.warns(core.GeneratorWarning, match="no such model"),
        pytest.raises(core.GeneratorError, match="no such model"),
    ):
        agent.update()
    assert "Traceback" in (tmp_path / "g" / "generators" / "0.log").read_text()


@pytest.mark.parametrize("times", [2, None])
def test_weights_wait_for_room_in_the_store_and_no_longer_than_patience(
    recipe: MakeRecipe, tmp_path: Path, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch, times: int | None
) -> None:
    put, tried, lots = cluster.put, [], queue.Queue[Any]()

    def full(value: Any) -> Any:
        tried.append(value)
        if times is None or len(tried) <= times:
            raise StoreFull("full")
        return put(value)

    made = recipe("scale.patience=0.1")
    engine = ray.load(made.scale, train.make_policy(made), tmp_path, lots)
    engine.push(0)
    monkeypatch.setattr(cluster, "put", full)
    if times is None:
        with pytest.raises(StoreFull):
            engine.push(2)
        assert engine.newest[0] == 0, "what there was is still there"
    else:
        engine.push(2)
        assert (engine.newest[0], len(tried)) == (2, 3)


def test_pauses_grow_with_deaths_in_a_row_and_good_work_ends_the_row(tmp_path: Path) -> None:
    scale: Any = SimpleNamespace(generators=1)
    engine = ray.RayEngine(scale, None, tmp_path, None, FakeCluster(""))  # type: ignore[arg-type]
    engine.delivered = True
    delays: list[float] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ray, "RayActor", lambda engine, start, delay: delays.append(delay))
        engine.begin(core.Start(0, 1, 2, {}, 0))
        for sent in (0, 0, 4, 5, *[0] * 10):
            assert engine.lives(SimpleNamespace(index=0, sent=sent)) == core.LIVES  # type: ignore[arg-type]
            engine.begin(core.Start(0, 2, 2, {}, 0))
    assert delays[:7] == [0.0, 1.0, 2.0, 4.0, 1.0, 2.0, 4.0]
    assert max(delays) == ray.LONGEST


def test_weights_cross_whatever_their_type(recipe: MakeRecipe) -> None:
    made = recipe()
    policy, other = train.make_policy(made), train.make_policy(recipe("policy.seed=5"))
    for each in (policy, other):
        next(each.model.parameters()).data = next(each.model.parameters()).data.to(torch.bfloat16)
    packed = writer.pack_weights(policy)
    for array, _ in packed.values():
        array.flags.writeable = False  # as those of a store
    writer.take_over(other, writer.unpack_weights(packed))
    for a, b in zip(policy.model.parameters(), other.model.parameters(), strict=True):
        assert torch.equal(a, b)
        assert a.data_ptr() != b.data_ptr()


def test_an_actor_that_the_cluster_has_no_room_for_says_so(
    recipe: MakeRecipe, tmp_path: Path, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()
    monkeypatch.setattr(writer.Writer, "__init__", lambda self, orders: gate.wait(20) and None)
    monkeypatch.setattr(ray, "STARTING", 0.1)
    made = recipe("scale.generators=1", "scale.patience=0.05")
    with (
        fed(made, tmp_path / "g") as (agent, _),
        pytest.warns(core.GeneratorWarning, match="has the cluster room for it"),
        pytest.raises(core.GeneratorError),
    ):
        agent.update()
    gate.set()


def test_a_call_to_an_actor_that_is_gone_is_an_error_of_its_own() -> None:
    fake = FakeCluster("a")
    actor = fake.start(writer.Writer, {}, node="a")
    assert fake.get(fake.call(actor, "beat"), 5)
    fake.kill(actor)
    with pytest.raises(Gone):
        fake.call(actor, "beat")
