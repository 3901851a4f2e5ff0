"""Scans: who measures what; ways compared on the same scan; settings chosen on other images."""

import math

import pytest
import torch
from torch import Tensor

from zerosum.kspace import SAMPLINGS, fourier
from zerosum.metrics.quality import psnr, ssim
from zerosum.mri import RIVALS, Scan, by_net, compare, interval, scan, tuned, tv, wavelet, zero_filled
from zerosum.nets.mri import Reconstructor

SAMPLING = SAMPLINGS["variable"](acceleration=2.0)


def blocks(count: int = 3) -> Tensor:
    """Images [n, 1, 16, 16] of one bright rectangle each: of little variation."""
    x = torch.zeros(count, 1, 16, 16)
    for number in range(count):
        x[number, :, 3 + number : 10, 4 : 9 + number] = 0.8
    return x


def test_a_scan_s_masks_and_noise_are_each_image_s_own() -> None:
    truth = blocks()
    whole, one = scan(truth, SAMPLING, noise=0.1, seed=4), scan(truth[:1], SAMPLING, noise=0.1, seed=4)
    assert torch.equal(one.y, whole.y[:1])
    assert torch.equal(one.operator.keep, whole.operator.keep[:1])
    assert not torch.equal(scan(truth, SAMPLING, seed=5).operator.keep, whole.operator.keep)
    clean = scan(truth, SAMPLING, seed=4)
    torch.testing.assert_close(clean.y, clean.operator.forward(truth))
    torch.testing.assert_close(clean.y, torch.where(clean.operator.keep, fourier(truth), 0))


def test_what_cannot_be_scanned_is_refused() -> None:
    truth = blocks()
    truth[1] = 0
    with pytest.raises(ValueError, match="image 1 is 0 everywhere: leave it out"):
        scan(truth, SAMPLING)
    truth[2, 0, 0, 0] = math.nan
    truth[1] = 1
    with pytest.raises(ValueError, match="image 2 is not finite: leave it out"):
        scan(truth, SAMPLING)
    for noise in (-1.0, math.nan):
        with pytest.raises(ValueError, match="--noise must be at least 0"):
            scan(blocks(), SAMPLING, noise=noise)


def test_ways_are_scored_on_the_same_scan_and_the_right_one_wins() -> None:
    truth = blocks()
    measured = scan(truth, SAMPLING)
    heard: list[str] = []
    ways = {"zero": zero_filled, "tv": tv(1e-2), "wavelet": wavelet("db1", 3e-2)}
    results = compare(truth, measured, ways, lambda result: heard.append(result.method))
    assert heard == ["zero", "tv", "wavelet"]
    by_name = {result.method: result for result in results}
    assert (by_name["tv"].psnr > by_name["zero"].psnr + 5).all()
    for result in results:
        assert 0 <= float(result.images.min()) <= float(result.images.max()) <= 1
        mse = (result.images - truth).square().mean((1, 2, 3))
        torch.testing.assert_close(result.psnr, -10 * mse.log10())
        torch.testing.assert_close(result.ssim, ssim(2 * truth - 1, 2 * result.images - 1))
        torch.testing.assert_close(result.psnr, psnr(2 * truth - 1, 2 * result.images - 1))


def test_nothing_is_lost_where_all_lines_are_measured() -> None:
    truth = blocks()
    measured = scan(truth, SAMPLINGS["equispaced"](acceleration=1.0))
    assert bool(measured.operator.keep.all())
    (result,) = compare(truth, measured, {"zero": zero_filled})
    assert bool((result.psnr == 120).all())


def test_a_new_net_is_zero_filling() -> None:
    measured = scan(blocks(), SAMPLING)
    net = Reconstructor((1, 16, 16), width=2, blocks=1).eval()
    torch.testing.assert_close(by_net(net)(measured), zero_filled(measured).clamp(0, 1))


def test_settings_are_chosen_by_the_images_given() -> None:
    truth = blocks()
    asked: list[str] = []

    def way(name: str, error: float) -> object:
        def made(scan: Scan) -> Tensor:
            asked.append(name)
            return truth + error

        return made

    ways = {"far": way("far", 0.2), "near": way("near", 0.05), "between": way("between", 0.1)}
    assert tuned(ways, scan(truth, SAMPLING), truth) == "near"  # type: ignore[arg-type]
    assert asked == list(ways)
    assert all(len(settings) > 4 for settings in RIVALS.values())


def test_intervals() -> None:
    mean, half = interval(torch.tensor([1.0, 2.0, 3.0, 6.0]))
    assert mean == 3
    assert half == pytest.approx(1.96 * math.sqrt(14 / 3) / 2)
