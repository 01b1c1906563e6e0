"""Learning algorithms. One file = one `kind` of agent in a recipe."""
