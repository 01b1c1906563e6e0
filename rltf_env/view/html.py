"""What each token earned, as one HTML page that needs nothing else: no script, no network, light and dark as the reader has it.

    fragment(attempt, feedback)   one program: its tokens coloured by their rewards, the parts, the verdict on every case
    page(fragments, title)        the whole page; `save(path, ...)` writes it

Pure functions of plain values. Whatever a program, a statement or a message holds is escaped: `</script>` is text like other
text, and a content security policy forbids the page to run or to fetch anything at all.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from html import escape
from itertools import groupby
from pathlib import Path

import numpy as np

from rltf_env import prompts
from rltf_env.core import Attempt, CaseResult, Feedback, Outcome, Program, Verdict, line_starts
from rltf_env.view import ansi, syntax

STYLE = """
:root { color-scheme: light dark; --ink: #1c1e21; --paper: #fff; --faint: #6b7280; --edge: #d8dbe0; --bad: 214, 40, 40;
  --good: 22, 140, 70; --keyword: #8a2be2; --string: #9a5b00; --number: #0b6e99; --definition: #1d4ed8; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e7e9; --paper: #16181c; --faint: #9aa1ab; --edge: #363a42;
  --bad: 240, 82, 82; --good: 60, 190, 110; --keyword: #c792ea; --string: #e0b060; --number: #6cc7e6; --definition: #82aaff; } }
body { background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto;
  padding: 0 1rem; }
.rltf { border-top: 1px solid var(--edge); padding: 1rem 0; }
.rltf h2 { font-size: 1.05rem; margin: 0; }
.rltf pre, .rltf code { font: 13px/1.55 ui-monospace, monospace; }
.rltf .statement { white-space: pre-wrap; color: var(--faint); margin: .3rem 0; }
.rltf .code { overflow-x: auto; padding: .6rem 0; margin: .6rem 0; border: 1px solid var(--edge); border-radius: 6px; }
.rltf .line { display: block; padding-right: 1rem; }
.rltf .line::before { content: attr(data-line); display: inline-block; width: 3rem; padding-right: 1rem; text-align: right;
  color: var(--faint); }
.rltf .failing { background: rgba(var(--bad), .12); box-shadow: inset 4px 0 rgb(var(--bad)); }
.rltf .t { border-radius: 2px; outline: 1px solid transparent; }
.rltf .t:hover { outline-color: var(--faint); }
.rltf .neg { background: rgba(var(--bad), var(--heat)); }
.rltf .pos { background: rgba(var(--good), var(--heat)); }
.rltf .given { opacity: .55; }
.rltf .off { text-decoration: underline dotted var(--faint); }
.rltf .mark { color: var(--faint); }
.rltf .keyword { color: var(--keyword); } .rltf .string { color: var(--string); } .rltf .comment { color: var(--faint); }
.rltf .number, .rltf .builtin { color: var(--number); } .rltf .definition { color: var(--definition); }
.rltf table { border-collapse: collapse; margin: .6rem 2rem .6rem 0; display: inline-table; vertical-align: top; }
.rltf th, .rltf td { text-align: left; padding: .15rem .8rem .15rem 0; border-bottom: 1px solid var(--edge); }
.rltf td.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.rltf td { overflow-wrap: anywhere; }
@media (max-width: 640px) { .rltf table { display: table; width: 100%; margin-right: 0; } .rltf .line::before { width: 2rem; } }
.rltf .passed { color: rgb(var(--good)); } .rltf .failed { color: rgb(var(--bad)); }
""".strip()
LEGEND = (
    "<p>Each token has the colour of what it earned: red below zero, green above, the stronger the larger its share. "
    "The last one, mostly the end, also carries what the whole program earned. Point at a token for the number. "
    "Pale tokens were given; the agent does not learn from those with dots below.</p>"
)
POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def save(path: str | os.PathLike[str], pairs: Iterable[tuple[Attempt, Feedback]], title: str = "rltf") -> None:
    """Writes the page on these judged attempts; its folder is made where there is none."""
    text = page((fragment(attempt, feedback) for attempt, feedback in pairs), title)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text, encoding="utf-8")


def page(fragments: Iterable[str], title: str = "rltf") -> str:
    """One self-contained HTML page that shows `fragments`, in order."""
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_text(title)}</title>\n<style>\n{STYLE}\n</style>\n</head>\n<body>\n<h1>{_text(title)}</h1>\n"
        f"{LEGEND}\n" + "\n".join(fragments) + "\n</body>\n</html>\n"
    )


def fragment(attempt: Attempt, feedback: Feedback) -> str:
    """One judged program as a `<section class="rltf">`, to be styled by `STYLE`."""
    problem, verdict = attempt.problem, attempt.verdict
    state = "passed" if verdict.outcome is Outcome.PASSED and verdict.was_run else "failed"
    became = verdict.outcome.name if verdict.was_run else "READ"
    cases = _cases(verdict) if verdict.was_run else ""
    failing = verdict.failure.line if verdict.failure else None
    lines = "".join(_lines(attempt.program, feedback, failing))
    return (
        f'<section class="rltf">\n<h2>{_text(problem.id)}</h2>\n'
        f'<p class="statement">{_text(prompts.render(problem).strip())}</p>\n'
        f'<p><b class="{state}">{became}</b> {_text(ansi.verdict_text(verdict))}</p>\n'
        f'<pre class="code">{lines}</pre>\n{_parts(feedback)}\n{cases}\n</section>'
    )


# -------------------------------------------------------------------------------------------------------------- tokens


def _lines(program: Program, feedback: Feedback, failing: int | None) -> Iterator[str]:
    """The program, line by line, each a row of token spans; at its end the tokens that spell nothing."""
    starts = line_starts(program.text)
    lines = _line_spans(program)
    kinds = syntax.kinds(program.text)
    largest = float(np.abs(feedback.token_rewards).max(initial=0.0)) or 1.0
    for number, (begin, end) in enumerate(zip(starts, [*starts[1:], len(program.text) + 1], strict=True), 1):
        spans = []
        for start, stop, tokens in lines:
            low, high = max(start, begin), min(stop, end)
            if low < high or (start == stop == high and number == len(starts)):
                spans.append(_span(program, feedback, tokens, low, high, kinds, largest))
        mark = " failing" if number == failing else ""
        yield f'<span class="line{mark}" data-line="{number}">{"".join(spans)}</span>'


def _line_spans(program: Program) -> list[tuple[int, int, list[int]]]:
    """Stretches of the text with the tokens that spell them: tokens that share an offset (bytes of one character) are one."""
    groups = [(int(start), list(some)) for start, some in groupby(range(len(program)), lambda i: program.starts[i])]
    ends = [*(start for start, _ in groups[1:]), len(program.text)]
    return [(start, end, tokens) for (start, tokens), end in zip(groups, ends, strict=False)]  # no tokens, no groups


def _span(
    program: Program, feedback: Feedback, tokens: list[int], low: int, high: int, kinds: list[str], largest: float
) -> str:
    """The tokens' share of one line."""
    last = len(program) - 1 in tokens  # it carries what the whole program earned, as strong as that is alone
    if last and feedback.rewards[-1] != feedback.token_rewards[-1]:
        largest = float(np.abs(feedback.rewards[tokens]).max(initial=0.0)) or 1.0
    heat = float((feedback.rewards if last else feedback.token_rewards)[tokens].sum())
    classes = ["t"]
    if heat:
        classes.append("neg" if heat < 0 else "pos")
    if not program.generated_mask[tokens].any():
        classes.append("given")
    elif not feedback.loss_mask[tokens].all():
        classes.append("off")
    style = f' style="--heat:{min(abs(heat) / largest, 1) * 0.5:.2f}"' if heat else ""
    about = "; ".join(f"token {i}, id {program.tokens[i]}, reward {feedback.rewards[i]:+.3f}" for i in tokens)
    body = _coloured(program.text, low, high, kinds) if low < high else '<span class="mark">end</span>'
    return f'<span class="{" ".join(classes)}"{style} title="{about}">{body}</span>'


def _coloured(text: str, low: int, high: int, kinds: list[str]) -> str:
    """A stretch of the text in the colours of its syntax; line ends, which each line has by itself, as a mark."""
    out = []
    for kind, positions in groupby(range(low, high), lambda i: kinds[i]):
        body = _text("".join(text[i] for i in positions).replace("\r", "").replace("\n", ""))
        out.append(f'<span class="{kind}">{body}</span>' if kind and body else body)
    ends_line = "\n" in text[low:high] or "\r" in text[low:high]
    return "".join(out) + ('<span class="mark">↵</span>' if ends_line else "")


# -------------------------------------------------------------------------------------------------------------- tables


def _parts(feedback: Feedback) -> str:
    rows = [*feedback.parts.items(), ("total", feedback.total)]
    body = "".join(f'<tr><td>{_text(name)}</td><td class="n">{value:+.3f}</td></tr>' for name, value in rows)
    return f"<table><tr><th>part</th><th>reward</th></tr>{body}</table>"


def _cases(verdict: Verdict) -> str:
    """A row for each run of cases that came to the same; the columns that say something."""
    runs = [(told, list(some)) for told, some in groupby(enumerate(verdict.results, 1), lambda each: _told(each[1]))]
    seconds = [sum(result.seconds for _, result in some) for _, some in runs]
    why, timed = any(told[1] for told, _ in runs), any(each >= 0.0005 for each in seconds)
    heads = ["case", "outcome", *(["why"] if why else []), *(["CPU s"] if timed else [])]
    rows = []
    for (told, some), spent in zip(runs, seconds, strict=True):
        first, last = some[0][0], some[-1][0]
        number = str(first) if first == last else f"{first} to {last}"
        state = "passed" if told[0] is Outcome.PASSED else "failed"
        cells = [f'<td class="n">{number}</td><td class="{state}">{told[0].name}</td>']
        cells += [f"<td>{_text(told[1])}</td>"] if why else []
        cells += [f'<td class="n">{spent:.3f}</td>'] if timed else []
        rows.append(f"<tr>{''.join(cells)}</tr>")
    head = "".join(f"<th>{name}</th>" for name in heads)
    return f"<table><tr>{head}</tr>{''.join(rows)}</table>"


def _told(result: CaseResult) -> tuple[Outcome, str]:
    return result.outcome, ansi.sentence(result.failure) if result.failure else ""


def _text(text: str) -> str:
    """`text` as text in HTML, also inside an attribute; control characters as their pictures."""
    return escape(ansi.printable(text, keep="\t\n"), quote=True)
