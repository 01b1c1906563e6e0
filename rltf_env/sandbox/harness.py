"""The only code that runs beside an untrusted program. Standard library only.

A warm, single-threaded parent (`serve`) forks a child for every program and, when a problem has several cases, the child
compiles the program once and forks again for every case, so that no state passes from case to case. The program sees
inputs, never answers: what it prints goes to a memory file, what its functions return leaves as JSON text (`encode`) in
another; the parent reads both when the process is dead, believes no exit status that the program can choose, and hands
them to the referee, a process that never runs a line of the program.

Descriptors in the cage: 0 standard input, 1 standard output, 2 null, 3 results; 4 reports and 5 lines are the parent's.
"""

from __future__ import annotations

import _signal
import collections
import errno
import faulthandler
import gc
import json
import marshal
import os
import struct
import sys
import time
from types import ModuleType
from typing import Any, NoReturn

try:
    import resource
except ImportError:  # not on Windows, where `_spawn` does without
    resource = None  # type: ignore[assignment]

FILENAME = "<program>"
STDIN, STDOUT, STDERR, RESULT, REPORT, LINES, REQUESTS, REPLIES = range(8)
DEEPEST = 200  # levels of nesting that a value may have on its way out
MESSAGE = 500  # characters of an exception's message that are kept

# ------------------------------------------------------------------------------------------------------------- frames

_HEADER = struct.Struct("<Q")


def write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def write_frame(fd: int, payload: bytes) -> None:
    """Sends `payload` with its length in front."""
    write_all(fd, _HEADER.pack(len(payload)) + payload)


def _read_exactly(fd: int, size: int) -> bytes:
    chunks = []
    while size:
        chunk = os.read(fd, min(size, 1 << 20))
        if not chunk:
            raise EOFError
        chunks.append(chunk)
        size -= len(chunk)
    return b"".join(chunks)


def read_frame(fd: int) -> bytes:
    """The next payload. Raises EOFError when the other side has gone."""
    return _read_exactly(fd, _HEADER.unpack(_read_exactly(fd, _HEADER.size))[0])


# ------------------------------------------------------------------------------------------------- plain data as JSON

_SCALARS = frozenset({int, float, str, bool, type(None)})
_BIG = 1 << 4096  # above this an int would meet Python's limit on digits
_CLASSES = {kind.__name__: kind for kind in (int, float, str, bool, list, tuple, dict, set, frozenset, bytes, complex)}
_CLASSES |= {"object": object, "type": type, "bytearray": bytearray, "NoneType": type(None)}
_NAMES = {kind: name for name, kind in _CLASSES.items()}


class Unrepresentable(Exception):
    """A value that is not plain data."""


def encode(value: Any, refs: Any = None) -> Any:
    """`value` as a tree that JSON can hold: exact types, nothing of the value's own code is run.

    An instance of a subclass of a plain type leaves as its plain base value; numpy's scalars and arrays as Python's. `refs`
    may turn anything else into a reference (a dictionary with the key "x"); without it, it is Unrepresentable.
    """
    return _encode(value, refs, 0)


def _encode(v: Any, refs: Any, depth: int, type=type, int=int, float=float, str=str) -> Any:
    kind = type(v)
    if kind is int:
        return v if -_BIG < v < _BIG else {"i": hex(v)}
    if kind in _SCALARS:
        return v
    if depth > DEEPEST:
        raise Unrepresentable("nested too deeply")
    depth += 1
    if kind is list:
        kinds = set(map(type, v))
        if kinds <= _SCALARS and (int not in kinds or (len(kinds) == 1 and -_BIG < min(v) and max(v) < _BIG)):
            return v
        return [_encode(item, refs, depth) for item in v]
    if kind is tuple:
        return {"t": [_encode(item, refs, depth) for item in v]}
    if kind is dict:
        return {"d": [[_encode(k, refs, depth), _encode(item, refs, depth)] for k, item in v.items()]}
    if kind is set or kind is frozenset:
        return {"s" if kind is set else "f": [_encode(item, refs, depth) for item in v]}
    return _encode_other(v, kind, refs, depth)


def _encode_other(v: Any, kind: Any, refs: Any, depth: int) -> Any:
    if refs is not None:
        found = refs(v)
        if found is not None:
            return found
    if kind is bytes or kind is bytearray:
        return {"b" if kind is bytes else "B": bytes(v).hex()}
    if kind is complex:
        return {"c": [v.real, v.imag]}
    if kind is range:
        return {"r": [_encode(n, None, depth) for n in (v.start, v.stop, v.step)]}
    if kind is collections.deque:
        return {"q": [_encode(item, refs, depth) for item in v]}
    if kind is collections.OrderedDict:
        return {"o": [[_encode(k, refs, depth), _encode(v[k], refs, depth)] for k in v]}
    if kind is type and v in _NAMES:
        return {"n": _NAMES[v]}
    if v is NotImplemented or v is Ellipsis:
        return {"n": repr(v)}
    return _encode_base(v, kind, refs, depth)


_BASES: tuple[tuple[Any, Any], ...] = (
    (bool, bool),
    (int, int.__int__),
    (float, float.__float__),
    (str, str.__str__),
    (complex, complex.__complex__),
    (list, lambda v: list.__getitem__(v, slice(None))),
    (tuple, lambda v: tuple.__getitem__(v, slice(None))),
    (collections.OrderedDict, lambda v: {k: dict.__getitem__(v, k) for k in dict.keys(v)}),
    (dict, lambda v: {k: dict.__getitem__(v, k) for k in dict.keys(v)}),
    (set, lambda v: set(set.__iter__(v))),
    (frozenset, lambda v: frozenset(frozenset.__iter__(v))),
    (bytes, lambda v: bytes.__getitem__(v, slice(None))),
    (bytearray, lambda v: bytearray.__getitem__(v, slice(None))),
)


def _encode_base(v: Any, kind: Any, refs: Any, depth: int, mro=type.__dict__["__mro__"].__get__) -> Any:
    bases = mro(kind)
    for base, plain in _BASES:
        if base in bases:
            return _encode(plain(v), refs, depth)
    fraction, decimal = sys.modules.get("fractions"), sys.modules.get("decimal")
    if decimal and kind is decimal.Decimal:
        return {"D": str(v)}
    if fraction and kind is fraction.Fraction:
        return {"F": [_encode(v.numerator, None, depth), _encode(v.denominator, None, depth)]}
    numpy = sys.modules.get("numpy")
    if numpy and (numpy.generic in bases or numpy.ndarray in bases) and v.dtype.kind in "biufcUS":
        return _encode(v.tolist(), None, depth)
    raise Unrepresentable(f"{type_name(kind)} is not plain data")


def decode(tree: Any, refs: Any = None) -> Any:
    """The value that `encode` turned into `tree`: plain types only. Raises Unrepresentable on anything else."""
    if type(tree) is list:
        if set(map(type, tree)) <= _SCALARS:
            return tree
        return [decode(item, refs) for item in tree]
    if type(tree) is not dict:
        return tree
    try:
        ((tag, body),) = tree.items()
        return refs(body) if tag == "x" and refs else _DECODERS[tag](body, refs)
    except Unrepresentable:
        raise
    except Exception as error:  # a forged result may be anything
        raise Unrepresentable("malformed value") from error


def _decimal(text: str, refs: Any) -> Any:
    from decimal import Decimal

    return Decimal(text)


def _fraction(pair: Any, refs: Any) -> Any:
    from fractions import Fraction

    return Fraction(decode(pair[0]), decode(pair[1]))


_DECODERS: dict[str, Any] = {
    "i": lambda body, refs: int(body, 16),
    "t": lambda body, refs: tuple(decode(item, refs) for item in body),
    "d": lambda body, refs: {decode(k, refs): decode(v, refs) for k, v in body},
    "o": lambda body, refs: collections.OrderedDict((decode(k, refs), decode(v, refs)) for k, v in body),
    "s": lambda body, refs: {decode(item, refs) for item in body},
    "f": lambda body, refs: frozenset(decode(item, refs) for item in body),
    "q": lambda body, refs: collections.deque(decode(item, refs) for item in body),
    "b": lambda body, refs: bytes.fromhex(body),
    "B": lambda body, refs: bytearray.fromhex(body),
    "c": lambda body, refs: complex(*body),
    "r": lambda body, refs: range(*(decode(n) for n in body)),
    "n": lambda body, refs: {"NotImplemented": NotImplemented, "Ellipsis": ...}.get(body) or _CLASSES[body],
    "D": _decimal,
    "F": _fraction,
}

# ------------------------------------------------------------------------------------------------- inside the program

type_name = type.__dict__["__name__"].__get__


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
    try:
        return compile(text, FILENAME, "exec", dont_inherit=True, optimize=0)
    except SyntaxError as error:
        record = describe(error)
        record.update(line=error.lineno, offset=error.offset)
    except (ValueError, UnicodeError, MemoryError, RecursionError, OverflowError) as error:
        record = describe(error)
        bad = next((i for i, c in enumerate(text) if c == "\0" or "\ud800" <= c <= "\udfff"), None)
        record.update(line=None if bad is None else text.count("\n", 0, bad) + 1, offset=None)
    return record


class _Session:
    """The program's side of a conversation with a test: named things are fetched, called, read, and results reported."""

    def __init__(self, namespace: dict[str, Any]) -> None:
        self.namespace = namespace
        self.held: list[Any] = []

    def perform(self, op: list[Any]) -> dict[str, Any]:
        """Does one operation; what came of it is data."""
        args = None
        try:
            verb, *rest = op
            args = [decode(tree, self.held.__getitem__) for tree in rest[:2]] if verb != "name" else []
            value = self._name(rest[0]) if verb == "name" else _VERBS[verb](*self._more(args, rest))
        except _Missing:
            self.held.append(None)
            return {"m": 1}
        except BaseException as error:
            self.held.append(None)
            return _failure(error)
        self.held.append(value)
        reply = self._report(value)
        if op[0] == "call" and op[4]:
            reply["a"] = self._mutated(args, op)
        return reply

    def _more(self, args: list[Any], rest: list[Any]) -> list[Any]:
        return args + [decode(tree, self.held.__getitem__) for tree in rest[2:3]]

    def _mutated(self, args: Any, op: list[Any]) -> Any:
        try:
            after = encode(args[1], self._ref)
        except Unrepresentable:
            return None
        return None if after == op[2] else after

    def _report(self, value: Any) -> dict[str, Any]:
        try:
            return {"v": encode(value, self._ref)}
        except Unrepresentable:
            return {"h": len(self.held) - 1, "kind": str(type_name(type(value))), "call": callable(value)}
        except RecursionError:
            return {"u": "nested too deeply"}

    def _ref(self, value: Any) -> Any:
        for index, held in enumerate(self.held[:-1]):
            if held is value:
                return {"x": index}
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


def _failure(error: BaseException) -> dict[str, Any]:
    if isinstance(error, SystemExit):
        return {"x": _exit_status(error), **describe(error)}
    record = describe(error)
    if _at_process_limit(error):
        record["limit"] = "processes"
    return {"e": record}


def _exit_status(error: SystemExit) -> int:
    code = error.code
    return 0 if code is None else code if type(code) is int else 1


def _at_process_limit(error: BaseException) -> bool:
    """True if nothing more can be started now, which is then what this error was about; told by trying, not by its text."""
    if type(error) is not RuntimeError and not (isinstance(error, OSError) and error.errno == errno.EAGAIN):
        return False
    try:
        _start_new_thread(int, ())
    except RuntimeError:
        return True
    return False


_start_new_thread = __import__("_thread").start_new_thread


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
    "isinstance": lambda value, kind: isinstance(value, kind),
}


def _emit(record: Any, dumps=json.dumps, write=os.write) -> None:
    data = dumps(record).encode() + b"\n"
    while data:
        data = data[write(RESULT, data) :]


def run_case(code: Any, case: dict[str, Any], seen: Any = None) -> NoReturn:
    """Runs one case of a compiled program in this process, which it ends. `seen` has a byte for each line, to be set."""
    emit, exit = _emit, os._exit
    calls = case["ops"] is not None
    name = "program" if calls else "__main__"
    module = ModuleType(name)
    module.__dict__.update(__builtins__=__builtins__, __file__="program.py")
    sys.modules[name] = module
    status = 0
    try:
        if seen is not None:
            _trace_lines(seen)
        exec(code, module.__dict__)
        emit({"ok": 1})
        if calls:
            session = _Session(module.__dict__)
            for op in case["ops"]:
                emit(session.perform(op))
    except BaseException as error:
        record = _failure(error)
        status = record.get("x", 1)
        emit(record)
    if calls:
        _flush()
        exit(0)
    status = _finish(module, emit) or status
    emit({"end": 1})
    exit(status & 0xFF)


def _flush() -> None:
    for stream in (sys.stdout, sys.__stdout__):
        try:
            stream.flush()  # type: ignore[union-attr]
        except BaseException:
            pass


def _finish(module: ModuleType, emit: Any) -> int:
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
        emit(_failure(error))
        status = 1
    _flush()
    try:
        module.__dict__.clear()
    except BaseException:
        pass
    _flush()
    return status


def _map_lines() -> Any:
    import mmap

    return mmap.mmap(LINES, os.fstat(LINES).st_size)


def _trace_lines(seen: Any) -> None:
    """Marks every line of the program that runs in `seen`, a shared memory file that outlives a killed process."""
    size = len(seen)
    monitoring = getattr(sys, "monitoring", None)
    if monitoring is not None:

        def on_line(code: Any, line: int, filename: str = FILENAME, size: int = size) -> Any:
            if code.co_filename == filename and line < size:
                seen[line] = 1
            return monitoring.DISABLE

        monitoring.use_tool_id(monitoring.COVERAGE_ID, "rltf")
        monitoring.register_callback(monitoring.COVERAGE_ID, monitoring.events.LINE, on_line)
        monitoring.set_events(monitoring.COVERAGE_ID, monitoring.events.LINE)
        return

    def local(frame: Any, event: str, arg: Any, size: int = size) -> Any:
        if event == "line" and frame.f_lineno < size:
            seen[frame.f_lineno] = 1
        return local

    def on_call(frame: Any, event: str, arg: Any, filename: str = FILENAME) -> Any:
        return local if frame.f_code.co_filename == filename else None

    sys.settrace(on_call)
    threading = sys.modules.get("threading")
    if threading:
        threading.settrace(on_call)


# --------------------------------------------------------------------------------------------------- the warm parent


class Cage:
    """Runs programs in forked children. Everything but `_child` runs in the trusted parent."""

    def __init__(self, options: dict[str, Any], *, alone: bool) -> None:
        self.options = options
        self.alone = alone  # first process of its own PID namespace: whatever else is alive belongs to the program
        self.cpu = float(options["case_seconds"])
        self.grace = max(0.25 * self.cpu, 0.1)
        self.limits = _limits(options)

    def run(self, request: dict[str, Any]) -> tuple[dict[str, Any], list[tuple[dict[str, Any], bytes, bytes]]]:
        """Judges nothing: returns what became of the compilation, and of each case (a record, its output, its results)."""
        cases = request["cases"]
        os.ftruncate(REPORT, 0)
        os.lseek(REPORT, 0, os.SEEK_SET)
        if self.options["trace"]:
            os.ftruncate(LINES, 0)
            os.ftruncate(LINES, len(request["source"]) + 2)
        if len(cases) == 1:
            self._prepare(cases[0])
        pid = os.fork()
        if not pid:
            self._child(request)
        if len(cases) == 1:
            return self._single(self._watch(pid, self.cpu))
        return self._several(self._watch(pid, self.cpu, total=self.options["program_seconds"], cases=len(cases)), cases)

    def lines(self) -> list[int]:
        """The lines that ran since the last `run` began."""
        seen = os.pread(LINES, os.fstat(LINES).st_size, 0)
        return [line for line, ran in enumerate(seen) if ran]

    def _prepare(self, case: dict[str, Any]) -> None:
        for fd in (STDIN, STDOUT, RESULT):
            os.ftruncate(fd, 0)
            os.lseek(fd, 0, os.SEEK_SET)
        if case["stdin"]:
            write_all(STDIN, case["stdin"].encode("utf-8", "surrogateescape"))
            os.lseek(STDIN, 0, os.SEEK_SET)

    def _child(self, request: dict[str, Any]) -> NoReturn:
        try:
            cases = request["cases"]
            code = compile_program(request["source"])
            if isinstance(code, dict):
                write_all(REPORT, marshal.dumps([code]))
                os._exit(0)
            if len(cases) == 1:
                self._enter(code, cases[0])
            self._each(code, cases)
        finally:
            os._exit(70)

    def _each(self, code: Any, cases: list[dict[str, Any]]) -> NoReturn:
        """In the child that compiled the program and ran none of it: a fork for each case."""
        os.close(REQUESTS), os.close(REPLIES)
        spent, reports = 0.0, []
        for case in cases:
            self._prepare(case)
            pid = os.fork()
            if not pid:
                self._enter(code, case)
            record = self._watch(pid, self.cpu)
            reports.append((record, *self._collect()))
            spent += record["seconds"]
            if record["timeout"] or spent > self.options["program_seconds"]:
                break
        write_all(REPORT, marshal.dumps([None, *reports]))
        os._exit(0)

    def _enter(self, code: Any, case: dict[str, Any]) -> NoReturn:
        """The last trusted step: gives up what the program must not have, then runs it."""
        try:
            if not self.alone:
                os.setsid()
            seen = _map_lines() if self.options["trace"] else None
            os.closerange(REPORT, 16)
            for what, limits in self.limits:
                resource.setrlimit(what, limits)
            _signal.pthread_sigmask(_signal.SIG_UNBLOCK, (_signal.SIGCHLD,))
            run_case(code, case, seen)
        finally:
            os._exit(70)

    def _watch(self, pid: int, limit: float, total: float = 0.0, cases: int = 1) -> dict[str, Any]:
        """Waits for a child, ends it at its limits and everything it left behind, and says how it died."""
        start = time.monotonic()
        longest = self.options["wall_seconds"] if not total else (total + limit + cases * self.options["wall_seconds"])
        limit = limit + self.grace if not total else longest
        timeout = ""
        while True:
            found, status, usage = self._reap(pid)
            if found:
                break
            spent, passed = _cpu_seconds(pid), time.monotonic() - start
            if timeout:
                os.kill(pid, _signal.SIGKILL)
            elif spent >= limit:
                timeout = "cpu"
            elif passed >= longest and (passed - _waited(pid) >= longest or passed >= 5 * longest):
                timeout = "wall"
            else:
                left = min(limit - spent, max(longest - passed, 0.05))
                _signal.sigtimedwait((_signal.SIGCHLD,), max(left, 0.001))
                continue
            if found := self._stop(pid):
                status, usage = found
                break
        self._sweep(pid)
        seconds = usage.ru_utime + usage.ru_stime
        return {"status": status, "seconds": seconds, "timeout": timeout, "peak": usage.ru_maxrss}

    def _stop(self, pid: int) -> Any:
        """Ends a child that is over its limit: an abort first, on which it leaves its stack, then a kill."""
        for signal, patience in ((_signal.SIGABRT, 0.2), (_signal.SIGKILL, 5.0)):
            os.kill(pid, signal)
            end = time.monotonic() + patience
            while time.monotonic() < end:
                found, status, usage = self._reap(pid)
                if found:
                    return status, usage
                _signal.sigtimedwait((_signal.SIGCHLD,), 0.01)
        raise RuntimeError("a program could not be killed")

    def _reap(self, wanted: int) -> Any:
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return 0, 0, None
            if pid == wanted or pid == 0:
                return pid, status, usage

    def _sweep(self, pid: int) -> None:
        """Kills what the program left behind, and takes its zombies away."""
        try:
            if self.alone:
                os.kill(-1, _signal.SIGKILL)
            else:
                os.killpg(pid, _signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
        else:
            self._bury()

    def _bury(self) -> None:
        end = time.monotonic() + 5
        while time.monotonic() < end:
            try:
                if not os.wait4(-1, os.WNOHANG)[0]:
                    _signal.sigtimedwait((_signal.SIGCHLD,), 0.01)
            except ChildProcessError:
                return

    def _collect(self) -> tuple[bytes, bytes]:
        cap = self.options["output_bytes"]
        return os.pread(STDOUT, cap + 1, 0), os.pread(RESULT, cap + 4096, 0)

    def _single(self, record: dict[str, Any]) -> Any:
        said = self._said()
        if said:
            return said[0], []
        return None, [(record, *self._collect())]

    def _several(self, record: dict[str, Any], cases: list[Any]) -> Any:
        said = self._said()
        if said:
            return said[0], said[1:]
        return None, [(record, b"", b"")]

    def _said(self) -> list[Any]:
        data = os.pread(REPORT, os.fstat(REPORT).st_size, 0)
        try:
            return marshal.loads(data) if data else []
        except (EOFError, ValueError, TypeError):
            return []


def _limits(options: dict[str, Any]) -> list[tuple[int, tuple[int, int]]]:
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


def alone_in_process(code: Any, case: dict[str, Any], options: dict[str, Any], folder: str) -> NoReturn:
    """Runs a case in a process that was started for it, and writes results into a file of `folder`."""
    result = os.open(os.path.join(folder, "result"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(result, RESULT)
    if result != RESULT:
        os.close(result)
    faulthandler.enable(RESULT, all_threads=False)
    seen = None
    if options["trace"]:
        import mmap

        with open(os.path.join(folder, "lines"), "r+b") as file:
            seen = mmap.mmap(file.fileno(), 0)
    if resource:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        for what, limits in _limits(options):
            resource.setrlimit(what, limits)
    __import__("random").seed(0)
    sys.argv[:] = ["program.py"]
    run_case(code, case, seen)


def _cpu_seconds(pid: int) -> float:
    """CPU time of a process, of all its threads: the clock that clock_getcpuclockid(3) names."""
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return 0.0


def _waited(pid: int) -> float:
    """Seconds that a process was ready to run and did not get a processor: no fault of the program."""
    try:
        with open(f"/proc/{pid}/schedstat") as file:
            return int(file.read().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0


WARM = (
    "typing math cmath re string random itertools functools collections collections.abc heapq bisect operator copy "
    "datetime array decimal fractions statistics time dataclasses enum abc io hashlib"
).split()


def warm_up() -> None:
    """Imports what programs use, and compiles once: the first compilation of a process is slow, and a fork inherits it."""
    hooks = os.register_at_fork
    os.register_at_fork = lambda **hooks: None  # type: ignore[assignment]
    try:
        for name in WARM:
            __import__(name)
    finally:
        os.register_at_fork = hooks
    sys.modules["random"].seed(0)
    source = (
        "def f(x: int) -> int:\n    return [y for y in (x, 1) if y]\nclass C:\n    @property\n    def p(self): pass\n"
    )
    exec(compile_program(source + "assert f'{f(1)}' and (lambda: 0)() == 0\n"), {"__name__": "warm"})
    compile_program("def f(:\n")
    json.dumps({"v": [1, "a", None]})


def serve(options: dict[str, Any], *, alone: bool) -> NoReturn:
    """The warm parent's loop: a program in, what became of it out, until the referee goes away."""
    cage = Cage(options, alone=alone)
    faulthandler.enable(RESULT, all_threads=False)
    _signal.pthread_sigmask(_signal.SIG_BLOCK, (_signal.SIGCHLD,))
    for signal in (_signal.SIGINT, _signal.SIGPIPE, _signal.SIGXFSZ):
        _signal.signal(signal, _signal.default_int_handler if signal == _signal.SIGINT else _signal.SIG_DFL)
    gc.collect()
    gc.freeze()
    while True:
        try:
            request = marshal.loads(read_frame(REQUESTS))
        except EOFError:
            os._exit(0)
        said, cases = cage.run(request)
        lines = cage.lines() if options["trace"] else None
        write_frame(REPLIES, marshal.dumps((said, cases, lines)))
