"""Runs a program and its test in one process, for tests that need Python's own objects. Standard library only.

The process is one of several for the same program: one runs the test as it is, the others run copies of it in which an
expectation was falsified (canaries). The compiled tests differ in constants alone, so nothing here can tell which one this
is; only the referee knows. Results leave in one line, after the last test.
"""

from __future__ import annotations

import io
import json
import marshal
import os
import sys
import warnings
from importlib import import_module
from types import FunctionType, ModuleType, SimpleNamespace, TracebackType
from typing import Any, NoReturn

from rltf_env.sandbox.cage import modules, program
from rltf_env.sandbox.cage.deadlines import Deadline, TimeUp
from rltf_env.sandbox.cage.modules import TESTS_NAME
from rltf_env.sandbox.cage.session import give_memory_back
from rltf_env.sandbox.cage.trace import Lines
from rltf_env.sandbox.values import FILENAME, TEST

_SCRIPTS_OWN = 3  # frames between `run_case` and a script
_RUNNERS_OWN = 60  # frames of a runner's, at most, between its caller and a test
_LINES, _LETTERS = 100, 5000  # that unittest compares for a message
_C_COUNTS = sys.version_info < (3, 12)  # calls that go through C count as frames, too
_PYTESTS_OWN = 16 if _C_COUNTS else 11  # of them, those between a test's own protocol and the test
Result = dict[str, Any]  # id, status ("passed", "failed", "error", "skipped"), and for the middle two what was raised


def runs_together(case: tuple[str, Any]) -> bool:
    """True if a case is a test that is to be run together with the program."""
    return type(case[1]) is dict


def tests_in(case: tuple[str, Any]) -> float:
    """How many times the limits of a case a run may take: once for each test, and for the program to load.

    All of them together have the time of a program.
    """
    if not runs_together(case):
        return 1
    job = case[1]
    return min(job["tests"], max(job["most"] / job["seconds"], 1)) + 1


def prepare(case: tuple[str, Any]) -> float:
    """Imports what a test's runner needs, in the process that runs are forked from: none of the program has run there.

    Returns `tests_in(case)`.
    """
    if runs_together(case):
        import_runner(case[1]["runner"])
    return tests_in(case)


def import_runner(runner: str) -> None:
    """Imports all that "unittest" or "pytest" need to run tests. Raises ImportError where that is not to be had."""
    if runner != "plain":
        _shorten_differences(import_module("unittest.case"))
    if runner == "pytest":
        os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
        for plugin in import_module("_pytest.config").default_plugins:
            import_module(f"_pytest.{plugin}")


def _shorten_differences(case: Any) -> None:
    """Has unittest compare only short texts and lists line by line, for its messages: of long ones that takes minutes."""
    if isinstance(case.difflib, ModuleType):
        compare = case.difflib.ndiff

        def ndiff(a: list[str], b: list[str]) -> Any:
            lines = [*a, *b]
            return compare(a, b) if len(lines) <= _LINES and sum(map(len, lines)) <= _LETTERS else iter(())

        case.difflib = SimpleNamespace(ndiff=ndiff)


def run_case(
    code: Any, traits: int, job: dict[str, Any], lines: Lines | None = None, frames: int = 0, below: int = 0
) -> NoReturn:
    """Runs one copy of a test on a compiled program in this process, which it ends.

    Args:
        code: of the program.
        traits: of the program; nothing here depends on them.
        job: "codes", the compiled test; "runner", one of plain, unittest and pytest; "names", modules that stand for the
            program, outermost first; "wanted", names that the test takes from it; "shared", whether both have one
            namespace; "main", whether the test runs as a script; "seconds" and "wall", CPU time that each test may take, and
            with idle time; "most", CPU time of all; "skip", tests that are left out; "source", the program's text if the test
            looks at it; "loads", whether it runs before the test, which else imports it in its own time.
        lines: where those of the program that run are marked.
        frames: that the program may have; 0 for as many as at Python's start.
        below: as in `program.run_case`; here frames are always counted.
    """
    write, exit, dumps = program.write_line, os._exit, json.dumps
    if lines is not None:
        lines.trace(code)
    sys.set_int_max_str_digits(0)
    own = _SCRIPTS_OWN if job["runner"] == "plain" else _RUNNERS_OWN
    program.allow_frames(frames or program.DEPTH, program.depth() + own)
    module = modules.program_module(job["names"], is_there=job["loads"])
    finder = modules.Finder(code, {modules.NAME, *job["names"]}, job["wanted"])
    sys.meta_path.insert(0, finder)  # type: ignore[arg-type]
    modules.show_source(job["source"])
    loading = Deadline(job["seconds"], job["wall"], job["seconds"])
    try:
        with loading:
            exec(code if job["loads"] else "", module.__dict__)
        if loading.over:
            raise TimeUp(loading.over)
    except BaseException as error:
        write(dumps({"late": _limit_of(error)} if isinstance(error, TimeUp) else program.failure_record(error)))
        program.flush()
        exit(0)
    write('{"ok": 1}')
    missing = [name for name in job["wanted"] if job["loads"] and not modules.has(module, name)]
    results = _run_test(module, job, finder, Progress(write, dumps))
    program.flush()
    write(dumps({"missing": missing or finder.missing, "results": results}))
    exit(0)


class Progress:
    """Writes down that a test begins, and what became of the one before it: what is left of a process that has to be killed.

    Args:
        write: writes a line.
        dumps: makes one.
    """

    def __init__(self, write: Any, dumps: Any) -> None:
        self._write, self._dumps, self._last = write, dumps, None

    def begin(self, test: Any, name: str, rows: dict[Any, Result]) -> None:
        """A test begins, which is `test` in `rows`."""
        self._write(self._dumps({"began": name, "before": rows.get(self._last)}))
        self._last = test


def _run_test(module: ModuleType, job: dict[str, Any], finder: modules.Finder, progress: Progress) -> list[Result]:
    """The results of all tests."""
    deadline, skip = Deadline(job["seconds"], job["wall"], job["most"]), frozenset(job["skip"])
    test = _test_module(module, job)
    before = dict(test.__dict__)
    program.seed()
    try:
        with deadline:
            for code in map(marshal.loads, job["codes"]):
                exec(code, test.__dict__)
    except BaseException as error:
        if finder.left or not _leaves_in_good_order(error):
            return [_result("", error)]
    if deadline.over:
        return [_late("", deadline)]
    if job["runner"] == "plain":
        return [{"id": "", "status": "passed"}]
    run = _by_pytest if job["runner"] == "pytest" else _by_unittest
    own = {name: value for name, value in test.__dict__.items() if before.get(name) is not value}
    return run(test, own, deadline, skip, progress)


def _leaves_in_good_order(error: BaseException) -> bool:
    """True for a script that ends itself with a status of success. The program may not do so."""
    if not isinstance(error, SystemExit) or error.code:
        return False
    return _where(error.__traceback__)[0] == "test"


def _test_module(module: ModuleType, job: dict[str, Any]) -> ModuleType:
    """The namespace of the test: the program's own where it takes names from nowhere, as if one file followed the other."""
    test = module if job["shared"] else ModuleType(TESTS_NAME)
    if test is not module:
        public = {k: v for k, v in module.__dict__.items() if not k.startswith("__")} if job["seeded"] else {}
        test.__dict__.update(public, __builtins__=__builtins__, __file__=f"{TESTS_NAME}.py")
    name = "__main__" if job["main"] else TESTS_NAME
    test.__dict__["__name__"] = name
    sys.modules[name] = sys.modules["__main__"] = test  # which a test may patch names of
    return test


# ------------------------------------------------------------------------------------------------------------ results


def _result(name: str, error: BaseException) -> Result:
    """What became of a test that raised."""
    if isinstance(error, TimeUp):
        return {"id": name, "status": "time", "limit": _limit_of(error)}
    record = program.failure_record(error)
    record = record.get("e", record)
    inner, line = _where(error.__traceback__)
    is_assertion = isinstance(error, AssertionError) or _is_pytest_failure(error)
    return {"id": name, "status": "failed" if is_assertion else "error", "in": inner, "at": line, "raised": record}


def _late(name: str, deadline: Deadline) -> Result:
    """What became of a test that went over its limit, whatever it made of that: it may have swallowed what was raised."""
    return {"id": name, "status": "time", "limit": deadline.over}


def _limit_of(error: TimeUp) -> str:
    return "wall" if error.args == ("wall",) else "cpu"


def _is_pytest_failure(error: BaseException) -> bool:
    outcomes = sys.modules.get("_pytest.outcomes")
    return outcomes is not None and isinstance(error, outcomes.Failed)


def _where(trace: TracebackType | None) -> tuple[str, int | None]:
    """Whose the innermost frame is that is the program's or the test's, and the line of the test that led there."""
    inner, line = "", None
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        if name == TEST:
            inner, line = "test", trace.tb_lineno
        elif name == FILENAME:
            inner = "program"
        trace = trace.tb_next
    return inner, line


# ----------------------------------------------------------------------------------------------------------- unittest


def _by_unittest(
    test: ModuleType, own: dict[str, Any], deadline: Deadline, skip: frozenset[str], progress: Progress
) -> list[Result]:
    import unittest

    class Recorder(unittest.TestResult):
        """Keeps what became of each test, by its name."""

        def __init__(self) -> None:
            super().__init__()
            self.rows: dict[str, Result] = {}
            # Of the tests that a fixture of their class or module kept from running.
            self.lost: Result = {"status": "error"}

        def _note(self, case: Any, error: BaseException) -> None:
            row = _result(_name(case), error)
            if not isinstance(case, unittest.TestCase) and str(case).startswith("tearDown") and self.rows:
                last = next(reversed(self.rows))  # which pytest blames, too
                self.rows[last] = {**row, "id": last}
            elif not isinstance(case, unittest.TestCase):
                self.lost = row
            elif self.rows.get(row["id"], row)["status"] in ("passed", row["status"]):
                self.rows.setdefault(row["id"], row)
                if self.rows[row["id"]]["status"] == "passed":
                    self.rows[row["id"]] = row

        def addSuccess(self, test: Any) -> None:
            self.rows.setdefault(_name(test), {"id": _name(test), "status": "passed"})

        def addError(self, test: Any, err: Any) -> None:
            self._note(test, err[1])

        def addFailure(self, test: Any, err: Any) -> None:
            self._note(test, err[1])

        def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:
            if err is not None:
                self._note(test, err[1])

        def addSkip(self, test: Any, reason: str) -> None:
            self.rows.setdefault(_name(test), {"id": _name(test), "status": "skipped"})

        def addExpectedFailure(self, test: Any, err: Any) -> None:
            self.rows[_name(test)] = {"id": _name(test), "status": "passed", "reversed": True}

        def addUnexpectedSuccess(self, test: Any) -> None:
            self.rows[_name(test)] = {"id": _name(test), "status": "failed", "in": "test", "reversed": True}

    suite = _suite(test, own)
    cases = [case for case in _cases(suite) if _name(case) not in skip or _skip(case)]
    for case in cases:
        _limit(case, deadline, progress)
    names = [_name(case) for case in cases]
    recorder, stderr = Recorder(), sys.stderr
    sys.stderr = io.StringIO()  # where unittest complains of coroutines and their kin
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("default")  # as in `unittest.main`: tests may count warnings
            suite.run(recorder)
    finally:
        sys.stderr = stderr
    return [recorder.rows.get(name) or {**recorder.lost, "id": name} for name in names]


def _suite(test: ModuleType, own: dict[str, Any]) -> Any:
    """The tests of a module that are its own, as unittest's loader finds them, and its functions named test..."""
    import unittest

    loader = unittest.defaultTestLoader
    if "load_tests" in own:
        return loader.loadTestsFromModule(test)
    suite = unittest.TestSuite()
    functions = [name for name, thing in own.items() if name.startswith("test") and _is_test(thing)]
    for name in own if functions else sorted(own):  # pytest goes by the text, unittest by names
        thing = own[name]
        if isinstance(thing, type) and issubclass(thing, unittest.TestCase) and thing.__module__ != "unittest.case":
            suite.addTest(loader.loadTestsFromTestCase(thing))
        elif name in functions:
            suite.addTest(unittest.FunctionTestCase(thing, description=name))
    return suite


def _is_test(thing: Any) -> bool:
    """True for a function that can be called as it is; a method that is to join a class wants its `self`."""
    return isinstance(thing, FunctionType) and thing.__code__.co_argcount <= len(thing.__defaults__ or ())


def _cases(suite: Any) -> list[Any]:
    """The tests of a suite, in order."""
    return [case for part in suite for case in (_cases(part) if hasattr(part, "__iter__") else [part])]


def _name(case: Any) -> str:
    is_function = getattr(case, "_testFunc", None) is not None
    return case.shortDescription() if is_function else case.id().partition(".")[2]


def _skip(case: Any) -> None:
    """Makes a test do nothing: not even its fixtures."""
    case.run = lambda result=None: result


def _limit(case: Any, deadline: Deadline, progress: Progress) -> None:
    run = case.run

    def limited(result: Any = None) -> Any:
        progress.begin(_name(case), _name(case), getattr(result, "rows", {}))
        program.count_frames(2)  # unittest's own
        with deadline:
            end = run(result)
        if deadline.over and result is not None:
            result.rows[_name(case)] = _late(_name(case), deadline)
        return end

    case.run = limited


# ------------------------------------------------------------------------------------------------------------- pytest

_OPTIONS = (
    "-p no:cacheprovider -p no:terminal -p no:faulthandler -p no:unraisableexception -p no:threadexception "
    "--assert=plain -s --noconftest --rootdir=. --confcutdir=."
).split()


def _by_pytest(
    test: ModuleType, own: dict[str, Any], deadline: Deadline, skip: frozenset[str], progress: Progress
) -> list[Result]:
    import pytest

    class Loaded(pytest.Module):
        """The test's module, which has run already."""

        def _getobj(self) -> Any:
            return test

    class Plugin:
        """Collects the one module, limits each test, and keeps what became of it."""

        def __init__(self) -> None:
            self.rows: dict[Any, Result] = {}
            self.failed: set[Any] = set()  # of these tests
            self.lost = ""

        def pytest_pycollect_makemodule(self, module_path: Any, parent: Any) -> Any:
            return Loaded.from_parent(parent, path=module_path)

        def pytest_collectreport(self, report: Any) -> None:
            if report.failed:
                self.lost = str(report.longrepr)[-300:]

        def pytest_collection_modifyitems(self, items: list[Any]) -> None:
            items[:] = [item for item in items if _path(item)[0].name.partition("[")[0] in own]
            for item in items:
                self.rows[item] = {"id": _item_name(item, self.rows), "status": "error"}
            items[:] = [item for item in items if self.rows[item]["id"] not in skip]
            for item in [item for item in self.rows if self.rows[item]["id"] in skip]:
                del self.rows[item]

        @pytest.hookimpl(hookwrapper=True)
        def pytest_runtest_protocol(self, item: Any) -> Any:
            progress.begin(item, self.rows[item]["id"], self.rows)
            program.count_frames(_PYTESTS_OWN)
            deadline.start()
            yield
            deadline.stop()
            if deadline.over and item in self.rows:
                self.rows[item] = _late(self.rows[item]["id"], deadline)

        @pytest.hookimpl(hookwrapper=True, trylast=True)
        def pytest_pyfunc_call(self) -> Any:
            give_memory_back((yield).exception)

        @pytest.hookimpl(hookwrapper=True, trylast=True)
        def pytest_fixture_setup(self) -> Any:
            give_memory_back((yield).exception)

        @pytest.hookimpl(hookwrapper=True)
        def pytest_runtest_makereport(self, item: Any, call: Any) -> Any:
            outcome = yield
            report, row = outcome.get_result(), self.rows[item]
            if item in self.failed:  # in a part of it, a subtest: the rest does not make up for that
                return
            if report.skipped:
                row["status"] = "skipped"
            elif report.failed:
                self.failed.add(item)
                self.rows[item] = _result(row["id"], call.excinfo.value if call.excinfo else AssertionError("XPASS"))
            elif call.when == "call":
                row["status"] = "passed"
            self.rows[item]["xfail"] = item.get_closest_marker("xfail") is not None  # which a fixture may have set

    plugin, path = Plugin(), f"{TESTS_NAME}.py"
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
    status = pytest.main([*_OPTIONS, "-c", os.devnull, path], plugins=[plugin])
    if (plugin.rows and status in (0, 1)) or (skip and not plugin.rows and status == 5):  # 5: there is none to run
        return list(plugin.rows.values())
    message = plugin.lost or f"pytest collected {len(plugin.rows)} tests and ended with status {int(status)}"
    return [{"id": "", "status": "collect", "message": message}]


def _item_name(item: Any, rows: dict[Any, Result]) -> str:
    """The name of a test; that of a set of parameters has its number, for values in it may differ between copies."""
    name = ".".join([*(node.name for node in _path(item)[:-1]), getattr(item, "originalname", item.name)])
    if "[" not in item.name:
        return name
    count = sum(row["id"].startswith(f"{name}[") for row in rows.values())
    return f"{name}[{count}]"


def _path(item: Any) -> list[Any]:
    """What a test lies in below its module, and itself."""
    chain = item.listchain()
    return chain[
        next(i for i, node in enumerate(chain) if hasattr(node, "importtestmodule") or node.name == f"{TESTS_NAME}.py")
        + 1 :
    ]
