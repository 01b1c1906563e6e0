"""What may be written to a stream: colours (no-color.org), and sequences that move the cursor."""

from __future__ import annotations

import os
from typing import TextIO


def moves(out: TextIO) -> bool:
    """Whether the stream is a terminal that understands more than text: TERM=dumb says that it does not."""
    return out.isatty() and os.environ.get("TERM") != "dumb"


def colours(out: TextIO) -> bool:
    """Whether colours may be written there: to such a terminal, unless NO_COLOR is set."""
    return moves(out) and not os.environ.get("NO_COLOR")
