"""Text to tokens and back, with the way from each token to its characters carried along. One file = one tokenizer.

    Bytes()                   256 byte values and an end: no download, any text; the default
    HuggingFace(tokenizer)    a tokenizer of the transformers library: an object, a local folder, a hub id
    Words.of(texts)           the words of some texts and no other: a few dozen tokens, for small agents on small tasks

All give a `core.Program` for *sampled* ids: its text is what the ids decode to, its offsets are exact for every sequence of
ids, not only for those that `encode` would give. transformers is imported when a HuggingFace is built from a name.
"""

from __future__ import annotations

from pathlib import Path

from rltf_env import plugins
from rltf_env._renamed import renamed
from rltf_env.core import Tokenizer
from rltf_env.tokenizers.bytes import Bytes
from rltf_env.tokenizers.huggingface import HuggingFace
from rltf_env.tokenizers.words import Words

__all__ = ["Bytes", "HuggingFace", "Words", "encode_prompt", "fitting_prefix", "load"]


def load(spec: str | Path | Tokenizer) -> Tokenizer:
    """The tokenizer that `spec` means.

    Args:
        spec: the name of a file of this folder that has a `load`, such as `"bytes"`; the folder or hub id of a
            transformers tokenizer; such a tokenizer itself; or any `core.Tokenizer`.
    """
    if isinstance(spec, str) and spec in plugins.names("tokenizers"):
        return plugins.find("tokenizers", spec)()
    if not isinstance(spec, (str, Path)) and isinstance(spec, Tokenizer):
        return spec
    return HuggingFace(spec)


def fitting_prefix(tokenizer: Tokenizer, prefix: str) -> str:
    """What of the code given for free, `prefix`, an agent is given in tokens of this tokenizer.

    All of it, but where tokens join characters (`tokenizer.joins`) the white space at its end: a model expects that within the
    next token. One that finds a line break by itself behind a docstring takes the program for finished.
    """
    return prefix.rstrip() if getattr(tokenizer, "joins", False) else prefix


def encode_prompt(tokenizer: Tokenizer, text: str) -> list[int]:
    """The tokens of a prompt, begun as the tokenizer begins every text: with its BOS token, where it has one."""
    return getattr(tokenizer, "encode_prompt", tokenizer.encode)(text)


__getattr__ = renamed(__name__, {"opening": "fitting_prefix"})
