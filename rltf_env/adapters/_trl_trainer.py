"""TRL's GRPOTrainer with token credit: advantages (B,) become (B, T). Imported when it is asked for; it needs TRL.

    A[i, t] = A[i] + credit_weight * c[i, t]

A[i] is TRL's own advantage of completion i, from the share that its program earned as a whole (group
mean and deviation as `GRPOConfig` says). c[i, t] is what token t of it weighs in a loss
(`Feedback.token_rewards`), laid on the ids that were sampled. It is not normalised: a guilty token is
charged what the reward says. A completion that could not be judged has neither, nor has a token that
the reward leaves out of learning.

TRL's `_compute_loss` takes advantages of either shape. `_generate_and_score_completions`, which is
extended here, is a private method: what it gives is looked at, and other shapes are an error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from trl.trainer.grpo_trainer import GRPOTrainer

from rltf_env import answers
from rltf_env.adapters._trl_rewards import UnitTests
from rltf_env.adapters.completion import Choose
from rltf_env.core import Feedback
from rltf_env.env import UnitTestEnv
from rltf_env.errors import UsageError

BY_TOKEN = ("grpo", "bnpo", "dr_grpo", "dapo", "cispo", "sapo")  # losses in which each token has its own term


class TokenCreditTrainer(GRPOTrainer):
    """GRPOTrainer whose advantages say which tokens were to blame.

    Args:
        model, args, train_dataset, ...: as GRPOTrainer takes them.
        env: judges; its tokenizer is the model's, its reward says what tokens earn (`rltf`, `fine`, ...).
        credit_weight: of the credit of single tokens; 0 is GRPOTrainer on the whole program's share.
        choose: takes the program out of an answer, see `adapters.read`.
        reward_funcs: further reward functions; each gives one number a completion.

    Raises:
        UsageError: a loss that has one term for a whole sequence.
    """

    def __init__(
        self,
        model: Any,
        *,
        env: UnitTestEnv,
        credit_weight: float = 1.0,
        choose: Choose | None = answers.choose,
        reward_funcs: Callable[..., Any] | Sequence[Any] = (),
        **options: Any,
    ) -> None:
        self.unit_tests, self.credit_weight = UnitTests(env, choose), credit_weight
        more = [reward_funcs] if callable(reward_funcs) else list(reward_funcs)
        super().__init__(model, reward_funcs=[self.unit_tests, *more], **options)
        _check(self)

    def _generate_and_score_completions(self, inputs: Any) -> dict[str, Any]:
        output = super()._generate_and_score_completions(inputs)
        _check_shapes(output)
        output["advantages"] = laid(output, self.unit_tests.feedback, self.credit_weight)
        return output


def laid(output: dict[str, Any], feedback: Sequence[Feedback | None], weight: float) -> torch.Tensor:
    """float (B, T): advantages and credit of a scored batch; 0 where nothing was sampled, nothing judged, nothing to learn."""
    advantages, mask = output["advantages"], output["completion_mask"]
    if len(feedback) != len(advantages):
        raise UsageError(
            f"Expected feedback on the {len(advantages)} completions of the batch, got it on {len(feedback)}."
        )
    tokens, learn = torch.zeros(mask.shape, dtype=advantages.dtype), torch.zeros(mask.shape, dtype=advantages.dtype)
    for row, each in enumerate(feedback):
        if each is not None:
            length = min(len(each.rewards), mask.shape[1])
            tokens[row, :length] = torch.from_numpy(each.token_rewards[:length]).to(tokens.dtype)
            learn[row, :length] = torch.from_numpy(each.loss_mask[:length]).to(tokens.dtype)
    if output.get("tool_mask") is not None:
        learn = learn * output["tool_mask"].cpu()
    device = advantages.device
    return (advantages[:, None] + weight * tokens.to(device)) * learn.to(device) * mask


def _check(trainer: Any) -> None:
    args = trainer.args
    if args.loss_type not in BY_TOKEN or trainer.importance_sampling_level != "token":
        raise UsageError(
            f"Expected a loss of tokens ({', '.join(BY_TOKEN)}; importance_sampling_level='token'), got "
            f"{args.loss_type!r} and {trainer.importance_sampling_level!r}: there, tokens have no advantage of their own."
        )
    if getattr(trainer, "off_policy_mask_threshold", None) is not None or getattr(args, "use_liger_kernel", False):
        raise UsageError(
            "Expected neither off_policy_mask_threshold nor use_liger_kernel: both want one advantage a sequence."
        )


def _check_shapes(output: dict[str, Any]) -> None:
    """UsageError unless this version of TRL gives what is extended here."""
    shapes = {name: tuple(getattr(output.get(name), "shape", ())) for name in ("advantages", "completion_mask")}
    if len(shapes["advantages"]) != 1 or len(shapes["completion_mask"]) != 2:
        raise UsageError(
            f"Expected TRL to give advantages (B,) and completion_mask (B, T), got {shapes}. TRL 1.16 does; take that version."
        )
