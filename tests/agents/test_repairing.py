"""How repair pairs are made: of wrong programs and right ones; resumed exactly; never of held-out problems."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agents import repairing, repairs
from agents.decoding.sampling import Sampling
from agents.policies.causal import CausalPolicy
from agents.repairing import Judged
from agents.repairs import HeldOut, RepairPair, RepairSettings
from agents.running.journal import UpdateLog
from rltf_env import datasets
from rltf_env.core import CallCase, CaseResult, Failure, Outcome, Problem, Verdict
from rltf_env.env import UnitTestEnv
from rltf_env.errors import DataError, MissingData, SandboxError

MakeEnv = Callable[..., UnitTestEnv]
SMALL = RepairSettings(problems=5, samples=3, chunk=2)
PASSED = Verdict((CaseResult(Outcome.PASSED),))
FAILED = Verdict((CaseResult(Outcome.WRONG_ANSWER, Failure("WrongAnswer", "the hidden 7")),))


def problem(id: str, **options: Any) -> Problem:
    references = {"examples": [CallCase((), 2)], "solutions": ["f = lambda: 7\n"], **options}
    return Problem(id, f"Give {id}.", [CallCase((), 7)], "f", **references)


def by_length(source: str, problem: Any) -> bool:
    return len(source) % 3 == 0


def programs(text: str) -> list[Judged]:
    """A letter for each program: capitals pass."""
    return [Judged(f"{c}\n", PASSED if c.isupper() else FAILED) for c in text]


def pairs(env: UnitTestEnv, groups: Any, **settings: Any) -> tuple[list[RepairPair], Counter[str]]:
    return repairing.pairs_of(env, groups, RepairSettings(**settings), UpdateLog())


def made(policy: CausalPolicy, env: UnitTestEnv, out: Path, stop_at: int = 99, held: Any = ()) -> Any:
    steps: list[int] = []

    def advance(done: int, counts: Any) -> None:
        steps.append(done)
        if done >= stop_at:
            raise KeyboardInterrupt

    out.mkdir(exist_ok=True)
    (out / repairs.ABOUT).write_text('{"chunks": 3}\n')
    journal = UpdateLog()
    write, chunks = repairing.of_policy(policy, env, SMALL, Sampling(), HeldOut(held), journal)
    return repairing.make_pairs(env, write, chunks, SMALL, out, journal, advance), steps


def test_pairs_made_in_two_parts_are_the_pairs_made_in_one(
    policy: CausalPolicy, make_env: MakeEnv, tmp_path: Path
) -> None:
    whole, steps = made(policy, make_env(by_length), tmp_path / "whole")
    assert steps == [0, 1, 2, 3]
    with pytest.raises(KeyboardInterrupt):
        made(policy, make_env(by_length), tmp_path / "parts", stop_at=1)
    with pytest.raises(MissingData, match="got some of them"):
        repairs.read(tmp_path / "parts")
    with open(tmp_path / "parts" / repairs.PAIRS, "a") as file:
        file.write('{"chunk": 1, "pai')  # of a killed writer
    again, steps = made(policy, make_env(by_length), tmp_path / "parts")
    assert (again, steps) == (whole, [1, 2, 3])
    files = [(tmp_path / name / repairs.PAIRS).read_text() for name in ("parts", "whole")]
    assert files[0] == files[1]
    found, _ = repairs.read(tmp_path / "whole")
    assert len(found) == whole["pairs"] > 0
    assert whole["programs"] == 15
    assert all(len(pair.program) % 3 for pair in found), "only wrong programs are put right"
    assert all(len(pair.success) % 3 == 0 for pair in found)


def test_each_chunk_has_draws_of_its_own(policy: CausalPolicy, make_env: MakeEnv) -> None:
    env, settings = make_env(by_length, problems=[problem("a")]), RepairSettings(problems=2, samples=4, chunk=1)
    write, _ = repairing.of_policy(policy, env, settings, Sampling(), HeldOut(()), UpdateLog())
    first, second = ([p.text for _, group in write(number)[0] for p in group] for number in (0, 1))
    assert len(first) == len(second) == 4
    assert first != second


def test_held_out_problems_are_not_even_written_for(policy: CausalPolicy, make_env: MakeEnv, tmp_path: Path) -> None:
    env = make_env(by_length)
    held = [replace(env.source.find(f"p{i}"), id=f"test/{i}") for i in range(5)]  # the same, under other ids
    counts, _ = made(policy, env, tmp_path / "held", held=held)
    found, _ = repairs.read(tmp_path / "held")
    assert {pair.problem for pair in found} <= {"given"}
    assert counts["held_out"] + counts["programs"] / SMALL.samples == SMALL.problems
    assert counts["held_out"] > 0


def test_the_target_is_the_next_success_or_the_last_one_before_or_a_reference(make_env: MakeEnv) -> None:
    env = make_env(lambda *_: False, problems=[problem("a")])
    found, counts = pairs(env, [(problem("a"), programs("xAyByz"))])
    assert [(p.program, p.success) for p in found] == [("x\n", "A\n"), ("y\n", "B\n"), ("z\n", "B\n")]
    assert (counts["wrong"], counts["pairs"], counts["successes"], counts["passed"]) == (3, 3, 3, 2)
    found, _ = pairs(env, [(problem("a"), programs("xyA"))], target="reference")
    assert [p.success for p in found] == ["", ""]
    bare = problem("a", solutions=())
    assert [p.success for p in pairs(env, [(bare, programs("xA"))], target="reference")[0]] == ["A\n"]
    assert pairs(env, [(bare, programs("xy"))])[0] == [], "nothing puts them right"
    assert [p.success for p in pairs(env, [(problem("a"), programs("x"))])[0]] == [""]
    assert len(pairs(env, [(problem("a"), programs("uvwxyz"))], most=2)[0]) == 2
    assert [p.success for p in pairs(env, [(problem("a"), programs("xAxB"))])[0]] == ["A\n"], (
        "a text counts where it is first"
    )


def test_a_success_without_its_end_is_no_target(make_env: MakeEnv) -> None:
    env = make_env(lambda *_: False, problems=[problem("a")])
    group = [*programs("x"), Judged("A\n", PASSED, truncated=True)]
    assert [p.success for p in pairs(env, [(problem("a"), group)])[0]] == [""]


def test_a_report_says_what_examples_say_and_nothing_of_hidden_cases(make_env: MakeEnv) -> None:
    env = make_env(lambda source, p: "ZeroDivisionError" if "x" in source else True, problems=[problem("a")])
    groups = [(problem("a"), programs("xyA")), (problem("b", examples=()), programs("xA"))]
    found, _ = pairs(env, groups)
    failing, hidden, bare = (p.report for p in found)
    assert failing.startswith("f() == 2\n-> ZeroDivisionError")
    assert hidden == "f() == 2\n-> passed\nFails tests that are not shown.\n"
    assert bare == "Fails tests that are not shown.\n"
    assert all("7" not in p.report for p in found)
    assert [p.report for p in pairs(env, groups[::-1])[0]] == [bare, failing, hidden]


def test_a_program_whose_verdict_on_the_examples_is_lost_gives_no_pair(make_env: MakeEnv) -> None:
    def lossy(source: str, problem: Any) -> bool:
        if source.startswith("x"):
            raise SandboxError("gone")
        return False

    env = make_env(lossy, problems=[problem("a")])
    found, counts = pairs(env, [(problem("a"), programs("xyA"))])
    assert [p.program for p in found] == ["y\n"]
    assert (counts["lost"], counts["pairs"]) == (1, 1)


# -------------------------------------------------------------------------------------------------------- records


def row(id: str, text: str, outcome: str) -> dict[str, Any]:
    failures = {} if outcome == "3" else {"failures": [["WrongAnswer", "7", None, "", []]], "why": [0]}
    return {"problem": id, "sample": 0, "text": text, "outcomes": outcome, **failures}


def record(folder: Path, split: str, **options: Any) -> Path:
    """A finished record: a wrong and a right program for each of its problems."""
    found = datasets.load("procedural", split=split, **options)
    suite = {"dataset": "procedural", "split": split, "options": options}
    folder.mkdir()
    (folder / "header.json").write_text(json.dumps({"suite": suite, "data": datasets.digest(found)}))
    rows = [r for p in found for r in (row(p.id, "f = 1\n", "2"), row(p.id, "f = 2\n", "3"))]
    (folder / "samples.jsonl.gz").write_bytes(gzip.compress("".join(json.dumps(r) + "\n" for r in rows).encode()))
    return folder


def of_record(env: UnitTestEnv, path: Path, held: Any = ()) -> tuple[list[str], int]:
    """The problems that come from a record, and how many are held out."""
    chunks, number = repairing.of_record(path, env, RepairSettings(chunk=2), HeldOut(held))
    parts = [chunks(i) for i in range(number)]
    return [p.id for groups, _ in parts for p, _ in groups], sum(held for _, held in parts)


def test_a_record_gives_pairs_of_training_problems_that_nobody_measures_on(
    policy: CausalPolicy, tmp_path: Path
) -> None:
    env = UnitTestEnv("procedural", split="train", sandbox="scripted")
    trained = datasets.load("procedural", split="train", size=3, depths=[1])
    path = record(tmp_path / "train", "train", size=3, depths=[1])
    assert of_record(env, path) == ([p.id for p in trained], 0)
    assert of_record(env, path, trained[:1]) == ([p.id for p in trained[1:]], 1)
    assert of_record(env, record(tmp_path / "test", "test", size=3, depths=[2])) == ([], 3)
    chunks, _ = repairing.of_record(path, env, RepairSettings(), HeldOut([]))
    assert [[p.passed for p in programs] for _, programs in chunks(0)[0]] == [[False, True]] * 3


def test_a_file_of_judged_programs_of_unknown_problems_is_refused(make_env: MakeEnv, tmp_path: Path) -> None:
    file = tmp_path / "programs.jsonl"
    file.write_text(json.dumps(row("p0", "f = 1\n", "2")) + "\n" + json.dumps(row("nobody", "f = 1\n", "2")) + "\n")
    env = make_env()
    with pytest.raises(DataError, match=r"programs\.jsonl:2: Unknown problem 'nobody'"):
        of_record(env, file)
    with pytest.raises(MissingData):
        of_record(env, tmp_path / "nowhere")
