"""A pool of prompts: which are chosen, what learns and what stays, and that the policy is one like any other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agents import building, functional
from agents.algorithms import rltf, supervised
from agents.batching import batch
from agents.config import finished
from agents.core import TrainingSample
from agents.evaluation import evaluate
from agents.learning.learner import Learner, OptimiserConfig
from agents.learning.reference import Reference
from agents.policies import _pool, pooled, tiny, tiny_seq2seq
from agents.policies.pooled import PooledPolicy
from agents.testing import check_agent, check_policy
from rltf_env.env import UnitTestEnv
from rltf_env.errors import DataError, MissingData, UnknownName, UsageError

SMALL: dict[str, Any] = {"width": 16, "layers": 1, "heads": 2, "vocab_size": 300, "dataset_options": {"size": 8}}
OPTIMISER = OptimiserConfig(lr=1e-2, warmup=0, weight_decay=0.1, micro_batch=0)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("base")
    tiny.load(**SMALL).save(folder)
    return str(folder)


def small(base: str, **options: Any) -> PooledPolicy:
    return pooled.load(base, **{"pool": 8, "top": 2, "length": 3, **options})


def sample(*tokens: int) -> TrainingSample:
    prompt, program = np.array(tokens, np.int64), np.array([7, 8, 9], np.int64)
    zeros = np.zeros(3, np.float32)
    return TrainingSample(prompt, program, np.ones(3, bool), zeros, zeros)


SAMPLES = [sample(40, 41), sample(50, 51, 52), sample(60), sample(70, 71, 72, 73)]


def learn(policy: PooledPolicy, updates: int = 3, samples: list[TrainingSample] = SAMPLES) -> dict[str, float]:
    learner = Learner(policy, OPTIMISER)
    loss = partial(supervised.supervised_loss, how="token_mean")
    return [learner.step(samples, "token_mean", loss) for _ in range(updates)][-1]


# ------------------------------------------------------------------------------------------------------ the equations

KEYS = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0], [-1.0, 0.0]])
QUERY = torch.tensor([[0.8, 0.6]])


def test_cosines_the_nearest_keys_and_their_loss_are_those_worked_by_hand() -> None:
    similarity = functional.cosines(QUERY, KEYS)
    assert similarity[0].tolist() == pytest.approx([0.8, 0.98995, 0.6, -0.8], abs=1e-4)
    free = functional.nearest(similarity, torch.tensor([True] * 4), 2)
    assert free.tolist() == [[1, 0]]
    assert functional.nearest(similarity, torch.tensor([False, False, True, True]), 2).tolist() == [[2, 3]]
    assert float(functional.key_loss(similarity, free, 0.5)) == pytest.approx(-0.8950, abs=1e-4)


def test_lengths_of_vectors_do_not_matter_and_a_row_counts_as_one() -> None:
    twice = functional.cosines(torch.cat([3 * QUERY, QUERY]), 5 * KEYS)
    assert torch.allclose(twice, functional.cosines(QUERY, KEYS).expand(2, 4), atol=1e-6)
    chosen = torch.tensor([[1, 0], [1, 0]])
    assert float(functional.key_loss(twice, chosen, 0.5)) == pytest.approx(-0.8950, abs=1e-4)


def test_of_equal_keys_the_first_is_the_nearest_and_a_text_of_zeros_chooses_too() -> None:
    similarity = functional.cosines(torch.zeros(1, 2), KEYS)
    assert functional.nearest(similarity, torch.tensor([True] * 4), 3).tolist() == [[0, 1, 2]]


def test_descending_the_loss_moves_a_key_towards_its_query() -> None:
    key = torch.tensor([[0.0, 1.0]], requires_grad=True)
    functional.key_loss(functional.cosines(QUERY, key), torch.tensor([[0]]), 1.0).backward()
    moved = (key - 0.1 * key.grad).detach()  # type: ignore[operator]
    assert float(functional.cosines(QUERY, moved)) > float(functional.cosines(QUERY, key.detach()))


@pytest.mark.parametrize(
    ("pairs", "tasks", "expected"),
    [
        (4, 1, [(0, 1, 2, 3)]),
        (4, 2, [(0, 1), (1, 2, 3)]),
        (6, 3, [(0, 1), (1, 2, 3), (3, 4, 5)]),
        (4, 4, [(0,), (0, 1), (1, 2), (2, 3)]),
    ],
)
def test_each_pair_belongs_to_a_task_or_is_shared_with_the_next(
    pairs: int, tasks: int, expected: list[tuple[int, ...]]
) -> None:
    assert [_pool.owned(pairs, task, tasks) for task in range(tasks)] == expected


# -------------------------------------------------------------------------------------------------------- the policy


def test_a_pooled_encoder_and_decoder_keeps_the_contract_of_policies(tmp_path: Path) -> None:
    tiny_seq2seq.load(**SMALL).save(tmp_path)
    check_policy(small(str(tmp_path)))


def test_a_text_is_read_after_the_prompts_of_its_nearest_keys(base: str) -> None:
    policy = small(base)
    prompt = SAMPLES[1].prompt
    query = policy.query(prompt)
    assert torch.allclose(query, policy.inner.prompt_states(prompt).mean(0), atol=1e-6)
    policy.pool.set_key(5, query)
    policy.pool.set_key(2, query + 0.01)
    assert policy.choose([prompt]).tolist() == [[5, 2]]
    rows = policy.embedding.rows
    tokens = [rows + 15, rows + 16, rows + 17, rows + 6, rows + 7, rows + 8, *prompt]
    assert policy.prefixed([prompt])[0].tolist() == tokens
    vectors = policy.embedding(torch.tensor(tokens))
    assert torch.equal(vectors[:3], policy.pool.prompts[5])
    assert torch.equal(vectors[6:], policy.embedding.base(torch.tensor(prompt)))


def test_learning_leaves_the_model_and_the_pairs_that_were_not_chosen_as_they_were_to_the_bit(base: str) -> None:
    policy = small(base)
    before = {name: t.clone() for name, t in policy.model.state_dict().items()}
    chosen = set(policy.choose([s.prompt for s in SAMPLES]).flatten().tolist())
    learn(policy, 1)
    changed = {name for name, t in policy.model.state_dict().items() if not torch.equal(t, before[name])}
    pairs = {f"model.embed_tokens.pool.{part}.{j}" for part in ("keys", "prompts") for j in chosen}
    assert changed == pairs
    assert 2 <= len(chosen) < 8


def test_a_key_that_was_not_chosen_has_no_gradient(base: str) -> None:
    policy = small(base)
    data = batch(SAMPLES[:1], policy.pad_id)
    policy.own_loss(data).backward()
    chosen = policy.choose([SAMPLES[0].prompt])[0].tolist()
    assert [j for j, key in enumerate(policy.pool.keys) if key.grad is not None] == sorted(chosen)


def test_the_keys_own_loss_is_a_part_of_every_update_weighted_by_rows_not_by_tokens(base: str) -> None:
    policy = small(base, weight=0.7)
    expected = float(policy.own_loss(batch(SAMPLES, policy.pad_id)).detach())
    loss = partial(supervised.supervised_loss, how="token_mean")
    for micro_batch in (0, 3):
        learner = Learner(small(base, weight=0.7), OptimiserConfig(lr=1e-9, micro_batch=micro_batch))
        assert learner.step(SAMPLES, "token_mean", loss)["own_loss"] == pytest.approx(expected, abs=1e-6)
    assert -1.4 <= expected <= 1.4
    assert small(base, weight=0.0).own_loss(batch(SAMPLES, policy.pad_id)) == 0


def test_forced_learning_never_touches_the_pairs_of_another_task(base: str) -> None:
    policy = small(base, assign="forced", task=1, tasks=4)
    before = [(k.clone(), p.clone()) for k, p in zip(policy.pool.keys, policy.pool.prompts, strict=True)]
    learn(policy)
    moved = [
        j
        for j, (key, prompt) in enumerate(before)
        if not (torch.equal(key, policy.pool.keys[j]) and torch.equal(prompt, policy.pool.prompts[j]))
    ]
    assert set(moved) <= {1, 2, 3}
    assert len(moved) >= 2


def test_a_measured_policy_chooses_among_all_pairs(base: str) -> None:
    policy = small(base, assign="forced", task=3, tasks=4)
    prompt = SAMPLES[0].prompt
    policy.pool.set_key(0, policy.query(prompt))
    assert 0 not in policy.choose([prompt])[0].tolist()
    with policy.measured():
        assert policy.choose([prompt])[0, 0] == 0
    assert 0 not in policy.choose([prompt])[0].tolist()


def test_an_evaluation_measures_without_the_task(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    policy, env = posed(small(base, assign="forced", task=3, tasks=4))
    looks: list[bool] = []
    begin = PooledPolicy.begin
    monkeypatch.setattr(
        PooledPolicy, "begin", lambda self, *a, **k: looks.append(self._measured) or begin(self, *a, **k)
    )
    evaluate(policy, env, env.source.problems, rltf.Sampling(), samples=1)  # type: ignore[attr-defined]
    assert looks == [True]


def test_a_look_within_a_look_does_not_end_it(base: str) -> None:
    policy = small(base, assign="forced", task=3, tasks=4)
    policy.pool.set_key(0, policy.query(SAMPLES[0].prompt))
    with policy.measured():
        with policy.measured():
            pass
        assert policy.choose([SAMPLES[0].prompt])[0, 0] == 0


def test_the_chosen_prompts_take_room_before_a_text(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of three vectors each."""
    policy = small(base)
    asked: list[tuple[int, int]] = []
    for name in ("has_room", "check_room", "no_room"):
        monkeypatch.setattr(policy.inner, name, lambda prompt, program: asked.append((prompt, program)))
    policy.has_room(10, 5)
    policy.check_room(20, 5)
    assert "6 of them are the pool's" in policy.no_room(30, 5)
    assert asked == [(16, 5), (26, 5), (36, 5)]


def test_the_newest_queries_are_remembered(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pooled, "REMEMBERED", 2)
    policy, read = small(base), []
    monkeypatch.setattr(policy, "_read_query", lambda prompt: read.append(int(prompt[0])) or torch.ones(16))
    for token in (40, 50, 40, 60, 50, 40):
        policy.query(np.array([token]))
    assert read == [40, 50, 60, 40], "the first goes when a third comes"


def test_a_query_is_read_without_dropout_and_without_a_gradient(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    policy, modes = small(base), []
    states = type(policy.inner).prompt_states
    monkeypatch.setattr(
        type(policy.inner),
        "prompt_states",
        lambda self, prompt: (modes.append((self.model.training, torch.is_grad_enabled())), states(self, prompt))[1],
    )
    policy.model.train()
    policy.query(SAMPLES[0].prompt)
    assert modes == [(False, False)]
    assert policy.model.training


def test_a_pool_is_drawn_by_its_seed(base: str) -> None:
    first, again, other = (small(base, seed=seed).pool for seed in (3, 3, 4))
    assert torch.equal(first.stacked(), again.stacked())
    assert torch.equal(first.prompts[0], again.prompts[0])
    assert not torch.allclose(first.stacked(), other.stacked())
    assert not torch.allclose(torch.stack([*first.prompts]), torch.stack([*other.prompts]))


def test_with_as_many_prompts_as_pairs_free_and_forced_are_the_same(base: str) -> None:
    free, forced = small(base, pool=2), small(base, pool=2, assign="forced", task=0, tasks=1)
    assert learn(free) == learn(forced)
    assert all(torch.equal(a, b) for a, b in zip(free.pool.prompts, forced.pool.prompts, strict=True))


def test_keys_begin_as_queries_of_texts_and_are_set_once(base: str) -> None:
    policy = small(base, assign="forced", task=1, tasks=4)
    texts = iter([np.array([40, i]) for i in range(9)])
    policy.meet(lambda: next(texts))
    assert policy.pool.met.nonzero()[:, 0].tolist() == [1, 2, 3]
    assert torch.equal(policy.pool.keys[2].cpu(), policy.query(np.array([40, 1])))
    keys = policy.pool.stacked().clone()
    policy.meet(lambda: next(texts))
    assert torch.equal(policy.pool.stacked(), keys)


def test_an_agent_from_a_recipe_meets_its_prompts_and_draws_none_of_its_own_for_it(base: str) -> None:
    policy, env = posed(small(base))
    recipe: Any = type("R", (), {"agent": {"kind": "supervised"}, "run": type("Run", (), {"seed": 3})})
    agent = building.make_agent(recipe, policy, env)
    assert bool(policy.pool.met.all())
    state: Any = agent.state_dict()["rng"]
    assert env.source.get_state() == 0  # type: ignore[attr-defined]
    assert state == supervised.load(policy, env, seed=3).state_dict()["rng"]


@pytest.mark.parametrize("kind", ["supervised", "rltf"])
def test_an_agent_keeps_its_contract_with_a_pool(kind: str, base: str) -> None:
    module = {"supervised": supervised, "rltf": rltf}[kind]
    sizes = {"buffer": 12, "fill": 8, "refresh": 4, "refresh_every": 2, "samples_per_problem": 2, "batch_size": 4}
    options = sizes if kind == "rltf" else {"batch_size": 4}

    def make(policy: Any, env: UnitTestEnv, seed: int) -> Any:
        _pool.extend(policy.model, 4, 2, 16, seed)
        return module.load(PooledPolicy(policy, 2), env, seed=seed, optimiser={"lr": 1e-2, "warmup": 0}, **options)

    check_agent(make, updates=3)


def test_a_reference_stays_behind_when_the_pool_learns(base: str) -> None:
    policy = small(base)
    reference = Reference(policy, 0)
    before = reference.with_reference_logprobs(SAMPLES)[0].extra["reference"]
    learn(policy, 5)
    after = reference.with_reference_logprobs(SAMPLES)[0].extra["reference"]
    assert np.array_equal(before, after)
    assert not np.allclose(Reference(policy, 0).with_reference_logprobs(SAMPLES)[0].extra["reference"], before)


def posed(policy: PooledPolicy) -> tuple[PooledPolicy, UnitTestEnv]:
    from rltf_env import datasets, sandbox

    env = UnitTestEnv(
        datasets.load("procedural", size=4, depths=[1]),
        source="cycle",
        sandbox=sandbox.load("scripted", rules=lambda source, problem: False),
        tokenizer=building.tokenizer_of(policy),
        max_prompt_tokens=200,
        max_program_tokens=48,
    )
    return policy, env


# ------------------------------------------------------------------------------------------------------ saved folders


def test_a_saved_folder_is_the_plain_frozen_model_and_names_its_kind(base: str, tmp_path: Path) -> None:
    policy = small(base)
    learn(policy)
    policy.save(tmp_path)
    assert json.loads((tmp_path / "policy.json").read_text()) == {"kind": "pooled", "pool": 8, "top": 2, "length": 3}
    from agents.policies import causal

    with pytest.raises(UsageError, match=r"policy\.kind = 'pooled', or policy\.plain = true"):
        causal.load(str(tmp_path))
    plain, first = (causal.load(folder, plain=True).model.state_dict() for folder in (str(tmp_path), base))
    assert all(torch.equal(plain[name], first[name]) for name in first)
    again = pooled.load(str(tmp_path), assign="forced", task=1, tasks=2)
    assert torch.equal(again.pool.stacked(), policy.pool.stacked())
    assert again.allowed == (3, 4, 5, 6, 7)


def test_a_finished_run_is_read_by_the_kind_that_its_folder_names(base: str, tmp_path: Path) -> None:
    recipe = '[run]\nname = "r"\nupdates = 1\n[env]\nid = "RLTF-Procedural-v0"\n[policy]\nkind = "pooled"\n'
    (tmp_path / "recipe.toml").write_text(recipe + '[agent]\nkind = "supervised"\n')
    (tmp_path / "policy").mkdir()
    small(base).save(tmp_path / "policy")
    assert finished(tmp_path).policy["kind"] == "pooled"
    (tmp_path / "policy" / "policy.json").unlink()
    assert finished(tmp_path).policy["kind"] == "causal"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"top": 9}, "top <= pool"),
        ({"length": 0}, "sizes >= 1"),
        ({"assign": "forced", "task": 2, "tasks": 2}, "task 2 of 2"),
        ({"assign": "forced", "task": 0, "tasks": 3}, "multiple of policy.tasks, got 8 for 3"),
        ({"assign": "forced", "task": 0, "tasks": 8}, "the pairs of a task"),
        ({"weight": -1.0}, "policy.weight"),
        ({"lora": {"r": 2}}, "without policy.lora"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(base: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        small(base, **options)


def test_another_assignment_a_changed_size_and_a_broken_pool_are_refused(base: str, tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="forced"):
        small(base, assign="force")
    small(base).save(tmp_path)
    with pytest.raises(UsageError, match=r"policy.length = 3, that of the saved pool, got 4"):
        pooled.load(str(tmp_path), length=4)
    (tmp_path / "pool.pt").write_bytes(b"no")
    with pytest.raises(DataError, match=r"pool.pt"):
        pooled.load(str(tmp_path))
    (tmp_path / "policy.json").write_text("{}")
    with pytest.raises(DataError, match=r"policy.json"):
        pooled.load(str(tmp_path))


def test_a_pool_beside_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Expected `path`"):
        pooled.load()
    with pytest.raises(MissingData, match="there is no such folder"):
        pooled.load(str(tmp_path / "none"))


def test_no_other_engine_writes_with_a_pool(base: str) -> None:
    from agents.engines.vllm import Engine

    with pytest.raises(UsageError, match="engine = 'own'"):
        Engine(small(base), {})
