"""The public battery, and the programs of `data/hostile`, against every judge and every level of isolation."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from rltf_env import sandbox
from rltf_env.core import CallCase, Outcome, Problem, ScriptCase, StdinCase
from rltf_env.sandbox.battery import trials as battery
from rltf_env.sandbox.cage import isolation
from rltf_env.testing import check_sandbox

LIMITS: dict[str, Any] = {
    "workers": 2, "case_seconds": 0.4, "wall_seconds": 0.9, "memory_mb": 256, "output_bytes": 1 << 20,
    "file_bytes": 1 << 20, "processes": 32,
}  # fmt: skip
LONG = pytest.mark.timeout(900)  # hundreds of programs, many of which use up their time
WEAKER = [("root",), ("seccomp",), ("landlock", "seccomp"), ("net", "ipc", "uts")]


def left_behind() -> set[str]:
    """What bears our name in shared folders, the folders of judges that other processes run aside."""
    found = {path.name for folder in ("/tmp", "/dev/shm") for path in Path(folder).glob("*rltf*")}
    own = f"rltf-{os.getpid()}-"
    return {name for name in found if name.startswith(own) or not re.match(r"rltf-\d+-", name)}


def test_the_battery_is_large_and_says_why() -> None:
    trials = battery.trials()
    assert len(trials) >= 300
    assert len({trial.name for trial in trials}) == len(trials)
    assert all(trial.why and trial.right for trial in trials)
    hostile = [trial for trial in trials if "Passed" not in trial.right]
    assert len(hostile) >= 200


def test_the_battery_cannot_be_passed_by_saying_yes() -> None:
    with sandbox.load("scripted", default=True) as fake:
        wrong = [t for t in battery.trials() for p in t.problems if t.complaint(fake.run(t.source, p))]
    assert len(wrong) > 150


def once_for_each_wait() -> list[tuple[battery.Trial, Problem]]:
    """The battery, without the second run of programs that use up their time: calls and assertions take turns."""
    jobs = []
    for number, trial in enumerate(battery.trials()):
        waits = any(right.startswith("Timeout") for right in trial.right) and len(trial.problems) > 1
        jobs += [(trial, problem) for problem in (trial.problems[number % 2 :][:1] if waits else trial.problems)]
    return jobs


@LONG
def test_forkserver_judges_every_program_of_the_battery_rightly() -> None:
    before, jobs = left_behind(), once_for_each_wait()
    with sandbox.load("forkserver", **LIMITS) as judge:
        verdicts = judge.map((trial.source, problem) for trial, problem in jobs)
        complaints = [trial.complaint(verdict) for (trial, _), verdict in zip(jobs, verdicts, strict=True)]
    assert not any(complaints), "\n".join(filter(None, complaints))
    assert left_behind() <= before


def test_every_program_is_judged_and_those_that_wait_in_both_ways() -> None:
    jobs = once_for_each_wait()
    assert {trial.name for trial, _ in jobs} == {trial.name for trial in battery.trials()}
    waiting = [problem.id for trial, problem in jobs if trial.right == ("Timeout",)]
    assert min(waiting.count("add"), waiting.count("add/script")) >= 8


@LONG
@pytest.mark.slow
@pytest.mark.parametrize("backend", ["forkserver", "subprocess"])
def test_the_whole_battery_is_judged_rightly(backend: str) -> None:
    before = left_behind()
    with sandbox.load(backend, **LIMITS) as judge:
        check_sandbox(judge, battery=True)
    assert left_behind() <= before


def test_a_parent_that_is_stopped_is_noticed_where_proc_tells_nothing_of_it() -> None:
    with sandbox.load("forkserver", **LIMITS, without=["root"]) as judge:
        trials = [trial for trial in battery.trials() if trial.name.startswith("stop_")]
        complaints = [trial.complaint(judge.run(trial.source, p)) for trial in trials for p in trial.problems]
    assert len(complaints) >= 5
    assert not any(complaints), "\n".join(filter(None, complaints))


NO_NAMESPACES = ("user", "pid", "net", "ipc", "uts", "root")


@pytest.mark.parametrize("without", [("root",), NO_NAMESPACES], ids=["contained", "filtered"])
def test_what_a_program_sets_on_what_it_shares_ends_with_it(without: tuple[str, ...]) -> None:
    trials = [trial for trial in battery.trials() if trial.name.startswith(("keeps_", "own_files", "null_device"))]
    with sandbox.load("forkserver", **LIMITS, without=without, cache=0) as judge:
        complaints = [trial.complaint(judge.run(trial.source, p)) for trial in trials for p in trial.problems]
    assert len(complaints) > 20
    assert not any(complaints), "\n".join(filter(None, complaints))


FOLDERS = (
    "remove_folder keeps_default_rights keeps_locked_folder keeps_readonly_folder keeps_file_beside keeps_file_as_folder "
    "odd_file_names locked_names locked_folders"
).split()


@pytest.mark.parametrize("more", [(), ("seccomp",), ("seccomp", "rlimits")], ids="+".join)
def test_a_program_s_folder_is_new_where_no_wall_is_around_it(more: tuple[str, ...]) -> None:
    trials = {trial.name: trial for trial in battery.trials()}
    pairs = [(trials[name], trials["write_and_read_file"]) for name in FOLDERS]
    jobs = [(trial, problem) for pair in pairs for trial in pair for problem in trial.problems]
    without = (*NO_NAMESPACES, "landlock", "uid", "caps", *more)
    before = left_behind()
    with sandbox.load("forkserver", **{**LIMITS, "workers": 1}, without=without, cache=0) as judge:
        complaints = [trial.complaint(judge.run(trial.source, problem)) for trial, problem in jobs]
    assert not any(complaints), "\n".join(filter(None, complaints))
    assert left_behind() <= before


CAGED = frozenset(  # programs whose verdict depends on a layer that is missing on purpose
    [
        "parent_environment",
        "parent_descriptors",
        "kill_all",
        "kill_parent",
        "signal_one",
        "unshare",
        "ptrace",
        "network",
        "dns",
        "exec_true",
        "exec_cat",
        "shell",
        "write_outside",
        "read_tests",
        "many_files",
        "deep_folders",
        "io_uring",
        "old_calls",
        "keyring",
        "abstract_socket",
        "netlink",
        "fork_many",
        "fork_bomb",
        "thread_bomb",
        "memory_children",
        "shared_memory",
        "remove_folder",
        "poison_folder",
        "keeps_default_rights",
        "keeps_attributes",
        "keeps_count",
        "keeps_range_lock",
        "keeps_lease",
        "keeps_hint",
        "keeps_flags",
        "environment",
        "socket_size",
        "pipe_size",
        "vmsplice",
        "datagram_pair",
        "addressed_stream",
        "passed_descriptors",
        "shared_stores",
        "socket_buffers_hidden",
        "page_cache",
    ]
)


@LONG
@pytest.mark.slow
@pytest.mark.parametrize("without", WEAKER, ids="+".join)
def test_no_program_is_paid_where_a_layer_is_missing(without: tuple[str, ...]) -> None:
    with sandbox.load("forkserver", **LIMITS, without=without) as judge:
        trials = [trial for trial in battery.trials() if trial.name not in CAGED]
        jobs = [(trial, problem) for trial in trials for problem in trial.problems]
        verdicts = judge.map((trial.source, problem) for trial, problem in jobs)
        complaints = [trial.complaint(verdict) for (trial, _), verdict in zip(jobs, verdicts, strict=True)]
    assert not any(complaints), "\n".join(filter(None, complaints))


def problems(manifest: dict[str, Any], name: str) -> Iterable[Problem]:
    data = manifest["problems"][name]
    pairs = list(zip(data["inputs"], data["outputs"], strict=True))
    if data["kind"] == "call":
        yield Problem(name, "", [CallCase(tuple(i), o) for i, o in pairs], data["entry"])
        yield Problem(name, "", [ScriptCase("\n".join(f"assert {a}" for a in data["asserts"]))], data["entry"])
    else:
        yield Problem(name, "", [StdinCase(i, o) for i, o in pairs])


@LONG
@pytest.mark.slow
@pytest.mark.parametrize("backend", ["forkserver", "subprocess"])
def test_programs_of_the_data_folder(data: Path, backend: str) -> None:
    manifest = json.loads((data / "hostile" / "manifest.json").read_text())
    before = left_behind()
    with sandbox.load(backend, **{**LIMITS, "case_seconds": 0.8, "memory_mb": 512}) as judge:
        jobs = []
        for case in manifest["cases"]:
            path = data / "hostile" / case["file"]
            source = path.read_bytes().decode("utf-8", "surrogateescape")
            jobs += [(case, source, problem) for problem in problems(manifest, case["problem"])]
        assert len(jobs) > 150
        verdicts = judge.map((source, problem) for _, source, problem in jobs)
        wrong = [
            (case["name"], verdict.failure)
            for (case, _, _), verdict in zip(jobs, verdicts, strict=True)
            if ("pass" if verdict.outcome is Outcome.PASSED else "fail") not in case["accept"]
        ]
    assert not wrong
    assert left_behind() <= before


def test_this_machine_s_level_is_one_of_the_levels() -> None:
    with sandbox.load("forkserver", workers=1) as judge:
        backend, _, rest = judge.level().partition("/")
        level, _, layers = rest.partition(":")
    assert backend == "forkserver"
    assert level in isolation.LEVELS
    assert set(layers.split("+")) <= set(isolation.LAYERS)
    if os.environ.get("RLTF_REQUIRE_ISOLATION"):
        assert level == os.environ["RLTF_REQUIRE_ISOLATION"]
