"""An assertion script, compiled and read: which names it takes from a program, which operations it makes."""

from __future__ import annotations

import ast
import builtins
import contextlib
import hashlib
import itertools
import re
import types
from collections.abc import Iterable, Iterator, Set
from typing import Any

from rltf_env.sandbox.referee import scopes
from rltf_env.sandbox.referee.operations import Operation
from rltf_env.sandbox.referee.replay import HELD_BACK, Conclusion, End, Guess
from rltf_env.sandbox.values import TEST

REMEMBERED = 256  # conclusions of a script
MISSES = 2  # programs that a plan was not for, more than those that it was for, after which there is none


class Script:
    """A ScriptCase, compiled. Raises SyntaxError or ValueError if it is not Python.

    Args:
        prefix: code that the problem gives for free; its complete functions other than the entry point belong to the test.
    """

    def __init__(self, setup: str, script: str, entry_point: str | None, prefix: str, solutions: list[str]) -> None:
        self._texts = [text for text in (setup, script) if text.strip()]
        trees = [ast.parse(text) for text in self._texts]
        nodes = [node for tree in trees for node in _walk(tree)]
        self.imports = "\n".join(_imports(trees))
        self.codes = [_compiled(text, tree) for text, tree in zip(self._texts, trees, strict=True)]
        self.entry_point = (entry_point or "").partition(".")[0]
        own, self.helpers = helpers_given(prefix, self.entry_point)
        used, bound = scopes.of_module(*self._texts)
        used -= own
        builtin = {name for name in used if hasattr(builtins, name)}
        foreign = used - builtin | (builtin & {self.entry_point, *_defined(solutions, builtin)})
        names = [name for code in self.codes for name in _globals_of(code, foreign)]
        if self.entry_point and not _READING.isdisjoint(used) and self.entry_point not in bound | own:
            names.append(self.entry_point)
        self.names = list(dict.fromkeys(names))
        self.keeps_things = any(isinstance(node, _KEEPING) for node in nodes)
        capital = any(name[:1].isupper() for name in self.names)
        self.has_classes = any(map(_CLASS.search, solutions)) if solutions else capital
        self.plan: list[Operation] | None = None  # which programs are given first
        self.live = False  # there is no such plan: programs are asked one thing after another
        self.proven = False  # a reference passes it apart
        self.is_proof = False
        self.paths = self.calculations = frozenset[str]()  # of the last program (`Conclusion`)
        self._misses = 0  # programs that the plan was not for, more than those that it was for
        self._conclusions: dict[bytes, Conclusion] = {}  # by what a program's results, as text, hash to

    def remembered(self, data: bytes) -> Conclusion | None:
        """How this script ended before with the same results. Programs that are right mostly return the same."""
        return self._conclusions.get(_digest(data)) if self._conclusions else None

    def remember(self, data: bytes, conclusion: Conclusion) -> None:
        """Keeps how this script ended with these results of its plan, or that they were not all that it asked for."""
        if conclusion.end is End.MISSED:
            self._misses += 1
            self.live = self._misses >= MISSES
            return
        self._misses -= 1
        if len(self._conclusions) >= REMEMBERED:
            self._conclusions.clear()
        self._conclusions[_digest(data)] = conclusion

    def prepare(self) -> None:
        """Makes the plan, or finds that there is none."""
        if self.plan is None:
            self.plan = self.guess([], [])

    def guess(self, plan: list[Operation], results: list[Any]) -> list[Operation]:
        """The plan, as far as it can be told from what is known: `results` of the first operations of `plan`."""
        replay = Guess(self, plan, results, None)
        end = replay.run().end
        if end is End.FAILED:  # as it may: what is not known yet is said to be true
            replay = Guess(self, plan, results, self._without_asserts())
            end = replay.run().end
        self.live = self.live or end is End.LONG
        return replay.operations

    def crosses(self) -> bool:
        """True if what the script hands to a program can cross to it, as far as that is the script's."""
        return Guess(self, [], [], None).run().end is not End.CANNOT_CROSS

    def _without_asserts(self) -> list[types.CodeType]:
        """The script with its assertions as plain expressions: it goes on where they do not hold."""
        trees = [ast.parse(text) for text in self._texts]
        for tree in trees:
            for node in _walk(tree):
                _unassert(node)
        return [_compiled("", tree) for tree in trees]


def _compiled(text: str, tree: ast.Module) -> types.CodeType:
    """A script's code. Its handlers of everything do not handle what the judge stops it with."""
    if "except" in text or not text:
        greedy = [
            node
            for node in _walk(tree)
            if isinstance(node, (ast.Try, ast.TryStar)) and any(map(_is_greedy, node.handlers))
        ]
        for node in greedy:
            if isinstance(node, ast.Try):
                name = ast.Name(HELD_BACK, ast.Load())
                node.handlers.insert(0, ast.ExceptHandler(name, None, [ast.Raise()]))
        if greedy:
            return compile(ast.fix_missing_locations(tree), TEST, "exec", dont_inherit=True)
    return compile(text or tree, TEST, "exec", dont_inherit=True)


def _is_greedy(handler: ast.ExceptHandler) -> bool:
    kind = handler.type
    return kind is None or any(isinstance(node, ast.Name) and node.id == "BaseException" for node in ast.walk(kind))


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=32).digest()


# With these a script may use a name that it does not show.
_READING = frozenset("exec eval globals locals vars".split())
_KEEPING = (ast.Assign, ast.AugAssign, ast.AnnAssign, ast.For, ast.NamedExpr, ast.With, ast.comprehension)


def _unassert(node: ast.AST) -> None:
    """Makes the asserts right below a node plain expressions: a guess goes through the whole script."""
    for name in ("body", "orelse", "finalbody"):
        block = getattr(node, name, None)
        if isinstance(block, list):  # a lambda's body, and both sides of a conditional expression, are no blocks
            block[:] = [ast.copy_location(ast.Expr(s.test), s) if isinstance(s, ast.Assert) else s for s in block]


def _globals_of(code: types.CodeType, among: Set[str]) -> Iterator[str]:
    """Names that the script looks up among its globals, in the order in which its code mentions them."""
    yield from (name for name in code.co_names if name in among)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _globals_of(constant, among)


def _walk(tree: ast.AST) -> list[ast.AST]:
    """The tree's nodes, parents first; `ast.walk` takes twice as long."""
    nodes: list[ast.AST] = [tree]
    for node in nodes:  # which grows
        for name in node._fields:
            value = getattr(node, name, None)
            if isinstance(value, list):
                nodes += [item for item in value if isinstance(item, ast.AST)]
            elif isinstance(value, ast.AST) and not isinstance(value, ast.expr_context):
                nodes.append(value)
    return nodes


def _imports(trees: list[ast.Module]) -> Iterator[str]:
    """What a script imports before it does anything: it is there for the program, too, when that is called."""
    for statement in itertools.takewhile(_is_idle, [part for tree in trees for part in tree.body]):
        if isinstance(statement, ast.Import) or getattr(statement, "module", "__future__") != "__future__":
            yield ast.unparse(statement)


def _is_idle(statement: ast.stmt) -> bool:
    """True if nothing of the program's can be called in a statement of a script's top level."""
    if isinstance(statement, (ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef)):
        return True
    return not any(isinstance(node, (ast.Call, ast.Assert)) for node in _walk(statement))


def _defined(sources: Iterable[str], names: set[str]) -> set[str]:
    """Which of these names some source gives a function or a class."""
    definitions = set()
    for source in sources:
        if not names.isdisjoint(_DEFINED.findall(source)):
            with contextlib.suppress(SyntaxError, ValueError, RecursionError):
                body = ast.parse(source).body
                definitions |= {node.name for node in body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    return definitions & names


_CLASS = re.compile(r"^\s*class\s", re.MULTILINE)
_DEFINED = re.compile(r"^\f*(?:def|class)\s+(\w+)", re.MULTILINE)  # and what only looks like it, in a string


def helpers_given(source: str, entry_point: str) -> tuple[set[str], types.CodeType | None]:
    """Helper functions that come with the problem: the test uses its own copy of them, not what the program made of them."""
    if set(_DEFINED.findall(source)) <= {entry_point}:
        return set(), None
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError):
        return set(), None
    helpers = [n for n in body if isinstance(n, ast.FunctionDef) and n.name != entry_point and not _is_stub(n)]
    if not helpers:
        return set(), None
    imports = [n for n in body if isinstance(n, (ast.Import, ast.ImportFrom))]
    code = compile(ast.Module([*imports, *helpers], []), "<given>", "exec")
    return {helper.name for helper in helpers}, code


def _is_stub(node: ast.FunctionDef) -> bool:
    return all(
        isinstance(part, ast.Pass) or (isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant))
        for part in node.body
    )
