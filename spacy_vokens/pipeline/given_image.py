"""The component that gives every token the image that came with the document."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example

from ..attributes import GIVEN, set_token_values
from .util import OwnImages


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
def make_given_image(nlp: Language, name: str) -> GivenImage:
    """Make the component `given_image`.

    It takes the place of `voken_retriever` for the setting that the paper calls "Original".

    Args:
        nlp: The pipeline.
        name: Name of the component.

    Returns:
        The component.
    """
    return GivenImage(name)


class GivenImage:
    """Give every word the image that came with its document.

    Args:
        name: Name of the component.
    """

    def __init__(self, name: str = "given_image") -> None:
        self.name = name
        self._own_images = OwnImages(name)

    def __call__(self, doc: Doc) -> Doc:
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

    def score(self, examples: Iterable[Example], **kwargs: Any) -> dict[str, Any]:
        """Warn, once, if the predicted documents have lost their images. There are no scores.

        Args:
            examples: Documents that were annotated, and their references.
            **kwargs: Ignored. spaCy passes the settings of the pipeline.

        Returns:
            An empty dictionary.
        """
        self._own_images.check(examples)
        return {}
