"""The custom attributes of documents, tokens and spans, and a fast way to read and write them.

| attribute | type | meaning |
|---|---|---|
| `Token._.voken` | str, None | id of the image retrieved for the token |
| `Token._.voken_score` | float, None | relevance score of that image (paper, Eq. 1) |
| `Token._.vokens` | list, None | the best images as `[id, score]`, if `top_k` is above 1 |
| `Token._.visual_gate` | float, None | weight of the image in the token, 0 to 1 (paper, Eq. 5) |
| `Token._.visual_attention` | list, None | images it attends to, `[id or None, weight]` (Eq. 6) |
| `Span._.visual_confidence` | float, None | probability that an entity has these bounds and label |
| `Span._.voken` | str, None | the voken with the best score among its tokens (computed) |
| `Span._.voken_score` | float, None | relevance score of that voken (computed) |
| `Doc._.visual_image_id` | str, None | id of the image that came with the document |
| `Doc._.voken_index` | str, None | which index the vokens come from (an `IndexMark`), or `GIVEN` |
| `Doc._.visual_raw_tags` | list, None | the corpus's own BIO tags, ill-formed ones included |

The values are plain scalars and lists, so that they survive `to_bytes`, `DocBin`, `n_process` and
retokenization.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from spacy.tokens import Doc, Span, Token
from spacy.vocab import Vocab

from .identity import IndexMark

if TYPE_CHECKING:
    from .index import VokenIndex

TOKEN_EXTENSIONS = ("voken", "voken_score", "vokens", "visual_gate", "visual_attention")
SPAN_EXTENSIONS = ("visual_confidence",)
DOC_EXTENSIONS = ("visual_image_id", "voken_index", "visual_raw_tags")
# The value of `Doc._.voken_index` if every voken is the image that came with the document.
GIVEN = "given"
# The indexes known to a vocabulary, in `Vocab.cfg`, which spaCy neither saves nor pickles.
_INDEXES = "voken_indexes"


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
            Span.set_extension(name, getter=partial(_best_token_value, name=name))


def get_token_values(doc: Doc, name: str) -> list[Any]:
    """Read a token attribute of all tokens, ten times as fast as through `token._`.

    Args:
        doc: The document.
        name: Name of the attribute, without the underscore.

    Returns:
        One value per token; None if it is not set.
    """
    # spaCy keeps the values by character offset. Its stub says that the keys are strings.
    data: dict[Any, Any] = doc.user_data
    return [data.get(("._.", name, token.idx, None)) for token in doc]


def set_token_values(doc: Doc, name: str, values: Sequence[Any]) -> None:
    """Set a token attribute of all tokens.

    Args:
        doc: The document.
        name: Name of the attribute, without the underscore.
        values: One value per token; None clears it.
    """
    data: dict[Any, Any] = doc.user_data
    keys = [("._.", name, token.idx, None) for token in doc]
    data.update(zip(keys, values, strict=True))


def clear_values(doc: Doc, *names: str) -> None:
    """Clear attributes on a document and on all its tokens and spans.

    Args:
        doc: The document.
        *names: Names of the attributes, without the underscore.
    """
    data: dict[Any, Any] = doc.user_data
    # `user_data` may hold arbitrary keys set by other code.
    for key in [key for key in data if isinstance(key, tuple) and key[:1] == ("._.",)]:
        if key[1] in names:
            del data[key]


def register_index(vocab: Vocab, index: VokenIndex) -> None:
    """Let `find_index` find an index from the documents of a vocabulary.

    The reference is weak: the index is found as long as a component holds it.

    Args:
        vocab: The vocabulary.
        index: The index.
    """
    vocab.cfg.setdefault(_INDEXES, WeakSet()).add(index)


def find_index(doc: Doc) -> VokenIndex | None:
    """Find the index that a document's vokens come from.

    Args:
        doc: The document.

    Returns:
        The index, or None if the document has no vokens of an index, or if no `voken_retriever` of
        the document's vocabulary holds that index any more.
    """
    mark = IndexMark.parse(doc._.voken_index)
    if mark is None:
        return None
    mark = replace(mark, exclude_own=False)
    return next((i for i in doc.vocab.cfg.get(_INDEXES, ()) if i.mark == mark), None)


def _best_token_value(span: Span, name: str) -> Any:
    """Get an attribute of the token with the best voken, or of the first such token."""
    grounded = [token for token in span if token._.voken is not None]
    if not grounded:
        return None
    # The image that came with a document has no score.
    best = max(grounded, key=lambda token: token._.voken_score or 0.0)
    return best._.get(name)


install_extensions()
