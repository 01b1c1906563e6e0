"""SYNTHETIC-2-RL (PrimeIntellect): its coding tasks, with the average reward that some models earned on each.

Read from rows as the hub's `PrimeIntellect/SYNTHETIC-2-RL` has them: the tasks whose `problem_id`
begins with `prime_rl_code`. The averages are in `meta["rewards"]`, by model: a difficulty for free,
1 being easy. Rows without any are not left out.
"""

from __future__ import annotations

from functools import partial

from rltf_env.core import Problem, Problems
from rltf_env.datasets import _contests, _limits, _tables, _verification
from rltf_env.datasets._files import Root
from rltf_env.datasets._tables import Row, Table, text
from rltf_env.plain import as_object

SPLITS = ("train",)
CODE = "prime_rl_code"
REWARD = "_avg_reward"
TABLE = Table(
    "synthetic_2",
    "PrimeIntellect/SYNTHETIC-2-RL",
    {"train": "train"},
    "Get the rows of the public data set PrimeIntellect/SYNTHETIC-2-RL (Apache-2.0) as parquet or JSON lines, and pass root=FOLDER "
    "or set RLTF_DATA to the folder that holds synthetic_2/; or root='hub'.",
)


def load(
    split: str = "train", root: Root = None, *, recursion: int | None = None, limit: int | None = None
) -> Problems:
    """The coding problems of the only split, `train`.

    Args:
        root: the common data folder, the set's own, a file, or `"hub"`.
        recursion: frames that programs of a `class Solution` may have.
        limit: look at the first so many rows only.
    """
    _limits.check(1.0, recursion)
    return _tables.collect(TABLE, split, root, partial(_problem, recursion=recursion), limit=limit)


def _problem(row: Row, recursion: int | None) -> Problem | str:
    id = text(row, "problem_id", "")
    if not id.startswith(CODE):
        return f"a task of another type, {text(row, 'task_type', '') or id or 'unnamed'}"
    info = as_object(_tables.data(row, "verification_info") or {}, f"{row.where}, verification_info")
    rewards = {name.removesuffix(REWARD): value for name, value in row.value.items() if name.endswith(REWARD)}
    return _contests.problem(
        row,
        f"synthetic_2/{id}",
        text(row, "prompt"),
        _verification.decoded(info.get("test_cases"), row.where),
        recursion=recursion,
        meta={
            "source": "synthetic_2",
            "style": "statement",
            "rewards": {name: value for name, value in rewards.items() if value is not None} or None,
        },
    )
