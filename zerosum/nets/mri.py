"""Nets of GANCS: a residual net that repairs zero-filled images, and the critic of what it made."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from zerosum.kspace import consistent, inverse_fourier
from zerosum.nets.norms import norm_layer, takes_bias
from zerosum.nets.resnet import Block
from zerosum.objectives import widened

__all__ = ["Critic", "Reconstructor"]


class Reconstructor(nn.Module):
    """Undersampled spectra y [B, C, H, W] with what is known of them, `keep` [B, 1, H, W] → images.

    Images are intensities, real, in [0, 1] and 0 where there is no signal (not in [−1, 1] as elsewhere: what
    a scanner measures has no such offset). The net is fed the zero-filled image F⁻¹My, complex, its real and
    imaginary parts as channels, and adds a correction to the real one; then what was measured is put back
    (`zerosum.kspace.consistent`, with weight `consistency`). In further `rounds` the same net is fed what it
    made in place of the real part.

    Residual blocks of two 3×3 convolutions, each after norm and ReLU, then two 1×1 ones with ReLU and one
    that draws, as in the paper; it starts from no correction. Blocks see squares of `fold`² pixels folded
    into channels: 1 is the paper's, 2 costs a quarter.

    >>> net = Reconstructor((1, 8, 12), width=4, blocks=1)
    >>> net(torch.zeros(2, 1, 8, 12, dtype=torch.complex64), torch.ones(2, 1, 8, 12, dtype=torch.bool)).shape
    torch.Size([2, 1, 8, 12])

    Raises ValueError for images that do not fold evenly, and settings below 1 (`consistency` outside [0, 1]).
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        *,
        width: int = 128,
        blocks: int = 5,
        norm: str = "batch",
        fold: int = 1,
        rounds: int = 1,
        consistency: float = 1.0,
    ) -> None:
        super().__init__()
        for name, number in (("width", width), ("blocks", blocks), ("fold", fold), ("rounds", rounds)):
            if number < 1:
                raise ValueError(f"--{name} must be at least 1, not {number}")
        if not 0 <= consistency <= 1:
            raise ValueError(f"--consistency is a weight, 0 to 1, not {consistency}")
        channels, height, width_of_image = shape
        if height % fold or width_of_image % fold:
            raise ValueError(
                f"--fold {fold} does not divide {height}×{width_of_image}: choose another --size"
            )
        self.shape, self.rounds, self.consistency = shape, rounds, consistency
        bias = takes_bias(norm)

        def block() -> Block:
            first, second = (nn.Conv2d(width, width, 3, padding=1, bias=bias) for _ in range(2))
            return Block(norm_layer(norm, width), first, norm_layer(norm, width), second, nn.Identity())

        last = nn.Conv2d(width, channels * fold**2, 1)
        for parameter in last.parameters():
            nn.init.zeros_(parameter)
        self.layers = nn.Sequential(
            nn.PixelUnshuffle(fold),
            nn.Conv2d(2 * channels * fold**2, width, 3, padding=1),
            *(block() for _ in range(blocks)),
            nn.Conv2d(width, width, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 1),
            nn.ReLU(inplace=True),
            last,
            nn.PixelShuffle(fold),
        )

    def drawn(self, y: Tensor, keep: Tensor) -> Tensor:
        """The net's own images [B, C, H, W], before what was measured is put back for the last time."""
        filled = inverse_fourier(torch.where(keep, y, 0))
        x = filled.real
        for turn in range(self.rounds):
            if turn:
                x = self.agreeing(x, y, keep)
            x = x + widened(self.layers(torch.cat([x, filled.imag], 1)))
        return x

    def agreeing(self, x: Tensor, y: Tensor, keep: Tensor) -> Tensor:
        """Images moved to what was measured, as far as `consistency` says."""
        return consistent(x, y, keep, self.consistency)

    def forward(self, y: Tensor, keep: Tensor) -> Tensor:
        return self.agreeing(self.drawn(y, keep), y, keep)

    def reconstruct(self, y: Tensor, keep: Tensor) -> Tensor:
        """Images [B, C, H, W] clipped to [0, 1]. Call it in evaluation mode.

        `y` is [B, C, H, W], complex, of images in [0, 1]; `keep` is bool, [1, H, W] or [B, 1, H, W].

        >>> net = Reconstructor((1, 8, 8), width=2, blocks=1).eval()
        >>> keep = torch.ones(1, 8, 8, dtype=torch.bool)
        >>> net.reconstruct(torch.zeros(3, 1, 8, 8, dtype=torch.complex64), keep).shape
        torch.Size([3, 1, 8, 8])

        Raises ValueError for spectra or masks of another size, and for what is not finite.
        """
        if y.dim() != 4 or tuple(y.shape[1:]) != self.shape or not y.is_complex():
            raise ValueError(
                f"spectra of {list(y.shape)}, {y.dtype}: this net takes complex [B, C, H, W] with "
                f"(C, H, W) = {self.shape}"
            )
        if keep.dtype is not torch.bool or tuple(keep.shape[-3:]) != (1, *self.shape[1:]):
            raise ValueError(
                f"a mask of {list(keep.shape)}, {keep.dtype}, does not fit: give bool [1, H, W] or "
                "[B, 1, H, W]"
            )
        y = torch.where(keep, y, 0)
        if not bool(y.isfinite().all()):
            raise ValueError("what was measured is not finite (NaN or infinity): correct it or leave it out")
        out: Tensor = self(y, keep.expand(len(y), *keep.shape[-3:])).clamp(0, 1)
        return out


class Critic(nn.Module):
    """Images [B, C, H, W] in [−1, 1] → logits [B]: the fully convolutional critic of Mardani et al. 2017.

    Four 3×3 convolutions that halve the size and double the feature maps, from `width`, a fifth that does
    not, two of 1×1, the last of which draws one map; its mean is the logit. Norm and ReLU after all others.

    >>> Critic(1, width=2)(torch.zeros(3, 1, 20, 16)).shape
    torch.Size([3])
    """

    def __init__(self, channels: int, *, width: int = 8, norm: str = "batch") -> None:
        super().__init__()
        if width < 1:
            raise ValueError(f"--critic-width must be at least 1, not {width}")
        maps = [channels, *(width * 2**i for i in range(4))]
        layers: list[nn.Module] = []

        def add(c_in: int, c_out: int, kernel: int, stride: int = 1) -> None:
            convolution = nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, bias=takes_bias(norm))
            layers.extend([convolution, norm_layer(norm, c_out), nn.ReLU(inplace=True)])

        for c_in, c_out in pairwise(maps):
            add(c_in, c_out, 3, 2)
        add(maps[-1], maps[-1], 3)
        add(maps[-1], maps[-1], 1)
        self.layers = nn.Sequential(*layers, nn.Conv2d(maps[-1], 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x).mean((1, 2, 3))
        return out
