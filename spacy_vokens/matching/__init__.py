"""The cross-modal matching model in plain PyTorch: two towers and their losses."""
