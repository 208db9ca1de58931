"""Controlled experiments: grids of training runs, and reports on them. Not in the wheel."""
