"""MBPP, "Mostly Basic Python Problems" (Austin et al. 2021, arXiv 2108.07732): 974 short tasks, three asserts each.

Read from the official `mbpp.jsonl`, with its official splits by task id. Each assert of `test_list` is a `ScriptCase`. The
same three are the `examples`, since the papers show them in the prompt (RLTF, arXiv 2307.04349, section 4.4): on MBPP nothing
is hidden but `meta["challenge"]`, the extra asserts that eleven problems have. Texts are kept as the file has them, CRLF too.
From Python 3.12 on, a case of the reference of mbpp/123 takes about 3.5 seconds (2.5 before): give a judge more than its usual
4 where that is slow.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from pathlib import Path

from rltf_env.core import Problem, Problems, ScriptCase
from rltf_env.datasets._files import Root, Row, check_split, locate, parse_python, read_rows
from rltf_env.errors import DataError
from rltf_env.plain import field, strings

SPLITS = {
    "prompt": range(1, 11),
    "test": range(11, 511),
    "validation": range(511, 601),
    "train": range(601, 975),
    "all": range(1, 975),
}
REMEDY = (
    "Get mbpp.jsonl of the public dataset MBPP (google-research/google-research, folder mbpp; CC BY 4.0), "
    "and pass root=FOLDER or set RLTF_DATA to the folder that holds it (or holds mbpp/mbpp.jsonl)."
)


def load(split: str = "train", root: Root = None) -> Problems:
    """The problems of a split: `prompt` (10), `test` (500), `validation` (90), `train` (374) or `all` (974).

    Args:
        root: the common data folder, MBPP's own folder, or the file; default: $RLTF_DATA.

    Raises:
        UnknownName: no such split.
        MissingData: no file there.
        DataError: the file is malformed (the message names file and line) or has no problem of this split.
    """
    check_split("mbpp", split, SPLITS)
    path = locate("mbpp", root, ("mbpp/mbpp.jsonl", "mbpp.jsonl"), REMEDY)
    problems: dict[int, Problem] = {}
    for row in read_rows(path):
        number = field(row.value, "task_id", int, row.where)
        if number in problems:
            raise DataError(f"{row.where}: expected each task_id once, got {number} again.")
        if number in SPLITS[split]:
            problems[number] = _problem(number, row)
    return _some(problems.values(), split, path)


def _problem(number: int, row: Row) -> Problem:
    code = field(row.value, "code", str, row.where)
    setup = field(row.value, "test_setup_code", str, row.where)
    tests = strings(field(row.value, "test_list", list, row.where), row.where)
    challenge = strings(field(row.value, "challenge_test_list", list, row.where), row.where)
    if not tests:
        raise DataError(f"{row.where}: expected at least one assert in 'test_list', got none.")
    cases = tuple(ScriptCase(test, setup) for test in tests)
    return Problem(
        id=f"mbpp/{number}",
        statement=field(row.value, "text", str, row.where),
        cases=cases,
        entry_point=entry_point_of(code, tests, row.where),
        examples=cases,
        solutions=(code,),
        meta={"challenge": challenge},
    )


def entry_point_of(code: str, tests: Iterable[str], where: str) -> str | None:
    """The name to define: called in every assert and defined by the reference, the outermost if there are several."""
    tree = parse_python(code, f"{where}, field 'code'")
    defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    calls = [_calls_of(parse_python(test, f"{where}, field 'test_list'")) for test in tests]
    return next((name for name in (calls or [[]])[0] if name in defined.intersection(*calls)), None)


def _calls_of(test: ast.Module) -> list[str]:
    """Names that are called in `test`, outermost first: ast.walk goes breadth first."""
    functions = [node.func for node in ast.walk(test) if isinstance(node, ast.Call)]
    return [function.id for function in functions if isinstance(function, ast.Name)]


def _some(problems: Iterable[Problem], split: str, path: Path) -> Problems:
    loaded = Problems(problems)
    if not loaded:
        ids = SPLITS[split]
        raise DataError(f"{path}: expected problems of split {split!r} (task_id {ids[0]} to {ids[-1]}), got none.")
    return loaded
