"""Python's tokenizer as an automaton: one character, one step; states are values that can be kept and gone back to.

    step(state, char) -> (state, events) or None        None: no Python program has this character here
    possible_endings(state)                                        which terminals the unfinished token may still become

Events are terminals of `_grammar.py`, `NEWLINE` for the end of a physical line, and `Indent(column, tabless)` before the first
token of one. Whether those two mean anything depends on open brackets, which is the caller's business (`__init__.py`).
f-strings are read as PEP 701 has it, a superset of what 3.11 takes. Of the characters beyond ASCII there are three kinds:
`LETTER`, `MARK` and `OTHER` stand for all of them (`kind_of`).
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from rltf_env.prefix._numbers import number_form
from rltf_env.prefix._words import (
    BASES,
    CONSTANTS,
    DIGITS,
    HEX,
    KEYWORDS,
    LETTER,
    LONGER,
    MARK,
    NAME_CHARS,
    OPERATOR_STARTS,
    OPERATORS,
    OTHER,
    PREFIXES,
    SOFT,
    WORD_STARTS,
    WORDS,
)


class Indent(NamedTuple):
    """Where the first token of a line stands, with tabs to the next multiple of 8 and with tabs of one column."""

    column: int
    tabless: int


Event = str | Indent
Events = tuple[Event, ...]


class Frame(NamedTuple):
    """An f-string that is open around the place: its quote, and for each `{` field in field how many brackets are open."""

    quote: str
    raw: bool
    fields: tuple[int, ...] = ()


class State(NamedTuple):
    """Where the tokenizer stands. `mode` names the function that goes on from here (`_MODES`)."""

    mode: str
    data: tuple = ()
    frames: tuple[Frame, ...] = ()


Step = tuple[State, Events] | None
START = State("line", (0, 0, False))


def kind_of(char: str) -> str:
    """`char` if it is ASCII, or else what stands for its kind."""
    if char.isascii():
        return char
    return LETTER if char.isidentifier() else MARK if ("a" + char).isidentifier() else OTHER


@lru_cache(1 << 17)
def step(state: State, char: str) -> Step:
    """One character further, which `kind_of` has been asked about. A carriage return must come as a newline."""
    if char == "\0":
        return None  # no source may hold one, not even in a comment
    return _MODES[state.mode](state, char)


def finish(state: State) -> Events | None:
    """The events at the end of the text, or None if it ends within a token, a string or a continued line."""
    if state.frames or state.mode in ("string", "middle", "continued", "joined"):
        return None
    if state.mode == "line" and state.data[2]:
        return None
    if state.mode == "quotes" and state.data[1] == 1:
        return None
    result = step(state, "\n")
    return None if result is None else result[1]


@lru_cache(1 << 14)
def possible_endings(state: State) -> tuple[tuple[str, ...], ...] | None:
    """What an unfinished token may begin: sequences of terminals, of which one must be possible. None: nothing is unfinished."""
    mode, data = state.mode, state.data
    if mode == "word":
        return _word_endings(*data)
    if mode == "number":
        return (("NUMBER",),)
    if mode in ("quotes", "string"):
        return ((data[0],),)
    if mode == "operator":
        return _operator_endings(data[0], in_field(state))
    return None


def _word_endings(word: str, prefix: str | None) -> tuple[tuple[str, ...], ...]:
    terminals = {"NAME"} | {_word_terminal(each) for each in WORDS if word and each.startswith(word)}
    if prefix is not None:
        terminals |= {terminal for text, terminal in PREFIXES.items() if text.startswith(prefix)}
    return tuple((terminal,) for terminal in sorted(terminals))


def _operator_endings(text: str, field: bool) -> tuple[tuple[str, ...], ...]:
    endings = [(terminal,) for operator, terminal in OPERATORS.items() if operator.startswith(text)]
    if text == ".":
        endings.append(("NUMBER",))
    if text == "..":
        endings += [("'.'", "'.'"), ("'.'", "NUMBER")]
    if text == "!" and field:
        endings.append(("'!'",))
    return tuple(endings)


def in_field(state: State) -> bool:
    """True right within the braces of an f-string, outside of any bracket in there."""
    return bool(state.frames) and state.frames[-1].fields[-1:] == (0,)


# --------------------------------------------------------------------------------------------------- lines and blanks


def _line(state: State, char: str) -> Step:
    """At the start of a line: counts columns; a line of blanks and a comment says nothing."""
    column, tabless, fixed = state.data
    if char in " \t\f" and not fixed:
        column, tabless = {
            " ": (column + 1, tabless + 1),
            "\t": ((column // 8 + 1) * 8, tabless + 1),
            "\f": (0, 0),
        }[char]
        return state._replace(data=(column, tabless, False)), ()
    if char in " \t\f":
        return state, ()
    if char == "\n":
        return _new_line(state)
    if char == "#":
        return state._replace(mode="comment", data=(False,)), ()
    if char == "\\":
        return state._replace(mode="continued", data=(column, tabless)), ()
    return _with((Indent(column, tabless),), _code(_go(state, "code"), char))


def _new_line(state: State) -> Step:
    return _go(state, "line", 0, 0, False), ("NEWLINE",)


def _continued(state: State, char: str) -> Step:
    """After a backslash: only the end of the line. At the start of a line, the indentation is that before the backslash."""
    if char != "\n":
        return None
    return (_go(state, "line", *state.data, True) if state.data else _go(state, "joined")), ()


def _joined(state: State, char: str) -> Step:
    """On the line after a backslash, where the text may not end."""
    return _code(_go(state, "code"), char)


def _comment(state: State, char: str) -> Step:
    return _new_line(state) if char == "\n" else (state, ())


def _go(state: State, mode: str, *data: object) -> State:
    return State(mode, data, state.frames)


def _with(events: Events, result: Step) -> Step:
    return None if result is None else (result[0], events + result[1])


# --------------------------------------------------------------------------------------------------------------- code


def _code(state: State, char: str) -> Step:
    """Between two tokens."""
    if char in " \t\f":
        return state, ()
    if char == "\n":
        return _new_line(state)
    if char == "#":
        return _go(state, "comment"), ()
    if char == "\\":
        return _go(state, "continued"), ()
    if char in "'\"":
        return _go(state, "quotes", "STRING", 1, char, ""), ()
    if char in DIGITS:
        return _go(state, "number", "zero" if char == "0" else "decimal"), ()
    if char.isidentifier():
        return _word(_go(state, "word", "", ""), char, first=True)
    return _operator(_go(state, "operator", ""), char)


def _word(state: State, char: str, first: bool = False) -> Step:
    """A name or keyword. `word` is what a keyword begins with, or ""; `prefix` what a string prefix begins with, or None."""
    word, prefix = state.data
    if char in (LETTER, MARK, "_") or (char.isalnum() and char.isascii()):
        word = word + char if (word or first) and word + char in WORD_STARTS else ""
        lower = None if prefix is None else prefix + char.lower()
        prefix = lower if lower is not None and any(text.startswith(lower) for text in PREFIXES) else None
        return state._replace(data=(word, prefix)), ()
    if char in "'\"" and prefix in PREFIXES:
        return _go(state, "quotes", PREFIXES[prefix], 1, char, prefix), ()
    return _with((_word_terminal(word),), _code(_go(state, "code"), char))


def _word_terminal(word: str) -> str:
    if word in KEYWORDS:
        return f"'{word}'"
    return "CONSTANT" if word in CONSTANTS else word.upper() if word in SOFT else "NAME"


def _operator(state: State, char: str) -> Step:
    """The longest operator wins. In an f-string's field `:`, `!` and `}` are not operators."""
    text = state.data[0]
    if not text and in_field(state) and char in ":}":
        return _leave_code(state, char)
    longer = text + char
    if longer in OPERATOR_STARTS or longer == "!":
        if longer in LONGER or longer == "..":
            return _go(state, "operator", longer), ()
        return _operated(state, longer)
    if text in (".", "..") and char in DIGITS:
        return _go(state, "number", "fraction"), ("'.'",) * (len(text) - 1)
    if text == "..":
        return _with(("'.'", "'.'"), _code(_go(state, "code"), char))
    if text == "!" and in_field(state):  # a conversion
        return (_go(state, "code"), ("'!'", "NAME")) if char in "sra" else None
    if text not in OPERATORS:
        return None
    return _with((OPERATORS[text],), _code(_go(state, "code"), char))


def _operated(state: State, operator: str) -> Step:
    """A whole operator. Within an f-string, brackets are counted."""
    frames = state.frames
    change = (operator in ("(", "[", "{")) - (operator in (")", "]", "}"))
    if frames and change:
        *outer, depth = frames[-1].fields
        frames = (*frames[:-1], frames[-1]._replace(fields=(*outer, max(0, depth + change))))
    return State("code", (), frames), (OPERATORS[operator],)


def _leave_code(state: State, char: str) -> Step:
    """Out of a field: `:` to its format, `}` to what is around."""
    if char == ":":
        return _go(state, "middle", "", 0), ("SPEC",)
    return _middle_after_field(state)


def _middle_after_field(state: State) -> Step:
    frame = state.frames[-1]
    frames = (*state.frames[:-1], frame._replace(fields=frame.fields[:-1]))
    return State("middle", ("", 0), frames), ("FIELD_END",)


# ------------------------------------------------------------------------------------------------------------ numbers

_NUMBER_ENDS = frozenset("zero zeros decimal hex octal binary point fraction exponent imaginary".split())


def _number(state: State, char: str) -> Step:
    """Which form it has so far; a name may come right behind, though the grammar lets only some keywords."""
    form = state.data[0]
    new = number_form(form, char)
    if new:
        return _go(state, "number", new), ()
    if form == "e":  # of `1else`, not of `1e5`
        if not (char.isascii() and char.isalpha()):
            return None
        return _with(("NUMBER",), _word(_go(state, "word", "e", None), char))
    if form not in _NUMBER_ENDS:
        return None
    if form in BASES and char in DIGITS:
        return None  # 0b12
    return _with(("NUMBER",), _code(_go(state, "code"), char))


# ------------------------------------------------------------------------------------------------------------ strings


def _quotes(state: State, char: str) -> Step:
    """After one or two quotes: a string, an empty one, or one in three quotes."""
    terminal, count, quote, prefix = state.data
    if char == quote:
        if count == 1:
            return _go(state, "quotes", terminal, 2, quote, prefix), ()
        return _open_string(state, terminal, quote * 3, prefix)
    if count == 2:
        return _with(_empty(terminal), _code(_go(state, "code"), char))
    opened = _open_string(state, terminal, quote, prefix)
    assert opened is not None
    return _with(opened[1], step(opened[0], char))


def _empty(terminal: str) -> Events:
    return ("FORMAT", "FORMAT_END") if terminal == "FORMAT" else (terminal,)


def _open_string(state: State, terminal: str, quote: str, prefix: str) -> Step:
    raw = "r" in prefix
    if terminal == "FORMAT":
        return State("middle", ("", 0), (*state.frames, Frame(quote, raw))), ("FORMAT",)
    return _go(state, "string", terminal, quote, raw, "", 0), ()


def _string(state: State, char: str) -> Step:
    """Within a string. `escape` is what is left of one, `run` how many quotes have come in a row."""
    terminal, quote, raw, escape, run = state.data
    if terminal == "BYTES" and not char.isascii():
        return None
    if escape:
        escape = _escaped(escape, char, raw, terminal == "BYTES")
        return None if escape is None else (_go(state, "string", terminal, quote, raw, escape, 0), ())
    if char == "\n" and len(quote) == 1:
        return None
    if char == "\\":
        return _go(state, "string", terminal, quote, raw, "\\", 0), ()
    run = run + 1 if char == quote[0] else 0
    if run == len(quote):
        return _go(state, "code"), (terminal,)
    return _go(state, "string", terminal, quote, raw, "", run), ()


def _escaped(escape: str, char: str, raw: bool, is_bytes: bool) -> str | None:
    """What is left of an escape after `char`: "" if it is whole, None if it can't be.

    `xx` waits for two hexadecimal digits; `N` for a brace and `{` for the name in it.
    """
    if escape == "\\":
        if raw:
            return ""
        text = {"x": "xx", "u": "xxxx", "U": "0", "N": "N"}
        return "xx"[: 2 * (char == "x")] if is_bytes else text.get(char, "")
    if escape[0] == "x":
        return escape[1:] if char in HEX else None
    if escape in ("0", "00", "000", "1"):  # of eight digits, the highest is 0010ffff
        return _high_digit(escape, char)
    if escape == "N":
        return "{" if char == "{" else None
    if char == "}":
        return "" if escape == "{." else None
    return "{." if char in NAME_CHARS else None


def _high_digit(escape: str, char: str) -> str | None:
    if escape == "1":
        return "xxxx" if char == "0" else None
    if escape != "000":
        return escape + "0" if char == "0" else None
    return {"0": "xxxxx", "1": "1"}.get(char)


def _middle(state: State, char: str) -> Step:
    """In the text of an f-string, or in the format of one of its fields. `escape` may also be a brace that awaits its twin."""
    escape, run = state.data
    frame, spec = state.frames[-1], bool(state.frames[-1].fields)
    if escape in ("{{", "}}"):
        return _after_brace(state, escape[0], char)
    if escape and not (escape == "\\" and char in "{}"):
        left = _escaped(escape, char, frame.raw, False)
        return None if left is None else (_go(state, "middle", left, 0), ())
    if char == "{":
        return _open_field(state) if spec else (_go(state, "middle", "{{", 0), ())
    if char == "}":
        return _middle_after_field(state) if spec else (_go(state, "middle", "}}", 0), ())
    if char == "\\":
        return _go(state, "middle", "\\", 0), ()
    if char == "\n" and len(frame.quote) == 1 and not spec:
        return None
    run = run + 1 if char == frame.quote[0] else 0
    if run < len(frame.quote):
        return _go(state, "middle", "", run), ()
    return None if spec else (State("code", (), state.frames[:-1]), ("FORMAT_END",))


def _after_brace(state: State, brace: str, char: str) -> Step:
    if char == brace:
        return _go(state, "middle", "", 0), ()
    if brace == "}":
        return None
    opened = _open_field(state)
    assert opened is not None
    return _with(opened[1], step(opened[0], char))


def _open_field(state: State) -> Step:
    frame = state.frames[-1]
    return State("code", (), (*state.frames[:-1], frame._replace(fields=(*frame.fields, 0)))), ("FIELD",)


_MODES = {
    "line": _line,
    "continued": _continued,
    "comment": _comment,
    "joined": _joined,
    "code": _code,
    "word": _word,
    "operator": _operator,
    "number": _number,
    "quotes": _quotes,
    "string": _string,
    "middle": _middle,
}
