"""`python -m benchmarks.speed.device`: what a GPU makes of the learner and of writing, in less than eight minutes.

One script for a machine that is lent for minutes. It measures one thing after the other, prints each as soon as it is known, and
says in the end what it could not measure, and why. On a CPU, `--device cpu --tiny` goes through all of it with a tiny model in
seconds: that shows that the script works, and nothing about speed.

    logits      an update with all logits in memory, and with a few positions at a time: peak memory, seconds, difference
    slices      micro-batches by programs and by tokens: seconds, padding
    writing     the policy's own engine: tokens a second, and how often the host waits for the device
    reference   a copy on the device, a copy on the host, adapters off: memory, seconds
    kernels     float32 with and without TF32, and deterministic: seconds, difference of log-probabilities
    bfloat16    weights of 16 bits with float32 copies: peak memory, seconds
    ranks       an update by two ranks: needs two GPUs

Weights are random, in the shape of a known model; programs are random tokens. Peaks count from before the update.
"""

from __future__ import annotations

import copy
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from torch.utils._python_dispatch import TorchDispatchMode

from agents.algorithms import policy_gradient
from agents.building import quiet_libraries
from agents.core import TrainingSample
from agents.decoding.sampling import Sampling
from agents.learning.learner import Learner, OptimiserConfig
from agents.learning.reference import Reference, logprobs
from agents.policies import shape
from agents.running import kernels
from benchmarks import records
from rltf_env.command import Parser, guarded, leave
from rltf_env.errors import UsageError

BUDGET = 420.0  # seconds after which nothing more is begun
ALL = 1 << 40  # positions: all of them
READS = {torch.ops.aten._local_scalar_dense.default, torch.ops.aten.is_nonzero.default, torch.ops.aten.nonzero.default}
TINY = {
    "config": {
        "model_type": "llama", "vocab_size": 4096, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_key_value_heads": 2, "max_position_embeddings": 512,
    }
}  # fmt: skip
FULL = {"shape": "smollm2_135m"}


class CannotRun(Exception):
    """What is missing for a measurement."""


@dataclass(frozen=True)
class Job:
    """The size of what is measured.

    Args:
        device: of the policy.
        model: options of `agents.policies.shape`.
        programs, prompt, tokens: of a batch, and the lengths of prompts and of the longest program.
        micro_batch, micro_tokens: of its slices.
        rounds: updates that are timed; one before them is not.
    """

    device: str
    model: dict[str, Any]
    programs: int
    prompt: int
    tokens: int
    micro_batch: int
    micro_tokens: int
    rounds: int


@dataclass
class Report:
    """What was measured, and what was not."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)


def job(device: str, tiny: bool) -> Job:
    """The size for a device."""
    if tiny:
        return Job(device, TINY, programs=8, prompt=16, tokens=32, micro_batch=4, micro_tokens=256, rounds=1)
    return Job(device, FULL, programs=64, prompt=256, tokens=512, micro_batch=16, micro_tokens=8192, rounds=3)


def policy_of(j: Job, **options: Any) -> Any:
    """A policy with random weights, the same each time: what is measured changes a copy."""
    key = json.dumps([j.model, j.device, options])
    if key not in _MADE:
        _MADE[key] = shape.load(**j.model, device=j.device, dataset_options={"size": 64}, vocab_size=1000, **options)
    policy = copy.copy(_MADE[key])
    policy.model = copy.deepcopy(policy.model)
    return policy


_MADE: dict[str, Any] = {}


def samples(j: Job) -> list[TrainingSample]:
    """Programs of very unlike length, four for each prompt."""
    rng = np.random.default_rng(0)
    prompts = [rng.integers(1, 250, j.prompt) for _ in range(-(-j.programs // 4))]
    lengths = np.maximum(2, (j.tokens * rng.random(j.programs) ** 2).astype(int))
    made = []
    for i, t in enumerate(lengths):
        numbers = rng.normal(size=(2, t)).astype(np.float32)
        made.append(
            TrainingSample(prompts[i // 4], rng.integers(1, 250, t), numbers[0] < 9, numbers[0], numbers[1] * 0.1 - 7)
        )
    return made


# ----------------------------------------------------------------------------------------------------------- measuring


def wait(device: str) -> None:
    """Until the device has done all that it was given."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()


@contextmanager
def peak(device: str, row: dict[str, Any]) -> Iterator[None]:
    """Puts the peak of memory above what is in use now into `row`, in MiB; of a CPU, that of the process, where Linux tells it."""
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        yield
        row["peak_mib"] = max(row.get("peak_mib", 0.0), (torch.cuda.max_memory_allocated() - before) / 2**20)
        return
    reset = Path("/proc/self/clear_refs")
    if not reset.exists():
        yield
        return
    reset.write_text("5")  # the high-water mark begins anew
    before = _status("VmRSS")
    yield
    row["peak_mib"] = max(row.get("peak_mib", 0.0), (_status("VmHWM") - before) / 1024)


def _status(name: str) -> int:
    """KiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))


def timed_update(j: Job, policy: Any, **optimiser: Any) -> dict[str, Any]:
    """Seconds of an update (median), its peak of memory, its metrics."""
    learner = Learner(policy, OptimiserConfig(lr=1e-6, warmup=0, **optimiser))
    c = policy_gradient.Config(clip=0.2, reduction="token_mean")
    data, seconds, row = samples(j), [], {}
    for number in range(j.rounds + 1):
        wait(j.device)
        began = time.perf_counter()
        with peak(j.device, row):
            metrics = learner.step(data, "token_mean", partial(policy_gradient.loss, c=c))
            wait(j.device)
        seconds.append(time.perf_counter() - began)
        if number == 0:
            row |= {"loss": metrics["loss"], "grad_norm": metrics["grad_norm"], "padding": metrics["padding"]}
    return {"seconds": float(np.median(seconds[1:])), **row}


# ---------------------------------------------------------------------------------------------------------- what is measured


def measure_logits(j: Job) -> Iterator[dict[str, Any]]:
    """All logits at once, and a few positions at a time."""
    for name, rows in (("all at once", ALL), ("a few positions at a time", 64 if j.model is TINY else 0)):
        yield {"way": name, **timed_update(j, policy_of(j), micro_batch=j.micro_batch, logit_rows=rows)}


def measure_slices(j: Job) -> Iterator[dict[str, Any]]:
    """By programs, and by tokens."""
    for name, limit in (
        ("by programs", {"micro_batch": j.micro_batch}),
        ("by tokens", {"micro_tokens": j.micro_tokens}),
    ):
        yield {"way": name, **timed_update(j, policy_of(j), **limit)}


class _Reads(TorchDispatchMode):
    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func in READS
        return func(*args, **(kwargs or {}))


def measure_writing(j: Job) -> Iterator[dict[str, Any]]:
    """With masks as attention takes them, and with those of (B, L)."""
    policy = policy_of(j)
    made = samples(j)
    prompts = [s.prompt[: len(s.prompt) - i % 3] for i, s in enumerate(made[::4])]
    nothing = [np.zeros(0, np.int64)] * len(prompts)

    def write(tokens: int) -> int:
        generator = torch.Generator(policy.device)
        generator.manual_seed(0)
        groups = Sampling()(policy, prompts, nothing, repeats=4, max_tokens=tokens, generator=generator)
        return sum(len(c.tokens) for group in groups for c in group)

    for prepared in (policy.prepares_masks, False):
        policy.__dict__["_takes_prepared_masks"] = prepared
        write(8)
        wait(j.device)
        began = time.perf_counter()
        count = write(j.tokens)
        wait(j.device)
        seconds = time.perf_counter() - began
        with _Reads() as reads:
            write(j.tokens)
        way = "prepared masks" if prepared else "masks of (B, L)"
        yield {"way": way, "tokens_per_second": count / seconds, "host_reads_per_step": reads.count / j.tokens}


def measure_reference(j: Job) -> Iterator[dict[str, Any]]:
    """Where the first policy can lie."""
    lora = {"lora": {"r": 8, "alpha": 16, "targets": ["q_proj", "v_proj"]}}
    ways: tuple[tuple[str, Any, dict[str, Any]], ...] = (
        ("a copy", "policy", {}), ("on the host", "cpu", {}), ("adapters off", "policy", lora),
    )  # fmt: skip
    for name, place, options in ways:
        try:
            policy = policy_of(j, **options)
        except UsageError as error:
            raise CannotRun(str(error)) from error
        row: dict[str, Any] = {"way": name}
        with peak(j.device, row):
            reference = Reference(policy, j.micro_batch, place=place)
        wait(j.device)
        began = time.perf_counter()
        reference.with_reference_logprobs(samples(j))
        wait(j.device)
        yield {**row, "seconds": time.perf_counter() - began}


def measure_kernels(j: Job) -> Iterator[dict[str, Any]]:
    """Exact, TF32, deterministic."""
    policy = policy_of(j)
    exact = logprobs(policy, samples(j), j.micro_batch)
    for name, tf32, deterministic in (("float32", False, False), ("tf32", True, False), ("deterministic", False, True)):
        with kernels.chosen(tf32, deterministic):
            row = timed_update(j, policy_of(j), micro_batch=j.micro_batch)
            again = logprobs(policy, samples(j), j.micro_batch)
        gap = max(float(np.abs(a - b).max()) for a, b in zip(exact, again, strict=True))
        yield {"way": name, **row, "largest_difference": gap}
    if not j.device.startswith("cuda"):
        raise CannotRun("no GPU: neither TF32 nor deterministic kernels change anything on a CPU")


def measure_bfloat16(j: Job) -> Iterator[dict[str, Any]]:
    """Weights of 16 bits."""
    for dtype in ("float32", "bfloat16"):
        policy = policy_of(j)
        policy.model.to(getattr(torch, dtype))
        yield {"way": dtype, **timed_update(j, policy, micro_batch=j.micro_batch)}


def measure_ranks(j: Job) -> Iterator[dict[str, Any]]:
    """Two GPUs."""
    raise CannotRun(
        f"needs two GPUs, got {torch.cuda.device_count()}: run a recipe with scale.ranks=2 on such a machine, and "
        "compare `seconds` in its metrics.jsonl with those of scale.ranks=1"
    )
    yield {}


MEASURES: dict[str, Callable[[Job], Iterator[dict[str, Any]]]] = {
    "logits": measure_logits,
    "slices": measure_slices,
    "writing": measure_writing,
    "reference": measure_reference,
    "kernels": measure_kernels,
    "bfloat16": measure_bfloat16,
    "ranks": measure_ranks,
}


def measure(j: Job, names: Sequence[str], budget: float, show: Callable[[str], None]) -> Report:
    """One after the other, until the time is over; a failure of one is a line, not the end."""
    report, began = Report(), time.monotonic()
    for name in names:
        if time.monotonic() - began > budget:
            report.missing[name] = f"not begun: {budget:.0f} s were over"
            continue
        try:
            for row in MEASURES[name](j):
                report.rows.append({"what": name, **row})
                show(f"{name:10} " + "  ".join(f"{key} {_short(value)}" for key, value in row.items()))
        except CannotRun as error:
            report.missing[name] = str(error)
        except (RuntimeError, UsageError, torch.OutOfMemoryError) as error:
            report.missing[name] = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    return report


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns the exit status."""
    return guarded(lambda: _main(arguments))


def _main(arguments: Sequence[str] | None) -> int:
    parser = Parser(prog="python -m benchmarks.speed.device", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("what", nargs="*", help=f"which of: {', '.join(MEASURES)} (default: all)")
    parser.add_argument("--device", default="cuda", help='such as "cuda" or "cpu"')
    parser.add_argument("--tiny", action="store_true", help="a tiny model: whether the script works, in seconds")
    parser.add_argument("--budget", type=float, default=BUDGET, help="seconds after which nothing more is begun")
    parser.add_argument("--json", type=Path, help="write the figures there as well")
    args = parser.parse_args(arguments)
    unknown = [name for name in args.what if name not in MEASURES]
    if unknown:
        parser.error(f"expected {', '.join(MEASURES)}, got {', '.join(unknown)}")
    if args.device.startswith("cuda") and not torch.cuda.is_available():
        raise UsageError("Expected a GPU that torch can use, got none. `--device cpu --tiny` tries the script without.")
    quiet_libraries()
    console = Console()
    say = partial(console.print, markup=False, highlight=False, soft_wrap=True)
    name = torch.cuda.get_device_name() if args.device.startswith("cuda") else "a CPU"
    say(f"torch {torch.__version__} on {name}{', tiny: figures mean nothing' if args.tiny else ''}")
    report = measure(job(args.device, args.tiny), args.what or tuple(MEASURES), args.budget, say)
    for what, why in report.missing.items():
        say(f"Could not run {what}: {why}")
    words = sys.argv[1:] if arguments is None else arguments
    if args.json:
        content = {**records.origin("benchmarks.speed.device", words), "device": name, "torch": torch.__version__}
        content |= {"rows": report.rows, "missing": report.missing}
        args.json.write_text(json.dumps(content, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    leave(main())
