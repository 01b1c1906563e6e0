"""Which programs leave nothing behind that another of their cases could notice. Standard library only."""

from __future__ import annotations

import sys
from opcode import opmap as _opmap
from opcode import opname as _opname
from typing import Any

# ------------------------------------------------------------------------------------------------------ pure programs

_HARMLESS = frozenset(
    "math cmath collections itertools functools heapq bisect string typing re operator copy sys fractions statistics array abc "
    "enum random datetime numbers dataclasses __future__".split()
)
_TELLING = frozenset(
    "exec eval compile globals locals vars setattr delattr open breakpoint help memoryview modules meta_path path_hooks "
    "settrace setprofile setswitchinterval set_int_max_str_digits set_asyncgen_hooks set_coroutine_origin_tracking_depth "
    "addaudithook _getframe _current_frames displayhook excepthook unraisablehook register f_back f_globals f_locals f_builtins "
    "tb_frame gi_frame cr_frame ag_frame __builtins__ __import__ __loader__ __spec__ __globals__ __code__ __dict__ __class__ "
    "__bases__ __base__ __mro__ __subclasses__ __getattribute__ __reduce__ __reduce_ex__ __del__ __stdin__ __stdout__".split()
)
_IMPURE = _TELLING | (sys.stdlib_module_names - _HARMLESS)


def pure(code: Any, packages: Any) -> bool:
    """True if running this code leaves nothing behind in its process that another run of it could notice.

    Judged by the names that it uses anywhere: none of a module with a state, none that leads to the interpreter's own. And it
    sets attributes of local names only (`self.x = 1`): what is global may be a module or a class of the library. A program
    that gets around this earns nothing: it still has to give the right answer to every input.
    """
    todo = [code]
    while todo:
        code = todo.pop()
        for name in code.co_names:
            if name in _IMPURE or name in packages or ("." in name and name != "collections.abc"):
                return False
        if not _SETTERS.isdisjoint(code.co_code[::2]) and not _sets_own(code):
            return False
        todo += [constant for constant in code.co_consts if type(constant) is _CodeType]
    return True


def _sets_own(code: Any) -> bool:
    """True if every attribute that this code sets or deletes is one of a local name, or a standard stream."""
    raw = code.co_code
    for at in range(2, len(raw), 2):
        if raw[at] not in _SETTERS:
            continue
        before, number = _opname[raw[at - 2]], raw[at + 1]
        if before == "EXTENDED_ARG":  # more than 256 names: rare, and not worth reading on
            return False
        stream = _opname[raw[at]] == "STORE_ATTR" and code.co_names[number] in ("stdin", "stdout")
        if not stream and "LOAD_FAST" not in before and before != "LOAD_DEREF":
            return False
    return True


_SETTERS = frozenset(number for name, number in _opmap.items() if name in ("STORE_ATTR", "DELETE_ATTR"))
_CodeType = type((lambda: 0).__code__)
