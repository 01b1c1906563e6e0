"""Facts of a program's text: what an analysis finds without running it. Standard library only.

    of("def f(x):\n    return x + y\n").findings        (("UndefinedName", 2),)

Of a program that somebody wrote, the process that compiles ahead makes them (`sandbox/referee/precompile.py`):
it runs no program and knows no answer. At home they are made of references alone, which are the data's text.
"""

from __future__ import annotations

import ast
import hashlib
from dataclasses import dataclass

from rltf_env.facts._flow import Reader
from rltf_env.facts._key import Key

MOST_SUBTREES, MOST_ITEMS, MOST_DEPTH = 4096, 1024, 150  # of a program that has more there are no facts


@dataclass(frozen=True)
class Facts:
    """What an analysis finds in a program's text without running it.

    Args:
        tree: a short digest for each subtree of its syntax tree, sorted; equal subtrees are repeated. A subtree is a
            node that has children, told by the types of its nodes: names, constants and contexts make no difference.
        flow: a text for each item of its data flow, sorted: `v1 from v0,v2`, `v2 each v0`, `test v1`, `return v1`.
            The program's own variables are numbered by first appearance.
        key: digest of the tree without docstrings and annotations, in which the names that the program binds are numbered.
        defines: names bound at module level; "*" among them where a program may bind more than its text says, by a star import,
            `exec`, `globals` and the like.
        findings: what is likely wrong: a kind and its 1-based line, by line. `UndefinedName`: a name that is read, bound
            nowhere and no builtin. `WrongArity`: the program calls a function of its own with a number of arguments that it
            cannot take. `UnboundLocal`: the first statement of a function reads a local name that nothing has bound yet.
            `NotReturned`: a function returns a value on one path and comes to its end on another.
    """

    tree: tuple[str, ...]
    flow: tuple[str, ...]
    key: str
    defines: frozenset[str]
    findings: tuple[tuple[str, int], ...] = ()


def of(source: str) -> Facts | None:
    """The facts of a text; None of one that is no Python, too deep, or has too many subtrees or items."""
    try:
        tree = ast.parse(source)
        subtrees: list[str] = []
        _digest_of(tree, subtrees, MOST_DEPTH)
        reader = Reader()
        reader.read_module(tree)
        key = Key(tree, reader).digest()
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    if len(subtrees) > MOST_SUBTREES or len(reader.flow) > MOST_ITEMS:
        return None
    findings = sorted(set(reader.findings), key=lambda finding: (finding[1], finding[0]))
    defines = frozenset([*reader.module.names, "*"] if reader.any_name else reader.module.names)
    return Facts(tuple(sorted(subtrees)), tuple(sorted(reader.flow)), key, defines, tuple(findings))


def _short(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()


def _digest_of(node: ast.AST, subtrees: list[str], depth: int) -> str:
    """The digest of a node's s-expression; those of all subtrees are added to `subtrees`. At most `depth` levels."""
    if not depth:
        raise ValueError("nested too deeply")
    children = [child for child in ast.iter_child_nodes(node) if not isinstance(child, ast.expr_context)]
    name = type(node).__name__
    if not children:
        return name
    digest = _short(f"({name} {' '.join([_digest_of(child, subtrees, depth - 1) for child in children])})")
    subtrees.append(digest)
    return digest
