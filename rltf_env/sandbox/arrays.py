"""Stand-ins for NumPy's values in a script that is judged apart: there, no package is imported. Standard library only.

They answer as NumPy's do in what a plain test asks of them: a number of NumPy's is no `int`, its truth is not `True`, and an array
that is compared with a list says of each item whether it is equal, which is neither true nor false as a whole.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator
from typing import Any


def _number(act: Any, *, reflected: bool = False) -> Any:
    """A method of a number that does to what it stands for what `act` does."""

    def method(self: Number, *others: Any) -> Any:
        values = [self.value, *(other.value if type(other) is Number else other for other in others)]
        return act(*reversed(values)) if reflected else act(*values)

    return method


def _reflected(act: Any) -> Any:
    return _number(act, reflected=True)


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
        if self.name == "bool":
            raise TypeError("'numpy.bool' object cannot be interpreted as an integer")
        return operator.index(self.value)

    __eq__, __ne__, __lt__ = _number(operator.eq), _number(operator.ne), _number(operator.lt)
    __le__, __gt__, __ge__ = _number(operator.le), _number(operator.gt), _number(operator.ge)
    __add__, __radd__ = _number(operator.add), _reflected(operator.add)
    __sub__, __rsub__ = _number(operator.sub), _reflected(operator.sub)
    __mul__, __rmul__ = _number(operator.mul), _reflected(operator.mul)
    __truediv__, __rtruediv__ = _number(operator.truediv), _reflected(operator.truediv)
    __floordiv__, __rfloordiv__ = _number(operator.floordiv), _reflected(operator.floordiv)
    __mod__, __rmod__ = _number(operator.mod), _reflected(operator.mod)
    __pow__, __rpow__ = _number(operator.pow), _reflected(operator.pow)
    __and__, __rand__ = _number(operator.and_), _reflected(operator.and_)
    __or__, __ror__ = _number(operator.or_), _reflected(operator.or_)
    __xor__, __rxor__ = _number(operator.xor), _reflected(operator.xor)
    __lshift__, __rlshift__ = _number(operator.lshift), _reflected(operator.lshift)
    __rshift__, __rrshift__ = _number(operator.rshift), _reflected(operator.rshift)
    __neg__, __pos__, __abs__, __invert__ = map(_number, (operator.neg, operator.pos, abs, operator.invert))
    __int__, __float__, __complex__, __bool__ = map(_number, (int, float, complex, bool))
    __round__, __floor__, __ceil__, __trunc__ = map(_number, (round, math.floor, math.ceil, math.trunc))
    __hash__, __str__, __format__, __divmod__ = map(_number, (hash, str, format, divmod))  # type: ignore[assignment]


def _itemwise(compare: Any) -> Any:
    return lambda self, other: Array([compare(mine, theirs) for mine, theirs in self.pairs(other)])


class Array:
    """An array of one or more dimensions: a sequence that compares item by item."""

    __eq__, __ne__, __lt__ = map(_itemwise, (operator.eq, operator.ne, operator.lt))  # type: ignore[assignment]
    __le__, __gt__, __ge__ = map(_itemwise, (operator.le, operator.gt, operator.ge))
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

    def pairs(self, other: Any) -> list[tuple[Any, Any]]:
        """Its items, each beside what it is compared with."""
        others = list(other) if isinstance(other, (list, tuple, Array)) else [other] * len(self.items)
        if len(others) == 1:
            others *= len(self.items)
        if len(self.items) == 1:
            return [(self.items[0], each) for each in others]
        if len(others) != len(self.items):
            raise ValueError("operands could not be broadcast together")
        return list(zip(self.items, others, strict=True))


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
