"""How a grown program is drawn: its shape, conditions that split what comes, and inputs that show what it does.

Conditions are drawn against a pool of inputs: each must hold for some of those that come to it and not for others, so that
every branch can be reached. Nodes are drawn from what a split allows (`Split`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from rltf_env.datasets._grown_grammar import (
    ARITHMETIC,
    COMPARISONS,
    OF_LISTS,
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
    branches,
    constants,
    mutable,
    pairs,
)
from rltf_env.datasets._grown_running import Runner, reader
from rltf_env.datasets._stream import Stream, share

SPLITS = ("train", "validation", "test", "seen")  # the first three from the least to the most held out
KINDS = ("ladder", "nest", "loop")
POOL = 64  # inputs that a program is drawn against
TRIES = 24  # conditions that are tried at a place
LARGEST, GREATEST = 9999, 99  # bounds on every number on the way, and on constants
EXAMPLES, CASES = 2, 12  # public examples, hidden cases

Names = dict[str, Any]
Inputs = tuple[Any, ...]


class Failed(Exception):
    """This draw leads nowhere; the next one may."""


# ------------------------------------------------------------------------------------------------------------- splits


@cache
def split_of_pair(parent: str, child: str) -> str:
    """Where a hash puts a pair of nodes: 20 % test, 10 % validation, else train."""
    part = share(f"grown: {parent} {child}")
    return "test" if part < 0.2 else "validation" if part < 0.3 else "train"


@cache
def kept_from_train(op: str, constant: int) -> bool:
    """True for the tenth of the constants of an operation that train never shows: "seen" does."""
    return share(f"grown: {op} {constant}") < 0.1


def split_of(program: Program) -> str:
    """Where a program belongs: as held out as its most held-out pair; a train program with a constant kept from train is "seen"."""
    worst = max((split_of_pair(*pair) for pair in pairs(program)), key=SPLITS.index, default="train")
    kept = any(kept_from_train(*each) for each in constants(program))
    return "seen" if worst == "train" and kept else worst


@dataclass(frozen=True)
class Split:
    """What programs of a split may be made of."""

    name: str

    def may(self, parent: str, child: str) -> bool:
        """Whether `child` may stand in `parent`."""
        limit = "train" if self.name == "seen" else self.name
        return SPLITS.index(split_of_pair(parent, child)) <= SPLITS.index(limit)

    def may_use(self, op: str, constant: int) -> bool:
        """Whether `op` may have this constant on its right."""
        return abs(constant) <= GREATEST and (self.name == "seen" or not kept_from_train(op, constant))


# ------------------------------------------------------------------------------------------------------------- inputs


def an_integer(stream: Stream) -> int:
    """Mostly small, with some edges."""
    return stream.between(*stream.pick(((-9, 9), (-20, 20), (0, 30), (-1, 1), (-60, 60))))


def a_list(stream: Stream) -> list[int]:
    """Of 0 to 6 numbers."""
    low, high = stream.pick(((-9, 20), (-3, 6), (0, 12), (-20, 20)))
    return [stream.between(low, high) for _ in range(stream.pick((0, 1, 2, 3, 4, 4, 5, 6)))]


def pool(stream: Stream, parameters: Sequence[tuple[str, bool]], size: int = POOL) -> list[Inputs]:
    """`size` inputs, no two alike."""
    found: list[Inputs] = []
    for _ in range(8 * size):
        drawn = tuple(a_list(stream) if listed else an_integer(stream) for _, listed in parameters)
        if drawn not in found:
            found.append(drawn)
        if len(found) == size:
            break
    return found


# ------------------------------------------------------------------------------------------------------------- drawing


class Draw:
    """One draw: a program of `count` conditionals, of one of `kinds`, that suits a split, and the pool it was drawn against."""

    def __init__(self, stream: Stream, split: str, count: int) -> None:
        self.stream, self.split, self.used = stream, Split(split), set[int]()
        self.kind = stream.pick(KINDS if count > 1 else ("ladder", "loop"))
        listed = self.kind == "loop" or stream.below(3) == 0
        self.parameters = (("x", listed), *((("y", False),) if stream.below(2) else ()))
        self.pool = pool(stream, self.parameters)
        names = [dict(zip((name for name, _ in self.parameters), each, strict=True)) for each in self.pool]
        body = self.loop(count, names) if self.kind == "loop" else self.straight(count, names, listed)
        self.program = Program(self.parameters, body)

    # ---- shapes

    def straight(self, count: int, names: list[Names], listed: bool) -> Block:
        """A ladder or a nest; of a list, after a number has been taken of it."""
        first: list[Statement] = []
        if listed:
            first.append(self.let("n", names))
        ints = self.integers(names)
        return (*first, self.ladder(count, ints, names) if self.kind == "ladder" else self.nest(count, ints, names))

    def let(self, name: str, names: list[Names]) -> Let:
        made = Let(name, Call(self.chosen("let", OF_LISTS), Name("x")))
        read = reader(made.value)
        for each in names:
            each[name] = read(each)
        return made

    def ladder(self, count: int, ints: Sequence[str], names: list[Names]) -> If:
        """`count` conditions, one after the other, each with a value of its own, and one for what is left."""
        cases, left = [], names
        for rung in range(count, 0, -1):
            condition, yes, left = self.condition(ints, left, len(left) // (3 * rung) + 1, least_left=rung)
            cases.append((condition, (self.answer(ints, yes),)))
        return If(tuple(cases), (self.answer(ints, left),))

    def nest(self, count: int, ints: Sequence[str], names: list[Names]) -> Statement:
        """Conditions in the branches of conditions."""
        if not count:
            return self.answer(ints, names)
        inner = self.stream.between(0, count - 1)
        condition, yes, no = self.condition(ints, names, inner + 1, least_left=count - inner)
        return If(((condition, (self.nest(inner, ints, yes),)),), (self.nest(count - 1 - inner, ints, no),))

    def loop(self, count: int, names: list[Names]) -> Block:
        """A number gathered over a list, under up to three conditions, then a ladder on what has been gathered."""
        inner = min(count - 1, self.stream.between(0, 3))
        start = Let("n", Number(self.stream.pick((0, 0, 0, 1, 2, 5))))
        turns = [{**each, "v": v} for each in names for v in each["x"]][: 4 * POOL]
        body = self.turn(inner, [name for name in ("v", *self.integers(names)) if name != "x"], turns)
        around = For("v", "x", self.stream.below(4) == 0, body)
        before = Program(self.parameters, (start, around, Return(Name("n"))))
        run = Runner(before)
        for each, given in zip(names, self.pool, strict=True):
            each["n"] = run(given).value
        names = [each for each in names if abs(each["n"]) <= LARGEST]
        ints = ["n", *(name for name in self.integers(names) if name != "n")]
        rest = count - 1 - inner
        end = self.ladder(rest, ints, names) if rest else Return(self.gathered(ints))
        return start, around, end

    def turn(self, count: int, ints: Sequence[str], turns: list[Names]) -> Block:
        """What a loop does with each number `v`: perhaps it stops or skips first; then it gathers."""
        made: list[Statement] = []
        if count and self.stream.below(2):
            condition, _, turns = self.condition(ints, turns, 2, least_left=2)
            made.append(If(((condition, (Stop() if self.stream.below(2) else Skip(),)),)))
            count -= 1
        if not count:
            return (*made, self.change(ints))
        cases = []
        for rung in range(count, 0, -1):
            condition, _, turns = self.condition(ints, turns, 2, least_left=rung)
            cases.append((condition, (self.change(ints),)))
        return (*made, If(tuple(cases), (self.change(ints),) if self.stream.below(2) else ()))

    # ---- statements and expressions

    def change(self, ints: Sequence[str]) -> Change:
        op = self.stream.pick(("add", "add", "subtract", "multiply"))
        if op == "multiply":
            return Change(op, "n", Number(self.stream.between(2, 3)))
        return Change(op, "n", self.expression(op, ints, 2))

    def answer(self, ints: Sequence[str], names: Sequence[Names]) -> Return:
        """A return with a constant of its own."""
        ops = [op for op in ("plus", "minus", "times") if self.split.may("return", op)]
        free = [k for k in range(1, 30) if k not in self.used]
        if not ops or self.stream.below(4) == 0:
            constant = self.stream.pick(free)
            self.used.add(constant)
            return Return(Number(constant))
        op = self.stream.pick(ops)
        factors = range(2, 10) if op == "times" else free
        suited = [k for k in free if k in factors and self.split.may_use(op, k)]
        if not suited:
            raise Failed
        constant = self.stream.pick(suited)
        self.used.add(constant)
        return Return(Binary(op, self.expression(op, ints, 1), Number(constant)))

    def gathered(self, ints: Sequence[str]) -> Expression:
        return self.expression("return", ints, 1) if self.stream.below(2) else Name("n")

    def expression(self, parent: str, ints: Sequence[str], depth: int) -> Expression:
        """An integer made of the variables, with operations that may stand in `parent`."""
        ops = [op for op in (*ARITHMETIC, "absolute") if self.split.may(parent, op)]
        if not depth or not ops or self.stream.below(5) < 2:
            return Name(self.stream.pick(ints))
        op = self.stream.pick(ops)
        left = self.expression(op, ints, depth - 1)
        if op == "absolute":
            return Call(op, left)
        others = [name for name in ints if Name(name) != left]
        if op in ("plus", "minus", "times") and others and self.stream.below(3) == 0:
            return Binary(op, left, Name(self.stream.pick(others)))
        return Binary(op, left, Number(self.constant(op)))

    def constant(self, op: str) -> int:
        low, high = {"times": (2, 5), "modulo": (3, 9)}.get(op, (1, 9))
        return self.stream.pick([k for k in range(low, high + 1) if self.split.may_use(op, k)])

    # ---- conditions

    def condition(
        self, ints: Sequence[str], names: list[Names], least: int, *, least_left: int
    ) -> tuple[Condition, list[Names], list[Names]]:
        """A condition that holds for `least` of `names` and not for `least_left`: itself, those, and the others."""
        for _ in range(TRIES):
            made = self.tried(ints, names) if names else None
            if made is None:
                continue
            holds = list(map(reader(made), names))
            if least <= sum(holds) <= len(names) - least_left:
                yes = [each for each, held in zip(names, holds, strict=True) if held]
                return made, yes, [each for each, held in zip(names, holds, strict=True) if not held]
        raise Failed

    def tried(self, ints: Sequence[str], names: list[Names]) -> Condition | None:
        if self.stream.below(6):
            return self.comparison("if", ints, names)
        left, right = (self.comparison("and", ints, names) for _ in range(2))
        if left is None or right is None:
            return None
        seen = set(zip(map(reader(left), names), map(reader(right), names), strict=True))
        return And(left, right) if {(True, False), (False, True)} <= seen else None  # neither side says it all

    def comparison(self, parent: str, ints: Sequence[str], names: list[Names]) -> Condition | None:
        ops = [op for op in (*COMPARISONS, "even", "odd") if parent == "if" or self.split.may(parent, op)]
        if not ops:
            return None
        op = self.stream.pick(ops)
        left = self.expression(op, ints, 1)
        if op in ("even", "odd"):
            return Parity(op, left)
        others = [name for name in ints if Name(name) != left]
        if others and self.stream.below(5) == 0:
            return Compare(op, left, Name(self.stream.pick(others)))
        constant = reader(left)(self.stream.pick(names)) + self.stream.between(-1, 1)
        return Compare(op, left, Number(constant)) if self.split.may_use(op, constant) else None

    def chosen(self, parent: str, ops: Iterable[str]) -> str:
        allowed = [op for op in ops if self.split.may(parent, op)]
        if not allowed:
            raise Failed
        return self.stream.pick(allowed)

    def integers(self, names: Sequence[Mapping[str, Any]]) -> list[str]:
        """The variables that hold integers; the newest, which matter most, first."""
        return [name for name in ("n", "x", "y") if isinstance(names[0].get(name), int)]


# ----------------------------------------------------------------------------------------------------------- choosing


def choose(program: Program, inputs: Sequence[Inputs]) -> tuple[list[tuple[Inputs, Any]], list[tuple[Inputs, Any]]]:
    """Hidden cases and public examples, each (input, result).

    The cases take every branch, and every mutant of the program fails one of them; those that show the most come first.

    Raises:
        Failed: there are no such cases, or one result suits more than half of them.
    """
    run = Runner(program)
    traces = [(given, run(given)) for given in inputs]
    usable = [(given, trace) for given, trace in traces if trace.value is not None and trace.largest <= LARGEST]
    shows: list[set[Any]] = [set(trace.taken) for _, trace in usable]
    wanted: set[Any] = set(branches(program))
    for mutant in mutable(program):
        wanted.add(mutant)
        for (given, trace), shown in zip(usable, shows, strict=True):
            if mutant in trace.reached and run(given, mutant).value != trace.value:  # else it cannot differ
                shown.add(mutant)
    order = _covering(shows, wanted)
    rest = [i for i in range(len(usable)) if i not in order]
    order = [*order, *rest[: CASES - len(order)]]
    shown = rest[-EXAMPLES:]
    if len(order) != CASES or set(shown) & set(order) or len(shown) < EXAMPLES:
        raise Failed
    cases, examples = ([(usable[i][0], usable[i][1].value) for i in chosen] for chosen in (order, shown))
    results = [result for _, result in cases]
    if max(map(results.count, results)) > CASES // 2:
        raise Failed
    return cases, examples


def _covering(shows: Sequence[set[Any]], wanted: set[Any]) -> list[int]:
    """Numbers of sets that together hold all that is wanted: always the one that adds the most, of equals the first."""
    left, order = set(wanted), list[int]()
    while left:
        best = max(range(len(shows)), key=lambda i: len(shows[i] & left), default=-1)
        if best < 0 or not shows[best] & left or len(order) == CASES:
            raise Failed
        order.append(best)
        left -= shows[best]
    return order
