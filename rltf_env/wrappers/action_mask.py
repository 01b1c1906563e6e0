"""Which tokens keep a program parsable: a mask over the vocabulary, and the wrapper that puts it into `info["action_mask"]`.

Trying every token of a vocabulary in every state would cost a second at 49,000 tokens. Three things make it cheap:

1. What the *tokenizer* of Python makes of a token depends only on where that stands, and not on the grammar: tokens fall into
   classes that give it the same events (every name that begins with "q" is one class). The classes of all tokens are found
   in one walk over the sorted vocabulary, in which tokens share the work on what they have in common, once for each place.
2. The *grammar* is asked once for each class, some hundreds, and remembers the events that it has seen.
3. Equal prefixes (`prefix.Prefix`) have equal masks, and each statement ends where it began: most are asked for again.

    python -m benchmarks.speed.masks      what it costs, on three vocabularies
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple, Protocol, runtime_checkable

import gymnasium
import numpy as np
import numpy.typing as npt

from rltf_env._renamed import renamed
from rltf_env.core import BoolArray, IntArray, Tokenizer
from rltf_env.errors import UsageError
from rltf_env.prefix import Prefix, _lexer, kinds
from rltf_env.prefix._lexer import Events, State

Int8Array = npt.NDArray[np.int8]
KEPT_BYTES = 1 << 25  # of masks
KEPT_PLACES = 512  # of the tokenizer, whose classes of tokens are remembered


@runtime_checkable
class HasSpellings(Tokenizer, Protocol):
    """A tokenizer whose programs are the bytes of its tokens, one after the other, as UTF-8."""

    def spellings(self) -> tuple[bytes, ...]:
        """The bytes of each token (V); none for tokens that spell nothing."""
        ...


def spellings(tokenizer: Tokenizer) -> tuple[bytes, ...]:
    """The bytes of each token.

    Raises:
        UsageError: what a token spells depends on its neighbours, or the tokenizer does not say.
    """
    if not isinstance(tokenizer, HasSpellings):
        raise UsageError(
            f"Expected a tokenizer with a method spellings(), the bytes of each token, got {tokenizer!r}. "
            "Bytes, Words and byte-level HuggingFace tokenizers have one."
        )
    return tokenizer.spellings()


class PrefixTracker:
    """From the tokens of a program to its `Prefix`, token by token: what was read before is not read again."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._spellings = spellings(tokenizer)
        self._tokens = np.zeros(0, np.int64)
        self._prefix = Prefix()

    def __call__(self, tokens: IntArray) -> Prefix:
        """The prefix that `tokens` (t,) spell: usually those of the last call and one more."""
        size = len(self._tokens)
        if len(tokens) < size or not np.array_equal(tokens[:size], self._tokens):
            size, self._prefix = 0, Prefix()
        for token in tokens[size:]:
            self._prefix = self._prefix.feed_bytes(self._spellings[token])
        self._tokens = np.array(tokens, np.int64)
        return self._prefix


# -------------------------------------------------------------------------------------------------------------- masks


class Continuation(NamedTuple):
    """A way to go on: events of the tokenizer, and then what the unfinished token may become (`_lexer.possible_endings`)."""

    events: Events
    possible_endings: tuple[tuple[str, ...], ...] | None


def _in_common(a: bytes, b: bytes) -> int:
    """How many bytes `a` and `b` begin with alike."""
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


LexerState = tuple[State, bytes, bool]  # of a `Prefix`, the part that is not grammar
Class = frozenset[Continuation]


class TokenMasks:
    """Masks for one vocabulary. Those of equal prefixes are one array, which can't be written to."""

    def __init__(self, spellings: Sequence[bytes], eos_id: int) -> None:
        self._made_of = tuple(spellings), eos_id
        self._eos = eos_id
        self._size = len(spellings)
        self._order = [i for i in sorted(range(self._size), key=spellings.__getitem__) if i != eos_id and spellings[i]]
        self._sorted = [spellings[i] for i in self._order]
        self._shared = [_in_common(a, b) for a, b in pairwise([b"", *self._sorted])]
        # Threads that write programs at once share what is remembered: `lru_cache` allows that.
        self._mask = lru_cache(max(64, min(8192, KEPT_BYTES // self._size)))(self._mask_after)
        self._classes = lru_cache(KEPT_PLACES)(self._classify_tokens)

    def __reduce__(self) -> tuple[Any, ...]:
        return _shared_masks, self._made_of  # what was remembered stays where it is

    def __call__(self, prefix: Prefix) -> BoolArray:
        """bool (V,): the tokens after which `prefix` can still be completed; and the end token, where it is a program.

        Where no token is right, the end token alone is allowed: on a dead prefix, or one that this vocabulary can't continue.
        Tokens that spell nothing are never allowed.
        """
        return self._mask(prefix)

    def _mask_after(self, prefix: Prefix) -> BoolArray:
        mask = np.zeros(self._size, bool)
        if prefix.grammar is not None:
            classes, numbers = self._classes((prefix.lexer, prefix.pending, prefix.returned))
            after = _GrammarCache(prefix)
            right = np.array([any(map(after.allows, continuations)) for continuations in classes])
            mask[self._order] = right[numbers]
            mask[self._eos] = prefix.complete
        mask[self._eos] |= not mask.any()
        mask.flags.writeable = False
        return mask

    def _classify_tokens(self, place: LexerState) -> tuple[list[Class], IntArray]:
        """The classes of tokens at `place`, and for each token in sorted order the number of its own.

        Tokens are walked as the paths of a trie: a token goes on from where it parts from the one before.
        """
        numbers: dict[Class, int] = {frozenset(): 0}
        class_of_token = np.zeros(len(self._sorted), np.int64)
        path: list[tuple[LexerState, Events] | None] = [(place, ())]  # after 0, 1, ... bytes of the token
        number_at: dict[tuple[LexerState, Events], int] = {}
        for index, (token, shared) in enumerate(zip(self._sorted, self._shared, strict=True)):
            del path[shared + 1 :]
            end = path[-1]
            for byte in token[len(path) - 1 :] if end else b"":
                end = _walk(end, byte) if end else None
                path.append(end)
            if end:
                if end not in number_at:
                    number_at[end] = numbers.setdefault(_class_of(*end), len(numbers))
                class_of_token[index] = number_at[end]
        return list(numbers), class_of_token


def _walk(at: tuple[LexerState, Events], byte: int) -> tuple[LexerState, Events] | None:
    place, events = at
    if byte < 0x80 and not place[1] and not place[2] and byte != 0x0D:
        result = _lexer.step(place[0], chr(byte))
        return None if result is None else ((result[0], b"", False), events + result[1] if result[1] else events)
    result = _move(place, byte)
    return None if result is None else (result[0], events + result[1])


@lru_cache(1 << 16)
def _move(place: LexerState, byte: int) -> tuple[LexerState, Events] | None:
    """One byte further, where it belongs to a longer character or to a line end of two."""
    return Prefix.advance(place, byte)


def _class_of(place: LexerState, events: Events) -> Class:
    """What the grammar will be asked about tokens that lead here: one of these must be possible."""
    lexer, pending, _ = place
    if not pending:
        return frozenset((Continuation(events, _lexer.possible_endings(lexer)),))
    steps = (_lexer.step(lexer, kind) for kind in kinds(pending))
    return frozenset(Continuation(events + step[1], _lexer.possible_endings(step[0])) for step in steps if step)


class _GrammarCache:
    """What may follow a prefix, asked once for each beginning of the events."""

    def __init__(self, prefix: Prefix) -> None:
        self._after: dict[Events, Any] = {(): prefix.grammar}

    def allows(self, continuation: Continuation) -> bool:
        grammar = self._grammar(continuation.events)
        return grammar is not None and (
            continuation.possible_endings is None or any(map(grammar.allows, continuation.possible_endings))
        )

    def _grammar(self, events: Events) -> Any:
        if events not in self._after:
            before = self._grammar(events[:-1])
            self._after[events] = None if before is None else before.after(events[-1:])
        return self._after[events]


@lru_cache(8)
def _shared_masks(spellings: tuple[bytes, ...], eos_id: int) -> TokenMasks:
    """Environments with the same vocabulary have the same masks."""
    return TokenMasks(spellings, eos_id)


def masks_of(tokenizer: Tokenizer) -> TokenMasks:
    """The masks for a tokenizer's vocabulary, shared by all that ask in this process."""
    return _shared_masks(spellings(tokenizer), tokenizer.eos_id)


# ------------------------------------------------------------------------------------------------------------ wrapper


class ActionMask(gymnasium.Wrapper[Any, Any, Any, Any], gymnasium.utils.RecordConstructorArgs):
    """Puts `info["action_mask"]`, int8 (V,), at reset and after every step but the last: the tokens worth trying.

    1 for a token after which the program can still become one that Python compiles (`rltf_env/prefix`: never too strict,
    sometimes too kind), and for the end token where it is one. At least one action is always allowed: `env.action_space.sample(
    mask=info["action_mask"])` works. The environment underneath takes every action as before: masks are advice, for agents that
    take them. `action_masks()` is what sb3-contrib's MaskablePPO asks for. The mask knows nothing of
    `max_program_tokens`: a program may be cut off before it is complete.

    Args:
        env: a token environment, wrapped or not.

    Raises:
        UsageError: the tokenizer can't say what bytes each token spells.
    """

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        gymnasium.utils.RecordConstructorArgs.__init__(self)
        gymnasium.Wrapper.__init__(self, env)
        tokenizer: Tokenizer = env.unwrapped.tokenizer  # type: ignore[attr-defined]
        self._masks, self._follow = masks_of(tokenizer), PrefixTracker(tokenizer)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """As the environment's, with `action_mask`, bool (V,), in the info."""
        observation, info = self.env.reset(seed=seed, options=options)
        return observation, info | {"action_mask": self.action_masks()}

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """As the environment's, with `action_mask`, bool (V,), in the info until the episode ends."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        if not (terminated or truncated):
            info = info | {"action_mask": self.action_masks()}
        return observation, reward, terminated, truncated, info

    def action_masks(self) -> Int8Array:
        """int8 (V,): the mask for the next action of the running episode."""
        tokens = self.env.unwrapped.tokens  # type: ignore[attr-defined]
        return self._masks(self._follow(tokens)).astype(np.int8)


__getattr__ = renamed(__name__, {"Follower": "PrefixTracker", "Spelled": "HasSpellings"})
