"""vLLM servers that several writers share: which weights each has, and how it gets newer ones.

A server itself says which weights it has (`GET /weight_info`, by a label that `/update_weight_version`
sets; vLLM from 0.27 on), so that nobody has to remember, and a server that was started again says
"default". A writer asks for weights at least as new as its own, and pushes its own to a server whose
weights are older:

    pause (running requests end, new ones wait)    POST /pause?mode=wait
    say that the label holds no longer             POST /update_weight_version
    load the newest folder                         POST /collective_rpc  reload_weights(weights_path)
    forget keys and values of the weights before   POST /reset_prefix_cache
    go on, and say the new label                   POST /resume, /update_weight_version

So each program is written by one version from its first token to its last. (vLLM 0.27: its
`docs/training`, pages "Async Reinforcement Learning" and "Layerwise (Re)loading". Each version has a
folder of its own, because a path that was read before may be read from a cache.) A writer that dies
in the middle leaves a server whose label does not hold, and the next one pushes again.

The first request of a process wants exactly its own weights: a run that continues from a checkpoint
is behind what servers had when it was killed.
"""

from __future__ import annotations

import json
import os
import threading
import weakref
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any

from agents.core import Policy
from agents.engines._folder import Label, Shared
from agents.engines._peer import Lost, Missing, Peer, ServerError
from rltf_env.errors import UsageError

SAME = ("vocab_size", "hidden_size", "num_hidden_layers", "model_type")  # in the config of a policy and of a server
START = (
    "VLLM_SERVER_DEV_MODE=1 vllm serve {start} --served-model-name policy --generation-config vllm "
    "--logprobs-mode processed_logprobs"
)
CERTAIN = 100.0  # the bias of a token that will be drawn: the most that vLLM takes
ZERO = -1e-6  # a log-probability below this is not that of such a token


class Servers:
    """The servers at `peers`, with the weights of `policy`. One for each policy of a process."""

    def __init__(self, policy: Policy[Any], peers: Sequence[Peer], shared: Shared, patience: float) -> None:
        self._policy, self.peers, self.shared, self.patience = weakref.ref(policy), tuple(peers), shared, patience
        self.models: dict[Peer, dict[str, Any]] = {}  # of those that were looked at, what they serve
        self.versions: dict[Peer, int | None] = {}  # updates that their weights had seen, at least
        self._joined: set[Peer] = set()  # those that had exactly our weights once
        self._checked: set[Peer] = set()  # those that say log-probabilities as they should
        self._label = Label("", "broken")
        self._turn = threading.Lock()  # of this process's threads
        self._check_start()

    @property
    def policy(self) -> Policy[Any]:
        """Whose weights. It is kept alive by those who write with it, not from here."""
        policy = self._policy()
        assert policy is not None, "it is writing"
        return policy

    # ------------------------------------------------------------------------------------------------------ weights

    def take(self, *, awake: bool = True, locked: bool = False) -> None:
        """Has all servers take over the policy's weights, unless they have newer ones. Does not retry.

        Args:
            awake: whether requests may be under way.
            locked: whether the caller has the right to push.

        Raises:
            Lost: a server did not answer.
            ServerError, UsageError: it cannot load weights, is of another policy, or serves another run.
        """
        self.look()
        self._label = self.shared.label(self.policy)
        if stale := [peer for peer in self.peers if not self.serves(peer)]:
            self._push(stale, awake, locked)
        self._joined |= set(self.peers)
        for peer in self.peers:
            if awake and peer not in self._checked:
                self._check_logprobs(peer)
                self._checked.add(peer)

    def again(self, peer: Peer) -> None:
        """After a request was lost: the same for one server, which may have been started anew."""
        with self._turn:  # the first thread that notices pushes; the others find it done
            if not self.serves(peer):
                self._push([peer], awake=True, locked=False)

    def serves(self, peer: Peer, *, after: bool = False) -> bool:
        """Whether a server's weights will do: ours, or newer ones of this run.

        Args:
            after: of a request that has been answered: a load that is under way came after it.
        """
        label = self._label_at(peer)
        if label is None:
            return False
        if label.run != self._label.run:
            if peer in self._joined:
                raise UsageError(
                    f"Expected {peer.shown} to serve this run alone, got weights of another run in the midst of it. Give "
                    "each run servers of its own."
                )
            return False
        if label.state != "is":
            return after and label.state == "loading"
        newer = peer in self._joined and label.updates > self._label.updates >= 0
        if newer or label.digest == self._label.digest:
            self.versions[peer] = None if label.updates < 0 else label.updates
            return True
        return False

    def _push(self, stale: Sequence[Peer], awake: bool, locked: bool) -> None:
        with nullcontext() if locked else self.shared.pushing(self.patience):
            left = [peer for peer in stale if not self.serves(peer)]  # another writer may have been quicker
            if not left:
                return
            path = str(self.shared.put(self.policy, self._label))
            with ThreadPoolExecutor(len(left)) as pool:
                for done in [pool.submit(self._load, peer, path, awake) for peer in left]:
                    done.result()

    def _load(self, peer: Peer, path: str, awake: bool) -> None:
        if awake:
            peer.post("/pause", mode="wait")
        self.mark(peer, "loading")
        try:
            peer.post("/collective_rpc", {"method": "reload_weights", "kwargs": {"weights_path": path}})
            peer.post("/reset_prefix_cache")
        except Exception as error:
            self.mark(peer, "broken")
            if awake:
                peer.post("/resume")  # what waits there is answered, and then passed over
            raise ServerError(
                f"Expected {peer.shown} to load {path}, got: {error} It must see that folder under the same name, have "
                "been started without --load-format dummy, and its log says more."
            ) from error
        if awake:
            peer.post("/resume")
        peer.post("/update_weight_version", {"new_version": str(self._label)})
        self.versions[peer] = None if self._label.updates < 0 else self._label.updates

    def mark(self, peer: Peer, state: str) -> None:
        """Has a server say what became of its weights."""
        peer.post("/update_weight_version", {"new_version": str(self._label.so(state))})

    def _label_at(self, peer: Peer) -> Label | None:
        try:
            return Label.read(str(peer.get("/weight_info").get("weight_version")))
        except Missing:
            raise UsageError(self._why_missing(peer)) from None

    def _why_missing(self, peer: Peer) -> str:
        """Why a server has no /weight_info."""
        try:
            peer.get("/is_sleeping")
        except Missing:
            command = START.format(start=self.shared.start)
            return f"Expected vLLM's development mode at {peer.shown}, got a server without. Start it with: {command}"
        version = peer.get("/version").get("version", "that does not say which it is")
        return f"Expected vLLM 0.27 or newer at {peer.shown}, whose weights have a version, got {version}. Update it."

    # ------------------------------------------------------------------------------------------------------- checks

    def _check_start(self) -> None:
        """Raises UsageError if servers are started with another policy than this one."""
        try:
            config = json.loads((self.shared.start / "config.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UsageError(
                f"Expected {self.shared.start} to hold the policy that servers are started with, got none. Write it with: "
                "python -m agents.start_folder RECIPE"
            ) from None
        model: Any = self.policy.model
        own = model.config.to_dict()
        for key in SAME:
            if config.get(key) != own.get(key):
                raise UsageError(
                    f"Expected {self.shared.start} to hold this policy, with {key} = {own.get(key)!r}, got "
                    f"{config.get(key)!r}. Write it anew: python -m agents.start_folder RECIPE, and start servers again."
                )

    def look(self) -> None:
        """Finds the policy among what each server serves. Raises UsageError where it is not."""
        for peer in self.peers:
            if peer not in self.models:
                self.models[peer] = self._found_at(peer)

    def _found_at(self, peer: Peer) -> dict[str, Any]:
        self._label_at(peer)
        try:
            served = peer.get("/v1/models")["data"]
            roots = [str(model["root"]) for model in served]
        except (Missing, KeyError, TypeError) as error:
            raise UsageError(f"Expected a vLLM server at {peer.shown}, got another: {error}") from error
        places = [os.path.realpath(root) == str(self.shared.start) for root in roots]
        if not any(places):
            command = START.format(start=self.shared.start)
            raise UsageError(f"Expected {peer.shown} to serve this policy, got {roots}. Start it with: {command}")
        return served[places.index(True)]

    def check_room(self, tokens: int) -> None:
        """Raises UsageError if rows of so many tokens, those to be written included, are too long for a server."""
        for peer in self.peers:
            most = self.models[peer].get("max_model_len")
            if most is not None and tokens > most:
                raise UsageError(
                    f"Expected prompt and program within {most} tokens at {peer.shown}, got {tokens}. Start it with "
                    f"--max-model-len {tokens}, or shorten env.max_program_tokens."
                )

    def _check_logprobs(self, peer: Peer) -> None:
        """What a bias makes certain has the log-probability 0, unless the server says those before the bias."""
        token = self.policy.eos_id
        row = {"prompt": [token], "max_tokens": 1, "temperature": 1.0, "logit_bias": {str(token): CERTAIN}}
        _, behaviour = read_choice(peer, peer.post("/v1/completions", completion_request(self.models[peer], **row)))
        if behaviour[0] < ZERO:
            raise UsageError(
                f"Expected {peer.shown} to say log-probabilities after temperature and cut-offs, got those before. Start it "
                "with --logprobs-mode processed_logprobs."
            )


def completion_request(model: dict[str, Any], **options: Any) -> dict[str, Any]:
    """A request to `/v1/completions`. What is not said would be what the model's `generation_config` says."""
    plain = {"n": 1, "repetition_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0}
    return {
        "model": model["id"], "logprobs": 0, "return_token_ids": True, "ignore_eos": True, **plain, **options,
    }  # fmt: skip


def read_choice(peer: Peer, reply: dict[str, Any]) -> tuple[list[int], list[float]]:
    """The tokens of an answer, and the log-probability that each was drawn with.

    Raises:
        Lost: the server broke the program off.
        ServerError: an answer of another shape.
    """
    try:
        (choice,) = reply["choices"]
        tokens, behaviour = choice["token_ids"], choice["logprobs"]["token_logprobs"]
        reason = choice["finish_reason"]
        if not tokens or len(tokens) != len(behaviour) or not all(isinstance(t, int) for t in tokens):
            raise ValueError(f"{tokens} with {behaviour}")
    except (KeyError, TypeError, ValueError) as error:
        raise ServerError(
            f"Expected token ids with log-probabilities from {peer.shown}, as vLLM 0.27 gives them, got {str(reply)[:200]}"
        ) from error
    if reason not in ("stop", "length"):
        raise Lost(f"{peer.shown} broke a program off: {reason}")
    return tokens, behaviour
