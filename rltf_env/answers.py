r"""An answer in words -> the program in it: one rule for measurement, for TRL's rewards and for every adapter.

    program, offset = extract("<think>...</think>Sure:\n```python\ndef f(x): ...\n```", entry_point="f")

Thoughts are dropped, closed or not. Of the fenced blocks the last one counts that parses and defines what is
asked; shells, outputs and other languages do not count. An answer without a fence is code, or code among prose.
What was written is read by `rltf_env.prefix`, never compiled: no part of it runs or is parsed by this interpreter.
"""

from __future__ import annotations

import re
import textwrap
from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rltf_env.core import Problem
from rltf_env.errors import UsageError
from rltf_env.joining import join
from rltf_env.prefix import Prefix

_KIN = "think|thinking|thought|thoughts|reasoning|reason|scratchpad|reflection|analysis|seed:think"
# Opening and closing marks of what a model says to itself; a mark counts at an end of its line, not within code.
_THOUGHTS = [
    (re.compile(rf"<(?:{_KIN})>"), re.compile(rf"</(?:{_KIN})>")),
    (re.compile(r"\[THINK\]"), re.compile(r"\[/THINK\]")),
    (re.compile("◁think▷"), re.compile("◁/think▷")),
    (re.compile(r"<\|begin_of_thought\|>"), re.compile(r"<\|end_of_thought\|>")),
    (
        re.compile(r"<\|channel\|>(?:analysis|commentary)[^<\n]*<\|message\|>"),
        re.compile(r"<\|end\|>|<\|channel\|>final<\|message\|>"),
    ),
]
_FINAL = re.compile(r"<\|channel\|>final<\|message\|>|<\|start\|>assistant|<\|begin_of_solution\|>")
# White space and end marks, as much as stands together: to look only for what ends a text takes the square of its length.
_BLANKS = re.compile(r"(?:\s|<\|(?:im_end|endoftext|eot_id|end|return|end_of_solution)\|>|</s>|<end_of_turn>|<eos>)+")
_FENCE = re.compile(
    r"^(?P<lead>[ \t]*(?:>[ \t]?)*(?:(?:[-*+]|\d+[.)])[ \t]+)?)(?P<fence>`{3,}(?!`)|~{3,}(?!~))\s*(?P<info>(?:[^`\s][^`\n]*)?)$"
)
_INLINE = re.compile(r"^[ \t]*```(?:(?:python3?|py)[ \t]+(?![ \t]))?(?P<code>[^`\n]+?)```[ \t]*$", re.MULTILINE)
_TAGS = re.compile(
    r"(?:\[PYTHON\]|<(?:code|python|answer|solution)>)[ \t]*\n?(.*?)(?:\[/PYTHON\]|</(?:code|python|answer|solution)>|\Z)",
    re.DOTALL | re.IGNORECASE,
)
_PYTHON = ("", "python", "python3", "py", "py3", "{python}", "{.python}", "python2", "sage", "ipython")
_CODE = re.compile(
    r"^[ \t]*(?:import|from|def|class|async|@|for|while|if|with|try|print\b|[\w.,\[\]][\w.,\[\] ]*[-+*/|&]?=)",
    re.MULTILINE,
)
_QUOTATION = re.compile(r"^[ \t]*>[ ]?")
_QUOTES = ('"""', "'''")
LOOKS = 20  # times that each line of an answer may be read on average, in search of code among its prose
_READS = re.compile(r"\binput\s*\(|\bstdin\b|\bopen\s*\(\s*0\b")
_FIRST_INDENT = re.compile(r"^[ \t]*(?=\S)", re.MULTILINE)
_RETURNS = re.compile(r"^(?:return|yield)\b", re.MULTILINE)


class Extracted(NamedTuple):
    """The program of an answer, and the character of the answer at which it begins."""

    program: str
    offset: int


@dataclass(frozen=True)
class Choice:
    """What was taken for the program of an answer, and why, in a few words for a record."""

    program: str
    offset: int
    how: str

    @property
    def description(self) -> str:
        """For a record: "block 2 of 3, from character 120"."""
        return f"{self.how}, from character {self.offset}"


@dataclass(frozen=True)
class _Block:
    text: str
    offset: int
    language: str


def extract(text: str, entry_point: str | None = None, *, opened: bool = False) -> Extracted:
    """The program in an answer; of any text whatever, without an error. Raises UsageError of what is no text.

    Args:
        text: the answer, as the model gave it.
        entry_point: what the program has to define (`"f"`, `"Solution.f"`); None: it reads standard input.
        opened: the prompt has opened a fenced block, in which the answer begins.
    """
    choice = choose(text, entry_point, opened=opened)
    return Extracted(choice.program, choice.offset)


def choose(text: str, entry_point: str | None = None, *, opened: bool = False) -> Choice:
    """As `extract`, with the reason."""
    if not isinstance(text, str):
        got = f"{type(text).__name__}: {str(text)[:60]!r}"
        raise UsageError(f"Expected an answer as text, got {got}. Of a message or its parts, pass the text.")
    plain = _without_end(_without_thoughts(text))
    if not plain.strip():
        return Choice("", len(text), "nothing but thoughts" if text.strip() else "nothing")
    blocks = list(_blocks(plain, entry_point, opened))
    usable = [block for block in blocks if block.language in _PYTHON] or blocks
    if usable:
        best = max(range(len(usable)), key=lambda i: (_merit(usable[i], usable, entry_point), i))
        block, number = usable[best], blocks.index(usable[best]) + 1
        return Choice(_dedented(block.text, entry_point), block.offset, f"block {number} of {len(blocks)}")
    return _unfenced(plain, entry_point, untouched=text.startswith(plain))


def whole(problem: Problem, answer: str) -> str:
    """The whole program that an answer in words amounts to: taken out of it, behind what the problem gives for free."""
    return joined(problem.prefix, extract(answer, problem.entry_point).program, problem.entry_point)


def joined(prefix: str, text: str, entry_point: str | None) -> str:
    """The whole program that an answer amounts to, where a problem gives the code `prefix` for free.

    A text that defines the entry point itself is put behind the prefix, whose definition it replaces: a signature with
    its docstring is a whole function to Python, and imports and helpers of the prefix stay. Anything else goes on
    with the prefix, and may begin with the white space that the prefix ends with. Future imports move to the top
    (`rltf_env.joining`).
    """
    if not prefix or text.startswith(prefix):
        return text
    name = re.escape((entry_point or "").partition(".")[0])
    anew = name and re.search(rf"^(async\s+)?(def|class)\s+{name}\b", text, re.MULTILINE)
    if anew:
        return join(f"{prefix.rstrip()}\n\n\n", text).text
    return join(prefix, text.removeprefix(prefix[len(prefix.rstrip()) :])).text


def defines(text: str, entry_point: str | None) -> bool:
    """Whether a program has the name to call, or (None) reads standard input, as far as words tell."""
    if entry_point is None:
        return bool(_READS.search(text))
    first, _, method = entry_point.partition(".")
    name = re.escape(first)
    patterns = (
        rf"^[ \t]*(?:async[ \t]+def|def|class)[ \t]+{name}\b",
        rf"^{name}[ \t]*(?::[^=\n]+)?=(?!=)",
        rf"^(?:from[ \t]+\S+[ \t]+)?import\b.*\b{name}\b",
    )
    is_function = any(re.search(pattern, text, re.MULTILINE) for pattern in patterns)
    return is_function and (not method or bool(re.search(rf"\bdef[ \t]+{re.escape(method)}\b", text)))


def parses(text: str) -> bool:
    """Whether Python's grammar takes a text for a program, as `rltf_env.prefix` reads it."""
    return Prefix().feed(text).complete


# ---------------------------------------------------------------------------------------- thoughts


def _without_thoughts(text: str) -> str:
    """`text` with line ends in the place of thoughts, so that every other character stays where it is."""
    for opening, closing in _THOUGHTS:
        text = _blank(text, _thoughts(text, opening, closing))
    finals = list(_FINAL.finditer(text))
    return _blank(text, [(0, finals[-1].end())]) if finals else text


def _thoughts(text: str, opening: re.Pattern[str], closing: re.Pattern[str]) -> Iterator[tuple[int, int]]:
    """Where the thoughts between such marks begin and end, in order."""
    opens, closes = _marks(text, opening), _marks(text, closing)
    in_thought = not opens or (closes and closes[0] < opens[0])
    if closes and in_thought and "channel" not in opening.pattern:  # the prompt has begun the thought
        yield 0, closes[0][1]
    done = 0
    for start, end in opens:
        if start >= done:
            close = bisect_left(closes, (end, 0))
            done = closes[close][1] if close < len(closes) else len(text)
            yield start, done


def _marks(text: str, mark: re.Pattern[str]) -> list[tuple[int, int]]:
    """Where the marks stand that count, in order."""
    spans, at = [], 0
    for line in text.split("\n") if mark.search(text) else ():
        first, last = len(line) - len(line.lstrip()), len(line.rstrip())
        if line[first : first + 1] != "#":  # in a comment
            inside = (m.span() for m in mark.finditer(line))
            spans += [(at + a, at + b) for a, b in inside if a <= first or b >= last or _ends_sentence(line, a)]
        at += len(line) + 1
    return spans


def _ends_sentence(line: str, end: int) -> bool:
    while end and line[end - 1].isspace():
        end -= 1
    return line[max(end - 1, 0) : end] in (".", "!", "?", ">")


def _blank(text: str, spans: Iterable[tuple[int, int]]) -> str:
    """`text` with line ends in the place of some stretches."""
    parts, at = [], 0
    for start, end in spans:
        parts += [text[at:start], "\n" * (end - start)]
        at = end
    return "".join([*parts, text[at:]])


def _without_end(text: str) -> str:
    """`text` up to its end marks and the white space before them; all of it where it ends with none."""
    last = deque(_BLANKS.finditer(text), maxlen=1)
    return text[: last[0].start()] if last and last[0].end() == len(text) and last[0][0].strip() else text


# ---------------------------------------------------------------------------------------- blocks


def _blocks(text: str, entry_point: str | None, opened: bool) -> Iterator[_Block]:
    """The fenced blocks, in order."""
    lines = text.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    fences = [(i, m) for i, line in enumerate(lines) if (m := _FENCE.match(line))]
    at, ends = 0, [m.start("code") for m in _INLINE.finditer(text)]
    yield from (_Block(m["code"].strip(), m.start("code"), "") for m in _INLINE.finditer(text))
    if opened or (fences and not fences[0][1]["info"] and _is_code("".join(lines[: fences[0][0]]), entry_point)):
        code, at = _body(lines, 0, "", "`~", 3)
        yield _Block(code, 0, "")
    while at < len(lines):
        mark = _FENCE.match(lines[at])
        if not mark or starts[at] in ends:
            at += 1
            continue
        first = at + 1
        code, at = _body(lines, first, mark["lead"], mark["fence"][0], len(mark["fence"]))
        language = (mark["info"].split() or [""])[0].lower()
        yield _Block(code, starts[first], language)


def _body(lines: Sequence[str], first: int, lead: str, fence: str, length: int) -> tuple[str, int]:
    """The code from line `first` to its fence, and the line after that: a fence inside a string closes nothing."""
    closed: tuple[str, int] | None = None
    last = next((i for i in range(len(lines) - 1, first - 1, -1) if _FENCE.match(lines[i])), -1)
    code, quotes = [], (0, 0)
    for end in range(first, len(lines)):
        mark = _FENCE.match(lines[end])
        if mark and mark["fence"][0] in fence and len(mark["fence"]) >= length:
            if closed is None and (mark["info"] or end == last or not any(quotes)):
                return "".join(code), end if mark["info"] else end + 1
            closed = closed or ("".join(code), end + 1)
            if not any(quotes):
                return "".join(code), end + 1
        elif "`" in fence and (tail := _before_ticks(lines[end])):
            return "".join([*code, _unquoted(tail + "\n", lead)]), end + 1
        code.append(_unquoted(lines[end], lead))
        quotes = tuple((count + code[-1].count(each)) % 2 for count, each in zip(quotes, _QUOTES, strict=True))
    return closed or ("".join(code), len(lines))


def _before_ticks(line: str) -> str:
    """The code of a line that ends with a closing fence; "" of any other line."""
    bare = line.rstrip()
    code = bare.rstrip("`")
    return code if len(bare) - len(code) >= 3 and code.strip() and "`" not in code else ""


def _unquoted(line: str, lead: str) -> str:
    """A line without the quotation marks and the indentation of the fence around it."""
    if ">" in lead:
        return _QUOTATION.sub("", line)
    indent = len(line) - len(line.lstrip(" \t"))
    return line[min(indent, len(lead)) :]


def _merit(block: _Block, others: Sequence[_Block], entry_point: str | None) -> int:
    """How well a block does: it defines what is asked and parses; defines it; parses and is marked as Python; parses."""
    if len(others) == 1:
        return 0
    whole = parses(_dedented(block.text, entry_point))
    if defines(block.text, entry_point):
        return 5 if whole else 4
    coded = bool(_CODE.search(block.text))
    return (2 if coded or block.language else 1) if whole and block.text.strip() else 0


def _dedented(text: str, entry_point: str | None) -> str:
    """`text` without common indentation, unless it is the body of what the prompt has begun."""
    less = _at_the_margin(text)
    body = _RETURNS.search(less) or (entry_point is not None and not defines(less, entry_point))
    return text if body else less


def _at_the_margin(text: str) -> str:
    """`text` without common indentation, and else as it is: `textwrap.dedent` also empties lines of blanks, within strings too."""
    before, after = (_FIRST_INDENT.search(each) for each in (text, textwrap.dedent(text)))
    width = len(before[0]) - len(after[0]) if before and after else 0
    return re.sub(rf"^[ \t]{{{width}}}", "", text, flags=re.MULTILINE)


def _is_code(text: str, entry_point: str | None) -> bool:
    if not text.strip():
        return False
    if defines(text, entry_point) and entry_point is not None:
        return parses(textwrap.dedent(text))
    return bool(_CODE.search(text) or _RETURNS.search(textwrap.dedent(text))) and parses(textwrap.dedent(text))


# ---------------------------------------------------------------------------------------- no fence


def _unfenced(text: str, entry_point: str | None, untouched: bool) -> Choice:
    """All of an answer, or the code among its prose."""
    tags = list(_TAGS.finditer(text))
    if tags:
        return Choice(_dedented(tags[-1][1], entry_point), tags[-1].start(1), "between tags")
    ticked = re.fullmatch(r"\s*`([^`]+)`\s*", text)
    if ticked:
        return Choice(ticked[1], ticked.start(1), "between backticks")
    start = 0 if untouched else len(text) - len(text.lstrip("\n"))
    whole = text[start:]
    if not defines(whole, entry_point) or parses(whole):
        return Choice(whole, start, "all of it")
    code = _among_prose(text, entry_point)
    return Choice(*code, "code among prose") if code else Choice(whole, start, "all of it")


def _among_prose(text: str, entry_point: str | None) -> tuple[str, int] | None:
    """The first stretch of lines that is a program and defines what is asked."""
    lines, at = text.splitlines(keepends=True), 0
    left = LOOKS * len(lines)
    for i, line in enumerate(lines):
        if left > 0 and _CODE.match(line):
            code, seen = _longest(lines, i)
            left -= seen
            if code and defines(code, entry_point):
                return _at_the_margin(code), at
        at += len(line)
    return None


def _longest(lines: Sequence[str], first: int) -> tuple[str, int]:
    """The most lines from `first` on that are a program, and how many were looked at."""
    indent = re.match(r"[ \t]*", lines[first])
    width = indent.end() if indent else 0
    prefix, end, at = Prefix(), first, first
    for at in range(first, len(lines)):
        line = lines[at]
        prefix = prefix.feed(line[width:] if not line[:width].strip() else line)
        if not prefix.alive:
            break
        if line.strip() and prefix.complete:
            end = at + 1
    return "".join(lines[first:end]), at + 1 - first
