"""The problems as prompts, as SandboxFusion's clients ask for them: `/get_prompts` and its kin. No tests are shown.

A data set is what stands before the last slash of a problem's id.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import BaseModel, Field

from rltf_env import prompts
from rltf_env.core import Problem
from rltf_env.errors import DataError
from rltf_env.sandbox.store import ProblemStore
from rltf_env.serve.replies import Json
from rltf_env.serve.submissions import Config, known

MOST = 1000  # prompts in a reply


class Page(BaseModel):
    """Some problems of a data set, in the order of their ids."""

    dataset: str = ""
    config: Config = Config()
    offset: Annotated[int, Field(ge=0)] = 0
    limit: Annotated[int, Field(ge=0, description=f"At most {MOST} come at a time.")] = MOST


class One(BaseModel):
    """One problem of a data set."""

    dataset: str = ""
    config: Config = Config()
    id: int | str


def router(store: ProblemStore) -> APIRouter:
    """The routes."""
    routes = APIRouter(tags=["SandboxFusion"])

    @routes.get("/list_datasets", response_class=Response)
    async def list_datasets() -> Response:
        """The data sets of the problems that have a name."""
        return Json(sorted({_dataset(id) for id in store.named}))

    @routes.post("/list_ids", response_class=Response)
    async def list_ids(body: Page) -> Response:
        """The ids of a data set's problems, or of all of them."""
        return Json(_ids(body, store))

    @routes.post("/get_prompts", response_class=Response)
    async def get_prompts(body: Page) -> Response:
        """Prompts of a data set, or of all problems."""
        return Json([_prompt(store.named[id]) for id in _ids(body, store)])

    @routes.post("/get_prompt_by_id", response_class=Response)
    async def get_prompt_by_id(body: One) -> Response:
        """The prompt of one problem."""
        _check(body.config)
        return Json(_prompt(known(store, body.dataset, body.id)))

    return routes


def _dataset(id: str) -> str:
    return id.rpartition("/")[0]


def _ids(page: Page, store: ProblemStore) -> list[str]:
    _check(page.config)
    ids = sorted(id for id in store.named if page.dataset in ("", _dataset(id)))
    return ids[page.offset :][: min(page.limit, MOST)]


def _check(config: Config) -> None:
    if config.provided_data is not None:
        raise DataError("config.provided_data: expected none, since a row of it holds its own prompt.")


def _prompt(problem: Problem) -> dict[str, Any]:
    labels = {name: value for name in ("difficulty", "entry_point") if (value := getattr(problem, name))}
    return {"id": problem.id, "prompt": prompts.render(problem) + problem.prefix, "labels": labels}
