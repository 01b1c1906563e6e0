"""AceCode-87K (Zeng et al. 2025, arXiv 2502.01718): questions with asserts that a model wrote, and no reference.

Read from rows as the hub's `TIGER-Lab/AceCode-87K` has them. Each assert is a `ScriptCase`. The models'
answers in `inferences` say how many of the asserts they pass; those that pass all serve as references,
so that `rltf check acecode` can look at them.
"""

from __future__ import annotations

import ast
import builtins
from functools import partial

from rltf_env import answers
from rltf_env.core import Problem, Problems, ScriptCase
from rltf_env.datasets import _contests, _tables
from rltf_env.datasets._files import Root, parse_python
from rltf_env.datasets._tables import Row, Table, text
from rltf_env.errors import DataError

SPLITS = ("train",)
TABLE = Table(
    "acecode",
    "TIGER-Lab/AceCode-87K",
    {"train": "train"},
    "Get the rows of the public data set TIGER-Lab/AceCode-87K (MIT) as parquet or JSON lines, and pass root=FOLDER or set "
    "RLTF_DATA to the folder that holds acecode/; or root='hub'.",
)


def load(split: str = "train", root: Root = None, *, references: int = 2, limit: int | None = None) -> Problems:
    """The problems of the only split, `train`.

    Args:
        root: the common data folder, the set's own, a file, or `"hub"`.
        references: answers that pass all asserts, of which so many are kept.
        limit: look at the first so many rows only.
    """
    return _tables.collect(TABLE, split, root, partial(_problem, references=references), limit=limit)


def _problem(row: Row, references: int) -> Problem | str:
    tests = _tables.names(row, "test_cases")
    if not tests:
        return "no tests"
    name = _called(tests[0], f"{row.where}, test_cases")
    answered = [each for each in _tables.records(row, "inferences") if each.get("pass_rate") == 1]
    said = [answers.extract(str(each.get("completion") or ""), name).program for each in answered[:references]]
    rates = [rate for each in _tables.records(row, "inferences") if (rate := each.get("pass_rate")) is not None]
    if not all(isinstance(rate, int | float) for rate in rates):
        raise DataError(f"{row.where}, inferences: expected each pass_rate to be a number, got {rates[:3]}.")
    return Problem(
        id=f"acecode/{row.value.get('id') or row.number}",
        statement=text(row, "question"),
        cases=tuple(map(ScriptCase, tests)),
        entry_point=name,
        solutions=tuple(program for program in said if program.strip()),
        meta={
            "style": "plain",
            **_contests.noted(
                {"source": text(row, "source", ""), "pass_rate": sum(rates) / len(rates) if rates else None}
            ),
        },
    )


def _called(test: str, where: str) -> str | None:
    """The function that an assert is about: the innermost that it calls by a plain name, other than Python's and its own."""
    tree = parse_python(test, where)
    if not any(isinstance(node, ast.Assert) for node in ast.walk(tree)):
        raise DataError(f"{where}: expected asserts, got {test[:60]!r}.")
    nodes = list(ast.walk(tree))
    calls = [node.func for node in nodes if isinstance(node, ast.Call)]
    own = {(alias.asname or alias.name).partition(".")[0] for alias in nodes if isinstance(alias, ast.alias)}
    own |= {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)} | _BUILT_IN
    return next((call.id for call in reversed(calls) if isinstance(call, ast.Name) and call.id not in own), None)


_BUILT_IN = frozenset(dir(builtins))
