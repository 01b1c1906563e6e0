"""HumanEval+ (Liu et al. 2023, arXiv 2305.01210): HumanEval's 164 problems with some 80 times as many tests.

Read from EvalPlus's release (`HumanEvalPlus-v0.1.10.jsonl`, also where the evalplus package keeps it), or
from rows of the hub's `evalplus/humanevalplus`; `_evalplus.py` tells how each is judged. HumanEval's
own tests are among them. The prompt is given code, as in `humaneval`.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from rltf_env.core import Case, Problem, Problems
from rltf_env.datasets import _evalplus, _tables
from rltf_env.datasets._files import VARIABLE, Root
from rltf_env.datasets._tables import Row, Table, text

SPLITS = ("test",)
RELEASE = "HumanEvalPlus-v0.1.10.jsonl"
ANY_ROOT = "HumanEval/32"
TABLE = Table(
    "humaneval_plus",
    "evalplus/humanevalplus",
    {"test": "test"},
    f"Get {RELEASE} of EvalPlus's release, or the rows of the public data set evalplus/humanevalplus (Apache-2.0), and "
    "pass root=FILE or set RLTF_DATA to the folder that holds humaneval_plus/; or root='hub'.",
)


def load(split: str = "test", root: Root = None, *, limit: int | None = None) -> Problems:
    """The problems of the only split, `test`.

    Args:
        root: the common data folder, the set's own, a file, or `"hub"`. Without it, and without
            $RLTF_DATA's, the file that the evalplus package has fetched, if it has.
        limit: look at the first so many rows only.
    """
    return _tables.collect(TABLE, split, fetched(root, TABLE.name, RELEASE), partial(_problem), limit=limit)


def fetched(root: Root, folder: str, release: str) -> Root:
    """`root`, or the release in the evalplus package's cache where nothing else is named."""
    common = os.environ.get(VARIABLE)
    if root is not None or (common and (Path(common).expanduser() / folder).is_dir()):
        return root
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "evalplus" / release
    return cache if cache.is_file() else root


def _problem(row: Row) -> Problem | str:
    prompt, solution, name, id = (text(row, key) for key in ("prompt", "canonical_solution", "entry_point", "task_id"))
    cases = _cases(row, prompt + solution, name, id)
    if not cases:
        return "no tests"
    return Problem(
        id=f"humaneval_plus/{id.rpartition('/')[2]}",
        statement=prompt,
        cases=cases,
        entry_point=name,
        solutions=(prompt + solution,),
        prefix=prompt,
        meta={"source": id},
    )


def _cases(row: Row, reference: str, name: str, id: str) -> tuple[Case, ...]:
    if "base_input" not in row.value:
        return _evalplus.cases_of(text(row, "test"), name, row)
    inputs = [*_evalplus.arguments(row, "base_input"), *_evalplus.arguments(row, "plus_input")]
    same = _evalplus.ROOT if id == ANY_ROOT else _evalplus.SAME
    return tuple(_evalplus.compared(inputs, reference, name, atol=_evalplus.tolerance(row), same=same))
