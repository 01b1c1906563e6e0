"""An evaluation: programs for the problems of a suite, judged as they come, kept in a record's journal.

The threads of a `SolverPool` write batches and put them into a queue; a `JudgeQueue` puts the verdicts
into the same queue. One loop takes from it and writes the journal, so that any kill leaves something
to go on from.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import records
from benchmarks.core import Answer, JudgedAnswer, Key, Solver, examples_apart, verdict_row
from benchmarks.records.report import report
from benchmarks.suites import Suite
from rltf_env import sandbox
from rltf_env.core import Outcome, Problem, Sandbox, Verdict
from rltf_env.errors import SandboxError
from rltf_env.intervals import statements

USE = "a record, which counts programs that pass"  # what a judge must run programs for
AHEAD = 4  # batches that may be written and not yet taken, beside those in the making
Progress = Callable[[int, int], None]  # told how many programs are written, and how many judged


# ---------------------------------------------------------------------------------------------------------- the judge


@dataclass(frozen=True)
class Judged:
    """A verdict on its way to the journal."""

    key: Key
    verdict: Verdict
    visible: tuple[Outcome, ...]

    def row(self) -> dict[str, Any]:
        """A line of the record: the program and what became of it."""
        self.verdict.check_run(USE)
        seconds = round(sum(result.seconds for result in self.verdict.results), 4)
        return {**self.key._asdict(), **verdict_row(self.verdict, self.visible), "judge_seconds": seconds}


class JudgeQueue:
    """Submits programs to a judge and puts what comes back, a `Judged` or an exception, into a queue."""

    def __init__(self, judge: Sandbox, problems: Sequence[Problem], out: queue.SimpleQueue[Any]) -> None:
        sandbox.check_runs(judge, USE)
        self.judge, self.out = judge, out
        self.problems = {problem.id: problem for problem in problems}
        self.examples = examples_apart(problems)
        self.stopped = threading.Event()

    def stop(self) -> None:
        """Nobody waits for verdicts any more: what the judge could not do is not tried again."""
        self.stopped.set()

    def submit(self, key: Key, text: str) -> None:
        """Has a program judged on the cases and on the public examples, each a second time if the judge fails."""
        problems = [self.problems[key.problem], *([self.examples[key.problem]] if key.problem in self.examples else [])]
        verdicts: dict[int, Verdict] = {}
        lock = threading.Lock()

        def done(index: int, future: Future[Verdict], last: bool) -> None:
            error = None if future.cancelled() else future.exception()
            if self.stopped.is_set():
                return
            if isinstance(error, SandboxError) and not last:
                threading.Thread(target=ask, args=(index, True), daemon=True).start()  # not in the judge's own thread
            elif error is not None:
                self.out.put(error)
            elif not future.cancelled():
                with lock:
                    verdicts[index] = future.result()
                    whole = len(verdicts) == len(problems)
                if whole:
                    visible = tuple(result.outcome for result in verdicts[1].results) if len(problems) > 1 else ()
                    self.out.put(Judged(key, verdicts[0], visible))

        def ask(index: int, last: bool = False) -> None:
            try:
                future = self.judge.submit(text, problems[index])
            except Exception as error:  # in a thread of its own, nobody else would hear of it
                self.out.put(error)
                return
            future.add_done_callback(lambda future: done(index, future, last))

        for index in range(len(problems)):
            ask(index)


# --------------------------------------------------------------------------------------------------------- the solver


@dataclass(frozen=True)
class AnswerBatch:
    """A batch of answers, on its way to the journal."""

    problems: Sequence[Problem]
    groups: list[list[Answer]]


class SolverPool:
    """Threads that have batches written, one after the other, and put them, or what went wrong, into a queue."""

    def __init__(self, solver: Solver, batches: Sequence[Sequence[Problem]], suite: Suite, out: Any) -> None:
        self.solver, self.suite, self.out = solver, suite, out
        self.left = iter(batches)
        self.lock, self.stopped = threading.Lock(), threading.Event()
        self.room = threading.Semaphore(solver.side_by_side + AHEAD)
        for _ in range(solver.side_by_side):
            threading.Thread(target=self._work, daemon=True, name="rltf-solver").start()

    def _work(self) -> None:
        while not self.stopped.is_set():
            self.room.acquire()
            with self.lock:
                batch = next(self.left, None)
            if batch is None or self.stopped.is_set():
                return
            try:
                groups = self.solver.write(batch, self.suite.samples, self.suite.seed)
            except BaseException as error:
                self.out.put(error)
                return
            self.out.put(AnswerBatch(batch, groups))

    def taken(self) -> None:
        """A batch has been taken from the queue."""
        self.room.release()

    def stop(self) -> None:
        """Asks the solvers for no more: those that wait for room go on, and end."""
        self.stopped.set()
        for _ in range(self.solver.side_by_side):
            self.room.release()


# -------------------------------------------------------------------------------------------------------------- a run


def evaluate(
    suite: Suite,
    solver: Solver,
    problems: Sequence[Problem],
    folder: Path,
    judge: Sandbox,
    progress: Progress = lambda written, verdict_row: None,
) -> list[JudgedAnswer]:
    """All samples, judged; `folder` has the journal, which is read first and only ever added to."""
    order = [Key(problem.id, sample) for problem in problems for sample in range(suite.samples)]
    journal = records.RecordJournal(folder / records.JOURNAL)
    try:
        _fill(journal, suite, solver, problems, judge, progress, len(order))
        return list(journal.samples(order, {problem.id: problem.difficulty for problem in problems}))
    finally:
        journal.close()


def _fill(
    journal: records.RecordJournal,
    suite: Suite,
    solver: Solver,
    problems: Sequence[Problem],
    judge: Sandbox,
    progress: Progress,
    total: int,
) -> None:
    """Writes and judges what the journal has not."""
    events: queue.SimpleQueue[Any] = queue.SimpleQueue()
    judging = JudgeQueue(judge, problems, events)
    batches = [problems[i : i + solver.batch] for i in range(0, len(problems), solver.batch)]  # always the same
    missing = [batch for batch in batches if any(_missing(journal, problem, suite.samples) for problem in batch)]
    progress(len(journal.answers), len(journal.verdicts))
    for key, answer in journal.answers.items():
        if key not in journal.verdicts:
            judging.submit(key, answer.text)
    pool = SolverPool(solver, missing, suite, events)
    try:
        while len(journal.verdicts) < total:
            event = events.get()
            if isinstance(event, BaseException):
                raise event
            if isinstance(event, AnswerBatch):
                pool.taken()
                _take(journal, event, judging)
            else:
                row = event.row()
                journal.append([row])
                journal.verdicts[event.key] = row
            progress(len(journal.answers), len(journal.verdicts))
    finally:
        pool.stop()
        judging.stop()


def _missing(journal: records.RecordJournal, problem: Problem, samples: int) -> bool:
    return any(Key(problem.id, sample) not in journal.answers for sample in range(samples))


def _take(journal: records.RecordJournal, written: AnswerBatch, judging: JudgeQueue) -> None:
    """Answers into the journal first, then to the judge: what was paid for is not lost."""
    fresh = {
        Key(problem.id, sample): answer
        for problem, group in zip(written.problems, written.groups, strict=True)
        for sample, answer in enumerate(group)
    }
    fresh = {key: answer for key, answer in fresh.items() if key not in journal.answers}
    journal.append([{**key._asdict(), **answer.to_dict()} for key, answer in fresh.items()])
    journal.answers.update(fresh)
    for key, answer in fresh.items():
        judging.submit(key, answer.text)


def header(
    suite: Suite,
    status: str,
    departures: Sequence[str],
    digest: str,
    problems: Sequence[Problem],
    solver: Solver,
    judge: str,
    name: str,
) -> dict[str, Any]:
    """What a record says of itself. `repeats` names, of each problem that asks what an earlier one asks, that one."""
    described = solver.describe()
    asked = statements(problems)
    first = {number: problem.id for number, problem in reversed(list(zip(asked, problems, strict=True)))}
    repeats = {p.id: first[n] for n, p in zip(asked, problems, strict=True) if first[n] != p.id}
    packages = ("torch", "transformers") if described["kind"] == "policy" else ()
    return {
        "format": records.FORMAT,
        "suite": suite.protocol(),
        "status": status if not departures or status == "own" else "custom",
        "departures": list(departures),
        "data": digest,
        "problems": len(problems),
        **({"repeats": repeats} if repeats else {}),
        "agent": {"name": name or solver.name, **described},
        "judge": judge,
        "packages": sandbox.packages(suite.judge.get("packages")),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        **records.provenance(packages),
    }


def complete(folder: Path, samples: Sequence[JudgedAnswer], head: Mapping[str, Any]) -> records.Record:
    """Writes the final files of a record, and reads them."""
    suite = head["suite"]
    seconds = {
        "writing": round(sum(sample.answer.seconds for sample in samples), 3),
        "judging": round(sum(sample.seconds for sample in samples), 3),
    }
    finished = {**head, "finished": datetime.now(UTC).isoformat(timespec="seconds"), "seconds": seconds}
    records.finish(folder, finished, samples, report(samples, suite["samples"], suite["ks"], head.get("repeats")))
    return records.read(folder)
