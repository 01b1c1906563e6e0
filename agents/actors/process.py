"""A process that writes and judges programs for a learner elsewhere; `agents.actors.pool` starts it with `python -m`.

It is told on its standard input what to be (a frame), and then which version of the weights is the newest (eight bytes each);
when that ends, so does the process. It answers on its standard output, a frame for each lot of programs. What it may have to
complain of goes to its standard error. Policy and environment are built here from the recipe: no objects travel.
"""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast

import torch

from agents import building
from agents.actors import messages
from agents.collector import something
from agents.config import Recipe
from agents.core import OffPolicyAgent, Policy
from agents.learning.replay import pack
from agents.options import build
from agents.rollout import summary
from agents.running.files import write_atomically

PATIENCE = 20.0  # seconds to end in good order; then in bad


def main() -> None:
    """Writes until the input ends."""
    # Whoever started us in the background may have had it ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    answers = cast(BinaryIO, os.fdopen(os.dup(1), "wb", buffering=0))
    os.dup2(2, 1)  # whatever a library prints is no answer
    orders = cast(BinaryIO, io.FileIO(0, closefd=False))  # a buffer's lock would be held at exit
    order = messages.receive(orders)
    if order is None:
        return
    newest = Newest(orders)
    try:
        newest.thread.start()
        work(order, newest, answers)
    except (KeyboardInterrupt, BrokenPipeError):  # the learner has ended
        pass


class Newest:
    """The newest version of the weights, as the learner says."""

    def __init__(self, orders: BinaryIO) -> None:
        self.version = -1
        self.changed = threading.Condition()
        self.thread = threading.Thread(target=self._follow, args=(orders,), daemon=True)

    def wait_for(self, version: int) -> None:
        """Returns when the newest is at least this."""
        with self.changed:
            self.changed.wait_for(lambda: self.version >= version)

    def _follow(self, orders: BinaryIO) -> None:
        while (order := messages.receive_bytes(orders, messages.LENGTH.size)) is not None:
            with self.changed:
                self.version = messages.LENGTH.unpack(order)[0]
                self.changed.notify_all()
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)  # it may be writing, or waiting to
        time.sleep(PATIENCE)
        os._exit(1)


def work(order: Mapping[str, Any], newest: Newest, answers: BinaryIO) -> None:
    """Lot after lot, each with the newest weights."""
    recipe = build(Recipe, order["recipe"], "recipe")
    building.quiet_libraries()
    torch.set_num_threads(order["threads"])
    policy = building.make_policy(recipe)
    with building.make_env(recipe, policy) as env:
        agent = building.make_agent(recipe, policy, env)
        assert isinstance(agent, OffPolicyAgent)
        newest.wait_for(0)
        version = -1
        while True:
            if newest.version > version:
                version = agent.learner.updates = load_weights(Path(order["weights"]), policy)
            messages.send(answers, rollout_batch(agent, order["programs"]))


def rollout_batch(agent: OffPolicyAgent, programs: int) -> dict[str, Any]:
    """What the learner is to know of `programs` new programs, as plain data; `seconds["lot"]` is all that they took."""
    begun = time.monotonic()
    problems, groups, samples = something(agent, programs)
    episodes = [e for group in groups for e in group]
    agent.log_samples(problems, groups, samples)
    journal = agent.journal.take()
    packed = [pack(s) for s in samples]
    return {
        "version": agent.learner.updates,
        "samples": packed,
        "outcomes": [int(e.verdict.outcome) for e in episodes],
        "sampled": {name: float(value) for name, value in summary(episodes, agent.journal.take_lost()).items()},
        "shown": [program.to_dict() for program in journal.programs],
        "seconds": {**journal.seconds, "lot": time.monotonic() - begun},
        "tokens": int(journal.tokens),
    }


def save_weights(path: Path, policy: Policy[Any], version: int) -> None:
    """Writes what of the policy learns, and its version, so that readers find it whole: the old or the new."""
    learns = {name: p.detach() for name, p in policy.model.named_parameters() if p.requires_grad}
    write_atomically(path, lambda file: torch.save({"version": version, "weights": learns}, file))


def load_weights(path: Path, policy: Policy[Any]) -> int:
    """Takes over what `save_weights` wrote; its version."""
    content = torch.load(path, map_location="cpu", weights_only=True)
    take_over(policy, content["weights"])
    return content["version"]


@torch.no_grad()
def take_over(policy: Policy[Any], weights: Mapping[str, torch.Tensor]) -> None:
    """Copies weights into what of the policy learns. Raises RuntimeError if they are of another policy."""
    own = {name: p for name, p in policy.model.named_parameters() if p.requires_grad}
    if own.keys() != weights.keys():
        raise RuntimeError(f"Expected weights of {len(own)} parameters, got {len(weights)} or others.")
    for name, parameter in own.items():
        parameter.copy_(weights[name])


if __name__ == "__main__":
    main()
    sys.exit(0)
