"""Frames on a terminal: `render_mode="human"`, and what `python -m rltf_env.play` shows while a program is being written."""

from __future__ import annotations

import re
import sys
from typing import TextIO

from rltf_env.view import pixels
from rltf_env.view.pixels import Pixels
from rltf_env.view.terminals import colours, moves

CLEAR = "\x1b[H\x1b[J"  # to the upper left corner, and all below it gone


def present(mode: str, frame: str, *, last: bool) -> str | Pixels | None:
    """What `render()` gives in a mode: the frame as text or as a picture, or None after drawing it."""
    if mode == "ansi":
        return frame
    if mode == "rgb_array":
        return pixels.picture(frame)
    draw(frame, last=last)
    return None


def draw(frame: str, *, last: bool, stream: TextIO | None = None) -> None:
    """Draws a frame in place of the one before, in colours unless NO_COLOR is set. Where there is no terminal, or one that
    cannot move (TERM=dumb), only an episode's last frame is written, without colours.

    Args:
        last: the episode has ended with this frame.
        stream: where to; standard output if None.
    """
    out = sys.stdout if stream is None else stream
    if moves(out):
        out.write(f"{CLEAR}{frame if colours(out) else plain(frame)}\n")
    elif last:
        out.write(f"{plain(frame)}\n")
    out.flush()


def plain(frame: str) -> str:
    """The frame without colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", frame)
