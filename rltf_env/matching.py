"""When is an output right? One rule for each kind of case. Standard library only; runs where no program runs.

**Text** (`text_matches`, StdinCase). Lines are compared in order; white space at their ends and blank
lines do not count. Two lines agree if they have the same number of words and each word is the same.
Words are what blanks separate: spaces, tabs, carriage returns, as many as there are. A word that is
expected to be a decimal fraction (`0.5`, `1e-3`) may also be a number within 1e-6 of it, relative or
absolute, however large both are. An expected whole number must be met exactly, letter by letter: `9.0`
is not `9`, `Yes` is not `YES`.

**Values** (`value_matches`, CallCase). Numbers are equal as Python has them: `1 == 1.0 == True`, and a
Decimal, a Fraction or a complex number may equal any of them. Where the expected one is a float, or a
complex number of floats, within 1e-6, and NaN meets NaN. That holds at every depth, also for the keys of
dictionaries and the members of sets. An expected list may be met by a tuple, since JSON has no tuples;
an expected tuple must be one. Expected text keys may be met by the whole numbers they spell, since JSON
has no other keys. Two OrderedDicts must have their keys in one order. All else, sets against lists, text
against numbers, `[x]` against `x`, is different.

**Scripts** (ScriptCase) decide by themselves: they are Python, and run as such on values that are plain data.

A problem with several right answers says so: `meta["order"] = "any"` compares the lines of a text, or the items of an
outermost list, in any order; `meta["checker"]` is the source of `def check(given, expected, got) -> bool`, which replaces
the rule (`given` is the standard input, or `(args, kwargs)`). In any order, each expected item needs a
partner of its own that matches it: `_pairing.py` finds out whether there are such partners.

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
from collections import Counter, OrderedDict, deque
from collections.abc import Iterable
from decimal import Context, Decimal
from fractions import Fraction
from typing import Any

from rltf_env._pairing import Leaf, pair_up

TOLERANCE = 1e-6
LONGEST = 400  # characters of a number that may be longer than the expected one
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,4})?", re.ASCII)
_FRACTION = re.compile(r"[+-]?(\d+\.\d*|\.\d+|\d+(?=[eE]))([eE][+-]?\d{1,4})?", re.ASCII)
_BLANKS = re.compile(r"[ \t\r\v\f]+")
_WIDE = Context(prec=40, Emax=999_999, Emin=-999_999)  # for what no float can hold

# ------------------------------------------------------------------------------------------------- text


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
        return _same_lines(map(_words, right), map(_words, printed))
    return all(map(_line_matches, right, printed))


def _lines(text: str) -> list[str]:
    return [line for line in map(str.strip, text.split("\n")) if line]


def _line_matches(expected: str, got: str) -> bool:
    return expected == got or _words_match(_words(expected), _words(got))


def _words(line: str) -> tuple[str, ...]:
    return tuple(_BLANKS.split(line))


def _words_match(expected: tuple[str, ...], got: tuple[str, ...]) -> bool:
    return len(expected) == len(got) and all(map(_word_matches, expected, got))


def _same_lines(expected: Iterable[tuple[str, ...]], got: Iterable[tuple[str, ...]]) -> bool:
    """True if these are the same lines in some order. A line without a fraction has to find its equal, whichever."""
    left, tolerant = Counter(got), []
    for words in expected:
        if any(map(_FRACTION.fullmatch, words)):
            tolerant.append(words)
        elif left[words]:
            left[words] -= 1
        else:
            return False
    return pair_up(tolerant, list(left.elements()), _words_match, _shape_of_words)


def _word_matches(expected: str, got: str) -> bool:
    if expected == got:
        return True
    if len(got) > len(expected) + LONGEST or not _FRACTION.fullmatch(expected) or not _NUMBER.fullmatch(got):
        return False
    right, printed = float(expected), float(got)
    if math.isfinite(right) and math.isfinite(printed):
        return _close(right, printed)
    return _close_beyond(Decimal(expected), Decimal(got))


def _close_beyond(expected: Decimal, got: Decimal) -> bool:
    """`_close` of numbers of which some are larger than any float."""
    distance = _WIDE.abs(_WIDE.subtract(expected, got))
    largest = _WIDE.max(_WIDE.abs(expected), _WIDE.abs(got))
    return distance <= _WIDE.multiply(Decimal(TOLERANCE), largest)


def _shape_of_words(words: tuple[str, ...]) -> tuple[Any, list[Leaf]]:
    """The words of a line, numbers apart: see `_pairing.Describe`."""
    numbers = [bool(_NUMBER.fullmatch(word)) for word in words]
    shape = tuple(None if number else word for word, number in zip(words, numbers, strict=True))
    return shape, [
        Leaf(float(word), word, _FRACTION.fullmatch(word) is not None)
        for word, number in zip(words, numbers, strict=True)
        if number
    ]


# ----------------------------------------------------------------------------------------------- values


def value_matches(expected: Any, got: Any, *, any_order: bool = False) -> bool:
    """True if the plain value `got` is right where `expected` is.

    What cannot be compared, as a signalling NaN, is different.
    """
    try:
        if any_order and isinstance(expected, list) and isinstance(got, (list, tuple)):
            return _same_members(expected, got)
        return _value_matches(expected, got)
    except MemoryError:
        raise
    except Exception:  # the value is to blame: a decimal that raises, too many levels, no number to print
        return False


def _value_matches(expected: Any, got: Any) -> bool:
    kind = type(expected)  # nearly always one of these three, and there may be a million of them
    if kind is int or kind is str:
        return bool(expected == got)
    if kind is float and (type(got) is float or type(got) is int):
        return expected == got or _float_matches(expected, got)
    if isinstance(expected, (float, complex)):
        return _number_matches(expected, got)
    if isinstance(expected, (list, tuple)):
        kinds = (list, tuple) if isinstance(expected, list) else tuple
        return isinstance(got, kinds) and _items_match(expected, got)
    if isinstance(expected, dict):
        return isinstance(got, dict) and _dicts_match(expected, got) and _same_order(expected, got)
    if isinstance(expected, (set, frozenset)):
        return isinstance(got, (set, frozenset)) and _sets_match(expected, got)
    if isinstance(expected, deque):
        return isinstance(got, deque) and _items_match(expected, got)
    if isinstance(expected, Decimal) and expected.is_qnan():
        return isinstance(got, (float, Decimal)) and got != got
    return bool(expected == got) and (isinstance(expected, str) == isinstance(got, str))


def _items_match(expected: Any, got: Any) -> bool:
    return len(expected) == len(got) and all(map(_value_matches, expected, got))


def _number_matches(expected: float | complex, got: Any) -> bool:
    """Tolerance for what is expected to be a float, or a complex number, whose parts are floats."""
    if isinstance(expected, complex) or isinstance(got, complex):
        if not isinstance(got, (int, float, Decimal, Fraction, complex)):
            return False
        right, left = complex(expected), got if isinstance(got, complex) else None
        real, imaginary = (got, 0.0) if left is None else (left.real, left.imag)
        return _float_matches(right.real, real) and _float_matches(right.imag, imaginary)
    return isinstance(got, (int, float, Decimal, Fraction)) and _float_matches(expected, got)


def _float_matches(expected: float, got: Any) -> bool:
    if math.isinf(expected):
        return bool(expected == got)  # as exact numbers: 10 ** 400 is finite, whatever its type
    try:
        return _close(expected, float(got))
    except OverflowError:  # a number that no float can hold
        return False


def _close(expected: float, got: float) -> bool:
    if math.isnan(expected):
        return math.isnan(got)
    return math.isclose(expected, got, rel_tol=TOLERANCE, abs_tol=TOLERANCE)


def _sets_match(expected: Any, got: Any) -> bool:
    if len(expected) != len(got):
        return False
    return bool(expected == got) or (_tolerant(expected) and _same_members(expected, got))


def _dicts_match(expected: dict[Any, Any], got: dict[Any, Any]) -> bool:
    if len(expected) != len(got):
        return False
    if not expected.keys() <= got.keys() and all(type(key) is str for key in expected):
        got = {str(key) if type(key) is int else key: value for key, value in got.items()}
    if expected.keys() == got.keys() and all(_value_matches(value, got[key]) for key, value in expected.items()):
        return True
    return len(expected) == len(got) and _tolerant(expected.keys()) and _same_members(expected.items(), got.items())


def _same_order(expected: dict[Any, Any], got: dict[Any, Any]) -> bool:
    """Whether the keys of two OrderedDicts come in one order, by which these compare; any other two have none."""
    both = isinstance(expected, OrderedDict) and isinstance(got, OrderedDict)
    return not both or _items_match(list(expected), list(got))


def _tolerant(values: Any) -> bool:
    """True if there is a number with a tolerance in hashable values."""
    return any(
        isinstance(value, (float, complex)) or (isinstance(value, (tuple, frozenset)) and _tolerant(value))
        for value in values
    )


def _same_members(expected: Any, got: Any) -> bool:
    """True if these are the same values in some order."""
    right, left = list(expected), list(got)
    return len(right) == len(left) and pair_up(right, left, _value_matches, _Describer(right))


# ------------------------------------------------------------------------- what a value has in common

_OPEN = object()  # stands for a number in a shape
_WHOLE_NUMBER = re.compile(r"-?[1-9][0-9]*|0")
_LONG = 300  # digits of a key that is taken for like any other such


class _Describer:
    """The shape of a value and its numbers, see `_pairing.Describe`.

    Members of a set, or keys, that have a tolerance cannot be told apart by their hash. Where some are expected,
    all members of one shape are described together: if each has a partner, then so have their numbers in order.
    """

    def __init__(self, expected: list[Any]) -> None:
        self.loose = any(map(_loose, expected))

    def __call__(self, value: Any) -> tuple[Any, list[Leaf]]:
        leaves: list[Leaf] = []
        return self._shape(value, leaves), leaves

    def _shape(self, value: Any, leaves: list[Leaf]) -> Any:
        if isinstance(value, _NUMBERS):
            leaves.append(_leaf(value))
            return _OPEN
        if isinstance(value, (list, tuple, deque)):
            kind = "deque" if isinstance(value, deque) else "items"
            return kind, *[self._shape(item, leaves) for item in value]
        if isinstance(value, dict):
            return self._of_dict(value, leaves)
        if isinstance(value, (set, frozenset)):
            return self._of_members("set", value, leaves) if self.loose else ("set", frozenset(value))
        return bytes(value) if isinstance(value, bytearray) else value

    def _of_dict(self, value: dict[Any, Any], leaves: list[Leaf]) -> Any:
        if self.loose:
            return self._of_members("dict", [(_number_of(key), item) for key, item in value.items()], leaves)
        keys = {_key(key): item for key, item in value.items()}
        if len(keys) < len(value):
            return "dict", len(value)
        names = sorted(keys)
        return "dict", tuple(names), *[self._shape(keys[name], leaves) for name in names]

    def _of_members(self, kind: str, members: Any, leaves: list[Leaf]) -> Any:
        shapes: dict[Any, list[list[Leaf]]] = {}
        for shape, numbers in map(self, members):
            shapes.setdefault(shape, []).append(numbers)
        if len(set(map(hash, shapes))) < len(shapes):
            return kind, len(members)
        for shape in sorted(shapes, key=hash):
            for column in zip(*shapes[shape], strict=True):
                nears = sorted((leaf.near for leaf in column), key=lambda near: (near != near, near))
                leaves += [Leaf(near, near, True) for near in nears]
        return kind, frozenset((shape, len(same)) for shape, same in shapes.items())


_NUMBERS = (int, float, complex, Decimal, Fraction)


def _loose(value: Any) -> bool:
    """True if a set in a value, or the keys of a dictionary, have a number with a tolerance."""
    if isinstance(value, dict):
        return _tolerant(value) or any(map(_loose, value.values()))
    if isinstance(value, (set, frozenset)):
        return _tolerant(value) or any(map(_loose, value))
    return isinstance(value, (list, tuple, deque)) and any(map(_loose, value))


def _leaf(value: Any) -> Leaf:
    if type(value) is int and -_EXACT < value < _EXACT:
        return Leaf(float(value), value, False)
    try:
        near = float(value.real)
    except OverflowError:
        near = math.inf if value > 0 else -math.inf
    return Leaf(near, _exact(value, near), isinstance(value, (float, complex)))


_EXACT = 1 << 53


def _exact(value: Any, near: float) -> Any:
    """Equal for equal numbers of whatever type. Python's own equality won't do: a Decimal equals no Fraction."""
    if near != near or abs(near) > 1e290:
        return str(near)
    if near.is_integer() and value == (whole := int(value.real)):
        return whole
    return "hash", hash(value)


def _number_of(key: Any) -> Any:
    return int(key) if isinstance(key, str) and _WHOLE_NUMBER.fullmatch(key) else key


def _key(key: Any) -> tuple[str, int]:
    """Equal for keys that may stand for each other, texts and the whole numbers that they spell among them."""
    if isinstance(key, str):
        if not _WHOLE_NUMBER.fullmatch(key):
            return f"text {key}", 0
        return ("", int(key)) if len(key) < _LONG - 10 else ("long", 0)
    if not isinstance(key, _NUMBERS):
        return f"other {hash(key)}", 0
    exact = _leaf(key).exact
    if isinstance(exact, int):
        return ("", exact) if abs(exact) < 10 ** (_LONG - 11) else ("long", 0)
    return ("long", 0) if isinstance(exact, str) else (f"number {exact[1]}", 0)
