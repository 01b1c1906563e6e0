"""BigCodeBench (Zhuo et al. 2024, arXiv 2406.15877): functions that use libraries, each with a unittest suite.

Read from rows as the hub's `bigcode/bigcodebench` (1,140; `config="hard"`: 148) has them. The problems want
some seventy libraries. Those whose `libs` are installed here are kept, the others left out with the
names of what is missing. Some use files or the network, which the judge does not give: `rltf check
bigcodebench` lists what does not run. The suite is one `ScriptCase`, of which the judge reports each test.
"""

from __future__ import annotations

import importlib.util
from functools import partial

from rltf_env.core import Problem, Problems, ScriptCase
from rltf_env.datasets import _tables
from rltf_env.datasets._files import Root
from rltf_env.datasets._tables import Row, Table, text
from rltf_env.errors import UnknownName

SPLITS = ("test",)
VERSION = "v0.1.4"
CONFIGS = {"full": "bigcode/bigcodebench", "hard": "bigcode/bigcodebench-hard"}
REMEDY = (
    f"Get the rows of the public data set bigcode/bigcodebench (Apache-2.0) as {VERSION}.jsonl or as parquet, and pass "
    "root=FOLDER or set RLTF_DATA to the folder that holds bigcodebench/; or root='hub'."
)


def load(split: str = "test", root: Root = None, *, config: str = "full", limit: int | None = None) -> Problems:
    """The problems of the only split, `test`.

    Args:
        root: the common data folder, BigCodeBench's own, a file, or `"hub"`.
        config: `full`, or `hard`.
        limit: look at the first so many rows only.
    """
    if config not in CONFIGS:
        raise UnknownName("config of dataset 'bigcodebench':", config, CONFIGS)
    folder = "bigcodebench" if config == "full" else "bigcodebench_hard"
    table = Table(folder, CONFIGS[config], {"test": VERSION}, REMEDY)
    return _tables.collect(table, split, root, partial(_problem), limit=limit)


def _problem(row: Row) -> Problem | str:
    libraries = _tables.names(row, "libs")
    missing = [name for name in libraries if not _there(name)]
    if missing:
        return f"needs {', '.join(missing)}, not installed here"
    prompt, suite = text(row, "complete_prompt"), text(row, "test")
    if not suite.strip():
        return "no tests"
    return Problem(
        id=text(row, "task_id"),
        statement=prompt,
        cases=(ScriptCase(suite),),
        entry_point=text(row, "entry_point"),
        solutions=(prompt + text(row, "canonical_solution"),),
        prefix=prompt,
        meta={"tags": libraries, "instruct_prompt": text(row, "instruct_prompt", "")},
    )


def _there(name: str) -> bool:
    """Whether a library is installed, found without importing it."""
    try:
        return importlib.util.find_spec(name.partition(".")[0]) is not None
    except (ImportError, ValueError):
        return False
