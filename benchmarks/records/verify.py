"""A record judged again: which verdicts change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from benchmarks import suites
from benchmarks.core import examples_apart
from benchmarks.records.record import Record, provenance
from benchmarks.suites import Suite
from rltf_env import sandbox
from rltf_env.core import Outcome, Sandbox, Verdict
from rltf_env.errors import UsageError


def verify(
    record: Record,
    judge: Sandbox,
    root: str | None = None,
    progress: Callable[[int, int], None] = lambda written, judged: None,
) -> dict[str, Any]:
    """Judges every program of a record again; what changed.

    Messages and times may differ; outcome, kind and line may not. But where a program was stopped from outside is evidence:
    an endless loop is stopped on one line today and on another tomorrow.
    """
    sandbox.check_runs(judge, "a verification")
    if record.samples is None:
        raise UsageError(f"Expected the completions of {record.folder.name}, got a record that only counts them.")
    suite = suite_of(record)
    problems, digest, _ = suites.problems(suite, root, unfrozen=True)
    if digest != record.header["data"]:
        raise UsageError(
            f"Expected the data that the record was made with ({record.header['data']}), got others ({digest})."
        )
    by_id = {problem.id: problem for problem in problems}
    examples = examples_apart(problems)
    changes = []
    jobs = [(sample.answer.text, by_id[sample.key.problem]) for sample in record.samples]
    with_examples = [sample for sample in record.samples if sample.visible]
    visible = judge.map((sample.answer.text, examples[sample.key.problem]) for sample in with_examples)
    again = {sample.key: tuple(r.outcome for r in v.results) for sample, v in zip(with_examples, visible, strict=True)}
    for number, (sample, now) in enumerate(zip(record.samples, judge.map(jobs), strict=True), 1):
        progress(len(jobs), number)
        was, is_now = _essence(sample.verdict, sample.visible), _essence(now, again.get(sample.key, ()))
        if was != is_now:
            changes.append({**sample.key._asdict(), "was": was, "now": is_now})
    return {
        "samples_sha256": record.header["samples_sha256"],
        "programs": len(record.samples),
        "changed": changes,
        "altered": record.altered,
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        **provenance(),
    }


def _essence(verdict: Verdict, visible: Sequence[Outcome]) -> list[Any]:
    failures = [r.failure and [r.failure.kind, None if r.failure.stopped else r.failure.line] for r in verdict.results]
    return [[int(result.outcome) for result in verdict.results], failures, [int(outcome) for outcome in visible]]


def suite_of(record: Record) -> Suite:
    """The protocol that a record was made by."""
    plain = record.header["suite"]
    try:
        return Suite(**{**plain, "ks": tuple(plain["ks"]), "stop": tuple(plain["stop"]), "about": ""})
    except TypeError as error:
        raise UsageError(f"Expected the protocol of a suite in {record.folder}, got {error}.") from error
