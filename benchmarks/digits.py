"""How readable are generated digits? A trained LeNet-5 reads them, and says how sure it is."""

from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

__all__ = ["LeNet", "Reading", "read_digits"]


class LeNet(nn.Module):
    """LeNet-5 (LeCun et al. 1998) on 32×32 images in [0, 1], with weights from a safetensors file."""

    def __init__(self, weights: Path) -> None:
        super().__init__()
        self.c1, self.c3, self.c5 = nn.Conv2d(1, 6, 5), nn.Conv2d(6, 16, 5), nn.Conv2d(16, 120, 5)
        self.f6, self.f7 = nn.Linear(120, 84), nn.Linear(84, 10)
        tensors = {name.split(".", 1)[1]: tensor for name, tensor in load_file(weights).items()}
        self.load_state_dict({".".join(k.split(".")[-2:]): v for k, v in tensors.items()})

    def features(self, images: Tensor) -> Tensor:
        """Images [B, 1, H, W] in [−1, 1] → the 84 features before the classes."""
        x = F.interpolate((images + 1) / 2, size=(32, 32), mode="bilinear", align_corners=False)
        x = F.max_pool2d(F.relu(self.c1(x)), 2)
        x = F.max_pool2d(F.relu(self.c3(x)), 2)
        return F.relu(self.f6(F.relu(self.c5(x)).flatten(1)))

    def forward(self, images: Tensor) -> Tensor:
        """Logits [B, 10]."""
        return self.f7(self.features(images))


class Reading(NamedTuple):
    """The share read with confidence of at least .9, and each digit's share of all samples."""

    confident: float
    shares: tuple[float, ...]
    frechet: float | None = None


@torch.inference_mode()
def read_digits(lenet: LeNet, images: Tensor, real: Tensor | None = None) -> Reading:
    """Read images [N, 1, H, W] in [−1, 1]; with `real`, also the Fréchet distance of LeNet features."""
    lenet.eval()
    probabilities = torch.cat([lenet(part).softmax(1) for part in images.split(500)])
    confidence, digits = probabilities.max(1)
    shares = tuple((torch.bincount(digits, minlength=10) / len(digits)).tolist())
    frechet = None
    if real is not None:
        a, b = (torch.cat([lenet.features(p) for p in x.split(500)]).double() for x in (real, images))
        frechet = _frechet(a, b)
    return Reading(float((confidence >= 0.9).double().mean()), shares, frechet)


def _frechet(a: Tensor, b: Tensor) -> float:
    """‖μ₁−μ₂‖² + tr(Σ₁ + Σ₂ − 2(Σ₁Σ₂)^½) (Dowson & Landau 1982)."""
    s1, s2 = torch.cov(a.T), torch.cov(b.T)
    values, vectors = torch.linalg.eigh(s1)
    root = vectors @ torch.diag(values.clamp_min(0).sqrt()) @ vectors.T
    cross = torch.linalg.eigvalsh(root @ s2 @ root).clamp_min(0).sqrt().sum()
    return float((a.mean(0) - b.mean(0)).square().sum() + s1.trace() + s2.trace() - 2 * cross)
