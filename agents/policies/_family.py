"""Which kind of policy loads a saved folder. Needs neither torch nor transformers."""

from __future__ import annotations

import json
from pathlib import Path


def kind_of(folder: Path) -> str:
    """The kind "seq2seq" where the config of a folder of transformers says that it has an encoder, else "causal"."""
    content = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return "seq2seq" if content.get("is_encoder_decoder") else "causal"
