"""What the CRF of the tagger is used for: it finds entities, and gives the tagger its loss.

Emissions are the scores of tags: one array (n_words, n_tags) per sentence, with at least one word.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from thinc.api import Model, xp2torch
from thinc.types import Floats2d
from torch.nn.utils.rnn import pad_sequence

from .torch.crf import MISSING
from .torch_layer import get_module, loss_and_gradients


def find_entities(
    layer: Model, emissions: Sequence[Floats2d], temperature: float | None = None
) -> tuple[list[np.ndarray], list[np.ndarray] | None]:
    """Find the entities of the best valid tag sequence of each sentence.

    Args:
        layer: A `torch_layer` of a `BioCrf`.
        emissions: Per sentence, (n_words, n_tags).
        temperature: Divides the score of each tag sequence before probabilities are computed. None
            to compute none.

    Returns:
        Per sentence, integers (n_entities, 3): first word, the one after the last word, and label
        index. And per sentence, the probabilities (n_entities,) of its entities, or None.
    """
    module = get_module(layer)
    scores, mask = _pad(emissions)
    tags = torch.where(mask, module.decode(scores, mask), 0).cpu().numpy()
    spans = spans_of_tags(tags)
    splits = np.searchsorted(spans[:, 0], np.arange(1, len(tags)))
    confidences = None
    if temperature is not None:
        wanted = torch.from_numpy(spans).to(scores.device)
        found = module.span_probabilities(scores, mask, wanted, temperature)
        confidences = np.split(found.cpu().numpy(), splits)
    return np.split(spans[:, 1:], splits), confidences


def spans_of_tags(tags: np.ndarray) -> np.ndarray:
    """Find the entities of valid tag sequences.

    Args:
        tags: Tag ids, (sentences, words), padded with 0.

    Returns:
        Integers (n_entities, 4): sentence, first word, the one after the last word, and label
        index; in the order of the words.
    """
    # An O after each sentence ends its last entity, so that all sentences can be read as one.
    joined = np.pad(tags, ((0, 0), (0, 1))).ravel()
    is_begin = joined % 2 == 1
    starts = np.flatnonzero(is_begin)
    ends = np.flatnonzero(is_begin | (joined == 0))
    # The first word after the start that is not inside the entity.
    ends = ends[np.searchsorted(ends, starts, side="right")]
    rows, firsts = np.divmod(starts, tags.shape[1] + 1)
    return np.stack([rows, firsts, firsts + ends - starts, (joined[starts] - 1) // 2], axis=1)


def span_probabilities(
    layer: Model,
    emissions: Sequence[Floats2d],
    spans: Sequence[np.ndarray],
    temperature: float = 1.0,
) -> list[np.ndarray]:
    """Compute the probability that spans are entities with exactly these bounds and types.

    Args:
        layer: A `torch_layer` of a `BioCrf`.
        emissions: Per sentence, (n_words, n_tags).
        spans: Per sentence, integers (n, 3): first word, the one after the last word, and label
            index.
        temperature: Divides the score of each tag sequence.

    Returns:
        Per sentence, probabilities (n,).
    """
    scores, mask = _pad(emissions)
    counts = [len(sentence_spans) for sentence_spans in spans]
    rows = np.repeat(np.arange(len(spans)), counts)
    joined = np.concatenate([sentence_spans.reshape(-1, 3) for sentence_spans in spans])
    wanted = torch.from_numpy(np.column_stack([rows, joined]).astype(np.int64)).to(scores.device)
    found = get_module(layer).span_probabilities(scores, mask, wanted, temperature)
    return np.split(found.cpu().numpy(), np.cumsum(counts)[:-1])


def crf_loss(
    layer: Model, emissions: Sequence[Floats2d], tags: Sequence[Sequence[int]]
) -> tuple[float, list[Floats2d]]:
    """Compute the negative log-likelihood averaged over sentences, and its gradient.

    Args:
        layer: A `torch_layer` of a `BioCrf`.
        emissions: Per sentence, (n_words, n_tags).
        tags: Per sentence, a tag id for each word; `MISSING` where the annotation has none.

    Returns:
        The loss, and its gradient with respect to the emissions of each sentence.
    """
    padded: Any = layer.ops.pad(list(emissions))
    device = next(get_module(layer).parameters()).device
    gold = np.full(padded.shape[:2], MISSING, dtype=np.int64)
    mask = np.zeros(padded.shape[:2], dtype=bool)
    for row, sentence_tags in enumerate(tags):
        gold[row, : len(sentence_tags)] = sentence_tags
        mask[row, : len(sentence_tags)] = True
    constants = (torch.from_numpy(array).to(device) for array in (gold, mask))
    loss, (d_padded,) = loss_and_gradients(layer, [padded], *constants)
    gradients: Any = layer.ops.unpad(d_padded, list(map(len, tags)))
    return loss, gradients


def _pad(emissions: Sequence[Floats2d]) -> tuple[torch.Tensor, torch.Tensor]:
    """Join emissions: (sentences, words, tags), and a mask that is True at words."""
    scores = pad_sequence([xp2torch(scores) for scores in emissions], batch_first=True)
    lengths = torch.tensor(list(map(len, emissions)))
    mask = torch.arange(scores.shape[1]) < lengths.unsqueeze(1)
    return scores, mask.to(scores.device)
