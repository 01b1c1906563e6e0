"""Wrappers of the environments: masks of the tokens that keep a program parsable, and rewards on the way."""
