"""Learned rewards: frozen models that a reward reads programs with. One file = one reward, whose `load` makes it of a folder.
They are named in full, as in `reward = "fine+agents.rewards.discriminator:load"`."""
