"""Pages of studies and of the table: Markdown from figures made by hand."""

from __future__ import annotations

from typing import Any

from benchmarks import documents
from benchmarks.studies import learners, pages, practice

OVER = {"difference": -0.125, "low": -0.25, "high": 0.0, "p_value": 0.04, "p_holm": 0.08}


def figures(over: Any = OVER) -> dict[str, Any]:
    arms = {"a": {"name": "first", "by_seed": [0.5, 0.25]}, "b": {"name": "second", "by_seed": [0.75, 0.25]}}
    row = {"a": "a", "b": "b", "by_seed": [-0.25, 0.0], "over_seeds": over, "over_problems": OVER}
    measured = {"problems": 4, "arms": arms, "comparisons": [row]}
    return {"prediction": "None.", "seeds": [0, 1], "seen": measured, "unseen": measured}


def test_a_study_shows_prediction_arms_and_comparisons() -> None:
    text = pages.study(figures())
    assert text.startswith("Predicted before the first run: None.\n")
    assert "| first | **37.5%** (50.0, 25.0) | **37.5%** (50.0, 25.0) |" in text
    cells = "-12.5% (-25.0% to +0.0%) | 0.08"
    assert f"| (first) - (second) | {cells} | {cells} |" in text


def test_what_else_was_counted_stands_beside_the_scores() -> None:
    made = figures()
    for id, shares in (("a", [0.25, 0.5]), ("b", [0.0, 0.5])):
        made["seen"]["arms"][id]["shares"] = {"short": shares}
    text = pages.scores(made)
    assert text.startswith("| arm | seen, by seed | unseen, by seed | short, seen | short, unseen |")
    assert text.splitlines()[2].endswith("| 37.5% | 37.5% |")


def test_one_seed_has_a_difference_without_an_interval() -> None:
    assert "| (first) - (second) | -25.0% | one seed | -25.0% | one seed |" in pages.differences(figures(None))


def test_the_table_stands_by_tier_and_then_by_mean() -> None:
    def arm(name: str, tier: int, mean: float, **more: Any) -> dict[str, Any]:
        measured = {"mean": mean, "tier": tier, **more}
        return {"name": name, "seen": measured, "unseen": measured, "area": None, "distinct": 1.25}

    arms = {
        "supervised": arm("control", 2, 0.25),
        "low": arm("low", 1, 0.5, **{"- supervised": OVER}),
        "high": arm("high", 1, 0.75, **{"- supervised": OVER}),
    }
    rows = pages.tiers({"arms": arms, "rates": {"high": [0.0006, {}]}}).splitlines()[2:]
    apart = "-12.5% (-25.0% to +0.0%) | 0.08"
    assert rows == [
        f"| 1 | high | 0.0006 | 75.0% | 75.0% | {apart} | {apart} | - | 1.25 |",
        f"| 1 | low | - | 50.0% | 50.0% | {apart} | {apart} | - | 1.25 |",
        "| 2 | control | - | 25.0% | 25.0% | - | - | - | - | - | 1.25 |",
    ]


def test_every_study_with_a_command_is_on_the_page_that_says_which_were_run() -> None:
    page = (documents.ROOT / "docs" / "results" / "studies.md").read_text(encoding="utf-8")
    folder = documents.ROOT / "benchmarks" / "studies"
    commands = {path.stem for path in folder.glob("*.py") if "def main(" in path.read_text(encoding="utf-8")}
    assert {name for name in commands if f"python -m benchmarks.studies.{name}" not in page} == set()
    for studies in (learners.STUDIES, practice.STUDIES):
        assert all(name in page for name in studies)


def test_outcomes_are_shares_of_programs_and_errors_a_share_of_failures() -> None:
    counts = {"SYNTAX_ERROR": 1, "RUNTIME_ERROR": 2, "WRONG_ANSWER": 3, "PASSED": 4}
    measured = {"arms": {"a": {"name": "first", "outcomes": counts}}}
    rows = pages.outcomes({"seen": measured, "unseen": measured}).splitlines()
    assert rows[2] == "| seen | first | 10.0% | 20.0% | 30.0% | 40.0% | 50.0% |"
    assert rows[3].startswith("| unseen | first | 10.0% |")
