"""Inputs of a function by the types of its parameters: drawn, edges first, and changed a little.

Types are read from annotations, or made of the arguments that existing cases have:

    int float str bool None   list[T] Sequence[T] Iterable[T]   tuple[A, B] tuple[T, ...]   dict[K, V]   set[T] frozenset[T]
    Optional[T]   Union[A, B]   A | B   Literal[...]

Of any other, `Any` too, nothing is drawn. Everything here is plain data; nothing is run.
"""

from __future__ import annotations

import ast
import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rltf_env.datasets._files import parse_python
from rltf_env.errors import DataError, UsageError
from rltf_env.plain import spelled

Arguments = tuple[Any, ...]
WORDS = "aab bcdeioAZ 019_-.,"  # characters of texts; a few come often, so that texts have something in common
# Numbers mostly up to the first, at most up to the second; length of texts and lists.
SMALL, LARGE, LONGEST = 12, 1000, 8
DEEPEST = 7  # types within one another: what is drawn of a list of lists grows with a power of that
_ITEMS = {"list": 1, "set": 1, "frozenset": 1, "dict": 2}
_SPELLINGS = {
    "List": "list", "Sequence": "list", "MutableSequence": "list", "Iterable": "list", "Collection": "list", "Set": "set",
    "AbstractSet": "set", "FrozenSet": "frozenset", "Dict": "dict", "Mapping": "dict", "MutableMapping": "dict",
    "Tuple": "tuple",
}  # fmt: skip
_EDGES: dict[str, tuple[Any, ...]] = {
    "int": (0, 1, -1, 2, 10),
    "float": (0.0, 1.0, -1.0, 0.5, 10.0),
    "str": ("", "a", "A b", "aa", "Ab1"),
    "bool": (False, True),
    "None": (None,),
}


@dataclass(frozen=True)
class Type:
    """A type: its `kind`, the types of its parts, and of a Literal its `values`.

    Kinds: int, float, str, bool, None; list, set, frozenset (one part), dict (two), tuple (its parts), tuples (of one part, of any
    length), union (its parts), literal.
    """

    kind: str
    parts: tuple[Type, ...] = ()
    values: tuple[Any, ...] = ()

    def __post_init__(self) -> None:
        if self.depth > DEEPEST:
            raise _unknown(f"the type of types more than {DEEPEST} deep")
        if self.kind in ("union", "tuple", "literal") and not (self.parts or self.values):
            raise _unknown(f"the type {self.kind} of nothing")

    @property
    def depth(self) -> int:
        """1 for a type without parts."""
        return 1 + max((part.depth for part in self.parts), default=0)

    def __str__(self) -> str:
        if self.kind == "union":
            return " | ".join(map(str, self.parts))
        if self.kind == "literal":
            return f"Literal{list(self.values)}"
        if self.kind == "tuples":
            return f"tuple[{self.parts[0]}, ...]"
        return f"{self.kind}[{', '.join(map(str, self.parts))}]" if self.parts else self.kind


# ------------------------------------------------------------------------------------------------------ annotations


def parse(annotation: ast.expr | None) -> Type:
    """The type that an annotation spells.

    Raises:
        UsageError: there is none, or nothing is drawn of it.
    """
    match annotation:
        case ast.Constant(value=None):
            return Type("None")
        case ast.Constant(value=str(text)):
            return _parsed_text(text)
        case ast.Name(id=name) | ast.Attribute(attr=name) if name in _EDGES:
            return Type(name)
        case ast.BinOp(op=ast.BitOr(), left=left, right=right):
            return union([parse(left), parse(right)])
        case ast.Subscript(value=ast.Name(id=name) | ast.Attribute(attr=name), slice=parts):
            return _generic(_SPELLINGS.get(name, name), list(parts.elts) if isinstance(parts, ast.Tuple) else [parts])
    raise _unknown("no annotation" if annotation is None else f"the type {ast.unparse(annotation)}")


def _parsed_text(text: str) -> Type:
    with contextlib.suppress(DataError):
        match parse_python(text.strip(), "a type").body:
            case [ast.Expr(value=annotation)]:
                return parse(annotation)
    raise _unknown(f"the type {text!r:.60}")


def _generic(name: str, parts: list[ast.expr]) -> Type:
    if name == "Literal":
        values = tuple(part.value for part in parts if isinstance(part, ast.Constant))
        if len(values) == len(parts):
            return Type("literal", values=values)
    elif name in ("Optional", "Union"):
        return union([*map(parse, parts), *([Type("None")] if name == "Optional" else [])])
    elif name == "tuple":
        if len(parts) == 2 and isinstance(parts[1], ast.Constant) and parts[1].value is ...:
            return Type("tuples", (parse(parts[0]),))
        return Type("tuple", tuple(map(parse, parts)))
    elif _ITEMS.get(name) == len(parts):
        made = tuple(map(parse, parts))
        if name == "list" or hashable(made[0]):
            return Type(name, made)
    raise _unknown(f"the type {name}[{', '.join(map(ast.unparse, parts))}]")


def _unknown(what: str) -> UsageError:
    return UsageError(f"Expected a type of which values can be drawn, got {what}.")


def union(parts: Sequence[Type]) -> Type:
    """The type of values of any of these."""
    flat = [inner for part in parts for inner in (part.parts if part.kind == "union" else (part,))]
    distinct = tuple(dict.fromkeys(flat))
    return distinct[0] if len(distinct) == 1 else Type("union", distinct)


def hashable(type_: Type) -> bool:
    """True if all values of a type can be keys."""
    return type_.kind not in ("list", "set", "dict") and all(map(hashable, type_.parts))


# ----------------------------------------------------------------------------------------------------------- values


def of_values(values: Sequence[Any]) -> Type:
    """The type of all these values. Raises UsageError for what is no plain data, and for containers that are all empty."""
    kinds = {type(value).__name__ if value is not None else "None" for value in values}
    if kinds == {"int", "float"}:
        return Type("float")
    return union([_of_kind(kind, [v for v in values if _kind(v) == kind]) for kind in sorted(kinds)])


def _kind(value: Any) -> str:
    return "None" if value is None else type(value).__name__


def _of_kind(kind: str, values: list[Any]) -> Type:
    if kind in _EDGES:
        return Type(kind)
    if kind == "tuple":
        lengths = {len(value) for value in values}
        if len(lengths) == 1 and lengths != {0}:
            return Type("tuple", tuple(of_values(column) for column in zip(*values, strict=True)))
        kind = "tuples"
    if kind not in (*_ITEMS, "tuples"):
        raise _unknown(f"values of type {kind}")
    parts = [[item for value in values for item in value]]
    if kind == "dict":
        parts.append([item for value in values for item in value.values()])
    if not all(parts):
        raise _unknown(f"{kind} values of which none holds anything")
    return Type(kind, tuple(map(of_values, parts)))


def is_of(value: Any, type_: Type) -> bool:
    """True if a value is of a type. A bool is no int."""
    kind, parts = type_.kind, type_.parts
    if kind == "union":
        return any(is_of(value, part) for part in parts)
    if kind == "literal":
        return any(type(value) is type(each) and value == each for each in type_.values)
    if kind == "tuple":
        return type(value) is tuple and len(value) == len(parts) and all(map(is_of, value, parts))
    if _kind(value) != {"tuples": "tuple"}.get(kind, kind):
        return False
    if kind == "dict":
        return all(is_of(key, parts[0]) and is_of(item, parts[1]) for key, item in value.items())
    return not parts or all(is_of(item, parts[0]) for item in value)


def edges(type_: Type) -> tuple[Any, ...]:
    """The values of a type that go wrong first: the empty ones, zero, one, minus one."""
    inner = [edges(part) for part in type_.parts]
    match type_.kind:
        case "union":
            return tuple(value for values in inner for value in values[:3])
        case "literal":
            return type_.values
        case "tuple":
            return tuple(tuple(values[i % len(values)] for values in inner) for i in range(max(map(len, inner))))
        case "list":
            return [], [inner[0][0]], [*inner[0][:3]], [inner[0][-1]] * 2
        case "tuples":
            return (), (inner[0][0],), tuple(inner[0][:3])
        case "set" | "frozenset":
            make = set if type_.kind == "set" else frozenset
            return make(), make(inner[0][:1]), make(inner[0][:3])
        case "dict":
            return {}, {inner[0][0]: inner[1][0]}, dict(zip(inner[0][:3], inner[1][:3], strict=False))
    return _EDGES[type_.kind]


def draw(type_: Type, rng: np.random.Generator, size: int = LONGEST) -> Any:
    """A random value of a type; texts and containers have at most `size` items, what they hold fewer."""
    kind, parts, inner = type_.kind, type_.parts, max(1, size // 2)
    if kind == "union":
        return draw(parts[int(rng.integers(len(parts)))], rng, size)
    if kind == "literal":
        return type_.values[int(rng.integers(len(type_.values)))]
    if kind == "tuple":
        return tuple(draw(part, rng, inner) for part in parts)
    if kind in _SIMPLE:
        return _SIMPLE[kind](rng, size)
    length = int(rng.integers(size + 1))
    if kind == "dict":
        return {draw(parts[0], rng, inner): draw(parts[1], rng, inner) for _ in range(length)}
    items = [draw(parts[0], rng, inner) for _ in range(length)]
    return {"list": list, "tuples": tuple, "set": set, "frozenset": frozenset}[kind](items)


def _whole(rng: np.random.Generator, size: int) -> int:
    bound = SMALL if rng.random() < 0.75 else LARGE
    return int(rng.integers(-bound, bound + 1)) if rng.random() < 0.5 else int(rng.integers(bound + 1))


def _text(rng: np.random.Generator, size: int) -> str:
    return "".join(WORDS[int(rng.integers(len(WORDS)))] for _ in range(int(rng.integers(size + 1))))


_SIMPLE: dict[str, Callable[[np.random.Generator, int], Any]] = {
    "int": _whole,
    "float": lambda rng, size: float(rng.integers(-4 * SMALL, 4 * SMALL + 1)) / (1, 2, 4, 10)[int(rng.integers(4))],
    "str": _text,
    "bool": lambda rng, size: bool(rng.integers(2)),
    "None": lambda rng, size: None,
}


def draw_all(types: Sequence[Type], rng: np.random.Generator, count: int) -> list[Arguments]:
    """At most `count` different inputs for parameters of these types, edges first; fewer of types that have fewer values."""
    drawn: dict[str, Arguments] = {}
    for arguments in _endless(types, rng, 20 * count):
        drawn.setdefault(spelled(arguments), arguments)
        if len(drawn) == count:
            break
    return list(drawn.values())


def _endless(types: Sequence[Type], rng: np.random.Generator, tries: int) -> Iterator[Arguments]:
    known = [edges(type_) for type_ in types]
    for i in range(max(map(len, known), default=1)):
        yield tuple(values[i % len(values)] for values in known)
    for _ in range(tries):  # an edge in one place now and then, so that it meets all the rest
        yield tuple(
            values[int(rng.integers(len(values)))] if rng.random() < 0.15 else draw(type_, rng)
            for type_, values in zip(types, known, strict=True)
        )


# --------------------------------------------------------------------------------------------------------- mutation


def mutate(value: Any, rng: np.random.Generator, seeds: Sequence[Any] = ()) -> Any:
    """A value of the same type that differs a little (after EvalPlus, arXiv 2305.01210, table 1).

    Numbers by one or to an edge, a truth value to the other one; of a text a piece dropped, doubled or changed; of a container an
    item dropped, doubled, changed, or taken from one of the `seeds`. None stays.
    """
    match value:
        case bool():
            return not value
        case int() | float():
            changes = (value + 1, value - 1, -value, *(type(value)(edge) for edge in _EDGES["int"]))
            return changes[int(rng.integers(len(changes)))]
        case str():
            return _changed_text(value, rng)
        case list() | tuple():
            others = [item for seed in seeds if type(seed) is type(value) for item in seed]
            return type(value)(_changed_items(list(value), rng, others, isinstance(value, list)))
        case set() | frozenset():
            return type(value)(_changed_items(sorted(value, key=spelled), rng, (), True))
        case dict():
            return _changed_entries(value, rng)
    return value


def _changed_text(text: str, rng: np.random.Generator) -> str:
    start = int(rng.integers(len(text) + 1))
    end = int(rng.integers(start, len(text) + 1))
    piece, way = text[start:end], int(rng.integers(4))
    new = ("", piece * 2, piece.swapcase() or "a", WORDS[int(rng.integers(len(WORDS)))])[way]
    return text[:start] + new + text[end:]


def _changed_items(items: list[Any], rng: np.random.Generator, others: Sequence[Any], resize: bool) -> list[Any]:
    """A tuple keeps its length, since its places have meanings."""
    if not items:
        return [others[int(rng.integers(len(others)))]] if others and resize else items
    at, way = int(rng.integers(len(items))), int(rng.integers(4)) if resize else 2
    if way == 0:
        return items[:at] + items[at + 1 :]
    if way == 1:
        return [*items[: at + 1], *items[at:]]
    if way == 3 and others:
        return [*items[:at], others[int(rng.integers(len(others)))], *items[at:]]
    return [*items[:at], mutate(items[at], rng), *items[at + 1 :]]


def _changed_entries(entries: dict[Any, Any], rng: np.random.Generator) -> dict[Any, Any]:
    if not entries:
        return entries
    chosen, changed = list(entries)[int(rng.integers(len(entries)))], dict(entries)
    way = int(rng.integers(3))
    if way == 1:
        changed[chosen] = mutate(entries[chosen], rng)
        return changed
    item = changed.pop(chosen)
    return changed if way == 0 else {**changed, mutate(chosen, rng): item}
