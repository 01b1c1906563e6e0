"""Credit on the tokens of some lines: what each earns in a return, and what it weighs in a loss (`core.Feedback`)."""

from __future__ import annotations

import numpy as np

from rltf_env.core import BoolArray, FloatArray, Program
from rltf_env.errors import UsageError
from rltf_env.rewards._options import choice, number

ALPHAS = ("span_ratio", "none", "clipped")
DEFAULT_CLIP = 10.0


def check(alpha: str, clip: float | None) -> None:
    """Raises UnknownName or UsageError on options that do not fit."""
    choice("value of option 'alpha'", alpha, ALPHAS)
    if clip is not None and alpha != "clipped":
        raise UsageError(f'clip={clip!r} needs alpha="clipped", got alpha={alpha!r}.')
    if clip is not None and number("clip", clip) < 1:
        raise UsageError(f"Expected clip of at least 1 (alpha never is below 1), got {clip!r}.")


def factor(alpha: str, clip: float | None, tokens: int, in_span: int) -> float:
    """alpha of RLTF eq. 9: T / |span|, 1, or the first with a bound. `tokens` is T, the chosen tokens of the program."""
    if alpha == "none":
        return 1.0
    ratio = tokens / in_span
    return ratio if alpha == "span_ratio" else min(ratio, DEFAULT_CLIP if clip is None else clip)


def charged(
    span: BoolArray, program: Program, value: float, alpha: str, clip: float | None
) -> tuple[FloatArray, FloatArray]:
    """What the tokens of a span earn, `value` all together, and what each weighs, alpha * `value`: float32 (T,) both."""
    size = int(span.sum())
    weight = value * factor(alpha, clip, int(program.generated_mask.sum()), size)
    return span * np.float32(value / size), span * np.float32(weight)
