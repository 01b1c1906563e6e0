"""A small, randomly initialised Llama with a byte-level BPE of its own: learns on a CPU in minutes, nothing to download.

The vocabulary is trained on the texts of a dataset's training split, so that programs are short. It is a plain transformers
model: what it saves loads with the `causal` policy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch

from agents.policies._door import entered
from agents.policies._loading import prepare
from agents.policies.causal import CausalPolicy
from rltf_env import datasets, prompts
from rltf_env.errors import UsageError

END = "<|end|>"
SMALLEST_VOCABULARY = 257  # every byte, and END


def load(
    *,
    width: int = 128,
    layers: int = 4,
    heads: int = 4,
    vocab_size: int = 512,
    dataset: str = "procedural",
    dataset_options: dict[str, Any] | None = None,
    max_positions: int = 1024,
    device: str = "cpu",
    seed: int = 0,
    **how: Any,
) -> CausalPolicy:
    """A random policy. `dataset` and its options say on what texts the vocabulary is trained; `seed` draws the weights.

    `how` it learns (LoRA, gradient checkpointing, compiled): see `_loading.prepare`.
    """
    from transformers import LlamaConfig, LlamaForCausalLM

    check_sizes(width=width, layers=layers, heads=heads, max_positions=max_positions)
    if width % (2 * heads):
        raise UsageError(f"Expected policy.width to be a multiple of 2 * heads = {2 * heads}, got {width}.")
    tokenizer = dataset_tokenizer(vocab_size, dataset, dataset_options)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        max_position_embeddings=max_positions,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = drawn(LlamaForCausalLM, config, seed)
    return entered(CausalPolicy(prepare(model, device, seed=seed, **how), tokenizer))


def check_sizes(**sizes: int) -> None:
    """Raises UsageError unless each size is an integer of at least 1."""
    for name, size in sizes.items():
        if type(size) is not int or size < 1:
            raise UsageError(f"Expected policy.{name} to be an integer of at least 1, got {size!r}.")


def drawn(make: Callable[[Any], Any], config: Any, seed: int) -> Any:
    """`make(config)` with weights drawn from `seed`; the global generators are left as they were."""
    with torch.random.fork_rng(devices=[]):  # transformers draws weights from torch's global generator: lend it a seed
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would also seed, and leave so, those of the GPUs
        return make(config)


def dataset_tokenizer(vocab_size: int, dataset: str, options: dict[str, Any] | None = None) -> Any:
    """A tokenizer trained on the prompts and references of a dataset's training split."""
    problems = datasets.load(dataset, split="train", **(options or {}))
    return train_tokenizer(
        (text for problem in problems for text in (prompts.render(problem), *problem.solutions)), vocab_size
    )


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> Any:
    """A byte-level BPE of `vocab_size` tokens (all 256 bytes and the end token among them), each digit a token of its own."""
    if type(vocab_size) is not int or vocab_size < SMALLEST_VOCABULARY:
        raise UsageError(
            f"Expected policy.vocab_size to be an integer of at least {SMALLEST_VOCABULARY}, "
            f"256 bytes and the end token, got {vocab_size!r}."
        )
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(  # pyright: ignore[reportAttributeAccessIssue]
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    bpe.decoder = decoders.ByteLevel()  # pyright: ignore[reportAttributeAccessIssue]
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe, eos_token=END, pad_token=END, clean_up_tokenization_spaces=False
    )
