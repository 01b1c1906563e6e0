"""`POST /judge`: many programs in a request, each verdict as soon as it is there.

The body is read by Python's own JSON, as `sandbox/protocol.py` writes it: a program may hold lone
surrogates and a case may expect NaN. All of a request is checked before any of it is judged.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from rltf_env import plain
from rltf_env.core import Problem
from rltf_env.errors import DataError, SandboxError
from rltf_env.sandbox import protocol
from rltf_env.sandbox.protocol import Result
from rltf_env.sandbox.store import ProblemStore
from rltf_env.serve.queue import JudgeQueue, Ticket
from rltf_env.serve.replies import Json, detail

COMPANY = 0.05  # seconds that a single verdict waits for others of its request, so that they share a packet
BEAT = 1.0  # seconds after which an empty line says that the service is alive
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")
_KEYS = ("program", "problem", "digest")
_ROW = {
    "type": "object",
    "required": ["id", "statement", "cases"],
    "properties": {
        "id": {"type": "string"},
        "statement": {"type": "string"},
        "cases": {"type": "array", "items": {"type": "object"}},
        "entry_point": {"type": "string"},
    },
    "description": "A whole problem, as a line of a JSON-lines file has it.",
}
_JOB = {
    "type": "object",
    "required": ["program"],
    "properties": {
        "program": {"type": "string"},
        "problem": {"anyOf": [{"type": "string"}, _ROW], "description": "An id, or a whole problem."},
        "digest": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
    },
    "additionalProperties": False,
}
BODY = {
    "type": "object",
    "required": ["jobs"],
    "properties": {"jobs": {"type": "array", "items": _JOB}, "problems": {"type": "array", "items": _ROW}},
    "additionalProperties": False,
}
_SHOWN = {"requestBody": {"required": True, "content": {"application/json": {"schema": BODY}}}}
_REPLIES: dict[int | str, dict[str, Any]] = {
    200: {"description": "A line of JSON for each job, in the order of their verdicts.", "content": {
        "application/x-ndjson": {}}},
    409: {"description": "Problems that are not known: send the request again, with them."},
    429: {"description": "No room. Come again after `Retry-After` seconds."},
}  # fmt: skip


class Unknown(Exception):
    """Digests of problems that the service does not know."""

    def __init__(self, digests: list[str]) -> None:
        super().__init__(digests)
        self.digests = digests


class Job(NamedTuple):
    """A program, and the problem that it should solve."""

    program: str
    problem: Problem


async def read(request: Request) -> dict[str, Any]:
    """The body as a JSON object. Raises DataError."""
    try:
        return plain.as_object(json.loads(await request.body()), "the body")
    except (ValueError, RecursionError) as error:
        raise DataError("the body: expected JSON, got something else.") from error


def jobs(body: Mapping[str, Any], store: ProblemStore) -> list[Job]:
    """What a request asks for.

    Raises:
        Unknown: digests that neither the service nor the request explains.
        DataError, UsageError: anything else that is wrong with it.
    """
    plain_body = dict(body)
    _check_keys(plain_body, ("jobs", "problems"), "the body")
    rows = plain.field({"problems": []} | plain_body, "problems", list, "the body")
    sent = dict(store.put(plain.as_object(row, f"problems[{i}]"), f"problems[{i}]") for i, row in enumerate(rows))
    asked = [
        _job(row, f"jobs[{i}]", sent, store) for i, row in enumerate(plain.field(plain_body, "jobs", list, "the body"))
    ]
    unknown = [each for each in asked if isinstance(each, str)]
    if unknown:
        raise Unknown(sorted(set(unknown)))
    return [each for each in asked if isinstance(each, Job)]


def _job(row: Any, where: str, sent: Mapping[str, Problem], store: ProblemStore) -> Job | str:
    """A job, or the digest of its problem if that is not known."""
    row = plain.as_object(row, where)
    _check_keys(row, _KEYS, where)
    program, key = plain.field(row, "program", str, where), row.get("digest")
    if key is not None and not (isinstance(key, str) and _DIGEST.match(key)):
        raise DataError(f"{where}: expected 'digest' to be 64 hexadecimal digits.")
    named = row.get("problem")
    if named is None:
        if key is None:
            raise DataError(f"{where}: expected a 'problem', an id or a whole one, or a 'digest', got neither.")
        problem = sent.get(key) or store.get(key)
        return key if problem is None else Job(program, problem)
    if isinstance(named, str):
        problem = store.find(named)
        actual = store.digests[named]
    else:
        actual, problem = store.put(plain.as_object(named, f"{where}, problem"), f"{where}, problem")
    if key is not None and key != actual:
        raise DataError(f"{where}: expected the digest of problem {problem.id[:200]!r}, {actual}, got {key}.")
    return Job(program, problem)


def _check_keys(row: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    if extra := [key for key in row if key not in known]:
        raise DataError(f"{where}: expected the keys {', '.join(known)}, got also {extra[0][:60]!r}.")


class Verdicts(Response):
    """A reply that is written while the judge works. It enters and leaves the queue itself, whatever happens."""

    media_type = "application/x-ndjson"

    def __init__(self, queue: JudgeQueue, asked: list[Job]) -> None:
        super().__init__()
        self.queue, self.asked, self.left = queue, asked, len(asked)
        self.ready: list[tuple[int, Result]] = []  # verdicts that are to be sent
        self.changed, self.gone = asyncio.Event(), False
        del self.headers["content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.queue.enter(len(self.asked))
        tickets: list[Ticket] = []
        hung_up = asyncio.ensure_future(self._hung_up(receive))
        try:
            for number, job in enumerate(self.asked):
                tickets.append(self.queue.ask(Ticket(job.program, job.problem, partial(self._settle, number))))
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            async with asyncio.timeout(self.queue.settings.patience):
                while self.left:
                    await self._next(send)
        except TimeoutError:
            lines = (protocol.encode_line(n, _overdue()) for n, ticket in enumerate(tickets) if not ticket.over)
            body = "".join(lines).encode()
            with contextlib.suppress(TimeoutError):  # it may be the client that does not read
                async with asyncio.timeout(BEAT):
                    await send({"type": "http.response.body", "body": body, "more_body": True})
        except ClientDisconnect:
            return
        finally:
            hung_up.cancel()
            for ticket in tickets:
                self.queue.cancel(ticket)
            self.queue.leave(self.left)
        await send({"type": "http.response.body", "body": b""})

    def _settle(self, number: int, result: Result) -> None:
        """Called by the queue. The first verdict waits for others, the last for nobody."""
        self.ready.append((number, result))
        if len(self.ready) >= self.left:
            self.changed.set()
        elif len(self.ready) == 1:
            self.queue.loop.call_later(0 if self.queue.bunched else COMPANY, self.changed.set)

    async def _next(self, send: Send) -> None:
        """Sends the verdicts that are there, or a sign of life."""
        beat = self.queue.loop.call_later(BEAT, self.changed.set)
        try:
            await self.changed.wait()
        finally:
            beat.cancel()
        self.changed.clear()
        if self.gone:
            raise ClientDisconnect
        results, self.ready = self.ready, []
        self.left -= len(results)
        self.queue.leave(len(results))
        lines = "".join(protocol.encode_line(*each) for each in results) or "\n"
        await send({"type": "http.response.body", "body": lines.encode(), "more_body": True})

    async def _hung_up(self, receive: Receive) -> None:
        """Notices that nobody reads the reply any more."""
        while (await receive())["type"] != "http.disconnect":
            continue
        self.gone = True
        self.changed.set()


def _overdue() -> SandboxError:
    return SandboxError("The program was not judged in time. Try again later, or give the service more processors.")


def router(queue: JudgeQueue, store: ProblemStore) -> APIRouter:
    """The route."""
    routes = APIRouter(tags=["judge"])

    @routes.post("/judge", openapi_extra=_SHOWN, responses=_REPLIES, response_class=Response)
    async def judge(request: Request) -> Response:
        """Judges programs. A line comes for each job as soon as it is judged: `n`, its place among
        the jobs, and either `verdict`, or `error` and `message` where there is none."""
        try:
            asked = jobs(await read(request), store)
        except Unknown as error:
            return Json({"unknown": error.digests}, 409)
        if len(asked) > queue.settings.queue:
            return detail(413, f"Expected {queue.settings.queue} jobs at most, got {len(asked)}.")
        return Verdicts(queue, asked)

    return routes
