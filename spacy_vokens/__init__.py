"""Ground every word of a text in a picture, and recognise names with the pictures' help.

Importing this package loads neither spaCy nor torch: spaCy finds the components, architectures
and commands through entry points.
"""

__version__ = "0.1.0"
