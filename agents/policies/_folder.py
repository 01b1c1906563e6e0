"""Which kind of policy a saved folder holds: said in `policy.json`, where a plain transformers folder does not say it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rltf_env.errors import DataError

FILE = "policy.json"


def write(folder: Path, kind: str, options: Mapping[str, Any]) -> None:
    """Says that the folder is to be loaded as `kind`, and what else of it its makers want to know then."""
    (folder / FILE).write_text(json.dumps({"kind": kind, **options}, indent=1) + "\n", encoding="utf-8")


def read(folder: str | Path) -> dict[str, Any]:
    """What `write` has said; nothing of a plain folder, or of what is no folder.

    Raises:
        DataError: a file that is not of this making.
    """
    file = Path(folder) / FILE
    if not str(folder) or not file.is_file():
        return {}
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        assert isinstance(content["kind"], str)
    except (ValueError, KeyError, TypeError, AssertionError) as error:
        raise DataError(f"Expected {str(file)!r} to name the kind of a policy, got a file that does not.") from error
    return content


def kind(folder: str | Path) -> str:
    """The kind to load a saved policy by: what `policy.json` says, else the family that `config.json` is of."""
    said = read(folder).get("kind")
    if said:
        return said
    content = json.loads((Path(folder) / "config.json").read_text(encoding="utf-8"))
    return "seq2seq" if content.get("is_encoder_decoder") else "causal"  # whatever it was made of
