"""Answers from a log of another harness, judged here: `--agent log:FILE`.

    log:2026-11-28_unit-tests.json       Inspect AI, as JSON: `inspect log convert FILE.eval --to json --output-dir .`
    log:samples_rltf_mbpp_2026-11.jsonl  lm-evaluation-harness with --log_samples; `results_*.json` beside it says how

What that harness thought of an answer counts for nothing. The answers are taken, the programs in them
judged, and the record is like any other: it can be verified and ranked. How they were sampled is in
the log; where that is not what the suite wants, or is not there, the record departs from the suite.
A sample that ended with an error is no answer, so its problem has too few.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.core import Answer
from benchmarks.solvers.completions import SURPLUS, Completions
from benchmarks.suites import Suite
from rltf_env import answers
from rltf_env.core import Problem
from rltf_env.datasets._files import parse
from rltf_env.errors import DataError, MissingData, UnknownName

CUT = "cut answer"  # of a row: it ended at the limit of tokens
WHOLE = "answer"
NEUTRAL = {"top_p": 1.0, "top_k": 0}  # what sampling is without a word on it


class Log(Completions):
    """See the module's head.

    Args:
        harness: `inspect` or `lm-eval`. model: as the log calls it.
        rows: the answers of each problem, by id in lower case, in the order of their samples.
        sampling: what the log says of it: `temperature`, `top_p`, `top_k`, `max_tokens`, `stop`, `seed`.
    """

    def __init__(
        self,
        where: str,
        content: bytes,
        harness: str,
        model: str,
        rows: dict[str, list[tuple[str, str]]],
        sampling: Mapping[str, Any],
        suite: Suite,
        surplus: str,
    ) -> None:
        self.name, self.where, self.surplus = model or Path(where).name, where, surplus
        self.sha256 = hashlib.sha256(content).hexdigest()
        self.by_id, self.ordered = rows, []
        self.harness, self.model, self.sampling, self.suite = harness, model, dict(sampling), suite
        if not rows:
            raise DataError(f"{where}: expected answers, got a log without any.")

    def describe(self) -> dict[str, Any]:
        """The log's hash, its harness, the model, and the sampling that it records."""
        details = {"harness": self.harness, "model": self.model, "sampling": self.sampling}
        return {"kind": "log", "sha256": self.sha256, **details}

    def check(self, problems: Sequence[Problem], samples: int) -> list[str]:
        """Where the log departs from the suite's protocol, in words, its number of answers included."""
        return [*super().check(problems, samples), *differences(self.suite, self.sampling)]

    def _write(self, problem: Problem, samples: int) -> list[Answer]:
        return [_answer(problem, *row) for row in self._rows(problem, samples)[:samples]]


def _answer(problem: Problem, field: str, text: str) -> Answer:
    choice = answers.choose(text, problem.entry_point)
    program = answers.joined(problem.prefix, choice.program, problem.entry_point)
    return Answer(program, truncated=field == CUT, taken=choice.description)


def differences(suite: Suite, sampling: Mapping[str, Any]) -> list[str]:
    """Where recorded sampling is not the suite's, and what is not recorded though it matters, in words."""
    departures = []
    for name in ("temperature", "top_p", "top_k", "max_tokens"):
        wanted, recorded = getattr(suite, name), sampling.get(name, NEUTRAL.get(name))
        if suite.temperature == 0 and name in NEUTRAL:
            continue  # the most likely token is one whatever the rest is cut off at
        if recorded is None:
            departures.append(f"{name} not recorded in the log")
        elif recorded != wanted:
            departures.append(f"{name} {recorded!r} instead of {wanted!r}")
    stop = tuple(sampling.get("stop") or ())
    if stop != suite.stop:
        departures.append(f"stop {stop!r} instead of {suite.stop!r}")
    return departures


# ------------------------------------------------------------------------------------------------- Inspect AI


def inspect(content: bytes, where: str) -> tuple[str, dict[str, list[tuple[str, str]]], dict[str, Any]]:
    """Model, answers and sampling of an Inspect log in JSON."""
    log = parse(content, where)
    try:
        config = {**(log["eval"].get("model_generate_config") or {}), **(log["plan"].get("config") or {})}
        names = {"temperature": "temperature", "top_p": "top_p", "top_k": "top_k", "max_tokens": "max_tokens"}
        names |= {"stop_seqs": "stop", "seed": "seed"}
        sampling = {ours: config[theirs] for theirs, ours in names.items() if config.get(theirs) is not None}
        rows: dict[str, list[tuple[str, str]]] = {}
        for sample in sorted(log["samples"] or [], key=lambda sample: sample["epoch"]):
            choices = sample["output"].get("choices") or []
            if sample.get("error") or not choices:
                continue
            field = CUT if choices[0].get("stop_reason") in ("max_tokens", "model_length") else WHOLE
            rows.setdefault(str(sample["id"]), []).append((field, _text(choices[0]["message"]["content"])))
        return log["eval"]["model"], rows, sampling
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{where}: expected a log of Inspect AI in JSON, got something else ({error!r}). Make it with "
            "`inspect log convert FILE.eval --to json --output-dir FOLDER`."
        ) from error


def _text(content: Any) -> str:
    """A message's content: a text, or parts of which the texts count."""
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content if part.get("type") == "text")


# ------------------------------------------------------------------------------------ lm-evaluation-harness


def lm_eval(content: bytes, where: str, results: Mapping[str, Any]) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Model, answers and sampling of lm-eval's samples, the latter two from its `results_*.json` where that is there."""
    rows: dict[str, list[tuple[str, str]]] = {}
    first: dict[str, str] = {}
    try:
        for number, line in enumerate(filter(None, content.splitlines()), 1):
            row = parse(line, f"{where}:{number}")
            doc, filtered = row["doc"], row.get("filter", "")
            id = str(doc["id"] if "id" in doc else doc["task_id"])
            if first.setdefault(id, filtered) == filtered:  # a row for each filter: the raw answers are the same
                rows.setdefault(id, []).extend((WHOLE, text) for request in row["resps"] for text in request)
    except (KeyError, TypeError) as error:
        raise DataError(
            f"{where}: expected samples of lm-eval (--log_samples) whose documents have an id or task_id, got "
            f"something else ({error!r})."
        ) from error
    return str(results.get("model_name") or ""), rows, _generation(results, where)


def _generation(results: Mapping[str, Any], where: str) -> dict[str, Any]:
    """How the task of a samples file was sampled."""
    configs = results.get("configs") or {}
    chosen = next((config for name, config in configs.items() if f"samples_{name}_" in where), {})
    generation = chosen.get("generation_kwargs") or {}
    names = {"temperature": "temperature", "top_p": "top_p", "top_k": "top_k", "max_gen_toks": "max_tokens"}
    names |= {"until": "stop", "seed": "seed"}
    sampling = {ours: generation[theirs] for theirs, ours in names.items() if generation.get(theirs) is not None}
    return sampling | ({"temperature": 0.0} if generation.get("do_sample") is False else {})


# ------------------------------------------------------------------------------------------------------ files


def load(spec: str, suite: Suite, *, surplus: str = "error") -> Log:
    """The solver of the log `spec`, "log:FILE".

    Args:
        surplus: what becomes of answers beyond those that the suite wants of each problem: an `error`, or `drop`.
    """
    if surplus not in SURPLUS:
        raise UnknownName("value of surplus", surplus, SURPLUS)
    path = Path(spec.removeprefix("log:"))
    if not path.is_file():
        raise MissingData(f"Expected a log of Inspect AI or lm-eval, got {str(path)!r}, which is no file.")
    content = path.read_bytes()
    if content[:2] == b"PK":
        raise DataError(
            f"{path.name}: expected JSON, got Inspect's archive. Convert it first: "
            f"`inspect log convert {path.name} --to json --output-dir .`"
        )
    if path.suffix == ".jsonl":
        return Log(path.name, content, "lm-eval", *lm_eval(content, path.name, _beside(path)), suite, surplus)
    return Log(path.name, content, "inspect", *inspect(content, path.name), suite, surplus)


def _beside(path: Path) -> dict[str, Any]:
    """lm-eval's `results_TIME.json` for `samples_TASK_TIME.jsonl`; {} where it is not there."""
    time = path.stem.rpartition("_")[2]
    results = path.with_name(f"results_{time}.json")
    return json.loads(results.read_bytes()) if results.is_file() else {}
