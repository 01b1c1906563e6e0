"""How fast: the judge, the environment, a training step, writing, and masks; each beside its peers."""
