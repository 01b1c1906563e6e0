"""How far off an answer may be in a test that compares approximately, and what is farther."""

from __future__ import annotations

import ast
import math
import random
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, NamedTuple

from rltf_env.sandbox.referee.asserting import dotted, name_of
from rltf_env.sandbox.referee.changes import Change, other_answer, other_constant, places_of
from rltf_env.sandbox.referee.origins import path_of

NAMES = frozenset("allclose array_equal isclose".split())  # of functions that compare, beside what is called assert...
_LARGEST = 0.9  # of a share that may be off; beyond that nothing is false


class Tolerance(NamedTuple):
    """An answer may be off by a share of its size, or by so much."""

    share: float
    most: float

    @property
    def small(self) -> bool:
        """True if any change that can be seen is too large."""
        return self.share <= LEAST.share and self.most <= LEAST.most

    @property
    def kind(self) -> str:
        """How a computed value is changed (`computed.py`), so that it is too far off; "" where nothing is sure to be."""
        return "near" if self.small else "" if self.known else "far"

    @property
    def known(self) -> bool:
        """True if the text says how far."""
        return self is not _GUESS


LEAST = Tolerance(0.001, 0.1)  # what is farther off than that is so in any test whose tolerance is small
_GUESS = Tolerance(0.5, 10.0)  # where it does not: a reference has to show that something else is farther
USUAL = Tolerance(1e-5, 1e-6)
_SHARE = {
    "approx": (1, "rel"),
    "isclose": (2, "rel_tol", "rtol"),
    "allclose": (2, "rtol"),
    "assert_allclose": (2, "rtol"),
}
_MOST = {"approx": (2, "abs"), "isclose": (3, "abs_tol", "atol"), "allclose": (3, "atol"), "assert_allclose": (3, "atol"),
         "assertAlmostEqual": (4, "delta"), "assertAlmostEquals": (4, "delta")}  # fmt: skip
_PLACES = {"assertAlmostEqual": (2, "places"), "assertAlmostEquals": (2, "places"), "assert_almost_equal": (2, "decimal"),
           "assert_array_almost_equal": (2, "decimal")}  # fmt: skip


def is_approx(node: ast.AST) -> bool:
    """True for `pytest.approx(...)`."""
    return isinstance(node, ast.Call) and dotted(node.func) in ("pytest.approx", "approx")


def of(node: ast.AST, known: Mapping[str, ast.expr] = {}) -> Tolerance | None:
    """How far off the sides of a call may be. None for what is exact, and for what is no such call.

    `known`: names that stand for one literal.
    """
    if not isinstance(node, ast.Call):
        return None
    name = name_of(node.func)
    if name not in _SHARE and name not in _MOST and name not in _PLACES:
        return None
    share, most, places = (_value(node, table.get(name), known) for table in (_SHARE, _MOST, _PLACES))
    if any(value is not None and value != value for value in (share, most, places)):
        return _GUESS
    if places is not None:
        most = max(most or 0.0, 10.0 ** -min(places, 300))
    return Tolerance(max(USUAL.share, abs(share or 0.0)), max(USUAL.most, abs(most or 0.0)))


def _value(call: ast.Call, where: Any, literals: Mapping[str, ast.expr]) -> float | None:
    """An argument by its place or name: None if it is not there, NaN if the text does not say what it is."""
    if where is None:
        return None
    place, *names = where
    found = [k.value for k in call.keywords if k.arg in names or k.arg is None]
    if any(isinstance(argument, ast.Starred) for argument in call.args):
        return math.nan
    found += call.args[place : place + 1]
    if not found:
        return None
    node = literals.get(path_of(found[0]), found[0])
    known = isinstance(node, ast.Constant) and (node.value is None or type(node.value) in (int, float))
    if not known:
        try:
            value = ast.literal_eval(ast.unparse(node))
        except (ValueError, SyntaxError):
            return math.nan
        return float(value) if type(value) in (int, float) else math.nan
    return None if node.value is None else float(node.value)  # type: ignore[attr-defined]


def difference(node: ast.AST) -> ast.BinOp | None:
    """The difference of which a value is the size: `x - y` of `abs(x - y)`."""
    if not isinstance(node, ast.Call) or not node.args or name_of(node.func) not in ("abs", "fabs"):
        return None
    inner = node.args[0]
    return inner if isinstance(inner, ast.BinOp) and isinstance(inner.op, ast.Sub) else None


def below(limit: ast.expr, known: Mapping[str, ast.expr] = {}) -> Tolerance:
    """How far off an answer may be whose difference has to be below a limit. `known`: names that stand for one literal."""
    try:
        value = ast.literal_eval(known.get(path_of(limit), limit))
    except (ValueError, SyntaxError):
        return _GUESS
    return Tolerance(0.0, abs(float(value))) if type(value) in (int, float) else _GUESS


def far(limits: Tolerance) -> Change | None:
    """A change of a constant that is farther than the limits allow. None where there is none."""
    if limits.share > _LARGEST:
        return None
    return other_answer if limits.small else Farther(limits)


class Farther(NamedTuple):
    """Makes a constant one that is farther away than the limits allow, written with as many digits."""

    limits: Tolerance

    def __call__(self, node: ast.Constant, rng: random.Random) -> None:
        """Changes it."""
        value: Any = node.value
        if type(value) not in (int, float) or value != value or abs(value) > 1e100:
            other_constant(node, rng)
            return
        off, unit = _beyond(abs(value), self.limits, rng), Fraction(10) ** -places_of(value)
        whole = math.floor if off < abs(value) else math.ceil
        farther = whole(Fraction(off) / unit) * unit
        node.value = type(value)(-farther if value < 0 else farther)


def _beyond(size: float, limits: Tolerance, rng: random.Random) -> float:
    """A number that no answer is near to which is near to `size`: half of the time one below, where there is any above zero.

    Were it always a larger one, or of the other sign, nobody would take it for a share.
    """
    lowest = size * (1 - limits.share) - limits.most  # that may be right
    below = lowest * (1 - limits.share) - limits.most
    if below > 0 and rng.random() < 0.5:
        return below * round(rng.uniform(0.3, 0.9), 2)
    far = (2 * size + 2 * limits.most + rng.choice((1, 2, 3, 4, 5))) / (1 - limits.share)
    return rng.choice((-1, 1)) * far
