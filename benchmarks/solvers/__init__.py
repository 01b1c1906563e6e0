"""Who answers: `find(spec, ...)` makes a `core.Solver` of what stands behind `--agent`. One file = one kind.

    runs/NAME                  policy.py       the folder of a run of agents.train
    org/model, ./folder        policy.py       a hub id, or a local transformers folder
    package:NAME               policy.py       an installed package that carries weights
    http://host:port/v1        endpoint.py     a server that speaks OpenAI's protocol: vLLM, llama.cpp, Ollama
    programs.jsonl[.gz]        completions.py  a file of programs written elsewhere
    ./programs                 completions.py  a folder of such, ID/0.py, ID/1.py, ...
    log:FILE                   logs.py         a log of Inspect AI or lm-evaluation-harness
    module:function            function.py     a function of yours

Each file has `load(spec, suite, **options) -> Solver`. Imports of torch wait until a policy is asked for.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.core import Solver
from benchmarks.solvers.completions import programs_in
from benchmarks.suites import Suite
from rltf_env import answers
from rltf_env._renamed import renamed
from rltf_env.errors import UnknownName

FILES = (".jsonl", ".json", ".jsonl.gz", ".json.gz")

__getattr__ = renamed(__name__, {"spelled": "whole_program", "cut": "before_stop"})


def kind(spec: str) -> str:
    """Which file of this folder a spec is for."""
    if re.match(r"https?://", spec):
        return "endpoint"
    if spec.startswith("log:"):
        return "logs"
    if spec.endswith(FILES) or programs_in(Path(spec)):
        return "completions"
    if Path(spec).is_dir() or spec.startswith("package:") or ":" not in spec:
        return "policy"
    return "function"


def find(spec: str, suite: Suite, options: Mapping[str, Any]) -> Solver:
    """The solver behind `spec`.

    Args:
        suite: the protocol by which it is to write.
        options: its own, see the `load` of its file.

    Raises:
        UnknownName: no such option; the message names the nearest.
        MissingData, UsageError: there is no such agent, or it does not fit.
    """
    load = importlib.import_module(f"{__name__}.{kind(spec)}").load
    choices = [name for name in inspect.signature(load).parameters if name not in ("spec", "suite")]
    for name in options:
        if name not in choices:
            raise UnknownName(f"option of a solver of kind {kind(spec)!r}:", name, choices)
    return load(spec, suite, **options)


def whole_program(prefix: str, text: str, entry_point: str | None) -> str:
    """The program that an answer in words amounts to, where a problem gives `prefix` for free; see `answers.joined`."""
    return answers.joined(prefix, text, entry_point)


def before_stop(text: str, stop: tuple[str, ...]) -> str:
    """`text` up to the first of the stop texts."""
    return text[: min((at for each in stop if (at := text.find(each)) >= 0), default=len(text))]
