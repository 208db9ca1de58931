"""Corpora of documents and captions: reading, converting, vokenizing and loading for training."""
