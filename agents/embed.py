"""`python -m agents.embed POLICY FILE ...`: texts and programs as points of a sphere, near each other where they belong together.

POLICY is the folder `policy` of a run with kind = "codet5p". Each FILE is a text, problem or program; a JSON-lines file
is a text a line, of which the key `text` is read. Of a long text the first --tokens are read, since attention grows with their
square. Written is a JSON line for each: {"name": ..., "embedding": [...]}; with --nearest N, the names of the N nearest others
instead.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from agents.building import quiet_libraries
from agents.critics.matcher import Matcher
from rltf_env import plain
from rltf_env.command import Parser, guarded, leave
from rltf_env.datasets._files import read_rows, read_text
from rltf_env.errors import UsageError

TOKENS = 512  # of a text that are read


def embed(policy: Any, texts: Sequence[str], rows: int = 64, tokens: int = TOKENS) -> np.ndarray:
    """float32 (N, width), of unit length; the product of two is how near they are, in [-1, 1].

    Args:
        policy: one that a run with kind = "codet5p" has taught and that has its heads still; or the `Matcher` of its folder.
        texts: problems as the policy is asked, or programs.
        rows: that are read at a time.
        tokens: of each text that are read, its first.

    Raises:
        UsageError: the policy has no heads, or a text has no tokens.
    """
    if isinstance(policy, Matcher):
        matcher = policy
    else:
        heads = getattr(policy, "beside", {}).get("heads")
        if heads is None:
            raise UsageError(
                'Expected a policy with heads, from a run with kind = "codet5p", got one without. Load it as a Matcher.'
            )
        matcher = Matcher(policy, heads, rows)
    tokenizer = matcher.policy.tokenizer
    encoded = [tokenizer.encode(text, add_special_tokens=False)[:tokens] for text in texts]
    return matcher.features([np.array(ids, np.int64) for ids in encoded])


def nearest(features: np.ndarray, count: int) -> np.ndarray:
    """int64 (N, count): for each point the others that are nearest to it, the nearest first."""
    likeness = features @ features.T
    np.fill_diagonal(likeness, -np.inf)
    return np.argsort(-likeness, axis=1, kind="stable")[:, :count]


def _texts(path: Path) -> Iterator[tuple[str, str]]:
    if path.suffix != ".jsonl":
        yield str(path), read_text(path)
        return
    for number, row in enumerate(read_rows(path), 1):
        yield f"{path}:{number}", plain.field(plain.as_object(row.value, row.where), "text", str, row.where)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = Parser(prog="python -m agents.embed", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("policy", type=Path, help="the folder `policy` of a finished run with kind = codet5p")
    parser.add_argument("files", type=Path, nargs="+", help="texts, or JSON lines with a key `text`")
    parser.add_argument("--nearest", type=int, default=0, metavar="N", help="names of the N nearest instead of numbers")
    parser.add_argument("--tokens", type=int, default=TOKENS, help=f"of a text that are read (default: {TOKENS})")
    parser.add_argument("--device", default="cpu")
    asked = parser.parse_args(arguments)
    return guarded(lambda: _run(asked))


def _run(asked: argparse.Namespace) -> int:
    quiet_libraries()
    names, texts = zip(*(pair for path in asked.files for pair in _texts(path)), strict=True)
    if not 0 <= asked.nearest < len(texts):
        raise UsageError(f"Expected --nearest below the number of texts, {len(texts)}, got {asked.nearest}.")
    if asked.tokens < 1:
        raise UsageError(f"Expected --tokens >= 1, got {asked.tokens}.")
    features = embed(Matcher.load(asked.policy, device=asked.device), texts, tokens=asked.tokens)
    near, console = nearest(features, asked.nearest), Console()
    for i, name in enumerate(names):
        what = {"nearest": [names[j] for j in near[i]]} if asked.nearest else {"embedding": features[i].tolist()}
        console.print(json.dumps({"name": name, **what}), markup=False, highlight=False, soft_wrap=True)
    return 0


if __name__ == "__main__":
    leave(main())
