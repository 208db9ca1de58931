"""The custom attributes, and the fast way to read and write them for a whole document.

| attribute | type | meaning |
|---|---|---|
| `Token._.voken` | str, None | id of the image retrieved for the token |
| `Token._.voken_score` | float, None | relevance score of that image (paper, Eq. 1) |
| `Token._.vokens` | list, None | the best images as `[id, score]`, where `top_k` is above 1 |
| `Token._.visual_gate` | float, None | weight of the image in the token, 0 to 1 (paper, Eq. 5) |
| `Token._.visual_attention` | list, None | images it attends to, `[id or None, weight]` (Eq. 6) |
| `Span._.confidence` | float, None | probability that an entity has just this extent and label |
| `Span._.voken` | str, None | of its tokens' images, the one of the best score (computed) |
| `Span._.voken_score` | float, None | relevance score of that image (computed) |
| `Doc._.image_id` | str, None | id of the picture that came with the document |
| `Doc._.voken_index` | str, None | id of the vokens' index (`…-not-own`: `exclude_own`), `GIVEN` |
| `Doc._.raw_tags` | list, None | the corpus's own BIO tags, ill-formed ones included |

The values are plain scalars and lists, so that they survive `to_bytes`, `DocBin`, `n_process` and
retokenising.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from spacy.tokens import Doc, Span, Token

TOKEN_EXTENSIONS = ("voken", "voken_score", "vokens", "visual_gate", "visual_attention")
SPAN_EXTENSIONS = ("confidence",)
DOC_EXTENSIONS = ("image_id", "voken_index", "raw_tags")
# `Doc._.voken_index` where the vokens are the document's own picture, of no index.
GIVEN = "given"


def install_extensions() -> None:
    """Register the attributes. Calling it again changes nothing."""
    for holder, names in (
        (Token, TOKEN_EXTENSIONS),
        (Span, SPAN_EXTENSIONS),
        (Doc, DOC_EXTENSIONS),
    ):
        for name in names:
            if not holder.has_extension(name):
                holder.set_extension(name, default=None)
    for name in ("voken", "voken_score"):
        if not Span.has_extension(name):
            Span.set_extension(name, getter=partial(_of_best_token, name=name))


def get_token_values(doc: Doc, name: str) -> list[Any]:
    """The values of a token attribute, one a token; None where it is not set.

    Reads `Doc.user_data`, where spaCy keeps them by character offset: ten times as fast as going
    through `token._`.
    """
    get = _user_data(doc).get
    return [get(("._.", name, token.idx, None)) for token in doc]


def set_token_values(doc: Doc, name: str, values: Sequence[Any]) -> None:
    """Set a token attribute from one value a token; None clears it."""
    keys = [("._.", name, token.idx, None) for token in doc]
    _user_data(doc).update(zip(keys, values, strict=True))


def clear_values(doc: Doc, *names: str) -> None:
    """Clear attributes of these names of a document's tokens and spans."""
    data = _user_data(doc)
    # Other people's keys may be anything.
    for key in [key for key in data if isinstance(key, tuple) and key[:1] == ("._.",)]:
        if key[1] in names:
            del data[key]


def set_confidence(span: Span, value: float) -> None:
    """Set `Span._.confidence`, as the fast way of `set_token_values` does."""
    _user_data(span.doc)["._.", "confidence", span.start_char, span.end_char] = value


def index_pool(doc: Doc) -> str | None:
    """The first half of the hash of the pool that the document's vokens come from.

    It begins the id of an index (`VokenIndex.id`). None where no index has set them.
    """
    pool, dash, _ = (doc._.voken_index or "").partition("-")
    return pool if dash else None


def _of_best_token(span: Span, name: str) -> Any:
    """A voken's value, of the token whose voken has the best score; the first of several."""
    grounded = [token for token in span if token._.voken is not None]
    if not grounded:
        return None
    # The picture that came with a document has no score.
    best = max(grounded, key=lambda token: token._.voken_score or 0.0)
    return best._.get(name)


def _user_data(doc: Doc) -> dict[Any, Any]:
    # spaCy's stub says that the keys are strings.
    return doc.user_data


install_extensions()
