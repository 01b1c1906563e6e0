"""The leaderboard as one HTML file: no network, light and dark, for desk and phone. `page.html` is its frame.

The tables are plain HTML. What lies behind a row - problems, programs, verdicts, what each token earned - is JSON, gzipped and in
base64, which the page unpacks and shows as text, never as markup: nothing a program wrote is ever parsed. A policy in the page's
head lets only its own script run and nothing be loaded.

How much is shown: for each problem, up to three different programs, one of each kind of failure first, 6,000 characters of
each; where the page would pass its limit, two, one, then none. The page says what it shows.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import suites
from benchmarks.core import JudgedAnswer
from benchmarks.records.boards import UNFINISHED, Board, Entry
from benchmarks.records.report import by_problem
from rltf_env import rewards
from rltf_env.core import Attempt, Outcome, Problem, Reward, StdinCase
from rltf_env.datasets._files import Root
from rltf_env.errors import DataError

FRAME = Path(__file__).with_name("page.html")
PROGRAMS, LONGEST = 3, 6000  # different programs a problem, and characters of each
LEVEL = 0.05  # adjusted p-values below this are called a difference
# Rewards look at program and verdict; a problem they must be given.
DUMMY_PROBLEM = Problem("none", "", [StdinCase("", "")])
NAMES = {
    "PASSED": "passed",
    "WRONG_ANSWER": "wrong answer",
    "RUNTIME_ERROR": "run-time error",
    "SYNTAX_ERROR": "syntax error",
}

LEGEND = (
    '<p class="legend">Outcomes: '
    + "".join(f'<span><i class="{id}"></i>{name}</span>' for id, name in NAMES.items())
    + "</p>"
)
CHECK = ' title="python -m benchmarks.evaluate --verify FOLDER judges it again"'


def render(
    boards: Sequence[Board], broken: Sequence[tuple[Path, str]], *, title: str, limit: int, root: Root = None
) -> tuple[str, str]:
    """The page, and in words how much it shows of each problem.

    Args:
        broken: records that could not be read, with the reason.
        limit: bytes that the page may have; programs are left out until it does.
        root: data folder, for statements; without the data, or with others, ids stand alone.
    """
    statements = _statements(boards, root)
    text = note = ""
    for most in (*range(PROGRAMS, -1, -1),):
        note = f"up to {most} different programs a problem" if most else "no programs: the page would be too large"
        texts = statements if most else {}
        data = {"boards": [_board(board, most) for board in boards], "statements": texts, "told": note}
        text = _fill(boards, broken, title, note, pack(data))
        if len(text.encode()) <= limit:
            break
    return text, note


def pack(data: Any) -> str:
    """JSON, gzipped, in base64: letters, digits, + / =, nothing that HTML gives a meaning to."""
    return base64.b64encode(gzip.compress(json.dumps(data).encode(), 9, mtime=0)).decode()


def _statements(boards: Sequence[Board], root: Root) -> dict[str, str]:
    """By problem id, where the suite's data are at hand."""
    texts: dict[str, str] = {}
    for name in {each.record.header["suite"]["name"] for board in boards for each in board.entries}:
        if name in suites.SUITES:
            try:
                problems = suites.problems(suites.get(name), root)[0]
            except DataError:  # not here, or others: a page without statements is still a page
                continue
            texts |= {problem.id: problem.statement for problem in problems}
    used = {id for board in boards for each in board.entries for id in each.figures["problems"]}
    return {id: text[:LONGEST] for id, text in texts.items() if id in used}


# ---------------------------------------------------------------------------------------------------- behind the rows


def _board(board: Board, most: int) -> dict[str, Any]:
    return {"suite": board.suite, "entries": [_entry(each, most) for each in board.entries]}


def _entry(each: Entry, most: int) -> dict[str, Any]:
    head = each.record.header
    facts = {
        "agent": {name: value for name, value in head["agent"].items() if name != "name"},
        **{name: head.get(name) for name in ("judge", "commit", "versions", "machine", "seconds", "finished")},
        "data": head["data"],
        "samples": f"{head['suite']['samples']} a problem, temperature {head['suite']['temperature']}, "
        f"top-p {head['suite']['top_p']}, seed {head['suite']['seed']}",
    }
    groups = by_problem(each.record.samples or ())
    counts = zip(each.figures["problems"], each.figures["passed"], strict=True)
    return {
        "name": each.record.name,
        "reasons": each.reasons,
        "samples": each.figures["samples"],
        "kinds": each.figures["kinds"],
        "outcome_of": {
            s.verdict.failure.kind: s.verdict.outcome.name for s in each.record.samples or () if s.verdict.failure
        },
        "outcomes": each.figures["outcomes"],
        "difficulty": each.figures["difficulty"],
        "facts": facts,
        "problems": [{"id": id, "passed": c, "programs": programs(groups.get(id, ()), most)} for id, c in counts],
    }


def programs(samples: Iterable[JudgedAnswer], most: int) -> list[dict[str, Any]]:
    """Up to `most` different programs, one of each kind of failure first, with how often each was written."""
    reward = rewards.load("rltf")
    times: dict[str, int] = {}
    first: dict[str, JudgedAnswer] = {}
    for sample in samples:
        times[sample.answer.text] = times.get(sample.answer.text, 0) + 1
        first.setdefault(sample.answer.text, sample)
    kinds: set[str] = set()
    fresh, rest = [], []
    for sample in first.values():
        kind = sample.verdict.failure.kind if sample.verdict.failure else ""
        (rest if kind in kinds else fresh).append(sample)
        kinds.add(kind)
    samples_shown = [*fresh, *rest][:most]
    return [
        _program(sample, reward) | {"times": times[sample.answer.text], "of": len(first)} for sample in samples_shown
    ]


def _program(sample: JudgedAnswer, reward: Reward) -> dict[str, Any]:
    answer, verdict, failure = sample.answer, sample.verdict, sample.verdict.failure
    program = answer.program()
    fields: dict[str, Any] = {
        "text": answer.text[:LONGEST],
        "cut": len(answer.text) > LONGEST,
        "sample": sample.key.sample,
        "outcome": verdict.outcome.name,
        "cases": "".join(str(int(result.outcome)) for result in verdict.results),
        "visible": "".join(str(int(outcome)) for outcome in sample.visible),
        "unit": "token" if answer.lengths is not None else "line",
        "starts": program.starts.tolist(),
        "given": program.prefix_length,
        "truncated": answer.truncated,
    }
    if failure is not None:
        fields["failure"] = [failure.kind, failure.message, failure.line]
    if len(program):
        feedback = reward(Attempt(DUMMY_PROBLEM, program, verdict))
        heat = feedback.token_rewards
        fields["heat"] = [[int(i), round(float(heat[i]), 4)] for i in np.flatnonzero(np.abs(heat) > 1e-6)]
        fields["parts"] = {name: round(value, 3) for name, value in feedback.parts.items()}
    return fields


# ------------------------------------------------------------------------------------------------------------ the page


def _fill(boards: Sequence[Board], broken: Sequence[tuple[Path, str]], title: str, note: str, data: str) -> str:
    frame = FRAME.read_text(encoding="utf-8")
    script = re.search(r"<script>(.*?)</script>", frame, re.DOTALL)
    assert script, "page.html has its script"
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    parts = {
        "@SCRIPT@": digest,
        "@TITLE@": html.escape(title),
        "@LEAD@": html.escape(_lead(boards)),
        "@NAV@": "".join(f'<a href="#{_slug(b.suite)}">{html.escape(b.suite)}</a>' for b in boards),
        "@BOARDS@": "".join(_section(i, board) for i, board in enumerate(boards)) + _broken(broken),
        "@TOLD@": html.escape(note),
        "@DATA@": data,
    }
    return re.sub("|".join(parts), lambda match: parts[match[0]], frame)


def _lead(boards: Sequence[Board]) -> str:
    ranked, apart = (
        sum(len(some) for some in each) for each in ([b.ranked for b in boards], [b.apart for b in boards])
    )
    told = f"{ranked} ranked record{'s' * (ranked != 1)} on {len(boards)} suite{'s' * (len(boards) != 1)}"
    return told + (f", {apart} shown apart" if apart else "")


def _slug(text: str) -> str:
    return re.sub(r"[^\w-]+", "-", text)


def _broken(broken: Sequence[tuple[Path, str]]) -> str:
    if not broken:
        return ""
    going = [(path, "the same command goes on with it") for path, why in broken if why == UNFINISHED]
    lost = [(path, why) for path, why in broken if why != UNFINISHED]
    return _listed("Not finished", going) + _listed("Could not be read", lost)


def _listed(title: str, found: Sequence[tuple[Path, str]]) -> str:
    if not found:
        return ""
    items = "".join(f"<li><b>{html.escape(str(path))}</b>: {html.escape(why)}</li>" for path, why in found)
    return f'<section class="board"><h2>{title}</h2><ul class="broken">{items}</ul></section>'


def _section(index: int, board: Board) -> str:
    ranked = _table(index, board, board.ranked, 0) if board.ranked else '<p class="none">No ranked record yet.</p>'
    apart = ""
    if board.apart:
        opened = "" if board.ranked else " open"
        table = _table(index, board, board.apart, len(board.ranked))
        apart = f'<details class="apart"{opened}><summary>Not ranked ({len(board.apart)})</summary>{table}</details>'
    head = f"<h2>{html.escape(board.suite)}</h2><p>{html.escape(board.about)}</p>"
    return f'<section class="board" id="{_slug(board.suite)}">{head}{LEGEND}{ranked}{apart}</section>'


def _table(index: int, board: Board, entries: Sequence[Entry], offset: int) -> str:
    top = _top(board)
    apart = bool(entries[0].reasons)
    k = entries[0].first
    heads = (
        ("rank", "#"), ("name", "Model"), ("score", f"pass@{k}, 95 % interval, 0 to {top:.0%}"), ("ratio", "Cases passed"),
        ("behind", "Why not" if apart else "To the best"), ("outcomes", "Outcomes"), ("gap", "Gap"),
    )  # fmt: skip
    head = "".join(
        f'<th class="{name}" scope="col" aria-sort="none"><button type="button">{text}</button></th>'
        for name, text in heads
    )
    body = "".join(_row(index, offset + i, each, top) for i, each in enumerate(entries))
    table = f'<table class="entries"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    return f'<div class="scroll">{table}</div>'


def _top(board: Board) -> float:
    """The end of a board's scale: a round share that no interval passes."""
    most = max(each.figures["pass@k"][each.first]["high"] for each in board.entries)
    return next(top for top in (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0) if most <= top + 1e-9)


def _row(board: int, index: int, each: Entry, top: float) -> str:
    figures, gap = each.figures, each.figures["gap"]
    score, ratio = figures["pass@k"][each.first], figures["pass_ratio"]["value"]
    behind = each.behind.difference if each.behind else 0.0
    tags = [each.record.header["agent"]["kind"], each.checked]
    if each.record.header["agent"]["kind"] == "completions":
        tags.append("sampling not recorded")
    tag = "".join(
        f'<span class="tag"{CHECK if text == "not verified" else ""}>{html.escape(text)}</span>' for text in tags
    )
    cells = (
        ("rank", each.rank or 10**6, str(each.rank or "–")),
        ("name", each.record.name, f'<a href="#/{board}/{index}">{html.escape(each.record.name)}</a><div>{tag}</div>'),
        ("score", score["value"], _bar(score, top) + _others(each)),
        ("ratio", ratio, f"{ratio:.1%}"),
        ("behind", behind, _behind(each)),
        ("outcomes", score["value"], _outcomes(figures["outcomes"]["all"])),
        ("gap", gap["gap"]["value"] if gap else -1, f"{gap['gap']['value']:+.1%}" if gap else "–"),
    )
    inside = "".join(f'<td class="{name}" data-sort="{html.escape(str(key))}">{text}</td>' for name, key, text in cells)
    return f"<tr>{inside}</tr>"


def _bar(score: dict[str, float], top: float) -> str:
    low, high, value = (100 * min(score[end], top) / top for end in ("low", "high", "value"))
    words = f"{score['low']:.1%} to {score['high']:.1%}"
    track = (
        f'<i class="track"><i class="band" style="left:{low:.2f}%;width:{max(high - low, 0.5):.2f}%"></i>'
        f'<i class="dot" style="left:{value:.2f}%"></i></i>'
    )
    return f'<div class="scoreline"><b>{score["value"]:.1%}</b>{track}</div><small>{words}</small>'


def _others(each: Entry) -> str:
    rest = [(k, v) for k, v in each.figures["pass@k"].items() if k != each.first]
    return "".join(f"<small> · pass@{k} <b>{v['value']:.1%}</b></small>" for k, v in rest)


def _behind(each: Entry) -> str:
    if each.reasons:
        return f"<small>{html.escape('; '.join(each.reasons))}</small>"
    if each.behind is None:
        return '<b class="best">best</b>'
    d = each.behind
    verdict = "behind" if each.adjusted < LEVEL else "not told apart"
    return (
        f"<b>{100 * d.difference:+.1f}</b> <small>({100 * d.low:+.1f} to {100 * d.high:+.1f})<br>"
        f"p = {each.adjusted:.2g}, {verdict}</small>"
    )


def _outcomes(counts: dict[str, int]) -> str:
    total = sum(counts.values())
    parts = [(outcome.name, counts.get(outcome.name, 0)) for outcome in reversed(Outcome)]
    label = ", ".join(f"{NAMES[name]} {count / total:.1%}" for name, count in parts if count)
    bars = "".join(f'<i class="{name}" style="flex:{count}"></i>' for name, count in parts if count)
    return f'<span class="stack" role="img" aria-label="{label}" title="{label}">{bars}</span>'
