"""The simulation of generators and learner, on cases that can be played by hand; and the arithmetic of sizes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from benchmarks.studies import cluster
from benchmarks.studies.cluster import Assumed, Plant, Simulation, Times, among, constant, simulate
from rltf_env.errors import UsageError

PLANT = Plant(generators=1, lot=4, queue=1, fill=4, refresh=4, refresh_every=1, batch=4, buffer=4, push_every=1)


def times(lot: float, update: float, push: float = 0.0) -> Times:
    return Times(constant(lot), constant(update), constant(push))


def test_a_learner_twice_as_fast_as_its_generator_waits_half_of_the_time() -> None:
    """Lots come at 2, 4, 6 ...; update k begins at 2k and ends a second later: of 2, 4, 6, ... each waits one, the first two."""
    played = Simulation(PLANT, times(2, 1), np.random.default_rng(0)).run(10)
    assert played.seconds == 21
    assert played.waited == 11
    assert played.received == 40
    assert played.idle == 0


def test_programs_are_one_update_old_where_each_lot_begins_before_the_weights_that_its_update_sends() -> None:
    played = Simulation(PLANT, times(2, 1), np.random.default_rng(0)).run(10)
    assert played.staleness == [0.0] + [1.0] * 9


def test_weights_that_are_sent_seldom_make_older_programs() -> None:
    often, seldom = (simulate(replace(PLANT, push_every=every), times(2, 1), 200) for every in (1, 10))
    assert often["staleness"] < 1.01
    assert 5 < seldom["staleness"] < 6.5  # one, and half of ten more


def test_generators_that_are_faster_than_the_learner_stand_idle_and_it_never_waits() -> None:
    found = simulate(replace(PLANT, generators=3), times(0.1, 1), 200)
    assert found["learner_waits"] < 0.01
    assert found["seconds_per_update"] == pytest.approx(1, abs=0.01)
    assert found["generators_idle"] > 0.8


def test_programs_that_teach_nothing_leave_older_ones_in_the_buffer() -> None:
    every, half = (simulate(replace(PLANT, buffer=16, kept=kept), times(1, 1), 400)["staleness"] for kept in (1.0, 0.5))
    assert half > every + 1


def test_sending_weights_takes_the_learners_time() -> None:
    found = simulate(PLANT, times(0.1, 1, push=0.5), 200)
    assert found["seconds_per_update"] == pytest.approx(1.5, abs=0.01)


def test_a_refresh_is_due_when_the_pool_of_generators_says_so() -> None:
    plant = replace(PLANT, fill=10, refresh=6, refresh_every=4)
    assert [plant.due(step) for step in (0, 3, 4, 7, 8)] == [10, 10, 16, 16, 22]


def test_a_run_beside_its_simulation_with_its_own_service_times() -> None:
    """A run that did what the plan says: a second an update, two seconds a lot, each update waits for one."""
    lines: list[dict[str, Any]] = [
        {
            "step": k, "seconds": 2.0, "seconds/wait": 1.0, "seconds/lot": 2.0, "staleness": 1.0,
            "received": 4.0 * k,
        }
        for k in range(1, 41)
    ]  # fmt: skip
    found = cluster.compared(PLANT, lines)
    assert found["simulated"]["seconds_per_update"] == pytest.approx(2, rel=0.01)
    assert found["simulated"]["learner_waits"] == pytest.approx(0.5, rel=0.01)
    assert cluster.within(found)
    slower = [{**line, "seconds": 3.0, "seconds/lot": 2.5, "seconds/wait": 1.0} for line in lines]
    assert not cluster.within(cluster.compared(PLANT, [{**line, "staleness": 2.0} for line in slower]))


def test_a_program_of_400_and_300_tokens_takes_5500_bytes() -> None:
    need = cluster.needs(1000, Assumed())
    assert need["learner_bytes_per_second"] / need["programs_per_second"] == 4 * 400 + 13 * 300
    assert need["programs_per_second"] == pytest.approx(500 * 4e14 / (6 * 7.6e9 * 700))


def test_endless_programs_take_the_judges_cores() -> None:
    few, many = (cluster.needs(1000, Assumed(endless=share))["judge_cores"] for share in (0.01, 0.25))
    rate = cluster.needs(1000, Assumed())["programs_per_second"]
    assert few == pytest.approx(rate * (0.0025 + 0.01 * 4.8))
    assert many > 20 * few


def test_waiting_for_all_writers_costs_more_the_more_there_are() -> None:
    one, many = (cluster.straggling(writers, Assumed(), 64)["slowest"] for writers in (1, 64))
    assert many > one
    assert many == pytest.approx(64 * 300 / 5000 + 4.8)


def test_nothing_measured_is_an_error() -> None:
    with pytest.raises(UsageError, match="service time"):
        among([])
    with pytest.raises(UsageError, match=">= 1"):
        replace(PLANT, queue=0)
