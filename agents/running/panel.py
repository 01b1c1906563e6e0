"""What a person sees of a run: a panel that lives in a terminal, one line an update where there is none.

Screen.update(line)              after each update
Screen.working(what, done, of)   within a long one; told every few seconds where there is no panel
Screen.evaluated(step, result)   after each evaluation
Screen.programs(step, shown)     sample programs with the guilty line marked, in a terminal
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from agents.running.journal import FOUND, Shown
from rltf_env.core import Outcome
from rltf_env.heartbeat import Heartbeat
from rltf_env.view import ansi

SHOWN = (
    "reward", "outcome/passed", "found/nothing", "supervised_loss", "pretraining_loss", "contrast_loss",
    "contrast_accuracy", "entropy", "rl_loss", "kl_behaviour", "staleness", "grad_norm",
)  # fmt: skip
COLUMNS = 80  # of a line and of a narrow terminal
SIDE_BY_SIDE = 104  # columns at which the panel's halves stand beside each other
# Of the panel: what is followed through time. The reward's parts come after the reward, whatever their names.
FOLLOWED = (
    "reward", "rl_loss", "supervised_loss", "pretraining_loss", "contrast_loss", "contrast_accuracy", "value_loss",
    "critic_loss", "discriminator_accuracy", "entropy", "kl_behaviour", "kl_reference", "kl_coefficient",
    "clip_fraction", "grad_norm", "lr", "staleness", "program_tokens", "truncated",
)  # fmt: skip
COLOURS = {
    Outcome.PASSED: "green",
    Outcome.WRONG_ANSWER: "yellow",
    Outcome.RUNTIME_ERROR: "red",
    Outcome.SYNTAX_ERROR: "magenta",
}
TICKS, WIDTH = "▁▂▃▄▅▆▇█", 24
HISTORY = 200  # updates that a sparkline looks back on
CODE_LINES = 24  # of a sample program


def heartbeat(console: Console) -> Heartbeat:
    """One that prints to a console; of a quiet one nothing."""
    if console.quiet:
        return Heartbeat()
    return Heartbeat(lambda text: console.print(text, markup=False, highlight=False, soft_wrap=True))


def one_line(line: Mapping[str, float], total: int, left: str) -> str:
    """An update of `total` for people: as many of its metrics as `COLUMNS` hold, and how much time is `left`."""
    head = f"update {line['step']:.0f} of {total}"
    end = f"  {line['seconds']:.2f} s, left: {left}"
    for name in SHOWN:
        shown = f"  {name.split('/')[-1]} {line[name]:.3g}" if name in line else ""
        if len(head) + len(shown) + len(end) <= COLUMNS:
            head += shown
    return head + end


class Score(Protocol):
    """What is shown of an evaluation; `agents.evaluation.Evaluation` has it."""

    @property
    def interval(self) -> tuple[float, float, float]:
        """pass@1 with the ends of its 95 % interval."""
        ...


class Screen:
    """Shows a run of `total` updates, of which `done` are behind it."""

    def __init__(
        self, console: Console, name: str, total: int, done: int, log_every: int, pulse: Heartbeat | None = None
    ) -> None:
        self.console, self.name, self.total, self.step, self.log_every = console, name, total, done, log_every
        self.pulse = pulse or Heartbeat()
        self._work = ""
        self._line: Mapping[str, float] = {}  # of the newest update, if it is not printed yet
        self.bars = progress(console)
        self._history: dict[str, deque[float]] = {}
        self._last: dict[str, float] = {}
        self._began, self._first = time.monotonic(), done
        self._spent = {"generate": 0.0, "judge": 0.0, "wait": 0.0, "all": 0.0}
        self._live = Live(get_renderable=self.panel, console=console, refresh_per_second=4, transient=True)

    def __enter__(self) -> Screen:
        self.pulse.paused = self.console.is_terminal
        if self.console.is_terminal:
            self._live.start()
        self._next()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._say()
        self.pulse.doing("")
        if self.console.is_terminal:
            self._work = ""
            self._live.stop()
            if self._last:
                self.console.print(self.panel())

    # ---------------------------------------------------------------------------------------------------------- events

    def update(self, line: Mapping[str, float]) -> None:
        """Takes in the line of an update; prints it where no panel lives."""
        for name, value in line.items():
            self._history.setdefault(name, deque(maxlen=HISTORY)).append(float(value))
        self.step, self._last = int(line["step"]), {**self._last, **line}  # last: the panel's thread may look any time
        self._spent["all"] += line["seconds"]
        # With generators, what they wrote and judged is no time of this process, which waited for it.
        for part in ("wait",) if "seconds/wait" in line else ("generate", "judge"):
            self._spent[part] += line.get(f"seconds/{part}", 0.0)
        self._line = line
        if self.log_every and (self.step % self.log_every == 0 or self.pulse.silent()):
            self._say()
        self._next()

    def _say(self) -> None:
        """The newest update in a line, where no panel lives."""
        if self._line and not self.console.is_terminal:
            text = one_line(self._line, self.total, self._left())
            self.console.print(text, highlight=False, soft_wrap=True)
            self.pulse.printed()
        self._line = {}

    def _next(self) -> None:
        """What is at work now is the next update."""
        self._work = ""
        if self.step < self.total:
            self.pulse.doing(f"update {self.step + 1} of {self.total}")

    def working(self, what: str, done: int, total: int) -> None:
        """How far a long update is: `done` of `total` in what it does, such as "writing programs"; all of it ends that."""
        self._work = f"{what}, {done} of {total}" if done < total else ""
        self.pulse.doing(f"update {self.step + 1} of {self.total}", self._work)

    @contextmanager
    def evaluating(self, problems: int) -> Iterator[Callable[[int], None]]:
        """A bar for an evaluation of so many problems; the block gets what is told of each few that are done."""
        task, done = self.bars.add_task("evaluate", total=problems), 0

        def advance(count: int) -> None:
            nonlocal done
            done += count
            self.bars.advance(task, count)
            self.pulse.doing("evaluating", f"{done} of {problems} problems")

        advance(0)
        try:
            yield advance
        finally:
            self.bars.remove_task(task)
            self._next()

    def evaluated(self, step: int, result: Score) -> None:
        """Says how good the policy is."""
        self._say()
        value, low, high = result.interval
        score = f"pass@1 {value:.1%} ({low:.1%} to {high:.1%})"
        updates = f"{step} update{'' if step == 1 else 's'}"
        after = f" after {updates}" if self.total else ""  # a run without updates measures another's policy
        self.console.print(f"{escape(self.name)}: {score}{after}", soft_wrap=True)
        self.pulse.printed()

    def programs(self, step: int, shown: Sequence[Shown]) -> None:
        """A table of sample programs, in a terminal."""
        if self.console.is_terminal and shown:
            self.console.print(programs(step, shown))

    # ----------------------------------------------------------------------------------------------------------- panel

    def panel(self) -> RenderableType:
        """The panel as it is now."""
        body, halves = Table.grid(padding=(0, 3)), (self._numbers(), Group(self._outcomes(), Text(), self._speed()))
        if self.console.width >= SIDE_BY_SIDE:
            body.add_row(*halves)
        else:
            for half in halves:
                body.add_row(half)
        head = f"[bold]{escape(self.name)}[/]  update {self.step} of {self.total}"
        below = f"{self._clock()}{'; ' * bool(self._work)}{self._work}"
        return Group(Panel(body, title=head, title_align="left", subtitle=below, subtitle_align="left"), self.bars)

    def _clock(self) -> str:
        return f"{duration(time.monotonic() - self._began)} spent, left: {self._left()}"

    def _left(self) -> str:
        """The time that the other updates will take, if they are like those of this process."""
        spent, new = time.monotonic() - self._began, self.step - self._first
        return duration(spent / new * (self.total - self.step)) if new else "not known yet"

    def _numbers(self) -> Table:
        table = Table.grid(padding=(0, 2))
        parts = [name for name in self._last if name.startswith("reward/")]
        names = [n for name in FOLLOWED for n in ([name, *parts] if name == "reward" else [name])]
        for name in names:
            if name in self._last:
                label = f"  {name.removeprefix('reward/')}" if name in parts else name
                table.add_row(label, Text(f"{self._last[name]:.4g}", justify="right"), sparkline(self._history[name]))
        return table

    def _outcomes(self) -> Table:
        table = Table.grid(padding=(0, 2))
        for outcome in sorted(Outcome, reverse=True):
            for name in (f"outcome/{outcome.name.lower()}", FOUND.get(outcome, "")):
                if (share := self._last.get(name)) is not None:
                    bar = Text("█" * round(share * WIDTH), style=COLOURS[outcome])
                    label = name.replace("outcome/", "").replace("/", " ").replace("_", " ")
                    table.add_row(label, Text(f"{share:.0%}", justify="right"), bar)
        return table

    def _speed(self) -> Table:
        table, spent = Table.grid(padding=(0, 2)), self._spent
        if "tokens_per_second" in self._last:
            table.add_row("tokens a second", f"{self._last['tokens_per_second']:,.0f} while writing")
        if spent["all"]:
            waited = {"waiting for generators": spent["wait"]} if spent["wait"] else {}
            own = {"writing": spent["generate"], "waiting for the judge": spent["judge"]}
            shown = waited or own
            for label, seconds in {**shown, "learning": spent["all"] - sum(shown.values())}.items():
                table.add_row(label, f"{seconds / spent['all']:.1%} of the time")
        return table


def sparkline(values: Sequence[float] | deque[float]) -> str:
    """The values as a row of blocks between their least and their largest; what is not finite is left out."""
    points = [p for p in list(values)[-WIDTH:] if math.isfinite(p)]
    low, high = min(points, default=0.0), max(points, default=0.0)
    if not 0 < high - low < math.inf:
        return TICKS[0] * len(points)
    return "".join(TICKS[min(7, int((p - low) / (high - low) * 8))] for p in points)


def duration(seconds: float) -> str:
    """`2:03:04`, or `3:04` below an hour."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def programs(step: int, shown: Sequence[Shown]) -> Table:
    """Programs side by side with what became of them; the guilty line is marked. Nothing in them reaches the terminal raw."""
    table = Table(title=f"programs of update {step}", title_justify="left", show_lines=True)
    table.add_column("what became of it", max_width=36)
    table.add_column("program")
    for each in shown:
        words = f"{each.words}\n{each.count}\nreward {each.reward:+.2f}"
        if each.kind:
            where = f" on line {each.line}" if each.line else ""
            words += f"\n{each.kind}{where}\n{each.message}"
        style = COLOURS[Outcome[each.outcome]]
        safe = "\n".join(ansi.printable(part) for part in [each.problem, *words.split("\n")])
        table.add_row(Text(safe, style=style), code(each))
    return table


def code(shown: Shown) -> Text:
    """The program with numbered lines, at most `CODE_LINES` of them around the guilty one."""
    lines = shown.lines()
    first = max(0, min((shown.line or 1) - CODE_LINES // 2, len(lines) - CODE_LINES))
    text = Text()
    for number, (_, line) in enumerate(lines[first : first + CODE_LINES], first + 1):
        guilty = number == shown.line
        mark = ">" if guilty else " "
        text.append(f"{mark}{number:4} | {ansi.printable(line)}\n", style="bold red" if guilty else "")
    return text


def progress(console: Console) -> Progress:
    """Bars with counts, time spent and time left; nothing where there is no terminal."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
