"""Exports: each is the generator that was trained, for batches of any size, and says what it needs."""

import builtins
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

import zerosum
from tests import small
from zerosum import export as exporting
from zerosum.constraints import spectral_norm
from zerosum.data import Format
from zerosum.draws import Draws
from zerosum.export import FORMATS, description, export, plain_copy
from zerosum.folder import ABOUT, WEIGHTS, read_folder
from zerosum.recipes.table import RECIPES
from zerosum.rundir import DataFacts, Record, RunDirectory, RunError, TrainingOptions
from zerosum.trained import Trained, build, load

ALL = [(name, 0) for name, recipe in RECIPES.items() if recipe.labels != "needed"]
ALL += [(name, 3) for name, recipe in RECIPES.items() if recipe.labels != "unused"]
ALL = [(name, classes) for name, classes in ALL if name not in small.FED_IMAGES]
GROWN = 10**9


def made(tmp_path: Path, recipe: str, classes: int = 0, **settings: Any) -> Trained:
    """A tiny generator with weights and statistics as of some training, and what is known of it."""
    form = Format((3, 16, 16), "uint8", 0.0, 255.0)
    names = ("cat", "dog", "eel")[:classes]
    data = DataFacts("/home/me/photos", labels="own" if classes else None, name="photos", classes=names)
    data = replace(data, format={"shape": [3, 16, 16], "dtype": "uint8", "low": 0.0, "high": 255.0})
    arguments = {**small.TINY[recipe], **settings}
    training = TrainingOptions(images=80, every=40)
    record = Record("0", recipe, arguments, data, training, {"processor": "mine"})
    system, _ = build(record, RECIPES)
    torch.manual_seed(1)
    if system.begin:
        system.begin(torch.rand(64, 3, 16, 16) * 2 - 1)
    generator = system.game.get_submodule(system.generator)
    for name, tensor in generator.state_dict().items():
        if name == "images":
            tensor.fill_(GROWN)
        elif name.endswith(("running_mean", "weight", "bias", "gamma")):
            tensor.add_(0.1 * torch.randn_like(tensor))
        elif name.endswith("running_var"):
            tensor.mul_(1 + torch.rand_like(tensor))
    generator.eval().requires_grad_(False)
    return Trained(generator, system.latent, form, record, system, tmp_path, "average", 80)


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def inputs(trained: Trained, count: int = 5) -> dict[str, torch.Tensor]:
    given = {"z": trained.latent(Draws(9, stop=count))}
    return {**given, "labels": torch.arange(count) % 3} if trained.classes else given


def same_as_onnx(trained: Trained, path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for count in (1, 5):
        given = inputs(trained, count)
        got = session.run(["images"], {name: tensor.numpy() for name, tensor in given.items()})[0]
        want = trained.generator(*given.values())
        assert want.std() > 1e-3  # a constant would agree with anything
        torch.testing.assert_close(torch.from_numpy(got), want, atol=1e-4, rtol=0)


def same_as_torch_export(trained: Trained, path: Path) -> None:
    module = torch.export.load(path).module()
    for count in (1, 5):
        given = inputs(trained, count).values()
        torch.testing.assert_close(module(*given), trained.generator(*given), atol=1e-4, rtol=0)


CHECKS = {"onnx": same_as_onnx, "torch-export": same_as_torch_export}
SOME = [
    ("onnx", "sagan", 3, {"attention": 8}),  # spectral norm in the generator, folded, attention, class norms
    ("onnx", "dcgan", 0, {"norm": "virtual"}),
    ("torch-export", "biggan", 3, {}),
    ("onnx", "progan", 0, {}),  # whose 1e-8 keeps small pixels small
]


@pytest.mark.parametrize(("format", "recipe", "classes", "settings"), SOME)
def test_what_is_exported_gives_the_generator_s_samples(
    tmp_path: Path, format: str, recipe: str, classes: int, settings: dict[str, Any]
) -> None:
    trained = made(tmp_path, recipe, classes, **settings)
    path = export(trained, format)
    assert path == tmp_path / f"generator{FORMATS[format].suffix}"
    CHECKS[format](trained, path)


@pytest.mark.slow
@pytest.mark.parametrize("format", CHECKS)
@pytest.mark.parametrize(("recipe", "classes"), ALL)
def test_every_recipe_is_exported(tmp_path: Path, recipe: str, classes: int, format: str) -> None:
    trained = made(tmp_path, recipe, classes)
    CHECKS[format](trained, export(trained, format))


@pytest.mark.parametrize(("recipe", "classes"), ALL)
def test_a_folder_of_every_recipe_gives_the_same_samples_to_the_bit(
    tmp_path: Path, recipe: str, classes: int
) -> None:
    trained = made(tmp_path, recipe, classes)
    again = zerosum.load(export(trained, "safetensors", tmp_path / "shared"))
    assert torch.equal(again.sample(7, seed=3), trained.sample(7, seed=3))
    assert (again.classes, again.images, again.format) == (trained.classes, 80, trained.format)
    assert again.path == tmp_path / "shared"
    if classes:
        assert torch.equal(again.sample(3, label="dog"), trained.sample(3, label=1))


def test_a_folder_holds_what_was_asked_for_and_no_word_of_the_machine(tmp_path: Path) -> None:
    trained = made(tmp_path, "acgan", 3).truncated(0.5)
    folder = export(replace(trained, weights="last"), "safetensors", tmp_path / "shared")
    assert sorted(path.name for path in folder.iterdir()) == [ABOUT, WEIGHTS]
    text = (folder / ABOUT).read_text()
    assert "/home/me" not in text
    assert "mine" not in text
    about = json.loads(text)
    assert about["inputs"]["z"] == {"shape": ["batch", 4], "dtype": "float32", "law": "normal", "cut_to": 0.5}
    assert about["inputs"]["labels"]["classes"] == ["cat", "dog", "eel"]
    assert about["outputs"]["images"]["data"] == {"dtype": "uint8", "low": 0.0, "high": 255.0}
    again = load(folder, weights="last")
    assert again.latent.threshold == 0.5
    assert torch.equal(again.sample(4), trained.sample(4))
    assert load(folder).weights == "last"
    export(trained, "safetensors", folder)  # again into the same place
    with pytest.raises(RunError, match="holds the average's weights alone"):
        load(folder, weights="last")
    onward = export(load(folder), "safetensors", tmp_path / "onward")  # a folder exports as a run does
    assert torch.equal(load(onward).sample(2), trained.sample(2))


def test_the_files_say_what_they_take_and_give(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    trained = made(tmp_path, "acgan", 3)
    model = onnx.load(export(trained, "onnx", tmp_path / "a.onnx"))
    said = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(said["zerosum"]) == description(trained)
    shapes = [
        [side.dim_param or side.dim_value for side in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    ]
    assert [value.name for value in model.graph.input] == ["z", "labels"]
    assert shapes == [["batch", 4], ["batch"], ["batch", 3, 16, 16]]
    kept = {"zerosum.json": ""}
    torch.export.load(export(trained, "torch-export", tmp_path / "a.pt2"), extra_files=kept)
    assert json.loads(kept["zerosum.json"]) == description(trained)


def test_a_plain_copy_leaves_the_original_s_spectral_norm(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.ConvTranspose1d(4, 2, 1)).eval()
    spectral_norm().prepare(net)
    x = torch.randn(5, 3)
    copy = plain_copy(net)
    assert torch.equal(copy[0](x), net[0](x))  # type: ignore[index]
    assert not any(parametrize.is_parametrized(module) for module in copy.modules())
    assert parametrize.is_parametrized(net[0])
    assert net[0].weight.shape == (4, 3)
    with torch.no_grad():
        net[0].parametrizations.weight.original.mul_(3)
    assert torch.allclose(copy[0](x), net[0](x), atol=1e-6)  # type: ignore[index]  # σ is 3 times as large


# --- what is refused --------------------------------------------------------------------------------


@pytest.mark.parametrize("format", FORMATS)
def test_a_generator_that_has_not_grown_is_refused(tmp_path: Path, format: str) -> None:
    trained = made(tmp_path, "progan")
    trained.generator.images.fill_(3)  # type: ignore[operator, union-attr]
    with pytest.raises(RunError, match="cannot be exported before it has grown: after 3 images stage 0 of 2"):
        export(trained, format)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("format", FORMATS)
def test_a_place_of_the_wrong_kind_is_refused(tmp_path: Path, format: str) -> None:
    trained = made(tmp_path, "gan")
    wrong = tmp_path / ("a.safetensors" if format == "safetensors" else "a")
    with pytest.raises(RunError, match=r"--out .*a(\.safetensors)?: .* makes a "):
        export(trained, format, wrong)
    with pytest.raises(ValueError, match="unknown --format 'onx': did you mean 'onnx'"):
        export(trained, "onx")


@pytest.mark.parametrize("format", ["torch-export", "safetensors"])
def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, format: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"file/generator.*: cannot be written .*choose another --out"):
        export(made(tmp_path, "gan"), format, tmp_path / "file" / f"generator{FORMATS[format].suffix}")


def test_a_folder_with_other_files_is_not_written_into(tmp_path: Path) -> None:
    trained = made(tmp_path, "gan")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "me.jpg").write_text("")
    with pytest.raises(RunError, match="photos: holds something else: choose another --out"):
        export(trained, "safetensors", tmp_path / "photos")


@pytest.mark.parametrize("format", [pytest.param("onnx", marks=pytest.mark.slow), "torch-export"])
def test_what_differs_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str) -> None:
    monkeypatch.setattr(
        exporting, "plain_copy", lambda net: nn.Sequential(plain_copy(net), nn.Hardtanh(-0.01, 0.01))
    )
    with pytest.raises(RunError, match=r"differs from PyTorch by .*, over 0\.0001, and was not written"):
        export(made(tmp_path, "gan"), format)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_differs_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "TOLERANCE", -1.0)
    with pytest.raises(RunError, match="generator: differs from PyTorch by 0, over -1"):
        export(made(tmp_path, "gan"), "safetensors")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("package", ["onnxruntime", "onnxscript"])
def test_a_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    ordinary = builtins.__import__

    def lacking(name: str, *rest: Any) -> Any:
        if name.split(".")[0] == package:
            raise ImportError(f"No module named {name!r}")
        return ordinary(name, *rest)

    monkeypatch.setattr(builtins, "__import__", lacking)
    with pytest.raises(RunError, match=rf"{package}.*pip install 'zerosum\[export\]'"):
        export(made(tmp_path, "gan"), "onnx")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("flip", r"generator\.safetensors: cannot be used \(damaged, or of another generator\.json"),
        ("cut", r"generator\.safetensors: cannot be used"),
        ("gone", r"generator\.safetensors: cannot be used"),
        ("json", r"generator\.json: cannot be used"),
        ("newer", r"generator\.json: cannot be used \(written in format 2, and this version reads 1"),
        ("key", r"generator\.json: cannot be used .*unknown key 'recipes'"),
        ("recipe", r"unknown recipe 'os\.system'"),
        ("width", r"generator\.safetensors: '.*' is .*, and the recipe's"),
        ("layers", r"generator\.safetensors: (lacks|holds)"),
    ],
)
def test_a_damaged_or_edited_folder_is_refused_by_name(tmp_path: Path, damage: str, message: str) -> None:
    folder = export(made(tmp_path, "gan"), "safetensors", tmp_path / "shared")
    about, content = json.loads((folder / ABOUT).read_text()), (folder / WEIGHTS).read_bytes()
    if damage in ("flip", "cut"):
        changed = content[:-1] + bytes([content[-1] ^ 1]) if damage == "flip" else content[:-9]
        (folder / WEIGHTS).write_bytes(changed)
    elif damage == "gone":
        (folder / WEIGHTS).unlink()
    elif damage == "json":
        (folder / ABOUT).write_text("[" * 100_000)
    else:
        about["format"] = 2 if damage == "newer" else 1
        if damage == "key":
            about["record"]["recipes"] = 1
        elif damage == "recipe":
            about["record"]["recipe"] = "os.system"
        elif damage == "width":
            about["record"]["arguments"]["hidden"] = [9]
        elif damage == "layers":
            about["record"]["arguments"]["hidden"] = [8, 8]
        (folder / ABOUT).write_text(json.dumps(about))
    with pytest.raises(ValueError, match=message):
        load(folder)


def test_a_folder_is_no_run(tmp_path: Path) -> None:
    folder = export(made(tmp_path, "gan"), "safetensors", tmp_path / "shared")
    kept = read_folder(folder)
    assert kept.record.data.where == "photos"
    assert not RunDirectory(folder).recipe.exists()
    assert np.isfinite(load(folder).sample(2).numpy()).all()
