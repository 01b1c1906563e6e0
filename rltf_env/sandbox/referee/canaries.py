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
from collections import Counter
from collections.abc import Iterable, Sequence
from enum import Enum
from functools import cache
from typing import NamedTuple, TypeGuard

from rltf_env.sandbox.referee import choices, examples, looks, marks, outside, reach, wording
from rltf_env.sandbox.referee.certainty import surely_called
from rltf_env.sandbox.referee.changes import Change, arrange, data_of, other_answer, other_left, other_relation
from rltf_env.sandbox.referee.helpers import Helpers, functions_of
from rltf_env.sandbox.referee.origins import Origins
from rltf_env.sandbox.referee.peers import Peers
from rltf_env.sandbox.referee.raising import ExpectNothing
from rltf_env.sandbox.referee.rows import is_fixture
from rltf_env.sandbox.referee.runners import DEFINITIONS, methods_of
from rltf_env.sandbox.referee.suite import Function, Suite, classes_of
from rltf_env.sandbox.referee.targets import Finder
from rltf_env.sandbox.referee.tolerance import LEAST, Farther

KEYS = 20  # draws of what a key of a dictionary becomes
DRAWS = 4  # of what the last that is left to falsify in a test function becomes
Nodes = list[list[ast.AST]]  # of each tree, in the order of `ast.walk`


class Target(NamedTuple):
    """A node that can be falsified.

    Args:
        tree, node: where it is: the number of the tree, and the node's number in the order of `ast.walk`.
        sound: no right program passes the copy, which is plain from the text: no reference has to show it.
        value: it is a value that is compared; else the class of an exception, or an assertion's direction.
        own: both values that are compared are the program's, and so is what `==` makes of them.
        direct: it is compared with an answer as that is, so that who is equal to everything passes the copy.
        places: what asserts something about it, if an answer may keep the test from coming there: trees and nodes, by number.
        lists: that hold it, in the same way.
    """

    tree: int
    node: int
    change: Change
    sound: bool
    value: bool
    own: bool = False
    direct: bool = False
    places: tuple[tuple[int, int], ...] = ()
    lists: tuple[tuple[int, int], ...] = ()


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
        self._uses: Counter[Target] = Counter()  # how often each was chosen
        self.helpers: list[list[Target]] = []  # of each function that tests call to have something asserted
        self.comparisons: list[Target] = []  # of whatever is compared anywhere: nobody knows whether answers are
        self._nodes: Nodes = [list(ast.walk(tree)) for tree in suite.trees]
        index = {id(node): (i, k) for i, nodes in enumerate(self._nodes) for k, node in enumerate(nodes)}
        origins, shared_names = Origins(suite.trees, suite.program_names.union(names)), looks.Shared(suite.trees)

        @cache
        def around(owner: str) -> tuple[Origins, tuple[set[str], set[str], set[int]]]:
            module = origins.of(owner)
            common = {name for name in module.values if not suite.modules and "." not in name}  # with the program
            exposed = outside.exposed(module)
            closed = [each for each in module.classes if each not in exposed]
            single = {name for name in shared_names.single(closed) if suite.modules or "." in name}
            return module, (single, common, outside.looked_at(module))

        helpers = Helpers(functions_of(suite), origins.program_names)

        def targets(scope: Sequence[ast.AST], owner: str = "") -> list[Target]:
            module, names = around(owner)
            finder = Finder(module, helpers, scope, names)
            sites = [site for site in finder.targets() if id(site[0]) in index]
            own, direct = finder.own_equality, finder.direct
            compared = [index[id(n)] for n in choices.equalities(finder.nodes, finder.alternatives) if id(n) in index]
            self.comparisons += [
                Target(*at, other, False, True) for at in compared for other in (other_left, other_relation)
            ]

            def places(n: ast.AST) -> tuple[tuple[int, int], ...]:
                places = finder.places[id(n)]
                may_miss = all({id(n), id(place)} & finder.branches for place in places)
                return tuple(index[id(place)] for place in places if may_miss and id(place) in index)

            def lists(n: ast.AST) -> tuple[tuple[int, int], ...]:
                return tuple(index[id(each)] for each in finder.lists[id(n)] if id(each) in index)

            return [
                Target(*index[id(n)], change, sound, value, id(n) in own, id(n) in direct, places(n), lists(n))
                for n, change, sound, value in sites
            ]

        with marks.lent(suite):
            scopes = scopes_of(suite)
            self.targets |= {name: targets(scope, name.rpartition(".")[0]) for name, scope in scopes}
        within = {id(part): name for name, scope in scopes for node in scope for part in ast.walk(node)}
        for node in examples.texts(suite.trees):  # of one test, or of any that looks for examples
            some = [within[id(node)]] if id(node) in within else list(self.targets)
            for name in some:
                self.targets[name].append(Target(*index[id(node)], examples.other_example, False, True))
        found = [(node, sites) for node in _helpers(suite) if (sites := targets([node]))]
        self.helpers += [sites for _, sites in found]
        self._lent = {id(node): [t for t in sites if t.sound and t.value] for node, sites in found}
        self._tests = {name: scope[0] for name, scope in scopes if suite.collected and isinstance(scope[0], Function)}
        self._module = lambda owner: around(owner)[0]
        self._own = [node for node in functions_of(suite) if not is_fixture(node)]
        answers = [self._answer(t) for sites in (*self.targets.values(), *self.helpers) for t in sites]
        self._peers = Peers([node for node in answers if node is not None], suite.trees)

    def keep_sound(self, names: Iterable[str]) -> None:
        """In these test functions only that is falsified from now on of which the text says that no right program passes it."""
        for name in names:
            self.targets[name] = [target for target in self.targets[name] if target.sound]

    def lend(self) -> None:
        """Has test functions in which no value is false for sure share what is so in functions that they call in any case."""
        for name, test in self._tests.items():
            if not any(target.value and target.sound for target in self.targets[name]):
                literals = self._module(name.rpartition(".")[0]).literals_within([test])
                called = surely_called(test, self._own, literals)
                self.targets[name] += [target for each in called for target in self._lent.get(id(each), ())]

    def forget(self, targets: Iterable[Target]) -> None:
        """None of these is falsified from now on."""
        gone = set(targets)
        for sites in (*self.targets.values(), *self.helpers, self.comparisons):
            sites[:] = [target for target in sites if target not in gone]

    def choose(
        self,
        rng: random.Random,
        where: Where = Where.ANY,
        *,
        sound: bool = False,
        among: Iterable[str] | None = None,
        most: float = 1,
    ) -> dict[str, Falsehood]:
        """What a copy of the test falsifies: one expectation in each test function, as far as it has one there.

        Args:
            rng: draws it.
            where: what is falsified.
            sound: only what no right program passes by the text alone.
            among: the functions that are asked about, if not all.
            most: the share of helpers that is drawn. What is false in one may keep a test from coming to another.
        """
        falsehoods: dict[str, Falsehood] = {}
        own = {k: v for k, v in self.targets.items() if among is None or k in among}
        helpers = [pair for pair in enumerate(self.helpers) if most >= 1 or rng.random() < most]
        groups = helpers if where is Where.HELPERS else own.items()
        for name, targets in groups:
            good = self._good(targets, where, sound)
            values = [t for t in good if t.value] if where is Where.VALUES else []
            target = self._choice(values or good, rng)
            if target is not None:
                self._uses[target] += 1
                falsehoods[f"helper {name}" if where is Where.HELPERS else str(name)] = Falsehood(
                    target, rng.getrandbits(64)
                )
        return falsehoods

    def split(self, rng: random.Random, where: Where = Where.ANY, *, sound: bool = False) -> list[dict[str, Falsehood]]:
        """What two copies of the test falsify: one a single test function, the other all others; both it if there is but one.

        A copy that falsified every function would be known by any whose answer the program knows, from the problem's
        example perhaps. The single one is known by nothing but its own answer, and it is another in each call.
        """
        names = self.falsifiable(where, sound=sound)
        if len(names) < 2:
            return [self.choose(rng, where, sound=sound) for _ in range(2)]
        single = rng.choice(sorted(names - self._singles) or sorted(names))
        self._singles.add(single)
        return [self.choose(rng, where, sound=sound, among=some) for some in ({single}, names - {single})]

    def _good(self, targets: list[Target], where: Where, sound: bool) -> list[Target]:
        return [t for t in targets if (t.sound or not sound) and not (t.value and where is Where.DIRECTIONS)]

    def _choice(self, targets: list[Target], rng: random.Random) -> Target | None:
        """One of them: mostly a value, for what lies about a value need not lie about a direction. But an error, where a test
        expects one beside values: who knows these need not know when to raise it.

        Of those the one that was chosen least: what lies about one value need not lie about the next.
        """
        values = [target for target in targets if target.value]
        others = [target for target in targets if not target.value]
        errors = [target for target in others if isinstance(target.change, ExpectNothing)]
        if values and errors:
            values, others = [], errors
        chosen = values if values and (not others or rng.random() < 0.8) else others
        least = min((self._uses[target] for target in chosen), default=0)
        return rng.choice([target for target in chosen if self._uses[target] == least]) if chosen else None

    def again(
        self, rng: random.Random, where: Where, part: dict[str, Falsehood], dull: set[str], useless: set[str]
    ) -> dict[str, Falsehood]:
        """The same part of a pair, with something else false in the functions `dull`: there a right program noticed nothing.

        `useless`: those of them in which what was false is so for no draw. A function that has nothing else is given up after
        some draws.
        """
        for name in dull & useless:
            target = part[name].target
            others = [each for each in self.targets[name] if each != target]
            self.targets[name] = others or self.targets[name][: self._uses[target] < DRAWS]
        return {k: v for k, v in part.items() if k not in dull} | self.choose(rng, where, among=dull)

    def node(self, target: Target) -> ast.AST:
        """What a target is in the test."""
        return self._nodes[target.tree][target.node]

    def _answer(self, target: Target) -> ast.Constant | None:
        """The constant that a target is, if an answer is to be equal to it, or near."""
        node = self.node(target)
        compared = target.change is other_answer or isinstance(target.change, Farther)
        return node if compared and isinstance(node, ast.Constant) else None

    def _change(self, node: ast.AST, falsehood: Falsehood, nodes: Iterable[ast.AST]) -> None:
        """Falsifies a node among those of a copy. A key of a dictionary becomes no other one of it: it would be gone."""
        rng, before = random.Random(falsehood.seed), copy.copy(node)
        self._draw(node, falsehood, rng)
        taken = _keys_beside(node, nodes)
        for _ in range(KEYS):
            if not (isinstance(before, ast.Constant) and isinstance(node, ast.Constant) and node.value in taken):
                return
            node.value = before.value
            self._draw(node, falsehood, rng)

    def _draw(self, node: ast.AST, falsehood: Falsehood, rng: random.Random) -> None:
        """Makes a node another expectation of the test, or something else."""
        answer = self._answer(falsehood.target)
        change = falsehood.target.change
        limits = change.limits if isinstance(change, Farther) else LEAST
        peer = None if answer is None else self._peers.draw(answer, limits, rng)
        if peer is None:
            falsehood.target.change(node, rng)
        else:
            node.value = peer.value  # type: ignore[attr-defined]

    def falsified(self, falsehoods: Iterable[Falsehood]) -> list[ast.Module]:
        """A copy of the test with these falsehoods."""
        trees = [copy.deepcopy(tree) for tree in self.trees]
        self._falsify(trees, [list(ast.walk(tree)) for tree in trees], falsehoods)
        return trees

    def demanding(self, target: Target, falsehoods: Iterable[Falsehood], rng: random.Random) -> list[ast.Module]:
        """The same, but the test also fails where it never comes to what is asserted about a target (`reach.py`)."""
        trees = [copy.deepcopy(tree) for tree in self.trees]
        nodes: Nodes = [list(ast.walk(tree)) for tree in trees]
        self._falsify(trees, nodes, falsehoods)
        number = target.places[0][0]
        places = [nodes[tree][node] for tree, node in target.places if tree == number]
        reach.demand(trees[number], nodes[target.tree][target.node], places, rng)
        ast.fix_missing_locations(trees[number])
        return trees

    def _falsify(self, trees: list[ast.Module], nodes: Nodes, falsehoods: Iterable[Falsehood]) -> None:
        told = [wording.scopes(tree) for tree in trees]
        places: set[tuple[int, int]] = set()
        falsehoods = list(falsehoods)
        lists = {place: nodes[place[0]][place[1]] for each in falsehoods for place in each.target.lists}
        held = [(node, data) for node in lists.values() if (data := data_of(node)) is not None]
        for falsehood in falsehoods:
            target = falsehood.target
            if (target.tree, target.node) not in places:
                places.add((target.tree, target.node))
                node = nodes[target.tree][target.node]
                before = wording.values(node)
                self._change(node, falsehood, nodes[target.tree])
                wording.reword(told[target.tree].get(id(node), []), before, wording.values(node))
        for node, data in held:
            arrange(node, data)
        for tree in trees:
            ast.fix_missing_locations(tree)

    def falsifiable(self, where: Where = Where.ANY, *, sound: bool = False) -> set[str]:
        """The test functions that have something to falsify there."""
        return {name for name, targets in self.targets.items() if self._good(targets, where, sound)}


def _keys_beside(node: ast.AST, nodes: Iterable[ast.AST]) -> list[object]:
    """The other keys of a dictionary that a node is a key of."""
    keys = [each.keys for each in nodes if isinstance(each, ast.Dict) and any(key is node for key in each.keys)]
    return [key.value for beside in keys for key in beside if key is not node and isinstance(key, ast.Constant)]


def scopes_of(suite: Suite) -> list[tuple[str, Sequence[ast.AST]]]:
    """The test functions by the names that their results have; of a script that is itself the test, all of it."""
    if suite.runner == "plain":
        statements = [node for tree in suite.trees for node in tree.body]
        return [("", [part for node in statements for part in _called(node)])]
    scopes: list[tuple[str, Sequence[ast.AST]]] = []
    for tree in suite.trees:
        scopes += [(node.name, [node]) for node in tree.body if _is_test(node)]
        scopes += [
            (f"{name}.{part.name}", [part]) for name, node in classes_of(tree) for part in node.body if _is_test(part)
        ]
    return scopes


def _called(statement: ast.stmt) -> Sequence[ast.AST]:
    """What there is to be run in a statement of a script: of a class whose tests the script calls, its functions."""
    return statement.body if isinstance(statement, ast.ClassDef) and methods_of(statement) else [statement]


def _is_test(node: ast.AST) -> TypeGuard[Function]:
    return isinstance(node, Function) and node.name.startswith("test")


def _helpers(suite: Suite) -> list[ast.AST]:
    """Functions and methods of a test that are no tests themselves; and statements that make functions: some may be tests."""
    if suite.runner == "plain":
        return []
    own = [statement for tree in suite.trees for statement in tree.body]
    places = [own, *(node.body for tree in suite.trees for _, node in classes_of(tree))]
    functions = [n for body in places for n in body if isinstance(n, Function) and not n.name.startswith("test")]
    others = [statement for statement in own if not isinstance(statement, DEFINITIONS)]
    return [*functions, *(s for s in others if any(isinstance(n, (*DEFINITIONS, ast.Lambda)) for n in ast.walk(s)))]
