"""Where the names of a test get their values, and which of them come from the program. Read from the syntax tree."""

from __future__ import annotations

import ast
import copy
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rltf_env.sandbox.referee.asserting import dotted, name_of
from rltf_env.sandbox.referee.suite import Function, classes_of


class Origins:
    """Where names of a module get their values, and which come from the program.

    Args:
        trees: of the module.
        program_names: names that come from the program; more of them are added.
        owner: the class whose tests look at the names; empty for functions, which may look at any class.

    Attributes:
        named: names that come from the program by imports, parameters, or of themselves: what it answered is not among them.
    """

    def __init__(self, trees: list[ast.Module], program_names: set[str], owner: str = "") -> None:
        self.trees, self.program_names = trees, program_names
        nodes = [node for tree in trees for node in ast.walk(tree)]
        self._note_imports(nodes)
        self._note_parameters(nodes)
        self.named = frozenset(program_names)  # whatever class looks
        self._fixtures = dict(_fixtures(nodes))
        self._headings = [_heading(node) for node in nodes if isinstance(node, ast.ClassDef)]
        self._note_values(owner)

    def of(self, owner: str) -> Origins:
        """The same for the tests of another class."""
        other = copy.copy(self)
        other.program_names = set(self.named)
        other._note_values(owner)
        return other

    def _note_values(self, owner: str) -> None:
        self.values: dict[str, list[ast.expr]] = defaultdict(list)
        self.classes = family(self.trees, owner)
        own = [node for tree in self.trees for node in tree.body if not isinstance(node, ast.ClassDef)]
        shared = [node for node in own if not isinstance(node, Function)] + self._headings
        shared += [node for each in self.classes for node in _own_statements(each)]
        self._literals = literals([*own, *self.classes, *shared], [n for node in shared for n in ast.walk(node)])
        note_values(shared, self.values, self.program_names, self._literals)

    def _note_imports(self, nodes: list[ast.AST]) -> None:
        """The program's modules, and what they have, may be imported under other names. `from total import f` binds no `total`."""
        imports = [node for node in nodes if isinstance(node, (ast.Import, ast.ImportFrom))]
        pairs = [
            (alias.name if isinstance(node, ast.Import) else node.module or "", alias.asname or alias.name)
            for node in imports
            for alias in node.names
        ]
        own = [(module.partition(".")[0], name.partition(".")[0]) for module, name in pairs]
        own = [(module, name) for module, name in own if module in self.program_names]
        self.program_names -= {module for module, _ in own}
        self.program_names |= {name for _, name in own}

    def _note_parameters(self, nodes: list[ast.AST]) -> None:
        """`check(f)` hands the program to a function of the test's own."""
        functions = {node.name: node for node in nodes if isinstance(node, Function)}
        for call in [n for n in nodes if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)]:
            function = functions.get(path_of(call.func))
            for parameter, value in zip(function.args.args if function else (), call.args, strict=False):
                if path_of(value) in self.program_names:
                    self.program_names.add(parameter.arg)

    def values_within(self, scope: Sequence[ast.AST]) -> dict[str, list[ast.expr]]:
        """What names stand for in a function, but for its parameters: a name outside that is spelled alike is another one."""
        parameters = {node.arg for part in scope for node in ast.walk(part) if isinstance(node, ast.arg)}
        return {name: values for name, values in self.values.items() if name not in parameters}

    def literals_within(self, scope: Sequence[ast.AST]) -> dict[str, ast.expr]:
        """Names that stand for one literal in a function: its own, and those of the module that it does not bind."""
        nodes = [node for part in scope for node in ast.walk(part)]
        bound = {node.id for node in nodes if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)}
        given = {node.arg for node in nodes if isinstance(node, ast.arg)}
        bound |= given
        marks = [
            name
            for node in scope
            if isinstance(node, Function)
            for d in node.decorator_list
            for name in parameters_of(d)
        ]
        fixtures = [_assigned(name, value) for name, value in self._fixtures.items() if name in given - {*marks}]
        return {k: v for k, v in self._literals.items() if k not in bound} | literals(scope, [*nodes, *fixtures])


def _fixtures(nodes: Sequence[ast.AST]) -> Iterator[tuple[str, ast.expr]]:
    """Fixtures that are made anew for each test, and do nothing but to return a literal."""
    functions = [node for node in nodes if isinstance(node, Function)]
    times = Counter(function.name for function in functions)
    for function in functions:
        own = [
            part for part in function.body if not (isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant))
        ]
        value = getattr(own[0], "value", None) if len(own) == 1 and isinstance(own[0], (ast.Return, ast.Expr)) else None
        value = value.value if isinstance(value, ast.Yield) else value
        names = [ast.unparse(decorator) for decorator in function.decorator_list]
        if names in _FIXTURE and times[function.name] == 1 and isinstance(value, _LITERALS):
            yield function.name, value


def _assigned(name: str, value: ast.expr) -> ast.Assign:
    return ast.Assign([ast.Name(name, ast.Store())], value)


_FIXTURE = (["pytest.fixture"], ["fixture"], ["pytest.fixture()"], ["fixture()"])
_LITERALS = (ast.List, ast.Tuple, ast.Set, ast.Dict, ast.Constant, ast.UnaryOp)


def literals(places: Sequence[ast.AST], assigning: Sequence[ast.AST]) -> dict[str, ast.expr]:
    """Names that stand for one literal, and are never changed.

    Args:
        places: where such a name may be changed.
        assigning: nodes, among which are the assignments.
    """
    given: dict[str, list[ast.expr]] = defaultdict(list)
    for node in assigning:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        for target in targets:
            if path_of(target) and node.value is not None:  # type: ignore[attr-defined]
                given[path_of(target)].append(node.value)  # type: ignore[attr-defined]
    known = {name: values[0] for name, values in given.items() if len(values) == 1 and isinstance(values[0], _LITERALS)}
    counts: dict[str, int] = defaultdict(int)
    for node in {id(node): node for place in places for node in ast.walk(place)}.values():  # places may overlap
        if isinstance(node, (ast.Name, ast.Attribute)) and not isinstance(node.ctx, ast.Load):
            counts[path_of(node)] += 1
        elif isinstance(node, ast.arg):
            counts[node.arg] += 1
        elif isinstance(node, ast.Attribute) and node.attr not in ("items", "keys", "values", "get"):
            counts[path_of(node.value)] += 2  # a method that may change it
        elif isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Load):
            counts[path_of(node.value)] += 2
    return {name: value for name, value in known.items() if counts[name] == 1}


def family(trees: Iterable[ast.Module], owner: str) -> list[ast.ClassDef]:
    """The classes that tests of the class `owner` have attributes of: itself, its heirs, and the bases of both. All without one."""
    classes = [node for tree in trees for _, node in classes_of(tree)]
    bases = {node.name: {name_of(base) for base in node.bases} for node in classes}
    heirs = {owner.rpartition(".")[2]}
    for _ in classes:
        heirs |= {name for name, own in bases.items() if own & heirs}
    for _ in classes:
        heirs |= {base for name in heirs for base in bases.get(name, ())}
    return [node for node in classes if not owner or node.name in heirs]


def _heading(node: ast.ClassDef) -> ast.ClassDef:
    """A class without what is in it."""
    return ast.ClassDef(node.name, node.bases, [], [], [])


_SETTING_UP = ("setUp", "setUpClass", "setup_method", "setup_class")


def _own_statements(node: ast.ClassDef) -> Iterator[ast.AST]:
    """What a class sets up for its tests. What it assigns itself, they find as attributes."""
    for part in node.body:
        if not isinstance(part, (Function, ast.ClassDef)) or getattr(part, "name", "") in _SETTING_UP:
            yield part
        elif isinstance(part, Function) and not part.name.startswith("test"):  # a fixture, perhaps
            yield from (n for n in ast.walk(part) if isinstance(n, ast.Assign) and _sets_attributes(n))
    for name, value in own_attributes(node):
        yield _attribute(("self", "cls", node.name), name, value)
    for part in [part for part in ast.walk(node) if isinstance(part, ast.Assign) and _sets_attributes(part)]:
        names = [path_of(target).partition(".")[2] for target in part.targets if path_of(target).startswith("cls.")]
        yield from (_attribute(("self", node.name), name, part.value) for name in names)


def _attribute(owners: Iterable[str], name: str, value: ast.expr) -> ast.Assign:
    return ast.Assign([ast.Attribute(ast.Name(owner, ast.Load()), name, ast.Store()) for owner in owners], value)


def own_attributes(node: ast.ClassDef) -> Iterator[tuple[str, ast.expr]]:
    """Names that a class assigns something in its own body, and what."""
    for part in node.body:
        targets = (
            part.targets if isinstance(part, ast.Assign) else [part.target] if isinstance(part, ast.AnnAssign) else []
        )
        value = getattr(part, "value", None)
        for target in targets:
            if isinstance(target, ast.Name) and value is not None:
                yield target.id, value


def _sets_attributes(node: ast.Assign) -> bool:
    return all(isinstance(target, ast.Attribute) for target in node.targets)


def note_values(
    nodes: Iterable[ast.AST],
    values: dict[str, list[ast.expr]],
    program_names: set[str],
    known: Mapping[str, ast.expr] = {},
) -> None:
    """Notes what each name is given; a name that is given something of the program's is the program's, too,
    and so is a class that comes from one of the program's.

    `known`: what names of lists stand for, which a loop may go through.
    """
    pairs = [pair for node in nodes for part in ast.walk(node) for pair in assignments(part, known)]
    for name, value in pairs:
        if value is not None:
            values[name].append(value)
    classes = [part for node in nodes for part in ast.walk(node) if isinstance(part, ast.ClassDef)]
    pairs += [(part.name, base) for part in classes for base in part.bases]
    for _ in range(3):  # a chain of assignments is seldom longer
        for name, value in pairs:
            if value is not None and is_of_program(value, program_names):
                program_names.add(name)


def assignments(node: ast.AST, known: Mapping[str, ast.expr] = {}) -> Iterator[tuple[str, ast.expr | None]]:
    """Names and what they are given, by an assignment, a loop, a `with` or a decorator with parameters."""
    if isinstance(node, ast.Assign):
        for target in node.targets:
            yield from _unpacked(target, node.value)
    elif isinstance(node, (ast.AnnAssign, ast.NamedExpr)):
        yield from _unpacked(node.target, node.value)
    elif isinstance(node, ast.AugAssign):
        yield from _unpacked(node.target, _part(node.value))
    elif isinstance(node, (ast.For, ast.AsyncFor, ast.comprehension)):
        for element in elements_of(node.iter, known) or [_part(node.iter)]:
            yield from _unpacked(node.target, element)
    elif isinstance(node, (ast.With, ast.AsyncWith)):
        for item in node.items:
            if item.optional_vars is not None:
                yield from _unpacked(item.optional_vars, item.context_expr)
    elif isinstance(node, Function):
        for decorator in node.decorator_list:
            yield from _parameters(decorator, known)


def _unpacked(target: ast.AST, value: ast.expr | None) -> Iterator[tuple[str, ast.expr | None]]:
    if isinstance(target, (ast.Tuple, ast.List)):
        shown = isinstance(value, (ast.Tuple, ast.List)) and not any(isinstance(e, ast.Starred) for e in value.elts)
        parts = value.elts if shown and isinstance(value, (ast.Tuple, ast.List)) else []
        for part, place in _places(target.elts):
            fits = isinstance(place, int) and -len(parts) <= place < len(parts)
            inner = parts[place] if isinstance(place, int) and fits else _part(value, place)
            yield from _unpacked(part.value if isinstance(part, ast.Starred) else part, inner)
    else:
        name = path_of(target)
        if name:
            yield name, value


class Item(ast.Starred):
    """What stands at a place of a value that need not be there to see."""

    def __init__(self, value: ast.expr, place: int) -> None:
        super().__init__(value, ast.Load())
        self.place = place


def _places(targets: Sequence[ast.expr]) -> Iterator[tuple[ast.expr, int | ast.Slice]]:
    """Targets of an assignment to several, and where in a row they look."""
    stars = [number for number, part in enumerate(targets) if isinstance(part, ast.Starred)]
    for number, part in enumerate(targets):
        behind = number + 1 - len(targets)
        rest = ast.Slice(ast.Constant(number), ast.Constant(behind) if behind else None)
        yield part, rest if number in stars else behind - 1 if stars and number > stars[0] else number


def _part(value: ast.expr | None, place: int | ast.Slice | None = None) -> ast.expr | None:
    """Something of a value, nobody can say what, or what stands at a place of it: marked as a starred expression."""
    if value is None or isinstance(place, int):
        return value and Item(value, place)  # type: ignore[arg-type]
    return ast.Starred(ast.Subscript(value, place, ast.Load()) if place else value, ast.Load())


def elements_of(iterable: ast.expr, known: Mapping[str, ast.expr] = {}) -> list[ast.expr]:
    """What a loop over this goes through, as far as the text says; tuples for `zip`, `enumerate` and `items`.

    `known`: what names of lists stand for.
    """
    iterable = known.get(path_of(iterable), iterable)
    if isinstance(iterable, (ast.List, ast.Tuple, ast.Set)):
        return iterable.elts
    if isinstance(iterable, ast.Dict):
        return [key for key in iterable.keys if key]
    if isinstance(iterable, ast.Call):
        name = dotted(iterable.func)
        if name == "zip":
            arguments = [a for each in iterable.args for a in _handed_over(each, known)]
            rows = zip(*(elements_of(a, known) for a in arguments), strict=False)
            return [ast.Tuple(list(row), ast.Load()) for row in rows]
        if name == "enumerate" and iterable.args:
            pairs = enumerate(elements_of(iterable.args[0], known))
            return [ast.Tuple([ast.Constant(number), each], ast.Load()) for number, each in pairs]
        if name.endswith(".items") and isinstance(iterable.func, ast.Attribute):
            inner = known.get(path_of(iterable.func.value), iterable.func.value)
            if isinstance(inner, ast.Dict):
                return [ast.Tuple([k, v], ast.Load()) for k, v in zip(inner.keys, inner.values, strict=True) if k]
        if is_set(iterable):
            return iterable.args
    return []


def _handed_over(argument: ast.expr, known: Mapping[str, ast.expr]) -> list[ast.expr]:
    return elements_of(argument.value, known) if isinstance(argument, ast.Starred) else [argument]


def is_set(row: ast.expr) -> bool:
    """True for `pytest.param(...)`; any other call, as `Case(2, 3)`, makes a parameter."""
    return isinstance(row, ast.Call) and dotted(row.func) in ("pytest.param", "param")


def _parameters(decorator: ast.expr, known: Mapping[str, ast.expr]) -> Iterator[tuple[str, ast.expr | None]]:
    """Names and values of `pytest.mark.parametrize`."""
    entries = parameters_of(decorator)
    if not entries:
        return
    (values,) = _arguments(decorator, "argnames", "argvalues")[1:]
    for row in elements_of(values, known) or [ast.Starred(values, ast.Load())]:
        parts = elements_of(row) if len(entries) > 1 or is_set(row) else [row]
        parts = parts or [Item(row, place) for place, _ in enumerate(entries)]
        if len(parts) == len(entries):
            yield from zip(entries, parts, strict=True)


def parameters_of(mark: ast.expr) -> list[str]:
    """The parameters that `pytest.mark.parametrize` gives a test; none of another mark."""
    arguments = _arguments(mark, "argnames", "argvalues")
    if len(arguments) < 2 or not ast.unparse(mark.func).endswith("parametrize"):  # type: ignore[attr-defined]
        return []
    names, entries = arguments[0], list[str]()
    if isinstance(names, ast.Constant) and isinstance(names.value, str):
        entries = names.value.split(",")
    if isinstance(names, (ast.Tuple, ast.List)):
        entries = [str(n.value) for n in names.elts if isinstance(n, ast.Constant)]
    return [name.strip() for name in entries if name.strip()]


def _arguments(call: ast.expr, *names: str) -> list[ast.expr]:
    """What a call hands over by position, and then by these names."""
    if not isinstance(call, ast.Call):
        return []
    by_name = {keyword.arg: keyword.value for keyword in call.keywords}
    return [*call.args, *(by_name[name] for name in names[len(call.args) :] if name in by_name)][: len(names)]


def request_of(function: Function) -> Iterator[tuple[str, list[ast.expr]]]:
    """What a fixture that has parameters is asked for by."""
    for decorator in function.decorator_list:
        keywords = decorator.keywords if isinstance(decorator, ast.Call) else []
        for keyword in [keyword for keyword in keywords if keyword.arg == "params"]:
            yield "request.param", [ast.Starred(keyword.value, ast.Load())]


def part_of(row: ast.expr, part: ast.AST) -> ast.expr | None:
    """What `part`, as `row["want"]`, `row[1]` or `row.want`, is of a row that is there to see; None where it does not show."""
    if isinstance(part, ast.Attribute) and isinstance(row, ast.Call):
        return next((keyword.value for keyword in row.keywords if keyword.arg == part.attr), None)
    if not isinstance(part, ast.Subscript):
        return None
    try:
        key = (
            slice(*map(_end, (part.slice.lower, part.slice.upper)))
            if isinstance(part.slice, ast.Slice)
            else _end(part.slice)
        )
    except ValueError:
        return None
    if isinstance(row, ast.Dict):
        pairs = zip(row.keys, row.values, strict=True)
        return next((v for k, v in pairs if isinstance(k, ast.Constant) and k.value == key), None)
    if not isinstance(row, (ast.Tuple, ast.List)):
        return None
    if isinstance(key, slice):
        return ast.List(row.elts[key], ast.Load()) if part.slice.step is None else None  # type: ignore[attr-defined]
    return row.elts[key] if type(key) is int and -len(row.elts) <= key < len(row.elts) else None


def _end(node: ast.expr | None) -> Any:
    return None if node is None else ast.literal_eval(node)


def path_of(node: ast.AST) -> str:
    """A name, or an attribute of one: `self.x`."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return f"{node.value.id}.{node.attr}"
    if isinstance(node, ast.Starred):
        return path_of(node.value)
    return ""


def is_of_program(value: ast.AST, program_names: set[str]) -> bool:
    """True if something of the program's has a part in this value."""
    return any(
        path_of(part) in program_names if isinstance(part, (ast.Name, ast.Attribute)) else _fetches_program(part)
        for part in ast.walk(value)
    )


_FETCHING = frozenset("__import__ import_module run_path run_module spec_from_file_location".split())


def _fetches_program(node: ast.AST) -> bool:
    """True for a call that imports or runs a module, and none of the standard library's."""
    if not isinstance(node, ast.Call) or not node.args or name_of(node.func) not in _FETCHING:
        return False
    name = node.args[0].value if isinstance(node.args[0], ast.Constant) else None
    return not (isinstance(name, str) and name.partition(".")[0] in sys.stdlib_module_names)
