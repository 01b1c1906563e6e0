"""What every algorithm learns with: the optimiser's step, the buffers, the reference policy."""
