"""Scores of entities, retrieval and confidences."""
