"""What can be falsified where a test expects an error: its class, or that anything is raised. Read from the syntax tree.

Of a false class no program is paid that raises whatever its caller names. But one that raises an error as soon as its caller
names one of its own, or the one that the task speaks of, knows a false class for what it is, and raises nothing, as it would
without having solved anything. It passes a copy that names no error, and is content with an answer.
"""

from __future__ import annotations

import ast
import random
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from rltf_env.sandbox.referee import asserting, certainty
from rltf_env.sandbox.referee.asserting import name_of
from rltf_env.sandbox.referee.changes import other_equality

Place = tuple[ast.AST, str, int]  # of a statement: what it is in, in which of its fields, and where there
FORMS = (ast.With, ast.AsyncWith, ast.Expr, ast.Assign)  # statements, beside `try`, in which an error may be expected
Site = tuple[ast.AST, Callable[[Any, random.Random], None], bool, bool]  # as in `targets.py`

# Errors that nobody derives his own from, or raises for an answer.
_ODD = tuple(
    "BufferError ConnectionAbortedError BlockingIOError ChildProcessError FloatingPointError InterruptedError "
    "NotADirectoryError ProcessLookupError ReferenceError UnicodeTranslateError".split()
)
_USUAL = (
    "ValueError",
    "TypeError",
    "KeyError",
    "IndexError",
    "ZeroDivisionError",
    "AttributeError",
    "FileNotFoundError",
)


def other_exception(node: ast.Call, rng: random.Random) -> None:
    """An exception class that no right program raises where another was expected.

    Where a usual one was expected, another that is as usual: an odd one would give the copy away.
    """
    node.args[0] = _other_error(node.args[0], rng)


def other_handler(node: ast.ExceptHandler, rng: random.Random) -> None:
    """The same for what a handler is for."""
    assert node.type is not None
    node.type = _other_error(node.type, rng)


def _other_error(kind: ast.expr, rng: random.Random) -> ast.expr:
    text = ast.unparse(kind)
    others = _USUAL if text in _USUAL else _ODD
    return ast.copy_location(ast.Name(rng.choice([name for name in others if name not in text]), ast.Load()), kind)


class ExpectNothing(NamedTuple):
    """What was to raise an error is not to, and nothing is asked of the error: what was tried stands there alone.

    Args:
        where: the statement that expects it, in the node that is changed: in which field, and where there; else it is the node.
        name: that the class goes by, and a loop or a parameter binds: it stands for another class.
    """

    where: tuple[str, int] | None = None
    name: str = ""

    def __call__(self, node: Any, rng: random.Random) -> None:
        """Changes a node."""
        if self.where is None:
            self._try_alone(node, rng)
        else:
            block, number = getattr(node, self.where[0]), self.where[1]
            names = _names_of_error(block[number])
            self._try_alone(block[number], rng)
            block[number + 1 :] = _without(block[number + 1 :], names)

    def _try_alone(self, node: Any, rng: random.Random) -> None:
        other = [ast.Name(self.name, ast.Store())] if self.name else []
        bindings = [ast.Assign([name], _other_error(name, rng)) for name in other]
        body = [*bindings, *_tried(node)] or [ast.Pass()]
        if len(getattr(node, "items", ())) > 1:
            node.items.remove(_expecting(node))
            node.body = body
            return
        for name in [name for name in vars(node) if name in node._fields]:
            delattr(node, name)
        node.__class__ = ast.If
        node.test, node.body, node.orelse = ast.Constant(True), body, []


def _tried(node: Any) -> list[ast.stmt]:
    """What is done where nothing is raised, without a complaint of that, and what is noted where an error is."""
    if isinstance(node, (ast.Expr, ast.Assign)):  # assertRaises(Error, f, x)
        call: Any = node.value
        return [ast.Expr(ast.Call(*_split(_called_at_once(call)), call.keywords))]
    if not isinstance(node, ast.Try):
        return node.body
    names = _names_of_error(node)
    tried = node.body[:-1] if certainty.complains(node.body, False) else node.body
    rest = [] if certainty.complains(node.orelse, False) else node.orelse
    return [*tried, *rest, *_without(node.handlers[0].body, names), *node.finalbody]


def _split(called: list[ast.expr]) -> tuple[ast.expr, list[ast.expr]]:
    """A function, and what it is called with. Of `*args` the function may be the first."""
    if isinstance(called[0], ast.Starred):
        return ast.parse("lambda call, *args, **kwargs: call(*args, **kwargs)", mode="eval").body, called
    return called[0], called[1:]


def _names_of_error(node: Any) -> set[str]:
    """What an error goes by that is caught, and what it is kept under."""
    if not isinstance(node, ast.Try):
        targets = [_expecting(node).optional_vars] if hasattr(node, "items") else getattr(node, "targets", ())
        return {name.id for target in targets if target for name in _names(target)}
    names = {node.handlers[0].name or ""}
    _without(node.handlers[0].body, names)
    return names


def _without(statements: list[ast.stmt], names: set[str]) -> list[ast.stmt]:
    """Statements that mention none of these names, to which is added what the others give to names."""
    left = []
    for statement in statements:
        if names.isdisjoint(name.id for name in _names(statement)):
            left.append(statement)
        else:
            names |= {name.id for name in _names(statement) if isinstance(name.ctx, ast.Store)}
    return left


def _names(node: ast.AST) -> Iterator[ast.Name]:
    return (part for part in ast.walk(node) if isinstance(part, ast.Name))


def places(nodes: Iterable[ast.AST]) -> dict[int, Place]:
    """Where statements are, by their ids."""
    blocks = [(n, name, getattr(n, name, ())) for n in nodes for name in ("body", "orelse", "finalbody")]
    return {id(s): (n, name, i) for n, name, block in blocks if isinstance(block, list) for i, s in enumerate(block)}


def of(node: ast.AST, place: Place | None, bound: Iterable[str], sound: bool) -> list[Site]:
    """What can be falsified of an error that a node expects.

    Args:
        node: a statement.
        place: of a statement, if it is in another one.
        bound: names that a loop or a parameter binds.
        sound: the node is run in any case, and what it raises is heard of.
    """
    if isinstance(node, ast.Try):
        return _of_try(node, place, sound)
    expecting = _expecting(node)
    if expecting is None:
        return []
    call: Any = expecting.context_expr if isinstance(expecting, ast.withitem) else expecting
    kind = next(iter(call.args), None)
    name = kind.id if isinstance(kind, ast.Name) and kind.id in bound else ""
    return _nothing(node, place, bool(_names_of_error(node)), name, sound)


def is_asked(node: Any, uses: Callable[[ast.AST], bool]) -> bool:
    """True if what seems to expect an error is the program's: it may have a function `raises`."""
    expecting = _expecting(node)
    return expecting is not None and uses(getattr(expecting, "context_expr", expecting))


def _expecting(node: Any) -> Any:
    """What of a statement expects an error: an item of a `with`, or a call that calls something at once; None if nothing does."""
    if isinstance(node, (ast.With, ast.AsyncWith)):
        return next((item for item in node.items if _expects_error(item.context_expr)), None)
    return node.value if _expects_error(node.value) and _called_at_once(node.value) else None


def _expects_error(call: ast.AST) -> bool:
    """True for `raises(...)`, also where something is called at once."""
    return isinstance(call, ast.Call) and name_of(call.func) in _RAISES


def _called_at_once(call: ast.Call) -> list[ast.expr]:
    """What is called, and its arguments, behind the class, and a pattern."""
    return call.args[2 if "Regex" in name_of(call.func) else 1 :]


def idle(nodes: Iterable[ast.AST]) -> list[ast.AST]:
    """Expectations of an error that nothing can raise: `pytest.raises(ValueError)` as a statement of its own."""
    statements = [node.value for node in nodes if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)]
    return [call for call in statements if _expects_error(call) and not _called_at_once(call)]


_RAISES = ("raises", "assertRaises", "assertRaisesRegex", "assertRaisesRegexp")


def of_class(call: ast.Call, sound: bool) -> list[Site]:
    """The class that a call expects, unless any would do."""
    kind = ast.unparse(call.args[0])
    return [] if kind in asserting.ANY_ERROR and len(call.args) > 1 else [(call, other_exception, sound, False)]


def _of_try(node: ast.Try, place: Place | None, sound: bool) -> list[Site]:
    """Of `try: f() ... except Error: pass` the class, where it is an error that nothing is raised; or where that is noted."""
    if len(node.handlers) != 1 or node.handlers[0].type is None:
        return []
    sure = certainty.complains(node.body, False) or certainty.complains(node.orelse, False)
    handler = node.handlers[0]
    sites: list[Site] = [(handler, other_handler, sound and sure, False)]
    if certainty.complains(handler.body, True) or not (sure or _is_noted(handler, place)):
        return sites
    return [*sites, *_nothing(node, place, bool(handler.name), "", sound and sure)]


def _is_noted(handler: ast.ExceptHandler, place: Place | None) -> bool:
    """True for `raised = True` or `caught = error`, where the test asks for nothing but that later."""
    targets = [target for each in handler.body if isinstance(each, ast.Assign) for target in each.targets]
    names = {target.id for target in targets if isinstance(target, ast.Name)}
    later = getattr(place[0], place[1])[place[2] + 1 :] if place else []
    return any(isinstance(each, (ast.Assert, ast.Expr)) and _what_is_there(each) in names for each in later)


def _what_is_there(statement: ast.Assert | ast.Expr) -> str | None:
    """The name of which a statement asserts that it is true, or not None, or of a class."""
    asked: Any = statement.test if isinstance(statement, ast.Assert) else statement.value
    if isinstance(asked, ast.Compare) and len(asked.ops) == 1 and isinstance(asked.ops[0], ast.IsNot):
        asked = asked.left if ast.unparse(asked.comparators[0]) == "None" else None
    elif isinstance(asked, ast.Call) and asked.args:
        asked = asked.args[0] if name_of(asked.func) in _THERE else None
    return asked.id if isinstance(asked, ast.Name) else None


_THERE = frozenset("assertTrue assertIsNotNone assertIsInstance isinstance".split())


def _nothing(node: ast.AST, place: Place | None, named: bool, name: str, sound: bool) -> list[Any]:
    if not named:
        return [(node, ExpectNothing(None, name), sound, False)]
    return [] if place is None else [(place[0], ExpectNothing(place[1:], name), sound, False)]


def is_another(change: Callable[[Any, random.Random], None]) -> bool:
    """True for a change that a node has beside others."""
    return change is other_equality or isinstance(change, ExpectNothing)
