"""Checkpoints: one safetensors file each, checksummed, written atomically, holding all of the state.

Tensors are named `game/…`, `optimiser/PLAYER/PARAMETER/KEY` and `average/MODULE/…`; everything else is
JSON in the file's header. Reading one runs no code: there is no pickle anywhere.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, TypedDict

import msgspec
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.optim import Optimizer

from zerosum.games.game import Clock
from zerosum.training.gradients import first_non_finite
from zerosum.training.state import State

__all__ = ["CheckpointError", "Saved", "read", "restore", "restore_weights", "write"]

FORMAT = 2  # 1 had no phase
_MOST_METADATA = 16 * 2**20


class CheckpointError(ValueError):
    """A checkpoint cannot be read, written, or does not fit; says which and why."""


_Optimiser = TypedDict(
    "_Optimiser",
    {
        "class": str,
        "settings": list[list[str]],  # the keys of each group, so that one that is lost is missed
        "groups": list[dict[str, Any]],
        "state": dict[str, list[str]],  # by parameter: the keys of its state
        "plain": dict[str, dict[str, Any]],  # by parameter: the state that is not tensors
    },
)


class Meta(TypedDict):
    """The JSON of a checkpoint; every field must be there."""

    format: int
    clock: tuple[int, int]
    seed: int
    seconds: float
    phase: int
    optimisers: dict[str, _Optimiser]
    scalers: dict[str, dict[str, int | float]]
    averages: dict[str, float]
    names: list[str]
    about: dict[str, Any]


@dataclass(frozen=True)
class Saved:
    """A checkpoint as read: tensors by name, and the JSON beside them."""

    path: Path
    tensors: Mapping[str, Tensor]
    meta: Meta

    @property
    def clock(self) -> Clock:
        """How far training had come."""
        return Clock(*self.meta["clock"])


def write(
    path: Path,
    game: nn.Module,
    optimisers: Mapping[str, Optimizer],
    state: State,
    about: Mapping[str, Any] | None = None,
) -> None:
    """Write all of the state to `path`: beside it first, fsynced, then renamed onto it.

    Whatever happens, `path` is afterwards either what it was or whole. `about` is any JSON to carry
    along (the recipe). Raises CheckpointError where a tensor is not finite (a bad state is never saved
    as good) or the disk refuses.
    """
    tensors = dict(_collect(game, optimisers, state))
    bad = first_non_finite(iter(tensors.items()))
    if bad:
        raise CheckpointError(f"not saved: {bad[0]} is {bad[1]} at step {state.clock.step}")
    meta: Meta = {
        "format": FORMAT,
        "clock": (state.clock.step, state.clock.images),
        "seed": state.seed,
        "seconds": state.seconds,
        "phase": state.phase,
        "optimisers": {player: _describe(game, optimiser) for player, optimiser in optimisers.items()},
        "scalers": {player: scaler.state_dict() for player, scaler in state.scalers.items()},
        "averages": {name: average.decay for name, average in state.averages.items()},
        "names": sorted(tensors),
        "about": dict(about or {}),
    }
    try:
        json.dumps(meta["optimisers"], allow_nan=False)
    except ValueError as error:
        raise CheckpointError(
            f"not saved: a setting of an optimiser is not finite at step {state.clock.step}"
        ) from error
    text = json.dumps(meta)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        save_file(tensors, partial, {"zerosum": text, "checksum": _checksum(tensors, text)})
        partial.chmod(0o644)
        _sync(partial)
        os.replace(partial, path)
        _sync(path.parent)
    except (OSError, SafetensorError) as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise CheckpointError(
            f"{path}: cannot be written ({error}). The checkpoints before it are intact; make room or give "
            "write permission, then `zerosum resume`"
        ) from error


def read(path: Path) -> Saved:
    """Read and verify a checkpoint; memory stays within the file's own size.

    Raises CheckpointError for a file that is missing, cut, altered by a single bit, or of a newer format.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            text = header.get("zerosum", "")
            if not 0 < len(text) < _MOST_METADATA:
                raise CheckpointError(f"{path}: not a zerosum checkpoint")
            plain = json.loads(text, object_pairs_hook=_no_twins)
            if isinstance(plain, dict) and plain.get("format", FORMAT) not in (1, FORMAT):
                raise CheckpointError(
                    f"{path}: written in format {plain['format']}, and this version reads 1, 2"
                )
            if isinstance(plain, dict) and plain.get("format") == 1:
                plain.setdefault("phase", 0)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, no dict
            if header.get("checksum") != _checksum(tensors, text):
                raise CheckpointError(f"{path}: damaged, its checksum does not agree with its content")
            meta = msgspec.convert(plain, Meta)
    except (OSError, SafetensorError, ValueError, RecursionError) as error:  # msgspec's are ValueErrors
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{path}: cannot be read as a checkpoint ({error})") from error
    odd = set(meta["names"]) ^ set(tensors)
    if odd:
        lacks = "lacks" if min(odd) in meta["names"] else "does not list"
        raise CheckpointError(f"{path}: {lacks} the tensor {min(odd)!r}")
    return Saved(path, tensors, meta)


def restore(
    saved: Saved,
    game: nn.Module,
    optimisers: Mapping[str, Optimizer],
    state: State,
    *,
    settings: bool = True,
) -> None:
    """Put all of a checkpoint's state into a game, its optimisers and a state built by the same recipe.

    `settings=False` leaves the optimisers their own learning rates and the like: a recipe that was changed
    on purpose is to take effect.
    Every tensor is copied into place, so memory formats stay those of the parameters. Raises
    CheckpointError naming the first thing that is missing, left over or of another shape.
    """
    _same_names(saved, "players", set(saved.meta["optimisers"]), set(optimisers))
    _same_names(saved, "averages", set(saved.meta["averages"]), set(state.averages))
    if saved.meta["scalers"]:
        _same_names(saved, "scalers", set(saved.meta["scalers"]), set(optimisers))
    left = set(saved.tensors)
    left -= _fill(saved, "game/", game)
    for name, average in state.averages.items():
        average.decay = saved.meta["averages"][name]
        left -= _fill(saved, f"average/{name}/", average.module)
    parameters = dict(game.named_parameters())
    for player, optimiser in optimisers.items():
        left -= _fill_optimiser(saved, player, optimiser, parameters, settings)
    if left:
        raise CheckpointError(f"{saved.path}: holds {min(left)!r}, which this recipe has no place for")
    state.scalers.clear()
    for player, values in saved.meta["scalers"].items():
        state.scalers[player] = GradScaler(next(game.parameters()).device.type)
        try:
            state.scalers[player].load_state_dict(values)
        except KeyError as error:
            raise CheckpointError(f"{saved.path}: lacks {error} of the {player}'s scaler") from error
    state.clock, state.seed = saved.clock, saved.meta["seed"]
    state.seconds, state.phase = saved.meta["seconds"], saved.meta["phase"]


def restore_weights(saved: Saved, module: nn.Module, part: str = "game") -> None:
    """Put weights and buffers alone into place: the game's, or those of `part` ("average/generator")."""
    _fill(saved, f"{part}/", module)


def _same_names(saved: Saved, what: str, there: set[str], here: set[str]) -> None:
    if there != here:
        raise CheckpointError(
            f"{saved.path}: its {what} are {', '.join(sorted(there)) or 'none'}, and the recipe's "
            f"{', '.join(sorted(here)) or 'none'}"
        )


def _collect(
    game: nn.Module, optimisers: Mapping[str, Optimizer], state: State
) -> Iterator[tuple[str, Tensor]]:
    def still(tensor: Tensor) -> Tensor:
        return tensor.detach().to("cpu", copy=True).contiguous()

    for name, tensor in game.state_dict().items():
        yield f"game/{name}", still(tensor)
    for name, average in state.averages.items():
        for key, tensor in average.module.state_dict().items():
            yield f"average/{name}/{key}", still(tensor)
    names = {id(p): name for name, p in game.named_parameters()}
    for player, optimiser in optimisers.items():
        for p, values in optimiser.state.items():
            for key, value in values.items():
                if isinstance(value, Tensor):
                    yield f"optimiser/{player}/{names[id(p)]}/{key}", still(value)


def _describe(game: nn.Module, optimiser: Optimizer) -> _Optimiser:
    names = {id(p): name for name, p in game.named_parameters()}
    groups = [
        {
            **{k: v for k, v in group.items() if k != "params"},
            "params": [names[id(p)] for p in group["params"]],
        }
        for group in optimiser.param_groups
    ]
    kept = {names[id(p)]: sorted(values) for p, values in optimiser.state.items()}
    plain = {
        names[id(p)]: {k: v for k, v in values.items() if not isinstance(v, Tensor)}
        for p, values in optimiser.state.items()
    }
    return {
        "class": type(optimiser).__name__,
        "settings": [sorted(group) for group in groups],
        "groups": groups,
        "state": kept,
        "plain": {name: values for name, values in plain.items() if values},
    }


def _fill(saved: Saved, prefix: str, module: nn.Module) -> set[str]:
    """Copy tensors into a module's state; returns the names used."""
    used = set()
    with torch.no_grad():
        for name, target in module.state_dict().items():
            target.copy_(_fitting(saved, prefix + name, target))
            used.add(prefix + name)
    return used


def _fitting(saved: Saved, name: str, target: Tensor) -> Tensor:
    if name not in saved.tensors:
        raise CheckpointError(f"{saved.path}: lacks the tensor {name!r}")
    tensor = saved.tensors[name]
    there, here = ((tuple(t.shape), str(t.dtype).removeprefix("torch.")) for t in (tensor, target))
    if there != here:
        raise CheckpointError(
            f"{saved.path}: {name!r} is {there[0]} {there[1]}, and the recipe's {here[0]} {here[1]}"
        )
    return tensor


def _fill_optimiser(
    saved: Saved, player: str, optimiser: Optimizer, parameters: Mapping[str, nn.Parameter], settings: bool
) -> set[str]:
    there, here = saved.meta["optimisers"][player], {id(p): name for name, p in parameters.items()}
    if there["class"] != type(optimiser).__name__:
        raise CheckpointError(
            f"{saved.path}: the {player}'s optimiser was {there['class']}, not {type(optimiser).__name__}"
        )
    used = set()
    for old, keys in zip_longest(there["groups"], there["settings"], fillvalue=("group",)):
        odd = set(keys) ^ set(old)
        if odd:
            raise CheckpointError(f"{saved.path}: lacks {min(odd)!r} of the {player}'s optimiser")
    held = [[here[id(p)] for p in group["params"]] for group in optimiser.param_groups]
    if [old["params"] for old in there["groups"]] != held:
        raise CheckpointError(f"{saved.path}: the {player}'s optimiser holds other parameters")
    for group, old in zip(optimiser.param_groups, there["groups"], strict=True):
        for key, value in old.items():
            if key != "params" and settings:
                group[key] = tuple(value) if isinstance(group.get(key), tuple) else value
    optimiser.state.clear()
    for name, keys in there["state"].items():
        if name not in parameters:
            raise CheckpointError(f"{saved.path}: holds {name!r}, which this recipe has no place for")
        p = parameters[name]
        plain = there["plain"].get(name, {})
        optimiser.state[p] = dict(plain)
        for key in keys:
            if key in plain:
                continue
            full = f"optimiser/{player}/{name}/{key}"
            if full not in saved.tensors:
                raise CheckpointError(f"{saved.path}: lacks the tensor {full!r}")
            tensor = saved.tensors[full]
            # A moment takes its parameter's memory format: fused Adam pairs them element by element.
            like = p.detach() if tensor.shape == p.shape else tensor
            device = p.device if tensor.shape == p.shape or _on_device(optimiser) else "cpu"
            optimiser.state[p][key] = torch.empty_like(like, dtype=tensor.dtype, device=device).copy_(tensor)
            used.add(full)
    return used


def _on_device(optimiser: Optimizer) -> bool:
    """Whether scalar state (the step count) lives with the parameter: fused and capturable ones do."""
    return any(group.get("fused") or group.get("capturable") for group in optimiser.param_groups)


def _checksum(tensors: Mapping[str, Tensor], text: str) -> str:
    digest = hashlib.blake2b(text.encode(), digest_size=32)
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"\x1f{name}\x1f{tensor.dtype}\x1f{tuple(tensor.shape)}\x1f".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) != len(pairs):
        raise ValueError("a key occurs twice in its JSON")
    return out


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
