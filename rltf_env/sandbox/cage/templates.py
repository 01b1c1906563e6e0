"""Which templates of `str.format` a program fills in, read from its instructions. Standard library only.

A field of a template may name attributes and items: `"{0.__globals__[x]}".format(f)` leads from a function to all that there
is. So a template has to be there to be read, in front of its `format`, and its fields may name arguments only.
"""

from __future__ import annotations

import re
import sys
from itertools import islice
from opcode import opmap
from typing import Any

FORMATTING = frozenset(("format", "format_map"))
_LEADING = re.compile(r"\{[^{}:!]*[.\[]")  # a field that names an attribute or an item
_CONSTANT, _EXTENDED = opmap["LOAD_CONST"], opmap["EXTENDED_ARG"]
_PSEUDO = 256  # from here on, numbers are of the compiler's own instructions
_LOADS = [  # of attributes; where in the argument the number of the name begins
    (opmap[name], shift)
    for name, shift in (("LOAD_METHOD", 0), ("LOAD_ATTR", int(sys.version_info >= (3, 12))), ("LOAD_SUPER_ATTR", 2))
    if opmap.get(name, _PSEUDO) < _PSEUDO
]


def formats_plainly(code: Any) -> bool:
    """False for code that may fill in a template that names attributes: from a function they lead to all that there is."""
    operations, numbers = code.co_code[::2], code.co_code[1::2]
    for load, shift in _LOADS:
        at = operations.find(load)
        while at >= 0:
            number, first = _argument(operations, numbers, at)
            if code.co_names[number >> shift] in FORMATTING and not _is_plain(code, operations, numbers, first, at):
                return False
            at = operations.find(load, at + 1)
    return True


def _is_plain(code: Any, operations: bytes, numbers: bytes, first: int, at: int) -> bool:
    """True if the attribute that is loaded `at` is one of a template that stands there, and is plain.

    The instruction before may be that of another branch. So the two have to begin at the same place of the text, too: then
    the template is all that is in front of the attribute.
    """
    if not first or operations[first - 1] != _CONSTANT:
        return False
    number, _ = _argument(operations, numbers, first - 1)
    template, *_, attribute = islice(code.co_positions(), first - 1, at + 1)
    together = None not in attribute and attribute[::2] == template[::2]
    return together and not _LEADING.search(str(code.co_consts[number]))


def _argument(operations: bytes, numbers: bytes, at: int) -> tuple[int, int]:
    """The argument of an instruction, and where what belongs to it begins."""
    number, shift = numbers[at], 8
    while at and operations[at - 1] == _EXTENDED:
        at, number, shift = at - 1, number | numbers[at - 1] << shift, shift + 8
    return number, at
