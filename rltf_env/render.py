"""What a person sees of an episode in a terminal: the program so far; at the end verdict, failing line and heat.

Pure text to text, with ANSI codes. What a program wrote is shown, never sent: control characters appear as their pictures,
so no program can move the cursor or change the colours of the terminal that it is looked at in.
"""

from __future__ import annotations

import numpy as np

from rltf_env.core import FloatArray, Judgement, Outcome, Problem, Program, line_starts

RESET, BOLD, DIM, RED, GREEN = "\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[31m", "\x1b[32m"
_REDS, _GREENS = (52, 88, 124, 160), (22, 28, 34, 40)  # backgrounds of the 256-colour table, weak to strong
_WORDS = {
    Outcome.SYNTAX_ERROR: "syntax error",
    Outcome.RUNTIME_ERROR: "error while running",
    Outcome.WRONG_ANSWER: "wrong answer",
    Outcome.PASSED: "passed",
}


def ansi(problem: Problem, program: Program, limit: int, judgement: Judgement | None = None) -> str:
    """The frame of one moment.

    Args:
        problem: what is being solved.
        program: the tokens so far, or the whole program.
        limit: T, the most tokens there may be.
        judgement: once there is one, it is put into words, its line is marked, and each token's own reward is its background:
            red below zero, green above, the stronger the larger its share. What the whole program earned is in the words.
    """
    head = f"{BOLD}{printable(problem.id)}{RESET}  {len(program)}/{limit} tokens"
    failure = judgement.verdict.failure if judgement else None
    heat = judgement.feedback.token_rewards if judgement else np.zeros(len(program), np.float32)
    body = _body(program, _per_character(program, heat), failure.line if failure else None)
    return "\n".join([head, *body, *([words(judgement)] if judgement else [])])


def words(judgement: Judgement) -> str:
    """The verdict in one line: outcome, cases passed, what failed where, and what was earned for what."""
    verdict, feedback = judgement
    passed = sum(result.outcome is Outcome.PASSED for result in verdict.results)
    colour = GREEN if verdict.outcome is Outcome.PASSED else RED
    text = f"{colour}{_WORDS[verdict.outcome]}{RESET}, {passed} of {len(verdict.results)} cases passed"
    if verdict.failure:
        where = f" on line {verdict.failure.line}" if verdict.failure.line else ""
        message = f" ({printable(verdict.failure.message)[:200]})" if verdict.failure.message else ""
        text += f"; {printable(verdict.failure.kind)}{where}{message}"
    parts = ", ".join(f"{name} {value:+.2f}" for name, value in feedback.parts.items())
    return f"{text}\nreward {feedback.total:+.2f}" + (f" = {parts}" if parts else "")


def _per_character(program: Program, rewards: FloatArray) -> FloatArray:
    """float32 (len(text),): the reward of the token that spells each character; tokens that share one are added."""
    heat = np.zeros(len(program.text) + 1, np.float32)
    ends = np.append(program.starts, len(program.text))[1:]
    for start, end, reward in zip(program.starts, ends, rewards, strict=True):
        if reward:
            heat[start : max(end, start + 1)] += reward
    return heat[:-1]


def _body(program: Program, heat: FloatArray, failing: int | None) -> list[str]:
    starts = line_starts(program.text)
    largest = float(np.abs(heat).max(initial=0.0)) or 1.0
    lines = []
    for number, (start, end) in enumerate(zip(starts, [*starts[1:], len(program.text)], strict=True), 1):
        line = program.text[start:end].rstrip("\r\n")
        mark = f"{RED}{BOLD}>{RESET}" if number == failing else " "
        lines.append(f"{mark}{DIM}{number:4} |{RESET} {_painted(line, heat[start:end] / largest)}")
    return lines


def _painted(line: str, heat: FloatArray) -> str:
    """`line` with a background wherever its heat, in [-1, 1], is not zero."""
    out, current = [], ""
    for character, value in zip(line, heat, strict=False):
        shades = _REDS if value < 0 else _GREENS
        code = f"\x1b[48;5;{shades[min(int(abs(value) * 4), 3)]}m" if value else ""
        if code != current:
            out.append(code or RESET)
            current = code
        out.append(printable(character))
    return "".join(out) + (RESET if current else "")


def printable(text: str) -> str:
    """`text` with control characters as their pictures, and what no terminal can show as U+FFFD."""
    return "".join(_PICTURES.get(ord(c), c) if c.isascii() else c if c.isprintable() else "\ufffd" for c in text)


_PICTURES = {code: chr(0x2400 + code) for code in range(32) if chr(code) != "\t"} | {127: "\u2421"}
