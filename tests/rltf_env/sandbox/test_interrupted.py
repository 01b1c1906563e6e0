"""Processes of the judge that are stopped or killed at any moment: no verdict is lost, nothing hangs, nobody else is blamed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rltf_env import sandbox
from rltf_env.core import CallCase, FailureKind, Outcome, Problem, StdinCase, Verdict
from rltf_env.errors import SandboxError
from rltf_env.sandbox.board import Board, Note
from rltf_env.sandbox.pool import pulse, worker
from rltf_env.sandbox.pool.options import Options
from rltf_env.sandbox.pool.pool import PoolSandbox
from rltf_env.sandbox.pool.scheduler import Job, Scheduler

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
ADD = Problem("add", "", [CallCase((1, 2), 3)], "add")
SLEEP = Problem("sleep", "", [StdinCase("", "x")])


def program(number: int) -> str:
    return f"def add(a, b):\n    return a + b + 0 * {number}\n"


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def wait_until(happens: Callable[[], object], seconds: float = 30) -> bool:
    end, pause = time.monotonic() + seconds, threading.Event()
    while time.monotonic() < end:
        if happens():
            return True
        pause.wait(0.01)
    return False


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse, "HUNG", 1.5)
    monkeypatch.setattr(pulse, "LOOK", 0.1)


@pytest.fixture
def judge(impatient: None) -> Iterator[PoolSandbox]:
    with sandbox.load("forkserver", workers=2, cache=0, case_seconds=1) as opened:
        opened.level()
        yield opened


# ------------------------------------------------------------------------------------------------------------ pulse

DOES = [
    ("import time\ntime.sleep(100)", True),
    ("while True: pass", False),
    ("import time\nwhile True: time.sleep(0.05)", False),
    ("import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)", True),
]


@pytest.mark.parametrize(("source", "hangs"), DOES)
def test_a_process_hangs_that_stands_still_and_no_other(impatient: None, source: str, hangs: bool) -> None:
    with subprocess.Popen([sys.executable, "-c", source]) as process:
        watched = pulse.Pulse(process.pid, children=False)
        try:
            assert wait_until(watched.hung, 10 if hangs else 3) is hangs
        finally:
            process.kill()


def test_one_that_is_stopped_hangs_whatever_its_children_do(impatient: None) -> None:
    source = "import os, signal\nif os.fork():\n    os.kill(os.getpid(), signal.SIGSTOP)\nwhile os.getppid() != 1: pass"
    with subprocess.Popen([sys.executable, "-c", source], start_new_session=True) as process:
        watched = pulse.Pulse(process.pid, children=True)
        try:
            assert wait_until(watched.hung, 10)
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def test_a_caller_that_stood_still_itself_blames_nobody(impatient: None, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    watched = pulse.Pulse(os.getpid(), children=False)
    monkeypatch.setattr(watched, "_look", lambda: ("S", {1: 5}))
    assert not watched.hung()
    now[0] += 3600
    assert not watched.hung()
    looks = 0
    while not watched.hung():
        now[0] += pulse.LOOK
        looks += 1
    assert looks >= pulse.HUNG / pulse.LOOK - 2


# ----------------------------------------------------------------------------------------------------- interruptions


def judges_own(opened: PoolSandbox) -> dict[str, list[int]]:
    """The processes of a judge, programs aside: its referees, and below them the cages, the compilers and who starts those."""
    own: dict[str, list[int]] = {"referee": [], "below": []}
    for each in opened.workers:
        process = each.process
        if process is not None and process.poll() is None:
            own["referee"].append(process.pid)
            try:
                below = children(process.pid)
                own["below"] += below
                own["below"] += [pid for child in below if not alone(child) for pid in children(child)]
            except OSError:
                continue
    return own


def alone(pid: int) -> bool:
    """True for a cage: what is below it is a program."""
    return (Path(f"/proc/{pid}/status").read_text().split("NSpid:")[1].split("\n")[0].count("\t")) > 1


@pytest.mark.parametrize("which", ["referee", "below"])
@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL])
def test_a_process_that_is_stopped_or_killed_costs_no_verdict(judge: PoolSandbox, which: str, number: int) -> None:
    futures = [judge.submit(program(i), ADD) for i in range(60)]
    futures[10].result(30)
    for pid in judges_own(judge)[which]:
        os.kill(pid, number)
    assert all(future.result(60).outcome is Outcome.PASSED for future in futures)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", [pytest.param(seed, marks=[pytest.mark.slow] * (seed > 0)) for seed in range(6)])
def test_random_interruptions_lose_and_blame_nothing(judge: PoolSandbox, seed: int) -> None:
    rng = random.Random(seed)
    wrong = "def add(a, b):\n    return 0  # {}\n"
    jobs = [wrong.format(i) if i % 3 == 0 else program(i) for i in range(240)]
    futures = [judge.submit(job, ADD) for job in jobs]
    for at in sorted(rng.sample(range(1, 230), 6)):
        futures[at].result(60)
        own = judges_own(judge)
        pids = own["referee"] if rng.random() < 0.5 else own["below"]
        if pids:
            try:
                os.kill(rng.choice(pids), rng.choice([signal.SIGSTOP, signal.SIGKILL]))
            except ProcessLookupError:
                continue
    outcomes = [future.result(60).outcome for future in futures]
    assert outcomes == [Outcome.WRONG_ANSWER if i % 3 == 0 else Outcome.PASSED for i in range(240)]


@pytest.mark.usefixtures("impatient")
def test_a_judge_that_is_stopped_while_it_starts_or_is_closed_hangs_nobody() -> None:
    opened = sandbox.load("forkserver", workers=1, cache=0)
    assert wait_until(lambda: opened.workers[0].process)
    process = opened.workers[0].process
    assert process is not None
    os.kill(process.pid, signal.SIGSTOP)
    assert opened.run(program(0), ADD).outcome is Outcome.PASSED
    process = opened.workers[0].process
    assert process is not None
    os.kill(process.pid, signal.SIGSTOP)
    stuck = opened.submit(program(1), ADD)
    before = time.monotonic()
    opened.close()
    assert time.monotonic() - before < 9
    assert stuck.cancelled() or isinstance(stuck.exception(5), SandboxError)
    assert not opened.workers[0].thread.is_alive()


def below(pid: int) -> set[int]:
    """All processes that came from this one."""
    found = set(children(pid))
    return found.union(*map(below, found))


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


STAYS = """
import contextlib, os, time
def add(a, b):
    if not os.fork():
        with contextlib.suppress(OSError):
            os.setsid()
    time.sleep(100)
"""
TWICE = Problem("twice", "", [CallCase((1, 2), 3), CallCase((3, 4), 7)], "add")


@pytest.mark.parametrize("ending", ["close", "kill"])
@pytest.mark.parametrize("problem", [ADD, TWICE], ids=lambda problem: problem.id)
@pytest.mark.parametrize("more", [(), ("landlock", "uid", "caps", "seccomp"), ("rlimits",)], ids="+".join)
def test_programs_end_with_their_judge_where_no_namespace_ends_them(
    ending: str, problem: Problem, more: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    without = ("user", "pid", "net", "ipc", "uts", "root", *more)
    with sandbox.load("forkserver", workers=1, cache=0, case_seconds=30, wall_seconds=60, without=without) as opened:
        opened.level()
        process = opened.workers[0].process
        assert process is not None
        own = below(process.pid)
        opened.submit(STAYS, problem)
        several = problem is TWICE
        assert wait_until(lambda: len(below(process.pid) - own) == 2 + several)
        programs = below(process.pid) - own
        if ending == "kill":
            process.kill()
            assert wait_until(lambda: not any(map(alive, programs)))
    assert wait_until(lambda: not any(map(alive, programs | own)))
    assert not os.listdir(tmp_path)


# ------------------------------------------------------------------------------------------------------------- blame


class Dying:
    """A worker without a process, which holds three jobs."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, status: int) -> None:
        self.board, self.scheduler = Board(1), Scheduler(100, 0)
        self.worker = worker.Worker(
            self.scheduler, "forkserver", Options.check("forkserver", {"workers": 1}), self.board
        )
        monkeypatch.setattr(self.worker, "_stop", lambda patience=0.0: status)
        self.futures = [self.scheduler.submit(program(i), ADD, lambda: None) for i in range(3)]
        self.jobs: list[Job] = []
        while (job := self.scheduler.next_for(self.worker.seat)) is not None:
            self.jobs.append(job)

    def begin(self, number: int) -> None:
        Note(self.board.fd, 0).begin(number)

    def verdicts(self) -> list[Verdict | None]:
        return [future.result(0) if future.done() else None for future in self.futures]


@pytest.mark.parametrize("index", [0, 1, 2])
def test_a_stuck_comparison_is_blamed_on_the_job_that_was_begun(monkeypatch: pytest.MonkeyPatch, index: int) -> None:
    dying = Dying(monkeypatch, worker.STUCK)
    dying.begin(dying.jobs[index].number)
    dying.worker._on_death(EOFError())
    verdicts = dying.verdicts()
    assert [verdict is not None for verdict in verdicts] == [i == index for i in range(3)]
    blamed = verdicts[index]
    assert blamed is not None
    assert blamed.failure is not None
    assert (blamed.failure.kind, blamed.failure.detail) == (FailureKind.TIMEOUT, "check")
    assert [job.tries for job in dying.scheduler.jobs] == [0, 0], "the others are judged again, in order"
    assert [job.source for job in dying.scheduler.jobs] == [
        job.source for job in dying.jobs if job is not dying.jobs[index]
    ]


def test_a_stuck_comparison_of_a_job_that_was_taken_over_is_blamed_on_nobody_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dying = Dying(monkeypatch, worker.STUCK)
    dying.begin(10_000)
    dying.worker._on_death(EOFError())
    assert dying.verdicts() == [None] * 3
    assert [job.tries for job in dying.scheduler.jobs] == [0] * 3


def test_a_program_that_takes_longer_than_all_limits_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    dying = Dying(monkeypatch, -signal.SIGKILL)
    dying.begin(dying.jobs[0].number)
    dying.worker._on_death(worker.Overdue("late"))
    verdict = dying.verdicts()[0]
    assert verdict is not None
    assert verdict.failure is not None
    assert (verdict.failure.kind, verdict.failure.detail) == (FailureKind.TIMEOUT, "wall")
    assert [job.tries for job in dying.scheduler.jobs] == [0, 0]


@pytest.mark.parametrize("begun", [0, 1, None])
def test_a_process_that_dies_again_and_again_is_an_error_of_the_job_it_was_on(
    monkeypatch: pytest.MonkeyPatch, begun: int | None
) -> None:
    dying = Dying(monkeypatch, -signal.SIGKILL)
    blamed = dying.jobs[begun or 0]
    for _ in range(worker.TRIES):
        dying.begin(0 if begun is None else blamed.number)
        dying.worker._on_death(EOFError())
        for _ in range(len(dying.scheduler.jobs)):
            dying.scheduler.next_for(dying.worker.seat)
    errors = [future.exception(0) if future.done() else None for future in dying.futures]
    assert [isinstance(error, SandboxError) for error in errors] == [i == (begun or 0) for i in range(3)]


def test_a_worker_that_does_not_answer_in_time_is_a_time_out_of_its_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker.Worker, "_longest", lambda self: 0.4)
    monkeypatch.setattr(pulse, "LOOK", 0.1)
    with sandbox.load("forkserver", workers=1, cache=0, wall_seconds=60) as opened:
        opened.level()
        futures = [opened.submit("import time\ntime.sleep(50)", SLEEP)]
        futures += [opened.submit(program(i), ADD) for i in range(5)]
        first = futures[0].result(30)
        assert first.failure is not None
        assert first.failure.kind == FailureKind.TIMEOUT
        assert [future.result(30).outcome for future in futures[1:]] == [Outcome.PASSED] * 5


def test_pipes_of_one_page_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    start = worker.Worker._open_process

    def with_small_pipes(self: worker.Worker) -> None:
        start(self)
        assert self.process is not None
        for stream in (self.process.stdin, self.process.stdout):
            fcntl.fcntl(stream, fcntl.F_SETPIPE_SZ, 4096)

    monkeypatch.setattr(worker.Worker, "_open_process", with_small_pipes)
    row = Problem("row", "", [StdinCase(f"{i}\n", f"{i}\n") for i in range(10)])
    chatty = "print('x' * 1500)\nimport os\n# " + "y" * 3000 + "{}"
    with sandbox.load("forkserver", workers=2, cache=0) as opened:
        outcomes = [verdict.outcome for verdict in opened.map((chatty.format(i), row) for i in range(40))]
    assert outcomes == [Outcome.WRONG_ANSWER] * 40
