"""The recipes: what their papers fix, what contradicts itself, and that every part works with every other."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from tests import small
from zerosum.draws import Draws
from zerosum.games.conditional import bound
from zerosum.games.game import Clock
from zerosum.nets.minibatch import BATCH_LAYERS
from zerosum.recipes.glossary import SETTINGS
from zerosum.recipes.parts import (
    CONSTRAINTS,
    CORRUPTIONS,
    OBJECTIVES,
    OPTIMISERS,
    PENALTIES,
    REGULARISERS,
    schedule_of,
)
from zerosum.recipes.table import RECIPES


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_setting_is_explained_and_every_preset_builds(recipe: str) -> None:
    found = RECIPES[recipe]
    assert found.settings.keys() <= SETTINGS.keys()
    assert found.paper
    assert found.summary
    for preset in found.presets.values():
        assert found.build((1, 28, 28), preset, small.classes_for(recipe)).batch > 0


def test_the_paper_s_settings() -> None:
    """Goodfellow 2014 with its released code, Radford 2015 section 4, Gulrajani 2017 algorithm 1 and LSUN."""
    gan = RECIPES["gan"].build((1, 28, 28))
    assert (gan.batch, gan.images, gan.game.critic_steps) == (100, 12_500_000, 1)
    assert [group["momentum"] for group in gan.optimisers["critic"].param_groups] == [0.5]
    dcgan = RECIPES["dcgan"].build((3, 64, 64))
    group = dcgan.optimisers["generator"].param_groups[0]
    assert (dcgan.batch, group["lr"], group["betas"]) == (128, 2e-4, (0.5, 0.999))
    shapes = [tuple(p.shape) for p in dcgan.game.generator.parameters() if p.dim() == 4]
    assert shapes == [(1024, 512, 5, 5), (512, 256, 5, 5), (256, 128, 5, 5), (128, 3, 5, 5)]
    wgan = RECIPES["wgan-gp"].build((3, 64, 64))
    group = wgan.optimisers["critic"].param_groups[0]
    assert (wgan.batch, wgan.game.critic_steps, group["lr"], group["betas"]) == (64, 5, 1e-4, (0, 0.9))
    assert [(p.name, p.weight) for p in wgan.game.penalties] == [("wgan-gp", 10.0)]


def test_the_papers_settings_on_cifar() -> None:
    """Gulrajani 2017: 100,000 generator steps on five critic turns with 64; Miyato 2018's code: 50,000."""
    wgan, sngan = (RECIPES[name].build((3, 32, 32)) for name in ("wgan-gp-resnet", "sngan"))
    for made, steps in ((wgan, 100_000), (sngan, 50_000)):
        assert made.images == steps * made.batch * made.game.critic_steps
        assert made.schedules["critic"](Clock(0, made.images // 2)) == {"lr": 1e-4}
        for optimiser in made.optimisers.values():
            (group,) = optimiser.param_groups
            assert (made.batch, group["lr"], group["betas"]) == (64, 2e-4, (0, 0.9))
        assert made.game.critic_steps == 5
        assert made.game.critic.judge.in_features == 128
    assert [(p.name, p.weight) for p in wgan.game.penalties] == [("wgan-gp", 10.0)]
    assert wgan.game.constraint is None
    assert wgan.game.generator.project.out_features == 4 * 4 * 128
    assert wgan.game.critic.pooling == "mean"
    assert sngan.game.constraint
    assert sngan.game.constraint.name == "spectral-norm"
    assert sngan.game.objective.critic(torch.tensor([0.5]), torch.tensor([-2.0])) == 0.5, "hinge"
    assert not sngan.game.penalties
    assert sngan.game.generator.project.out_features == 4 * 4 * 256
    assert sngan.game.critic.pooling == "sum"


def _named(table: Mapping[str, Any], needs: Mapping[str, str]) -> list[str]:
    return [needs.get(name, name) for name in table]


OBJECTIVE = _named(OBJECTIVES, {"f": "f:hellinger", "weighted": "weighted:pi=0.3"})
PENALTY = [*PENALTIES, "r1:weight=10,every=2"]
PAIRS = [
    *({"objective": objective, "penalty": (penalty,)} for objective in OBJECTIVE for penalty in PENALTY),
    *({"objective": objective, "constraint": name} for objective in OBJECTIVE for name in CONSTRAINTS),
    *({"constraint": name, "penalty": ("wgan-gp",)} for name in CONSTRAINTS),
    *({"corruption": (name,), "penalty": ("r1",)} for name in CORRUPTIONS),
    *({"regulariser": (name,), "constraint": "spectral-norm"} for name in REGULARISERS),
    *({"batch_layer": name, "penalty": ("wgan-gp",)} for name in BATCH_LAYERS if name != "none"),
    *({"pack": 2, "objective": objective} for objective in ("relativistic", "relativistic-average")),
    {"pack": 2, "penalty": ("r1",), "batch_layer": "minibatch-stddev", "corruption": ("instance-noise",)},
    {"unroll": 2, "objective": "relativistic", "penalty": ("r2",), "constraint": "spectral-norm"},
    {"feature_matching": 1.0, "penalty": ("dragan",), "norm": "virtual", "critic_norm": "virtual"},
]


@pytest.mark.parametrize("settings", PAIRS, ids=lambda settings: " ".join(map(str, settings.values())))
def test_every_part_goes_with_every_other(settings: dict[str, Any]) -> None:
    for first in ("critic", "generator"):
        made = small.system(
            "dcgan", **{"critic_norm": "layer", "critic_steps": 2, "first": first, **settings}
        )
        if made.begin:
            made.begin(torch.randn(16, 1, 8, 8))
        state = small.play(made, small.source(), small.state(made), 32)
        assert state.clock == Clock(2, 32)


@pytest.mark.parametrize("optimiser", OPTIMISERS)
@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_trains_with_every_optimiser_and_moves_all_nets(recipe: str, optimiser: str) -> None:
    made = small.system(recipe, optimiser=optimiser)
    before = {name: p.clone() for name, p in made.game.named_parameters()}
    small.play(made, small.source(), small.state(made), 16)
    moved = {
        name.split(".")[0] for name, p in made.game.named_parameters() if not torch.equal(p, before[name])
    }
    assert moved == {name for name, net in made.game.named_children() if any(True for _ in net.parameters())}


SHAPES = [(1, 8, 8), (8, 48, 80), (2, 8, 512), (1, 130, 8)]
UNEVEN = (3, 9, 17)
RESIDUAL = ("wgan-gp-resnet", "sngan", "sagan", "biggan", "projection-gan", "r3gan", "progan")
UNBOUNDED = ("r3gan", "progan")  # no tanh
FED_LATENTS = [recipe for recipe in RECIPES if recipe not in small.FED_IMAGES]
BUILT = [
    *((recipe, shape) for recipe in FED_LATENTS for shape in SHAPES),
    *((recipe, UNEVEN) for recipe in FED_LATENTS if recipe not in RESIDUAL),
]


@pytest.mark.parametrize(("recipe", "shape"), BUILT)
def test_every_size_and_number_of_channels_builds_and_runs(recipe: str, shape: tuple[int, int, int]) -> None:
    classes = small.classes_for(recipe)
    made = RECIPES[recipe].build(shape, {**small.TINY[recipe], "latent": 3}, classes)
    labels = torch.tensor([0, classes - 1]) if classes else None
    made.game.eval()  # nets that grow give full-size images then
    fake: Tensor = bound(made.game.generator, labels)(made.latent(Draws(stop=2)))
    assert fake.shape == (2, *shape)
    assert fake.abs().max() <= 1 or recipe in UNBOUNDED
    if not hasattr(made.game, "critic"):
        return
    critic = bound(made.game.critic, None if made.game.auxiliary else labels)
    assert critic(fake).shape == (2,)


@pytest.mark.parametrize("recipe", RESIDUAL)
def test_residual_nets_refuse_a_size_that_does_not_halve_evenly_and_name_those_near(recipe: str) -> None:
    with pytest.raises(ValueError, match="choose --size 8x16 or 10x18"):
        RECIPES[recipe].build(UNEVEN, classes=small.classes_for(recipe))


def test_points_go_with_the_perceptrons_alone() -> None:
    made = RECIPES["gan"].build((2,), {"latent": 3, "hidden": (4,), "critic_hidden": (4,)})
    assert made.game.generator(torch.zeros(5, 3)).shape == (5, 2)
    for recipe in ("dcgan", "wgan-gp", "acgan", *RESIDUAL):
        with pytest.raises(ValueError, match=f"{recipe} builds convolutional nets .* use gan, or cgan"):
            RECIPES[recipe].build((2,), classes=small.classes_for(recipe))


@pytest.mark.parametrize(
    ("recipe", "settings", "message"),
    [
        ("wgan-gp", {"critic_norm": "batch"}, r"penalty wgan-gp needs .* --critic-norm layer or none"),
        ("dcgan", {"penalty": ("r1",)}, r"penalty r1 needs .* --critic-norm layer or none"),
        ("dcgan", {"corruption": ("ada",), "objective": "wasserstein"}, "a sign says nothing: choose"),
        ("dcgan", {"corruption": ("ada",), "objective": "least-squares"}, "a sign says nothing: choose"),
        ("dcgan", {"corruption": ("ada",), "objective": "f:kl"}, "a sign says nothing: choose"),
        ("dcgan", {"corruption": ("ada",), "objective": "relativistic"}, "a sign says nothing: choose"),
        ("dcgan", {"pack": 3}, "--pack 3: --batch must be a multiple of it, and 128 is not"),
        ("dcgan", {"critic_steps": 0}, "--critic-steps must be at least 1, not 0"),
        ("dcgan", {"first": "generator", "fakes": "shared"}, "choose --fakes fresh"),
        ("dcgan", {"kernel": 1}, "--kernel must be 2 to 9, not 1"),
        ("sngan", {"flat": 0}, "--flat must be at least 1 block, not 0"),
        ("sngan", {"critic_width": 0}, "--critic-width"),
        ("wgan-gp-resnet", {"critic_norm": "batch"}, r"penalty wgan-gp needs .* --critic-norm layer or none"),
        ("dcgan", {"lr": 0.0}, "--lr must be positive, not 0"),
        ("gan", {"schedule": ("linear:start=9,stop=3",)}, "0 ≤ start < stop must hold"),
        ("gan", {"schedule": ("steps",)}, "unknown schedule 'steps'"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    recipe: str, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        RECIPES[recipe].build((1, 16, 16), settings)


def test_schedules_are_what_they_say() -> None:
    linear = schedule_of(("linear:start=100,stop=200",), 0.5)
    assert linear
    assert [linear(Clock(0, n))["lr"] for n in (0, 100, 150, 200, 999)] == [0.5, 0.5, 0.25, 0.0, 0.0]
    both = schedule_of(("decay:factor=2", "momentum:start=0.5,stop=0.7,images=100"), 0.8)
    assert both
    assert both(Clock(3, 50)) == {"lr": 0.1, "momentum": 0.6}
    assert both(Clock(3, 500))["momentum"] == pytest.approx(0.7)
    assert schedule_of(("none",), 0.1) is None
