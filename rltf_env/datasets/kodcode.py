"""KodCode (Xu et al. 2025, arXiv 2503.02951): synthetic problems, each with a reference and a pytest suite.

Read from rows as the hub's `KodCode/KodCode-V1` has them. The suite imports the program from `solution`;
here program and test share their names, so that import is left away, line for line. The suite is one
`ScriptCase`, of which the judge reports each test function. Suites that use the module `solution` in
another way are left out.
"""

from __future__ import annotations

import ast
from functools import partial
from typing import Any

from rltf_env.core import Problem, Problems, ScriptCase
from rltf_env.datasets import _contests, _tables
from rltf_env.datasets._files import Root, parse_python
from rltf_env.datasets._tables import Row, Table, text

SPLITS = ("train",)
MODULE = "solution"
TABLE = Table(
    "kodcode",
    "KodCode/KodCode-V1",
    {"train": "train"},
    "Get the rows of the public data set KodCode/KodCode-V1 (CC BY-NC 4.0) as parquet or JSON lines, and pass root=FOLDER or "
    "set RLTF_DATA to the folder that holds kodcode/; or root='hub'.",
)


def load(split: str = "train", root: Root = None, *, limit: int | None = None) -> Problems:
    """The problems of the only split, `train`.

    Args:
        root: the common data folder, the set's own, a file, or `"hub"`.
        limit: look at the first so many rows only.
    """
    return _tables.collect(TABLE, split, root, partial(_problem), limit=limit)


def _problem(row: Row) -> Problem | str:
    suite = text(row, "test_code", text(row, "test", ""))
    if not suite.strip():
        return "no tests"
    script = _without_import(suite, f"{row.where}, test_code")
    if script is None:
        return "its tests use the module 'solution' itself"
    about: dict[str, Any] = next(iter(_tables.records(row, "test_info")), {})
    solution = text(row, "solution", "")
    return Problem(
        id=f"kodcode/{row.value.get('question_id') or row.number}",
        statement=text(row, "question"),
        cases=(ScriptCase(script),),
        entry_point=about.get("function_name") or None,
        solutions=(solution,) if solution.strip() else (),
        difficulty=text(row, "gpt_difficulty", ""),
        starter=about.get("function_declaration") or "",
        meta={
            "style": "plain",
            **_contests.noted(
                {
                    "source": text(row, "subset", ""),
                    "form": text(row, "style", ""),
                    "pass_rate": row.value.get("gpt_pass_percentage"),
                }
            ),
        },
    )


def _without_import(suite: str, where: str) -> str | None:
    """The suite without `from solution import ...`, its lines where they were; None if it uses the module otherwise."""
    tree = parse_python(suite, where)
    lines = suite.split("\n")
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module == MODULE and not node.level:
            if any(alias.asname for alias in node.names):
                return None
            first, last = node.lineno - 1, node.end_lineno or node.lineno
            lines[first:last] = [""] * (last - first)
    left = "\n".join(lines)
    nodes = list(ast.walk(parse_python(left, where)))
    imported = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    return None if MODULE in imported else left
