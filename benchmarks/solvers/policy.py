"""Answers of a policy of ours: a run folder of agents.train, a hub id or local transformers folder, an installed package.

A run's recipe tells how its policy was asked (prompt style, chat opening, end token), and it is asked the same way. Otherwise
a model with a chat template gets one message and begins its answer with a code fence, and one without continues the prompt;
`--option format=` decides. In a chat, code that a problem gives for free stands in the message, and the answer may say it again
(`whole_program`); a prompt that is continued ends with it, less the white space that belongs to the next token
(`tokenizers.fitting_prefix`).
Tokens are drawn by a decoder of `agents.decoding`, so records know what every token earned.
"""

from __future__ import annotations

import hashlib
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from agents.building import make_policy, quiet_libraries, tokenizer_of
from agents.config import finished, read, trained_with
from agents.core import Completion, ExampleAwareDecoder, Policy, rngs
from agents.decoding._stopping import ends_of
from agents.decoding.examples import bind_examples
from agents.decoding.sampling import Sampling
from agents.policies import causal
from benchmarks.core import Answer
from benchmarks.solvers import before_stop, whole_program
from benchmarks.suites import Suite
from rltf_env import answers, plugins, prompts, tokenizers
from rltf_env.core import IntArray, Problem, Program, Sandbox, Verdict
from rltf_env.errors import UnknownName, UsageError

FENCE = "```"
FORMATS = ("chat", "completion")


class PolicySolver:
    """See the module's head. `batch` problems are written at a time, always the same ones: results do not depend on kills.

    `anew`: the code that a problem gives for free is not where the answer begins.
    """

    side_by_side = 1

    def __init__(
        self,
        name: str,
        policy: Policy[Any],
        suite: Suite,
        style: Any,
        decoder: Any,
        batch: int,
        description: dict[str, Any],
        anew: bool = False,
    ) -> None:
        self.name, self.policy, self.suite, self.style, self.decoder = name, policy, suite, style, decoder
        self.batch, self.description, self.anew = batch, description, anew
        self.judge: Sandbox | None = None  # for decoders that look at public examples
        self.tokenizer = tokenizer_of(policy)
        self.ends = ends_of(policy)

    def describe(self) -> dict[str, Any]:
        """What a record says of the solver."""
        device = self.policy.device
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
        return {"kind": "policy", **self.description, "weights": weights(self.policy), "device": name}

    def attach(self, judge: Sandbox, problems: Sequence[Problem]) -> list[str]:
        """See `benchmarks.core.UsesSandbox`. What was chosen, by examples or otherwise, is not ranked beside what was drawn."""
        self.judge = judge
        self._stop_as_customary(problems)
        if not isinstance(self.decoder, ExampleAwareDecoder):
            programs = getattr(self.decoder, "n", 1)  # of a decoder that writes several for one
            if programs == 1:
                return []
            return [f"decoder {self.description['decoder']}, which chooses one of {programs} programs"]
        if not any(problem.examples for problem in problems):
            raise UsageError(
                f"Expected problems with public examples for a decoder that looks at them, got none among {len(problems)}. "
                "Choose another suite, or --decoder sampling."
            )
        return [f"decoder {self.description['decoder']}, which tries public examples"]

    def write(self, problems: Sequence[Problem], samples: int, seed: int) -> list[list[Answer]]:
        """Programs for problems, in order."""
        began = time.perf_counter()
        self._stop_as_customary(problems)
        prompts = [self._prompt(problem) for problem in problems]
        prefixes = [self._encode("" if self.anew else self._opening(problem)) for problem in problems]
        limit = max(map(len, prefixes)) + self.suite.max_tokens
        self._check_length(problems, prompts, limit)
        # A batch has a generator of its own, so that it comes out the same whatever was written before it.
        _, generator = rngs(zlib.crc32(f"{seed}/{problems[0].id}".encode()), self.policy.device)
        decode = bind_examples(self.decoder, problems, self._prompt, self._program, self._verdicts)
        groups = decode(self.policy, prompts, prefixes, repeats=samples, max_tokens=limit, generator=generator)
        seconds = (time.perf_counter() - began) / (len(problems) * samples)
        return [
            [self._answer(problem, completion, seconds) for completion in group]
            for problem, group in zip(problems, groups, strict=True)
        ]

    def _stop_as_customary(self, problems: Sequence[Problem]) -> None:
        """A model that continues code stops where base models customarily are stopped; once told, it stays so."""
        continues = self.description.get("format") == "completion" and "run" not in self.description
        if not continues or "stop" in self.description or not isinstance(self.decoder, Sampling):
            return
        stop = self.decoder.stop or prompts.stops(problems)
        self.decoder, self.description = replace(self.decoder, stop=stop), self.description | {"stop": list(stop)}

    def _prompt(self, problem: Problem) -> IntArray:
        return np.asarray(tokenizers.encode_prompt(self.tokenizer, prompts.render(problem, self.style)), np.int64)

    def _opening(self, problem: Problem) -> str:
        return tokenizers.fitting_prefix(self.tokenizer, problem.prefix)

    def _program(self, problem: Problem, completion: Completion) -> Program:
        return self._answer(problem, completion, 0.0).program()

    def _verdicts(self, pairs: Iterable[tuple[Problem, Program]]) -> Iterator[Verdict]:
        if self.judge is None:
            raise UsageError("Expected a judge for the public examples, got none. Call `attach` before `write`.")
        return self.judge.map((program.text, problem) for problem, program in pairs)

    def _encode(self, text: str) -> IntArray:
        return np.asarray(self.tokenizer.encode(text) if text else [], np.int64)

    def _check_length(self, problems: Sequence[Problem], prompts: Sequence[IntArray], limit: int) -> None:
        has_room = getattr(self.policy, "has_room", lambda prompt, program: True)
        for problem, prompt in zip(problems, prompts, strict=True):
            if not has_room(len(prompt), limit):
                most = getattr(self.policy, "positions", None)
                raise UsageError(
                    f"Expected prompt and program of at most {most} tokens, the model's context, got {len(prompt)} and "
                    f"{limit} for {problem.id!r}. Pass a smaller --max-tokens."
                )

    def _answer(self, problem: Problem, completion: Completion, seconds: float) -> Answer:
        tokens, prefix_length = completion.tokens, completion.given
        generated = tokens[prefix_length : prefix_length + self.suite.max_tokens]
        ends = np.flatnonzero(np.isin(generated, self.ends))
        generated = generated[: ends[0]] if ends.size else generated
        program = self.tokenizer.program(
            np.concatenate([tokens[:prefix_length], generated]), prefix_length=prefix_length
        )
        keep = min(
            self._stopped(problem, program.text), len(program.text) if completion.kept is None else completion.kept
        )
        size = int((program.starts < keep).sum())
        if size < len(program):  # the text of the last kept token may reach beyond the stop: cut by characters
            program = self.tokenizer.program(program.tokens[:size], prefix_length=min(prefix_length, size))
        answer = Answer.of(program, seconds=seconds)
        text, lengths = answer.text[:keep], _shortened(answer.lengths or (), keep)
        truncated = not ends.size and keep == len(answer.text) and len(generated) == self.suite.max_tokens
        origin = ""
        if self.anew:
            choice = answers.choose(text, problem.entry_point, opened=FENCE in self.description.get("opening", ""))
            origin, lengths = choice.description, _within(lengths, text, choice)
            text = choice.program
        whole = whole_program(problem.prefix, text, problem.entry_point) if self.anew else text
        before = len(whole) - len(text)  # code that was not chosen counts as one token
        if before and lengths is not None:
            lengths, prefix_length = (before, *lengths), 1
        else:
            prefix_length = answer.given
        return Answer(whole, lengths, prefix_length, len(generated), truncated, seconds, origin)

    def _stopped(self, problem: Problem, text: str) -> int:
        """How many characters of a program count: up to the first stop text after the code that was given."""
        if self.anew or not problem.prefix:
            return len(text)
        start = len(self._opening(problem))
        return start + len(before_stop(text[start:], self.suite.stop))


def _within(lengths: Sequence[int], text: str, choice: answers.Choice) -> tuple[int, ...] | None:
    """What each token adds to the program that was chosen of `text`; None if its indentation was taken away."""
    start, stop = choice.offset, choice.offset + len(choice.program)
    if text[start:stop] != choice.program:
        return None
    ends = np.cumsum([0, *lengths]).clip(start, stop)
    return tuple(int(length) for length in np.diff(ends))


def _shortened(lengths: Sequence[int], keep: int) -> tuple[int, ...]:
    """Lengths that sum to at most `keep`: the last one gives."""
    left, out = keep, []
    for length in lengths:
        out.append(min(length, left))
        left -= out[-1]
    return tuple(out)


def weights(policy: Policy[Any]) -> str:
    """SHA-256 over the parameters' names, types and bytes: says which model it really was."""
    total = hashlib.sha256()
    for name, value in sorted(policy.model.state_dict().items()):
        flat = value.detach().cpu().contiguous().reshape(-1)
        total.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        total.update(flat.view(torch.uint8).numpy().data)
    return total.hexdigest()


def _shareable(options: dict[str, Any]) -> dict[str, Any]:
    """Options as a record may tell them: of a folder (a critic's, say) its name and the SHA-256 of what is in it."""
    folders = {key: Path(value) for key, value in options.items() if isinstance(value, str) and Path(value).is_dir()}
    return options | {key: f"{folder.resolve().name} {_contents(folder)}" for key, folder in folders.items()}


def _contents(folder: Path) -> str:
    total = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        total.update(f"{path.relative_to(folder).as_posix()} {path.stat().st_size}\n".encode())
        with path.open("rb") as file:
            total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()


# ------------------------------------------------------------------------------------------------------------ loading


def load(
    spec: str,
    suite: Suite,
    *,
    decoder: str = "sampling",
    decoder_options: dict[str, Any] | None = None,
    format: str = "",
    opening: str = FENCE + "python\n",
    eos: str = FENCE,
    dtype: str = "float32",
    device: str = "auto",
    rows: int = 64,
) -> PolicySolver:
    """The solver of a run folder, a hub id, a local transformers folder or `package:NAME`.

    Args:
        decoder: a file of agents.decoding or "module:attr"; takes the suite's temperature, top_p and top_k.
        decoder_options: its other options.
        format: "chat" or "completion"; by default, chat where the tokenizer has a template. A run folder has its own.
        opening: what the answer in a chat is made to begin with; the program starts behind it.
        eos: in a chat, the text of the token that ends the program; "" for the model's own end alone.
        dtype, device: of the weights.
        rows: programs that are written at a time.
    """
    quiet_libraries()
    options = {"dtype": dtype, "device": device}
    if (Path(spec) / "recipe.toml").is_file():
        name, policy, style, description = _run(Path(spec), device)
    else:
        name, policy, style, description = _model(spec, format, opening, eos, options)
    anew = description["format"] == "chat" and "run" not in description
    options = {"temperature": suite.temperature, "top_p": suite.top_p, "top_k": suite.top_k, **(decoder_options or {})}
    if decoder == "sampling":
        options.setdefault("rows", rows)
        if not anew:
            # What stands behind it is cut off anyway.
            options.setdefault("stop", (*suite.stop, *description.get("stop", ())))
    try:
        decode = plugins.find("decoding", decoder, package="agents")(**options)
    except TypeError as error:
        raise UsageError(f"Decoder {decoder!r}: {error}") from error
    description |= {"decoder": decoder} if decoder != "sampling" else {}
    description |= {"decoder_options": _shareable(decoder_options)} if decoder_options else {}
    return PolicySolver(name, policy, suite, style, decode, max(1, rows // suite.samples), description, anew)


Opened = tuple[str, Policy[Any], Any, dict[str, Any]]


def _run(folder: Path, device: str) -> Opened:
    """The policy that a run of agents.train has saved, asked as its recipe asked it."""
    recipe = finished(folder, device)
    policy = make_policy(recipe)
    style, opening = recipe.env.get("prompt_style"), recipe.env.get("chat_opening", "")
    description = {
        "run": recipe.run.name,
        "recipe": read(folder / "recipe.toml").digest,
        "format": style or "default",
        "opening": opening,
    }
    stop = trained_with(recipe).stop
    description |= {"stop": list(stop)} if stop else {}
    if style == "chat":
        style = partial(prompts.chat, apply_chat_template=policy.tokenizer.apply_chat_template, opening=opening)
    return folder.resolve().name, policy, style, description


def _model(spec: str, format: str, opening: str, eos: str, options: dict[str, Any]) -> Opened:
    """A model by hub id, folder or package."""
    if format and format not in FORMATS:
        raise UnknownName("format", format, FORMATS)
    package = spec.removeprefix("package:") if spec.startswith("package:") else ""
    where = {"package": package} if package else {"path": spec}
    name = package or (Path(spec).resolve().name if Path(spec).is_dir() else spec)
    policy = causal.load(**where, **options)
    chat = format == "chat" or (not format and bool(getattr(policy.tokenizer, "chat_template", None)))
    description = {"model": name, "format": "chat" if chat else "completion", "dtype": options["dtype"]}
    if not chat:
        return name, policy, None, description
    description |= {"opening": opening, "eos": eos}
    if eos:
        ids = policy.tokenizer.encode(eos, add_special_tokens=False)
        if len(ids) != 1:
            raise UsageError(
                f"Expected eos to be one token of {name}, got {eos!r}, which is {len(ids)}. Pass --option eos= for its own end."
            )
        policy.eos_id = ids[0]
        policy.tokenizer.eos_token = eos
    style = partial(prompts.chat, apply_chat_template=policy.tokenizer.apply_chat_template, opening=opening)
    return name, policy, style, description
