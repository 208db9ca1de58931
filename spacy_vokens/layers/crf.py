"""The CRF as a Thinc node of its own: it decodes, and gives the tagger its loss."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from thinc.api import Model, xp2torch
from thinc.types import Floats3d

from ..tagger.crf import MISSING, BioCrf
from .torch_module import get_module, loss_and_gradients, torch_layer


def crf_layer(n_labels: int) -> Model:
    """A node that owns a `BioCrf`; use it through the functions below."""
    return torch_layer(BioCrf(n_labels))


def decode(layer: Model, emissions: Floats3d, lengths: Sequence[int]) -> list[np.ndarray]:
    """The best valid tag numbers of every sentence, an int array (n_words,) each.

    emissions: (sentences, words, tags), padded.
    lengths: number of words of every sentence, each at least 1.
    """
    scores = xp2torch(emissions)
    tags = get_module(layer).decode(scores, _mask(lengths, scores)).cpu().numpy()
    return [row[:length] for row, length in zip(tags, lengths, strict=True)]


def span_probabilities(
    layer: Model,
    emissions: Floats3d,
    lengths: Sequence[int],
    spans: Sequence[np.ndarray],
    temperature: float = 1.0,
) -> list[np.ndarray]:
    """The probability of each span to be an entity, as `BioCrf.span_probabilities` has it.

    emissions, lengths: as for `decode`.
    spans: of every sentence, (n, 3) of first word, the one after the last, and label number.
    temperature: divides the score of every sequence.
    returns: (n,) a sentence, 0 to 1.
    """
    scores = xp2torch(emissions)
    counts = [len(of_sentence) for of_sentence in spans]
    rows = np.repeat(np.arange(len(spans)), counts)
    joined = np.concatenate([of_sentence.reshape(-1, 3) for of_sentence in spans])
    wanted = torch.from_numpy(np.column_stack([rows, joined]).astype(np.int64)).to(scores.device)
    found = get_module(layer).span_probabilities(
        scores, _mask(lengths, scores), wanted, temperature
    )
    return np.split(found.cpu().numpy(), np.cumsum(counts)[:-1])


def crf_loss(
    layer: Model, emissions: Floats3d, tags: Sequence[Sequence[int]]
) -> tuple[float, Floats3d]:
    """Negative log-likelihood averaged over sentences, and its gradient by the emissions.

    emissions: (sentences, words, tags), padded.
    tags: tag numbers of every sentence; `MISSING` where the annotation has none.
    """
    device = next(get_module(layer).parameters()).device
    gold = np.full(emissions.shape[:2], MISSING, dtype=np.int64)
    for row, sentence in zip(gold, tags, strict=True):
        row[: len(sentence)] = sentence
    gold_tags = torch.from_numpy(gold).to(device)
    mask = _mask([len(sentence) for sentence in tags], gold_tags)
    # pytorch-crf looks tags up before it masks them.
    gold_tags = torch.where(mask, gold_tags, 0)
    loss, (d_emissions,) = loss_and_gradients(layer, [emissions], gold_tags, mask)
    return loss, d_emissions


def _mask(lengths: Sequence[int], like: torch.Tensor) -> torch.Tensor:
    steps = torch.arange(like.shape[1], device=like.device)
    return steps.unsqueeze(0) < torch.tensor(lengths, device=like.device).unsqueeze(1)
