"""vLLM as the engine that writes programs: `Sampling(engine="vllm")`, for causal models, where vllm is installed.

An engine lives in the learner's process and keeps a copy of its policy's weights, which it takes over in memory before it writes
with a policy that has learnt since. It draws, in its own precision, and says what each token was really drawn with
(`behaviour_logprobs`). What the policy itself thinks of the tokens (`logprobs`) the policy says: it reads the programs once more.
The two differ by temperature and cut-offs, and by what vLLM's kernels compute differently.

A prompt's keys and values are computed once for all of its programs (vLLM's prefix cache). Each program draws from a generator
of its own, seeded by the run's. Equal seeds give equal programs as far as vLLM's kernels do not depend on what else is in a batch.
"""

from __future__ import annotations

import importlib
import os
import random
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count, islice
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch

from agents.core import Completion, Policy, Request, TrainingSample
from agents.decoding._stopping import Stops, ends_of
from agents.decoding.sampling import Sampling, make_completion
from agents.learning.reference import logprobs
from agents.policies import _lora
from rltf_env.core import FloatArray, IntArray
from rltf_env.errors import UsageError

READ = 16  # programs that the policy reads at a time, as they end
Drawn = tuple[int, IntArray, FloatArray]  # which row; its tokens, and the log-probability that each was drawn with


class Engine:
    """vLLM with a policy's weights. `options` are those of `vllm.LLM`, such as `gpu_memory_utilization` and `max_model_len`.

    Raises:
        UsageError: vllm is not installed, or is no engine for this policy.
    """

    def __init__(self, policy: Policy[Any], options: Mapping[str, Any]) -> None:
        if getattr(policy, "writes_itself", False):
            raise UsageError(
                f"Expected a policy that vLLM can write with, got {type(policy).__name__}. Set sampling.engine = 'own'."
            )
        try:
            os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"  # weights are handed over in memory
            vllm = importlib.import_module("vllm")
        except ImportError as error:
            raise UsageError(f"Expected vllm to be installed for sampling.engine='vllm', got {error}.") from error
        model: Any = policy.model
        if model.config.is_encoder_decoder:
            raise UsageError("Expected a causal model for sampling.engine='vllm', got one with an encoder.")
        self._vllm, self._numbers, self.vocab_size = vllm, count(), int(model.config.get_text_config().vocab_size)
        self._taken: tuple[int, ...] = ()
        with tempfile.TemporaryDirectory(prefix="rltf-") as folder, _same_randomness():
            model.config.save_pretrained(folder)
            policy.tokenizer.save_pretrained(folder)
            told = {
                "dtype": str(next(model.parameters()).dtype).removeprefix("torch."),
                "load_format": "dummy",
                "hf_overrides": {"tie_word_embeddings": False},  # else the output layer would keep its first weights
                "generation_config": "vllm",
                "logprobs_mode": "processed_logprobs",
                "disable_log_stats": True,
            }
            if model.device.type == "cpu":
                told["enable_chunked_prefill"] = False  # which breaks on seeds there, in 0.32
            try:
                self._llm = vllm.LLM(folder, **{**told, **options})
            except (TypeError, ValueError, NotImplementedError) as error:
                raise UsageError(
                    f"Expected a model and sampling.engine_options that vLLM takes, got: {error}"
                ) from error

    def take(self, policy: Policy[Any]) -> None:
        """Takes over the policy's weights, if they have changed."""
        version = tuple(p._version for p in policy.model.parameters())
        if version == self._taken:
            return
        with torch.no_grad():
            named = _lora.merged(policy.model).named_parameters(remove_duplicate=False)
            weights = ((name, p.detach()) for name, p in named)
            self._llm.collective_rpc("reload_weights", kwargs={"weights_iterator": weights})
        self._llm.reset_prefix_cache()  # keys and values of the weights before
        self._taken = version

    def write(
        self, rows: Sequence[IntArray], limits: Sequence[int], seeds: Sequence[int], **options: Any
    ) -> Iterator[Drawn]:
        """Continues each row by at most its limit of tokens; what was written, in the order in which it ends.

        Args:
            options: of `vllm.SamplingParams`.
        """
        engine = self._llm.llm_engine
        final = self._vllm.sampling_params.RequestOutputKind.FINAL_ONLY
        names: dict[str, int] = {}
        try:
            for i, (row, limit, seed) in enumerate(zip(rows, limits, seeds, strict=True)):
                params = self._vllm.SamplingParams(
                    max_tokens=limit, seed=seed, logprobs=0, ignore_eos=True, output_kind=final, **options
                )
                name = str(next(self._numbers))
                engine.add_request(name, {"prompt_token_ids": row.tolist()}, params)
                names[name] = i
            while names:
                for answer in engine.step():
                    if answer.finished:
                        (written,) = answer.outputs
                        tokens = written.token_ids
                        said = [each[token].logprob for each, token in zip(written.logprobs, tokens, strict=True)]
                        yield names.pop(answer.request_id), np.array(tokens, np.int64), np.array(said, np.float32)
        finally:
            if names:  # whoever asked has had enough
                engine.abort_request(list(names))


_engines: WeakKeyDictionary[Policy[Any], dict[str, Engine]] = WeakKeyDictionary()


def engine_of(policy: Policy[Any], options: Mapping[str, Any]) -> Engine:
    """The policy's engine with these options, made when it is first asked for, with the policy's present weights."""
    engines = _engines.setdefault(policy, {})
    key = repr(sorted(options.items()))
    if key not in engines:
        engines[key] = Engine(policy, options)
    engines[key].take(policy)
    return engines[key]


def write(sampling: Sampling, policy: Policy[Any], request: Request) -> list[list[Completion]]:
    """What `sampling` would write with the policy, by vLLM. See `agents.core.Decoder`."""
    prompts, prefixes, repeats = request.prompts, request.prefixes, request.repeats
    engine = engine_of(policy, sampling.engine_options)
    stops, ends = Stops.of(policy, sampling.stop), ends_of(policy)
    asked = [i for i in range(len(prompts)) for _ in range(repeats)]
    tokens = len(policy.tokenizer)
    drawn = engine.write(
        [np.concatenate([prompts[i], prefixes[i]]) for i in asked],
        [request.max_tokens - len(prefixes[i]) for i in asked],
        torch.randint(2**62, (len(asked),), generator=request.generator, device=request.generator.device).tolist(),
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=sampling.top_k,
        min_p=sampling.min_p,
        stop=list(sampling.stop),
        detokenize=bool(sampling.stop),
        stop_token_ids=list(ends),
        allowed_token_ids=list(range(tokens)) if engine.vocab_size > tokens else None,
    )
    written: list[list[Any]] = [[None] * repeats for _ in prompts]
    while lot := list(islice(drawn, READ)):
        starts = [prefixes[asked[row]] for row, _, _ in lot]
        programs = [np.concatenate([start, new]) for start, (_, new, _) in zip(starts, lot, strict=True)]
        own = _own(policy, [prompts[asked[row]] for row, _, _ in lot], programs)
        for start, said, (row, new, chance) in zip(starts, own, lot, strict=True):
            behaviour = chance if sampling.temperature else np.zeros_like(chance)
            i, k = divmod(row, repeats)
            written[i][k] = make_completion(start, ends, stops, new, said[len(start) :], behaviour, len(new))
            if request.done:
                request.done(i, k, written[i][k])
    return written


def _own(policy: Policy[Any], prompts: Sequence[IntArray], programs: Sequence[IntArray]) -> list[FloatArray]:
    """What the policy itself thinks of each token of each program: float32 (T,) each."""
    nothing = [np.zeros(len(tokens), np.float32) for tokens in programs]
    samples = [
        TrainingSample(p, t, zeros > -1, zeros, zeros) for p, t, zeros in zip(prompts, programs, nothing, strict=True)
    ]
    return logprobs(policy, samples, READ)


@contextmanager
def _same_randomness() -> Iterator[None]:
    """vLLM seeds every generator of the process at its start; here they go on as before."""
    before = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        with torch.random.fork_rng(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what vLLM's own parts complain of to each other
            yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])  # noqa: NPY002


def load() -> Callable[..., list[list[Completion]]]:
    """The engine: `write`."""
    return write
