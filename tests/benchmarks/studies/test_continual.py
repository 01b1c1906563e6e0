"""The study of continual learning: its arms could begin, and its figures are those of each seed's mean over orders."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.continual import sequence
from benchmarks.continual.chain import Chain
from benchmarks.studies import continual
from benchmarks.studies.continual import ARMS, COMPARED, MEASURES, ORDERS
from rltf_env.errors import UnknownName


def test_arms_are_methods_of_the_sequence_in_folders_of_their_own(tmp_path: Path) -> None:
    tasks = sequence.read("retold")
    chains = [
        Chain(tasks.ordered(order), arm.method, arm.agent, tmp_path, 0, tasks.names)
        for arm in ARMS.values()
        for order in continual.orders_of(arm, 3)
    ]
    assert len({chain.home / chain.label for chain in chains}) == len(chains) == 5 * 3 + 2
    assert {arm.method for arm in ARMS.values()} == set(sequence.METHODS)
    assert {(name, id) for name, *pair in COMPARED for id in pair} <= {(name, id) for name in MEASURES for id in ARMS}


def test_no_task_is_the_first_or_the_last_of_two_orders() -> None:
    tasks = set(sequence.read("retold").names)
    assert all(set(order) == tasks for order in ORDERS)
    assert len({order[0] for order in ORDERS}) == len({order[-1] for order in ORDERS}) == len(ORDERS)


def measures(average: float, forgetting: float | None, learned: float | None = 0.5) -> dict[str, float | None]:
    return {"average": average, "forgetting": forgetting, "learned": learned, "backward": None, "forward": None}


def test_differences_are_of_one_seed_and_its_mean_over_orders() -> None:
    runs = {
        "finetune": {0: [measures(0.3, 0.4), measures(0.5, 0.2)], 1: [measures(0.4, 0.5)]},
        "pool": {0: [measures(0.2, 0.1)], 1: [measures(0.2, 0.1)]},
        "joint": {0: [measures(0.6, None)], 1: [measures(0.6, None)]},
        "replay": {0: [measures(0.5, 0.1)], 1: [measures(0.5, 0.1)]},
    }
    figures = continual.table(runs)
    assert figures["arms"]["finetune"]["forgetting"] == pytest.approx([0.3, 0.5])
    rows = {(row["measure"], row["a"], row["b"]): row for row in figures["comparisons"]}
    assert rows["forgetting", "finetune", "pool"]["by_seed"] == pytest.approx([0.2, 0.4])
    assert rows["forgetting", "finetune", "pool"]["over_seeds"]["difference"] == pytest.approx(0.3)
    assert rows["average", "joint", "replay"]["by_seed"] == pytest.approx([0.1, 0.1])
    assert not any("pool-forced" in key for key in rows)
    assert json.loads(json.dumps(figures)) == figures
    text = continual.markdown(figures)
    assert "| fine-tuning | 40.0 | 50.0 | 40.0 | - | - |" in text
    assert "| forgetting | (fine-tuning) - (prompt pooling) | +30.0 |" in text


def test_arms_that_learn_in_turn_are_drawn_beside_each_other(tmp_path: Path) -> None:
    chained, joint = [[0.1, 0.2], [0.5, 0.1], [0.3, 0.6]], [[0.1, 0.2], [0.5, 0.6]]
    found = {"tasks": ["generate", "refine"], "matrices": {"finetune": chained, "pool": chained, "joint": joint}}
    continual.draw(found, tmp_path / "beside.png")
    assert (tmp_path / "beside.png").read_bytes().startswith(b"\x89PNG")
    continual.draw({**found, "matrices": {"joint": joint}}, tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()


def test_the_prediction_is_written_down_and_impossible_sizes_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert "Written down before the first run" in (continual.__doc__ or "")
    assert continual.main(["--orders", "4"]) == 2
    assert "--orders 1 to 3" in capsys.readouterr().err


def test_some_arms_run_alone_and_the_command_says_so() -> None:
    assert list(continual._arms("pool,finetune")) == ["finetune", "pool"]
    assert continual._arms("") == continual.ARMS
    with pytest.raises(UnknownName, match="Did you mean 'finetune'"):
        continual._arms("finetun")
