"""What a grown program does: its value, the branches that it takes, and what a mutant of it would give.

Nothing here compiles or runs Python: a `Runner` walks the tree, and calls a function of ours for each expression in it.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rltf_env.datasets._grown_grammar import (
    PARITIES,
    And,
    Binary,
    Block,
    Call,
    Change,
    Compare,
    Condition,
    Expression,
    For,
    If,
    Let,
    Name,
    Number,
    Parity,
    Program,
    Return,
    Skip,
    Statement,
    Stop,
    walk,
)

# From the variables: what an expression gives, or whether a condition holds
Reader = Callable[[Mapping[str, Any]], Any]


@dataclass
class Trace:
    """What a run gave: its value, the branches that it took, the greatest number on the way, and the places that it came to."""

    value: Any
    taken: frozenset[tuple[int, int]]
    largest: int
    reached: frozenset[int]


class _Done(Exception):
    """A return, or the end of a loop's turn."""

    def __init__(self, value: Any = None) -> None:
        self.value = value


class _Stopped(_Done):
    pass


class _Skipped(_Done):
    pass


class Runner:
    """Runs a program on arguments, and mutants of it: of a mutant one condition is negated, one value is 1 greater, or one
    `stop` or `skip` does nothing."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.places = {id(node): i for i, node in enumerate(walk(program.body))}
        self._readers: dict[int, Reader] = {}

    def __call__(self, arguments: Sequence[Any], mutant: int = -1) -> Trace:
        """What `f(*arguments)` gives; None if it ends without a return."""
        self._mutant, self._taken, self._largest, self._reached = mutant, set(), 0, set()
        names = {name: value for (name, _), value in zip(self.program.parameters, arguments, strict=True)}
        try:
            self.block(self.program.body, names)
            value = None
        except _Done as done:
            value = done.value
        return Trace(value, frozenset(self._taken), self._largest, frozenset(self._reached))

    def block(self, block: Block, names: dict[str, Any]) -> None:
        for each in block:
            self._step(each, names)

    def _step(self, each: Statement, names: dict[str, Any]) -> None:
        place = self.places[id(each)]
        self._reached.add(place)
        changed = place == self._mutant
        match each:
            case Return(value):
                raise _Done(self._value(value, names, changed))
            case Let(name, value):
                names[name] = self._value(value, names, changed)
            case Change(op, name, value):
                by = self._value(value, names, changed)
                names[name] = self._kept(_changed(op, names[name], by))
            case Stop() | Skip():
                if not changed:
                    raise _Stopped if isinstance(each, Stop) else _Skipped
            case For(name, over, ordered, body):
                self._loop(name, sorted(names[over]) if ordered else names[over], body, names)
            case If(cases, otherwise):
                self._choose(each, cases, otherwise, names)

    def _loop(self, name: str, numbers: Sequence[int], body: Block, names: dict[str, Any]) -> None:
        for number in numbers:
            names[name] = number
            try:
                self.block(body, names)
            except _Skipped:
                continue
            except _Stopped:
                return

    def _choose(self, each: If, cases: Any, otherwise: Block, names: dict[str, Any]) -> None:
        place = self.places[id(each)]
        for number, (condition, body) in enumerate(cases):
            asked = self.places[id(condition)]
            self._reached.add(asked)
            if self._read(condition, names) != (asked == self._mutant):
                self._taken.add((place, number))
                return self.block(body, names)
        self._taken.add((place, -1))
        return self.block(otherwise, names)

    def _value(self, node: Expression, names: Mapping[str, Any], changed: bool) -> int:
        return self._kept(self._read(node, names) + changed)

    def _read(self, node: Expression | Condition, names: Mapping[str, Any]) -> Any:
        found = self._readers.get(id(node))
        if found is None:
            found = self._readers[id(node)] = reader(node)
        return found(names)

    def _kept(self, number: int) -> int:
        self._largest = max(self._largest, abs(number))
        return number


def reader(node: Expression | Condition) -> Reader:
    """A function of the variables that gives what an expression gives, or whether a condition holds."""
    match node:
        case Number(number):
            return lambda names: number
        case Name(name):
            return operator.itemgetter(name)
        case Call(op, argument):
            inner = reader(argument)
            return lambda names: _called(op, inner(names))
        case And(left, right):
            first, second = reader(left), reader(right)
            return lambda names: first(names) and second(names)
        case Parity(op, left):
            inner, rest = reader(left), PARITIES[op]
            return lambda names: inner(names) % 2 == rest
        case Binary(op, left, right) | Compare(op, left, right):
            function, one, other = _OPERATORS[op], reader(left), reader(right)
            return lambda names: function(one(names), other(names))


_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "plus": operator.add, "minus": operator.sub, "times": operator.mul, "modulo": operator.mod, "below": operator.lt,
    "above": operator.gt, "at most": operator.le, "at least": operator.ge, "equal": operator.eq, "different": operator.ne,
}  # fmt: skip


def _called(op: str, argument: Any) -> int:
    if op == "absolute":
        return abs(argument)
    if op in ("length", "sum"):
        return len(argument) if op == "length" else sum(argument)
    return max(argument, default=0) if op == "largest" else min(argument, default=0)


def _changed(op: str, before: int, by: int) -> int:
    if op == "multiply":
        return before * by
    return before + by if op == "add" else before - by
