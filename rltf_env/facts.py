"""Facts of a program's text: what an analysis finds without running it. Standard library only.

    of("def f(x):\n    return x + y\n").findings        (("UndefinedName", 2),)

Of a program that somebody wrote, the process that compiles ahead makes them (`sandbox/referee/precompile.py`):
it runs no program and knows no answer. At home they are made of references alone, which are the data's text.
"""

from __future__ import annotations

import ast
import builtins
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

MOST_SUBTREES, MOST_ITEMS, MOST_DEPTH = 4096, 1024, 150  # of a program that has more there are no facts
_BUILTINS = frozenset({*dir(builtins), "__file__", "__name__", "__builtins__"})
_ANY_NAME = frozenset({"exec", "eval", "globals", "locals", "vars"})  # through these a name may come into being
_OF_A_MODULE = frozenset({"__annotations__", "__class__", "__dict__", "__module__", "__qualname__"})
_Function = ast.FunctionDef | ast.AsyncFunctionDef
_Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


@dataclass(frozen=True)
class Facts:
    """What an analysis finds in a program's text without running it.

    Args:
        tree: a short digest for each subtree of its syntax tree, sorted; equal subtrees are repeated. A subtree is a
            node that has children, told by the types of its nodes: names, constants and contexts make no difference.
        flow: a text for each item of its data flow, sorted: `v1 from v0,v2`, `v2 each v0`, `test v1`, `return v1`.
            The program's own variables are numbered by first appearance.
        key: digest of the tree without docstrings and annotations, in which the names that the program binds are numbered.
        defines: names bound at module level.
        findings: what is likely wrong: a kind and its 1-based line, by line. `UndefinedName`: a name that is read, bound
            nowhere and no builtin. `WrongArity`: the program calls a function of its own with a number of arguments that it
            cannot take. `UnboundLocal`: the first statement of a function reads a local name that nothing has bound yet.
    """

    tree: tuple[str, ...]
    flow: tuple[str, ...]
    key: str
    defines: frozenset[str]
    findings: tuple[tuple[str, int], ...] = ()


def of(source: str) -> Facts | None:
    """The facts of a text; None of one that is no Python, too deep, or has too many subtrees or items."""
    try:
        tree = ast.parse(source)
        subtrees: list[str] = []
        _digest_of(tree, subtrees, MOST_DEPTH)
        reader = _Reader()
        reader.read_module(tree)
        key = _Key(tree, reader).digest()
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    if len(subtrees) > MOST_SUBTREES or len(reader.flow) > MOST_ITEMS:
        return None
    findings = sorted(set(reader.findings), key=lambda finding: (finding[1], finding[0]))
    return Facts(
        tuple(sorted(subtrees)), tuple(sorted(reader.flow)), key, frozenset(reader.module.names), tuple(findings)
    )


def _short(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()


def _digest_of(node: ast.AST, subtrees: list[str], depth: int) -> str:
    """The digest of a node's s-expression; those of all subtrees are added to `subtrees`. At most `depth` levels."""
    if not depth:
        raise ValueError("nested too deeply")
    children = [child for child in ast.iter_child_nodes(node) if not isinstance(child, ast.expr_context)]
    name = type(node).__name__
    if not children:
        return name
    digest = _short(f"({name} {' '.join([_digest_of(child, subtrees, depth - 1) for child in children])})")
    subtrees.append(digest)
    return digest


# ------------------------------------------------------------------------------------------------------------ scopes


@dataclass
class _Scope:
    """Where names are bound: a module, a function, a class or a comprehension."""

    parent: _Scope | None = None
    is_class: bool = False
    names: dict[str, int] = field(default_factory=dict)  # how often each is bound
    elsewhere: dict[str, str] = field(default_factory=dict)  # declared global or nonlocal
    functions: dict[str, _Function] = field(default_factory=dict)
    classes: set[str] = field(default_factory=set)

    def bind(self, name: str) -> None:
        self.names[name] = self.names.get(name, 0) + 1

    def find(self, name: str) -> _Scope | None:
        """The scope in which a name is bound that is read in this one."""
        here: _Scope | None = self
        if self.elsewhere.get(name) == "global":
            return self._outermost() if name in self._outermost().names else None
        if name in self.elsewhere:
            here = self.parent
        while here is not None:
            if name in here.names and (here is self or not here.is_class):
                return here
            here = here.parent
        return None

    def _outermost(self) -> _Scope:
        return self if self.parent is None else self.parent._outermost()


def _same_scope(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """The nodes below these, in order, but not what is inside functions, classes, lambdas and comprehensions."""
    for node in nodes:
        yield node
        if isinstance(node, _Function | ast.ClassDef | ast.Lambda):
            yield from _same_scope(_outside(node))
        elif isinstance(node, _Comprehension):
            yield from _same_scope([node.generators[0].iter])
        else:
            yield from _same_scope(ast.iter_child_nodes(node))


def _outside(node: Any) -> list[ast.AST]:
    """What belongs to a definition and is evaluated around it: decorators, defaults, bases."""
    if isinstance(node, ast.ClassDef):
        return [*node.decorator_list, *node.bases, *node.keywords]
    defaults = [default for default in (*node.args.defaults, *node.args.kw_defaults) if default is not None]
    return [*getattr(node, "decorator_list", ()), *defaults]


def _parameters(arguments: ast.arguments) -> list[ast.arg]:
    starred = [each for each in (arguments.vararg, arguments.kwarg) if each is not None]
    return [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, *starred]


def _bound_by(node: ast.AST) -> list[str]:
    """The names that a node itself binds in its scope."""
    if isinstance(node, ast.Name):
        return [] if isinstance(node.ctx, ast.Load) else [node.id]
    if isinstance(node, _Function | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Import | ast.ImportFrom):
        return [alias.asname or alias.name.partition(".")[0] for alias in node.names]
    if isinstance(node, ast.MatchMapping):
        return [node.rest] if node.rest else []
    if isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar):
        return [node.name] if node.name else []
    return []


def _walrus_targets(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Names that `:=` inside of comprehensions binds around them."""
    for node in nodes:
        if isinstance(node, _Comprehension):
            yield from (n.target.id for n in ast.walk(node) if isinstance(n, ast.NamedExpr))


def _fill(scope: _Scope, body: Sequence[ast.AST]) -> None:
    """Binds in a scope what its body binds."""
    nodes = list(_same_scope(body))
    for node in nodes:
        if isinstance(node, ast.Global | ast.Nonlocal):
            kind = "global" if isinstance(node, ast.Global) else "nonlocal"
            scope.elsewhere.update(dict.fromkeys(node.names, kind))
    for name in (*(name for node in nodes for name in _bound_by(node)), *_walrus_targets(nodes)):
        owner = scope
        if scope.elsewhere.get(name) == "global":
            owner = scope._outermost()
        elif name in scope.elsewhere:
            continue
        owner.bind(name)
    for node in nodes:
        if isinstance(node, _Function):
            scope.functions[node.name] = node
        elif isinstance(node, ast.ClassDef):
            scope.classes.add(node.name)


# ------------------------------------------------------------------------------------------------- flow and findings


class _Reader:
    """Reads a program once: its scopes, the items of its data flow, and its findings."""

    def __init__(self) -> None:
        self.module = _Scope()
        self.flow: list[str] = []
        self.findings: list[tuple[str, int]] = []
        self.scopes: dict[ast.AST, _Scope] = {}  # of each module, function, class, lambda and comprehension
        self._numbers: dict[tuple[int, str], str] = {}
        self._any_name = False  # names may come into being that nothing binds

    def read_module(self, tree: ast.Module) -> None:
        """Takes in a whole program."""
        self._any_name = any(
            (isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names))
            or (isinstance(node, ast.Name) and node.id in _ANY_NAME)
            for node in ast.walk(tree)
        )
        self.scopes[tree] = self.module
        self._open(self.module, tree.body)  # with all that it contains, so that `global` in a function is known
        self._statements(tree.body, self.module)

    def _open(self, scope: _Scope, body: Sequence[ast.AST]) -> None:
        _fill(scope, body)
        for node in _same_scope(body):
            if isinstance(node, _Function | ast.Lambda):
                inner = _Scope(scope)
                for parameter in _parameters(node.args):
                    inner.bind(parameter.arg)
                self._scope_of(node, inner, node.body if isinstance(node, _Function) else [node.body])
            elif isinstance(node, ast.ClassDef):
                self._scope_of(node, _Scope(scope, is_class=True), node.body)
            elif isinstance(node, _Comprehension):
                self._open_comprehension(node, scope)

    def _open_comprehension(self, node: Any, scope: _Scope) -> None:
        inner = _Scope(scope)
        targets = [generator.target for generator in node.generators]
        for name in (n for target in targets for n in ast.walk(target) if isinstance(n, ast.Name)):
            inner.bind(name.id)
        rest = [part for g in node.generators[1:] for part in (g.iter, *g.ifs)]
        results = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        self.scopes[node] = inner
        for each in _same_scope([*node.generators[0].ifs, *rest, *results]):
            if isinstance(each, _Comprehension):
                self._open_comprehension(each, inner)
            elif isinstance(each, ast.Lambda):
                own = _Scope(inner)
                for parameter in _parameters(each.args):
                    own.bind(parameter.arg)
                self._scope_of(each, own, [each.body])

    def _scope_of(self, node: ast.AST, inner: _Scope, body: Sequence[ast.AST]) -> None:
        self.scopes[node] = inner
        self._open(inner, body)

    # ---- one statement after another

    def _statements(self, body: Sequence[ast.stmt], scope: _Scope) -> None:
        for statement in body:
            self._statement(statement, scope)

    def _statement(self, node: ast.stmt, scope: _Scope) -> None:
        if isinstance(node, _Function):
            self._function(node, scope)
            return
        if isinstance(node, ast.ClassDef):
            for part in _outside(node):
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

    def _clause(self, node: ast.ExceptHandler | ast.match_case, scope: _Scope) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.stmt):
                self._statement(child, scope)
            else:
                self._read(child, scope)

    def _function(self, node: _Function, scope: _Scope) -> None:
        inner = self.scopes[node]
        for part in _outside(node):
            self._read(part, scope)
        for parameter in _parameters(node.args):
            self._name(parameter.arg, inner)
        self._unbound_local(node, inner)
        self._statements(node.body, inner)

    def _items(self, node: ast.stmt, scope: _Scope) -> None:
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

    def _assigned(self, target: ast.AST, values: list[ast.AST], scope: _Scope, how: str = "from") -> None:
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

    def _sources(self, values: Sequence[ast.AST], scope: _Scope) -> str:
        """The names that values are made of, sorted."""
        names: set[str] = set()
        for value in values:
            self._collect(value, scope, names)
        return ",".join(sorted(names))

    def _collect(self, node: ast.AST, scope: _Scope, names: set[str]) -> None:
        scope = self.scopes.get(node, scope)
        if isinstance(node, ast.Name):
            names.add(self._name(node.id, scope))
        for child in ast.iter_child_nodes(node):
            self._collect(child, scope, names)

    def _name(self, name: str, scope: _Scope) -> str:
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

    def _read(self, node: ast.AST, scope: _Scope) -> None:
        """Looks for what is likely wrong in an expression, and for the loops and assignments inside of it."""
        inner = self.scopes.get(node, scope)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            self._undefined(node, scope)
        elif isinstance(node, ast.Call):
            self._arity(node, scope)
        elif isinstance(node, ast.NamedExpr):
            self._assigned(node.target, [node.value], scope)
        elif isinstance(node, _Comprehension):
            for generator in node.generators:
                self._assigned(generator.target, [generator.iter], inner, "each")
        for child in ast.iter_child_nodes(node):
            self._read(child, inner)

    def _undefined(self, node: ast.Name, scope: _Scope) -> None:
        known = node.id in _BUILTINS or node.id in _OF_A_MODULE or self._any_name
        if not known and scope.find(node.id) is None:
            self.findings.append(("UndefinedName", node.lineno))

    def _arity(self, node: ast.Call, scope: _Scope) -> None:
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

    def _unbound_local(self, node: _Function, inner: _Scope) -> None:
        body = node.body[1:] if _is_text(node.body[0]) else node.body
        if not body:
            return
        given, first = {parameter.arg for parameter in _parameters(node.args)}, body[0]
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
    for node in _same_scope(heads):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            yield node


def _is_text(statement: ast.stmt) -> bool:
    """True for a docstring, or what looks like one."""
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


# --------------------------------------------------------------------------------------------------------------- key


class _Key:
    """The digest of a tree that does not tell apart what is named, commented or annotated in another way."""

    _LEFT_OUT = frozenset({"annotation", "returns", "type_comment", "ctx", "type_ignores", "type_params", "kind"})

    def __init__(self, tree: ast.Module, reader: _Reader) -> None:
        self._tree, self._reader = tree, reader
        self._keywords = {node.arg for node in ast.walk(tree) if isinstance(node, ast.keyword)}
        self._numbers: dict[tuple[int, str], int] = {}
        self._parts: list[str] = []

    def digest(self) -> str:
        """As hexadecimal text."""
        self._add(self._tree, self._reader.module)
        return hashlib.blake2b("\n".join(self._parts).encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()

    def _add(self, node: Any, scope: _Scope) -> None:
        self._parts.append(f"({type(node).__name__}")
        outside, inner = scope, self._reader.scopes.get(node, scope)
        for name, value in ast.iter_fields(node):
            if name in self._LEFT_OUT:
                continue
            around = outside if name in ("decorator_list", "bases", "keywords", "name") else inner
            if name == "body" and isinstance(value, list) and isinstance(node, ast.Module | _Function | ast.ClassDef):
                value = value[1:] if value and _is_text(value[0]) else value
            self._add_value(node, name, value, around)
        self._parts.append(")")

    def _add_value(self, node: ast.AST, name: str, value: Any, scope: _Scope) -> None:
        if isinstance(value, list):
            self._parts.append("[")
            for each in value:
                self._add_value(node, name, each, scope)
            self._parts.append("]")
        elif isinstance(value, ast.AST):
            self._add(value, scope)
        elif isinstance(value, str) and _is_name(node, name):
            self._parts.append(self._named(value, scope))
        else:
            self._parts.append(f"{name}={value!r}")

    def _named(self, name: str, scope: _Scope) -> str:
        owner = scope.find(name)
        if owner is None or owner.is_class or name in self._keywords:
            return name
        return f"#{self._numbers.setdefault((id(owner), name), len(self._numbers))}"


def _is_name(node: ast.AST, field_name: str) -> bool:
    """True if a field holds a name of the program's scopes, and not an attribute, a keyword or a text."""
    if isinstance(node, ast.alias):
        return field_name == "asname"
    return (type(node).__name__, field_name) in _NAMES


_NAMES = frozenset(
    {
        ("Name", "id"), ("arg", "arg"), ("FunctionDef", "name"), ("AsyncFunctionDef", "name"), ("ClassDef", "name"),
        ("ExceptHandler", "name"), ("MatchAs", "name"), ("MatchStar", "name"), ("MatchMapping", "rest"),
        ("Global", "names"), ("Nonlocal", "names"),
    }
)  # fmt: skip
