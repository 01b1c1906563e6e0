"""What a program answers on given inputs: found in the judge, for nothing that is not ours runs at home.

The program with a tail is judged as one that reads standard input: the tail reads the arguments as JSON, calls the function,
and prints what it gave as JSON on the last line. Every case "fails", since no output is expected; what the case printed holds
the answer. Each is a process of its own, so no call sees what another one left behind.

What prints more than the judge keeps (`kept_output`) has no answer: `judge_options` has the judge keep enough.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rltf_env import plain
from rltf_env.core import CaseResult, FailureKind, Problem, Sandbox, StdinCase
from rltf_env.datasets._files import parse
from rltf_env.errors import DataError
from rltf_env.sandbox import check_runs
from rltf_env.synthesis.inputs import Arguments

LARGEST = 1000  # characters of an answer, as JSON
AGAIN = 3  # times that calls are asked again which were not run, because others were late
_MARK = "rltf answers: "
_TAIL = """

def _rltf_tail():
    import base64, json, random, sys
    import builtins as b

    def read(value):
        if b.isinstance(value, b.list):
            return [read(item) for item in value]
        if not b.isinstance(value, b.dict):
            return value
        for mark, content in value.items():
            if mark in ("$tuple", "$set", "$frozenset", "$dict"):
                return b.getattr(b, mark[1:])(read(content) if mark != "$dict" else map(b.tuple, read(content)))
            if mark == "$bytes":
                return base64.b64decode(content)
            if mark == "$complex":
                return b.complex(*content)
            if mark == "$int":
                return b.int(content, 16)
        return {key: read(item) for key, item in value.items()}

    def spell(value):
        kind = b.type(value)
        if value is None or kind in (b.bool, b.float, b.str):
            return value
        if kind is b.int:
            return value if value.bit_length() <= 4000 else {"$int": b.hex(value)}
        if kind is b.list:
            return [spell(item) for item in value]
        if kind is b.dict:
            if b.all(b.type(key) is b.str and not key.startswith("$") for key in value):
                return {key: spell(item) for key, item in value.items()}
            return {"$dict": [[spell(key), spell(item)] for key, item in value.items()]}
        if kind is b.tuple:
            return {"$tuple": [spell(item) for item in value]}
        if kind in (b.set, b.frozenset):
            return {"$" + kind.__name__: b.sorted((spell(item) for item in value), key=json.dumps)}
        if kind is b.bytes:
            return {"$bytes": base64.b64encode(value).decode()}
        if kind is b.complex:
            return {"$complex": [value.real, value.imag]}
        raise b.TypeError("no plain data: " + kind.__name__)

    asked = json.loads(sys.stdin.read())
    random.seed(asked["seed"])
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(asked["seed"])
    answer = spell(ENTRY(*read(asked["args"]), **read(asked["kwargs"])))
    sys.stdout.write("\\n" + MARK + json.dumps(answer) + "\\n")


_rltf_tail()
"""


@dataclass(frozen=True)
class Call:
    """The arguments of a function's call, and the seed of its randomness."""

    args: Arguments
    kwargs: tuple[tuple[str, Any], ...] = ()
    seed: int = 0


@dataclass(frozen=True)
class Answer:
    """What a call gave: a value and how JSON spells it; or, if `why` is not "", the reason why it has none."""

    value: Any = None
    spelled: str = ""
    why: str = ""


Job = tuple[str, str, Sequence[Call]]  # a program, the name to call, and the calls


def judge_options(largest: int = LARGEST, seconds: float = 2.0) -> dict[str, Any]:
    """Options of a judge that keeps answers of so many characters, with some noise before them, each within so many seconds."""
    return {"kept_output": 16 * largest, "case_seconds": seconds, "cache": 0}


def question(program: str, entry_point: str, calls: Sequence[Call], id: str = "question") -> tuple[str, Problem]:
    """A program with its tail, and the problem whose cases are the calls."""
    tail = _TAIL.replace("MARK", repr(_MARK)).replace("ENTRY", entry_point)
    cases = [StdinCase(json.dumps(_asked(call)), "") for call in calls]
    return f"{program}\n{tail}", Problem(id, "Answer.", cases)


def _asked(call: Call) -> dict[str, Any]:
    return {
        "args": [plain.encode_value(value) for value in call.args],
        "kwargs": {name: plain.encode_value(value) for name, value in call.kwargs},
        "seed": call.seed,
    }


def ask(judge: Sandbox, jobs: Sequence[Job], largest: int = LARGEST) -> list[list[Answer]]:
    """The answers of each program: one for each of its calls.

    A judge runs no more of a program that was late twice. What it left out is asked again, a few times.

    Args:
        judge: which runs them; see `judge_options`.
        jobs: program, name to call, and calls; at least one.
        largest: characters of an answer, as JSON, beyond which it counts as none.
    """
    check_runs(judge, "answers of programs on given inputs")
    answers = _asked_once(judge, jobs, largest)
    for _ in range(AGAIN):
        left = {j: [k for k, a in enumerate(row) if a.why == FailureKind.NOT_RUN] for j, row in enumerate(answers)}
        left = {j: numbers for j, numbers in left.items() if numbers}
        rest = [(jobs[j][0], jobs[j][1], [jobs[j][2][k] for k in numbers]) for j, numbers in left.items()]
        for (j, numbers), row in zip(left.items(), _asked_once(judge, rest, largest), strict=True):
            for k, answer in zip(numbers, row, strict=True):
                answers[j][k] = answer
    return answers


def _asked_once(judge: Sandbox, jobs: Sequence[Job], largest: int) -> list[list[Answer]]:
    questions = (question(program, name, calls) for program, name, calls in jobs)
    return [[_answer(result, largest) for result in verdict.results] for verdict in judge.map(questions)]


def _answer(result: CaseResult, largest: int) -> Answer:
    if result.failure is not None and result.failure.kind != FailureKind.WRONG_ANSWER:
        return Answer(why=result.failure.kind)
    last = result.stdout.rstrip("\n").rpartition("\n")[2]
    text = last.removeprefix(_MARK)
    if text == last:
        return Answer(why="no answer among what it prints")
    if len(text) > largest:
        return Answer(why=f"an answer of more than {largest} characters")
    try:
        return Answer(plain.decode_value(parse(text, "an answer"), "an answer"), text)
    except (DataError, RecursionError):  # cut off, or printed by the program itself
        return Answer(why="no answer among what it prints")


def steady(answers: Sequence[Sequence[Answer]]) -> list[Answer]:
    """Of several runs of the same calls one answer each; one that differs between runs is none."""
    return [
        runs[0] if len({(run.spelled, run.why) for run in runs}) == 1 else _unsteady(runs)
        for runs in zip(*answers, strict=True)
    ]


def _unsteady(runs: Sequence[Answer]) -> Answer:
    return next((run for run in runs if run.why), Answer(why="unsteady"))


__all__ = ["LARGEST", "Answer", "Call", "ask", "judge_options", "question", "steady"]
