"""Studies: which part of the feedback does what (`ablation`), and what graders and tests let pass (`audit`)."""
