"""The online buffer, and the defects of the released one that it must not have (arXiv 2307.04349, `memory_pool.py`)."""

from __future__ import annotations

import io
from collections import Counter

import numpy as np
import pytest
import torch

from agents.core import TrainingSample
from agents.learning.replay import ReplayBuffer
from rltf_env.errors import UsageError


def sample(number: int) -> TrainingSample:
    tokens = np.full(number % 3 + 1, number, np.int64)
    floats = tokens.astype(np.float32)
    return TrainingSample(tokens, tokens, tokens > 0, (floats / 3).astype(np.float32), -floats, version=number)


def buffer(capacity: int, *numbers: int) -> ReplayBuffer:
    made = ReplayBuffer(capacity)
    made.extend(map(sample, numbers))
    return made


def drawn(made: ReplayBuffer, count: int, rng: np.random.Generator) -> list[int]:
    return [s.version for s in made.draw(count, rng)]


def test_first_in_first_out() -> None:
    made = buffer(4, *range(6))
    assert made.versions().tolist() == [2, 3, 4, 5]
    made.extend(map(sample, (6, 7, 8)))
    assert made.versions().tolist() == [5, 6, 7, 8]
    assert made.capacity == len(made) == 4


def test_the_first_filling_keeps_to_the_bound() -> None:
    assert len(buffer(50, *range(100))) == 50


def test_a_buffer_that_began_small_grows() -> None:
    made = buffer(30, *range(10))
    for i in range(5):
        made.extend(map(sample, range(10 + 5 * i, 15 + 5 * i)))
    assert made.versions().tolist() == list(range(5, 35))


def test_a_refresh_larger_than_what_is_there_replaces_no_more_than_it_must() -> None:
    made = buffer(10, 0, 1, 2)
    made.extend(map(sample, range(3, 10)))
    assert made.versions().tolist() == list(range(10))


@pytest.mark.parametrize(("size", "count"), [(10, 3), (7, 7), (8, 2), (5, 4)])
def test_each_is_drawn_once_before_any_is_drawn_twice(size: int, count: int) -> None:
    made, rng, seen = buffer(size, *range(size)), np.random.default_rng(0), Counter[int]()
    for _ in range(50):
        seen.update(drawn(made, count, rng))
        counts = [seen[i] for i in range(size)]
        assert max(counts) - min(counts) <= 1


def test_the_order_is_random_and_the_generators_own() -> None:
    orders = [drawn(buffer(20, *range(20)), 20, np.random.default_rng(seed)) for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]
    assert orders[0] != sorted(orders[0])


def test_a_refresh_begins_a_new_round() -> None:
    made, rng = buffer(10, *range(10)), np.random.default_rng(0)
    drawn(made, 9, rng)
    made.extend([sample(10)])
    assert sorted(drawn(made, 10, rng)) == list(range(1, 11))


def test_what_an_older_policy_wrote_is_dropped_and_what_remains_begins_a_new_round() -> None:
    made, rng = buffer(9, *range(6)), np.random.default_rng(0)
    drawn(made, 5, rng)
    made.forget(2)
    assert made.versions().tolist() == [2, 3, 4, 5]
    assert sorted(drawn(made, 4, rng)) == [2, 3, 4, 5]


def test_fewer_than_asked_for_gives_what_there_is() -> None:
    assert sorted(drawn(buffer(10, 1, 2), 5, np.random.default_rng(0))) == [1, 2]


def fresh(made: ReplayBuffer, count: int, rng: np.random.Generator, now: int, limit: int) -> list[int]:
    return [s.version for s in made.draw_fresh(count, rng, now, limit)]


def test_a_batch_is_made_up_of_what_is_fresh_however_much_is_not() -> None:
    made, rng, seen = buffer(200, *[0] * 170, *range(100, 130)), np.random.default_rng(0), Counter[int]()
    for turn in range(1, 31):
        batch = fresh(made, 8, rng, 129, 29)
        assert len(set(batch)) == len(batch) == 8, "none twice, none missing"
        assert min(batch) >= 100
        seen.update(batch)
        assert max(seen.values()) - min(seen[i] for i in range(100, 130)) <= 2, f"turns are taken, draw {turn}"


@pytest.mark.parametrize("count", [3, 4, 50])
def test_when_fewer_are_fresh_than_asked_for_all_of_them_come_once(count: int) -> None:
    made, rng = buffer(100, *[0] * 60, 7, 8, 9), np.random.default_rng(0)
    for _ in range(9):
        assert sorted(fresh(made, count, rng, 10, 3)) == [7, 8, 9]


def test_what_a_batch_met_twice_is_not_lost_to_the_round() -> None:
    made, rng = buffer(10, *range(1, 8)), np.random.default_rng(0)
    seen = Counter[int]()
    for _ in range(21):
        seen.update(fresh(made, 5, rng, 7, 7))
    assert max(seen.values()) - min(seen.values()) <= 1


def test_without_a_limit_fresh_is_drawn_as_ever() -> None:
    orders = [
        draw(buffer(9, *range(9)), 4, np.random.default_rng(5))
        for draw in (drawn, lambda made, count, rng: fresh(made, count, rng, 1000, 0))
    ]
    assert orders[0] == orders[1]


def test_what_is_all_too_old_is_an_error() -> None:
    with pytest.raises(UsageError, match="max_staleness=3"):
        buffer(5, 0, 1).draw_fresh(1, np.random.default_rng(0), 10, 3)


def test_state_goes_through_a_file_and_continues_the_same_round() -> None:
    made, rng = buffer(6, *range(8)), np.random.default_rng(0)
    drawn(made, 2, rng)
    file = io.BytesIO()
    torch.save(made.state_dict(), file)
    file.seek(0)
    again = buffer(6, 99)
    again.load_state_dict(torch.load(file, weights_only=True))
    twin = np.random.default_rng()
    twin.bit_generator.state = rng.bit_generator.state
    first, second = made.draw(10, rng), again.draw(10, twin)
    assert len(first) == len(second) == 6
    for a, b in zip(first, second, strict=True):
        assert a.version == b.version
        for name in ("prompt", "tokens", "loss_mask", "weights", "old_logprobs"):
            x, y = getattr(a, name), getattr(b, name)
            assert x.dtype == y.dtype
            np.testing.assert_array_equal(x, y)


def test_drawing_from_nothing_and_capacities_of_nothing_are_errors() -> None:
    with pytest.raises(UsageError, match="before drawing"):
        ReplayBuffer(3).draw(1, np.random.default_rng(0))
    with pytest.raises(UsageError, match="at least 1"):
        ReplayBuffer(0)
