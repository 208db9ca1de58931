"""Plain PyTorch modules: towers and losses of the vokenizer, fusions and CRF of the tagger."""
