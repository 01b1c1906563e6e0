"""The policy itself as the engine that writes programs: token by token, in rows of like length."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from agents.core import Completion, Done, Policy, Request
from agents.decoding._stopping import Stops, ends_of
from agents.decoding.sampling import Sampling, check_numbers, make_completion
from rltf_env.core import IntArray

MAX_PADDING = 1 << 13  # tokens
SYNC_EVERY = 8  # tokens between looks at who has finished: each look makes the host wait for the device


def write(sampling: Sampling, policy: Policy[Any], request: Request) -> list[list[Completion]]:
    """`request.repeats` completions for each prompt, in order: those of like length are written together."""
    parts = [min(sampling.rows, request.repeats - done) for done in range(0, request.repeats, sampling.rows)]
    answers: list[list[Completion]] = [[] for _ in request.prompts]
    sizes = [len(p) + len(g) for p, g in zip(request.prompts, request.prefixes, strict=True)]
    most = max(1, sampling.rows // request.repeats)
    for chunk in similar_length_chunks(sizes, most):  # answers return in the order of the questions
        prompts, prefixes = ([each[i] for i in chunk] for each in (request.prompts, request.prefixes))
        for part in parts:
            ended = partial(_notify, request.done, chunk, part, len(answers[chunk[0]]))
            rows = _write(sampling, policy, replace(request, prompts=prompts, prefixes=prefixes, repeats=part), ended)
            for n, i in enumerate(chunk):
                answers[i] += rows[n * part : (n + 1) * part]
    return answers


def _write(
    sampling: Sampling, policy: Policy[Any], request: Request, ended: Callable[[int, Completion], None]
) -> list[Completion]:
    """All rows of the request at once; `ended` is told of the completion of each row at the next look after its end."""
    prefixes, repeats = request.prefixes, request.repeats
    room = [request.max_tokens - len(g) for g in prefixes for _ in range(repeats)]
    stops, ends = Stops.of(policy, sampling.stop), ends_of(policy)
    state, logits = policy.begin(request.prompts, prefixes, repeats)
    count = len(room)
    # Which program each row of `state`, and of all that follows, writes.
    rows = torch.arange(count, device=logits.device)
    tokens = torch.empty(count, max(room), dtype=torch.long, device=logits.device)
    logprobs, behaviour = (torch.empty(tokens.shape, device=logits.device) for _ in range(2))
    lengths = torch.zeros(count, dtype=torch.long, device=logits.device)
    limits = torch.tensor(room, device=logits.device)
    alive = torch.ones(count, dtype=torch.bool, device=logits.device)
    last = torch.tensor(ends, device=logits.device)
    written: dict[int, Completion] = {}

    def finish(ended_rows: Tensor, steps: int) -> None:
        check_numbers(logprobs[:, :steps])
        columns = [c[ended_rows].cpu().numpy() for c in (tokens, logprobs, behaviour, lengths)]
        for i, *row in zip(rows[ended_rows].tolist(), *columns, strict=True):
            if i not in written:
                written[i] = make_completion(prefixes[i // repeats], ends, stops, *row)
                ended(i, written[i])

    t = 0
    for t in range(max(room)):
        token, logprobs[:, t], behaviour[:, t] = sampling.draw(logits, request.generator)
        tokens[:, t] = token  # those of rows that have ended are beyond their length
        lengths += alive
        alive = alive & (token[:, None] != last).all(1) & (lengths < limits)
        if t % SYNC_EVERY == SYNC_EVERY - 1:
            if stops and stops.strings:
                tails = tokens[:, max(0, t + 1 - SYNC_EVERY - stops.margin) : t + 1].tolist()
                alive = alive & ~torch.tensor(stops.seen(tails), device=alive.device)
            finish(~alive, t + 1)
            left = int(alive.sum())
            if left == 0:
                break
            if left <= 0.75 * len(rows):
                chosen = alive.nonzero()[:, 0]
                policy.keep(state, chosen)
                rows, alive, token, tokens, logprobs, behaviour, lengths, limits = (
                    x[chosen] for x in (rows, alive, token, tokens, logprobs, behaviour, lengths, limits)
                )
        if t + 1 < max(room):
            logits = policy.extend(state, token)
    finish(torch.ones_like(alive), t + 1)
    return [written[i] for i in range(count)]


def similar_length_chunks(sizes: Sequence[int], most: int) -> Iterator[IntArray]:
    """Which rows to write together, at most so many: those of like size, so that little is padded.

    Rows whose rectangle would be more than half padding, and that by more than `MAX_PADDING` tokens, do not share one: every token
    that is written looks at all of it.
    """
    chunk: list[int] = []
    used = 0
    for i in np.argsort(sizes, kind="stable"):
        area = sizes[i] * (len(chunk) + 1)
        if len(chunk) == most or area > max(2 * (used + sizes[i]), used + sizes[i] + MAX_PADDING):
            yield np.array(chunk)
            chunk, used = [], 0
        chunk.append(int(i))
        used += sizes[i]
    if chunk:
        yield np.array(chunk)


def _notify(done: Done | None, prompts: IntArray, part: int, before: int, row: int, completion: Completion) -> None:
    """Tells `done` of a row, where each of `prompts` has `part` rows and had `before` completions."""
    if done:
        done(int(prompts[row // part]), before + row % part, completion)


def load() -> Callable[..., list[list[Completion]]]:
    """The engine: `write`."""
    return write
