"""Trained generators for use elsewhere: ONNX, torch.export, safetensors. `docs/export.md` tells of each.

Each is read back and compared with the generator it was made of before it is called done.
"""

import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from zerosum.data.cache import replacing
from zerosum.draws import Draws
from zerosum.folder import read_folder, remove_folder, write_folder
from zerosum.names import look_up
from zerosum.rundir import RunError
from zerosum.trained import Trained, in_turn

__all__ = ["FORMATS", "description", "export", "plain_copy"]

TOLERANCE = 1e-4  # the most by which a sample's value may differ from PyTorch's
COUNTS = (1, 3)  # batches compared; what is exported is traced with another size, TRACED
TRACED = 2
_MOST_BYTES = 2**31 - 2**20  # protobuf's limit for one file, with room for the graph


def export(trained: Trained, format: str, out: str | Path | None = None) -> Path:
    """Write a generator in one of `FORMATS`, beside the run or at `out`; returns the path.

    ONNX and torch.export take `z` [B, latent] and, where it has classes, `labels` [B], and give images
    [B, C, H, W]; B is free. Both carry `description` along. Raises RunError for a generator that is not fed
    latents or has not grown to its full size, for packages that are not installed, for an `out` of the wrong
    kind, and where what was made differs from PyTorch by more than 1e-4.
    """
    kind = look_up(FORMATS, format, "--format")
    if trained.latent.instead is not None:
        raise RunError(
            f"{trained.path}: exported nets are fed latents, not this one: {trained.latent.instead}"
        )
    unfinished = getattr(trained.generator, "unfinished", None)
    if unfinished:
        raise RunError(f"{trained.path}: cannot be exported before it has grown: {unfinished}")
    path = Path(out).expanduser() if out else trained.path / f"generator{kind.suffix}"
    if path.suffix != kind.suffix:
        named = f"a file named …{kind.suffix}" if kind.suffix else "a folder, without a suffix"
        raise RunError(f"--out {path}: {format} makes {named}")
    kind.write(trained, path)
    return path


def description(trained: Trained) -> dict[str, Any]:
    """What a user of an exported generator must know, JSON-ready: its inputs and their law, its output.

    `low` and `high` are the data's values that −1 and 1 stand for.
    """
    record, latent, form = trained.record, trained.latent, trained.format
    z = {"shape": ["batch", latent.size], "dtype": "float32", "law": latent.law, "cut_to": latent.threshold}
    inputs: dict[str, Any] = {"z": z}
    if trained.classes:
        inputs["labels"] = {"shape": ["batch"], "dtype": "int64", "classes": list(trained.classes)}
    images = {
        "shape": ["batch", *form.shape],
        "dtype": "float32",
        "range": None if form.points else [-1, 1],
        "data": {"dtype": form.dtype, "low": form.low, "high": form.high},
    }
    about = {"zerosum": record.zerosum, "recipe": record.recipe, "arguments": record.arguments}
    return {**about, "images_shown": trained.images, "inputs": inputs, "outputs": {"images": images}}


def plain_copy(generator: nn.Module) -> nn.Module:
    """A copy in evaluation mode whose parametrised weights (spectral norm) are plain ones, as they now are.

    The original is left as it was.

    >>> from zerosum.constraints import spectral_norm
    >>> net = nn.Sequential(nn.Linear(3, 2))
    >>> spectral_norm().prepare(net)
    >>> [name for name, _ in plain_copy(net).named_parameters()]
    ['0.bias', '0.weight']
    """
    copy = deepcopy(generator).cpu().eval().requires_grad_(False)
    for module in copy.modules():
        if parametrize.is_parametrized(module):
            # PyTorch's own removal would take the property from the class, which the original shares.
            names = list(module.parametrizations)  # type: ignore[arg-type]
            weights = {name: getattr(module, name).detach().clone() for name in names}
            module.__class__ = parametrize.type_before_parametrizations(module)
            del module.parametrizations
            for name, weight in weights.items():
                module.register_parameter(name, nn.Parameter(weight, requires_grad=False))
    return copy


def _inputs(trained: Trained, count: int) -> tuple[Tensor, ...]:
    z = trained.latent(Draws(1, stop=count))
    return (z, in_turn(count, trained.numbers())) if trained.classes else (z,)


@torch.no_grad()
def _compare(trained: Trained, what: str, made: Callable[..., Tensor]) -> None:
    """Raise RunError where what was made does not give the generator's samples, for batches of any size."""
    generator = deepcopy(trained.generator).cpu().eval()
    for count in COUNTS:
        given = _inputs(trained, count)
        want, got = generator(*given), made(*given)
        gap = float((want - got).abs().max()) if want.shape == got.shape else float("inf")
        if not gap <= TOLERANCE:
            raise RunError(
                f"{what}: differs from PyTorch by {gap:.2g}, over {TOLERANCE:g}, and was not written: please "
                "report the recipe and its settings, and choose another --format"
            )


@torch.no_grad()
def _traced(trained: Trained, net: nn.Module) -> torch.export.ExportedProgram:
    given = _inputs(trained, TRACED)
    net(*given)  # what a net finds out at its first samples is not to be traced
    return torch.export.export(net, given, dynamic_shapes=_free(given))


def _free(given: Sequence[object]) -> tuple[dict[int, Any], ...]:
    """That each input's first dimension is one and the same, and of any size."""
    batch = torch.export.Dim("batch")
    return tuple({0: batch} for _ in given)


def _to_onnx(trained: Trained, path: Path) -> None:
    try:
        import onnxruntime
        import onnxscript  # noqa: F401  torch.onnx needs it
    except ImportError as error:
        raise RunError(
            f"--format onnx needs onnx, onnxscript and onnxruntime ({error}): pip install 'zerosum[export]'"
        ) from error
    net = plain_copy(trained.generator)
    for module in net.modules():
        if hasattr(module, "folded"):  # up-sampling and convolution apart, which ONNX has and runs fast
            module.folded = False  # type: ignore[assignment]
    size = sum(tensor.nbytes for tensor in net.state_dict().values())
    if size > _MOST_BYTES:
        raise RunError(f"{path}: {size:,} bytes of weights are over ONNX's 2 GiB: choose another --format")
    names = list(description(trained)["inputs"])
    with _quiet():
        program = torch.onnx.export(
            _traced(trained, net),
            (),
            input_names=names,
            output_names=["images"],
            dynamic_shapes=_free(names),
            optimize=False,  # its rules take x + 1e-8 for x, which pixel norm needs; runtimes have their own
            verbose=False,
        )
    assert program is not None
    program.model.metadata_props["zerosum"] = json.dumps(description(trained), ensure_ascii=False)
    content = program.model_proto.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])

    def run(*given: Tensor) -> Tensor:
        fed = {name: tensor.numpy() for name, tensor in zip(names, given, strict=True)}
        return torch.from_numpy(session.run(None, fed)[0])

    _compare(trained, str(path), run)
    _write(path, content)


def _to_torch_export(trained: Trained, path: Path) -> None:
    told = json.dumps(description(trained), ensure_ascii=False)
    buffer = io.BytesIO()
    with _quiet():
        program = _traced(trained, plain_copy(trained.generator))
        torch.export.save(program, buffer, extra_files={"zerosum.json": told})
        buffer.seek(0)
        _compare(trained, str(path), torch.export.load(buffer).module())
    _write(path, buffer.getvalue())


def _to_safetensors(trained: Trained, path: Path) -> None:
    write_folder(
        path,
        trained.generator,
        trained.record,
        trained.weights,
        trained.images,
        trained.latent.threshold,
        description(trained),
    )
    copy = deepcopy(trained.generator).cpu()
    try:
        read_folder(path).fill(copy)
        _compare(trained, str(path), copy)
    except RunError:
        remove_folder(path)
        raise


def _write(path: Path, content: bytes) -> None:
    try:
        with replacing(path) as stream:
            stream.write(content)
    except OSError as error:
        raise RunError(f"{path}: cannot be written ({error.strerror}); choose another --out") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what PyTorch's exporters say of themselves and of packages that are not needed."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


class _Kind(NamedTuple):
    suffix: str
    write: Callable[[Trained, Path], None]


FORMATS: Mapping[str, _Kind] = {
    "onnx": _Kind(".onnx", _to_onnx),
    "torch-export": _Kind(".pt2", _to_torch_export),
    "safetensors": _Kind("", _to_safetensors),
}
