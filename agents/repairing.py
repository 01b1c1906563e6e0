"""Making repair pairs: of programs that a finished run's policy writes, or of a record of `benchmarks.evaluate`.

    RUN's policy --programs--> judge --wrong ones--> public examples --report--> RUN/repairs
    a record     --judged programs--------^

A wrong program becomes a pair (`agents/repairs.py`) with what the public examples say of it and a right program as the
target. It is tried on the examples here, also if it comes from a record, so that its report is what a decoder would have
shown. Problems come from the run's environment, whole ones, without its curriculum. One that the run's [eval] measures on, or
that its environment does not train on, gives no pair.

Pairs are kept chunk by chunk, and the draws of a chunk depend on its number alone: a command that was stopped goes on to the
same pairs.
"""

from __future__ import annotations

import hashlib
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from agents.building import make_env, make_eval_env, make_policy
from agents.config import finished, trained_with
from agents.core import AnyDecoder, Policy, rngs
from agents.decoding.examples import visible_problem
from agents.labelling import about, begin, for_labels
from agents.learning.recorded import opened
from agents.repairs import PAIRS, HeldOut, RepairPair, RepairSettings
from agents.rollout import collect, verdicts
from agents.running.folder import records, to_json, write_text
from agents.running.journal import UpdateLog
from agents.running.panel import heartbeat, progress
from agents.training import Measure
from rltf_env import plain, prompts
from rltf_env.core import Outcome, Problem, Verdict
from rltf_env.datasets._files import read_rows
from rltf_env.env import UnitTestEnv
from rltf_env.errors import DataError, UnknownName, UsageError

USE = "repair pairs, which tell right programs from wrong ones"
COUNTS = ("programs", "passed", "wrong", "pairs", "successes", "held_out", "lost")


@dataclass(frozen=True)
class Judged:
    """A program of whoever wrote it, and what became of it."""

    text: str
    verdict: Verdict
    truncated: bool = False

    @property
    def passed(self) -> bool:
        """Whether it can be a target: right, and with its end."""
        return self.verdict.outcome is Outcome.PASSED and not self.truncated


Groups = list[tuple[Problem, list[Judged]]]
Programs = Callable[[int], tuple[Groups, int]]  # of a chunk, by number, and how many of its problems are held out
Advance = Callable[[int, Counter[str]], None]  # is given the chunks that are done, and the counts


# ----------------------------------------------------------------------------------------------------- where from


def of_policy(
    policy: Policy[Any],
    env: UnitTestEnv,
    settings: RepairSettings,
    sampling: AnyDecoder,
    held: HeldOut,
    journal: UpdateLog,
) -> tuple[Programs, int]:
    """Programs that `policy` writes, chunk by chunk, and the number of chunks."""
    rng = np.random.default_rng(settings.seed)
    problems = [env.source.draw(rng) for _ in range(settings.problems)]

    def programs(number: int) -> tuple[Groups, int]:
        chunk = problems[number * settings.chunk : (number + 1) * settings.chunk]
        part = held.without(chunk)
        generator = rngs(zlib.crc32(f"{settings.seed}/{number}".encode()), policy.device)[1]
        options: dict[str, Any] = {"repeats": settings.samples, "generator": generator, "journal": journal}
        groups = collect(policy, env, part, sampling, **options) if part else []
        texts = [[Judged(e.program.text, e.verdict, e.program.truncated) for e in group] for group in groups]
        return list(zip(part, texts, strict=True)), len(chunk) - len(part)

    return programs, -(-len(problems) // settings.chunk)


def of_record(path: Path, env: UnitTestEnv, settings: RepairSettings, held: HeldOut) -> tuple[Programs, int]:
    """Programs of a record, or of a file of its lines, chunk by chunk, and the number of chunks."""
    file, find = opened(path, env)
    rows: dict[str, list[tuple[dict[str, Any], str]]] = {}
    for row in read_rows(file):
        rows.setdefault(plain.field(row.value, "problem", str, row.where), []).append((row.value, row.where))
    ids = list(rows)

    def programs(number: int) -> tuple[Groups, int]:
        chunk = ids[number * settings.chunk : (number + 1) * settings.chunk]
        trained = [problem for id in chunk if (problem := _trained_on(id, env, find, rows[id][0][1])) is not None]
        part = held.without(trained)
        return [(p, [_judged(*row) for row in rows[p.id]]) for p in part], len(chunk) - len(part)

    return programs, -(-len(ids) // settings.chunk)


def _trained_on(id: str, env: UnitTestEnv, find: Callable[[str], Problem], where: str) -> Problem | None:
    """The environment's own problem of this id; None where it has none, though the record's data do."""
    try:
        return env.source.find(id)
    except UnknownName as error:
        if find == env.source.find:  # a bare file: nothing else says what its ids are
            raise DataError(f"{where}: {error}") from error
        find(id)
        return None


def _judged(row: dict[str, Any], where: str) -> Judged:
    text = plain.field(row, "text", str, where)
    return Judged(text, plain.expand_verdict(row, where), bool(row.get("truncated", False)))


# ---------------------------------------------------------------------------------------------------------- pairs


def pairs_of(
    env: UnitTestEnv, groups: Groups, settings: RepairSettings, journal: UpdateLog
) -> tuple[list[RepairPair], Counter[str]]:
    """The pairs that these programs make, and what was counted on the way."""
    chosen = [
        (problem, programs, at)
        for problem, programs in groups
        for at in _wrong(programs)[: settings.most]
        if problem.solutions or any(p.passed for p in programs)
    ]
    jobs = [(visible, env.program_of(problem, programs[at].text)) for problem, programs, at in chosen
            if (visible := visible_problem(problem)) is not None]  # fmt: skip
    replies = iter(verdicts(env, jobs, journal))
    pairs: list[RepairPair] = []
    counts = Counter[str](wrong=len(chosen))
    for problem, programs, at in chosen:
        public = next(replies) if problem.examples else None
        if problem.examples and public is None:
            counts["lost"] += 1
            continue
        reply = prompts.report(problem, programs[at].verdict, public)
        pairs.append(RepairPair(problem.id, programs[at].text, reply, _target(problem, programs, at, settings.target)))
    counts.update(pairs=len(pairs), successes=sum(bool(pair.success) for pair in pairs))
    counts.update(programs=sum(len(programs) for _, programs in groups))
    counts.update(passed=sum(p.verdict.outcome is Outcome.PASSED for _, programs in groups for p in programs))
    return pairs, counts


def _wrong(programs: Sequence[Judged]) -> list[int]:
    """Where the wrong programs are, each text once."""
    first = {p.text: i for i, p in reversed(list(enumerate(programs))) if p.verdict.outcome is not Outcome.PASSED}
    return sorted(first.values())


def _target(problem: Problem, programs: Sequence[Judged], at: int, target: str) -> str:
    """The success that is the target, or "" for the references."""
    later = [p.text for p in programs[at + 1 :] if p.passed]
    before = [p.text for p in programs[:at] if p.passed]
    if (target == "reference" and problem.solutions) or not (later or before):
        return ""
    return later[0] if later else before[-1]


def make_pairs(
    env: UnitTestEnv,
    programs: Programs,
    chunks: int,
    settings: RepairSettings,
    out: Path,
    journal: UpdateLog | None = None,
    advance: Advance | None = None,
) -> Counter[str]:
    """Makes the pairs of all chunks, into `out`; what is there already is kept. The counts of `tally`.

    `advance(chunks, counts)` is called before the first chunk and after each.
    """
    report, path = advance or (lambda done, counts: None), out / PAIRS
    lines = records(path)
    write_text(path, "".join(to_json(line) + "\n" for line in lines))  # without what a killed writer left half done
    report(len(lines), tally(lines))
    with open(path, "a", encoding="utf-8", buffering=1) as file:
        for number in range(len(lines), chunks):
            groups, held = programs(number)
            pairs, counts = pairs_of(env, groups, settings, journal or UpdateLog())
            counts["held_out"] = held
            lines.append({"chunk": number, "counts": dict(counts), "pairs": [pair.to_dict() for pair in pairs]})
            file.write(to_json(lines[-1]) + "\n")
            report(number + 1, tally(lines))
    return tally(lines)


def tally(lines: Sequence[dict[str, Any]]) -> Counter[str]:
    """What all chunks counted, by the names of `COUNTS`."""
    counts = Counter[str](dict.fromkeys(COUNTS, 0))
    for line in lines:
        counts.update(line["counts"])
    return counts


# -------------------------------------------------------------------------------------------------------- of a run


def repair_run(
    run: Path, settings: RepairSettings, out: Path, console: Console, record: Path | None = None, device: str = ""
) -> Counter[str]:
    """Makes the pairs of a finished run's programs, or of a record's, into `out`; what was counted.

    Raises:
        MissingData: the run has no policy yet, or the record is not there or not finished.
        DataError: `out` holds pairs of something else, or the record is of other data.
        UsageError: there is no pair.
    """
    recipe = for_labels(finished(run, device))
    policy = make_policy(recipe)
    with make_env(recipe, policy) as trained_in, make_eval_env(recipe, policy, trained_in) as env:
        env.check_runs(USE)
        held = HeldOut(Measure(recipe, policy, env).problems)
        sampling = replace(trained_with(recipe), temperature=settings.temperature)
        journal = UpdateLog()
        if record is None:
            programs, chunks = of_policy(policy, env, settings, sampling, held, journal)
        else:
            programs, chunks = of_record(record, env, settings, held)
        source = "" if record is None else hashlib.sha256(opened(record, env)[0].read_bytes()).hexdigest()
        begin(out, {**about(run, settings, env), "record": source, "chunks": chunks}, "repair pairs")
        with _progress(console, chunks, journal) as advance:
            counts = make_pairs(env, programs, chunks, settings, out, journal, advance)
    if not counts["pairs"]:
        raise UsageError(f"Expected wrong programs with something to put them right, got none: {in_words(counts)}")
    return counts


def in_words(counts: Counter[str]) -> str:
    """What came of how many programs."""
    held = f" {counts['held_out']} held-out problems left out." if counts["held_out"] else ""
    lost = f" {counts['lost']} verdicts lost." if counts["lost"] else ""
    return (
        f"{counts['pairs']} pairs of {counts['programs']} programs, of which {counts['passed']} passed; "
        f"{counts['successes']} end in a success, the others in a reference.{held}{lost}"
    )


@contextmanager
def _progress(console: Console, chunks: int, journal: UpdateLog) -> Iterator[Advance]:
    """A bar in a terminal; elsewhere a line a chunk, and signs of life between."""
    with heartbeat(console) as pulse, progress(console) as bars:
        task = bars.add_task("chunks of problems", total=chunks)
        journal.progress = lambda what, done, total: pulse.doing("repair pairs", f"{what}, {done} of {total}")

        def advance(done: int, counts: Counter[str]) -> None:
            bars.update(task, completed=done)
            if done and not console.is_terminal:
                console.print(f"{done} of {chunks} chunks: {in_words(counts)}", highlight=False, soft_wrap=True)
            pulse.doing(f"repair pairs, {done} of {chunks} chunks done")

        yield advance
