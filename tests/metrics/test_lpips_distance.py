"""LPIPS as a distance of any images: by the net itself, in parts, small ones enlarged."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from zerosum.metrics.lpips import LPIPS, lpips


def test_it_is_the_nets_and_small_images_are_enlarged(shared_data: Path) -> None:
    path = shared_data / "lpips_alexnet_fp16.safetensors"
    net, distance = LPIPS(load_file(path)), lpips(str(path))
    draw = torch.Generator().manual_seed(0)
    real, fake = 2 * torch.rand(2, 65, 1, 32, 32, generator=draw) - 1  # one more than a part has
    found = distance(real, fake)
    assert torch.allclose(found[[0, 64]], net(real[[0, 64]], fake[[0, 64]]), rtol=1e-4)
    small = [x[:2, :, :28, :28] for x in (real, fake)]
    large = [F.interpolate(x, (64, 64), mode="bilinear") for x in small]
    assert torch.allclose(distance(*small), net(*large), rtol=1e-4)
    with pytest.raises(ValueError, match="grey or RGB images, and these have 2 channels"):
        distance(real[:1].expand(-1, 2, -1, -1), fake[:1].expand(-1, 2, -1, -1))


def test_missing_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nowhere\.safetensors: no such file"):
        lpips(str(tmp_path / "nowhere.safetensors"))
