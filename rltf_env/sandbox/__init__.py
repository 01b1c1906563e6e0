"""Judges. One file = one backend: `load(**options) -> Sandbox`."""
