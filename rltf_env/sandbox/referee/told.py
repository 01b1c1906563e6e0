"""A reference that tells what it answers, or gives other answers: code that follows it, in the cage.

A word of an answer is a run of letters and digits in its text, or a number. Which words a reference answers shows what a test
expects, wherever the test has that from; and one that answers other words shows that nothing but this was changed in a copy.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from rltf_env.sandbox.referee.outcomes import Outcome
from rltf_env.sandbox.values import FILENAME

WORD = r"\d+(?:\.\d+)?|[^\W\d]\w*"
TELLS, RENAMES, EMPTIES = "tells", "renames", "empties"  # what a reference does with what it answers
_MARK = "\0answered"
_MOST = 400  # answers that are told of
_CODE = """
def __answer__(space, name, does, words, most):
    import functools, inspect, json, os, re, sys
    out, left, plain = os.dup(1), [most], (str, int, float, bool)
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
    def told(function):
        @functools.wraps(function)
        def call(*args, **kwargs):
            value = function(*args, **kwargs)
            return value if sys._getframe(1).f_code.co_filename == name else answer(value)
        return call
    def method(thing):
        if isinstance(thing, (staticmethod, classmethod)):
            return type(thing)(told(thing.__func__))
        if isinstance(thing, property):
            return property(told(thing.fget), thing.fset, thing.fdel)
        return told(thing) if inspect.isfunction(thing) else thing
    dunders = ("__call__", "__getitem__", "__str__", "__repr__", "__len__", "__next__", "__iter__")
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
    code = re.sub(r"\b[A-Z]{4,}\b", lambda name: repr(known[name[0]]), _CODE)
    return f"{source}\n{code}"


def words_of(outcome: Outcome) -> list[str]:
    """The words of what a reference told of, each once, in order."""
    _, stdout, _ = outcome.report
    lines = [line for line in stdout.decode("utf-8", "replace").split("\n") if line.startswith(_MARK)]
    found: dict[str, None] = {}
    for line in lines:
        try:
            found |= dict.fromkeys(json.loads(line[len(_MARK) :]))
        except ValueError:
            continue  # a test printed in between
    return [*found]
