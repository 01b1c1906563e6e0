"""A judge elsewhere: what a request and a reply say, in one place for the client and the host.

    POST /judge
    {"jobs": [{"digest": "5d4...", "program": "def f(x): ..."}, ...], "problems": [{...}, ...]}

    {"n": 1, "verdict": {...}}                                      a line for each job, as it is judged
    {"n": 0, "error": "SandboxError", "message": "..."}             or why it could not be

`sandbox/http.py` asks and `rltf_env/serve` answers; on a cluster `sandbox/nodes.py` asks
`sandbox/hosted.py`, which may also give a job back (`Returned`). A problem crosses once and is named by its
digest from then on. Values are spelled by `rltf_env/plain.py`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from rltf_env import plain
from rltf_env.core import Problem, Verdict
from rltf_env.core.problems import VERDICT_NOTES
from rltf_env.errors import DataError, InvalidProblem, RLTFError, SandboxError, UsageError


class Returned(RLTFError):
    """The host gives back a job that it has not begun with: another host has nothing to do."""


ERRORS = {kind.__name__: kind for kind in (Returned, InvalidProblem, UsageError, SandboxError)}
PASSING = ("workers", "pending", "cache")  # options of a judge that no verdict depends on
Result = Verdict | Exception


def essence(problem: Problem) -> Problem:
    """The problem without what no verdict depends on: its words, examples, held-out cases, other notes."""
    notes = {name: problem.meta[name] for name in VERDICT_NOTES if name in problem.meta}
    empty: dict[str, Any] = {"statement": "", "difficulty": "", "starter": "", "examples": (), "held_out": ()}
    return replace(problem, meta=notes, **empty)


def encode_problem(problem: Problem) -> dict[str, Any]:
    """What a service has to know of a problem, as JSON has it.

    Raises:
        InvalidProblem: it holds something that is not plain data.
    """
    try:
        return plain.encode_problem(essence(problem))
    except UsageError as error:
        raise InvalidProblem(f"{problem.id!r} cannot be sent to a service: {error}") from error


def digest(problem: Problem) -> str:
    """SHA-256 (64 hexadecimal digits) of all that a verdict on the problem depends on, and of its id.

    `datasets.digest` is another: it says what a result was measured on, words included.

    Raises:
        InvalidProblem: it holds something that is not plain data.
    """
    return digest_of(json.dumps(encode_problem(problem)))


def digest_of(text: str) -> str:
    """The digest of a problem of which this is `encode_problem` as JSON."""
    return hashlib.sha256(text.encode()).hexdigest()


def request(jobs: Sequence[tuple[str, str]], problems: Sequence[Mapping[str, Any]] = ()) -> bytes:
    """The body of a request.

    Args:
        jobs: pairs of a problem's digest and a program's text.
        problems: those that the service does not know yet, from `encode_problem`.
    """
    body: dict[str, Any] = {"jobs": [{"digest": key, "program": text} for key, text in jobs]}
    return json.dumps(body | ({"problems": list(problems)} if problems else {})).encode()


def encode_line(number: int, result: Result) -> str:
    """The line that answers job `number`."""
    if isinstance(result, Exception):
        kind = next((name for name, kind in ERRORS.items() if isinstance(result, kind)), "SandboxError")
        return json.dumps({"n": number, "error": kind, "message": str(result)}) + "\n"
    return json.dumps({"n": number, "verdict": plain.encode_verdict(result)}) + "\n"


def decode_line(line: bytes | str, where: str) -> tuple[int, Result]:
    """What `encode_line` was given; `where` it comes from, for messages. Raises DataError."""
    try:
        row = plain.as_object(json.loads(line), where)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: expected a line of JSON, got {bytes(line[:60])!r}.") from error  # type: ignore[arg-type]
    number = plain.field(row, "n", int, where)
    if "error" in row:
        kind = ERRORS.get(plain.field(row, "error", str, where), SandboxError)
        return number, kind(plain.field(row, "message", str, where))
    return number, plain.decode_verdict(plain.field(row, "verdict", dict, where), where)
