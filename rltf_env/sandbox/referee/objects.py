"""What a script does by operators with things of the program's: where their class may decide, and where it may not.

An operator hands the other operand to the object's class. That may be what is expected: in `abs(mean(xs) - 1.5) < 1e-9` an
object that takes everything from everything and leaves nought would be near to every number. So it is noted which of the
program's objects calculate with plain data, by the paths on which the script came to them (`Solution().mean()`). A program is
only paid for that where the reference has objects on all of these, too.
"""

from __future__ import annotations

from typing import Any

from rltf_env.sandbox.cage.session import VERBS
from rltf_env.sandbox.referee.proxies import ITERABLES, Remote

LONGEST_PATH = 200  # characters
_INSIDE = frozenset(("item", "list", "next"))
UNREPRESENTABLE = "unrepresentable"  # `replay.End`


class Objects:
    """The operators of a replay."""

    script: Any
    look: Any
    act: Any
    stop: Any
    _contents: Any

    def __init__(self) -> None:
        self.paths: set[str] = set()  # to objects of the program's
        self.calculations: set[str] = set()  # paths to those whose operators and methods were handed plain data

    def contains(self, remote: Remote, item: Any) -> bool:
        """True if an item is in a thing of the program's: which it may say itself only where it is of a class of its own."""
        if remote._rltf_plain > 1:
            return item in self.look("plain", remote)
        if remote._rltf_kind not in ITERABLES:
            self.only_for_classes(remote)
            self.note(remote, item)
            return self.look("in", remote, item)
        used_up, items = self._contents(remote)
        there = item in items
        if used_up:
            remote._rltf_answers["list"] = (True, items[items.index(item) + 1 :] if there else [])
        return there

    def only_for_classes(self, remote: Remote) -> None:
        """Stops the replay unless right answers may be objects of a class of the program's."""
        if not self.script.has_classes:
            self.stop(UNREPRESENTABLE, remote._rltf_kind)

    def calculate(self, verb: str, remote: Remote, *operands: Any) -> Any:
        """The result of an operator of a thing of the program's: by its class, unless that leaves it to a plain type's."""
        if remote._rltf_plain > 1 and all(map(_has_plain, operands)):
            return VERBS[verb](self._plain(remote), *map(self._plain, operands))
        self.only_for_classes(remote)
        self.note(remote, *operands)
        return self.act(verb, remote, *operands)

    def note(self, remote: Remote, *operands: Any) -> None:
        """Takes down that an object of the program's is to calculate with plain data, which may be what is expected of it."""
        if operands and all(type(operand) is not Remote for operand in operands):
            self.calculations |= remote._rltf_paths

    def compare(self, act: Any, remote: Remote, other: Any) -> bool:
        """The result of comparing a thing of the program's, where it may be told: of what is plain data besides, by that.

        That would be no proof for other programs, if two of their objects have to be compared.
        """
        if remote is other:
            return bool(act(0, 0))
        if remote._rltf_plain and _has_plain(other) and not (self.script.is_proof and type(other) is Remote):
            return act(self._plain(remote), self._plain(other))
        if other is None:
            return False
        return self.stop(UNREPRESENTABLE, remote._rltf_kind)

    def _plain(self, value: Any) -> Any:
        """A copy of what a value is as plain data."""
        plain = self.look("plain", value) if type(value) is Remote else value
        return plain if type(plain) is not Remote else self.stop(UNREPRESENTABLE, plain._rltf_kind)


def path_to(verb: str, args: tuple[Any, ...]) -> str:
    """How a script came to a result: its end, if that is long."""
    if verb == "name":
        return args[0]
    step = "()" if verb == "call" else f".{args[1]}" if verb == "get" else "[]" if verb in _INSIDE else f" {verb}"
    return (getattr(args[0], "_rltf_path", "") + step)[-LONGEST_PATH:]


def is_object(tree: Any) -> bool:
    """True for the JSON of an instance of a class of the program's, which is plain data besides."""
    return type(tree) is dict and "S" in tree


def _has_plain(value: Any) -> bool:
    return type(value) is not Remote or value._rltf_plain > 0
