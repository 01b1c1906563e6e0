"""Recipes: a TOML file plus `key=value` overrides, checked against dataclasses. An unknown key is an error, never ignored.

[run]     name, out, seed, updates, ...            how long, where to
[env]     id = "RLTF-MBPP-v0" and its keywords     what to learn on
[policy]  kind = "causal" and its options          who learns
[agent]   kind = "rltf" and its options            how
[eval]    split, size, samples, [eval.sampling]    how it is measured
[scale]   generators, engine, ranks, ...           how many processes write programs, where, and how many learn
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from agents.decoding.sampling import Sampling
from agents.options import build, chosen
from agents.policies import _folder
from agents.running import trackers
from rltf_env import plugins
from rltf_env.errors import DataError, MissingData, UnknownName, UsageError

T = TypeVar("T")
# Keys of [run] that say where a run is written, how long it is, and how it is shown: no part of what it is.
SHOWN = (
    "name",
    "out",
    "updates",
    "eval_every",
    "eval_first",
    "checkpoint_every",
    "background_checkpoints",
    "log_every",
    "samples_every",
    "trackers",
)
ADDED = {"tf32": False, "deterministic": False}  # of [run]: at these values they are as if they were not there
# Of [scale]: where processes stand, and how long they are waited for.
PLACED = ("engine", "address", "cpus", "gpus", "devices", "silence", "patience", "ranks", "shard")


@dataclass(frozen=True)
class Run:
    """Where a run's folder is (`out`, default `runs/<name>`), its seed, and its rhythm in updates (0: never)."""

    name: str
    updates: int
    out: str = ""
    seed: int = 0
    eval_every: int = 0
    eval_first: bool = True  # with eval_every: also before the first update
    checkpoint_every: int = 50
    background_checkpoints: bool = False  # a thread writes them from a copy, while the run goes on
    log_every: int = 1
    samples_every: int = 10  # updates between sample programs in the run's folder, and in a terminal
    trackers: list[str] = field(default_factory=list)  # besides TensorBoard: "wandb", "trackio"
    threads: int = 0  # torch's CPU threads; 0: torch decides. Results are to the bit only with equal threads
    tf32: bool = False  # on a GPU: float32 products of 10 bits, quick; see `agents.running.kernels`
    deterministic: bool = False  # on a GPU: the same bits in every run, at some cost; see there

    def __post_init__(self) -> None:
        for name in ("updates", "eval_every", "checkpoint_every", "log_every", "samples_every", "threads"):
            if (value := getattr(self, name)) < 0:
                raise UsageError(f"Expected run.{name} >= 0, got {value}.")
        trackers.check(self.trackers)


@dataclass(frozen=True)
class Eval:
    """How a policy is measured: `samples` programs for each of `size` problems of `split`, evenly spaced in it (0: all).

    Programs end where those of the training do: `sampling` without `stop` strings has the agent's. Where `[env] sandbox` runs no
    programs (`"static"`), they need a `sandbox` of their own: nothing else tells whether they are right.
    """

    split: str = "test"
    size: int = 0
    samples: int = 1
    sampling: Sampling = field(default_factory=lambda: Sampling(temperature=0.0))
    options: dict[str, Any] = field(default_factory=dict)  # of the dataset
    seed: int = 0
    sandbox: str = ""  # the judge of the measurement; "": that of the training, which must then run programs
    sandbox_options: dict[str, Any] = field(default_factory=dict)  # with a sandbox

    def __post_init__(self) -> None:
        if self.sandbox_options and not self.sandbox:
            raise UsageError(f"Expected [eval] sandbox with sandbox_options, got {self.sandbox_options} without.")
        if self.size < 0 or self.samples < 1:
            raise UsageError(f"Expected [eval] size >= 0 and samples >= 1, got {chosen(self)}.")


@dataclass(frozen=True)
class Scale:
    """Actors that write and judge programs while the run learns (`agents.actors.pool`), and processes that learn with it.

    Args:
        ranks: processes that learn as one, each from a part of every batch (`agents.parallel`); 1: the run itself alone. A run may
            go on with another number of them. Under a launcher such as torchrun they are those that it has started.
        shard: whether each rank has a part of the weights, gradients and moments in the place of all (`agents.learning.shards`).
        engine: where generators run: "local", processes of this machine; "ray", actors of a Ray cluster (`agents.actors.ray`).
        generators: how many; 0: the run writes by itself, between updates, the same to the bit every time.
        push_every: updates between the weights that generators are given.
        programs: that a generator writes with the same weights at a time; 0: its share of a refresh, at most `sampling.rows`.
        queue: such lots that may wait for the learner; when there are more, generators wait.
        devices: of the generators, such as `["cuda:1", "cuda:2"]`, in turn, in place of `policy.device`; empty: all have that.
        silence: seconds after which a generator that has sent nothing, though there was room for it, counts as hung, and is
            replaced: more than it takes to start and to write a lot; 0: it may take for ever. Ranks wait so long for each
            other in an update.
        address: with "ray", of the cluster (`host:port`, "auto"); "": the Ray that this process has, $RAY_ADDRESS, or a Ray of
            this machine, which is started.
        cpus: with "ray", processors that are kept for each generator, and that its judge uses; 0: none are kept, and it
            uses its share of as many as this machine has.
        gpus: with "ray", GPUs that are kept for each generator, which sees no others.
        patience: with "ray", seconds without a sign of life after which a generator counts as hung, however long a lot takes; under
            a launcher such as torchrun, after which a rank does.
    """

    ranks: int = 1
    shard: bool = False
    engine: str = "local"
    generators: int = 0
    push_every: int = 10
    programs: int = 0
    queue: int = 2
    devices: list[str] = field(default_factory=list)
    silence: float = 1800.0
    address: str = ""
    cpus: float = 0.0
    gpus: float = 0.0
    patience: float = 60.0

    def __post_init__(self) -> None:
        if min(self.generators, self.programs) < 0 or min(self.push_every, self.queue, self.ranks) < 1:
            raise UsageError(
                f"Expected [scale] generators, programs >= 0 and push_every, queue, ranks >= 1, got {chosen(self)}."
            )
        if self.silence < 0:
            raise UsageError(f"Expected [scale] silence >= 0 seconds, got {self.silence}.")
        if min(self.cpus, self.gpus) < 0 or not self.patience > 0:
            raise UsageError(f"Expected [scale] cpus, gpus >= 0 and patience > 0 seconds, got {chosen(self)}.")
        engines = plugins.names("actors", package="agents")
        if self.engine not in engines:
            raise UnknownName("scale.engine", self.engine, engines)
        if self.engine == "local" and (self.address or self.cpus or self.gpus):
            raise UsageError(f'Expected scale.engine = "ray" with address, cpus or gpus, got "local": {chosen(self)}.')
        if not all(isinstance(device, str) and device for device in self.devices):
            raise UsageError(f'Expected [scale] devices to be names such as "cuda:1", got {self.devices}.')


@dataclass(frozen=True)
class Recipe:
    """A run, complete. `env`, `policy` and `agent` are checked by what they configure."""

    run: Run
    env: dict[str, Any]
    policy: dict[str, Any]
    agent: dict[str, Any]
    eval: Eval = field(default_factory=Eval)
    scale: Scale = field(default_factory=Scale)

    def to_dict(self) -> dict[str, Any]:
        """Plain nested dicts, as in the file."""
        return dataclasses.asdict(self)

    @property
    def digest(self) -> str:
        """Identifies what a checkpoint may be continued with: all but where it is written, how long, and how it is shown."""
        content = self.to_dict()
        for key in SHOWN:
            content["run"].pop(key)
        for key, value in ADDED.items():
            if content["run"][key] == value:
                content["run"].pop(key)
        content.pop("eval")
        if not self.scale.generators:  # nothing else of [scale] matters then
            content.pop("scale")
        for key in PLACED:
            content.get("scale", {}).pop(key, None)
        if self.agent.get("sampling", {}).get("engine") == "vllm_server":
            content["agent"]["sampling"].pop("engine_options", None)  # all of them say where servers are
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def read(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe in `path`, with `"table.key=value"` overrides whose values are TOML (bare words are strings).

    Raises:
        MissingData: no such file.  DataError: not TOML.  UnknownName, UsageError: a wrong table, key or value.
    """
    file = Path(path)
    if not file.is_file():
        shipped = sorted(p.name for p in (Path(__file__).parent / "recipes").glob("*.toml"))
        raise MissingData(
            f"Expected a recipe, got {str(path)!r}, which is not a file. Shipped recipes: {', '.join(shipped)}."
        )
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: expected TOML, got: {error}") from error
    for override in overrides:
        override_value(content, override)
    if isinstance(content.setdefault("run", {}), dict):
        content["run"].setdefault("name", file.stem)
    return build(Recipe, content, file.name)


def finished(run: Path, device: str = "") -> Recipe:
    """The recipe of a finished run, with the policy that it trained in the place of the one that it began with.

    Raises:
        MissingData: there is no such policy.
    """
    if not (run / "policy" / "config.json").is_file():
        raise MissingData(
            f"Expected the policy of a finished run in {str(run / 'policy')!r}, got none. Run the training to its end."
        )
    recipe = read(run / "recipe.toml")
    options = {
        key: recipe.policy[key] for key in ("eos", "dtype", "device", "trust_remote_code") if key in recipe.policy
    }
    where = {"device": device} if device else {}
    policy = {"kind": _folder.kind(run / "policy"), "path": str(run / "policy"), **options, **where}
    return dataclasses.replace(recipe, policy=policy)


def trained_with(recipe: Recipe) -> Sampling:
    """How a run's programs are sampled."""
    return build(Sampling, recipe.agent.get("sampling", {}), "agent.sampling")


def override_value(content: dict[str, Any], text: str) -> None:
    """Sets what a `"table.key=value"` says, in nested tables.

    Raises:
        UsageError: a text of another form, or one that goes through a value.
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise UsageError(f"Expected an override of the form table.key=value, got {text!r}.")
    *tables, last = key.strip().split(".")
    for table in tables:
        content = content.setdefault(table, {})
        if not isinstance(content, dict):
            raise UsageError(f"Override {text!r}: {table!r} is a value, not a table.")
    try:
        content[last] = tomllib.loads(f"v = {value}")["v"]
    except tomllib.TOMLDecodeError:  # a table may be written as JSON too; anything else is a bare word
        content[last] = plugins.option(text)[1] if value.lstrip().startswith("{") else value
