"""`python -m benchmarks.evaluate SUITE --agent X`: programs for the problems of a suite, judged as they come, kept as a record.

X is a run folder of agents.train, a hub id or a local transformers folder, `package:NAME`, the URL of a server that speaks OpenAI's
protocol, a file of completions, or `module:function` (see `benchmarks.solvers`). Stop it however you like: the same command
goes on where it was. `--verify FOLDER` judges a record again; `--list` shows the suites.
"""

from __future__ import annotations

import argparse
import queue
import re
import sys
import threading
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from benchmarks import records, solvers, suites
from benchmarks.core import Answer, Borrower, Key, Sample, Writer, judged
from benchmarks.records.report import report
from benchmarks.solvers.completions import Completions
from benchmarks.suites import Suite
from rltf_env import sandbox
from rltf_env.core import Outcome, Problem, Sandbox, Verdict
from rltf_env.errors import RLTFError, SandboxError, UsageError

AHEAD = 4  # batches that may be written and not yet taken, beside those in the making


# ---------------------------------------------------------------------------------------------------------- the judge


class Examples:
    """The problem that a problem's public examples make, where they are not among its cases anyway."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.of = {
            problem.id: replace(problem, cases=tuple(problem.examples))
            for problem in problems
            if problem.examples and not all(example in problem.cases for example in problem.examples)
        }


@dataclass(frozen=True)
class Judged:
    """A verdict on its way to the journal."""

    key: Key
    verdict: Verdict
    visible: tuple[Outcome, ...]

    def row(self) -> dict[str, Any]:
        seconds = round(sum(result.seconds for result in self.verdict.results), 4)
        return {**self.key._asdict(), **judged(self.verdict, self.visible), "judge_seconds": seconds}


class Bench:
    """Submits programs to a judge and puts what comes back, a `Judged` or an exception, into a queue."""

    def __init__(self, judge: Sandbox, problems: Sequence[Problem], out: queue.SimpleQueue[Any]) -> None:
        self.judge, self.out = judge, out
        self.problems = {problem.id: problem for problem in problems}
        self.examples = Examples(problems).of

    def submit(self, key: Key, text: str) -> None:
        """Has a program judged on the cases and on the public examples, each a second time if the judge fails."""
        asked = [self.problems[key.problem], *([self.examples[key.problem]] if key.problem in self.examples else [])]
        found: dict[int, Verdict] = {}
        lock = threading.Lock()

        def done(index: int, future: Future[Verdict], last: bool) -> None:
            error = None if future.cancelled() else future.exception()
            if isinstance(error, SandboxError) and not last:
                threading.Thread(target=ask, args=(index, True), daemon=True).start()  # not in the judge's own thread
            elif error is not None:
                self.out.put(error)
            elif not future.cancelled():
                with lock:
                    found[index] = future.result()
                    whole = len(found) == len(asked)
                if whole:
                    visible = tuple(result.outcome for result in found[1].results) if len(asked) > 1 else ()
                    self.out.put(Judged(key, found[0], visible))

        def ask(index: int, last: bool = False) -> None:
            future = self.judge.submit(text, asked[index])
            future.add_done_callback(lambda future: done(index, future, last))

        for index in range(len(asked)):
            ask(index)


# --------------------------------------------------------------------------------------------------------- the writer


@dataclass(frozen=True)
class Written:
    """A batch of answers, on its way to the journal."""

    problems: Sequence[Problem]
    groups: list[list[Answer]]


class Desk:
    """Threads that have batches written, one after the other, and put them, or what went wrong, into a queue."""

    def __init__(self, writer: Writer, batches: Sequence[Sequence[Problem]], suite: Suite, out: Any) -> None:
        self.writer, self.suite, self.out = writer, suite, out
        self.left = iter(batches)
        self.lock, self.stopped = threading.Lock(), threading.Event()
        self.room = threading.Semaphore(writer.side_by_side + AHEAD)
        for _ in range(writer.side_by_side):
            threading.Thread(target=self._work, daemon=True, name="rltf-writer").start()

    def _work(self) -> None:
        while not self.stopped.is_set():
            self.room.acquire()
            with self.lock:
                batch = next(self.left, None)
            if batch is None or self.stopped.is_set():
                return
            try:
                groups = self.writer.write(batch, self.suite.samples, self.suite.seed)
            except BaseException as error:
                self.out.put(error)
                return
            self.out.put(Written(batch, groups))

    def taken(self) -> None:
        """A batch has been taken from the queue."""
        self.room.release()

    def stop(self) -> None:
        self.stopped.set()
        for _ in range(self.writer.side_by_side):
            self.room.release()


# -------------------------------------------------------------------------------------------------------------- a run


def evaluate(
    suite: Suite, writer: Writer, problems: Sequence[Problem], folder: Path, judge: Sandbox, console: Console
) -> list[Sample]:
    """All samples, judged; `folder` has the journal, which is read first and only ever added to."""
    order = [Key(problem.id, sample) for problem in problems for sample in range(suite.samples)]
    journal = records.Journal(folder / records.JOURNAL)
    try:
        _fill(journal, suite, writer, problems, judge, console, len(order))
        return list(journal.samples(order, {problem.id: problem.difficulty for problem in problems}))
    finally:
        journal.close()


def _fill(
    journal: records.Journal,
    suite: Suite,
    writer: Writer,
    problems: Sequence[Problem],
    judge: Sandbox,
    console: Console,
    total: int,
) -> None:
    """Writes and judges what the journal has not."""
    events: queue.SimpleQueue[Any] = queue.SimpleQueue()
    bench = Bench(judge, problems, events)
    batches = [problems[i : i + writer.batch] for i in range(0, len(problems), writer.batch)]  # always the same
    missing = [batch for batch in batches if any(_missing(journal, problem, suite.samples) for problem in batch)]
    with _progress(console, suite.name, len(journal.verdicts), total) as bar:
        for key, answer in journal.answers.items():
            if key not in journal.verdicts:
                bench.submit(key, answer.text)
        desk = Desk(writer, missing, suite, events)
        try:
            while len(journal.verdicts) < total:
                event = events.get()
                if isinstance(event, BaseException):
                    raise event
                if isinstance(event, Written):
                    desk.taken()
                    _take(journal, event, bench)
                else:
                    row = event.row()
                    journal.append([row])
                    journal.verdicts[event.key] = row
                bar(len(journal.answers), len(journal.verdicts))
        finally:
            desk.stop()


def _missing(journal: records.Journal, problem: Problem, samples: int) -> bool:
    return any(Key(problem.id, sample) not in journal.answers for sample in range(samples))


def _take(journal: records.Journal, written: Written, bench: Bench) -> None:
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
        bench.submit(key, answer.text)


class _Rate(ProgressColumn):
    """Programs judged a second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.1f}/s" if task.speed else "", style="progress.data.speed")


@contextmanager
def _progress(console: Console, name: str, done: int, total: int) -> Iterator[Any]:
    """What was judged, how fast, time left, and how far the writing is ahead; nothing where there is no terminal."""
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate(), TextColumn("left"),
        TimeRemainingColumn(), TextColumn("written {task.fields[written]}"),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task(name, total=total, completed=done, written=0)
        yield lambda written, judged: bars.update(task, completed=judged, written=written)


def header(
    suite: Suite, status: str, departures: Sequence[str], digest: str, count: int, writer: Writer, judge: str, name: str
) -> dict[str, Any]:
    """What a record says of itself."""
    described = writer.describe()
    packages = ("torch", "transformers") if described["kind"] == "policy" else ()
    return {
        "format": records.FORMAT,
        "suite": suite.protocol(),
        "status": status if not departures else "custom",
        "departures": list(departures),
        "data": digest,
        "problems": count,
        "agent": {"name": name or writer.name, **described},
        "judge": judge,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        **records.provenance(packages),
    }


def complete(folder: Path, samples: Sequence[Sample], head: Mapping[str, Any]) -> records.Record:
    """Writes the final files of a record, and reads them."""
    suite = head["suite"]
    seconds = {
        "writing": round(sum(sample.answer.seconds for sample in samples), 3),
        "judging": round(sum(sample.seconds for sample in samples), 3),
    }
    finished = {**head, "finished": datetime.now(UTC).isoformat(timespec="seconds"), "seconds": seconds}
    records.finish(folder, finished, samples, report(samples, suite["samples"], suite["ks"]))
    return records.read(folder)


# ------------------------------------------------------------------------------------------------------------- verify


def verify(record: records.Record, judge: Sandbox, root: str | None = None) -> dict[str, Any]:
    """Judges every program of a record again; what changed. Messages and times may differ, outcome, kind and line may not."""
    if record.samples is None:
        raise UsageError(f"Expected the completions of {record.folder.name}, got a record that only counts them.")
    suite = suite_of(record)
    found, digest, _ = suites.problems(suite, root, unfrozen=True)
    if digest != record.header["data"]:
        raise UsageError(
            f"Expected the data that the record was made with ({record.header['data']}), got others ({digest})."
        )
    by_id = {problem.id: problem for problem in found}
    examples = Examples(found).of
    changed = []
    jobs = [(sample.answer.text, by_id[sample.key.problem]) for sample in record.samples]
    seen = [sample for sample in record.samples if sample.visible]
    visible = judge.map((sample.answer.text, examples[sample.key.problem]) for sample in seen)
    again = {sample.key: tuple(r.outcome for r in v.results) for sample, v in zip(seen, visible, strict=True)}
    for sample, now in zip(record.samples, judge.map(jobs), strict=True):
        was, is_now = _essence(sample.verdict, sample.visible), _essence(now, again.get(sample.key, ()))
        if was != is_now:
            changed.append({**sample.key._asdict(), "was": was, "now": is_now})
    return {
        "samples_sha256": record.header["samples_sha256"],
        "programs": len(record.samples),
        "changed": changed,
        "altered": record.altered,
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        **records.provenance(),
    }


def _essence(verdict: Verdict, visible: Sequence[Outcome]) -> list[Any]:
    failures = [[r.failure.kind, r.failure.line] if r.failure else None for r in verdict.results]
    return [[int(result.outcome) for result in verdict.results], failures, [int(outcome) for outcome in visible]]


def suite_of(record: records.Record) -> Suite:
    """The protocol that a record was made by."""
    plain = record.header["suite"]
    try:
        return Suite(**{**plain, "ks": tuple(plain["ks"]), "stop": tuple(plain["stop"]), "about": ""})
    except TypeError as error:
        raise UsageError(f"Expected the protocol of a suite in {record.folder}, got {error}.") from error


# ------------------------------------------------------------------------------------------------------------ terminal


def summary(record: records.Record) -> Table:
    """The figures of a record for people."""
    found, head = record.report, record.header
    status = "" if head["status"] == "frozen" else f" ({head['status']}: not to be ranked)"
    table = Table(title=f"{escape(record.name)} on {record.suite}{status}", title_justify="left", show_header=False)
    for k, value in found["pass@k"].items():
        table.add_row(f"pass@{k}", percent(value))
    table.add_row("cases passed", percent(found["pass_ratio"]))
    if found["gap"]:
        seen = found["gap"]
        words = f"{seen['visible']:.1%} pass the public examples, {seen['hidden']:.1%} all cases"
        table.add_row("gap", f"{percent(seen['gap'])}: {words} ({seen['problems']} problems have such examples)")
    total = sum(found["outcomes"]["all"].values())
    for name, count in found["outcomes"]["all"].items():
        table.add_row(name.lower().replace("_", " "), f"{count} of {total} ({count / total:.1%})")
    table.add_row("failures", ", ".join(f"{k} {n}" for k, n in list(found["kinds"]["all"].items())[:6]) or "none")
    if found["tokens"]:
        table.add_row("tokens a program", f"{found['tokens']['mean']:.0f}, at most {found['tokens']['most']}")
    table.add_row("seconds", f"writing {head['seconds']['writing']:.0f}, judging {head['seconds']['judging']:.0f}")
    return table


def percent(value: Mapping[str, float]) -> str:
    """An interval in words."""
    return f"{value['value']:.1%} ({value['low']:.1%} to {value['high']:.1%})"


def listing() -> Table:
    """The suites."""
    table = Table(title="suites", title_justify="left")
    for column in ("suite", "about", "frozen"):
        table.add_column(column)
    for suite in suites.SUITES.values():
        table.add_row(suite.id, suite.about, suite.digest[:12] or "no")
    return table


# ------------------------------------------------------------------------------------------------------------- command


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m benchmarks.evaluate", description=(__doc__ or "").split("\n\n")[0])
    made.add_argument("suite", nargs="?", help=f"one of {', '.join(suites.SUITES)}")
    made.add_argument("--agent", help="who writes: see the head of benchmarks/solvers")
    made.add_argument("--name", default="", help="what the leaderboard calls it")
    made.add_argument("--model", help="short for --option model=NAME (of a server)")
    made.add_argument("--option", action="append", default=[], metavar="KEY=VALUE", help="of the writer; TOML values")
    made.add_argument("--decoder", help="a file of agents.decoding, or module:attr")
    made.add_argument("--decoder-option", action="append", default=[], metavar="KEY=VALUE")
    made.add_argument("--out", type=Path, help="the record's folder (default: runs/evaluations/SUITE/NAME)")
    made.add_argument("--workers", type=int, default=0, help="judges side by side (default: one for each processor)")
    made.add_argument("--require", default="none", help="the weakest isolation that will do; 'full' is the strongest")
    made.add_argument("--root", help="the data folder (default: $RLTF_DATA)")
    made.add_argument("--unfrozen", action="store_true", help="take data of another digest; the record says so")
    made.add_argument("--verify", type=Path, metavar="FOLDER", help="judge a record again")
    made.add_argument("--list", action="store_true", help="show the suites")
    custom = made.add_argument_group("other than the suite has it (the record is then 'custom', and not ranked)")
    custom.add_argument("--limit", type=int, help="only the first problems")
    custom.add_argument("--answered", action="store_true", help="only problems that the file has programs for")
    for name, kind in (("samples", int), ("temperature", float), ("top-p", float), ("top-k", int), ("max-tokens", int)):
        custom.add_argument(f"--{name}", type=kind)
    custom.add_argument("--seed", type=int)
    return made


def options(pairs: Sequence[str]) -> dict[str, Any]:
    """`key=value` pairs; values are TOML, bare words strings."""
    found: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key:
            raise UsageError(f"Expected KEY=VALUE, got {pair!r}.")
        try:
            found[key] = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            found[key] = text
    return found


def choose(asked: argparse.Namespace, suite: Suite, found: Sequence[Problem], writer: Writer) -> tuple[Any, list[str]]:
    """The problems that are asked for, and where that departs from the suite, in words."""
    chosen, departures = list(found), suite.departures()
    if isinstance(writer, Completions):
        answered = writer.answered(found)
        if asked.answered:
            chosen = answered
    elif asked.answered:
        raise UsageError("Expected --answered with a file of completions, got another agent.")
    if asked.limit is not None and asked.limit < 1:
        raise UsageError(f"Expected --limit of at least 1, got {asked.limit}.")
    chosen = chosen[: asked.limit]
    if len(chosen) < len(found):
        departures.append(f"{len(chosen)} of {len(found)} problems")
    return chosen, departures


def start(asked: argparse.Namespace, console: Console) -> records.Record:
    """One evaluation, begun or continued."""
    names = ("samples", "temperature", "top_p", "top_k", "max_tokens", "seed")
    suite = suites.get(asked.suite).changed(**{name: getattr(asked, name) for name in names})
    found, digest, status = suites.problems(suite, asked.root, unfrozen=asked.unfrozen)
    given = options(asked.option) | ({"model": asked.model} if asked.model else {})
    given |= {"decoder": asked.decoder} if asked.decoder else {}
    given |= {"decoder_options": options(asked.decoder_option)} if asked.decoder_option else {}
    writer = solvers.find(asked.agent, suite, given)
    chosen, departures = choose(asked, suite, found, writer)
    name = asked.name or writer.name
    folder = asked.out or Path("runs/evaluations") / suite.name / re.sub(r"[^\w.-]+", "-", name)
    with sandbox.load(workers=asked.workers, require=asked.require, **suite.judge) as judge:
        departures += writer.borrow(judge, chosen) if isinstance(writer, Borrower) else []
        head = header(suite, status, departures, digest, len(chosen), writer, judge.level(), name)
        head = records.begin(folder, head)
        if "samples_sha256" in head:
            console.print(f"{escape(str(folder))} is finished.", highlight=False)
            (folder / records.JOURNAL).unlink(missing_ok=True)
            return records.read(folder)
        samples = evaluate(suite, writer, chosen, folder, judge, console)
    return complete(folder, samples, head)


def check(asked: argparse.Namespace, console: Console) -> int:
    """`--verify`: 0 if everything is as the record says."""
    record = records.read(asked.verify)
    with sandbox.load(workers=asked.workers, require=asked.require, **suite_of(record).judge) as judge:
        found = verify(record, judge, asked.root)
    records.write_json(record.folder / records.VERIFIED, found)
    for each in found["changed"]:
        console.print(f"{each['problem']}, sample {each['sample']}: was {each['was']}, now {each['now']}", markup=False)
    if record.altered:
        console.print("The samples are not those that the header names.")
    console.print(f"{len(found['changed'])} of {found['programs']} verdicts changed.")
    return 1 if found["changed"] or record.altered else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. 0: done; 1: a verdict changed; 2: an error of the user's making; 130: stopped, and can be continued."""
    made = parser()
    asked = made.parse_args(arguments)
    console, complaints = Console(), Console(stderr=True)
    if not (asked.list or asked.verify) and not (asked.suite and asked.agent):
        made.error("expected a suite and --agent, or --verify FOLDER, or --list")
    try:
        if asked.list:
            console.print(listing())
            return 0
        if asked.verify:
            return check(asked, console)
        record = start(asked, console)
    except KeyboardInterrupt:
        complaints.print("Stopped. The same command goes on from here.")
        return 130
    except RLTFError as error:
        complaints.print(f"[red]{type(error).__name__}:[/] {escape(str(error))}", highlight=False)
        return 2
    console.print(summary(record))
    console.print(f"Record: {escape(str(record.folder))}", highlight=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
