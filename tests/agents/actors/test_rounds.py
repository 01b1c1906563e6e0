"""On-policy agents and actors that write for them with older policies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from small_runs import COMMON, place_judge

from agents import train
from agents.actors import pool, process
from agents.config import Recipe, read
from agents.learning.replay import unpack
from agents.options import build
from rltf_env.core import Outcome

ROUND = "problems = 3, samples_per_problem = 2, batch_size = 4, epochs = 2, max_staleness = 4"


@pytest.mark.parametrize("kind", ["grpo", "ppo"])
def test_a_round_begins_with_what_actors_of_an_older_policy_have_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    place_judge(tmp_path / "modules", monkeypatch)
    (tmp_path / "small.toml").write_text(COMMON)
    made = read(
        tmp_path / "small.toml",
        [
            "scale.generators=2",
            f'agent={{ kind = "{kind}", {ROUND}, kl = 0.1, optimiser = {{ lr = 1e-2, warmup = 0 }} }}',
        ],
    )
    policy = train.make_policy(made)
    with train.make_env(made, policy) as env:
        learner: Any = train.make_agent(made, policy, env)
        told = pool.instructions(made, learner, (0, 1, 0))
        writer: Any = train.make_agent(build(Recipe, told["recipe"], "recipe"), policy, env)
        lots = [process.rollout_batch(writer, 3) for _ in range(2)]  # whole groups: four programs each

        def feed() -> None:
            while len(learner.buffer) < learner.wanted:
                lot = lots.pop(0)
                learner.ingest(
                    [unpack(s) for s in lot["samples"]], [Outcome(o) for o in lot["outcomes"]], lot["sampled"]
                )

        learner.fill_from_actors = feed
        first, *_, last = [learner.update() for _ in range(learner.config.refresh_every)]
    assert writer.reference is None
    assert told["programs"] == 3
    assert not learner.round
    assert len(learner.buffer) == 2, "eight programs have come, and a round takes six"
    assert first["kl_behaviour"] == pytest.approx(0, abs=1e-6)
    assert last["kl_behaviour"] > 1e-5, "by then the policy is another than the one that wrote"
    state = learner.state_dict()
    with train.make_env(made, policy) as env:
        resumed: Any = train.make_agent(made, policy, env)
        resumed.load_state_dict(state)
    assert len(resumed.buffer) == 2
