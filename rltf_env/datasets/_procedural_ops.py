"""The operations that procedural problems are composed of, and which compositions exist in which split.

`procedural.py` draws problems; this file is the language they are drawn from: each `Op` turns the variable `x` of one type
into `x` of another, has a phrase and a code template, and is listed in `OPS`. A *signature* is the ordered tuple of op
names, parameters left out; `signatures` lists those that are allowed and `split_of` says where one belongs.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise, product
from typing import Any

from rltf_env.datasets._stream import share
from rltf_env.errors import UnknownName, UsageError

INT, INTS, STR, STRS = "int", "list[int]", "str", "list[str]"
SPLITS = ("train", "validation", "test", "seen")  # the first three from the least to the most held out
DEEPEST = 6

Signature = tuple[str, ...]


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


_DIGITS = range(1, 10)

LIST = (
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
    Op(
        "long_words",
        STRS,
        STRS,
        "keep the words longer than {k} letters",
        "[w for w in x if len(w) > k]",
        {"k": range(2, 6)},
    ),
    Op("lengths", STRS, INTS, "take the length of each word", "[len(w) for w in x]"),
    Op("count_words", STRS, INT, "count the words", "len(x)"),
)

STRING = (
    Op("upper", STR, STR, "make it upper case", "x.upper()"),
    Op("reverse_text", STR, STR, "reverse the string", "x[::-1]"),
    Op("replace_letter", STR, STR, "replace each {j} by {k}", "x.replace(j, k)", {"j": "aeio", "k": "xyz"}),
    Op("remove_vowels", STR, STR, "remove the letters aeiou", "''.join([c for c in x if c not in 'aeiou'])"),
    Op("double_characters", STR, STR, "double each character", "''.join([c + c for c in x])"),
    Op("take_text", STR, STR, "keep the first {k} characters", "x[:k]", {"k": range(2, 7)}),
    Op("repeat", STR, STR, "repeat the string {k} times", "x * k", {"k": range(2, 5)}),
    Op("length", STR, INT, "count the characters", "len(x)"),
    Op("words", STR, STRS, "split it into words", "x.split()"),
    Op(
        "positions",
        STR,
        INTS,
        "list the positions of {k} from 0",
        "[i for i, c in enumerate(x) if c == k]",
        {"k": "aeot"},
    ),
    Op("join_words", STRS, STR, "join the words with {k}", "k.join(x)", {"k": "-+_/"}),
)

NUMBER = (
    Op("add", INT, INT, "add {k}", "x + k", {"k": _DIGITS}),
    Op("multiply", INT, INT, "multiply by {k}", "x * k", {"k": range(2, 10)}),
    Op("square", INT, INT, "square it", "x * x"),
    Op("remainder", INT, INT, "take the remainder modulo {k}", "x % k", {"k": range(3, 10)}),
    Op("count_up", INT, INTS, "list the numbers from 1 to it", "list(range(1, x + 1))", most=20),
    Op("digits", INT, INTS, "list its digits", "[int(c) for c in str(abs(x))]"),
    Op("to_text", INT, STR, "write it as a string", "str(x)"),
)

CONTROL = (
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
        "count the letters aeiou",
        "n = 0\nfor c in x:\n    if c in 'aeiou':\n        n = n + 1\nn",
    ),
    Op(
        "longest",
        STRS,
        STR,
        "take the first longest word ('' if none)",
        "r = ''\nfor w in x:\n    if len(w) > len(r):\n        r = w\nr",
    ),
)

OPS: dict[str, Op] = {op.name: op for op in (*LIST, *STRING, *NUMBER, *CONTROL)}

# Neighbours that never meet: (what one of these gives, never goes right into one of those). Found by trying all pairs whose
# types fit; a test repeats it. Left out as well: an op right after itself, for two of a kind mostly melt into one.
APART: tuple[tuple[str, str], ...] = (
    # The second forgets what the first did.
    ("sort_up sort_down reverse_list", "sort_up sort_down sum largest count alternate_sum"),
    ("sort_words reverse_words", "sort_words count_words"),
    ("add_each multiply_each square_each running_sums lengths", "count"),
    ("upper replace_letter reverse_text", "length"),
    ("reverse_text", "count_vowels"),
    ("unique", "largest"),
    # The second finds nothing left to do, or always gives the same.
    ("keep_above square_each lengths digits positions count_up", "until_negative"),
    ("positions count_up", "sort_up unique"),
    ("upper to_text", "upper replace_letter remove_vowels count_vowels positions"),
    ("replace_letter", "positions"),
    ("remove_vowels", "replace_letter count_vowels"),
    ("count count_words count_vowels remainder", "digit_sum"),
    ("remainder", "at_least"),
    # The two are one op of this table.
    ("sort_up sort_down", "reverse_list"),
    # Mostly too large.
    ("multiply square", "count_up"),
)


@cache
def followers(name: str) -> tuple[str, ...]:
    """Names of the ops that may come right after op `name`: the types fit, it is another op, and no row sets them `APART`."""
    apart = {name, *(b for before, after in APART if name in before.split() for b in after.split())}
    return tuple(op.name for op in OPS.values() if op.takes == OPS[name].gives and op.name not in apart)


@cache
def signatures(depth: int) -> tuple[Signature, ...]:
    """All allowed signatures of `depth` ops, in the order of `OPS`.

    Every one of depth 1 and 2 has problems. Of the longer ones a few have none that is worth asking (sort, add 1 to each,
    sum: the sort is idle) and are never drawn.
    """
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
    part = share(f"{first} {second}")
    return "test" if part < 0.2 else "validation" if part < 0.3 else "train"


def split_of_steps(steps: Sequence[Step]) -> str:
    """Where a problem of these steps belongs: that of its signature, but "seen" is cut out of "train".

    Of the pairs of neighbours with constants, a hash of their phrases keeps 10 % from train. A problem of train's signatures
    with such a pair is "seen": compositions as in train, and no problem that train shows, alone or inside a longer one.
    """
    split = split_of([one.op.name for one in steps])
    withheld = split == "train" and any(_kept_from_train(*pair) for pair in pairwise(steps))
    return "seen" if withheld else split


def _kept_from_train(first: Step, second: Step) -> bool:
    constants = bool(first.constants or second.constants)  # else it is not a composition seen with other ones
    return constants and share(f"{first.phrase}, then {second.phrase}") < 0.1


def check_depth(depth: int) -> None:
    """Raises `UsageError` unless problems of this depth exist."""
    if depth not in range(1, DEEPEST + 1):
        raise UsageError(f"Expected a depth of 1 to {DEEPEST} ops, got {depth}.")


# ------------------------------------------------------------------------------------------------------------- steps


class Step:
    """An op with its constants chosen: its phrase, its nodes, and a function that applies it."""

    def __init__(self, op: Op, constants: tuple[int | str, ...]) -> None:
        self.op = op
        self.constants = dict(zip(op.choices, constants, strict=True))
        self.phrase = op.phrase.format(**{name: repr(value) for name, value in self.constants.items()})
        *body, last = _Fill(self.constants).visit(ast.parse(op.code)).body
        self.body: list[ast.stmt] = body
        self.result: ast.expr = last.value
        self.apply: Callable[[Any], Any] = runnable(print_program([self]))

    def assigned(self) -> list[ast.stmt]:
        """The statements that leave the result in `x`."""
        if isinstance(self.result, ast.Name) and self.result.id == "x":
            return self.body
        return [*self.body, ast.Assign([ast.Name("x", ast.Store())], self.result, lineno=1)]

    def returned(self) -> list[ast.stmt]:
        """The statements that return the result."""
        return [*self.body, ast.Return(self.result)]


class _Fill(ast.NodeTransformer):
    """Puts constants in the place of the names that stand for them."""

    def __init__(self, constants: dict[str, int | str]) -> None:
        self.constants = constants

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return ast.Constant(self.constants[node.id]) if node.id in self.constants else node


@cache
def step(name: str, constants: tuple[int | str, ...]) -> Step:
    """The step of op `name` with the constants `constants`. There are a few hundred in all, so they are kept."""
    return Step(OPS[name], constants)


@cache
def steps_of(name: str) -> tuple[Step, ...]:
    """The steps of op `name`, one for each choice of its constants."""
    return tuple(step(name, constants) for constants in product(*OPS[name].choices.values()))


def belongs(steps: Sequence[Step], split: str) -> bool:
    """True if a problem of these steps belongs to `split`, and no reference of train is its own.

    Other words may stand for the same code: "count the words" and "count the numbers" are both
    `len(x)`. Whoever has learnt train's reference by heart would pass, so evaluation leaves it out.
    """
    return split_of_steps(steps) == split and (split == "train" or not _written_in_train(steps))


def _written_in_train(steps: Sequence[Step]) -> bool:
    """True if steps of train have this reference, letter for letter."""
    return any(
        all(after.op.name in followers(before.op.name) for before, after in pairwise(others))
        and split_of_steps(others) == "train"
        for others in product(*(_same_code()[print_program([one])] for one in steps))
    )


@cache
def _same_code() -> dict[str, list[Step]]:
    """The steps of all ops by the program that each is alone."""
    groups: dict[str, list[Step]] = {}
    for one in (one for name in OPS for one in steps_of(name)):
        groups.setdefault(print_program([one]), []).append(one)
    return groups


@cache
def compositions(split: str, depth: int) -> tuple[tuple[Step, ...], ...]:
    """Every sequence of `depth` steps that `split` has, with all constants. Meant for depths 1 and 2.

    A few have no inputs that make a problem: see `procedural._degenerate`.
    """
    side = "train" if split == "seen" else split
    products = (product(*map(steps_of, names)) for names in signatures(depth) if split_of(names) == side)
    return tuple(steps for many in products for steps in many if belongs(steps, split))


def print_program(steps: Sequence[Step]) -> str:
    """The source of a function `f(x)` that takes `steps` in order: the reference solution."""
    module = ast.parse("def f(x): pass")
    function = module.body[0]
    assert isinstance(function, ast.FunctionDef)
    function.body = [statement for step in steps[:-1] for statement in step.assigned()] + steps[-1].returned()
    return ast.unparse(module) + "\n"


def runnable(source: str) -> Callable[[Any], Any]:
    """The function `f` of a source that `print_program` made: the generator's own code, so it runs here."""
    names: dict[str, Any] = {}
    exec(compile(source, "<procedural>", "exec"), names)
    return names["f"]
