"""Rewards. One file = one reward: `load(**options) -> Reward`."""
