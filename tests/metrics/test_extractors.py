"""Extractors see what their nets were trained on, and tell how."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from zerosum.data import open_data
from zerosum.metrics.extractors import extractor, rounded


def test_rounding_is_that_of_a_file():
    values = torch.linspace(-1.3, 1.3, 3001)
    stored = ((values.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    torch.testing.assert_close(rounded(values), stored.float() / 127.5 - 1)
    assert len(rounded(values).unique()) == 256


@pytest.mark.parametrize("name", ["vgg16", "alexnet", "squeezenet", "lenet", "pixels", "random"])
def test_every_extractor_gives_features_and_tells_how(shared_data: Path, monkeypatch, name: str):
    monkeypatch.setenv("ZEROSUM_DATA", str(shared_data))
    one = extractor(name)
    images = torch.rand(3, 1, 28, 28, generator=torch.Generator().manual_seed(0)) * 2 - 1
    features = one.features(images)
    sizes = {"vgg16": 512, "alexnet": 256, "squeezenet": 512, "lenet": 84, "pixels": 256, "random": 512}
    assert features.shape == (3, sizes[name])
    assert features.dtype == torch.float32
    torch.testing.assert_close(one.features(images[1:2]), features[1:2], rtol=1e-4, atol=1e-5)
    card = one.card()
    assert card["extractor"] == name
    assert card["side"] == one.side
    assert len(str(card["weights"])) == 64 or str(card["weights"]).startswith("none")


def test_lenet_reads_real_digits(shared_data: Path, monkeypatch):
    monkeypatch.setenv("ZEROSUM_DATA", str(shared_data))
    digits = open_data("mnist", split="test")
    images = digits.format.decode(digits.format.tensor(digits.samples[:1000]))
    assert digits.labels is not None
    found = extractor("lenet").logits(images).argmax(1)
    assert float((found == torch.from_numpy(digits.labels[:1000])).double().mean()) > 0.98


def test_squeezenet_knows_a_cat(shared_data: Path, monkeypatch):
    from skimage import data

    monkeypatch.setenv("ZEROSUM_DATA", str(shared_data))
    cat, cup = (
        torch.from_numpy(image).permute(2, 0, 1)[None] / 127.5 - 1
        for image in (data.chelsea(), data.coffee())
    )
    net = extractor("squeezenet")
    assert int(net.logits(cat).argmax()) in (281, 282, 285)  # tabby, tiger cat, Egyptian cat
    assert int(net.logits(cup).argmax()) == 967  # espresso


def test_resizing_is_antialiased():
    """A fine chequerboard, made small, is grey; without antialiasing it would be black or white."""
    board = (torch.arange(64)[:, None] + torch.arange(64)).remainder(2).float()[None, None] * 2 - 1
    assert float(extractor("pixels:side=8").features(board).abs().max()) < 0.05


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("vgg61", "did you mean 'vgg16'"),
        ("pixels:size=3", "side"),
        ("vgg16:side=8", "side must be at least 32, not 8"),
        ("vgg16:weights=nowhere.safetensors", "nowhere.safetensors: no such file"),
        ("lenet", "ZEROSUM_DATA is not set"),
    ],
)
def test_what_cannot_be_had_is_said(monkeypatch, shared_data: Path, text: str, says: str):
    monkeypatch.setenv("ZEROSUM_DATA", str(shared_data) if "side=8" in text else "")
    with pytest.raises(ValueError, match=says):
        extractor(text)


def test_another_nets_weights_are_refused(tmp_path: Path):
    path = tmp_path / "other.safetensors"
    save_file({"features.0.weight": torch.zeros(64, 3, 3, 3)}, path)
    with pytest.raises(ValueError, match=r"other\.safetensors are not this net's"):
        extractor(f"vgg16:weights={path}")
    path.write_bytes(b"no")
    with pytest.raises(ValueError, match=r"other\.safetensors: not a safetensors file"):
        extractor(f"vgg16:weights={path}")


@pytest.mark.parametrize(
    ("images", "says"),
    [
        (torch.zeros(2, 784), r"images \[B, C, H, W\], not \[2, 784\]"),
        (torch.full((1, 1, 8, 8), torch.nan), "pixels are not finite"),
    ],
)
def test_images_that_cannot_be_judged(images, says):
    with pytest.raises(ValueError, match=says):
        extractor("pixels").features(images)
    with pytest.raises(ValueError, match="tells no classes"):
        extractor("pixels").logits(torch.zeros(1, 1, 8, 8))


def test_a_wrong_number_of_channels_is_refused(shared_data: Path, monkeypatch):
    monkeypatch.setenv("ZEROSUM_DATA", str(shared_data))
    with pytest.raises(ValueError, match="judges images of 1 channels, and these have 3"):
        extractor("lenet").features(torch.zeros(1, 3, 28, 28))
    with pytest.raises(ValueError, match="judges images of 3 channels, and these have 4"):
        extractor("alexnet").features(torch.zeros(1, 4, 64, 64))
