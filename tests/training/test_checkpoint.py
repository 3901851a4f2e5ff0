"""Checkpoints: nothing is lost, nothing is believed, and nothing that happens to one harms the rest."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from tests import small
from zerosum.training.checkpoint import CheckpointError, read, restore, restore_weights, write
from zerosum.training.state import State

OPTIMISERS = ("adam", "rmsprop", "sgd:momentum=0.5", "sgd:momentum=0")


# --- all of the state -------------------------------------------------------------------------------


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_all_of_the_state_comes_back_to_the_bit(tmp_path: Path, optimiser: str) -> None:
    made, state = small.saved(tmp_path / "a.safetensors", optimiser=optimiser)
    found = small.restored(tmp_path / "a.safetensors", optimiser=optimiser)
    assert small.differing(small.everything(made, state), found) == []


def test_moments_keep_the_memory_format_of_their_weights(tmp_path: Path) -> None:
    small.saved(tmp_path / "a.safetensors")
    made = small.system(seed=9)
    restore(read(tmp_path / "a.safetensors"), made.game, made.optimisers, small.state(made))
    pairs = [
        (p.stride(), values[key].stride())
        for optimiser in made.optimisers.values()
        for p, values in optimiser.state.items()
        for key in ("exp_avg", "exp_avg_sq")
        if p.dim() == 4
    ]
    assert pairs
    assert all(weight == moment for weight, moment in pairs)
    assert any(weight[1] == 1 for weight, _ in pairs)  # channels last


def test_a_state_from_before_the_first_step_empties_an_optimiser_that_has_moved(tmp_path: Path) -> None:
    made = small.system()
    write(tmp_path / "a.safetensors", made.game, made.optimisers, small.state(made))
    found = small.restored(tmp_path / "a.safetensors")
    assert small.differing(small.everything(made, small.state(made)), found) == []


def test_scalers_come_back_though_none_were_there(tmp_path: Path) -> None:
    made, state = small.trained()
    for player in made.optimisers:
        state.scalers[player] = torch.amp.GradScaler("cpu", init_scale=8.0 if player == "critic" else 32.0)
    write(tmp_path / "a.safetensors", made.game, made.optimisers, state)
    fresh = State()
    other = small.system(seed=1)
    fresh.averages = small.state(other).averages
    restore(read(tmp_path / "a.safetensors"), other.game, other.optimisers, fresh)
    assert {player: scaler.get_scale() for player, scaler in fresh.scalers.items()} == {
        "critic": 8.0,
        "generator": 32.0,
    }


def test_weights_alone_leave_optimisers_and_clock_as_they_are(tmp_path: Path) -> None:
    made, _ = small.saved(tmp_path / "a.safetensors")
    other = small.system(seed=9)
    restore_weights(read(tmp_path / "a.safetensors"), other.game)
    assert all(torch.equal(v, other.game.state_dict()[k]) for k, v in made.game.state_dict().items())
    assert not any(optimiser.state for optimiser in other.optimisers.values())


# --- what is missing or does not fit ----------------------------------------------------------------


def test_each_tensor_that_is_missing_is_named(tmp_path: Path) -> None:
    made, state = small.saved(tmp_path / "whole.safetensors")
    whole = read(tmp_path / "whole.safetensors")
    assert len(whole.tensors) > 40
    for listed in (True, False):  # missed by read, and, where the list of names was cut too, by restore
        for name in whole.tensors:
            rest = {k: v for k, v in whole.tensors.items() if k != name}
            names = [n for n in whole.meta["names"] if listed or n != name]
            small.rewrite(tmp_path / "cut.safetensors", rest, {**whole.meta, "names": names})
            with pytest.raises(CheckpointError, match=f"lacks the tensor '{name}'"):
                restore(read(tmp_path / "cut.safetensors"), made.game, made.optimisers, state)


def paths(value: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The place of every field in JSON, at any depth; of lists, of each entry but numbers."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        if isinstance(key, str) or not isinstance(inner, int | float):
            yield (*before, key)
        yield from paths(inner, (*before, key))


@pytest.mark.parametrize("optimiser", ["adam", "sgd:momentum=0"])
def test_each_field_that_is_missing_is_named(tmp_path: Path, optimiser: str) -> None:
    made, state = small.saved(tmp_path / "whole.safetensors", optimiser=optimiser)
    for player in made.optimisers:
        state.scalers[player] = torch.amp.GradScaler("cpu")
    write(tmp_path / "whole.safetensors", made.game, made.optimisers, state)
    whole = read(tmp_path / "whole.safetensors")
    text = json.dumps(whole.meta)
    places = [place for place in paths(json.loads(text)) if place[0] != "about" or len(place) == 1]
    assert len(places) > 100
    for place in places:
        meta = json.loads(text)
        inner = meta
        for key in place[:-1]:
            inner = inner[key]
        lost = inner[place[-1]]
        del inner[place[-1]]
        small.rewrite(tmp_path / "cut.safetensors", dict(whole.tensors), meta)
        # A list's entry is named by what it was, a field by its name.
        name = lost if isinstance(place[-1], int) and isinstance(lost, str) else str(place[-1])
        with pytest.raises(CheckpointError) as caught:
            restore(read(tmp_path / "cut.safetensors"), made.game, made.optimisers, state)
        assert isinstance(place[-1], int) or name in str(caught.value), place


def test_a_missing_checksum_is_no_excuse(tmp_path: Path) -> None:
    small.saved(tmp_path / "a.safetensors")
    whole = read(tmp_path / "a.safetensors")
    save_file(dict(whole.tensors), tmp_path / "a.safetensors", {"zerosum": json.dumps(whole.meta)})
    with pytest.raises(CheckpointError, match="checksum"):
        read(tmp_path / "a.safetensors")


def test_another_recipe_does_not_fit_and_the_first_difference_is_named(tmp_path: Path) -> None:
    small.saved(tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match=r"'game/generator.project.weight' is \(.*the recipe's \("):
        small.restored(tmp_path / "a.safetensors", latent=5)
    with pytest.raises(CheckpointError, match="the generator's optimiser was Adam, not RMSprop"):
        small.restored(tmp_path / "a.safetensors", optimiser="rmsprop")
    with pytest.raises(CheckpointError, match=r"lacks the tensor 'game/critic.layers.0.parametrizations"):
        small.restored(tmp_path / "a.safetensors", constraint="spectral-norm")
    made = small.system()
    with pytest.raises(CheckpointError, match="its averages are generator, and the recipe's none"):
        restore(read(tmp_path / "a.safetensors"), made.game, made.optimisers, State())
    only = {"critic": made.optimisers["critic"]}
    with pytest.raises(CheckpointError, match="its players are critic, generator, and the recipe's critic"):
        restore(read(tmp_path / "a.safetensors"), made.game, only, small.state(made))
    made.game.double()
    with pytest.raises(CheckpointError, match=r"float32, and the recipe's .* float64"):
        restore(read(tmp_path / "a.safetensors"), made.game, made.optimisers, small.state(made))


def test_what_is_left_over_is_named(tmp_path: Path) -> None:
    small.saved(tmp_path / "a.safetensors", constraint="spectral-norm")
    with pytest.raises(CheckpointError, match=r"lacks|no place for"):
        small.restored(tmp_path / "a.safetensors")
    whole = read(tmp_path / "a.safetensors")
    tensors = {**whole.tensors, "game/zzz": torch.zeros(1)}
    small.rewrite(tmp_path / "b.safetensors", tensors, {**whole.meta, "names": sorted(tensors)})
    with pytest.raises(CheckpointError, match="holds 'game/zzz', which this recipe has no place for"):
        small.restored(tmp_path / "b.safetensors", constraint="spectral-norm")


def test_a_newer_format_is_named_whatever_else_changed(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "a.safetensors", {"zerosum": '{"format": 99}'})
    with pytest.raises(CheckpointError, match="written in format 99, and this version reads 1"):
        read(tmp_path / "a.safetensors")


@pytest.mark.parametrize("place", ["weight", "buffer", "moment", "average", "setting"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_state_that_is_not_finite_is_never_saved(tmp_path: Path, place: str, value: float) -> None:
    made, state = small.trained()
    generator, critic = (made.game.get_submodule(name) for name in ("generator", "critic"))
    names = {
        "weight": ("game/critic.judge.bias", critic.get_parameter("judge.bias")),
        "buffer": ("game/generator.layers.0.running_var", generator.get_buffer("layers.0.running_var")),
        "moment": (
            "optimiser/critic/critic.judge.bias/exp_avg",
            made.optimisers["critic"].state[critic.get_parameter("judge.bias")]["exp_avg"],
        ),
        "average": (
            "average/generator/project.weight",
            state.averages["generator"].module.get_parameter("project.weight"),
        ),
        "setting": ("a setting of an optimiser", None),
    }
    name, tensor = names[place]
    if tensor is None:
        made.optimisers["critic"].param_groups[0]["lr"] = value
    else:
        tensor.data.flatten()[-1] = value
    with pytest.raises(CheckpointError, match=f"not saved: {name} is .*at step 3"):
        write(tmp_path / "a.safetensors", made.game, made.optimisers, state)
    assert list(tmp_path.iterdir()) == []
