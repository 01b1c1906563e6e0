"""Expected answers that no program has the room to give: the problem's fault, or that of the judge's options."""

from __future__ import annotations

from typing import Any

from rltf_env.sandbox.referee.failures import BadProblem


def check(problem: dict[str, Any], most: int) -> None:
    """Raises BadProblem for a case whose expected answer takes more than `most` bytes. A checker may be told anything."""
    for index, case in enumerate(problem["cases"] if problem["checker"] is None else ()):
        size = 0 if case[0] == "script" else _size(case[-1], most)
        if size > most:
            raise BadProblem(
                f"case {index} expects an answer of {size} bytes, and a program may give {most}. Leave the case out, or load the "
                f"judge with output_bytes={2 * size}"
            )


def _size(text: str, most: int) -> int:
    """Bytes of a printed text, or of a value's; those of a short text are not counted."""
    return len(text.rstrip().encode("utf-8", "surrogateescape")) if len(text) > most // 4 else 0
