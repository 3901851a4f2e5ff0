"""Bad input to `zerosum evaluate`: a line that says what is wrong and what to do, and never a number."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from tests import small
from zerosum.cli import main


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZEROSUM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("ZEROSUM_DATA", "")
    monkeypatch.chdir(tmp_path)
    small.npy(Path("a.npy"))
    Path("empty").mkdir()
    random = np.random.default_rng(0)
    for name, sides in (("mixed", (16, 20)), ("one", (16,)), ("few", (16, 16, 16))):
        Path(name).mkdir()
        for number, side in enumerate(sides):
            Image.fromarray(random.integers(256, size=(side, side), dtype=np.uint8)).save(
                f"{name}/{number}.png"
            )
    np.save("nan.npy", np.full((4, 16, 16), np.nan, np.float32))
    colour = random.integers(256, size=(30, 16, 16, 3), dtype=np.uint8)
    np.save("colour.npy", colour)
    np.save("four.npy", np.concatenate([colour, colour[..., :1]], 3))
    save_file({"features.0.weight": torch.zeros(64, 3, 3, 3)}, "other.safetensors")
    save_file({"w": torch.zeros(1)}, "tiny.safetensors")


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", *words])
    out, err = capsys.readouterr()
    return int(str(ended.value.code)), out, err


ALL = "fd,fd-infinity,kid,prdc,swd,ms-ssim,duplicates,birthday"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["empty", "a.npy"], "no images found; give a folder"),
        (["a.npy", "empty"], "no images found; give a folder"),
        (["mixed", "a.npy"], "images of different sizes"),
        (["a.npy", "mixed"], "give one size for all, such as --size 64"),
        *((["a.npy", "one", "--measures", name], "at least 2 samples, not 1") for name in ALL.split(",")),
        (["one", "a.npy", "--measures", "swd"], "at least 2 samples, not 1"),
        (["a.npy", "few", "--measures", "prdc"], "3 samples, and each needs 5 neighbours"),
        (
            ["a.npy", "few", "--measures", "memorisation", "--held", "a.npy"],
            "at least 20 samples and 20 held",
        ),
        (["a.npy", "nan.npy"], "not finite"),
        (["nan.npy", "a.npy"], "not finite"),
        (["a.npy", "colour.npy"], "bring them to one shape with --size and --channels"),
        (["four.npy", "four.npy", "--extractor", "vgg16:weights=tiny.safetensors"], "are not this net's"),
        (
            ["colour.npy", "colour.npy", "--extractor", "vgg16:weights=other.safetensors"],
            "are not this net's",
        ),
        (
            ["colour.npy", "colour.npy", "--extractor", "lenet:weights=other.safetensors"],
            "are not this net's",
        ),
        (["colour.npy", "colour.npy", "--extractor", "vgg16:weights=none.safetensors"], "no such file"),
        (["a.npy", "a.npy", "--extractor", "vgg16"], "ZEROSUM_DATA is not set"),
        (["a.npy", "a.npy", "--measures", "ppl"], "is no run: give a run instead"),
        (["a.npy", "a.npy", "--measures", "cas"], "cas needs the classes of a"),
        (["a.npy", "a.npy", "--measures", "conditional-accuracy"], "needs the classes of a"),
        (["a.npy", "a.npy", "--measures", "modes"], "tells no classes"),
        (["a.npy", "a.npy", "--measures", "lpips"], "has no LPIPS: choose --extractor alexnet or vgg16"),
        (["a.npy", "colour.npy", "--measures", "psnr"], "a has 24 images and colour 30: give as many"),
        (["a.npy", "a.npy", "--measures", "swd", "--border", "-1"], "--border must be at least 0"),
        (
            ["a.npy", "a.npy", "--measures", "swd", "--panel", "p.jpg"],
            "--panel p.jpg: name it p.png or p.pdf",
        ),
        (["ring", "a.npy"], "bring them to one shape"),
        (
            ["ring", "grid", "--measures", "is,fd"],
            "is of points, and is judge images: of points there are fd",
        ),
        (["moons", "ring", "--measures", "modes"], "moons has no known centres"),
        (["ring", "ring", "--measures", "fd", "--extractor", "pixels"], "pixels judges images [B, C, H, W]"),
    ],
)
def test_it_is_refused_in_a_line(capsys, words, says):
    judge = [] if "--extractor" in words or words[0] in ("ring", "moons") else ["--extractor", "pixels"]
    code, out, err = run(capsys, *words, *judge)
    assert code == 1
    assert not out
    last = err.splitlines()[-1]
    assert last.startswith("zerosum: ")
    assert says in last
    assert not Path("p.jpg").exists()


def test_images_of_four_channels_are_judged_by_no_net_of_three(capsys, shared_data, monkeypatch):
    monkeypatch.setenv("ZEROSUM_DATA", str(shared_data))
    words = ["four.npy", "four.npy", "--measures", "fd", "--extractor"]
    assert "judges images of 3 channels, and these have 4" in run(capsys, *words, "alexnet")[2]
    assert "judges images of 1 channels, and these have 4" in run(capsys, *words, "lenet")[2]


def test_fewer_samples_than_dimensions_are_warned_of(capsys):
    code, out, _ = run(capsys, "a.npy", "a.npy", "--measures", "fd", "--extractor", "pixels:side=16")
    assert code == 0
    assert "beware: 24 images for 256 features: the Fréchet distance is mostly bias" in out
    assert "compares pixels, not what is seen" in out


def test_float_images_are_read_on_the_scale_of_the_reals(capsys):
    values = np.random.default_rng(0).random((24, 16, 16)).astype(np.float32)
    values[0, 0, :2] = 0, 1
    np.save("bright.npy", values)
    np.save("dim.npy", values / 2)
    code, out, err = run(capsys, "bright.npy", "dim.npy", "--measures", "psnr", "--json")
    assert code == 0, err
    expected = np.mean([10 * np.log10(1 / np.mean((v / 2) ** 2)) for v in values])
    assert json.loads(out)["psnr"] == pytest.approx(expected, abs=1e-4)
    assert "value range declared: 0 maps to -1 and 1 to 1" in err


def test_a_file_that_names_itself_as_a_mixture_is_looked_at(capsys):
    np.save("ring.npy", np.random.default_rng(0).normal(size=(500, 2)).astype(np.float32))
    code, out, err = run(capsys, "ring.npy", "ring.npy", "--measures", "modes")
    assert (code, out) == (1, "")
    assert "ring does not lie on the modes of the set of that name" in err


@pytest.mark.parametrize("recipe", ["gan"])
def test_a_run_of_points_is_counted_by_its_modes(capsys, recipe):
    from tests.running import start

    start(Path("run"), Path("ring"), recipe, arguments={"images": 64})
    code, out, _ = run(capsys, "run", "--measures", "modes,fd", "--count", "500", "--json")
    assert code == 0
    assert '"modes": ' in out
    assert '"extractor": "coordinates"' in out
    assert "8 modes, hit by 4 samples within 3 sigma of 0.01" in out
    assert "is of points, and ppl judge images" in run(capsys, "run", "--measures", "ppl")[2]
