"""Rewards that were learnt: models of a program's worth. One file = one; they need torch.

They are named `"agents.rewards.NAME:load"` wherever a reward is named, also in sums
(`"coarse+agents.rewards.line_model:load"`, with options under the same name). Their weights are
frozen, a program is scored by itself, and calls from several threads wait for each other: so the
same program earns the same, whatever is judged beside it.
"""
