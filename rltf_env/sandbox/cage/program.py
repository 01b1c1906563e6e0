"""The only code that runs beside an untrusted program. Standard library only.

The program sees inputs, never answers. What it prints goes to descriptor 1. What its functions return leaves as JSON text
(`dump`), one line for each operation that a test asks for, on descriptor 3. The trusted side reads both when the process is
dead; whatever a program does to this code, it can only harm its own results.
"""

# pyright: reportPossiblyUnboundVariable=false, reportOptionalMemberAccess=false
# (modules that some platforms lack are used only where the layers that need them are)
from __future__ import annotations

import gc
import json
import marshal
import os
import sys
import time
import weakref
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, NoReturn

try:
    import resource
except ImportError:  # not on Windows, where `per_case` does without
    resource = None  # type: ignore[assignment]

from rltf_env.sandbox.cage import purity, stack, streams
from rltf_env.sandbox.cage.seeds import seed
from rltf_env.sandbox.cage.session import Session, describe, failure_record
from rltf_env.sandbox.cage.trace import Lines
from rltf_env.sandbox.values import FILENAME, dump

RESULT = 3
ASK, TELL = 4, 5  # pipes that a live program has besides: operations come, and what came of each goes
LIVE = "live"  # in place of the operations of a case: they come one at a time
DEPTH = 1000  # frames that a program may have, as at Python's start, wherever it is compiled and run


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


def prepared(source: str) -> tuple[Any, int]:
    """A program's code, with its traits (`purity.traits`); the dictionary of `compile_program` and 0 if it has none."""
    code = compile_program(source)
    return code, 0 if isinstance(code, dict) else purity.traits(code)


def code_of(program: str | bytes) -> tuple[Any, int]:
    """The same for a program that may have been prepared already: then it is that, as marshal has it."""
    return marshal.loads(program) if isinstance(program, bytes) else prepared(program)


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


# What the trusted side sends into the cage, where nothing but C code reads it: quicker than JSON in a fresh process.
unpacked: Callable[[Any], Any] = marshal.loads


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


def allow_frames(frames: int, below: int) -> None:
    """Lets a program have so many frames, of which none below its own is one."""
    _own_frames[0] = below
    _set_limit(min(frames + below, _MOST_FRAMES))


def count_frames(more: int) -> None:
    """Has the program's frames counted from `more` above the caller's on: those of what runs a test are not the program's."""
    allow_frames(_limit() - _own_frames[0], depth() + more)


def write_line(text: str, fd: int = RESULT, write: Any = os.write) -> None:
    """Writes a line to a descriptor, in as many pieces as it takes."""
    data = text.encode() + b"\n"
    while data:
        data = data[write(fd, data) :]


def _tell(text: str) -> None:
    write_line(text, TELL)


def requests(fd: int = ASK, read: Any = os.read, loads: Any = marshal.loads) -> Iterator[Any]:
    """Operations, each as it comes, until an empty one says that it was the last: a length of four bytes, then `marshal`."""
    while True:
        data = bytearray(read(fd, 1 << 16))
        while len(data) < 4 or len(data) < 4 + int.from_bytes(data[:4], "little"):
            more = read(fd, 1 << 16)
            if not more:
                return
            data += more
        if len(data) == 4:
            return
        yield loads(memoryview(data)[4:])


def rehearse(times: int) -> None:
    """Does to a small program what is done to every one, so often that the interpreter settles on how to do it."""
    source = "def f(x: int, y: str) -> int:\n    return [y for y in (x, 1) if y]\n"
    values = [[["t", 1]], 1, "a", [1, "a", None, True, 1.5], (1, "b"), {"a": 1}]
    ops = [("name", "f"), *[("call", 0, True, [[value, "x"], {}], 0) for value in values]]
    request = marshal.dumps((marshal.dumps(prepared(source)), marshal.dumps([("", ops)]), False))
    for _ in range(times):
        program, cases, _ = unpacked(request)
        ((_, operations),) = unpacked(cases)
        _run(*code_of(program), operations, lambda text: text.encode() + b"\n")
    del sys.modules["program"]


def run_case(code: Any, traits: int, ops: Any, lines: Lines | None = None, frames: int = 0, below: int = 0) -> NoReturn:
    """Runs one case of a compiled program in this process, which it ends.

    Args:
        traits: of the program (`purity.traits`).
        ops: what a test asks of the program's names; LIVE if that is not known yet; None for a program that is run for what it
            prints.
        lines: where those that run are marked.
        frames: that the program may have; 0 for as many as at Python's start.
        below: frames below the caller's, if the caller knows; 0 has them counted, which in a new fork copies ten pages.
    """
    emit, exit = write_line, os._exit
    sys.set_int_max_str_digits(0)  # a program's time is limited anyway
    if lines is not None:
        lines.trace(code)
    if ops == LIVE:
        ops, emit = requests(), _tell
    exit(_run(code, traits, ops, emit, frames, below) & 0xFF)


def _run(code: Any, traits: int, ops: Any, emit: Any, frames: int = 0, below: int = 0) -> int:
    """One case in a namespace of its own. Returns the exit status."""
    name = "__main__" if ops is None else "program"
    module = ModuleType(name)
    module.__dict__.update(__builtins__=__builtins__, __file__="program.py")
    sys.modules[name] = module
    # Python's own count begins at the module; a function that a test calls would have that below it, as another module's.
    allow_frames(frames or DEPTH, below + (3 if ops is None else 4) if below else depth() + 2)
    status = 0
    try:
        exec(code, module.__dict__)
        emit('{"ok": 1}')
        if ops is not None:
            session = Session(module.__dict__)
            for op in ops:
                emit(session.perform(op))
    except BaseException as error:
        record = failure_record(error)
        status = record.get("x", 1)
        emit(json.dumps(record))
    if ops is not None:
        flush()
        return 0
    del module  # which is to be held by nothing but the program when that ends
    return _finish(emit, bool(traits & purity.LATE)) or status


def run_batch(
    code: Any,
    traits: int,
    cases: Any,
    budget: float,
    lines: Lines | None = None,
    frames: int = 0,
    below: int = 0,
) -> NoReturn:
    """Runs all cases of a pure program in this process, each in a namespace of its own, until `budget` seconds are used up.

    After each case its number, the length of the output so far, the CPU time and the exit status are added to the results.
    """
    emit, exit, fstat, dup2 = write_line, os._exit, os.fstat, os.dup2
    clock = time.thread_time  # a process's clock is coarse under RLIMIT_CPU
    sys.set_int_max_str_digits(0)
    stdin, stdout = os.dup(0), os.dup(1)
    sweep, renew = purity.leavings(traits), streams.maker(bool(traits & purity.ERRORS))
    if lines is not None:
        lines.trace(code)
    before = clock()
    for number, (text, ops) in enumerate(cases):
        if number:
            dup2(stdin, 0)
            dup2(stdout, 1)
            renew()
            sys.set_int_max_str_digits(0)
            seed()
            if lines is not None:
                lines.begin(number)
        streams.give(text)
        status = _run(code, traits, ops, emit, frames, below)
        size = fstat(1).st_size
        if ops is not None:
            sys.modules.pop("program").__dict__.clear()  # functions and the names around them hold each other
        for clean in sweep:
            clean()
        if ops is not None and traits & purity.LATE:
            flush()
            streams.cut(size)
        after = clock()
        emit(f'{{"case": {number}, "out": {size}, "cpu": {after - before:.6f}, "status": {status}}}')
        before = after
        if after > budget:
            break
    exit(0)


def flush() -> None:
    """Flushes what the program has printed; a stream that it has broken or closed is left alone."""
    for stream in (sys.stdout, sys.__stdout__):
        try:
            stream.flush()  # type: ignore[union-attr]
        except BaseException:
            pass


def _finish(emit: Any, late: bool) -> int:
    """What the interpreter does at its end: threads are joined, exit functions called, what the program holds is dropped."""
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
    _drop(late)
    flush()
    return status


def _drop(late: bool) -> None:
    """Drops the program, whose functions hold its names and are held by them.

    Where it could notice (`late`) that is left to the collector: it calls finalizers while the names are still there.
    """
    try:
        kept = weakref.ref(sys.modules.pop("__main__"))
        if late:
            gc.collect()
        if module := kept():
            module.__dict__.clear()
            gc.collect()
    except BaseException:
        pass


# ------------------------------------------------------------------------------------------------------------ limits


def own_size() -> int:
    """Bytes of address space that this process takes, before it runs a program."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[0]) * resource.getpagesize()
    except OSError:
        return 64 << 20


def limits(options: dict[str, Any], own: int) -> list[tuple[int, tuple[int, int]]]:
    """Limits that every program gets for itself, in a process that takes `own` bytes."""
    memory, seconds = own + options["memory_mb"] * (1 << 20), int(1.25 * options["case_seconds"] + 0.1) + 2
    size = max(options["output_bytes"], options["file_bytes"]) + 1
    return [
        (resource.RLIMIT_AS, (memory, memory)),
        (resource.RLIMIT_FSIZE, (size, size)),
        (resource.RLIMIT_CPU, (seconds, seconds + 1)),
    ]


def check_hard_limits(options: dict[str, Any], open_files: int) -> None:
    """Raises OSError if this process may not have as much as each program gets: nor would any program."""
    kinds = (("memory", "v", 1024), ("file size", "f", 1024), ("CPU time", "t", 1), ("open files", "n", 1))
    every = [*limits(options, own_size()), (resource.RLIMIT_NOFILE, (open_files, open_files))]
    for (kind, (_, most)), (what, flag, unit) in zip(every, kinds, strict=True):
        hard = resource.getrlimit(kind)[1]
        if hard != resource.RLIM_INFINITY and hard < most:
            raise OSError(
                f"Expected a hard limit on {what} of at least {-(-most // unit)} (ulimit -H{flag}), since the judge's options give "
                f"each program as much, got {hard // unit}. Raise it where this process is started, or give programs less."
            )
