"""The key of a program's text: equal for programs that differ in names, comments and annotations alone."""

from __future__ import annotations

import ast
import hashlib
from typing import Any

from rltf_env.facts._flow import Reader
from rltf_env.facts._scopes import Function, Scope, is_text


class Key:
    """The digest of a tree that does not tell apart what is named, commented or annotated in another way."""

    _LEFT_OUT = frozenset({"annotation", "returns", "type_comment", "ctx", "type_ignores", "type_params", "kind"})

    def __init__(self, tree: ast.Module, reader: Reader) -> None:
        self._tree, self._reader = tree, reader
        self._keywords = {node.arg for node in ast.walk(tree) if isinstance(node, ast.keyword)}
        self._numbers: dict[tuple[int, str], int] = {}
        self._parts: list[str] = []

    def digest(self) -> str:
        """As hexadecimal text."""
        self._add(self._tree, self._reader.module)
        return hashlib.blake2b("\n".join(self._parts).encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()

    def _add(self, node: Any, scope: Scope) -> None:
        self._parts.append(f"({type(node).__name__}")
        outside, inner = scope, self._reader.scopes.get(node, scope)
        for name, value in ast.iter_fields(node):
            if name in self._LEFT_OUT:
                continue
            around = outside if name in ("decorator_list", "bases", "keywords", "name") else inner
            if name == "body" and isinstance(value, list) and isinstance(node, ast.Module | Function | ast.ClassDef):
                value = value[1:] if value and is_text(value[0]) else value
            self._add_value(node, name, value, around)
        self._parts.append(")")

    def _add_value(self, node: ast.AST, name: str, value: Any, scope: Scope) -> None:
        if isinstance(value, list):
            self._parts.append("[")
            for each in value:
                self._add_value(node, name, each, scope)
            self._parts.append("]")
        elif isinstance(value, ast.AST):
            self._add(value, scope)
        elif isinstance(value, str) and _is_name(node, name):
            self._parts.append(self._named(value, scope))
        else:
            self._parts.append(f"{name}={value!r}")

    def _named(self, name: str, scope: Scope) -> str:
        owner = scope.find(name)
        if owner is None or owner.is_class or name in self._keywords:
            return name
        return f"#{self._numbers.setdefault((id(owner), name), len(self._numbers))}"


def _is_name(node: ast.AST, field_name: str) -> bool:
    """True if a field holds a name of the program's scopes, and not an attribute, a keyword or a text."""
    if isinstance(node, ast.alias):
        return field_name == "asname"
    return (type(node).__name__, field_name) in _NAMES


_NAMES = frozenset(
    {
        ("Name", "id"), ("arg", "arg"), ("FunctionDef", "name"), ("AsyncFunctionDef", "name"), ("ClassDef", "name"),
        ("ExceptHandler", "name"), ("MatchAs", "name"), ("MatchStar", "name"), ("MatchMapping", "rest"),
        ("Global", "names"), ("Nonlocal", "names"),
    }
)  # fmt: skip
