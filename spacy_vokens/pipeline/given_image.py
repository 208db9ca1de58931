"""The component that gives every token the image that came with the document."""

from __future__ import annotations

from collections.abc import Callable

from spacy.language import Language
from spacy.tokens import Doc

from ..attributes import GIVEN, set_token_values


@Language.factory(
    "given_image",
    assigns=[
        "token._.voken",
        "token._.voken_score",
        "token._.vokens",
        "span._.voken",
        "span._.voken_score",
        "doc._.voken_index",
    ],
)
def make_given_image(nlp: Language, name: str) -> Callable[[Doc], Doc]:
    """Make the component `given_image`.

    It takes the place of `voken_retriever` for the setting that the paper calls "Original".

    Args:
        nlp: The pipeline.
        name: Name of the component.

    Returns:
        `give_image`.
    """
    return give_image


def give_image(doc: Doc) -> Doc:
    """Set every word's voken to `Doc._.visual_image_id`, which is None without an image.

    White space has none. Scores and rankings of an earlier retrieval are cleared.

    Args:
        doc: The document.

    Returns:
        The same document.
    """
    image_id = doc._.visual_image_id
    is_space = doc.to_array("IS_SPACE").tolist()
    set_token_values(doc, "voken", [None if blank else image_id for blank in is_space])
    for name in ("voken_score", "vokens"):
        set_token_values(doc, name, [None] * len(doc))
    doc._.voken_index = GIVEN
    return doc
