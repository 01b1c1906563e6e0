"""KodCode (Xu et al. 2025, arXiv 2503.02951): synthetic problems, each with a reference and a pytest suite.

Read from rows as the hub's `KodCode/KodCode-V1` has them. The suite imports the program from `solution`,
as the judge lets it. It is one `ScriptCase`, of which the judge reports each test function.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from rltf_env.core import Problem, Problems, ScriptCase
from rltf_env.datasets import _contests, _tables
from rltf_env.datasets._files import Root, parse_python
from rltf_env.datasets._tables import Row, Table, text

SPLITS = ("train",)
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
    parse_python(suite, f"{row.where}, test_code")
    about: dict[str, Any] = next(iter(_tables.records(row, "test_info")), {})
    solution = text(row, "solution", "")
    return Problem(
        id=f"kodcode/{row.value.get('question_id') or row.number}",
        statement=text(row, "question"),
        cases=(ScriptCase(suite),),
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
