"""No file and no folder imports one that imports it: the arrows are read from the sources, also inside functions."""

from __future__ import annotations

import ast
from collections.abc import Container, Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("rltf_env", "agents", "benchmarks")
# Packages of whose folders, too, none imports another that imports it; a file beside them counts as a folder.
ROOMS = ("rltf_env", "rltf_env.sandbox", "agents", "benchmarks")


def modules() -> dict[str, ast.Module]:
    names = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in sources()
    }
    return {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in names.items()}


@cache
def project() -> dict[str, set[str]]:
    """The arrows of the project, read once for all tests."""
    return arrows(modules())


def arrows(trees: Mapping[str, ast.Module]) -> dict[str, set[str]]:
    """Which of the modules each imports, also inside functions, and for a type checker alone."""
    return {
        name: {other for other in imports(tree, trees) if other in trees and other not in (name, *PACKAGES)}
        for name, tree in trees.items()
    }


def imports(tree: ast.AST, known: Container[str]) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = (f"{node.module}.{alias.name}" for alias in node.names)
            yield from (name if name in known else node.module for name in names)
        elif isinstance(node, ast.Call) and node.args and called(node).endswith("import_module"):
            yield from (str(each.value) for each in ast.walk(node.args[0]) if isinstance(each, ast.Constant))


def called(call: ast.Call) -> str:
    """The last part of the name of what is called; "" if it has none."""
    return getattr(call.func, "attr", "") or getattr(call.func, "id", "")


def rooms(edges: Mapping[str, set[str]], package: str) -> dict[str, set[str]]:
    """The arrows between the folders of a package; a file beside them is a room of its own."""
    depth = package.count(".") + 2
    found: dict[str, set[str]] = {}
    for module in (name for name in edges if within(name, package)):
        room = ".".join(module.split(".")[:depth])
        others = {".".join(other.split(".")[:depth]) for other in edges[module] if within(other, package)}
        found[room] = (found.get(room, set()) | others) - {room, package}
    return found


def circles(edges: Mapping[str, set[str]]) -> set[frozenset[str]]:
    """Sets of nodes each of which can be reached from each of the others."""
    reach = {node: reachable(edges, node) for node in edges}
    return {frozenset(other for other in reach[node] if node in reach[other]) for node in edges if node in reach[node]}


def reachable(edges: Mapping[str, set[str]], start: str) -> set[str]:
    found: set[str] = set()
    ahead = [start]
    while ahead:
        new = edges.get(ahead.pop(), set()) - found
        found |= new
        ahead += new
    return found


def test_no_file_imports_one_that_imports_it() -> None:
    found = circles(project())
    assert not found, f"these files import each other: {[sorted(circle) for circle in found]}"


@pytest.mark.parametrize("package", ROOMS)
def test_no_folder_imports_one_that_imports_it(package: str) -> None:
    found = circles(rooms(project(), package))
    assert not found, f"these folders import each other: {[sorted(circle) for circle in found]}"


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ({"p.a": "import p.b", "p.b": "import p.a"}, {"p.a", "p.b"}),
        (
            {"p.a": "from p import b", "p.b": "def f():\n    from p.c import x", "p.c": "import p.a"},
            {"p.a", "p.b", "p.c"},
        ),
        ({"p.a": "from p import b", "p.b": "if TYPE_CHECKING:\n    from p.a import x"}, {"p.a", "p.b"}),
        ({"p.a": "import importlib, p.b", "p.b": "x = importlib.import_module('p.a')"}, {"p.a", "p.b"}),
        ({"p.a": "import p.b", "p.b": "import p.c", "p.c": ""}, set()),
    ],
)
def test_a_circle_is_seen(texts: dict[str, str], expected: set[str]) -> None:
    found = circles(arrows({name: ast.parse(text) for name, text in texts.items()}))
    assert found == ({frozenset(expected)} if expected else set())


def test_a_circle_of_folders_is_seen() -> None:
    edges = {"p.a.x": {"p.b.x"}, "p.b.x": set(), "p.b.y": {"p.a.y"}, "p.a.y": set()}
    assert not circles(edges)
    assert circles(rooms(edges, "p")) == {frozenset({"p.a", "p.b"})}
    assert circles(rooms({f"q.{a}": {f"q.{b}" for b in bs} for a, bs in edges.items()}, "q.p")) == {
        frozenset({"q.p.a", "q.p.b"})
    }


def sources() -> list[Path]:
    return [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def within(name: str, root: str) -> bool:
    return name == root or name.startswith(f"{root}.")
