"""Standing statistics: a generator's batch norm as it is over many fresh samples (BigGAN, appendix B)."""

import torch
from torch import Tensor, nn

from zerosum.draws import Draws, Latent

__all__ = ["standing_statistics"]

_BATCH_NORM = nn.modules.batchnorm._BatchNorm


@torch.no_grad()
def standing_statistics(
    generator: nn.Module, latent: Latent, draws: Draws, batches: int, labels: Tensor | None = None
) -> None:
    """Set each batch norm's mean and variance to their averages over `batches` passes in training mode.

    Each pass has its equal share of `draws`, and of `labels` [n] where the generator is told them. As
    published: the variance is the mean of the passes' (unbiased) variances. Parameters, and whether the
    generator is training, stay as they were; call it on the average of a generator, whose running
    statistics are an average over other weights', or after a change of the latents' law, as by truncation.

    >>> generator = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    >>> standing_statistics(generator, Latent(3), Draws(stop=64), batches=4)
    >>> generator[1].num_batches_tracked.item()
    4

    Raises ValueError where draws cannot be shared out equally, passes would have one sample, labels are
    not one for each draw, or there is no batch norm with statistics to set.
    """
    norms = [m for m in generator.modules() if isinstance(m, _BATCH_NORM) and m.track_running_stats]
    if not norms:
        raise ValueError("standing statistics: this generator has no batch norm, so it needs none")
    if batches < 1 or len(draws) % batches or len(draws) < 2 * batches:
        raise ValueError(
            f"standing statistics: {len(draws)} draws in {batches} batches: give a multiple of the batches, "
            "two or more samples each"
        )
    if labels is not None and labels.shape != (len(draws),):
        raise ValueError(
            f"standing statistics: {len(draws)} draws need as many labels, not {tuple(labels.shape)}"
        )
    size = len(draws) // batches
    like = next(generator.parameters())
    was = [(module, module.training) for module in generator.modules()]
    momenta = [norm.momentum for norm in norms]
    generator.train()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # PyTorch's way to ask for a plain average
    try:
        for start in range(0, len(draws), size):
            part = draws.part(draws.start + start, draws.start + start + size)
            z = latent(part).to(like.device, like.dtype)
            told = () if labels is None else (labels[start : start + size].to(like.device),)
            generator(z, *told)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        for module, training in was:
            module.training = training
