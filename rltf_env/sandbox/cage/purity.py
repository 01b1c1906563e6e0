"""Which programs leave nothing behind that another of their cases could notice. Standard library only.

What outlives a case is what was there before it: the interpreter's own objects and those of the library. A program of its own
names, its own objects and the harmless part of a few modules has no way to change these. `pure` proves from the code that a
program is one of these, and says no wherever it cannot tell:

- it names nothing that leads to other objects than its own: of built-ins, of modules (a list of names for each), of special
  methods and attributes (all names with two underscores but the plain ones);
- a module is never a value: each use of it is one of a name in its list, none of which is a container;
- the templates that it fills in (`"{}".format(x)`) are there to be read, and name no attributes or items;
- if it sets attributes, in whatever way, then nothing of the library that has attributes to be set is ever a value: a
  function in Python, or a class that is not built in, may only be called;
- where the library keeps what it was given (patterns, generic types), the program has no say in what equals what.

What may be used of the library is in `harmless.py`.
"""

from __future__ import annotations

import gc
import re
import sys
import typing
from collections.abc import Callable, Iterator
from opcode import opmap as _opmap
from opcode import opname as _opname
from typing import Any, NamedTuple

from rltf_env.sandbox.cage.harmless import KEEPING, MODULES, NOTE, ONCE, SETTERS, public, table
from rltf_env.sandbox.cage.templates import FORMATTING, formats_plainly

_STREAMS = ("stdin", "stdout", "stderr")  # made anew for each case
_BUILTINS = frozenset(  # that lead to anything, or tell how much memory other cases have left
    "exec eval compile globals locals vars setattr delattr getattr open breakpoint help memoryview id copyright credits "
    "license MemoryError".split()
)
_ATTRIBUTES = frozenset(  # that lead to what an object is made of, or change what a stream stands on
    "mro obj register raw detach fileno reconfigure seek tell truncate f_back f_globals f_locals f_builtins f_code f_trace "
    "tb_frame tb_next gi_frame gi_code gi_yieldfrom cr_frame cr_code cr_await cr_origin ag_frame ag_code ag_await".split()
)
_WITH_SETTING = frozenset("fget fset fdel func".split())  # attributes that a program may not ask for if it sets any
_PLAIN = frozenset(  # special names that a program may define, and call
    [f"__{name}__" for name in (
        "init new repr str bytes format hash bool len iter next reversed contains getitem setitem delitem missing call enter exit "
        "eq ne lt le gt ge add radd iadd sub rsub isub mul rmul imul truediv rtruediv itruediv floordiv rfloordiv ifloordiv mod "
        "rmod imod divmod rdivmod pow rpow ipow lshift rlshift ilshift rshift rrshift irshift and rand iand or ror ior xor rxor "
        "ixor matmul rmatmul imatmul neg pos abs invert int float complex index round trunc floor ceil copy deepcopy post_init "
        "length_hint aiter anext aenter aexit await"
    ).split()]
)  # fmt: skip
_COMPARING = frozenset(f"__{name}__" for name in "eq ne lt le gt ge hash contains".split())
_NOTING = frozenset(f"__{name}__" for name in "getitem or ror".split())  # these would see the annotations of others
_LABELS = frozenset(
    f"__{name}__" for name in "name doc module qualname slots file firstlineno static_attributes".split()
)
_NOTES = "__annotations__"

PURE, LATE, PATTERNS, GENERICS, CYCLES, ERRORS = (1 << bit for bit in range(6))  # what `traits` says of a program

Step = tuple[str, int]  # an instruction: its name and its argument
_CodeType = type((lambda: 0).__code__)
_IMPORT, _MATCH = _opmap["IMPORT_NAME"], _opmap["MATCH_CLASS"]
_SETS = frozenset(number for name, number in _opmap.items() if name in ("STORE_ATTR", "DELETE_ATTR"))
_METHODS = sys.version_info >= (3, 12)  # loading an attribute and loading a method are one instruction
_NULL_FIRST = sys.version_info < (3, 13)  # what marks a call is loaded before the function
_READABLE = sys.version_info < (3, 14)  # later instructions are not known here: no program is called pure by them
_OPTIMIZED = 0x1  # a flag of code: a function's
_GENERATOR = 0x20 | 0x80 | 0x200  # flags of code: a generator, a coroutine, or both


def traits(code: Any) -> int:
    """What is known of a program before it runs, a bit each.

    `PURE` is what `pure` says; `LATE`: something of it may run when its objects are dropped; `PATTERNS`, `GENERICS` and
    `CYCLES`: what `leavings` removes; `ERRORS`: it mentions standard error. To find out takes ten microseconds, and many more
    in a fork that has only begun: so it is done where programs are compiled ahead.
    """
    codes = list(_all(code))
    names = {name for each in codes for name in each.co_names}
    found = PURE if pure(code) else 0
    found |= LATE if _finishes_late(codes) else 0
    found |= ERRORS if "stderr" in names else 0
    found |= PATTERNS if "re" in names else 0
    found |= GENERICS if "typing" in names else 0
    # a program that handles no errors cannot tell how much memory is left, one without named tuples not which texts there are
    if found & (PATTERNS | GENERICS) or "namedtuple" in names or any(each.co_exceptiontable for each in codes):
        found |= CYCLES
    return found


def pure(code: Any) -> bool:
    """True if running this code leaves nothing behind in its process that another run of it could notice.

    `code` is that of a whole program. No third-party package that it could import is known to be harmless.
    """
    codes = list(_all(code))
    names = {name for each in codes for name in each.co_names}
    if not _READABLE or any(map(_special, names)):
        return False
    if not names.isdisjoint(FORMATTING) and not all(map(formats_plainly, codes)):
        return False
    bound: dict[str, Any] = {"exit": True, "quit": True}  # what names stand for: a module's table, or a use
    imported: set[str] = set()
    for each in codes:
        if _IMPORT in each.co_code[::2]:
            in_class = each is not code and not each.co_flags & _OPTIMIZED  # there, names are attributes
            if in_class or not _imports(each, bound, imported):
                return False
    compares = not names.isdisjoint(_COMPARING) or "dataclasses" in imported
    if compares and not imported.isdisjoint(KEEPING):
        return False
    sets = any(module in imported and not names.isdisjoint(SETTERS[module]) for module in SETTERS)
    sets = sets or any(_sets(each, bound) for each in codes)
    facts = _Facts(bound, sets, compares, names.isdisjoint(_NOTING))
    return all(_uses(each, facts) for each in codes)


class _Facts(NamedTuple):
    """What is true of a whole program: what its names stand for, what it does or defines anywhere."""

    bound: dict[str, Any]
    sets: bool
    compares: bool
    notes: bool  # it may have annotations made of the library's generic types


def _finishes_late(codes: list[Any]) -> bool:
    """True if something of a program may run when its objects are dropped: a part of a generator, or `__del__`."""
    return any((each.co_flags & _GENERATOR and each.co_exceptiontable) or "__del__" in each.co_names for each in codes)


def leavings(cleanups: int) -> list[Callable[[], object]]:
    """What to call after a case of a program with these traits, so that nothing of its objects is left.

    That is cycles, and what the library keeps of them.
    """
    cleaning: list[Callable[[], object]] = []
    if cleanups & PATTERNS:
        cleaning.append(re.purge)
    if cleanups & GENERICS:
        cleaning += typing._cleanups  # type: ignore[attr-defined]
    if cleanups & CYCLES:
        cleaning.append(gc.collect)
    return cleaning


def _all(code: Any) -> Iterator[Any]:
    todo = [code]
    while todo:
        code = todo.pop()
        yield code
        todo += [constant for constant in code.co_consts if type(constant) is _CodeType]


def _special(name: str) -> bool:
    """True for special names that a program may not have; and for those of the library's enumerations (`_member_map_`)."""
    if name[:1] != "_" or name[-1:] != "_" or name == "_":
        return False
    return not name[:2] == "__" == name[-2:] or (name not in _PLAIN and name not in _LABELS and name != _NOTES)


# ------------------------------------------------------------------------------------------------------- instructions


def _instructions(code: Any) -> list[Step]:
    """Names and arguments of the instructions, without what the interpreter keeps between them."""
    steps, high = [], 0
    raw = code.co_code
    for at in range(0, len(raw), 2):
        name, number = _opname[raw[at]], raw[at + 1] | high
        high = number << 8 if name == "EXTENDED_ARG" else 0
        if name not in ("EXTENDED_ARG", "CACHE", "PRECALL"):
            steps.append((name, number))
    return steps


def _variable(code: Any, name: str, number: int) -> str:
    """The variable that an instruction is about; empty if it is about none."""
    if name == "STORE_FAST_LOAD_FAST":
        return _MANY
    kind, _, place = name.partition("_")
    if kind not in ("LOAD", "STORE", "DELETE"):
        return ""
    if place == "GLOBAL" and kind == "LOAD":
        return code.co_names[number >> 1]
    if place in ("NAME", "GLOBAL", "FROM_DICT_OR_GLOBALS"):
        return code.co_names[number]
    if place.startswith(("FAST", "DEREF", "CLASSDEREF", "CLOSURE", "FROM_DICT_OR_DEREF")):
        return code._varname_from_oparg(number) if "FAST_" not in place or place.count("FAST") == 1 else _MANY
    return ""


_MANY = "<two>"  # an instruction about two variables at once


def _imports(code: Any, bound: dict[str, Any], imported: set[str]) -> bool:
    """Adds what this code imports to `bound`, and from where to `imported`. False if it imports anything that may have a state."""
    steps = _instructions(code)
    for at, (name, number) in enumerate(steps):
        if _opmap.get(name) != _IMPORT:
            continue
        module = code.co_names[number]
        imported.add(module)
        if module not in MODULES or not _binds(code, steps, at + 1, module, bound):
            return False
    return True


def _binds(code: Any, steps: list[Step], at: int, module: str, bound: dict[str, Any]) -> bool:
    """Notes the variables that one import sets."""
    uses = table(module)
    name, number = steps[at]
    if name == "IMPORT_STAR" or (name == "CALL_INTRINSIC_1" and number == 2):
        return all(_bind(bound, each, uses.get(each)) for each in public(module))
    if name != "IMPORT_FROM":
        return "." not in module and _bind(bound, _variable(code, name, number), uses)
    while name == "IMPORT_FROM":
        variable = code.co_names[number]
        if variable not in uses or not _bind(bound, _variable(code, *steps[at + 1]), uses[variable]):
            return False
        at += 2
        name, number = steps[at]
    return name == "POP_TOP"


def _bind(bound: dict[str, Any], variable: str, value: Any) -> bool:
    """Notes what a variable stands for. False if it may stand for two things, or is no variable."""
    if variable in bound and variable not in ("exit", "quit") and bound[variable] != value:
        return False
    bound[variable] = value
    return variable not in ("", _MANY)


def _sets(code: Any, bound: dict[str, Any]) -> bool:
    """True if this code sets or deletes an attribute, other than a standard stream of `sys`."""
    if _SETS.isdisjoint(code.co_code[::2]):
        return False
    before = ""
    for name, number in _instructions(code):
        if name == "DELETE_ATTR" or (name == "STORE_ATTR" and not _is_stream(code, number, before, bound)):
            return True
        before = _variable(code, name, number)
    return False


def _is_stream(code: Any, number: int, variable: str, bound: dict[str, Any]) -> bool:
    return code.co_names[number] in _STREAMS and variable in bound and bound[variable] is table("sys")


# ---------------------------------------------------------------------------------------------------------------- uses


def _uses(code: Any, facts: _Facts) -> bool:
    """True if this code uses what it has from elsewhere in no other way than those that leave nothing behind."""
    names = {*code.co_names, *code.co_varnames, *code.co_freevars, *code.co_cellvars}
    special = facts.sets and any(name[:2] == "__" for name in names)
    if _MATCH in code.co_code[::2]:  # it asks for attributes by constants
        return False
    if not special and names.isdisjoint(facts.bound) and names.isdisjoint(_DOUBTFUL):
        return True
    steps = [("", 0), *_instructions(code), ("", 0), ("", 0), ("", 0)]
    noted = _notes(code, steps) if facts.notes and NOTE in facts.bound.values() else set()
    for at, (name, number) in enumerate(steps):
        if name.endswith("_ATTR") or name == "LOAD_METHOD":
            if not _attribute(code, name, number, facts.sets):
                return False
        elif "LOAD_" in name and (variable := _variable(code, name, number)):
            if variable == _MANY:
                if not facts.bound.keys().isdisjoint(
                    code._varname_from_oparg(half) for half in (number >> 4, number & 15)
                ):
                    return False
            elif not _use(code, steps, at, variable, facts, noted):
                return False
    return True


def _attribute(code: Any, name: str, number: int, sets: bool) -> bool:
    """False for an attribute that leads to what an object is made of; or, for who sets attributes, to a library's function."""
    attribute, is_call = _attribute_of(code, name, number)
    if attribute in _ATTRIBUTES or (sets and attribute in _WITH_SETTING):
        return False
    if attribute[:2] != "__" or attribute[-2:] != "__":
        return True
    if attribute == _NOTES:
        return False
    return name.startswith("LOAD") and (not sets or is_call or attribute in ("__name__", "__doc__"))


def _attribute_of(code: Any, name: str, number: int) -> tuple[str, bool]:
    """The name of an attribute, and whether it is loaded to be called."""
    if name == "LOAD_METHOD":
        return code.co_names[number], True
    if not _METHODS or not name.startswith("LOAD"):
        return code.co_names[number], False
    return code.co_names[number >> 2 if name == "LOAD_SUPER_ATTR" else number >> 1], bool(number & 1)


def _use(code: Any, steps: list[Step], at: int, variable: str, facts: _Facts, noted: set[int]) -> bool:
    """True if one use of a variable is harmless."""
    name, (following, number) = steps[at][0], steps[at + 1]
    if name == "LOAD_CLOSURE" or (name == "LOAD_FAST" and variable not in code.co_varnames):
        return True  # a cell, for a function inside
    if not name.startswith("LOAD_FAST"):
        if variable == _NOTES:
            return following == "LOAD_CONST" and steps[at + 2][0] == "STORE_SUBSCR"
        if variable in _BUILTINS:
            return False
        if variable == "type":
            return not (facts.sets or facts.compares) and _one_argument(steps, at) and _compared(code, steps, at)
    if variable not in facts.bound:
        return True
    value = facts.bound[variable]
    if not isinstance(value, dict):
        return _value(value, steps, at, facts.sets, noted)
    if following == "STORE_ATTR":
        return value is table("sys") and code.co_names[number] in _STREAMS
    if following not in ("LOAD_ATTR", "LOAD_METHOD"):
        return False
    attribute, _ = _attribute_of(code, following, number)
    return attribute in value and _value(value[attribute], steps, at + 1, facts.sets, noted)


def _value(kind: Any, steps: list[Step], at: int, sets: bool, noted: set[int]) -> bool:
    """True if what is loaded here, which may be used in one way, is."""
    if kind is None:  # what a star brought with it
        return False
    if kind == NOTE:
        return at in noted
    if kind == ONCE:
        return _one_argument(steps, at)
    return not (sets and kind) or _is_called(steps, at)


def _is_called(steps: list[Step], at: int) -> bool:
    """True if what is loaded here is called, or a method of it is, and it is no value otherwise."""
    name, number = steps[at]
    following, argument = steps[at + 1]
    if _is_method(name, number) or _is_method(following, argument):
        return True
    first = at - (name == "LOAD_ATTR")  # where the module is loaded, or the thing itself
    null = steps[first - 1][0] if _NULL_FIRST else following
    adjacent = null == "PUSH_NULL" or (steps[first][0] == "LOAD_GLOBAL" and steps[first][1] & 1)
    after = steps[at + 2][0] if following == "PUSH_NULL" else following
    return (
        bool(adjacent)
        and after in _ARGUMENTS
        and not any(map(_keeps_part, zip(steps, steps[1:], steps[2:], strict=False)))
    )


def _is_method(name: str, number: int) -> bool:
    """True for what loads an attribute to call it."""
    return name == "LOAD_METHOD" or (_METHODS and name == "LOAD_ATTR" and number & 1 == 1)


def _keeps_part(three: Any) -> bool:
    """True for `(a := b[c])`, which could keep what is about to be called."""
    (first, _), (second, number), (third, _) = three
    return first == "BINARY_SUBSCR" and second == "COPY" and number == 1 and third.startswith("STORE_")


_ARGUMENTS = frozenset(
    "CALL KW_NAMES PUSH_NULL LOAD_CONST LOAD_NAME LOAD_FAST LOAD_FAST_CHECK LOAD_FAST_LOAD_FAST LOAD_GLOBAL LOAD_DEREF "
    "LOAD_CLOSURE LOAD_BUILD_CLASS BUILD_LIST BUILD_MAP BUILD_TUPLE BUILD_SET".split()
)


_DOUBTFUL = _BUILTINS | _ATTRIBUTES | _WITH_SETTING | {_NOTES, "type"}


def _one_argument(steps: list[Step], at: int) -> bool:
    """True for a call of what is loaded here with a single argument as simple as `x`, `x.y` or `x[0]`."""
    return _is_called(steps, at) and steps[_behind(steps, at)] == ("CALL", 1)


def _behind(steps: list[Step], at: int) -> int:
    """Where the call is, if its arguments are simple."""
    at += 2 if steps[at + 1][0] == "PUSH_NULL" else 1
    while steps[at][0] in _SIMPLE or (steps[at][0] == "LOAD_ATTR" and not _is_method(*steps[at])):
        at += 1
    return at


_SIMPLE = frozenset("LOAD_CONST LOAD_NAME LOAD_FAST LOAD_GLOBAL LOAD_DEREF BINARY_SUBSCR".split())


def _compared(code: Any, steps: list[Step], at: int) -> bool:
    """True if what a call returns is compared with something, or asked for its name, and no value otherwise."""
    at = _behind(steps, at) + 1
    if steps[at][0] == "LOAD_ATTR":
        return _attribute_of(code, *steps[at]) == ("__name__", False)
    while steps[at][0] in ("LOAD_CONST", "LOAD_NAME", "LOAD_FAST", "LOAD_GLOBAL", "LOAD_DEREF", "BUILD_TUPLE"):
        at += 1
    return steps[at][0] in ("IS_OP", "COMPARE_OP", "CONTAINS_OP")


# --------------------------------------------------------------------------------------------------------- annotations


def _notes(code: Any, steps: list[Step]) -> set[int]:
    """Where annotations are made: of functions, and of variables outside of functions."""
    positions: set[int] = set()
    for at, (name, number) in enumerate(steps):
        if (name == "MAKE_FUNCTION" and number & 4) or (name == "SET_FUNCTION_ATTRIBUTE" and number == 4):
            end = _tuple_of_notes(steps, at)
            positions |= _expressions(steps, end, steps[end][1]) if end else set()
        elif name == "LOAD_NAME" and code.co_names[number] == _NOTES:
            positions |= _expressions(steps, at, 1)
    return positions


def _tuple_of_notes(steps: list[Step], at: int) -> int:
    """Where the tuple of a function's annotations is built; 0 if that cannot be told."""
    closure = steps[at][0] == "MAKE_FUNCTION" and steps[at][1] & 8
    at -= 1
    while steps[at][0] in ("SET_FUNCTION_ATTRIBUTE", "MAKE_FUNCTION"):
        closure = closure or steps[at] == ("SET_FUNCTION_ATTRIBUTE", 8)
        at -= 1
    at -= 1  # the code
    if closure and steps[at][0] == "BUILD_TUPLE":
        at -= 1 + steps[at][1]
    return at if steps[at][0] == "BUILD_TUPLE" else 0


def _expressions(steps: list[Step], end: int, count: int) -> set[int]:
    """Where the `count` values are made that are there before `end`; empty if that cannot be told."""
    at = end
    while count > 0:
        at -= 1
        name, number = steps[at]
        if name in ("BUILD_TUPLE", "BUILD_LIST"):
            count += number - 1
        elif name in ("BINARY_SUBSCR", "LIST_EXTEND") or (name == "BINARY_OP" and number == 7):  # |
            count += 1
        elif name.startswith("LOAD_") and name not in _TWICE and not (name == "LOAD_GLOBAL" and number & 1):
            count -= name != "LOAD_ATTR"
        else:
            return set()
    return set(range(at, end))


_TWICE = frozenset("LOAD_METHOD LOAD_FAST_LOAD_FAST LOAD_SUPER_ATTR LOAD_BUILD_CLASS".split())
