"""When is an output right? One rule for each kind of case. Standard library only; runs where no program runs.

**Text** (`text_matches`, StdinCase). Lines are compared in order, white space at their ends and blank lines aside. Two lines
that differ still agree if they have the same number of words and each word is the same, or is expected to be a decimal
fraction (`0.5`, `1e-3`) and is a number within 1e-6 of it, relative or absolute. An expected whole number must be met
exactly, letter by letter: `9.0` is not `9`, `Yes` is not `YES`.

**Values** (`value_matches`, CallCase). Numbers are equal as Python has them (`1 == 1.0 == True`); where the expected one is
a float, within 1e-6, and NaN meets NaN. An expected list may be met by a tuple, since JSON has no tuples; an expected tuple
must be one. Expected text keys may be met by the whole numbers they spell, since JSON has no other keys. All else, sets
against lists, text against numbers, `[x]` against `x`, is different.

**Scripts** (ScriptCase) decide by themselves: they are Python, and run as such on values that are plain data.

A problem with several right answers says so: `meta["order"] = "any"` compares the lines of a text, or the items of an
outermost list, in any order; `meta["checker"]` is the source of `def check(given, expected, got) -> bool`, which replaces
the rule (`given` is the standard input, or `(args, kwargs)`).

Differences from the rules of others, by example (expected, got):

    ours   APPS and RLTF   LiveCodeBench
    wrong  right           wrong          "1 2 2" / "1 2", "a b" / "b a": they compare sets of words
    wrong  right           wrong          "1\n2" / "2\n1": and sets of lines
    wrong  right           wrong          3 / [3]: a result is also compared with the first element of a list
    wrong  right           wrong          "9" / "9.0000001": numpy.allclose on every number
    right  wrong           wrong          "a\n\nb" / "a\nb": blank lines between
    right  right           wrong          "0.3333333" / "0.33333334": LiveCodeBench compares decimals exactly
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

TOLERANCE = 1e-6
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,4})?", re.ASCII)
_FRACTION = re.compile(r"[+-]?(\d+\.\d*|\.\d+|\d+(?=[eE]))([eE][+-]?\d{1,4})?", re.ASCII)


def _lines(text: str) -> list[str]:
    return [line for line in (line.rstrip() for line in text.split("\n")) if line]


def text_matches(expected: str, got: str, *, any_order: bool = False) -> bool:
    """True if the printed text `got` is right where `expected` is."""
    if expected == got:
        return True
    right, printed = _lines(expected), _lines(got)
    if len(right) != len(printed):
        return False
    if right == printed:
        return True
    if any_order:
        return _pair_up(right, printed, _line_matches)
    return all(map(_line_matches, right, printed))


def _line_matches(expected: str, got: str) -> bool:
    if expected == got:
        return True
    right, printed = expected.split(), got.split()
    if len(right) != len(printed) or not any(map(_FRACTION.fullmatch, right)):
        return False
    return all(map(_word_matches, right, printed))


def _word_matches(expected: str, got: str) -> bool:
    if expected == got:
        return True
    if len(got) > 400 or not _FRACTION.fullmatch(expected) or not _NUMBER.fullmatch(got):
        return False
    return _close(float(expected), float(got))


def _close(expected: float, got: float) -> bool:
    if math.isnan(expected):
        return math.isnan(got)
    return math.isclose(expected, got, rel_tol=TOLERANCE, abs_tol=TOLERANCE)


def value_matches(expected: Any, got: Any, *, any_order: bool = False) -> bool:
    """True if the plain value `got` is right where `expected` is. What cannot be compared, as a signalling NaN, is different."""
    try:
        if any_order and isinstance(expected, list) and isinstance(got, (list, tuple)):
            return len(expected) == len(got) and _pair_up(expected, list(got), _value_matches)
        return _value_matches(expected, got)
    except MemoryError:
        raise
    except Exception:  # the value is to blame: a number too long to print, a decimal that raises, too many levels
        return False


def _value_matches(expected: Any, got: Any) -> bool:
    if isinstance(expected, float):
        return _is_number(got) and _float_matches(expected, got)
    if isinstance(expected, (list, tuple)):
        kinds = (list, tuple) if isinstance(expected, list) else tuple
        return isinstance(got, kinds) and len(expected) == len(got) and all(map(_value_matches, expected, got))
    if isinstance(expected, dict):
        return isinstance(got, dict) and _dicts_match(expected, got)
    if isinstance(expected, complex):
        parts = isinstance(got, complex) or _is_number(got)
        return parts and _close(expected.real, complex(got).real) and _close(expected.imag, complex(got).imag)
    return bool(expected == got) and (isinstance(expected, str) == isinstance(got, str))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float))


def _float_matches(expected: float, got: float) -> bool:
    try:
        return expected == got or _close(expected, float(got))
    except OverflowError:  # a whole number that no float can hold
        return False


def _dicts_match(expected: dict[Any, Any], got: dict[Any, Any]) -> bool:
    if len(expected) != len(got):
        return False
    if not expected.keys() <= got.keys() and all(type(key) is str for key in expected):
        got = {str(key) if type(key) is int else key: value for key, value in got.items()}
    return expected.keys() == got.keys() and all(_value_matches(value, got[key]) for key, value in expected.items())


def _pair_up(expected: list[Any], got: list[Any], matches: Callable[[Any, Any], bool]) -> bool:
    """True if each of `expected` can be given a partner of its own: an equal one, else the first that matches."""
    wanted, left = _unequal(expected, got)
    for item in wanted:
        index = next((i for i, candidate in enumerate(left) if matches(item, candidate)), None)
        if index is None:
            return False
        del left[index]
    return True


def _unequal(expected: list[Any], got: list[Any]) -> tuple[list[Any], list[Any]]:
    """What is left of both when equal texts and whole numbers have been paired, which takes no time however many there are."""
    spare = Counter(item for item in got if type(item) in (str, int))
    wanted = []
    for item in expected:
        if type(item) in (str, int) and spare[item]:
            spare[item] -= 1
        else:
            wanted.append(item)
    left = []
    for item in got:
        if type(item) in (str, int) and spare[item]:
            spare[item] -= 1
            left.append(item)
        elif type(item) not in (str, int):
            left.append(item)
    return wanted, left
