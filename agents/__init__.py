"""Learning: policies, decoding and algorithms. Torch and transformers live here."""
