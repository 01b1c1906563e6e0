"""Engines: what computes the next token while programs are written. One file = one engine."""
