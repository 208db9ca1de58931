"""Thinc models and layers around the PyTorch modules in `models.torch`."""
