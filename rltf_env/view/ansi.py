"""What a person sees of an episode in a terminal: the program so far; at the end verdict, failing line and heat.

Pure text to text, with ANSI codes. What a program wrote is shown, never sent: control characters appear as their pictures,
so no program can move the cursor or change the colours of the terminal that it is looked at in.
"""

from __future__ import annotations

import numpy as np

from rltf_env._renamed import renamed
from rltf_env.core import (
    Failure,
    FailureKind,
    Feedback,
    FloatArray,
    Judgement,
    Outcome,
    Problem,
    Program,
    Verdict,
    line_starts,
)
from rltf_env.view import syntax

RESET, BOLD, DIM, RED, GREEN = "\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[31m", "\x1b[32m"
_REDS, _GREENS = (52, 88, 124, 160), (22, 28, 34, 40)  # backgrounds of the 256-colour table, weak to strong
_SYNTAX = {"keyword": "35", "string": "33", "number": "36", "comment": "2", "builtin": "36", "definition": "34"}
_BARS = "▁▂▃▄▅▆▇█"
WIDTH = 64  # tokens on a heat line
_WORDS = {
    Outcome.SYNTAX_ERROR: "syntax error",
    Outcome.RUNTIME_ERROR: "error while running",
    Outcome.WRONG_ANSWER: "wrong answer",
    Outcome.PASSED: "passed",
}
_SENTENCES = {
    FailureKind.WRONG_ANSWER: "It ran to its end, but what it gave is not right",
    FailureKind.TIMEOUT: "It took longer than it may: a loop without end, or a slow way to the answer",
    FailureKind.MEMORY_LIMIT: "It asked for more memory than it may have",
    FailureKind.OUTPUT_LIMIT: "It printed more than it may",
    FailureKind.FILE_LIMIT: "It wrote more to files than it may",
    FailureKind.PROCESS_LIMIT: "It started more processes than it may",
    FailureKind.FORBIDDEN_CALL: "It did something that the judge forbids",
    FailureKind.KILLED: "Its process was killed",
    FailureKind.EXITED: "It ended its process before it had answered",
    FailureKind.MISSING_ENTRY_POINT: "It does not define what is to be called",
    FailureKind.UNREPRESENTABLE: "It gave something that is no plain data, so it cannot be compared",
    FailureKind.FOOLED_TEST: "It passed a copy of the test in which an expectation is false, so it did not answer the test",
    FailureKind.NOT_RUN: "It was not run: an earlier case used up the time",
    FailureKind.UNDEFINED_NAME: "It reads a name that nothing binds",
    FailureKind.WRONG_ARITY: "It calls a function of its own with a number of arguments that it cannot take",
    FailureKind.UNBOUND_LOCAL: "It reads a local name before anything binds it",
    FailureKind.NOT_RETURNED: "A function of it returns a value on one path and none on another",
}


def frame(problem: Problem, program: Program, limit: int, judgement: Judgement | None = None) -> str:
    """The frame of one moment.

    Args:
        problem: what is being solved.
        program: the tokens so far, or the whole program; in the colours of Python's syntax where pygments is installed.
        limit: T, the most tokens there may be.
        judgement: once there is one, it is put into words, its line is marked, and each token's own reward is its background:
            red below zero, green above, the stronger the larger its share. What the whole program earned is in the words,
            and in the heat line, which has one mark for each token.
    """
    head = f"{BOLD}{printable(problem.id)}{RESET}  {len(program)}/{limit} tokens"
    failure = judgement.verdict.failure if judgement else None
    rewards = judgement.feedback.token_rewards if judgement else np.zeros(len(program), np.float32)
    body = _body(program, per_character(program, rewards), failure.line if failure else None)
    return "\n".join([head, *body, *([words(judgement), *heat_line(judgement.feedback)] if judgement else [])])


def words(judgement: Judgement) -> str:
    """The judgement in two lines: what became of the program and why, and what was earned for what."""
    verdict, feedback = judgement
    colour = GREEN if verdict.outcome is Outcome.PASSED and verdict.was_run else RED
    became = _WORDS[verdict.outcome] if verdict.was_run else "read"
    parts = ", ".join(f"{name} {value:+.2f}" for name, value in feedback.parts.items())
    reward = f"reward {feedback.total:+.2f}" + (f" = {parts}" if parts else "")
    return f"{colour}{became}{RESET}, {verdict_text(verdict)}\n{reward}"


def verdict_text(verdict: Verdict) -> str:
    """How many cases passed and, in a sentence, why not all."""
    if not verdict.was_run:
        return sentence(verdict.failure) if verdict.failure else "Nothing was found in its text; it was not run."
    passed = sum(result.outcome is Outcome.PASSED for result in verdict.results)
    text = f"{passed} of {len(verdict.results)} cases passed."
    return f"{text} {sentence(verdict.failure)}" if verdict.failure else text


def sentence(failure: Failure) -> str:
    """Why a program failed, as one would tell a person: what it did, on which line, and Python's own message."""
    where = f" on line {failure.line}" if failure.line else ""
    message = printable(failure.message)[:200]
    if failure.is_a("SyntaxError"):
        text = f"It is no Python{where}"
    elif failure.kind in _SENTENCES:
        detail = {FailureKind.KILLED: " by signal ", FailureKind.EXITED: " with status "}.get(failure.kind, "")
        text = (
            _SENTENCES[failure.kind]
            + (f"{detail}{printable(failure.detail)}" if detail and failure.detail else "")
            + where
        )
    else:
        text = f"It raised {printable(failure.kind)}{where}"
    return f"{text}: {message}" if message else f"{text}."


def heat_line(feedback: Feedback) -> list[str]:
    """Each token's reward as a bar, red below zero and green above, as high as its share of the largest; "·" for none.

    The last token also carries what the whole program earned. Nothing if no token earned anything.
    """
    largest = float(np.abs(feedback.rewards).max(initial=0.0))
    if not largest:
        return []
    marks = [_mark(float(reward), largest) for reward in feedback.rewards]
    rows = ["".join(marks[start : start + WIDTH]) for start in range(0, len(marks), WIDTH)]
    return [f"{'tokens' if not number else '':7}{row}" for number, row in enumerate(rows)]


def _mark(reward: float, largest: float) -> str:
    if not reward:
        return f"{DIM}·{RESET}"
    return f"{RED if reward < 0 else GREEN}{_BARS[min(int(abs(reward) / largest * 8), 7)]}{RESET}"


def per_character(program: Program, rewards: FloatArray) -> FloatArray:
    """float32 (len(text),): the reward of the token that spells each character; tokens that share one are added."""
    heat = np.zeros(len(program.text) + 1, np.float32)
    ends = np.append(program.starts, len(program.text))[1:]
    for start, end, reward in zip(program.starts, ends, rewards, strict=True):
        if reward:
            heat[start : max(end, start + 1)] += reward
    return heat[:-1]


def _body(program: Program, heat: FloatArray, failing: int | None) -> list[str]:
    starts = line_starts(program.text)
    kinds = syntax.kinds(program.text)
    largest = float(np.abs(heat).max(initial=0.0)) or 1.0
    lines = []
    for number, (start, end) in enumerate(zip(starts, [*starts[1:], len(program.text)], strict=True), 1):
        line = program.text[start:end].rstrip("\r\n")
        mark = f"{RED}{BOLD}>{RESET}" if number == failing else " "
        lines.append(f"{mark}{DIM}{number:4} |{RESET} {_painted(line, kinds[start:end], heat[start:end] / largest)}")
    return lines


def _painted(line: str, kinds: list[str], heat: FloatArray) -> str:
    """`line` in the colours of its syntax, with a background wherever its heat, in [-1, 1], is not zero."""
    out, current = [], ""
    for character, kind, value in zip(line, kinds, heat, strict=False):
        shades = _REDS if value < 0 else _GREENS
        back = f"48;5;{shades[min(int(abs(value) * 4), 3)]}" if value else ""
        code = ";".join(filter(None, (_SYNTAX.get(kind), back)))
        if code != current:
            out.append((RESET if current else "") + (f"\x1b[{code}m" if code else ""))
            current = code
        out.append(printable(character))
    return "".join(out) + (RESET if current else "")


def printable(text: str, keep: str = "\t") -> str:
    """`text` with control characters as their pictures, but those to `keep`, and what no terminal can show as U+FFFD."""
    return "".join(
        c if c in keep else _PICTURES.get(ord(c), c) if c.isascii() else c if c.isprintable() else "\ufffd"
        for c in text
    )


_PICTURES = {code: chr(0x2400 + code) for code in range(32)} | {127: "\u2421"}


__getattr__ = renamed(__name__, {"ansi": "frame", "shown": "printable", "told": "verdict_text"})
