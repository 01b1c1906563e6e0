"""A terminal's panel: where a run is, where its time goes, and hostile programs that reach it."""

from __future__ import annotations

import io
import math
import re
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from agents.core import Episode
from agents.running import panel as live
from agents.running.journal import Shown
from rltf_env.core import CallCase, CaseResult, Failure, Feedback, Outcome, Problem, Program, Verdict

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


def screen(terminal: bool) -> tuple[live.Screen, io.StringIO]:
    file = io.StringIO()
    console = Console(file=file, force_terminal=terminal, width=120, color_system=None)
    return live.Screen(console, "run [x]", total=4, done=1, log_every=1), file


LINE = {
    "step": 2, "reward": 0.25, "reward/fine": -0.125, "rl_loss": 1.5, "entropy": 3.0, "outcome/passed": 0.75,
    "outcome/syntax_error": 0.25, "tokens_per_second": 1234.0, "seconds": 4.0, "seconds/generate": 2.0, "seconds/judge": 1.0,
}  # fmt: skip


def test_without_a_terminal_an_update_is_one_line_and_programs_are_kept_out() -> None:
    made, file = screen(terminal=False)
    with made:
        made.update(LINE)
        made.programs(2, [shown()])
    assert file.getvalue().splitlines() == ["update 2 of 4  reward 0.25  passed 0.75  entropy 3  4.00 s, left: 0:00"]


def test_a_line_keeps_to_80_columns_and_drops_what_matters_least() -> None:
    line = dict.fromkeys(live.SHOWN, -1.2345e-05) | {"step": 12345, "seconds": 1234.5}
    text = live.one_line(line, 54321, "12:34:56")
    assert len(text) <= 80
    assert "reward" in text
    assert "grad_norm" not in text


def test_the_panel_fits_a_terminal_of_80_columns() -> None:
    """Nothing is cut or folded: every metric, outcome and share of the time stands in a row of its own."""
    console = Console(file=io.StringIO(), force_terminal=True, width=80, color_system=None)
    made = live.Screen(console, "run", total=4, done=1, log_every=1)
    for step in range(40):
        made.update({name: float(step) for name in live.FOLLOWED} | LINE)
    with console.capture() as captured:
        console.print(made.panel())
    rows = captured.get().splitlines()
    assert max(map(len, rows)) <= 80
    for whole in ("kl_coefficient", "1,234 while writing", r"waiting for the judge +25.0% of the time"):
        assert any(re.search(whole, row) for row in rows)
    assert "…" not in captured.get()


def test_the_panel_says_where_the_run_is_and_where_its_time_goes() -> None:
    made, file = screen(terminal=True)
    with made:
        made.update(LINE)
    text = file.getvalue()
    for words in ("run [x]", "update 2 of 4", "reward", "fine", "passed", "75%", "1,234 while writing"):
        assert words in text
    assert re.search(r"writing +50.0% of the time", text)
    assert re.search(r"waiting for the judge +25.0% of the time", text)
    assert re.search(r"learning +25.0% of the time", text)


def test_with_generators_the_panel_says_what_the_learner_waited_and_not_what_they_spent() -> None:
    made, file = screen(terminal=True)
    with made:
        made.update({**LINE, "seconds/generate": 11.0, "seconds/judge": 9.0, "seconds/wait": 1.0})
        made.update({**LINE, "step": 3, "seconds": 6.0, "seconds/generate": 0.0, "seconds/judge": 0.0})
    text = file.getvalue()
    assert re.search(r"waiting for generators +10.0% of the time", text)
    assert re.search(r"learning +90.0% of the time", text)
    assert not re.search(r"writing +-?\d", text)


def test_a_part_of_an_update_that_is_done_is_no_longer_at_work() -> None:
    made, _ = screen(terminal=False)
    made.working("waiting for the judge", 120, 128)
    assert "waiting for the judge, 120 of 128" in made.pulse.line()
    made.working("waiting for the judge", 128, 128)
    assert "judge" not in made.pulse.line()


def test_numbers_that_are_not_finite_end_no_panel() -> None:
    made, file = screen(terminal=True)
    with made:
        for value in (math.inf, math.nan, 1.0):
            made.update({**LINE, "grad_norm": value, "rl_loss": math.nan})
            made.panel()
    assert re.search("rl_loss +nan", file.getvalue())


def test_the_panel_can_be_drawn_while_a_metric_is_taken_in() -> None:
    made, _ = screen(terminal=True)

    class Line(dict[str, float]):
        """Draws whenever an update reads it."""

        def items(self) -> Any:
            for item in super().items():
                draw()
                yield item

    def draw() -> None:
        made.console.print(made.panel())

    made.update(Line(LINE))


def test_a_hostile_program_reaches_no_terminal_raw_and_its_line_is_marked() -> None:
    made, file = screen(terminal=True)
    made.console.print(live.programs(7, [shown()]))
    text = file.getvalue()
    assert '>   2 | ␛[2Jy = [/] & "' in text
    assert "    1 | x = '<script>" in text
    assert "\x1b" not in text
    assert "NameError on line 2" in text


def test_a_long_program_is_shown_around_its_guilty_line() -> None:
    text = "".join(f"line{i}\n" for i in range(1, 101))
    each = Shown(**{**shown(text=text).to_dict(), "line": 60})
    rows = live.code(each).plain.splitlines()
    assert len(rows) == live.CODE_LINES
    assert any(row.startswith(">  60") for row in rows)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 7.0], "▁█"),
        ([3.0, 3.0], "▁▁"),
        ([0.0, 1.0, 2.0], "▁▅█"),
        ([5.0], "▁"),
        ([0.0, math.inf, 7.0, math.nan], "▁█"),
        ([math.nan], ""),
        ([1.7e308, -1.7e308], "▁▁"),
    ],
)
def test_sparkline(values: list[float], expected: str) -> None:
    assert live.sparkline(values) == expected


@pytest.mark.parametrize(("seconds", "expected"), [(0.2, "0:00"), (184, "3:04"), (7384, "2:03:04")])
def test_duration(seconds: float, expected: str) -> None:
    assert live.duration(seconds) == expected
