"""`POST /run_code` as SandboxFusion speaks it, so that verl and others judge here by changing a URL.

These clients send a program and its input, and compare the output themselves. They ask again after
504 and take anything else that is no answer for a wrong program: so 504, and nothing else, stands
for a judge that cannot judge, a full queue included.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Coroutine
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, TypeVar

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from rltf_env.core import CaseResult, FailureKind, Limits, Problem, StdinCase
from rltf_env.errors import DataError, InvalidProblem
from rltf_env.serve.queue import JudgeQueue
from rltf_env.serve.replies import Json, detail

MARGIN = 10.0  # seconds beyond both time limits after which verl's client gives up
EARLY = 3.0  # seconds before that at which it must have an answer
T = TypeVar("T")
_NOTHING = "\0 no program is asked to print this"


class RunCode(BaseModel):
    """A program to run. Languages other than Python and files to fetch are refused."""

    code: str
    language: Literal["python"]
    stdin: str | None = None
    compile_timeout: Annotated[float, Field(gt=0)] = 10
    run_timeout: Annotated[float, Field(gt=0, description="Seconds of CPU time, within the judge's own limit.")] = 10
    memory_limit_MB: int = -1
    files: dict[str, str | None] = {}
    fetch_files: list[str] = []


_RAN = {
    "status": "Success, or Failed: an error, an exit status, a time limit",
    "run_result": "status (Finished, TimeLimitExceeded), return_code, stdout, stderr, execution_time",
}
_REPLIES: dict[int | str, dict[str, Any]] = {
    200: {"description": "; ".join(f"`{key}`: {text}" for key, text in _RAN.items())},
    504: {"description": "The judge cannot judge now. Ask again."},
}


def router(queue: JudgeQueue) -> APIRouter:
    """The route."""
    routes = APIRouter(tags=["SandboxFusion"])

    @routes.post("/run_code", responses=_REPLIES, response_class=Response)
    async def run_code(body: RunCode, request: Request) -> Response:
        """Runs a program and says what it printed."""
        problem = _problem(body, queue)
        patience = patience_of(body.compile_timeout, body.run_timeout, queue.settings.patience)
        work = queue.admitted(problem.prefix + body.code, problem, patience, printed=True)
        try:
            verdict = await or_hang_up(work, request)
        except InvalidProblem as error:
            return detail(422, f"stdin: {error}"[:500])
        except Exception:
            # Law: a judge that failed says nothing of the program. Whatever it was, it is 504 here.
            return detail(504, "The judge cannot judge now.")
        return Response(status_code=499) if verdict is None else Json(run_reply(verdict.results[0], problem.prefix))

    return routes


def patience_of(compile_timeout: float, run_timeout: float, most: float) -> float:
    """Seconds to answer in: the client gives up `MARGIN` seconds after both of its limits."""
    return min(compile_timeout + run_timeout + MARGIN - EARLY, most)


async def or_hang_up(work: Coroutine[Any, Any, T], request: Request) -> T | None:
    """What `work` gives; None, and `work` is cancelled, if the client hangs up first."""
    running, gone = asyncio.ensure_future(work), asyncio.ensure_future(_hung_up(request))
    try:
        await asyncio.wait({running, gone}, return_when=asyncio.FIRST_COMPLETED)
        return running.result() if running.done() else None
    finally:
        gone.cancel()
        running.cancel()


async def _hung_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        continue


# --------------------------------------------------------------------------------------------------------- the program


def _problem(body: RunCode, queue: JudgeQueue) -> Problem:
    """A case that cannot be passed: only what is printed counts. Raises DataError."""
    if body.fetch_files:
        raise DataError("fetch_files: expected none, since files of a program do not leave its cage.")
    most = int(queue.settings.options.get("memory_mb", 1024))
    memory = min(body.memory_limit_MB, most) if body.memory_limit_MB > 0 else None
    limits = Limits(seconds=min(body.run_timeout, 1e6), memory_mb=memory)
    files = {name: _content(name, text) for name, text in body.files.items() if text is not None}
    return Problem("run_code", "", (StdinCase(body.stdin or "", _NOTHING),), prefix=_unpack(files), limits=limits)


def _content(name: str, text: str) -> bytes:
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts or "\0" in name or not path.name:
        raise DataError("files: expected paths below the program's folder, got another.")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise DataError("files: expected contents in base64, got something else.") from error


def _unpack(files: dict[str, bytes]) -> str:
    """A line of code that writes the files into the program's own folder; "" for none. It leaves no names behind."""
    if not files:
        return ""
    return (
        "(lambda o, s, w: (s.path.insert(0, o.getcwd()), [w(o, n, b) for n, b in "
        f"{files!r}.items()]))(__import__('os'), __import__('sys'), lambda o, n, b: (o.makedirs(o.path.dirname(n) or '.', "
        "exist_ok=True), open(n, 'wb').write(b)))\n"
    )


# ----------------------------------------------------------------------------------------------------------- the reply


def run_reply(result: CaseResult, prefix: str = "") -> dict[str, Any]:
    """What a program did, as SandboxFusion tells it. A wrong answer is a run like any other: the caller compares.

    Args:
        prefix: lines before the program that its author does not know of.
    """
    failure = result.failure
    code, late, stderr = 0, False, ""
    if failure is not None and failure.kind != FailureKind.WRONG_ANSWER:
        late = failure.kind == FailureKind.TIMEOUT
        exited = failure.kind == FailureKind.EXITED and failure.detail.lstrip("-").isdigit()
        code = int(failure.detail) if exited else 1
        line = "" if failure.line is None else f'File "main.py", line {max(failure.line - prefix.count(chr(10)), 1)}\n'
        stderr = f"{line}{failure.kind}: {failure.message}" if code else ""
    return {
        "status": "Failed" if late or code else "Success",
        "message": "",
        "compile_result": None,
        "run_result": {
            "status": "TimeLimitExceeded" if late else "Finished",
            "execution_time": result.seconds,
            "return_code": None if late else code,
            "stdout": result.stdout,
            "stderr": stderr,
        },
        "executor_pod_name": None,
        "files": {},
    }
