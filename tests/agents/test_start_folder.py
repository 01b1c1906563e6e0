"""`python -m agents.start_folder`: what vLLM servers are started with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from agents import start_folder

RECIPE = """
[run]
updates = 1
out = "runs/never"

[policy]
kind = "tiny"
width = 16
layers = 1
heads = 2
vocab_size = 280
dataset_options = {{ size = 4 }}

[env]
dataset = "procedural"

[agent]
kind = "grpo"
sampling = {{ engine = "{engine}", engine_options = {options} }}
"""


def run(folder: Path, engine: str, options: str) -> int:
    recipe = folder / "recipe.toml"
    recipe.write_text(RECIPE.format(engine=engine, options=options))
    return start_folder.main([str(recipe)])


def test_it_writes_a_model_that_shares_no_weights_and_prints_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = f'{{ url = "http://127.0.0.1:8000", folder = "{tmp_path}", sleep = 1 }}'
    assert run(tmp_path, "vllm_server", options) == 0
    start = tmp_path / "start"
    command = capsys.readouterr().out.strip()
    assert command.startswith(f"VLLM_SERVER_DEV_MODE=1 vllm serve {start} ")
    assert command.endswith(" --logprobs-mode processed_logprobs --enable-sleep-mode")
    assert json.loads((start / "config.json").read_text())["tie_word_embeddings"] is False
    assert not (start / "generation_config.json").exists(), "defaults of sampling would come from there"
    weights = load_file(start / "model.safetensors")
    assert weights["lm_head.weight"].equal(weights["model.embed_tokens.weight"])
    loaded = AutoModelForCausalLM.from_pretrained(start)
    assert loaded.lm_head.weight.equal(weights["lm_head.weight"])
    assert (start / "tokenizer.json").exists()


def test_a_recipe_that_no_server_writes_for_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, "own", "{}") == 2
    assert "engine = 'vllm_server', got 'own'" in capsys.readouterr().err
