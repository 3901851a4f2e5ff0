"""Undersampled Fourier measurements, as magnetic resonance makes them: the operator, with coils."""

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from zerosum.inverse.operators import Shape, check_images, spectral_norm
from zerosum.kspace import equispaced, fourier, inverse_fourier, line_mask, variable_density

__all__ = [
    "Fourier",
    "coil_sensitivities",
    "equispaced",
    "fourier",
    "inverse_fourier",
    "line_mask",
    "variable_density",
]


@dataclass(frozen=True)
class Fourier:
    """y = M F S x: undersampled orthonormal spectra, complex, 0 where nothing is measured.

    `shape` is (C, H, W). C real channels give y [..., C, H, W]; with `paired` the image is complex, its two
    channels the real and the imaginary part, and y is [..., 1, H, W]. `keep` is bool, True where measured:
    [1, H, W] or, for each image, [B, 1, H, W], frequency 0 at size // 2. `sensitivities` [K, H, W] are the
    coils' maps S, for one image channel: y is [..., K, H, W].

    The adjoint is real, A*y = Re F⁻¹My for real images: the zero-filled image. Raises ValueError for a
    mask or maps of another size, and a mask with nothing measured.

    >>> operator = Fourier((1, 8, 8), line_mask((1, 8, 8), equispaced(8, 2)))
    >>> operator.forward(torch.ones(5, 1, 8, 8)).dtype
    torch.complex64
    """

    shape: Shape
    keep: Tensor
    sensitivities: Tensor | None = None
    paired: bool = False

    def __post_init__(self) -> None:
        channels, height, width = self.shape
        if self.keep.dtype is not torch.bool:
            raise ValueError(f"a mask is bool, True where measured, not {self.keep.dtype}")
        if self.keep.dim() not in (3, 4) or tuple(self.keep.shape[-3:]) != (1, height, width):
            raise ValueError(f"a mask of {list(self.keep.shape)} does not fit [1, {height}, {width}]")
        if not bool(self.keep.flatten(-3).any(-1).all()):
            raise ValueError("the mask measures no frequency: lower --acceleration")
        if self.paired and channels != 2:
            raise ValueError(f"a paired image has 2 channels, real and imaginary, not {channels}")
        if self.sensitivities is not None:
            if tuple(self.sensitivities.shape[1:]) != (height, width) or self.sensitivities.dim() != 3:
                raise ValueError(
                    f"maps of {list(self.sensitivities.shape)} do not fit [coils, {height}, {width}]"
                )
            if channels != 1 and not self.paired:
                raise ValueError(f"coils see one channel, or a paired image, not {channels} channels")

    @property
    def measured(self) -> tuple[int, ...]:
        """(C, H, W), (1, H, W) if paired, (coils, H, W) with coils."""
        if self.sensitivities is not None:
            return tuple(self.sensitivities.shape)
        return (1 if self.paired else self.shape[0], *self.shape[1:])

    @cached_property
    def norm(self) -> float:
        """Without coils exact; with them by Lanczos steps (the largest of all masks').

        F*MF is a real matrix's symmetric part for real images, with eigenvalues (M(k) + M(−k))/2.
        """
        if self.sensitivities is not None:
            keeps = self.keep if self.keep.dim() == 4 else self.keep[None]
            ones = (Fourier(self.shape, keep, self.sensitivities, self.paired) for keep in keeps)
            return max(spectral_norm(one, self.shape) for one in ones)
        if self.paired:
            return 1.0
        weights = torch.fft.ifftshift(self.keep.double(), (-2, -1))
        mirrored = weights.flip(-2, -1).roll((1, 1), (-2, -1))
        return math.sqrt(float(((weights + mirrored) / 2).max()))

    def forward(self, x: Tensor) -> Tensor:
        """Measured spectra."""
        check_images(self.shape, x)
        if self.paired:
            x = torch.complex(x[..., :1, :, :], x[..., 1:, :, :])
        if self.sensitivities is not None:
            x = x * self._maps(x)
        return torch.where(self.keep.to(x.device), fourier(x), 0)

    def adjoint(self, y: Tensor) -> Tensor:
        """The zero-filled image; with coils, their images weighted by the conjugate maps and added."""
        x = inverse_fourier(torch.where(self.keep.to(y.device), y, 0))
        if self.sensitivities is not None:
            x = (x * self._maps(x).conj()).sum(-3, keepdim=True)
        return torch.cat([x.real, x.imag], -3) if self.paired else x.real

    def _maps(self, x: Tensor) -> Tensor:
        assert self.sensitivities is not None
        return self.sensitivities.to(x.device, x.to(torch.promote_types(x.dtype, torch.complex64)).dtype)


def coil_sensitivities(coils: int, height: int, width: int, *, reach: float = 1.0) -> Tensor:
    """Smooth synthetic maps of coils on a ring about the image: complex [coils, H, W], Σ|s|² = 1 everywhere.

    Coil j sits at 1.2 times the half side; |s_j| falls as a Gaussian of `reach` half sides with the
    distance, and its phase turns once around the ring and slowly across the image. No measured maps: they
    stand for the shapes of an array.

    >>> maps = coil_sensitivities(4, 16, 16)
    >>> torch.allclose(maps.abs().square().sum(0), torch.ones(16, 16))
    True
    """
    if coils < 1 or not reach > 0:
        raise ValueError(f"--coils must be at least 1 and their reach above 0, not {coils}, {reach}")
    down = torch.linspace(-1, 1, height, dtype=torch.float64)[:, None]
    across = torch.linspace(-1, 1, width, dtype=torch.float64)
    angle = 2 * math.pi * torch.arange(coils, dtype=torch.float64)[:, None, None] / coils
    far = (down - 1.2 * torch.sin(angle)) ** 2 + (across - 1.2 * torch.cos(angle)) ** 2
    phase = angle + 0.5 * (across * torch.cos(angle) + down * torch.sin(angle))
    maps = torch.polar(torch.exp(-far / (2 * reach**2)), phase)
    return (maps / maps.abs().square().sum(0).sqrt()).to(torch.complex64)
