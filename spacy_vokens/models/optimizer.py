"""AdamW with per-group learning rates and weight decay, and its settings in a saved pipeline."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

import torch
from spacy.language import Language
from thinc.api import Optimizer, torch2xp, xp2torch
from thinc.backends import get_array_ops
from thinc.types import FloatsXd
from torch.optim.adamw import adamw


class GroupedAdam(Optimizer):
    """AdamW by PyTorch's fused kernel, with groups of parameters that are told apart by name.

    Thinc calls it with a key (shim id, parameter name). PyTorch's parameter names look like
    `encoder.layer.0.output.dense.weight` in a transformer, and start with `fusion.`, `output.` or
    `crf.` in the tagger. Thinc's own Adam goes over a parameter about ten times for each update,
    which took a quarter of a small transformer's training on a CPU.

    Args:
        lr_scales: Factor on the learning rate, by prefix of the parameter's name; the first match
            counts.
        no_decay: Parts of names. Parameters with one of them in their name are not decayed.
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
        """Update one parameter.

        Args:
            key: Shim id and parameter name.
            weights: The parameter.
            gradient: Its gradient.
            lr_scale: Factor on the learning rate.

        Returns:
            The new weights, and the gradient set to zero.
        """
        name = str(key[1])
        for prefix, scale in self.lr_scales.items():
            if name.startswith(prefix):
                lr_scale *= scale
                break
        ops = get_array_ops(weights)
        if self.grad_clip:
            gradient = ops.clip_gradient(gradient, self.grad_clip)
        for moments in (self.mom1, self.mom2):
            if key not in moments:
                moments[key] = ops.alloc(weights.shape)
        # The kernel reads memory in its order and takes no strides.
        updated, clipped, mom1, mom2 = (
            xp2torch(ops.xp.ascontiguousarray(array))
            for array in (weights, gradient, self.mom1[key], self.mom2[key])
        )
        adamw(
            [updated],
            [clipped],
            [mom1],
            [mom2],
            max_exp_avg_sqs=[],
            # The number of the updates before this one.
            state_steps=[torch.full((), float(self.nr_update[key]), device=updated.device)],
            fused=True,
            amsgrad=False,
            beta1=self.b1,
            beta2=self.b2,
            lr=self.learn_rate * lr_scale,
            weight_decay=0.0 if any(part in name for part in self.no_decay) else self.L2,
            eps=self.eps,
            maximize=False,
        )
        self.nr_update[key] += 1
        gradient.fill(0)
        return cast(FloatsXd, torch2xp(updated)), gradient


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

    Args:
        learn_rate: Learning rate, a number or a schedule.
        lr_scales: Factor on the learning rate, by prefix of the parameter's name; the first match
            counts. Parameters without a match have the factor 1.
        no_decay: Parts of names, such as "bias". Parameters with one of them in their name are not
            decayed.
        L2: Decoupled weight decay (AdamW).
        beta1: Decay rate of the first moment.
        beta2: Decay rate of the second moment.
        eps: Added to the denominator.
        grad_clip: Upper bound of the norm of each parameter's gradient; 0 for none.

    Returns:
        The optimizer.
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


def make_resolve_optimizer() -> Callable[[Language], Language]:
    """Make `spacy-vokens.resolve_optimizer.v1`, a callback for `after_pipeline_creation`.

    Returns:
        `resolve_optimizer`.
    """
    return resolve_optimizer


def resolve_optimizer(nlp: Language) -> Language:
    """Put values in the place of the references in a pipeline's optimizer.

    `nlp.create_optimizer`, `nlp.resume_training` and spaCy's `debug` commands read its block alone,
    in which a reference such as `${training.max_steps}` leads nowhere. The saved config has the
    values too: to train with it for another number of steps, also set `total_steps`.

    Args:
        nlp: The pipeline.

    Returns:
        The same pipeline.
    """
    nlp.config["training"]["optimizer"] = nlp.config.interpolate()["training"]["optimizer"]
    return nlp
