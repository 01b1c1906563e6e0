"""Who is ranked, and who is shown apart and why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks import leaderboard, records
from benchmarks.core import JudgedAnswer
from benchmarks.records import boards


def test_records_are_ranked_and_compared_with_the_best(ranked: Any) -> None:
    board = ranked.board()
    assert [(each.rank, each.record.name) for each in board.ranked] == [(1, "good"), (2, "middling"), (3, ranked.name)]
    best, second, last = board.ranked
    assert best.behind is None
    assert second.behind is not None
    assert last.behind is not None
    assert second.behind.difference == pytest.approx(-1 / 6)
    assert last.adjusted == pytest.approx(2 * last.behind.p_value)  # Holm, of two
    assert "not told apart" in leaderboard.difference(second)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda all, r: all.edit("r6/header.json", data="0" * 64), "other data"),
        (lambda all, r: all.edit("r6/header.json", departures=["3 of 6 problems"]), "3 of 6 problems"),
        (lambda all, r: all.edit("r6/header.json", problems=7), "though the header says 7"),
        (lambda all, r: all.edit("r6/report.json", passed=[1] * 6), "does not follow from its completions"),
        (lambda all, r: (r / "samples.jsonl.gz").unlink(), "only counted"),
        (lambda all, r: better(r), "not those that the header names"),
        (lambda all, r: verified(r, [{"problem": "p", "sample": 0}]), "verification failed: 1 of 12"),
        (lambda all, r: verified(r, [], samples_sha256="other"), "verified before it was changed"),
        (lambda all, r: all.edit("r6/header.json", judge="static"), "its judge ran no programs"),
        (lambda all, r: all.protocol("r6", version=0), "version 0 of the suite; it is at 1"),
        (lambda all, r: all.protocol("r6", temperature=0.5), "another protocol"),
        (lambda all, r: all.protocol("r6", name="huge"), "no suite 'huge' here"),
    ],
)
def test_record_that_does_not_hold_is_shown_apart(ranked: Any, spoil: Any, reason: str) -> None:
    spoil(ranked, ranked.folder / "r6")
    found = [board for board in boards.boards(boards.load(ranked.folder)[0]) if board.apart]
    (each,) = found[0].apart
    assert reason in "; ".join(each.reasons)
    assert each.rank == 0
    assert reason in leaderboard.as_markdown(found)


def better(folder: Path) -> None:
    """Someone has made a verdict better."""
    content = [
        JudgedAnswer.from_dict({**s.to_dict(), "outcomes": s.to_dict()["outcomes"]})
        for s in records.read(folder).samples or ()
    ]
    (folder / "samples.jsonl.gz").write_bytes(records.pack(list(reversed(content))))


def verified(folder: Path, changed: list[Any], **more: Any) -> None:
    digest = records.read_json(folder / "header.json")["samples_sha256"]
    told = {"samples_sha256": digest, "programs": 12, "changed": changed, "altered": False, **more}
    records.write_json(folder / "verified.json", told)


def test_verified_record_says_so(ranked: Any) -> None:
    verified(ranked.folder / "r6", [])
    assert [each.checked for each in ranked.board().ranked] == ["verified", "not verified", "not verified"]


def test_what_cannot_be_read_is_named_with_the_reason(ranked: Any) -> None:
    (ranked.folder / "r6" / "samples.jsonl.gz").write_bytes(b"junk")
    (ranked.folder / "r5" / "report.json").unlink()
    _, broken = boards.load(ranked.folder)
    assert {str(path): why.split(":")[0] for path, why in broken} == {"r6": "DataError", "r5": "not finished"}
    assert not any(str(ranked.folder) in why for _, why in broken)
