"""`python -m benchmarks.speed.writing [MODEL ...]`: how fast programs are written.

Measured are our decoder, transformers' own engines and, where it is installed, vLLM.

All write as many programs after the same prompts with the same weights, at temperature 1 with nothing cut off, in one process,
taking turns; the first turn of each is not counted. A program ends with its end token or at the limit, and only its tokens count.
Ours also says two log-probabilities of each token, and stops writing rows that have ended; transformers' dynamic and static caches
write a batch until its last row has ended; its continuous batching schedules rows on a paged cache. With vLLM our policy reads the
programs once more, to say its own log-probabilities (`agents.engines.vllm`). Quote ratios.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from agents.batching import pad_left
from agents.building import quiet_libraries
from agents.decoding.sampling import Sampling
from benchmarks import records
from benchmarks.speed.peers.trainers import draw, make
from benchmarks.speed.training import JOBS, Job, versions
from rltf_env.command import Parser, guarded, leave
from rltf_env.core import IntArray

PAGE = 32  # tokens

Engine = Callable[[Any, Sequence[IntArray], Job], int]  # writes, and says how many tokens


def ours(policy: Any, prompts: Sequence[IntArray], job: Job) -> int:
    """`agents.decoding.sampling` on `agents.policies._cache`: the prompt is read once for all of its programs."""
    return _count(Sampling(rows=job.batch), policy, prompts, job)


def dynamic(policy: Any, prompts: Sequence[IntArray], job: Job) -> int:
    """transformers' `generate`, with the cache that grows."""
    return _generate(policy, prompts, job, "dynamic")


def static(policy: Any, prompts: Sequence[IntArray], job: Job) -> int:
    """transformers' `generate`, with a cache of fixed size (not compiled on a CPU, where transformers does not)."""
    return _generate(policy, prompts, job, "static")


def _generate(policy: Any, prompts: Sequence[IntArray], job: Job, cache: str) -> int:
    ids, mask = pad_left(prompts, policy.pad_id)
    options = _options(policy, job, cache_implementation=cache)
    with _seeded():
        rows = policy.model.generate(input_ids=ids, attention_mask=mask.long(), generation_config=options)
    return sum(_length(row, policy.eos_id) for row in rows[:, ids.shape[1] :].tolist())


def continuous(policy: Any, prompts: Sequence[IntArray], job: Job) -> int:
    """transformers' continuous batching, on a paged cache with room for all rows (by itself it takes 60 % of the memory)."""
    from transformers.generation.configuration_utils import ContinuousBatchingConfig

    before = policy.model.config._attn_implementation
    rows = [prompt.tolist() for prompt in prompts]
    pages = sum(-(-(len(row) + job.tokens) // PAGE) + 1 for row in rows) * job.samples
    how = ContinuousBatchingConfig(page_size=PAGE, num_blocks=pages, max_batch_tokens=512, seed=0)
    answers = policy.model.generate_batch(rows, _options(policy, job), how)
    policy.model.set_attn_implementation(before)
    if len(answers) != job.batch:
        raise RuntimeError(f"Expected {job.batch} programs of generate_batch, got {len(answers)}.")
    return sum(_length(answer.generated_tokens, policy.eos_id) for answer in answers.values())


def vllm(policy: Any, prompts: Sequence[IntArray], job: Job) -> int:
    """`agents.engines.vllm`, which the first turn starts. On a CPU it takes the threads that torch has, and binds none."""
    os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
    longest = max(map(len, prompts)) + job.tokens
    options = {"max_num_seqs": job.batch, "max_model_len": longest, "kv_cache_memory_bytes": 1 << 30}
    return _count(Sampling(engine="vllm", engine_options=options), policy, prompts, job)


def _count(sampling: Sampling, policy: Any, prompts: Sequence[IntArray], job: Job) -> int:
    prefixes = [np.array([], np.int64)] * len(prompts)
    generator = torch.Generator().manual_seed(0)
    groups = sampling(policy, prompts, prefixes, repeats=job.samples, max_tokens=job.tokens, generator=generator)
    return sum(len(completion.tokens) for group in groups for completion in group)


def _options(policy: Any, job: Job, **more: Any) -> Any:
    from transformers import GenerationConfig

    return GenerationConfig(
        do_sample=True, temperature=1.0, top_k=0, top_p=1.0, max_new_tokens=job.tokens,
        num_return_sequences=job.samples, eos_token_id=policy.eos_id, pad_token_id=policy.pad_id, **more,
    )  # fmt: skip


@contextmanager
def _seeded() -> Iterator[None]:
    """transformers draws from torch's global generator: this lends it a seed."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        yield


def _length(tokens: Sequence[int], eos: int) -> int:
    """Tokens up to the first end token, that one included."""
    return tokens.index(eos) + 1 if eos in tokens else len(tokens)


ENGINES: dict[str, Engine] = {"ours": ours, "dynamic": dynamic, "static": static, "continuous": continuous}
if find_spec("vllm"):
    ENGINES["vllm"] = vllm


def race(job: Job) -> dict[str, dict[str, float]]:
    """Medians over the turns after the first: tokens a second, seconds, tokens."""
    torch.set_num_threads(job.threads)
    quiet_libraries()
    policy, env = make({"model": job.model, "tokens": job.tokens})
    prompts = [env.encode_prompt(problem) for problem in draw(env, job.batch // job.samples)]
    env.close()
    turns: dict[str, list[tuple[int, float]]] = {name: [] for name in ENGINES}
    for _ in range(job.rounds):
        for name, engine in ENGINES.items():
            began = time.perf_counter()
            tokens = engine(policy, prompts, job)
            turns[name].append((tokens, time.perf_counter() - began))
    return {name: _median(rounds[1:]) for name, rounds in turns.items()}


def _median(turns: Sequence[tuple[int, float]]) -> dict[str, float]:
    return {
        "tokens_per_second": statistics.median(tokens / seconds for tokens, seconds in turns),
        "seconds": statistics.median(seconds for _, seconds in turns),
        "tokens": statistics.median(tokens for tokens, _ in turns),
    }


def table(job: Job, engines: dict[str, dict[str, float]]) -> Table:
    """Tokens a second, with ours as how many times each of the others."""
    grid = Table(title=f"{job.model}: {job.batch} programs of at most {job.tokens} tokens, {job.samples} a prompt")
    for column in ("engine", "tokens/s", "ours is", "seconds", "tokens"):
        grid.add_column(column, justify="left" if column == "engine" else "right")
    for name, row in engines.items():
        times = engines["ours"]["tokens_per_second"] / row["tokens_per_second"]
        figures = (f"{row['tokens_per_second']:.0f}", f"{times:.2f}x", f"{row['seconds']:.2f}", f"{row['tokens']:.0f}")
        grid.add_row(name, *figures)
    return grid


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns the exit status."""
    return guarded(lambda: _main(arguments))


def _main(arguments: Sequence[str] | None) -> int:
    parser = Parser(prog="python -m benchmarks.speed.writing", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("model", nargs="*", help=f"which of: {', '.join(JOBS)} (default: all)")
    parser.add_argument("--rounds", type=int, default=4, help="turns of each, the first of which is not counted")
    parser.add_argument("--json", type=Path, help="write the figures there as well")
    args = parser.parse_args(arguments)
    unknown = [name for name in args.model if name not in JOBS]
    if unknown or args.rounds < 2:
        parser.error(f"expected models of {', '.join(JOBS)} and --rounds of at least 2, got {unknown}, {args.rounds}")
    console, record = Console(), dict[str, Any]()
    for name in args.model or JOBS:
        job = Job(**{**vars(JOBS[name]), "rounds": args.rounds})
        engines = race(job)
        console.print(table(job, engines))
        record[name] = {"job": vars(job), "engines": engines}
    if args.json:
        words = sys.argv[1:] if arguments is None else arguments
        content = records.origin("benchmarks.speed.writing", words) | {"versions": versions()}
        content |= {"load": os.getloadavg()[1], "models": record}
        args.json.write_text(json.dumps(content, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    leave(main())
