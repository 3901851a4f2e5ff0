"""The command line: every command as the readme writes it, and every slip in one line."""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests import small
from zerosum import recorder
from zerosum.cli import main
from zerosum.rundir import RunDirectory
from zerosum.training import checkpoint

TINY = ["--width=2", "--kernel=3", "--latent=4", "--batch=8", "--precision=fp32"]
Said = tuple[int, str, str]


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Work in an empty folder, with a cache of the test's own, one thread and no TensorBoard."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ZEROSUM_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("ZEROSUM_DATA", raising=False)
    monkeypatch.setattr(recorder, "_tensorboard", lambda run, images: None)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def do(capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Run a command; its exit code, standard output and standard error, in which no traceback is."""

    def do(*arguments: object) -> Said:
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        assert "Traceback" not in err + out
        code = ended.value.code
        return (code if isinstance(code, int) else int(code is not None)), out, err

    return do


def photos(folder: Path, count: int = 6, size: tuple[int, int] = (48, 80), classes: int = 0) -> Path:
    """A folder of grey 16-bit PNGs, of which the values use all bits."""
    random = np.random.default_rng(0)
    for index in range(count):
        place = folder / f"class{index % classes}" if classes else folder
        place.mkdir(parents=True, exist_ok=True)
        ramp = np.add.outer(np.arange(size[0]), np.arange(size[1])) * random.integers(100, 500)
        Image.fromarray((ramp + random.integers(99)).astype(np.uint16)).save(place / f"{index}.png")
    return folder


def test_every_command_on_a_folder_of_grey_16_bit_pngs_of_48_by_80(
    tmp_path: Path, do: Callable[..., Said]
) -> None:
    folder = photos(tmp_path / "photos")
    code, out, _ = do("check-data", folder)
    assert code == 0
    assert "6 of 6 can be used" in out
    assert "1×48×80" in out
    assert "uint16, 0 to 65535" in out

    command = ["train", "dcgan", "--data", folder, "--out", "runs/photos", "--images", 32, "--lr", 0.02]
    code, out, err = do(*command, *TINY)
    assert (code, out) == (0, "")
    assert "report:  runs/photos/report.html" in err
    assert checkpoint.read(Path("runs/photos/checkpoints/000000000032.safetensors")).clock == (4, 32)

    code, _, err = do("resume", "runs/photos")
    assert (code, "--images N makes it longer" in err) == (0, True)
    assert do("resume", "runs/photos", "--images", 64)[0] == 0
    assert RunDirectory("runs/photos").newest()[0].clock == (8, 64)

    code, out, _ = do("sample", "runs/photos", "--count", 5, "--seed", 7, "--out", "grid.png")
    assert (code, out) == (0, "grid.png\n")
    with Image.open("grid.png") as grid:
        assert (grid.mode, grid.size) == ("I;16", (3 * 82 + 2, 2 * 50 + 2))
        whole = np.asarray(grid)
    code, out, _ = do("sample", "runs/photos", "--count", 5, "--seed", 7, "--out", "folder")
    assert code == 0
    files = sorted(Path("folder").iterdir())
    assert [f.name for f in files] == [f"{i:06d}.png" for i in range(5)]
    with Image.open(files[4]) as last:
        assert (last.mode, last.size) == ("I;16", (80, 48))
        pixels = np.asarray(last)
    assert np.array_equal(pixels, whole[52:100, 84:164])  # row 2, column 2 of the grid
    assert len(np.unique(pixels)) > 256  # no 8-bit picture in 16-bit clothes
    code, out, _ = do("sample", "runs/photos", "--weights", "last")
    assert (code, out) == (0, "runs/photos/samples-64-0.png\n")

    code, out, _ = do("report", "runs/photos")
    assert (code, out) == (0, "runs/photos/report.html\n")
    page = Path("runs/photos/report.html").read_text()
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "dcgan" in page

    other = photos(tmp_path / "other", count=3)
    command = ["train", "dcgan", "--init-from", "runs/photos", "--data", other, "--out", "runs/other"]
    assert do(*command, "--images", 8, *TINY)[0] == 0
    old, new = RunDirectory("runs/photos").newest()[0], RunDirectory("runs/other")
    first = checkpoint.read(new.checkpoint(0))
    assert torch.equal(old.tensors["game/critic.judge.weight"], first.tensors["game/critic.judge.weight"])
    assert new.record().data.count == 3


def test_the_preset_size_and_default_place(tmp_path: Path, do: Callable[..., Said]) -> None:
    photos(tmp_path / "photos", classes=2)
    command = ["train", "dcgan", "--data", "photos", "--preset", "small", "--size", "16", "--width", 2]
    assert do(*command, "--images", 64, "--channels", 3, "--flip")[0] == 0
    record = RunDirectory("runs/dcgan-photos").record()
    assert (record.arguments["kernel"], record.arguments["width"], record.arguments["batch"]) == (4, 2, 64)
    assert (record.data.format["shape"], record.data.classes) == ([3, 16, 16], ("class0", "class1"))
    assert record.data.flip
    code, _, err = do(*command, "--images", 64)
    assert (code, "already holds a run: `zerosum resume" in err) == (1, True)


def test_points_train_and_are_drawn(do: Callable[..., Said]) -> None:
    tiny = ["--hidden", 8, "--critic-hidden", 8, "--images", 200, "--latent", 2]
    assert do("train", "gan", "--data", "ring", "--out", "run", *tiny)[0] == 0
    assert do("sample", "run", "--out", "points.png")[0] == 0
    assert do("sample", "run", "--out", "points", "--count", 9)[0] == 0
    assert np.load("points/points.npy").shape == (9, 2)


def test_recipes_are_listed_and_explained(do: Callable[..., Said]) -> None:
    code, out, _ = do("recipes")
    assert code == 0
    for words in ("dcgan: ", "gan: ", "wgan-gp: ", "arXiv:1511.06434", "--preset small"):
        assert words in out
    code, out, _ = do("recipes", "wgan-gp", "--json")
    facts = json.loads(out)["wgan-gp"]
    assert (facts["settings"]["critic_steps"], facts["settings"]["penalty"]) == (5, ["wgan-gp:weight=10"])
    code, out, _ = do("parts", "batch-layer")
    assert code == 0
    assert "--batch-layer minibatch-stddev:group=4\n      How much the samples of a group vary" in out
    code, out, _ = do("parts", "--json")
    r1 = json.loads(out)["penalty"]["r1"]["settings"]
    assert (r1["weight"], r1["every"]) == (10.0, 1)
    assert "kl, reverse-kl" in do("parts")[1]
    code, _, err = do("recipes", "wgan-pg")
    assert (code, "did you mean 'wgan-gp'" in err) == (1, True)


def test_check_data_says_what_is_set_aside_and_exits_with_1(tmp_path: Path, do: Callable[..., Said]) -> None:
    folder = photos(tmp_path / "photos")
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    code, out, _ = do("check-data", folder)
    assert code == 1
    assert "6 of 7 can be used" in out
    assert "set aside: broken.png: " in out
    code, out, _ = do("check-data", folder, "--json", "--size", "16x24")
    facts = json.loads(out)
    assert (code, facts["kept"], facts["shape"]) == (1, 6, [1, 16, 24])
    assert [item["path"] for item in facts["set_aside"]] == ["broken.png"]


# --- slips ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--size", "garbage"], "--size 'garbage' should be a side (64) or HEIGHTxWIDTH (48x80)"),
        (["--size", "16x16x3"], "--size '16x16x3' should be"),
        (["--size", "-16"], "--size '-16' should be"),
        (["--size", ""], "--size '' should be"),
        (["--size", "1e3"], "--size '1e3' should be"),
        (["--size", "4"], "from 8 to 512"),
        (["--size", "16x9999"], "from 8 to 512"),
        (["--penalty", "r1:wieght=1"], "unknown setting of penalty r1 'wieght': did you mean 'weight'"),
        (["--penalty", "r1"], "choose --critic-norm layer or none"),
        (["--penalty", "os.system"], "unknown penalty 'os.system'"),
        (["--objective", "hing"], "unknown objective 'hing': did you mean 'hinge'"),
        (["--constraint", "clip:bound=-1"], "bound must be positive"),
        (["--optimiser", "adm"], "did you mean 'adam'"),
        (["--images", "0"], "--images must be at least 1"),
        (["--batch", "0"], "--batch 0 leaves"),
        (["--every", "0"], "--every must be at least 1"),
        (["--clip", "0"], "--clip must be positive"),
        (["--preset", "huge"], "unknown preset of dcgan 'huge'"),
        (["--device", "nonsense"], "device 'nonsense' cannot be used"),
        (["--precision", "fp16", "--device", "cpu"], "choose bf16 or fp32"),
        (["--init-from", "missing"], "missing is not a run directory"),
        (["--channels", "9"], "from 1 to 8"),
        (["--range", "1", "0"], "the lower one first"),
    ],
)
def test_a_slip_in_a_setting_is_answered_in_one_line_and_nothing_is_written(
    tmp_path: Path, do: Callable[..., Said], arguments: list[str], message: str
) -> None:
    data = small.npy(tmp_path / "slopes.npy")
    code, out, err = do("train", "dcgan", "--data", data, "--out", "run", *arguments)
    assert (code, out) == (1, "")
    assert message in err
    assert err.startswith("zerosum: ")
    assert err.count("\n") == 1
    assert not Path("run").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "dcgan", "--data", "x", "--widht", "3"], ("--widht", "--width")),
        (["train", "dcgan", "--data", "x", "--width", "wide"], ("--width", "wide")),
        (["train", "dcgan", "--data", "x", "--first", "nobody"], ("--first", "nobody")),
        (["train", "dcgan"], ("--data",)),
        (["train", "dgcan", "--data", "x"], ("dgcan", "dcgan")),
        (["trian"], ("trian", "train")),
        (["sample"], ("--run",)),
        (["sample", "run", "--count", "many"], ("--count", "many")),
    ],
)
def test_an_unknown_option_or_command_is_answered_with_the_nearest(
    do: Callable[..., Said], arguments: list[str], words: tuple[str, ...]
) -> None:
    code, out, err = do(*arguments)
    assert code != 0
    for word in words:
        assert word in out + err


@pytest.mark.parametrize("command", ["sample", "resume", "report"])
@pytest.mark.parametrize("name", ["missing", "empty", "model.pt", "model.pkl"])
def test_what_is_no_run_is_named_in_one_line(do: Callable[..., Said], command: str, name: str) -> None:
    mark = Path("ran")

    class Payload:
        def __reduce__(self) -> tuple[Any, ...]:
            return mark.mkdir, ()

    if name == "empty":
        Path(name).mkdir()
    elif name != "missing":
        torch.save(Payload(), name)
    code, _, err = do(command, name)
    assert code == 1
    assert name in err
    assert err.count("\n") == 1
    assert not mark.exists()


def test_wgan_gp_with_batch_norm_in_the_critic_is_refused_clearly(
    tmp_path: Path, do: Callable[..., Said]
) -> None:
    data = small.npy(tmp_path / "slopes.npy")
    code, _, err = do("train", "wgan-gp", "--data", data, "--critic-norm", "batch", "--out", "run")
    assert code == 1
    assert "penalty wgan-gp needs a critic that judges each sample alone" in err
    assert "--critic-norm layer or none" in err


def test_unknown_data_is_answered_with_the_nearest_set(do: Callable[..., Said]) -> None:
    code, _, err = do("train", "dcgan", "--data", "mnits", "--out", "run")
    assert (code, "did you mean mnist?" in err) == (1, True)


def test_numbers_that_are_not_finite_end_in_one_line_and_the_run_fails_there_again(
    tmp_path: Path, do: Callable[..., Said]
) -> None:
    data = small.npy(tmp_path / "slopes.npy")
    wild = ["--lr", "1e25", "--objective", "least-squares", "--norm", "none", "--critic-norm", "none"]
    code, _, first = do("train", "dcgan", "--data", data, "--out", "run", "--images", 800, *TINY, *wild)
    assert code == 1
    line = first.splitlines()[-1]
    assert line.startswith("zerosum: step ")
    assert "--lr" in line
    code, _, second = do("resume", "run")
    assert (code, second.splitlines()[-1]) == (1, line)
    assert RunDirectory("run").newest()[1] == []


def test_a_full_disk_ends_in_one_line(tmp_path: Path, do: Callable[..., Said]) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    try:
        command = ["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(disk)]
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"needs the right to mount a tmpfs ({error})")
    try:
        data = small.npy(tmp_path / "slopes.npy")
        settings = ["--images", 800, "--every", 8, *TINY]
        code, _, err = do("train", "dcgan", "--data", data, "--out", disk / "run", *settings)
        assert code == 1
        line = err.splitlines()[-1]
        assert line.startswith(f"zerosum: {disk / 'run'}")
        assert "cannot be written" in line
        assert "No space left on device" in line
        assert RunDirectory(disk / "run").newest()[1] == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_changed_data_and_recipes_are_refused_in_one_line(tmp_path: Path, do: Callable[..., Said]) -> None:
    data = small.npy(tmp_path / "slopes.npy")
    assert do("train", "dcgan", "--data", data, "--out", "run", "--images", 16, *TINY)[0] == 0
    small.npy(data, count=9, seed=3)
    code, _, err = do("resume", "run", "--images", 32)
    assert (code, err.count("\n")) == (1, 1)
    assert "its data changed" in err
    assert "--force" in err
    assert do("resume", "run", "--images", 32, "--force")[0] == 0
    plain = json.loads(Path("run/recipe.json").read_text())
    plain["arguments"]["lr"] = 0.5
    Path("run/recipe.json").write_text(json.dumps(plain))
    code, _, err = do("resume", "run", "--images", 48)
    assert (code, err.count("\n")) == (1, 1)
    assert "arguments.lr was 0.0002 and is 0.5" in err


def test_a_run_that_was_moved_and_renamed_works_as_before(tmp_path: Path, do: Callable[..., Said]) -> None:
    data = small.npy(tmp_path / "slopes.npy")
    do("train", "dcgan", "--data", data, "--out", "run", "--images", 16, *TINY)
    do("sample", "run", "--out", "a.png", "--count", 4)
    shutil.move("run", "else where")
    assert do("sample", "else where", "--out", "b.png", "--count", 4)[0] == 0
    assert Path("a.png").read_bytes() == Path("b.png").read_bytes()
    assert do("resume", "else where", "--images", 32)[0] == 0
