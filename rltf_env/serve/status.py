"""What is there and how it goes: `/problems`, `/about`, `/health`, `/metrics`, and a page of all routes."""

from __future__ import annotations

import html
import platform
from collections import Counter
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Query, Request
from fastapi.responses import HTMLResponse, PlainTextResponse, Response

from rltf_env import __version__, plain
from rltf_env.core import Problem
from rltf_env.sandbox import protocol
from rltf_env.sandbox.store import ProblemStore
from rltf_env.serve.judging import _ROW, read
from rltf_env.serve.queue import BOUNDS, JudgeQueue
from rltf_env.serve.replies import Json, detail

HIDDEN = ("cases", "held_out", "solutions", "meta")  # of a problem: what a policy must not see
_SENT = {"type": "object", "required": ["problems"], "properties": {"problems": {"type": "array", "items": _ROW}}}


def router(queue: JudgeQueue, store: ProblemStore, requests: Counter[tuple[str, int]]) -> APIRouter:
    """The routes.

    Args:
        requests: replies so far, by route and status.
    """
    routes = APIRouter(tags=["service"])

    @routes.get("/problems", response_class=Response)
    async def listed(
        after: str = "", limit: Annotated[int, Query(ge=1, le=1000)] = 100, whole: bool = False
    ) -> Response:
        """The problems that have a name, by id. `whole`: with their tests and solutions too. `next`: go on `after` it."""
        ids = sorted(id for id in store.named if id > after)
        rows = [_row(store.named[id], store.digests[id], whole) for id in ids[:limit]]
        return Json({"problems": rows, "next": ids[limit - 1] if len(ids) > limit else None})

    @routes.get("/problems/{name:path}", response_class=Response, responses={404: {"description": "Unknown."}})
    async def one(name: str, whole: bool = False) -> Response:
        """A problem, by its id or its digest."""
        problem = store.named.get(name) or store.get(name)
        if problem is None:
            return detail(404, "Expected the id or the digest of a problem that is known, got another.")
        return Json(_row(problem, protocol.digest(problem), whole))

    @routes.post("/problems", response_class=Response, openapi_extra={
        "requestBody": {"required": True, "content": {"application/json": {"schema": _SENT}}}
    })  # fmt: skip
    async def sent(request: Request) -> Response:
        """Remembers whole problems ahead of use; answers with their `digests`, in order."""
        rows = plain.field(await read(request), "problems", list, "the body")
        named = [store.put(plain.as_object(row, f"problems[{i}]"), f"problems[{i}]") for i, row in enumerate(rows)]
        return Json({"digests": [key for key, _ in named]})

    @routes.get("/about", response_class=Response)
    async def about() -> Response:
        """Who judges here. Verdicts depend on it: a client may compare services."""
        settings = queue.settings
        return Json({
            "rltf": __version__,
            "python": platform.python_version(),
            "judge": queue.level,
            "options": queue.options,
            "reward": settings.reward,
            "queue": settings.queue,
            "body": settings.body,
            "problems": len(store),
        })  # fmt: skip

    @routes.get("/health", response_class=Response, responses={503: {"description": "The judge does not answer."}})
    async def health() -> Response:
        """Has the judge judge, unless it has just done so."""
        good = await queue.healthy()
        return Json({"status": "ok" if good else "draining" if queue.draining else "failing"}, 200 if good else 503)

    @routes.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> Response:
        """For Prometheus."""
        return PlainTextResponse(_metrics(queue, store, requests), media_type="text/plain; version=0.0.4")

    return routes


def _row(problem: Problem, key: str, whole: bool) -> dict[str, Any]:
    row = plain.encode_problem(problem)
    shown = {name: value for name, value in row.items() if whole or name not in HIDDEN}
    return shown | {"digest": key}


# ------------------------------------------------------------------------------------------------------------- metrics


def _metrics(queue: JudgeQueue, store: ProblemStore, requests: Counter[tuple[str, int]]) -> str:
    """Prometheus' text format. Labels come from fixed sets, never from a request."""
    lines = [
        *_family("rltf_programs_total", "counter", "Programs answered, by outcome or by error.", {
            f'{{outcome="{name}"}}': count for name, count in sorted(queue.counts.items())}),
        *_family("rltf_requests_total", "counter", "Replies, by route and status.", {
            f'{{route="{route}",status="{status}"}}': count for (route, status), count in sorted(requests.items())}),
        *_family("rltf_programs_inside", "gauge", "Programs waiting or being judged.", {"": queue.inside}),
        *_family("rltf_queue_limit", "gauge", "Programs that may be inside.", {"": queue.settings.queue}),
        *_family("rltf_requests_waiting", "gauge", "Requests waiting for room.", {"": len(queue.waiters)}),
        *_family("rltf_oldest_seconds", "gauge", "How long the next program has waited.", {"": round(queue.oldest, 3)}),
        *_family("rltf_problems", "gauge", "Problems that are known.", {"": len(store)}),
    ]  # fmt: skip
    return "\n".join([*lines, *_histogram(queue)]) + "\n"


def _family(name: str, kind: str, words: str, values: dict[str, float]) -> list[str]:
    return [f"# HELP {name} {words}", f"# TYPE {name} {kind}", *(f"{name}{labels} {v}" for labels, v in values.items())]


def _histogram(queue: JudgeQueue) -> list[str]:
    name, total = "rltf_verdict_seconds", 0
    lines = [f"# HELP {name} From a program's arrival to its verdict.", f"# TYPE {name} histogram"]
    for bound, count in zip((*map(str, BOUNDS), "+Inf"), queue.times, strict=True):
        total += count
        lines.append(f'{name}_bucket{{le="{bound}"}} {total}')
    return [*lines, f"{name}_sum {queue.seconds:.6f}", f"{name}_count {total}"]


# ---------------------------------------------------------------------------------------------------------------- page


def page(app: FastAPI) -> APIRouter:
    """`/docs`: the routes for people, made from `/openapi.json`. It loads nothing from anywhere."""
    routes = APIRouter()

    @routes.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(_html(app.openapi()))

    return routes


def _html(schema: dict[str, Any]) -> str:
    rows = "".join(
        f"<tr><td><code>{method.upper()} {html.escape(path)}</code><td>{html.escape(call.get('description', ''))}"
        f"<td>{_replies(call['responses'])}"
        for path, calls in schema["paths"].items()
        for method, call in calls.items()
    )
    title = html.escape(schema["info"]["title"])
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title>"
        "<style>body{font:1rem/1.5 sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}"
        "td,th{text-align:left;vertical-align:top;padding:.4rem 1rem .4rem 0;border-top:1px solid #ccc}</style>"
        f"<h1>{title}</h1><p>{html.escape(schema['info']['description'])} "
        "The shapes of all bodies: <a href=openapi.json>openapi.json</a>."
        f"<table><tr><th>route<th>what it does<th>replies{rows}</table>"
    )


def _replies(responses: dict[str, Any]) -> str:
    return "<br>".join(f"{status}: {html.escape(reply.get('description', ''))}" for status, reply in responses.items())
