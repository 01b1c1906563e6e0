"""A reference that tells what it answers, or gives other answers: code that follows it, in the cage.

A word of an answer is a run of letters and digits in its text, or a number. Which words a reference answers shows what a test
expects, wherever the test has that from; and one that answers other words shows that nothing but this was changed in a copy.
What it is asked stays the same there: of other inputs nobody knows what honest programs make.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from rltf_env.sandbox.referee.outcomes import Outcome
from rltf_env.sandbox.values import FILENAME

WORD = r"\d+(?:\.\d+)?|[^\W\d]\w*"
TELLS, RENAMES, EMPTIES = "tells", "renames", "empties"  # what a reference does with what it answers
_MARK, _ASKED = "\0answered", "\0asked"
_MOST = 400  # answers that are told of, and questions
_CODE = """
def __answer__(space, name, does, words, most):
    import functools, inspect, json, os, re, sys, zlib
    out, left, unheard, plain = os.dup(1), [most], [most], (str, int, float, bool)
    def other(value):
        kind = type(value)
        if kind in plain:
            return emptied(value) if does == "empties" else renamed(value)
        if kind in (list, tuple, set, frozenset):
            return kind() if does == "empties" else kind(map(other, value))
        if kind is dict:
            return {} if does == "empties" else {other(k): other(v) for k, v in value.items()}
        return value
    def emptied(value):
        return type(value)()
    def renamed(value):
        text = value if type(value) is str else repr(value)
        text = re.sub(PATTERN, lambda found: words.get(found[0], found[0]), text)
        try:
            return text == "True" if type(value) is bool else type(value)(text)
        except ValueError:
            return value
    def parts(value):
        if type(value) in plain:
            yield value if type(value) is str else repr(value)
        elif type(value) in (list, tuple, set, frozenset, dict):
            for part in [*value, *(value.values() if type(value) is dict else ())]:
                yield from parts(part)
    def answer(value):
        if inspect.iscoroutine(value):
            async def later():
                return answer(await value)
            return later()
        if inspect.isgenerator(value):
            return (answer(each) for each in value)
        if does != "tells":
            return other(value)
        left[0] -= 1
        if left[0] >= 0:
            found = {word: 0 for part in parts(value) for word in re.findall(PATTERN, part[:2000])}
            os.write(out, (chr(10) + MARK + json.dumps([*found][:100]) + chr(10)).encode())
        return value
    def hear(question):
        unheard[0] -= 1
        if unheard[0] < 0 or does == "empties":
            return
        try:
            text = re.sub("<" + re.escape(space["__name__"]) + "[.][^<>]* at 0x[0-9a-fA-F]+>", "", " ".join(map(shown, question)))
        except Exception:
            text = " at 0x"
        known = None if " at 0x" in text else [text[:500], zlib.crc32(text.encode())]
        os.write(out, (chr(10) + ASKED + json.dumps(known) + chr(10)).encode())
    def shown(value):
        own = type(value).__module__ == space["__name__"] and hasattr(value, "__dict__")
        return repr(vars(value) if own else value)
    def told(function):
        @functools.wraps(function)
        def call(*args, **kwargs):
            own = sys._getframe(1).f_code.co_filename == name
            if not own:
                hear((*args, *kwargs.items()))
            value = function(*args, **kwargs)
            return value if own else answer(value)
        return call
    def method(thing):
        if isinstance(thing, (staticmethod, classmethod)):
            return type(thing)(told(thing.__func__))
        if isinstance(thing, property):
            return property(told(thing.fget), thing.fset, thing.fdel)
        return told(thing) if inspect.isfunction(thing) else thing
    dunders = ("__init__", "__call__", "__getitem__", "__str__", "__repr__", "__len__", "__next__", "__iter__")
    for key, thing in [*space.items()]:
        if isinstance(thing, type) and thing.__module__ == space["__name__"]:
            for own, part in [*vars(thing).items()]:
                if not own.startswith("__") or own in dunders:
                    try:
                        setattr(thing, own, method(part))
                    except (AttributeError, TypeError):
                        pass
        elif callable(thing) and getattr(thing, "__module__", None) == space["__name__"] and not key.startswith("__"):
            if not isinstance(thing, type) and (inspect.isfunction(thing) or hasattr(thing, "__wrapped__")):
                space[key] = told(thing)
__answer__(globals(), NAME, DOES, WORDS, MOST)
del __answer__
"""


def program(source: str, does: str, words: Mapping[str, str] = {}) -> str:
    """A reference of which the test has other answers, or that tells of them.

    Args:
        source: the reference.
        does: `TELLS`, `RENAMES` or `EMPTIES`: then what it answers has nothing in it.
        words: of answers, and what is said instead.
    """
    known = {"NAME": FILENAME, "DOES": does, "WORDS": dict(words), "MOST": _MOST, "MARK": _MARK, "PATTERN": WORD}
    known["ASKED"] = _ASKED
    code = re.sub(r"\b[A-Z]{4,}\b", lambda name: repr(known[name[0]]), _CODE)
    return f"{source}\n{code}"


def words_of(outcome: Outcome) -> list[str]:
    """The words of what a reference told of, each once, in order."""
    return [*dict.fromkeys(word for words in _lines(outcome, _MARK) for word in words)]


def asked_of(outcome: Outcome) -> list[Any] | None:
    """What a test asked a reference, in order: each a text, and a number that says whether all of it is the same.

    None if that cannot be seen: what a stream, a function or an iterator has in store does not show.
    """
    questions = [*_lines(outcome, _ASKED)]
    return None if None in questions else questions


def words_asked(questions: Iterable[Any]) -> set[str]:
    """The words of what a test asked a reference."""
    return {word for text, _ in questions for word in re.findall(WORD, text)}


def _lines(outcome: Outcome, mark: str) -> Iterator[Any]:
    """What stands behind a mark in what was printed."""
    _, stdout, _ = outcome.report
    for line in stdout.decode("utf-8", "replace").split("\n"):
        if line.startswith(mark):
            with suppress(ValueError):  # a test printed in between
                yield json.loads(line[len(mark) :])
