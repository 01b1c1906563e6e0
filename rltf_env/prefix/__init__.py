r"""Can this beginning of a Python program still become one? Said after every character, without ever parsing the text with Python.

    prefix = Prefix().feed("def f(x):\n    return ")
    prefix.alive, prefix.complete            (True, False)
    prefix.feed("x)").alive                  False: no Python program begins like this
    dead_at(["x = ", "(1", "]", "\n"])       2: the piece that was one too many

A `Prefix` is a value: feeding makes a new one that shares what is below, so that trying every token of a vocabulary from one
place is cheap (`rltf_env/masking.py`). Its automaton is written for this project (`_lexer.py`, `_grammar.py`, `_lr.py`): what
a program wrote is neither compiled nor parsed by the interpreter that trains.

**What a dead prefix means**: no text whatever makes it a program that Python 3.11, 3.12 or 3.13 compiles, or the one
that runs. A prefix that can be completed is never called dead. The reverse does not hold.
What is found is what the grammar says (brackets, indentation,
strings and their escapes, numbers, what may be assigned to, the order of arguments and parameters, ...). Not found is what
CPython's symbol table and compiler say, who look at names and surroundings: `return`, `yield`, `await`, `break` and `continue` in
the wrong place; names that are twice a parameter, a keyword, or both `global` and local; two stars in one assignment; unreachable
patterns; `__future__`; names of `\N{...}` that do not exist; numbers, nesting and indentation beyond the interpreter's limits.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache

from rltf_env.prefix import _lexer, _lr
from rltf_env.prefix._lexer import Events, Indent

_SOFT = {"MATCH", "CASE", "TYPE"}
_OPENS = {"'('", "'['", "'{'", "FIELD"}
_CLOSES = {"')'", "']'", "'}'", "FIELD_END"}


@dataclass(frozen=True, slots=True)
class Grammar:
    """What the tokens before the unfinished one have led to.

    Args:
        stacks: the parses that are possible; none if the prefix is dead.
        indents: the open indentations.
        depth: open brackets, within which lines and indentation mean nothing.
        started: the line has a token.
    """

    stacks: _lr.Stacks
    indents: tuple[Indent, ...] = (Indent(0, 0),)
    depth: int = 0
    started: bool = False

    def after(self, events: Events) -> Grammar | None:
        """After these events of the tokenizer; None if no program goes on like this."""
        grammar: Grammar | None = self
        for event in events:
            grammar = grammar._after(event)
            if grammar is None:
                return None
        return grammar

    def _after(self, event: _lexer.Event) -> Grammar | None:
        if isinstance(event, Indent):
            return self if self.depth else self._indented(event)
        if event == "NEWLINE":
            return self._at_line_end() if self.started and not self.depth else self
        stacks = self._shifted(event)
        depth = self.depth + (event in _OPENS) - (event in _CLOSES)
        return Grammar(stacks, self.indents, depth, True) if stacks else None

    def _shifted(self, terminal: str) -> _lr.Stacks:
        stacks = _lr.PYTHON.advance(self.stacks, terminal)
        return stacks + _lr.PYTHON.advance(self.stacks, "NAME") if terminal in _SOFT else stacks

    def _at_line_end(self) -> Grammar | None:
        stacks = self._shifted("NEWLINE")
        return Grammar(stacks, self.indents) if stacks else None

    def _indented(self, indent: Indent) -> Grammar | None:
        """The INDENT, or the DEDENTs, that a line's first column stands for; tabs must not decide (TabError)."""
        top, stacks, indents = self.indents[-1], self.stacks, self.indents
        if indent.column > top.column:
            stacks = self._shifted("INDENT") if indent.tabless > top.tabless else ()
            return Grammar(stacks, (*indents, indent)) if stacks else None
        while indent.column < indents[-1].column and stacks:
            stacks, indents = _lr.PYTHON.advance(stacks, "DEDENT"), indents[:-1]
        return Grammar(stacks, indents) if stacks and indent == indents[-1] else None

    def allows(self, terminals: tuple[str, ...]) -> bool:
        """True if these terminals may come next."""
        return self.after(terminals) is not None

    @property
    def complete(self) -> bool:
        """True if a program may end here, as far as its tokens go."""
        line_end = self.after(("NEWLINE", Indent(0, 0)))
        return not self.depth and line_end is not None and bool(line_end._shifted("END"))


LexerState = tuple[_lexer.State, bytes, bool]  # `Prefix` without its grammar


def _nothing() -> Grammar:
    return Grammar((_lr.PYTHON.bottom,))


@dataclass(frozen=True, slots=True)
class Prefix:
    """The beginning of a program. `Prefix()` is the empty one.

    Where two prefixes are equal, what may follow one may follow the other: they can be keys. (The reverse need not hold.)

    Args:
        grammar: None if the prefix is dead.
        pending: bytes of a character whose last are yet to come (`feed_bytes`).
        returned: the last character was a carriage return: a newline right behind belongs to it.
    """

    lexer: _lexer.State = _lexer.START
    grammar: Grammar | None = field(default_factory=_nothing)
    pending: bytes = b""
    returned: bool = False

    @property
    def alive(self) -> bool:
        """False if no Python program begins like this."""
        return self.grammar is not None

    @property
    def complete(self) -> bool:
        """True if it is a program as it stands."""
        whole = self._fed("\ufffd")._replaced(b"") if self.pending else self
        events = _lexer.finish(whole.lexer)
        if whole.grammar is None or events is None:
            return False
        line_end = whole.grammar.after(events)
        return line_end is not None and line_end.complete

    def feed(self, text: str) -> Prefix:
        """The prefix with `text` behind it."""
        prefix = self
        if self.pending and text:
            prefix = self._fed("\ufffd")._replaced(b"")
        for char in text:
            if prefix.grammar is None:
                return DEAD
            prefix = prefix._fed(char)
        return prefix

    def feed_bytes(self, data: bytes) -> Prefix:
        """The prefix with the text that `data` spell in UTF-8, which may end, and may have begun, within a character.

        Bytes that are no UTF-8 become U+FFFD, as in `bytes.decode("utf-8", "replace")`.
        """
        prefix = self
        for byte in data:
            if prefix.grammar is None:
                return DEAD
            alone = byte < 0x80 and not prefix.pending
            prefix = prefix._fed(_ASCII[byte]) if alone else prefix._fed_byte(byte)
        return prefix

    @staticmethod
    def advance(place: LexerState, byte: int) -> tuple[LexerState, Events] | None:
        """One byte further in the tokenizer alone: the place after it and the events, whatever the grammar says to them."""
        lexer, pending, returned = place
        chars, pending = _decoded(pending, byte)
        events: Events = ()
        for char in chars:
            if not (returned and char == "\n"):
                result = _lexer.step(lexer, "\n" if char == "\r" else _lexer.kind_of(char))
                if result is None:
                    return None
                lexer, events = result[0], events + result[1]
            returned = char == "\r"
        return (lexer, pending, returned), events

    def _fed_byte(self, byte: int) -> Prefix:
        chars, pending = _decoded(self.pending, byte)
        prefix = self._replaced(b"")
        for char in chars:
            prefix = prefix._fed(char)
        if not pending or prefix.grammar is None:
            return prefix
        possible = any(prefix._fed(kind).alive for kind in kinds(pending))
        return prefix._replaced(pending) if possible else DEAD

    def _replaced(self, pending: bytes) -> Prefix:
        return Prefix(self.lexer, self.grammar, pending, self.returned)

    def _fed(self, char: str) -> Prefix:
        if self.returned and char == "\n":
            return Prefix(self.lexer, self.grammar)
        result = _lexer.step(self.lexer, "\n" if char == "\r" else _lexer.kind_of(char))
        if result is None or self.grammar is None:
            return DEAD
        lexer, events = result
        grammar = self.grammar.after(events) if events else self.grammar
        if grammar is None:
            return DEAD
        possible_endings = _lexer.possible_endings(lexer)
        if (
            possible_endings is not None
            and (events or lexer != self.lexer)
            and not any(map(grammar.allows, possible_endings))
        ):
            return DEAD
        return Prefix(lexer, grammar, b"", char == "\r")


DEAD = Prefix(grammar=None)
_ASCII = [chr(byte) for byte in range(128)]


@lru_cache(1 << 12)
def _decoded(pending: bytes, byte: int) -> tuple[str, bytes]:
    """The characters that `byte` finishes after `pending`, and the bytes of the one that is not finished."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    decoder.setstate((pending, 0))
    return decoder.decode(bytes((byte,))), decoder.getstate()[0]


@lru_cache(1 << 12)
def kinds(pending: bytes) -> tuple[str, ...]:
    """Of which kinds (`_lexer.kind_of`) a character may be that begins with these bytes, U+FFFD for a broken one included."""
    length = 2 if pending[0] < 0xE0 else 3 if pending[0] < 0xF0 else 4
    rest, bits = length - len(pending), pending[0] & (0x7F >> length)
    for byte in pending[1:]:
        bits = bits << 6 | byte & 0x3F
    values = {_lexer.OTHER}
    for point in range(max(0x80, bits << 6 * rest), min((bits + 1) << 6 * rest, 0x110000)):
        values.add(_lexer.kind_of(chr(point)))
        if len(values) == 3:
            break
    return tuple(sorted(values))


def dead_at(pieces: Iterable[str | bytes], start: Prefix | None = None) -> int | None:
    """The index of the first of `pieces` with which no program can begin, or None if there is no such piece.

    Args:
        pieces: the text, token by token; bytes where a token may hold a part of a character.
        start: what comes before; without it, nothing.
    """
    prefix = Prefix() if start is None else start
    for index, piece in enumerate(pieces):
        prefix = prefix.feed_bytes(piece) if isinstance(piece, bytes) else prefix.feed(piece)
        if not prefix.alive:
            return index
    return None
