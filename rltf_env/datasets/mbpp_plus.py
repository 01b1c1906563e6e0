"""MBPP+ (Liu et al. 2023, arXiv 2305.01210): 378 problems of MBPP with some 35 times as many tests.

Read from rows of the hub's `evalplus/mbppplus`, or from EvalPlus's release (`MbppPlus-v0.2.0.jsonl`).
The release's inputs are JSON, in which tuples have become lists and complex numbers texts; which of
them have to be turned back is a table in the evalplus package, so reading the release needs that
package (`pip install evalplus`). Four tasks for which EvalPlus accepts other answers than the reference's
are left out of the release, and judged by their own text in the rows. The asserts of MBPP are shown.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Sequence
from functools import partial
from typing import Any

from rltf_env.core import Problem, Problems, ScriptCase
from rltf_env.datasets import _evalplus, _tables, mbpp
from rltf_env.datasets._files import Root
from rltf_env.datasets._tables import Row, Table, text
from rltf_env.datasets.humaneval_plus import fetched
from rltf_env.errors import DataError, MissingData

SPLITS = ("test",)
RELEASE = "MbppPlus-v0.2.0.jsonl"
OWN_ORACLES = frozenset({"164", "295", "558", "581"})  # other answers than the reference's are right too
TABLE = Table(
    "mbpp_plus",
    "evalplus/mbppplus",
    {"test": "test"},
    "Get the rows of the public data set evalplus/mbppplus (Apache-2.0) as test.jsonl or as parquet, or EvalPlus's release "
    f"{RELEASE}, and pass root=FILE or set RLTF_DATA to the folder that holds mbpp_plus/; or root='hub'.",
)


def load(split: str = "test", root: Root = None, *, limit: int | None = None) -> Problems:
    """The problems of the only split, `test`.

    Args:
        root: the common data folder, the set's own, a file, or `"hub"`. Without it, and without
            $RLTF_DATA's, the file that the evalplus package has fetched, if it has.
        limit: look at the first so many rows only.

    Raises:
        MissingData: the release, without the evalplus package.
    """
    return _tables.collect(TABLE, split, fetched(root, TABLE.name, RELEASE), partial(_problem), limit=limit)


def _problem(row: Row) -> Problem | str:
    return _of_release(row) if "base_input" in row.value else _of_table(row)


def _of_table(row: Row) -> Problem | str:
    code, shown = text(row, "code"), _tables.names(row, "test_list")
    test = text(row, "test")
    name = re.search(r"assertion\((\w+)\(\*inp\)", test)
    setup = "\n".join(_tables.names(row, "test_imports"))
    if not test.strip():
        return "no tests"
    return Problem(
        id=f"mbpp_plus/{row.value.get('task_id') or row.number}",
        statement=text(row, "prompt"),
        cases=_evalplus.cases_of(test, name[1] if name else "", row),
        entry_point=name[1] if name else _called(shown, code, row),
        examples=tuple(ScriptCase(each, setup) for each in shown),
        solutions=(code,),
        meta={"style": "mbpp"},
    )


def _called(shown: Sequence[str], code: str, row: Row) -> str:
    """The function of the reference that the asserts call."""
    name = mbpp.entry_point_of(code, shown, row.where)
    if name is None:
        raise DataError(f"{row.where}: expected asserts that call a function of the code, got {list(shown)[:1]}.")
    return name


def _of_release(row: Row) -> Problem | str:
    id, prompt, name = text(row, "task_id"), text(row, "prompt"), text(row, "entry_point")
    number = id.rpartition("/")[2]
    if number in OWN_ORACLES:
        return "EvalPlus takes other answers than the reference's for right too"
    convert, as_sets, not_none = _table()
    inputs: list[Any] = []
    for field in ("base_input", "plus_input"):
        inputs += convert(id, _evalplus.arguments(row, field))
    if not inputs:
        return "no tests"
    same = _evalplus.AS_SETS if name in as_sets else _evalplus.NOT_NONE if name in not_none else _evalplus.SAME
    reference = prompt + text(row, "canonical_solution")
    return Problem(
        id=f"mbpp_plus/{number}",
        statement=prompt.strip().strip('"').strip(),
        cases=tuple(_evalplus.compared(inputs, reference, name, atol=_evalplus.tolerance(row), same=same)),
        entry_point=name,
        solutions=(reference,),
        meta={"style": "plain"},
    )


def _table() -> tuple[Any, Sequence[str], Sequence[str]]:
    """How EvalPlus turns JSON back into arguments, and whose results it compares as sets or by being there."""
    try:
        table = importlib.import_module("evalplus.data.mbpp")
        special = importlib.import_module("evalplus.eval._special_oracle")
    except ImportError as error:
        raise MissingData(
            f"Expected the evalplus package, whose table says how the arguments of {RELEASE} are to be read, got {error}. "
            "Install it (pip install evalplus), or read the rows of evalplus/mbppplus, which need no such table."
        ) from error
    return table.mbpp_deserialize_inputs, special.MBPP_OUTPUT_SET_EQ_TASKS, special.MBPP_OUTPUT_NOT_NONE_TASKS
