"""What the judge survives, and what it leaves behind: nothing."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import ADD, WAIT, alive, descendants, linux, program, wait_until

from rltf_env import sandbox
from rltf_env.core import CallCase, Outcome, Problem, StdinCase
from rltf_env.errors import SandboxError
from rltf_env.sandbox.cage import folders, isolation
from rltf_env.sandbox.pool import worker
from rltf_env.sandbox.pool.pool import PoolSandbox


@pytest.fixture
def judge() -> Iterator[PoolSandbox]:
    with sandbox.load("forkserver", workers=2, cache=0, case_seconds=1) as opened:
        opened.level()
        yield opened


@linux
def test_workers_that_are_killed_lose_no_verdict(judge: PoolSandbox) -> None:
    futures = [judge.submit(program(i), ADD) for i in range(300)]
    for round in range(3):
        futures[40 * (round + 1)].result(60)
        for each in judge.workers:
            process = each.process
            if process is not None:
                process.kill()
    assert all(future.result(60).outcome is Outcome.PASSED for future in futures)


@linux
def test_a_cage_that_is_killed_loses_no_verdict(judge: PoolSandbox) -> None:
    futures = [judge.submit(program(i), ADD) for i in range(100)]
    futures[20].result(60)
    for each in judge.workers:
        process = each.process
        for pid in sorted(descendants(process.pid)) if process else ():  # the cage before its programs
            with contextlib.suppress(ProcessLookupError):  # it has ended by itself since we looked
                os.kill(pid, signal.SIGKILL)
    assert all(future.result(60).outcome is Outcome.PASSED for future in futures)


NO_FILES = (
    *isolation.NAMESPACES,
    "user",
    "root",
    "uid",
    "landlock",
    "seccomp",
)  # no walls around files: a folder can be spoilt


SPOILS = """
import os
def add(a, b):
    here = os.getcwd()
    os.chdir("/")
    os.rmdir(here)
    os.chmod(os.path.dirname(os.path.dirname(here)), 0)
    return a + b
# {}
"""


@linux
def test_a_program_that_spoils_its_cage_is_blamed_and_no_other() -> None:
    two = Problem("add", "", [CallCase((1, 2), 3), CallCase((5, 2), 7)], "add")
    jobs = [(SPOILS.format(i) if i % 2 else program(i), (ADD, two)[i % 4 // 2]) for i in range(16)]
    with sandbox.load("forkserver", workers=2, cache=0, case_seconds=1, without=NO_FILES) as opened:
        for (source, problem), verdict in zip(jobs, opened.map(jobs), strict=True):
            kinds = {result.failure.kind if result.failure else "Passed" for result in verdict.results}
            assert kinds == {"ForbiddenCall" if "rmdir" in source else "Passed"}
            assert len(verdict.results) == len(problem.cases)


@linux
def test_a_folder_that_is_removed_is_made_anew() -> None:
    source = "import os\ndef add(a, b):\n    os.rmdir(os.getcwd())\n    return a + b"
    with sandbox.load("forkserver", workers=1, cache=0, without=NO_FILES) as opened:
        worker = opened.workers[0]
        opened.level()
        before = worker.process
        assert [opened.run(source, ADD).outcome for _ in range(3)] == [Outcome.PASSED] * 3
        assert opened.run("def add(a, b):\n    open('x', 'w').close()\n    return a + b", ADD).outcome is Outcome.PASSED
        assert worker.process is before


@linux
def test_a_caller_that_ignores_the_end_of_its_children_is_judged_for_all_the_same() -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        with sandbox.load("forkserver", workers=1, cache=0) as opened:
            assert opened.run(program(1), ADD).outcome is Outcome.PASSED
    finally:
        signal.signal(signal.SIGCHLD, before)


@linux
def test_closing_leaves_no_process_descriptor_or_thread() -> None:
    before, threads = set(os.listdir("/proc/self/fd")), threading.active_count()
    others = descendants(os.getpid())  # what other tests have started, and keep
    opened = sandbox.load("forkserver", workers=2, case_seconds=5)
    opened.level()
    stuck = [opened.submit("import time\ntime.sleep(100)", WAIT), opened.submit("while True: pass", WAIT)]
    workers = [worker.process.pid for worker in opened.workers if worker.process]
    # Cage, program, compiler, who starts it anew.
    assert wait_until(lambda: [len(descendants(pid)) for pid in workers] == [4, 4])
    below = descendants(os.getpid()) - others
    assert len(below) >= 2 * len(workers)
    opened.close()
    assert all(future.cancelled() or isinstance(future.exception(), SandboxError) for future in stuck)
    assert wait_until(lambda: not any(map(alive, below)))
    assert set(os.listdir("/proc/self/fd")) == before
    assert threading.active_count() == threads


@linux
def test_a_sandbox_that_is_forgotten_ends_all_the_same() -> None:
    opened = sandbox.load("forkserver", workers=1)
    assert opened.run(program(0), ADD).outcome is Outcome.PASSED
    below = descendants(opened.workers[0].process.pid) | {opened.workers[0].process.pid}
    del opened
    assert wait_until(lambda: not any(map(alive, below)))


def test_a_judge_that_cannot_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    with sandbox.load("forkserver", workers=1) as opened, pytest.raises(SandboxError, match="could not be started"):
        opened.run(program(1), ADD)


def opened_until_one_ends() -> PoolSandbox:
    opened = sandbox.load("forkserver", workers=2, cache=0)
    opened.workers[1].thread.join(30)
    opened.level()  # returns when the other has started
    return opened


def test_a_worker_that_cannot_start_costs_no_verdict_where_another_can(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "PAUSE", 0.0)
    start = worker.Worker._open_process

    def fails_at_one(self: worker.Worker) -> None:
        if self.place:
            raise OSError("no room")
        start(self)

    monkeypatch.setattr(worker.Worker, "_open_process", fails_at_one)
    with pytest.warns(RuntimeWarning, match="no room 1 of 2 workers are left"):
        opened = opened_until_one_ends()
    with opened:
        assert all(v.outcome is Outcome.PASSED for v in opened.map((program(i), ADD) for i in range(20)))
        assert opened.level().startswith("forkserver/")


def test_starts_that_fail_now_and_then_end_no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "PAUSE", 0.0)
    start, calls = worker.Worker._open_process, iter(range(100))

    def fails_now_and_then(self: worker.Worker) -> None:
        if next(calls) % worker.TRIES < worker.TRIES - 1:
            raise OSError("no room")
        start(self)

    monkeypatch.setattr(worker.Worker, "_open_process", fails_now_and_then)
    with sandbox.load("forkserver", workers=1, cache=0) as opened:
        for number in range(3):
            assert opened.run(program(number), ADD).outcome is Outcome.PASSED
            process = opened.workers[0].process
            assert process is not None
            process.kill()


def test_a_level_is_known_while_a_process_is_replaced(judge: PoolSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    level, starting, go_on = judge.level(), threading.Event(), threading.Event()
    start = worker.Worker._open_process

    def slowly(self: worker.Worker) -> None:
        starting.set()
        go_on.wait(30)
        start(self)

    monkeypatch.setattr(worker.Worker, "_open_process", slowly)
    for each in judge.workers:
        assert each.process is not None
        each.process.kill()
    future = judge.submit(program(0), ADD)
    assert starting.wait(30)
    assert judge.level() == level
    go_on.set()
    assert future.result(60).outcome is Outcome.PASSED


def test_a_weaker_judge_than_required_is_refused() -> None:
    with pytest.raises(SandboxError, match="Expected isolation of level 'full'"):
        sandbox.load("forkserver", workers=1, require="full", without=("pid",))
    with sandbox.load("forkserver", workers=1, require="limits", without=("pid", "root")) as opened:
        assert opened.run(program(1), ADD).judged_by == opened.level()


@linux
def test_packages_below_tmp_cost_no_wall(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A virtual environment may lie there; the program's own /tmp is private all the same, and forgotten."""
    (tmp_path / "toolbox").mkdir()
    (tmp_path / "toolbox" / "__init__.py").write_text("TOOL = 3\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    source = "import os, toolbox\nopen('left', 'w').close()\nprint(toolbox.TOOL, os.path.exists('left'))"
    try_to_write = f"open({str(tmp_path / 'toolbox' / 'x')!r}, 'w')"
    problem = Problem("t", "", [StdinCase("", "3 True")] * 2)
    with (
        sandbox.load("forkserver", workers=1, packages=()) as plain,
        sandbox.load("forkserver", workers=1, packages=("toolbox",)) as opened,
    ):
        assert opened.level() == plain.level()
        assert opened.run(source, problem).outcome is Outcome.PASSED
        failure = opened.run(try_to_write, problem).failure
        assert failure is not None
        assert failure.is_a("OSError")
        assert opened.run(source + "\n", problem).outcome is Outcome.PASSED


def test_folders_are_emptied_however_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    renamed: list[str] = []
    rename = os.rename
    monkeypatch.setattr(os, "rename", lambda *names, **more: (renamed.append(names[0]), rename(*names, **more)))
    for outer in range(20):
        for inner in range(20):
            (tmp_path / f"{outer}" / f"{inner}").mkdir(parents=True)
            (tmp_path / f"{outer}" / f"{inner}" / "x").touch()
    before = len(os.listdir("/proc/self/fd")) if sys.platform == "linux" else 0
    folders.empty(tmp_path)
    assert os.listdir(tmp_path) == []
    assert not renamed, "only what is too deep is moved: on some file systems that takes long"
    assert not before or len(os.listdir("/proc/self/fd")) == before


def test_what_a_link_leads_to_is_not_emptied(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "kept").touch()
    (tmp_path / "link").symlink_to(tmp_path / "mine")
    with pytest.raises(NotADirectoryError):
        folders.empty(tmp_path / "link")
    (tmp_path / "top").mkdir()
    (tmp_path / "top" / "link").symlink_to(tmp_path / "mine")
    folders.empty(tmp_path / "top")
    assert os.listdir(tmp_path / "mine") == ["kept"]


def test_folders_are_emptied_however_deep_and_whatever_their_names(tmp_path: Path) -> None:
    here, top = os.getcwd(), tmp_path / "top"
    top.mkdir()
    os.chdir(top)
    try:
        for _ in range(1500):
            os.mkdir("d")
            os.chdir("d")
    finally:
        os.chdir(here)
    (top / "kept").mkdir()
    os.symlink("/", top / "root")
    os.mkfifo(top / "pipe")
    (top / os.fsdecode(b"\xff")).write_text("x")
    (top / "locked" / "in").mkdir(parents=True)
    (top / "locked").chmod(0)
    folders.empty(top, {"kept"})
    assert os.listdir(top) == ["kept"]
    folders.remove(top)
    assert not top.exists()
    folders.remove(top)  # what is gone is gone


@linux
def test_a_program_that_is_a_user_of_its_own_may_pass_through_to_its_folder() -> None:
    before = os.umask(0o077)
    try:
        with sandbox.load("subprocess", workers=1) as opened:
            opened.level()
            assert Path(opened.workers[0].folder).stat().st_mode & 0o777 == 0o711
    finally:
        os.umask(before)


LEVELS = [
    ((), "none"),
    (("rlimits",), "limits"),
    (("rlimits", "seccomp"), "limits"),
    (("rlimits", "seccomp", "landlock"), "filtered"),
    (("rlimits", "seccomp", "root", "uid"), "filtered"),
    (("rlimits", "seccomp", "pid", "net", "ipc", "caps"), "limits"),  # the caller's own user, and all of its files
    (("rlimits", "seccomp", "pid", "net", "ipc", "caps", "landlock"), "contained"),
    (("rlimits", "seccomp", "pid", "net", "ipc", "caps", "root"), "full"),
    (("rlimits", "seccomp", "pid", "net", "ipc", "root"), "contained"),
    (("rlimits", "seccomp", "pid", "net", "ipc", "landlock"), "contained"),
    (("rlimits", "seccomp", "pid", "net", "ipc", "root", "uid"), "full"),
    (("seccomp", "pid", "net", "ipc", "root", "uid"), "none"),
]


@pytest.mark.parametrize(("layers", "level"), LEVELS)
def test_a_level_is_reached_when_none_of_its_layers_is_missing(layers: tuple[str, ...], level: str) -> None:
    assert isolation.level(layers) == level


@pytest.mark.skipif(sys.platform != "linux" or os.getuid() == 0, reason="for an ordinary user")
def test_no_wall_around_files_is_claimed_where_a_program_is_the_caller_s_own_user(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("secret")
    source = f"def add(a, b):\n    open({str(tmp_path / 'mine')!r}, 'w').close()\n    return a + b"
    for without in (("landlock", "root"), (*isolation.NAMESPACES, "user", "root", "landlock")):
        with sandbox.load("forkserver", workers=1, without=without) as opened:
            assert opened.level().startswith("forkserver/limits:")
            assert opened.run(source, ADD).outcome is Outcome.PASSED
    with sandbox.load("forkserver", workers=1, without=("root",)) as opened:
        if "landlock" in opened.level():
            mode = f"import os\ndef add(a, b):\n    os.chmod({str(tmp_path / 'mine')!r}, 0)\n    return a + b"
            assert opened.run(source, ADD).outcome is Outcome.RUNTIME_ERROR
            assert opened.run(mode, ADD).outcome is Outcome.PASSED
            assert (tmp_path / "mine").stat().st_mode & 0o777


@linux
@pytest.mark.parametrize("backend", ["forkserver", pytest.param("subprocess", marks=pytest.mark.slow)])
def test_a_thousand_deaths_leave_nothing(backend: str) -> None:
    count = 1000 if backend == "forkserver" else 60
    sources = [
        "import os\nos.kill(os.getpid(), 9)", "open('left', 'w').write('x')", "import os\nos.fork()", "1 / 0", "x = (",
        "import threading, time\nthreading.Thread(target=time.sleep, args=(9,), daemon=True).start()\nprint('x')",
    ]  # fmt: skip
    spare = [Path(folder) for folder in ("/tmp", "/dev/shm") if os.path.isdir(folder)]
    with sandbox.load(backend, workers=2, cache=0) as opened:
        for _ in opened.map((f"x = {i}", WAIT) for i in range(40)):  # both have imported all that they will
            pass
        assert all(worker.ready.wait(30) for worker in opened.workers)  # one may have judged all of them
        own = [p for w in opened.workers if w.process for p in (w.process.pid, *descendants(w.process.pid))]
        descriptors = {pid: len(os.listdir(f"/proc/{pid}/fd")) for pid in own if alive(pid)}
        files = {path for folder in spare for path in folder.glob(f"rltf-{os.getpid()}-*")}
        for _ in opened.map((f"{sources[i % len(sources)]}\n# {i}", WAIT) for i in range(count)):
            pass
        workers = [worker.process.pid for worker in opened.workers if worker.process]
        each = 3 if backend == "forkserver" else 0  # the cage, the compiler, who starts it anew
        assert wait_until(lambda: [len(set(filter(alive, descendants(pid)))) for pid in workers] == [each, each])
        assert {pid: len(os.listdir(f"/proc/{pid}/fd")) for pid in descriptors} == descriptors
        assert {path for folder in spare for path in folder.glob(f"rltf-{os.getpid()}-*")} <= files
