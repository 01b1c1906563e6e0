"""What became of each case of a program: how the cases are run, and when one of them is late. Never runs a program itself.

A case that comes to its end but takes longer than it may is late, and that may be the fault of what ran beside it. So the
first late case does not end a program, and is in doubt until a second run is late too: of the same case, or of another
one, which ends the program. What runs beside may slow both of them. How much it does so is measured (`pace.py`), and if that
could explain even one of them, the cases are run again while the other referees pause. So nobody waits for a program that is
late in any case. (A case that takes a quarter more than its limit is ended by the cage, and needs no second run.)
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from rltf_env.sandbox.board import Note
from rltf_env.sandbox.referee.coverage import Coverage
from rltf_env.sandbox.referee.pace import Pace, probe

_BOUNDARY = re.compile(
    rb'^{"case": (\d{1,6}), "out": (\d{1,12}), "cpu": (\d{1,6}\.\d{6}), "status": (-?\d{1,12})}\n', re.MULTILINE
)
_NO_MEMORY = b'"kind": "MemoryError"'
_OVER = ("cpu", "wall")  # how a process is ended that is over its limit of time

Report = tuple[dict[str, Any], bytes, bytes]  # how a case ended, what it printed, what it returned
Runner = Callable[..., tuple[Any, list[Report], Any]]  # see `launch.runner`


class Budget:
    """What a program has used in all of its runs. A script may need many, of which each keeps within the limits of a case."""

    def __init__(self, options: dict[str, Any]) -> None:
        self._seconds, self._bytes = options["program_seconds"], 4 * options["output_bytes"]
        self._cpu = self._passed = self._size = 0.0

    def add(self, report: Report) -> None:
        """Takes down a run."""
        record, stdout, data = report
        self._cpu += record["seconds"]
        self._passed += record["wall"]
        self._size += len(stdout) + len(data)

    @property
    def over(self) -> str:
        """The limit of time that the program is over: "cpu", or "wall", in which idle time counts half; else empty."""
        return "cpu" if self._cpu > self._seconds else "wall" if self._passed > 2 * self._seconds else ""

    @property
    def used_up(self) -> bool:
        """True if the program may not be run any more."""
        return bool(self.over) or self._size > self._bytes


class Bench:
    """What every program is run with.

    Args:
        runner: runs programs, see `launch.runner`.
        options: as in `pool/options.py`.
        note: this referee's place on the board.
        calm: returns when no other referee runs a program, until the present one is judged.
    """

    def __init__(self, runner: Runner, options: dict[str, Any], note: Note, calm: Callable[[], None]) -> None:
        self.runner, self.pace, self.calm = runner, Pace(note), calm
        self.use(options)

    def use(self, options: dict[str, Any]) -> None:
        """Judges by these options from now on."""
        self.options, self.limit = options, options["case_seconds"]
        self.most_late = 2 if options["ratios"] else 1  # so many late cases end a program


def is_late(record: dict[str, Any], limit: float) -> bool:
    """True if a process came to its end, but took longer than `limit` seconds."""
    return not record["end"] and record["seconds"] > limit


class Runs:
    """The runs of one program.

    Args:
        bench: what it is run with.
        source: the program.
        count: its cases.
        request: what the cage is asked to do in some of the cases.
    """

    def __init__(self, bench: Bench, source: str, count: int, request: Callable[[range], bytes]) -> None:
        self.bench, self.source, self.count, self.request = bench, source, count, request
        self.budget = Budget(bench.options)
        self.reports: list[Report] = []  # of the first cases, in order
        self.lines = Coverage(bench.options)
        self._settled = False  # a case is late, and by the program's own fault

    def finish(self) -> Any:
        """Runs the program until there is a report of each case that it may run. Returns why it has no code, or None."""
        error = self._begin()
        if len(self.reports) == self.count and not self._late():  # nearly always
            return error
        while error is None:
            if not self._is_over():
                error = self._go_on()
            elif self._settled or not self._late():
                break
            else:
                self._settle()
        return error

    def _begin(self) -> Any:
        """The first run: of the cases of a pure program in one process while nothing goes wrong, else of each in its own."""
        bench = self.bench
        error, reports, lines = bench.runner(
            self.source, self.request(range(self.count)), self.count, bench.options["isolate"], bench.most_late
        )
        self._note(reports, lines, range(self.count))
        if error != "batch":
            self.reports = reports
            return error
        self.reports, last = self._split(reports[0])
        if last[0]["end"] in _OVER and len(self.reports) < self.count and not _BOUNDARY.search(last[2]):
            self.reports.append(last)
        return None

    def _go_on(self) -> Any:
        """Runs the cases that are left, each in a process of its own."""
        rest = range(len(self.reports), self.count)
        spare = self.bench.most_late - len(self._late())
        error, reports, lines = self.bench.runner(self.source, self.request(rest), len(rest), True, spare)
        self._note(reports, lines, rest)
        self.reports += reports
        return error

    def _again(self, index: int) -> Report:
        """Runs a case once more."""
        _, (report,), lines = self.bench.runner(self.source, self.request(range(index, index + 1)), 1, True, 1)
        self.lines.add(lines, [index])
        return report

    def _note(self, reports: list[Report], lines: Any, cases: range) -> None:
        self.lines.add(lines, cases)
        for report in reports:
            self.budget.add(report)

    def _is_over(self) -> bool:
        """True if no case is left that may run."""
        if len(self.reports) == self.count:
            return True
        over = bool(self.reports) and self.reports[-1][0]["end"] in _OVER
        return over or self.budget.used_up or len(self._late()) >= self.bench.most_late

    # ------------------------------------------------------------------------------------------------- late cases

    def _late(self) -> list[int]:
        return [index for index, (record, _, _) in enumerate(self.reports) if is_late(record, self.bench.limit)]

    def _settle(self) -> None:
        """Leaves those cases late that are so by the program's own fault; of a case that is run again the quicker run counts."""
        late = self._late()
        if len(late) == 1 and not self._is_late_again(late[0]):
            return
        bench, now = self.bench, probe()
        calibrated = bench.pace.is_known
        if not calibrated:
            self._calm_down()
        least = bench.limit * bench.pace.slowdown(now)
        if all(self.reports[index][0]["seconds"] > least for index in late):
            self._settled = True
            return
        if calibrated:
            self._calm_down()
        self._settled = any(self._is_late_again(index) for index in late)  # one will do

    def _calm_down(self) -> None:
        self.bench.calm()
        self.bench.pace.calibrate()

    def _is_late_again(self, index: int) -> bool:
        """Runs a late case once more. True if it is late, or worse, again."""
        before, report = self.reports[index], self._again(index)
        if not is_late(report[0], self.bench.limit):
            self.reports[index] = report
            return report[0]["end"] in _OVER
        self.reports[index] = min(before, report, key=lambda each: each[0]["seconds"])
        return True

    # ------------------------------------------------------------------------------------------------- batches

    def _split(self, report: Report) -> tuple[list[Report], Report]:
        """The cases that a process came to the end of, one after the other, and the one that it was in.

        One that ran out of memory may have done so for what those before it left: from there on, each is to have its own
        process. What a process says of the time of each case is not believed where it matters: if together they took
        longer than one may, none counts. But a single one had all the time that the process had.
        """
        record, stdout, data = report
        done: list[Report] = []
        start = at = 0
        for match in _BOUNDARY.finditer(data):
            number, size, cpu, status = int(match[1]), int(match[2]), float(match[3]), int(match[4])
            if number != len(done) or number >= self.count or not at <= size <= len(stdout):
                break
            if number and data.find(_NO_MEMORY, start, match.start()) >= 0:
                break
            seconds = min(cpu, record["seconds"])
            own = {**record, "status": (status & 0xFF) << 8, "seconds": seconds, "wall": seconds, "end": ""}
            done.append((own, stdout[at:size], data[start : match.start()]))
            start, at = match.end(), size
        if is_late(record, self.bench.limit):
            if len(done) != 1:
                return [], report
            done[0][0]["seconds"] = record["seconds"]
        return done, (record, stdout[at:], data[start:])
