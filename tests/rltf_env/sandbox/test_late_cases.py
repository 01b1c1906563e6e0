"""When a case is late: what is run again, who pauses for it, and what the program's other cases get."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from rltf_env import sandbox
from rltf_env.core import CallCase, FailureKind, Outcome, Problem, ScriptCase, StdinCase
from rltf_env.sandbox.board import Board, Note
from rltf_env.sandbox.cage.purity import PURE, traits
from rltf_env.sandbox.pool import scheduler
from rltf_env.sandbox.referee import pace, runs
from rltf_env.sandbox.referee.runs import Bench, Budget, Runs, is_late

OPTIONS = {"case_seconds": 1.0, "program_seconds": 30.0, "output_bytes": 1000, "isolate": True, "ratios": True}
OPTIONS |= {"trace": False, "trace_cases": False}
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="forks")


def record(seconds: float, end: str = "") -> dict[str, Any]:
    return {"status": 0, "seconds": seconds, "wall": seconds, "end": end}


class Told:
    """A runner whose cases take what the table says, time after time; and what was asked of it.

    Args:
        times: for each case the seconds of its first run, its second, and so on. Text: how a run is ended.
    """

    def __init__(self, *times: list[float | str]) -> None:
        self.times = [list(each) for each in times]
        self.log: list[str] = []
        self.slowdown, self.calm_is_known = 1.0, True

    def run(self, source: str, cases: bytes, count: int, isolated: bool, spare: int) -> Any:
        indices, reports = json.loads(cases), []
        for index in indices:
            self.log.append(f"run {index}")
            took = self.times[index].pop(0) if len(self.times[index]) > 1 else self.times[index][0]
            report = record(1.25, took) if isinstance(took, str) else record(took)
            reports.append((report, b"", b""))
            spare -= is_late(report, 1.0)
            if report["end"] or not spare:
                break
        return None, reports, None

    def calm(self) -> None:
        self.log.append("calm")

    def finish(self, monkeypatch: pytest.MonkeyPatch, **options: Any) -> list[float | str]:
        """What became of the cases in the end: seconds, or how they were ended."""
        monkeypatch.setattr(runs, "probe", lambda: self.slowdown)
        monkeypatch.setattr(pace, "probe", lambda: 1.0)
        bench = Bench(self.run, {**OPTIONS, **options}, Note(-1, 0), self.calm)
        if self.calm_is_known:
            bench.pace.calibrate()
        program = Runs(bench, "x", len(self.times), lambda indices: json.dumps(list(indices)).encode())
        assert program.finish() is None
        return [one["end"] or one["seconds"] for one, _, _ in program.reports]


def test_nothing_is_run_again_where_nothing_is_late(monkeypatch: pytest.MonkeyPatch) -> None:
    program = Told([0.2], [1.0], [0.3])
    assert program.finish(monkeypatch) == [0.2, 1.0, 0.3]
    assert program.log == ["run 0", "run 1", "run 2"]


def test_only_the_late_case_is_run_again_and_the_others_keep_their_results(monkeypatch: pytest.MonkeyPatch) -> None:
    program = Told([0.2], [1.1, 1.15], [0.3])
    assert program.finish(monkeypatch) == [0.2, 1.1, 0.3]
    assert program.log == ["run 0", "run 1", "run 2", "run 1"], "and nobody pauses"


def test_a_case_that_is_in_time_when_run_again_was_not_late(monkeypatch: pytest.MonkeyPatch) -> None:
    program = Told([0.2], [1.1, 0.9], [0.3])
    assert program.finish(monkeypatch) == [0.2, 0.9, 0.3]


def test_a_second_late_case_settles_it_and_ends_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    program = Told(*[[1.1]] * 5)
    assert program.finish(monkeypatch) == [1.1, 1.1], "the others are not run"
    assert program.log == ["run 0", "run 1"]


def test_the_first_late_case_ends_the_program_where_no_ratio_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    program = Told([0.2], [1.1, 1.1], [0.3])
    assert program.finish(monkeypatch, ratios=False) == [0.2, 1.1]
    assert program.log == ["run 0", "run 1", "run 1"]
    cleared = Told([0.2], [1.1, 0.9], [0.3])
    assert cleared.finish(monkeypatch, ratios=False) == [0.2, 0.9, 0.3], "it goes on where it was not late"


def test_what_may_be_the_fault_of_others_is_run_again_in_calm(monkeypatch: pytest.MonkeyPatch) -> None:
    innocent = Told([1.1, 1.1, 0.95], [0.3])
    innocent.slowdown = 1.2
    assert innocent.finish(monkeypatch) == [0.95, 0.3]
    assert innocent.log == ["run 0", "run 1", "run 0", "calm", "run 0"]
    late = Told([1.1, 1.12, 1.05], [0.3])
    late.slowdown = 1.2
    assert late.finish(monkeypatch) == [1.05, 0.3]


def test_who_does_not_know_what_calm_is_asks_for_it_and_runs_nothing_again_for_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    program = Told([1.1], [1.1], [0.3])
    program.calm_is_known = False
    assert program.finish(monkeypatch) == [1.1, 1.1]
    assert program.log == ["run 0", "run 1", "calm"]
    innocent = Told([1.1, 0.9], [1.1, 0.9], [0.3])
    innocent.calm_is_known, innocent.slowdown = False, 1.3
    assert innocent.finish(monkeypatch) == [0.9, 0.9, 0.3]
    assert innocent.log == ["run 0", "run 1", "calm", "run 0", "run 1", "run 2"], "in the same calm"


def test_two_cases_that_were_late_for_others_are_both_cleared_and_the_rest_is_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    program = Told([1.1, 0.95], [1.1, 0.96], [0.3], [0.4])
    program.slowdown = 1.3
    assert program.finish(monkeypatch) == [0.95, 0.96, 0.3, 0.4]
    assert program.log == ["run 0", "run 1", "calm", "run 0", "run 1", "run 2", "run 3"]


def test_once_one_case_is_late_by_its_own_fault_no_other_is_in_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    program = Told([1.1, 1.06], [1.1], [0.3])
    program.slowdown = 1.3
    assert program.finish(monkeypatch) == [1.06, 1.1]
    assert program.log == ["run 0", "run 1", "calm", "run 0"]


def test_a_case_that_is_ended_when_run_again_is_over_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    program = Told([0.1], [1.1, "wall"], [0.3])
    program.slowdown = 1.3
    assert program.finish(monkeypatch) == [0.1, "wall", 0.3]


def test_a_process_of_several_cases_that_took_too_long_counts_for_none_but_a_single_one() -> None:
    bench = Bench(lambda *_: None, {**OPTIONS, "isolate": False}, Note(-1, 0), lambda: None)  # type: ignore[arg-type, return-value]
    program = Runs(bench, "x", 3, lambda indices: b"")
    line = b'{"case": %d, "out": 0, "cpu": 0.010000, "status": 0}\n'
    assert program._split((record(1.1), b"", line % 0 + line % 1))[0] == []
    ((one, _, _),), _ = program._split((record(1.1), b"", line % 0))
    assert one["seconds"] == 1.1, "whatever it said"
    done, (_, _, rest) = program._split((record(0.9), b"", b"a\n" + line % 0 + b"b\n" + line % 1 + b"c"))
    assert [(each["seconds"], data) for each, _, data in done] == [(0.01, b"a\n"), (0.01, b"b\n")]
    assert rest == b"c", "of the case that it was in"


@pytest.mark.parametrize(
    ("seconds", "wall", "output", "most"), [(1.0, 1.0, b"", 31), (0.0, 1.0, b"", 61), (0.0, 0.0, b"x" * 100, 41)]
)
def test_a_budget_counts_every_run_and_idle_time_half(seconds: float, wall: float, output: bytes, most: int) -> None:
    budget = Budget(OPTIONS)
    for _ in range(most):
        assert not budget.used_up
        budget.add(({**record(seconds), "wall": wall}, output, b""))
    assert budget.used_up


# ------------------------------------------------------------------------------------------------------------- pace


def test_what_slows_a_computation_down_is_known_once_calm_was(monkeypatch: pytest.MonkeyPatch) -> None:
    if sys.platform == "win32":
        pytest.skip("no board")
    board = Board(2)
    paces = [pace.Pace(Note(board.fd, place)) for place in range(2)]
    assert not paces[0].is_known
    monkeypatch.setattr(pace, "probe", lambda: 0.002)
    paces[1].calibrate()
    assert paces[0].is_known, "what one has measured the other knows"
    assert paces[0].slowdown(0.003) == pytest.approx(1.5 * 1.02)
    assert paces[0].slowdown(0.001) == 1.02
    monkeypatch.setattr(pace, "probe", lambda: 0.004)
    paces[0].calibrate()
    assert paces[1].slowdown(0.003) == pytest.approx(1.5 * 1.02), "the quickest counts"
    board.close()


def test_a_probe_takes_little() -> None:
    assert 0 < pace.probe() < 0.05


# -------------------------------------------------------------------------------------------------------- for real

SPIN = "import time\nn = int(input())\nwhile n in {} and time.process_time() < {}: pass\nprint(n)\n"
ROW = Problem("row", "", [StdinCase(f"{i}\n", f"{i}\n") for i in range(5)])


@linux
@pytest.mark.parametrize("backend", ["forkserver", "subprocess"])
@pytest.mark.parametrize(
    ("late", "ratios", "kinds"),
    [
        ((2,), True, [None, None, FailureKind.TIMEOUT, None, None]),
        ((1, 3), True, [None, FailureKind.TIMEOUT, None, FailureKind.TIMEOUT, FailureKind.NOT_RUN]),
        (
            (0, 1, 2, 3, 4),
            True,
            [FailureKind.TIMEOUT, FailureKind.TIMEOUT, FailureKind.NOT_RUN, FailureKind.NOT_RUN, FailureKind.NOT_RUN],
        ),
        ((2,), False, [None, None, FailureKind.TIMEOUT, FailureKind.NOT_RUN, FailureKind.NOT_RUN]),
    ],
)
def test_the_cases_of_a_late_program_have_their_own_results(
    backend: str, late: tuple[int, ...], ratios: bool, kinds: list[str | None]
) -> None:
    with sandbox.load(backend, workers=1, case_seconds=0.3, ratios=ratios) as opened:
        verdict = opened.run(SPIN.format(late, 0.34), ROW)
    assert [result.failure and result.failure.kind for result in verdict.results] == kinds


ENDS = """def f(n):
    if n == 1:
        while True: pass
    if n == 2:
        return [0] * 10 ** 9
    if n == 3:
        return f(n)
    return n
"""
LATE, MEMORY = (Outcome.RUNTIME_ERROR, "Timeout", 3), (Outcome.RUNTIME_ERROR, "MemoryLimit", 5)
WRONG, DEEP = (Outcome.WRONG_ANSWER, "WrongAnswer", None), (Outcome.RUNTIME_ERROR, "RecursionError", 7)
NOT_RUN = (Outcome.RUNTIME_ERROR, "NotRun", None)


@linux
@pytest.mark.parametrize("isolate", [False, True])
@pytest.mark.parametrize("form", ["script", "call", "stdin"])
@pytest.mark.parametrize(
    ("given", "ends"),
    [
        ([0, 4, 1, 0], [None, WRONG, LATE, NOT_RUN]),
        ([4, 3, 2, 1], [WRONG, DEEP, MEMORY, LATE]),
    ],
)
def test_cases_that_share_a_process_end_as_they_do_in_one_of_their_own(
    isolate: bool, form: str, given: list[int], ends: list[Any]
) -> None:
    assert traits(compile(ENDS, "f", "exec")) & PURE, "else they share none"
    made = {
        "script": lambda n: ScriptCase(f"assert f({n}) == {n % 4}"),
        "call": lambda n: CallCase((n,), n % 4),
        "stdin": lambda n: StdinCase(f"{n}\n", f"{n % 4}\n"),
    }[form]
    source = ENDS + ("print(f(int(input())))\n" if form == "stdin" else "")
    problem = Problem("f", "", [made(n) for n in given], None if form == "stdin" else "f")
    with sandbox.load(workers=1, case_seconds=0.2, memory_mb=256, isolate=isolate) as opened:
        results = opened.run(source, problem).results
    told = [each.failure and (each.outcome, each.failure.kind, each.failure.line) for each in results]
    assert told == ends


@linux
def test_others_go_on_beside_late_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    wait = scheduler.Scheduler.wait_for_calm
    monkeypatch.setattr(
        scheduler.Scheduler, "wait_for_calm", lambda *args: (calls.append(args[2]), wait(*args))[1]
    )  # fmt: skip
    good = [(f"print(input())  # {i}", ROW) for i in range(30)]
    jobs = [
        pair for i in range(3) for pair in ((SPIN.format(range(5), 0.24) + f"# {i}", ROW), *good[10 * i : 10 * i + 10])
    ]
    with sandbox.load("forkserver", workers=2, cache=0, case_seconds=0.2) as opened:
        outcomes = [verdict.outcome for verdict in opened.map(jobs)]
    assert outcomes == ([Outcome.RUNTIME_ERROR] + [Outcome.PASSED] * 10) * 3
    assert calls, "calm is not known before one has had it"


@linux
@pytest.mark.parametrize("cases", [1, 12])
def test_a_script_s_runs_share_the_program_s_time_idle_or_not(cases: int) -> None:
    text = "for i in range(90):\n    if not ask(i): raise AssertionError\n"
    problem = Problem("ask", "", [ScriptCase(text)] * cases, "ask", solutions=["def ask(i): return True"])
    source = "import time\ntime.sleep(0.15)\nclass Yes:\n    def __bool__(self): return True\ndef ask(i): return Yes()"
    limits = {"case_seconds": 0.2, "wall_seconds": 0.3, "program_seconds": 0.6}
    with sandbox.load("forkserver", workers=1, cache=0, **limits) as opened:
        verdict = opened.run(source, problem)
    assert sum(result.seconds for result in verdict.results) < 1
    if cases == 1:  # one run in one go, and one step by step
        assert verdict.outcome is Outcome.PASSED
        return
    assert verdict.failure is not None
    assert verdict.failure.kind == FailureKind.TIMEOUT
