"""What of a test function is run in any case, and heard of: read from its syntax tree."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

from rltf_env.sandbox.referee import asserting, computed
from rltf_env.sandbox.referee.asserting import dotted, name_of
from rltf_env.sandbox.referee.origins import elements_of
from rltf_env.sandbox.referee.runners import is_guard
from rltf_env.sandbox.referee.suite import Function

# What is in these need not be run, or not be heard of.
_DOUBTFUL = (
    *(ast.While, ast.TryStar, ast.Match, ast.IfExp, ast.Lambda, ast.ClassDef, ast.BoolOp),
    *(ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp),
)
_CHOOSING = (*_DOUBTFUL, ast.If, ast.For, ast.AsyncFor, ast.FunctionDef, ast.AsyncFunctionDef)
_SAME, _VIEWS = ("list", "tuple", "set", "sorted", "reversed", "iter", "dict"), ("items", "keys", "values")
_TRUE = (ast.Is, ast.Eq)
_WAITING = ("gather", "wait_for", "shield")
_RETURNING = (ast.Return, ast.Yield, ast.YieldFrom)
_LEAVING = (*_RETURNING, ast.Break, ast.Continue)
_TRANSPARENT = frozenset(
    "subTest open patch object dict multiple catch_warnings TemporaryDirectory NamedTemporaryFile "
    "redirect_stdout redirect_stderr".split()
)


def doubtful(scope: ast.AST, literals: Mapping[str, ast.expr], functions: Sequence[Function] = ()) -> Iterator[ast.AST]:
    """Nodes of a test function that need not be run, or in which an exception need not be heard of.

    `functions`: of the test's own, which may be its decorators.
    """
    is_test = isinstance(scope, Function) and scope.name.startswith("test")
    last = scope.body[-1:] if isinstance(scope, Function) and is_test else []  # leaves nothing out
    own = computed.own_nodes(scope) if isinstance(scope, Function) else []  # what one inside returns, it goes on with
    end = {id(n) for n in ast.walk(scope.body[-1])} if isinstance(scope, Function) else set[int]()
    leaves = any((isinstance(n, _LEAVING) and n not in last) or (_ends_well(n) and id(n) not in end) for n in own)
    reversed_ = isinstance(scope, Function) and any(
        word in ast.unparse(decorator) for decorator in scope.decorator_list for word in ("expectedFailure", "xfail")
    )
    if leaves or reversed_ or _is_silenced(scope, functions):
        yield from ast.walk(scope)
    for node in ast.walk(scope):
        inner = isinstance(node, Function) and node is not scope
        idle = isinstance(node, (ast.For, ast.AsyncFor)) and not _has_rounds(node, literals)
        if isinstance(node, _DOUBTFUL) or inner or idle:
            yield from ast.walk(node)
            continue
        for part in [*_branches(node), *(node.orelse if isinstance(node, (ast.For, ast.AsyncFor)) else ())]:
            yield from ast.walk(part)


def _is_silenced(scope: ast.AST, functions: Sequence[Function]) -> bool:
    """True for a test whose decorator is a function of the test's own that may keep to itself what the test raises."""
    if not isinstance(scope, Function):
        return False
    names = {ast.unparse(d.func if isinstance(d, ast.Call) else d) for d in scope.decorator_list}
    inner = [node for function in functions if function.name in names for node in ast.walk(function)]
    return any(isinstance(node, ast.ExceptHandler) and not _is_loud(node) for node in inner)


def _is_loud(handler: ast.ExceptHandler) -> bool:
    calls = {name_of(n.func) for n in ast.walk(handler) if isinstance(n, ast.Call)}
    return not calls.isdisjoint(_FAILING) or any(isinstance(node, ast.Raise) for node in ast.walk(handler))


def heard(nodes: Sequence[ast.AST]) -> list[ast.AST]:
    """Nodes without those in which an error is expected, or is kept from whoever runs the test."""
    expecting: list[ast.AST] = []
    for node in nodes:
        if isinstance(node, ast.Call) and name_of(node.func) in asserting.RAISES:
            expecting += node.args
        elif not isinstance(node, ast.Try) or not any(map(_is_loud, node.handlers)):
            expecting += _branches(node) if not isinstance(node, ast.If) else []
    quiet = {id(part) for node in expecting for part in ast.walk(node)}
    return [node for node in nodes if id(node) not in quiet]


def unsure(scope: Sequence[ast.AST], literals: Mapping[str, ast.expr] = {}) -> list[ast.AST]:
    """What of a script need not be run, or heard of: some of its functions, and what comes after it may have ended well.

    What is called is run. What is handed over need not be, or what it raises is kept: `Thread(target=work)`, `create_task(work())`.
    `literals`: names that stand for one literal.
    """
    if len(scope) < 2:  # a runner calls a test
        return []
    loud = {id(node) for node in heard([part for statement in scope for part in ast.walk(statement)])}
    inner = {n.name: n for statement in scope for n in ast.walk(statement) if isinstance(n, Function)}
    known = {**inner, **{node.name: node for node in scope if isinstance(node, Function)}}
    own = [node for node in scope if not isinstance(node, Function)]

    def run_with(statements: list[ast.AST], parts: Callable[[ast.AST], Iterator[ast.AST]]) -> list[ast.AST]:
        left, reached, found = dict(known), list[ast.AST](), statements
        while found:
            reached += [node for each in found for node in parts(each) if id(node) in loud]
            found = [left.pop(name) for name in _run_by(reached, inner) & left.keys()]
        return reached

    run = set(map(id, run_with(own, partial(_for_sure, literals=literals))))
    idle: list[ast.AST] = [
        node for node in scope if isinstance(node, Function) and known[node.name] is node and id(node) not in run
    ]
    if not any(_ends_well(node) for statement in scope for node in ast.walk(statement)):
        return idle
    ends = (place for place, node in enumerate(own) if any(map(_ends_well, run_with([node], _at_once))))
    return [*idle, *own[next(ends, len(own)) + 1 :]]


def surely_called(test: Function, functions: Sequence[Function], literals: Mapping[str, ast.expr]) -> list[Function]:
    """The functions of a test's own that it calls in any case, and whose errors are its own."""
    named = {name_of(node.func) for node in ast.walk(test) if isinstance(node, ast.Call)}
    known = [each for each in functions if sum(other.name == each.name for other in functions) == 1]
    if named.isdisjoint(each.name for each in known) or any(
        node is test for node in doubtful(test, literals, functions)
    ):
        return []
    idle = set(map(id, unsure([*test.body, *known], literals)))
    return [each for each in known if id(each) not in idle]


def _ends_well(node: ast.AST) -> bool:
    """True for what ends a process as one that has done its work: `sys.exit()`, `raise SystemExit`."""
    if isinstance(node, ast.Raise):
        return node.exc is not None and ast.unparse(node.exc) in ("SystemExit", "SystemExit()", "SystemExit(0)")
    if not isinstance(node, ast.Call) or name_of(node.func) not in _ENDING:
        return False
    return not node.args or (isinstance(node.args[0], ast.Constant) and not node.args[0].value)


def _at_once(node: ast.AST) -> Iterator[ast.AST]:
    """What is run with a statement, or with a call of a function: not the functions in it, but what a class has by itself."""
    yield node
    for part in ast.iter_child_nodes(node):
        own = isinstance(part, Function) and isinstance(node, ast.ClassDef) and part.name.startswith("__")
        if own or not isinstance(part, (Function, ast.Lambda)):
            yield from _at_once(part)


def _for_sure(node: ast.AST, literals: Mapping[str, ast.expr]) -> Iterator[ast.AST]:
    """The same without what need not be run: branches, rounds of loops, and what a function does where it may have returned."""
    parts = [*_at_once(node)]
    left_out = [each for part in parts if isinstance(part, _CHOOSING) for each in _left_out(part, literals)]
    idle = {id(inner) for each in left_out for inner in ast.walk(each)}
    yield from (part for part in parts if id(part) not in idle)


def _left_out(node: ast.AST, literals: Mapping[str, ast.expr]) -> list[ast.AST]:
    """What is in a node, and need not be run with it."""
    if isinstance(node, Function):
        leaving = [
            place for place, part in enumerate(node.body) if any(isinstance(n, _RETURNING) for n in _at_once(part))
        ]
        return [*node.body[leaving[0] + 1 :]] if leaving else []
    if isinstance(node, (ast.If, ast.IfExp)):
        return [] if isinstance(node, ast.If) and is_guard(node) else _inside_of(node, "body", "orelse")
    if isinstance(node, (ast.For, ast.AsyncFor, ast.While)):
        sure = not isinstance(node, ast.While) and _has_rounds(node, literals)
        return _inside_of(node, "orelse") if sure else _inside_of(node, "body", "orelse")
    if isinstance(node, (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)):
        return [] if _goes_through(node, literals) else [node]
    if isinstance(node, ast.BoolOp):
        return [*node.values[1:]]
    return _inside_of(node, "cases") if isinstance(node, ast.Match) else []


def _has_rounds(loop: ast.For | ast.AsyncFor, literals: Mapping[str, ast.expr]) -> bool:
    """True if all that is in a loop is done at least once."""
    ends = any(isinstance(part, (ast.Break, ast.Continue)) for part in ast.walk(loop))
    return not ends and goes_round(loop.iter, literals)


def _inside_of(node: ast.AST, *fields: str) -> list[ast.AST]:
    found = [getattr(node, field) for field in fields]
    return [part for each in found for part in (each if isinstance(each, list) else [each])]


def _goes_through(node: ast.AST, literals: Mapping[str, ast.expr]) -> bool:
    """True if a comprehension has a first round as soon as it stands there."""
    loops: list[ast.comprehension] = getattr(node, "generators", [])
    plain = len(loops) == 1 and not loops[0].ifs and not isinstance(node, ast.GeneratorExp)
    return plain and goes_round(loops[0].iter, literals)


def _run_by(nodes: Sequence[ast.AST], functions: Mapping[str, Function]) -> set[str]:
    """The names of functions that are called: as they are, or as the elements of what a loop goes over."""
    calls = [node for node in nodes if isinstance(node, ast.Call)]
    awaited = {id(part) for node in nodes for part in _awaited(node)}
    called = {name_of(call.func) for call in calls if id(call) in awaited or not _is_async(call, functions)}
    loops = [node for node in nodes if isinstance(node, ast.For) and called & _names(node.target)]
    lists = {name for loop in loops for name in _names(loop.iter)}
    filled = [n.value for n in nodes if isinstance(n, ast.Assign) and any(name_of(t) in lists for t in n.targets)]
    return called.union(lists, *map(_names, filled))


def _is_async(call: ast.Call, functions: Mapping[str, Function]) -> bool:
    return isinstance(functions.get(name_of(call.func)), ast.AsyncFunctionDef)


def _awaited(node: ast.AST) -> list[ast.expr]:
    """What an `await`, or what starts a loop of asyncio's, waits for; an exception comes to who waits."""
    if isinstance(node, ast.Await):
        inner = node.value if isinstance(node.value, ast.Call) else None
        gathers = inner is not None and name_of(inner.func) in _WAITING and not inner.keywords
        return [node.value, *(inner.args if inner is not None and gathers else [])]
    runs = isinstance(node, ast.Call) and name_of(node.func) in ("run", "run_until_complete")
    return list(node.args) if isinstance(node, ast.Call) and runs else []


def _names(node: ast.AST) -> set[str]:
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}


def _branches(node: ast.AST) -> list[ast.AST]:
    """The statements inside of one that need not be run, or in which an exception need not be heard of."""
    if isinstance(node, ast.If):
        return [*node.body, *node.orelse]
    if isinstance(node, ast.Try) and not all(map(fails, node.handlers)):
        return [*node.body, *node.handlers, *node.orelse, *node.finalbody]
    if isinstance(node, ast.Try):
        return [*node.handlers]
    if isinstance(node, (ast.With, ast.AsyncWith)) and not all(map(_is_transparent, node.items)):
        return [*node.body]
    return []


def fails(handler: ast.ExceptHandler) -> bool:
    """True if the test fails wherever an error is caught here, so that what is tried has to succeed."""
    last = handler.body[-1]
    return (isinstance(last, ast.Raise) and last.exc is None) or complains(handler.body, True)


def goes_round(iterable: ast.expr, literals: Mapping[str, ast.expr]) -> bool:
    """True if a loop over this has a first round."""
    inner = _held_by(iterable)
    if inner is not None:
        return goes_round(inner, literals)
    if isinstance(iterable, ast.Call) and dotted(iterable.func) == "range" and not iterable.keywords:
        ends = [_number(argument, literals) for argument in iterable.args]
        whole = [end for end in ends if end is not None]
        return 0 < len(whole) == len(ends) <= 3 and 0 not in whole[2:] and bool(range(*whole))
    return bool(elements_of(iterable, literals))


def _held_by(iterable: ast.expr) -> ast.expr | None:
    """What there is something in if there is in this, if the text says so: of `sorted(rows)`, `table.values()`."""
    if not isinstance(iterable, ast.Call) or iterable.keywords:
        return None
    if isinstance(iterable.func, ast.Attribute) and iterable.func.attr in _VIEWS and not iterable.args:
        return iterable.func.value
    return iterable.args[0] if dotted(iterable.func) in _SAME and len(iterable.args) == 1 else None


def _number(node: ast.expr, literals: Mapping[str, ast.expr]) -> int | None:
    value = literals.get(node.id, node) if isinstance(node, ast.Name) else node
    sign = 1
    if isinstance(value, ast.Call) and ast.unparse(value.func) == "len" and len(value.args) == 1:
        return len(elements_of(value.args[0], literals)) or None
    if isinstance(value, ast.UnaryOp) and isinstance(value.op, ast.USub):
        value, sign = value.operand, -1
    return sign * value.value if isinstance(value, ast.Constant) and type(value.value) is int else None


def _is_transparent(item: ast.withitem) -> bool:
    """True for a context that lets exceptions through."""
    call = item.context_expr
    return isinstance(call, ast.Call) and name_of(call.func) in _TRANSPARENT


# ----------------------------------------------------------------------------------------------------------- conditions


def asserted(
    node: ast.AST, literals: Mapping[str, ast.expr], complains: bool | None
) -> Iterator[tuple[ast.expr, bool]]:
    """What has to be true where a node asserts something, or, with True beside it, must not be.

    `complains`: of an `if`, whether the test complains where its condition holds, or where it does not; None of another.
    """
    if isinstance(node, ast.Assert):
        yield from held(node.test, literals)
    elif isinstance(node, ast.If) and complains is not None:
        yield from held(node.test, literals, complains)
    elif isinstance(node, ast.Call) and node.args and name_of(node.func) in ("assertTrue", "assertFalse"):
        yield from held(node.args[0], literals, name_of(node.func) == "assertFalse")


def held(test: ast.expr, literals: Mapping[str, ast.expr], wrong: bool = False) -> Iterator[tuple[ast.expr, bool]]:
    """Of a condition that has to hold its parts that all have to; each with whether it is one that must not.

    Args:
        literals: names that stand for one literal.
        wrong: the condition itself is one that must not hold.
    """
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.Or if wrong else ast.And):
        parts, turned = test.values, wrong
    else:
        parts, turned = _inside(test, literals, wrong)
    if not parts:
        yield test, wrong
    for part in parts:
        yield from held(part, literals, turned)


def _inside(test: ast.expr, literals: Mapping[str, ast.expr], wrong: bool) -> tuple[list[ast.expr], bool]:
    """The condition that a condition stands for, if it does, and whether that one must not hold."""
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return [test.operand], not wrong
    if isinstance(test, ast.NamedExpr):
        return [test.value], wrong
    if isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.left, (ast.Compare, ast.Call)):
        other = test.comparators[0]
        is_true = isinstance(other, ast.Constant) and other.value is True and isinstance(test.ops[0], _TRUE)
        return ([test.left] if is_true and isinstance(test.left, ast.Compare) else []), wrong
    if not wrong and (compared := _element_by_element(test)):
        return compared, wrong
    if not isinstance(test, ast.Call) or len(test.args) != 1 or not isinstance(test.func, ast.Name):
        return [], wrong
    if test.func.id == "bool":
        return test.args, wrong
    return (_each(test.args[0], literals) if test.func.id == ("any" if wrong else "all") else []), wrong


def _element_by_element(test: ast.expr) -> list[ast.expr]:
    """The comparison with an array of which all has to be true: `np.all(f(x) == np.array([1, 2]))`, `(f(x) == [1, 2]).all()`.

    With less than two things in it, or a number in its place, an empty answer would be equal to anything.
    """
    if not isinstance(test, ast.Call) or not isinstance(test.func, ast.Attribute) or test.func.attr != "all":
        return []
    compared = [*test.args, test.func.value] if not test.keywords else []
    return [e for e in compared if isinstance(e, ast.Compare) and any(map(_is_array, (e.left, *e.comparators)))]


def _is_array(side: ast.expr) -> bool:
    """True for several things that are there to see."""
    value = side.args[0] if computed.is_array(side) else side
    return isinstance(value, (ast.List, ast.Tuple)) and len(value.elts) > 1


def _each(looked_at: ast.expr, literals: Mapping[str, ast.expr]) -> list[ast.expr]:
    """What `all(...)` asks of each element, if it does so of one at least and leaves none out."""
    if not isinstance(looked_at, (ast.GeneratorExp, ast.ListComp)):
        return []
    loops = looked_at.generators
    plain = len(loops) == 1 and not loops[0].ifs and not loops[0].is_async
    return [looked_at.elt] if plain and goes_round(loops[0].iter, literals) else []


# ---------------------------------------------------------------------------------------------------------- complaints

_ENDING = frozenset(("exit", "quit", "_exit"))
_FAILING = _ENDING | {"fail"}
_REFUSED = {"assertTrue": False, "assertFalse": True}  # of a constant


def complains(body: list[ast.stmt], of_program: bool) -> bool:
    """True if these statements say that a test has failed: it raises, or fails in another way.

    `of_program`: it is done for something of the program's. Else an exception has to be one that only tests raise.
    """
    last = body[-1] if body else None
    if isinstance(last, ast.Assert):
        return isinstance(last.test, ast.Constant) and not last.test.value
    if isinstance(last, ast.Raise) and last.exc is not None:
        kind = ast.unparse(last.exc.func if isinstance(last.exc, ast.Call) else last.exc)
        named = kind.rpartition(".")[2] in ("AssertionError", "failureException")
        return "skip" not in kind.lower() and not _ends_well(last) and (of_program or named)
    if isinstance(last, ast.Expr) and isinstance(last.value, ast.Call):
        call = last.value
        status = call.args[0] if call.args else None
        bad = isinstance(status, (ast.JoinedStr, ast.UnaryOp)) or (isinstance(status, ast.Constant) and status.value)
        name = name_of(call.func)
        if name in _REFUSED and isinstance(status, ast.Constant):
            return bool(status.value) is _REFUSED[name]
        return name in _FAILING and (name == "fail" or bool(bad))
    return False


def calls(node: ast.AST) -> bool:
    """True if something is called there."""
    return any(isinstance(part, ast.Call) for part in ast.walk(node))


def below(node: ast.If) -> list[ast.AST]:
    """All that is in the branches of a condition."""
    return [part for statement in (*node.body, *node.orelse) for part in ast.walk(statement)]
