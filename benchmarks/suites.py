"""Suites: what is measured and how, frozen. A figure without its suite, version and data digest says little.

    SUITES["humaneval"]      the protocol: problems, samples, sampling, seed, judge
    problems(suite)          the problems, after a look at their digest

A suite changes only together with its version. What is asked for beside the protocol makes a *custom* record; data whose
digest is not known here (APPS has to be brought along) make an *unfrozen* one. Neither is ranked. Who has the data freezes a
suite with `python -m benchmarks.freeze`: that leaves a file in `frozen/`, and suites of one's own begin there.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from rltf_env import datasets, prompts
from rltf_env.core import Problems
from rltf_env.datasets._files import Root
from rltf_env.datasets._jsonl import is_path, nearby
from rltf_env.errors import DataError, UnknownName, UsageError

STOP = prompts.BODY_STOPS  # where a function that was to be completed has ended


@dataclass(frozen=True)
class Suite:
    """A protocol.

    Args:
        name, version: identify it.
        dataset, split, options: of `datasets.load`; a split "" is the dataset's own default.
        digest: `datasets.digest` of all its problems; "" where it is not known.
        samples: programs for each problem.
        ks: the k of each pass@k that is reported; the first ranks.
        temperature, top_p, top_k: how tokens are drawn; temperature 0 takes the most likely.
        max_tokens: tokens that may be chosen for a program.
        stop: texts that end a completion of given code; they are not part of it.
        seed: of the sampling.
        judge: options of the sandbox that bear on verdicts.
        about: what it is and where the protocol comes from.
    """

    name: str
    dataset: str
    split: str
    about: str
    digest: str = ""
    version: int = 1
    options: Mapping[str, Any] = field(default_factory=dict)
    samples: int = 1
    ks: tuple[int, ...] = (1,)
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    max_tokens: int = 512
    stop: tuple[str, ...] = ()
    seed: int = 0
    judge: Mapping[str, Any] = field(default_factory=lambda: {"case_seconds": 4.0, "memory_mb": 1024})

    def __post_init__(self) -> None:
        good = self.samples >= 1 and self.max_tokens >= 1 and self.temperature >= 0 and 0 < self.top_p <= 1
        if not good or self.top_k < 0 or not self.ks or not all(1 <= k <= self.samples for k in self.ks):
            raise UsageError(
                f"Expected samples, max_tokens >= 1, temperature, top_k >= 0, 0 < top_p <= 1 and 1 <= k <= samples, got {self}."
            )

    @property
    def id(self) -> str:
        """Name and version."""
        return f"{self.name}-v{self.version}"

    def changed(self, **changes: Any) -> Suite:
        """The protocol with other values (None leaves one as it is). With fewer samples, larger k's fall away."""
        values = {name: value for name, value in changes.items() if value is not None}
        samples = values.get("samples", self.samples)
        if samples < 1:
            raise UsageError(f"Expected at least 1 sample for each problem, got {samples}.")
        values["ks"] = tuple(k for k in self.ks if k <= samples) or (1,)
        return dataclasses.replace(self, **values)

    def protocol(self) -> dict[str, Any]:
        """Plain data: all but the description and the digest."""
        plain = dataclasses.asdict(self)
        return {name: plain[name] for name in plain if name not in ("about", "digest")}

    def departures(self) -> list[str]:
        """Where this differs from the frozen suite of its name, in words."""
        if self.name not in SUITES:
            return []
        ours, frozen = self.protocol(), get(self.name).protocol()
        return [f"{name} {ours[name]!r} instead of {frozen[name]!r}" for name in ours if ours[name] != frozen[name]]


_PAPER: dict[str, Any] = {"temperature": 0.6, "top_p": 0.95}  # RLTF, arXiv 2307.04349, section 4.1
_APPS = (
    "APPS test, {} problems, sampled as in CodeRL and RLTF (T=0.6, top-p 0.95); 20 programs each, where the papers' "
    "pass@5 is of more. The data are not distributed with this project, so their digest is not frozen yet."
)
_PROCEDURAL = {"size": 500, "seed": 2307, "depths": [2, 3]}  # a seed of its own: no problem that a recipe trains on
WINDOWS = (("2024-08-01", "2025-01-31"), ("2025-02-01", "2025-05-31"))  # LiveCodeBench's two last half years
_ALL = (
    Suite(
        "humaneval",
        "humaneval",
        "test",
        "HumanEval (arXiv 2107.03374), greedy.",
        "151f784609eca934fff1fb429d40f85c255375d9f08fd85ea125b18a8304c61b",
        stop=STOP,
    ),
    Suite(
        "humaneval-sampled",
        "humaneval",
        "test",
        "HumanEval, 20 programs each at T=0.8, top-p 0.95: pass@1 and pass@10.",
        "151f784609eca934fff1fb429d40f85c255375d9f08fd85ea125b18a8304c61b",
        samples=20,
        ks=(1, 10),
        temperature=0.8,
        top_p=0.95,
        stop=STOP,
    ),
    Suite(
        "mbpp",
        "mbpp",
        "test",
        "MBPP's 500 test problems (arXiv 2108.07732), greedy, the three asserts shown.",
        "54d535149c6020ba891db681f883bdeb87f1da599021be7ed8db1ad82bc1e77e",
    ),
    Suite(
        "mbpp-paper",
        "mbpp",
        "test",
        "MBPP's 500 test problems as in RLTF: zero-shot, T=1.2, top-p 0.95; 100 programs each, pass@1 and pass@80.",
        "54d535149c6020ba891db681f883bdeb87f1da599021be7ed8db1ad82bc1e77e",
        samples=100,
        ks=(1, 80),
        temperature=1.2,
        top_p=0.95,
    ),
    Suite(
        "humaneval-plus",
        "humaneval_plus",
        "test",
        "HumanEval+ (arXiv 2305.01210), EvalPlus's release v0.1.10, greedy.",
        stop=STOP,
    ),
    Suite("mbpp-plus", "mbpp_plus", "test", "MBPP+ (arXiv 2305.01210), EvalPlus's release v0.2.0, greedy."),
    *(
        Suite(
            f"livecodebench-{start[:7]}-{end[:7]}",
            "livecodebench",
            "test",
            f"LiveCodeBench (arXiv 2403.07974), release v6, published from {start} to {end}; 10 programs each at T=0.2, "
            "top-p 0.95, as in its paper.",
            options={"version": "release_v6", "start_date": start, "end_date": end},
            samples=10,
            ks=(1, 5),
            temperature=0.2,
            top_p=0.95,
            max_tokens=2000,
            judge={"case_seconds": 6.0, "memory_mb": 4096},
        )
        for start, end in WINDOWS
    ),
    *(
        Suite(
            f"apps-{difficulty}",
            "apps",
            "test",
            _APPS.format(difficulty),
            options={"difficulty": difficulty},
            samples=20,
            ks=(1, 5),
            **_PAPER,
        )
        for difficulty in ("introductory", "interview", "competition")
    ),
    Suite(
        "procedural-seen",
        "procedural",
        "seen",
        "500 procedural problems with compositions of operations as in training, and constants that training never puts together.",
        "870aba74f9afc4608d36b0cf447343ae02a9c41233d75377cbfeb3c368978e68",
        version=2,
        options=_PROCEDURAL,
        samples=5,
        ks=(1, 5),
        max_tokens=128,
        **_PAPER,
    ),
    Suite(
        "procedural-unseen",
        "procedural",
        "test",
        "500 procedural problems with compositions of operations that training never shows.",
        "f52ba3cbb4b06b436f5b9dac8cb95feb85e8b890b4ef0333cab4772083b55a93",
        version=2,
        options=_PROCEDURAL,
        samples=5,
        ks=(1, 5),
        max_tokens=128,
        **_PAPER,
    ),
    Suite(
        "grown-unseen",
        "grown",
        "test",
        "500 grown programs of 2 to 6 conditionals, with combinations of operations that training never shows.",
        "55ac4e1d49f90270244388a534988542f902ff0b0d560991caafaf7b25fce581",
        options={"size": 500, "seed": 2407, "conditionals": [2, 6]},
        samples=5,
        ks=(1, 5),
        max_tokens=640,
        **_PAPER,
    ),
)
FROZEN = Path(__file__).with_name("frozen")  # a file for each suite that was frozen by its data


def written(suite: Suite, digest: str, count: int) -> dict[str, Any]:
    """What a file of `frozen/` holds: the protocol, the digest, how many problems."""
    return {**suite.protocol(), "about": suite.about, "digest": digest, "problems": count}


def from_file(path: Path) -> Suite:
    """The suite of a file of `frozen/`. Raises DataError if it holds no suite."""
    try:
        plain = json.loads(path.read_bytes())
        plain.pop("problems")
        return Suite(**{**plain, "ks": tuple(plain["ks"]), "stop": tuple(plain["stop"])})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: expected a frozen suite, got {error!r}. Write it with benchmarks.freeze.") from error


def with_frozen(suites: Sequence[Suite], folder: Path) -> dict[str, Suite]:
    """The suites by name, with the digests that files of a folder freeze them by, and those that only stand there.

    Raises:
        DataError: a file has another protocol than the suite of its name.
    """
    named = {suite.name: suite for suite in suites}
    for path in sorted(folder.glob("*.json")):
        suite = from_file(path)
        if suite.name in named and named[suite.name].protocol() != suite.protocol():
            raise DataError(
                f"{path}: expected the protocol of suite {named[suite.name].id}, got another. Freeze it again."
            )
        named[suite.name] = suite
    return named


OWN = "Problems of your own are a file FILE.jsonl, a folder ./FOLDER, hub:OWNER/NAME or module:attr."
SUITES: Mapping[str, Suite] = MappingProxyType(with_frozen(_ALL, FROZEN))


def get(name: str) -> Suite:
    """The suite of that name. Raises UnknownName."""
    if name not in SUITES:
        raise UnknownName("suite", name, SUITES, hint=nearby(name, None) or OWN)
    return SUITES[name]


def is_own(name: str) -> bool:
    """True if `name` is no suite but a dataset: a path, `hub:...` or `module:attr`."""
    return name not in SUITES and (":" in name or is_path(name))


def own(dataset: str, split: str = "", options: Mapping[str, Any] | None = None) -> Suite:
    """A protocol for a dataset that is no suite: one program a problem, the most likely one.

    Args:
        dataset: what `datasets.load` takes: a file or folder of problems, `hub:OWNER/NAME`, `module:attr`.
        split, options: of `datasets.load`.
    """
    stem = dataset.rstrip("/").rpartition("/")[2].removesuffix(".gz").removesuffix(".jsonl")
    name = re.sub(r"[^\w.-]+", "-", stem).strip("-.") or "problems"
    about = f"Problems of {dataset}."
    return Suite(name if name not in SUITES else f"own-{name}", dataset, split, about, options=options or {}, stop=STOP)


def problems(suite: Suite, root: Root = None, *, unfrozen: bool = False) -> tuple[Problems, str, str]:
    """The suite's problems, their digest, and "frozen", "unfrozen", or "own" where there is no such suite.

    Args:
        unfrozen: take other data than the suite was frozen with; the record says so.

    Raises:
        MissingData: the data are not there.
        DataError: they are not those that the suite was frozen with.
    """
    where = {} if root is None else {"root": root}
    rows = datasets.load(suite.dataset, split=suite.split or None, **where, **suite.options)
    digest = datasets.digest(rows)
    if suite.name not in SUITES:
        return rows, digest, "own"
    if digest == suite.digest:
        return rows, digest, "frozen"
    if suite.digest and not unfrozen:
        raise DataError(
            f"Expected the data of suite {suite.id} to have the digest {suite.digest}, got {digest} ({len(rows)} problems). "
            "Fetch the official files; or pass --unfrozen for a record that says so and is not ranked."
        )
    return rows, digest, "unfrozen"
