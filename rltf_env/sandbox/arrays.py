"""Stand-ins for NumPy's values in a script that is judged apart: there, no package is imported. Standard library only.

They answer as NumPy's do in what a plain test asks of them: a number of NumPy's is no `int`, its truth is not `True`, and an array
that is compared with a list says of each item whether it is equal, which is neither true nor false as a whole.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator
from typing import Any

_BINARY = "add sub mul truediv floordiv mod pow and_ or_ xor lshift rshift".split()
_ORDER = "lt le gt ge eq ne".split()
_UNARY = {"neg": operator.neg, "pos": operator.pos, "abs": abs, "int": int, "float": float, "complex": complex, "bool": bool,
          "round": round, "hash": hash, "str": str, "format": format, "floor": math.floor, "ceil": math.ceil,
          "trunc": math.trunc, "invert": operator.invert, "divmod": divmod}  # fmt: skip


class Number:
    """A scalar, which calculates as Python's does.

    Args:
        value: Python's own.
        name: of NumPy's class.
    """

    __slots__ = ("name", "value")

    def __init__(self, value: Any, name: str) -> None:
        self.value, self.name = value, name

    def __repr__(self) -> str:
        return f"np.{self.name}({self.value!r})"

    def __index__(self) -> int:
        return operator.index(self.value) if self.name != "bool" else _no_index()


def _no_index() -> int:
    raise TypeError("'numpy.bool' object cannot be interpreted as an integer")


def _delegated(act: Any, *, reflected: bool = False) -> Any:
    def method(self: Number, *others: Any) -> Any:
        values = [self.value, *(other.value if type(other) is Number else other for other in others)]
        return act(*reversed(values)) if reflected else act(*values)

    return method


for _name in (*_BINARY, *_ORDER):
    setattr(Number, f"__{_name.strip('_')}__", _delegated(getattr(operator, _name)))
for _name in _BINARY:
    setattr(Number, f"__r{_name.strip('_')}__", _delegated(getattr(operator, _name), reflected=True))
for _name, _act in _UNARY.items():
    setattr(Number, f"__{_name}__", _delegated(_act))


class Array:
    """An array of one or more dimensions: a sequence that compares item by item."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, items: list[Any]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.items)

    def __getitem__(self, index: Any) -> Any:
        found = self.items[index]
        return Array(found) if isinstance(index, slice) else found

    def __contains__(self, item: Any) -> bool:
        return any(map(_any, [each == item for each in self.items]))

    def __bool__(self) -> bool:
        if len(self.items) != 1:
            raise ValueError(
                "The truth value of an array with more than one element is ambiguous. Use a.any() or a.all()"
            )
        return bool(self.items[0])

    def __repr__(self) -> str:
        return f"array({self.items!r})"

    def _pairs(self, other: Any) -> list[tuple[Any, Any]]:
        others = list(other) if isinstance(other, (list, tuple, Array)) else [other] * len(self.items)
        if len(others) == 1:
            others *= len(self.items)
        if len(self.items) == 1:
            return [(self.items[0], each) for each in others]
        if len(others) != len(self.items):
            raise ValueError("operands could not be broadcast together")
        return list(zip(self.items, others, strict=True))


def _itemwise(compare: Any) -> Any:
    return lambda self, other: Array([compare(mine, theirs) for mine, theirs in self._pairs(other)])


for _name in _ORDER:
    setattr(Array, f"__{_name}__", _itemwise(getattr(operator, _name)))


def _any(truth: Any) -> bool:
    return any(map(_any, truth.items)) if isinstance(truth, Array) else bool(truth)


def make(name: str, shape: tuple[int, ...], tree: Any) -> Any:
    """The stand-in of a value of NumPy's of this type and shape, whose items are Python's in `tree`, a list of lists."""
    if shape:
        return Array([make(name, shape[1:], part) for part in tree])
    if name == "float64":
        return _Float(tree)
    return str(tree) if name.startswith("str") else tree if type(tree) in (bytes, complex) else Number(tree, name)


class _Float(float):
    """NumPy's float64, which is a float."""

    def __repr__(self) -> str:
        return f"np.float64({float(self)!r})"

    def __str__(self) -> str:
        return float.__repr__(self)


def plain(value: Any) -> Any:
    """What a stand-in stands for, of Python's own: what a program is handed."""
    if type(value) is Array:
        return [plain(item) for item in value.items]
    return value.value if type(value) is Number else value
