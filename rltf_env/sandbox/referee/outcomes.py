"""What became of one run of a test that runs together with a program, as the process says: all of it may be forged."""

from __future__ import annotations

import os
from collections.abc import Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from rltf_env.sandbox.cage.deadlines import ENDS
from rltf_env.sandbox.referee.failures import PASSED, RUNTIME_ERROR, WRONG_ANSWER, as_list, failure, raised, results_of
from rltf_env.sandbox.referee.tally import base

LONGEST = 4096  # tests of a suite whose results are read
SCRIPT = ""  # the name of a result of the script as a whole


class Status(StrEnum):
    """What became of one test, as the process says."""

    PASSED = "passed"
    FAILED = "failed"  # an assertion did not hold
    ERROR = "error"  # something else was raised
    TIME = "time"  # it took longer than one test may
    SKIPPED = "skipped"
    COLLECT = "collect"  # the runner could not collect the tests


class Outcome(NamedTuple):
    """What became of one run of a test.

    Args:
        rows: what each test came to, by name; empty if the process left no results.
        loaded: the program ran to its end before the test began.
        error: why there are no results: a failure, or None.
        missing: names that the test takes from the program, and that it does not have.
        report: how the process ended, what it printed, what it returned.
        begun: the same as `rows`, of a process that left no results since one of its tests did not come to an end in time.
    """

    rows: dict[str, dict[str, Any]]
    loaded: bool
    error: list[Any] | None
    missing: list[str]
    report: Any
    begun: dict[str, dict[str, Any]]

    def as_far_as_it_came(self) -> Outcome:
        """The same, with the results of the tests that began."""
        return self if self.rows else self._replace(rows=self.begun)

    @property
    def ended(self) -> bool:
        """True if the process ended, not for a limit, before it left results."""
        return not self.rows and self.error is not None and self.error[0] == "Exited" and self.loaded

    def passed(self) -> set[str]:
        """The tests that were passed; a function with parameters, too, if it was with all of them."""
        good = {name for name, row in self.rows.items() if row.get("status") == Status.PASSED}
        return good | ({base(name) for name in good} - {base(name) for name in self.rows if name not in good})

    def failed(self, tests: set[str]) -> set[str]:
        """Which of these tests were run and not passed: all of them, where the script itself failed before a runner began."""
        ran = tests if self.rows.keys() == {SCRIPT} else tests & self.rows.keys()
        return ran - self.passed()

    def counted(self) -> list[str]:
        """The tests that count for any program: none is skipped, and of none it is all the same whether it fails."""
        return [n for n, row in self.rows.items() if row.get("status") != Status.SKIPPED and not row.get("xfail")]

    def reversed(self) -> set[str]:
        """The tests that are passed by failing: what makes one answer fail there need not make another."""
        return {name for name, row in self.rows.items() if row.get("reversed")}

    def broken(self, raised_by_test: set[str]) -> set[str]:
        """The tests that ended with an error that a change made: what they compare was never compared."""
        kinds = _MISUSES - raised_by_test
        return {name for name, row in self.rows.items() if row.get("in") == "test" and _kind(row) in kinds}

    def lacks_name(self, test: str) -> bool:
        """True if a test looked at a name that it had not bound, as one does that never came to a place (`reach.py`)."""
        row = self.rows.get(test, {})
        return row.get("in") == "test" and _kind(row) in ("NameError", "UnboundLocalError")

    def late(self) -> set[str]:
        """The tests that took longer than one may."""
        return {name for name, row in self.rows.items() if row.get("status") == Status.TIME}

    def fails_nothing(self) -> bool:
        """True if each of its tests is passed, or left out."""
        return all(row.get("status") in (Status.PASSED, Status.SKIPPED) for row in self.rows.values())

    def passed_all(self) -> bool:
        """True if there were tests and all of them passed."""
        return bool(self.rows) and self.rows.keys() <= self.passed()


def outcome_of(report: Any, wanted: Sequence[str], options: dict[str, Any]) -> Outcome:
    """What became of a run, as its process says.

    Args:
        report: how the process ended, what it printed, what it returned.
        wanted: names that the test takes from the program. What else a process calls missing does not count.
        options: of the judge.
    """
    record, _, data = report
    first, _, rest = data.partition(b"\n")
    lines = results_of(first + b"\n" + rest.rstrip(b"\n").rpartition(b"\n")[2], 2)
    if len(lines) == 2 and isinstance(lines[1].get("results"), list):
        rows = [row for row in lines[1]["results"][:LONGEST] if isinstance(row, dict)]
        missing = [name for name in wanted if name in as_list(lines[1].get("missing"))]
        return Outcome({str(row.get("id")): row for row in rows}, True, None, missing, report, {})
    error = why_none(record, lines, options)
    return Outcome({}, bool(lines) and "ok" in lines[0], error, [], report, begun(results_of(rest, LONGEST), error))


def why_none(record: dict[str, Any], lines: list[dict[str, Any]], options: dict[str, Any]) -> list[Any]:
    """Why a process left no results."""
    if lines and ("e" in lines[0] or "x" in lines[0]):
        return raised(lines[0])
    ended, late = ENDS.get(-os.waitstatus_to_exitcode(record["status"])), lines[0].get("late") if lines else ""
    if end := next((each for each in (record["end"], ended, late) if each in ("cpu", "wall")), ""):
        return failure("Timeout", f"over the limit of {end} time", None, end)
    if record["end"] == "memory":
        return failure("MemoryLimit", "its processes together held too much memory", bases=("MemoryError",))
    return failure("Exited", "ended before the test did", None, str(record["status"]))


def begun(lines: list[dict[str, Any]], error: list[Any]) -> dict[str, dict[str, Any]]:
    """What became of tests, by name, as a process said before `error` ended it: the last was in the way, if it took too long.

    Of a process that ended in another way nothing is believed: plain Python leaves no results then, either.
    """
    names = [line["began"] for line in lines if isinstance(line.get("began"), str)]
    kind, _, _, limit, _ = error
    if not names or kind != "Timeout":
        return {}
    rows = [row for line in lines if isinstance(row := line.get("before"), dict)]
    last = {"id": names[-1], "status": Status.TIME, "limit": limit}
    return {str(row.get("id")): row for row in [*rows, last]}


def lost(error: list[Any]) -> Outcome:
    """A run that there was none of."""
    return Outcome({}, False, error, [], ({"status": 0, "seconds": 0.0, "wall": 0.0, "end": ""}, b"", b""), {})


_MISUSES = frozenset(("TypeError", "ValueError", "AttributeError"))


def _kind(row: dict[str, Any]) -> Any:
    record = row.get("raised")
    return record.get("kind") if isinstance(record, dict) else None


# ------------------------------------------------------------------------------------------------- faults of a test's

_OWN_FAULTS = frozenset(
    "NameError ImportError ModuleNotFoundError ZeroDivisionError UnboundLocalError SystemExit".split()
)


def is_fault(row: dict[str, Any]) -> bool:
    """True if a test failed though the program was anything that it could have wished for."""
    if row.get("status") == Status.COLLECT:
        return True
    record = row.get("raised")
    return isinstance(record, dict) and row.get("in") == "test" and record.get("kind") in _OWN_FAULTS


def is_impossible(row: dict[str, Any], absent: set[int]) -> bool:
    """True if a test wants what it cannot have, whatever the program is.

    Fixtures and coroutines that pytest has no plugin for, what the cage grants nobody (another process, a connection), or a
    package that is not there, on one of the lines `absent`.
    """
    record = row.get("raised")
    if not isinstance(record, dict):
        return False
    kind, message = record.get("kind"), str(record.get("message"))
    if kind == "PermissionError":
        return row.get("in") == "test" and "[Errno 1]" in message
    if kind == "ModuleNotFoundError":
        return row.get("in") == "test" and row.get("at") in absent
    return kind == "FixtureLookupError" or (kind == "Failed" and message.startswith("async def functions are not"))


def fault_of(row: dict[str, Any]) -> str:
    """What is wrong with a test, and on which of its lines."""
    record = row.get("raised") or {}
    where = f", line {row['at']}" if row.get("at") else ""
    return f"{record.get('kind', 'no tests')}: {record.get('message') or row.get('message')}{where}"


def result_of(outcome: Outcome, name: str) -> tuple[int, Any]:
    """What became of a test: the number of its outcome, and the failure."""
    row = outcome.rows.get(name) or outcome.rows.get("") or {}
    if outcome.error is not None and not row:
        return RUNTIME_ERROR, outcome.error
    status = row.get("status")
    if status == Status.PASSED and row.get("id") == name:
        return PASSED, None
    if status == Status.TIME:
        limit = "wall" if row.get("limit") == "wall" else "cpu"
        return RUNTIME_ERROR, failure("Timeout", f"over the limit of {limit} time", None, limit)
    record = row.get("raised")
    if not isinstance(record, dict):
        return WRONG_ANSWER, failure("WrongAnswer", str(row.get("message") or "the test was not passed"))
    if outcome.missing and row.get("in") != "program" and _names_it(record):
        return RUNTIME_ERROR, failure("MissingEntryPoint", f"the program defines no {outcome.missing[0]!r}")
    failed = raised({"e": record})
    if row.get("in") == "program" or failed[0] == "MemoryLimit":
        return RUNTIME_ERROR, failed
    kind = "" if status == Status.FAILED else f"{record.get('kind')}: "
    where = f" (line {row['at']} of the test)" if type(row.get("at")) is int else ""
    return WRONG_ANSWER, failure("WrongAnswer", f"{kind}{record.get('message') or 'an assertion failed'}{where}")


def _names_it(record: dict[str, Any]) -> bool:
    return record.get("kind") in ("NameError", "ImportError", "AttributeError")
