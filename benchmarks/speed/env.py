"""`python -m benchmarks.speed.env [SECTION ...] [--peers PYTHON]`: how fast the environment is, side by side in one run.

Sections:

    steps     tokens a second while programs are written, nothing judged: one environment, rows in arrays, and the way of
              RL4LMs (arXiv 2210.01241), written anew from its description: each step decodes prompt and program to text and
              encodes that text again
    episodes  whole programs a second, reset, reading input, ten cases, reward: the text environment, against GEM and
              SkyRL-Gym where the interpreter `--peers` has them

Each figure is the median of many short measurements in which all take turns, so that what else the machine does hits all alike.
Quote ratios: the figures are this machine's.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from rich.console import Console
from rich.table import Table

import rltf_env  # noqa: F401 (registers the ids)
from rltf_env import datasets
from rltf_env.command import Parser, guarded, leave
from rltf_env.core import Problem, StdinCase
from rltf_env.env import UnitTestEnv
from rltf_env.errors import RLTFError
from rltf_env.text import TextEnv
from rltf_env.tokenizers import Bytes

DRIVER = Path(__file__).parent / "peers" / "envs.py"
MODULES = {"GEM": "gem", "SkyRL-Gym": "skyrl_gym"}
TEXT = b"def f(x):\n    y = sorted(x)\n    return y[0]\n" * 12  # what is written, token by token
CHUNK = 20  # tokens that are timed together, or one step of many rows: too few to be interrupted much by what else runs
Round = Callable[[], list[float]]  # does some work, and says how many units a second, perhaps several times


@dataclass(frozen=True)
class Row:
    """A way of doing the work, and its rate."""

    name: str
    rate: float


def race(rounds: dict[str, Round], repeat: int) -> list[Row]:
    """The median rate of each way; they take turns."""
    rates_of: dict[str, list[float]] = {name: [] for name in rounds}
    for _ in range(repeat):
        for name, run in rounds.items():
            rates_of[name] += run()
    return [Row(name, statistics.median(rates)) for name, rates in rates_of.items()]


# --------------------------------------------------------------------------------------------------------------- steps


def steps(repeat: int, rows: int, peers: str) -> list[Row]:
    """Tokens a second while programs are written: 512 tokens of prompt, 512 of program, bytes as tokens."""
    problems = datasets.load("procedural", size=64)
    single = gymnasium.make("RLTF-Procedural-v0", dataset=problems, split=None, sandbox="scripted")
    arrays = {
        name: gymnasium.make_vec(
            "RLTF-Procedural-v0", num_envs=rows, dataset=problems, split=None, sandbox="scripted", copy=copy
        )
        for name, copy in ((f"{rows} rows", True), (f"{rows} rows, copy=False", False))
    }
    rounds: dict[str, Round] = {
        "re-encoding": lambda: _timed_episode(Reencoding(problems[0])),
        "one environment": lambda: _timed_episode(single.unwrapped),
        "one environment, gymnasium.make": lambda: _timed_episode(single),
    }
    rounds |= {name: lambda env=env: _timed_episode(env, rows) for name, env in arrays.items()}
    return race(rounds, repeat)


def _timed_episode(env: Any, rows: int = 0) -> list[float]:
    """Tokens a second in the steps of a program, chunk by chunk; the reset is not counted, and no program ends."""
    env.reset(seed=0)
    tokens = TEXT[:500]
    actions: list[Any] = [np.full(rows, token) for token in tokens] if rows else list(tokens)
    rates, result = [], None
    size = 1 if rows else CHUNK
    for first in range(0, len(actions), size):
        start = time.perf_counter()
        for action in actions[first : first + size]:
            result = env.step(action)  # as an agent holds it, until the next one is there
        rates.append(size * (rows or 1) / (time.perf_counter() - start))
    del result
    return rates


class Reencoding:
    """The baseline: an observation is the encoding of a text, and a step makes the text anew."""

    def __init__(self, problem: Problem) -> None:
        self.tokenizer, self.problem = Bytes(), problem
        self.ids: list[int] = []

    def reset(self, seed: int) -> dict[str, Any]:
        """The prompt, encoded."""
        self.prompt, self.ids = self.problem.statement, []
        return self._observe("")

    def step(self, token: int) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """One token more: decode all of them, encode all of that."""
        self.ids.append(token)
        text = self.tokenizer.program(self.ids).text
        return self._observe(text), 0.0, len(self.ids) == 512, False, {}

    def _observe(self, text: str) -> dict[str, Any]:
        parts = {"prompt": self.prompt, "program": text, "both": self.prompt + text}
        return {
            name: self._padded(self.tokenizer.encode(part), 1024 if name == "both" else 512)
            for name, part in parts.items()
        }

    def _padded(self, tokens: list[int], size: int) -> np.ndarray:
        array = np.full(size, self.tokenizer.vocab_size, np.int64)
        array[: len(tokens)] = tokens
        return array


# ------------------------------------------------------------------------------------------------------------ episodes


def ten_cases() -> tuple[Problem, list[str], list[str]]:
    """A problem with ten cases of standard input: the sum of the three smallest numbers."""
    inputs = [f"{n}\n{' '.join(str((i * n) % 97) for i in range(n))}\n" for n in range(5, 15)]
    outputs = [f"{sum(sorted(map(int, text.split()[1:]))[:3])}\n" for text in inputs]
    return Problem("ten", "Add the three smallest.", list(map(StdinCase, inputs, outputs))), inputs, outputs


def solution(number: int) -> str:
    """A right program; another text for each number, so that no verdict is remembered."""
    return f"n = int(input())\nitems = sorted(map(int, input().split()))\nprint(sum(items[:3]))  # {number}\n"


def episodes(repeat: int, rows: int, peers: str) -> list[Row]:
    """Episodes a second, one program each, ten cases of standard input, every program right."""
    problem, inputs, outputs = ten_cases()
    options = {"workers": 2, "cache": 0}
    text = TextEnv([problem], sandbox_options=options)
    tokens = UnitTestEnv([problem], sandbox_options=options)
    pool = [(problem, solution(number)) for number in range(64)]
    rounds: dict[str, Round] = {
        "text environment": lambda: _played(text),
        "judge_many, 2 workers": lambda: _rate(lambda: sum(one.feedback.total for one in tokens.judge_many(pool)), 64),
    }
    for name in sorted(installed(peers)):
        rounds[name] = lambda name=name: _peer(peers, name, inputs, outputs)
    rows_of = race(rounds, repeat)
    text.close()
    tokens.close()
    return rows_of


def _played(env: TextEnv, count: int = 32) -> list[float]:
    def play() -> float:
        total = 0.0
        for number in range(count):
            env.reset(seed=0)
            total += env.step(solution(number))[1]
        return total

    env.reset(seed=0)
    env.step(solution(-1))  # the judge is warm
    return _rate(play, count)


def _rate(work: Callable[[], float], count: int) -> list[float]:
    start = time.perf_counter()
    total = work()
    seconds = time.perf_counter() - start
    if total != count:
        raise RLTFError(
            f"Expected {count} right programs to earn {count}, got {total}: what was timed was no judgement."
        )
    return [count / seconds]


def installed(python: str) -> set[str]:
    """Names of the peers that an interpreter can import."""
    code = "import importlib.util, sys; print([n for n in sys.argv[1:] if importlib.util.find_spec(n)])"
    done = subprocess.run([python, "-c", code, *MODULES.values()], capture_output=True, text=True, check=True)
    return {name for name, module in MODULES.items() if f"'{module}'" in done.stdout}


def _peer(python: str, name: str, inputs: list[str], outputs: list[str], count: int = 16) -> list[float]:
    """Episodes a second of another's environment, as `peers/envs.py` measures them."""
    work = {"inputs": inputs, "outputs": outputs, "programs": [solution(number) for number in range(count)]}
    path = os.pathsep.join([str(Path(python).parent), os.environ.get("PATH", "")])  # GEM starts whatever `python` is
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(work, file)
        file.flush()
        command = [python, str(DRIVER), MODULES[name], file.name]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, env={**os.environ, "PATH": path})
    if done.returncode:
        raise RLTFError(f"{name} failed: {done.stderr.strip().splitlines()[-1:]}")
    answer = json.loads(done.stdout.splitlines()[-1])
    if answer["right"] != count:
        raise RLTFError(f"Expected {name} to find {count} programs right, got {answer['right']}.")
    return [count / answer["seconds"]]


# -------------------------------------------------------------------------------------------------------------- output

SECTIONS: dict[str, Callable[[int, int, str], list[Row]]] = {"steps": steps, "episodes": episodes}


def table(name: str, rows: Sequence[Row]) -> Table:
    """The rows of a section, with each rate as a multiple of the slowest."""
    unit = "tokens/s" if name == "steps" else "episodes/s"
    grid = Table(title=f"{name}: {(SECTIONS[name].__doc__ or '').strip()}", title_justify="left")
    for column in ("way", unit, "us each", "ratio"):
        grid.add_column(column, justify="left" if column == "way" else "right")
    slowest = min(row.rate for row in rows)
    for row in rows:
        grid.add_row(row.name, f"{row.rate:,.3g}", f"{1e6 / row.rate:,.3g}", f"{row.rate / slowest:.1f}")
    return grid


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns the exit status."""
    return guarded(lambda: _main(arguments))


def _main(arguments: Sequence[str] | None) -> int:
    parser = Parser(prog="python -m benchmarks.speed.env", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("section", nargs="*", help=f"which of: {', '.join(SECTIONS)} (default: all)")
    parser.add_argument("--peers", default=sys.executable, help="the interpreter that has other environments installed")
    parser.add_argument("--repeat", type=int, default=9)
    parser.add_argument("--rows", type=int, default=256, help="rows of the vector environment")
    parser.add_argument("--json", type=Path, help="write the rows there as well")
    args = parser.parse_args(arguments)
    if unknown := [name for name in args.section if name not in SECTIONS]:
        parser.error(f"expected sections of {', '.join(SECTIONS)}, got {', '.join(unknown)}")
    console, results = Console(), {}
    for name in args.section or SECTIONS:
        results[name] = SECTIONS[name](args.repeat, args.rows, args.peers)
        console.print(table(name, results[name]))
    if args.json:
        args.json.write_text(
            json.dumps({name: [vars(row) for row in rows] for name, rows in results.items()}, indent=1)
        )
    return 0


if __name__ == "__main__":
    leave(main())
