"""Which names a script takes from elsewhere. What a function binds is no name of the module that is spelled alike."""

from __future__ import annotations

import ast
import dis
import inspect
import symtable
import types
from collections.abc import Iterator
from functools import lru_cache


@lru_cache(maxsize=8)  # a script is read several times, one after the other
def of_module(*texts: str) -> tuple[frozenset[str], frozenset[str]]:
    """Names that texts, one after the other in one module, look up there and do not bind, or not before (`f = cached(f)`);
    and those that they bind.

    Raises SyntaxError or ValueError for what is not Python.
    """
    tables = [list(_within(symtable.symtable(text, "<test>", "exec"))) for text in texts]
    symbols = [[s for table in each for s in table.get_symbols() if s.is_global()] for each in tables]
    bindings = [{symbol.get_name() for symbol in each if _is_bound(symbol)} for each in symbols]
    bound = set[str]().union(*bindings)
    names = {symbol.get_name() for each in symbols for symbol in each} - bound
    before: set[str] = set()  # what the texts before this one bind
    for text, each, own in zip(texts, tables, bindings, strict=True):
        if any(_may_look_up_first(table, bound) for table in each):
            code = compile(text, "<test>", "exec", dont_inherit=True)
            names.update(_looked_up_first(code, set(before), bound, _statements(text) if "except" in text else {}))
        before |= own
    return frozenset(names), frozenset(bound)


def _may_look_up_first(table: symtable.SymbolTable, bound: set[str]) -> bool:
    """True unless the block of a module or a class only looks up what nobody binds: then its code need not be read."""
    looked_up = [symbol for symbol in table.get_symbols() if symbol.is_referenced()]
    return table.get_type() != "function" and any(_is_bound(each) or each.get_name() in bound for each in looked_up)


def _is_bound(symbol: symtable.Symbol) -> bool:
    return symbol.is_assigned() or symbol.is_imported()


def _within(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    yield table
    for child in table.get_children():
        yield from _within(child)


def _statements(text: str) -> dict[int, int]:
    """The first line of the innermost statement, or `except`, that stands on each line."""
    first: dict[int, int] = {}
    for node in ast.walk(ast.parse(text)):  # what is inside comes after what is around it
        if isinstance(node, ast.stmt | ast.ExceptHandler):
            begin = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", []))])
            first.update(dict.fromkeys(range(begin, (node.end_lineno or begin) + 1), begin))
    return first


def _in_order(code: types.CodeType, statements: dict[int, int]) -> list[dis.Instruction]:
    """The instructions in the order of their statements: from 3.12 on, a handler of errors stands behind all others."""
    at, placed = 0, []
    for instruction in dis.get_instructions(code):
        line = instruction.positions and instruction.positions.lineno
        at = statements.get(line, at) if line else at
        placed.append((at, instruction))
    return [instruction for _, instruction in sorted(placed, key=lambda each: each[0])]


def _looked_up_first(
    code: types.CodeType, known: set[str], bound: set[str], statements: dict[int, int]
) -> Iterator[str]:
    """What the code of a module or a class looks up by name before the class or the module binds that.

    Args:
        code: of a module, or of a class.
        known: what the module has bound when this code begins. Grows as the module binds more.
        bound: what the module has bound in the end: a class in a function comes to be at an unknown time.
        statements: of the text, by its lines.
    """
    own = known if code.co_name == "<module>" else set[str]()
    for instruction in _in_order(code, statements):
        name = instruction.argval
        if instruction.opname == "STORE_GLOBAL":
            known.add(name)
        elif instruction.opname == "STORE_NAME":
            own.add(name)
        elif instruction.opname == "LOAD_NAME" and name not in own and name not in known:
            yield name
        elif isinstance(name, types.CodeType):
            yield from _looked_up_inside(name, known, bound, statements)


def _looked_up_inside(
    code: types.CodeType, known: set[str], bound: set[str], statements: dict[int, int]
) -> Iterator[str]:
    """The same of a class, or of the classes that stand in a function."""
    if not code.co_flags & inspect.CO_OPTIMIZED:
        yield from _looked_up_first(code, known, bound, statements)
    else:
        inner = [part for part in code.co_consts if isinstance(part, types.CodeType)]
        yield from (name for part in inner for name in _looked_up_inside(part, set(bound), bound, statements))
