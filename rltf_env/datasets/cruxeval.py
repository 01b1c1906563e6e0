"""CRUXEval (Gu et al. 2024, arXiv 2401.03065): what does this function return, or what must it be given?

Read from `cruxeval.jsonl` (facebookresearch/cruxeval, MIT), 800 functions of one input each. The question
is answered by a program of one line, `answer = ...`:

- `task="output"`: `answer` is what `f(input)` returns;
- `task="input"`: `answer` is a tuple of arguments with which `f` returns the output. Any such will do.

The benchmark's answers are expressions that nobody runs. A program could copy the function and call it,
which shows another skill: compare figures of this with nothing but figures of this.
"""

from __future__ import annotations

from functools import partial

from rltf_env.core import Problem, Problems, ScriptCase
from rltf_env.datasets import _tables
from rltf_env.datasets._files import Root, parse_python
from rltf_env.datasets._tables import Row, Table, text
from rltf_env.errors import DataError, UnknownName

SPLITS = ("test",)
TASKS = ("output", "input")
TABLE = Table(
    "cruxeval",
    "cruxeval-org/cruxeval",
    {"test": "test"},
    "Get cruxeval.jsonl of the public repository facebookresearch/cruxeval (MIT), and pass root=FOLDER or set RLTF_DATA to the "
    "folder that holds cruxeval/cruxeval.jsonl; or root='hub'.",
    files={"test": ("cruxeval.jsonl",)},
)
_SPACE = "_space = {{}}\nexec({code!r}, _space)\n_f = _space['f']\n"


def load(split: str = "test", root: Root = None, *, task: str = "output", limit: int | None = None) -> Problems:
    """The problems of the only split, `test`.

    Args:
        root: the common data folder, CRUXEval's own, the file, or `"hub"`.
        task: what is to be said, the `output` or an `input`.
        limit: look at the first so many rows only.
    """
    if task not in TASKS:
        raise UnknownName("task of dataset 'cruxeval':", task, TASKS)
    return _tables.collect(TABLE, split, root, partial(_problem, task=task), limit=limit)


def _problem(row: Row, task: str) -> Problem | str:
    code, given, right = (text(row, name) for name in ("code", "input", "output"))
    for name, source in (("code", code), ("input", f"f({given})"), ("output", f"({right})")):
        parse_python(source, f"{row.where}, {name}")
    asked = (
        "What does this return? Answer with one line of Python, `answer = VALUE`."
        if task == "output"
        else "With which arguments does `f` return this? Answer with one line of Python, `answer = (ARGUMENT, ...)`."
    )
    call = f"f({given})" if task == "output" else f"f(...) == {right}"
    script = f"assert answer == {right}" if task == "output" else f"assert _f(*answer) == {right}"
    return Problem(
        id=f"cruxeval/{task}/{row.value.get('id') or row.number}",
        statement=f"{code.rstrip()}\n\n{call}\n\n{asked}",
        cases=(ScriptCase(script, "" if task == "output" else _SPACE.format(code=code)),),
        entry_point="answer",
        solutions=_references(given, right, task),
        meta={"style": "statement"},
    )


def _references(given: str, right: str, task: str) -> tuple[str, ...]:
    if task == "output":
        return (f"answer = {right}\n",)
    reference = f"answer = ({given},)\n" if given.strip() else "answer = ()\n"
    try:
        parse_python(reference, "")
    except DataError:  # keyword arguments
        return ()
    return (reference,)
