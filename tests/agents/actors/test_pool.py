"""Generators: processes that write while the run learns, killed, replaced, and gone when the run is."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO, cast

import pytest
import tomli_w
from small_runs import place_judge

from agents import train
from agents.actors import local
from agents.actors import messages as frames
from agents.actors import pool as scale
from agents.actors import process as generator
from agents.algorithms import rltf
from agents.algorithms.rltf import RLTF
from agents.config import Recipe, Scale, read
from agents.core import OffPolicyAgent
from agents.learning.replay import unpack
from agents.options import build
from rltf_env.core import Outcome
from rltf_env.errors import UnknownName, UsageError

RECIPE = """
[run]
updates = 12
checkpoint_every = 6
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
optimiser = { lr = 1e-2, warmup = 2 }

[eval]
size = 2

[scale]
generators = 2
push_every = 2
"""


JUDGE = """
from agents.testing import by_checksum
from rltf_env import sandbox

def load():
    return sandbox.load("scripted", rules=by_checksum)
"""


MakeRecipe = Callable[..., Recipe]


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeRecipe:
    place_judge(tmp_path, monkeypatch, JUDGE)
    path = tmp_path / "scaled.toml"
    path.write_text(RECIPE)

    def make(*overrides: str) -> Recipe:
        return read(path, [f"run.out={json.dumps(str(tmp_path / 'run'))}", *overrides])

    return make


@contextmanager
def fed(recipe: Recipe, out: Path) -> Iterator[tuple[RLTF, scale.ActorPool]]:
    policy = train.make_policy(recipe)
    with train.make_env(recipe, policy) as env:
        agent = train.make_agent(recipe, policy, env)
        assert isinstance(agent, RLTF)
        with scale.actors(recipe, agent, out):
            assert isinstance(agent.fill_from_actors, scale.ActorPool)
            yield agent, agent.fill_from_actors


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "XZ"
    except OSError:
        return False


def wait_until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# ------------------------------------------------------------------------------------------------------- with processes


@pytest.mark.timeout(240)
def test_generators_feed_the_learner_and_one_that_dies_is_replaced_once(recipe: MakeRecipe, tmp_path: Path) -> None:
    versions, pids = [], set[int]()
    with fed(recipe(), tmp_path) as (agent, feed):

        def update(count: int) -> None:
            for _ in range(count):
                step, metrics = agent.learner.updates, agent.update()
                pids.update(p.popen.pid for p in feed.processes)
                versions.append(metrics["generated_by"])
                age = step - agent.buffer.versions()
                assert 0 <= age.min() <= age.max() <= 4
                assert metrics.get("staleness", 0) <= 4
                assert len(agent.buffer) >= 4  # whole batches
                assert feed.received >= feed._due(step)  # pace

        update(8)
        assert len(pids) == 2
        assert {p.life for p in feed.processes} == {1}
        os.kill(feed.processes[0].popen.pid, signal.SIGKILL)
        with pytest.warns(scale.GeneratorWarning, match=r"Generator 0 ended with signal 9, and was replaced"):
            wait_until(lambda: any(update(1) or p.life == 2 for p in feed.processes))
        assert sorted(p.index for p in feed.processes) == [0, 1]
        again = next(p for p in feed.processes if p.life == 2)
        os.kill(again.popen.pid, signal.SIGKILL)
        with pytest.raises(scale.GeneratorError, match=r"generator \d to go on .* signal 9"):
            wait_until(lambda: update(1))
        assert agent.journal.take().seconds.keys() >= {"generate", "judge", "push", "wait"}
    assert versions == sorted(versions) or max(b - a for a, b in zip(versions[1:], versions, strict=False)) <= 4
    assert versions[-1] > versions[0]
    assert len(pids) == 3
    assert not any(map(is_alive, pids))
    assert agent.fill_from_actors is None


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_killed_learner_leaves_no_generator_and_its_run_goes_on(recipe: MakeRecipe, tmp_path: Path) -> None:
    path, metrics = tmp_path / "started.toml", tmp_path / "run" / "metrics.jsonl"
    path.write_text(tomli_w.dumps(recipe("run.updates=100000").to_dict()))
    for sent in (signal.SIGKILL, signal.SIGINT):
        before = len(metrics.read_bytes().splitlines()) if metrics.exists() else 0
        process = subprocess.Popen(
            [sys.executable, "-m", "agents.train", str(path)],
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
            cwd=Path(train.__file__).parents[1],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until(lambda n=before: metrics.exists() and len(metrics.read_bytes().splitlines()) > n + 13)
        children = [int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit() and parent(p) == process.pid]
        assert len(children) == 2
        process.send_signal(sent)
        process.communicate(timeout=90)
        wait_until(lambda pids=children: not any(map(is_alive, pids)))
    done = max(int(p.stem.partition("-")[2]) for p in (tmp_path / "run" / "checkpoints").glob("step-*.pt"))
    summary = train.train(recipe(f"run.updates={done + 3}"))
    assert list(summary["evaluations"]) == [str(done + 3)]
    assert not (tmp_path / "run" / "generators" / "weights.pt").exists()


def parent(process: Path) -> int:
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


# ---------------------------------------------------------------------------------------------------- without processes


@pytest.mark.parametrize(
    ("override", "error", "message"),
    [
        ("scale.generator=1", UnknownName, "Did you mean 'generators'"),
        ("scale.generators=-1", UsageError, r"\[scale\]"),
        ("scale.push_every=0", UsageError, r"\[scale\]"),
        ("scale.silence=-1", UsageError, r"\[scale\] silence"),
        ('scale.devices=["cuda:0", ""]', UsageError, r"\[scale\] devices"),
        ("scale.devices=[0, 1]", UsageError, r"\[scale\] devices"),
        ("scale.engine=rey", UnknownName, "Did you mean 'ray'"),
        ("scale.gpus=1", UsageError, r'scale\.engine = "ray" with address, cpus or gpus'),
        ("scale.patience=0", UsageError, r"\[scale\] cpus, gpus >= 0 and patience > 0"),
        ("scale.push_every=5", UsageError, r"scale\.push_every <= agent\.max_staleness = 4, got 5"),
        ("env.curriculum=copy:copy", UsageError, r"no env\.curriculum with scale\.generators > 0, got 'copy:copy'"),
        ('agent={ kind = "grpo" }', UsageError, r"Expected agent\.max_staleness > 0 with scale\.generators > 0"),
        ('agent={ kind = "grpo", max_staleness = 1 }', UsageError, r"scale\.push_every <= agent\.max_staleness = 1"),
        ('agent={ kind = "rloo", max_staleness = 2 }', UsageError, r"Expected agent\.clip > 0 with scale"),
        (
            'agent={ kind = "grpo", max_staleness = 2, kl_reward = 0.1 }',
            UsageError,
            r"Expected agent\.kl_reward = 0 with",
        ),
        ('agent={ kind = "rlcf", max_staleness = 2 }', UsageError, r"Expected no \[scale\] generators with"),
        ('agent={ kind = "supervised" }', UsageError, r"scale\.generators > 0, got 'supervised'"),
    ],
)
def test_a_wrong_scale_says_so(recipe: MakeRecipe, override: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        train.train(recipe(override))


def test_an_actor_critic_takes_in_what_an_actor_has_written(recipe: MakeRecipe) -> None:
    made = recipe('agent={ kind = "actor_critic", buffer = 16, fill = 8, refresh = 8, samples_per_problem = 2 }')
    policy = train.make_policy(made)
    with train.make_env(made, policy) as env:
        actor, learner = (train.make_agent(made, policy, env) for _ in range(2))
        assert isinstance(actor, OffPolicyAgent)
        assert isinstance(learner, OffPolicyAgent)
        lot = generator.rollout_batch(actor, 4)
        learner.ingest([unpack(s) for s in lot["samples"]], [Outcome(o) for o in lot["outcomes"]], lot["sampled"])
        told = scale.instructions(made, learner, (0, 1, 0))
    assert len(learner.buffer) == 4
    assert "critic" not in told["recipe"]["agent"]  # a key that this kind of agent does not have


def test_without_generators_the_table_is_no_part_of_what_a_run_is(recipe: MakeRecipe) -> None:
    plain, told = recipe("scale={}"), recipe("scale.generators=0")
    assert plain.scale == Scale()
    assert plain.digest == told.digest != recipe().digest
    assert (
        recipe("scale.silence=5", 'scale.devices=["cpu"]', "scale.engine=ray", "scale.cpus=1").digest == recipe().digest
    ), "a run goes on elsewhere"


def test_a_generator_has_its_own_seed_and_the_learners_frozen_weights(recipe: MakeRecipe, tmp_path: Path) -> None:
    made = recipe("run.seed=3", 'env.sandbox="auto"', 'agent.critic={ mode = "online" }')
    policy = train.make_policy(made)
    with train.make_env(made, policy) as env:
        agent = train.make_agent(made, policy, env)
        assert isinstance(agent, RLTF)
        told = [scale.instructions(made, agent, (i, life, 0)) for i in (0, 1) for life in (1, 2)]
    assert len({t["recipe"]["run"]["seed"] for t in told}) == 4
    assert {t["recipe"]["policy"]["seed"] for t in told} == {3}
    assert {t["programs"] for t in told} == {4}  # half a refresh
    assert told[0]["recipe"]["env"]["sandbox_options"]["workers"] >= 1
    assert told[0]["recipe"]["agent"]["critic"] == {}
    assert told[0]["recipe"]["scale"] == dataclasses.asdict(Scale())
    assert {t["recipe"]["policy"].get("device") for t in told} == {None}


def test_each_generator_is_given_its_device_in_turn(recipe: MakeRecipe, tmp_path: Path) -> None:
    made = recipe("scale.generators=5", 'scale.devices=["cuda:1", "cuda:2", "cpu"]', 'policy.device="cuda:0"')
    agent: Any = SimpleNamespace(config=build(rltf.Config, {}, "agent"))
    told = [scale.instructions(made, agent, (i, 1, 0)) for i in range(5)]
    assert [t["recipe"]["policy"]["device"] for t in told] == ["cuda:1", "cuda:2", "cpu", "cuda:1", "cuda:2"]
    assert made.policy["device"] == "cuda:0", "the learner's own"


BABBLE = """
import sys
sys.stdin.buffer.read(8)  # the learner is there
sys.stdout.buffer.write(BYTES)
sys.stdout.flush()
sys.stdin.buffer.read()
"""


@pytest.mark.timeout(60)
@pytest.mark.parametrize("said", [(5).to_bytes(8, "little") + b"hello", b"\xff" * 8])
def test_an_answer_that_cannot_be_read_ends_its_generator_and_not_the_learners_patience(
    recipe: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    (tmp_path / "babble.py").write_text(BABBLE.replace("BYTES", repr(said)))
    (tmp_path / "python").write_text(f"#!/bin/sh\nexec {sys.executable} {tmp_path / 'babble.py'}\n")
    (tmp_path / "python").chmod(0o755)
    monkeypatch.setattr(local.sys, "executable", str(tmp_path / "python"))
    with fed(recipe("scale.generators=1"), tmp_path / "run") as (agent, feed):
        reason = r"an answer that cannot be read \(.+\), then status 0"
        with pytest.warns(scale.GeneratorWarning, match=reason), pytest.raises(scale.GeneratorError, match=reason):
            agent.update()
        assert not feed.processes


ENDLESS = """
import os, sys, threading
sys.stdin.buffer.read(8)  # the learner is there
threading.Thread(target=lambda: sys.stdin.buffer.read() and None or os._exit(0)).start()  # and gone
frame = open(FRAME, "rb").read()
while True:
    sys.stdout.buffer.write(frame)
    sys.stdout.flush()
"""


@contextmanager
def played(
    made: Recipe, folder: Path, patch: pytest.MonkeyPatch, script: str
) -> Iterator[tuple[RLTF, scale.ActorPool]]:
    """The learner, and generators that run `script` in the place of their own. FRAME is a file with one lot."""
    policy = train.make_policy(made)
    with train.make_env(made, policy) as env, open(folder / "frame", "wb") as file:
        writer = train.make_agent(made, policy, env)
        assert isinstance(writer, RLTF)
        frames.send(cast(BinaryIO, file), generator.rollout_batch(writer, 4))
    (folder / "player.py").write_text(script.replace("FRAME", repr(str(folder / "frame"))))
    (folder / "python").write_text(f"#!/bin/sh\nexec {sys.executable} {folder / 'player.py'}\n")
    (folder / "python").chmod(0o755)
    patch.setattr(local.sys, "executable", str(folder / "python"))
    with fed(made, folder / "run") as (agent, feed):
        yield agent, feed


ALONE = ("scale.generators=1", "agent.max_staleness=0")


# --------------------------------------------------------------------------------------------------- silence, and lives


@pytest.mark.timeout(60)
def test_a_generator_that_is_stopped_is_named_and_replaced_and_the_run_goes_on(
    recipe: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with played(recipe(*ALONE), tmp_path, monkeypatch, ENDLESS) as (agent, feed):
        for _ in range(3):
            agent.update()
        feed.processes[0].answers._limit = 0.5  # now that it has started, which may take longer
        os.kill(feed.processes[0].popen.pid, signal.SIGSTOP)
        named = r"Generator 0 ended with nothing for 0\.5 s \(scale\.silence\), then signal 9, and was replaced"
        with pytest.warns(scale.GeneratorWarning, match=named):
            wait_until(lambda: agent.update() and feed.replaced == 1)
        assert agent.update()["replaced"] == 1
        assert [p.life for p in feed.processes] == [2]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("said", [b"", b"\x10\x00\x00", (100).to_bytes(8, "little") + b"half"])
def test_a_generator_that_stops_in_the_middle_ends_the_run_at_the_second_time(
    recipe: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    script = BABBLE.replace("BYTES", repr(said))
    with played(recipe(*ALONE, "scale.silence=0.2"), tmp_path, monkeypatch, script) as (agent, feed):
        reason = r"nothing for 0\.2 s"
        with pytest.warns(scale.GeneratorWarning, match=reason), pytest.raises(scale.GeneratorError, match=reason):
            agent.update()
        assert not feed.processes


@pytest.mark.timeout(60)
def test_a_generator_may_die_again_and_again_with_good_work_between(
    recipe: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "EARNED", 3)
    with played(recipe(*ALONE), tmp_path, monkeypatch, ENDLESS) as (agent, feed):
        for deaths in range(1, 5):
            wait_until(lambda: agent.update() and feed.processes[0].sent >= 3)
            os.kill(feed.processes[0].popen.pid, signal.SIGKILL)
            with pytest.warns(scale.GeneratorWarning, match="signal 9"):
                wait_until(lambda deaths=deaths: agent.update() and feed.replaced == deaths)
        assert [(p.life, p.lives) for p in feed.processes] == [(5, 1)]


class Dead(SimpleNamespace):
    """A generator that has ended."""

    def end(self) -> str:
        return "signal 9"


@pytest.mark.parametrize(
    ("lives", "sent", "left"),
    [(2, 0, 1), (2, 4, 1), (2, 5, 1), (1, 5, 1), (1, 500, 1), (1, 0, 0), (1, 4, 0)],
)
def test_lives_are_lost_by_dying_and_earned_back_by_lots(
    recipe: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lives: int, sent: int, left: int
) -> None:
    agent: Any = SimpleNamespace(
        config=build(rltf.Config, {}, "agent"), learner=SimpleNamespace(updates=0), buffer=[], sampled={}
    )
    feed = scale.ActorPool(recipe(), agent, tmp_path)
    feed.engine = local.load(feed.recipe.scale, agent, tmp_path, feed.lots)
    begun: list[tuple[int, ...]] = []
    monkeypatch.setattr(feed, "_begin", lambda *how: begun.append(how))
    dead: Any = Dead(index=1, life=7, lives=lives, sent=sent, log=tmp_path / "1.log")
    feed.processes.append(dead)
    with pytest.warns(scale.GeneratorWarning) if left else pytest.raises(scale.GeneratorError):
        feed._replace(dead)
    assert begun == ([(1, 8, left)] if left else [])


def test_without_a_limit_a_reader_waits_as_long_as_it_takes() -> None:
    reader, writer = os.pipe()
    asked: list[float | None] = []
    with os.fdopen(reader, "rb", buffering=0) as stream:
        for limit, steps in ((0.0, [None, None]), (0.4, [0.4]), (3.0, [1.0, 1.0, 1.0])):
            patient = frames.Patient(cast(BinaryIO, stream), limit)
            answers = iter([[], [1]] if not limit else [[]] * 3)
            patient._selector.close()
            patient._selector = cast(Any, SimpleNamespace(select=lambda step, a=answers: asked.append(step) or next(a)))
            os.write(writer, b"x")
            if limit:
                with pytest.raises(frames.Silence, match=f"nothing for {limit:g} s"):
                    patient.read(1)
            else:
                assert patient.read(1) == b"x"
            assert asked == steps
            asked.clear()
    os.close(writer)


@pytest.mark.parametrize("every", [1, 3, 50])
def test_a_continued_run_waits_for_the_programs_that_an_uninterrupted_one_waits_for(
    recipe: MakeRecipe, tmp_path: Path, every: int
) -> None:
    made = recipe(f"agent.refresh_every={every}")
    policy = train.make_policy(made)
    with train.make_env(made, policy) as env:
        agent = train.make_agent(made, policy, env)
        assert isinstance(agent, RLTF)
        whole = scale.ActorPool(made, agent, tmp_path)
        c = agent.config
        alone = [c.fill + c.refresh * sum(s % every == 0 for s in range(1, step + 1)) for step in range(120)]
        assert [whole._due(step) for step in range(120)] == alone  # as an agent that writes by itself
        agent.collect(c.fill)
        for first in (1, 2, 49, 50, 51, 99, 100):
            agent.learner.updates = first
            again = scale.ActorPool(made, agent, tmp_path)
            for step in range(first, 120):
                assert again._due(step) == whole._due(step) - whole._due(first - 1)
