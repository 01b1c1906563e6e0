"""Which names a script takes from elsewhere. What a function binds is no name of the module that is spelled alike."""

from __future__ import annotations

import dis
import inspect
import symtable
import types
from collections.abc import Iterable, Iterator


def of_module(texts: Iterable[str]) -> tuple[set[str], set[str]]:
    """Names that texts, one after the other in one module, look up there and do not bind, or not before (`f = cached(f)`);
    and those that they bind.

    Raises SyntaxError or ValueError for what is not Python.
    """
    outer: set[str] = set()
    early: set[str] = set()
    bound: set[str] = set()
    for text in texts:
        code = compile(text, "<test>", "exec", dont_inherit=True)
        early |= set(_looked_up_first(code, bound))
        for symbol in _globals(symtable.symtable(text, "<test>", "exec")):
            (bound if symbol.is_assigned() or symbol.is_imported() else outer).add(symbol.get_name())
        classes = [part for part in _within(code) if part is not code and not part.co_flags & inspect.CO_OPTIMIZED]
        outer.update(name for part in classes for name in _looked_up_first(part, set()))
    return early | (outer - bound), bound


def _globals(table: symtable.SymbolTable) -> Iterator[symtable.Symbol]:
    yield from filter(symtable.Symbol.is_global, table.get_symbols())
    for child in table.get_children():
        yield from _globals(child)


def _within(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for part in code.co_consts:
        if isinstance(part, types.CodeType):
            yield from _within(part)


def _looked_up_first(code: types.CodeType, bound: set[str]) -> Iterator[str]:
    """What the code of a module or a class looks up by name before it binds that itself."""
    own = set(bound)
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("STORE_NAME", "STORE_GLOBAL"):
            own.add(instruction.argval)
        elif instruction.opname == "LOAD_NAME" and instruction.argval not in own:
            yield instruction.argval
