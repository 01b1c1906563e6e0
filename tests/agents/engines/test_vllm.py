"""vLLM as the engine: with vLLM itself where it is installed, and with a stand-in that draws as vLLM is documented to."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from agents.batching import batch
from agents.core import Completion, TrainingSample
from agents.decoding.sampling import Sampling, warp
from agents.engines import vllm as _vllm
from agents.policies import tiny
from agents.policies.causal import CausalPolicy
from rltf_env.core import IntArray
from rltf_env.errors import UnknownName, UsageError

PROMPTS = [np.array([5, 6, 7, 8]), np.array([9, 10, 11]), np.arange(20, 50)]
GIVEN = [np.array([], np.int64), np.array([30, 31]), np.array([], np.int64)]
LENGTH = 24
REAL = find_spec("vllm") is not None
pytestmark = pytest.mark.filterwarnings("ignore")  # vLLM's own, of many kinds


class StandIn(ModuleType):
    """What we use of vLLM, over a policy: requests are answered two at a time, the last one first."""

    def __init__(self, policy: CausalPolicy) -> None:
        super().__init__("vllm")
        self.policy, self.requests, self.aborted, self.pushed = policy, {}, [], []
        self.asleep, self.events = set[str](), list[str]()
        self.sampling_params = SimpleNamespace(RequestOutputKind=SimpleNamespace(FINAL_ONLY=2))
        self.llm_engine = self
        self.options: dict[str, Any] = {}

    def LLM(self, folder: str, **options: Any) -> StandIn:
        self.options = options
        return self

    def SamplingParams(self, **options: Any) -> SimpleNamespace:
        return SimpleNamespace(**options)

    def collective_rpc(self, method: str, kwargs: dict[str, Any]) -> None:
        assert method == "reload_weights"
        assert "weights" not in self.asleep, "there is no memory for weights"
        self.events.append("load")
        self.pushed.append({name: float(tensor.sum()) for name, tensor in kwargs["weights_iterator"]})

    def reset_prefix_cache(self) -> None:
        pass

    def sleep(self, level: int) -> None:
        assert not self.asleep, "it sleeps already"
        assert self.options["enable_sleep_mode"]
        self.asleep = {"weights", "kv_cache"}
        self.events.append(f"sleep {level}")

    def wake_up(self, tags: list[str]) -> None:
        self.asleep -= set(tags)
        self.events += [f"wake {tag}" for tag in tags]

    def add_request(self, name: str, prompt: dict[str, list[int]], params: SimpleNamespace) -> None:
        self.requests[name] = (prompt["prompt_token_ids"], params)

    def abort_request(self, names: list[str]) -> None:
        self.aborted += names

    def step(self) -> list[SimpleNamespace]:
        assert not self.asleep, "it writes while it sleeps"
        return [self.answer(*self.requests.popitem()) for _ in range(min(2, len(self.requests)))]

    def answer(self, name: str, asked: tuple[list[int], SimpleNamespace]) -> SimpleNamespace:
        prompt, params = asked
        sampling = Sampling(params.temperature, params.top_p, params.top_k, min_p=params.min_p)
        generator = torch.Generator().manual_seed(params.seed)
        ((said,),) = sampling(
            self.policy, [np.array(prompt)], [GIVEN[0]], repeats=1, max_tokens=params.max_tokens, generator=generator
        )
        tokens = said.tokens.tolist()
        for end, stop in ((i, stop) for i in range(1, len(tokens) + 1) for stop in params.stop):
            if stop in self.policy.tokenizer.decode(tokens[:end]):
                tokens = tokens[:end]
                break
        chances = [{t: SimpleNamespace(logprob=p)} for t, p in zip(tokens, said.behaviour_logprobs, strict=False)]
        return SimpleNamespace(
            request_id=name, finished=True, outputs=[SimpleNamespace(token_ids=tokens, logprobs=chances)]
        )


@pytest.fixture(scope="module")
def policy() -> CausalPolicy:
    return tiny.load(width=64, layers=2, heads=2, vocab_size=300, dataset_options={"size": 4}, max_positions=256)


@pytest.fixture(params=["stand-in", pytest.param("vllm", marks=pytest.mark.skipif(not REAL, reason="needs vLLM"))])
def engine(request: pytest.FixtureRequest, policy: CausalPolicy, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Options of `Sampling` for an engine."""
    if request.param == "vllm":
        small = {"enforce_eager": True, "max_num_seqs": 16, "max_model_len": 256, "gpu_memory_utilization": 0.05}
        return {"engine": "vllm", "engine_options": small}
    monkeypatch.setitem(sys.modules, "vllm", StandIn(policy))
    monkeypatch.setattr(_vllm, "_engines", type(_vllm._engines)())
    return {"engine": "vllm"}


def write(policy: CausalPolicy, sampling: Sampling, **more: Any) -> list[list[Completion]]:
    generator = torch.Generator().manual_seed(1)
    return sampling(policy, PROMPTS, GIVEN, generator=generator, **{"repeats": 4, "max_tokens": LENGTH, **more})


def logits(policy: CausalPolicy, prompt: IntArray, tokens: IntArray) -> torch.Tensor:
    nothing = np.zeros(len(tokens), np.float32)
    with torch.no_grad():
        return policy.logits(batch([TrainingSample(prompt, tokens, nothing > -1, nothing, nothing)], policy.pad_id))[0]


def assert_said_rightly(policy: CausalPolicy, groups: list[list[Completion]], sampling: Sampling) -> None:
    """Each token's log-probability is the policy's, and that of the distribution that it was drawn from."""
    for prompt, given, group in zip(PROMPTS, GIVEN, groups, strict=True):
        for completion in group:
            tokens = completion.tokens
            assert completion.given == len(given)
            assert (tokens[: len(given)] == given).all()
            assert len(given) < len(tokens) <= LENGTH
            logp = logits(policy, prompt, tokens).log_softmax(-1)
            warped = warp(logp, sampling.temperature or 1.0, sampling.top_p, sampling.top_k, sampling.min_p)
            at = torch.from_numpy(tokens)[:, None]
            own, drawn = (x.gather(1, at)[len(given) :, 0].numpy() for x in (logp, warped))
            np.testing.assert_allclose(completion.logprobs[len(given) :], own, atol=1e-4)
            chance = drawn if sampling.temperature else np.zeros_like(drawn)
            np.testing.assert_allclose(completion.behaviour_logprobs[len(given) :], chance, atol=1e-3)


@pytest.mark.parametrize("how", [{}, {"temperature": 0.7, "top_p": 0.9, "top_k": 40, "min_p": 0.001}])
def test_what_is_said_of_tokens_is_right(policy: CausalPolicy, engine: dict[str, Any], how: dict[str, Any]) -> None:
    sampling = Sampling(**engine, **how)
    told: list[tuple[int, int]] = []
    groups = write(policy, sampling, done=lambda i, k, completion: told.append((i, k)))
    assert sorted(told) == [(i, k) for i in range(3) for k in range(4)]
    assert_said_rightly(policy, groups, sampling)
    assert len({tuple(c.tokens) for c in groups[0]}) == 4, "each program draws its own"
    for one, other in zip(groups, write(policy, sampling), strict=True):
        assert [c.tokens.tolist() for c in one] == [c.tokens.tolist() for c in other]


def test_greedy_takes_the_likeliest(policy: CausalPolicy, engine: dict[str, Any]) -> None:
    sampling = Sampling(0.0, **engine)
    groups = write(policy, sampling)
    assert_said_rightly(policy, groups, sampling)
    for mine, ours in zip(groups, write(policy, Sampling(0.0)), strict=True):
        assert [c.tokens.tolist() for c in mine] == [c.tokens.tolist() for c in ours]


def test_weights_are_taken_over_when_they_have_changed(policy: CausalPolicy, engine: dict[str, Any]) -> None:
    sampling = Sampling(**engine)
    write(policy, sampling)
    before = [p.detach().clone() for p in policy.model.parameters()]
    try:
        with torch.no_grad():
            for p in policy.model.parameters():
                p.add_(0.05 * torch.randn(p.shape, generator=torch.Generator().manual_seed(3)))
        assert_said_rightly(policy, write(policy, sampling), sampling)
    finally:
        with torch.no_grad():
            for p, old in zip(policy.model.parameters(), before, strict=True):
                p.copy_(old)
    assert_said_rightly(policy, write(policy, sampling), sampling)
    stand_in = sys.modules["vllm"]
    if isinstance(stand_in, StandIn):
        assert len(stand_in.pushed) == 3
        assert stand_in.pushed[0] == stand_in.pushed[2] != stand_in.pushed[1]


def test_programs_end_where_ours_do(policy: CausalPolicy, engine: dict[str, Any]) -> None:
    text = policy.tokenizer.decode(write(policy, Sampling(0.0))[0][0].tokens)
    how = {"temperature": 0.0, "stop": (text[3:5],)}
    pairs = zip(write(policy, Sampling(**how, **engine)), write(policy, Sampling(**how)), strict=True)
    for mine, ours in (pair for groups in pairs for pair in zip(*groups, strict=True)):
        assert mine.tokens.tolist() == ours.tokens.tolist()
        assert (mine.kept, mine.truncated) == (ours.kept, ours.truncated)


def test_who_stops_asking_leaves_nothing_behind(policy: CausalPolicy, engine: dict[str, Any]) -> None:
    def enough(i: int, k: int, completion: Completion) -> None:
        raise KeyboardInterrupt

    sampling = Sampling(**engine)
    with pytest.raises(KeyboardInterrupt):
        sampling(
            policy,
            PROMPTS,
            GIVEN,
            repeats=20,
            max_tokens=LENGTH,
            generator=torch.Generator().manual_seed(1),
            done=enough,
        )
    assert_said_rightly(policy, write(policy, sampling), sampling)


WOKEN = ["wake weights", "wake kv_cache"]


SHORT = {"repeats": 1, "max_tokens": 4}


@pytest.mark.parametrize(("level", "again"), [(True, WOKEN), (2, ["wake weights", "load", "wake kv_cache"])])
def test_it_sleeps_between_two_requests_and_takes_dropped_weights_over_again(
    policy: CausalPolicy, monkeypatch: pytest.MonkeyPatch, level: int, again: list[str]
) -> None:
    stand_in = StandIn(policy)
    monkeypatch.setitem(sys.modules, "vllm", stand_in)
    monkeypatch.setattr(_vllm, "_engines", type(_vllm._engines)())
    sampling = Sampling(engine="vllm", engine_options={"sleep": level})
    first, second = write(policy, sampling, **SHORT), write(policy, sampling, **SHORT)
    assert stand_in.events == ["load", f"sleep {level:d}", *again, f"sleep {level:d}"]
    assert_said_rightly(policy, second, sampling)
    assert [c.tokens.tolist() for c in first[0]] == [c.tokens.tolist() for c in second[0]]
    with pytest.raises(KeyboardInterrupt):
        write(policy, sampling, done=interrupt, **SHORT)
    assert stand_in.asleep, "whoever is interrupted gives the memory back too"


def interrupt(i: int, k: int, completion: Completion) -> None:
    raise KeyboardInterrupt


# ------------------------------------------------------------------------------------------------------------- errors


def test_no_other_depth_of_sleep_is_taken(policy: CausalPolicy) -> None:
    with pytest.raises(UsageError, match=r"sleep to be true, 1 .*, got 3\."):
        write(policy, Sampling(engine="vllm", engine_options={"sleep": 3}))


def test_options_are_for_vllm_and_engines_have_names() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'vllm'"):
        Sampling(engine="vlm")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="engine='vllm' or 'vllm_server' alone"):
        Sampling(engine_options={"max_model_len": 3})


@pytest.mark.skipif(REAL, reason="vLLM is installed")
def test_without_vllm_it_is_named(policy: CausalPolicy) -> None:
    with pytest.raises(UsageError, match="Expected vllm to be installed"):
        write(policy, Sampling(engine="vllm"))


def test_a_model_with_an_encoder_is_refused(policy: CausalPolicy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm", StandIn(policy))
    monkeypatch.setattr(policy.model.config, "is_encoder_decoder", True)
    with pytest.raises(UsageError, match="causal model"):
        _vllm.Engine(policy, {})
