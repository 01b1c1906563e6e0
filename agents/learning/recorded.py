"""Programs that somebody judged before, as samples: what is learnt from without writing or judging anything.

    recorded("runs/evaluations/mbpp/MODEL", env)    the record of a finished `python -m benchmarks.evaluate`
    recorded("programs.jsonl", env)                 lines of {"problem": id, "text": ..., "outcomes": "0123"}

The lines are those of a record's `samples.jsonl.gz` (`rltf_env.plain.compact_verdict`). The reward is the environment's, made anew
of each verdict. A record names its problems and says with a digest what they were; the ids of a single file are found by
the environment's own source. The record of a test suite teaches the test.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from agents.core import TrainingSample
from rltf_env import datasets, plain, tokenizers
from rltf_env.core import Attempt, Feedback, FloatArray, Problem, Program
from rltf_env.datasets._files import parse, read_rows, read_text
from rltf_env.env import UnitTestEnv
from rltf_env.errors import DataError, MissingData, UnknownName, UsageError

SAMPLES, HEADER = "samples.jsonl.gz", "header.json"
Earned = Callable[[Feedback], FloatArray]  # what each token of a program weighs


def recorded(path: str | Path, env: UnitTestEnv, earned: Earned) -> list[TrainingSample]:
    """A sample for each program that the environment's tokenizer spells as it is and that fits its limit of tokens.

    Args:
        path: the folder of a finished record, or a JSON-lines file, also one that is packed.
        env: whose prompts, tokenizer and reward the samples have.
        earned: float32 (T,) of a program's feedback: the weights of its sample.

    Raises:
        MissingData: there is no such file, or the record is not finished.
        DataError: a line is no judged program, or the problems are not those that the record was made with.
        UsageError: no program is left.
    """
    file, find = opened(Path(path), env)
    samples = [_sample(row.value, row.where, env, find, earned) for row in read_rows(file)]
    kept = [sample for sample in samples if sample is not None]
    if not kept:
        raise UsageError(
            f"Expected programs in {file} that fit env.max_program_tokens={env.max_program_tokens} and that the policy's tokenizer "
            f"spells as they are, got none of {len(samples)}. Raise the limit, or name another record."
        )
    return kept


def check(path: str | Path) -> None:
    """Raises MissingData unless there is something to read: said before a run begins."""
    file = Path(path) / SAMPLES if Path(path).is_dir() else Path(path)
    if not file.is_file():
        raise MissingData(
            f"Expected judged programs at {file}, got nothing. Name the folder of a finished record of benchmarks.evaluate, or a "
            "file of such lines."
        )


def opened(path: Path, env: UnitTestEnv) -> tuple[Path, Callable[[str], Problem]]:
    """The file of lines, and what finds the problem of one. Raises as `recorded` does."""
    check(path)
    if not path.is_dir():
        return path, env.source.find
    header = plain.as_object(parse(read_text(path / HEADER), str(path / HEADER)), str(path / HEADER))
    suite = plain.field(header, "suite", dict, str(path / HEADER))
    problems = datasets.load(suite["dataset"], split=suite["split"], root=env.root, **suite["options"])
    digest = datasets.digest(problems)
    if digest != header["data"]:
        raise DataError(
            f"Expected the data of {path} to have the digest {header['data']}, got {digest}. Fetch the data that the record was "
            "made with: its verdicts are on those."
        )
    by_id = {problem.id: problem for problem in problems}
    return path / SAMPLES, lambda id: _lookup(id, by_id)


def _lookup(id: str, problems: dict[str, Problem]) -> Problem:
    if id not in problems:
        raise UnknownName("problem", id, problems)
    return problems[id]


def _sample(
    row: dict[str, Any], where: str, env: UnitTestEnv, find: Callable[[str], Problem], earned: Earned
) -> TrainingSample | None:
    """The program of a line, with its end unless it was cut off; None if it does not fit or is spelled otherwise."""
    id, text = plain.field(row, "problem", str, where), plain.field(row, "text", str, where)
    try:
        problem = find(id)
    except UnknownName as error:
        raise DataError(f"{where}: {error}") from error
    program = _program(problem, text, bool(row.get("truncated", False)), env, where)
    if len(program) > env.max_program_tokens or program.text != text:
        return None
    feedback = env.reward(Attempt(problem, program, plain.expand_verdict(row, where)))
    weights, unknown = earned(feedback), np.zeros(len(program), np.float32)
    return TrainingSample(env.encode_prompt(problem), program.tokens, feedback.loss_mask, weights, unknown)


def _program(problem: Problem, text: str, truncated: bool, env: UnitTestEnv, where: str) -> Program:
    if not text.startswith(problem.prefix):
        raise DataError(f"{where}: expected a program that begins with the prefix of {problem.id!r}; it does not.")
    prefix: list[int] = env.encode_prefix(problem).tolist()
    rest = env.tokenizer.encode(text[len(tokenizers.fitting_prefix(env.tokenizer, problem.prefix)) :])
    tokens = np.array([*prefix, *rest, *([] if truncated else [env.tokenizer.eos_id])], np.int64)
    return env.tokenizer.program(tokens, prefix_length=len(prefix), truncated=truncated)
