"""Runs of a test, or of copies of it, in one process with a program: what the cage is told, and what is made of its reports."""

from __future__ import annotations

import marshal
from collections.abc import Callable, Iterable
from typing import Any

from rltf_env.sandbox.referee.failures import failure
from rltf_env.sandbox.referee.outcomes import Outcome, lost, outcome_of
from rltf_env.sandbox.referee.suite import Suite

SEVERAL = 2  # cases that a cage is told of, so that none of the program runs in the process that it is asked in
Run = Callable[[str, bytes, int, bool], tuple[Any, list[Any], Any]]  # see `judge.Runner`


def outcomes(
    run: Run,
    source: str,
    copies: list[bytes],
    suite: Suite,
    options: dict[str, Any],
    *,
    tests: int,
    skip: Iterable[str],
    seconds: float | None,
) -> tuple[Any, list[Outcome], list[Any]]:
    """Runs a program under copies of a test, one after the other.

    Each copy goes to the cage by itself. A process that had others in its memory could compare them: the test as it is
    differs least from the rest.

    Args:
        run: hands a program and cases to the cage.
        source: the program.
        copies: codes of the test, or of copies of it (`copies.compiled`).
        suite: the test, read.
        options: of the judge.
        tests: how many there are, for what a run may take.
        skip: names of tests that are left out.
        seconds: that a test may take at most, if that is less than the judge's limit.

    Returns:
        why the program has no code, what became of each run, and the lines (`trace.Traced`).
    """
    limit = min(seconds or options["case_seconds"], options["case_seconds"])
    job = _job(suite, options, tests, skip) | {"seconds": limit, "source": source if suite.reads_source else ""}
    wanted = (*suite.bare, *suite.imported)
    found: list[Outcome] = []
    lines: list[Any] = []
    for codes in copies:
        syntax, reports, executed = run(
            source, marshal.dumps([("", {**job, "codes": marshal.loads(codes)})]), SEVERAL, True
        )
        if syntax is not None:
            return syntax, [lost(failure("SyntaxError"))] * len(copies), []
        found += [outcome_of(report, wanted, options) for report in reports]
        lines.append(executed)
        if reports[0][0]["end"] in ("cpu", "wall"):
            break
    rest = lost(failure("Timeout", "over the limit of cpu time", None, "cpu"))
    return None, found + [rest] * (len(copies) - len(found)), lines


def _job(suite: Suite, options: dict[str, Any], tests: int, skip: Iterable[str]) -> dict[str, Any]:
    return {
        "runner": suite.runner,
        "names": suite.modules,
        "wanted": [*suite.bare, *suite.imported],
        "shared": not suite.modules and not suite.brings,
        "loads": not suite.brings,
        "seeded": bool(suite.bare),
        "main": suite.guarded,
        "tests": tests,
        "wall": options["wall_seconds"],
        "most": options["program_seconds"],
        "skip": sorted(skip),
    }
