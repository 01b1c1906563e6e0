"""Rows of other people's tables become problems: read offline, by the `datasets` library, from files written here."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium
import pytest

import rltf_env  # noqa: F401 (registers the ids)
from rltf_env import datasets, sandbox
from rltf_env.core import CallCase, Limits, Outcome, Problem, ScriptCase, StdinCase
from rltf_env.errors import DataError, MissingData, UnknownName, UsageError

pytest.importorskip("datasets", reason="needs the hub extra: pip install 'rltf[hub]'")

MBPP = {"id": "task_id", "statement": "text", "tests": "test_list", "setup": "setup_code", "solutions": "code"}
ROWS = [
    {"task_id": 7, "text": "Add one.", "code": "f = lambda x: x + 1", "test_list": ["assert f(1) == 2"], "setup_code": ""},
    {"task_id": 8, "text": "No tests.", "code": "", "test_list": [], "setup_code": "import os"},
    {"task_id": 9, "text": "Go.", "code": "", "test_list": ["f()", "g()"], "setup_code": "import os"},
]  # fmt: skip


def table(folder: Path, *rows: dict[str, Any], split: str = "train", kind: str = "jsonl") -> str:
    """The rows as a file that the library reads; its folder, as a dataset's name."""
    home = folder / "table"
    home.mkdir(exist_ok=True)
    if kind == "parquet":
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(rows)), home / f"{split}.parquet")
    else:
        (home / f"{split}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return f"hub:{home}"


def load(folder: Path, *rows: dict[str, Any], **options: Any) -> Any:
    return datasets.load(table(folder, *rows), cache=folder / "cache", **options)


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_rows_become_problems_by_their_columns(kind: str, tmp_path: Path) -> None:
    name = table(tmp_path, *ROWS, kind=kind)
    problems = datasets.load(name, columns=MBPP, cache=tmp_path / "cache")
    assert problems == (
        Problem("7", "Add one.", (ScriptCase("assert f(1) == 2"),), solutions=("f = lambda x: x + 1",)),
        Problem("9", "Go.", (ScriptCase("f()", "import os"), ScriptCase("g()", "import os"))),
    )
    assert problems.skipped == (("8", "no cases"),)


def test_columns_of_our_names_need_no_mapping(tmp_path: Path) -> None:
    row = {
        "statement": "Double.", "stdin": ["1", "2"], "stdout": ["2", "4"], "difficulty": "easy", "source": "here",
        "tags": '["math", "easy"]', "solutions": ["print(2 * int(input()))"], "unknown": 3,
    }  # fmt: skip
    (problem,) = load(tmp_path, row, difficulty="easy", tag="math", source="here", kind="stdin")
    assert problem.id.endswith("table/train/0")
    assert problem.cases == (StdinCase("1", "2"), StdinCase("2", "4"))
    assert problem.meta == {"source": "here", "tags": ("math", "easy")}
    assert problem.solutions == ("print(2 * int(input()))",)


def test_apps_tests_are_read_as_apps_reads_them(tmp_path: Path) -> None:
    tests = json.dumps({"fn_name": "go", "inputs": [[1], [2]], "outputs": [[3], [4]]})
    starter = "class Solution:\n    def go(self, x):"
    (problem,) = load(tmp_path, {"statement": "Go.", "input_output": tests, "starter": starter})
    assert problem.cases == (CallCase((1,), 3), CallCase((2,), 4))
    assert problem.entry_point == "Solution.go"


def test_records_are_reached_by_dots_and_cases_of_our_own_form_are_read(tmp_path: Path) -> None:
    records = {"statement": "Go.", "io": [{"in": "1", "out": "2"}, {"in": "3", "out": "4"}]}
    (problem,) = load(tmp_path, records, columns={"stdin": "io.in", "stdout": "io.out"})
    assert problem.cases == (StdinCase("1", "2"), StdinCase("3", "4"))
    mixed = [{"args": [2], "expected": None}, {"script": "f(1)"}]  # a table gives both records all four keys
    (problem,) = load(tmp_path, {"statement": "Go.", "entry_point": "f", "cases": mixed})
    assert problem.cases == (CallCase((2,), None), ScriptCase("f(1)"))


# ------------------------------------------------------------------------------------- rows as they are


def test_standard_input_and_output_are_what_they_are(tmp_path: Path) -> None:
    texts = ["", " ", '["ab"]', '["a","b"]', "[]", "['a']", '[["a"]]', "[1, 2]\n", "null", "{}"]
    one = [{"statement": "Go.", "stdin": text, "stdout": text} for text in texts]
    assert [problem.cases for problem in load(tmp_path, *one)] == [(StdinCase(text, text),) for text in texts]
    (problem,) = load(tmp_path, {"statement": "Go.", "stdin": texts, "stdout": texts})
    assert problem.cases == tuple(StdinCase(text, text) for text in texts)


def test_texts_of_lists_of_input_are_read_where_that_is_said(tmp_path: Path) -> None:
    row = {"statement": "Go.", "stdin": '["1\\n", "2"]', "stdout": "['1', '2\\n']"}
    (problem,) = load(tmp_path, row, listed=("stdin", "stdout"))
    assert problem.cases == (StdinCase("1\n", "1"), StdinCase("2", "2\n"))
    problems = load(tmp_path, row, row | {"stdin": "1"}, listed=["stdin", "stdout"])
    assert "expected the text of a list of texts" in problems.skipped[0][1]
    with pytest.raises(UnknownName, match=r"may be listed: 'tests'"):
        load(tmp_path, row, listed=["tests"])


SCRIPTS = [
    ('["x"][0]\nassert True', ['["x"][0]\nassert True']),
    ('["assert f(1)", "assert f(2)"]', ["assert f(1)", "assert f(2)"]),
    ("['assert f(1)', \"assert f('a')\"]", ["assert f(1)", "assert f('a')"]),
    ("[f(1)]", ["[f(1)]"]),
    ("[x for x in 'ab']", ["[x for x in 'ab']"]),
    ("assert f() == [1]", ["assert f() == [1]"]),
    ("[1, 2]", ["[1, 2]"]),
]


def test_a_script_is_a_list_of_scripts_only_if_it_is_one_as_a_whole(tmp_path: Path) -> None:
    problems = load(tmp_path, *({"statement": "Go.", "tests": tests} for tests, _ in SCRIPTS))
    assert [[case.script for case in problem.cases] for problem in problems] == [scripts for _, scripts in SCRIPTS]
    (problem,) = load(tmp_path, {"statement": "Go.", "tests": ["['a']", "[]"]})
    assert problem.cases == (ScriptCase("['a']"), ScriptCase("[]"))


def test_lists_of_setup_are_joined(tmp_path: Path) -> None:
    setups = [["import math", "import re"], [], None]
    problems = load(tmp_path, *({"statement": "Go.", "tests": ["f()"], "setup": setup} for setup in setups))
    assert [problem.cases[0].setup for problem in problems] == ["import math\nimport re", "", ""]
    problems = load(tmp_path, {"statement": "Go.", "tests": ["f()"], "setup": "import math\n"})
    assert problems[0].cases == (ScriptCase("f()", "import math\n"),)


TAGS = [
    ("['Greedy', 'Math']", ("Greedy", "Math")),
    ('["Greedy"]', ("Greedy",)),
    ("[]", ()),
    ("", ()),
    ("Greedy", ("Greedy",)),
    ("[Greedy]", ("[Greedy]",)),
]


def test_tags_may_be_the_text_of_a_list(tmp_path: Path) -> None:
    problems = load(tmp_path, *({"statement": "Go.", "tests": ["f()"], "tags": tags} for tags, _ in TAGS))
    assert [problem.meta["tags"] for problem in problems] == [names for _, names in TAGS]


def test_one_odd_row_is_left_out_with_its_reason(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    good = {"id": "1", "statement": "Go.", "input_output": '{"inputs": ["1"], "outputs": ["1"]}'}
    odd = [
        {"id": "2", "input_output": "{"}, {"id": "3", "input_output": '{"inputs": ["1"], "outputs": [3]}'},
        {"id": "4", "input_output": "{}"}, {"id": "5", "input_output": ""}, {"id": "6", "statement": None},
        {"id": "7", "time_limit": "soon"}, {"id": "", "statement": "No id."}, {"id": "8", "input_output": None},
    ]  # fmt: skip
    problems = load(tmp_path, good | {"time_limit": None}, *(good | row for row in odd))
    assert [problem.id for problem in problems] == ["1", "6"]
    assert [id for id, _ in problems.skipped] == ["2", "3", "4", "5", "7", "", "8"]
    reasons = [reason for _, reason in problems.skipped]
    assert "expected JSON" in reasons[0]
    assert "a text or a list of lines, got int" in reasons[1]
    assert "time_limit: expected a number" in reasons[4]
    assert reasons[6] == "no cases"
    assert "7 of 9 rows left out" in caplog.text


# ----------------------------------------------------------------------- layouts of public data sets


def test_rows_of_taco(tmp_path: Path) -> None:
    stated = {"time_limit": "2.0 seconds", "memory_limit": "256.0 megabytes", "source": "codeforces"}
    row = {
        "question": "Add.", "solutions": '["print(3)", "print(1 + 2)"]', "starter_code": "", "difficulty": "EASY",
        "input_output": '{"inputs": ["1 2\\n"], "outputs": ["3\\n"]}', "skill_types": "['Greedy', 'Math']", **stated,
    }  # fmt: skip
    leetcode = row | {
        "starter_code": "class Solution:\n    def add(self, a, b):\n", "solutions": "[]", "source": "leetcode.com",
        "input_output": '{"fn_name": "add", "inputs": [[1, 2]], "outputs": [3]}', "skill_types": "[]",
        "time_limit": None, "memory_limit": None,
    }  # fmt: skip
    columns = {"statement": "question", "starter": "starter_code", "tags": "skill_types"}
    problems = load(tmp_path, row, leetcode, columns=columns, python_factor=2.5, recursion=600_000)
    first, second = problems
    assert first.solutions == ("print(3)", "print(1 + 2)")
    assert first.cases == (StdinCase("1 2\n", "3\n"),)
    assert first.limits == Limits(5.0, 256)
    assert first.meta == {
        "source": "codeforces", "tags": ("Greedy", "Math"),
        "time_limit": "2.0 seconds", "memory_limit": "256.0 megabytes",
    }  # fmt: skip
    assert (second.cases, second.entry_point) == ((CallCase((1, 2), 3),), "Solution.add")
    assert second.limits == Limits(recursion=600_000)


def test_rows_of_livecodebench(tmp_path: Path) -> None:
    stdin = {
        "question_content": "Add.", "question_id": "a", "starter_code": "", "metadata": "{}", "difficulty": "easy",
        "public_test_cases": '[{"input": "1 2\\n", "output": "3\\n", "testtype": "stdin"}]',
    }  # fmt: skip
    call = stdin | {
        "question_id": "b", "starter_code": "class Solution:\n    def add(self, a: int, b: List[int]) -> int:\n",
        "metadata": '{"func_name": "add"}',
        "public_test_cases": '[{"input": "1\\n[2]", "output": "3", "testtype": "functional"}]',
    }  # fmt: skip
    columns = {
        "id": "question_id", "statement": "question_content", "starter": "starter_code",
        "entry_point": "metadata.func_name", "input_output": "public_test_cases",
    }  # fmt: skip
    first, second = load(tmp_path, stdin, call, columns=columns, recursion=600_000)
    assert (first.cases, first.entry_point, first.limits) == ((StdinCase("1 2\n", "3\n"),), None, None)
    assert (second.cases, second.entry_point) == ((CallCase((1, [2]), 3),), "Solution.add")
    assert second.limits == Limits(recursion=600_000)
    odd = stdin | {"metadata": "{", "question_id": "c"}
    assert [id for id, _ in load(tmp_path, stdin, odd, columns=columns).skipped] != []


def test_rows_of_code_contests(tmp_path: Path) -> None:
    tests = {"input": ["1\n", "2\n"], "output": ["1\n", "4\n"]}
    row = {
        "name": "a", "description": "Square.", "public_tests": tests, "difficulty": 7, "cf_tags": ["math", ""],
        "time_limit": {"seconds": 2, "nanos": 500000000}, "memory_limit_bytes": 268435456,
    }  # fmt: skip
    columns = {
        "id": "name", "statement": "description", "stdin": "public_tests.input", "stdout": "public_tests.output",
        "tags": "cf_tags", "difficulty": "name",
    }  # fmt: skip
    first, second = load(
        tmp_path, row, row | {"name": "b", "time_limit": None, "memory_limit_bytes": 0}, columns=columns
    )
    assert first.cases == (StdinCase("1\n", "1\n"), StdinCase("2\n", "4\n"))
    assert (first.limits, second.limits) == (Limits(2.5, 256), None)


def test_a_check_that_takes_nothing_is_called_too(tmp_path: Path) -> None:
    """NumpyEval has tests that look at a variable of the program's; CodeT has entry points with a space behind them."""
    row = {
        "prompt": "a = [1, 2]\nlength =", "canonical_solution": " len(a)", "entry_point": "none",
        "test": "def check():\n    assert length == 2\n",
    }  # fmt: skip
    columns = {"statement": "prompt", "prefix": "prompt", "solutions": "canonical_solution", "tests": "test"}
    other = row | {"prompt": "def f(): pass", "entry_point": "f ", "test": "def check(g):\n    assert g() is None\n"}
    problem, spaced = load(tmp_path, row, other, columns=columns)
    assert [case.script for case in (*problem.cases, *spaced.cases)] == [
        row["test"] + "\ncheck()\n",
        other["test"] + "\ncheck(f)\n",
    ]
    with sandbox.load(workers=1) as judge:
        verdicts = [judge.run(program, problem) for program in (problem.solutions[0], problem.prefix + " 3")]
    assert [verdict.outcome for verdict in verdicts] == [Outcome.PASSED, Outcome.WRONG_ANSWER]


def test_rows_of_humaneval(tmp_path: Path) -> None:
    """HumanEval+ and the like: a body as solution, a test that defines `check` and does not call it."""
    row = {
        "prompt": "def f(x):\n    \"\"\"Doubles.\"\"\"\n", "canonical_solution": "    return 2 * x\n", "entry_point": "f",
        "test": "def check(candidate):\n    assert candidate(2) == 4\n",
    }  # fmt: skip
    columns = {"statement": "prompt", "prefix": "prompt", "solutions": "canonical_solution", "tests": "test"}
    called = row | {"test": row["test"] + "check(f)\n"}
    other = row | {
        "test": "def check(a, b): pass\nassert f(2) == 4\n",
        "canonical_solution": row["prompt"] + "    return 2 * x\n",
    }
    problems = load(tmp_path, row, called, other, columns=columns)
    (problem, again, third) = problems
    assert problem.solutions == again.solutions == third.solutions == (row["prompt"] + "    return 2 * x\n",)
    scripts = [case.script for each in problems for case in each.cases]
    assert scripts == [row["test"] + "\ncheck(f)\n", called["test"], other["test"]]
    with sandbox.load(workers=1) as judge:
        assert judge.run(problem.solutions[0], problem).outcome is Outcome.PASSED
        assert judge.run(problem.prefix, problem).outcome is Outcome.WRONG_ANSWER


def test_rows_of_sets_of_scripts(tmp_path: Path) -> None:
    """KodCode, AceCode, MBPP+ and BigCodeBench: pytest functions, asserts, one long text, a TestCase."""
    kod = {
        "question": "Add.",
        "solution": "def f(): pass",
        "test_code": "from solution import f\ndef test_f():\n    f()",
    }
    (problem,) = load(tmp_path, kod, columns={"statement": "question", "tests": "test_code", "solutions": "solution"})
    assert problem.cases == (ScriptCase(kod["test_code"]),)
    assert problem.solutions == (kod["solution"],)
    ace = {"id": "acecode_1", "question": "Add.", "test_cases": ["assert f(1) == 1", "assert f([1]) == [1]"]}
    (problem,) = load(tmp_path, ace, columns={"statement": "question", "tests": "test_cases"})
    assert [case.script for case in problem.cases] == ace["test_cases"]
    plus = {"task_id": 2, "prompt": "Add.", "code": "f = 1", "test_imports": ["import math"], "test": "assert f\n[1]"}
    columns = {"id": "task_id", "statement": "prompt", "solutions": "code", "setup": "test_imports", "tests": "test"}
    (problem,) = load(tmp_path, plus, columns=columns)
    assert problem.cases == (ScriptCase("assert f\n[1]", "import math"),)
    big = {
        "instruct_prompt": "Add.",
        "code_prompt": "import re\n",
        "test": "import unittest\n",
        "entry_point": "task_func",
    }
    (problem,) = load(tmp_path, big, columns={"statement": "instruct_prompt", "prefix": "code_prompt", "tests": "test"})
    assert (problem.prefix, problem.entry_point) == ("import re\n", "task_func")


def test_columns_that_say_where_cases_come_from_leave_no_other_cases(tmp_path: Path) -> None:
    row = {"task": "Doubles.", "tests": [{"in": "2", "out": "4"}], "cases": "none of ours", "stdout": "5"}
    columns = {"statement": "task", "stdin": "tests.in", "stdout": "tests.out"}
    (problem,) = load(tmp_path, row, columns=columns)
    assert problem.cases == (StdinCase("2", "4"),)


def test_a_setup_of_ones_own_leaves_the_tests(tmp_path: Path) -> None:
    row = {"statement": "Doubles.", "tests": ["assert f(2) == 4"], "imports": "import math"}
    (problem,) = load(tmp_path, row, columns={"setup": "imports"})
    assert problem.cases == (ScriptCase("assert f(2) == 4", "import math"),)


def test_a_message_of_a_chat_is_reached_by_its_number(tmp_path: Path) -> None:
    row = {"prompt": [{"role": "user", "content": "Doubles."}], "tests": "assert f(2) == 4"}
    (problem,) = load(tmp_path, row, columns={"statement": "prompt.0.content"})
    assert problem.statement == "Doubles."
    with pytest.raises(DataError, match=r"statement: expected a text, got list. .*'prompt.0.content'"):
        load(tmp_path, row, columns={"statement": "prompt"})


def test_a_method_may_be_spelt_as_a_call_of_its_class(tmp_path: Path) -> None:
    row = {
        "statement": "Doubles.",
        "entry_point": "Solution().double",
        "tests": "def check(candidate):\n    assert candidate(x=2) == 4\n",
        "solutions": "class Solution:\n    def double(self, x):\n        return 2 * x\n",
    }
    (problem,) = load(tmp_path, row)
    assert problem.entry_point == "Solution.double"
    with sandbox.load() as judge:
        assert judge.run(problem.solutions[0], problem).outcome is Outcome.PASSED
        assert judge.run(problem.solutions[0].replace("2 *", "3 *"), problem).outcome is Outcome.WRONG_ANSWER


def test_inputs_that_all_are_texts_of_lists_are_pointed_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    row = {"statement": "Doubles.", "stdin": '["2", "3"]', "stdout": '["4", "6"]'}
    (problem,) = load(tmp_path, row)
    assert problem.cases == (StdinCase(row["stdin"], row["stdout"]),)
    assert 'pass listed=["stdin", "stdout"]' in caplog.text
    caplog.clear()
    load(tmp_path, row, listed=["stdin", "stdout"])
    assert not caplog.text


def half(row: dict[str, Any]) -> Problem | None:
    return Problem(str(row["task_id"]), row["text"], [ScriptCase("f()")]) if row["task_id"] != 8 else None


def test_a_function_of_a_row_does_what_columns_cannot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    problems = load(tmp_path, *ROWS, convert=half)
    assert [problem.id for problem in problems] == ["7", "9"]
    assert [reason for _, reason in problems.skipped] == ["convert gave None"]
    with pytest.raises(DataError, match="row 0: expected convert to give a Problem, got dict"):
        load(tmp_path, *ROWS, convert=dict)
    with pytest.raises(UsageError, match="columns or convert, got both"):
        load(tmp_path, *ROWS, convert=half, columns={})


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"columns": "statement=text"}, UsageError, "Expected columns as a table such as"),
        ({"columns": {"statment": "text"}}, UnknownName, "field of a problem 'statment'. Did you mean 'statement'"),
        ({"columns": MBPP | {"tests": "test_lst"}}, UnknownName, "'test_lst'. Did you mean 'test_list'"),
        ({"columns": {"id": "task_id"}}, UsageError, "Expected columns for 'statement' and for the cases"),
        ({"columns": MBPP, "split": "tran"}, UnknownName, "'tran'. Did you mean 'train'"),
        ({"columns": MBPP | {"statement": "task_id"}}, DataError, "row 0, statement: expected a text, got int"),
        ({"columns": MBPP | {"tests": "task_id"}}, DataError, "row 0, tests: expected a text or a list of texts"),
        ({"columns": MBPP | {"tests": "text.x"}}, DataError, "row 0: expected a record with the columns"),
        ({"colums": MBPP}, UnknownName, "'colums'. Did you mean 'columns'"),
    ],
)
def test_mistakes_are_named(options: dict[str, Any], error: type[Exception], message: str, tmp_path: Path) -> None:
    with pytest.raises(error, match=re.escape(message)):
        load(tmp_path, *ROWS, **options)


@pytest.mark.parametrize("name", ["mine.csv", "mine.tsv", "mine.jsonl"])
def test_a_single_file_is_read_by_its_ending(name: str, tmp_path: Path) -> None:
    rows = {
        "mine.csv": "question,asserts\nAdd.,assert f(1)\n",
        "mine.jsonl": '{"question": "Add.", "asserts": "assert f(1)"}',
    }
    (tmp_path / name).write_text(rows.get(name, rows["mine.csv"].replace(",", "\t")))
    columns = {"statement": "question", "tests": "asserts"}
    (problem,) = datasets.load(f"hub:{tmp_path / name}", columns=columns, cache=tmp_path / "cache")
    assert (problem.statement, problem.cases) == ("Add.", (ScriptCase("assert f(1)"),))


def test_a_file_of_another_form_or_of_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "mine.xls").write_text("")
    with pytest.raises(UnknownName, match=r"'\.xls'\. Known: \.arrow, \.csv"):
        datasets.load(f"hub:{tmp_path / 'mine.xls'}")
    for name in ("gone.csv", "./gone"):
        with pytest.raises(MissingData, match="There is nothing"):
            datasets.load(f"hub:{name}")


def test_files_that_the_library_cannot_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "table").mkdir()
    (tmp_path / "table" / "train.parquet").write_text("no parquet")
    with pytest.raises(DataError, match="expected files that the datasets library reads"):
        datasets.load(f"hub:{tmp_path / 'table'}", cache=tmp_path / "cache")


UNLIKE = {"train.jsonl": '{"a": 1}', "test.jsonl": '{"b": [1]}'}


@pytest.mark.parametrize("files", [{"train.jsonl": '{"a": 1'}, {"train.csv": 'a,b\n1,2\n"x'}, UNLIKE])
def test_rows_that_the_library_cannot_read_are_named(files: dict[str, str], tmp_path: Path) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text + "\n")
    reason = "JSON parse error|EOF inside string|column names don't match"
    with pytest.raises(DataError, match=rf"expected files that the datasets library reads, got [^\n]*({reason})"):
        datasets.load(f"hub:{tmp_path}", cache=tmp_path / "cache")


def test_an_environment_draws_from_a_table(tmp_path: Path) -> None:
    name = table(tmp_path, *ROWS)
    options = {"columns": MBPP, "cache": str(tmp_path / "cache"), "held_out": 0.5}
    env = gymnasium.make("RLTF-MBPP-v0", dataset=name, dataset_options=options)
    _, info = env.reset(options={"problem": "9"})
    assert info["prompt"] == "Go.\n"
    assert len(env.unwrapped.problem.held_out) == 1  # type: ignore[attr-defined]


CODE = """
from rltf_env import datasets, tokenizers
from rltf_env.errors import MissingData
for ask in (lambda: datasets.load("hub:owner/name"), lambda: tokenizers.load("owner/name")):
    try:
        ask()
    except MissingData as error:
        print(error)
"""


def test_without_a_network_a_hub_id_fails_at_once_and_says_why(tmp_path: Path) -> None:
    """Nothing listens at the endpoint. The libraries alone would try again for 23 and for 46 seconds, and say so."""
    environment = {**os.environ, "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", CODE], env=environment, capture_output=True, text=True, timeout=110)
    first, second = done.stdout.splitlines()
    for line in (first, second):
        assert "'owner/name'" in line
        assert "http://127.0.0.1:9 does not answer" in line
    assert "Retry" not in done.stderr
