"""One try of a model before it is used: does it read and write alike, whatever stands beside a row?

What transformers promises of its models is not the same for all of them: positions, padding, caches and states differ. So each is
asked once, with a few tokens: three prompts of unlike length, two programs each, of which some leave early, while another
prompt is being written after. What is said of each token must be what the model says of the row alone, without padding, cache or
given positions; both when the row is written and when it is read for an update. The first of the `WAYS` for which that holds
is the policy's.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from agents.batching import batch
from agents.core import Policy, TrainingSample
from agents.policies._cache import is_plain
from agents.policies._ways import WAYS, Way
from rltf_env.core import IntArray
from rltf_env.errors import UsageError

PROMPTS = (1, 3, 6)  # tokens: fewer and more than a convolution looks back
PROGRAMS = (5, 4, 3)  # tokens of the programs for each prompt
REPEATS = 2
NEAR = 1e-3  # in standard deviations of the logits, that two computations of them may be apart
NEAR_HALF = 0.1  # where weights have 16 bits


@dataclass(frozen=True, eq=False)
class Question:
    """Random ordinary tokens: N prompts, and for each `REPEATS` programs of one length, int64 (REPEATS, T)."""

    prompts: list[IntArray]
    programs: list[IntArray]

    @classmethod
    def of(cls, policy: Policy[Any]) -> Question:
        special = {policy.eos_id, policy.pad_id, *policy.tokenizer.all_special_ids}
        ordinary = np.setdiff1d(np.arange(len(policy.tokenizer)), list(special))
        rng = np.random.default_rng(0)
        prompts = [rng.choice(ordinary, n) for n in PROMPTS]
        return cls(prompts, [rng.choice(ordinary, (REPEATS, n)) for n in PROGRAMS])

    @property
    def rows(self) -> list[IntArray]:
        """All programs, those of a prompt one after the other."""
        return [row for program in self.programs for row in program]


def written(policy: Policy[Any], question: Question) -> list[Tensor]:
    """Logits (T, V) of each row's tokens as they are written; rows leave at their end, another state is in use meanwhile."""
    rows = question.rows
    nothing = [np.zeros(0, np.int64)] * len(question.prompts)
    state, logits = policy.begin(question.prompts, nothing, REPEATS)
    other, _ = policy.begin(question.prompts[-1:], nothing[-1:], 1)
    left, out = list(range(len(rows))), [[] for _ in rows]
    for t in range(max(map(len, rows))):
        for i, row in zip(left, logits, strict=True):
            out[i].append(row)
        going = [i for i in reversed(left) if t + 1 < len(rows[i])]  # in another order
        if not going:
            break
        tokens = torch.tensor([rows[i][t] for i in left], device=logits.device)
        policy.extend(other, tokens[:1])
        logits = policy.extend(state, tokens)
        if len(going) < len(left):
            places = [left.index(i) for i in going]
            policy.keep(state, torch.tensor(places, device=logits.device))
            left, logits = going, logits[places]
    return [torch.stack(each) for each in out]


def read(policy: Policy[Any], question: Question) -> list[Tensor]:
    """Logits (T, V) of each row's tokens as an update reads them: in one batch."""
    prompts = [p for p in question.prompts for _ in range(REPEATS)]
    samples = [_sample(p, row) for p, row in zip(prompts, question.rows, strict=True)]
    logits = policy.logits(batch(samples, policy.pad_id).to(policy.device))
    return [logits[i, : len(row)] for i, row in enumerate(question.rows)]


def _sample(prompt: IntArray, tokens: IntArray) -> TrainingSample:
    zeros = np.zeros(len(tokens), np.float32)
    return TrainingSample(prompt, tokens, np.ones(len(tokens), bool), zeros, zeros)


def apart(some: Sequence[Tensor], others: Sequence[Tensor], exact: bool) -> float:
    """How far logits (T, V) of rows are from others, in their standard deviations.

    The largest difference where numbers are `exact`. Where they have 16 bits, rounding makes some differ by much: there it is
    the mean over the vocabulary, of the row that is worst, in the middle one of its tokens.
    """
    scale = float(torch.cat([t.float() for t in others]).std()) or 1.0
    gaps = [(a.float() - b.float()).abs() for a, b in zip(some, others, strict=True)]
    worst = max(float(g.max()) if exact else float(g.mean(1).median()) for g in gaps)
    return worst / scale if worst == worst else float("inf")


# ------------------------------------------------------------------------------------------------------------ choosing


def choose(policy: Any) -> Way:
    """The first of the `WAYS` that is exact for a policy of transformers, whose `way` is set to each in turn.

    Raises:
        UsageError: none is, in a sentence that names the model, the reason and a remedy.
    """
    question = Question.of(policy)
    near = NEAR if is_exact(policy) else NEAR_HALF
    with quietly(policy.model):
        alone = _alone(policy, question)
        failures = []
        for way in WAYS:
            policy.way = way
            try:
                said = written(policy, question), read(policy, question)
            except torch.OutOfMemoryError:
                raise
            except Exception as error:  # of any kind: it is the model's own code that runs; none is lost, see below
                failures.append(f"{way}: {type(error).__name__}: {_first_line(error)}")
                continue
            gaps = [apart(each, alone, is_exact(policy)) for each in said]
            if max(gaps) <= near:
                return _announced(policy, way)
            failures.append(f"{way}: {gaps[0]:.2g} and {gaps[1]:.2g} standard deviations of its logits off")
    raise UsageError(
        f"Expected {name_of(policy)} to say of a token, written in a batch and read in one, what it says of the row alone, got: "
        f'{"; ".join(failures)}. Choose another model, or another attn_implementation, or policy.dtype = "float32".'
    )


def _alone(policy: Any, question: Question) -> list[Tensor]:
    """What the model itself says of each row; that must be numbers, and may not depend on what comes later."""
    try:
        pairs = zip(question.prompts, question.programs, strict=True)
        alone = [logits for prompt, programs in pairs for logits in policy.alone(prompt, programs)]
        shorter = policy.alone(question.prompts[0], question.programs[0][:, :-2])
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        raise UsageError(
            f"Expected {name_of(policy)} to continue tokens, got {type(error).__name__}: {_first_line(error)}. "
            "Choose a model that reads nothing but text, from the left to the right."
        ) from error
    if not all(bool(t.isfinite().all()) for t in alone):
        raise UsageError(
            f"Expected logits that are numbers from {name_of(policy)}, got NaN or infinity: its weights are not finite, or "
            'overflow in its precision. Load other weights, or set policy.dtype = "float32".'
        )
    ahead = apart(list(shorter), [t[:-2] for t in alone[:REPEATS]], is_exact(policy))
    if ahead > (NEAR if is_exact(policy) else NEAR_HALF):
        raise UsageError(
            f"Expected {name_of(policy)} to predict each token from those before it, got one that looks at those after it "
            "too. Choose a decoder, or set is_decoder = true in its config if it was trained as one."
        )
    return alone


def agree(policy: Policy[Any]) -> None:
    """Tries a policy of any make: what it says when it writes must be what it says when it reads.

    Raises:
        UsageError: it is not.
    """
    question = Question.of(policy)
    with quietly(policy.model):
        gap = apart(written(policy, question), read(policy, question), is_exact(policy))
    if gap > (NEAR if is_exact(policy) else NEAR_HALF):
        raise UsageError(
            f"Expected {name_of(policy)} to say of a token the same when it writes and when it reads, got logits "
            f"{gap:.2g} of their standard deviations apart. See agents.testing.check_policy for where it fails."
        )


def could_prepare_masks(policy: Any) -> bool:
    """Whether masks for the steps of a policy of transformers can be made here: its layers keep all keys, and attend by SDPA."""
    model = policy.model.get_base_model() if hasattr(policy.model, "get_base_model") else policy.model
    return policy.way == WAYS[0] and model.config._attn_implementation == "sdpa" and is_plain(model.config)


def takes_prepared_masks(policy: Any) -> bool:
    """Whether it writes the same if its steps are given masks as its attention uses them, or none, where they could be."""
    question = Question.of(policy)
    even = Question([p[:1] for p in question.prompts], question.programs)
    said: list[list[Tensor]] = []
    with quietly(policy.model):
        for prepared in (False, True):
            policy.__dict__["_takes_prepared_masks"] = prepared  # in the place of the answer, which is sought
            try:
                said.append([*written(policy, question), *written(policy, even)])
            except torch.OutOfMemoryError:
                raise
            except Exception:  # the model's own code runs, which may want a mask of two dimensions
                return False
            finally:
                del policy.__dict__["_takes_prepared_masks"]
    return apart(said[1], said[0], is_exact(policy)) <= (NEAR if is_exact(policy) else NEAR_HALF)


def is_exact(policy: Policy[Any]) -> bool:
    """Whether the weights have more than 16 bits, so that two ways to one number agree closely."""
    return next(policy.model.parameters()).dtype in (torch.float32, torch.float64)


def name_of(policy: Policy[Any]) -> str:
    """The model by the place it came from, if any, and its class."""
    model: Any = policy.model
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    place = getattr(getattr(base, "config", None), "_name_or_path", "")
    return f"{place} ({type(base).__name__})" if place else type(base).__name__


def _announced(policy: Any, way: Way) -> Way:
    if not way.cached:
        warnings.warn(
            f"{name_of(policy)} keeps nothing that could be repeated and dropped with its rows: each token reads its whole row "
            "anew, which is slow for long programs.",
            RuntimeWarning,
            stacklevel=2,
        )
    return way


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [""])[0][:200]


@contextmanager
def quietly(model: Any) -> Iterator[None]:
    """Without gradients, dropout, compilation or a trace in torch's global generator."""
    training, compiled = model.training, getattr(model, "_compiled_call_impl", None)
    model.eval()
    if compiled is not None:
        model._compiled_call_impl = None
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            yield
    finally:
        model.train(training)
        if compiled is not None:
            model._compiled_call_impl = compiled
