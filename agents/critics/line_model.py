"""A line reward model (arXiv 2410.17621): reads a problem and a program, and scores each line.

    R_m    the score of lines 1..m: a linear head on the state that has read the last token of line m
    loss   mean of (R_m - label_m)^2 over labelled lines

A label is 1 where the policy could still finish the lines so far, -1 where it could not, and 0 on
a line without code (`agents/line_labels.py`). The model reads text with a tokenizer of its own, so
policies of any vocabulary can be scored. Its folder is a transformers folder with a head beside
it, and `agent.value.path` takes it: values then begin as what this model knows.

    model = LineModel(policy, Wording(style="statement"))
    model.learn([model.example(problem, text, labels)])     # one step; labels (M,), NaN: not learnt
    model.lines(problem, text)                             # (M,), in [-1, 1]; NaN: not scored
    model.save(folder); LineModel.load(folder)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from agents import functional
from agents.core import Batch, Policy, TrainingSample
from agents.critics import _saved
from agents.critics.outcome import states_after
from agents.critics.values import HEAD
from agents.learning.learner import Learner, OptimiserConfig
from agents.learning.reference import read_each
from agents.options import build
from agents.policies import value_head
from agents.policies._tokenizer import tokenizer_of
from rltf_env import prompts
from rltf_env.core import FloatArray, IntArray, Problem, line_starts
from rltf_env.errors import UsageError

DESCRIPTION = "line_model.json"
NOTHING = np.zeros(0, np.float32)


def line_ends(text: str) -> list[int]:
    """The character offset behind each line of `text`, its line end included.

    The empty line behind a last line end is none; an empty text has no lines.
    """
    starts = line_starts(text)
    ends = [*starts[1:], len(text)]
    return ends if ends[-1] > starts[-1] else ends[:-1]


def last_tokens(starts: IntArray, ends: Sequence[int]) -> IntArray:
    """int64 (M,): the last token that helps to spell each line; -1: none does.

    Args:
        starts: (T,), non-decreasing; the offset of each token's first character.
        ends: (M,), what `line_ends` gives.
    """
    return np.searchsorted(starts, np.asarray(ends, np.int64), "left").astype(np.int64) - 1


@dataclass(frozen=True)
class Wording:
    """How a model is asked: as the environment whose programs it learnt from words its problems.

    Args:
        style: `prompt_style` of the environment, "" for each problem's own.
        chat_opening: with style "chat", what an answer is made to begin with.
        max_tokens, on_long: `max_prompt_tokens` and `on_long_prompt` of the environment.
    """

    style: str = ""
    chat_opening: str = ""
    max_tokens: int = 512
    on_long: str = "error"

    @classmethod
    def of(cls, env: Mapping[str, Any]) -> Wording:
        """That of a recipe's [env]. Raises UsageError where its style has no name."""
        style = env.get("prompt_style") or ""
        if not isinstance(style, str):
            raise UsageError(f"Expected a prompt style with a name, got {style!r}. Name one of prompts.STYLES.")
        keys = {"max_tokens": "max_prompt_tokens", "on_long": "on_long_prompt"}
        return cls(style, env.get("chat_opening", ""), **{ours: env[key] for ours, key in keys.items() if key in env})


class LineModel:
    """See the head of this file.

    Args:
        policy: the transformer that reads; it learns with the head.
        wording: of the problems.
        optimiser: of `learn`.
    """

    def __init__(
        self,
        policy: Policy[Any],
        wording: Wording | None = None,
        *,
        optimiser: OptimiserConfig | None = None,
    ) -> None:
        self.policy, self.wording = policy, wording or Wording()
        self.head = value_head.on(policy)
        self.tokenizer = tokenizer_of(policy)
        self.optimiser = optimiser or OptimiserConfig(lr=2e-5)

    @cached_property
    def learner(self) -> Learner:
        """The optimiser: made when it is needed, for most models of lines are only read."""
        return Learner(self.policy, self.optimiser, {"model": self.policy.model, "head": self.head})

    # -------------------------------------------------------------------------------- learning

    def example(self, problem: Problem, text: str, labels: Sequence[float]) -> TrainingSample | None:
        """A program as something to learn from; None where no labelled line can be read.

        Args:
            labels: (M,), one for each line of `text`; NaN: nothing is learnt from this line.
        """
        sample, ends = self.reading(problem, text)
        if len(labels) != len(ends):
            raise UsageError(f"Expected a label for each of {len(ends)} lines, got {len(labels)}.")
        labelled = (ends >= 0) & ~np.isnan(np.asarray(labels, np.float32))
        if not labelled.any():
            return None
        label, mask = np.zeros(len(sample.tokens), np.float32), np.zeros(len(sample.tokens), bool)
        label[ends[labelled]], mask[ends[labelled]] = np.asarray(labels, np.float32)[labelled], True
        return replace(sample, loss_mask=mask, extra={"label": label})

    def learn(self, samples: Sequence[TrainingSample]) -> dict[str, float]:
        """One step towards the labels of what `example` gives; the mean squared error before it."""
        metrics = self.learner.step(samples, "token_mean", self._loss, self._states)
        return {"line_loss": metrics["loss"], "grad_norm": metrics["grad_norm"]}

    def _loss(self, data: Batch, states: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        error = (self.head.values(states) - data.extra["label"]) ** 2
        return functional.masked_mean(error, data.loss_mask), {}

    def _states(self, data: Batch) -> Tensor:
        return states_after(self.policy, data)

    # --------------------------------------------------------------------------------- reading

    def reading(self, problem: Problem, text: str) -> tuple[TrainingSample, IntArray]:
        """A program in the model's own tokens, and int64 (M,) at which of them each line ends.

        -1 stands for a line that cannot be scored: one beyond the model's context, one whose end
        lies in the same token as the end of the line before, and every line of a text that the
        tokenizer does not spell in as many lines.
        """
        prompt = self._prompt(problem)
        tokens = np.asarray(self.tokenizer.encode(text), np.int64)
        spelled, starts, _ = self.tokenizer.offsets(tokens)
        ends = last_tokens(starts, line_ends(spelled))
        count = len(line_ends(text))
        return self.fitted(prompt, tokens, ends if len(ends) == count else np.full(count, -1))

    def fitted(self, prompt: IntArray, tokens: IntArray, ends: IntArray) -> tuple[TrainingSample, IntArray]:
        """`reading` of known tokens; `ends` (M,) are the tokens that end its lines."""
        size = self._room(len(prompt), len(tokens))
        nothing = np.zeros(size, np.float32)
        sample = TrainingSample(prompt, tokens[:size], np.zeros(size, bool), nothing, nothing)
        ends = own_tokens(ends)
        return sample, np.where(ends < size, ends, -1)

    def scores(self, samples: Sequence[TrainingSample]) -> list[FloatArray]:
        """float32 (T,) for each program: the score of what was read up to each token, in [-1, 1].

        The labels are from there, so what the head says beyond is cut off.
        """
        return read_each(self.policy, samples, self.optimiser.limit, self._scores)

    def lines(self, problem: Problem, text: str) -> FloatArray:
        """float32 (M,): the score of each line of a program in [-1, 1]; NaN where it has none."""
        sample, ends = self.reading(problem, text)
        return at(self.scores([sample])[0], ends) if (ends >= 0).any() else at(NOTHING, ends)

    def _scores(self, data: Batch) -> Tensor:
        return self.head.values(self._states(data)).clamp(-1.0, 1.0)

    def _prompt(self, problem: Problem) -> IntArray:
        wording, style = self.wording, self.wording.style or None
        if style == "chat":
            template = self.policy.tokenizer.apply_chat_template
            style = partial(prompts.chat, apply_chat_template=template, opening=wording.chat_opening)
        tokens = prompts.fit(problem, self.tokenizer, wording.max_tokens, style, on_long=wording.on_long)
        return np.asarray(tokens, np.int64)

    def _room(self, prompt: int, program: int) -> int:
        """How many of a program's tokens the model has positions for."""
        has_room = getattr(self.policy, "has_room", lambda prompt, program: True)
        size = program
        while size and not has_room(prompt, size + 1):  # one more is read behind them
            size -= 1
        return size

    # ----------------------------------------------------------------------------------- state

    def state_dict(self) -> dict[str, Any]:
        """Transformer, head and optimiser."""
        return self.learner.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores what `state_dict` gave."""
        self.learner.load_state_dict(state)

    def save(self, folder: Path) -> None:
        """Writes a transformers folder with a head beside it."""
        description = {"wording": asdict(self.wording)}
        _saved.save(folder, self.policy, (HEAD, self.head), (DESCRIPTION, description))

    @classmethod
    def load(cls, folder: str | Path, *, optimiser: OptimiserConfig | None = None, **options: Any) -> LineModel:
        """What `save` wrote; `options` (dtype, device, ...) are those of its kind of policy.

        Raises:
            MissingData: there is no line model in `folder`.
        """
        remedy = "Make one with `python -m agents.train_line_model RUN`."
        policy, head, description = _saved.load(folder, HEAD, DESCRIPTION, "LineModel", remedy, options)
        model = cls(policy, build(Wording, description["wording"], DESCRIPTION), optimiser=optimiser)
        model.head.load_state_dict(head)
        return model


def own_tokens(ends: IntArray) -> IntArray:
    """int64 (M,): `ends`, with -1 for a line that ends in the same token as the line before.

    A token may spell several line ends, and has read all of them: its score is the first line's,
    else blank lines would be paid as the line above them.
    """
    again = np.append(False, ends[1:] == ends[:-1]) if len(ends) else np.zeros(0, bool)
    return np.where(again, -1, ends)


def at(scores: FloatArray, ends: IntArray) -> FloatArray:
    """float32 (M,): the score (T,) at the end of each line; NaN where that is -1."""
    lines = np.full(len(ends), np.nan, np.float32)
    lines[ends >= 0] = scores[ends[ends >= 0]]
    return lines
