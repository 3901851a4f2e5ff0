"""PSNR and SSIM against scikit-image; MS-SSIM against its formula; LPIPS against its authors' values."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor
from torch.nn import functional as F

from zerosum.metrics.lpips import LPIPS
from zerosum.metrics.quality import luma, ms_ssim, psnr, ssim


def pair(size: tuple[int, int], channels: int = 3, noise: float = 0.2) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(sum(size))
    real = F.interpolate(torch.randn(2, channels, 6, 7, generator=draw), size, mode="bicubic").tanh().double()
    return real, (real + noise * torch.randn(real.shape, generator=draw)).clamp(-1, 1)


def plain(image: Tensor) -> np.ndarray:
    return image.permute(1, 2, 0).numpy()


@pytest.mark.parametrize("size", [(24, 24), (33, 40)])
def test_psnr_and_ssim_are_those_of_scikit_image(size):
    real, fake = pair(size)
    for i in range(2):
        x, y = plain(real[i]), plain(fake[i])
        assert float(psnr(real, fake)[i]) == pytest.approx(peak_signal_noise_ratio(x, y, data_range=2))
        options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 2}
        # On [0, 2], the range that the constants are meant for; theirs is a mean without the border too.
        expected = structural_similarity(x + 1, y + 1, channel_axis=2, **options)
        assert float(ssim(real, fake)[i]) == pytest.approx(expected, abs=1e-6)


def test_borders_are_left_out():
    real, fake = pair((24, 24))
    assert torch.equal(psnr(real, fake, border=4), psnr(real[:, :, 4:20, 4:20], fake[:, :, 4:20, 4:20]))


def test_luma_is_that_of_scikit_image():
    real, _ = pair((8, 8))
    expected = rgb2ycbcr((plain(real[0]) + 1) / 2)[..., 0] / 255 * 2 - 1
    np.testing.assert_allclose(luma(real)[0, 0].numpy(), expected, atol=1e-6)


def test_ms_ssim_of_one_scale_is_ssim_and_of_two_its_product():
    real, fake = pair((48, 48))
    torch.testing.assert_close(ms_ssim(real, fake, 1), ssim(real, fake))
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 2}
    found = []
    for i in range(2):
        x, y = plain(real[i]) + 1, plain(fake[i]) + 1
        # Contrast and structure alone: the luminance of equal means is 1, so each window's mean goes off.
        small = [F.avg_pool2d(s[i : i + 1], 2)[0] for s in (real, fake)]
        whole = structural_similarity(plain(small[0]) + 1, plain(small[1]) + 1, channel_axis=2, **options)
        a, b = 0.0448 / 0.3304, 0.2856 / 0.3304
        found.append((contrast_of(x, y) ** a) * whole**b)
    assert ms_ssim(real, fake, 2).tolist() == pytest.approx(found, abs=1e-6)


def contrast_of(x: np.ndarray, y: np.ndarray) -> float:
    from scipy.ndimage import gaussian_filter

    def blur(image: np.ndarray) -> np.ndarray:
        return np.stack([gaussian_filter(image[..., c], 1.5, radius=5) for c in range(3)], -1)[5:-5, 5:-5]

    c2 = (0.03 * 2) ** 2
    both = blur(x * y) - blur(x) * blur(y)
    spread = blur(x * x) - blur(x) ** 2 + blur(y * y) - blur(y) ** 2
    return float(((2 * both + c2) / (spread + c2)).mean())


@pytest.mark.parametrize("net", ["alexnet", "vgg16"])
def test_lpips_gives_the_published_values(shared_data: Path, net: str):
    lpips = LPIPS(load_file(shared_data / f"lpips_{net}_fp16.safetensors"))
    with np.load(shared_data / "lpips_examples.npz") as arrays:
        images = {k: torch.from_numpy(arrays[k]).permute(2, 0, 1)[None] / 127.5 - 1 for k in arrays}
    expected = {"alexnet": (0.72186, 0.13756), "vgg16": (0.56859, 0.42166)}[net]
    with torch.no_grad():
        found = [float(lpips(images["ref"], images[other])) for other in ("p0", "p1")]
        assert found == pytest.approx(expected, abs=2e-5)
        assert float(lpips(images["p0"], images["ref"])) == pytest.approx(found[0], abs=1e-6)
        assert float(lpips(images["ref"], images["ref"])) == 0


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: psnr(torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 5)), r"pairs of images"),
        (lambda: ssim(torch.zeros(1, 1, 8, 20), torch.zeros(1, 1, 8, 20)), "at least 11×11 pixels, not 8×20"),
        (lambda: ms_ssim(*torch.zeros(2, 1, 1, 30, 30), scales=3), "30×30 take 2 scales, not 3"),
        (lambda: luma(torch.zeros(1, 1, 4, 4)), "these have 1 channels"),
    ],
)
def test_what_cannot_be_compared_is_said(call, says):
    with pytest.raises(ValueError, match=says):
        call()
