"""The scopes of a program's text: where each name is bound, and what a node binds."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

Function = ast.FunctionDef | ast.AsyncFunctionDef
Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


@dataclass
class Scope:
    """Where names are bound: a module, a function, a class or a comprehension."""

    parent: Scope | None = None
    is_class: bool = False
    names: dict[str, int] = field(default_factory=dict)  # how often each is bound
    elsewhere: dict[str, str] = field(default_factory=dict)  # declared global or nonlocal
    functions: dict[str, Function] = field(default_factory=dict)
    classes: set[str] = field(default_factory=set)

    def bind(self, name: str) -> None:
        """Counts one more binding of a name in this scope."""
        self.names[name] = self.names.get(name, 0) + 1

    def find(self, name: str) -> Scope | None:
        """The scope in which a name is bound that is read in this one."""
        here: Scope | None = self
        if self.elsewhere.get(name) == "global":
            return self._outermost() if name in self._outermost().names else None
        if name in self.elsewhere:
            here = self.parent
        while here is not None:
            if name in here.names and (here is self or not here.is_class):
                return here
            here = here.parent
        return None

    def _outermost(self) -> Scope:
        return self if self.parent is None else self.parent._outermost()


def same_scope(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """The nodes below these, in order, but not what is inside functions, classes, lambdas and comprehensions."""
    for node in nodes:
        yield node
        if isinstance(node, Function | ast.ClassDef | ast.Lambda):
            yield from same_scope(outside(node))
        elif isinstance(node, Comprehension):
            yield from same_scope([node.generators[0].iter])
        else:
            yield from same_scope(ast.iter_child_nodes(node))


def outside(node: Any) -> list[ast.AST]:
    """What belongs to a definition and is evaluated around it: decorators, defaults, bases."""
    if isinstance(node, ast.ClassDef):
        return [*node.decorator_list, *node.bases, *node.keywords]
    defaults = [default for default in (*node.args.defaults, *node.args.kw_defaults) if default is not None]
    return [*getattr(node, "decorator_list", ()), *defaults]


def parameters(arguments: ast.arguments) -> list[ast.arg]:
    """All parameters of a function, `*args` and `**kwargs` last."""
    starred = [each for each in (arguments.vararg, arguments.kwarg) if each is not None]
    return [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, *starred]


def bound_by(node: ast.AST) -> list[str]:
    """The names that a node itself binds in its scope."""
    if isinstance(node, ast.Name):
        return [] if isinstance(node.ctx, ast.Load) else [node.id]
    if isinstance(node, Function | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Import | ast.ImportFrom):
        return [alias.asname or alias.name.partition(".")[0] for alias in node.names]
    if isinstance(node, ast.MatchMapping):
        return [node.rest] if node.rest else []
    if isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar):
        return [node.name] if node.name else []
    return []


def walrus_targets(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Names that `:=` inside of comprehensions binds around them."""
    for node in nodes:
        if isinstance(node, Comprehension):
            yield from (n.target.id for n in ast.walk(node) if isinstance(n, ast.NamedExpr))


def fill(scope: Scope, body: Sequence[ast.AST]) -> None:
    """Binds in a scope what its body binds."""
    nodes = list(same_scope(body))
    for node in nodes:
        if isinstance(node, ast.Global | ast.Nonlocal):
            kind = "global" if isinstance(node, ast.Global) else "nonlocal"
            scope.elsewhere.update(dict.fromkeys(node.names, kind))
    for name in (*(name for node in nodes for name in bound_by(node)), *walrus_targets(nodes)):
        owner = scope
        if scope.elsewhere.get(name) == "global":
            owner = scope._outermost()
        elif name in scope.elsewhere:
            continue
        owner.bind(name)
    for node in nodes:
        if isinstance(node, Function):
            scope.functions[node.name] = node
        elif isinstance(node, ast.ClassDef):
            scope.classes.add(node.name)


def is_text(statement: ast.stmt) -> bool:
    """True for a docstring, or what looks like one."""
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )
