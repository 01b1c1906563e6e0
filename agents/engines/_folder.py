"""Weights on their way to servers: a folder that the writers and the servers share.

    start/                       what each server is started with: the policy, and its tokenizer
    weights-000120-3f.../        the newest weights, which servers are asked to load
    run                          a name for the run, drawn by whoever comes first
    lock, use                    who pushes, and who writes

Whoever pushes holds `lock`, so that weights are saved once for each version and loaded once by each
server, whatever the number of writers. A lock ends with the process that holds it.
"""

from __future__ import annotations

import copy
import fcntl
import hashlib
import os
import re
import secrets
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import torch
from torch import Tensor

from agents.core import Policy
from agents.engines._peer import ServerError
from agents.policies import _lora

SAMPLED = 1024  # elements of each parameter that a digest reads
POLL = 0.05  # seconds between two looks at a lock
WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class Label:
    """Which weights: what a server is told to say of those that it has (`weight_version`).

    Args:
        run: whose.
        state: "is", or what else became of a server's weights: "loading", "broken" or "dropped".
        updates: that they have seen; -1: nobody counts them.
        digest: see `digest`.
    """

    run: str
    state: str = "is"
    updates: int = -1
    digest: str = ""

    def __str__(self) -> str:
        return f"rltf/{self.run}/{self.state}/{self.updates}/{self.digest}"

    @classmethod
    def read(cls, text: str) -> Label | None:
        """The label that a server says; None of one that is not ours, such as "default"."""
        match = re.fullmatch(r"rltf/(\w+)/(is|loading|broken|dropped)/(-?\d+)/(\w*)", text)
        return cls(match[1], match[2], int(match[3]), match[4]) if match else None

    def so(self, state: str) -> Label:
        """What a server says while its weights are not these, or no longer."""
        return Label(self.run, state)


def digest(model: Any) -> str:
    """A name for weights: of `SAMPLED` elements of each parameter, to the bit.

    Two checkpoints of a model differ in many more elements than one in a thousand.
    """
    total = hashlib.sha256()
    for name, parameter in model.named_parameters():
        flat = parameter.detach().flatten()
        chosen = flat[:: max(1, len(flat) // SAMPLED)].cpu().contiguous()
        total.update(name.encode() + chosen.view(torch.uint8).numpy().tobytes())
    return total.hexdigest()[:16]


class Shared:
    """The folder, for one policy's run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.start = self.folder / "start"

    @property
    def run(self) -> str:
        """The run's name."""
        path = self.folder / "run"
        if not path.exists():
            aside = path.with_name(f".run.{secrets.token_hex(8)}")
            aside.write_text(secrets.token_hex(8), encoding="ascii")
            try:
                os.link(aside, path)  # the first one wins, and no reader sees half a name
            except FileExistsError:
                pass  # another writer was quicker: its name counts
            finally:
                aside.unlink()
        return path.read_text(encoding="ascii")

    def label(self, policy: Policy[Any]) -> Label:
        """Of the policy's present weights."""
        return Label(self.run, "is", getattr(policy, "updates", -1), digest(policy.model))

    def put(self, policy: Policy[Any], label: Label) -> Path:
        """Where the policy's weights are, saved if nobody has; older ones are removed. Call it with `pushing`."""
        path = self.folder / f"weights-{max(label.updates, 0):06d}-{label.digest}"
        if not path.is_dir():
            aside = path.with_name("." + path.name)
            shutil.rmtree(aside, ignore_errors=True)  # of a writer that was killed
            aside.mkdir()
            save_weights(policy, aside)
            aside.rename(path)
        for other in self.folder.glob("weights-*"):
            if other != path:  # no server reads one: whoever asked it to would hold the lock
                shutil.rmtree(other)
        return path

    def save_start(self, policy: Policy[Any]) -> None:
        """Writes the folder that servers are started with."""
        self.start.mkdir(parents=True, exist_ok=True)
        model: Any = policy.model
        config = copy.deepcopy(model.config)
        for each in (config, config.get_text_config()):
            each.tie_word_embeddings = False  # vLLM reloads the embedding alone: its output layer would stay behind
        config.save_pretrained(self.start)
        policy.tokenizer.save_pretrained(self.start)
        save_weights(policy, self.start)

    @contextmanager
    def pushing(self, patience: float) -> Iterator[None]:
        """With the right to push, for one writer at a time.

        Raises:
            ServerError: another one has had it for longer than `patience` seconds.
        """
        with open(self.folder / "lock", "a+", encoding="utf-8") as file:
            _lock(file, fcntl.LOCK_EX, patience)
            file.truncate(0)
            file.write(f"process {os.getpid()} of {socket.gethostname()}")
            file.flush()
            yield

    @contextmanager
    def using(self, patience: float) -> Iterator[TextIO]:
        """As one of those that write; `alone` asks whether there are others."""
        with open(self.folder / "use", "a+", encoding="utf-8") as file:
            _lock(file, fcntl.LOCK_SH, patience)
            yield file

    def alone(self, file: TextIO) -> bool:
        """Whether nobody else writes. If so, nobody begins to before the file of `using` is closed."""
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def _lock(file: TextIO, kind: int, patience: float) -> None:
    """Waits for a lock, looking now and then: who holds it may hang."""
    until = time.monotonic() + patience
    while True:
        try:
            return fcntl.flock(file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                file.seek(0)
                raise ServerError(
                    f"Expected a push of weights to end within {patience:g} s (patience), got none: {file.name} is "
                    f"held by {file.read() or 'a process that does not say which'}. End that process."
                ) from None
            time.sleep(POLL)


@torch.no_grad()
def save_weights(policy: Policy[Any], folder: Path) -> None:
    """Writes the weights under the names of a plain transformers model, LoRA's adapters merged, shared ones twice."""
    from safetensors.torch import save_file

    tensors: dict[str, Tensor] = {}
    storages: set[int] = set()
    for name, parameter in _lora.merged(policy.model).named_parameters(remove_duplicate=False):
        tensor = parameter.detach().cpu().contiguous()
        place = tensor.untyped_storage().data_ptr()
        tensors[name] = tensor.clone() if place in storages else tensor  # a file cannot say that two are one
        storages.add(place)
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
