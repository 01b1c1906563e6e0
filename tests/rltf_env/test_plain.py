"""Problems, programs and verdicts as plain data: literal forms, which files hold, and every value back as it was."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rltf_env import datasets, plain
from rltf_env.core import (
    CallCase,
    CaseResult,
    Failure,
    FailureKind,
    Outcome,
    Problem,
    Program,
    ScriptCase,
    StdinCase,
    Verdict,
)
from rltf_env.errors import DataError, UsageError

PASSED = CaseResult(Outcome.PASSED, None, 0.25, "4\n")
DIVIDED = CaseResult(
    Outcome.RUNTIME_ERROR, Failure("ZeroDivisionError", "division by zero", 3, "", ("ArithmeticError",)), 0.5, ""
)
WRONG = CaseResult(Outcome.WRONG_ANSWER, Failure(FailureKind.WRONG_ANSWER, "expected 4"))
VERDICT = Verdict((PASSED, DIVIDED, WRONG, DIVIDED), frozenset({3, 1}), "forkserver/full")
PROGRAM = Program(np.array([5, 6, 9]), "x = 'é'\n", np.array([0, 4, 8]), 1, True)
PROBLEM = Problem(
    "double",
    "Return twice x.",
    (CallCase((2,), 4), CallCase(((1, 2),), {1, 2}, {"k": b"x"})),
    "f",
    examples=(CallCase((3,), 6),),
    solutions=("f = lambda x: 2 * x",),
    meta={"tags": ["numbers"]},
    held_out=(CallCase((5,), 10),),
)


def through_json(row: Any) -> Any:
    return json.loads(json.dumps(row))


# ------------------------------------------------------------------------------------------------------ literal forms


def test_a_problem_has_the_form_of_a_line_of_a_file() -> None:
    assert plain.encode_problem(PROBLEM) == {
        "id": "double",
        "statement": "Return twice x.",
        "entry_point": "f",
        "cases": [
            {"args": [2], "expected": 4},
            {"args": [{"$tuple": [1, 2]}], "expected": {"$set": [1, 2]}, "kwargs": {"k": {"$bytes": "eA=="}}},
        ],
        "examples": [{"args": [3], "expected": 6}],
        "held_out": [{"args": [5], "expected": 10}],
        "solutions": ["f = lambda x: 2 * x"],
        "meta": {"tags": ["numbers"]},
    }
    assert plain.encode_case(StdinCase("2\n", "4\n")) == {"stdin": "2\n", "stdout": "4\n"}
    assert plain.encode_case(ScriptCase("assert f", "import math")) == {"script": "assert f", "setup": "import math"}


def test_a_verdict_has_the_form_in_which_the_judge_s_processes_answer() -> None:
    divided = [1, ["ZeroDivisionError", "division by zero", 3, "", ["ArithmeticError"]], 0.5, ""]
    assert plain.encode_verdict(VERDICT) == {
        "results": [
            [3, None, 0.25, "4\n"],
            divided,
            [2, ["WrongAnswer", "expected 4", None, "", []], 0.0, ""],
            divided,
        ],
        "lines": [1, 3],
        "judge": "forkserver/full",
    }


def test_a_record_keeps_each_failure_once() -> None:
    assert json.dumps(plain.compact_verdict(VERDICT, message=8)) == (
        '{"outcomes": "3121", "failures": [["ZeroDivisionError", "division", 3, "", ["ArithmeticError"]], '
        '["WrongAnswer", "expected", null, "", []]], "why": [0, 1, 0]}'
    )
    assert plain.compact_verdict(Verdict((PASSED,)), message=8) == {"outcomes": "3"}


def test_a_program_has_its_tokens_and_leaves_out_what_is_as_usual() -> None:
    row = {"text": "x = 'é'\n", "tokens": [5, 6, 9], "starts": [0, 4, 8], "given": 1, "truncated": True}
    assert plain.encode_program(PROGRAM) == row
    short = Program(np.array([1]), "x", np.array([0]))
    assert plain.encode_program(short) == {"text": "x", "tokens": [1], "starts": [0]}


# --------------------------------------------------------------------------------------------------------- round trips


def test_a_problem_comes_back() -> None:
    assert plain.decode_problem(through_json(plain.encode_problem(PROBLEM)), "here") == PROBLEM


@pytest.mark.parametrize("program", [PROGRAM, Program(np.zeros(0, np.int64), "", np.zeros(0, np.int64))])
def test_a_program_comes_back(program: Program) -> None:
    there = plain.decode_program(through_json(plain.encode_program(program)), "here")
    assert there == program
    assert (there.tokens.dtype, there.starts.dtype) == (np.int64, np.int64)


@pytest.mark.parametrize("verdict", [VERDICT, Verdict((PASSED,)), Verdict((WRONG,), frozenset())])
def test_a_verdict_comes_back_with_times_outputs_lines_and_judge(verdict: Verdict) -> None:
    there = plain.decode_verdict(through_json(plain.encode_verdict(verdict)), "here")
    assert there == verdict
    assert there.judged_by == verdict.judged_by
    assert [each.seconds for each in there.results] == [each.seconds for each in verdict.results]


def test_what_a_record_keeps_comes_back_as_a_verdict_that_says_the_same() -> None:
    there = plain.expand_verdict(through_json(plain.compact_verdict(VERDICT, message=300)), "here")
    assert [(each.outcome, each.failure) for each in there.results] == [
        (each.outcome, each.failure) for each in VERDICT.results
    ]


KEYS = st.none() | st.booleans() | st.integers() | st.text(max_size=4) | st.binary(max_size=4)
VALUES = st.recursive(
    KEYS | st.floats(allow_nan=False) | st.complex_numbers(allow_nan=False) | st.integers(2**4000, 2**4100),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(KEYS, inner, max_size=3),
        st.sets(KEYS, max_size=3),
        st.frozensets(KEYS, max_size=3),
    ),
    max_leaves=8,
)


@given(VALUES)
def test_plain_values_come_back_with_their_types(value: Any) -> None:
    there = plain.decode_value(through_json(plain.encode_value(value)), "here")
    assert (there, repr(type(there))) == (value, repr(type(value)))


# --------------------------------------------------------------------------------------------------------- wrong data


@pytest.mark.parametrize(
    ("decode", "row"),
    [
        (plain.decode_verdict, {}),
        (plain.decode_verdict, {"results": [], "lines": None, "judge": ""}),
        (plain.decode_verdict, {"results": [[3, None]], "lines": None, "judge": ""}),
        (plain.decode_verdict, {"results": [[7, None, 0.0, ""]], "lines": None, "judge": ""}),
        (plain.decode_verdict, {"results": [[2, None, 0.0, ""]], "lines": None, "judge": ""}),
        (plain.expand_verdict, {"outcomes": ""}),
        (plain.expand_verdict, {"outcomes": "9"}),
        (plain.expand_verdict, {"outcomes": "2"}),
        (plain.expand_verdict, {"outcomes": "22", "failures": [["X", "", None, "", []]], "why": [0]}),
        (plain.expand_verdict, {"outcomes": "2", "failures": [["X"]], "why": [0]}),
        (plain.decode_program, {"text": "x", "tokens": [1, 2], "starts": [0]}),
        (plain.decode_program, {"text": "x", "tokens": [1.5], "starts": [0]}),
        (plain.decode_program, {"text": "x", "tokens": [1], "starts": [0], "given": 2}),
        (plain.decode_program, {"text": "x", "tokens": [1], "starts": [0], "gvien": 1}),
        (plain.decode_program, {"text": 1, "tokens": [1], "starts": [0]}),
        (plain.decode_problem, {"id": "a", "statement": "", "cases": []}),
        (plain.decode_problem, {"id": "a", "statement": "", "cases": [{"stdin": ""}]}),
        (plain.decode_case, {"args": [], "expected": {"$tupel": []}}),
        (plain.decode_value, {"$bytes": "?"}),
    ],
)
def test_malformed_data_are_an_error_that_says_where_they_stand(decode: Any, row: Any) -> None:
    with pytest.raises(DataError, match=r"^file:7"):
        decode(row, "file:7")


def test_what_is_no_plain_data_is_refused() -> None:
    with pytest.raises(UsageError, match="got object: JSON cannot hold it"):
        plain.encode_value([object()])


def test_values_that_are_nested_too_deeply_are_refused_by_name() -> None:
    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]
    problem = Problem("deep", "", [CallCase((deep,), 1)], "f")
    for read in (plain.encode_problem, lambda problem: datasets.digest([problem])):
        with pytest.raises(UsageError, match="'deep': expected plain data, got some that are nested too deeply"):
            read(problem)


@pytest.mark.parametrize(
    "value", [3, "a", (1,), [(), {1: {2}}], {"a": b"x"}, {(1, 2): frozenset({3})}, [frozenset(), True, 1.5, None, 1j]]
)
def test_values_are_spelled_as_python_has_them_with_long_numbers_in_hexadecimal(value: Any) -> None:
    assert plain.spelled(value) == repr(value)
    large = 10**5000
    text = plain.spelled([(-large,), value, {large: frozenset([large])}, {large}])
    assert text == f"[({hex(-large)},), {value!r}, {{{hex(large)}: frozenset({{{hex(large)}}})}}, {{{hex(large)}}}]"
