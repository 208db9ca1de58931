"""Pictures to numbers: one way to open a picture, frozen encoders, and the image pool.

Nothing here imports spaCy: the folder works alone.
"""
