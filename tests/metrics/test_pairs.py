"""Pairs of folders and arrays through the command line: found by name, or refused."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio

from zerosum.cli import main


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZEROSUM_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def images(count: int = 4, noise: int = 0, channels: int = 3) -> np.ndarray:
    random = np.random.default_rng(0)
    smooth = random.integers(60, 190, (count, 3, 4, channels)).repeat(8, 1).repeat(8, 2)
    moved = (
        np.random.default_rng(1).integers(-noise, noise + 1, smooth.shape)
        * np.arange(1, count + 1)[:, None, None, None]
    )
    return np.clip(smooth + moved, 0, 255).astype(np.uint8)


def folder(name: str, pictures: np.ndarray, names: list[str]) -> str:
    for picture, file in zip(pictures, names, strict=True):
        path = Path(name) / file
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture.squeeze()).save(path)
    return name


def measured(capsys: pytest.CaptureFixture[str], *words: str) -> dict:
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", *words, "--json"])
    out, err = capsys.readouterr()
    assert ended.value.code == 0, err
    return json.loads(out)


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", *words])
    assert ended.value.code == 1
    out, err = capsys.readouterr()
    assert not out
    return err.splitlines()[-1]


NAMES = ["a.png", "b.png", "c.png", "d.png"]


def test_files_pair_by_name_whatever_their_suffix_and_folder(capsys):
    real, fake = images(), images(noise=6)
    folder("real", real, NAMES)
    folder("restored", fake, ["set/a.png", "set/b.tiff", "set/c.png", "set/d.bmp"])
    found = measured(capsys, "real", "restored", "--measures", "psnr,ssim,psnr-y,ssim-y")
    expected = np.mean([peak_signal_noise_ratio(x, y) for x, y in zip(real, fake, strict=True)])
    assert found["psnr"] == pytest.approx(expected, abs=1e-4)
    lumas = [(rgb2ycbcr(x)[..., 0], rgb2ycbcr(y)[..., 0]) for x, y in zip(real, fake, strict=True)]
    expected = np.mean([peak_signal_noise_ratio(x, y, data_range=255) for x, y in lumas])
    assert found["psnr-y"] == pytest.approx(expected, abs=1e-4)
    assert 0.5 < found["ssim"] < 1
    assert 0.5 < found["ssim-y"] < 1
    assert "extractor" not in found["card"]
    assert found["card"]["taken"]["psnr"] == "mean of 4 pairs"
    inner = np.mean(
        [peak_signal_noise_ratio(x[4:-4, 4:-4], y[4:-4, 4:-4]) for x, y in zip(real, fake, strict=True)]
    )
    cropped = measured(capsys, "real", "restored", "--measures", "psnr", "--border", "4")
    assert cropped["psnr"] == pytest.approx(inner, abs=1e-4)
    assert cropped["card"]["taken"]["psnr"] == "mean of 4 pairs, borders of 4 pixels left out"
    two = measured(capsys, "real", "restored", "--measures", "psnr", "--count", "2")
    assert two["card"]["real"]["count"] == 2
    assert two["psnr"] > 20, "the chosen of both are each other's"


def test_arrays_pair_by_order_and_equal_pairs_are_left_out(capsys):
    real, fake = images(), images(noise=6)
    fake[2] = real[2]
    np.save("real.npy", real)
    np.save("fake.npy", fake)
    found = measured(capsys, "real.npy", "fake.npy", "--measures", "psnr")
    others = [peak_signal_noise_ratio(real[i], fake[i]) for i in (0, 1, 3)]
    assert found["psnr"] == pytest.approx(np.mean(others), abs=1e-4)
    assert found["warnings"] == ["psnr: 1 of 4 pairs are equal, infinite, and left out"]
    assert "all pairs are equal" in refused(capsys, "real.npy", "real.npy", "--measures", "psnr")


def test_lpips_of_a_pair_is_the_published_value(capsys, shared_data, monkeypatch):
    monkeypatch.setenv("ZEROSUM_DATA", str(shared_data))
    with np.load(shared_data / "lpips_examples.npz") as arrays:
        for name in ("ref", "p0"):
            folder(name, arrays[name][None], ["1.png"])
    found = measured(capsys, "ref", "p0", "--measures", "lpips", "--extractor", "alexnet")
    assert found["lpips"] == pytest.approx(0.72186, abs=2e-5)
    assert found["intervals"] == {}


def test_pairs_may_be_of_sizes_of_their_own(capsys):
    real, fake = images(noise=0), images(noise=6)
    sizes = [(24, 32), (24, 25), (20, 32), (17, 19)]
    cut = [[x[:h, :w] for x, (h, w) in zip(side, sizes, strict=True)] for side in (real, fake)]
    cut[0][1] = cut[0][1].mean(2).astype(np.uint8)  # one original is grey
    for name, side in zip(("real", "fake"), cut, strict=True):
        Path(name).mkdir()
        for file, picture in zip(NAMES, side, strict=True):
            Image.fromarray(picture).save(f"{name}/{file}")
    found = measured(capsys, "real", "fake", "--measures", "psnr,ssim,psnr-y", "--border", "2")
    cut[0][1] = cut[0][1][..., None].repeat(3, 2)
    each = [peak_signal_noise_ratio(x[2:-2, 2:-2], y[2:-2, 2:-2]) for x, y in zip(*cut, strict=True)]
    assert found["psnr"] == pytest.approx(np.mean(each), abs=1e-4)
    assert found["card"]["real"]["sizes"] == 4
    assert found["card"]["taken"]["ssim"] == "mean of 4 pairs, borders of 2 pixels left out"
    assert "images of different sizes" in refused(capsys, "real", "fake", "--measures", "psnr,swd")
    Image.fromarray(cut[1][3][:-1]).save("fake/d.png")
    assert "d.png is 17x19 in real and 16x19 in fake" in refused(capsys, "real", "fake", "--measures", "ssim")
    Path("fake/d.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    assert "fake: d.png: not an image" in refused(capsys, "real", "fake", "--measures", "ssim")


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["a.png", "b.png", "c.png"], "1 of 4 and 3 images have no partner, the first 'd' of real"),
        (["a.png", "b.png", "c.png", "e.png"], "2 of 4 and 4 images have no partner, the first 'd' of real"),
        (["a.png", "b.png", "c.png", "d.png", "d.bmp"], "other has 'd' twice"),
    ],
)
def test_files_without_a_partner_are_named(capsys, names, says):
    folder("real", images(), NAMES)
    folder("other", images(len(names)), names)
    assert says in refused(capsys, "real", "other", "--measures", "psnr")


def test_a_broken_file_leaves_its_partner_alone(capsys):
    folder("real", images(), NAMES)
    folder("other", images(), NAMES)
    (Path("other") / "b.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    assert "have no partner, the first 'b' of real" in refused(capsys, "real", "other", "--measures", "ssim")


def test_arrays_of_other_lengths_and_with_samples_set_aside_do_not_pair(capsys):
    np.save("real.npy", images())
    np.save("three.npy", images(3))
    floats = images().astype(np.float32) / 255
    floats[1, 0, 0, 0] = np.nan
    np.save("floats.npy", floats)
    assert "real has 4 images and three 3" in refused(capsys, "real.npy", "three.npy", "--measures", "psnr")
    assert "1 images were set aside" in refused(capsys, "real.npy", "floats.npy", "--measures", "psnr")
    assert "--border 12 leaves nothing" in refused(
        capsys, "real.npy", "real.npy", "--measures", "psnr", "--border", "12"
    )
