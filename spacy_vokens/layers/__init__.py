"""Thinc layers around the PyTorch parts."""
