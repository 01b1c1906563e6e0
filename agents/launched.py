"""Ranks that a launcher starts, on one machine or on many: the same recipe under `torchrun`.

    torchrun --standalone --nproc-per-node 2 -m agents.train RECIPE

Every process is started with the same command, and its environment variables say which rank it is
(`agents.running.launch`). Rank 0 is the run. It leaves the resolved recipe where all meet, and sends the
checkpoint that the run goes on from. So only rank 0's machine needs the run's folder, and the others need
what the recipe reads: weights and problems.

Where they meet, every rank leaves a sign of life each second. Rank 0 looks after all, the others after rank 0.
A rank that ends with an error leaves its words there. One that is killed or stopped, or whose machine is gone,
is given up after `scale.patience` seconds, and then all end. On each machine torchrun itself ends its processes
as soon as one of them is dead. With `--max-restarts` it starts all anew, and the run goes on from its last
checkpoint.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch.distributed as dist
from torch.distributed import PrefixStore, Store, TCPStore  # pyright: ignore[reportPrivateImportUsage]
from torch.distributed.rendezvous import rendezvous

from agents import parallel, ranks
from agents.config import Recipe
from agents.options import build
from agents.parallel import RankError, Ranks
from agents.running.launch import Launch
from rltf_env.errors import RLTFError, UsageError

EVERY = 1.0  # seconds between two signs of life
MEETING = timedelta(minutes=30)  # for the slowest machine to come, and rank 0 to load policy and problems
ORDER = "order"
STOPPED = "Stopped with rank 0."


def resolved(recipe: Recipe, launch: Launch | None) -> Recipe:
    """The recipe with as many ranks as were launched.

    Raises:
        UsageError: it asks for another number.
    """
    if launch is None:
        return recipe
    if recipe.scale.ranks not in (1, launch.world):
        raise UsageError(
            f"Expected scale.ranks to be left out, or {launch.world}, under a launcher that has started {launch.world} processes, "
            f"got {recipe.scale.ranks}. Remove it, or start without the launcher."
        )
    return dataclasses.replace(recipe, scale=dataclasses.replace(recipe.scale, ranks=launch.world))


def placed(recipe: Recipe, launch: Launch | None) -> Recipe:
    """The recipe of this process, with a GPU of its own if it learns on one."""
    return ranks.placed(recipe, launch.local_rank, launch.local_world) if launch else ranks.placed(recipe, 0)


def threads_of(recipe: Recipe, launch: Launch | None) -> int:
    """torch's threads of this process; 0: torch decides."""
    return ranks.threads_of(recipe, launch.local_world if launch else 0)


@contextmanager
def joined(
    recipe: Recipe, launch: Launch | None, out: Path, file: Path | None, saved: Mapping[str, Any] | None
) -> Iterator[Ranks]:
    """The other ranks of a run, which is rank 0: those that were launched with it, or those that its recipe lets it start.

    Args:
        recipe: resolved.
        launch: as what this process was launched, if it was.
        out: the run's folder.
        file, saved: the checkpoint that all go on from, and its content.

    Raises:
        RankError: one of them has ended.
    """
    if launch is None:
        with ranks.joined(recipe, out, file) as own:
            yield own
        return
    with _loopback(launch), Meeting(recipe, launch) as meeting, meeting.alarm.explaining():
        meeting.store.set(ORDER, json.dumps({"recipe": recipe.to_dict(), "out": str(out.resolve())}))
        meeting.alarm.wait_for(meeting.store, ranks.ready(launch.world))
        with ranks.within_group(meeting.store, 0, launch.world, recipe.scale.silence, recipe.scale.shard) as group:
            group.from_first(lambda: _sent(saved))
            yield group
            group.from_first(lambda: ranks.END)


def _sent(saved: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """What the others need of a checkpoint."""
    return None if saved is None else {"agent": saved["agent"], "source": saved.get("source")}


def follow(recipe: Recipe, launch: Launch) -> None:
    """A rank other than 0: the updates of rank 0, one by one.

    Raises:
        RankError: another one has ended.
        KeyboardInterrupt: somebody has stopped rank 0.
    """
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for rank 0, which ends the others in good order
    try:
        with _loopback(launch), Meeting(recipe, launch) as meeting:
            try:
                with meeting.alarm.explaining():
                    meeting.store.wait([ORDER], MEETING)
                    _follow(json.loads(meeting.store.get(ORDER)), launch, meeting.store)
            except RankError:
                if not meeting.stopped:
                    raise
                raise KeyboardInterrupt(STOPPED) from None
    finally:
        signal.signal(signal.SIGINT, before)


def _follow(order: Mapping[str, Any], launch: Launch, store: Store) -> None:
    recipe = build(Recipe, order["recipe"], "recipe")

    def meet() -> AbstractContextManager[Ranks]:
        store.set(ranks.ready(launch.world)[launch.rank - 1], "")
        return ranks.within_group(store, launch.rank, launch.world, recipe.scale.silence, recipe.scale.shard)

    def saved() -> Mapping[str, Any] | None:
        return parallel.current().from_first(lambda: None)

    own, threads = placed(recipe, launch), threads_of(recipe, launch)
    ranks.learn_along(own, Path(order["out"]), threads, meet, saved)


def _loopback(launch: Launch) -> AbstractContextManager[None]:
    return ranks.loopback() if launch.is_one_machine else nullcontext()


class Meeting:
    """Where the ranks of a launch meet, and a thread that leaves signs of life there and looks for those of others."""

    def __init__(self, recipe: Recipe, launch: Launch) -> None:
        if dist.is_initialized():
            raise UsageError("Expected a process that is in no group of torch.distributed yet, got one that is.")
        self.launch, self.patience, self.alarm = launch, recipe.scale.patience, ranks.Alarm()
        # A restart finds the addresses of the dead in the same store.
        life = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        self.store: Store = PrefixStore(f"run/{life}", next(rendezvous("env://", timeout=MEETING))[0])
        place = TCPStore(launch.address, launch.port, is_master=False, timeout=timedelta(seconds=self.patience))
        self.signs = PrefixStore(f"signs/{life}", place)
        self.over, self.stopped = threading.Event(), False
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Meeting:
        self._interrupting = self.alarm.interrupting()
        self._interrupting.__enter__()
        self.thread.start()
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        self.alarm.over = True
        self.over.set()
        self.thread.join(self.patience)
        self._interrupting.__exit__(None, None, None)
        with suppress(RuntimeError):  # the place is gone, with whoever kept it: nobody is left to read
            self.signs.set(_end(self.launch.rank), "" if error is None else _words(error))
            if error is not None and self.launch.leads:
                time.sleep(2 * EVERY)  # the others read it, before the place may go with rank 0

    def _watch(self) -> None:
        """Until the end of the run, or of another rank."""
        reason, seen = "", {rank: _Life() for rank in (range(1, self.launch.world) if self.launch.leads else [0])}
        try:
            for beat in itertools.count():
                self.signs.set(_life(self.launch.rank), str(beat))
                if self.over.wait(EVERY):
                    return
                reason = next(filter(None, (self._lost(rank, life) for rank, life in seen.items())), "")
                if reason:
                    break
        except RuntimeError as error:  # of the store
            reason = f"the end of the place where they meet ({str(error).splitlines()[0]})"
        self._give_up(reason)

    def _lost(self, rank: int, life: _Life) -> str:
        """What became of another rank, in words; "" while it lives, or has not begun, or has ended well."""
        end, sign = _end(rank), _life(rank)
        if self.signs.check([end]):
            words = self.signs.get(end).decode()
            self.stopped = words == STOPPED
            return f"the end of rank {rank}: {words}" if words else ""
        if self.signs.check([sign]) and life.silent_for(self.signs.get(sign)) > self.patience:
            return f"no sign of life of rank {rank} for {self.patience:g} s (scale.patience)"
        return ""

    def _give_up(self, reason: str) -> None:
        """Ends this process: by an error in the main thread, or by force where that waits for an answer."""
        sentence = (
            f"Expected {self.launch.world} ranks to learn together, got {reason}. The same command continues from the last "
            "checkpoint."
        )
        self.alarm.ring(sentence)
        if not self.over.wait(ranks.NOTICED):
            sys.stderr.write(f"{STOPPED}\n" if self.stopped else f"RankError: {sentence}\n")
            sys.stderr.flush()
            os._exit(1)


class _Life:
    """The signs of another rank, by this process's clock."""

    def __init__(self) -> None:
        self._last, self._since = b"", time.monotonic()

    def silent_for(self, sign: bytes) -> float:
        """Seconds since there was another sign than this one."""
        if sign != self._last:
            self._last, self._since = sign, time.monotonic()
        return time.monotonic() - self._since


def _words(error: BaseException) -> str:
    """Why a rank ends, for the others."""
    if isinstance(error, KeyboardInterrupt):
        return STOPPED
    return (str(error) if isinstance(error, RLTFError) else f"{type(error).__name__}: {error}")[:500] or "an error"


def _life(rank: int) -> str:
    return f"life/{rank}"


def _end(rank: int) -> str:
    return f"end/{rank}"
