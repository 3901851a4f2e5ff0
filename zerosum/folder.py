"""A generator in a folder of its own, safetensors and JSON. `docs/export.md` describes it.

As with a run directory, nothing in it is imported or executed: its recipe is looked up by name.
"""

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import msgspec
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from zerosum.data.cache import replacing
from zerosum.rundir import Record, RunError, read_json, record_of

__all__ = ["Kept", "is_folder", "read_folder", "remove_folder", "write_folder"]

FORMAT = 1
WEIGHTS, ABOUT = "generator.safetensors", "generator.json"


@dataclass(frozen=True)
class _About:
    """What generator.json must tell; what else stands there is for other readers."""

    format: int
    record: dict[str, Any]
    weights: Literal["average", "last"]
    images: int
    checksum: str
    truncation: float | None = None


@dataclass(frozen=True)
class Kept:
    """A folder as read: the record to build its generator by, and the weights to fill it with."""

    path: Path
    record: Record
    tensors: Mapping[str, Tensor]
    weights: Literal["average", "last"]
    images: int
    truncation: float | None

    @torch.no_grad()
    def fill(self, module: nn.Module) -> None:
        """Put the weights into a generator. Raises RunError naming the first that does not fit."""
        targets = module.state_dict()
        odd = targets.keys() ^ self.tensors.keys()
        if odd:
            what = "lacks" if min(odd) in targets else "holds, which the recipe has no place for,"
            raise RunError(f"{self.path / WEIGHTS}: {what} {min(odd)!r}")
        for name, target in targets.items():
            there, here = ((tuple(t.shape), t.dtype) for t in (self.tensors[name], target))
            if there != here:
                raise RunError(f"{self.path / WEIGHTS}: {name!r} is {there}, and the recipe's {here}")
            target.copy_(self.tensors[name])


def is_folder(path: Path) -> bool:
    """Whether a generator lies here, as `write_folder` writes it."""
    return (path / ABOUT).is_file()


def write_folder(
    path: Path,
    generator: nn.Module,
    record: Record,
    weights: Literal["average", "last"],
    images: int,
    truncation: float | None,
    description: Mapping[str, Any],
) -> None:
    """Write a generator's weights and, in JSON, what is needed to build and to use it.

    Where the data lay, and the machine, are left out. Raises RunError where something else is there.
    """
    if path.exists() and not is_folder(path) and (not path.is_dir() or any(path.iterdir())):
        raise RunError(f"{path}: holds something else: choose another --out, a folder to be made")
    state = {
        name: tensor.detach().cpu().clone().contiguous() for name, tensor in generator.state_dict().items()
    }
    content = save(state)
    labels = None if record.data.labels is None else "own"
    data = replace(record.data, where=record.data.name, labels=labels, notes=())
    shared = replace(record, data=data, environment={}).plain()
    about = _About(FORMAT, shared, weights, images, hashlib.blake2b(content).hexdigest(), truncation)
    try:
        with replacing(path / WEIGHTS) as stream:
            stream.write(content)
        with replacing(path / ABOUT) as stream:
            text = json.dumps({**asdict(about), **description}, indent=2, ensure_ascii=False)
            stream.write(f"{text}\n".encode())
    except OSError as error:
        raise RunError(f"{path}: cannot be written ({error.strerror}); choose another --out") from error


def remove_folder(path: Path) -> None:
    """Remove what `write_folder` wrote, and no other file."""
    for name in (ABOUT, WEIGHTS):
        (path / name).unlink(missing_ok=True)
    with suppress(OSError):  # other files may lie there by now
        path.rmdir()


def read_folder(path: Path) -> Kept:
    """Read what `write_folder` wrote. Raises RunError, naming the file, where it is damaged or not whole."""
    try:
        plain = read_json(path / ABOUT)
        if isinstance(plain, dict) and plain.get("format", FORMAT) != FORMAT:
            raise ValueError(f"written in format {plain['format']}, and this version reads {FORMAT}")
        about = msgspec.convert(plain, _About)
        record = record_of(about.record)
    except (OSError, ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
        raise RunError(f"{path / ABOUT}: cannot be used ({error})") from error
    try:
        with (path / WEIGHTS).open("rb") as stream:
            checksum = hashlib.file_digest(stream, hashlib.blake2b).hexdigest()
        if checksum != about.checksum:
            raise ValueError(f"damaged, or of another {ABOUT}: their checksums do not agree")
        tensors = load_file(path / WEIGHTS)
    except (OSError, SafetensorError, ValueError) as error:
        raise RunError(f"{path / WEIGHTS}: cannot be used ({error})") from error
    return Kept(path, record, tensors, about.weights, about.images, about.truncation)
