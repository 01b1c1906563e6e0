"""What keeps programs apart: users, memory, time, files; each tried on its own."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path
from tempfile import NamedTemporaryFile

import pytest

from rltf_env import sandbox
from rltf_env.core import CallCase, Outcome, Problem, ScriptCase, StdinCase
from rltf_env.sandbox.cage import clock, isolation, stack

ADD = Problem("add", "", [CallCase((1, 2), 3)], "add")
LINE = Problem("line", "", [StdinCase("", "1\n")])
BACKENDS = pytest.mark.parametrize("backend", ["forkserver", "subprocess"])
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux's own")
pytestmark = linux


# ------------------------------------------------------------------------------------------------------------- users


def test_users_are_drawn_from_those_that_nobody_hands_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation, "_user_spans", lambda: [(0, 0, 4294967295)])
    users = {isolation.free_user() for _ in range(50)}
    assert len(users) == 50
    assert all(user in isolation.USERS for user in users)


def test_where_few_users_are_mapped_one_of_them_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation, "_user_spans", lambda: [(0, 100_000, 65_536)])
    assert all(60_000 <= isolation.free_user() < 65_000 for _ in range(50))


def test_a_user_that_has_processes_is_not_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    draws = iter([5, 6, 7])
    monkeypatch.setattr(isolation, "_user_spans", lambda: [(0, 0, 4294967295)])
    monkeypatch.setattr(isolation.os, "urandom", lambda count: next(draws).to_bytes(count, "little"))
    monkeypatch.setattr(isolation, "_has_processes", lambda user: user != isolation.USERS[7])
    assert isolation.free_user() == isolation.USERS[7]


# ------------------------------------------------------------------------------------------------------------- files


def test_of_a_folder_around_the_standard_library_only_shared_libraries_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = tmp_path / "lib" / "python3"
    (library / "site-packages").mkdir(parents=True)
    (tmp_path / "lib" / "libpython3.so.1").touch()
    (tmp_path / "lib" / "secret.txt").touch()
    monkeypatch.setattr(isolation.os, "__file__", str(library / "os.py"))
    monkeypatch.setattr(isolation, "_mapped", lambda: {str(tmp_path / "lib" / "libpython3.so.1")})
    shown = [path for path in isolation.readable() if path.startswith(str(tmp_path))]
    assert shown == [str(tmp_path / "lib" / "libpython3.so.1"), str(library)]


def test_packages_of_another_interpreter_beside_a_library_are_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lib" / "python3" / "dist-packages").mkdir(parents=True)
    (tmp_path / "lib" / "libz.so").touch()
    monkeypatch.setattr(isolation, "_mapped", lambda: {str(tmp_path / "lib" / "libz.so")})
    shown = [path for path in isolation.readable() if path.startswith(str(tmp_path))]
    assert shown == [str(tmp_path / "lib" / "libz.so")]


def test_landlock_is_told_of_all_but_the_packages(tmp_path: Path) -> None:
    for name in ("site-packages", "json"):
        (tmp_path / name).mkdir()
    (tmp_path / "os.py").touch()
    (tmp_path / "plain").mkdir()
    assert sorted(isolation._without_packages([str(tmp_path)])) == sorted(
        str(tmp_path / n) for n in ("json", "os.py", "plain")
    )
    assert isolation._without_packages([str(tmp_path / "plain")]) == [str(tmp_path / "plain")]


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="no shared memory")
def test_without_a_root_of_its_own_a_program_reads_neither_shared_memory_nor_terminals() -> None:
    source = """
        import os
        open("/dev/null", "w").write(open("/dev/null").read())
        assert len(os.urandom(2) + open("/dev/urandom", "rb").read(2)) == 4
        read = []
        for path in ("/dev", "/dev/pts", "/dev/shm", FILE):
            try:
                read.append(os.listdir(path) if os.path.isdir(path) else open(path).read())
            except OSError:
                pass
        print(read or 1)
        """
    with NamedTemporaryFile("w", dir="/dev/shm") as file, sandbox.load(workers=1, without=("root",)) as judge:
        os.chmod(file.name, 0o644)
        if "landlock" in judge.level():
            verdict = judge.run(textwrap.dedent(source).replace("FILE", repr(file.name)), LINE)
            assert verdict.outcome is Outcome.PASSED, verdict.results[0]


@BACKENDS
@pytest.mark.parametrize("without", [(), ("root",)], ids=["full", "without a root"])
def test_only_named_packages_can_be_listed_read_and_imported(backend: str, without: tuple[str, ...]) -> None:
    source = """
        import os, sys
        found = []
        for folder in (os.path.dirname(os.__file__), os.path.dirname(os.path.dirname(os.__file__))):
            for name in ("site-packages", "dist-packages", "python3/dist-packages"):
                try:
                    found += os.listdir(os.path.join(folder, name))
                except OSError:
                    pass
                sys.path.append(os.path.join(folder, name))
        try:
            import pip
            found.append("pip")
        except ImportError:
            pass
        import json, decimal, ctypes, statistics
        print(1 if not found else found)
        """
    with sandbox.load(backend, workers=1, packages=(), without=without) as judge:
        verdict = judge.run(textwrap.dedent(source), LINE)
    assert verdict.outcome is Outcome.PASSED, verdict.results[0]


@BACKENDS
@pytest.mark.parametrize(
    "without", [("root",), ("user", "pid", "net", "ipc", "uts", "root")], ids=["contained", "filtered"]
)
def test_pytest_reads_no_folder_that_a_wall_hides(backend: str, without: tuple[str, ...]) -> None:
    test = """
        import pytest
        from solution import add
        @pytest.fixture
        def one():
            return 1
        def test_add(one):
            assert add(one, 2) == 3
        """
    problem = Problem("suite", "", [ScriptCase(textwrap.dedent(test))], solutions=["def add(a, b): return a + b"])
    with sandbox.load(backend, workers=1, without=without) as judge:
        assert judge.run(problem.solutions[0], problem).outcome is Outcome.PASSED


# ------------------------------------------------------------------------------------------------------ memory, pipes


@BACKENDS
@pytest.mark.parametrize("without", [(), isolation.LAYERS], ids=["full", "none"])
def test_temporary_files_of_a_program_go_with_it(
    backend: str, without: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    program = "import tempfile\ntempfile.mkdtemp()\nprint(len(tempfile.mkstemp()))"
    with sandbox.load(backend, workers=1, without=without) as judge:
        assert judge.run(program, Problem("two", "", [StdinCase("", "2\n")])).outcome is Outcome.PASSED
    assert list(tmp_path.iterdir()) == []


def test_what_sockets_and_pipes_may_hold_is_counted() -> None:
    me = [str(os.getpid())]
    most = clock.resident(me[0]) + (16 << 20)
    assert not clock.hold_too_much(me, 0, most)
    ends = [os.pipe() for _ in range(300)]
    try:
        assert clock.hold_too_much(me, 0, most)
        assert clock.hold_too_much(me, 0, 1 << 50)  # more than a program may have at all
    finally:
        for pair in ends:
            for fd in pair:
                os.close(fd)


# --------------------------------------------------------------------------------------------------------------- time

BUSY = """
import os
for _ in range(16):
    if not os.fork():
        while True: pass
def add(a, b):
    while True: pass
"""


@BACKENDS
def test_children_that_compute_do_not_stretch_a_limit(backend: str) -> None:
    with sandbox.load(backend, workers=1, case_seconds=0.5, wall_seconds=1.0, cache=0) as judge:
        judge.run("def add(a, b): return a + b", ADD)
        start = time.monotonic()
        verdict = judge.run(BUSY, ADD)
        passed = time.monotonic() - start
    assert verdict.failure is not None
    assert (verdict.failure.kind, verdict.failure.detail) == ("Timeout", "cpu")
    assert passed < 8  # sixteen times a second, before


@BACKENDS
def test_children_that_compute_within_the_limit_are_no_fault(backend: str) -> None:
    source = """
        import os
        def add(a, b):
            for _ in range(4):
                if not os.fork():
                    sum(range(300_000))
                    os._exit(0)
            for _ in range(4): os.wait()
            return a + b
        """
    with sandbox.load(backend, workers=1) as judge:
        assert judge.run(textwrap.dedent(source), ADD).outcome is Outcome.PASSED


# -------------------------------------------------------------------------------------------------------------- stack

DEEP = """
import sys, functools
sys.setrecursionlimit(10 ** 6)
{}
print(down(8_000) // 8_000)
"""
WAYS = {
    "a memo": "@functools.lru_cache(None)\ndef down(n):\n    return 0 if n == 0 else 1 + down(n - 1)",
    "a sum": "def down(n):\n    return 0 if n == 0 else 1 + sum(map(down, [n - 1]))",
}


@BACKENDS
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_recursion_goes_as_deep_as_memory_allows(backend: str, way: str) -> None:
    # Since 3.12 Python itself limits what goes through C, in earlier ones of its releases to a few hundred.
    deep = DEEP.replace("8_000", "400" if sys.version_info >= (3, 12) else "50_000")
    with sandbox.load(backend, workers=1) as judge:
        assert judge.run(deep.format(way), LINE).outcome is Outcome.PASSED


def test_threads_do_not_get_a_stack_as_large_as_the_main_one() -> None:
    source = """
        import threading, time
        threads = [threading.Thread(target=time.sleep, args=(0.05,)) for _ in range(40)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        print(1)
        """
    with sandbox.load(workers=1, memory_mb=512) as judge:
        assert judge.run(textwrap.dedent(source), LINE).outcome is Outcome.PASSED


@BACKENDS
def test_a_thread_without_room_for_its_stack_lacks_memory_not_threads(backend: str) -> None:
    source = "import threading\nthreading.stack_size(1 << 30)\nthreading.Thread(target=print).start()"
    with sandbox.load(backend, workers=1) as judge:
        verdict = judge.run(source, LINE)
    assert verdict.failure is not None
    assert verdict.failure.kind == "MemoryLimit"


def test_an_error_of_the_program_s_own_is_no_limit() -> None:
    with sandbox.load(workers=1) as judge:
        verdict = judge.run('raise RuntimeError("can\'t start new thread")', LINE)
    assert verdict.failure is not None
    assert verdict.failure.kind == "RuntimeError"


def test_a_stack_that_is_large_enough_starts_nothing_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    import resource

    monkeypatch.setattr(stack.os, "execv", lambda *args: pytest.fail("started anew"))
    soft, _ = resource.getrlimit(resource.RLIMIT_STACK)
    if soft != resource.RLIM_INFINITY:
        stack.enlarge(soft // 2)


# ------------------------------------------------------------------------------------------------------------ Windows


def test_the_files_of_a_cage_can_be_imported_where_there_is_no_fcntl() -> None:
    code = (
        "import sys; sys.modules['fcntl'] = None\nfrom rltf_env.sandbox.cage import files, isolation, program, per_case"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
