"""Who asks the judge: threads, forks, callers that end in any way; and what is sent ahead."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from processes import ADD, WAIT, alive, descendants, linux, program, wait_until

from rltf_env import sandbox
from rltf_env.core import CallCase, Outcome, Problem
from rltf_env.errors import InvalidProblem, UsageError
from rltf_env.sandbox.pool import scheduler
from rltf_env.sandbox.pool.pool import PoolSandbox


@pytest.fixture
def judge() -> Iterator[PoolSandbox]:
    with sandbox.load("forkserver", workers=2, cache=0, case_seconds=1) as opened:
        opened.level()
        yield opened


CALLER = """
    import sys, time
    from rltf_env import sandbox
    from rltf_env.core import Problem, StdinCase
    opened = sandbox.load({backend!r}, workers=2, case_seconds=60, wall_seconds=60)
    problem = Problem("wait", "", [StdinCase("", "x")])
    futures = [opened.submit("import os, time\\nos.fork()\\ntime.sleep(50)", problem),
               opened.submit("while True: pass", problem)]
    print(opened.level(), flush=True)
    {then}
"""


@linux
@pytest.mark.parametrize("backend", ["forkserver", "subprocess"])
@pytest.mark.parametrize(
    ("then", "number"),
    [
        ("time.sleep(50)", signal.SIGKILL),
        ("time.sleep(50)", signal.SIGINT),
        ("futures[0].result()", signal.SIGTERM),
        ("raise KeyError", 0),
    ],
)
def test_a_caller_that_ends_in_any_way_leaves_nothing(backend: str, then: str, number: int) -> None:
    code = textwrap.dedent(CALLER).format(backend=backend, then=then)
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as caller:
        assert caller.stdout is not None
        assert caller.stdout.readline().startswith(backend)
        below = descendants(caller.pid)
        if number:
            assert wait_until(lambda: len(descendants(caller.pid)) >= 5)
            below = descendants(caller.pid)
            caller.send_signal(number)
        assert caller.wait(20) != 0
    assert wait_until(lambda: not any(map(alive, below)), 30), f"{[pid for pid in below if alive(pid)]} live on"


def test_threads_may_share_a_sandbox(judge: PoolSandbox) -> None:
    with ThreadPoolExecutor(8) as pool:
        verdicts = list(pool.map(lambda i: judge.run(program(i % 40), ADD), range(160)))
    assert all(verdict.outcome is Outcome.PASSED for verdict in verdicts)


def test_an_exception_in_the_caller_of_map_stops_the_rest(judge: PoolSandbox) -> None:
    def jobs() -> Iterator[tuple[str, Problem]]:
        for i in range(30):
            yield program(i), ADD
        raise KeyError("no more")

    with pytest.raises(KeyError, match="no more"):
        list(judge.map(jobs()))
    assert judge.run(program(99), ADD).outcome is Outcome.PASSED


def test_submit_waits_while_too_many_programs_are_pending() -> None:
    with sandbox.load("forkserver", workers=1, pending=4, cache=0, case_seconds=1) as opened:
        most = 0
        for i in range(60):
            opened.submit(program(i), ADD)
            most = max(most, len(opened.scheduler.jobs))
        assert most <= 4
        assert opened.run(program(61), ADD).outcome is Outcome.PASSED


def adding(number: int) -> Problem:
    return Problem(f"add {number}", "", [CallCase((number,), number + 1)], "add")


def test_programs_on_problems_never_seen_before_are_sent_ahead_too() -> None:
    with sandbox.load("forkserver", workers=1, case_seconds=5) as opened:
        opened.level()
        first = opened.submit("import time\ntime.sleep(1)\nprint('x')", WAIT)
        later = [opened.submit("def add(x): return x + 1", adding(i)) for i in range(5)]
        assert wait_until(lambda: len(opened.workers[0].seat.jobs) == 6)
        assert not first.done()
        assert all(future.result(30).outcome is Outcome.PASSED for future in later)


@pytest.mark.parametrize("known", [3, 256])
def test_a_worker_that_forgets_problems_is_told_of_them_again(known: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "REMEMBERED", known)
    monkeypatch.setattr(scheduler, "AHEAD", 2)  # fewer than are remembered: what was sent must still be known
    problems = [adding(i) for i in range(8)]
    with sandbox.load("forkserver", workers=1, cache=0, case_seconds=1) as opened:
        for _ in range(2):
            right = opened.map(("def add(x): return x + 1", problem) for problem in problems)
            assert [verdict.outcome for verdict in right] == [Outcome.PASSED] * 8
        assert len(opened.workers[0].seat.problems) == min(known, 8)
        by_heart = [opened.run("def add(x): return 5", problem).outcome for problem in problems]
    assert by_heart == [Outcome.PASSED if i == 4 else Outcome.WRONG_ANSWER for i in range(8)]


def test_a_problem_too_long_to_be_sent_ahead_is_judged_like_any_other() -> None:
    long, short = "x" * (2 * scheduler.AHEAD_BYTES), adding(1)
    problem = Problem("long", "", [CallCase((long,), len(long))], "f")
    jobs = [(f"def f(x): return len(x)  # {i}", problem) for i in range(4)] + [("def add(x): return x + 1", short)]
    with sandbox.load("forkserver", workers=1, cache=0, case_seconds=1) as opened:
        assert [verdict.outcome for verdict in opened.map(jobs)] == [Outcome.PASSED] * 5


def test_a_problem_that_cannot_leave_this_process_fails_alone() -> None:
    bad = Problem("bad", "", [CallCase((object(),), 1)], "add")
    with sandbox.load("forkserver", workers=1, cache=0, case_seconds=1) as opened:
        futures = [opened.submit("def add(x): return x + 1", problem) for problem in (adding(1), bad, adding(2), bad)]
        assert [type(future.exception(30)) for future in futures] == [type(None), InvalidProblem] * 2


def test_a_cancelled_program_is_not_judged() -> None:
    with sandbox.load("forkserver", workers=1, case_seconds=1) as opened:
        first = opened.submit("import time\ntime.sleep(0.3)\nprint('x')", WAIT)
        later = [opened.submit(f"print('x')\n#{i}", WAIT) for i in range(40)]
        cancelled = [future for future in later[30:] if future.cancel()]
        assert first.result(30).outcome is Outcome.PASSED
        assert all(f.cancelled() or f.result(30).outcome is Outcome.PASSED for f in later)
        assert opened.run("print('x')\n#30", WAIT).outcome is Outcome.PASSED
        assert len(cancelled) <= 10


@linux
def test_a_fork_of_the_caller_is_told_to_load_its_own(judge: PoolSandbox) -> None:
    pid = os.fork()
    if pid == 0:
        try:
            judge.submit(program(1), ADD)
        except UsageError:
            os._exit(7)
        finally:
            os._exit(8)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    assert judge.run(program(1), ADD).outcome is Outcome.PASSED


@linux
def test_a_fork_does_not_wait_for_a_judge_that_its_parent_starts() -> None:
    with sandbox.load("forkserver", workers=1) as opened:
        pid = os.fork()
        if pid == 0:
            signal.alarm(20)
            try:
                opened.level()
            except UsageError:
                os._exit(7)
            finally:
                os._exit(8)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7


@linux
@pytest.mark.parametrize("backend", ["forkserver", "static"])
def test_a_fork_waits_for_no_lock_that_a_thread_of_its_parent_holds(backend: str) -> None:
    with sandbox.load(backend, **({"workers": 1} if backend == "forkserver" else {})) as opened:
        lock = opened.scheduler.changed if isinstance(opened, PoolSandbox) else opened._lock  # type: ignore[attr-defined]
        held, over = threading.Event(), threading.Event()

        def hold() -> None:
            with lock:
                held.set()
                over.wait(60)

        thread = threading.Thread(target=hold)
        thread.start()
        held.wait()
        pid = os.fork()
        if pid == 0:
            signal.alarm(20)
            try:
                opened.submit(program(1), ADD)
            except UsageError:
                opened.close()
                os._exit(7)
            finally:
                os._exit(8)
        status = os.waitpid(pid, 0)[1]
        over.set()
        thread.join()
        assert os.waitstatus_to_exitcode(status) == 7
        assert opened.run(program(1), ADD).outcome is Outcome.PASSED


PLACES = """
    import os, sys, threading
    {first}
    from rltf_env import sandbox
    from rltf_env.core import CallCase, Outcome, Problem
    problem = Problem("add", "", [CallCase((1, 2), 3)], "add")

    def judge():
        with sandbox.load("forkserver", workers=2, cache=0) as opened:
            jobs = [(f"def add(a, b): return a + b  # {{i}}", problem) for i in range(20)]
            found.extend(verdict.outcome is Outcome.PASSED for verdict in opened.map(jobs))

    found = []
    thread = threading.Thread(target=judge)
    thread.start()
    thread.join()
    os._exit(0 if found == [True] * 20 else 1)
"""


@linux
@pytest.mark.parametrize(
    "first",
    [
        "os.closerange(0, 3)",  # as a daemon, or a worker of another scheduler, may have been left
        pytest.param("import torch; torch.ones(3).sum(); torch.set_num_threads(2)", marks=pytest.mark.slow),
        pytest.param("import ray; ray.init(num_cpus=1, include_dashboard=False)", marks=[pytest.mark.slow]),
    ],
    ids=["no standard streams", "torch", "ray"],
)
def test_a_judge_may_live_in_a_thread_of_any_process(first: str) -> None:
    for name in ("torch", "ray"):
        if f"import {name}" in first:
            pytest.importorskip(name)
    code = textwrap.dedent(PLACES).format(first=first)
    assert subprocess.run([sys.executable, "-c", code], timeout=120, check=False).returncode == 0


READS = """
import os, resource, sys
{first}
from rltf_env import sandbox
from rltf_env.core import Problem, StdinCase
with sandbox.load({backend!r}, workers=1) as judge:
    verdict = judge.run("print(input())", Problem("echo", "", [StdinCase("7", "7")]))
os._exit(0 if verdict.failure is None else 1)
"""


@linux
@pytest.mark.parametrize("backend", ["forkserver", "subprocess"])
@pytest.mark.parametrize("streams", [(0,), (2,), (0, 2), (1, 2), (0, 1, 2)], ids=str)
def test_programs_read_whatever_streams_their_caller_lacks(backend: str, streams: tuple[int, ...]) -> None:
    code = READS.format(backend=backend, first=f"[os.close(number) for number in {streams}]")
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


@linux
@pytest.mark.parametrize("backend", ["forkserver", "subprocess"])
@pytest.mark.parametrize(
    ("kind", "most", "what"),
    [("FSIZE", 1 << 20, "file size"), ("CPU", 4, "CPU time"), ("AS", 1 << 29, "memory"), ("NOFILE", 64, "open files")],
)
def test_a_caller_that_may_have_less_than_a_program_is_told(backend: str, kind: str, most: int, what: str) -> None:
    first = f"resource.setrlimit(resource.RLIMIT_{kind}, ({most}, {most}))"
    ended = subprocess.run(
        [sys.executable, "-c", READS.format(backend=backend, first=first)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ended.returncode == 1
    assert f"SandboxError: The judge could not be started: Expected a hard limit on {what} of at least" in ended.stderr


@linux
@pytest.mark.parametrize("backend", ["forkserver", "subprocess"])
@pytest.mark.parametrize(
    "first", ["os.umask(0o077)", "os.umask(0o777)", "resource.setrlimit(resource.RLIMIT_NOFILE, (40, 4096))"]
)
def test_a_callers_mask_and_number_of_files_are_its_own(backend: str, first: str) -> None:
    code = READS.format(backend=backend, first=first)
    assert subprocess.run([sys.executable, "-B", "-c", code], timeout=60, check=False).returncode == 0
