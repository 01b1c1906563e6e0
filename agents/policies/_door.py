"""The door that every policy passes when it is loaded: read, written, dropped, saved and loaded once, before a run relies on it.

What fails is refused in one sentence; what holds costs a few passes over some forty tokens (`_trial`) and one small folder.
Saved and loaded are the tokenizer and the config of every model, and the weights of one with at most `SMALL` parameters: a second
copy of a large one at each start would cost more than it shows, since what can go wrong with names of weights does not depend on
their size.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import torch

from agents.policies import _lora, _trial
from agents.policies._transformer import Transformer
from rltf_env.errors import UsageError
from rltf_env.tokenizers import huggingface

P = TypeVar("P")
SMALL = 50_000_000  # parameters, up to which the weights too are saved and loaded
FOLDERS = "rltf-door-"  # what the names of the folders begin with
DAY = 24 * 3600.0  # seconds; a folder as old as that was left by a process that was killed
# What has come back from a folder in this process: a matter of classes and shapes, not of weights.
_saved: set[str] = set()


def entered(policy: P) -> P:
    """`policy`, tried.

    Raises:
        UsageError: it does not hold; the sentence names the model, the reason and a remedy.
    """
    if not isinstance(policy, Transformer):  # of another make
        _trial.agree(policy)  # pyright: ignore[reportArgumentType]
        return policy
    assert policy.way
    key = _kind(policy)
    if key not in _saved:
        _remove_leftovers()
        with tempfile.TemporaryDirectory(prefix=FOLDERS) as folder, _trial.quietly(policy.model), _no_bars():
            _comes_back(policy, Path(folder))
        _saved.add(key)
    return policy


def _remove_leftovers() -> None:
    """Removes the folders of processes that were killed here, as far as that can be done."""
    for folder in Path(tempfile.gettempdir()).glob(f"{FOLDERS}*"):
        with suppress(OSError):  # another process removes it, too
            if time.time() - folder.lstat().st_mtime > DAY:
                shutil.rmtree(folder, ignore_errors=True)


def _kind(policy: Transformer) -> str:
    model, tokenizer = policy.model, policy.tokenizer
    dtype = next(model.parameters()).dtype
    parts = (type(policy), type(model), dtype, model.config.to_json_string(), policy.ends, type(tokenizer))
    spelled = [tokenizer.encode(text) for text in huggingface.PROBES]
    return hashlib.sha256(repr((*parts, len(tokenizer), spelled, tokenizer.special_tokens_map)).encode()).hexdigest()


def _comes_back(policy: Transformer, folder: Path) -> None:
    name = _trial.name_of(policy)
    model = _lora.merged(policy.model) if (whole := _is_small(policy.model)) else policy.model
    own_code = [not type(each).__module__.startswith("transformers.") for each in (model, policy.tokenizer)]
    options = {"trust_remote_code": True} if any(own_code) else {}  # whose code already runs here
    try:
        if whole:
            policy.save(folder)
        else:
            model.config.save_pretrained(folder)
            policy.tokenizer.save_pretrained(folder)
        tokenizer = huggingface.pretrained(folder, **options)
        again = _loaded(policy, folder, options) if whole else None
    except Exception as error:  # of any kind: it is the model's own code that runs
        raise UsageError(
            f"Expected {name} to be saved and loaded, got {type(error).__name__}: {str(error).strip()[:300]}. What it would "
            "learn could not be kept. Choose another model, or another version of transformers."
        ) from error
    if changed := huggingface.difference(policy.tokenizer, tokenizer):
        raise UsageError(
            f"Expected the tokenizer of {name} to be the same when it is saved and loaded, got another: {changed}. Save it as a "
            "tokenizer whose class keeps it, such as transformers.PreTrainedTokenizerFast(tokenizer_object=...)."
        )
    if again is not None:
        _check_weights(policy, again, tokenizer)


def _loaded(policy: Transformer, folder: Path, options: dict[str, Any]) -> Any:
    import transformers

    dtype = next(policy.model.parameters()).dtype
    return getattr(transformers, policy.AUTO).from_pretrained(folder, dtype=dtype, **options)


def _check_weights(policy: Transformer, model: Any, tokenizer: Any) -> None:
    twin = type(policy)(model.to(policy.device).eval(), tokenizer)
    question = _trial.Question.of(policy)
    said = [p.alone(question.prompts[-1], question.programs[-1]) for p in (policy, twin)]
    gap = _trial.apart(list(said[1]), list(said[0]), _trial.is_exact(policy))
    if gap > (_trial.NEAR if _trial.is_exact(policy) else _trial.NEAR_HALF):
        raise UsageError(
            f"Expected the weights of {_trial.name_of(policy)} to be the same when they are saved and loaded, got logits "
            f"{gap:.2g} of their standard deviations apart. Choose another model, or another version of transformers."
        )
    if set(twin.ends) != set(policy.ends):
        raise UsageError(
            f"Expected {_trial.name_of(policy)} to end programs at {policy.ends} when it is saved and loaded, got {twin.ends}."
        )


def _is_small(model: torch.nn.Module) -> bool:
    return sum(p.numel() for p in model.parameters()) <= SMALL


@contextmanager
def _no_bars() -> Iterator[None]:
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
