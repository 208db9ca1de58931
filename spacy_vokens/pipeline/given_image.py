"""The component that gives every token the picture that came with the document."""

from __future__ import annotations

from collections.abc import Callable

from spacy.language import Language
from spacy.tokens import Doc

from ..extensions import GIVEN, set_token_values


@Language.factory("given_image", assigns=["token._.voken"])
def make_given_image(nlp: Language, name: str) -> Callable[[Doc], Doc]:
    """Make the component `given_image`: the paper's "Original" setting, in `voken_retriever`'s
    place."""
    return give_image


def give_image(doc: Doc) -> Doc:
    """Set every token's voken to `Doc._.image_id`; None where the document has no picture."""
    set_token_values(doc, "voken", [doc._.image_id] * len(doc))
    for name in ("voken_score", "vokens"):
        set_token_values(doc, name, [None] * len(doc))
    doc._.voken_index = GIVEN
    return doc
