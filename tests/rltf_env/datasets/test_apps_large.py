"""APPS: large tests that load lazily, and problems that are damaged or odd."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from apps_rows import ECHO, Write, call, row
from hypothesis import given, settings
from hypothesis import strategies as st

from rltf_env import datasets
from rltf_env.core import CallCase, Limits, StdinCase
from rltf_env.datasets import _apps_cases
from rltf_env.errors import DataError, UsageError

# ----------------------------------------------------------------------------------------------------------- malformed


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ("{", "expected JSON"),
        ("[]", "expected a JSON object, got list"),
        ("{}", "expected a field 'inputs'"),
        ('{"inputs": "1", "outputs": ["1"]}', "expected 'inputs' to be of type list, got str"),
        ('{"inputs": [1], "outputs": ["1"]}', "expected an input or output to be a text or a list of lines, got int"),
        (
            '{"inputs": ["1"], "outputs": [[1]]}',
            "expected an input or output to be a text or a list of lines, got list",
        ),
        ('{"fn_name": 1, "inputs": [[1]], "outputs": [1]}', "expected 'fn_name' to be of type str, got int"),
        (
            '{"fn_name": "f", "inputs": ["ab"], "outputs": [1]}',
            "expected each input of a call to be a list of arguments",
        ),
    ],
)
def test_malformed_tests_name_the_file(raw: str, message: str, folder: Write):
    with pytest.raises(DataError, match=rf"0000/input_output\.json: {message}"):
        datasets.load("apps", "train", root=folder(raw=raw))


def test_other_malformed_files_are_named(folder: Write):
    root = folder(solutions={"a": 1})
    with pytest.raises(DataError, match=r"solutions\.json: expected a list of strings, got dict"):
        datasets.load("apps", "train", root=root)
    (root / "apps/train/0000/solutions.json").write_text("")
    (root / "apps/train/0000/metadata.json").write_text('{"difficulty": 3}')
    with pytest.raises(DataError, match=r"metadata\.json: expected 'difficulty' to be of type str, got int"):
        datasets.load("apps", "train", root=root)
    (root / "apps/train/0000/question.txt").unlink()
    with pytest.raises(DataError, match=r"0000: expected a problem of APPS with a question\.txt"):
        datasets.load("apps", "train", root=root)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ("{", "expected JSON"),
        ("[1]", "expected a JSON object, got list"),
        (row(0), "expected each problem once, got 'apps/train/0000' again"),
        (row(0, "{}"), "expected each problem once, got 'apps/train/0000' again"),
    ],
    ids=str,
)
def test_a_damaged_file_is_an_error_that_names_file_and_line(broken: dict | str, message: str, hub: Write):
    with pytest.raises(DataError, match=rf"train\.jsonl:2: {message}"):
        datasets.load("apps", "train", root=hub(row(0), broken))


@pytest.mark.parametrize(
    ("odd", "reason"),
    [
        (row(1, "{"), "train.jsonl:2: expected JSON"),
        (row(1, ""), "no tests: input_output is empty"),
        (row(1, "null"), "expected a JSON object, got NoneType"),
        (row(1, "[]"), "expected a JSON object, got list"),
        (row(1, {}), "expected a field 'inputs'"),
        (row(1, {"inputs": ["1"], "outputs": [3]}), "expected an input or output to be a text or a list of lines"),
        (row(1, {"inputs": [[1]], "outputs": [["1"]]}), "expected an input or output to be a text or a list of lines"),
        (row(1, {"inputs": ["1"], "outputs": None}), "expected 'outputs' to be of type list, got NoneType"),
        (row(1, call([1], ["ab"])), "expected each input of a call to be a list of arguments, got str"),
        (row(1, call(["1"], ["a b"])), "train.jsonl:2, arguments of a call: expected JSON"),
        (row(1, [{"input": "1"}]), "expected each test to have input and output, got input"),
        (row(1, [{"input": "1", "output": "1", "testtype": "functional"}]), "expected one name to call, got none"),
        (
            row(1, [{"input": "1", "output": "1", "testtype": "file"}]),
            "expected a testtype such as stdin or functional, got 'file'",
        ),
        (
            row(1, {"fn_name": "two sum", "inputs": [[1]], "outputs": [1]}),
            "fn_name 'two sum' is no name of a function",
        ),
        (
            row(1, {"fn_name": "LRU", "inputs": [[["LRU", "put"], [[2], [1, 1]]]], "outputs": [[None, None]]}),
            "operations on the class LRU",
        ),
        (row(1, solutions=7), "expected a list of strings, got int"),
        (row("1"), "expected 'problem_id' to be of type int, got str"),  # type: ignore[arg-type]
        (row(1, question=None), "expected 'question' to be of type str, got NoneType"),
        (row(1, difficulty=3), "expected 'difficulty' to be of type str, got int"),
        (row(1, time_limit="soon"), "time_limit: expected a number with a unit"),
    ],
    ids=lambda value: str(value)[:60],
)
@pytest.mark.parametrize("name", ["train.jsonl", "train.jsonl.gz", "train.json"])
def test_one_odd_row_is_left_out_with_its_reason_and_the_others_are_kept(odd: dict, reason: str, name: str, hub: Write):
    problems = datasets.load("apps", "train", root=hub(row(0), odd, row(2), name=name))
    assert [problem.id for problem in problems] == ["apps/train/0000", "apps/train/0002"]
    ((_, why),) = problems.skipped
    assert reason.replace("train.jsonl:2", str(Path(name)) + ("[1]" if name.endswith(".json") else ":2")) in why


def test_one_odd_folder_is_left_out_with_its_reason(folder: Write):
    folder(number="0001")
    root = folder(number="0002", solutions=7)
    (root / "apps/train/0003").mkdir()
    problems = datasets.load("apps", "train", root=root)
    assert [problem.id for problem in problems] == ["apps/train/0001"]
    assert [id for id, _ in problems.skipped] == ["apps/train/0002", "apps/train/0003"]


def test_what_is_null_in_a_row_is_not_there(hub: Write):
    empty = dict.fromkeys(["starter_code", "url", "difficulty", "solutions"])
    (problem,) = datasets.load("apps", "train", root=hub(row(0, **empty)))
    assert (problem.starter, problem.solutions, problem.difficulty) == ("", (), "")


def test_an_empty_name_to_call_is_none(hub: Write):
    (problem,) = datasets.load("apps", "train", root=hub(row(0, ECHO | {"fn_name": ""})))
    assert problem.entry_point is None
    assert problem.cases[0] == StdinCase("1\n", "1\n")


def test_arguments_that_are_spelled_a_line_each_are_read(hub: Write):
    spelled = call(["3", '{"1": null}'], ['[1, 2]\n"a"\n', "\n5"])
    (problem,) = datasets.load("apps", "train", root=hub(row(0, spelled)))
    assert problem.cases == (CallCase(([1, 2], "a"), 3), CallCase((5,), {"1": None}))


def test_tests_may_be_records_of_one_each(hub: Write):
    stdin = [{"input": "1\n", "output": "2\n", "testtype": "stdin"}, {"input": "", "output": "0", "testtype": "stdin"}]
    calls = [{"input": "[1]\n2", "output": "3", "type": "function_call", "fn_name": "f"}]
    problems = datasets.load("apps", "train", root=hub(row(0, stdin), row(1, calls)))
    assert problems[0].cases == (StdinCase("1\n", "2\n"), StdinCase("", "0"))
    assert (problems[1].cases, problems[1].entry_point) == ((CallCase(([1], 2), 3),), "f")


def test_stated_limits_are_read_with_the_factor_for_python(hub: Write, folder: Write):
    stated = {"time_limit": "1.5 seconds", "memory_limit": "256.0 megabytes"}
    path = hub(row(0, **stated), row(1), row(2, time_limit=None, memory_limit=""))
    first, *others = datasets.load("apps", "train", root=path)
    assert first.limits == Limits(1.5, 256)
    assert first.meta["time_limit"] == "1.5 seconds"
    assert [problem.limits for problem in others] == [None, None]
    assert datasets.load("apps", "train", root=path, python_factor=4)[0].limits == Limits(6.0, 256)
    with pytest.raises(UsageError, match="python_factor"):
        datasets.load("apps", "train", root=path, python_factor=0)


def test_solutions_of_a_class_have_the_frames_that_are_asked_for(folder: Write):
    folder(call([1]), "0001", starter_code="class Solution:\n    def f(self, x):\n")
    root = folder(call([1]), "0002", starter_code="def f(x):\n")
    method, function = datasets.load("apps", "train", root=root, recursion=600_000)
    assert method.limits == Limits(recursion=600_000)
    assert function.limits is None
    assert datasets.load("apps", "train", root=root)[0].limits is None


def large(**fields: Any) -> dict:
    """Tests above the limit, with bait: texts that look like keys."""
    bait = '"fn_name": "bait", "inputs": []' + "x" * _apps_cases.LARGE
    return {"inputs": [["inputs", bait]], "outputs": [["fn_name"]], **fields}


@pytest.fixture
def layout(request: pytest.FixtureRequest, folder: Write, hub: Write) -> Callable[[dict], Path]:
    if request.param == "folder":
        return lambda tests: folder(tests)
    return lambda tests: hub(row(3), row(0, tests), row(4))


both = pytest.mark.parametrize("layout", ["folder", "rows"], indirect=True)


# ---------------------------------------------------------------------------------------------------------------- lazy


@both
@pytest.mark.parametrize(
    "tests", [large(), large(fn_name="f"), {"fn_name": "f\u00e9", **large()}], ids=["in", "call", "é"]
)
def test_large_tests_are_the_same_as_eager_ones(
    tests: dict, layout: Callable[[dict], Path], monkeypatch: pytest.MonkeyPatch
):
    root = layout(tests)
    lazy = {problem.id: problem for problem in datasets.load("apps", "train", root=root)}["apps/train/0000"]
    monkeypatch.setattr(_apps_cases, "LARGE", 1 << 30)
    eager = {problem.id: problem for problem in datasets.load("apps", "train", root=root)}["apps/train/0000"]
    assert isinstance(lazy.cases, _apps_cases.LazyCases)
    assert isinstance(eager.cases, tuple)
    assert lazy.entry_point == eager.entry_point == tests.get("fn_name")
    assert tuple(lazy.cases) == eager.cases
    assert lazy == eager
    assert len(lazy.cases) == 1
    assert lazy.cases[0] == eager.cases[-1]
    assert lazy.cases[:1] == eager.cases
    assert datasets.digest([lazy]) == datasets.digest([eager])


@both
def test_large_tests_are_not_read_before_they_are_used(layout: Callable[[dict], Path], monkeypatch: pytest.MonkeyPatch):
    root = layout(large())
    decoded: list[str] = []
    whole = _apps_cases.decode
    monkeypatch.setattr(_apps_cases, "decode", lambda t, u, w: (decoded.append(w), whole(t, u, w))[1])
    problem = next(p for p in datasets.load("apps", "train", root=root) if p.id == "apps/train/0000")
    before = list(decoded)
    assert len(problem.cases) == len(list(problem.cases)) == 1
    assert len(decoded) == len(before) + 1  # read once, then kept


@both
def test_large_tests_pickle_as_their_place(
    layout: Callable[[dict], Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.chdir(tmp_path)
    root = layout(large())
    problems = datasets.load("apps", "train", root=root.relative_to(tmp_path))
    packed = pickle.dumps(problems)
    assert len(packed) < 10_000
    monkeypatch.chdir("/")
    _apps_cases._decode_place.cache_clear()
    copies = pickle.loads(packed)
    assert copies == problems
    assert datasets.digest(copies) == datasets.digest(problems)


@both
def test_large_tests_that_are_empty_are_found_out_at_once(layout: Callable[[dict], Path], folder: Write):
    padding = {"padding": "x" * _apps_cases.LARGE}
    folder(number="0001")
    problems = datasets.load("apps", "train", root=layout({**padding, "inputs": [], "outputs": []}))
    assert problems.skipped == (("apps/train/0000", "no tests: inputs is an empty list"),)


PIECES = st.sampled_from(['"', "\\", "fn_name", "inputs", ":", " ", "[", "]", "f", ","])


TEXTS = st.lists(PIECES, max_size=8).map("".join)


@given(st.lists(TEXTS), st.none() | TEXTS, st.booleans(), st.booleans())
@settings(max_examples=300)
def test_the_look_at_large_tests_sees_what_reading_them_sees(
    texts: list[str], function: str | None, first: bool, named: bool
):
    names = {"fn_name": function} if named or function is not None else {}
    body = {"outputs": texts, "inputs": [[text] for text in texts]}
    text = json.dumps(names | body if first else body | names)
    place = _apps_cases.Place(Path("x"), "", "x")
    seen, read = _apps_cases._lazy(text.encode(), place), _apps_cases.decode(text, "", "x")
    assert (seen.reason, seen.reason or seen.function) == (read.reason, read.reason or read.function)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ('{"inputs": ["%s', "expected JSON"),
        ('{"inputs": ["%s"], "outputs": []}', "expected tests that can be judged, got 1 inputs but 0 outputs"),
        ('{"x": {"fn_name": "g"}, "fn_name": "f", "inputs": [["%s"]], "outputs": [1]}', "got fn_name 'f' where 'g'"),
    ],
)
def test_large_tests_that_are_malformed_name_the_file_at_first_use(raw: str, message: str, folder: Write):
    (problem,) = datasets.load("apps", "train", root=folder(raw=raw % ("x" * _apps_cases.LARGE)))
    with pytest.raises(DataError, match=rf"input_output\.json: .*{message}"):
        len(problem.cases)
