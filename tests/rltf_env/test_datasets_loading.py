"""The front door of the datasets: load, names, source, digest; and how files are found and read."""

from __future__ import annotations

import gzip
import math
import os
import pickle
import subprocess
import sys
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rltf_env import datasets, plain
from rltf_env.core import CallCase, Problem, Problems, ScriptCase, Source, StdinCase
from rltf_env.datasets import _files
from rltf_env.errors import DataError, MissingData, UnknownName, UsageError
from rltf_env.sources import Cycle, Uniform


def problem(id: str = "a", **fields) -> Problem:
    return Problem(**{"id": id, "statement": "Add.", "cases": (CallCase((1, 2), 3),), "entry_point": "add", **fields})


TWO = (problem("a"), problem("b"))


@pytest.fixture
def third_party(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    module = types.ModuleType("somebody")
    vars(module)["few"] = TWO
    vars(module)["load"] = lambda split, root=None, *, size=2: Problems(TWO[:size], [("c", split)])
    vars(module)["anything"] = lambda **options: [problem(name) for name in sorted(options)]
    vars(module)["endless"] = lambda split="train": Cycle(TWO)
    vars(module)["broken"] = lambda split="train": 7
    vars(module)["mixed"] = lambda split="train": [problem(), 7]
    monkeypatch.setitem(sys.modules, "somebody", module)
    return module


# -------------------------------------------------------------------------------------------------------- load, source


def test_names_are_the_files_of_the_folder():
    assert {"apps", "humaneval", "mbpp"} <= set(datasets.names())
    assert not any(name.startswith("_") for name in datasets.names())


def test_unknown_dataset_names_the_nearest():
    with pytest.raises(UnknownName, match="Did you mean 'mbpp'"):
        datasets.load("mbbp")


@pytest.mark.parametrize("name", ["mbpp", "humaneval", "apps"])
def test_unknown_split_names_the_splits(name: str):
    with pytest.raises(UnknownName, match=f"split of dataset '{name}': 'tset'.*Did you mean 'test'"):
        datasets.load(name, "tset")


def test_unknown_option_names_the_options():
    with pytest.raises(UnknownName, match=r"option of dataset 'apps': 'dificulty'.*Did you mean 'difficulty'"):
        datasets.load("apps", dificulty="interview")


def test_third_party_function_is_called_with_split_and_options(third_party: types.ModuleType):
    loaded = datasets.load("somebody:load", "dev", size=1)
    assert loaded == TWO[:1]
    assert loaded.skipped == (("c", "dev"),)
    with pytest.raises(UnknownName, match=r"'sice'.*Did you mean 'size'"):
        datasets.load("somebody:load", "dev", sice=1)


def test_third_party_function_without_a_default_split_asks_for_one(third_party: types.ModuleType):
    with pytest.raises(UsageError, match="Expected a split of dataset 'somebody:load'"):
        datasets.load("somebody:load")


def test_third_party_function_with_open_options_gets_them_all(third_party: types.ModuleType):
    assert [p.id for p in datasets.load("somebody:anything", "x", depth=3)] == ["depth", "split"]


@pytest.mark.parametrize("given", [TWO, list(TWO), Problems(TWO), "somebody:few"])
def test_problems_themselves_are_a_dataset(given: object, third_party: types.ModuleType):
    loaded = datasets.load(given)  # type: ignore[arg-type]
    assert isinstance(loaded, Problems)
    assert loaded == TWO
    assert loaded.skipped == ()


def test_loaded_problems_take_no_root():
    with pytest.raises(UsageError, match="Expected loaded problems without a root"):
        datasets.load(TWO, root="here")


@pytest.mark.parametrize("name", ["broken", "mixed"])
def test_what_is_no_dataset_is_refused(name: str, third_party: types.ModuleType):
    with pytest.raises(UsageError, match=r"Expected .*sequence of Problem, got .*int"):
        datasets.load(f"somebody:{name}")


def test_source_draws_uniformly_from_what_load_gives(third_party: types.ModuleType):
    source = datasets.source("somebody:load", "dev", size=1)
    assert isinstance(source, Uniform)
    assert source.draw(np.random.default_rng(0)) is TWO[0]


def test_a_source_passes_through():
    cycle = Cycle(TWO)
    assert datasets.source(cycle) is cycle


def test_a_dataset_may_bring_its_own_source():
    source = datasets.source("procedural", "train")
    assert isinstance(source, Source)
    assert not isinstance(source, Uniform)


# -------------------------------------------------------------------------------------------------------------- digest


def test_digest_is_the_same_in_another_process():
    code = "from rltf_env import datasets, core; print(datasets.digest([core.Problem('a', 'Add.', ({}))]))"
    case = "core.CallCase(({'x', 'y', 'z'}, 2), 3),"
    here = datasets.digest([Problem("a", "Add.", (CallCase(({"x", "y", "z"}, 2), 3),))])
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        run = [sys.executable, "-c", code.format(case)]
        assert subprocess.run(run, env=environment, capture_output=True, text=True, check=True).stdout.strip() == here


def test_digest_is_the_one_written_down():
    """A change of this value makes every published result incomparable: it must be meant."""
    assert datasets.digest([problem()]) == "6b64eed7701051b648c6dc843705a84ff236c04c82f3da0c80ed2d80a5a6ca91"


@pytest.mark.parametrize(
    "change",
    [
        {"id": "b"},
        {"statement": "Sum."},
        {"cases": (CallCase((1, 2), 3.0),)},
        {"cases": (CallCase((1, True), 3),)},
        {"cases": (CallCase(("1", 2), 3),)},
        {"cases": (CallCase(([1, 2],), 3),)},
        {"cases": (CallCase((1, 2), 3, {"k": 1}),)},
        {"cases": (StdinCase("1 2", "3"),)},
        {"cases": (ScriptCase("assert add(1, 2) == 3"),)},
        {"entry_point": "plus"},
        {"examples": (CallCase((1, 2), 3),)},
        {"solutions": ("add = int.__add__",)},
        {"difficulty": "hard"},
        {"prefix": "import math\n"},
        {"starter": "def add"},
    ],
    ids=repr,
)
def test_digest_tells_any_change_of_content(change: dict):
    assert datasets.digest([replace(problem(), **change)]) != datasets.digest([problem()])


def test_digest_does_not_see_notes_or_the_type_of_the_sequence():
    assert datasets.digest([problem(meta={"url": "x"}, cases=[CallCase((1, 2), 3)])]) == datasets.digest([problem()])


@pytest.mark.parametrize(
    "notes", [{"order": "any"}, {"checker": "def check(given, expected, got):\n    return True\n"}]
)
def test_digest_sees_notes_that_a_verdict_depends_on(notes: dict):
    assert datasets.digest([problem(meta=notes)]) != datasets.digest([problem()])
    assert datasets.digest([problem(meta={"order": "same", "checker": None})]) == datasets.digest([problem()])


def test_digest_takes_odd_values():
    odd = (10**5000, math.nan, math.inf, "\ud800", b"\xff", None, 1j, frozenset({1, (2, "x")}), {1: {2: 3}})
    assert datasets.digest([problem(cases=(CallCase(odd, 0),))]) == datasets.digest(
        [problem(cases=(CallCase(odd, 0),))]
    )


def test_digest_refuses_what_has_no_stable_form():
    with pytest.raises(UsageError, match="plain data in a case, got object"):
        datasets.digest([problem(cases=(CallCase((object(),), 0),))])


def test_digest_keeps_neighbours_apart():
    assert datasets.digest([problem(solutions=("ab", "c"))]) != datasets.digest([problem(solutions=("a", "bc"))])


def test_problems_keep_what_was_skipped_when_pickled():
    loaded = pickle.loads(pickle.dumps(Problems(TWO, [("c", "no tests")])))
    assert loaded == TWO
    assert loaded.skipped == (("c", "no tests"),)


# --------------------------------------------------------------------------------------------------------------- files


def test_missing_root_lists_the_paths_tried_and_the_remedy(tmp_path: Path):
    with pytest.raises(MissingData) as caught:
        datasets.load("mbpp", "test", root=tmp_path)
    assert str(tmp_path / "mbpp" / "mbpp.jsonl") in str(caught.value)
    assert "public dataset MBPP" in str(caught.value)
    assert "RLTF_DATA" in str(caught.value)


@pytest.mark.parametrize("name", ["mbpp", "apps"])
def test_no_root_at_all_says_how_to_give_one(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("RLTF_DATA", raising=False)
    with pytest.raises(MissingData, match="no root= was given and RLTF_DATA is not set"):
        datasets.load(name)


def test_home_folder_is_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "here.txt").touch()
    assert _files.locate("any", "~", ["here.txt"], "") == tmp_path / "here.txt"


@pytest.mark.parametrize("sign", ["", "-"])
@pytest.mark.parametrize("digits", [1, 512, 513, 4300, 4301, 100_000])
def test_integers_of_any_length_survive(sign: str, digits: int):
    value = _files.parse(f"{sign}{'7' * digits}", "x")
    assert value == (-1 if sign else 1) * 7 * (10**digits - 1) // 9


def test_integers_survive_the_lowest_limit_of_the_interpreter():
    code = "from rltf_env.datasets import _files as f; print(f.parse('9' * 3000, '') == 10**3000 - 1)"
    run = [sys.executable, "-X", "int_max_str_digits=640", "-c", code]
    assert subprocess.run(run, capture_output=True, text=True, check=True).stdout == "True\n"


def test_not_a_number_and_infinity_are_read():
    nan, inf = _files.parse("[NaN, -Infinity]", "x")
    assert math.isnan(nan)
    assert inf == -math.inf


@pytest.mark.parametrize("text", ["{", "", "[1,]", b"[\xc3\xa9]", "[" * 100_000])
def test_malformed_json_names_its_place(text: str | bytes):
    with pytest.raises(DataError, match="here:7: expected JSON, got"):
        _files.parse(text, "here:7")


@pytest.mark.parametrize(("text", "place"), [(b"\xff\xfe\xfd", "0xfd at position"), (b'"\xe9"', "0xe9 at position 1")])
def test_another_encoding_names_its_place(text: bytes, place: str):
    with pytest.raises(DataError, match=f"here:7: expected UTF-8, got the byte {place}"):
        _files.parse(text, "here:7")


def test_rows_know_where_they_lie(tmp_path: Path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes('{"a": "é\u2028"}\r\n\n{"a": 2}'.encode())
    rows = list(_files.read_rows(path))
    assert [row.value for row in rows] == [{"a": "é\u2028"}, {"a": 2}]
    assert [row.where for row in rows] == [f"{path}:1", f"{path}:3"]
    assert [path.read_bytes()[r.offset : r.offset + r.length].strip()[-2:] for r in rows] == [b'"}', b"2}"]


@pytest.mark.parametrize("line", ["[1]", "7", "null", '"text"'])
def test_a_row_that_is_no_object_names_file_and_line(line: str, tmp_path: Path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": 1}\n' + line)
    with pytest.raises(DataError, match=r"rows\.jsonl:2: expected a JSON object, got"):
        list(_files.read_rows(path))


def test_damaged_gzip_names_the_file(tmp_path: Path):
    path = tmp_path / "rows.jsonl.gz"
    whole = gzip.compress(b'{"a": 1}\n' * 1000)
    for damaged in (b"no gzip at all", whole[:-4], whole[:12] + b"\xff\xff" + whole[14:]):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"rows\.jsonl\.gz: expected a gzip file"):
            list(_files.read_rows(path))


def test_wrong_type_of_a_field_says_both():
    with pytest.raises(DataError, match="f:1: expected 'n' to be of type int, got str"):
        plain.field({"n": "1"}, "n", int, "f:1")
    with pytest.raises(DataError, match="expected 'n' to be of type int, got bool"):
        plain.field({"n": True}, "n", int, "f:1")
    with pytest.raises(DataError, match="expected a field 'n', got only 'm'"):
        plain.field({"m": 1}, "n", int, "f:1")


def test_text_that_is_not_utf8_names_the_file(tmp_path: Path):
    (tmp_path / "q.txt").write_bytes(b"caf\xe9")
    with pytest.raises(DataError, match=r"q\.txt: expected UTF-8"):
        _files.read_text(tmp_path / "q.txt")
