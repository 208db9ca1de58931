"""AdamW with a learning rate and a weight decay by group of parameters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from thinc.api import Optimizer
from thinc.types import FloatsXd


class GroupedAdam(Optimizer):
    """Thinc's Adam, which reads from a parameter's name what group it belongs to.

    Thinc calls it with the key (shim id, parameter name); torch's names look like
    `encoder.layer.0.output.dense.weight` in a transformer, and begin with `fusion.`, `output.` or
    `crf.` in the tagger.
    """

    def __init__(
        self, *args: Any, lr_scales: Mapping[str, float], no_decay: Iterable[str], **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.lr_scales = dict(lr_scales)
        self.no_decay = tuple(no_decay)

    def __call__(
        self, key: tuple[int, str], weights: FloatsXd, gradient: FloatsXd, *, lr_scale: float = 1.0
    ) -> tuple[FloatsXd, FloatsXd]:
        """Update one parameter; returns the new weights and the emptied gradient."""
        name = str(key[1])
        for prefix, scale in self.lr_scales.items():
            if name.startswith(prefix):
                lr_scale *= scale
                break
        decay = self.L2
        if any(part in name for part in self.no_decay):
            self.L2 = 0.0
        try:
            return super().__call__(key, weights, gradient, lr_scale=lr_scale)
        finally:
            self.L2 = decay


def grouped_adam(
    learn_rate: Any,
    lr_scales: dict[str, float],
    no_decay: list[str],
    L2: float = 0.01,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    grad_clip: float = 1.0,
) -> GroupedAdam:
    """Make the optimizer `spacy-vokens.GroupedAdam.v1`.

    learn_rate: a number or a schedule: the rate of parameters that no prefix matches.
    lr_scales: for parameters whose name starts with the key, the factor on the learning rate; the
        first match counts.
    no_decay: parts of names whose parameters are not decayed, such as "bias".
    L2: decoupled weight decay (AdamW).
    grad_clip: bound of each parameter's gradient norm; 0 turns it off.
    """
    return GroupedAdam(
        learn_rate,
        lr_scales=lr_scales,
        no_decay=no_decay,
        L2=L2,
        beta1=beta1,
        beta2=beta2,
        eps=eps,
        grad_clip=grad_clip,
        L2_is_weight_decay=True,
        use_averages=False,
    )
