"""What our feedback means on the ids that a trainer sampled. Nothing is encoded again.

    completion = read(ids, tokenizer, problem)             the answer, the program in it, which id spells what
    judgement = env.judge(problem, completion.program)     judged as text, in the trainer's own tokens
    completion.credit(judgement.feedback).rewards          float32 (T,): one number for each of the T ids

The ids decode to an answer; `rltf_env.answers` takes the program out of it and says at which
character it begins; offsets say which ids spell which character. So a line that is to blame is
charged to the ids that spell it. Reasoning, prose and fences earn nothing of that. The share of
the program as a whole stands on the last id, where an outcome reward belongs in an episode.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rltf_env import answers, tokenizers
from rltf_env.answers import Choice
from rltf_env.core import BoolArray, Feedback, FloatArray, IntArray, Problem, Program, Tokenizer
from rltf_env.errors import UsageError

Ids = Sequence[int] | IntArray
Choose = Callable[[str, str | None], Choice]


@dataclass(frozen=True, eq=False)
class Completion:
    """What a trainer's ids say.

    Args:
        text: the whole answer, special tokens left out.
        choice: which part of it the program is, and where that begins.
        program: what is to be judged. Its tokens are the ids that spell it, and the end token where
            nothing stands between; the code that the problem gives for free is one given token, 0.
        first: the place of its first sampled id.
        size: T, the number of ids.
    """

    text: str
    choice: Choice
    program: Program
    first: int
    size: int

    @property
    def offset(self) -> int:
        """The character of `text` at which the program begins."""
        return self.choice.offset

    def credit(self, feedback: Feedback, judged: Program | None = None) -> Feedback:
        """The feedback on all T ids: `total`, `program_reward` and `parts` are those of `feedback`.

        What single tokens weigh in a loss (`Feedback.token_rewards`) goes with them. `loss_mask` leaves
        out what it left out of the program, and nothing else: all ids were sampled.
        Without any id there is nothing to lay the rewards on.

        Args:
            feedback: on `program`.
            judged: the program that the feedback is about, if that has the same text in other tokens.
        """
        if judged is not None:
            feedback = _respelled(feedback, judged, self.program)
        if len(feedback.rewards) != len(self.program):
            raise UsageError(
                f"Expected feedback on the {len(self.program)} tokens of the completion's program, got "
                f"it on {len(feedback.rewards)}. Pass the program that was judged, judged=."
            )
        prefix_length = self.program.prefix_length
        rewards, mask = self._placed(_alone(feedback)), np.ones(self.size, bool)
        if self.size:
            mask[self.first : self.first + len(self.program) - prefix_length] = feedback.loss_mask[prefix_length:]
            rewards[-1] += np.float32(feedback.program_reward)
        weights = None if feedback.credit is None else self._placed(feedback.credit)
        return Feedback(rewards, mask, feedback.parts, feedback.program_reward, weights)

    def _placed(self, numbers: FloatArray) -> FloatArray:
        """float32 (T,): numbers of the program's tokens where its ids are. What is given has none, or its nearest id has it."""
        placed, prefix_length = np.zeros(self.size, np.float32), self.program.prefix_length
        if self.size:
            placed[self.first : self.first + len(numbers) - prefix_length] = numbers[prefix_length:]
            placed[self.first] += numbers[:prefix_length].sum()
        return placed


def read(
    token_ids: Ids,
    tokenizer: Any,
    problem: Problem,
    *,
    choose: Choose | None = answers.choose,
    truncated: bool = False,
) -> Completion:
    """The completion that sampled ids are; of any ids whatever, without an error.

    Args:
        token_ids: (T,), without those of the prompt. End tokens and padding spell nothing.
        tokenizer: a transformers tokenizer, or what `tokenizers.load` takes.
        problem: gives the name to define, and the code that is given for free.
        choose: takes the program out of the answer; None: all of it is the program. A prompt that
            has opened a fence wants `partial(answers.choose, opened=True)`.
        truncated: cut off at the length limit.
    """
    ids = _checked(token_ids)
    text, starts, speaks = _text_of(tokenizers.load(tokenizer), ids)
    choice = choose(text, problem.entry_point) if choose else Choice(text, 0, "all of it")
    judged = answers.joined(problem.prefix, choice.program, problem.entry_point)
    return _completion(ids, text, starts, speaks, choice, judged, truncated)


def credit(
    feedback: Feedback, token_ids: Ids, tokenizer: Any, offset: int = 0, *, program: Program | None = None
) -> Feedback:
    """The feedback on all of the ids, of which those from character `offset` on spell the program.

    `read` is the whole way; this is for who has found the program by himself, as it stands.

    Args:
        feedback: on the program.
        token_ids: (T,), as they were sampled.
        tokenizer: a transformers tokenizer, or what `tokenizers.load` takes.
        offset: the character of the decoded ids at which the program begins.
        program: what the feedback is about, in whatever tokens. None: in the ids themselves, from
            the first that helps to spell that character on.

    Raises:
        UsageError: the ids do not spell such a program there.
    """
    ids = _checked(token_ids)
    text, starts, speaks = _text_of(tokenizers.load(tokenizer), ids)
    if program is None:
        first = int(np.argmax(speaks & (_ends(text, starts, speaks) > offset))) if speaks.any() else 0
        own = Program(ids[first : first + len(feedback.rewards)], "", np.zeros(len(feedback.rewards), np.int64))
        return Completion(text, Choice("", offset, "given"), own, first, len(ids)).credit(feedback)
    begin = int(program.starts[program.prefix_length]) if program.prefix_length < len(program) else len(program.text)
    said = program.text[begin:]
    if not text.startswith(said, offset):
        raise UsageError(
            f"Expected the ids to spell the program from character {offset} on, got "
            f"{text[offset : offset + 40]!r} where it says {said[:40]!r}. Let adapters.read find it."
        )
    choice = Choice(said, offset, "given")
    return _completion(ids, text, starts, speaks, choice, program.text, program.truncated).credit(feedback, program)


# ------------------------------------------------------------------------------------ ids and characters


def _checked(token_ids: Ids) -> IntArray:
    """int64 (T,). Raises UsageError unless they are integers, one after the other."""
    try:
        ids = np.asarray(token_ids)
    except ValueError:  # rows of several lengths
        ids = np.asarray(None)
    if ids.ndim != 1 or (ids.size and ids.dtype.kind not in "iu"):
        raise UsageError(
            f"Expected token ids as integers (T,), got {str(token_ids)[:60]!r}. Pass those of one completion."
        )
    return ids.astype(np.int64)


def _text_of(tokenizer: Tokenizer, ids: IntArray) -> tuple[str, IntArray, BoolArray]:
    """The text of the ids, where in it each begins, and which spell something."""
    if hasattr(tokenizer, "offsets"):
        return tokenizer.offsets(ids)  # type: ignore[attr-defined]
    ends = np.flatnonzero(ids == tokenizer.eos_id)
    said = ids[: ends[0]] if len(ends) else ids  # behind its end token, a program says nothing
    program = tokenizer.program(said)
    silent = np.full(len(ids) - len(said), len(program.text))
    return program.text, np.append(program.starts, silent).astype(np.int64), np.arange(len(ids)) < len(said)


def _ends(text: str, starts: IntArray, speaks: BoolArray) -> IntArray:
    """int64 (T,): the character behind the last that an id helps to spell; its start, if it spells none.

    Ids that share a character, as the bytes of one do, all end behind it.
    """
    ends, own = starts.copy(), starts[speaks]
    after = np.append(own[1:], len(text))[: len(own)]
    ends[speaks] = np.maximum(after, np.minimum(own + 1, len(text)))
    return ends


def _completion(
    ids: IntArray, text: str, starts: IntArray, speaks: BoolArray, choice: Choice, judged: str, truncated: bool
) -> Completion:
    at = _places(text, choice)
    first, last = _span(text, starts, speaks, at >= 0)
    given = len(judged) - len(choice.program)  # the program is the end of what is judged
    own = _following(at, len(choice.program))[starts[first:last]] + given
    extra = int(given > 0)
    program = Program(
        np.append(np.zeros(extra, np.int64), ids[first:last]),
        judged,
        np.append(np.zeros(extra, np.int64), np.clip(own, 0, len(judged))),
        prefix_length=extra,
        truncated=truncated,
    )
    if not len(program):  # no id at all: a token of nobody's carries the feedback
        program = Program(np.zeros(1, np.int64), judged, np.zeros(1, np.int64), truncated=truncated)
    return Completion(text, choice, program, first, len(ids))


def _span(text: str, starts: IntArray, speaks: BoolArray, spelled: BoolArray) -> tuple[int, int]:
    """The ids [first, last) of the program, with the end token where it ends the answer; the last id if none spells it."""
    counts = np.append(0, np.cumsum(spelled[: len(text)]))
    inside = np.flatnonzero(counts[_ends(text, starts, speaks)] > counts[starts])
    if not len(inside):
        return max(len(starts) - 1, 0), len(starts)
    first, last = int(inside[0]), int(inside[-1]) + 1
    rest = speaks[last:]
    return first, last + int(len(rest) > 0 and not rest.any())


# ---------------------------------------------------------------------------- answer and program, by place


def _places(text: str, choice: Choice) -> IntArray:
    """int64 (len(text) + 1,): for each character of the answer its place in the program, or -1."""
    at = np.full(len(text) + 1, -1, np.int64)
    for there, here, length in _stretches(text, choice.offset, choice.program):
        at[there : there + length] = np.arange(here, here + length)
    return at


def _following(at: IntArray, end: int) -> IntArray:
    """For each character of the answer, the place of the first of the program at or after it."""
    known = np.where(at < 0, end, at)
    return np.minimum.accumulate(known[::-1])[::-1]


def _stretches(text: str, offset: int, program: str) -> list[tuple[int, int, int]]:
    """Where the characters of the program stand in the answer: (place there, place here, how many).

    As they are, but for thoughts, which have left line ends. Or, where common indentation or the
    marks of a quotation were taken away, line by line: a line lost its beginning, the last one its end.
    """
    there = text[offset : offset + len(program)]
    if len(there) == len(program) and all(a == b or b == "\n" for a, b in zip(there, program, strict=True)):
        return [(offset, 0, len(program))]
    found: list[tuple[int, int, int]] = []
    here = 0
    for line in program.split("\n"):
        end = text.find("\n", offset)
        body = text[offset : end if end >= 0 else len(text)]
        lost = len(body) - len(line) if body.endswith(line) else max(body.find(line), 0)
        length = min(len(line), len(body) - lost)
        more = int(end >= 0 and lost + length == len(body) and here + length < len(program))  # the line end
        found.append((offset + lost, here, length + more))
        offset, here = offset + len(body) + 1, here + len(line) + 1
    return found


# ---------------------------------------------------------------------------------------- other tokens


def _respelled(feedback: Feedback, judged: Program, own: Program) -> Feedback:
    """Feedback on `judged` for the tokens of `own`, which has the same text: by the characters that they share.

    What a token earned is shared out among those that spell it, so that sums are preserved. What tokens
    weigh in a loss is averaged: a line of equal weights keeps them, in however many tokens.
    """
    if judged.text != own.text:
        raise UsageError(
            f"Expected feedback on the completion's own program, got it on another text: {judged.text[:60]!r}."
        )
    own_rewards = _alone(feedback)
    rewards, weights, mask = np.zeros(len(own)), np.zeros(len(own)), own.generated_mask
    credit = np.zeros(len(judged)) if feedback.credit is None else feedback.credit
    for i in np.flatnonzero(own_rewards.astype(bool) | credit.astype(bool)):
        shared = _shared(own, judged, int(i))
        rewards += own_rewards[i] * shared / shared.sum()
        weights += credit[i] * shared
    for i in np.flatnonzero(judged.generated_mask & ~feedback.loss_mask):
        mask &= ~_within(own, judged, int(i))
    rewards[-1] += feedback.program_reward
    averaged = (weights / np.maximum(_upper(own) - own.starts, 1)).astype(np.float32)
    spread = None if feedback.credit is None else averaged
    return Feedback(rewards.astype(np.float32), mask, feedback.parts, feedback.program_reward, spread)


def _shared(own: Program, judged: Program, i: int) -> FloatArray | IntArray:
    """How many characters each token of `own` shares with token `i` of `judged`; of one without any, whoever stands there."""
    upper, end = _upper(own), _upper(judged)[i]
    shared = np.clip(np.minimum(upper, end) - np.maximum(own.starts, judged.starts[i]), 0, None)
    if not shared.any():
        shared[max(int(np.searchsorted(own.starts, judged.starts[i], "right")) - 1, 0)] = 1
    return shared


def _within(own: Program, judged: Program, i: int) -> BoolArray:
    """The tokens of `own` that spell nothing but what token `i` of `judged` spells."""
    upper, end = _upper(own), _upper(judged)[i]
    return (own.starts >= judged.starts[i]) & (upper <= end) & (own.starts < upper)


def _alone(feedback: Feedback) -> FloatArray:
    """float32 (T,): the rewards without the share of the program as a whole."""
    rest = feedback.rewards.copy()
    if len(rest):
        rest[-1] -= np.float32(feedback.program_reward)
    return rest


def _upper(program: Program) -> FloatArray | IntArray:
    """The character behind the last that each token helps to spell."""
    size = len(program.text)
    after = np.append(program.starts[1:], size)[: len(program)]
    return np.maximum(after, np.minimum(program.starts + 1, size))
