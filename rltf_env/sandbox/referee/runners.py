"""Who has to run a script's tests: read from its syntax tree."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from rltf_env.sandbox.referee import made_tests
from rltf_env.sandbox.referee.asserting import dotted, name_of
from rltf_env.sandbox.referee.made_tests import DEFINITIONS, Function

_MODULE = frozenset(("setUpModule", "tearDownModule"))  # which pytest calls for functions, too
_XUNIT = frozenset("setup_module teardown_module setup_function teardown_function pytest_generate_tests".split())


def runner_of(
    top: list[ast.stmt], functions: list[Function], classes: list[tuple[ast.ClassDef, bool]], nodes: list[ast.AST]
) -> str:
    """Who has to run the tests: unittest where it gives what pytest would, since it is many times quicker."""
    made = made_tests.in_script(top, nodes)
    names = {node.name for node in top if isinstance(node, Function)}
    if not (functions or classes or made or "load_tests" in names or _makes_cases(top)):
        return "plain"
    plain = all(isinstance(f, ast.FunctionDef) and not f.decorator_list and not _parameters(f) for f in functions)
    plain = plain and not any(isinstance(node, (ast.Yield, ast.YieldFrom)) for f in functions for node in ast.walk(f))
    own = all(unittest for _, unittest in classes) and not (made and made_tests.of_pytest(nodes))
    fixtures = any("pytest" in ast.unparse(d) for n in nodes if isinstance(n, DEFINITIONS) for d in n.decorator_list)
    own = own and not any(map(_is_for_pytest, nodes)) and not (functions and names & _MODULE)
    return "unittest" if plain and own and not fixtures and not names & _XUNIT else "pytest"


def calls_itself(top: list[ast.stmt], functions: list[Function], classes: list[tuple[ast.ClassDef, bool]]) -> bool:
    """True if the script calls a test of its own: it is no suite to be collected, but runs as it stands.

    A decorator called `test` is such a test, too, and so is the method of `TestCases().test_sum()`. What is called behind
    `if __name__ == "__main__":` can be collected, unless no runner could call it.
    """
    names = {function.name for function in functions}
    definitions = [part for part in top if isinstance(part, DEFINITIONS)]
    if any(names & {ast.unparse(decorator) for decorator in part.decorator_list} for part in definitions):
        return True
    own = [part for part in top if not isinstance(part, DEFINITIONS) and not is_guard(part)]
    called = [node.func for part in own for node in ast.walk(part) if isinstance(node, ast.Call)]
    methods = {method.name for node, _ in classes for method in methods_of(node)}
    by_name = any(isinstance(f, ast.Name) and f.id in names for f in called)
    by_attribute = any(isinstance(f, ast.Attribute) and f.attr in methods for f in called)
    return by_name or by_attribute or _calls_by_hand(top, functions, classes)


def _calls_by_hand(top: list[ast.stmt], functions: list[Function], classes: list[tuple[ast.ClassDef, bool]]) -> bool:
    """True if tests are called as no runner could call them, as in `main()` or behind `if __name__ == "__main__":`.

    They are given what they test (`test_sort(quick_sort)`), have to raise (`test.assertRaises(TypeError, test.test_none)`), or
    their class does not listen for which test it is made.
    """
    own = {node.name for node in top if isinstance(node, Function)}  # a parameter may have the name of a fixture
    methods = [(node, method) for node, _ in classes for method in methods_of(node) if not node.decorator_list]
    needy = {test.name for test in [*functions, *(method for _, method in methods)] if _required(test) - {"self", *own}}
    deaf = {method.name for node, method in methods if any(map(_is_deaf, node.body))}
    if not (needy or methods):
        return False
    calls = [(name_of(n.func), [*n.args, *n.keywords]) for n in _own_run(top) if isinstance(n, ast.Call)]
    raising = {name_of(part) for name, parts in calls if name.startswith("assert") for part in parts}
    given = {name for name, parts in calls if parts}
    return bool(given & needy or {name for name, _ in calls} & deaf or raising & {method.name for _, method in methods})


def _own_run(top: list[ast.stmt]) -> list[ast.AST]:
    """What a script runs by itself, with its functions and methods that this calls."""
    bodies = [top, *(node.body for node in top if isinstance(node, ast.ClassDef))]
    functions = {node.name: node for body in bodies for node in body if isinstance(node, Function)}
    waiting: list[ast.stmt] = [part for part in top if not isinstance(part, DEFINITIONS)]
    nodes: list[ast.AST] = []
    while waiting:
        more = list(ast.walk(waiting.pop()))
        nodes += more
        called = {name_of(node.func) for node in more if isinstance(node, ast.Call)}
        waiting += [functions.pop(name) for name in called & functions.keys()]
    return nodes


def _required(test: Function) -> set[str]:
    """The parameters without which a test cannot be called. What a decorator may give it is none."""
    args = [*test.args.posonlyargs, *test.args.args]
    return set() if test.decorator_list else {arg.arg for arg in args[: len(args) - len(test.args.defaults)]}


def _is_deaf(node: ast.stmt) -> bool:
    """True for an `__init__` that does nothing with what it is given, as the name of a test is."""
    if not isinstance(node, ast.FunctionDef) or node.name != "__init__":
        return False
    given = {arg.arg for arg in ast.walk(node.args) if isinstance(arg, ast.arg)} - {"self"}
    return given.isdisjoint(n.id for n in ast.walk(node) if isinstance(n, ast.Name))


def uncalled(scope: Sequence[ast.AST], nodes: Sequence[ast.AST]) -> list[Function]:
    """Of a script the functions, and the methods of tests, that nobody calls. `nodes`: all that is in it."""
    called = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    called |= {n.attr for n in nodes if isinstance(n, ast.Attribute)}
    return [n for n in scope if isinstance(n, Function) and n.name not in called]


def methods_of(node: ast.ClassDef) -> list[Function]:
    """The tests of a class."""
    return [part for part in node.body if isinstance(part, Function) and part.name.startswith("test")]


def is_guard(node: ast.stmt) -> bool:
    """True for `if __name__ == "__main__":`."""
    return isinstance(node, ast.If) and "__name__" in {n.id for n in ast.walk(node.test) if isinstance(n, ast.Name)}


def _makes_cases(top: list[ast.stmt]) -> bool:
    """True if a script makes a class of unittest's by other means than `class` at its top level.

    `TestA = make(A)` where `make` has such a class inside, `type("TestA", (TestCase,), {...})`, or `Machine.TestCase`, where
    hypothesis keeps one.
    """
    makers = {node.name for node in top if isinstance(node, Function) and any(map(_is_case_class, ast.walk(node)))}
    own = {node.name for node in top if isinstance(node, ast.ClassDef)}  # a table of cases has its `TestCase`, too
    values = [node.value for node in top if isinstance(node, ast.Assign)]
    called = {id(n.func) for value in values for n in ast.walk(value) if isinstance(n, ast.Call)}
    for value in values:
        parts = [part for part in ast.walk(value) if isinstance(part, (ast.Name, ast.Attribute))]
        names = {dotted(part) for part in parts if id(part) not in called}
        calls = {dotted(part) for part in parts if id(part) in called}
        alias = dotted(value) == "unittest.TestCase"
        if calls & makers or (not alias and any(name.endswith("TestCase") and name not in own for name in names)):
            return True
    return False


def _is_case_class(node: ast.AST) -> bool:
    return isinstance(node, ast.ClassDef) and any(ast.unparse(base).endswith("TestCase") for base in node.bases)


def _is_for_pytest(node: ast.AST) -> bool:
    """True for what only pytest understands: outcomes that are no failures, marks of a module, what is not to be collected."""
    if isinstance(node, ast.Name):
        return node.id in ("pytestmark", "__test__")
    if isinstance(node, ast.ImportFrom):
        return node.module == "pytest" and any(alias.name in _OUTCOMES for alias in node.names)
    if isinstance(node, ast.Attribute) and node.attr == "__test__":
        return True
    return isinstance(node, ast.Attribute) and node.attr in _OUTCOMES and ast.unparse(node.value) == "pytest"


_OUTCOMES = frozenset(("skip", "xfail", "importorskip", "exit"))


def _parameters(node: Function) -> bool:
    a = node.args
    return bool(a.args or a.posonlyargs or a.kwonlyargs or a.vararg or a.kwarg)
