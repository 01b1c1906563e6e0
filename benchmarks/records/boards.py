"""Records ranked: the entries of each suite, each compared with the best, and what is shown apart, with the reason.

A suite's records are ranked by its first pass@k: paired permutation test over problems, p-values adjusted for their number
(Holm). Ranked is what a suite's frozen protocol made on its frozen data, whose completions are there and as they were, and
whose verification did not fail. Figures are computed anew from the completions, never taken from a record's word.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import records, suites
from benchmarks.metrics import Comparison, holm
from benchmarks.records.paired import common, compared
from benchmarks.records.report import report
from rltf_env.core.verdicts import runs_programs
from rltf_env.errors import MissingData, RLTFError

UNFINISHED = "not finished: the same command goes on with it"
COUNTS = ("problems", "samples", "passed", "outcomes", "kinds")  # of a report: what resampling has no part in


@dataclass
class Entry:
    """A record on the leaderboard. `reasons` not to rank it; `rank` (1 is best) and `behind` the best if it is ranked."""

    record: records.Record
    figures: dict[str, Any]
    reasons: list[str]
    rank: int = 0
    behind: Comparison | None = None
    adjusted: float = 1.0

    @property
    def checked(self) -> str:
        """What a verification says: "verified", or that there was none."""
        return "verified" if self.record.verified else "not verified"

    @property
    def first(self) -> str:
        """The k that ranks."""
        return str(self.record.header["suite"]["ks"][0])

    @property
    def score(self) -> float:
        """pass@k at the suite's first k, by which a board is ordered."""
        return self.figures["pass@k"][self.first]["value"]


@dataclass
class Board:
    """The entries of one suite and version: ranked, best first, and apart."""

    suite: str
    about: str
    ranked: list[Entry] = field(default_factory=list)
    apart: list[Entry] = field(default_factory=list)

    @property
    def entries(self) -> list[Entry]:
        """The records of the board, the best first."""
        return [*self.ranked, *self.apart]


def entry(record: records.Record) -> Entry:
    """A record with its figures, computed anew where its completions are there, and the reasons not to rank it."""
    head = record.header
    reasons = list(head["departures"])
    if head["suite"]["name"] not in suites.SUITES:
        own = head["status"] == "own"
        reasons.append("problems of one's own, no suite" if own else f"no suite {head['suite']['name']!r} here")
        return Entry(record, record.report, reasons)
    if not runs_programs(str(head.get("judge", ""))):
        reasons.append("its judge ran no programs")
    suite = suites.get(head["suite"]["name"])
    if head["suite"]["version"] != suite.version:
        reasons.append(f"version {head['suite']['version']} of the suite; it is at {suite.version}")
    elif _plain(head["suite"]) != _plain(suite.protocol()) and not reasons:
        reasons.append("another protocol than the suite's")
    if not suite.digest:
        reasons.append("the suite's data are not frozen yet")
    elif head["data"] != suite.digest:
        reasons.append(f"other data: digest {head['data'][:12]}, expected {suite.digest[:12]}")
    figures = record.report
    if record.samples is None:
        reasons.append("completions not handed in, only counted")
    else:
        figures = report(record.samples, head["suite"]["samples"], head["suite"]["ks"], head.get("repeats"))
        reasons += _doubts(record, figures)
    return Entry(record, figures, reasons)


def _plain(protocol: dict[str, Any]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in protocol.items()}


def _doubts(record: records.Record, figures: dict[str, Any]) -> list[str]:
    """What speaks against a record that has its completions."""
    check, doubts = record.verified, []
    if record.altered:
        doubts.append("completions are not those that the header names")
    if len(figures["problems"]) != record.header["problems"]:
        doubts.append(f"{len(figures['problems'])} problems, though the header says {record.header['problems']}")
    if any(figures[name] != record.report.get(name) for name in COUNTS):
        doubts.append("its report does not follow from its completions")
    if check and check["samples_sha256"] != record.header["samples_sha256"]:
        doubts.append("verified before it was changed")
    elif check and (check["changed"] or check["altered"]):
        doubts.append(f"verification failed: {len(check['changed'])} of {check['programs']} verdicts changed")
    return doubts


def boards(entries: Sequence[Entry]) -> list[Board]:
    """The entries by suite and version, suites in their own order."""
    by_suite: dict[str, Board] = {}
    order = list(suites.SUITES)

    def place(each: Entry) -> tuple[int, str]:
        name = each.record.header["suite"]["name"]
        return (order.index(name) if name in order else len(order), each.record.suite)

    for each in sorted(entries, key=place):
        suite = suites.SUITES.get(each.record.header["suite"]["name"])
        board = by_suite.setdefault(each.record.suite, Board(each.record.suite, suite.about if suite else ""))
        (board.apart if each.reasons else board.ranked).append(each)
    for board in by_suite.values():
        _rank(board)
    return list(by_suite.values())


def _rank(board: Board) -> None:
    for some in (board.ranked, board.apart):
        some.sort(key=lambda each: (-each.score, each.record.name))
    if not board.ranked:
        return
    best, *others = board.ranked
    best.rank = 1
    for each in others:
        each.rank = 1 + sum(other.score > each.score for other in board.ranked)
        common(each.record, best.record)
        each.behind = compared(each.record, best.record)[f"pass@{each.first}"]
    for each, adjusted in zip(others, holm([each.behind.p_value for each in others if each.behind]), strict=True):
        each.adjusted = adjusted


def load(folder: Path) -> tuple[list[Entry], list[tuple[Path, str]]]:
    """The entries below a folder, and what could not be read, with the reason."""
    entries, broken = [], []
    for path in records.find(folder):
        try:
            entries.append(entry(records.read(path)))
        except MissingData:  # `find` saw its header
            broken.append((path.relative_to(folder), UNFINISHED))
        except (RLTFError, KeyError, TypeError, IndexError) as error:
            why = str(error).replace(str(path), "this folder")  # the page may go anywhere
            broken.append((path.relative_to(folder), f"{type(error).__name__}: {why}"))
    return entries, broken
