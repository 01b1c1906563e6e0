"""What a person sees of an episode: as text in a terminal, as a page, in colours."""
