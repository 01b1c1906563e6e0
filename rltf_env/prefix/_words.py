"""The words of Python's tokenizer: keywords, operators and the terminals that they are, digits, prefixes of strings."""

from __future__ import annotations

import sys

LETTER, MARK, OTHER = "é", "·", "\ufffd"  # begins a name; goes on with one; neither
KEYWORDS = frozenset(
    "and as assert async await break class continue def del elif else except finally for from global if import in is lambda "
    "nonlocal not or pass raise return try while with yield".split()
)
CONSTANTS = frozenset(("None", "True", "False"))
SOFT = frozenset(("match", "case", "type"))  # keywords in their place, names elsewhere
_TEMPLATES = ("t", "tr", "rt") if sys.version_info >= (3, 14) else ()  # PEP 750
PREFIXES = {"": "STRING", "r": "STRING", "u": "STRING", "b": "BYTES", "br": "BYTES", "rb": "BYTES"} | dict.fromkeys(
    ("f", "fr", "rf", *_TEMPLATES), "FORMAT"
)
_AUGMENTED = "+= -= *= /= //= %= @= &= |= ^= >>= <<= **="
_COMPARE = "< > == >= <= !="
_BINARY = "// % << >> & ^"
_OWN = "( ) [ ] { } , ; : . = -> := ... ~ + - * ** / @ |"
OPERATORS = {
    **dict.fromkeys(_AUGMENTED.split(), "AUGMENTED"),
    **dict.fromkeys(_COMPARE.split(), "COMPARE"),
    **dict.fromkeys(_BINARY.split(), "BINARY"),
    **{text: f"'{text}'" for text in _OWN.split()},
}
OPERATOR_STARTS = frozenset(text[:n] for text in (*OPERATORS, "..") for n in range(1, len(text) + 1))
LONGER = frozenset(text[:n] for text in OPERATORS for n in range(1, len(text)))
WORDS = KEYWORDS | CONSTANTS | SOFT
WORD_STARTS = frozenset(word[:n] for word in WORDS for n in range(1, len(word) + 1))
HEX, DIGITS = frozenset("0123456789abcdefABCDEF"), frozenset("0123456789")
BASES = {"hex": HEX, "octal": frozenset("01234567"), "binary": frozenset("01")}
NAME_CHARS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 -")  # of `\N{...}`
