"""The tagger's parts in plain PyTorch: fusion with images, and the CRF."""
