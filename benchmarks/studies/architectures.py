"""`python -m benchmarks.studies.architectures [--kinds NAME ...]`: which of transformers' architectures hold as policies.

Every model type that `AutoModelForCausalLM` or `AutoModelForSeq2SeqLM` knows is made small with random weights, and passes the
door that every policy passes (`agents.policies._door`). Then it writes four programs for each of three prompts of unlike
length, some of which leave early, and reads them in one batch: the largest difference between the log-probabilities of the
two is in the record. What is refused is there with the sentence that refuses it.

A type whose config asks for what is not here (a tokenizer, another library, more than text) is not tried, and the record says why.
"""

from __future__ import annotations

import contextlib
import copy
import json
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from agents.batching import batch
from agents.core import Policy, TrainingSample, rngs
from agents.decoding.sampling import Sampling
from agents.functional import token_logprobs
from agents.policies._door import entered
from agents.policies.causal import CausalPolicy
from agents.policies.seq2seq import Seq2SeqPolicy
from agents.policies.tiny import dataset_tokenizer, drawn
from benchmarks.records.record import commit
from benchmarks.studies._small import small
from rltf_env.command import Parser, guarded, leave
from rltf_env.errors import UnknownName, UsageError

COMMAND = "python -m benchmarks.studies.architectures"
OUT = Path(__file__).resolve().parents[1] / "results" / "architectures.json"
PROMPTS = (2, 5, 12)  # tokens
REPEATS = 4
MOST = 24  # tokens of a program
TOO_LARGE = 20_000_000  # parameters
LARGER = 3.0  # times as large as they are drawn: at random, tokens hardly look at each other


def kinds(family: str) -> list[str]:
    """The model types that a family's class of transformers knows: "causal" or "seq2seq"."""
    from transformers.models.auto import modeling_auto as known

    names = {"causal": "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES", "seq2seq": "MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES"}
    return sorted(getattr(known, names[family]))


def made(family: str, kind: str, tokenizer: Any) -> Any:
    """A small random model of a type."""
    import transformers

    auto = {"causal": transformers.AutoModelForCausalLM, "seq2seq": transformers.AutoModelForSeq2SeqLM}[family]
    config = small(kind, tokenizer, decoder=family == "causal")
    with torch.device("meta"):
        size = auto.from_config(copy.deepcopy(config)).num_parameters()
    if size > TOO_LARGE:
        raise UsageError(f"Expected a small config, got one of {size / 1e6:.0f} million parameters.")
    model = drawn(auto.from_config, config, 0).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1 and "A_log" not in name and "positions" not in name:  # those of Marian are not saved
                parameter.mul_(LARGER)
    return model


def tried(family: str, kind: str, tokenizer: Any) -> dict[str, Any]:
    """One row: what became of a type."""
    row = {"family": family, "kind": kind}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = made(family, kind, tokenizer)
    except Exception as error:  # of any kind: it is other people's code, and the record keeps what it said
        return row | {"result": "not tried", "why": f"{type(error).__name__}: {_line(error)}"}
    row |= {"class": type(model).__name__}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            policy = entered((CausalPolicy if family == "causal" else Seq2SeqPolicy)(model, tokenizer))
            return row | {"result": "holds", "way": way_of(policy), "gap": gap(policy)}
        except UsageError as error:
            return row | {"result": "refused", "why": _line(error)}


def way_of(policy: Any) -> str:
    """How its rows are read, in words."""
    packed = isinstance(policy, CausalPolicy) and policy.supports_packing
    return "no padding at all" if packed and not policy.way.even else policy.way.name


def gap(policy: Policy[Any]) -> float:
    """The largest difference, in nats, between the log-probability of a token when it was drawn and when it is read again."""
    rng = np.random.default_rng(0)
    prompts = [rng.integers(1, len(policy.tokenizer), n) for n in PROMPTS]
    nothing = [np.zeros(0, np.int64)] * len(prompts)
    generator = rngs(0, policy.device)[1]
    groups = Sampling()(policy, prompts, nothing, repeats=REPEATS, max_tokens=MOST, generator=generator)
    pairs = [(p, c) for p, group in zip(prompts, groups, strict=True) for c in group]
    samples = [TrainingSample(p, c.tokens, c.logprobs < 1, np.zeros_like(c.logprobs), c.logprobs) for p, c in pairs]
    data = batch(samples, policy.pad_id)
    with torch.no_grad():
        again = token_logprobs(policy.logits(data), data.tokens)
    return float(((again - data.old_logprobs).abs() * data.token_mask).max())


def study(chosen: Sequence[str] = (), told: Callable[[Mapping[str, Any]], None] = lambda row: None) -> dict[str, Any]:
    """The record: a row for each type of both families, or for the chosen types; `told` is told of each."""
    import transformers

    tokenizer = dataset_tokenizer(300, "procedural", {"size": 64})
    jobs = [(family, kind) for family in ("causal", "seq2seq") for kind in kinds(family)]
    known = {kind for _, kind in jobs}
    for kind in chosen:
        if kind not in known:
            raise UnknownName("model type", kind, tuple(sorted(known)))
    rows, began = [], commit()
    with quiet():
        for family, kind in jobs:
            if not chosen or kind in chosen:
                rows.append(tried(family, kind, tokenizer))
                told(rows[-1])
    versions = {"transformers": transformers.__version__, "torch": torch.__version__}
    today = datetime.now(UTC).date().isoformat()
    return {"command": COMMAND, "date": today, "commit": began, "versions": versions, "rows": rows}


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without transformers' remarks on configs that are too small to be anybody's."""
    from transformers.utils import logging

    level = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)


def counts(record: Mapping[str, Any]) -> dict[str, int]:
    """How many types hold, were refused, and were not tried."""
    results = [row["result"] for row in record["rows"]]
    return {result: results.count(result) for result in ("holds", "refused", "not tried")}


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def _line_of(row: Mapping[str, Any]) -> str:
    detail = f"{row['way']} ({row['gap']:.1e} nats)" if row["result"] == "holds" else row["why"]
    return f"{row['family']:8} {row['kind']:28} {row['result']:10} {detail}"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    return guarded(lambda: _main(arguments))


def _main(arguments: Sequence[str] | None) -> int:
    parser = Parser(prog="python -m benchmarks.studies.architectures", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--kinds", nargs="*", default=(), metavar="NAME", help="model types; by default all")
    parser.add_argument(
        "--out", type=Path, help="where the record goes; by default, with all types, benchmarks/results"
    )
    options = parser.parse_args(arguments)
    console = Console(soft_wrap=True)
    record = study(options.kinds, lambda row: console.print(_line_of(row), markup=False, highlight=False))
    console.print(counts(record), highlight=False)
    out = options.out or (None if options.kinds else OUT)
    if out:
        out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    leave(main())
