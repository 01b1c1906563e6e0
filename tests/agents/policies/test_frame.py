"""The frame of a tokenizer: what begins a prompt, what a target must spell, which ends a saved policy keeps, NaN."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Regex, normalizers, processors

from agents.algorithms.supervised import reference
from agents.core import rngs
from agents.decoding.sampling import Sampling
from agents.policies import tiny
from rltf_env import datasets
from rltf_env.env import UnitTestEnv
from rltf_env.errors import UsageError
from rltf_env.tokenizers import HuggingFace


def tokenizer() -> Any:
    return tiny.dataset_tokenizer(300, "procedural", {"size": 8})


def test_a_prompt_begins_with_the_token_that_begins_every_text_and_a_program_does_not() -> None:
    own = tokenizer()
    own.add_special_tokens({"bos_token": "<bos>"})
    own.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", own.bos_token_id)]
    )
    problem = datasets.load("procedural", size=1)[0]
    env = UnitTestEnv([problem], tokenizer=HuggingFace(own))
    _, info = env.reset(options={"problem": problem.id})
    assert env.encode_prompt(problem).tolist() == own(info["prompt"])["input_ids"]
    assert own.bos_token_id not in env.tokenizer.encode("x")
    assert HuggingFace(own).encode_prompt("<bos>x").count(own.bos_token_id) == 1


def test_a_decoder_is_given_the_beginning_of_a_frame_and_an_encoder_frames_its_prompts_itself() -> None:
    own = tokenizer()
    own.add_special_tokens({"bos_token": "<bos>"})
    own.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=f"<bos> $A {own.eos_token}",
        special_tokens=[("<bos>", own.bos_token_id), (own.eos_token, own.eos_token_id)],
    )
    plain = own.encode("x", add_special_tokens=False)
    assert HuggingFace(own).encode_prompt("x") == plain
    alone = HuggingFace(own, for_decoder=True)
    assert alone.encode_prompt("x") == [own.bos_token_id, *plain]
    assert pickle.loads(pickle.dumps(alone)).encode_prompt("x") == [own.bos_token_id, *plain]


def test_a_reference_that_the_tokenizer_cannot_spell_is_refused() -> None:
    own = tokenizer()
    own.backend_tokenizer.normalizer = normalizers.Replace(Regex(r"\s+"), " ")
    problem = datasets.load("procedural", size=1)[0]
    env = UnitTestEnv([problem], tokenizer=HuggingFace(own))
    with pytest.raises(UsageError, match="spells references as they are"):
        reference(env, problem, 0)


def test_a_saved_policy_keeps_all_ends_that_its_makers_declared(tmp_path: Path) -> None:
    policy = tiny.load(width=16, layers=1, heads=2, vocab_size=300, dataset_options={"size": 8})
    policy.model.generation_config.eos_token_id = [policy.eos_id, 299]
    policy.save(tmp_path)
    saved = json.loads((tmp_path / "generation_config.json").read_text(encoding="utf-8"))
    assert saved["eos_token_id"] == [policy.eos_id, 299]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_weights_that_are_not_finite_are_named(temperature: float) -> None:
    policy = tiny.load(width=16, layers=1, heads=2, vocab_size=300, dataset_options={"size": 8})
    with torch.no_grad():
        policy.model.model.norm.weight[0] = torch.nan
    ask = {"repeats": 1, "max_tokens": 4, "generator": rngs(0, policy.device)[1]}
    with pytest.raises(UsageError, match="NaN"):
        Sampling(temperature=temperature)(policy, [np.array([5])], [np.zeros(0, np.int64)], **ask)
