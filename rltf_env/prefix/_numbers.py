"""The forms that a number of Python can have, one character at a time: `"zero"`, `"hex"`, `"fraction"`, `"e"`, ..."""

from __future__ import annotations

from rltf_env.prefix._words import BASES, DIGITS

_AFTER_DIGITS = {"decimal": "decimal_", "fraction": "fraction_", "exponent": "exponent_", "padded": "padded_"}


def number_form(form: str, char: str) -> str:
    """The form with `char`, or "" if it does not belong to the number."""
    base = form.rstrip("_0")
    if base in BASES:
        if char in BASES[base]:
            return base
        return base + "_" if char == "_" and not form.endswith("_") else ""
    if form == "zero" and char in "xXoObB":
        return {"x": "hex0", "o": "octal0", "b": "binary0"}[char.lower()]
    if form in ("zero", "zeros", "zeros_"):
        return _zeros_form(form, char)
    if char in DIGITS:
        next_form = {"point": "fraction", "e": "exponent", "sign": "exponent"}.get(base, base)
        return "" if form == "imaginary" else next_form
    if char == "_":
        return _AFTER_DIGITS.get(form, "")
    return _float_form(form, char)


def _zeros_form(form: str, char: str) -> str:
    if char == "0":
        return "zeros"
    if char in DIGITS:
        return "padded"  # 012 is no number, 012.5 is one
    if char == "_":
        return "" if form == "zeros_" else "zeros_"
    return "" if form == "zeros_" else _float_form("decimal", char)


def _float_form(form: str, char: str) -> str:
    if form == "sign" or form == "e":
        return "sign" if form == "e" and char in "+-" else ""
    if form not in ("decimal", "padded", "point", "fraction", "exponent"):
        return ""
    if char == "." and form in ("decimal", "padded"):
        return "point"
    if char in "eE" and form != "exponent":
        return "e"
    return "imaginary" if char in "jJ" else ""
