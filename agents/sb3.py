"""The environment under Stable-Baselines3's own algorithms: what they need besides `gymnasium.make`.

    env = Judged(UnitTestEnv(...))
    model = PPO("MultiInputPolicy", env, policy_kwargs=policy_kwargs(width=32))

`agents/examples/sb3_agents.py` trains PPO, A2C and DQN like this, `agents/examples/masked_ppo.py` sb3-contrib's MaskablePPO.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import torch
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn

from rltf_env.errors import UsageError


class Judged(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Reports a cut-off program as *terminated*.

    It was judged and nothing follows. Stable-Baselines3 takes *truncated* for an episode that could have gone on, and adds to the
    verdict the value that its critic gives to the full program: a number about a state from which nobody ever acts.
    """

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """As the environment's, but a cut-off program terminates: it was judged, so there is no value to bootstrap."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        return observation, reward, terminated or truncated, False, info


class TransformerExtractor(BaseFeaturesExtractor):
    """Features (B, width) of the tokens so far: a transformer over prompt and program, read at the last token.

    Attention is not causal: at every step the whole prefix is read anew, so nothing can see what comes later.

    Args:
        observation_space: that of `UnitTestEnv`: prompt (P,) and program (T,), padded with V.
        width, layers, heads: of the transformer; feed-forward layers are four times as wide.
    """

    def __init__(
        self, observation_space: gymnasium.spaces.Dict, width: int = 64, layers: int = 2, heads: int = 4
    ) -> None:
        super().__init__(observation_space, features_dim=width)
        prompt, program = observation_space["prompt"], observation_space["program"]
        assert isinstance(prompt, gymnasium.spaces.Box)
        assert prompt.shape is not None
        assert program.shape is not None
        self.pad_id = int(prompt.high.max())
        self.prompt_length = prompt.shape[0]
        self.tokens = nn.Embedding(self.pad_id + 1, width)
        self.positions = nn.Embedding(prompt.shape[0] + program.shape[0], width)
        layer = nn.TransformerEncoderLayer(width, heads, 4 * width, dropout=0.0, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, layers, nn.LayerNorm(width), enable_nested_tensor=False)

    def forward(self, observations: dict[str, Tensor]) -> Tensor:
        """Prompt (B, P) and program (B, T), as the floats that Stable-Baselines3 makes of them, to (B, width).

        Raises:
            UsageError: something on the way has made other numbers of the token ids.
        """
        parts = [self._trimmed(self._ids(observations["prompt"]), 0)]
        parts.append(self._trimmed(self._ids(observations["program"]), self.prompt_length))
        tokens = torch.cat([part for part, _ in parts], 1)  # (B, L)
        positions = torch.cat([place for _, place in parts])  # (L,)
        padding = tokens == self.pad_id
        hidden = self.encoder(self.tokens(tokens) + self.positions(positions), src_key_padding_mask=padding)
        order = torch.arange(tokens.shape[1], device=tokens.device)
        last = torch.where(padding, -1, order).argmax(1)  # (B,)
        return hidden[torch.arange(len(tokens), device=tokens.device), last]

    def _ids(self, values: Tensor) -> Tensor:
        ids = values.long()
        if not bool(((ids == values) & (ids >= 0) & (ids <= self.pad_id)).all()):
            raise UsageError(
                f"Expected observations of token ids, whole numbers in [0, {self.pad_id}], got {values.min():.3g} to "
                f"{values.max():.3g}. A wrapper scales them: leave it out, or pass VecNormalize(..., norm_obs=False)."
            )
        return ids

    def _trimmed(self, tokens: Tensor, offset: int) -> tuple[Tensor, Tensor]:
        """Without the columns that are padding in every row, but at least one; and the positions of those that stay."""
        width = max(1, int((tokens != self.pad_id).sum(1).max()))
        return tokens[:, :width], torch.arange(offset, offset + width, device=tokens.device)


def policy_kwargs(**options: Any) -> dict[str, Any]:
    """`policy_kwargs=` of any Stable-Baselines3 algorithm: this extractor, and one linear head for each thing to be said."""
    return {
        "features_extractor_class": TransformerExtractor,
        "features_extractor_kwargs": options,
        "net_arch": [],
    }
