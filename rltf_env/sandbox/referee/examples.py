"""Texts of a test that `doctest` reads: what an example prints is an expectation, too, and is falsified in its text."""

from __future__ import annotations

import ast
import random
from collections.abc import Iterator, Sequence

from rltf_env.sandbox.referee.changes import other


def texts(trees: Sequence[ast.Module]) -> list[ast.Constant]:
    """The texts that show what examples print, in a test that uses `doctest`."""
    nodes = [node for tree in trees for node in ast.walk(tree)]
    named = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    named += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    if "doctest" not in named:
        return []
    return [n for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str) and any(_printed(n.value))]


def other_example(node: ast.Constant, rng: random.Random) -> None:
    """One of the examples prints something else."""
    whole = str(node.value)
    lines = whole.splitlines(keepends=True)
    number = rng.choice([*_printed(whole)])
    text = lines[number].strip()
    lines[number] = lines[number].replace(text, _other(text, rng))
    node.value = "".join(lines)


def _other(text: str, rng: random.Random) -> str:
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return other(text, rng)
    is_plain = isinstance(value, (bool, int, float, complex, str, bytes))
    return repr(other(value, rng)) if is_plain else other(text, rng)


def _printed(text: str) -> Iterator[int]:
    """The last lines of what examples print, by number: of an error that is raised, what it says."""
    state = ""  # what is before a line: an example, what it prints, or neither
    lines = text.splitlines()
    for number, line in enumerate([*lines, ""]):
        begins = line.lstrip().startswith(">>> ")
        if state == "printed" and (begins or not line.strip()):
            yield number - 1
        goes_on = state == "example" and line.lstrip().startswith("...")
        state = "example" if begins or goes_on else "printed" if state and line.strip() else ""
