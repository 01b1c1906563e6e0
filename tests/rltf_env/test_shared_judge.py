"""One judge for all environments of a process: counted in worker processes, in vectors of every make."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

from rltf_env.core import CallCase, Outcome, Problem
from rltf_env.env import UnitTestEnv
from rltf_env.sandbox.scripted import ScriptedSandbox

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts processes in /proc")

ROWS, TWO = 3, {"workers": 2}
EOS = 256
DOUBLE = Problem("double", "Return twice x.", (CallCase((2,), 4),), entry_point="f")


def workers(parents: Iterable[int]) -> int:
    """Worker processes of judges that these processes have started."""
    wanted, found = set(parents), 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int(folder.joinpath("stat").read_text().rpartition(")")[2].split()[1])
            found += parent in wanted and b"referee/process.py" in folder.joinpath("cmdline").read_bytes()
        except (OSError, ValueError):  # it has ended
            continue
    return found


def make(**options: Any) -> Callable[[], gymnasium.Env]:
    return lambda: gymnasium.make("rltf_env:RLTF-Procedural-v0", max_program_tokens=4, **options)


@pytest.fixture(autouse=True)
def no_worker_is_left() -> Iterable[None]:
    gc.collect()
    before = workers([os.getpid()])
    yield
    gc.collect()
    assert workers([os.getpid()]) == before


def end_all(vector: Any) -> Any:
    """Ends a program in every row."""
    return vector.step(np.full(ROWS, EOS))


# --------------------------------------------------------------------------------------------------- in one process


@pytest.mark.parametrize("vectorize", [SyncVectorEnv, DummyVecEnv])
def test_environments_of_one_process_share_a_pool(vectorize: Any) -> None:
    vector = vectorize([make(sandbox_options=TWO)] * ROWS)
    vector.reset()
    end_all(vector)
    pools = {env.unwrapped.sandbox for env in vector.envs}
    assert len(pools) == 1
    next(iter(pools)).level()  # waits for all workers
    assert workers([os.getpid()]) == 2
    vector.close()
    assert workers([os.getpid()]) == 0


def test_the_vector_environment_has_one_pool() -> None:
    vector = gymnasium.make_vec("RLTF-Procedural-v0", num_envs=ROWS, max_program_tokens=4, sandbox_options=TWO)
    vector.reset(seed=0)
    end_all(vector)
    vector.sandbox.level()
    assert workers([os.getpid()]) == 2
    vector.close()
    vector.close()
    assert workers([os.getpid()]) == 0


def test_the_last_to_close_closes_the_judge() -> None:
    first, second, other = (UnitTestEnv((DOUBLE,), sandbox_options=options) for options in (TWO, TWO, {"workers": 1}))
    assert first.sandbox is second.sandbox is not other.sandbox
    other.close()
    first.close()
    first.close()
    assert second.judge(DOUBLE, "f = lambda x: x + x").verdict.outcome is Outcome.PASSED
    assert first.sandbox is second.sandbox  # taken up again
    second.close()
    assert first.judge(DOUBLE, "f = lambda x: x + x").verdict.outcome is Outcome.PASSED
    first.close()


def test_an_environment_that_is_forgotten_gives_its_judge_back() -> None:
    env = UnitTestEnv((DOUBLE,), sandbox_options=TWO)
    env.sandbox.level()
    assert workers([os.getpid()]) == 2
    del env
    gc.collect()
    assert workers([os.getpid()]) == 0


def test_a_judge_that_was_closed_by_hand_is_opened_anew() -> None:
    first, second = UnitTestEnv((DOUBLE,), sandbox_options=TWO), UnitTestEnv((DOUBLE,), sandbox_options=TWO)
    first.sandbox.close()
    assert second.judge(DOUBLE, "f = lambda x: x + x").verdict.outcome is Outcome.PASSED
    first.close()
    second.close()


def test_options_that_are_no_plain_data_are_not_shared() -> None:
    rules: Any = lambda source, problem: True  # noqa: E731
    first, second = (UnitTestEnv((DOUBLE,), sandbox="scripted", sandbox_options={"rules": rules}) for _ in range(2))
    assert first.sandbox is not second.sandbox
    given = ScriptedSandbox({}, False)
    assert UnitTestEnv((DOUBLE,), sandbox=given).sandbox is given


# ------------------------------------------------------------------------------------------------ in several


@pytest.mark.parametrize("context", ["spawn", "forkserver"])
def test_environments_of_processes_of_their_own_have_a_worker_each(context: str) -> None:
    vector = AsyncVectorEnv([make()] * ROWS, context=context)
    single = SyncVectorEnv([make()] * ROWS)
    pids = [process.pid for process in vector.processes]
    for each in (vector, single):
        each.reset(seed=5)
    mine, theirs = end_all(vector), end_all(single)
    assert mine[1].tolist() == theirs[1].tolist()
    assert workers(pids) == ROWS
    vector.close()
    single.close()
    assert workers(pids) == 0


def test_so_have_those_of_stable_baselines() -> None:
    vector = SubprocVecEnv([make()] * 2)  # each of these processes imports PyTorch
    pids = [process.pid for process in vector.processes]
    vector.reset()
    _, rewards, dones, infos = vector.step(np.full(2, EOS))
    assert dones.all()
    assert [info["feedback"].total for info in infos] == pytest.approx(rewards)
    assert workers(pids) == 2
    vector.close()
    assert workers(pids) == 0


FORKED = """
import multiprocessing, os, rltf_env
from rltf_env.env import UnitTestEnv
env = UnitTestEnv(max_program_tokens=4, sandbox_options={"workers": 1})
env.reset(seed=0)
verdict = env.judge(env.problem, "x = 1").verdict  # the parent's judge is open when the process forks

def child(queue):
    queue.put((os.getpid(), env.judge(env.problem, "x = 1").verdict.outcome.name))
    env.close()

context = multiprocessing.get_context("fork")
queue = context.Queue()
children = [context.Process(target=child, args=(queue,)) for _ in range(2)]
for process in children:
    process.start()
said = [queue.get(timeout=60) for _ in children]
for process in children:
    process.join(60)
assert {name for _, name in said} == {verdict.outcome.name}, said
assert [process.exitcode for process in children] == [0, 0]
assert env.judge(env.problem, "y = 1").verdict.outcome is verdict.outcome  # which the children left alone
env.close()
"""


def test_a_fork_opens_a_judge_of_its_own_and_leaves_the_parents_alone() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore:This process:DeprecationWarning", "-c", FORKED],
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.returncode == 0, done.stderr
