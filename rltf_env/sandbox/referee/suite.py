"""What kind of test a script is: who runs it, where it gets the program from, and what it would be a fault of its own to lack.

All of it is read from the script's syntax tree; nothing runs here.
"""

from __future__ import annotations

import ast
import builtins
import sys
from collections.abc import Container, Iterable, Iterator
from typing import Any, NamedTuple, TypeGuard

from rltf_env.sandbox.referee import displays, made_tests, scopes, stars
from rltf_env.sandbox.referee.asserting import dotted, name_of
from rltf_env.sandbox.referee.failures import BadProblem
from rltf_env.sandbox.referee.imports import imports_of, is_module, loads, program_imports, top_of
from rltf_env.sandbox.referee.runners import (
    DEFINITIONS,
    Function,
    calls_itself,
    is_guard,
    methods_of,
    runner_of,
    uncalled,
)

_CASE = "unittest.TestCase"
_EXITS = frozenset(("sys.exit", "exit", "quit", "SystemExit", "os._exit"))
_RUNNERS = frozenset(("unittest.main", "pytest.main", "main", "doctest.testmod"))
_LOOKING_UP = frozenset(("eval", "exec", "globals", "vars"))


class Suite(NamedTuple):
    """A script as a test suite.

    Args:
        trees: setup and script, fit to be compiled: imports of the program are absolute, calls of a runner's main are gone.
        runner: "plain" (the script itself is the test), "unittest" or "pytest".
        visible: names of the test functions that there are to see, without those that the text may skip.
        runs: how often these are run, with all their parameters, as far as the text says; for what may take how long.
        modules: names under which the script imports the program.
        imported: names that it imports from the program.
        bare: names that it uses and nobody but the program can have bound.
        guarded: it does something behind `if __name__ == "__main__"`, and there is nothing else to run.
        missing: packages that it imports and that are not to be had, with their lines.
        absent: lines of such imports that a run need not come to.
        reads_source: it looks at the program's text, or may do so.
        brings: what it does before it imports the program, or runs its file, may matter: nobody is to run it before.
        raised: names of the exceptions that it raises itself.
        looks_up: it takes names from texts, so that its own text does not say which.
    """

    trees: list[ast.Module]
    runner: str
    visible: list[str]
    runs: int
    modules: list[str]
    imported: list[str]
    bare: list[str]
    guarded: bool
    missing: list[tuple[str, int]]
    absent: set[int]
    reads_source: bool
    brings: bool
    raised: set[str]
    looks_up: bool

    @property
    def collected(self) -> bool:
        """True if a runner has to collect its tests: run as a script, it would do nothing."""
        return self.runner != "plain"

    @property
    def program_names(self) -> set[str]:
        """Names that come from the program: it defines them, or they are its modules."""
        return {*self.bare, *self.imported, *map(top_of, self.modules)}


class _Script:
    """The syntax of a script, from which a suite is read.

    Args:
        texts: setup and script. Raises SyntaxError or ValueError if they are not Python.
    """

    def __init__(self, texts: list[str]) -> None:
        self.texts = texts
        self.trees = [ast.parse(text) for text in texts]
        self.nodes = [node for tree in self.trees for node in ast.walk(tree)]
        for node in self.nodes:
            displays.simplify(node)
        if any(map(_always, self.nodes)):
            self.nodes = [node for tree in self.trees for node in ast.walk(_straightened(tree))]
        self.used = {n.id for n in self.nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
        self.looks_up = not self.used.isdisjoint(_LOOKING_UP)
        self.top = [statement for tree in self.trees for statement in tree.body]
        self.guards = any(map(is_guard, self.top))
        inner = made_tests.in_blocks([part for part in self.top if not is_guard(part)])
        self.branches = [part for part in inner if not (isinstance(part, Function) and part.name in self.used)]
        self.functions = _test_functions([*self.top, *self.branches])
        self.classes = _test_classes([*self.trees, ast.Module(self.branches, [])])
        itself = calls_itself(self.top, self.functions, self.classes)
        self.runner = "plain" if itself else runner_of(self.top, self.functions, self.classes, self.nodes)

    def bare(self, program_names: set[str]) -> set[str]:
        """Names that it uses and nobody but the program can have bound."""
        names = self.used & scopes.of_module(*self.texts)[0] - {"__name__", "__file__", "__doc__"}
        names -= stars.brought(self.nodes) - program_names
        names = {name for name in names if not hasattr(builtins, name) or name in program_names}
        idle = uncalled(self.top, self.nodes) if self.runner == "plain" and not self.looks_up else []
        unused = {id(part) for function in idle if not function.decorator_list for part in ast.walk(function)}
        return (
            names & {n.id for n in self.nodes if isinstance(n, ast.Name) and id(n) not in unused} if unused else names
        )

    def visible(self) -> list[str]:
        """Names of the test functions that there are to see, without those that the text may skip."""
        found = [f.name for f in self.functions if not _may_be_skipped(f) and f not in self.branches]
        names = {id(node): name for tree in self.trees for name, node in classes_of(tree)}
        seen = [node for node, _ in self.classes if not _may_be_skipped(node) and id(node) in names]
        methods = [(names[id(node)], method) for node in seen for method in methods_of(node)]
        return [*found, *(f"{name}.{method.name}" for name, method in methods if not _may_be_skipped(method))]

    def runs(self) -> int:
        """How often its test functions are run, as far as the text says."""
        lists = _lists(self.top)
        methods = [(node, method) for node, _ in self.classes for method in methods_of(node)]
        total = sum(_times(function, lists) for function in self.functions)
        return max(total + sum(_times(node, lists) * _times(method, lists) for node, method in methods), 1)

    def raised(self) -> set[str]:
        """Names of the exceptions that it raises itself."""
        errors = [node.exc for node in self.nodes if isinstance(node, ast.Raise) and node.exc]
        return {name for error in errors for name in loads([*ast.walk(error)])}


def read(
    texts: list[str],
    entry_point: str,
    defined: set[str],
    packages: Iterable[str],
    needed: Container[str] = frozenset(),
) -> Suite:
    """Reads a script. Raises SyntaxError or ValueError if it is not Python.

    Args:
        texts: setup and script.
        entry_point: of the problem, may be empty.
        defined: names that the problem's reference solutions define.
        packages: third-party packages that a test may import.
        needed: modules that the reference solutions import, none of which is a program's own.
    """
    script, program_names = _Script(texts), {entry_point, *defined} - {""}
    importable = {*sys.stdlib_module_names, *packages} - stars.meant(script.nodes, program_names)
    imports = program_imports(script.nodes, importable, program_names, needed)
    bare, collected = script.bare(program_names), script.runner != "plain"
    visible, runs = (script.visible(), script.runs()) if collected else ([], 1)
    module_alone = "solution" not in program_names and is_module("solution", script.nodes)
    for tree in script.trees:
        _rewrite(tree, module_alone=module_alone, collected=collected)
    return Suite(
        script.trees,
        script.runner,
        visible,
        runs,
        imports.modules,
        imports.names,
        sorted(bare),
        guarded=script.guards and not collected,
        missing=imports.missing,
        absent=imports.absent,
        reads_source=any(word in text for text in texts for word in _SOURCE),
        brings=not bare and _brings(texts, script.top, imports.modules),
        raised=script.raised(),
        looks_up=script.looks_up,
    )


def suite_of(
    texts: list[str], entry_point: str, defined: set[str], options: dict[str, Any], needed: Container[str]
) -> Suite:
    """A script as a suite. Raises BadProblem if it needs what nobody has, SyntaxError or ValueError if it is not Python."""
    suite = read(texts, entry_point, defined, options["packages"], needed)
    if suite.missing:
        name, line = suite.missing[0]
        raise BadProblem(
            f"its test imports {name!r} (line {line}), which is neither in the standard library nor among the judge's "
            f"packages, and no module of the program's. Install it and name it: packages=({name.partition('.')[0]!r}, ...)"
        )
    return suite


# -------------------------------------------------------------------------------------------------------------- tests


def _test_functions(top: list[ast.stmt]) -> list[Function]:
    return [node for node in top if isinstance(node, Function) and node.name.startswith("test")]


def classes_of(node: ast.Module | ast.ClassDef, within: str = "") -> Iterator[tuple[str, ast.ClassDef]]:
    """The classes of a test, those inside of others too, by their names: `TestOuter.TestInner`."""
    for part in node.body:
        if isinstance(part, ast.ClassDef):
            yield within + part.name, part
            yield from classes_of(part, f"{within}{part.name}.")


def _test_classes(trees: list[ast.Module]) -> list[tuple[ast.ClassDef, bool]]:
    """Classes that a runner collects, and whether they are unittest's (or come from one that is)."""
    classes: list[tuple[ast.ClassDef, bool]] = []
    imports = [
        alias for tree in trees for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names
    ]
    cases = {alias.asname or alias.name for alias in imports if alias.name.endswith("TestCase")}
    cases |= {name for tree in trees for name, value in _lists(tree.body).items() if dotted(value) == _CASE}
    tested: set[str] = set()  # classes with tests, their own or inherited
    for name, node in [pair for tree in trees for pair in classes_of(tree)]:
        bases = {name_of(base) for base in node.bases}
        if methods_of(node) or bases & tested:
            tested.add(node.name)
        if any(base.endswith("TestCase") for base in bases) or bases & cases:
            if "." not in name:
                cases.add(node.name)
                classes.append((node, True))
        elif all(part.startswith("Test") for part in name.split(".")) and node.name in tested and not _is_made(node):
            classes.append((node, False))
    return classes


def _is_made(node: ast.ClassDef) -> bool:
    """True for a class whose objects its own code makes: pytest leaves it alone."""
    return any(isinstance(part, ast.FunctionDef) and part.name in ("__init__", "__new__") for part in node.body)


def _brings(texts: list[str], top: list[ast.stmt], modules: list[str]) -> bool:
    """True if a test may prepare something before it runs the program: what it finds imported, set, typed in or printed."""
    if not modules:
        return any(word in text for text in texts for word in _BRINGING)
    if len(modules) > 1:  # they are the same program: it is run once
        return False
    for statement in top:
        nodes = [] if isinstance(statement, DEFINITIONS) or is_guard(statement) else list(ast.walk(statement))
        if any(name == modules[0] for node in nodes for name, _ in imports_of(node)):
            return isinstance(statement, (ast.With, ast.For, ast.While))
        if any(map(_prepares, nodes)):
            return True
    return True


def _prepares(node: ast.AST) -> bool:
    if isinstance(node, (ast.Subscript, ast.Attribute)):
        return not isinstance(node.ctx, ast.Load)
    name = ast.unparse(node.value.func) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) else ""
    return bool(name) and not name.startswith(("sys.path.", "warnings.", "logging.", "pytest.importorskip"))


_BRINGING = ("solution.py", "run_module")
_SOURCE = ("getsource", "linecache", "traceback", "__file__", "solution.py", "findsource", "getblock")


def _may_be_skipped(node: Function | ast.ClassDef) -> bool:
    """True if a decorator may skip a test, or have it fail. What a program skips still counts as not passed."""
    names = [ast.unparse(decorator) for decorator in node.decorator_list]
    return any("skip" in name or "xfail" in name for name in names)


_UNKNOWN = 10  # sets of parameters where the text does not say how many there are


def _lists(top: list[ast.stmt]) -> dict[str, ast.expr]:
    return {
        target.id: node.value
        for node in top
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def _times(node: Function | ast.ClassDef, lists: dict[str, ast.expr]) -> int:
    """How many sets of parameters a test is run with."""
    times = 1
    for decorator in node.decorator_list:
        if isinstance(decorator, ast.Call) and name_of(decorator.func).endswith("parametrize"):
            rows = decorator.args[1] if len(decorator.args) > 1 else None
            rows = lists.get(rows.id, rows) if isinstance(rows, ast.Name) else rows
            times *= len(rows.elts) if isinstance(rows, (ast.List, ast.Tuple, ast.Set)) else _UNKNOWN
    return times


# ------------------------------------------------------------------------------------------------------------ rewriting


def _straightened(tree: ast.Module) -> ast.Module:
    """A script without its `if True:`, whose statements are run in any case, as others are."""
    for node in [*ast.walk(tree)][::-1]:  # the innermost first
        for name in ("body", "orelse", "finalbody"):
            block = getattr(node, name, None)
            if isinstance(block, list):
                block[:] = [part for each in block for part in (each.body if _always(each) else [each])]
    return tree


def _always(node: ast.AST) -> TypeGuard[ast.If]:
    return (
        isinstance(node, ast.If) and isinstance(node.test, ast.Constant) and bool(node.test.value) and not node.orelse
    )


def _rewrite(tree: ast.Module, *, module_alone: bool, collected: bool) -> None:
    """Makes relative imports absolute, and drops what would run the tests a second time.

    `module_alone`: `solution` is the program's module, wherever it is imported from, and no function of that name.
    """
    for body in [body for n in ast.walk(tree) if isinstance(body := getattr(n, "body", None), list)]:
        body[:] = [_absolute(part, module_alone) for part in body]
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            node.level = 0
            node.module = node.module or "solution"
    if collected:
        tree.body[:] = [part for part in tree.body if not is_guard(part) and not _runs_tests(part)]


def _absolute(statement: Any, module_alone: bool) -> Any:
    """`from . import solution` as `import solution`; `from solution import solution` only where that is a module."""
    if isinstance(statement, ast.ImportFrom) and {alias.name for alias in statement.names} == {"solution"}:
        own = statement.module == "solution" and module_alone
        if own or (statement.level and not statement.module):
            return ast.copy_location(ast.Import(statement.names), statement)
    return statement


def _runs_tests(statement: ast.stmt) -> bool:
    """True for `unittest.main()` and its kin, and for `sys.exit(...)` after a run of the script's own: a runner collects it."""
    if not isinstance(statement, (ast.Expr, ast.Raise)):
        return False
    names = [dotted(node.func) for node in ast.walk(statement) if isinstance(node, ast.Call)]
    return any(name in _RUNNERS for name in names) or any(name in _EXITS for name in names[:1])
