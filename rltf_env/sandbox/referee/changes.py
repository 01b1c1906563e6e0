"""What is changed in a test to make an expectation in it false: `canaries.py` says where.

A change is made to a node of the syntax tree, at random, so that nothing tells the copy from a test as people write them.
"""

from __future__ import annotations

import ast
import copy
import math
import random
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from rltf_env.sandbox.referee.asserting import name_of
from rltf_env.sandbox.referee.computed import changed, own_nodes

Change = Callable[[Any, random.Random], None]  # makes a node say something else
_OPPOSITES = (
    "assertTrue assertFalse, assertEqual assertNotEqual, assertIs assertIsNot, assertIn assertNotIn, "
    "assertIsNone assertIsNotNone, assertIsInstance assertNotIsInstance, assertAlmostEqual assertNotAlmostEqual, "
    "assertGreater assertLessEqual, assertLess assertGreaterEqual, assertRegex assertNotRegex, "
    "assert_called assert_not_called, assert_awaited assert_not_awaited"
)
_PAIRS: list[Any] = [pair.split() for pair in _OPPOSITES.split(", ")]
OPPOSITE: dict[str, str] = dict(_PAIRS) | {b: a for a, b in _PAIRS}
OPPOSITE |= {"assert_called_once": "assert_not_called", "assert_awaited_once": "assert_not_awaited"}


def other_constant(node: ast.Constant, rng: random.Random) -> None:
    """A constant becomes another one."""
    node.value = other(node.value, rng)


def other_answer(node: ast.Constant, rng: random.Random) -> None:
    """The same of one that an answer is to be equal to, or as near as makes no difference (see `peers.py`).

    In a text two letters change places half of the time. Who knows of which an answer is made would know another one.
    """
    exchanged = _exchanged(node.value, rng) if isinstance(node.value, str) and rng.random() < 0.5 else None
    if exchanged is None:
        other_constant(node, rng)
    else:
        node.value = exchanged


def other(value: Any, rng: random.Random) -> Any:
    """Another value of the same type, as like it as can be; of None, zero."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        near = [value + distance for distance in (-7, -6, -5, -4, -3, -2, -1, 1, 2, 3, 4, 5, 6, 7)]
        return rng.choice([each for each in near if each >= min(value, 0)])
    if isinstance(value, float):
        return _other_float(value, rng)
    if isinstance(value, complex):
        return value + rng.choice((1, 2, 3))
    if isinstance(value, str):
        return _other_text(value, rng)
    if isinstance(value, bytes):
        return bytes([*value[:-1], (value[-1] + rng.choice((1, 2, 3))) % 256]) if value else b"x"
    return 0


def _other_float(value: float, rng: random.Random) -> float:
    """Another number, farther than any tolerance that is small, and as long. Of a share, another share."""
    if 0.0 < value < 1.0:
        return round((value + rng.uniform(0.3, 0.7)) % 1.0, max(places_of(value), 1))
    size = max(abs(value), 1.0)
    shift = value + rng.choice((-0.5, 1.0, 2.0, 3.0) if value > 0.0 else (1.0, 2.0, 3.0)) * size
    return round(shift, places_of(value)) if math.isfinite(shift) else 1.0


def places_of(number: float) -> int:
    """How many digits a number is written with behind the point; below zero for those before it that are none.

    What is computed (1.1 * 3) has more of them than people write, and would give a copy away.
    """
    exponent = Decimal(repr(number)).as_tuple().exponent
    return -exponent if isinstance(exponent, int) else 0


def _other_text(text: str, rng: random.Random) -> str:
    if not text:
        return rng.choice("abcdefgxyz0123")
    letters = [i for i, c in enumerate(text) if c.isalnum()] or list(range(len(text)))
    at = rng.choice(letters)
    pool = (
        "0123456789"
        if text[at].isdigit()
        else "ABCDEFGHKLMNPRSTUVWXYZ"
        if text[at].isupper()
        else "abcdefghkmnprstuvwxyz"
    )
    return text[:at] + rng.choice([c for c in pool if c.lower() != text[at].lower()]) + text[at + 1 :]


def _exchanged(text: str, rng: random.Random) -> str | None:
    """A text in which two letters have changed places that differ in more than case; None if there are none."""
    places = [i for i, c in enumerate(text) if c.isalnum()]
    one = rng.choice(places) if places else 0
    others = [i for i in places if text[i].lower() != text[one].lower()]
    if not others:
        return None
    letters = list(text)
    other = rng.choice(others)
    letters[one], letters[other] = letters[other], letters[one]
    return "".join(letters)


def unlikely(node: Any, rng: random.Random) -> None:
    """A constant becomes one that no answer has in it by chance; an empty container gets such constants.

    A wrong answer may have more in it than the right one, and be no fooling for that.
    """
    if not isinstance(node, ast.Constant):
        one_more(node, rng)
    for part in [part for part in ast.walk(node) if isinstance(part, ast.Constant)]:
        more = "".join(rng.choice(_LETTERS) for _ in range(_SHORT))
        if isinstance(part.value, str):
            part.value += more[: max(_SHORT - len(part.value), 2)]
        elif isinstance(part.value, bytes):
            part.value += more.encode()
        else:
            _become(part, _stranger(part, rng))


_SHORT, _LETTERS = 6, "abcdefghkmnprstuvwxyz"


def other_pattern(node: ast.Constant, rng: random.Random) -> None:
    """A pattern that what it matched does not match, nor what another right program says: it wants more."""
    if not isinstance(node.value, str):
        other_constant(node, rng)
        return
    more = "".join(rng.choice(_LETTERS) for _ in range(3))
    node.value = (f"(?:{node.value})" if "|" in node.value else node.value) + more


def other_members(node: Any, rng: random.Random) -> None:
    """Each of several values that may be right becomes another, and none of them one of those."""
    known = {ast.dump(element) for element in node.elts}
    for element in node.elts:
        leaf = rng.choice([part for part in ast.walk(element) if isinstance(part, ast.Constant)])
        before = leaf.value
        for _ in range(20):
            leaf.value = other(before, rng)
            if ast.dump(element) not in known:
                break


def one_more(node: Any, rng: random.Random) -> None:
    """An empty container with something in it; two things in a list, for an array of one is as near to an empty one."""
    elements = [ast.Constant(value) for value in sorted(rng.sample((0, 1, 2, 3), 2))]  # see `arrange`
    if isinstance(node, ast.Dict):
        node.keys.append(elements[0])
        node.values.append(elements[1])
    else:
        node.elts += elements


def data_of(node: ast.AST) -> list[Any] | None:
    """What a list holds if that is plain data that goes up or down."""
    try:
        data = [*ast.literal_eval(node)]  # type: ignore[arg-type]
        return data if data in (sorted(data), sorted(data, reverse=True)) else None
    except (TypeError, ValueError):
        return None


def arrange(node: Any, before: list[Any]) -> None:
    """Puts a falsified list in the order that it had: no answer that is sorted first, and then compared, is equal to another."""
    try:
        elements = sorted(node.elts, key=ast.literal_eval, reverse=before != sorted(before))
        if [ast.literal_eval(each) for each in elements] != before:
            node.elts = elements
    except (TypeError, ValueError):
        pass


def negate(field: str) -> Change:
    """The condition in this field of a node becomes its opposite."""

    def change(node: ast.AST, rng: random.Random) -> None:
        test = getattr(node, field)
        positive = isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)
        negated = ast.copy_location(ast.UnaryOp(ast.Not(), test), test)
        setattr(node, field, test.operand if positive else negated)  # type: ignore[attr-defined]

    return change


_OPERATORS: dict[Any, Any] = {ast.Is: ast.IsNot, ast.Lt: ast.GtE, ast.Gt: ast.LtE}
_OPERATORS |= {b: a for a, b in _OPERATORS.items()}


def other_operator(node: ast.Compare, rng: random.Random) -> None:
    """A comparison becomes its opposite."""
    number = rng.choice([i for i, op in enumerate(node.ops) if type(op) in _OPERATORS])
    node.ops[number] = _OPERATORS[type(node.ops[number])]()


def other_relation(node: ast.Compare, rng: random.Random) -> None:
    """One of two values of the program's is to equal what nothing equals. An object that equals everything is found out."""
    node.comparators[0] = ast.copy_location(_strange(rng), node.comparators[0])


def other_left(node: ast.Compare, rng: random.Random) -> None:
    """The same of the other value."""
    node.left = ast.copy_location(_strange(rng), node.left)


def other_equality(node: ast.Compare, rng: random.Random) -> None:
    """`==` becomes `!=`, and the reverse: an object that says yes to both is found out.

    Not where equality is denied: of a class that has its own `==`, and `!=` from its base, two objects may be neither.
    """
    node.ops[0] = ast.NotEq() if isinstance(node.ops[0], ast.Eq) else ast.Eq()


def other_subject(node: Any, rng: random.Random) -> None:
    """What a test asks of an answer, it asks of a thing of which that is not so: a program that has replaced what is asked is
    found out."""
    thing = ast.Call(ast.Name("object", ast.Load()), [], [])
    both = ast.Tuple([copy.copy(node), thing], ast.Load())  # the program runs as before
    _become(node, ast.Subscript(both, ast.Constant(1), ast.Load()))


def other_choices(places: Sequence[tuple[int, int]]) -> Change:
    """All of several answers of which each may be right become what no answer is by chance.

    `places`: comparisons, by their numbers in the order of `ast.walk`, and which side of each.
    """

    def change(node: ast.AST, rng: random.Random) -> None:
        parts: list[Any] = list(ast.walk(node))
        for number, side in places:
            compared = parts[number]
            sides = [compared.left, *compared.comparators]
            if side and isinstance(compared.ops[0], (ast.In, ast.NotIn)):
                other_container(sides[side], rng)
            else:
                sides[side] = ast.copy_location(_stranger(sides[side], rng), sides[side])
            compared.left, compared.comparators = sides[0], sides[1:]

    return change


def other_patterns(node: ast.Match, rng: random.Random) -> None:
    """The same of values that patterns match."""
    for part in [part for case in node.cases for part in ast.walk(case.pattern) if isinstance(part, ast.MatchValue)]:
        part.value = ast.copy_location(_stranger(part.value, rng), part.value)


def _stranger(side: ast.expr, rng: random.Random) -> ast.expr:
    """A value that no answer is by chance, of the same type as a constant."""
    make = _STRANGE.get(type(side.value)) if isinstance(side, ast.Constant) else _text
    return ast.Constant(make(rng)) if make else _strange(rng)


def unequal_to_all(node: ast.Call, rng: random.Random) -> None:
    """The second of two values of the program's that an assert method compares becomes what equals nothing."""
    node.args[1] = ast.copy_location(_strange(rng), node.args[1])


def equal_to_none(node: Any, rng: random.Random) -> None:
    """What a name stands for that is compared with an answer: a program that gives back what it reads there is found out."""
    _become(node, _strange(rng))


def other_container(node: Any, rng: random.Random) -> None:
    """What an answer has to be in becomes a container of what nothing equals."""
    _become(node, ast.List([_strange(rng), _strange(rng)], ast.Load()))


def _strange(rng: random.Random) -> ast.expr:
    """A value that no answer is by chance."""
    if rng.random() < 0.25:
        return ast.Call(ast.Name("object", ast.Load()), [], [])
    return ast.Constant(rng.choice([*_STRANGE.values()])(rng))


def _text(rng: random.Random) -> str:
    return "".join(rng.choice(_LETTERS) for _ in range(9))


_STRANGE: dict[type, Callable[[random.Random], Any]] = {
    str: _text,
    int: lambda rng: rng.randrange(1 << 29, 1 << 30),
    float: lambda rng: rng.randrange(1 << 29) + 0.5,
}


def other_value(kind: str) -> Change:
    """An expression becomes one that is never equal to it (`computed.py`)."""

    def change(node: Any, rng: random.Random) -> None:
        _become(node, changed(copy.copy(node), kind, rng))

    return change


def other_returns(kind: str) -> Change:
    """What a function returns becomes what is never equal to it, wherever it returns."""

    def change(node: Any, rng: random.Random) -> None:
        seed = rng.getrandbits(32)
        if isinstance(node, ast.Lambda):
            node.body = ast.copy_location(changed(node.body, kind, rng), node.body)
            return
        for part in [part for part in own_nodes(node) if isinstance(part, ast.Return) and part.value is not None]:
            assert part.value is not None
            part.value = ast.copy_location(changed(part.value, kind, random.Random(seed)), part.value)

    return change


def other_binding(value: ast.expr, kind: str) -> Change:
    """A name that a loop, a function or an assignment to several binds gets another value as soon as it is bound.

    `value`: the name, or an item of it: then another copy of what it stands for gets another item.
    """

    def change(node: Any, rng: random.Random) -> None:
        text = ast.unparse(value)
        other = ast.unparse(changed(copy.deepcopy(value), kind, rng))
        name = ast.unparse(value.value) if isinstance(value, ast.Subscript) else ""
        lines = [f"{name} = type({name})({name})"] * bool(name) + [f"{text} = {other}"]
        if node.__class__ is ast.Assign:  # `x, want = pair` as `for x, want in [pair]: want = other`
            pair = ast.copy_location(ast.List([node.value], ast.Load()), node.value)
            new = {"target": node.targets[0], "iter": pair, "body": [], "orelse": []}
            node.__class__, node.__dict__ = ast.For, {**new, **_place(node)}
        has_words = node.__class__ is ast.FunctionDef and ast.get_docstring(node, clean=False) is not None
        statements = [ast.copy_location(ast.parse(line).body[0], node) for line in lines]
        for part in [part for statement in statements for part in ast.walk(statement) if hasattr(part, "lineno")]:
            ast.copy_location(part, node)
        node.body[int(has_words) : int(has_words)] = statements

    return change


def _become(node: Any, new: ast.AST) -> None:
    """Makes a node of the tree another one, where it is."""
    node.__class__, node.__dict__ = new.__class__, {**vars(new), **_place(node)}


def _place(node: ast.AST) -> dict[str, Any]:
    return {
        name: value
        for name, value in vars(node).items()
        if name in ("lineno", "col_offset", "end_lineno", "end_col_offset")
    }


def other_method(node: ast.Call, rng: random.Random) -> None:
    """An assert method becomes its opposite."""
    name = name_of(node.func)
    if isinstance(node.func, ast.Attribute):
        node.func.attr = OPPOSITE[name]
    else:
        node.func = ast.copy_location(ast.Name(OPPOSITE[name], ast.Load()), node.func)


_PATTERNS = frozenset("search match fullmatch findall finditer split sub subn".split())


def change_in(call: ast.AST, argument: ast.AST, change: Change = other_constant) -> Change:
    """How constants of an argument are changed: a pattern so that it matches nothing that it did."""
    if isinstance(call, ast.Call) and call.args and argument is call.args[0]:
        owner, _, name = ast.unparse(call.func).rpartition(".")
        if owner in ("re", "regex") and name in _PATTERNS:
            return other_pattern
    return change
