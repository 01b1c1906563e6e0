"""Token ids as a program takes them: checked, and copied."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rltf_env.core import IntArray
from rltf_env.errors import UsageError


def checked(tokens: Sequence[int] | IntArray, vocab_size: int, eos_id: int, truncated: bool) -> IntArray:
    """int64 (T,): the ids as an array of their own.

    Raises:
        UsageError: an id outside the vocabulary; a token after the end token; an end token on a truncated program.
    """
    ids = np.asarray(tokens)
    if ids.ndim != 1 or (ids.size and ids.dtype.kind not in "iu"):
        raise UsageError(f"Expected token ids as integers of shape (T,), got {ids.dtype} of shape {ids.shape}.")
    ids = ids.astype(np.int64)  # a copy: the program keeps it
    if ids.size and not (ids.min() >= 0 and ids.max() < vocab_size):
        raise UsageError(
            f"Expected token ids in [0, {vocab_size}), got {ids.min()} to {ids.max()}. "
            "A model with more output rows than its tokenizer has tokens must not sample the rest."
        )
    ends = np.flatnonzero(ids == eos_id)
    if ends.size and ends[0] != len(ids) - 1:
        raise UsageError(
            f"Expected the end token {eos_id} as the last token only, got it at {ends[0]} of {len(ids)}. "
            f"Cut the sequence after it: tokens[:{ends[0] + 1}]."
        )
    if ends.size and truncated:
        raise UsageError(f"Expected no end token {eos_id} in a truncated program: it ended by itself.")
    return ids
