"""Stems of words: the forms of a word, such as "dog" and "Dogs", have one stem."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, lru_cache
from unicodedata import normalize

import snowballstemmer

# Snowball's algorithms by the code of the language, as in spaCy.
ALGORITHMS = {
    "ar": "arabic",
    "ca": "catalan",
    "cs": "czech",
    "da": "danish",
    "de": "german",
    "el": "greek",
    "en": "english",
    "es": "spanish",
    "et": "estonian",
    "eu": "basque",
    "fa": "persian",
    "fi": "finnish",
    "fr": "french",
    "ga": "irish",
    "hi": "hindi",
    "hu": "hungarian",
    "hy": "armenian",
    "id": "indonesian",
    "it": "italian",
    "lt": "lithuanian",
    "nb": "norwegian",
    "ne": "nepali",
    "nl": "dutch",
    "pl": "polish",
    "pt": "portuguese",
    "ro": "romanian",
    "ru": "russian",
    "sr": "serbian",
    "sv": "swedish",
    "ta": "tamil",
    "tr": "turkish",
}
CACHED_STEMS = 1 << 17


@cache
def stemmer_of(lang: str) -> Callable[[str], str]:
    """Return the stemmer of a language: Snowball's, or lower case if Snowball has none.

    Args:
        lang: The code of the language, as in spaCy, for instance "en".

    Returns:
        A function that returns the stem of a word. It remembers the stems of the last words.
    """
    algorithm = ALGORITHMS.get(lang)

    @lru_cache(maxsize=CACHED_STEMS)
    def stem_of(word: str) -> str:
        lower = normalize("NFC", word).lower()
        # Not one stemmer for all calls: it holds the word, so two threads would mix theirs.
        return snowballstemmer.stemmer(algorithm).stemWord(lower) if algorithm else lower

    return stem_of
