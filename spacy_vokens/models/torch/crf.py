"""A linear-chain CRF over BIO tags in which only valid tag sequences have a probability."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

# Low enough to rule a path out, and still a half-precision number.
IMPOSSIBLE = -1e4
MISSING = -1


def tag_set(labels: Sequence[str]) -> list[str]:
    """Return the tags of the given entity types: `O`, then `B-` and `I-` for each type."""
    return ["O", *(f"{prefix}-{label}" for label in labels for prefix in "BI")]


class BioCrf(nn.Module):
    """A CRF (Lafferty et al. 2001) over the `tag_set` of the entity types.

    Tag 0 is `O`, tag 2k+1 is `B-` and tag 2k+2 `I-` of type k. `I-` may only follow `B-` or `I-` of
    the same type. All other sequences have no probability and are never decoded.

    Args:
        n_labels: Number of entity types.
    """

    invalid_start: torch.Tensor
    invalid_transition: torch.Tensor

    def __init__(self, n_labels: int) -> None:
        super().__init__()
        n_tags = 2 * n_labels + 1
        # A dict, so that the names of all parameters begin with `crf.`: optimizers tell groups of
        # parameters apart by their prefix.
        shapes = {"starts": (n_tags,), "ends": (n_tags,), "transitions": (n_tags, n_tags)}
        self.crf = nn.ParameterDict(
            {name: nn.Parameter(torch.empty(shape)) for name, shape in shapes.items()}
        )
        for name in shapes:
            nn.init.uniform_(self.crf[name], -0.1, 0.1)
        tags = torch.arange(n_tags)
        is_inside = (tags > 0) & (tags % 2 == 0)
        label = (tags - 1).div(2, rounding_mode="floor")
        continues = (label.unsqueeze(1) == label.unsqueeze(0)) & (tags > 0).unsqueeze(1)
        self.register_buffer("invalid_start", is_inside, persistent=False)
        self.register_buffer("invalid_transition", is_inside & ~continues, persistent=False)

    def weights(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the scores of starting, following and ending tags; invalid ones are `IMPOSSIBLE`.

        Returns:
            Starts (tags,), transitions (tags, tags) from the first axis to the second, and ends
            (tags,).
        """
        starts = self.crf["starts"].masked_fill(self.invalid_start, IMPOSSIBLE)
        transitions = self.crf["transitions"].masked_fill(self.invalid_transition, IMPOSSIBLE)
        return starts, transitions, self.crf["ends"]

    def forward(
        self, emissions: torch.Tensor, tags: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        """Compute the negative log-likelihood, averaged over sentences.

        Args:
            emissions: Score of each tag, (batch, words, tags).
            tags: Tag ids, (batch, words). At a word with `MISSING` every tag counts as right.
            mask: True at words, (batch, words). The first column must be all True.

        Returns:
            The loss, a scalar.
        """
        starts, transitions, ends = self.weights()

        def log_sum(scores: torch.Tensor) -> torch.Tensor:
            after = _backward(scores, mask, transitions, ends)[:, 0]
            return (starts + scores[:, 0] + after).logsumexp(dim=1)

        gold = tags.clamp(min=0)
        missing = (tags < 0) & mask
        if missing.any():
            allowed = nn.functional.one_hot(gold, emissions.shape[2]).bool() | missing.unsqueeze(2)
            score = log_sum(emissions.masked_fill(~allowed, IMPOSSIBLE))
        else:
            word_scores = emissions.gather(2, gold.unsqueeze(2)).squeeze(2)
            # Each word after the first also has the transition from the word before it.
            word_scores = word_scores + nn.functional.pad(
                transitions[gold[:, :-1], gold[:, 1:]], (1, 0)
            )
            last = gold.gather(1, mask.sum(dim=1, keepdim=True) - 1).squeeze(1)
            score = starts[gold[:, 0]] + (word_scores * mask).sum(dim=1) + ends[last]
        return (log_sum(emissions) - score).mean()

    @torch.no_grad()
    def decode(self, emissions: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Find the most probable valid tags with Viterbi's algorithm, for the whole batch at once.

        Args:
            emissions: Score of each tag, (batch, words, tags).
            mask: True at words, (batch, words). The first column must be all True.

        Returns:
            Tag ids, (batch, words); arbitrary where the mask is False.
        """
        starts, transitions, ends = self.weights()
        score = starts + emissions[:, 0]
        stay = torch.arange(score.shape[1], device=score.device).expand_as(score)
        history = []
        for step in range(1, emissions.shape[1]):
            best, previous = (score.unsqueeze(2) + transitions).max(dim=1)
            is_word = mask[:, step].unsqueeze(1)
            score = torch.where(is_word, best + emissions[:, step], score)
            history.append(torch.where(is_word, previous, stay))
        tag = (score + ends).argmax(dim=1, keepdim=True)
        path = [tag]
        for previous in reversed(history):
            tag = previous.gather(1, tag)
            path.append(tag)
        return torch.cat(path[::-1], dim=1)

    @torch.no_grad()
    def span_probabilities(
        self,
        emissions: torch.Tensor,
        mask: torch.Tensor,
        spans: torch.Tensor,
        temperature: float = 1.0,
    ) -> torch.Tensor:
        """Compute the probability that spans are entities with exactly these bounds and types.

        It is the sum over all valid sequences that have the entity, computed by forward-backward
        (Rabiner 1989) in log space. Double precision, because the scores of a long sentence may be
        in the thousands while their differences are small.

        Args:
            emissions: Score of each tag, (batch, words, tags).
            mask: True at words, (batch, words). The first column must be all True.
            spans: Integers (n, 4): the row of the batch, the first word, the one after the last
                word, and the label index. n may be 0.
            temperature: Divides the score of each sequence (Guo et al. 2017, for sequences). Above
                1, probabilities are less certain.

        Returns:
            Probabilities in double precision, (n,).
        """
        weights = self.weights()
        if emissions.device.type == "mps":
            # Apple's GPUs have no double precision.
            emissions, mask, spans = emissions.cpu(), mask.cpu(), spans.cpu()
        scores, starts, transitions, ends = (
            values.to(emissions.device).double() / temperature for values in (emissions, *weights)
        )
        row, start, end, label = spans.unbind(1)
        begin, inside = 2 * label + 1, 2 * label + 2
        # Summed over everything that leads to a tag of a word: (batch, words, tags).
        states = [starts + scores[:, 0]]
        for step in range(1, scores.shape[1]):
            state = (states[-1].unsqueeze(2) + transitions).logsumexp(dim=1)
            states.append(state + scores[:, step])
        forward = torch.stack(states, dim=1)
        backward = _backward(scores, mask, transitions, ends)
        total = (forward[:, 0] + backward[:, 0]).logsumexp(dim=1)
        # The words after the first continue the entity. Their score, from the second word to the
        # last, is a difference of sums along the sentence.
        stays = transitions.diagonal() + scores
        along = stays.cumsum(dim=1)
        last = end - 1
        is_long = last > start
        second = transitions[begin, inside] - transitions[inside, inside]
        within = along[row, last, inside] - along[row, start, inside] + second
        before = forward[row, start, begin] + torch.where(is_long, within, 0.0)
        last_tag = torch.where(is_long, inside, begin)
        is_final = end == mask.sum(dim=1)[row]
        # The word after the last must not continue the entity.
        following = end.clamp(max=emissions.shape[1] - 1)
        after = transitions[last_tag] + scores[row, following] + backward[row, following]
        after = after.scatter(1, inside.unsqueeze(1), -torch.inf).logsumexp(dim=1)
        after = torch.where(is_final, ends[last_tag], after)
        return (before + after - total[row]).exp().clamp(max=1.0)


def _backward(
    scores: torch.Tensor, mask: torch.Tensor, transitions: torch.Tensor, ends: torch.Tensor
) -> torch.Tensor:
    """Sum, in log space, over everything that may follow a tag of a word: (batch, words, tags)."""
    state = ends.expand_as(scores[:, 0])
    states = [state]
    # `logsumexp` is faster over the second last axis than over the last one.
    transposed = transitions.T.contiguous()
    for step in range(scores.shape[1] - 1, 0, -1):
        before = (transposed + (scores[:, step] + state).unsqueeze(2)).logsumexp(dim=1)
        state = torch.where(mask[:, step].unsqueeze(1), before, state)
        states.append(state)
    return torch.stack(states[::-1], dim=1)
