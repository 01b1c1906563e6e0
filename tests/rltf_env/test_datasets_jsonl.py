"""Problems as lines of JSON: what is written is read again, and each thing that is wrong with a line is named with the line."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import gymnasium
import pytest

import rltf_env  # noqa: F401 (registers the ids)
from rltf_env import datasets
from rltf_env.core import CallCase, Problem, Problems, ScriptCase, StdinCase
from rltf_env.errors import DataError, MissingData, UnknownName, UsageError

CALL = Problem(
    "call",
    "Add.\u2028é\r\n",
    (CallCase((1, [2.5, None, True]), {"k": "v"}, {"key": ("a", "b")}), CallCase((), -3)),
    entry_point="Solution.f",
    examples=(CallCase((math.inf,), 0),),
    solutions=("def f(): pass", "x = '\ud800'"),
    difficulty="easy",
    prefix="import math\n",
    starter="def f(",
    meta={"source": "here", "tags": ("a", "b"), "n": 3},
    held_out=(CallCase((2,), 4),),
)
STDIN = Problem("stdin", "", (StdinCase("1\r\n", "2\n"),))
SCRIPT = Problem("script", "Assert.", (ScriptCase("assert f() == 1", "import os"), ScriptCase("f()")))
ODD = (
    (1, (2, ())), {1, "a", (2, 3)}, frozenset({2.5}), b"\x00\xff", 1 - 2j, 10**5000, -(10**5000), {1: {(2, 3): "x"}}, {"$set": [1]},
    {"a": [{"b": {3}}]}, -0.0, "\ud800", 2**4000,
)  # fmt: skip


def write(folder: Path, *rows: Any, name: str = "mine.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))
    return path


def row(**fields: Any) -> dict[str, Any]:
    return {"id": "a", "statement": "Add.", "entry_point": "f", "cases": [{"args": [1], "expected": 2}]} | fields


@pytest.mark.parametrize("name", ["p.jsonl", "p.jsonl.gz", "new/folder/p.jsonl"])
def test_what_is_dumped_is_loaded_again(name: str, tmp_path: Path) -> None:
    datasets.dump([CALL, STDIN, SCRIPT], tmp_path / name)
    loaded = datasets.load(str(tmp_path / name))
    assert loaded == (CALL, STDIN, SCRIPT)
    assert isinstance(loaded, Problems)
    assert datasets.digest(loaded) == datasets.digest([CALL, STDIN, SCRIPT])


@pytest.mark.parametrize("value", ODD, ids=lambda value: type(value).__name__)  # a set has its words in any order
def test_values_that_json_has_no_word_for_survive(value: Any, tmp_path: Path) -> None:
    problem = Problem("a", "Odd.", (CallCase((value, [value]), value, {"k": value}),), "f", meta={"note": value})
    datasets.dump([problem], tmp_path / "odd.jsonl")
    (again,) = datasets.load(tmp_path / "odd.jsonl")
    assert again == problem
    assert datasets.digest([again]) == datasets.digest([problem])
    assert again.meta["note"] == value
    assert type(again.meta["note"]) is type(value)


def test_not_a_number_survives(tmp_path: Path) -> None:
    datasets.dump([Problem("a", "Odd.", (CallCase((), math.nan),), "f")], tmp_path / "odd.jsonl")
    (again,) = datasets.load(tmp_path / "odd.jsonl")
    assert math.isnan(again.cases[0].expected)  # type: ignore[union-attr]


def test_the_same_problems_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.jsonl.gz", "b.jsonl.gz"):
        datasets.dump([CALL, STDIN], tmp_path / name)
    assert (tmp_path / "a.jsonl.gz").read_bytes() == (tmp_path / "b.jsonl.gz").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl.gz", "b.jsonl.gz"]


def test_every_embedded_problem_survives(tmp_path: Path) -> None:
    problems = datasets.load("procedural", size=30)
    datasets.dump(problems, tmp_path / "p.jsonl")
    assert datasets.load(tmp_path / "p.jsonl") == problems


def test_a_dump_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    datasets.dump([STDIN], path)
    before = path.read_bytes()
    with pytest.raises(UsageError, match="plain data in a problem, got object"):
        datasets.dump([SCRIPT, Problem("a", "Odd.", (CallCase((object(),), 0),), "f")], path)
    with pytest.raises(UsageError, match="'stdin' twice"):
        datasets.dump([STDIN, STDIN], path)
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["p.jsonl"]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("{", "expected JSON, a whole object on each line, got '{' alone"),
        ("{'id': 7}", "expected JSON, got Expecting property name"),
        ("[]", "expected a JSON object"),
        (row(statment=""), r"Unknown key 'statment'\. Did you mean 'statement'\?"),
        (row(task_id=1), r"Unknown key 'task_id'\..* hub:FILE"),
        ({"id": "a", "cases": []}, "expected a field 'statement'"),
        (row(id=3), "expected 'id' to be of type str, got int"),
        (row(id=True), "expected 'id' to be of type str, got bool true."),
        (row(id=""), "non-empty id"),
        (row(cases=[]), "has no cases"),
        (row(cases={}), "expected 'cases' to be of type list"),
        (row(cases=[7]), r"cases\[0\]: expected a JSON object"),
        (row(cases=[{"expected": 3}]), r"cases\[0\]: expected one of the keys 'stdin', 'args', 'script'"),
        (row(cases=[{"args": [], "stdin": ""}]), r"cases\[0\]: expected one of the keys"),
        (row(cases=[{"args": []}]), r"cases\[0\]: expected a field 'expected'"),
        (row(cases=[{"args": [], "expectd": 3}]), r"Unknown key 'expectd'\. Did you mean 'expected'"),
        (row(cases=[{"args": 1, "expected": 3}]), "expected 'args' to be of type list"),
        (row(cases=[{"args": [{"$tupel": []}], "expected": 3}]), r"Unknown mark '\$tupel'\. Did you mean '\$tuple'"),
        (row(cases=[{"args": [{"$tuple": [], "x": 1}], "expected": 3}]), r"expected '\$tuple' alone"),
        (row(cases=[{"args": [{"$bytes": "?"}], "expected": 3}]), r"expected '\$bytes' alone"),
        (row(cases=[{"args": [{"$set": [[1]]}], "expected": 3}]), r"expected '\$set' alone"),
        (row(entry_point=None), r"cases\[0\]: expected an 'entry_point'"),
        (row(cases=[{"stdin": "", "stdout": ""}]), "expected no 'entry_point' with standard input, got 'f'"),
        (row(examples=[{"stdin": "", "stdout": ""}]), r"examples\[0\]: expected no 'entry_point'"),
        (row(solutions="x"), "solutions: expected a list of strings"),
        (row(meta=[]), "meta: expected a JSON object"),
        (row(id="first"), r"expected each id once, got 'first' again, after .*mine\.jsonl:1"),
    ],
)  # fmt: skip
def test_each_mistake_names_the_line(bad: Any, message: str, tmp_path: Path) -> None:
    path = write(tmp_path, row(id="first"), "", bad)
    with pytest.raises(DataError, match=rf"(?s)^.*mine\.jsonl:3.*{message}"):
        datasets.load(path)


def test_another_encoding_is_named_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "latin.jsonl"
    path.write_bytes('{"id": "a", "statement": "café"}\n'.encode("latin-1"))
    with pytest.raises(DataError, match=r"latin\.jsonl:1: expected UTF-8, got the byte 0xe9 at position 29\."):
        datasets.load(path)


def test_an_empty_file_is_no_dataset(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="at least one problem, got an empty file"):
        datasets.load(write(tmp_path))


# ----------------------------------------------------------------------------------------------------------- the door


def test_a_path_starts_from_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, row())
    assert datasets.load("mine.jsonl", root=tmp_path)[0].id == "a"
    monkeypatch.chdir(tmp_path)
    assert datasets.load("mine.jsonl")[0].id == "a"
    assert datasets.load("./mine.jsonl")[0].id == "a"


def test_a_path_that_leads_nowhere_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingData, match=r"at .*gone\.jsonl\. There is nothing"):
        datasets.load("gone.jsonl", root=tmp_path)


def test_a_folder_has_a_file_for_each_split(tmp_path: Path) -> None:
    write(tmp_path, row(id="one"), name="train.jsonl")
    write(tmp_path, row(id="two"), name="test.jsonl")
    assert [p.id for p in datasets.load(tmp_path)] == ["one"]
    assert [p.id for p in datasets.load(f"{tmp_path}/", "test")] == ["two"]
    with pytest.raises(UnknownName, match=r"'tset'\. Did you mean 'test'"):
        datasets.load(tmp_path, "tset")
    with pytest.raises(UnknownName, match="'size'"):
        datasets.load(tmp_path, size=3)


def test_a_folder_without_such_files_says_what_else_there_is(tmp_path: Path) -> None:
    with pytest.raises(MissingData, match=r'train\.jsonl in .*dataset="hub:'):
        datasets.load(tmp_path)


@pytest.mark.parametrize("id", ["RLTF-MBPP-v0", "RLTF-APPS-v0", "RLTF-HumanEval-v0", "RLTF-Procedural-v0"])
def test_every_id_takes_a_file_or_a_list_whole(id: str, tmp_path: Path) -> None:
    problems = [Problem(name, "Add.", (CallCase((1,), 2),), "f") for name in "abcdefgh"]
    datasets.dump(problems, tmp_path / "mine.jsonl")
    for dataset in (problems, str(tmp_path / "mine.jsonl")):
        env = gymnasium.make(id, dataset=dataset)
        assert env.unwrapped.data_digest == datasets.digest(problems)  # type: ignore[attr-defined]
        env.close()


def test_an_environment_on_a_file_can_be_made_again_from_its_spec(tmp_path: Path) -> None:
    datasets.dump([CALL, SCRIPT], tmp_path / "mine.jsonl")
    first = gymnasium.make("RLTF-MBPP-v0", dataset="mine.jsonl", root=str(tmp_path), dataset_options={"kind": "call"})
    spec = gymnasium.envs.registration.EnvSpec.from_json(first.spec.to_json())  # type: ignore[union-attr]
    again = gymnasium.make(spec)
    assert again.unwrapped.data_digest == datasets.digest([CALL])  # type: ignore[attr-defined]
    assert again.unwrapped.dataset_name == "mine.jsonl"  # type: ignore[attr-defined]


def test_a_file_of_ones_own_that_is_gone_is_an_error_and_no_fallback() -> None:
    with pytest.raises(MissingData, match="There is nothing"):
        gymnasium.make("RLTF-MBPP-v0", dataset="gone.jsonl")


def test_a_folder_that_is_named_without_a_slash_is_recognised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, row(id="first"))
    monkeypatch.chdir(tmp_path.parent)
    with pytest.raises(UnknownName, match=rf"There is a folder of that name: it is '\./{tmp_path.name}'"):
        datasets.load(tmp_path.name, "mine")
    assert len(datasets.load(f"./{tmp_path.name}", "mine")) == 1


def test_a_file_that_is_named_without_its_ending_is_recognised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, row(id="first"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnknownName, match=r"There is a file 'mine\.jsonl'"):
        datasets.load("mine")


@pytest.mark.parametrize("name", ["mine.csv", "./mine.csv"])
def test_a_table_is_told_from_json_lines(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.csv").write_text("id,statement\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"read as 'hub:mine\.csv', with the option columns"):
        datasets.load(name)


@pytest.mark.parametrize("key", ["name", "split", "root"])
def test_what_stands_beside_the_options_of_a_dataset_is_refused_among_them(key: str, tmp_path: Path) -> None:
    path = write(tmp_path, row(id="first"))
    with pytest.raises(UsageError, match=f"Expected '{key}' beside the options of a dataset"):
        gymnasium.make("RLTF-MBPP-v0", dataset=str(path), dataset_options={key: "test"})
    with pytest.raises(UsageError, match=f"Expected '{key}' beside"):
        datasets.load("mixture", parts=[{"dataset": str(path), "dataset_options": {key: "test"}}])
