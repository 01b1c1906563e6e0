"""Where a test gets the program from: which of the modules that it imports stand for it, and which nobody has.

All of it is read from syntax trees.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Container, Iterable, Iterator, Sequence
from typing import NamedTuple

from rltf_env.sandbox.referee import stars
from rltf_env.sandbox.referee.asserting import dotted
from rltf_env.sandbox.referee.runners import DEFINITIONS, is_guard


class Imports(NamedTuple):
    """What a test imports that is not there.

    Args:
        modules: that stand for the program.
        names: what the test takes from them.
        missing: packages that nobody has, each with its line.
        absent: lines of such imports that no run need come to.
    """

    modules: list[str]
    names: list[str]
    missing: list[tuple[str, int]]
    absent: set[int]


class _Foreign(NamedTuple):
    """A module that is not there: what is taken from it, where (0: a test can do without), and whether a run may not come to it."""

    module: str
    names: list[str]
    line: int
    may_idle: bool


def program_imports(nodes: list[ast.AST], importable: set[str], defined: set[str], needed: Container[str]) -> Imports:
    """Sorts what is not there into the program and packages that nobody has.

    Args:
        nodes: of the test.
        importable: the first parts of the names of all modules that are there.
        defined: names that the program defines, as far as they are known.
        needed: the same of modules that the references import, too: those are packages.
    """
    foreign = _foreign(nodes, importable, defined)
    own = _of_program(foreign, nodes, importable, defined)
    own = {module for module in own if _plain(module) in _USUAL or top_of(module) not in needed}
    modules = list(dict.fromkeys(each.module or "solution" for each in foreign if each.module in own))
    taken = dict.fromkeys(name for each in foreign if each.module in own for name in each.names if name != "*")
    names = [name for name in taken if name not in modules or not is_module(name, nodes)]
    lacking = [each for each in foreign if each.module not in own and each.line]
    missing = [(each.module, each.line) for each in lacking if not each.may_idle]
    return Imports(modules, names, missing, {each.line for each in lacking if each.may_idle})


def _foreign(nodes: list[ast.AST], importable: set[str], defined: set[str]) -> list[_Foreign]:
    optional, idle, inner = _optional(nodes, importable), _idle(nodes), _submodules(nodes, defined)
    found = [
        _Foreign(module, names, 0 if id(node) in optional else getattr(node, "lineno", 0), id(node) in idle)
        for node in nodes
        for whole, parts in imports_of(node)
        for module, names in _divided(whole, parts, inner)
    ]
    found += [_Foreign(module, [], 0, True) for module in _fetched(nodes)]
    return [each for each in found if top_of(each.module) not in importable]


def _of_program(foreign: list[_Foreign], nodes: list[ast.AST], importable: set[str], defined: set[str]) -> set[str]:
    """The modules that stand for the program: by a usual name, or for what a reference defines; else the only one there is."""
    if not foreign:
        return set()
    inner = _submodules(nodes, defined)
    own = {each.module for each in foreign if not each.module or _plain(each.module) in _USUAL or each.module in inner}
    own |= {each.module for each in foreign if defined.intersection(each.names)}
    bases = _bases(nodes, defined)
    aliases = [alias for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    own |= {a.name for a in aliases if top_of(a.name) not in importable and (a.asname or top_of(a.name)) in bases}
    return own or _only_one(foreign, nodes, defined)


def _only_one(foreign: list[_Foreign], nodes: list[ast.AST], defined: set[str]) -> set[str]:
    """The one module or package that nobody has, of a test that takes the program from nowhere else."""
    from_elsewhere = _unknown(nodes)
    modules = [each.module for each in foreign if each.line]
    if not modules and not from_elsewhere:
        modules = [each.module for each in foreign]
    one = len(set(modules)) == 1 or (len({*map(top_of, modules)}) == 1 and not from_elsewhere)
    lacks_program = not defined & loads(nodes) or _by_star(nodes, modules, defined)
    return set(modules) if one and lacks_program else set()


def _bases(nodes: Iterable[ast.AST], defined: set[str]) -> set[str]:
    """Names of which the script takes what the program defines, as an attribute."""
    attributes = [node for node in nodes if isinstance(node, ast.Attribute) and node.attr in defined]
    return {node.value.id for node in attributes if isinstance(node.value, ast.Name)}


def _submodules(nodes: list[ast.AST], defined: set[str]) -> set[str]:
    """Modules that a script takes from a package, and from them what the program defines: `from shop import till`, `till.f`."""
    bases = _bases(nodes, defined)
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
        if isinstance(call, ast.Call) and call.args and dotted(call.func) in _IMPORTERS:
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
        if _plain(name) in _USUAL and dotted(node.func) in _IMPORTERS:
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
