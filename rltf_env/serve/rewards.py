"""Rewards over HTTP, in the shapes that OpenRLHF (`--reward.remote_url`) and slime (`--rm-type remote_rm`) send.

A label names a problem: its id, or the whole problem as an object or as JSON text. The number is
the total of the service's reward on the program in the answer. A judge that fails is 503, never a
number: both trainers ask again.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import BaseModel, Field

from rltf_env import answers, rewards
from rltf_env.core import Attempt, Problem, Program, Verdict, line_starts
from rltf_env.errors import DataError, SandboxError
from rltf_env.sandbox.store import ProblemStore
from rltf_env.serve.queue import JudgeQueue
from rltf_env.serve.replies import Json

Label = Annotated[str | dict[str, Any], Field(description="A problem's id, or a whole problem.")]
Message = dict[str, Any]


class Queries(BaseModel):
    """Of OpenRLHF: a query is a prompt with its answer."""

    query: list[str]
    prompts: list[str]
    labels: list[Label]


class Sample(BaseModel):
    """Of slime: a prompt may be a conversation."""

    prompt: str | list[Message] | None = None
    response: str
    label: Label


def router(queue: JudgeQueue, store: ProblemStore) -> APIRouter:
    """The routes."""
    routes = APIRouter(tags=["rewards"])
    reward = rewards.load(queue.settings.reward)

    async def judged(pairs: list[tuple[Problem, str]]) -> list[Verdict]:
        await queue.enter(len(pairs), queue.settings.patience)
        try:
            async with asyncio.timeout(queue.settings.patience), asyncio.TaskGroup() as group:
                asked = [group.create_task(queue.verdict(text, problem)) for problem, text in pairs]
            return [task.result() for task in asked]
        except TimeoutError:
            raise SandboxError("The programs were not judged in time.") from None
        except BaseExceptionGroup as group:  # the first of them says what the request is worth
            raise group.exceptions[0] from None
        finally:
            queue.leave(len(pairs))

    def value(problem: Problem, text: str, verdict: Verdict) -> float:
        return float(reward(Attempt(problem, _lines(text), verdict)).total)

    @routes.post("/get_reward", response_class=Response)
    async def get_reward(body: Queries) -> Response:
        """Of each answer: `rewards`, the service's reward; `scores`, the share of cases passed."""
        if not len(body.query) == len(body.prompts) == len(body.labels):
            raise DataError("the body: expected as many prompts and labels as queries.")
        if len(body.query) > queue.settings.queue:
            raise DataError(f"query: expected {queue.settings.queue} at most, got {len(body.query)}.")
        given = [query.removeprefix(prompt) for query, prompt in zip(body.query, body.prompts, strict=True)]
        pairs = await _pairs(given, body.labels, store)
        verdicts = await judged(pairs)
        totals = [value(*pair, verdict) for pair, verdict in zip(pairs, verdicts, strict=True)]
        passed = [float(verdict.pass_ratio == 1.0) for verdict in verdicts]
        scores = [verdict.pass_ratio for verdict in verdicts]
        return Json({"rewards": totals, "scores": scores, "extra_logs": {"passed": passed}})

    @routes.post("/reward", response_class=Response)
    async def remote_rm(body: Sample) -> Response:
        """The service's reward on an answer, a bare number."""
        pairs = await _pairs([body.response], [body.label], store)
        (verdict,) = await judged(pairs)
        return Json(value(*pairs[0], verdict))

    return routes


async def _pairs(given: Sequence[str], labels: Sequence[Label], store: ProblemStore) -> list[tuple[Problem, str]]:
    """Of each answer the problem, and the whole program that it amounts to. Long answers are read beside the event loop."""
    problems = [_labelled(label, store) for label in labels]
    texts = await asyncio.to_thread(lambda: list(map(answers.whole, problems, given)))
    return list(zip(problems, texts, strict=True))


def _labelled(label: str | dict[str, Any], store: ProblemStore) -> Problem:
    if isinstance(label, str) and label.lstrip().startswith("{"):
        try:
            label = json.loads(label)
        except (ValueError, RecursionError) as error:
            raise DataError("label: expected an id, or a problem as JSON, got neither.") from error
    return store.find(label) if isinstance(label, str) else store.put(label, "label")[1]


def _lines(text: str) -> Program:
    """A program whose tokens are its lines: no model's tokens are known here."""
    starts = np.array(line_starts(text), np.int64)
    return Program(np.zeros(len(starts), np.int64), text, starts)
