"""Which tests of a suite count where no reference has run them.

A program that runs beside its tests can write any results, so nothing is taken from it: neither which tests there are, nor
that one was skipped. Both are read from a run on a program that stands for any (`stand_ins.NULL`), and from the text.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from rltf_env.sandbox.referee.origins import Origins, is_of_program
from rltf_env.sandbox.referee.stand_ins import NAMELESS
from rltf_env.sandbox.referee.suite import Function, Suite, classes_of

Rows = dict[str, dict[str, Any]]  # results by the names of tests
_LEFT_OUT = "skipped"
_PASSED = "passed"


class Tally(NamedTuple):
    """The tests that count.

    Args:
        names: of tests that every program has to pass.
        loose: test functions whose sets of parameters come from the program; at least one set has to be passed.
    """

    names: list[str]
    loose: list[str]

    @classmethod
    def of(cls, rows: Rows, suite: Suite, program_names: set[str]) -> Tally:
        """Of a suite whose run on `NULL` came to these results.

        Args:
            program_names: names that the test has from the program.
        """
        xfail, loose = set(_expected_to_fail(suite)), set(_loose(suite, program_names))
        if suite.collected and not rows.keys() - {""}:  # that run left none: what the text shows has to do
            names = [name for name in suite.visible if name not in loose]
            return cls(names or [""] * (not loose), sorted(loose))
        left_out = {name for name, row in rows.items() if row.get("status") == _LEFT_OUT or row.get("xfail")}
        left_out |= {name for name in rows if NAMELESS in name.lower()}
        names = [name for name in rows if name not in left_out and method(name) not in xfail]
        bases = dict.fromkeys(map(base, names))
        return cls([n for n in names if base(n) not in loose] or [""] * (not loose), [b for b in bases if b in loose])

    @property
    def width(self) -> int:
        """How many tests there are, at least."""
        return len(self.names) + len(self.loose)

    def counted(self, rows: Rows) -> list[str]:
        """The tests that count for a program with these results. What it adds only counts if it is not passed."""
        names = dict.fromkeys(self.names)
        for function in self.loose:
            own = [name for name, row in rows.items() if base(name) == function and row.get("status") != _LEFT_OUT]
            names.update(dict.fromkeys(own or [function]))
        return with_failures(names, rows)


def with_failures(names: Iterable[str], rows: Rows) -> list[str]:
    """These tests, and those that a program fails beside them: one that its reference skips, or is to fail and passes."""
    names = dict.fromkeys(names)
    failed = [name for name, row in rows.items() if name and row.get("status") not in (_PASSED, _LEFT_OUT)]
    return [*names, *(name for name in failed if name not in names)]


def base(name: str) -> str:
    """The test function behind the name of one of its sets of parameters."""
    return name.partition("[")[0]


def method(name: str) -> str:
    """The last part of the name of a test function."""
    return base(name).rpartition(".")[2]


def runs_of(scope: str, rows: Iterable[str], suite: Suite) -> set[str]:
    """The test functions that run what the text has under the name `scope`: itself, and methods that classes inherit.

    A class that the script makes while it runs has its method from the only one in the text that has such a method.
    """
    owner, _, name = scope.rpartition(".")
    if not owner:
        return {scope}
    classes = {name: node for tree in suite.trees for name, node in classes_of(tree)}
    heirs = {base(row) for row in rows if method(row) == name}
    giving = [each for each, node in classes.items() if _defines(node, name)]
    made = {heir for heir in heirs if giving == [owner] and heir.rpartition(".")[0] not in classes}
    return {scope} | made | {heir for heir in heirs if _owner(heir.rpartition(".")[0], name, classes) == owner}


def _defines(node: ast.ClassDef, name: str) -> bool:
    return any(isinstance(part, Function) and part.name == name for part in node.body)


def _owner(name: str, wanted: str, classes: dict[str, ast.ClassDef]) -> str:
    """The class that gives a class its method `wanted`, as far as the text says; empty if it does not."""
    node = classes.get(name)
    if node is None:
        return ""
    if _defines(node, wanted):
        return name
    rest = {key: each for key, each in classes.items() if key != name}
    return next((o for parent in node.bases if (o := _owner(ast.unparse(parent), wanted, rest))), "")


def _functions(suite: Suite) -> Iterator[tuple[str, Function, list[ast.expr]]]:
    """Test functions by name, with their own decorators and those of their class."""
    for tree in suite.trees:
        for node in [node for node in tree.body if isinstance(node, Function)]:
            yield node.name, node, node.decorator_list
        for name, owner in classes_of(tree):
            for part in [part for part in owner.body if isinstance(part, Function)]:
                yield f"{name}.{part.name}", part, [*owner.decorator_list, *part.decorator_list]


def _expected_to_fail(suite: Suite) -> Iterator[str]:
    """Functions and methods that pytest may report as skipped since they failed as they should."""
    for _, node, decorators in _functions(suite):
        calls = [call.func for part in node.body for call in ast.walk(part) if isinstance(call, ast.Call)]
        marks = [d for d in decorators if "parametrize" not in ast.unparse(d)]  # of one set, the runner says so
        if any("xfail" in ast.unparse(part) for part in (*marks, *calls)):
            yield node.name


def _loose(suite: Suite, program_names: set[str]) -> Iterator[str]:
    program_names = Origins(suite.trees, set(program_names)).program_names
    for name, _, decorators in _functions(suite):
        if any("parametrize" in ast.unparse(d) and is_of_program(d, program_names) for d in decorators):
            yield name
