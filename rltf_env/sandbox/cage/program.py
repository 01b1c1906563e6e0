"""The only code that runs beside an untrusted program. Standard library only.

The program sees inputs, never answers. What it prints goes to descriptor 1. What its functions return leaves as JSON text
(`dump`), one line for each operation that a test asks for, on descriptor 3. The trusted side reads both when the process is
dead; whatever a program does to this code, it can only harm its own results.
"""

# pyright: reportPossiblyUnboundVariable=false, reportOptionalMemberAccess=false
# (modules that some platforms lack are used only where the layers that need them are)
from __future__ import annotations

import errno
import gc
import json
import marshal
import os
import sys
import time
from types import ModuleType
from typing import Any, NoReturn

try:
    import resource
except ImportError:  # not on Windows, where `per_case` does without
    resource = None  # type: ignore[assignment]

from rltf_env.sandbox.cage import stack, streams
from rltf_env.sandbox.cage.purity import finishes_late, leavings, mentions
from rltf_env.sandbox.cage.seeds import seed
from rltf_env.sandbox.cage.trace import trace_lines
from rltf_env.sandbox.values import FILENAME, MESSAGE, Unrepresentable, decode, dump, quote, type_name

RESULT = 3
DEPTH = 1000  # frames that a program may have, as at Python's start, wherever it is compiled and run


def describe(error: BaseException, _type=type, mro=type.__dict__["__mro__"].__get__) -> dict[str, Any]:
    """An exception as data: class, built-in ancestors, the line of the last frame inside the program, message."""
    cls = _type(error)
    line, trace = None, BaseException.__dict__["__traceback__"].__get__(error)
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == FILENAME and trace.tb_lineno is not None:
            line = trace.tb_lineno
        trace = trace.tb_next
    builtin = [base for base in mro(cls) if _BUILTIN.get(type_name(base)) is base]
    record: dict[str, Any] = {
        "kind": type_name(cls),
        "own": _BUILTIN.get(type_name(cls)) is cls,
        "bases": [type_name(base) for base in builtin if base is not cls],
        "line": line,
    }
    try:
        record["message"] = str(error)[:MESSAGE]
    except BaseException:  # the program's own __str__ may do anything
        record["message"] = ""
    if isinstance(error, OSError):
        record["errno"] = OSError.__dict__["errno"].__get__(error)
    return record


_BUILTIN = {
    name: value
    for name, value in vars(__import__("builtins")).items()
    if isinstance(value, type) and issubclass(value, BaseException)
}


def compile_program(source: str) -> Any:
    """The program's code, or a dictionary that describes why it has none."""
    text = source[1:] if source.startswith("\ufeff") else source
    limit = sys.getrecursionlimit()
    try:
        sys.setrecursionlimit(DEPTH + depth())
        return compile(text, FILENAME, "exec", dont_inherit=True, optimize=0)
    except SyntaxError as error:
        record = describe(error)
        record.update(line=error.lineno, offset=error.offset)
    except (ValueError, UnicodeError, MemoryError, RecursionError, OverflowError) as error:
        record = describe(error)
        bad = next((i for i, c in enumerate(text) if c == "\0" or "\ud800" <= c <= "\udfff"), None)
        record.update(line=None if bad is None else text.count("\n", 0, bad) + 1, offset=None)
    finally:
        sys.setrecursionlimit(limit)
    return record


def depth() -> int:
    """Frames below the caller's."""
    frame, depth = sys._getframe(1).f_back, 0
    while frame is not None:
        frame, depth = frame.f_back, depth + 1
    return depth


def code_of(program: str | bytes) -> Any:
    """The same for a program that may have been compiled already."""
    return marshal.loads(program) if isinstance(program, bytes) else compile_program(program)


def warm_up() -> None:
    """Does once what is slow the first time in a process, so that forks inherit it; and what `site` would have done."""
    import _sitebuiltins
    import builtins

    stack.small_threads()
    builtins.exit, builtins.quit = (_sitebuiltins.Quitter(name, "Ctrl-D (i.e. EOF)") for name in ("exit", "quit"))  # type: ignore[assignment]
    source = (
        "def f(x: int) -> int:\n    return [y for y in (x, 1) if y]\nclass C:\n    @property\n    def p(self): pass\n"
    )
    exec(compile_program(source + "assert f'{f(1)}' and (lambda: 0)() == 0\n"), {"__name__": "warm"})
    compile_program("def f(:\n")
    json.dumps(failure_record(ValueError("warm")))
    dump({"v": [1, "a", None, 1.5, (2,)]})


def unpacked(data: bytes | memoryview) -> Any:
    """What the trusted side sends into the cage, where nothing but C code reads it: quicker than JSON in a fresh process."""
    return marshal.loads(data)


_set_limit, _limit = sys.setrecursionlimit, sys.getrecursionlimit
_own_frames = [0]  # frames below the program's, which it knows nothing of
_MOST_FRAMES = (1 << 31) - 1  # an int of C


def hide_own_frames() -> None:
    """Has the program's recursion limit counted from its own first frame on, as in a process of its own."""

    def getrecursionlimit() -> int:
        return _limit() - _own_frames[0]

    def setrecursionlimit(limit: int, /) -> None:
        more = isinstance(limit, int) and 0 < limit <= _MOST_FRAMES
        _set_limit(min(limit + _own_frames[0], _MOST_FRAMES) if more else limit)

    sys.getrecursionlimit, sys.setrecursionlimit = getrecursionlimit, setrecursionlimit


class _Session:
    """The program's side of a conversation with a test: named things are fetched, called, read, and results reported."""

    def __init__(self, namespace: dict[str, Any]) -> None:
        self.namespace = namespace
        self.held: list[Any] = []

    def perform(self, op: Any) -> str:
        """Does one operation and says what came of it, as JSON.

        Operations are `("name", text)` and `(verb, number of the result it is done to, plain, values, watch)`. Values are
        themselves if `plain`, else trees that may refer to earlier results. `watch`: say what a call did to its arguments.
        """
        try:
            if op[0] == "name":
                value = self._name(op[1])
            else:
                verb, target, plain, values, watch = op
                if not plain:
                    values = [decode(tree, self.held.__getitem__) for tree in values]
                value = _VERBS[verb](self.held[target], *values)
        except _Missing:
            self.held.append(None)
            return '{"m": 1}'
        except BaseException as error:
            self.held.append(None)
            return json.dumps(failure_record(error))
        self.held.append(value)
        if type(value) is _FunctionType and op[0] == "name":  # nearly always: not by way of an exception
            return f'{{"h": {len(self.held) - 1}, "kind": "function"}}'
        after = f', "a": {self._after(values)}' if op[0] == "call" and watch else ""
        try:
            return f'{{"v": {dump(value, self._ref)}{after}}}'
        except Unrepresentable:
            kind = quote(str(type_name(type(value))))
            return f'{{"h": {len(self.held) - 1}, "kind": {kind}{after}}}'
        except RecursionError:
            return '{"u": "nested too deeply"}'

    def _after(self, values: list[Any]) -> str:
        try:
            return dump(values[0], self._ref)
        except (Unrepresentable, RecursionError):
            return "null"

    def _ref(self, value: Any) -> Any:
        for index, held in enumerate(self.held[:-1]):
            if held is value:
                return index
        return None

    def _name(self, path: str) -> Any:
        """The thing of this name; "Solution.f" is a method of a fresh Solution, and either stands in for a missing other."""
        first, _, method = path.partition(".")
        found = self.namespace.get(first, _Missing)
        if method:
            if found is not _Missing:
                return getattr(found(), method)
            found = self.namespace.get(method, _Missing)
        elif found is _Missing and "Solution" in self.namespace and hasattr(self.namespace["Solution"], first):
            return getattr(self.namespace["Solution"](), first)
        if found is _Missing:
            raise _Missing
        return found


class _Missing(Exception):
    """The program defines no such name."""


_FunctionType = type(lambda: 0)


def failure_record(error: BaseException) -> dict[str, Any]:
    if isinstance(error, SystemExit):
        return {"x": _exit_status(error), **describe(error)}
    record = describe(error)
    if limit := _limit_of(error):
        record["limit"] = limit
    return {"e": record}


def _exit_status(error: SystemExit) -> int:
    code = error.code
    return 0 if code is None else code if type(code) is int else 1


def _limit_of(error: BaseException) -> str:
    """What is missing if nothing more can be started, which is then what this error was about; told by trying, not by its text.

    "memory" if a thread can be started with a small stack, and not with one as large as the program asks for.
    """
    if type(error) is not RuntimeError and not (isinstance(error, OSError) and error.errno == errno.EAGAIN):
        return ""
    size = _stack_size()
    try:
        _stack_size(size + size // 64 // _PAGE * _PAGE)  # what was missing may have been little
        _start_new_thread(int, ())
        return ""
    except RuntimeError:
        pass
    finally:
        _stack_size(size)
    try:
        _stack_size(_SMALL_STACK)
        _start_new_thread(int, ())
        return "memory"
    except RuntimeError:
        return "processes"
    finally:
        _stack_size(size)


_start_new_thread, _stack_size = (getattr(__import__("_thread"), name) for name in ("start_new_thread", "stack_size"))
_SMALL_STACK, _PAGE = 1 << 16, 1 << 12  # bytes


def _get_item(value: Any, key: Any) -> Any:
    return value[key]


def _set_item(value: Any, key: Any, item: Any) -> None:
    value[key] = item


_VERBS: dict[str, Any] = {
    "call": lambda f, args, kwargs: f(*args, **kwargs),
    "get": getattr,
    "set": setattr,
    "item": _get_item,
    "put": _set_item,
    "len": len,
    "list": list,
    "str": str,
    "repr": repr,
    "next": next,
    "bool": bool,
    "int": int,
    "float": float,
    "in": lambda value, item: item in value,
    "isinstance": lambda kind, value: isinstance(value, kind),
}


def write_line(text: str, write: Any = os.write) -> None:
    data = text.encode() + b"\n"
    while data:
        data = data[write(RESULT, data) :]


def rehearse(times: int) -> None:
    """Does to a small program what is done to every one, so often that the interpreter settles on how to do it."""
    source = "def f(x: int, y: str) -> int:\n    return [y for y in (x, 1) if y]\n"
    values = [[["t", 1]], 1, "a", [1, "a", None, True, 1.5], (1, "b"), {"a": 1}]
    ops = [("name", "f"), *[("call", 0, True, [[value, "x"], {}], 0) for value in values]]
    request = marshal.dumps((marshal.dumps(compile_program(source)), marshal.dumps([("", ops)]), False))
    for _ in range(times):
        program, cases, _ = unpacked(request)
        ((_, operations),) = unpacked(cases)
        _run(code_of(program), operations, lambda text: text.encode() + b"\n")
    del sys.modules["program"]


def run_case(code: Any, ops: Any, seen: Any = None) -> NoReturn:
    """Runs one case of a compiled program in this process, which it ends.

    Args:
        ops: what a test asks of the program's names; None for a program that is run for what it prints.
        seen: has a byte for each line, to be set when it runs.
    """
    emit, exit = write_line, os._exit
    sys.set_int_max_str_digits(0)  # a program's time is limited anyway
    if seen is not None:
        trace_lines(seen)
    exit(_run(code, ops, emit) & 0xFF)


def _run(code: Any, ops: Any, emit: Any) -> int:
    """One case in a namespace of its own. Returns the exit status."""
    name = "__main__" if ops is None else "program"
    module = ModuleType(name)
    module.__dict__.update(__builtins__=__builtins__, __file__="program.py")
    sys.modules[name] = module
    _own_frames[0] = depth() + 3  # between the bottom and a function that a test calls
    _set_limit(DEPTH + _own_frames[0])
    late, status = finishes_late(code), 0
    try:
        exec(code, module.__dict__)
        emit('{"ok": 1}')
        if ops is not None:
            session = _Session(module.__dict__)
            for op in ops:
                emit(session.perform(op))
    except BaseException as error:
        record = failure_record(error)
        status = record.get("x", 1)
        emit(json.dumps(record))
    if ops is not None:
        flush()
        return 0
    return _finish(module, emit, late) or status


def run_batch(code: Any, cases: Any, budget: float, seen: Any = None) -> NoReturn:
    """Runs all cases of a pure program in this process, each in a namespace of its own, until `budget` seconds are used up.

    After each case its number, the length of the output so far, the CPU time and the exit status are added to the results.
    """
    emit, exit, fstat, clock, dup2 = (
        write_line,
        os._exit,
        os.fstat,
        time.thread_time,
        os.dup2,
    )  # a process's clock is coarse under RLIMIT_CPU
    sys.set_int_max_str_digits(0)
    stdin, stdout = os.dup(0), os.dup(1)
    late, sweep, renew = finishes_late(code), leavings(code), streams.maker(mentions(code, "stderr"))
    if seen is not None:
        trace_lines(seen)
    before = clock()
    for number, (text, ops) in enumerate(cases):
        if number:
            dup2(stdin, 0)
            dup2(stdout, 1)
            renew()
            sys.set_int_max_str_digits(0)
            seed()
        streams.give(text)
        status = _run(code, ops, emit)
        size = fstat(1).st_size
        if ops is not None:
            sys.modules.pop("program").__dict__.clear()  # functions and the names around them hold each other
        for clean in sweep:
            clean()
        if ops is not None and late:
            flush()
            streams.cut(size)
        after = clock()
        emit(f'{{"case": {number}, "out": {size}, "cpu": {after - before:.6f}, "status": {status}}}')
        before = after
        if after > budget:
            break
    exit(0)


def flush() -> None:
    for stream in (sys.stdout, sys.__stdout__):
        try:
            stream.flush()  # type: ignore[union-attr]
        except BaseException:
            pass


def _finish(module: ModuleType, emit: Any, late: bool) -> int:
    """What the interpreter does at its end: threads are joined, exit functions called, what the program holds is dropped.

    What holds itself is dropped too, where the program could notice (`late`).
    """
    threading = sys.modules.get("threading")
    atexit = sys.modules.get("atexit")
    status = 0
    try:
        if threading:
            threading._shutdown()  # type: ignore[attr-defined]
        if atexit:
            atexit._run_exitfuncs()
    except BaseException as error:
        emit(json.dumps(failure_record(error)))
        status = 1
    flush()
    try:
        module.__dict__.clear()
        if late:
            gc.collect()
    except BaseException:
        pass
    flush()
    return status


# ------------------------------------------------------------------------------------------------------------ limits


def limits(options: dict[str, Any]) -> list[tuple[int, tuple[int, int]]]:
    """Limits that every program gets for itself."""
    try:
        with open("/proc/self/statm") as file:
            own = int(file.read().split()[0]) * resource.getpagesize()
    except OSError:
        own = 64 << 20
    memory, seconds = own + options["memory_mb"] * (1 << 20), int(1.25 * options["case_seconds"] + 0.1) + 2
    size = max(options["output_bytes"], options["file_bytes"]) + 1
    return [
        (resource.RLIMIT_AS, (memory, memory)),
        (resource.RLIMIT_FSIZE, (size, size)),
        (resource.RLIMIT_CPU, (seconds, seconds + 1)),
    ]
