"""What a run shows: its journal, its folder's sample programs, a terminal's panel, trackers, and the page of the report."""

from __future__ import annotations

import html
import io
import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents import report
from agents.config import Run
from agents.core import Episode
from agents.running import _svg
from agents.running import folder as folders
from agents.running.journal import Shown, UpdateLog
from rltf_env.core import CallCase, CaseResult, Failure, Feedback, Outcome, Problem, Program, Verdict
from rltf_env.errors import DataError

HOSTILE = "x = '<script>alert(1)</script>'\n\x1b[2Jy = [/] & \"\n"


PROBLEM = Problem("p/1", "Write <b>f</b>.", [CallCase((), 1)], "f")


def episode(outcome: Outcome = Outcome.RUNTIME_ERROR, text: str = HOSTILE) -> Episode:
    program = Program(np.zeros(len(text), np.int64), text, np.arange(len(text)), prefix_length=1, truncated=True)
    failure = None if outcome is Outcome.PASSED else Failure("NameError", "<i>y</i>", line=2)
    verdict = Verdict((CaseResult(outcome, failure),))
    feedback = Feedback.build(program, "fine", program_reward=-0.5)
    nothing = np.zeros(len(text), np.float32)
    return Episode("p/1", np.zeros(1, np.int64), program, nothing, nothing, verdict, feedback, 0)


def shown(**options: Any) -> Shown:
    e = episode(**options)
    return Shown.of(PROBLEM, e, np.linspace(-1, 1, len(e.program)))


# ------------------------------------------------------------------------------------------------------------- journal


def test_journal_shows_one_program_of_each_outcome_worst_first() -> None:
    group = [episode(o) for o in (Outcome.PASSED, Outcome.SYNTAX_ERROR, Outcome.PASSED)]
    journal = UpdateLog()
    journal.show([PROBLEM], [group], [[np.full(len(e.program), i, float) for i, e in enumerate(group)]])
    assert [(s.outcome, s.weights[0]) for s in journal.programs] == [("SYNTAX_ERROR", 1.0), ("PASSED", 0.0)]


def test_a_journal_that_was_taken_from_is_empty() -> None:
    journal = UpdateLog()
    with journal.timed("judge"):
        pass
    journal.tokens += 3
    taken = journal.take()
    assert (taken.tokens, list(taken.seconds)) == (3, ["judge"])
    assert journal == UpdateLog()


def test_lines_are_pythons() -> None:
    assert shown(text="a\r\nb\rc").lines() == [(0, "a"), (3, "b"), (5, "c")]


# ------------------------------------------------------------------------------------------------------------- folders


def test_sample_programs_are_bounded_however_long_the_run() -> None:
    out = folders.Folder(Path(), io.StringIO(), io.StringIO(), (), 0)
    run = Run("r", updates=100_000, samples_every=1)
    written = 0
    for step in range(1, 100_001):
        if out.wants_programs(step, run.samples_every, run.updates):
            out.sampled(step, [])
            written += 1
    assert 200 <= written <= folders.RECORDS


def test_no_rhythm_means_no_programs() -> None:
    out = folders.Folder(Path(), io.StringIO(), io.StringIO(), (), 0)
    assert not out.wants_programs(1, 0, 5)


def test_what_a_killed_writer_left_half_done_is_dropped(tmp_path: Path) -> None:
    for name in (folders.METRICS, folders.SAMPLES):
        (tmp_path / name).write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n{"ste')
    with folders.opened(tmp_path, 2, ()) as folder:
        folder.updated(3, {"step": 3, "a": 1.5})
    assert folders.records(tmp_path / folders.METRICS) == [{"step": 1}, {"step": 2}, {"step": 3, "a": 1.5}]
    assert folders.records(tmp_path / folders.SAMPLES) == [{"step": 1}, {"step": 2}]


def no_constants(text: str) -> Any:
    """JSON as others read it, who know no NaN."""
    return json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def test_what_is_not_finite_is_null_in_every_file_and_the_report_reads_it(tmp_path: Path) -> None:
    write_run(tmp_path, updates=2)
    each = Shown(**{**shown().to_dict(), "reward": math.nan, "parts": {"fine": math.inf}})
    each.weights[:2] = [math.inf, math.nan]
    e = {"pass@1": 0.5, "pass_ratio": 0.75, "problems": 1, "samples": 2, "passed": [1], "program_tokens": 2.0}
    older = '{"step": 1, "rl_loss": 1.0}\n{"step": 2, "rl_loss": NaN}\n'
    (tmp_path / folders.METRICS).write_text(older)
    with folders.opened(tmp_path, 2, ()) as folder:
        folder.updated(3, {"step": 3, "rl_loss": math.nan, "grad_norm": math.inf})
        folder.evaluated(3, {"0": {**e, "standard_error": math.nan}, "3": {**e, "standard_error": None}})
        folder.sampled(3, [each])
    written = [(tmp_path / name).read_text().splitlines() for name in (folders.METRICS, folders.SAMPLES)]
    metrics, samples = ([*map(no_constants, lines)] for lines in written)
    assert [line.get("rl_loss") for line in metrics] == [1.0, None, None]
    assert samples[-1]["program"]["weights"][:3] == [None, None, each.weights[2]]
    assert no_constants((tmp_path / folders.EVALUATIONS).read_text())["0"]["standard_error"] is None
    page = report.page(tmp_path)
    assert "reward +nan = fine +nan" in page
    assert page.count("5.5% to 94.5%") == 3
    assert "<figcaption>pass@1 (95 % over problems)</figcaption>" in page
    assert "Norm of the gradient" not in page


def write_run(out: Path, updates: int = 30) -> None:
    (out / "recipe.toml").write_text(
        '[run]\nname = "a <b>"\nseed = 3\nupdates = 30\n[env]\nid = "X"\n[policy]\nkind = "tiny"\n[agent]\nkind = "rltf"\n'
    )
    names = ("reward", "reward/fine", "outcome/passed", "rl_loss", "something_new")
    lines = [{"step": i, **dict.fromkeys(names, i / 30)} for i in range(1, updates + 1)]
    (out / folders.METRICS).write_text("".join(json.dumps(line) + "\n" for line in lines))
    e = {"pass@1": 0.5, "pass_ratio": 0.75, "problems": 25, "samples": 2, "passed": [0, 2] * 12 + [1]}
    (out / folders.EVALUATIONS).write_text(json.dumps({"0": e, "30": {**e, "pass@1": 0.96, "passed": [2] * 24 + [0]}}))
    (out / folders.SAMPLES).write_text(json.dumps({"step": 5, "program": shown().to_dict()}) + "\n")


class Reader(HTMLParser):
    """Tags, their attributes, and what a reader sees."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def read_page(tmp_path: Path) -> tuple[Reader, str]:
    write_run(tmp_path)
    page = report.page(tmp_path)
    reader = Reader()
    reader.feed(page)
    return reader, page


# -------------------------------------------------------------------------------------------------------------- report


def test_the_page_loads_nothing_and_runs_nothing(read_page: tuple[Reader, str]) -> None:
    reader, page = read_page
    assert not {"script", "link", "img", "iframe", "object", "b>"} & set(reader.tags)
    assert not [name for name, _ in reader.attributes if name.startswith("on") or name in ("src", "srcset")]
    assert all(value and value.startswith("#") for name, value in reader.attributes if name == "href")
    assert "default-src 'none'" in page
    assert "http://" not in page
    assert "https://" not in page
    assert "url(" not in page
    assert "@import" not in page


def test_programs_and_names_are_escaped_and_the_guilty_line_is_marked(read_page: tuple[Reader, str]) -> None:
    reader, page = read_page
    assert "<script>alert(1)</script>" in reader.text.replace("\n", "")
    assert "\x1b" not in page
    assert html.escape("a <b>") in page
    rows = re.findall(r'<span class="row( guilty)?"><i>(\d+)</i>', page)
    assert rows == [("", "1"), (" guilty", "2"), ("", "3")]
    assert '<span class="given" title="given">x</span>' in page


def test_every_metric_has_a_curve_and_evaluations_have_intervals(read_page: tuple[Reader, str]) -> None:
    reader, page = read_page
    for title in ("Reward", "Outcomes", "Reinforcement loss", "Something new", "pass@1 (95 % over problems)"):
        assert f"<figcaption>{title}</figcaption>" in page
    assert "32.1% to 67.9%" in page
    assert "80.5% to 99.3%" in page  # Wilson's of 24 of 25
    assert reader.tags.count("polyline") == 6


def test_an_evaluation_of_one_problem_says_next_to_nothing(tmp_path: Path) -> None:
    write_run(tmp_path)
    one = {"pass@1": 1.0, "standard_error": None, "pass_ratio": 1.0, "problems": 1, "samples": 2, "passed": [2]}
    (tmp_path / folders.EVALUATIONS).write_text(json.dumps({"0": one}))
    page = report.page(tmp_path)
    assert "20.7% to 100.0%" in page
    assert "<figcaption>pass@1 (95 % over problems)</figcaption>" in page


def test_a_run_without_an_update_and_without_programs_is_a_page(tmp_path: Path) -> None:
    write_run(tmp_path, updates=0)
    (tmp_path / folders.EVALUATIONS).unlink()
    (tmp_path / folders.SAMPLES).unlink()
    page = report.page(tmp_path)
    for words in ("No update yet.", "Not measured yet.", "No program was kept"):
        assert words in page


def test_a_long_run_is_thinned() -> None:
    long = _svg.Curve("x", range(10_000), [float(i % 7) for i in range(10_000)])
    assert len(_svg.chart("t", [long])) < 10_000


def test_the_command_writes_the_page_and_says_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path)
    assert report.main([str(tmp_path)]) == 0
    assert report.main([str(tmp_path), "--out", str(tmp_path / "new" / "page.html")]) == 0
    assert (tmp_path / "new" / "page.html").is_file()
    assert (tmp_path / "report.html").read_text().startswith("<!doctype html>")
    assert report.main([str(tmp_path / "nothing")]) == 2
    assert "Expected the folder of a run" in capsys.readouterr().err.replace("\n", " ")
    (tmp_path / "recipe.toml").write_text("[run]\n")
    with pytest.raises(DataError, match="of this version"):
        report.page(tmp_path)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 1.0, [0.0, 0.25, 0.5, 0.75, 1.0]),
        (0.0, 0.0, [0.0, 0.25, 0.5, 0.75, 1.0]),
        (-3.2, 4.9, [-5.0, -2.5, 0.0, 2.5, 5.0]),
        (2e-6, 2e-6, [1.8e-6, 1.9e-6, 2e-6, 2.1e-6, 2.2e-6]),
    ],
)
def test_ticks_are_round_and_hold_the_values(low: float, high: float, expected: list[float]) -> None:
    assert _svg.ticks(low, high) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    "values",
    [
        [0.05] * 700,  # the means of slices differ in the last bit
        [0.7] * 4000,
        [0.3, 0.1 + 0.2],
        [1e-13, 2e-13, 1.5e-13],
        [1e-13],
        [5e-324, 0.0],
        [1e-310, 2e-310],
        [1e-300, 1.1e-300],
        [1.7e308, -1.7e308],
        [1.7e308] * 700,
        [-1.7976931348623157e308],
        [1e16, 1e16 + 2],
    ],
)
def test_what_spans_almost_nothing_or_all_there_is_has_an_axis(values: list[float]) -> None:
    for half in ([], [abs(v) for v in values]):
        assert "nan" not in _svg.chart("t", [_svg.Curve("x", range(len(values)), values, half)])
    ticks = _svg.ticks(min(values), max(values))
    assert 2 <= len(ticks) <= 8
    assert ticks == sorted(set(ticks))


def test_the_result_is_the_first_thing_on_the_page(read_page: tuple[Reader, str]) -> None:
    reader, page = read_page
    assert "pass@1 96.0% (80.5% to 99.3%) after 30 updates, 50.0% after 0" in reader.text
    assert page.index("pass@1 96.0%") < page.index("<h2>")


def test_a_part_of_an_updates_seconds_is_never_drawn_above_the_whole(tmp_path: Path) -> None:
    write_run(tmp_path)
    lines = [
        {"step": i, "seconds": 10.0 if i % 50 == 1 else 0.1, **({"seconds/generate": 9.0} if i % 50 == 1 else {})}
        for i in range(1, 1201)  # drawn as means of several updates
    ]
    (tmp_path / folders.METRICS).write_text("".join(json.dumps(line) + "\n" for line in lines))
    figure = report.page(tmp_path).split("Seconds of an update</figcaption>")[1].split("</svg>")[0]
    whole, part = (re.findall(r"[\d.]+,([\d.]+)", points) for points in re.findall(r'points="([^"]*)"', figure))
    assert len(whole) == len(part)
    assert all(float(below) >= float(above) for above, below in zip(whole, part, strict=True))  # y grows downwards


def test_axes_are_named_and_count_whole_updates() -> None:
    drawn = _svg.chart("t", [_svg.Curve("x", [1, 2, 3], [10_000.0, 20_000.0, 15_000.0])])
    assert ">update</text>" in drawn
    assert re.findall(r'text-anchor="middle">([^<]*)<', drawn) == ["1", "2", "3", "update"]
    assert "10,000" in drawn
    assert "e+" not in drawn


def test_programs_are_folded_indexed_and_filtered_by_outcome(tmp_path: Path) -> None:
    write_run(tmp_path)
    kinds = ("PASSED", "WRONG_ANSWER", "PASSED")
    rows = [{"step": 5 * i, "program": {**shown().to_dict(), "outcome": kind}} for i, kind in enumerate(kinds, 1)]
    (tmp_path / folders.SAMPLES).write_text("".join(json.dumps(row) + "\n" for row in rows))
    page = report.page(tmp_path)
    assert page.count("<details open><summary>") == 1
    assert page.count("<details><summary><b>") == 2
    assert re.findall(r'href="#(program-\d)"', page) == re.findall(r'<article class="[^"]*" id="([^"]*)"', page)
    assert re.findall(r"<label [^>]*>([^<]*)<", page) == ["all 3", "passed 2", "wrong answer 1"]
    assert "#only-PASSED:checked~article:not(.of-PASSED){display:none}" in page


def test_what_never_moves_is_a_sentence(tmp_path: Path) -> None:
    write_run(tmp_path)
    lines = [{"step": i, "truncated": 0.0, "padding": 0.25, "rl_loss": float(i)} for i in range(1, 4)]
    (tmp_path / folders.METRICS).write_text("".join(json.dumps(line) + "\n" for line in lines))
    page = report.page(tmp_path)
    assert "The same at every update: Share of programs cut off: 0%; Share of a batch that is padding: 0.25." in page
    assert "<figcaption>Share of programs cut off</figcaption>" not in page


def test_a_run_whose_coefficient_never_moves_has_a_page(tmp_path: Path) -> None:
    write_run(tmp_path)
    lines = [{"step": i, "kl_coefficient": 0.05, "rl_loss": (-1) ** i * 1.7e308} for i in range(1, 701)]
    (tmp_path / folders.METRICS).write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert "KL coefficient: 0.05" in report.page(tmp_path)


def test_shares_above_one_have_an_axis() -> None:
    assert _svg.chart("t", [_svg.Curve("x", [1, 2], [1.5, 1.6])], percent=True)
