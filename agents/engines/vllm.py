"""vLLM as the engine that writes programs: `Sampling(engine="vllm")`, for causal models, where vllm is installed.

An engine lives in the learner's process and keeps a copy of its policy's weights, which it takes over in memory before it writes
with a policy that has learnt since. It draws, in its own precision, and says what each token was really drawn with
(`behaviour_logprobs`). What the policy itself thinks of the tokens (`logprobs`) the policy says: it reads the programs once more.
The two differ by temperature and cut-offs, and by what vLLM's kernels compute differently.

A prompt's keys and values are computed once for all of its programs (vLLM's prefix cache). Each program draws from a generator
of its own, seeded by the run's. Equal seeds give equal programs as far as vLLM's kernels do not depend on what else is in a batch.

With `engine_options = { sleep = 1 }` it gives its memory back between two requests, to a learner on the same GPU (vLLM's
sleep mode). At level 1 its weights wait on the host. At level 2 they are dropped and taken over again.
"""

from __future__ import annotations

import importlib
import os
import random
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import count
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch

from agents.core import Completion, Policy, Request
from agents.decoding.sampling import Sampling
from agents.engines._drawn import Drawn, check_policy, completed, drawing
from agents.policies import _lora
from rltf_env.core import IntArray
from rltf_env.errors import UsageError


class Engine:
    """vLLM with a policy's weights. `options` are those of `vllm.LLM`, such as `gpu_memory_utilization` and `max_model_len`.

    Raises:
        UsageError: vllm is not installed, or is no engine for this policy.
    """

    def __init__(self, policy: Policy[Any], options: Mapping[str, Any]) -> None:
        check_policy(policy, "vllm")
        try:
            os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"  # weights are handed over in memory
            vllm = importlib.import_module("vllm")
        except ImportError as error:
            raise UsageError(f"Expected vllm to be installed for sampling.engine='vllm', got {error}.") from error
        model: Any = policy.model
        self._vllm, self._numbers, self.vocab_size = vllm, count(), int(model.config.get_text_config().vocab_size)
        self._taken: tuple[int, ...] = ()
        self._asleep = False
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
        """Takes over the policy's weights, if they have changed. An engine that sleeps wakes up."""
        version = tuple(p._version for p in policy.model.parameters())
        if self._asleep:
            self._llm.wake_up(tags=["weights"])
        if version != self._taken:
            self._taken = ()  # loading that breaks off leaves some of each
            with torch.no_grad():
                named = _lora.merged(policy.model).named_parameters(remove_duplicate=False)
                weights = ((name, p.detach()) for name, p in named)
                self._llm.collective_rpc("reload_weights", kwargs={"weights_iterator": weights})
        if self._asleep:  # room for keys and values once that for loading is free again
            self._llm.wake_up(tags=["kv_cache"])
            self._asleep = False
        if version != self._taken:
            self._llm.reset_prefix_cache()  # keys and values of the weights before
            self._taken = version

    def sleep(self, level: int) -> None:
        """Gives the GPU's memory back. At level 2 weights are dropped, so the next `take` takes them over again."""
        if self._asleep:  # it could not be woken
            return
        self._asleep = True
        if level == 2:
            self._taken = ()
        self._llm.sleep(level=level)

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
                        row = names.pop(answer.request_id)
                        yield Drawn(row, np.array(tokens, np.int64), np.array(said, np.float32))
        finally:
            if names:  # whoever asked has had enough
                engine.abort_request(list(names))


_engines: WeakKeyDictionary[Policy[Any], dict[str, Engine]] = WeakKeyDictionary()


def engine_of(policy: Policy[Any], options: Mapping[str, Any]) -> Engine:
    """The policy's engine with these options, made when it is first asked for."""
    engines = _engines.setdefault(policy, {})
    key = repr(sorted(options.items()))
    if key not in engines:
        engines[key] = Engine(policy, options)
    return engines[key]


def write(sampling: Sampling, policy: Policy[Any], request: Request) -> list[list[Completion]]:
    """What `sampling` would write with the policy, by vLLM. See `agents.core.Decoder`."""
    options = dict(sampling.engine_options)
    level = _level(options.pop("sleep", 0))
    engine = engine_of(policy, {**options, "enable_sleep_mode": True} if level else options)
    tokens = len(policy.tokenizer)
    draw = partial(
        engine.write,
        **drawing(sampling, policy),
        detokenize=bool(sampling.stop),
        allowed_token_ids=list(range(tokens)) if engine.vocab_size > tokens else None,
    )
    try:
        engine.take(policy)
        return completed(sampling, policy, request, draw)
    finally:
        if level:
            engine.sleep(level)


def _level(sleep: Any) -> int:
    """How deeply the engine sleeps between two requests; 0: not at all."""
    if sleep not in (0, 1, 2):  # `true` is 1
        raise UsageError(
            f"Expected sampling.engine_options.sleep to be true, 1 (weights wait on the host) or 2 (they are dropped), "
            f"got {sleep!r}."
        )
    return int(sleep)


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
