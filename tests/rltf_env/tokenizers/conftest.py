"""Small tokenizers of each kind, built once for all tests that ask."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import transformers
from small_tokenizers import FAST, KINDS, sentencepiece_library

from rltf_env.tokenizers import HuggingFace

_built: dict[str, HuggingFace] = {}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def build(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], HuggingFace]:
    def of(kind: str) -> HuggingFace:
        if kind not in _built:
            if kind == "byt5":
                made = transformers.ByT5Tokenizer()
            elif kind == "sentencepiece_library":
                made = sentencepiece_library(tmp_path_factory.mktemp("model"))
            else:
                made = FAST[kind]()
            _built[kind] = HuggingFace(made)
        return _built[kind]

    return of
