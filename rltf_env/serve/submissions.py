"""`POST /submit` as SandboxFusion speaks it, and ScaleBox's `/common_evaluate` and `/common_evaluate_batch`.

Where `/run_code` runs a program once and leaves the comparison to its caller, these routes carry the
tests, or name a problem of the service: the judge compares, and one request judges a whole program.
The clients ask again after 504 and pay for anything else that is no answer as for a wrong program:
so 504, and nothing else, stands for a judge that cannot judge.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Literal, NamedTuple

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from rltf_env import answers
from rltf_env.core import CallCase, CaseResult, Limits, Outcome, Problem, Verdict
from rltf_env.datasets.apps import PREFIX
from rltf_env.errors import DataError, InvalidProblem
from rltf_env.sandbox.store import ProblemStore
from rltf_env.serve import provided
from rltf_env.serve.fusion import or_hang_up, patience_of, run_reply
from rltf_env.serve.queue import JudgeQueue
from rltf_env.serve.replies import Json, detail

Rows = dict[str, Any] | list[dict[str, Any]]
DATASETS = (None, "CommonOJDataset")  # of SandboxFusion's classes, those whose tests are read


class Config(BaseModel):
    """How a program is tested. Other fields of SandboxFusion's `TestConfig` change nothing here."""

    language: Literal["python"] | None = None
    dataset_type: str | None = None
    compile_timeout: Annotated[float, Field(gt=0)] | None = None
    run_timeout: Annotated[float, Field(gt=0, description="Seconds of CPU time for a case.")] | None = None
    memory_limit_mb: int | None = None
    custom_extract_logic: str | None = None
    provided_data: Rows | None = None
    extra: dict[str, Any] | None = None


class Submission(BaseModel):
    """An answer of a model, and what it answers."""

    dataset: str = ""
    id: int | str = 0
    completion: str
    config: Config


class Asked(NamedTuple):
    """What is to be judged: a problem, the program in the answer, the whole of it; and what is shown of each case."""

    problem: Problem
    program: str
    text: str
    shown: tuple[dict[str, Any] | None, ...]


_FIELDS = (
    "`accepted`: all cases passed. `extracted_code`: the program in the answer. `tests`: for each case up to the "
    "first that failed (or for all, with `config.extra.run_all_cases`) `passed`, and `exec_info` as `/run_code` replies"
)
_REPLIES: dict[int | str, dict[str, Any]] = {
    200: {"description": f"{_FIELDS}."},
    504: {"description": "The judge cannot judge now. Ask again."},
}
_TOLD = {
    "/submit": "Judges an answer on a problem of the service, or on the tests that it brings along.",
    "/common_evaluate": "The same for ScaleBox's clients: the tests come along, a case at a time.",
    "/common_evaluate_batch": "The same for ScaleBox's clients: the tests come along, side by side.",
}


def router(queue: JudgeQueue, store: ProblemStore) -> APIRouter:
    """The routes."""
    routes = APIRouter(tags=["SandboxFusion"])

    async def submit(body: Submission, request: Request) -> Response:
        asked = await _asked(body, store)
        work = queue.admitted(asked.text, asked.problem, _patience(body.config, queue.settings.patience))
        try:
            verdict = await or_hang_up(work, request)
        except InvalidProblem as error:
            return detail(422, f"config.provided_data: {error}"[:500])
        except Exception:
            # Law: a judge that failed says nothing of the program. Whatever it was, it is 504 here.
            return detail(504, "The judge cannot judge now.")
        return Response(status_code=499) if verdict is None else Json(_reply(body, asked, verdict))

    for path, told in _TOLD.items():
        _add(routes, path, told, submit)
    return routes


def _add(routes: APIRouter, path: str, told: str, handler: Callable[..., Coroutine[Any, Any, Response]]) -> None:
    routes.add_api_route(
        path, handler, methods=["POST"], response_class=Response, responses=_REPLIES, description=told, name=path[1:]
    )


def _patience(config: Config, most: float) -> float:
    """Seconds to answer in, which a client limits that names both of its own limits."""
    if config.compile_timeout is None or config.run_timeout is None:
        return most
    return patience_of(config.compile_timeout, config.run_timeout, most)


# --------------------------------------------------------------------------------------------------------- what is asked


async def _asked(body: Submission, store: ProblemStore) -> Asked:
    """The problem and the program of a request. Raises DataError, UsageError."""
    config, extra = body.config, body.config.extra or {}
    if config.custom_extract_logic is not None:
        raise DataError("config.custom_extract_logic: expected none, since no code of a client runs in the service.")
    if extra.get("special_judge_program") is not None:
        raise DataError("config.extra: expected no 'special_judge_program': a problem may have a checker, by /judge.")
    if not config.provided_data:
        problem = known(store, body.dataset, body.id)
        program = await _program(body.completion, problem.entry_point)
        return _whole(problem, program, (None,) * len(problem.cases))
    if config.dataset_type not in DATASETS:
        raise DataError("config.dataset_type: expected 'CommonOJDataset' or none, got another.")
    tests = provided.read(_row(config.provided_data, body.id), whole=bool(extra.get("return_full_case")))
    program = await _program(body.completion, tests.function)
    return _whole(store.keep(_problem(tests, program, config))[1], program, tests.shown)


async def _program(answer: str, entry_point: str | None) -> str:
    """The program in an answer. A long one is read beside the event loop."""
    return (await asyncio.to_thread(answers.extract, answer, entry_point)).program


def _whole(problem: Problem, program: str, shown: tuple[dict[str, Any] | None, ...]) -> Asked:
    return Asked(problem, program, answers.joined(problem.prefix, program, problem.entry_point), shown)


def _problem(tests: provided.Tests, program: str, config: Config) -> Problem:
    """The tests as a problem. A method of `class Solution` has LeetCode's imports before it, as ScaleBox has them."""
    method = isinstance(tests.cases[0], CallCase) and "class Solution" in program
    entry_point, prefix = (f"Solution.{tests.function}", PREFIX) if method else (tests.function, "")
    return Problem("submitted", "", tests.cases, entry_point, prefix=prefix, limits=_limits(config))


def _row(rows: Rows, id: int | str) -> dict[str, Any]:
    """The row of this id; a single one needs none."""
    if isinstance(rows, dict):
        return rows
    found = rows if len(rows) == 1 else [row for row in rows if str(row.get("id")) == str(id)]
    if len(found) != 1:
        raise DataError("config.provided_data: expected one row with the id of the request, got none or several.")
    return found[0]


def _limits(config: Config) -> Limits | None:
    seconds = None if config.run_timeout is None else min(config.run_timeout, 1e6)
    memory = config.memory_limit_mb if config.memory_limit_mb and 0 < config.memory_limit_mb < 1 << 20 else None
    return None if seconds is None and memory is None else Limits(seconds=seconds, memory_mb=memory)


def known(store: ProblemStore, dataset: str, id: int | str) -> Problem:
    """A problem of the service: by its id, or by what of it follows the name of its data set. Raises UnknownName."""
    longer = f"{dataset}/{id}"
    return store.find(longer if longer in store.named else str(id))


# -------------------------------------------------------------------------------------------------------------- the reply


def _reply(body: Submission, asked: Asked, verdict: Verdict) -> dict[str, Any]:
    results = list(verdict.results)
    failed = next((i for i, result in enumerate(results) if result.outcome is not Outcome.PASSED), len(results))
    if not (body.config.extra or {}).get("run_all_cases"):
        results = results[: failed + 1]
    return {
        "id": body.id,
        "accepted": verdict.outcome is Outcome.PASSED,
        "extracted_code": asked.program,
        "full_code": asked.text if asked.text != asked.program else None,
        "test_code": None,
        "tests": [_case(result, shown) for result, shown in zip(results, asked.shown, strict=False)],
        "extracted_type": None,
        "extra": None,
    }


def _case(result: CaseResult, shown: dict[str, Any] | None) -> dict[str, Any]:
    return {"passed": result.outcome is Outcome.PASSED, "exec_info": run_reply(result), "test_info": shown}
