"""Typed functions become problems whose tests fail wrong programs; what cannot be one is left out with the reason."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rltf_env import cli, datasets, sandbox
from rltf_env.core import CallCase, Outcome, Problem, Problems, Sandbox, ScriptCase
from rltf_env.errors import DataError, UnknownName, UsageError
from rltf_env.synthesis import Settings, __main__, function, judge_options, making, synthesize

GROW = """def grow(x: list[int], k: int = 2) -> list[int]:
    "Multiply each number above 3 by k, and add 1 to the others."
    return [v * k if v > 3 else v + 1 for v in x]
"""
WORDS = """def words(text: str, *, upper: bool = False) -> dict[str, int]:
    "Count the words."
    counts = {}
    for word in text.split():
        counts[word] = counts.get(word, 0) + 1
    return counts
"""
SMALL = Settings(inputs=24, tests=6, mutants=6)


@pytest.fixture(scope="module")
def judge() -> Iterator[Sandbox]:
    with sandbox.load(workers=1, **judge_options(seconds=1.0)) as opened:
        yield opened


def made(judge: Sandbox, *codes: str, seed: int = 0, settings: Settings = SMALL, **more: Any) -> Problems:
    rows = [function({"code": code, **more}, f"p/{i}") for i, code in enumerate(codes)]
    return synthesize(rows, judge, np.random.default_rng(seed), settings)


def test_a_function_becomes_a_problem_that_it_solves_and_mutants_do_not(judge: Sandbox) -> None:
    grow, words = made(judge, GROW, WORDS)
    for problem, name in ((grow, "grow"), (words, "words")):
        assert problem.entry_point == name
        assert 4 <= len(problem.cases) <= 6
        assert judge.run(problem.solutions[0], problem).outcome is Outcome.PASSED
        assert problem.meta["made"]["killed"] >= problem.meta["made"]["mutants"] / 2
    assert grow.statement == "Multiply each number above 3 by k, and add 1 to the others."
    assert grow.starter == "def grow(x: list[int], k: int=2) -> list[int]:\n"
    assert judge.run(GROW.replace("v + 1", "v + 2"), grow).outcome is Outcome.WRONG_ANSWER


def test_no_output_is_that_of_more_than_half_and_examples_are_others(judge: Sandbox) -> None:
    (problem,) = made(judge, "def odd(x: int) -> bool:\n    'Is x odd and above 3?'\n    return x % 2 == 1 and x > 3\n")
    outputs = Counter(repr(case.expected) for case in problem.cases if isinstance(case, CallCase))
    assert max(outputs.values()) * 2 <= len(problem.cases)
    assert problem.examples
    assert not set(map(repr, problem.examples)) & set(map(repr, problem.cases))


def test_the_same_seed_makes_the_same_tests(judge: Sandbox) -> None:
    digests = [datasets.digest(made(judge, GROW, seed=seed)) for seed in (0, 0, 1)]
    assert digests[0] == digests[1] != digests[2]


REFUSED = {
    "def f(x):\n    'd'\n    return x\n": "its parameters have no types",
    "def f(x: Any):\n    'd'\n    return x\n": "the type Any",
    "def f(*x: int):\n    'd'\n    return x\n": "any number of arguments",
    "def f():\n    'd'\n    return 1\n": "it takes no argument",
    "def f(x: int, *, k: int):\n    'd'\n    return x\n": "an argument by keyword",
    "async def f(x: int):\n    'd'\n    return x\n": "asynchronous, or a generator",
    "def f(x: int):\n    'd'\n    yield x\n": "asynchronous, or a generator",
    "class A:\n    def f(self, x: int):\n        return x\n": "defines 0 functions",
    "def f(x: int):\n    return x + 1\n": "neither a statement nor a docstring",
    "def f(x: int:\n": "expected Python",
    "import random\ndef f(x: int):\n    'd'\n    return random.random()\n": "0 of 24 inputs have an answer: most others unsteady",
    "def f(x: int):\n    'd'\n    return 1\n": "nearly all of its outputs are the same",
    "def f(x: int):\n    'd'\n    return open('/x')\n": "most others FileNotFoundError",
    "def f(x: int):\n    'd'\n    return len(__name__) + x\n": "it is unsteady",
}  # fmt: skip


def test_what_can_be_no_problem_is_left_out_with_the_reason(judge: Sandbox) -> None:
    result = made(judge, GROW, *REFUSED)
    assert [problem.id for problem in result] == ["p/0"]
    for (_, why), expected in zip(result.skipped, REFUSED.values(), strict=True):
        assert expected in why


def test_code_that_is_nested_too_deeply_is_left_out(judge: Sandbox) -> None:
    deep = GROW.replace("v + 1", "v" + " + 1" * 900)
    union = GROW.replace("k: int", "k: " + "int | " * 900 + "int")
    assert [why for _, why in made(judge, GROW, deep, union).skipped] == [making.DEEP] * 2


@pytest.mark.parametrize("name", ["bookMARK", "ENTRY"])
def test_a_function_may_have_any_name(judge: Sandbox, name: str) -> None:
    assert made(judge, GROW.replace("grow", name))[0].entry_point == name


def test_tests_that_fail_too_few_mutants_are_no_tests(judge: Sandbox) -> None:
    code = "def f(x: int) -> int:\n    'd'\n    if x > 5000:\n        x = x * 3 - 1 + 7\n    return x\n"
    with pytest.raises(UsageError, match=r"got none of 1\. 1 times: its tests fail only [0-3] of 6 mutants"):
        made(judge, code, settings=Settings(inputs=24, tests=6, mutants=6, killed=0.9))


@pytest.mark.parametrize(
    "cases",
    [
        [CallCase(([1, 2], "a"), 0), CallCase(([], "b"), 0)],
        [ScriptCase("assert f([1, 2], 'a') == 0\nassert f([], 'b') == 0")],
    ],
    ids=["calls", "asserts"],
)
def test_the_arguments_of_cases_say_types_where_annotations_do_not(judge: Sandbox, cases: Any) -> None:
    code = "def f(x, y):\n    return len(x) * 2 + len(y)\n"
    old = Problem("old", "Give the length.", cases, "f", solutions=[code], held_out=cases)
    (problem,) = synthesize([old], judge, np.random.default_rng(0), SMALL)
    assert all(isinstance(case.args[0], list) and isinstance(case.args[1], str) for case in problem.cases)  # type: ignore[union-attr]
    assert judge.run(old.solutions[0], problem).outcome is Outcome.PASSED
    assert problem.held_out == (), "of other tests"


def test_of_several_functions_the_entry_point_is_meant() -> None:
    code = "def g(x: int):\n    return x\ndef f(x: int):\n    return g(x)\n"
    assert making.definition(code, "f").name == "f"
    with pytest.raises(UsageError, match="defines 2 functions"):
        making.definition(code, None)
    with pytest.raises(UsageError, match=r"no function 'A\.f'"):
        making.definition(code, "A.f")


def test_of_annotations_that_leave_an_argument_out_nothing_is_taken() -> None:
    node = making.definition("def f(x: int, y):\n    return x\n", None)
    called = Problem("p", "s", [CallCase(("a", 2.5), 0)], "f")
    assert list(map(str, making.types_of(node, called))) == ["str", "float"]
    node = making.definition("def f(x: int, y=1):\n    return x\n", None)
    assert list(map(str, making.types_of(node, called))) == ["int"]


def test_an_output_of_just_half_of_the_tests_is_allowed_and_rare_ones_come_first() -> None:
    cases = [CallCase((i,), output) for i, output in enumerate((1, 1, 2, 3, 1))]
    assert making._different(cases, [0], 2) == [2, 3]
    settings = Settings(inputs=4, tests=4, least=4)
    assert sorted(making._chosen(cases[:4], [set()] * 4, settings)) == [0, 1, 2, 3]
    with pytest.raises(UsageError, match="outputs are the same"):
        making._chosen([*cases[:2], cases[4], cases[3]], [set()] * 4, settings)


def test_tests_are_those_that_fail_most_mutants_or_the_first_that_were_drawn() -> None:
    cases = [CallCase((i,), i) for i in range(6)]
    killed = [set[int](), {1}, set(), {1, 2}, set(), {3}]
    of = {choice: making._chosen(cases, killed, Settings(tests=4, choice=choice)) for choice in ("mutants", "drawn")}
    assert of == {"mutants": [3, 5, 0, 1], "drawn": [0, 1, 2, 3]}
    with pytest.raises(UnknownName, match="choice of tests"):
        Settings(choice="best")  # type: ignore[arg-type]


def test_rows_name_their_columns() -> None:
    row = {"func": GROW, "doc": "Grow.", "code": 3}
    assert function(row, "w", {"code": "func", "statement": "doc"}).statement == "Grow."
    with pytest.raises(UnknownName, match="'funk'"):
        function(row, "w", {"code": "funk"})
    with pytest.raises(UnknownName, match="'body'"):
        function(row, "w", {"body": "func"})
    with pytest.raises(DataError, match="the text of a function in 'code'"):
        function(row, "w")


@pytest.mark.parametrize("options", [{"least": 0}, {"tests": 2}, {"inputs": 3}, {"killed": 1.5}, {"examples": -1}])
def test_impossible_settings_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Settings(**options)


# ----------------------------------------------------------------------------------------------------------- command


def rows(folder: Path) -> Path:
    folder.mkdir()
    text = "".join(json.dumps({"func": code, "name": f"n{i}"}) + "\n" for i, code in enumerate((GROW, "def f(x): 0\n")))
    (folder / "train.jsonl").write_text(text)
    return folder


@pytest.mark.parametrize("kind", ["file", "hub"])
def test_the_command_makes_a_file_that_loads(tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str) -> None:
    if kind == "hub":
        pytest.importorskip("datasets")
    folder, out = rows(tmp_path / "functions"), tmp_path / "made.jsonl"
    name = f"hub:{folder}" if kind == "hub" else str(folder / "train.jsonl")
    options = ["--columns", "code=func,id=name", "--out", str(out), "--inputs", "24", "--mutants", "6"]
    options += ["--split", "train", "--option", f"cache={tmp_path / 'cache'}"] if kind == "hub" else []
    assert cli.run("synthesize", [name, *options]) == 0
    text = capsys.readouterr().out
    assert "1 of 2 functions have tests now" in text
    assert "1 left out" in text
    (problem,) = datasets.load(str(out))
    assert (problem.id, problem.entry_point) == ("n0", "grow")


def test_the_command_does_not_write_over_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "made.jsonl"
    out.write_text("")
    assert __main__.main(["procedural", "--out", str(out)]) == 2
    assert "Expected a new file with --out" in capsys.readouterr().err
