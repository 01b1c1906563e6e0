"""Contrast and matching on tables worked by hand; what is masked, and what a copy and a queue remember."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from small_policies import copy_of

from agents.batching import batch
from agents.learning import contrast
from agents.learning.contrast import Momentum, Queue, contrastive, hard_negatives, matching, negative_probabilities
from agents.policies import pair_heads, tiny, tiny_seq2seq
from agents.policies.pair_heads import PairHeads, match_logits, plain_sample, sentence_states
from rltf_env.errors import MissingData, UsageError

ROOT = math.sqrt(0.5)
TEXT, CODE = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 0.0], [ROOT, ROOT]])
QUEUED = torch.tensor([[-1.0, 0.0]])
OWN = torch.arange(2)
SIMILARITY = np.array([[0.9, 0.5, 0.1], [0.2, 0.8, 0.4], [0.3, 0.3, 0.7]])


def nothing(keys: int) -> torch.Tensor:
    return torch.zeros(2, keys, dtype=torch.bool)


@pytest.mark.parametrize(
    ("temperature", "to_code", "to_text", "both"), [(1.0, 0.6591, 0.5032, 0.5812), (0.07, 0.0076, 0.3466, 0.1771)]
)
def test_contrast_by_hand(temperature: float, to_code: float, to_text: float, both: float) -> None:
    """Logits of the texts 1, .7071, -1 and 0, .7071, 0 at temperature 1; the queue holds a program and no text."""
    one = float(contrastive(TEXT, torch.cat([CODE, QUEUED]), OWN, nothing(3), temperature).mean())
    other = float(contrastive(CODE, TEXT, OWN, nothing(2), temperature).mean())
    assert (round(one, 4), round(other, 4)) == (to_code, to_text)
    assert (one + other) / 2 == pytest.approx(both, abs=5e-5)


def test_equal_content_is_no_negative_but_ones_own_key_always_counts() -> None:
    """A queue of copies of a pair's own program adds nothing to its loss."""
    digests = torch.tensor([[1, 11], [2, 12]])
    copies = contrast.known(digests, torch.cat([digests, digests]))
    assert copies.tolist() == [[True, False, True, False], [False, True, False, True]]
    for i in range(2):
        query, own, keys = TEXT[i : i + 1], OWN[i : i + 1], torch.cat([CODE, CODE[i : i + 1], CODE[i : i + 1]])
        masked = contrast.known(digests[i : i + 1], digests[[0, 1, i, i]])
        plain = contrastive(query, CODE, own, nothing(2)[:1])
        torch.testing.assert_close(contrastive(query, keys, own, masked), plain)
        assert not torch.allclose(contrastive(query, keys, own, nothing(4)[:1]), plain)


def test_a_pair_that_is_known_is_no_negative_whoever_knows_it() -> None:
    """Text 1 has the programs 11 and 12, program 12 the texts 1 and 2; text 3 is a stranger to both."""
    among = torch.tensor([[1, 11], [2, 12], [1, 12], [3, 13]])
    assert contrast.known(among, among).tolist() == [
        [True, True, True, False],
        [False, True, True, False],
        [True, True, True, False],
        [False, False, False, True],
    ]
    assert contrast.known(among.flip(1), among.flip(1)).tolist() == [
        [True, False, True, False],
        [True, True, True, False],
        [True, True, True, False],
        [False, False, False, True],
    ]


def test_the_order_of_a_batch_is_all_the_same() -> None:
    generator = torch.Generator()
    generator.manual_seed(0)
    text, code = (torch.nn.functional.normalize(torch.randn(5, 3, generator=generator), dim=-1) for _ in range(2))
    order, off = torch.tensor([3, 0, 4, 1, 2]), torch.zeros(5, 5, dtype=torch.bool)
    first = contrastive(text, code, torch.arange(5), off, 0.1)
    torch.testing.assert_close(contrastive(text[order], code[order], torch.arange(5), off, 0.1), first[order])
    torch.testing.assert_close(contrastive(text, code[order], order.argsort(), off, 0.1), first)


def test_negatives_by_hand() -> None:
    rows = negative_probabilities(SIMILARITY, np.eye(3, dtype=bool))
    expected = [[0, 0.5987, 0.4013], [0.4502, 0, 0.5498], [0.5, 0.5, 0]]
    np.testing.assert_allclose(rows, expected, atol=5e-5)


def test_negatives_are_drawn_as_often_as_they_are_like_the_pair() -> None:
    rng, off = np.random.default_rng(0), np.eye(3, dtype=bool)
    drawn = np.stack([hard_negatives(SIMILARITY / 0.1, off, rng) for _ in range(400)])
    shares = np.stack([(drawn == i).mean(0) for i in range(3)], 1)
    np.testing.assert_allclose(shares, negative_probabilities(SIMILARITY / 0.1, off), atol=0.06)


def test_a_pair_without_another_that_differs_has_no_negative() -> None:
    off = np.array([[True, True, True], [True, True, False], [True, False, True]])
    assert hard_negatives(SIMILARITY, off, np.random.default_rng(0)).tolist() == [-1, 2, 1]


def test_matching_by_hand() -> None:
    """Probabilities .9 of the pair, .2 and .4 of the others: -(ln .9 + ln .8 + ln .6) / 3."""
    p = torch.tensor([0.9, 0.2, 0.4])
    logits = torch.stack([torch.zeros(3), (p / (1 - p)).log()], 1)
    losses = matching(logits, torch.tensor([1, 0, 0]))
    assert round(float(losses.mean()), 4) == 0.2798


# ------------------------------------------------------------------------------------------------------------- memory


def test_a_copy_keeps_its_share_of_itself_and_learns_nothing_by_itself() -> None:
    """Momentum .995 from 2 towards 1: 1.995."""
    policy = copy_of(tiny_seq2seq.load, width=16, layers=1, heads=2, vocab_size=280, dataset_options={"size": 4})
    heads = pair_heads.on(policy, 8)
    policy.model.train()
    momentum = Momentum(policy, heads, 0.995)
    assert not any(module.training for module in momentum.policy.model.modules()), "keys are without dropout"
    reader = contrast.part_that_reads(policy.model)
    with torch.no_grad():
        for mine in (*momentum.policy.model.parameters(), *momentum.projection.parameters()):
            mine.fill_(2.0)
        for its in (*reader.parameters(), *heads.parameters()):
            its.fill_(1.0)
    momentum.follow(policy, heads)
    copied = [*momentum.policy.model.parameters(), *momentum.projection.parameters()]
    for mine in copied:
        torch.testing.assert_close(mine, torch.full_like(mine, 1.995))
    assert not any(mine.requires_grad for mine in copied)
    assert sum(p.numel() for p in momentum.policy.model.parameters()) < sum(
        p.numel() for p in policy.model.parameters()
    )


@pytest.mark.parametrize("kind", [tiny, tiny_seq2seq])
def test_keys_are_made_by_the_copy_and_not_by_the_learner(kind: object) -> None:
    policy = copy_of(kind.load, width=16, layers=1, heads=2, vocab_size=280, dataset_options={"size": 4})  # type: ignore[attr-defined]
    heads = pair_heads.on(policy, 8)
    momentum = Momentum(policy, heads, 0.9)
    texts = [np.array([40, 50, 60]), np.array([70])]
    before = momentum.features(texts, 1)
    torch.testing.assert_close(before, heads.embed(sentence_states(policy, texts)))
    torch.testing.assert_close(before.norm(dim=1), torch.ones(2))
    with torch.no_grad():
        for its in policy.model.parameters():
            its.mul_(1.3)
    torch.testing.assert_close(momentum.features(texts, 0), before)


def test_a_queue_keeps_the_newest() -> None:
    queue = Queue(3, 1, torch.device("cpu"))
    for i in range(2):
        rows = torch.arange(2.0)[:, None] + 2 * i
        queue.push(rows, -rows, torch.stack([rows[:, 0].long()] * 2, 1))
    assert queue.text[:, 0].tolist() == [2.0, 3.0, 0.0]
    assert queue.code[:, 0].tolist() == [-2.0, -3.0, -0.0]
    assert queue.digests.tolist() == [[2, 2], [3, 3], [0, 0]], "of the same pairs"
    again = Queue(3, 1, torch.device("cpu"))
    again.load_state_dict(queue.state_dict())
    assert torch.equal(again.digests, queue.digests)
    assert len(again) == 3


# -------------------------------------------------------------------------------------------------------------- heads


def test_the_match_is_read_when_the_whole_program_has_been_read() -> None:
    """Of programs of unlike length in one batch, as of each alone; another last token or text is another state."""
    policy = copy_of(tiny_seq2seq.load, width=16, layers=1, heads=2, vocab_size=280, dataset_options={"size": 4})
    heads = pair_heads.on(policy, 8)
    with torch.no_grad():
        heads.match.weight.copy_(torch.arange(32.0).reshape(2, 16).sin())

    def logits(*pairs: tuple[list[int], list[int]]) -> torch.Tensor:
        samples = [plain_sample(np.array(text), np.array(code)) for text, code in pairs]
        return match_logits(policy, heads, batch(samples, policy.pad_id))

    short, long = ([40, 50], [60, 70]), ([41], [60, 70, 80, 90])
    torch.testing.assert_close(logits(short, long), torch.cat([logits(short), logits(long)]))
    for other in (([40, 50], [60, 71]), ([40, 51], [60, 70]), ([40, 50], [60])):
        assert not torch.allclose(logits(other), logits(short), atol=1e-4)


def test_a_temperature_stays_within_its_bounds_and_begins_where_it_is_told() -> None:
    heads = PairHeads(4, 4, 3, temperature=0.07)
    assert float(heads.temperature.detach()) == pytest.approx(0.07)
    with torch.no_grad():
        heads.log_temperature.fill_(5.0)
    assert float(heads.temperature.detach()) == 0.5


def test_a_text_of_no_tokens_is_refused() -> None:
    policy = copy_of(tiny_seq2seq.load, width=16, layers=1, heads=2, vocab_size=280, dataset_options={"size": 4})
    with pytest.raises(UsageError, match="text 1"):
        sentence_states(policy, [np.array([4]), np.array([], np.int64)])


def test_heads_that_are_not_there_are_asked_for_by_name(tmp_path: object) -> None:
    policy = copy_of(tiny.load, width=16, layers=1, heads=2, vocab_size=280, dataset_options={"size": 4})
    with pytest.raises(MissingData, match="codet5p"):
        pair_heads.read(str(tmp_path), policy)
