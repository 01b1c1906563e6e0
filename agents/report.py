"""`python -m agents.report RUN`: one page, `RUN/report.html`, of what a run's folder holds: curves, evaluations, programs.

The page is self-contained: no script, and nothing is loaded, neither from a network nor from a disk. Programs, which a model
wrote, are shown and never interpreted: every character is escaped, and the page forbids scripts and requests to itself.
"""

from __future__ import annotations

import json
import math
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape as markup

from agents.running import _svg
from agents.running._svg import Curve, chart
from agents.running.folder import EVALUATIONS, METRICS, SAMPLES, records, write_text
from agents.running.journal import Shown
from rltf_env.command import guarded, leave, parser
from rltf_env.core import Outcome
from rltf_env.errors import DataError, MissingData
from rltf_env.intervals import Interval, rate_interval
from rltf_env.view import ansi

Lines = Sequence[Mapping[str, float]]

# Charts of several curves: title, the metrics (a trailing / takes all that begin so), and whether they are shares.
CHARTS: tuple[tuple[str, tuple[str, ...], bool], ...] = (
    ("Reward", ("reward", "reward/"), False),
    ("Outcomes", ("outcome/",), True),
    ("Found without running", ("found/",), True),
    ("Discriminator", ("discriminator_loss", "discriminator_accuracy", "discriminator"), False),
    ("Share of cases passed", ("pass_ratio",), True),
    ("Reinforcement loss", ("rl_loss",), False),
    ("Supervised loss", ("supervised_loss",), False),
    ("Pre-training loss", ("pretraining_loss", "loss/"), False),
    ("Contrast", ("contrast_loss",), False),
    ("Share of lines that knew their own key", ("contrast_accuracy",), True),
    ("Values", ("value_loss", "value"), False),
    ("Critic", ("critic_loss", "critic_accuracy", "critic_weight"), False),
    ("Entropy (nats)", ("entropy",), False),
    ("KL to the policy that wrote (nats a token)", ("kl_behaviour",), False),
    ("KL to the reference (nats)", ("kl_reference",), False),
    ("KL coefficient", ("kl_coefficient",), False),
    ("Share of tokens clipped", ("clip_fraction",), True),
    ("Norm of the gradient", ("grad_norm",), False),
    ("Learning rate", ("lr",), False),
    ("Tokens of a program", ("program_tokens",), False),
    ("Share of programs cut off", ("truncated",), True),
    ("Seconds of an update", ("seconds", "seconds/"), False),
    ("Tokens a second, while writing", ("tokens_per_second",), False),
    ("Age of what is learnt from (updates)", ("staleness",), False),
)
WORDS = {  # of metrics that have no chart in CHARTS
    "weighted": "Share of programs that teach something",
    "buffer": "Programs in the buffer",
    "padding": "Share of a batch that is padding",
}
COLOURS = {"outcome/passed": 2, "outcome/wrong_answer": 1, "outcome/runtime_error": 3, "outcome/syntax_error": 4}
PROGRAMS = 60  # that are shown: the newest, and the first few
WARM, COLD = "var(--good)", "var(--bad)"

STYLE = (
    """
:root{color-scheme:light dark;--bg:#fdfdfc;--fg:#1d2126;--soft:#68707a;--line:#e4e6e9;--card:#fff;--bad:#d9480f;--good:#1a7f4b;
--c0:#2563c9;--c1:#d9680f;--c2:#1a8a55;--c3:#b3327a;--c4:#7a5cd6;--c5:#8a6d1a;--c6:#0f8a94;--c7:#7d7d7d}
@media(prefers-color-scheme:dark){:root{--bg:#14171a;--fg:#e4e7ea;--soft:#98a2ad;--line:#2c3238;--card:#1b1f23;--bad:#ff8a5c;
--good:#4fc98a;--c0:#6ea8ff;--c1:#ffa45c;--c2:#4fc98a;--c3:#f07ab8;--c4:#b09cff;--c5:#d8b95a;--c6:#4fc4d0;--c7:#a8a8a8}}
*{box-sizing:border-box}body{margin:0 auto;max-width:1040px;padding:2rem 1.25rem 4rem;background:var(--bg);color:var(--fg);
font:15px/1.5 system-ui,sans-serif}h1{font-size:1.6rem;margin:0}h2{font-size:1.15rem;margin:2.5rem 0 .75rem}
p,dl{color:var(--soft);margin:.4rem 0}dl{display:flex;flex-wrap:wrap;gap:.2rem 1.6rem}dt{display:inline;margin-right:.4rem}
dd{display:inline;margin:0;color:var(--fg)}.grids{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,400px),1fr));
gap:1rem}figure,article{margin:0;background:var(--card);border:1px solid var(--line);border-radius:8px;padding:.8rem}
figcaption{font-weight:600;font-size:.9rem;margin-bottom:.3rem}svg{width:100%;height:auto;display:block}
svg text{font:11px system-ui,sans-serif;fill:var(--soft)}.grid{stroke:var(--line);fill:none}
polyline{fill:none;stroke-width:1.8;stroke-linejoin:round}.bar{stroke-width:1.2;opacity:.7}
ul{list-style:none;display:flex;flex-wrap:wrap;gap:.1rem 1rem;margin:.4rem 0 0;padding:0;font-size:.82rem;color:var(--soft)}
li i{display:inline-block;width:.7rem;height:.7rem;border-radius:2px;margin-right:.35rem}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}
td,th{padding:.25rem .9rem .25rem 0;text-align:right;
border-bottom:1px solid var(--line)}th{color:var(--soft);font-weight:500}.scroll{overflow-x:auto}
article{margin-bottom:.6rem}summary{cursor:pointer;overflow-wrap:anywhere}article>details{margin:0;color:var(--fg)}
article>details>summary>*{margin-right:1rem}article>details[open]>summary{margin-bottom:.4rem}
summary b{font-size:.95rem}summary span{color:var(--soft);font-size:.85rem}.result{font-size:1.15rem;color:var(--fg)}
input[name=outcome]{position:absolute;opacity:0}input[name=outcome]+label{display:inline-block;margin:.2rem .4rem .2rem 0;
padding:.1rem .7rem;border:1px solid var(--line);border-radius:99px;font-size:.85rem;cursor:pointer}
input[name=outcome]:checked+label{background:var(--c0);border-color:var(--c0);color:var(--bg)}
input[name=outcome]:focus-visible+label{outline:2px solid var(--c0);outline-offset:2px}
.index{margin:.6rem 0 1rem}.index a{text-decoration:none;margin-left:.15rem}
table{width:100%}th{vertical-align:bottom}tr>:last-child{padding-right:0}
@media(max-width:520px){td,th{padding-right:.5rem;font-size:.88rem}summary b{font-size:.8rem}}
.PASSED{color:var(--good)!important}
.WRONG_ANSWER,.RUNTIME_ERROR,.SYNTAX_ERROR{color:var(--bad)!important}
details{margin:.2rem 0 .5rem;font-size:.85rem;color:var(--soft)}
details pre{white-space:pre-wrap}pre{margin:0;overflow-x:auto;font:12.5px/1.55 ui-monospace,monospace;tab-size:4}
.row{display:block;min-width:max-content;padding-right:1rem}
.row>i{font-style:normal;color:var(--soft);user-select:none;display:inline-block;
width:3.2rem;text-align:right;padding-right:.9rem}.guilty{background:color-mix(in srgb,var(--bad) 14%,transparent);
box-shadow:inset 3px 0 var(--bad)}.guilty>i{color:var(--bad);font-weight:700}.given{opacity:.55}
"""
    + "".join(f"#only-{outcome.name}:checked~article:not(.of-{outcome.name}){{display:none}}" for outcome in Outcome)
    + "".join(
        f"polyline.c{i},path.c{i}{{stroke:var(--c{i})}}circle.c{i}{{fill:var(--c{i})}}i.c{i}{{background:var(--c{i})}}"
        for i in range(8)
    )
)


def page(out: Path) -> str:
    """The page of the run in `out`.

    Raises:
        MissingData: there is no run.  DataError: its files are not those of a run.
    """
    if not (out / METRICS).is_file():
        raise MissingData(
            f"Expected the folder of a run, with {METRICS} in it, got {str(out)!r}. Start one with agents.train."
        )
    try:
        recipe = tomllib.loads((out / "recipe.toml").read_text(encoding="utf-8"))
        lines = records(out / METRICS)
        evaluations = json.loads((out / EVALUATIONS).read_text()) if (out / EVALUATIONS).exists() else {}
        samples = [(r["step"], Shown.from_dict(r["program"])) for r in records(out / SAMPLES)]
        title, body = str(recipe["run"]["name"]), _body(recipe, lines, evaluations, samples)
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"Expected the files of a run of this version in {out}, got: {error!r}.") from error
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><style>{STYLE}</style></head>'
        f"<body><h1>{escape(title)}</h1>{body}</body></html>\n"
    )


def _body(
    recipe: Mapping[str, Any], lines: Lines, evaluations: Mapping[str, Any], samples: Sequence[tuple[int, Shown]]
) -> str:
    facts = {
        "environment": recipe["env"].get("id", ""),
        "policy": recipe["policy"].get("kind", ""),
        "agent": recipe["agent"].get("kind", ""),
        "seed": recipe["run"]["seed"],
        "updates": f"{len(lines)} of {recipe['run']['updates']}",
    }
    head = "".join(f"<div><dt>{name}</dt><dd>{escape(str(value))}</dd></div>" for name, value in facts.items())
    return f"{_headline(evaluations)}<dl>{head}</dl>{_evaluations(evaluations)}{_curves(lines)}{_programs(samples)}"


def _headline(evaluations: Mapping[str, Any]) -> str:
    """The result in a sentence: the newest evaluation, and the first."""
    if not evaluations:
        return '<p class="result">Not measured yet.</p>'
    first, last = min(evaluations, key=int), max(evaluations, key=int)
    value, low, high = _interval(evaluations[last])
    text = f"<b>pass@1 {value:.1%}</b> ({low:.1%} to {high:.1%}) after {last} update{'' if last == '1' else 's'}"
    before = f", {evaluations[first]['pass@1']:.1%} after {first}" if first != last else ""
    return f'<p class="result">{text}{before}</p>'


# ------------------------------------------------------------------------------------------------------------ sections


def _evaluations(evaluations: Mapping[str, Any]) -> str:
    if not evaluations:
        return ""
    steps = sorted(evaluations, key=int)
    rows = "".join(_evaluation(step, evaluations[step]) for step in steps)
    found = [evaluations[step] for step in steps]
    curve = Curve("pass@1", [int(s) for s in steps], [e["pass@1"] for e in found], [_half(e) for e in found])
    table = f"<table><tr><th>update</th><th>pass@1</th><th>95 % interval</th><th>cases passed</th></tr>{rows}</table>"
    problems, each = found[-1]["problems"], found[-1]["samples"]
    of_each = f"{each} program{'s' * (each != 1)} for each of {problems} problem{'s' * (problems != 1)}"
    note = f"<p>{of_each}. Intervals are over problems, by Wilson's method.</p>"
    drawn = chart("pass@1 (95 % over problems)", [curve], percent=True)
    return f'<h2>Evaluations</h2><div class="grids">{drawn}<figure>{table}{note}</figure></div>'


def _evaluation(step: str, e: Mapping[str, Any]) -> str:
    ends = _interval(e)
    shown = f"{ends.low:.1%} to {ends.high:.1%}"
    cells = (step, f"{e['pass@1']:.1%}", shown, f"{e['pass_ratio']:.1%}")
    return f"<tr>{''.join(f'<td>{escape(str(cell))}</td>' for cell in cells)}</tr>"


def _interval(e: Mapping[str, Any]) -> Interval:
    return rate_interval([passed / e["samples"] for passed in e["passed"]], e.get("clusters"))


def _half(e: Mapping[str, Any]) -> float:
    """The longer arm of the 95 % interval."""
    ends = _interval(e)
    return max(ends.value - ends.low, ends.high - ends.value)


def _curves(lines: Lines) -> str:
    names = {name: None for line in lines for name in line if name != "step"}  # in order of appearance
    charts = list(CHARTS)
    listed = {name for _, wanted, _ in charts for name in _matching(names, wanted)}
    charts += [(_words(name), (name,), False) for name in names if name not in listed]
    drawn, still = [], []
    for title, wanted, percent in charts:
        curves = [_curve(lines, n) for n in _matching(names, wanted)]
        values = {value for curve in curves for value in curve.y}
        if len(values) == 1 and len(lines) > 1:  # a flat line says no more than its number
            still.append(f"{title}: {_svg.number(values.pop(), percent)}")
        else:
            drawn.append(chart(title, curves, percent=percent))
    body = "".join(drawn)
    flat = f"<p>The same at every update: {escape('; '.join(still))}.</p>" if still else ""
    return f'<h2>Training</h2><div class="grids">{body}</div>{flat}' if body or still else "<p>No update yet.</p>"


def _words(name: str) -> str:
    """A metric's name for people: `critic/loss_weight` is "Critic: loss weight"."""
    text = name.replace("/", ": ").replace("_", " ")
    return WORDS.get(name, text[:1].upper() + text[1:])


def _matching(names: Mapping[str, None], wanted: Sequence[str]) -> list[str]:
    return [n for w in wanted for n in names if (n.startswith(w) if w.endswith("/") else n == w)]


def _curve(lines: Lines, name: str) -> Curve:
    # A part of an update's seconds that is not named took none of them: else it would be drawn above the whole.
    absent = 0.0 if name.startswith("seconds/") else None
    found = ((line["step"], line.get(name, absent)) for line in lines)
    points = [(step, value) for step, value in found if value is not None]
    label, colour = name.rpartition("/")[2].replace("_", " "), COLOURS.get(name, -1)
    return Curve(label, [x for x, _ in points], [y for _, y in points], colour=colour)


def _programs(samples: Sequence[tuple[int, Shown]]) -> str:
    if not samples:
        return "<h2>Programs</h2><p>No program was kept: see run.samples_every.</p>"
    chosen = samples if len(samples) <= PROGRAMS else [*samples[:8], *samples[8 - PROGRAMS :]]
    shown = [*reversed(list(enumerate(chosen)))]
    articles = "".join(_program(number, step, each, opened=not at) for at, (number, (step, each)) in enumerate(shown))
    note = (
        "<p>Newest first. The line that failed is marked. A token's background is what its log-probability was multiplied by: "
        "green raised it, red lowered it, the stronger the larger its share in the program.</p>"
    )
    return f"<h2>Programs</h2>{note}{_filters(chosen)}{_index(shown)}{articles}"


def _filters(samples: Sequence[tuple[int, Shown]]) -> str:
    """Buttons that leave one outcome; the style sheet does the work."""
    counts = Counter(shown.outcome for _, shown in samples)
    known = [outcome.name for outcome in reversed(Outcome) if counts[outcome.name]]
    names = [("all", f"all {len(samples)}"), *((name, f"{_outcome(name)} {counts[name]}") for name in known)]
    return "".join(
        f'<input type="radio" name="outcome" id="only-{name}"{" checked" if name == "all" else ""}>'
        f'<label for="only-{name}">{text}</label>'
        for name, text in names
    )


def _index(shown: Sequence[tuple[int, tuple[int, Shown]]]) -> str:
    """Links to the programs, update by update; each in the colour of its outcome."""
    groups: dict[int, list[str]] = {}
    for number, (step, each) in shown:
        link = (
            f'<a class="{escape(each.outcome)}" href="#program-{number}" title="{_outcome(each.outcome)}">&#9632;</a>'
        )
        groups.setdefault(step, []).append(link)
    items = "".join(f"<li>{step} {''.join(links)}</li>" for step, links in groups.items())
    return f'<ul class="index" aria-label="programs by update">{items}</ul>'


def _outcome(name: str) -> str:
    return name.lower().replace("_", " ")


def _program(number: int, step: int, shown: Shown, *, opened: bool) -> str:
    where = f" on line {shown.line}" if shown.line else ""
    facts = [
        f"update {step}",
        shown.count,
        f"reward {shown.reward:+.2f} = " + ", ".join(f"{name} {value:+.2f}" for name, value in shown.parts.items()),
        *([f"{shown.kind}{where}" + (f": {shown.message}" if shown.message else "")] if shown.kind else []),
        *(["cut off"] if shown.truncated else []),
    ]
    head = f'<b>{_safe(shown.problem)}</b><span class="{escape(shown.outcome)}">{escape(shown.words)}</span>'
    head += "".join(f"<span>{_safe(fact)}</span>" for fact in facts)
    statement = "\n".join(map(_safe, shown.statement.splitlines()))
    task = f"<details><summary>problem</summary><pre>{statement}</pre></details>"
    return (
        f'<article class="of-{escape(shown.outcome)}" id="program-{number}"><details{" open" if opened else ""}>'
        f"<summary>{head}</summary>{task}<pre>{''.join(_rows(shown))}</pre></details></article>"
    )


def _rows(shown: Shown) -> Iterator[str]:
    """Each line of the program, its tokens on a background of their weight."""
    largest = max((abs(w) for w in shown.weights if math.isfinite(w)), default=0.0) or 1.0
    ends = [*shown.starts[1:], len(shown.text)]
    tokens = list(zip(shown.starts, ends, shown.weights, range(len(ends)), strict=False))
    for number, (start, line) in enumerate(shown.lines(), 1):
        spans = []
        for a, b, weight, index in tokens:
            part = line[max(a - start, 0) : max(b - start, 0)]
            if part:
                spans.append(_token(part, weight, largest, given=index < shown.given))
        guilty = " guilty" if number == shown.line else ""
        yield f'<span class="row{guilty}"><i>{number}</i>{"".join(spans)}</span>'


def _token(text: str, weight: float, largest: float, *, given: bool) -> str:
    if given:
        return f'<span class="given" title="given">{_safe(text)}</span>'
    colour = WARM if weight > 0 else COLD
    share = round(6 + 40 * abs(weight) / largest) if weight and math.isfinite(weight) else 0
    return f'<span title="{weight:+.3g}" style="background:color-mix(in srgb,{colour} {share}%,transparent)">{_safe(text)}</span>'


def _safe(text: str) -> str:
    return escape(ansi.printable(text))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    made = parser("agents.report", __doc__)
    made.add_argument("run", type=Path, help="the folder of a run, such as runs/procedural_rltf")
    made.add_argument("--out", type=Path, help="where the page goes (default: report.html in that folder)")
    options = made.parse_args(arguments)
    return guarded(lambda: _write(options.run, options.out or options.run / "report.html"))


def _write(run: Path, out: Path) -> int:
    text = page(run)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_text(out, text)
    Console().print(f"Wrote {markup(str(out))}", highlight=False, soft_wrap=True)
    return 0


if __name__ == "__main__":
    leave(main())
