"""The walls between the parts, held by reading the sources: who may import whom, no print, no global randomness, nothing that
runs at import, nothing that a program wrote run outside the cage.

`WALLS` (`support/walls.py`) is the rule as a table. The checker itself is tested on snippets that must be
refused: it cannot pass by being blind.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from global_randomness import uses_global_rng
from walls import MAY_RUN, MAY_SEED, PEERS, WALLS

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("rltf_env", "agents", "benchmarks")
UNPICKLERS = {
    f"{module}.{call}" for module in ("pickle", "marshal", "cloudpickle", "dill") for call in ("load", "loads")
}
REGISTER = {  # what may run at import: ids for Gymnasium, and old import paths
    "gymnasium.register", "gymnasium.envs.registration.register", "rltf_env.registration.register",
    "rltf_env._moved.redirect", "rltf_env._starting.begin",  # the last for the command alone
}  # fmt: skip


class Checker(ast.NodeVisitor):
    """Collects what a module does that it may not: `(line, complaint)`."""

    def __init__(self, module: str, *, package: bool = False, prints: bool = False) -> None:
        self.module, self.package, self.prints = module, package, prints
        file = f"{module}.__init__" if package else module
        self.may = WALLS[max((name for name in WALLS if within(file, name)), key=len)]
        self.found: list[tuple[int, str]] = []
        self.others: set[str] = set()  # other people's packages that are imported somewhere
        self.origin: dict[str, str] = {}  # a local name -> the dotted name it stands for
        self.functions = self.forks = self.guarded = 0

    def complain(self, node: ast.AST, text: str) -> None:
        self.found.append((getattr(node, "lineno", 0), text))

    # ---- imports

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self.origin[alias.asname or alias.name.split(".")[0]] = (
                alias.name if alias.asname else alias.name.split(".")[0]
            )
            self.imported(node, alias.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        parts = self.module.split(".")
        base = parts[: len(parts) - node.level + self.package] if node.level else []
        source = ".".join([*base, *([node.module] if node.module else [])])
        for alias in node.names:
            name = f"{source}.{alias.name}"
            self.origin[alias.asname or alias.name] = name
            self.imported(node, name if is_module(name) else source)

    def imported(self, node: ast.AST, name: str) -> None:
        top = name.split(".")[0]
        if top in sys.stdlib_module_names:
            return
        if top in PACKAGES:
            if not any(within(name, allowed) for allowed in self.may.project):
                self.complain(node, f"{self.module} may not import {name}")
            return
        self.others.add(top)
        allowed = self.may.lazy if self.functions else self.may.eager
        if allowed is not None and top not in allowed and top not in (self.may.eager or ()):
            self.complain(node, f"{self.module} may not import {top}{'' if self.functions else ' at import'}")

    # ---- scopes

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        for outside in (*node.decorator_list, node.args):
            self.visit(outside)
        self.functions += 1
        for statement in node.body:
            self.visit(statement)
        self.functions -= 1

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self.functions += 1
        self.generic_visit(node)
        self.functions -= 1

    def visit_If(self, node: ast.If) -> None:
        test = ast.unparse(node.test)
        started = test == "__name__ == '__main__'"
        asleep = started or test in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
        self.functions += asleep  # such a body does not run at import
        self.guarded += started  # and such a one only where a person, or another process, starts the file
        for statement in node.body:
            self.visit(statement)
        self.functions -= asleep
        self.guarded -= started
        for statement in node.orelse:
            self.visit(statement)

    def visit_With(self, node: ast.With) -> None:
        forked = any(self.name(call.context_expr) == "torch.random.fork_rng" for call in node.items)
        self.forks += forked  # the global generator is lent, and given back as it was
        self.generic_visit(node)
        self.forks -= forked

    # ---- calls

    def visit_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Call) and not self.functions and self.name(node.value) not in REGISTER:
            self.complain(node, f"runs at import: {ast.unparse(node)[:60]}")
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        name, keywords = self.name(node), {keyword.arg: keyword.value for keyword in node.keywords}
        if name in ("print", "rich.print", "sys.stdout.write") and not (self.prints or self.guarded):
            self.complain(node, f"{name} in a library")
        if uses_global_rng(name, keywords) and not self.forks and self.module not in MAY_SEED:
            self.complain(node, f"global randomness: {name}")
        if (name in ("eval", "exec", "compile") or name in UNPICKLERS) and self.module not in MAY_RUN:
            self.complain(node, f"{name} outside the cage")
        if name == "torch.load" and ast.unparse(keywords.get("weights_only", ast.Constant(None))) != "True":
            self.complain(node, "torch.load without weights_only=True unpickles")
        if name in ("importlib.import_module", "__import__") and node.args and isinstance(node.args[0], ast.Constant):
            self.imported(node, str(node.args[0].value))
        self.generic_visit(node)

    def name(self, node: ast.AST) -> str:
        """The dotted name of what is called, by the name that it was imported from; "" if it has none."""
        parts: list[str] = []
        node = node.func if isinstance(node, ast.Call) else node
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return ""
        return ".".join([self.origin.get(node.id, node.id), *reversed(parts)])


def within(name: str, root: str) -> bool:
    return name == root or name.startswith(f"{root}.")


def is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))  # a package's own file is `__init__`, a module like another
    return path.with_suffix(".py").is_file() or path.is_dir()


def check(module: str, source: str, *, package: bool = False, prints: bool = False) -> Checker:
    checker = Checker(module, package=package, prints=prints)
    checker.visit(ast.parse(source))
    return checker


def complaints(module: str, source: str, **options: bool) -> list[tuple[int, str]]:
    return sorted(check(module, source, **options).found)


@cache  # two tests ask what each file does
def check_file(path: Path) -> Checker:
    relative = path.relative_to(ROOT)
    package = path.name == "__init__.py"
    module = ".".join(relative.parent.parts if package else relative.with_suffix("").parts)
    return check(
        module, path.read_text(encoding="utf-8"), package=package, prints=relative.as_posix() in entry_points()
    )


def sources() -> list[Path]:
    return [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


@cache
def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def entry_points() -> set[str]:
    """The files that may print: those whose prints the linter is told to ignore."""
    ignores = project()["tool"]["ruff"]["lint"].get("per-file-ignores", {})
    return {path for path, codes in ignores.items() if "T201" in codes}


# ------------------------------------------------------------------------------------------------------- the project


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_module_keeps_to_its_side_of_the_walls(path: Path) -> None:
    found = sorted(check_file(path).found)
    assert not found, "\n".join(f"{path.relative_to(ROOT)}:{line}: {text}" for line, text in found)


def test_only_programs_that_a_person_starts_may_print() -> None:
    for path in sorted(entry_points()):
        source = (ROOT / path).read_text(encoding="utf-8")
        assert path.endswith("__main__.py") or 'if __name__ == "__main__":' in source, f"{path} is no entry point"


def test_every_wall_stands_before_something() -> None:
    gone = [name for name in WALLS if not is_module(name)]
    assert not gone, f"WALLS rules modules that are not there: {gone}"


def test_what_is_imported_is_declared() -> None:
    table = project()["project"]
    lines = [*table["dependencies"], *(line for extra in table["optional-dependencies"].values() for line in extra)]
    declared = {distribution_name(re.split(r"[\[<>=!~; ]", line)[0]) for line in lines}
    providers = packages_distributions()
    imported = set().union(*(check_file(path).others for path in sources()))
    undeclared = {
        name
        for name in imported - PEERS
        if not declared & {distribution_name(each) for each in providers.get(name, [name])}
    }
    assert not undeclared, f"imported, but in no list of dependencies in pyproject.toml: {sorted(undeclared)}"


def distribution_name(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_tests_are_no_package_that_could_shadow_the_real_one() -> None:
    assert not list((ROOT / "tests").rglob("__init__.py"))


# ------------------------------------------------------------------------------------------------------- the checker


@pytest.mark.parametrize(
    ("module", "source", "expected"),
    [
        ("rltf_env.env", "from agents import rltf", "may not import agents"),
        ("rltf_env.env", "def f():\n    import benchmarks.metrics", "may not import benchmarks.metrics"),
        ("rltf_env.env", "import torch", "may not import torch at import"),
        (
            "rltf_env.env",
            "try:\n    import torch\nexcept ImportError:\n    torch = None",
            "may not import torch at import",
        ),
        ("rltf_env.env", "class A:\n    import transformers", "may not import transformers at import"),
        ("rltf_env.env", "import importlib\nx = importlib.import_module('torch')", "may not import torch at import"),
        ("rltf_env.env", "def f():\n    import requests", "may not import requests"),
        ("rltf_env.core", "import gymnasium", "may not import gymnasium"),
        ("rltf_env.core", "from rltf_env import plugins", "may not import rltf_env.plugins"),
        ("rltf_env.rewards.fine", "from rltf_env.sandbox import forkserver", "may not import rltf_env.sandbox"),
        ("rltf_env.rewards.fine", "from rltf_env import datasets", "may not import rltf_env.datasets"),
        ("rltf_env.rewards.fine", "from .. import datasets", "may not import rltf_env.datasets"),
        ("rltf_env.rewards.fine", "from ..sandbox import load", "may not import rltf_env.sandbox"),
        ("rltf_env.rewards.fine", "import rltf_env", "may not import rltf_env"),
        ("rltf_env.datasets.apps", "import rltf_env.matching", "may not import rltf_env.matching"),
        ("rltf_env.sandbox.cage.program", "import numpy", "may not import numpy"),
        ("rltf_env.sandbox.referee.process", "from rltf_env import core", "may not import rltf_env.core"),
        ("rltf_env.sandbox.subprocess", "def f(out):\n    exec(out)", "exec outside the cage"),
        ("rltf_env.sandbox.cage.program", "from rltf_env.errors import SandboxError", "may not import rltf_env.errors"),
        ("benchmarks.records.page", "from benchmarks import leaderboard", "may not import benchmarks.leaderboard"),
        ("benchmarks.records.report", "from agents.core import Policy", "may not import agents.core"),
        ("benchmarks.solvers.endpoint", "def f():\n    import torch", "may not import torch"),
        ("benchmarks.speed.peers.graders", "from rltf_env import core", "may not import rltf_env.core"),
        ("rltf_env.view.html", "from rltf_env import env", "may not import rltf_env.env"),
        ("rltf_env.sources.cycle", "from rltf_env import datasets", "may not import rltf_env.datasets"),
        ("rltf_env.tokenizers.bytes", "from rltf_env import datasets", "may not import rltf_env.datasets"),
        ("rltf_env.plain", "from rltf_env.datasets import _files", "may not import rltf_env.datasets._files"),
        ("agents.functional", "import numpy as np", "may not import numpy"),
        ("agents.functional", "from agents.core import Batch", "may not import agents.core"),
        ("agents.algorithms.rltf", "from benchmarks.metrics import pass_at_k", "may not import benchmarks.metrics"),
        ("rltf_env.env", "def f():\n    print('x')", "print in a library"),
        ("agents.algorithms.rltf", "from rich import print\ndef f():\n    print('x')", "rich.print in a library"),
        ("agents.algorithms.rltf", "import numpy as np\ndef f():\n    np.random.seed(0)", "numpy.random.seed"),
        ("agents.algorithms.rltf", "from numpy import random\ndef f():\n    return random.rand()", "numpy.random.rand"),
        ("agents.algorithms.rltf", "from random import choice\ndef f(x):\n    return choice(x)", "random.choice"),
        ("agents.algorithms.rltf", "import torch\ndef f():\n    torch.manual_seed(0)", "torch.manual_seed"),
        ("agents.algorithms.rltf", "import torch\ndef f(p):\n    return torch.multinomial(p, 1)", "torch.multinomial"),
        ("agents.algorithms.rltf", "import torch\ntorch.set_num_threads(1)", "runs at import"),
        (
            "agents.algorithms.rltf",
            "import warnings\nfor c in ():\n    warnings.simplefilter('ignore', c)",
            "runs at import",
        ),
        ("agents.algorithms.rltf", "def f(out):\n    return eval(out)", "eval outside the cage"),
        (
            "agents.algorithms.rltf",
            "import pickle\ndef f(out):\n    return pickle.loads(out)",
            "pickle.loads outside the cage",
        ),
        ("agents.algorithms.rltf", "import torch\ndef f(p):\n    return torch.load(p)", "weights_only"),
    ],
)
def test_checker_refuses(module: str, source: str, expected: str) -> None:
    found = complaints(module, source)
    assert len(found) == 1, found
    assert expected in found[0][1]


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("rltf_env.env", "from __future__ import annotations\nimport numpy as np\nfrom gymnasium import spaces"),
        ("rltf_env.env", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch"),
        ("rltf_env.tokenizers", "def f():\n    import transformers"),
        ("rltf_env.rewards.fine", "from rltf_env.rewards._options import number\nfrom rltf_env.core import Feedback"),
        ("rltf_env.rewards.fine", "from . import _options\nfrom ..core import Feedback"),
        ("rltf_env.sandbox.subprocess", "from rltf_env.matching import same"),
        ("rltf_env.sandbox.cage.program", "def f(code):\n    exec(compile(code, 'x', 'exec'))"),
        ("benchmarks.evaluate", "from agents.core import Policy\nfrom rltf_env import core"),
        ("benchmarks.solvers.policy", "import torch\nfrom agents.core import Policy"),
        ("agents.functional", "import math\nimport torch.nn.functional as F"),
        ("agents.algorithms.rltf", "import numpy as np\ndef f(seed):\n    return np.random.default_rng(seed).random()"),
        (
            "agents.algorithms.rltf",
            "import torch\ndef f():\n    with torch.random.fork_rng(devices=[]):\n        torch.manual_seed(0)",
        ),
        ("agents.algorithms.rltf", "import torch\ndef f(p, g):\n    return torch.multinomial(p, 1, generator=g)"),
        ("agents.algorithms.rltf", "import torch\ndef f(p):\n    return torch.load(p, weights_only=True)"),
        ("agents.algorithms.rltf", "import re\nX = re.compile('x')\nif __name__ == '__main__':\n    print(main())"),
        ("rltf_env.registration", "import gymnasium\ngymnasium.register(id='x')"),
    ],
)
def test_checker_lets_pass(module: str, source: str) -> None:
    assert not complaints(module, source)


def test_checker_knows_a_package_from_a_module_in_relative_imports() -> None:
    assert complaints("rltf_env.rewards", "from . import fine", package=True) == []
    assert complaints("rltf_env.rewards", "from .. import datasets", package=True) != []
