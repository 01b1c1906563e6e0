"""Canaries: copies of a test in which one expectation of each test function is false, so that no right program passes them.

A test that runs beside a program can be fooled there: by objects that equal everything, by assert methods that do nothing, by
results that the program wrote itself. A program that does so passes a falsified copy as well, and is found out. What is
falsified is the side of a comparison that does not come from the program, the class of an expected exception, or the
direction of an assertion. Everything is read from the syntax tree; nothing runs here.
"""

from __future__ import annotations

import ast
import copy
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from typing import NamedTuple, TypeGuard

from rltf_env.sandbox.referee.changes import (
    OPPOSITE,
    Change,
    negate,
    one_more,
    other_constant,
    other_exception,
    other_members,
    other_method,
    other_operator,
)
from rltf_env.sandbox.referee.helpers import Helpers, alternatives, functions_of
from rltf_env.sandbox.referee.origins import Origins, elements_of, is_of_program, note_values, path_of
from rltf_env.sandbox.referee.suite import Function, Suite, classes_of

Nodes = list[list[ast.AST]]  # of each tree, in the order of `ast.walk`


class Target(NamedTuple):
    """A node that can be falsified.

    Args:
        tree, node: where it is: the number of the tree, and the node's number in the order of `ast.walk`.
        sound: no right program passes the copy, which is plain from the text: no reference has to show it.
        value: it is a value that is compared; else the class of an exception, or an assertion's direction.
    """

    tree: int
    node: int
    change: Change
    sound: bool
    value: bool


class Falsehood(NamedTuple):
    """A target, and what the change of it is drawn by."""

    target: Target
    seed: int


class Where(Enum):
    """What a copy of a test falsifies."""

    ANY = 0  # values above all
    DIRECTIONS = 1  # of assertions, and the classes of exceptions
    VALUES = 3  # and something else only in tests that compare none
    HELPERS = 2  # what is asserted in functions that tests call


class Canaries:
    """What can be falsified in a test suite.

    Args:
        suite: the test.
        program_names: names that come from the program.
    """

    def __init__(self, suite: Suite, names: Iterable[str]) -> None:
        self.trees = suite.trees
        self.targets: dict[str, list[Target]] = {}  # by test function
        self._singles: set[str] = set()  # test functions that were alone in a copy
        self.helpers: list[list[Target]] = []  # of each function that tests call to have something asserted
        index = {id(n): (i, k) for i, tree in enumerate(suite.trees) for k, n in enumerate(ast.walk(tree))}
        module = Origins(
            suite.trees, {*names, *suite.bare, *suite.imported, *(m.partition(".")[0] for m in suite.modules)}
        )

        helpers = Helpers(functions_of(suite), module.program_names)

        def targets(scope: Sequence[ast.AST]) -> list[Target]:
            sites = _Finder(module, helpers, scope).targets()
            return [Target(*index[id(n)], change, sound, value) for n, change, sound, value in sites if id(n) in index]

        self.targets |= {name: targets(scope) for name, scope in _scopes(suite)}
        self.helpers += [sites for node in _helpers(suite) if (sites := targets([node]))]

    def choose(self, rng: random.Random, where: Where = Where.ANY, *, sound: bool = False) -> dict[str, Falsehood]:
        """What a copy of the test falsifies: one expectation in each test function, as far as it has one there."""
        falsehoods: dict[str, Falsehood] = {}
        groups = enumerate(self.helpers) if where is Where.HELPERS else self.targets.items()
        for name, targets in groups:
            good = [t for t in targets if (t.sound or not sound) and not (t.value and where is Where.DIRECTIONS)]
            values = [t for t in good if t.value] if where is Where.VALUES else []
            target = _choice(values or good, rng)
            if target is not None:
                falsehoods[f"helper {name}" if where is Where.HELPERS else str(name)] = Falsehood(
                    target, rng.getrandbits(64)
                )
        return falsehoods

    def split(self, rng: random.Random, where: Where = Where.ANY, *, sound: bool = False) -> list[dict[str, Falsehood]]:
        """What two copies of the test falsify: one a single test function, the other all others; both it if there is but one.

        A copy that falsified every function would be known by any whose answer the program knows, from the problem's
        example perhaps. The single one is known by nothing but its own answer, and it is another in each call.
        """
        one, other = (self.choose(rng, where, sound=sound) for _ in range(2))
        if len(one) < 2:
            return [one, other]
        single = rng.choice(sorted(one.keys() - self._singles) or sorted(one))
        self._singles.add(single)
        return [{single: one.pop(single)}, {name: other[name] for name in one}]

    def falsified(self, falsehoods: Iterable[Falsehood]) -> list[ast.Module]:
        """A copy of the test with these falsehoods."""
        trees = [copy.deepcopy(tree) for tree in self.trees]
        nodes: Nodes = [list(ast.walk(tree)) for tree in trees]
        places: set[tuple[int, int]] = set()
        for target, seed in falsehoods:
            if (target.tree, target.node) not in places:
                places.add((target.tree, target.node))
                target.change(nodes[target.tree][target.node], random.Random(seed))
        for tree in trees:
            ast.fix_missing_locations(tree)
        return trees

    def falsifiable(self, *, sound: bool = False) -> set[str]:
        """The test functions that have something to falsify."""
        return {name for name, targets in self.targets.items() if any(t.sound or not sound for t in targets)}


def _choice(targets: list[Target], rng: random.Random) -> Target | None:
    """One of them: mostly a value, for what lies about a value need not lie about a direction."""
    values = [target for target in targets if target.value]
    others = [target for target in targets if not target.value]
    if values and others:
        return rng.choice(values if rng.random() < 0.8 else others)
    return rng.choice(targets) if targets else None


def _scopes(suite: Suite) -> list[tuple[str, Sequence[ast.AST]]]:
    """The test functions by the names that their results have; of a script that is itself the test, all of it."""
    if suite.runner == "plain":
        return [("", [node for tree in suite.trees for node in tree.body])]
    scopes: list[tuple[str, Sequence[ast.AST]]] = []
    for tree in suite.trees:
        scopes += [(node.name, [node]) for node in tree.body if _is_test(node)]
        scopes += [
            (f"{name}.{part.name}", [part]) for name, node in classes_of(tree) for part in node.body if _is_test(part)
        ]
    return scopes


def _is_test(node: ast.AST) -> TypeGuard[Function]:
    return isinstance(node, Function) and node.name.startswith("test")


def _helpers(suite: Suite) -> list[ast.AST]:
    """Functions and methods of a test that are no tests themselves."""
    if suite.runner == "plain":
        return []
    places = [tree.body for tree in suite.trees]
    places += [node.body for tree in suite.trees for _, node in classes_of(tree)]
    return [node for body in places for node in body if isinstance(node, Function) and not node.name.startswith("test")]


# ------------------------------------------------------------------------------------------------------------ targets

Site = tuple[ast.AST, Change, bool, bool]  # a node, what to do to it, sound?, value?

# What is in these need not be run, or not be heard of.
_DOUBTFUL = (
    *(ast.If, ast.While, ast.Try, ast.TryStar, ast.Match, ast.IfExp, ast.Lambda, ast.ClassDef, ast.BoolOp),
    *(ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp),
)
_LEAVING = (ast.Return, ast.Break, ast.Continue, ast.Yield, ast.YieldFrom)
_TRANSPARENT = frozenset(
    "subTest open patch object dict multiple catch_warnings TemporaryDirectory NamedTemporaryFile "
    "redirect_stdout redirect_stderr".split()
)


def _doubtful(scope: ast.AST) -> Iterator[ast.AST]:
    """Nodes of a test function that need not be run, or in which an exception need not be heard of."""
    leaves = isinstance(scope, Function) and any(isinstance(node, _LEAVING) for node in ast.walk(scope))
    reversed_ = isinstance(scope, Function) and any(
        word in ast.unparse(decorator) for decorator in scope.decorator_list for word in ("expectedFailure", "xfail")
    )
    if leaves or reversed_:
        yield from ast.walk(scope)
    for node in ast.walk(scope):
        inner = isinstance(node, Function) and node is not scope
        idle = isinstance(node, (ast.For, ast.AsyncFor)) and not elements_of(node.iter)
        if isinstance(node, _DOUBTFUL) or inner or idle:
            yield from ast.walk(node)
        elif isinstance(node, (ast.With, ast.AsyncWith)) and not all(map(_is_transparent, node.items)):
            for part in node.body:
                yield from ast.walk(part)


def _is_transparent(item: ast.withitem) -> bool:
    """True for a context that lets exceptions through."""
    call = item.context_expr
    return isinstance(call, ast.Call) and ast.unparse(call.func).rpartition(".")[2] in _TRANSPARENT


def _single(scope: Sequence[ast.AST]) -> set[str]:
    """Names that a test function binds in one place and looks at in one: what they stand for is nothing but an expectation."""
    nodes = [node for part in scope for node in ast.walk(part)]
    bound = Counter(node.id for node in nodes if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load))
    bound.update(node.arg for node in nodes if isinstance(node, ast.arg))
    looks = Counter(node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load))
    return {name for name, times in bound.items() if times == 1 == looks[name]}


def _literal(value: ast.expr) -> Iterator[ast.expr]:
    """The parts of a value that it shows as they are: a change of one changes the value."""
    yield value
    if isinstance(value, (ast.List, ast.Tuple, ast.Set)):
        parts = value.elts
    elif isinstance(value, ast.Dict):
        parts = [*(key for key in value.keys if key), *value.values]
    elif isinstance(value, ast.UnaryOp) and isinstance(value.op, ast.USub):
        parts = [value.operand]
    elif isinstance(value, ast.Call) and ast.unparse(value.func) in ("pytest.approx", "approx") and not value.keywords:
        parts = value.args[:1]
    else:
        return
    for part in parts:
        yield from _literal(part)


class _Finder:
    """Finds what can be falsified in one test function."""

    def __init__(self, module: Origins, helpers: Helpers, scope: Sequence[ast.AST]) -> None:
        self.scope, self.helpers = scope, helpers.within(scope)
        self.program_names = {*module.program_names, *self.helpers.names}
        self.values: dict[str, list[ast.expr]] = defaultdict(list)
        note_values(scope, self.values, self.program_names, set())
        for name, values in module.values.items():
            self.values.setdefault(name, values)
        self.single = _single(scope)
        self.alternatives = alternatives(scope, self.program_names)
        self.doubtful = {id(n) for node in scope for n in _doubtful(node)}

    def _uses(self, node: ast.AST) -> bool:
        """True for a call of the program's, whose arguments are input and no expectation."""
        return isinstance(node, ast.Call) and is_of_program(node.func, self.program_names)

    def _arguments(self, call: ast.Call) -> list[ast.expr]:
        """The arguments of a call that may be expectations: what goes to the program is input, and any answer may be right."""
        expected = self.helpers.expected(call)
        return expected if expected is not None else [] if self._uses(call) else call.args

    def targets(self) -> list[Site]:
        nodes = [part for node in self.scope for part in ast.walk(node)]
        sites = [target for node in nodes for target in self._of(node)]
        if not sites:  # an assertion in a helper, perhaps: what the test hands to it
            calls = [n for n in nodes if isinstance(n, ast.Call)]
            sites = [t for call in calls for arg in self._arguments(call) for t in self._values(arg, False)]
        unique = {id(node): (node, change, sound, value) for node, change, sound, value in reversed(sites)}
        return list(unique.values())

    def _of(self, node: ast.AST) -> list[Site]:
        sound = id(node) not in self.doubtful
        if id(node) in self.alternatives:
            return []
        if isinstance(node, ast.Assert):
            return self._condition(node, "test", node.test, sound)
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func).rpartition(".")[2]
            if (name in _RAISES or name.startswith("assertRaises")) and node.args:
                return [(node, other_exception, sound, False)]
            if name.startswith("assert") or name in _COMPARING:
                return self._call(node, name, sound)
        return []

    def _condition(self, owner: ast.AST, field: str, test: ast.expr, sound: bool) -> list[Site]:
        compared = [n for n in ast.walk(test) if isinstance(n, ast.Compare)]
        sites = [t for n in compared for t in self._comparison(n, sound and n is test)]
        for call in [n for n in ast.walk(test) if isinstance(n, ast.Call) and id(n) not in self.alternatives]:
            expected = [arg for arg in self._arguments(call) if not self._from_program(arg)]
            sites += [t for arg in expected for t in self._values(arg, False)]
        return [*sites, (owner, negate(field), sound, False)]

    def _comparison(self, node: ast.Compare, sound: bool) -> list[Site]:
        sides = [node.left, *node.comparators]
        if id(node) in self.alternatives or any(isinstance(op, (ast.NotEq, ast.NotIn)) for op in node.ops):
            return []  # more than one answer may be right
        if any(isinstance(op, ast.In) for op in node.ops):
            return self._membership(sides, sound) if len(sides) == 2 else []
        expected = self._expected(sides)
        equal = all(isinstance(op, ast.Eq) for op in node.ops)
        if all(isinstance(op, (ast.Is, ast.IsNot)) for op in node.ops):
            return [(node, other_operator, sound, False)]
        if any(isinstance(op, (ast.Lt, ast.LtE, ast.Gt, ast.GtE)) for op in node.ops):
            return [(node, other_operator, sound and len(node.ops) == 1, False)]
        return [target for side in expected for target in self._values(side, sound and equal)]

    def _call(self, node: ast.Call, name: str, sound: bool) -> list[Site]:
        arguments = node.args[:2] if name in _TWO or name in OPPOSITE else self._arguments(node)
        if name in ("assertTrue", "assertFalse") and node.args:
            sites = [
                t for n in ast.walk(node.args[0]) if isinstance(n, ast.Compare) for t in self._comparison(n, False)
            ]
            return [*sites, (node, other_method, sound, False)]
        if name == "assertIn" and len(arguments) == 2:
            return [*self._membership(arguments, sound), (node, other_method, sound, False)]
        expected = self._expected(arguments)
        equal = name in ("assertEqual", "assertEquals", "assertListEqual", "assertDictEqual", "assertTupleEqual",
                         "assertSetEqual", "assertCountEqual", "assertMultiLineEqual", "assertSequenceEqual")  # fmt: skip
        sites = [t for a in expected for t in self._values(a, sound and equal)] if name not in _ORDER else []
        if name in OPPOSITE:
            sites.append((node, other_method, sound, False))
        return sites

    def _expected(self, sides: list[ast.expr]) -> list[ast.expr]:
        """Of values that are compared those that do not come from the program; if all do, the second, as in `x == Point(1, 2)`.

        What one function returns for two inputs may be the same whatever the inputs: then none of them is an expectation.
        """
        others = [side for side in sides if not self._from_program(side)]
        calls = {ast.unparse(side.func) for side in sides if isinstance(side, ast.Call)}
        return others or ([] if len(calls) == 1 and all(isinstance(side, ast.Call) for side in sides) else sides[1:])

    def _membership(self, sides: list[ast.expr], sound: bool) -> list[Site]:
        """Of `member in container`: each of the values that may be right; or the one that the program's container holds."""
        member, container = sides
        origins = self.values.get(path_of(container), [])
        literal = origins[0] if len(origins) == 1 else container
        elements = literal.elts if isinstance(literal, (ast.List, ast.Tuple, ast.Set)) else []
        if not elements or self._from_program(container):  # what is printed, for one
            return self._values(member, False) if not self._from_program(member) else []
        if not all(any(isinstance(part, ast.Constant) for part in ast.walk(element)) for element in elements):
            return []
        return [(literal, other_members, sound and literal is container, True)]

    def _from_program(self, value: ast.AST) -> bool:
        return is_of_program(value, self.program_names)

    def _values(self, value: ast.expr, sound: bool, depth: int = 0) -> list[Site]:
        """Constants and empty containers that this value is made of, also by way of names."""
        sites: list[Site] = []
        literal = {id(part) for part in _literal(value)} if sound else set()
        for part in ast.walk(value):
            sure = id(part) in literal
            if isinstance(part, ast.Constant) and part.value is not ...:
                sites.append((part, other_constant, sure, True))
            elif (isinstance(part, (ast.List, ast.Tuple)) and not part.elts) or (
                isinstance(part, ast.Dict) and not part.keys
            ):
                sites.append((part, one_more, sure, True))
            elif isinstance(part, (ast.Name, ast.Attribute)) and depth < 3:
                name = path_of(part)
                if name not in self.program_names:
                    alone = sure and name in self.single
                    for origin in self.values.get(name, ()):
                        sites += self._values(origin, alone and not self._from_program(origin), depth + 1)
        return sites


_RAISES = frozenset("raises assertRaises assertRaisesRegex assertRaisesRegexp assertWarns assertWarnsRegex".split())
_COMPARING = frozenset("allclose array_equal isclose".split())
_ORDER = frozenset("assertGreater assertLessEqual assertLess assertGreaterEqual assertIsNone assertIsNotNone "
                   "assertIsInstance assertNotIsInstance assertNotEqual assertNotIn assertIs assertIsNot assertRegex "
                   "assertNotRegex".split())  # fmt: skip
_TWO = frozenset("assertEqual assertEquals assertListEqual assertDictEqual assertTupleEqual assertSetEqual assertCountEqual "
                 "assertMultiLineEqual assertSequenceEqual assertAlmostEqual assertAlmostEquals".split())  # fmt: skip
