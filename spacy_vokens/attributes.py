"""The custom attributes of documents, tokens and spans, and a fast way to read and write them.

| attribute | type | meaning |
|---|---|---|
| `Token._.voken` | str, None | id of the image retrieved for the token |
| `Token._.voken_score` | float, None | relevance score of that image (paper, Eq. 1) |
| `Token._.vokens` | list, None | the best images as `[id, score]`, if `top_k` is above 1 |
| `Token._.visual_gate` | float, None | weight of the image in the token, 0 to 1 (paper, Eq. 5) |
| `Token._.visual_attention` | list, None | images it attends to, `[id or None, weight]` (Eq. 6) |
| `Span._.visual_confidence` | float, None | probability of an entity with its bounds and label |
| `Span._.voken` | str, None | the image of a phrase as one, or else its best token's (computed) |
| `Span._.voken_score` | float, None | relevance score of that image (computed) |
| `Doc._.visual_image_id` | str, None | id of the image that came with the document |
| `Doc._.voken_index` | str, None | which index the vokens come from (an `IndexMark`), or `GIVEN` |
| `Doc._.visual_raw_tags` | list, None | the corpus's own BIO tags, ill-formed ones included |

A confidence is stored with the label that it is about: an entity with another label has none. The
values are plain scalars and lists, so that they survive `to_bytes`, `DocBin`, `n_process` and
retokenization.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import numpy as np
from spacy.attrs import IDX
from spacy.tokens import Doc, Span, Token
from spacy.vocab import Vocab

from .files import VokensError
from .identity import IndexMark

if TYPE_CHECKING:
    from .index import VokenIndex


# First token of a phrase, the one after its last, its image and the relevance score.
PhraseVoken = tuple[int, int, str, float]


def _get_voken(span: Span) -> str | None:
    if own := span.doc.user_data.get(_span_key(span, "voken")):
        return own[0]
    token = _best_token(span)
    return None if token is None else token._.voken


def _get_voken_score(span: Span) -> float | None:
    if own := span.doc.user_data.get(_span_key(span, "voken")):
        return own[1]
    token = _best_token(span)
    return None if token is None else token._.voken_score


def _best_token(span: Span) -> Token | None:
    """Return the token with the best voken, or the first such token."""
    grounded = [token for token in span if token._.voken is not None]
    # The image that came with a document has no score.
    return max(grounded, key=lambda token: token._.voken_score or 0.0, default=None)


def _get_confidence(span: Span) -> float | None:
    label, confidence = span.doc.user_data.get(_span_key(span, "visual_confidence")) or ("", None)
    return confidence if label == span.label_ else None


def _set_confidence(span: Span, confidence: float | None) -> None:
    # With its label, since it is not about an entity that another component puts in its place.
    span.doc.user_data[_span_key(span, "visual_confidence")] = [span.label_, confidence]


def _span_key(span: Span, name: str) -> Any:
    # As spaCy's own keys, which `Span.as_doc` and `Doc.from_docs` adapt.
    return ("._.", name, span.start_char, span.end_char)


TOKEN_EXTENSIONS = ("voken", "voken_score", "vokens", "visual_gate", "visual_attention")
SPAN_EXTENSIONS: dict[str, dict[str, Any]] = {
    "voken": {"getter": _get_voken},
    "voken_score": {"getter": _get_voken_score},
    "visual_confidence": {"getter": _get_confidence, "setter": _set_confidence},
}
DOC_EXTENSIONS = ("visual_image_id", "voken_index", "visual_raw_tags")
# The value of `Doc._.voken_index` if every voken is the image that came with the document.
GIVEN = "given"
# The indexes known to a vocabulary, in `Vocab.cfg`, which spaCy neither saves nor pickles.
_INDEXES = "voken_indexes"


def install_extensions() -> None:
    """Register the attributes. Calling it again changes nothing.

    Raises:
        VokensError: If another package has registered one of the names in another way. The values
            would then be those of the other package, or would be lost.
    """
    wanted: list[tuple[Any, str, dict[str, Any]]] = [
        *((Token, name, {"default": None}) for name in TOKEN_EXTENSIONS),
        *((Doc, name, {"default": None}) for name in DOC_EXTENSIONS),
        *((Span, name, functions) for name, functions in SPAN_EXTENSIONS.items()),
    ]
    for holder, name, settings in wanted:
        if not holder.has_extension(name):
            holder.set_extension(name, **settings)
            continue
        expected = tuple(settings.get(key) for key in ("default", "method", "getter", "setter"))
        if not all(map(_is_same, holder.get_extension(name), expected)):
            raise VokensError(
                f"Another package has already registered {holder.__name__}._.{name}, an attribute "
                "of spacy-vokens. Rename the other attribute, or use one of the two packages only."
            )


def _is_same(found: Any, expected: Any) -> bool:
    """Compare functions by name, because those of a module that is loaded again are others."""
    names = ("__module__", "__qualname__")
    return found is expected or (
        callable(found)
        and callable(expected)
        and all(getattr(found, name, None) == getattr(expected, name) for name in names)
    )


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
    return [data.get(("._.", name, offset, None)) for offset in doc.to_array(IDX).tolist()]


def set_token_values(
    doc: Doc, name: str, values: Sequence[Any], tokens: np.ndarray | None = None
) -> None:
    """Set a token attribute, of all tokens or of some.

    Args:
        doc: The document.
        name: Name of the attribute, without the underscore.
        values: One value per token; None clears it.
        tokens: The indices of the tokens that the values are for; all others are cleared. None for
            all tokens.
    """
    data: dict[Any, Any] = doc.user_data
    offsets = doc.to_array(IDX)
    if data:
        for offset in offsets.tolist():
            data.pop(("._.", name, offset, None), None)
    if tokens is not None:
        offsets = offsets[tokens]
    # None is the default, so it need not be stored.
    data.update(
        {
            ("._.", name, offset, None): value
            for offset, value in zip(offsets.tolist(), values, strict=True)
            if value is not None
        }
    )


def set_vokens(
    doc: Doc,
    vokens: Sequence[str | None],
    scores: Sequence[float],
    ranked: Sequence[list[list[Any]] | None] | None = None,
    phrases: Iterable[PhraseVoken] = (),
) -> None:
    """Set the vokens of all tokens and of phrases, in place of earlier ones.

    Args:
        doc: The document.
        vokens: The best image of each token, or None.
        scores: Their relevance scores.
        ranked: All images that were found for each token with their scores, or None.
        phrases: Phrases that have an image of their own, which differs from those of their tokens.
    """
    data: dict[Any, Any] = doc.user_data
    if data:
        clear_values(doc, "voken", "voken_score", "vokens")
    found = [
        (offset, voken, score)
        for offset, voken, score in zip(doc.to_array(IDX).tolist(), vokens, scores, strict=True)
        if voken is not None
    ]
    data.update({("._.", "voken", offset, None): voken for offset, voken, _ in found})
    data.update({("._.", "voken_score", offset, None): score for offset, _, score in found})
    if ranked is not None:
        set_token_values(doc, "vokens", ranked)
    for start, end, voken, score in phrases:
        data[_span_key(doc[start:end], "voken")] = [voken, score]


def get_phrases(doc: Doc) -> list[Span]:
    """Return the spans of a document that have an image of their own, in the order of the text.

    Args:
        doc: The document.
    """
    data: dict[Any, Any] = doc.user_data
    keys = [key for key in data if isinstance(key, tuple) and key[:2] == ("._.", "voken")]
    # The images of tokens have no end.
    bounds = sorted((start, end) for _, _, start, end in keys if end is not None)
    # Tokens may have been merged or split since.
    spans = [doc.char_span(start, end) for start, end in bounds]
    return [span for span in spans if span is not None]


def clear_values(doc: Doc, *names: str) -> None:
    """Clear attributes on a document and on all its tokens and spans.

    Args:
        doc: The document.
        *names: Names of the attributes, without the underscore.
    """
    data: dict[Any, Any] = doc.user_data
    # `user_data` may hold arbitrary keys set by other code.
    for key in [key for key in data if isinstance(key, tuple) and key[:1] == ("._.",)]:
        if key[1:2] and key[1] in names:
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


install_extensions()
