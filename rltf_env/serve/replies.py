"""Replies as JSON that any text survives, and the errors that become one.

A program may print lone surrogates and a case may expect NaN: Starlette's own reply would fail on
both. No error repeats what a client sent or a program printed.
"""

from __future__ import annotations

import json
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from rltf_env.errors import DataError, SandboxError, UsageError

AGAIN = 1  # seconds after which a client that was sent away may come again
# SandboxFusion's clients ask again after 504 alone; anything else they pay as a wrong program.
RETRIED: dict[str, int] = dict.fromkeys(("/run_code", "/submit", "/common_evaluate", "/common_evaluate_batch"), 504)
_DETAIL = {"type": "object", "required": ["detail"], "properties": {"detail": {"type": "string"}}}
_REFUSAL = {"content": {"application/json": {"schema": _DETAIL}}}
REFUSALS: dict[int | str, dict[str, Any]] = {  # of every route, for the page
    401: {"description": "Expected the token.", **_REFUSAL},
    413: {"description": "Too long.", **_REFUSAL},
    422: {"description": "Something is wrong with the request: `detail` says what.", **_REFUSAL},
}


class Json(Response):
    """A reply in ASCII JSON, with NaN and Infinity as Python writes them."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """The reply's bytes."""
        return json.dumps(content, separators=(",", ":")).encode()


class Busy(Exception):
    """There is no room: come again. `draining`: not here, the service is about to end."""

    def __init__(self, detail: str, *, draining: bool = False) -> None:
        super().__init__(detail)
        self.draining = draining

    def reply(self) -> Json:
        """429 where there will be room soon; 503 where there will be none."""
        headers = {"Retry-After": str(AGAIN)} | ({"Connection": "close"} if self.draining else {})
        return detail(503 if self.draining else 429, str(self), headers)


def detail(status: int, text: str, headers: dict[str, str] | None = None) -> Json:
    """A refusal that says why."""
    return Json({"detail": text}, status, headers)


def install(app: FastAPI) -> None:
    """Has the errors of all routes answered here."""

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> Json:
        return detail(error.status_code, str(error.detail), dict(error.headers or {}))

    @app.exception_handler(RequestValidationError)
    async def malformed(request: Request, error: RequestValidationError) -> Json:
        first = error.errors()[0]
        where = ".".join(part if isinstance(part, str) else "[]" for part in first["loc"][:6])
        return detail(422, f"{where[:200]}: {first['msg'][:200]}")

    @app.exception_handler(Busy)
    async def busy(request: Request, error: Busy) -> Json:
        return error.reply()

    @app.exception_handler(UsageError)
    @app.exception_handler(DataError)
    async def senseless(request: Request, error: Exception) -> Json:
        return detail(422, str(error))

    @app.exception_handler(SandboxError)
    async def broken(request: Request, error: SandboxError) -> Json:
        return detail(503, "The judge cannot judge.", {"Retry-After": str(AGAIN)})

    @app.exception_handler(ClientDisconnect)
    async def gone(request: Request, error: ClientDisconnect) -> Response:
        return Response(status_code=499)  # for the metrics: nobody reads it

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> Json:
        return detail(RETRIED.get(request.url.path, 500), "The service failed on this request.")
