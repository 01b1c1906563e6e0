"""Operations: what an assertion script does with something of the program's, one at a time, as text and as packed values."""

from __future__ import annotations

import collections
import json
import marshal
from typing import Any, NamedTuple

from rltf_env.sandbox.values import WRAPPERS, Unrepresentable, decode

_PLAIN = frozenset({int, float, str, bool, type(None)})
# instances of subclasses, of numpy's and of the library's, as `values.dump` has them
_TYPED = ('{"S": [', '{"N": [', '{"W": [')


class Operation(NamedTuple):
    """A step of a plan: as text, by which two are compared, and as a program's process takes it (`cage/session.py`)."""

    text: str
    packed: tuple[Any, ...]


def is_simple(verb: str, args: tuple[Any, ...]) -> bool:
    """True for a call with arguments that cannot change: most are of that kind, and have a short way."""
    return verb == "call" and not args[2] and _PLAIN.issuperset(map(type, args[1]))


def is_plain(value: Any, deep: int = 20) -> bool:
    """True for what `marshal` hands on as it is, as far as that is quickly told."""
    kind = type(value)
    if kind in _PLAIN:
        return True
    if kind is dict:
        value = [*value, *value.values()]
    elif kind is not list and kind is not tuple:
        return False
    return deep > 0 and len(value) < 1000 and all(is_plain(item, deep - 1) for item in value)


def operation(text: str) -> tuple[Any, ...]:
    """An operation as a program's process takes it, see `cage/program.py`."""
    op = json.loads(text)
    if op[0] == "name":
        return tuple(op)
    verb, target, trees, watch = op
    try:
        if any(tag in text for tag in _TYPED):
            raise Unrepresentable("more than a plain value")
        values = [decode(tree) for tree in trees]
        marshal.dumps(values)
        return verb, target, True, values, watch
    except (Unrepresentable, ValueError):  # references, or values that marshal has no name for
        return verb, target, False, trees, watch


def overwrite(old: Any, new: Any) -> None:
    """Makes a mutable value equal to another of its type, in place, inner containers too: a call may change its arguments."""
    if type(old) is not type(new):
        return
    if isinstance(old, list):
        if len(old) == len(new):
            for i, (a, b) in enumerate(zip(old, new, strict=True)):
                if isinstance(a, (list, dict, set)) and type(a) is type(b):
                    overwrite(a, b)
                else:
                    old[i] = b
        else:
            old[:] = new
    elif isinstance(old, (dict, set)):
        old.clear()
        old.update(new)
    elif isinstance(old, collections.deque):
        old.clear()
        old.extend(new)
    elif type(old) in WRAPPERS:
        for a, b in zip(WRAPPERS[type(old)](old), WRAPPERS[type(old)](new), strict=False):
            overwrite(a, b)
