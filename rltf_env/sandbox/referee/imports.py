"""Where a test gets the program from: which of the modules that it imports stand for it, and which nobody has.

All of it is read from syntax trees.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Container, Iterable, Iterator, Sequence

from rltf_env.sandbox.referee import stars
from rltf_env.sandbox.referee.runners import DEFINITIONS, is_guard


def program_imports(
    nodes: list[ast.AST], importable: set[str], defined: set[str], needed: Container[str]
) -> tuple[list[str], list[str], list[tuple[str, int]], set[int]]:
    """The modules that stand for the program, what is imported from them, and the packages that nobody has (see `Suite`)."""
    optional, idle, inner = _optional(nodes, importable), _idle(nodes), _submodules(nodes, defined)
    foreign = [
        (name, names, 0 if id(node) in optional else getattr(node, "lineno", 0), id(node) in idle)
        for node in nodes
        for whole, parts in imports_of(node)
        for name, names in _divided(whole, parts, inner)
        if top_of(name) not in importable
    ]
    foreign += [(name, [], 0, True) for name in _fetched(nodes) if top_of(name) not in importable]
    sure = {name for name, names, *_ in foreign if not name or _plain(name) in _USUAL or defined.intersection(names)}
    bases = {node.value.id for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
             and node.attr in defined}  # fmt: skip
    aliases = [a for node in nodes if isinstance(node, ast.Import) for a in node.names]
    sure |= {name for name, *_ in foreign if name in inner}
    sure |= {a.name for a in aliases if top_of(a.name) not in importable and (a.asname or top_of(a.name)) in bases}
    wanted = [name for name, _, line, _ in foreign if line] or [name for name, *_ in foreign if not _unknown(nodes)]
    one = len({*wanted}) == 1 or (len({*map(top_of, wanted)}) == 1 and not _unknown(nodes))
    if not sure and one and (not defined & loads(nodes) or _by_star(nodes, wanted, defined)):
        # The one module or package that nobody has, of a test that takes the program from nowhere else.
        sure = set(wanted)
    sure = {name for name in sure if _plain(name) in _USUAL or top_of(name) not in needed}
    modules = list(dict.fromkeys(name or "solution" for name, *_ in foreign if name in sure))
    imported = list(dict.fromkeys(n for name, names, *_ in foreign if name in sure for n in names if n != "*"))
    missing = [(name, line) for name, _, line, may_idle in foreign if name not in sure and line and not may_idle]
    absent = {line for name, _, line, may_idle in foreign if name not in sure and line and may_idle}
    return modules, [name for name in imported if name not in modules or not is_module(name, nodes)], missing, absent


def _submodules(nodes: list[ast.AST], defined: set[str]) -> set[str]:
    """Modules that a script takes from a package, and from them what the program defines: `from shop import till`, `till.f`."""
    bases = {
        n.value.id
        for n in nodes
        if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name) and n.attr in defined
    }
    imports = [n for n in nodes if isinstance(n, ast.ImportFrom) and n.module and _plain(n.module) not in _USUAL]
    taken = [(n.module, a) for n in imports for a in n.names if (a.asname or a.name) in bases]
    return {f"{package}.{a.name}" for package, a in taken if a.name not in defined}


def _divided(module: str, names: list[str], inner: set[str]) -> Iterator[tuple[str, list[str]]]:
    """An import, and those that are hidden in it, each of a module."""
    rest = [name for name in names if f"{module}.{name}" not in inner]
    if rest or not names:
        yield module, rest
    yield from ((f"{module}.{name}", []) for name in names if name not in rest)


def _fetched(nodes: list[ast.AST]) -> Iterator[str]:
    """Modules that are imported by a name which is a constant of the script's, as far as the text says."""
    assigned = [n for n in nodes if isinstance(n, ast.Assign) and isinstance(n.value, ast.Constant)]
    constants = {target.id: n.value for n in assigned for target in n.targets if isinstance(target, ast.Name)}
    for call in nodes:
        if isinstance(call, ast.Call) and call.args and ast.unparse(call.func) in _IMPORTERS:
            name = constants.get(getattr(call.args[0], "id", ""), call.args[0])
            if isinstance(name, ast.Constant) and isinstance(name.value, str):
                yield name.value.lstrip(".")


def _by_star(nodes: list[ast.AST], modules: list[str], defined: set[str]) -> bool:
    """True if the script takes everything from a module (`import *`), and lacks nothing but what the program defines."""
    everything = {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.names[0].name == "*"}
    return not everything.isdisjoint(modules) and _unknown(nodes) - stars.brought(nodes) <= defined


def _optional(nodes: list[ast.AST], importable: set[str]) -> set[int]:
    """The ids of what stands in a `try` that goes on where a module is not there, and of what is instead of one that is."""
    tries = [n for n in nodes if isinstance(n, ast.Try) and any(map(_goes_on, n.handlers))]
    bodies: list[Sequence[ast.AST]] = [node.body for node in tries]
    for node in tries:
        names = [top_of(name) for statement in node.body for n in ast.walk(statement) for name, _ in imports_of(n)]
        bodies += [node.handlers] if names and importable.issuperset(names) else []
    return {id(part) for body in bodies for statement in body for part in ast.walk(statement)}


_IDLE = (ast.FunctionDef, ast.AsyncFunctionDef, ast.If, ast.For, ast.While, ast.Match, ast.ExceptHandler)


def _idle(nodes: list[ast.AST]) -> set[int]:
    """The ids of what a run need not come to."""
    return {id(part) for node in nodes if isinstance(node, _IDLE) for part in ast.walk(node)}


def _goes_on(handler: ast.ExceptHandler) -> bool:
    return handler.type is None or any(
        name in ast.unparse(handler.type) for name in ("Import", "NotFound", "Exception")
    )


def _unknown(nodes: list[ast.AST]) -> set[str]:
    """Names that only the program can have bound."""
    return {name for name in loads(nodes) if not hasattr(builtins, name) and name not in ("__file__", "__name__")}


_USUAL = frozenset(
    "solution solutions program main submission answer candidate implementation code_solution your_module my_module "
    "module_name target solution_module student".split()
)


def imports_of(node: ast.AST) -> Iterator[tuple[str, list[str]]]:
    """Modules that a statement imports, with the names that it takes from them. The name of a relative one may be empty."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield alias.name, []
    elif isinstance(node, ast.ImportFrom):
        if node.level and not node.module:
            for alias in node.names:
                yield alias.name, []
        else:
            yield node.module or "", [alias.name for alias in node.names]
    elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
        name = str(node.args[0].value)
        if _plain(name) in _USUAL and ast.unparse(node.func) in _IMPORTERS:
            yield name, []


_IMPORTERS = frozenset(("import_module", "importlib.import_module", "__import__"))


def top_of(name: str) -> str:
    return name.partition(".")[0]


def is_module(name: str, nodes: list[ast.AST]) -> bool:
    """True if a test does nothing with what it imports by this name but to take something from it."""
    imports = [node for node in nodes if isinstance(node, ast.ImportFrom)]
    names = {alias.asname or name for node in imports for alias in node.names if alias.name == name}
    bases = {id(node.value) for node in nodes if isinstance(node, ast.Attribute)}
    uses = [node for node in nodes if isinstance(node, ast.Name) and node.id in names]
    return bool(uses) and all(id(node) in bases for node in uses)


def _plain(name: str) -> str:
    return name.rpartition(".")[2]


def loads(nodes: list[ast.AST]) -> set[str]:
    return {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)} - bound(nodes)


def bound(nodes: Iterable[ast.AST]) -> set[str]:
    """Names that the script itself gives a value."""
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef)):
            names.add(node.name)
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            names.add(node.id)
        elif isinstance(node, ast.arg):
            names.add(node.arg)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names.update((alias.asname or alias.name).partition(".")[0] for alias in node.names)
        elif isinstance(node, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)) and node.name:
            names.add(node.name)
        elif isinstance(node, ast.MatchMapping) and node.rest:
            names.add(node.rest)
    return names


def names_defined(statements: Iterable[ast.stmt]) -> set[str]:
    """Names that programs give a value at their top level, of which these are the statements."""
    names: set[str] = set()
    for node in statements:
        if isinstance(node, DEFINITIONS):
            names.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):  # a test may live on the program's imports
            names |= bound([node]) - {"*"}
        elif isinstance(node, (ast.Assign, ast.AnnAssign, ast.If, ast.Try, ast.For, ast.With)):
            names |= bound(ast.walk(node)) if not isinstance(node, ast.If) or not is_guard(node) else set()
    return names


def modules_needed(statements: Iterable[ast.stmt]) -> set[str]:
    """Modules that programs import at their top level, by the first part of their names."""
    own = [node for node in statements if not getattr(node, "level", 0)]
    return {top_of(name) for node in own for name, _ in imports_of(node)}


def statements_of(sources: Iterable[str]) -> Iterator[ast.stmt]:
    """What stands at the top level of programs."""
    for source in sources:
        try:
            yield from ast.parse(source).body
        except (SyntaxError, ValueError, RecursionError):  # a reference that is no Python defines nothing
            continue
