"""One reading of a program's text: its scopes, the items of its data flow, and what is likely wrong with it."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator, Sequence
from typing import Any

from rltf_env.facts._returns import forgotten
from rltf_env.facts._scopes import Comprehension, Function, Scope, fill, is_text, outside, parameters, same_scope

# `site` adds some, and the processes that read programs start without it.
_OF_SITE = ("copyright", "credits", "exit", "help", "license", "quit")
_BUILTINS = frozenset({*dir(builtins), *_OF_SITE, "__file__", "__name__", "__builtins__"})
_ANY_NAME = frozenset({"exec", "eval", "globals", "locals", "vars"})  # through these a name may come into being
_OF_A_MODULE = frozenset({"__annotations__", "__class__", "__dict__", "__module__", "__qualname__"})


class Reader:
    """Reads a program once: its scopes, the items of its data flow, and its findings."""

    def __init__(self) -> None:
        self.module = Scope()
        self.flow: list[str] = []
        self.findings: list[tuple[str, int]] = []
        self.scopes: dict[ast.AST, Scope] = {}  # of each module, function, class, lambda and comprehension
        self._numbers: dict[tuple[int, str], str] = {}
        self.any_name = False  # names may come into being that nothing binds

    def read_module(self, tree: ast.Module) -> None:
        """Takes in a whole program."""
        self.any_name = any(
            (isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names))
            or (isinstance(node, ast.Name) and node.id in _ANY_NAME)
            for node in ast.walk(tree)
        )
        self.scopes[tree] = self.module
        self._open(self.module, tree.body)  # with all that it contains, so that `global` in a function is known
        self._statements(tree.body, self.module)

    def _open(self, scope: Scope, body: Sequence[ast.AST]) -> None:
        fill(scope, body)
        for node in same_scope(body):
            if isinstance(node, Function | ast.Lambda):
                inner = Scope(scope)
                for parameter in parameters(node.args):
                    inner.bind(parameter.arg)
                self._scope_of(node, inner, node.body if isinstance(node, Function) else [node.body])
            elif isinstance(node, ast.ClassDef):
                self._scope_of(node, Scope(scope, is_class=True), node.body)
            elif isinstance(node, Comprehension):
                self._open_comprehension(node, scope)

    def _open_comprehension(self, node: Any, scope: Scope) -> None:
        inner = Scope(scope)
        targets = [generator.target for generator in node.generators]
        for name in (n for target in targets for n in ast.walk(target) if isinstance(n, ast.Name)):
            inner.bind(name.id)
        rest = [part for g in node.generators[1:] for part in (g.iter, *g.ifs)]
        results = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        self.scopes[node] = inner
        for each in same_scope([*node.generators[0].ifs, *rest, *results]):
            if isinstance(each, Comprehension):
                self._open_comprehension(each, inner)
            elif isinstance(each, ast.Lambda):
                own = Scope(inner)
                for parameter in parameters(each.args):
                    own.bind(parameter.arg)
                self._scope_of(each, own, [each.body])

    def _scope_of(self, node: ast.AST, inner: Scope, body: Sequence[ast.AST]) -> None:
        self.scopes[node] = inner
        self._open(inner, body)

    # ---- one statement after another

    def _statements(self, body: Sequence[ast.stmt], scope: Scope) -> None:
        for statement in body:
            self._statement(statement, scope)

    def _statement(self, node: ast.stmt, scope: Scope) -> None:
        if isinstance(node, Function):
            self._function(node, scope)
            return
        if isinstance(node, ast.ClassDef):
            for part in outside(node):
                self._read(part, scope)
            self._statements(node.body, self.scopes[node])
            return
        self._items(node, scope)
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.stmt):
                self._statement(child, scope)
            elif isinstance(child, ast.ExceptHandler | ast.match_case):
                self._clause(child, scope)
            else:
                self._read(child, scope)

    def _clause(self, node: ast.ExceptHandler | ast.match_case, scope: Scope) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.stmt):
                self._statement(child, scope)
            else:
                self._read(child, scope)

    def _function(self, node: Function, scope: Scope) -> None:
        inner = self.scopes[node]
        for part in outside(node):
            self._read(part, scope)
        for parameter in parameters(node.args):
            self._name(parameter.arg, inner)
        self._unbound_local(node, inner)
        if (line := forgotten(node)) is not None:
            self.findings.append(("NotReturned", line))
        self._statements(node.body, inner)

    def _items(self, node: ast.stmt, scope: Scope) -> None:
        """The items of data flow that a statement itself is."""
        if isinstance(node, ast.Assign):
            for target in node.targets:
                self._assigned(target, [node.value], scope)
        elif isinstance(node, ast.AugAssign):
            self._assigned(node.target, [node.value, node.target], scope)
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            self._assigned(node.target, [node.value], scope)
        elif isinstance(node, ast.For | ast.AsyncFor):
            self._assigned(node.target, [node.iter], scope, "each")
        elif isinstance(node, ast.If | ast.While):
            self.flow.append(f"test {self._sources([node.test], scope)}")
        elif isinstance(node, ast.Return):
            self.flow.append(f"return {self._sources([node.value] if node.value else [], scope)}")

    def _assigned(self, target: ast.AST, values: list[ast.AST], scope: Scope, how: str = "from") -> None:
        """An item for each name that is assigned to; one of which a part is assigned to is a source too."""
        if isinstance(target, ast.Tuple | ast.List):
            for part in target.elts:
                self._assigned(part, values, scope, how)
        elif isinstance(target, ast.Starred):
            self._assigned(target.value, values, scope, how)
        elif isinstance(target, ast.Name):
            sources = self._sources(values, scope)
            self.flow.append(f"{self._name(target.id, scope)} {how} {sources}")
        else:
            base: ast.AST = target
            while isinstance(base, ast.Attribute | ast.Subscript):
                base = base.value
            if isinstance(base, ast.Name):
                sources = self._sources([*values, target], scope)
                self.flow.append(f"{self._name(base.id, scope)} {how} {sources}")

    def _sources(self, values: Sequence[ast.AST], scope: Scope) -> str:
        """The names that values are made of, sorted."""
        names: set[str] = set()
        for value in values:
            self._collect(value, scope, names)
        return ",".join(sorted(names))

    def _collect(self, node: ast.AST, scope: Scope, names: set[str]) -> None:
        scope = self.scopes.get(node, scope)
        if isinstance(node, ast.Name):
            names.add(self._name(node.id, scope))
        for child in ast.iter_child_nodes(node):
            self._collect(child, scope, names)

    def _name(self, name: str, scope: Scope) -> str:
        """What stands for a name: a number for what the program binds, itself for all else."""
        owner = scope.find(name)
        if owner is None or owner.is_class:
            return name
        at = (id(owner), name)
        if at not in self._numbers:
            letter = "f" if name in owner.functions or name in owner.classes else "v"
            self._numbers[at] = f"{letter}{sum(number[0] == letter for number in self._numbers.values())}"
        return self._numbers[at]

    # ---- expressions

    def _read(self, node: ast.AST, scope: Scope) -> None:
        """Looks for what is likely wrong in an expression, and for the loops and assignments inside of it."""
        inner = self.scopes.get(node, scope)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            self._undefined(node, scope)
        elif isinstance(node, ast.Call):
            self._arity(node, scope)
        elif isinstance(node, ast.NamedExpr):
            self._assigned(node.target, [node.value], scope)
        elif isinstance(node, Comprehension):
            for generator in node.generators:
                self._assigned(generator.target, [generator.iter], inner, "each")
        for child in ast.iter_child_nodes(node):
            self._read(child, inner)

    def _undefined(self, node: ast.Name, scope: Scope) -> None:
        known = node.id in _BUILTINS or node.id in _OF_A_MODULE or self.any_name
        if not known and scope.find(node.id) is None:
            self.findings.append(("UndefinedName", node.lineno))

    def _arity(self, node: ast.Call, scope: Scope) -> None:
        if not isinstance(node.func, ast.Name) or any(isinstance(each, ast.Starred) for each in node.args):
            return
        owner = scope.find(node.func.id)
        function = owner.functions.get(node.func.id) if owner and owner.names[node.func.id] == 1 else None
        if function is None or function.decorator_list or function.args.vararg:
            return
        positional = [*function.args.posonlyargs, *function.args.args]
        needed = len(positional) - len(function.args.defaults)
        named = len(positional) if any(k.arg is None for k in node.keywords) else len(node.keywords)
        if len(node.args) > len(positional) or len(node.args) + named < needed:
            self.findings.append(("WrongArity", node.lineno))

    def _unbound_local(self, node: Function, inner: Scope) -> None:
        body = node.body[1:] if is_text(node.body[0]) else node.body
        if not body:
            return
        given, first = {parameter.arg for parameter in parameters(node.args)}, body[0]
        for name in _read_first(first):
            bound_here = any(isinstance(n, ast.NamedExpr) and n.target.id == name.id for n in ast.walk(first))
            local = name.id in inner.names and name.id not in given and name.id not in inner.elsewhere
            if local and not bound_here:
                self.findings.append(("UnboundLocal", name.lineno))


def _read_first(statement: ast.stmt) -> Iterator[ast.Name]:
    """The names that a statement reads before it binds any: of a compound one those of its head."""
    if isinstance(statement, ast.If | ast.While):
        heads: list[ast.AST] = [statement.test]
    elif isinstance(statement, ast.For):
        heads = [statement.iter]
    elif isinstance(statement, ast.AugAssign) and isinstance(statement.target, ast.Name):
        yield statement.target
        heads = [statement.value]
    elif isinstance(statement, ast.Assign | ast.Return | ast.Expr):
        heads = [statement.value] if statement.value is not None else []
    else:
        return
    for node in same_scope(heads):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            yield node
