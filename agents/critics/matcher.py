"""Whether a program is a text's, said by a model that CodeT5+'s losses have taught (`agents/algorithms/codet5p.py`).

matcher = Matcher.load("runs/procedural_codet5p/policy")
matcher.odds(samples)                                   # log p(together) - log p(apart), of whole programs
matcher.features(texts)                                 # of unit length: texts and programs that are near belong together
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from agents.batching import batch
from agents.core import Policy, TrainingSample
from agents.policies import _folder, pair_heads
from agents.policies.pair_heads import PairHeads, match_logits, sentence_states
from rltf_env import plugins
from rltf_env.core import IntArray
from rltf_env.errors import MissingData, UsageError


class Matcher:
    """See the head of this file.

    Args:
        policy: the transformer that reads.
        heads: what says how texts and programs belong together.
        rows: that are read at a time.
    """

    def __init__(self, policy: Policy[Any], heads: PairHeads, rows: int = 64) -> None:
        if rows < 1:
            raise UsageError(f"Expected rows >= 1, got {rows}.")
        self.policy, self.heads, self.rows = policy, heads, rows
        policy.model.eval()

    @classmethod
    def load(cls, folder: str | Path, rows: int = 64, **options: Any) -> Matcher:
        """The policy in `folder` with its heads; `options` (dtype, device, ...) are those of its kind of policy.

        Raises:
            MissingData: there is no policy, or none with heads.
        """
        if not (Path(folder) / "config.json").is_file():
            raise MissingData(f"Expected the folder of a saved policy, got {str(folder)!r}, which has no config.json.")
        policy = plugins.find("policies", _folder.kind(Path(folder)), package="agents")(str(folder), **options)
        return cls(policy, pair_heads.read(folder, policy), rows)

    @torch.no_grad()
    def odds(self, samples: Sequence[TrainingSample]) -> np.ndarray:
        """float32 (B,): log p(together) - log p(apart) of each prompt with its program, which has its end token.

        Raises:
            UsageError: the policy is a decoder alone.
        """
        if not getattr(self.policy.model.config, "is_encoder_decoder", False):  # pyright: ignore[reportAttributeAccessIssue]
            raise UsageError("Expected a policy with an encoder, got a decoder, which no match was learnt of.")
        policy = pair_heads.starting(self.policy, "match")
        parts = [batch(part, policy.pad_id).to(policy.device) for part in self._parts(samples)]
        logits = [match_logits(policy, self.heads, data) for data in parts]
        return torch.cat([each[:, 1] - each[:, 0] for each in logits]).float().cpu().numpy()

    @torch.no_grad()
    def features(self, texts: Sequence[IntArray]) -> np.ndarray:
        """float32 (B, width): of unit length, of texts or of programs without their end, in tokens."""
        parts = [self.heads.embed(sentence_states(self.policy, part)) for part in self._parts(texts)]
        return torch.cat(parts).float().cpu().numpy()

    def _parts(self, items: Sequence[Any]) -> list[Any]:
        return [items[i : i + self.rows] for i in range(0, len(items), self.rows)]
