"""A linear-chain CRF over BIO tags that knows which sequences are valid."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torchcrf import CRF

# Low enough to rule a path out, and still a half-precision number.
IMPOSSIBLE = -1e4
MISSING = -1


def tag_set(labels: Sequence[str]) -> list[str]:
    """The tags of the given entity types: `O`, then `B-` and `I-` of each."""
    return ["O", *(f"{prefix}-{label}" for label in labels for prefix in "BI")]


class BioCrf(nn.Module):
    """A CRF (Lafferty et al. 2001) over the `tag_set` of `n_labels` entity types.

    Tag 0 is `O`, tag 2k+1 is `B-` and tag 2k+2 `I-` of type k. `I-` may only follow `B-` or `I-` of
    the same type: other sequences have no probability and are never decoded.
    """

    starts_badly: torch.Tensor
    follows_badly: torch.Tensor

    def __init__(self, n_labels: int) -> None:
        super().__init__()
        n_tags = 2 * n_labels + 1
        self.crf = CRF(n_tags, batch_first=True)
        tags = torch.arange(n_tags)
        is_inside = (tags > 0) & (tags % 2 == 0)
        label = (tags - 1).div(2, rounding_mode="floor")
        continues = (label.unsqueeze(1) == label.unsqueeze(0)) & (tags > 0).unsqueeze(1)
        self.register_buffer("starts_badly", is_inside, persistent=False)
        self.register_buffer("follows_badly", is_inside & ~continues, persistent=False)

    def forward(
        self, emissions: torch.Tensor, tags: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        """Negative log-likelihood, averaged over sentences.

        emissions: (batch, words, tags).
        tags: (batch, words) of tag numbers; at a word with `MISSING` every tag counts as right.
        mask: (batch, words), True at words; the first column must be all True.
        """
        self._rule_out_invalid()
        missing = (tags < 0) & mask
        if not missing.any():
            return -self.crf(emissions, tags, mask=mask, reduction="mean")
        allowed = nn.functional.one_hot(tags.clamp(min=0), emissions.shape[-1]).bool()
        allowed |= missing.unsqueeze(-1)
        time_first, steps = emissions.transpose(0, 1), mask.transpose(0, 1)
        possible = time_first.masked_fill(~allowed.transpose(0, 1), IMPOSSIBLE)
        log_likelihood = self.crf._compute_normalizer(possible, steps)
        log_likelihood = log_likelihood - self.crf._compute_normalizer(time_first, steps)
        return -log_likelihood.mean()

    @torch.no_grad()
    def decode(self, emissions: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """The most probable valid tags, (batch, words); arbitrary where the mask is False.

        Viterbi over the whole batch at once (pytorch-crf's goes token by token).
        """
        # Copies, so that a model that is used stays as it was stored.
        starts = self.crf.start_transitions.masked_fill(self.starts_badly, IMPOSSIBLE)
        transitions = self.crf.transitions.masked_fill(self.follows_badly, IMPOSSIBLE)
        score = starts + emissions[:, 0]
        stay = torch.arange(score.shape[1], device=score.device).expand_as(score)
        history = []
        for step in range(1, emissions.shape[1]):
            best, previous = (score.unsqueeze(2) + transitions).max(dim=1)
            is_word = mask[:, step].unsqueeze(1)
            score = torch.where(is_word, best + emissions[:, step], score)
            history.append(torch.where(is_word, previous, stay))
        tag = (score + self.crf.end_transitions).argmax(dim=1, keepdim=True)
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
        """The probability that a span is an entity of just these bounds and this type.

        The sum over all valid sequences that have the entity, by forward-backward (Rabiner 1989) in
        log space and double precision: a sentence's scores may be thousands, and differ by little.

        emissions: (batch, words, tags).
        mask: (batch, words), True at words; the first column must be all True.
        spans: (n, 4) integers: the row of the batch, the first word, the one after the last, and
            the number of the type; n may be 0.
        temperature: divides the score of every sequence (Guo et al. 2017, for sequences); above 1
            for less certainty.
        returns: (n,) in double precision, 0 to 1.
        """
        crf = self.crf
        if emissions.device.type == "mps":
            # Apple's GPUs have no double precision.
            emissions, mask, spans = emissions.cpu(), mask.cpu(), spans.cpu()
        device = emissions.device
        row, start, end, label = spans.unbind(1)
        begin, inside = 2 * label + 1, 2 * label + 2
        scores, starts, transitions, ends = (
            values.to(device).double() / temperature
            for values in (emissions, crf.start_transitions, crf.transitions, crf.end_transitions)
        )
        starts = starts.masked_fill(self.starts_badly.to(device), IMPOSSIBLE)
        transitions = transitions.masked_fill(self.follows_badly.to(device), IMPOSSIBLE)
        forward = self._forward(scores, starts, transitions)
        backward = self._backward(scores, mask, transitions, ends)
        total = (starts + scores[:, 0] + backward[:, 0]).logsumexp(dim=1)
        # Every word after the first continues the entity: the score from the second word to the
        # last, as a difference of sums along the sentence.
        stays = transitions.diagonal() + scores
        along = stays.cumsum(dim=1)
        last = end - 1
        is_long = last > start
        second = transitions[begin, inside] - transitions[inside, inside]
        within = along[row, last, inside] - along[row, start, inside] + second
        before = forward[row, start, begin] + torch.where(is_long, within, 0.0)
        last_tag = torch.where(is_long, inside, begin)
        lengths = mask.sum(dim=1)
        is_final = end == lengths[row]
        # The word after the last must not continue the entity.
        following = end.clamp(max=emissions.shape[1] - 1)
        after = transitions[last_tag] + scores[row, following] + backward[row, following]
        after = after.scatter(1, inside.unsqueeze(1), -torch.inf).logsumexp(dim=1)
        after = torch.where(is_final, ends[last_tag], after)
        return (before + after - total[row]).exp().clamp(max=1.0)

    @staticmethod
    def _forward(
        scores: torch.Tensor, starts: torch.Tensor, transitions: torch.Tensor
    ) -> torch.Tensor:
        """Log of the sum over all beginnings that end in a tag, (batch, words, tags)."""
        state = starts + scores[:, 0]
        states = [state]
        for step in range(1, scores.shape[1]):
            state = (state.unsqueeze(2) + transitions).logsumexp(dim=1) + scores[:, step]
            states.append(state)
        return torch.stack(states, dim=1)

    @staticmethod
    def _backward(
        scores: torch.Tensor, mask: torch.Tensor, transitions: torch.Tensor, ends: torch.Tensor
    ) -> torch.Tensor:
        """Log of the sum over all that may follow a tag, (batch, words, tags)."""
        state = ends.expand_as(scores[:, 0])
        states = [state]
        for step in range(scores.shape[1] - 1, 0, -1):
            before = (transitions + (scores[:, step] + state).unsqueeze(1)).logsumexp(dim=2)
            state = torch.where(mask[:, step].unsqueeze(1), before, state)
            states.append(state)
        return torch.stack(states[::-1], dim=1)

    @torch.no_grad()
    def _rule_out_invalid(self) -> None:
        self.crf.start_transitions.masked_fill_(self.starts_badly, IMPOSSIBLE)
        self.crf.transitions.masked_fill_(self.follows_badly, IMPOSSIBLE)
