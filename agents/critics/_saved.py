"""A model with a head as a folder: the transformer as its policy saves it, the head and a description beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from agents.core import Policy
from agents.running.files import write_atomically
from rltf_env import plugins
from rltf_env.errors import MissingData


def save(
    folder: Path, policy: Policy[Any], head: tuple[str, nn.Module], description: tuple[str, Mapping[str, Any]]
) -> None:
    """Writes policy, head and description, the last two as (file name, content); the kind of policy is added."""
    folder.mkdir(parents=True, exist_ok=True)
    policy.save(folder)
    kind = type(policy).__module__.rpartition(".")[2]
    text = json.dumps({"kind": kind, **description[1]})
    write_atomically(folder / head[0], lambda file: torch.save(head[1].state_dict(), file))
    write_atomically(folder / description[0], lambda file: _write(file, text))


def load(
    folder: str | Path, head: str, description: str, maker: str, remedy: str, options: Mapping[str, Any]
) -> tuple[Policy[Any], dict[str, Any], dict[str, Any]]:
    """What `save` wrote: the policy, loaded with `options`, the head's weights, and the description without the kind.

    Raises:
        MissingData: there is no such folder; `maker` is the class whose `save` makes one, `remedy` a sentence.
    """
    where = Path(folder)
    try:
        described = json.loads((where / description).read_text(encoding="utf-8"))
        weights = torch.load(where / head, map_location="cpu", weights_only=True)
    except OSError as error:
        raise MissingData(
            f"Expected a folder that {maker}.save wrote, got {str(folder)!r}: {error}. {remedy}"
        ) from error
    policy = plugins.find("policies", described.pop("kind"), package="agents")(str(where), **options)
    return policy, weights, described


def _write(file: Any, text: str) -> None:
    file.write(text.encode())
