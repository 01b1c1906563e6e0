"""`python -m rltf_env.synthesis NAME --out made.jsonl`: an environment out of typed functions, with tests made automatically.

NAME is what `datasets.load` takes: the references of its problems are the functions. With `--columns code=...` it is rows that
hold a function each, without any tests: `hub:owner/name`, `hub:FOLDER` (parquet, JSON, CSV), or a JSON-lines file. The
result is a JSON-lines file of problems, for `dataset="made.jsonl"` anywhere.

Exit status 0: it is written; 2: the data cannot be read, or no function is left; 130: interrupted.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import count, islice
from pathlib import Path
from typing import Any, get_args

import numpy as np

from rltf_env import datasets, plugins, sandbox
from rltf_env.command import guarded, leave, parser
from rltf_env.core import Problem, Problems
from rltf_env.datasets._files import read_rows
from rltf_env.errors import MissingData, RLTFError, UsageError
from rltf_env.synthesis import Settings, function, judge_options, synthesize
from rltf_env.synthesis._options import add_options
from rltf_env.synthesis.making import Choice
from rltf_env.view import ansi

SIZES = {  # of the settings, what a command may set
    "inputs": "inputs to try for each function",
    "tests": "most tests of a problem",
    "least": "fewest tests of a problem; a function that gets fewer is left out",
    "examples": "public examples besides the tests, as far as inputs are left",
    "largest": "most characters of an output, as JSON",
    "mutants": "wrong programs to try the tests on",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns the exit status."""
    return guarded(lambda: _main(arguments))


def _main(arguments: Sequence[str] | None) -> int:
    asked = _parser().parse_args(arguments)
    try:
        out = Path(asked.out)
        if out.exists():
            raise UsageError(f"Expected a new file with --out, got {out}, which is there. Remove it, or name another.")
        settings = Settings(**{name: getattr(asked, name) for name in SIZES}, killed=asked.killed, choice=asked.choice)
        functions = list(islice(_functions(asked), asked.limit))
        sandbox.check_runs(asked.sandbox, "made tests")
        with sandbox.load(asked.sandbox, **judge_options(settings.largest, asked.seconds)) as judge:
            made = synthesize(functions, judge, np.random.default_rng(asked.seed), settings)
        datasets.dump(made, out)
    except RLTFError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Interrupted: nothing was written.", file=sys.stderr)
        return 130
    print(_report(made, len(functions), out))
    return 0


def _parser() -> argparse.ArgumentParser:
    made = parser("rltf_env.synthesis", __doc__)
    made.add_argument("--columns", metavar="code=NAME,...", help="rows of functions: code, statement, id, entry_point")
    add_options(made, "functions", Settings(), SIZES)
    made.add_argument(
        "--killed",
        type=float,
        default=Settings().killed,
        help="share of mutants that tests must fail (default: %(default)s)",
    )
    made.add_argument(
        "--choice", choices=get_args(Choice), default=Settings().choice,
        help="the tests that fail most mutants, or the first ones that were drawn",
    )  # fmt: skip
    return made


def _functions(asked: argparse.Namespace) -> Iterable[Problem]:
    options = datasets.checked(plugins.options(asked.option))
    if asked.columns is None:
        return datasets.load(asked.name, asked.split, asked.root, **options)
    columns = dict(map(_pair, asked.columns.split(",")))
    if not asked.name.startswith(datasets.HUB):
        path = Path(asked.root or "") / asked.name
        if not path.is_file():
            raise MissingData(f"Expected a JSON-lines file of functions at {path}, got nothing. Or name hub:FOLDER.")
        stem = path.name.partition(".")[0]
        return (function(row.value, f"{stem}/{i}", columns) for i, row in enumerate(read_rows(path)))
    convert = partial(_row, numbers=count(), name=asked.name.removeprefix(datasets.HUB), columns=columns)
    return datasets.load(asked.name, asked.split, asked.root, **options, convert=convert)


def _row(row: dict[str, Any], numbers: Any, name: str, columns: dict[str, str]) -> Problem:
    return function(row, f"{name}/{next(numbers)}", columns)


def _pair(text: str) -> tuple[str, str]:
    name, equals, column = text.partition("=")
    if not equals:
        raise UsageError(f"Expected --columns as code=NAME,statement=NAME, got {text!r}.")
    return name.strip(), column.strip()


def _report(made: Problems, total: int, out: Path) -> str:
    """What came, for people."""
    tests = sum(len(problem.cases) for problem in made)
    mutants, killed = (sum(problem.meta["made"][name] for problem in made) for name in ("mutants", "killed"))
    lines = [
        f"{len(made)} of {total} functions have tests now: {tests} in all, which fail {killed} of {mutants} mutants",
        *(
            f"  {n} left out: {ansi.printable(why)}"
            for why, n in Counter(why for _, why in made.skipped).most_common(8)
        ),
        f"written to {out}",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    leave(main())
