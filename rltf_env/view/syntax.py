"""What each character of a program is to Python's eye: keyword, string, number, ... For colours; nothing is decided by it.

pygments reads the text (it comes with rich: pip install 'rltf[terminal]'). Without it, or for a text of more than `LONGEST`
characters, every character is plain. Nothing is parsed or run: any text has colours.
"""

from __future__ import annotations

LONGEST = 50_000
KINDS = ("keyword", "string", "number", "comment", "builtin", "definition")


def kinds(text: str) -> list[str]:
    """One of `KINDS`, or "" for plain, for each character."""
    styles = [""] * len(text)
    try:
        from pygments.lexers.python import PythonLexer
        from pygments.token import Comment, Keyword, Name, Number, Operator, String
    except ImportError:
        return styles
    if len(text) > LONGEST:
        return styles
    table = (
        (Keyword, "keyword"), (Operator.Word, "keyword"), (String, "string"), (Number, "number"), (Comment, "comment"),
        (Name.Builtin, "builtin"), (Name.Exception, "builtin"), (Name.Function, "definition"), (Name.Class, "definition"),
    )  # fmt: skip
    for start, token, value in PythonLexer().get_tokens_unprocessed(text):
        kind = next((name for above, name in table if token in above), "")
        styles[start : start + len(value)] = [kind] * len(value)
    return styles
