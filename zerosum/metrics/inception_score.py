"""The inception score, of any classifier's logits (Salimans et al. 2016, section 4)."""

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Score", "inception_score"]


class Score(NamedTuple):
    """Mean over splits, and their standard deviation (over n, as it is published)."""

    mean: float
    deviation: float


def inception_score(logits: Tensor, splits: int = 10) -> Score:
    """exp E KL(p(y|x) ‖ p(y)), from 1 to K, for logits [N, K] of generated samples.

    p(y) is the mean of p(y|x) over the split. A score knows nothing of the real data: one perfect picture
    a class gives K. It is too low at small N, as p(y) follows the sample. Samples that do not fill a split
    are left out.

    >>> inception_score(100 * torch.eye(4).repeat(10, 1), splits=1)
    Score(mean=4.0, deviation=0.0)

    Raises ValueError for fewer samples than splits, and for logits that are not finite.
    """
    if logits.dim() != 2 or splits < 1 or len(logits) < splits:
        raise ValueError(f"logits [N, K] with N ≥ {splits} splits are needed, not {list(logits.shape)}")
    if not bool(torch.isfinite(logits).all()):
        raise ValueError("some logits are not finite (NaN or infinity)")
    each = len(logits) // splits
    logs = logits.detach().double().log_softmax(1)[: splits * each].unflatten(0, (splits, each))
    p = logs.exp()
    divergence = torch.xlogy(p, p).sum(2).mean(1) - torch.xlogy(p.mean(1), p.mean(1)).sum(1)
    scores = divergence.exp()
    return Score(float(scores.mean()), float(scores.std(correction=0)))
