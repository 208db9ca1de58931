"""Scores computed from plain numbers and tags."""
