"""What waits for its round."""

from __future__ import annotations

import numpy as np

from agents.core import TrainingSample
from agents.learning.minibatches import Arrivals


def test_samples_wait_for_a_round_in_their_order_unless_they_are_too_old() -> None:
    nothing = np.zeros(1, np.float32)
    samples = [TrainingSample(np.array([1]), np.array([i]), nothing > 0, nothing, nothing, version=i) for i in range(5)]
    arrivals = Arrivals()
    arrivals.extend(samples[:3])
    arrivals.extend(samples[3:])
    arrivals.forget(1)
    assert [s.version for s in arrivals.take(3)] == [1, 2, 3]
    assert [s.version for s in arrivals.take(3)] == [4]
    assert len(arrivals) == 0
