"""Policies: transformers that write programs. One file = one family."""
