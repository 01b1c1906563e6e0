"""Copies of a test in which other words stand where those stood that a reference answers.

What a test expects may be read from a text, handed on by a decorator of its own, or kept by what makes its tests. Then no reading
of the tree says where it stands. But a reference answers it. Such a copy counts where the reference fails, and the same one with
the other words in its answers passes, and is asked the same: so nothing changed but what is expected (`told.py`).
"""

from __future__ import annotations

import ast
import copy
import random
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

from rltf_env.sandbox.referee import looks, told
from rltf_env.sandbox.referee.asserting import name_of
from rltf_env.sandbox.referee.caged import Run
from rltf_env.sandbox.referee.canaries import Canaries, scopes_of
from rltf_env.sandbox.referee.changes import other
from rltf_env.sandbox.referee.copies import Copy, compiled
from rltf_env.sandbox.referee.evidence import Evidence
from rltf_env.sandbox.referee.exact import is_exact
from rltf_env.sandbox.referee.helpers import Helpers, functions_of
from rltf_env.sandbox.referee.origins import Origins
from rltf_env.sandbox.referee.outcomes import Outcome, Status
from rltf_env.sandbox.referee.settings import set_by
from rltf_env.sandbox.referee.suite import Function
from rltf_env.sandbox.referee.tally import base

KEPT = 3  # copies, one for each round
TRIES, SECONDS = 10, 3.0  # of one word, and that these may take the reference
_WORD = re.compile(told.WORD)
_TRUTHS = {"True": "False", "False": "True", "true": "false", "false": "true"}
_BINDING = (ast.For, ast.AsyncFor, ast.Assign, ast.FunctionDef, ast.AsyncFunctionDef)
_COMPUTED = (ast.Name, ast.Attribute, ast.Subscript, ast.Call, ast.BinOp, ast.ListComp, ast.DictComp, ast.SetComp)


class Place(NamedTuple):
    """Where a word stands in a test: in which tree and node, by their numbers in the order of `ast.walk`, and in its text."""

    tree: int
    node: int
    start: int
    word: str


class Renaming:
    """Finds such copies for tests that take what they expect from where no reading finds it.

    Args:
        evidence: what is known of the test.
        canaries: what can be falsified in it by reading.
        reference: passes it.
    """

    def __init__(self, evidence: Evidence, canaries: Canaries, reference: str) -> None:
        self._evidence, self._canaries, self._reference = evidence, canaries, reference
        self._trees = evidence.suite.trees
        self._secret = random.SystemRandom()
        self._tests = set[str]()  # that such copies may guard
        self._asked: list[Any] | None = None  # what they ask the reference
        nodes = [node for tree in self._trees for node in ast.walk(tree)]
        caught = {
            name_of(n.optional_vars) for n in nodes if isinstance(n, ast.withitem) and n.optional_vars is not None
        }
        self._bound = looks.bindings(nodes).keys() - caught

    def copies(self, run: Run) -> list[Copy]:
        """Some of them; none where all that is expected was read."""
        self._tests = self._unread()
        if not self._tests:
            return []
        answers, empty = (self._run(run, does)[0] for does in (told.TELLS, told.EMPTIES))
        self._tests -= empty.passed()  # they look at what is in an answer, if anything is
        places = self._places(told.words_of(answers)) if self._tests else {}
        self._asked = told.asked_of(answers)
        if self._asked is None:
            return []
        inputs = told.words_asked(self._asked)
        alone = {word: each for word, each in places.items() if word.lower() not in {*map(str.lower, inputs)}}
        every = self._copy(run, alone, alone.values()) if alone else None
        if alone and every is None:  # what was said otherwise has nothing to do with what is expected
            return []
        tries = min(TRIES, max(int(SECONDS / (2 * answers.report[0]["seconds"] + 0.01)), 2))
        most = KEPT - 1 if every is not None and every.tests >= self._tests else KEPT
        found = [*([every] if every is not None else []), *islice(self._single(run, places, tries), most)]
        return sorted([each for each in found if each.tests], key=lambda each: -len(each.tests))[:KEPT]

    def _single(self, run: Run, places: dict[str, list[Place]], tries: int) -> Iterator[Copy]:
        """Copies with one word that is another, everywhere, or in one place: it may be an input in others."""
        choices = [*places.values(), *([place] for each in places.values() if len(each) > 1 for place in each)]
        for choice in self._secret.sample(choices, min(tries, len(choices))):
            found = self._copy(run, [choice[0].word], [choice])
            if found is not None and found.tests:
                yield found

    def _unread(self) -> set[str]:
        """The tests, by their names, of which the text does not show all that is expected, and that want one answer."""
        evidence, suite = self._evidence, self._evidence.suite
        read: set[str] = set()
        for scope, targets in self._canaries.targets.items():
            computed = [self._canaries.node(target) for target in targets if target.value and not target.own]
            read |= evidence.heirs(scope) if targets and not any(map(self._is_elsewhere, computed)) else set()
        names = {name for name in evidence.names or () if base(name) not in read} & evidence.shown
        if not names:
            return names
        program_names = self._program_names()
        scopes = scopes_of(suite)
        inside = {id(node) for _, scope in scopes for node in scope}
        others = [node for tree in suite.trees for node in _outside(tree, inside)]

        def is_lax(scope: Sequence[ast.AST]) -> bool:
            nodes = [node for each in scope for node in ast.walk(each)]
            return bool(set_by(nodes, suite.trees)) or not is_exact(scope, program_names)

        if any(is_lax([node]) for node in others):
            return set()
        lax = {heir for name, scope in scopes if is_lax(scope) for heir in evidence.heirs(name)}
        return {name for name in names if base(name) not in lax}

    def _is_elsewhere(self, node: ast.AST) -> bool:
        """True for what a loop, a call or `x, y = pair` binds, and for what names stand for: no expectation is there to see."""
        if isinstance(node, _BINDING):
            return True
        called = {id(n.func) for n in ast.walk(node) if isinstance(n, ast.Call)}
        names = {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and id(n) not in called}
        return isinstance(node, _COMPUTED) and not names.isdisjoint(self._bound)

    def _program_names(self) -> set[str]:
        """Names that come from the program, and functions of the test's own that answer what it does; not what makes others."""
        suite = self._evidence.suite
        origins = Origins(suite.trees, suite.program_names | ({self._evidence.entry_point} - {""}))
        functions = [function for function in functions_of(suite) if not _makes_functions(function)]
        return origins.program_names | Helpers(functions, origins.program_names).names

    def _places(self, words: Iterable[str]) -> dict[str, list[Place]]:
        """Where these words stand, if they do where nothing was read."""
        wanted, found = {*words}, defaultdict[str, list[Place]](list)
        wanted |= {word.lower() for word in wanted & _TRUTHS.keys()}
        read = {(t.tree, t.node) for targets in self._canaries.targets.values() for t in targets}
        for number, tree in enumerate(self._trees):
            fixed = _fixed(tree)
            for place, node in enumerate(ast.walk(tree)):
                if isinstance(node, ast.Constant) and id(node) not in fixed:
                    for match in _WORD.finditer(_text(node.value)):
                        if match[0] in wanted:
                            found[match[0]].append(Place(number, place, match.start(), match[0]))
        return {word: each for word, each in found.items() if any((p.tree, p.node) not in read for p in each)}

    def _copy(self, run: Run, words: Iterable[str], places: Iterable[Sequence[Place]]) -> Copy | None:
        """A copy with other words in these places, and the tests in which only what is expected has changed; None if none has."""
        changed = self._other(words)
        try:
            codes = compiled(_renamed(self._trees, [place for each in places for place in each], changed))
        except (SyntaxError, ValueError):
            return None
        (outcome,) = self._evidence.run(run, self._reference, [codes])
        tests = {name for name in outcome.failed(self._tests) if self._compared(outcome, name)}
        if not tests:
            return None
        (other,) = self._run(run, told.RENAMES, changed, codes)
        return Copy(codes, tests & other.passed(), {}) if told.asked_of(other) == self._asked else None

    def _compared(self, outcome: Outcome, name: str) -> bool:
        """True if a test failed by what it compared."""
        row = outcome.rows.get(name, {})
        raised = row.get("raised") if isinstance(row.get("raised"), dict) else {}
        return row.get("status") == Status.FAILED or raised.get("kind") in self._evidence.suite.raised  # type: ignore[union-attr]

    def _run(self, run: Run, does: str, words: Mapping[str, str] = {}, codes: bytes | None = None) -> list[Outcome]:
        source = told.program(self._reference, does, words)
        return self._evidence.run(run, source, [codes or self._evidence.real])

    def _other(self, words: Iterable[str]) -> dict[str, str]:
        """What becomes of words: half of the time others of them, for those are as likely answers."""
        names = sorted({*words} - _TRUTHS.keys())
        changed = {each: _TRUTHS[each] for word in {*words} & _TRUTHS.keys() for each in (word, word.title())}
        for word in names:
            peers = [each for each in names if each != word and _kind(each) == _kind(word) != ""]
            peer = peers and self._secret.random() < 0.5
            changed[word] = self._secret.choice(peers) if peer else _stranger(word, self._secret)
        return changed


def _makes_functions(function: Function) -> bool:
    inner = {node.name for node in ast.walk(function) if isinstance(node, Function) and node is not function}
    returned = [node.value for node in ast.walk(function) if isinstance(node, ast.Return)]
    return any(isinstance(each, ast.Lambda) or name_of(each) in inner for each in returned if each is not None)


def _kind(word: str) -> str:
    """Words that may take each other's place are of one kind; shares and the like may be too near to one another."""
    return "number" if word.isdigit() else "word" if not word[0].isdigit() else ""


def _stranger(word: str, rng: random.Random) -> str:
    """Another word that is as long; another number with as many digits, and far off."""
    if word[0].isdigit():
        return rng.choice([digit for digit in "123456789" if digit != word[0]]) + word[1:]
    return str(other(word, rng))


def _text(value: Any) -> str:
    """A constant as text; empty for what is not made of words."""
    return value if isinstance(value, str) else repr(value) if type(value) in (bool, int, float) else ""


def _renamed(trees: Sequence[ast.Module], places: Iterable[Place], words: Mapping[str, str]) -> list[ast.Module]:
    """A copy of a test with other words in these places."""
    copies = [copy.deepcopy(tree) for tree in trees]
    nodes: list[list[Any]] = [[*ast.walk(tree)] for tree in copies]
    for place in sorted(places, reverse=True):  # the last of a text first
        node = nodes[place.tree][place.node]
        text, end = _text(node.value), place.start + len(place.word)
        text = text[: place.start] + words[place.word] + text[end:]
        node.value = text == "True" if type(node.value) is bool else type(node.value)(text)
    return copies


def _fixed(tree: ast.AST) -> set[int]:
    """The constants that say where to look, or are pieces of other texts, by their ids."""
    parts = [n.slice for n in ast.walk(tree) if isinstance(n, ast.Subscript)]
    parts += [n for n in ast.walk(tree) if isinstance(n, ast.JoinedStr)]
    return {id(inner) for part in parts for inner in ast.walk(part)}


def _outside(tree: ast.Module, inside: set[int]) -> Iterator[ast.AST]:
    """What of a test is in none of these nodes: statements, and what classes have."""
    for node in tree.body:
        if id(node) in inside:
            continue
        parts = node.body if isinstance(node, ast.ClassDef) else [node]
        yield from (part for part in parts if id(part) not in inside)
