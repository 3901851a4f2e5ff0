"""Nets of optional packages, with weights drawn at random, not their real ones: shapes, cards, refusals."""

import sys

import pytest
import torch
from safetensors.torch import save_file

from zerosum.metrics.extractors import extractor, rounded
from zerosum.metrics.weights import read_weights


@pytest.mark.parametrize(("name", "package"), [("inception", "torch-fidelity"), ("dinov2", "timm")])
def test_without_their_packages_the_extra_is_named(monkeypatch, name, package):
    monkeypatch.setitem(sys.modules, package.replace("-", "_"), None)
    monkeypatch.setitem(sys.modules, "torch_fidelity.feature_extractor_inceptionv3", None)
    with pytest.raises(
        ValueError, match=rf"{name} needs the package {package} .*pip install 'zerosum\[features\]'"
    ):
        extractor(name)


def test_dinov2_is_timms_class_token(tmp_path):
    timm = pytest.importorskip("timm")
    net = timm.create_model("vit_small_patch14_dinov2.lvd142m", pretrained=False, num_classes=0, img_size=518)
    save_file(net.state_dict(), tmp_path / "dino.safetensors")
    one = extractor(f"dinov2:side=518,weights={tmp_path / 'dino.safetensors'}")
    images = torch.rand(1, 3, 518, 518) * 2 - 1
    mean, spread = (torch.tensor(x)[:, None, None] for x in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    with torch.no_grad():
        expected = net.eval()(((rounded(images) + 1) / 2 - mean) / spread)
    torch.testing.assert_close(one.features(images), expected)
    small = extractor(f"dinov2:side=56,weights={tmp_path / 'dino.safetensors'}")
    assert small.features(torch.zeros(2, 1, 32, 32)).shape == (2, 384)
    with pytest.raises(ValueError, match="a multiple of 14, not 30"):
        extractor("dinov2:side=30")


def test_inception_takes_images_as_bytes_at_their_own_size(tmp_path):
    module = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
    tensors: dict[str, torch.Tensor] = {}

    class ShapesError(Exception):
        """Raised when the net is built and its weights are about to be read."""

    def stop(net, state, **options):
        tensors.update(net.state_dict())
        raise ShapesError

    empty = tmp_path / "empty.pth"
    torch.save({}, empty)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module.FeatureExtractorInceptionV3, "load_state_dict", stop)
        with pytest.raises(ShapesError):
            module.FeatureExtractorInceptionV3("inception", ["2048"], str(empty))
    save_file(tensors, tmp_path / "inception.safetensors")
    one = extractor(f"inception:weights={tmp_path / 'inception.safetensors'}")
    assert one.features(torch.zeros(2, 1, 32, 32)).shape == (2, 2048)
    assert one.logits(torch.zeros(1, 3, 40, 32)).shape == (1, 1008)
    card = one.card()
    assert (card["side"], card["resize"]) == (299, "bilinear as TensorFlow 1, not antialiased")
    save_file({"w": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="are not this net's"):
        extractor(f"inception:weights={tmp_path / 'other.safetensors'}")


def test_weights_come_from_where_they_are_published_if_they_are_what_was(tmp_path, monkeypatch):
    import hashlib

    monkeypatch.setenv("ZEROSUM_CACHE", str(tmp_path / "cache"))
    published = tmp_path / "net.safetensors"
    save_file({"w": torch.arange(3.0)}, published)
    digest = hashlib.sha256(published.read_bytes()).hexdigest()
    url = published.as_uri()
    tensors, found = read_weights(url, "net", digest)
    assert found == digest
    assert tensors["w"].tolist() == [0, 1, 2]
    published.unlink()
    assert read_weights(url, "net", digest)[1] == digest, "kept, not fetched again"
    with pytest.raises(ValueError, match="give sha256=… beside it"):
        read_weights(url, "net")
    save_file({"w": torch.zeros(3)}, published)
    with pytest.raises(ValueError, match=r"SHA-256 [0-9a-f]{64}, where 0000"):
        read_weights(url, "net", "0" * 64)
    with pytest.raises(ValueError, match="its SHA-256 is"):
        read_weights(str(published), "net", digest)
