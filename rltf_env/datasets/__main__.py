"""`python -m rltf_env.datasets check NAME`: runs every reference solution, reports those that fail, and lists broken problems.

A problem is broken if none of its references passes all its cases and its public examples: nothing shows that it can be solved
as it is judged. So is one, with a reference or without, on which no program can be judged. Broken ones go into a quarantine list
(`NAME.quarantine.json`, or `--quarantine FILE`), which `datasets.load(NAME, quarantine=FILE)` honours. The file is written whole at
the end; an interrupted check leaves it alone. Without broken problems there is no file, unless one was asked for, or is there
already.

A problem whose cases a program passes that does nothing (the reference with empty functions; an empty program where it reads
standard input) is named, too. It may be sound, and it teaches nothing.

Exit status 0: every reference passes; 1: some do not; 2: the data cannot be read, or the judge fails; 130: interrupted.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rltf_env import datasets, plugins, sandbox
from rltf_env.command import at_least, check_writable, guarded, leave, parser
from rltf_env.core import Problem, Problems
from rltf_env.datasets import _quarantine, audit
from rltf_env.view import ansi

ROWS = 50  # problems that are told on the screen
NAMED = 8  # of those that a program passes which does nothing


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns the exit status."""
    args = _parser().parse_args(arguments)
    return guarded(lambda: _run(args), "Interrupted: no list was written.")


def _run(args: argparse.Namespace) -> int:
    check_writable(_list(args))
    options = datasets.checked(plugins.options(args.option))
    problems = datasets.load(args.name, args.split, args.root, **options)
    problems = Problems(problems[: args.limit], problems.skipped)
    sandbox.check_runs(args.sandbox, "a check of references")
    limits = {} if args.seconds is None else {"case_seconds": args.seconds}
    with sandbox.load(args.sandbox, **limits) as judge:
        return _check(problems, judge, args)


def _list(args: argparse.Namespace) -> str:
    """Where the list of broken problems goes."""
    return args.quarantine or f"{_stem(args.name)}.quarantine.json"


def _parser() -> argparse.ArgumentParser:
    made = parser("rltf_env.datasets", __doc__)
    check = made.add_subparsers(dest="command", required=True).add_parser(
        "check",
        help="run the reference solutions",
        description="Runs every reference solution of a dataset, and lists the problems that none of theirs solves.",
    )
    check.add_argument("name", help="what datasets.load takes: mbpp, FILE.jsonl, hub:owner/name, module:attr, ...")
    check.add_argument("--split", help="without it, the dataset's own default")
    check.add_argument("--root", help="folder of the data; without it, $RLTF_DATA")
    check.add_argument("--limit", type=at_least(1), help="check the first so many problems only")
    check.add_argument("--option", action="append", default=[], metavar="KEY=VALUE", help="an option of the dataset")
    check.add_argument(
        "--quarantine",
        metavar="FILE",
        help="where to write the list (default: NAME.quarantine.json here, if a problem is broken)",
    )
    check.add_argument("--sandbox", default="auto", help="which judge: auto, forkserver, subprocess")
    check.add_argument("--seconds", type=float, help="time limit of a case; without it, the judge's own")
    return made


def _check(problems: Problems, judge: Any, args: argparse.Namespace) -> int:
    total = sum(bool(problem.solutions) for problem in problems)
    faulty: list[audit.Examined] = []
    solved: list[Problem] = []
    with _progress(f"check {args.name}", total) as advance:
        for examined in audit.examine(problems, judge):
            if examined.failed:
                faulty.append(examined)
            if examined.solved_by:
                solved.append(examined.problem)
            advance()
    broken = [examined for examined in faulty if examined.broken]
    path = _list(args)
    about = {
        "dataset": args.name,
        "split": args.split,
        "data_digest": datasets.digest(problems),
        "judge": judge.level() if hasattr(judge, "level") else type(judge).__name__,
        "checked": total,
    }
    print(_report(problems, total, faulty))
    if undemanding := _undemanding(solved, judge):
        print(_weakness(undemanding))
    if broken or args.quarantine or os.path.exists(path):
        _quarantine.write(path, (examined.entry for examined in broken), about)
        print(f"{len(broken)} broken problem{'s' * (len(broken) != 1)} listed in {path}")
    else:
        print("No problem is broken: no list was written.")
    return 1 if faulty else 0


def _undemanding(problems: Sequence[Problem], judge: Any) -> list[Problem]:
    """Those of which a program that does nothing passes the cases."""
    found: list[Problem] = []
    with _progress("check that a stub fails", len(problems)) as advance:
        for problem, passed in audit.stubbed(problems, judge):
            if passed:
                found.append(problem)
            advance()
    return found


def _stem(name: str) -> str:
    """What a dataset's name gives for a file name."""
    last = os.path.basename(name.rstrip("/")).removesuffix(".gz").removesuffix(".jsonl")
    return re.sub(r"[^\w.-]+", "-", last) or "dataset"


def _report(problems: Problems, total: int, faulty: Sequence[audit.Examined]) -> str:
    """The finding, for people."""
    rows = [("problem", "outcome", "failure", "line", "references", "")]
    rows += [_row(examined) for examined in faulty[:ROWS]]
    lines = _table(rows) if faulty else []
    if len(faulty) > ROWS:
        lines.append(f"... and {len(faulty) - ROWS} more")
    lines += [ansi.printable(fault) for examined in faulty[:ROWS] if (fault := examined.failed[0].fault)]
    with_reference = sum(bool(examined.problem.solutions) for examined in faulty)
    lines.append(f"{total - with_reference} of {total} problems are sound: every reference passes")
    total += len(faulty) - with_reference
    if total < len(problems):
        lines.append(f"{len(problems) - total} without a reference could not be checked")
    if problems.skipped:
        lines.append(
            f"{len(problems.skipped)} were left out by the loader, such as {ansi.printable(': '.join(problems.skipped[0]))}"
        )
    return "\n".join(lines)


def _weakness(problems: Sequence[Problem]) -> str:
    """Which problems ask for nothing, for people."""
    names = ", ".join(ansi.printable(problem.id, keep="") for problem in problems[:NAMED])
    more = f" and {len(problems) - NAMED} more" if len(problems) > NAMED else ""
    return f"A program that does nothing passes {len(problems)}: {names}{more}"


def _row(examined: audit.Examined) -> tuple[str, ...]:
    """The line of the table on a problem that is not as it should be."""
    verdict = examined.failed[0].verdict
    failure = verdict.failure if verdict else None
    return (
        examined.problem.id,
        verdict.outcome.name if verdict else "not judged",
        failure.kind if failure else "" if verdict else "InvalidProblem",
        str(failure.line or "") if failure else "",
        f"{examined.solved_by} of {len(examined.problem.solutions)} pass",
        "broken" if examined.broken else "kept",
    )


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    rows = [[ansi.printable(cell, keep="") for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


@contextmanager
def _progress(text: str, total: int) -> Iterator[Callable[[], None]]:
    """A bar on the terminal of the errors; nothing where there is none, or no rich to draw it."""
    try:
        from rich.console import Console
        from rich.markup import escape
        from rich.progress import Progress
    except ImportError:
        yield lambda: None
        return
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task(escape(text), total=total)
        yield lambda: bars.advance(task)


if __name__ == "__main__":
    leave(main())
