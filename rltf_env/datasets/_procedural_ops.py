"""The operations that procedural problems are composed of, and which compositions exist in which split.

`procedural.py` draws problems; this file is the language they are drawn from: each `Op` turns the variable `x` of one type
into `x` of another, has a phrase and a code template, and is listed in `OPS`. A *signature* is the ordered tuple of op
names, parameters left out; `signatures` lists those that are allowed and `split_of` says where one belongs.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from itertools import pairwise
from typing import Any

from rltf_env.errors import UnknownName, UsageError

INT, INTS, STR, STRS = "int", "list[int]", "str", "list[str]"
SPLITS = ("train", "validation", "test")
DEEPEST = 6

Signature = tuple[str, ...]
Value = int | str | list[int] | list[str]


@dataclass(frozen=True)
class Op:
    """One typed operation on the variable `x`.

    `code` is a template: statements, then one expression, the op's result. Names that are keys of `choices` are its
    parameters; a drawn constant takes their place there and in `phrase`. `most` bounds the size of an int given to it.
    """

    name: str
    takes: str
    gives: str
    phrase: str
    code: str
    choices: dict[str, Sequence[int | str]] = field(default_factory=dict)
    most: int = 9999

    @cached_property
    def template(self) -> tuple[list[ast.stmt], ast.expr]:
        """The parsed code: its statements and the expression that is its result."""
        *body, last = ast.parse(self.code).body
        assert isinstance(last, ast.Expr)
        return body, last.value


def _family(*ops: Op) -> tuple[Op, ...]:
    return ops


_DIGITS = range(1, 10)

LIST = _family(
    Op("keep_odd", INTS, INTS, "keep the odd numbers", "[v for v in x if v % 2 == 1]"),
    Op("keep_multiples", INTS, INTS, "keep the multiples of {k}", "[v for v in x if v % k == 0]", {"k": range(2, 6)}),
    Op("keep_above", INTS, INTS, "keep the numbers above {k}", "[v for v in x if v > k]", {"k": range(10)}),
    Op("add_each", INTS, INTS, "add {k} to each number", "[v + k for v in x]", {"k": _DIGITS}),
    Op("multiply_each", INTS, INTS, "multiply each number by {k}", "[v * k for v in x]", {"k": range(2, 10)}),
    Op("square_each", INTS, INTS, "square each number", "[v * v for v in x]"),
    Op("sort_up", INTS, INTS, "sort from low to high", "sorted(x)"),
    Op("sort_down", INTS, INTS, "sort from high to low", "sorted(x, reverse=True)"),
    Op("reverse_list", INTS, INTS, "reverse the list", "x[::-1]"),
    Op("take_first", INTS, INTS, "keep the first {k} numbers", "x[:k]", {"k": range(2, 5)}),
    Op("append_number", INTS, INTS, "append {k} to the list", "x + [k]", {"k": range(10)}),
    Op("sum", INTS, INT, "take the sum", "sum(x)"),
    Op("largest", INTS, INT, "take the largest number (0 if none)", "max(x, default=0)"),
    Op("count", INTS, INT, "count the numbers", "len(x)"),
    Op("sort_words", STRS, STRS, "sort the words", "sorted(x)"),
    Op("reverse_words", STRS, STRS, "reverse the order of the words", "x[::-1]"),
    Op("long_words", STRS, STRS, "keep the words longer than {k}", "[w for w in x if len(w) > k]", {"k": range(2, 6)}),
    Op("lengths", STRS, INTS, "take the length of each word", "[len(w) for w in x]"),
    Op("count_words", STRS, INT, "count the words", "len(x)"),
)

STRING = _family(
    Op("upper", STR, STR, "make it upper case", "x.upper()"),
    Op("reverse_text", STR, STR, "reverse the text", "x[::-1]"),
    Op("replace_letter", STR, STR, "replace {j} by {k}", "x.replace(j, k)", {"j": "aeio", "k": "xyz"}),
    Op("remove_vowels", STR, STR, "remove the vowels", "''.join([c for c in x if c not in 'aeiou'])"),
    Op("double_characters", STR, STR, "double each character", "''.join([c + c for c in x])"),
    Op("take_text", STR, STR, "keep the first {k} characters", "x[:k]", {"k": range(2, 7)}),
    Op("repeat", STR, STR, "repeat the text {k} times", "x * k", {"k": range(2, 5)}),
    Op("length", STR, INT, "count the characters", "len(x)"),
    Op("words", STR, STRS, "split it into words", "x.split()"),
    Op("positions", STR, INTS, "list the positions of {k}", "[i for i, c in enumerate(x) if c == k]", {"k": "aeot"}),
    Op("join_words", STRS, STR, "join the words with {k}", "k.join(x)", {"k": "-+_/"}),
)

NUMBER = _family(
    Op("add", INT, INT, "add {k}", "x + k", {"k": _DIGITS}),
    Op("multiply", INT, INT, "multiply by {k}", "x * k", {"k": range(2, 10)}),
    Op("square", INT, INT, "square it", "x * x"),
    Op("remainder", INT, INT, "take the remainder modulo {k}", "x % k", {"k": range(3, 10)}),
    Op("count_up", INT, INTS, "list the numbers from 1 to it", "list(range(1, x + 1))", most=20),
    Op("digits", INT, INTS, "list its digits", "[int(c) for c in str(abs(x))]"),
    Op("to_text", INT, STR, "write it as text", "str(x)"),
)

CONTROL = _family(
    Op("at_least", INT, INT, "raise it to at least {k}", "if x < k:\n    x = k\nx", {"k": range(2, 20)}),
    Op(
        "halve_or_add",
        INT,
        INT,
        "halve it if it is even, else add {k}",
        "if x % 2 == 0:\n    x = x // 2\nelse:\n    x = x + k\nx",
        {"k": _DIGITS},
    ),
    Op(
        "next_multiple",
        INT,
        INT,
        "round it up to a multiple of {k}",
        "while x % k != 0:\n    x = x + 1\nx",
        {"k": range(3, 10)},
    ),
    Op(
        "digit_sum",
        INT,
        INT,
        "sum its digits",
        "x = abs(x)\nn = 0\nwhile x > 0:\n    n = n + x % 10\n    x = x // 10\nn",
    ),
    Op(
        "alternate_sum",
        INTS,
        INT,
        "add the even numbers and subtract the odd",
        "n = 0\nfor v in x:\n    if v % 2 == 0:\n        n = n + v\n    else:\n        n = n - v\nn",
    ),
    Op(
        "running_sums",
        INTS,
        INTS,
        "take the running sums",
        "n = 0\nr = []\nfor v in x:\n    n = n + v\n    r.append(n)\nr",
    ),
    Op(
        "unique",
        INTS,
        INTS,
        "drop repeated numbers",
        "r = []\nfor v in x:\n    if v not in r:\n        r.append(v)\nr",
    ),
    Op(
        "until_negative",
        INTS,
        INTS,
        "stop before the first negative number",
        "r = []\nfor v in x:\n    if v < 0:\n        break\n    r.append(v)\nr",
    ),
    Op(
        "count_vowels",
        STR,
        INT,
        "count the vowels",
        "n = 0\nfor c in x:\n    if c in 'aeiou':\n        n = n + 1\nn",
    ),
    Op(
        "longest",
        STRS,
        STR,
        "take the first longest word",
        "r = ''\nfor w in x:\n    if len(w) > len(r):\n        r = w\nr",
    ),
)

OPS: dict[str, Op] = {op.name: op for op in (*LIST, *STRING, *NUMBER, *CONTROL)}

# Neighbours that never meet. After the op on the left, those on the right change nothing, give a constant, undo it, or
# melt with it into one op of this table.
APART: dict[str, str] = {}


@cache
def followers(name: str) -> tuple[str, ...]:
    """Names of the ops that may come right after op `name`: types fit, not itself, and not kept `APART`."""
    apart = {name, *APART.get(name, "").split()}
    return tuple(op.name for op in OPS.values() if op.takes == OPS[name].gives and op.name not in apart)


@cache
def signatures(depth: int) -> tuple[Signature, ...]:
    """All allowed signatures of `depth` ops, in the order of `OPS`."""
    check_depth(depth)
    if depth == 1:
        return tuple((name,) for name in OPS)
    return tuple((*head, name) for head in signatures(depth - 1) for name in followers(head[-1]))


def split_of(signature: Sequence[str]) -> str:
    """Where problems of this signature belong: "train", "validation" or "test".

    A single op belongs to train. A pair belongs where a hash of its names puts it: 20 % test, 10 % validation, 70 % train.
    A longer signature is test if any of its adjacent pairs is, else validation if any is, else train: what is held out as
    a pair is never seen inside a longer program of train.
    """
    for name in signature:
        if name not in OPS:
            raise UnknownName("op", name, OPS)
    return max((_split_of_pair(*pair) for pair in pairwise(signature)), key=SPLITS.index, default="train")


@cache
def _split_of_pair(first: str, second: str) -> str:
    share = int.from_bytes(hashlib.sha256(f"{first} {second}".encode()).digest()[:8]) / 2**64
    return "test" if share < 0.2 else "validation" if share < 0.3 else "train"


def check_depth(depth: int) -> None:
    if not 1 <= depth <= DEEPEST:
        raise UsageError(f"Expected a depth of 1 to {DEEPEST} ops, got {depth}.")


# ------------------------------------------------------------------------------------------------------------- steps


class Step:
    """An op with its parameters chosen: phrase, nodes, and a function that applies it."""

    def __init__(self, op: Op, chosen: tuple[int | str, ...]) -> None:
        self.op = op
        self.parameters = dict(zip(op.choices, chosen, strict=True))
        self.phrase = op.phrase.format(**{key: _spoken(value) for key, value in self.parameters.items()})
        body, result = op.template
        fill = _Fill(self.parameters)
        self.body = [fill.visit(_copy(node)) for node in body]
        self.result: ast.expr = fill.visit(_copy(result))
        self.apply: Callable[[Any], Any] = runnable(print_program([self]))


@cache
def step(name: str, chosen: tuple[int | str, ...]) -> Step:
    """The step of op `name` with the parameters `chosen`; there are few hundred, so they are kept."""
    return Step(OPS[name], chosen)


class _Fill(ast.NodeTransformer):
    """Puts constants in the place of parameters."""

    def __init__(self, parameters: dict[str, int | str]) -> None:
        self.parameters = parameters

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return ast.Constant(self.parameters[node.id]) if node.id in self.parameters else node


def _copy(node: Any) -> Any:
    return (
        ast.parse(ast.unparse(node)).body[0]
        if isinstance(node, ast.stmt)
        else ast.parse(ast.unparse(node), mode="eval").body
    )


def _spoken(value: int | str) -> str:
    return str(value) if isinstance(value, int) else repr(value)


def print_program(steps: Sequence[Step]) -> str:
    """The source of `def f(x)` that takes `steps` in order: the reference solution."""
    body = [statement for step in steps[:-1] for statement in _statements(step)]
    last = steps[-1]
    body += [*last.body, ast.Return(last.result)]
    arguments = ast.arguments(
        posonlyargs=[], args=[ast.arg("x")], kwonlyargs=[], kw_defaults=[], defaults=[], vararg=None, kwarg=None
    )
    function = ast.FunctionDef("f", arguments, body, [], lineno=1)
    return ast.unparse(ast.Module([function], [])) + "\n"


def _statements(step: Step) -> Iterator[ast.stmt]:
    yield from step.body
    if not (isinstance(step.result, ast.Name) and step.result.id == "x"):
        yield ast.Assign([ast.Name("x", ast.Store())], step.result, lineno=1)


def runnable(source: str) -> Callable[[Any], Any]:
    """The function `f` of a source that this generator printed itself."""
    names: dict[str, Any] = {}
    exec(compile(source, "<procedural>", "exec"), names)
    return names["f"]
