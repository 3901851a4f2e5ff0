"""Walks, arithmetic and directions from the command line, of a tiny run with classes and one without."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import zerosum
from tests import small, told
from tests.running import work_alone
from zerosum import latent, recorder
from zerosum.cli import main
from zerosum.trained import decode
from zerosum.training import checkpoint

__all__ = ["work_alone"]  # a fixture
SETTINGS = ["--width=2", "--critic-width=2", "--kernel=3", "--batch=8", "--precision=fp32", "--images=16"]
NETS = ["--latent=4", *SETTINGS]
Said = tuple[int, str, str]


@pytest.fixture(scope="module")
def trained_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    photos = told.photos(folder / "photos")
    plain = [option for option in NETS if not option.startswith("--critic-width")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZEROSUM_CACHE", str(folder / "cache"))
        patch.setattr(recorder, "_tensorboard", lambda run, images: None)
        for command in (
            ["train", "acgan", "--data", photos, "--out", folder / "told", *NETS],
            ["train", "dcgan", "--data", photos, "--out", folder / "plain", "--latent-law=normal", *plain],
            ["train", "dcgan", "--data", photos, "--out", folder / "cube", *plain],
            ["train", "gan", "--data", "ring", "--out", folder / "points", "--latent=2", "--images=16"],
        ):
            with pytest.raises(SystemExit, match="0"):
                main(list(map(str, command)))
    for run in ("told", "plain", "cube"):
        sharpen(folder / run)
    return folder


def sharpen(run: Path) -> None:
    """Make the untrained generator's weights large: at first its samples are all the same grey."""
    for path in (run / "checkpoints").glob("*.safetensors"):
        saved = checkpoint.read(path)
        tensors = {k: 20 * v if "generator" in k and v.dim() > 1 else v for k, v in saved.tensors.items()}
        small.rewrite(path, tensors, saved.meta)


@pytest.fixture(name="do")
def do_in_a_folder_of_its_own(
    trained_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Said]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ZEROSUM_DATA", raising=False)
    for run in ("told", "plain", "cube", "points"):
        shutil.copytree(trained_once / run, run)

    def do(*arguments: object) -> Said:
        with pytest.raises(SystemExit) as ended:
            main(list(map(str, arguments)))
        out, err = capsys.readouterr()
        assert "Traceback" not in err + out
        code = ended.value.code
        return (code if isinstance(code, int) else int(code is not None)), out, err

    return do


def tile(path: str, row: int, column: int) -> np.ndarray:
    """One 8×8 tile of a grid."""
    with Image.open(path) as opened:
        picture = np.asarray(opened)
    top, left = 10 * row + 2, 10 * column + 2
    return picture[top : top + 8, left : left + 8]


def samples(run: str, count: int = 24, **settings: object) -> np.ndarray:
    trained = zerosum.load(run, device="cpu")
    return trained.format.encode(trained.sample(count, **settings))[..., 0]


def alike(one: np.ndarray, other: np.ndarray) -> bool:
    """Equal but for a rounding: a batch of another size may add up in another order."""
    return bool(np.abs(one.astype(int) - other.astype(int)).max() <= 1)


def test_a_walks_ends_are_the_samples_of_these_numbers(do: Callable[..., Said]) -> None:
    assert do("walk", "plain", "--from", 3, "--to", 17, "--steps", 5)[:2] == (0, "plain/walk-3-17.png\n")
    assert do("sample", "plain", "--count", 24, "--out", "all.npy")[0] == 0
    drawn = np.load("all.npy")[..., 0]
    assert alike(tile("plain/walk-3-17.png", 0, 0), drawn[3])
    assert alike(tile("plain/walk-3-17.png", 0, 4), drawn[17])
    assert not alike(drawn[3], drawn[17])
    do("walk", "plain", "--from", 3, "--to", 17, "--seed", 5, "--truncation", 0.5, "--out", "other.png")
    assert alike(tile("other.png", 0, 0), samples("plain", seed=5, truncation=0.5)[3])


def test_a_way_through_others_and_back_and_its_film(do: Callable[..., Said]) -> None:
    asked = ["walk", "plain", "--from", 3, "--through", "5,9", "--to", 7, "--loop", "--steps", 4]
    code, out, _ = do(*asked, "--video", "w.gif", "--out", "w.png")
    assert (code, out) == (0, "w.png\nw.gif\n")
    drawn = samples("plain")
    for row, number in enumerate((3, 5, 9, 7)):
        assert alike(tile("w.png", row, 0), drawn[number])
    with Image.open("w.gif") as film:
        assert film.n_frames == 12


def test_even_steps_keep_the_points_and_are_more_even(do: Callable[..., Said]) -> None:
    asked = ["walk", "plain", "--from", 3, "--through", "5", "--to", 9, "--loop", "--steps", 5, "--json"]
    plain, even = (do(*asked, "--out", f"{i}.png", *more) for i, more in enumerate(([], ["--even", "l2"])))
    found = [json.loads(out)["l2"] for _, out, _ in (plain, even)]
    assert found[1]["ratio"] < found[0]["ratio"]
    for row, number in enumerate((3, 5, 9)):
        assert alike(tile("1.png", row, 0), samples("plain")[number])
    assert do("walk", "plain", "--from", 3, "--to", 5, "--even", "l2", "--steps", 4, "--out", "c.png")[0] == 0
    assert alike(tile("c.png", 0, 3), samples("plain")[5])


def test_a_uniform_run_is_walked_straight(do: Callable[..., Said]) -> None:
    code, out, _ = do("walk", "cube", "--from", 0, "--to", 1, "--steps", 3, "--out", "w.png", "--json")
    assert code == 0
    assert json.loads(out)["how"] == "lerp"
    trained = zerosum.load("cube", device="cpu")
    middle = decode(trained.generator, trained.latents([0, 1]).mean(0, keepdim=True))
    assert alike(tile("w.png", 0, 1), trained.format.encode(middle)[0, ..., 0])
    code, _, err = do("walk", "cube", "--from", 0, "--to", 1, "--how", "slerp")
    assert (code, "--how slerp is for normal latents" in err) == (1, True)


def test_json_tells_the_steps_and_that_lpips_has_no_weights(do: Callable[..., Said]) -> None:
    code, out, err = do("walk", "plain", "--from", 0, "--to", 1, "--json")
    found = json.loads(out)
    assert (code, found["images"], found["samples"], found["how"]) == (0, 12, [0, 1], "slerp")
    trained = zerosum.load("plain", device="cpu")
    images = decode(trained.generator, latent.path(trained.latents([0, 1]), 12))
    apart = found["l2"].pop("apart")
    expected = latent.smoothness(images, latent.l2, apart)._asdict()
    assert {**found["l2"], "apart": apart} == pytest.approx(expected, rel=1e-4)
    assert apart > 0
    assert "lpips" not in found
    assert "no LPIPS: " in err


def test_lpips_where_its_weights_are(
    do: Callable[..., Said], shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZEROSUM_DATA", str(shared_data))
    code, out, err = do("walk", "plain", "--from", 0, "--to", 1, "--steps", 4, "--json")
    found = json.loads(out)["lpips"]
    assert (code, err) == (0, "")
    assert found["ratio"] >= 1
    assert min(found["mean"], found["ends"], found["apart"]) > 0


def test_a_square_has_samples_at_its_corners(do: Callable[..., Said]) -> None:
    assert do("walk", "plain", "--square", "3,8,21,5", "--steps", 4, "--out", "s.png")[0] == 0
    drawn = samples("plain")
    for number, (row, column) in zip((3, 8, 21, 5), ((0, 0), (0, 3), (3, 0), (3, 3)), strict=True):
        assert alike(tile("s.png", row, column), drawn[number])


def test_a_conditional_run_walks_within_a_class(do: Callable[..., Said]) -> None:
    code, _, err = do("walk", "told", "--from", 3, "--to", 17)
    assert code == 1
    assert "several classes, 3 of cat, 17 of eel: choose one for all with --label" in err
    assert do("walk", "told", "--from", 3, "--to", 18, "--out", "cat.png")[0] == 0
    assert alike(tile("cat.png", 0, 11), samples("told")[18])
    assert do("walk", "told", "--from", 3, "--to", 17, "--label", "dog", "--out", "dog.png")[0] == 0
    assert alike(tile("dog.png", 0, 11), samples("told", label="dog")[17])


def test_nearest_training_images_stand_below(do: Callable[..., Said], trained_once: Path) -> None:
    asked = ["walk", "plain", "--from", 0, "--to", 1, "--steps", 3, "--out", "n.png"]
    assert do(*asked, "--nearest", "random:size=64,side=8")[0] == 0
    photos = [np.asarray(Image.open(path)) for path in sorted((trained_once / "photos").rglob("*.png"))]
    for column in range(3):
        # Walks are one row and two rows of padding high.
        with Image.open("n.png") as opened:
            below = np.asarray(opened)[14:22, 10 * column + 2 : 10 * column + 10]
        assert any(np.array_equal(below, photo) for photo in photos)
    assert do(*asked, "--nearest", "pixels")[0] == 0


def test_the_result_of_arithmetic_is_that_of_averages(do: Callable[..., Said]) -> None:
    Path("thick.txt").write_text("# thick ones\n1\n4  # bold\n\n7\n")
    asked = ["arithmetic", "plain", "--plus", "thick.txt", "--minus", "2,5,8", "--plus", "0,3,6"]
    code, out, _ = do(*asked, "--square", "--out", "a.png", "--json")
    found = json.loads(out)
    assert code == 0
    assert [(c["sign"], c["samples"]) for c in found["concepts"]] == [
        ("+", [1, 4, 7]),
        ("-", [2, 5, 8]),
        ("+", [0, 3, 6]),
    ]
    trained = zerosum.load("plain", device="cpu")
    z = trained.latents(range(9))
    wanted = decode(trained.generator, (z[1::3].mean(0) - z[2::3].mean(0) + z[::3].mean(0))[None])
    assert alike(tile("a.png", 1, 1), trained.format.encode(wanted)[0, ..., 0])
    assert do(*asked, "--spread", 0, "--square", "--out", "b.png")[0] == 0
    assert alike(tile("b.png", 0, 2), tile("a.png", 1, 1))
    assert do(*asked)[:2] == (0, "plain/arithmetic.png\n")
    drawn = samples("plain")
    assert alike(tile("plain/arithmetic.png", 1, 0), drawn[4])


def test_one_exemplar_is_warned_of(do: Callable[..., Said]) -> None:
    code, _, err = do("arithmetic", "plain", "--plus", "7", "--out", "a.png")
    assert (code, "7: one exemplar tells little of a concept: average three" in err) == (0, True)


def test_classes_of_a_conditional_run_are_its_own_labels(do: Callable[..., Said]) -> None:
    asked = ["arithmetic", "told", "--plus", "class:cat", "--minus", "0,6,9", "--plus", "class:eel"]
    code, out, _ = do(*asked, "--square", "--out", "a.png", "--json")
    found = json.loads(out)
    assert (code, [c["samples"] for c in found["concepts"]]) == (0, [[0, 3, 6], [0, 6, 9], [2, 5, 8]])
    trained = zerosum.load("told", device="cpu")
    z = trained.latents(range(10))
    result = z[[0, 3, 6]].mean(0) - z[[0, 6, 9]].mean(0) + z[[2, 5, 8]].mean(0)
    eel = decode(trained.generator, result[None], torch.tensor([2]))
    assert alike(tile("a.png", 1, 1), trained.format.encode(eel)[0, ..., 0])


def test_directions_go_through_their_sample(do: Callable[..., Said]) -> None:
    code, out, _ = do("directions", "plain", "--count", 2, "--of", 5, "--out", "d.png", "--json")
    found = json.loads(out)
    assert code == 0
    assert found["strengths"][0] >= found["strengths"][1] > 0
    for row in range(2):
        assert alike(tile("d.png", row, 3), samples("plain")[5])
    assert not alike(tile("d.png", 0, 0), samples("plain")[5])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["walk", "plain", "--from", 3], "give --from and --to"),
        (["walk", "plain", "--from=-1", "--to", 2], "samples are numbered from 0, and [-1, 2]"),
        (["walk", "plain", "--from", 0, "--to", 1, "--steps", 1], "--steps must be at least 2"),
        (["walk", "plain", "--from", 1, "--to", 1], "--from and --to are the same sample, 1"),
        (["walk", "plain", "--from", 0, "--to", 1, "--label", "cat"], "--label has no class to choose"),
        (["walk", "plain", "--from", 0, "--to", 1, "--video", "w.avi"], "name a file ….mp4 or ….gif"),
        (["walk", "plain", "--square", "1,2,3"], "--square has four corners, and 3 samples are named"),
        (["walk", "plain", "--square", "1,2,3,4", "--from", 1], "leave --from, --to"),
        (["walk", "plain", "--from", 0, "--to", 1, "--through", "2,x"], "--through 2,x: no such file"),
        (["walk", "points", "--from", 0, "--to", 1], "points: makes points"),
        (["walk", "told", "--from", 0, "--to", 1, "--label", "cow"], "unknown --label 'cow'"),
        (["arithmetic", "plain"], "--plus: name at least one concept"),
        (["arithmetic", "points", "--plus", "1,2,3"], "points: makes points"),
        (["arithmetic", "plain", "--plus", "class:3"], "give --extractor lenet, or the samples' numbers"),
        (["arithmetic", "plain", "--plus", "1,2,3", "--minus", "lost.txt"], "--minus lost.txt: no such file"),
        (["arithmetic", "plain", "--plus", "1,2", "--spread=-1"], "--spread must not be negative"),
        (["arithmetic", "plain", "--plus", "class:3", "--exemplars", 0], "--exemplars must be at least 1"),
        (["arithmetic", "told", "--plus", "0,1,2"], "exemplars of several classes (0 is of cat, 1 is of dog"),
        (["arithmetic", "told", "--plus", "class:cow"], "unknown --label 'cow'"),
        (["directions", "plain", "--count", 5], "--count must be from 1 to 4"),
        (["directions", "points"], "points: makes points"),
    ],
)
def test_a_slip_is_answered_in_one_line(do: Callable[..., Said], arguments: list[str], message: str) -> None:
    code, out, err = do(*arguments)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert message in err
