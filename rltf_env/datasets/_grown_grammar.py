"""The grammar of grown programs: trees, and what they are in Python and in words.

A tree is made of frozen nodes. `code` prints it as Python, `words` reads it out, so that the words have one meaning
(a test parses them back). What it gives, which of its branches are taken and what a mutant of it would give is
`_grown_running.py`'s.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

# ------------------------------------------------------------------------------------------------------------- nodes


@dataclass(frozen=True, eq=True)
class Number:
    """A constant."""

    value: int


@dataclass(frozen=True)
class Name:
    """A variable."""

    name: str


@dataclass(frozen=True)
class Binary:
    """`op`: a key of `ARITHMETIC`."""

    op: str
    left: Expression
    right: Expression


@dataclass(frozen=True)
class Call:
    """`op`: a key of `FUNCTIONS`, of one argument."""

    op: str
    argument: Expression


@dataclass(frozen=True)
class Compare:
    """`op`: a key of `COMPARISONS`."""

    op: str
    left: Expression
    right: Expression


@dataclass(frozen=True)
class Parity:
    """`op`: "even" or "odd"."""

    op: str
    left: Expression


@dataclass(frozen=True)
class And:
    """Both of two conditions."""

    left: Condition
    right: Condition


@dataclass(frozen=True)
class Return:
    """Ends the program with a value."""

    value: Expression


@dataclass(frozen=True)
class Let:
    """Gives a variable a value."""

    name: str
    value: Expression


@dataclass(frozen=True)
class Change:
    """`op`: a key of `CHANGES`; changes a variable by a value."""

    op: str
    name: str
    value: Expression


@dataclass(frozen=True)
class Stop:
    """Ends the loop."""


@dataclass(frozen=True)
class Skip:
    """Goes on with the loop's next number."""


@dataclass(frozen=True)
class If:
    """The first of the `cases` (condition, block) whose condition holds, or `otherwise`, which may be empty."""

    cases: tuple[tuple[Condition, Block], ...]
    otherwise: Block = ()


@dataclass(frozen=True)
class For:
    """Once for each number of a list, in its order or, `ordered`, from low to high."""

    name: str
    over: str
    ordered: bool
    body: Block


Expression = Number | Name | Binary | Call
Condition = Compare | Parity | And
Statement = Return | Let | Change | Stop | Skip | If | For
Block = tuple[Statement, ...]
Node = Expression | Condition | Statement

ARITHMETIC = {"plus": "+", "minus": "-", "times": "*", "modulo": "%"}
FUNCTIONS = {  # in words, in Python
    "absolute": ("the absolute value of", "abs({})"),
    "length": ("the length of", "len({})"),
    "sum": ("the sum of", "sum({})"),
    "largest": ("the largest (or 0) of", "max({}, default=0)"),
    "smallest": ("the smallest (or 0) of", "min({}, default=0)"),
}
OF_LISTS = ("length", "sum", "largest", "smallest")
COMPARISONS = {
    "below": ("is below", "<"),
    "above": ("is above", ">"),
    "at most": ("is at most", "<="),
    "at least": ("is at least", ">="),
    "equal": ("equals", "=="),
    "different": ("differs from", "!="),
}
PARITIES = {"even": 0, "odd": 1}
CHANGES = {
    "add": ("add {} to {}", "+"),
    "subtract": ("subtract {} from {}", "-"),
    "multiply": ("multiply {1} by {0}", "*"),
}
STATEMENTS = ("if", "for", "let", *CHANGES, "stop", "skip", "sorted", "and")
NODES = (*STATEMENTS, *ARITHMETIC, *FUNCTIONS, *COMPARISONS, *PARITIES)  # what `nodes` of a dataset may name


@dataclass(frozen=True)
class Program:
    """`def f`: its parameters, each a list or not, and its body."""

    parameters: tuple[tuple[str, bool], ...]
    body: Block


# ------------------------------------------------------------------------------------------------------------- Python


def code(program: Program) -> str:
    """The source of `f`, as `ast.unparse` writes it."""
    names = ", ".join(name for name, _ in program.parameters)
    return ast.unparse(ast.parse(f"def f({names}):\n" + _block(program.body, 1))) + "\n"


def _block(block: Block, depth: int) -> str:
    return "".join(_statement(each, depth) for each in block)


def _statement(each: Statement, depth: int) -> str:
    pad = "    " * depth
    match each:
        case Return(value):
            return f"{pad}return {_python(value)}\n"
        case Let(name, value):
            return f"{pad}{name} = {_python(value)}\n"
        case Change(op, name, value):
            return f"{pad}{name} {CHANGES[op][1]}= {_python(value)}\n"
        case Stop():
            return f"{pad}break\n"
        case Skip():
            return f"{pad}continue\n"
        case For(name, over, ordered, body):
            listed = f"sorted({over})" if ordered else over
            return f"{pad}for {name} in {listed}:\n{_block(body, depth + 1)}"
        case If(cases, otherwise):
            words = ("if", *["elif"] * (len(cases) - 1))
            tested = (
                f"{pad}{word} {_python(condition)}:\n{_block(body, depth + 1)}"
                for word, (condition, body) in zip(words, cases, strict=True)
            )
            return "".join(tested) + (f"{pad}else:\n{_block(otherwise, depth + 1)}" if otherwise else "")


def _python(node: Expression | Condition) -> str:
    match node:
        case Number(value):
            return str(value)
        case Name(name):
            return name
        case Binary(op, left, right):
            return f"({_python(left)} {ARITHMETIC[op]} {_python(right)})"
        case Call(op, argument):
            return FUNCTIONS[op][1].format(_python(argument))
        case Compare(op, left, right):
            return f"{_python(left)} {COMPARISONS[op][1]} {_python(right)}"
        case Parity(op, left):
            return f"{_python(left)} % 2 == {PARITIES[op]}"
        case And(left, right):
            return f"{_python(left)} and {_python(right)}"


# -------------------------------------------------------------------------------------------------------------- words


def words(program: Program) -> str:
    """The program read out: "Given an integer x, if x is below 3, return x plus 4; otherwise, return 2." """
    given = " and ".join(
        f"{'a list of integers' if listed else 'an integer'} {name}" for name, listed in program.parameters
    )
    return f"Given {given}, {'; '.join(map(_said, program.body))}."


def _body(block: Block) -> str:
    """A simple statement as it is; anything else in brackets, so that an `otherwise` belongs to one `if` alone."""
    if len(block) == 1 and not isinstance(block[0], If | For):
        return _said(block[0])
    return f"({'; '.join(map(_said, block))})"


def _said(each: Statement) -> str:
    match each:
        case Return(value):
            return f"return {_term(value)}"
        case Let(name, value):
            return f"let {name} be {_term(value)}"
        case Change(op, name, value):
            return CHANGES[op][0].format(_term(value), name)
        case Stop():
            return "stop the loop"
        case Skip():
            return "go on with the next"
        case For(name, over, ordered, body):
            return f"for each {name} of {over}{' from low to high' if ordered else ''}, {_body(body)}"
        case If(cases, otherwise):
            tested = "; else ".join(f"if {_term(condition)}, {_body(body)}" for condition, body in cases)
            return tested + (f"; otherwise, {_body(otherwise)}" if otherwise else "")


def _term(node: Expression | Condition) -> str:
    match node:
        case Number(value):
            return str(value)
        case Name(name):
            return name
        case Binary(op, left, right):
            return f"{_operand(left)} {op} {_operand(right)}"
        case Call(op, argument):
            return f"{FUNCTIONS[op][0]} {_operand(argument)}"
        case Compare(op, left, right):
            return f"{_term(left)} {COMPARISONS[op][0]} {_term(right)}"
        case Parity(op, left):
            return f"{_term(left)} is {op}"
        case And(left, right):
            return f"{_term(left)} and {_term(right)}"


def _operand(node: Expression) -> str:
    return f"({_term(node)})" if isinstance(node, Binary | Call) else _term(node)


# ------------------------------------------------------------------------------------------------------------ reading


def walk(node: Any) -> Iterator[Node]:
    """A node, or the nodes of a block, with all below, in order."""
    if isinstance(node, tuple):
        for each in node:
            yield from walk(each)
    elif hasattr(node, "__dataclass_fields__"):
        yield node
        for each in fields(node):
            yield from walk(getattr(node, each.name))


def label(node: Node) -> str:
    """What a node is called in `NODES`; "" where it has no name there: a constant, a variable, a return."""
    match node:
        case Binary(op) | Call(op) | Compare(op) | Parity(op) | Change(op):
            return op
        case If() | For() | Let() | Stop() | Skip() | And():
            return type(node).__name__.lower()
    return ""


def tags(program: Program) -> tuple[str, ...]:
    """The labels of the nodes that occur, and "sorted" for a loop from low to high, in the order of `NODES`."""
    nodes = list(walk(program.body))
    found = {label(node) for node in nodes} | {"sorted" for node in nodes if isinstance(node, For) and node.ordered}
    return tuple(name for name in NODES if name in found)


def pairs(program: Program) -> tuple[tuple[str, str], ...]:
    """The pairs (parent, child) of the tree that say where a program belongs, each once, sorted.

    A child is an operation, that is, what has a value and is no constant or variable, or a comparison that `and` joins. What
    may stand in what besides, statements in statements, is the same in every split.
    """
    return tuple(sorted(set(_pairs(program.body, ""))))


def _pairs(node: Any, parent: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, tuple):
        for each in node:
            yield from _pairs(each, parent)
        return
    if not hasattr(node, "__dataclass_fields__"):
        return
    own = "return" if isinstance(node, Return) else label(node)
    if isinstance(node, Binary | Call) or (parent == "and" and isinstance(node, Compare | Parity)):
        yield parent, own
    for each in fields(node):
        yield from _pairs(getattr(node, each.name), own or parent)


def constants(program: Program) -> tuple[tuple[str, int], ...]:
    """(operation or comparison, constant on its right), each once, sorted."""
    found = {
        (n.op, n.right.value)
        for n in walk(program.body)
        if isinstance(n, Binary | Compare) and isinstance(n.right, Number)
    }
    return tuple(sorted(found))


def conditionals(program: Program) -> int:
    """E: conditions of `if` and `else if`, and loops."""
    nodes = list(walk(program.body))
    return sum(len(n.cases) for n in nodes if isinstance(n, If)) + sum(isinstance(n, For) for n in nodes)


def branches(program: Program) -> frozenset[tuple[int, int]]:
    """All that `Trace.taken` may hold: the place of an `if` among the nodes, and which of its branches (-1: none)."""
    places = ((i, n) for i, n in enumerate(walk(program.body)) if isinstance(n, If))
    return frozenset((i, which) for i, n in places for which in range(-1, len(n.cases)))


def mutable(program: Program) -> list[int]:
    """Places of the nodes that a mutant may change: see `run`."""
    conditions = {id(c) for n in walk(program.body) if isinstance(n, If) for c, _ in n.cases}
    leaves = (Return, Let, Change, Stop, Skip)
    return [i for i, n in enumerate(walk(program.body)) if isinstance(n, leaves) or id(n) in conditions]
