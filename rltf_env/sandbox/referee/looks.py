"""What a test function looks at its names for: to compare, to say something, or to make inputs of them. Read from its syntax tree.

A program can read the names of its caller. Where one stands for nothing but an expectation, it is falsified where it gets its
value, so that whoever reads it there is told what is false.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from rltf_env.sandbox.referee import tolerance
from rltf_env.sandbox.referee.asserting import arguments_of, dotted, name_of
from rltf_env.sandbox.referee.changes import other_constant, other_subject
from rltf_env.sandbox.referee.origins import is_of_program, own_attributes, path_of
from rltf_env.sandbox.referee.suite import Function
from rltf_env.sandbox.referee.wording import caught, said, words

# These leave what they are handed as it is.
_PURE = frozenset(
    "abs all any dict float frozenset int isinstance len list max min repr round set sorted str sum tuple type".split()
)


def single_names(scope: Sequence[ast.AST]) -> set[str]:
    """Names that a test function binds in one place, and looks at in one, or only to compare and to say what was compared.

    What they stand for is nothing but an expectation.
    """
    nodes = [part for node in scope for part in ast.walk(node)]
    bound = bindings(nodes)
    looks = Counter(_loads(nodes))
    quiet = Counter(_loads(quiet_in(nodes).values()))
    return {name for name, times in bound.items() if times == 1 and looks[name] and looks[name] in (1, quiet[name])}


def made_for(sides: Sequence[ast.expr], single: set[str], nodes: Sequence[ast.AST]) -> list[ast.Call]:
    """Of sides of a comparison that are such names, the calls that made what they stand for; those of classes, if any is.

    Whatever it is, it is equal to itself: of `u == u` there are none.
    """
    if len({*map(ast.unparse, sides)}) < len(sides):
        return []
    pairs = [(node.targets, node.value) for node in nodes if isinstance(node, ast.Assign)]
    made = {path_of(targets[0]): value for targets, value in pairs if len(targets) == 1 and isinstance(value, ast.Call)}
    calls = [made[name] for name in map(path_of, sides) if name in single and name in made]
    return [call for call in calls if is_object(call)] or calls


def is_object(value: ast.expr) -> bool:
    """True for a call of what looks like a class by its name, and for a list of such objects."""
    if isinstance(value, (ast.List, ast.Tuple)):
        return any(map(is_object, value.elts))
    return isinstance(value, ast.Call) and path_of(value.func).rpartition(".")[2][:1].isupper()


def answers(values: Mapping[str, list[ast.expr]], program_names: Iterable[str]) -> set[str]:
    """Names of the program's, and of what it answered as it is: no function of the test's own made anything of it."""
    found = set(program_names)
    for _ in range(2):  # `tree = Tree()`, `top = tree.pop()`
        found |= {name for name, origins in values.items() if all(is_direct(origin, found) for origin in origins)}
    return found


def is_direct(node: ast.AST, answers: set[str]) -> bool:
    """True for what is an answer as it is, or asserts something about it: nothing is made of it but by the program."""
    asserted = getattr(node, "test", node)
    calls = [part for part in ast.walk(asserted) if isinstance(part, ast.Call)]
    calls = [call for call in calls if call is not node or not name_of(call.func).startswith("assert")]
    made = [call for call in calls if not is_of_program(call.func, answers)]
    return is_of_program(asserted, answers) and not any(is_of_program(call, answers) for call in made)


def asked(condition: ast.expr, ours: Callable[[ast.AST], bool], wrong: set[int]) -> Iterator[Any]:
    """What can be falsified of calls in a condition that ask something of an answer, and all have to be true: the answer.

    What is asked in `isinstance(f(x), Iterator)`, and what does so, are not the program's. `wrong`: ids of what must not be true.
    """
    if id(condition) in wrong:
        return
    if isinstance(condition, ast.BoolOp) and isinstance(condition.op, ast.And):
        yield from (site for part in condition.values for site in asked(part, ours, wrong))
    elif isinstance(condition, ast.Call) and condition.args and not isinstance(condition.args[0], ast.Starred):
        rest = [condition.func, *condition.args[1:], *(k.value for k in condition.keywords)]
        if isinstance(condition.args[0], (ast.GeneratorExp, ast.ListComp)) and path_of(condition.func) == "all":
            yield from asked(condition.args[0].elt, ours, wrong)
        elif ours(condition.args[0]) and not any(map(ours, rest)):
            yield condition.args[0], other_subject, False, False


class Shared:
    """What tests share: names of the module, and attributes of classes.

    Args:
        trees: of the module.
    """

    def __init__(self, trees: Sequence[ast.AST]) -> None:
        nodes = [part for tree in trees for part in ast.walk(tree)]
        quiet = quiet_in(nodes)
        loads = [n for n in nodes if isinstance(n, (ast.Name, ast.Attribute)) and isinstance(n.ctx, ast.Load)]
        seen, open_to_all = set(map(name_of, loads)), {name_of(n) for n in loads if id(n) not in quiet}
        open_to_all |= {n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)}  # `getattr`
        self._quiet = seen - open_to_all  # names, and attributes of whatever
        self._names = {name for name, times in bindings(nodes).items() if times == 1}

    def single(self, classes: Sequence[ast.ClassDef]) -> set[str]:
        """As `single_names`, of what all tests only look at to compare; of attributes, those of these classes.

        An attribute is named as tests may have it: `self.want`, `cls.want`, `TestIt.want`.
        """
        inner = [part for node in classes for part in ast.walk(node)]
        stored = Counter(n.attr for n in inner if isinstance(n, ast.Attribute) and not isinstance(n.ctx, ast.Load))
        stored += Counter(name for node in classes for name, _ in own_attributes(node))
        owners = ("self", "cls", *(node.name for node in classes))
        found = {f"{owner}.{attribute}" for attribute, times in stored.items() if times == 1 for owner in owners}
        return {name for name in self._names | found if name.rpartition(".")[2] in self._quiet}


def single_parts(scope: Sequence[ast.AST]) -> set[str]:
    """The same of parts of names, as `case["want"]` and `case.want`: nobody looks at all of `case`, and only asserts at this."""
    nodes = [part for node in scope for part in ast.walk(node)]
    parts = [
        part for part in nodes if isinstance(part, (ast.Subscript, ast.Attribute)) and isinstance(part.value, ast.Name)
    ]
    bound, looks = bindings(nodes), Counter(_loads(nodes))
    whole = looks - Counter(_loads(part.value for part in parts if is_fixed(part)))
    quiet = quiet_in(nodes)
    looked_at = {ast.unparse(part) for part in parts if id(part) not in quiet}
    alone = {ast.unparse(part) for part in parts if bound[path_of(part.value)] == 1 and not whole[path_of(part.value)]}
    return alone - looked_at


def is_fixed(part: ast.AST) -> bool:
    """True for a part of a row at a place that is there to see: `case.want`, `case["want"]`, `case[-1]`."""
    place = part.slice if isinstance(part, ast.Subscript) else None
    place = place.operand if isinstance(place, ast.UnaryOp) else place
    return isinstance(part, ast.Attribute) or isinstance(place, ast.Constant)


def _loads(nodes: Iterable[ast.AST]) -> Iterator[str]:
    return (node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load))


def quiet_in(nodes: list[ast.AST]) -> dict[int, ast.AST]:
    """The parts of a test, by their ids, that only say something, or are only compared."""
    heard = caught(nodes)
    parts = [part for node in nodes if id(node) not in heard for part in _quiet(node)]
    parts += [part for value in said(nodes) for part in ast.walk(value)]
    return {id(part): part for part in parts}


def _quiet(node: ast.AST) -> Iterator[ast.AST]:
    """What is in a node that only says something, or is only compared by it."""
    for part in words(node):
        yield from ast.walk(part)
    if isinstance(node, ast.Assert):
        yield from _compared(node.test)
    elif isinstance(node, ast.Call) and name_of(node.func).startswith("assert"):
        yield from (part for argument in node.args for part in _compared(argument))


def _compared(value: ast.AST) -> Iterator[ast.AST]:
    """The parts of a value that nobody but a pure function is handed."""
    called = dotted(value.func) if isinstance(value, ast.Call) else ""
    near = tolerance.is_approx(value) or called.rpartition(".")[2] in tolerance.NAMES
    if called and called not in _PURE and not near:
        return
    yield value
    for part in ast.iter_child_nodes(value):
        yield from _compared(part)


def maps(call: ast.Call) -> bool:
    """True for a call that has a function called for all that it is handed besides."""
    return name_of(call.func) in ("map", "starmap") and len(call.args) > 1


def inside(value: ast.expr) -> list[ast.expr]:
    """What a value is made of: not what is called, but what is handed over, and whose method it is."""
    parts = [part for part in ast.iter_child_nodes(value) if part is not getattr(value, "func", None)]
    parts = [part.value if isinstance(part, ast.keyword) else part for part in parts]
    inner = [part.iter if isinstance(part, ast.comprehension) else part for part in parts]
    owner = [value.func.value] if isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute) else []
    return [*(part for part in inner if isinstance(part, ast.expr)), *owner]


def truths(sides: list[ast.expr], sound: bool) -> list[Any]:
    """Of `f(x) is True` what it is to be. Whoever returns what stands there would not pass `f(x) is not True`, either."""
    return [(side, other_constant, sound, True) for side in sides if ast.unparse(side) in ("True", "False")]


def whole_of(argument: ast.expr) -> ast.expr:
    """What an argument hands over all of, or a piece of, as `*data[:2]` does; `row["input"]` is one thing of many."""
    if isinstance(argument, ast.NamedExpr):
        return argument.target
    while isinstance(argument, ast.Starred) or (
        isinstance(argument, ast.Subscript) and isinstance(argument.slice, ast.Slice)
    ):
        argument = argument.value
    return argument


def inputs(arguments: Sequence[ast.expr], values: Mapping[str, Sequence[ast.expr]]) -> set[str]:
    """The names of what the program is handed, of what is another name for it, and of what belongs to it (`x.foo` of `x`)."""
    found = set(map(path_of, map(whole_of, arguments)))
    handed = {id(origin) for name in found for origin in values.get(name, ())}
    found |= {name for name, origins in values.items() if any(id(o) in handed for o in origins)}
    return found | {name for name in values if name.partition(".")[0] in found - {"self", "cls"}}


def is_pure(value: ast.expr, values: Mapping[str, Sequence[ast.expr]], inputs: set[str]) -> bool:
    """True if none of these names, of which inputs are made, has a part in a value."""
    called = {id(part) for call in ast.walk(value) if isinstance(call, ast.Call) for part in ast.walk(call.func)}
    parts = [part for part in ast.walk(value) if id(part) not in called and isinstance(part, (ast.Name, ast.Attribute))]
    return sources(parts, values).isdisjoint(inputs)


def sources(inputs: Iterable[ast.expr], values: Mapping[str, Sequence[ast.expr]]) -> set[str]:
    """The names that inputs are made of."""
    found: set[str] = set()
    todo = list(inputs)
    while todo:
        new = {path_of(part) for part in ast.walk(todo.pop()) if path_of(part)} - found
        found |= new
        todo += [value for name in new for value in values.get(name, ())]
    return found


def binders(scope: Sequence[ast.AST]) -> dict[str, ast.AST]:
    """What binds names of a test function that nothing else binds: loops, itself, and `x, y = pair`."""
    nodes = [part for node in scope for part in ast.walk(node)]
    bound = bindings(nodes)
    found: dict[str, ast.AST] = {}
    for node in nodes:
        if isinstance(node, ast.For) or (isinstance(node, ast.Assign) and isinstance(node.targets[-1], ast.Tuple)):
            target = node.target if isinstance(node, ast.For) else node.targets[0]
            found |= {part.id: node for part in ast.walk(target) if isinstance(part, ast.Name) and bound[part.id] == 1}
        elif node in scope and isinstance(node, Function):
            found |= {part.arg: node for part in node.args.args if bound[part.arg] == 1}
    return found


def bindings(nodes: Iterable[ast.AST]) -> Counter[str]:
    """How often each name is bound; one that is looked at where it is bound, twice."""
    bound: Counter[str] = Counter()
    for node in nodes:
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            bound[node.id] += 1
        elif isinstance(node, ast.arg):
            bound[node.arg] += 1
        elif isinstance(node, ast.NamedExpr):
            bound[node.target.id] += 1
    return bound


def settled(nodes: Sequence[ast.AST], values: Mapping[str, Sequence[ast.expr]]) -> set[str]:
    """Names that are bound in one place, or by several loops to the same: `[f(x) for x, y in rows] == [y for x, y in rows]`."""
    bound = bindings(nodes)
    loops = [node for node in nodes if isinstance(node, (ast.For, ast.comprehension))]
    looped = Counter(n.id for loop in loops for n in ast.walk(loop.target) if isinstance(n, ast.Name))
    several = [name for name, times in bound.items() if 1 < times == looped[name]]
    for name in several:
        texts = [ast.unparse(value) for value in values.get(name, ())]
        if texts != texts[: len(texts) // bound[name]] * bound[name]:
            bound[name] = 0
    return {name for name, times in bound.items() if times == 1 or (name in several and times)}


def comparisons(test: ast.expr, uses: Callable[[ast.AST], bool], ours: Callable[[ast.AST], bool]) -> list[ast.Compare]:
    """Those in a condition. What compares nothing of the program's, and is handed to it, is input: `f(lambda x: x == 0)`.

    Args:
        test: the condition.
        uses: says of a node whether it calls the program.
        ours: says of a node whether the program has a part in it.
    """
    calls = [node for node in ast.walk(test) if isinstance(node, ast.Call) and uses(node)]
    arguments = [arg for call in calls for arg in arguments_of(call)]
    handed = {id(part) for arg in arguments for part in ast.walk(arg)}
    return [n for n in ast.walk(test) if isinstance(n, ast.Compare) and (id(n) not in handed or ours(n))]
