"""Scripts and checkers that run what a program answered. Read from the syntax tree; nothing runs here.

`assert eval(solve([4, 7, 8, 8])) == 24` evaluates a text of the program's. On the trusted side that text would run beside
the answers, outside the cage. So a script that may do so is judged together with the program, inside the cage, and a
checker that may do so is refused. A text that comes from the test itself may be evaluated anywhere.
"""

from __future__ import annotations

import ast
import contextlib
import sys
from collections.abc import Callable, Collection, Iterable, Iterator

_RUNNING = frozenset("eval exec compile __import__ open breakpoint".split())
_NAMING = frozenset(("getattr", "setattr", "delattr"))  # by what comes after the first argument
# Modules that only compute with what they are handed. Others may run it, import it, open it or store it.
_COMPUTING = frozenset(
    "__future__ abc array ast asyncio base64 binascii bisect calendar cmath collections colorsys concurrent "
    "contextlib copy csv dataclasses datetime decimal difflib enum fnmatch fractions functools graphlib hashlib heapq hmac "
    "html inspect io ipaddress itertools json keyword locale math ntpath numbers operator os.path posixpath pprint queue "
    "random re reprlib secrets shlex stat statistics string struct sys textwrap threading time tomllib traceback types "
    "typing unicodedata unittest urllib.parse uuid warnings weakref zlib".split()
)
# Others do so only by these names: where a test has none of them, they compute.
_BY_NAME = {
    module: frozenset(names.split())
    for module, names in {
        "argparse": "FileType fromfile_prefix_chars",
        "bz2": "BZ2File",
        "codecs": "EncodedFile",
        "email": "policy",
        "gzip": "GzipFile",
        "logging": "FileHandler WatchedFileHandler config handlers filename",
        "lzma": "LZMAFile",
        "marshal": "load loads",
        "pathlib": "chmod exists expanduser glob group hardlink_to is_dir is_file iterdir lchmod link_to lstat mkdir owner "
        "read_bytes read_text readlink rename replace resolve rglob rmdir samefile stat symlink_to touch unlink walk "
        "write_bytes write_text",
        "pickle": "Unpickler load loads",
        "timeit": "Timer main repeat timeit",
        "tokenize": "",
        "xml": "ElementTree XInclude dom expat iterparse parse sax",
    }.items()
}
_HARMLESS = frozenset(  # in `os`
    "path sep linesep extsep pathsep curdir pardir environ getenv fspath cpu_count name".split()
)
_EXCEPTIONS = frozenset(  # in these modules
    "open open_code eval exec compile FunctionType CodeType create_subprocess_shell create_subprocess_exec".split()
)
_TEXTS = ("eval", "exec")  # what they come to may be the program's, too


def running(trees: Iterable[ast.AST], foreign: Collection[str]) -> ast.AST | None:
    """Where a test may run, import or open what a program answered; None if it does not.

    Args:
        trees: the test.
        foreign: names of the program's: its functions and classes; or what a checker is handed.
    """
    nodes = [node for tree in trees for node in ast.walk(tree)]
    stars, modules, powers = _imports(nodes)
    powers -= set(foreign)
    if stars or not any(map(_calls_by(powers), nodes)):
        return stars[0] if stars else None
    stores = _only_stores(nodes, powers)
    if not stores:
        _add_made(nodes, powers)
    answers = _answers(nodes, set(foreign) | {*_TEXTS}, modules)
    calls = [node for node in nodes if isinstance(node, ast.Call)]
    named = {id(call.func) for call in calls}
    named |= {id(each) for call in calls if _root(call.func) in foreign for each in call.args}  # which cannot cross
    plain = powers & (_RUNNING | _NAMING)
    for node in nodes:
        of_file = stores and isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        if isinstance(node, ast.Call) and not of_file and _runs(node, powers, answers, modules):
            return node
        if isinstance(node, ast.Name) and node.id in plain and id(node) not in named:
            return node  # it goes under another name, or is handed over
    return None


def place_in_checker(tree: ast.Module) -> ast.AST | None:
    """Where a checker may run, import or open what a program answered; None if it does not.

    A checker may have the text of another one, which reads the answer from what it is given for files (`open`, `sys`, `input`).
    """
    place = running([tree], _answer_of(tree))
    for node in tree.body:
        text = node.value.value if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) else None
        if place is None and isinstance(text, str) and "\n" in text:
            with contextlib.suppress(SyntaxError, ValueError, RecursionError):  # then it is no program
                place = running([ast.parse(text)], {"open", "sys", "input"}) and node
    return place


def words_of(place: ast.AST) -> str:
    """What it is there that may run an answer."""
    node = place.func if isinstance(place, ast.Call) else place
    return f"{ast.unparse(node)[:40]} (line {getattr(place, 'lineno', 1)})"


def _answer_of(checker: ast.Module) -> set[str]:
    """The names under which a checker has what a program answered: the third parameter of `check`."""
    functions = [node for node in checker.body if isinstance(node, ast.FunctionDef) and node.name == "check"]
    if len(functions) == 1 and len(functions[0].args.args) > 2:
        return {functions[0].args.args[2].arg}
    return {node.arg for node in ast.walk(checker) if isinstance(node, ast.arg)}


def _imports(nodes: list[ast.AST]) -> tuple[list[ast.AST], set[str], set[str]]:
    """Imports of all that a module has, if that may run something; names that are imported; names that can run something."""
    stars: list[ast.AST] = []
    names, powers, named = {"__builtins__"}, {*_RUNNING, *_NAMING}, _named(nodes)
    for node in nodes:
        if not isinstance(node, (ast.Import, ast.ImportFrom)):
            continue
        for alias in node.names:
            name = (alias.asname or alias.name).partition(".")[0]
            names.add(name)
            module = (node.module or "") if isinstance(node, ast.ImportFrom) else alias.name
            harmless = _is_harmless(node, alias, named) or not _taken(nodes, name) - _parts(module)
            if name == "*" and not harmless:
                stars.append(node)
            elif not harmless or (isinstance(node, ast.ImportFrom) and alias.name in _EXCEPTIONS):
                powers.add(name)
    return stars, names, powers


def _named(nodes: list[ast.AST]) -> set[str]:
    """All names in a test of what something else has: attributes, imported names, arguments by name; and short texts."""
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Attribute):
            names.add(node.attr)
        elif isinstance(node, ast.Import):
            names |= {part for alias in node.names for part in alias.name.split(".")[1:]}
        elif isinstance(node, ast.ImportFrom):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.keyword):
            names.add(node.arg or "")
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names.add(node.value)
    return names


def _is_harmless(node: ast.Import | ast.ImportFrom, alias: ast.alias, named: set[str]) -> bool:
    """True if what is imported only computes, whatever a test takes out of it."""
    if isinstance(node, ast.Import):
        return _computes(alias.name if alias.asname else alias.name.partition(".")[0], named)
    module = node.module or ""
    if alias.name == "*" and module.partition(".")[0] in _BY_NAME:
        return False
    return (
        node.level > 0
        or _computes(module, named)
        or f"{module}.{alias.name}" in _COMPUTING
        or (module == "os" and alias.name in _HARMLESS)
    )


def _parts(module: str) -> frozenset[str]:
    """What a module has that only computes, where it also has more."""
    top, _, rest = module.partition(".")
    return _HARMLESS if top == "os" else frozenset({rest}) if module in _COMPUTING else frozenset()


def _taken(nodes: list[ast.AST], name: str) -> set[str]:
    """What a test takes out of a module that it has under a name; "" where it does something else."""
    attributes = [node for node in nodes if isinstance(node, ast.Attribute)]
    taken = {id(node.value): node.attr for node in attributes if isinstance(node.value, ast.Name)}
    return {taken.get(id(node), "") for node in nodes if isinstance(node, ast.Name) and node.id == name} or {""}


def _calls_by(powers: set[str]) -> Callable[[ast.AST], bool]:
    """Says of a node whether it names what can run something."""
    return lambda node: (
        (isinstance(node, ast.Name) and node.id in powers)
        or (isinstance(node, ast.Attribute) and node.attr in _EXCEPTIONS)
    )


def _only_stores(nodes: list[ast.AST], powers: set[str]) -> bool:
    """True for a test that can do nothing but open files: what it writes there nobody runs."""
    tops = {alias.name.partition(".")[0] for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    tops |= {(node.module or "").partition(".")[0] for node in nodes if isinstance(node, ast.ImportFrom)}
    used = {node.id for node in nodes if isinstance(node, ast.Name)} & powers
    by_method = any(isinstance(node, ast.Attribute) and node.attr in _EXCEPTIONS for node in nodes)
    return used <= {"open"} and not by_method and tops <= sys.stdlib_module_names


def _add_made(nodes: list[ast.AST], powers: set[str]) -> None:
    """Adds what such a module made, which may do the same, and what is taken out of it: a connection, a path, `os.system`."""
    pairs = [pair for node in nodes for pair in _bindings(node)]
    for _ in range(3):
        for target, value in pairs:
            if isinstance(value, (ast.Call, ast.Attribute, ast.Name)) and _root(value) in powers - _NAMING - set(
                _TEXTS
            ):
                powers |= set(_stored(target))


def _computes(module: str, named: set[str]) -> bool:
    """True for a module that only computes, and for what is no module of Python's: there the program is found.

    `named`: names that the test has.
    """
    top = module.partition(".")[0]
    if top in _BY_NAME:
        return not named & (_BY_NAME[top] | {"open"})
    return top in _COMPUTING or module in _COMPUTING or top not in sys.stdlib_module_names


def _runs(call: ast.Call, powers: set[str], answers: set[str], modules: set[str]) -> bool:
    """True if a call may run something that a program answered."""
    name = _root(call.func)
    arguments = [*call.args, *(keyword.value for keyword in call.keywords)]
    if any(isinstance(each, ast.Attribute) and _root(each) in powers for each in arguments):  # `map(os.system, x)`
        return any(_mentions(each, answers) for each in arguments)
    by_method = isinstance(call.func, ast.Attribute) and call.func.attr in _EXCEPTIONS and name in modules
    if name not in powers and not by_method:
        return False
    if name in _NAMING and isinstance(call.func, ast.Name):
        arguments = arguments[1:]
    elif name in _RUNNING:
        arguments = arguments[:1]  # names to run it with come behind
    return any(_mentions(each, answers) for each in arguments)


def _answers(nodes: list[ast.AST], foreign: set[str], modules: set[str]) -> set[str]:
    """Names that may stand for something of the program's: whatever is bound where such a name is mentioned."""
    names, before = foreign, 0
    pairs = [pair for node in nodes for pair in _bindings(node)]
    functions = [*_functions(nodes)]
    calls = [node for node in nodes if isinstance(node, ast.Call)]
    while before != len(names):
        before = len(names)
        for target, value in pairs:
            if _mentions(value, names):
                names |= set(_stored(target))
        names |= {name for name, function in functions if _mentions(function, names)}
        for call in calls:
            if any(_mentions(each, names) for each in (*call.args, *(keyword.value for keyword in call.keywords))):
                names |= _receivers(call, functions) - modules
    return names


def _functions(nodes: list[ast.AST]) -> Iterator[tuple[str, ast.AST]]:
    """The test's own functions and classes, by name."""
    for node in nodes:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name, node
        for target, value in _bindings(node) if isinstance(node, (ast.Assign, ast.NamedExpr)) else ():
            if isinstance(value, ast.Lambda):
                yield from ((name, value) for name in _stored(target))


def _receivers(call: ast.Call, functions: list[tuple[str, ast.AST]]) -> set[str]:
    """What a call may hand its arguments to: parameters of the test's own functions, an object whose method it is."""
    names: set[str] = set()
    called = call.func.attr if isinstance(call.func, ast.Attribute) else _root(call.func)
    for name, function in functions:
        if name == called or isinstance(function, ast.ClassDef) or _mentions(call, {name}):
            names |= {part.arg for part in ast.walk(function) if isinstance(part, ast.arg)} - {"self"}
    for each in (*call.args, *(keyword.value for keyword in call.keywords)):
        names |= {part.arg for part in ast.walk(each) if isinstance(part, ast.arg)}  # of a lambda beside them
    if isinstance(call.func, ast.Attribute):
        names.add(_root(call.func.value))
    return names - {""}


def _bindings(node: ast.AST) -> Iterator[tuple[ast.AST, ast.AST]]:
    """Targets, and what they are given: by assignments, loops, contexts and handlers."""
    if isinstance(node, ast.Assign):
        yield from ((target, node.value) for target in node.targets)
    elif isinstance(node, (ast.AnnAssign, ast.AugAssign, ast.NamedExpr)):
        if node.value is not None:
            yield node.target, node.value
    elif isinstance(node, (ast.For, ast.AsyncFor, ast.comprehension)):
        yield node.target, node.iter
    elif isinstance(node, ast.withitem):
        if node.optional_vars is not None:
            yield node.optional_vars, node.context_expr
    elif isinstance(node, ast.Try):
        yield from ((handler, part) for handler in node.handlers for part in node.body)
    elif isinstance(node, ast.Match):
        yield from ((case.pattern, node.subject) for case in node.cases)


def _stored(target: ast.AST) -> Iterator[str]:
    """The names of a target: of a part, that of the whole."""
    if isinstance(target, ast.ExceptHandler):
        yield from [target.name] if target.name else []
        return
    for node in ast.walk(target):
        if isinstance(node, ast.Name) and (isinstance(node.ctx, ast.Store) or node is _base(target)):
            yield node.id
        elif isinstance(node, (ast.MatchAs, ast.MatchStar)) and node.name:
            yield node.name


def _base(node: ast.AST) -> ast.AST:
    while isinstance(node, (ast.Attribute, ast.Subscript, ast.Starred, ast.Call)):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node


def _root(node: ast.AST) -> str:
    """The name that an expression begins with: `os` of `os.path.join`."""
    base = _base(node)
    return base.id if isinstance(base, ast.Name) else ""


def _mentions(node: ast.AST, names: Collection[str]) -> bool:
    return any(isinstance(part, ast.Name) and part.id in names for part in ast.walk(node))
