"""vLLM servers as the engine that writes programs: `Sampling(engine="vllm_server")`, for causal models.

    python -m agents.start_folder RECIPE                      # once: what servers are started with
    VLLM_SERVER_DEV_MODE=1 vllm serve FOLDER/start ...        # see docs/scaling.md

    sampling = { engine = "vllm_server", engine_options = { url = "http://127.0.0.1:8000", folder = "FOLDER" } }

Several writers (a learner, its generators, an evaluation) share one or more servers, on any machine
that sees the folder. Weights go there as a file, once for each version (`agents.engines._servers`).
A program is written by the writer's weights or by newer ones, and says by which
(`Completion.version`). What each token was drawn with the server says (`behaviour_logprobs`); what
the writer's policy thinks of it (`logprobs`) that policy says, which reads the programs once more.

Nothing is lost with a server: what it did not answer is asked for again, of the next one or of its
successor, which gets the weights first. Each row has a seed of its own, so that it is the same
program again as far as vLLM's kernels do not depend on what else is in a batch.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from agents.core import Completion, Policy, Request
from agents.decoding.sampling import Sampling
from agents.engines._drawn import Drawn, check_policy, completed, drawing
from agents.engines._folder import Shared
from agents.engines._peer import Lost, Peer, ServerError
from agents.engines._servers import START, Servers, completion_request, read_choice
from agents.options import build, chosen
from rltf_env.core import IntArray
from rltf_env.errors import UsageError

__all__ = ["Engine", "Options", "ServerError", "load", "start_folder", "write"]
FIRST, LONGEST = 0.05, 5.0  # seconds before a request is sent again: at first, and at the most
NEVER = -100.0  # the bias of a token that the tokenizer does not know: the most that vLLM takes


@dataclass(frozen=True)
class Options:
    """`sampling.engine_options`.

    Args:
        url: of the servers: one, several with blanks between them, or a list.
        folder: that all writers and all servers see under this name; each run has its own.
        connections: programs that a server is asked for at a time.
        patience: seconds of silence after which a request counts as lost, and for which a server that is away is
            waited for. It must cover the longest program, and the wait for a push.
        sleep: whether servers give their memory back when nobody writes: 1, weights wait on the host; 2, they are
            dropped and pushed again. They must have been started with --enable-sleep-mode.
    """

    url: Any
    folder: str
    connections: int = 64
    patience: float = 600.0
    sleep: int = 0

    def __post_init__(self) -> None:
        if not self.urls or not all(isinstance(url, str) for url in self.urls) or not self.folder:
            raise UsageError(f"Expected the URL of a vLLM server and a folder, got {chosen(self)}.")
        if self.connections < 1 or self.patience <= 0 or self.sleep not in (0, 1, 2):
            raise UsageError(f"Expected connections >= 1, patience > 0 and sleep of 0, 1 or 2, got {chosen(self)}.")

    @property
    def urls(self) -> tuple[str, ...]:
        """Of the servers, each by itself."""
        return tuple(self.url.split()) if isinstance(self.url, str) else tuple(self.url or ())


class Engine:
    """Servers that write for a policy.

    Raises:
        UsageError: an option of no use, a policy that has an encoder, or a folder that was made for another.
    """

    def __init__(self, policy: Policy[Any], options: Options) -> None:
        check_policy(policy, "vllm_server")
        self.options = options
        self.peers = [Peer(url, options.patience) for url in options.urls]
        self.shared = Shared(Path(options.folder))
        self.servers = Servers(policy, self.peers, self.shared, options.patience)
        model: Any = policy.model
        size, known = int(model.config.get_text_config().vocab_size), len(policy.tokenizer)
        self.bias = {str(token): NEVER for token in range(known, size)}
        self.size = size
        self._half_awake: set[Peer] = set()  # they have memory for weights again, and none for keys and values

    @contextmanager
    def ready(self) -> Iterator[None]:
        """With all servers awake, and weights there that will do. Afterwards they sleep, if they shall."""
        if not self.options.sleep:
            self._patiently(self.servers.take)
            yield
            return
        with self.shared.using(self.options.patience) as file:
            self._patiently(self._wake)
            try:
                yield
            except BaseException:
                if self.shared.alone(file):
                    with suppress(Lost):  # what went wrong before says more
                        self._sleep()
                raise
            if self.shared.alone(file):
                self._sleep()

    def write(
        self, rows: Sequence[IntArray], limits: Sequence[int], seeds: Sequence[int], **options: Any
    ) -> Iterator[Drawn]:
        """Continues each row by at most its limit of tokens; what was written, in the order in which it ends.

        Args:
            options: of `/v1/completions`.
        """
        self.servers.check_room(max(len(row) + limit for row, limit in zip(rows, limits, strict=True)))
        options |= {"logit_bias": self.bias} if self.bias else {}
        stopped = threading.Event()
        pool = ThreadPoolExecutor(self.options.connections * len(self.peers), "vllm")
        pending: set[Future[Drawn]] = set()
        try:
            for i, (row, limit, seed) in enumerate(zip(rows, limits, seeds, strict=True)):
                home = i * len(self.peers) // len(rows)  # in a row: what shares a prompt shares a server
                request = {"prompt": row.tolist(), "max_tokens": limit, "seed": seed, **options}
                pending.add(pool.submit(self._row, i, home, request, stopped))
            while pending:
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                for each in done:
                    yield each.result()
        finally:
            stopped.set()
            for each in pending:
                each.cancel()
            while wait(pending, timeout=FIRST).not_done:  # vLLM aborts what nobody waits for
                for peer in self.peers:
                    peer.hang_up()
            pool.shutdown()

    def _row(self, i: int, home: int, request: Mapping[str, Any], stopped: threading.Event) -> Drawn:
        """One row, asked for until a server has answered with weights that will do."""
        until, pause, tries = 0.0, FIRST, 0
        while True:
            peer = self.peers[(home + tries) % len(self.peers)]
            try:
                if tries:
                    self.servers.again(peer)
                version = self.servers.versions[peer]
                body = completion_request(self.servers.models[peer], **request)
                tokens, behaviour = read_choice(peer, peer.post("/v1/completions", body))
                if not self.servers.serves(peer, after=True):
                    raise Lost(f"{peer.shown} has lost its weights")
            except Lost as error:
                now = time.monotonic()
                until = until or now + self.options.patience
                if stopped.is_set() or now > until:
                    raise ServerError(
                        f"Expected programs from {' or '.join(peer.shown for peer in self.peers)} within "
                        f"{self.options.patience:g} s (patience), got: {error} Start the server again, and the run with the "
                        "same command."
                    ) from error
                stopped.wait(pause)
                tries, pause = tries + 1, min(2 * pause, LONGEST)
                continue
            if not 0 <= min(tokens) <= max(tokens) < self.size:
                raise ServerError(
                    f"Expected tokens of the policy's vocabulary of {self.size}, got {max(tokens)} from {peer.shown}. Start it "
                    f"with {self.shared.start}."
                )
            return Drawn(i, np.array(tokens, np.int64), np.array(behaviour, np.float32), version)

    def _patiently(self, call: Callable[[], None]) -> None:
        """Calls, and again while a server does not answer, for as long as `patience`."""
        until, pause = time.monotonic() + self.options.patience, FIRST
        while True:
            try:
                return call()
            except Lost as error:
                if time.monotonic() > until:
                    raise ServerError(
                        f"Expected all servers within {self.options.patience:g} s (patience), got: {error} Start it, or "
                        "remove its URL from sampling.engine_options."
                    ) from error
                time.sleep(pause)
                pause = min(2 * pause, LONGEST)

    def _wake(self) -> None:
        """Weights first: there is room for keys and values when nothing is loaded any more."""
        self.servers.look()
        with self.shared.pushing(self.options.patience):  # one writer wakes, and the others wait for it
            if asleep := [peer for peer in self.peers if peer.get("/is_sleeping").get("is_sleeping")]:
                for peer in asleep:
                    if peer not in self._half_awake:  # its memory would be mapped twice
                        peer.post("/wake_up", tags="weights")
                        self._half_awake.add(peer)
                self.servers.take(awake=False, locked=True)
                for peer in asleep:
                    peer.post("/wake_up", tags="kv_cache")
                    self._half_awake.discard(peer)
        self.servers.take()

    def _sleep(self) -> None:
        for peer in self.peers:
            if self.options.sleep == 2:
                self.servers.mark(peer, "dropped")
            peer.post("/sleep", level=str(self.options.sleep))
            if not peer.get("/is_sleeping").get("is_sleeping"):
                raise UsageError(
                    f"Expected {peer.shown} to sleep, got a server that cannot. Start it with --enable-sleep-mode, or set "
                    "sampling.engine_options.sleep = 0."
                )


def start_folder(policy: Policy[Any], options: Options) -> str:
    """Writes the folder that servers are started with; the command that starts one."""
    check_policy(policy, "vllm_server")
    shared = Shared(Path(options.folder))
    shared.save_start(policy)
    return START.format(start=shared.start) + (" --enable-sleep-mode" if options.sleep else "")


_engines: WeakKeyDictionary[Policy[Any], dict[str, Engine]] = WeakKeyDictionary()


def engine_of(policy: Policy[Any], options: Mapping[str, Any]) -> Engine:
    """The policy's engine with these options, made when it is first asked for."""
    engines = _engines.setdefault(policy, {})
    key = repr(sorted(options.items()))
    if key not in engines:
        engines[key] = Engine(policy, build(Options, options, "sampling.engine_options"))
    return engines[key]


def write(sampling: Sampling, policy: Policy[Any], request: Request) -> list[list[Completion]]:
    """What `sampling` would write with the policy, by vLLM servers. See `agents.core.Decoder`."""
    if not request.prompts:
        return []
    engine = engine_of(policy, sampling.engine_options)
    with engine.ready():
        return completed(sampling, policy, request, partial(engine.write, **drawing(sampling, policy)))


def load() -> Callable[..., list[list[Completion]]]:
    """The engine: `write`."""
    return write
