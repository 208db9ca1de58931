"""Ground every word of a text in an image, and recognize named entities with the images' help.

Importing this package loads neither spaCy nor torch. spaCy finds the components, architectures and
commands through entry points.
"""

__version__ = "0.1.0"
