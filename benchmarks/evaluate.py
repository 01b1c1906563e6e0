"""`python -m benchmarks.evaluate SUITE --agent X`: programs for the problems of a suite, judged as they come, kept as a record.

SUITE is one of `--list`, or problems of your own: FILE.jsonl, a folder, hub:OWNER/NAME or module:attr (`datasets.load`).

X is a run folder of agents.train, a hub id or a local transformers folder, `package:NAME`, the URL of a server that speaks OpenAI's
protocol, a file of completions, or `module:function` (see `benchmarks.solvers`). Stop it however you like: the same command
goes on where it was. `--verify FOLDER` judges a record again; `--list` shows the suites.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from benchmarks import evaluation, records, solvers, suites
from benchmarks.core import Solver, UsesSandbox
from benchmarks.records.verify import suite_of, verify
from benchmarks.solvers.completions import Completions
from benchmarks.suites import Suite
from rltf_env import datasets, plugins, sandbox
from rltf_env.command import at_least, check_writable, guarded, leave
from rltf_env.command import parser as command_parser
from rltf_env.core import Outcome, Problem
from rltf_env.errors import UsageError
from rltf_env.heartbeat import Heartbeat

STOPPED = "Stopped. The same command goes on from here."

# ---------------------------------------------------------------------------------------------------------- terminal


class _Rate(ProgressColumn):
    """Programs judged a second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.1f}/s" if task.speed else "", style="progress.data.speed")


def _pulse(console: Console) -> Heartbeat:
    return Heartbeat(lambda text: console.print(text, markup=False, highlight=False, soft_wrap=True))


@contextmanager
def _progress(console: Console, name: str, total: int) -> Iterator[evaluation.Progress]:
    """What was judged, how fast, time left, and how far the writing is ahead; a line every few seconds in a pipe."""
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate(), TextColumn("left"),
        TimeRemainingColumn(), TextColumn("written {task.fields[written]}"),
    )  # fmt: skip
    with (
        _pulse(console) as pulse,
        Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars,
    ):
        pulse.paused = console.is_terminal

        def show(written: int, judged: int) -> None:
            if not bars.tasks:  # what an earlier run has judged is no part of the rate
                bars.add_task(name, total=total, completed=judged, written=written)
            bars.update(bars.tasks[0].id, completed=judged, written=written)
            pulse.doing(name, f"{written} of {total} programs written, {judged} judged")

        yield show


def summary(record: records.Record) -> Table:
    """The figures of a record for people."""
    found, head = record.report, record.header
    words = "problems of your own" if head["status"] == "own" else f"{head['status']}: not to be ranked"
    status = "" if head["status"] == "frozen" else f" ({words})"
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


# ----------------------------------------------------------------------------------------------------------- command


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    made = command_parser("benchmarks.evaluate", __doc__)
    known = ", ".join(suites.SUITES)
    made.add_argument("suite", nargs="?", help=f"one of {known}; or problems of your own: FILE.jsonl, hub:OWNER/NAME")
    made.add_argument(
        "--agent",
        help="who writes: a run's folder, a hub id, a folder of weights, package:NAME, the URL of a server, "
        "a file of programs, log:FILE of another harness, or module:function",
    )
    made.add_argument("--name", default="", help="what the leaderboard calls it")
    made.add_argument("--model", help="short for --option model=NAME (of a server)")
    made.add_argument(
        "--option", action="append", default=[], metavar="KEY=VALUE", help="of the solver; values as JSON or TOML"
    )
    made.add_argument("--decoder", help="a file of agents.decoding, or module:attr")
    made.add_argument("--decoder-option", action="append", default=[], metavar="KEY=VALUE", help="of the decoder")
    made.add_argument(
        "--out", type=Path, help="the record's folder (default: runs/evaluations/SUITE/NAME, marked if custom)"
    )
    made.add_argument(
        "--workers", type=at_least(0), default=0, help="judges side by side (default: one for each processor)"
    )
    made.add_argument("--require", default="none", help="the weakest isolation that will do; 'full' is the strongest")
    made.add_argument("--root", help="the data folder (default: $RLTF_DATA)")
    made.add_argument("--unfrozen", action="store_true", help="take data of another digest; the record says so")
    made.add_argument("--verify", type=Path, metavar="FOLDER", help="judge a record again")
    made.add_argument("--list", action="store_true", help="show the suites")
    custom = made.add_argument_group("other than the suite has it (its record is then 'custom', and not ranked)")
    custom.add_argument("--limit", type=at_least(1), help="only the first problems")
    custom.add_argument("--answered", action="store_true", help="only problems that the file has programs for")
    for name, kind, told in (
        ("samples", at_least(1), "programs for each problem"),
        ("temperature", float, "0 takes the most likely token"),
        ("top-p", float, "the share of likely tokens that are drawn from"),
        ("top-k", at_least(0), "how many likely tokens are drawn from; 0: all"),
        ("max-tokens", at_least(1), "of a program"),
    ):
        custom.add_argument(f"--{name}", type=kind, help=told)
    custom.add_argument("--seed", type=at_least(0), help="of the sampling")
    own = made.add_argument_group("of problems of your own")
    own.add_argument("--split", default="", help="which split (default: the dataset's own; a file is taken whole)")
    own.add_argument(
        "--data-option",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="of datasets.load; values as JSON or TOML",
    )
    return made


def choose(
    asked: argparse.Namespace, suite: Suite, found: Sequence[Problem], solver: Solver
) -> tuple[Suite, list[Problem], list[str]]:
    """The protocol, the problems that are asked for, and where that departs from the suite, in words.

    A file that has the same number of programs for each problem, more than the suite wants, has all of them judged.
    """
    chosen = list(found)
    if isinstance(solver, Completions):
        answered = solver.answered(found)
        if asked.answered:
            chosen = answered
    elif asked.answered:
        raise UsageError("Expected --answered with a file of completions, got another agent.")
    chosen = chosen[: asked.limit]
    departures = []
    if isinstance(solver, Completions):
        if asked.samples is None:
            suite = suite.changed(samples=solver.samples(chosen, suite.samples))
        departures = solver.check(chosen, suite.samples)
    departures = suite.departures() + departures
    if len(chosen) < len(found):
        departures.append(f"{len(chosen)} of {len(found)} problems")
    return suite, chosen, departures


def _suite(asked: argparse.Namespace) -> Suite:
    """The suite that is asked for, or a protocol for problems of one's own; several programs a problem are drawn."""
    if not suites.is_own(asked.suite):
        if asked.split or asked.data_option:
            raise UsageError(
                f"Expected --split and --data-option with problems of your own, got suite {asked.suite!r}."
            )
        return suites.get(asked.suite)
    suite = suites.own(asked.suite, asked.split, datasets.checked(plugins.options(asked.data_option)))
    if (asked.samples or 1) > 1:
        return dataclasses.replace(suite, samples=asked.samples, ks=(1, asked.samples), temperature=0.8, top_p=0.95)
    return suite


def start(asked: argparse.Namespace, console: Console) -> records.Record:
    """One evaluation, begun or continued."""
    names = ("samples", "temperature", "top_p", "top_k", "max_tokens", "seed")
    if asked.out:
        check_writable(asked.out, folder=True)
    suite = _suite(asked).changed(**{name: getattr(asked, name) for name in names})
    with _pulse(console) as pulse:
        pulse.begin(f"{suite.name}: loading the problems")
        found, digest, status = suites.problems(suite, asked.root, unfrozen=asked.unfrozen)
    given = plugins.options(asked.option) | ({"model": asked.model} if asked.model else {})
    given |= {"decoder": asked.decoder} if asked.decoder else {}
    given |= {"decoder_options": plugins.options(asked.decoder_option)} if asked.decoder_option else {}
    with _pulse(console) as pulse:
        pulse.begin(f"{suite.name}: {len(found)} problems; loading {asked.agent}")
        solver = solvers.find(asked.agent, suite, given)
    suite, chosen, departures = choose(asked, suite, found, solver)
    name = asked.name or solver.name
    with sandbox.load(workers=asked.workers, require=asked.require, **suite.judge) as judge:
        departures += solver.attach(judge, chosen) if isinstance(solver, UsesSandbox) else []
        head = evaluation.header(suite, status, departures, digest, chosen, solver, judge.level(), name)
        folder = asked.out or Path("runs/evaluations") / suite.name / folder_name(head)
        head = records.begin(folder, head)
        if "samples_sha256" in head:
            console.print(f"{escape(str(folder))} is finished.", highlight=False)
            (folder / records.JOURNAL).unlink(missing_ok=True)
            return records.read(folder)
        with _progress(console, suite.name, len(chosen) * suite.samples) as progress:
            samples = evaluation.evaluate(suite, solver, chosen, folder, judge, progress)
    return evaluation.complete(folder, samples, head)


def folder_name(head: Mapping[str, Any]) -> str:
    """The name of a record's folder: the agent's and, where that does not tell two records apart, a mark of the rest.

    Records whose decoder, departures or data differ have different names; what is run as the suite has it has the plain one.
    """
    agent = head["agent"]
    rest = {name: value for name in ("decoder", "decoder_options") if (value := agent.get(name))}
    rest |= {name: head[name] for name in ("departures",) if head[name]}
    rest |= {"data": head["data"]} if head["status"] in ("unfrozen", "own") else {}
    rest |= {"protocol": head["suite"]} if head["status"] == "own" else {}
    words = [agent["name"], *([agent["decoder"]] if agent.get("decoder") else [])]
    if rest:
        words.append(hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()[:8])
    return re.sub(r"[^\w.-]+", "-", "-".join(words))


def changed(each: Mapping[str, Any]) -> str:
    """A verdict that changed, in words."""
    was, now = (_in_words(*each[name]) for name in ("was", "now"))
    return f"{each['problem']}, sample {each['sample']}: was {was}; now {now}"


def _in_words(outcomes: Sequence[int], failures: Sequence[Sequence[Any] | None], visible: Sequence[int]) -> str:
    """`Outcome`s of the cases, and their failures, as `benchmarks.records.verify` compares them."""
    counts = Counter(Outcome(outcome).name.lower().replace("_", " ") for outcome in outcomes)
    kinds = {f"{each[0]} on line {each[1]}" if each[1] else str(each[0]) for each in failures if each}
    told = ", ".join(f"{count} {name}" for name, count in counts.items())
    passed = sum(outcome == Outcome.PASSED for outcome in visible)
    examples = f", {passed} of {len(visible)} public examples passed" if visible else ""
    return told + (f" ({', '.join(sorted(kinds))})" if kinds else "") + examples


def check(asked: argparse.Namespace, console: Console) -> int:
    """`--verify`: 0 if everything is as the record says."""
    record = records.read(asked.verify)
    judged = sandbox.load(workers=asked.workers, require=asked.require, **suite_of(record).judge)
    with judged as judge, _progress(console, "verify", len(record.samples or ())) as progress:
        found = verify(record, judge, asked.root, progress)
    records.write_json(record.folder / records.VERIFIED, found)
    for each in found["changed"]:
        console.print(changed(each), markup=False, highlight=False, soft_wrap=True)
    if record.altered:
        console.print("The samples are not those that the header names.")
    console.print(f"{len(found['changed'])} of {found['programs']} verdicts changed.")
    return 1 if found["changed"] or record.altered else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. 0: done; 1: a verdict changed; 2: an error of the user's making; 130: stopped, and can be continued."""
    made = parser()
    asked = made.parse_args(arguments)
    if not (asked.list or asked.verify) and not (asked.suite and asked.agent):
        made.error("expected a suite and --agent, or --verify FOLDER, or --list")
    return guarded(lambda: _run(asked, Console()), STOPPED)


def _run(asked: argparse.Namespace, console: Console) -> int:
    if asked.list:
        console.print(listing())
        return 0
    if asked.verify:
        return check(asked, console)
    record = start(asked, console)
    console.print(summary(record))
    console.print(f"Record: {escape(str(record.folder))}", highlight=False, soft_wrap=True)
    return 0


if __name__ == "__main__":
    leave(main())
