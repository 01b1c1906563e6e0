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
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO, cast

import torch
import torch.distributed as dist
from torch.distributed import Store, TCPStore  # pyright: ignore[reportPrivateImportUsage]

from agents import building, parallel
from agents.actors import messages, pool
from agents.config import Recipe
from agents.core import Agent, HasJournal
from agents.options import build
from agents.parallel import RankError, Ranks
from agents.running import kernels
from rltf_env import sources
from rltf_env.errors import RLTFError, UsageError

HOST = "127.0.0.1"
PATIENCE = 10.0  # seconds to end in good order; then in bad
NOTICED = 4.0  # seconds in which rank 0 learns why another has gone
FOREVER = timedelta(days=30)  # that the others wait while rank 0 writes or measures
UPDATE, CHECK, END = "update", "check", "end"


def threads_of(recipe: Recipe) -> int:
    """torch's threads of each process of a run; 0: torch decides."""
    share = max(1, (os.cpu_count() or 1) // recipe.scale.ranks)
    return recipe.run.threads or (share if recipe.scale.ranks > 1 else 0)


def placed(recipe: Recipe, rank: int) -> Recipe:
    """The recipe with the rank's own GPU, if there are ranks and its policy is on one."""
    device = str(recipe.policy.get("device", "cpu"))
    if recipe.scale.ranks == 1 or not (device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())):
        return recipe
    if recipe.scale.ranks > torch.cuda.device_count():
        raise UsageError(
            f"Expected a GPU for each of scale.ranks={recipe.scale.ranks}, got {torch.cuda.device_count()}. Lower scale.ranks, or "
            'set policy.device = "cpu".'
        )
    torch.cuda.set_device(rank)
    return dataclasses.replace(recipe, policy={**recipe.policy, "device": f"cuda:{rank}"})


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
        with _interface(), others.interrupting():
            yield from others.run()
    finally:
        others.end()


class _Others:
    """The other ranks, as rank 0 sees them."""

    def __init__(self, recipe: Recipe, out: Path, saved: Path | None) -> None:
        self.world, self.silence, self.over, self.reason = recipe.scale.ranks, recipe.scale.silence, False, ""
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
        if self.over or self.reason:
            return
        lines = (self.folder / f"{rank}.log").read_text(errors="replace").strip().splitlines()
        how = f"signal {-code}" if code < 0 else f"status {code}: {lines[-1] if lines else 'no word'}"
        self.reason = (
            f"Expected {self.world} ranks to learn together, got the end of rank {rank} with {how}. See "
            f"{self.folder / f'{rank}.log'}; the same command continues from the last checkpoint."
        )
        if signal.getsignal(signal.SIGUSR1) not in (signal.SIG_DFL, None):
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

    @contextmanager
    def interrupting(self) -> Iterator[None]:
        """Raises in the main thread as soon as a rank has ended, whatever it is at."""

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

    def run(self) -> Iterator[Ranks]:
        """The ranks; a failed sum that the end of one explains is a `RankError`."""
        try:
            self._wait_for_all()
            with within_group(self.store, 0, self.world, self.silence) as ranks:
                yield ranks
                ranks.from_first(lambda: END)
        except RankError as error:
            self._wait_for_reason()
            if not self.reason:
                raise
            raise RankError(self.reason) from error

    def _wait_for_all(self) -> None:
        """Until all have loaded what they need; here, where the end of one can be noticed, and not within torch."""
        names = [_ready(rank) for rank in range(1, self.world)]
        while not self.store.check(names):
            time.sleep(0.02)
            if self.reason:
                raise RankError(self.reason)

    def _wait_for_reason(self) -> None:
        deadline = time.monotonic() + NOTICED
        while not self.reason and time.monotonic() < deadline:
            time.sleep(0.01)

    def end(self) -> None:
        """Ends the others, and waits for that."""
        self.over = True
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
def within_group(store: Store, rank: int, world: int, silence: float) -> Iterator[Ranks]:
    """The group of torch.distributed; sums wait for `silence` seconds, words for as long as it takes."""
    limit = timedelta(seconds=silence) if silence else FOREVER
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=world, timeout=limit)
    try:
        patient = dist.new_group(backend="gloo", timeout=FOREVER)
        with parallel.within(Ranks(rank, world, patient)) as ranks:
            yield ranks
            dist.barrier()  # whoever leaves while another still reads from it may end that one
    finally:
        dist.destroy_process_group()


def _ready(rank: int) -> str:
    """The store's key that says that a rank has loaded what it needs."""
    return f"ready/{rank}"


@contextmanager
def _interface() -> Iterator[None]:
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
        with _interface():
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
    recipe = build(Recipe, order["recipe"], "recipe")
    rank = int(order["rank"])
    building.quiet_libraries()
    if order["cores"]:
        torch.set_num_threads(order["cores"])
    recipe = placed(recipe, rank)
    with ExitStack() as stack:
        stack.enter_context(kernels.chosen(recipe.run.tf32, recipe.run.deterministic))
        policy = building.make_policy(recipe)
        env = stack.enter_context(building.make_env(_without_judges(recipe), policy))
        agent = building.make_agent(recipe, policy, env)
        if order["saved"]:
            saved = torch.load(order["saved"], map_location="cpu", weights_only=True)
            agent.load_state_dict(saved["agent"])
            if saved.get("source") is not None:
                sources.restore(env.source, saved["source"])
        store = TCPStore(HOST, order["port"], recipe.scale.ranks, is_master=False)
        store.set(_ready(rank), "")
        ranks = stack.enter_context(within_group(store, rank, recipe.scale.ranks, recipe.scale.silence))
        check_equal(agent)
        stack.enter_context(pool.actors(recipe, agent, Path(order["out"])))
        follow(agent, ranks)


def follow(agent: Agent, ranks: Ranks) -> None:
    """Does what rank 0 does, word by word, until the end."""
    while (word := ranks.from_first(lambda: END)) != END:
        if word == CHECK:
            check_equal(agent)
            continue
        agent.update()
        if isinstance(agent, HasJournal):
            agent.journal.take()  # programs to look at are rank 0's to show


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
