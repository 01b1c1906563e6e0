"""A real Ray cluster of two nodes on this machine; its processes are killed and stopped, and nothing is lost.

Skipped where Ray is not installed. One cluster serves all tests; a node that was killed is replaced.
"""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from agents import train
from agents.actors import pool
from agents.actors.core import GeneratorWarning
from agents.config import Recipe, read
from agents.core import OffPolicyAgent
from rltf_env import datasets, sandbox, testing
from rltf_env.cluster import QUIET
from rltf_env.core import CallCase, Outcome, Problem
from rltf_env.sandbox.client import RemoteSandbox

os.environ.update(QUIET)  # Ray reads it when it is imported
ray = pytest.importorskip("ray", reason="needs Ray: pip install 'rltf[ray]'")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # of Ray's own pipes
]
HEAD = {"num_cpus": 2, "node_ip_address": "127.0.0.1", "object_store_memory": 100 << 20}
ADD = Problem("add", "", [CallCase((1, 2), 3)], "add")


class Machines:
    """The cluster, with a second node that may be killed and comes back as another."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        self.cluster = Cluster(initialize_head=True, head_node_args={**HEAD, "include_dashboard": False})
        self.second: Any = None
        ray.init(address=self.cluster.address, logging_level=logging.ERROR, log_to_driver=False)
        self.complete()

    def complete(self) -> None:
        """Has a second node, whatever became of the last one."""
        if self.second is None:
            self.second = self.cluster.add_node(**HEAD)

    def processes(self) -> list[int]:
        """Ray's of the second node, and all that they have started."""
        raylet = self.second.all_processes["raylet"][0].process.pid
        return [raylet, *below(raylet)]

    def remove(self) -> None:
        """Takes the second node away, after it was killed or stopped."""
        node, self.second = self.second, None
        for pid in [node.all_processes["raylet"][0].process.pid]:
            for each in [*below(pid), pid]:
                with suppress(ProcessLookupError):
                    os.kill(each, signal.SIGKILL)
        self.cluster.remove_node(node, allow_graceful=False)


@pytest.fixture(scope="module")
def machines() -> Iterator[Machines]:
    made = Machines()
    yield made
    ray.shutdown()
    made.cluster.shutdown()


def below(pid: int) -> list[int]:
    """All processes that come from this one."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(stat.parent.name))
    todo, seen = [pid], []
    while todo:
        more = children.get(todo.pop(), [])
        seen += more
        todo += more
    return seen


def alive(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "XZ"
    return False


def until(condition: Callable[[], Any], seconds: float = 120) -> float:
    start = time.monotonic()
    while not condition():
        assert time.monotonic() < start + seconds
        time.sleep(0.01)
    return time.monotonic() - start


def programs(count: int) -> list[tuple[str, Problem]]:
    """Every fourth is wrong; no two are alike."""
    problems = datasets.load("procedural", split="train", size=32)
    right = [(f"{problems[i % 32].solutions[0]}\n# {i}\n", problems[i % 32]) for i in range(count)]
    return [(f"{s}f = lambda *a: {i}\n" if i % 4 == 3 else s, p) for i, (s, p) in enumerate(right)]


def opened(machines: Machines, **options: Any) -> RemoteSandbox:
    machines.complete()
    box = sandbox.load("ray", **{"workers": 1, "patience": 4.0, **options})
    until(lambda: len(box.hosts) == 2)
    return box


def judge_of(box: RemoteSandbox, node: Any) -> int:
    """The process of the judge on a node."""
    host: Any = next(host for host in box.dispatcher.hosts if host.node.id == node.node_id)  # type: ignore[attr-defined]
    return host.about["process"]


@pytest.mark.parametrize("victim", ["judge killed", "judge stopped", "node killed", "node stopped"])
def test_a_judge_that_is_lost_in_the_middle_costs_no_verdict(
    machines: Machines, victim: str, caplog: pytest.LogCaptureFixture
) -> None:
    jobs = programs(400)
    with opened(machines) as box, caplog.at_level(logging.WARNING, "rltf.sandbox"):
        futures = [box.submit(*job) for job in jobs]
        until(lambda: sum(future.done() for future in futures) > 50)
        judge = judge_of(box, machines.second)
        judges_own = below(judge)
        node, how = victim.split()
        victims = [judge] if node == "judge" else machines.processes()
        sent = signal.SIGKILL if how == "killed" else signal.SIGSTOP
        for pid in victims:
            with suppress(ProcessLookupError):
                os.kill(pid, sent)
        noticed = until(lambda: "is lost" in caplog.text, 30)
        sys.stderr.write(f"{victim}: noticed after {noticed:.2f} s\n")
        verdicts = [future.result(60) for future in futures]
        if node == "node":
            machines.remove()
        else:
            until(lambda: len(box.hosts) == 2)  # another one judges there
            assert judge_of(box, machines.second) != judge
    assert [v.outcome is Outcome.PASSED for v in verdicts] == [i % 4 != 3 for i in range(400)]
    assert "handed out again" in caplog.text
    until(lambda: not any(map(alive, judges_own)), 30)


def test_a_node_that_joins_judges(machines: Machines) -> None:
    if machines.second is not None:
        machines.remove()
    with sandbox.load("ray", workers=1) as box:
        assert len(box.hosts) == 1
        machines.complete()
        until(lambda: len(box.hosts) == 2)
        assert len(list(box.map(programs(100)))) == 100


def test_the_contract_holds_on_a_cluster(machines: Machines) -> None:
    with opened(machines, case_seconds=0.5, memory_mb=300) as box:
        testing.check_sandbox(box)


def test_one_endless_loop_delays_no_other_program(machines: Machines) -> None:
    with opened(machines, workers=2, case_seconds=4.0) as box:
        list(box.map(programs(20)))
        loop = box.submit("while True: pass", ADD)
        others = [box.submit(f"def add(a, b): return a + b  # {n}", ADD) for n in range(63)]
        assert all(future.result(60) for future in others)
        assert not loop.done()
        assert loop.result(60).outcome is Outcome.RUNTIME_ERROR


# -------------------------------------------------------------------------------------------------------------- actors

RECIPE = """
[run]
updates = 12
checkpoint_every = 4
threads = 1

[env]
id = "RLTF-Procedural-v0"
split = "train"
prompt_style = "statement"
max_prompt_tokens = 400
max_program_tokens = 32
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
engine = "ray"
generators = 2
push_every = 2
cpus = 1
patience = 10
"""


def recipe(folder: Path, *overrides: str) -> Recipe:
    (folder / "scaled.toml").write_text(RECIPE)
    return read(folder / "scaled.toml", [f"run.out={json.dumps(str(folder / 'run'))}", *overrides])


def writers() -> list[int]:
    """The processes of generators, of which only one run at a time has any."""
    found = []
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if line.read_bytes().startswith(b"ray::Writer"):
                found.append(int(line.parent.name))
    return [pid for pid in found if alive(pid)]


FULL = """
import logging, ray
import numpy as np
from rltf_env.cluster import Cluster, StoreFull

ray.init(
    address="local", include_dashboard=False, _node_ip_address="127.0.0.1", num_cpus=1, object_store_memory=80 << 20,
    logging_level=logging.ERROR, log_to_driver=False,
    _system_config={"automatic_object_spilling_enabled": False, "local_fs_capacity_threshold": 0.0001},
)
cluster, held = Cluster(), []
try:
    for _ in range(20):
        held.append(cluster.put(np.zeros(10 << 20, np.uint8)))
except StoreFull as full:
    print("full after", len(held), full)
held.clear()
print("room:", cluster.put(np.zeros(10 << 20, np.uint8)) is not None)
"""


def test_a_full_store_says_so_and_has_room_again_when_older_objects_are_let_go_of(tmp_path: Path) -> None:
    (tmp_path / "full.py").write_text(FULL)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, str(tmp_path / "full.py")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    first, last = done.stdout.splitlines()
    assert re.match(
        r"full after [1-9]\d? Expected room in Ray's object store, got a full one \(.+\)\. Start Ray", first
    )
    assert last == "room: True"


@pytest.mark.parametrize("kind", ["rltf", "actor_critic", "soft_q"])
def test_generators_that_are_killed_and_stopped_are_replaced_and_the_run_goes_on(
    machines: Machines, tmp_path: Path, kind: str
) -> None:
    machines.complete()
    other = "references = { size = 8 }," if kind == "rltf" else ""
    small = "buffer = 16, fill = 8, refresh = 8, refresh_every = 2, samples_per_problem = 2, batch_size = 4"
    made = recipe(tmp_path, f'agent={{ kind = "{kind}", {other} {small}, max_staleness = 4 }}')
    policy = train.make_policy(made)
    with train.make_env(made, policy) as env:
        agent = train.make_agent(made, policy, env)
        assert isinstance(agent, OffPolicyAgent)
        with pool.actors(made, agent, tmp_path):
            feed: Any = agent.fill_from_actors

            def update() -> dict[str, float]:
                step, metrics = agent.learner.updates, agent.update()
                ages = step - agent.buffer.versions()
                assert 0 <= ages.min() <= ages.max() <= 4
                assert feed.received >= feed._due(step)
                return metrics

            for _ in range(4):
                update()
            until(lambda: len(writers()) == 2)
            signals = [(signal.SIGKILL, "it has died"), (signal.SIGSTOP, "no sign of life for 10 s")]
            for deaths, (sent, reason) in enumerate(signals if kind == "rltf" else signals[:1], 1):
                until(lambda: update() and all(actor._alive for actor in feed.processes))
                victim = writers()[0]
                os.kill(victim, sent)
                with pytest.warns(GeneratorWarning, match=rf"Generator \d ended with {reason}"):
                    until(lambda deaths=deaths: update() and feed.replaced == deaths)
                until(lambda victim=victim: not alive(victim), 30)
            assert sum(update()[f"generator_{i}/lost"] for i in (0, 1)) == feed.replaced
    until(lambda: not writers(), 30)


def test_a_killed_learner_leaves_no_generator_and_its_run_goes_on(machines: Machines, tmp_path: Path) -> None:
    path, metrics = tmp_path / "started.toml", tmp_path / "run" / "metrics.jsonl"
    path.write_text(tomli_w.dumps(recipe(tmp_path, "run.updates=100000").to_dict()))
    command = [sys.executable, "-m", "agents.train", str(path)]
    there: dict[str, Any] = {"cwd": Path(train.__file__).parents[1], "stdout": subprocess.DEVNULL}
    there["env"] = {**os.environ, "RAY_ADDRESS": machines.cluster.address}
    with subprocess.Popen(command, **there, stderr=subprocess.DEVNULL) as learner:
        until(lambda: metrics.exists() and len(metrics.read_bytes().splitlines()) > 6)
        assert len(writers()) == 2
        learner.kill()
    until(lambda: not writers(), 30)
    done = max(int(p.stem.partition("-")[2]) for p in (tmp_path / "run" / "checkpoints").glob("step-*.pt"))
    again = subprocess.run([*command, f"run.updates={done + 3}"], **there, stderr=subprocess.PIPE, timeout=200)
    assert again.returncode == 0, again.stderr.decode()[-2000:]
    until(lambda: not writers(), 30)
