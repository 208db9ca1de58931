"""From image files to features: decoding, frozen encoders, and the image pool.

Nothing in this folder imports spaCy.
"""
