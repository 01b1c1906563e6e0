"""The options that every judge of programs takes, checked."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from importlib import metadata
from multiprocessing import current_process
from typing import Any

from rltf_env.errors import UnknownName, UsageError
from rltf_env.sandbox.cage.isolation import LAYERS, LEVELS

MOST = 1 << 40  # of any number: as MiB, or in microseconds, the kernel can still count so many


@dataclass(frozen=True)
class Options:
    """How much a program may use, and how many are judged at a time.

    Args:
        workers: judges that work side by side. 0: as many as there are processors; one in a daemonic process, such as vectors
            of environments start one of for each, which waits for its own verdict alone.
        case_seconds: CPU time of one case.
        program_seconds: CPU time of all cases of a program; later cases are `NotRun`. None: thirty cases' worth.
        wall_seconds: CPU and idle time of one case together; what it waits for a processor does not count. None:
            case_seconds + 1.
        memory_mb: address space of one process of the program, in MiB, on top of the interpreter's.
        output_bytes: what a case may print, and what its results may take.
        file_bytes: size of one file that it may write.
        processes: threads and processes at a time.
        kept_output: bytes of a case's output that `CaseResult.stdout` keeps.
        trace: record the lines that ran, in `Verdict.executed`. From Python 3.12 on (`sys.monitoring`) that costs about 1 ms
            for each process of the program and no more in its loops; before, by tracing, a loop takes about six times as long.
            `Verdict.code` then has the lines that have code.
        trace_cases: record them for each case, in `CaseResult.executed`; `trace` comes with it.
        facts: analyse the program's text, in `Verdict.facts` (`rltf_env/facts.py`). The process that compiles ahead does it, which
            runs no program, so only "forkserver" has it. None of a text that is no Python, or longer than 8 KiB, or takes long.
        ratios: the share of passed cases is asked for, so a program that was late in one case goes on until it is late in
            another. False: the first ends it, which is quicker; the outcome is the same.
        isolate: run every case in a process of its own, even where the cases of a program could not notice each other
            (`cage/purity.py`); the verdicts are the same, it takes longer.
        check_seconds: CPU time that comparing a program's values, or running assertion scripts on them, may take on the trusted
            side, all cases together.
        pending: programs that may wait; beyond that `submit` blocks.
        packages: third-party packages that programs and tests may import, with what these require, if they are installed.
            Tests with fixtures or parameters need pytest.
        cache: verdicts that are remembered, by program and problem; 0 judges everything anew.
        require: the weakest level of isolation that will do, one of `isolation.LEVELS`; "full" is the strongest.
        require_apart: refuse, as InvalidProblem, tests that have to run in one process with the program (`referee/ways.py`).
        without: layers of isolation to leave out, to measure or to test what remains.
    """

    workers: int = 0
    case_seconds: float = 4.0
    program_seconds: float | None = None
    wall_seconds: float | None = None
    memory_mb: int = 1024
    output_bytes: int = 16 << 20
    file_bytes: int = 16 << 20
    processes: int = 64
    kept_output: int = 2000
    trace: bool = False
    trace_cases: bool = False
    facts: bool = False
    ratios: bool = True
    isolate: bool = False
    check_seconds: float = 5.0
    pending: int = 10_000
    packages: tuple[str, ...] = ("numpy", "pytest")
    cache: int = 4096
    require: str = "none"
    require_apart: bool = False
    without: tuple[str, ...] = ()

    def for_worker(self) -> dict[str, Any]:
        """What a worker process is told: plain data."""
        files = {name: paths for name in with_requirements(self.packages) if (paths := _package_files(name))}
        return {**asdict(self), "packages": files, "parent": os.getpid()}

    @classmethod
    def check(cls, backend: str, keywords: dict[str, Any]) -> Options:
        """Options from keywords. Raises UnknownName or UsageError."""
        by_name = {field.name: field for field in fields(cls)}
        for name, value in keywords.items():
            if name not in by_name:
                raise UnknownName(f"option of sandbox {backend!r}", name, by_name)
            _check_value(name, value, by_name[name].default)
        options = cls(**keywords)
        if options.require not in LEVELS:
            raise UnknownName("isolation level", options.require, LEVELS)
        for name in options.without:
            if name not in LAYERS:
                raise UnknownName("isolation layer", name, LAYERS)
        if options.facts and backend != "forkserver":
            raise UsageError(
                f'Expected facts=True with sandbox "forkserver", got {backend!r}: it reads a program in the process that then '
                "runs it, which could lie. Choose another sandbox, or a reward that needs no facts."
            )
        if options.trace_cases and keywords.get("trace") is False:
            raise UsageError("Expected trace=True with trace_cases=True, got trace=False. Leave trace out.")
        return cls(
            **{
                **asdict(options),
                "trace": options.trace or options.trace_cases,
                "workers": options.workers or (1 if current_process().daemon else os.cpu_count() or 1),
                "program_seconds": 30 * options.case_seconds
                if options.program_seconds is None
                else options.program_seconds,
                "wall_seconds": options.case_seconds + 1 if options.wall_seconds is None else options.wall_seconds,
            }
        )


def with_requirements(names: Iterable[str]) -> list[str]:
    """Importable names: these, and those of the distributions that theirs require, as far as they are installed."""
    importable, todo, seen = list(names), list(names), set()
    while todo:
        name = _normal(todo.pop())
        if name in seen:
            continue
        seen.add(name)
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        importable += _top_level(distribution)
        todo += [
            match[0] for line in distribution.requires or () if "extra ==" not in line and (match := _NAME.match(line))
        ]
    return list(dict.fromkeys(importable))


def versions(names: Iterable[str]) -> dict[str, str]:
    """Versions of the distributions that bring these importable names, as far as they are installed, by name."""
    found: dict[str, str] = {}
    for name in names:
        if _package_files(name):
            for owner in _owners(name):
                with contextlib.suppress(metadata.PackageNotFoundError):
                    found[_normal(owner)] = metadata.version(owner)
    return dict(sorted(found.items()))


_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _top_level(distribution: metadata.Distribution) -> list[str]:
    """The names that a distribution can be imported by."""
    text = distribution.read_text("top_level.txt")
    if text:
        return text.split()
    tops = {
        file.parts[0].removesuffix(".py")
        for file in distribution.files or ()
        if file.suffix == ".py" and ".." not in file.parts
    }
    return sorted(name for name in tops if name.isidentifier())


def _package_files(name: str) -> list[str]:
    """Where an installed package lies: its folder or file first, then the shared libraries that its wheel brought."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return []
    if spec is None or (spec.origin is None and not spec.submodule_search_locations):
        return []
    first = next(iter(spec.submodule_search_locations), None) if spec.submodule_search_locations else spec.origin
    beside = os.path.dirname(str(first))
    paths = [str(first), *(os.path.join(beside, f"{owner}.libs") for owner in _owners(name))]
    return [os.path.realpath(path) for path in paths if os.path.exists(path)]


def _owners(name: str) -> list[str]:
    """Names of the distributions that bring a package, its own above all: PIL comes with pillow."""
    with contextlib.suppress(metadata.PackageNotFoundError):
        metadata.distribution(name)
        return [name]
    return sorted({name, *_distributions().get(name, ())})


@functools.cache
def _distributions() -> Mapping[str, list[str]]:
    return metadata.packages_distributions()


def _check_value(name: str, value: Any, default: Any) -> None:
    if isinstance(default, str):
        if not isinstance(value, str):
            raise UsageError(f"Expected {name} to be a text, got {value!r}.")
        return
    if isinstance(default, tuple):
        names = isinstance(value, Collection) and not isinstance(value, str)  # not an iterator, which is read only once
        if not names or not all(isinstance(item, str) and item for item in value):
            raise UsageError(f"Expected {name} to be names in a tuple or list, got {value!r}.")
        return
    if isinstance(default, bool):
        if not isinstance(value, bool):
            raise UsageError(f"Expected {name} to be True or False, got {value!r}.")
        return
    whole = isinstance(default, int)
    good = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool) and 0 < value < MOST
    if not good and not (value is None and default is None) and not (name in ("workers", "cache") and value == 0):
        raise UsageError(
            f"Expected {name} to be a positive {'whole ' if whole else ''}number below 2 ** 40, got {value!r}."
        )
