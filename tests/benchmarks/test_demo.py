"""`make demo`: its recipes, tables, comparisons and picture on summaries made by hand; the whole of it, small, is slow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from benchmarks import demo


def evaluation(passed: list[int], samples: int = 2) -> dict[str, Any]:
    wrong = samples * len(passed) - sum(passed)
    outcomes = {"SYNTAX_ERROR": 0, "RUNTIME_ERROR": 0, "WRONG_ANSWER": wrong, "PASSED": sum(passed)}
    return {"passed": passed, "samples": samples, "outcomes": outcomes}


@pytest.fixture
def summaries() -> dict[str, Any]:
    poor, good = [0] * 90 + [2] * 10, [0] * 10 + [2] * 90
    return {
        "warm": {"updates": 5, "evaluations": {"5": evaluation(poor)}},
        "rltf": {"updates": 4, "evaluations": {"2": evaluation(poor), "4": evaluation(good)}},
        "supervised": {"updates": 4, "evaluations": {"4": evaluation(poor)}},
        **{f"{stage}-unseen": {"updates": 0, "evaluations": {"0": evaluation(poor)}} for stage in demo.STAGES},
    }


def printed(*things: Any, width: int = 80) -> str:
    console = Console(width=width)
    with console.capture() as captured:
        console.print(*things)
    return captured.get()


def test_every_stage_but_the_first_starts_from_the_warm_policy(tmp_path: Path) -> None:
    assert demo.recipe("warm", tmp_path, seed=3).policy["kind"] == "tiny"
    for stage in ("rltf", "supervised"):
        recipe = demo.recipe(stage, tmp_path, seed=3)
        assert recipe.policy == {"kind": "causal", "path": str(tmp_path / "warm" / "policy")}
        assert recipe.run.seed == 3


def test_control_differs_from_rltf_in_its_agent_and_its_reward_alone(tmp_path: Path) -> None:
    rltf, control = (demo.recipe(stage, tmp_path, 0) for stage in ("rltf", "supervised"))
    assert rltf.run.updates == control.run.updates
    assert rltf.eval == control.eval
    assert {k: v for k, v in rltf.env.items() if k != "reward_options"} == control.env
    assert rltf.agent["supervised_batch"] + rltf.agent["batch_size"] == 2 * control.agent["batch_size"]
    for shared in ("references", "optimiser"):
        assert rltf.agent[shared] == control.agent[shared]


def test_demo_measures_on_at_least_200_held_out_problems_of_either_kind(tmp_path: Path) -> None:
    for stage in demo.STAGES:
        seen, unseen = demo.recipe(stage, tmp_path, 0), demo.unseen(stage, tmp_path, 0)
        assert (seen.eval.split, unseen.eval.split) == ("seen", "test")
        assert min(seen.eval.size, unseen.eval.size) >= 200
        assert unseen.policy == {"kind": "causal", "path": str(tmp_path / stage / "policy")}


def test_measuring_unseen_compositions_trains_nothing(tmp_path: Path) -> None:
    assert demo.unseen("rltf", tmp_path, 0, ["run.updates=7", "eval.size=8"]).run.updates == 0


def test_curve_is_the_mean_over_problems_in_order_of_updates(summaries: dict[str, Any]) -> None:
    points = demo.curve(summaries["rltf"])
    assert [step for step, _ in points] == [2, 4]
    assert [interval.value for _, interval in points] == pytest.approx([0.1, 0.9])


def test_rates_are_shares_of_each_problems_samples() -> None:
    assert demo.rates(evaluation([0, 1, 2])).tolist() == [0, 0.5, 1]


def test_tables_name_every_stage_with_its_score(summaries: dict[str, Any]) -> None:
    text = printed(*demo.tables(summaries))
    assert "90.0" in text
    assert text.count("10.0") >= 4  # two stages, and three on unseen compositions
    assert "5 + 4" in text
    assert all(name in text for name in demo.NAMES.values())


def test_tables_fit_80_columns_with_wide_figures(summaries: dict[str, Any]) -> None:
    """A row a stage: nothing is folded or cut."""
    for name, summary in summaries.items():
        summary["updates"] = 0 if name.endswith("-unseen") else 600
        summary["evaluations"] = {str(summary["updates"]): evaluation([1] * 500 + [2] * 500)}
    text = printed(*demo.tables(summaries))
    for name in demo.NAMES.values():
        assert sum(name in line for line in text.splitlines()) == 2
    assert text.count("75.0") >= 6
    assert "…" not in text


def test_a_gain_is_called_one_when_the_intervals_are_apart(summaries: dict[str, Any]) -> None:
    assert "+80.0%" in demo.verdicts(summaries)[0]
    assert "do not overlap" in demo.verdicts(summaries)[0]


def test_figures_hold_every_stage_and_comparison(summaries: dict[str, Any]) -> None:
    for summary in summaries.values():
        summary |= {"recipe": "r", "data_digest": "d"}
    figures = json.loads(json.dumps(demo.result(summaries)))
    assert figures["rltf"]["pass@1"][-1][:2] == [4, 0.9]
    assert figures["rltf - warm"]["difference"] == pytest.approx(0.8)
    assert figures["rltf-unseen - supervised-unseen"]["difference"] == 0


def test_no_gain_is_not_called_one(summaries: dict[str, Any]) -> None:
    summaries["rltf"] = summaries["supervised"]
    assert len(demo.verdicts(summaries)) == 4
    assert all("+0.0%" in line and "do not" not in line for line in demo.verdicts(summaries))


def test_picture_is_written(summaries: dict[str, Any], tmp_path: Path) -> None:
    demo.draw(summaries, tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_unknown_override_is_one_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert demo.main(["--out", str(tmp_path), "run.updates_=3"]) == 2
    assert "updates_" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_demo_runs_from_end_to_end_and_not_again(tmp_path: Path) -> None:
    arguments = ["--out", str(tmp_path), "run.updates=2", "eval.size=8", "run.eval_every=0"]
    assert demo.main(arguments) == 0
    first = {stage: json.loads((tmp_path / stage / "summary.json").read_text()) for stage in demo.STAGES}
    assert demo.main(arguments) == 0
    assert first == {stage: json.loads((tmp_path / stage / "summary.json").read_text()) for stage in demo.STAGES}
    assert np.isfinite(demo.last(first["rltf"])["pass_ratio"])
