"""The ablation: what its arms change and share, its statistics on figures made by hand; the whole of it, small, is slow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import demo
from benchmarks.studies import ablation
from benchmarks.studies.ablation import ARMS
from rltf_env import rewards
from rltf_env.core import Attempt, CallCase, CaseResult, Failure, Outcome, Problem, Program, Verdict
from rltf_env.errors import UsageError


def recipe(id: str, out: Path, updates: int = 0) -> Any:
    arm = ARMS[id]
    return demo.recipe(id, out, 3, ablation.overrides(arm, id, out, 3, updates, []), arm.base)


def summaries(**passed: list[int]) -> dict[str, Any]:
    """What `run` returns where arms have these passes of two programs a problem, and the others the supervised arm's."""
    found = {}
    for id in ARMS:
        row = passed.get(id.replace("-", "_"), passed["supervised"])
        evaluation = {"passed": row, "samples": 2, "problems": len(row)}
        for end in ablation.SPLITS.values():
            found[f"{id}{end}"] = {
                "updates": 4, "evaluations": {"4": evaluation}, "recipe": "r", "data_digest": "d", "versions": {}
            }  # fmt: skip
    return found


RUNS = {
    0: summaries(supervised=[0, 0, 1, 1] * 25, rltf=[2, 1, 1, 1] * 25),
    1: summaries(supervised=[1, 0, 1, 1] * 25, rltf=[1, 1, 1, 2] * 25),
}


# ---------------------------------------------------------------------------------------------------------------- arms


def test_all_arms_start_from_one_warm_policy_and_have_as_many_updates(tmp_path: Path) -> None:
    for id in ARMS:
        if id != "warm":
            made = recipe(id, tmp_path)
            assert made.policy["path"] == str(tmp_path / "warm" / "policy")
            assert (made.run.updates, made.run.seed) == (480, 3)
            assert made.run.out == str(tmp_path / id)
            assert made.eval == recipe("warm", tmp_path).eval


def test_arms_are_the_demos_recipes_but_for_what_they_name(tmp_path: Path) -> None:
    """So a demo's runs are taken as they are, and arms differ in one thing."""
    for id in ("warm", "supervised", "rltf"):
        assert recipe(id, tmp_path).digest == demo.recipe(id, tmp_path, 3).digest
    full = recipe("rltf", tmp_path)
    for id in ("coarse", "coarse-fine", "coarse-offline", "rltf-offline"):
        made = recipe(id, tmp_path)
        changed = {key for key in made.agent if made.agent[key] != full.agent[key]}
        assert changed == ({"buffer", "fill", "refresh_every"} if ARMS[id].offline else set())
        assert {k: v for k, v in made.env.items() if k != "reward_options"} == {
            k: v for k, v in full.env.items() if k != "reward_options"
        }


@pytest.mark.parametrize("updates", [0, 1, 4, 20])
def test_an_offline_buffer_is_filled_once_with_as_many_programs_as_are_written_online(
    tmp_path: Path, updates: int
) -> None:
    online, offline = recipe("rltf", tmp_path, updates), recipe("rltf-offline", tmp_path, updates)
    steps = range(online.run.updates)
    a, b = online.agent, offline.agent
    written = sum((a["refresh"] if step else a["fill"]) for step in steps if step % a["refresh_every"] == 0)
    assert [step for step in steps if step % b["refresh_every"] == 0] == [0]
    assert (b["fill"], b["buffer"]) == (written, written)


def test_arms_earn_the_parts_that_they_name(tmp_path: Path) -> None:
    """An error on a line earns coarse and fine feedback, a wrong answer coarse and adaptive."""
    program = Program(np.array([1, 2]), "x=\ny", np.array([0, 3]))
    problem = Problem("p", "", [CallCase((), 1)] * 2, "f")
    error = Verdict((CaseResult(Outcome.RUNTIME_ERROR, Failure("KeyError", line=2)),) * 2)
    wrong = Verdict((CaseResult(Outcome.PASSED), CaseResult(Outcome.WRONG_ANSWER, Failure("WrongAnswer"))))
    earned = {"coarse": {"coarse"}, "coarse-fine": {"coarse", "fine"}, "rltf": {"coarse", "fine", "adaptive"}}
    for id in ("coarse", "coarse-fine", "rltf", "coarse-offline", "rltf-offline"):
        reward = rewards.load("rltf", **recipe(id, tmp_path).env["reward_options"])
        parts = [reward(Attempt(problem, program, verdict)).parts for verdict in (error, wrong)]
        assert {name for each in parts for name, value in each.items() if value} == earned[id.removesuffix("-offline")]


def test_updates_are_those_of_the_arms_and_of_their_learning_rates(tmp_path: Path) -> None:
    assert recipe("warm", tmp_path, 7).run.updates == 600
    assert recipe("coarse", tmp_path, 7).run.updates == 7
    assert recipe("coarse", tmp_path, 7).agent["optimiser"]["length"] == 7


# ---------------------------------------------------------------------------------------------------------- statistics


def test_differences_are_paired_by_problem_and_by_seed() -> None:
    found = ablation.table(RUNS)
    row = next(r for r in found["seen"]["comparisons"] if (r["a"], r["b"]) == ("rltf", "supervised"))
    assert row["by_seed"] == pytest.approx([0.375, 0.25])  # 3 of 8, 2 of 8
    assert row["over_problems"]["difference"] == pytest.approx(0.3125)
    assert row["over_seeds"]["low"] < 0.3125 - 0.7  # two seeds say little
    assert row["over_problems"]["p_value"] < row["over_problems"]["p_holm"] < 0.01
    same = next(r for r in found["seen"]["comparisons"] if (r["a"], r["b"]) == ("coarse", "supervised"))
    assert same["over_problems"]["p_holm"] == 1
    assert found["unseen"] == found["seen"]
    assert found["seen"]["arms"]["rltf"]["by_seed"] == pytest.approx([0.625, 0.625])


def test_one_seed_says_nothing_of_seeds() -> None:
    found = ablation.table({0: RUNS[0]})
    assert all(row["over_seeds"] is None for row in found["seen"]["comparisons"])
    assert "one seed" in ablation.markdown(found)


def test_seeds_measured_on_other_problems_are_refused() -> None:
    with pytest.raises(UsageError, match="as many problems"):
        ablation.table({0: RUNS[0], 1: summaries(supervised=[1])})


def test_tables_name_every_arm_and_comparison(tmp_path: Path) -> None:
    found = ablation.table(RUNS)
    text = ablation.markdown(json.loads(json.dumps(found)))
    for arm in ARMS.values():
        assert text.count(f"| {arm.name} |") == 2
    assert text.count("(+ coarse + fine + adaptive) - (supervised only) | +31.2%") == 2
    ablation.draw(found, tmp_path / "x.png")
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")


def test_every_comparison_is_of_arms() -> None:
    assert {id for pair in ablation.COMPARED for id in pair} <= set(ARMS)


def test_wrong_options_are_one_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ablation.main(["--out", str(tmp_path), "--seeds", "0"]) == 2
    assert "--seeds >= 1" in capsys.readouterr().err
    assert ablation.main(["--out", str(tmp_path), "run.updates_=3"]) == 2
    assert "updates_" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_ablation_runs_from_end_to_end_and_not_again(tmp_path: Path) -> None:
    arguments = ["--out", str(tmp_path), "--seeds", "1", "--updates", "2", "run.updates=2", "eval.size=8"]
    assert ablation.main(arguments) == 0
    first = (tmp_path / "ablation.json").read_bytes()
    assert ablation.main(arguments) == 0
    assert (tmp_path / "ablation.json").read_bytes() == first
    assert json.loads(first)["updates"] == dict.fromkeys(ARMS, 2)
