"""What crosses between a client and a service: a problem's digest, a request, a line of a reply."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from rltf_env import plain
from rltf_env.core import CallCase, CaseResult, Failure, Limits, Outcome, Problem, Verdict
from rltf_env.errors import DataError, InvalidProblem, SandboxError, UsageError
from rltf_env.sandbox import protocol

ADD = Problem("add", "Add.", [CallCase((1, 2), 3)], "add", examples=[CallCase((1, 1), 2)], meta={"source": "here"})


def test_a_digest_depends_on_all_that_a_verdict_depends_on() -> None:
    same = [
        replace(ADD, statement="Sum."),
        replace(ADD, examples=()),
        replace(ADD, difficulty="easy"),
        replace(ADD, meta={"source": "there"}),
        replace(ADD, cases=tuple(ADD.cases)),
        plain.decode_problem(plain.encode_problem(ADD), ""),
    ]
    other = [
        replace(ADD, id="sum"),
        replace(ADD, cases=[CallCase((1, 2), 3.0)]),
        replace(ADD, cases=[CallCase((1, 2), True)]),
        replace(ADD, cases=[CallCase(([1], 2), 3)]),
        replace(ADD, cases=[CallCase(((1,), 2), 3)]),
        replace(ADD, entry_point="sum"),
        replace(ADD, prefix="import math\n"),
        replace(ADD, limits=Limits(seconds=1)),
        replace(ADD, meta={"order": "any"}),
        replace(ADD, meta={"checker": "def check(given, expected, got): return True"}),
        replace(ADD, solutions=("add = sum",)),
    ]
    assert {protocol.digest(problem) for problem in same} == {protocol.digest(ADD)}
    assert len({protocol.digest(problem) for problem in (ADD, *other)}) == 1 + len(other)


def test_the_order_of_keys_counts_since_a_program_can_see_it() -> None:
    one, two = (replace(ADD, cases=[CallCase((value,), 1)]) for value in ({"a": 1, "b": 2}, {"b": 2, "a": 1}))
    assert protocol.digest(one) != protocol.digest(two)


def test_what_json_cannot_hold_is_a_problem_that_cannot_be_judged() -> None:
    with pytest.raises(InvalidProblem, match="'add' cannot be sent"):
        protocol.digest(replace(ADD, cases=[CallCase((object(),), 1)]))


def test_a_request_names_problems_and_holds_those_that_are_new() -> None:
    body = json.loads(protocol.request([("d", "x\ud800")], [protocol.encode_problem(ADD)]))
    assert body["jobs"] == [{"digest": "d", "program": "x\ud800"}]
    assert [row["id"] for row in body["problems"]] == ["add"]
    assert "problems" not in json.loads(protocol.request([]))


@pytest.mark.parametrize(
    "result",
    [
        Verdict((CaseResult(Outcome.PASSED, None, 0.5, "out\ud800"),), frozenset({1, 3}), "forkserver/full"),
        Verdict(
            (CaseResult(Outcome.RUNTIME_ERROR, Failure("Own", "m", 3, "d", ("ValueError",))),),
            way="together",
            unguarded=2,
        ),
    ],
)
def test_a_verdict_comes_back_as_it_was(result: Verdict) -> None:
    assert protocol.decode_line(protocol.encode_line(7, result).encode(), "") == (7, result)


@pytest.mark.parametrize("error", [InvalidProblem("odd"), SandboxError("down"), UsageError("no"), RuntimeError("what")])
def test_an_error_comes_back_as_its_kind_and_never_as_a_verdict(error: Exception) -> None:
    number, result = protocol.decode_line(protocol.encode_line(7, error), "")
    assert (number, str(result)) == (7, str(error))
    assert type(result) is (SandboxError if type(error) is RuntimeError else type(error))


@pytest.mark.parametrize(
    "line", [b"", b"{", b"[]", b"{}", b'{"n": "1"}', b'{"n": 1}', b'{"n": 1, "verdict": {}}', b"[" * 99999]
)
def test_a_line_that_is_none_is_an_error(line: bytes) -> None:
    with pytest.raises(DataError):
        protocol.decode_line(line, "the service")
