"""The processes of `agents.parallel`: rank 0 is the run itself, which starts the others here and ends with any of them.

    [scale] ranks = N

    run (rank 0) --recipe, checkpoint, port--> `python -m agents.ranks` (rank 1, 2, ...)
                 --a word before each update--> the same update everywhere

The others are on this machine, each on a GPU of its own where the policy is on one. They build policy, environment and agent from
the recipe, load the checkpoint that the run goes on from, and write nothing but a log, `ranks/1.log` in the run's folder.

Whichever process ends, all do. Rank 0 notices the end of another at once and raises, whatever it is at. The others end when their
input does, also if rank 0 is killed. A rank that hangs is noticed in the next update, after `silence` seconds. The same command
goes on from the last checkpoint, with as many ranks as its recipe then says.
"""

from __future__ import annotations

import dataclasses
import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO, cast

import torch
import torch.distributed as dist
from torch.distributed import Store, TCPStore  # pyright: ignore[reportPrivateImportUsage]

from agents import building, parallel
from agents.actors import messages, pool
from agents.config import Recipe, trained_with
from agents.core import Agent, HasJournal, Policy
from agents.learning import shards
from agents.options import build
from agents.parallel import RankError, Ranks
from agents.running import checkpoint, kernels
from rltf_env import sources
from rltf_env.errors import RLTFError, UsageError

HOST = "127.0.0.1"
PATIENCE = 10.0  # seconds to end in good order; then in bad
NOTICED = 4.0  # seconds in which rank 0 learns why another has gone
FOREVER = timedelta(days=30)  # that the others wait while rank 0 writes or measures
UPDATE, CHECK, WHOLE, END = "update", "check", "whole", "end"
SHARDED = (
    "supervised",
    "rltf",
    "hindsight",
    "actor_critic",
    "soft_q",
    "reinforce",
    "rloo",
    "grpo",
    "dr_grpo",
    "dapo",
    "ppo",
)  # agents that learn from shared weights; others have copies of the policy, or parts, that nobody shares out


def threads_of(recipe: Recipe, here: int = 0) -> int:
    """torch's threads of each process of a run, of which there are so many on this machine (0: all); 0: torch decides."""
    share = max(1, (os.cpu_count() or 1) // (here or recipe.scale.ranks))
    return recipe.run.threads or (share if recipe.scale.ranks > 1 else 0)


def placed(recipe: Recipe, rank: int, here: int = 0) -> Recipe:
    """The recipe with the rank's own GPU, if there are ranks and its policy is on one.

    Args:
        recipe: resolved.
        rank: of those on this machine.
        here: ranks on this machine; 0: all.
    """
    device, here = str(recipe.policy.get("device", "cpu")), here or recipe.scale.ranks
    if recipe.scale.ranks == 1 or not (device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())):
        return recipe
    if here > torch.cuda.device_count():
        raise UsageError(
            f"Expected a GPU for each of scale.ranks={here}, got {torch.cuda.device_count()}. Lower scale.ranks, or "
            'set policy.device = "cpu".'
        )
    torch.cuda.set_device(rank)
    return dataclasses.replace(recipe, policy={**recipe.policy, "device": f"cuda:{rank}"})


def check(recipe: Recipe) -> None:
    """Refuses what does not go together with `scale.shard`.

    Raises:
        UsageError: such an agent, engine or reference.
    """
    if not recipe.scale.shard:
        return
    kind = recipe.agent.get("kind")
    if kind not in SHARDED:
        raise UsageError(
            f"Expected one of the agents {', '.join(SHARDED)} with scale.shard = true, got {kind!r}, which has copies or "
            "parts of its policy of its own. Remove scale.shard: with scale.ranks alone every rank has all weights."
        )
    engines = {trained_with(recipe).engine, recipe.eval.sampling.engine} - {"own"}
    if engines:
        raise UsageError(
            f"Expected sampling.engine = 'own' with scale.shard = true, got {sorted(engines)}: it would take its weights from a "
            "model that has a part of them. Let generators write ([scale] generators), or remove scale.shard."
        )
    if recipe.agent.get("reference", "policy") != "policy":
        raise UsageError(
            f"Expected agent.reference = 'policy' with scale.shard = true, got {recipe.agent['reference']!r}: of the reference, "
            "too, each rank has a part. Remove one of the two."
        )


# ------------------------------------------------------------------------------------------------------------- rank 0


@contextmanager
def joined(recipe: Recipe, out: Path, saved: Path | None) -> Iterator[Ranks]:
    """Starts the recipe's other ranks, if it has any, and learns with them inside the block.

    Args:
        recipe: resolved.
        out: the run's folder.
        saved: the checkpoint that all of them go on from.

    Raises:
        RankError: one of them has ended.
        UsageError: this process is part of another group of torch.distributed.
    """
    if recipe.scale.ranks == 1:
        yield parallel.current()
        return
    if dist.is_initialized():
        raise UsageError(
            "Expected a process without torch.distributed with scale.ranks > 1, got one that is in a group."
        )
    others = _Others(recipe, out, saved)
    try:
        with loopback(), others.alarm.interrupting():
            yield from others.run()
    finally:
        others.end()


class Alarm:
    """Wakes the main thread, whatever it is at, when there is a `reason` to end."""

    def __init__(self) -> None:
        self.reason, self.over = "", False

    def ring(self, reason: str) -> None:
        """From another thread. The first reason counts, and none once all is `over`."""
        if self.over or self.reason:
            return
        self.reason = reason
        if signal.getsignal(signal.SIGUSR1) not in (signal.SIG_DFL, None):
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

    @contextmanager
    def interrupting(self) -> Iterator[None]:
        """Raises a RankError in the main thread as soon as there is a reason."""

        def handle(number: int, frame: object) -> None:
            if self.reason and not self.over:
                raise RankError(self.reason)

        if threading.current_thread() is not threading.main_thread():  # signals belong to that one
            yield
            return
        before = signal.signal(signal.SIGUSR1, handle)
        try:
            yield
        finally:
            signal.signal(signal.SIGUSR1, before)

    @contextmanager
    def explaining(self) -> Iterator[None]:
        """A failed sum that the end of another rank explains is a RankError that says so."""
        try:
            yield
        except RankError as error:
            deadline = time.monotonic() + NOTICED
            while not self.reason and time.monotonic() < deadline:
                time.sleep(0.01)
            if not self.reason:
                raise
            raise RankError(self.reason) from error

    def wait_for(self, store: Store, names: Sequence[str]) -> None:
        """Until the store has these; here, where the end of a rank can be noticed, and not within torch."""
        while not store.check(list(names)):
            time.sleep(0.02)
            if self.reason:
                raise RankError(self.reason)


class _Others:
    """The other ranks, as rank 0 sees them."""

    def __init__(self, recipe: Recipe, out: Path, saved: Path | None) -> None:
        self.world, self.silence, self.shard = recipe.scale.ranks, recipe.scale.silence, recipe.scale.shard
        self.alarm = Alarm()
        self.folder = out / "ranks"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.store = TCPStore(HOST, 0, self.world, is_master=True, wait_for_workers=False)
        order = {"recipe": recipe.to_dict(), "out": str(out.resolve()), "saved": str(saved.resolve()) if saved else ""}
        order |= {"port": self.store.port, "cores": threads_of(recipe)}
        self.processes = [self._started({**order, "rank": rank}) for rank in range(1, self.world)]

    def _started(self, order: Mapping[str, Any]) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        with open(self.folder / f"{order['rank']}.log", "wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "agents.ranks"],
                stdin=subprocess.PIPE, stdout=log, stderr=log, bufsize=0, env=environment,
                start_new_session=True,  # Ctrl-C is for rank 0
            )  # fmt: skip
        with suppress(BrokenPipeError):
            messages.send(cast(BinaryIO, process.stdin), dict(order))
        threading.Thread(target=self._watch, args=(process, order["rank"]), daemon=True).start()
        return process

    def _watch(self, process: subprocess.Popen[bytes], rank: int) -> None:
        """Tells the main thread of the end of a rank."""
        code = process.wait()
        if self.alarm.over:
            return
        lines = (self.folder / f"{rank}.log").read_text(errors="replace").strip().splitlines()
        how = f"signal {-code}" if code < 0 else f"status {code}: {lines[-1] if lines else 'no word'}"
        self.alarm.ring(
            f"Expected {self.world} ranks to learn together, got the end of rank {rank} with {how}. See "
            f"{self.folder / f'{rank}.log'}; the same command continues from the last checkpoint."
        )

    def run(self) -> Iterator[Ranks]:
        """The ranks, once all have loaded what they need."""
        with self.alarm.explaining():
            self.alarm.wait_for(self.store, ready(self.world))
            with within_group(self.store, 0, self.world, self.silence, self.shard) as ranks:
                yield ranks
                ranks.from_first(lambda: END)

    def end(self) -> None:
        """Ends the others, and waits for that."""
        self.alarm.over = True
        for process in self.processes:
            with suppress(BrokenPipeError):
                cast(BinaryIO, process.stdin).close()
        for process in self.processes:
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def within_group(store: Store, rank: int, world: int, silence: float, sharded: bool = False) -> Iterator[Ranks]:
    """The group of torch.distributed; sums wait for `silence` seconds, words for as long as it takes."""
    limit = timedelta(seconds=silence) if silence else FOREVER
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=world, timeout=limit)
    try:
        patient = dist.new_group(backend="gloo", timeout=FOREVER)
        with parallel.within(Ranks(rank, world, patient, sharded)) as ranks:
            yield ranks
            dist.barrier()  # whoever leaves while another still reads from it may end that one
    finally:
        dist.destroy_process_group()


def ready(world: int) -> list[str]:
    """The store's keys that say of the ranks other than 0 that they have loaded what they need."""
    return [f"ready/{rank}" for rank in range(1, world)]


@contextmanager
def loopback() -> Iterator[None]:
    """All ranks are on this machine: gloo need not find out its name."""
    name, before = "GLOO_SOCKET_IFNAME", os.environ.get("GLOO_SOCKET_IFNAME")
    if sys.platform.startswith("linux"):
        os.environ.setdefault(name, "lo")
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(name, None)


# ---------------------------------------------------------------------------------------------------------- the others


def main() -> None:
    """A rank other than 0: what its standard input says, until that ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    orders = cast(BinaryIO, io.FileIO(0, closefd=False))  # a buffer's lock would be held at exit
    order = messages.receive(orders)
    if order is None:
        return
    over = threading.Event()
    threading.Thread(target=_end_with, args=(orders, over), daemon=True).start()
    try:
        with loopback():
            work(order)
    except RLTFError:
        over.wait(NOTICED)  # rank 0 has met the same, and says so itself
        raise


def _end_with(orders: BinaryIO, over: threading.Event) -> None:
    messages.receive_bytes(orders, 1)
    over.set()
    time.sleep(NOTICED)  # in good order
    os._exit(1)


def work(order: Mapping[str, Any]) -> None:
    """The updates of rank 0, one by one."""
    recipe, rank = build(Recipe, order["recipe"], "recipe"), int(order["rank"])

    def meet() -> Any:
        store = TCPStore(HOST, order["port"], recipe.scale.ranks, is_master=False)
        store.set(ready(recipe.scale.ranks)[rank - 1], "")
        return within_group(store, rank, recipe.scale.ranks, recipe.scale.silence, recipe.scale.shard)

    def saved() -> Mapping[str, Any] | None:
        return checkpoint.read(Path(order["saved"])) if order["saved"] else None

    learn_along(placed(recipe, rank), Path(order["out"]), order["cores"], meet, saved)


def learn_along(
    recipe: Recipe,
    out: Path,
    threads: int,
    meet: Callable[[], AbstractContextManager[Ranks]],
    saved: Callable[[], Mapping[str, Any] | None],
) -> None:
    """Builds what rank 0 has, meets it, and does the same updates until the end.

    Args:
        recipe: resolved, with this rank's device.
        out: the run's folder.
        threads: of torch; 0: torch decides.
        meet: the group, to be entered once policy and environment are loaded.
        saved: the checkpoint that the run goes on from, asked for within the group.
    """
    building.quiet_libraries()
    if threads:
        torch.set_num_threads(threads)
    with ExitStack() as stack:
        stack.enter_context(kernels.chosen(recipe.run.tf32, recipe.run.deterministic))
        policy = building.make_policy(recipe)
        env = stack.enter_context(building.make_env(_without_judges(recipe), policy))
        ranks = stack.enter_context(meet())
        agent = building.make_agent(recipe, policy, env)
        if (state := saved()) is not None:
            agent.load_state_dict(state["agent"])
            if state.get("source") is not None:
                sources.restore(env.source, state["source"])
        ranks.from_first(lambda: CHECK)  # as soon as rank 0 is here, however long that takes
        check_equal(agent)
        stack.enter_context(pool.actors(recipe, agent, out))
        follow(agent, policy, ranks)


def follow(agent: Agent, policy: Policy[Any], ranks: Ranks) -> None:
    """Does what rank 0 does, word by word, until the end."""
    while (word := ranks.from_first(lambda: END)) != END:
        if word == CHECK:
            state_of(agent)
        elif word == WHOLE:
            with shards.whole_model(policy):
                pass
        else:
            agent.update()
            if isinstance(agent, HasJournal):
                agent.journal.take()  # programs to look at are rank 0's to show


def state_of(agent: Agent) -> dict[str, Any]:
    """What a checkpoint keeps of the agent, on rank 0; all ranks ask.

    Raises:
        RankError: they no longer have the same weights.
    """
    check_equal(agent)
    ranks = parallel.current()
    return agent.state_dict() if ranks.leads or ranks.sharded else {}


def check_equal(agent: Agent) -> None:
    """Refuses weights that are not those of the other ranks.

    Raises:
        RankError: they differ.
    """
    learner: Any = getattr(agent, "learner", None)
    if learner is not None:
        parts = learner.parts.values()
        parallel.current().check_equal([p for part in parts for p in part.parameters()], "weights")


def _without_judges(recipe: Recipe) -> Recipe:
    """With as few processes of the judge as there can be: nothing is judged here."""
    if recipe.env.get("sandbox", "auto") not in pool.OURS:
        return recipe
    options = {**recipe.env.get("sandbox_options", {}), "workers": 1}
    return dataclasses.replace(recipe, env={**recipe.env, "sandbox_options": options})


if __name__ == "__main__":
    main()
    sys.exit(0)
