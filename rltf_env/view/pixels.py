"""A frame of text as a picture: `render_mode="rgb_array"`, which Gymnasium's RecordVideo films.

The text is what `ansi.frame` gives, in the colours of its codes. Pillow draws it (pip install 'rltf[terminal]').
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

COLUMNS, ROWS = 80, 34  # characters of a frame; longer lines are broken, of more lines the last are shown
CELL = (6, 13)  # pixels of a character of Pillow's own font, wide and high, with a little air between lines
SCALE, MARGIN = 2, 8
INK, PAPER, BLOCKS = (222, 226, 230), (22, 24, 28), "▁▂▃▄▅▆▇█"
COLOURS = {
    "31": (255, 107, 107),
    "32": (81, 207, 102),
    "33": (224, 176, 96),
    "34": (130, 170, 255),
    "35": (199, 146, 234),
    "36": (108, 199, 230),
}
_CODE = re.compile(r"\x1b\[([0-9;]*)m")
Colour = tuple[int, int, int]
Pixels = npt.NDArray[np.uint8]


class Style(NamedTuple):
    """How characters look."""

    ink: Colour = INK
    paper: Colour | None = None


def available() -> bool:
    """True if Pillow is installed."""
    return find_spec("PIL") is not None


def picture(frame: str) -> Pixels:
    """A frame of text with ANSI colours as uint8 (height, width, 3): always of the same, even, size."""
    from PIL import Image, ImageDraw, ImageFont

    width, height = COLUMNS * CELL[0] + 2 * MARGIN, ROWS * CELL[1] + 2 * MARGIN
    image = Image.new("RGB", (width, height), PAPER)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default_imagefont()
    for row, line in enumerate(_fitted(list(_lines(frame)))):
        for column, (character, style) in enumerate(line):
            _draw(draw, font, MARGIN + column * CELL[0], MARGIN + row * CELL[1], character, style)
    return np.asarray(image).repeat(SCALE, axis=0).repeat(SCALE, axis=1)


def _draw(draw: Any, font: Any, x: int, y: int, character: str, style: Style) -> None:
    if style.paper:
        draw.rectangle((x, y, x + CELL[0] - 1, y + CELL[1] - 1), fill=style.paper)
    if character in BLOCKS:
        high = round((BLOCKS.index(character) + 1) / len(BLOCKS) * (CELL[1] - 2))
        draw.rectangle((x, y + CELL[1] - 1 - high, x + CELL[0] - 2, y + CELL[1] - 2), fill=style.ink)
    elif not character.isspace():
        shown = character if ord(character) < 256 else "?"  # all that the font has
        draw.text((x, y + 1), shown, fill=style.ink, font=font)


Line = list[tuple[str, Style]]


def _lines(frame: str) -> Iterator[Line]:
    """The characters of each line, at most `COLUMNS`, with their colours."""
    style, line = Style(), list[tuple[str, Style]]()
    for piece in re.split(r"(\x1b\[[0-9;]*m)", frame):
        if code := _CODE.fullmatch(piece):
            style = _style(style, code[1])
            continue
        for character in piece.expandtabs(4):
            if character == "\n" or len(line) == COLUMNS:
                yield line
                line = []
            if character != "\n":
                line.append((character, style))
    yield line


def _fitted(lines: list[Line]) -> list[Line]:
    """The first line, which says what the problem is, and the last of the others."""
    return lines if len(lines) <= ROWS else [lines[0], *lines[1 - ROWS :]]


def _style(style: Style, code: str) -> Style:
    parts = code.split(";")
    while parts:
        part = parts.pop(0)
        if part in ("", "0"):
            style = Style()
        elif part == "2":
            style = style._replace(ink=(140, 147, 155))
        elif part in COLOURS:
            style = style._replace(ink=COLOURS[part])
        elif part == "48" and len(parts) >= 2:
            style, parts = style._replace(paper=_of_256(int(parts[1]))), parts[2:]
    return style


def _of_256(number: int) -> Colour:
    """A colour of the 6 x 6 x 6 cube in the table of 256."""
    levels = (0, 95, 135, 175, 215, 255)
    red, rest = divmod(max(number - 16, 0), 36)
    return levels[min(red, 5)], levels[rest // 6], levels[rest % 6]
