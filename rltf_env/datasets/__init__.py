"""Problems. One file = one dataset: `load(split, root=None) -> tuple[Problem, ...]`."""
