"""Decoding: how tokens are chosen from a policy. One file = one way."""
