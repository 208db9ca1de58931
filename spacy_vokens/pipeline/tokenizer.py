"""The tokenizer of a pipeline's language, in configs that serve any language."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from spacy.language import Language
from spacy.util import registry


def make_language_tokenizer() -> Callable[[Language], Any]:
    """Make `spacy-vokens.language_tokenizer.v1`.

    spaCy's commands want a tokenizer in a complete config, but its name depends on the language:
    Chinese, for instance, does not have the one of English.

    Returns:
        A function that makes the default tokenizer of a pipeline's language.
    """

    def create_tokenizer(nlp: Language) -> Any:
        own = nlp.Defaults.config.get("nlp", {}).get("tokenizer")
        config = own or {"@tokenizers": "spacy.Tokenizer.v1"}
        return registry.resolve({"tokenizer": config})["tokenizer"](nlp)

    return create_tokenizer
