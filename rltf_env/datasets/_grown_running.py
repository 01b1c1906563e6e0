"""What a grown program does: its tree is walked, and so are mutants of it. Nothing here compiles or runs Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


@dataclass
class Trace:
    """What a run gave: its value, the branches that it took, and the greatest number on the way."""

    value: Any
    taken: frozenset[tuple[int, int]]
    largest: int


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

    def __call__(self, arguments: Sequence[Any], mutant: int = -1) -> Trace:
        """What `f(*arguments)` gives; None if it ends without a return."""
        self._mutant, self._taken, self._largest = mutant, set(), 0
        names = {name: value for (name, _), value in zip(self.program.parameters, arguments, strict=True)}
        try:
            self.block(self.program.body, names)
            value = None
        except _Done as done:
            value = done.value
        return Trace(value, frozenset(self._taken), self._largest)

    def block(self, block: Block, names: dict[str, Any]) -> None:
        for each in block:
            self._step(each, names)

    def _step(self, each: Statement, names: dict[str, Any]) -> None:
        changed = self.places[id(each)] == self._mutant
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
            if truth(condition, names) != (self.places[id(condition)] == self._mutant):
                self._taken.add((place, number))
                return self.block(body, names)
        self._taken.add((place, -1))
        return self.block(otherwise, names)

    def _value(self, node: Expression, names: Mapping[str, Any], changed: bool) -> int:
        return self._kept(value(node, names) + changed)

    def _kept(self, number: int) -> int:
        self._largest = max(self._largest, abs(number))
        return number


def value(node: Expression, names: Mapping[str, Any]) -> Any:
    """What an expression gives."""
    match node:
        case Number(number):
            return number
        case Name(name):
            return names[name]
        case Binary("plus", left, right):
            return value(left, names) + value(right, names)
        case Binary("minus", left, right):
            return value(left, names) - value(right, names)
        case Binary("times", left, right):
            return value(left, names) * value(right, names)
        case Binary(_, left, right):
            return value(left, names) % value(right, names)
        case Call(op, argument):
            return _called(op, value(argument, names))


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


def truth(node: Condition, names: Mapping[str, Any]) -> bool:
    """Whether a condition holds."""
    match node:
        case And(left, right):
            return truth(left, names) and truth(right, names)
        case Parity(op, left):
            return value(left, names) % 2 == PARITIES[op]
        case Compare(op, left, right):
            a, b = value(left, names), value(right, names)
            return {
                "below": a < b, "above": a > b, "at most": a <= b, "at least": a >= b, "equal": a == b,
                "different": a != b,
            }[op]  # fmt: skip
