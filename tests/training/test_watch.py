"""What the watch makes of lines: when it speaks, when it keeps still, and that its remedies can be had."""

import math

import pytest
import torch

from zerosum.cli import train
from zerosum.objectives import hinge, least_squares, minimax, non_saturating, wasserstein, weighted
from zerosum.recipes.table import RECIPES, arguments_of
from zerosum.relativistic import relativistic, relativistic_average
from zerosum.training.watch import CHECKS, Watch
from zerosum.training.watch_remedies import REMEDIES, Situation, remedies
from zerosum.training.watch_samples import Shelf, beside, spread
from zerosum.training.watch_scale import Scale, flattens, scale_of
from zerosum.training.watch_signs import swing

# As recorded in a DCGAN's run on MNIST that trained, every tenth line.
LOSSES = (0.551, 0.262, 0.173, 1.32, 1.11, 0.873, 1.0, 0.736, 0.664)
GRADIENTS = (44.4, 40.1, 43.2, 13.3, 8.71, 7.0, 7.35, 13.7, 16.5)
SCORES = (0.145, 0.075, 0.055, 0.045, 0.045, 0.038, 0.037, 0.037, 0.036)
SPREADS = (0.742, 0.85, 0.959, 0.98, 0.996, 0.981, 0.978, 0.985, 0.994)


def line(place: int, **more: float) -> dict[str, float]:
    return {"step": 100.0 * (place + 1), "images": 6400.0 * place, **more}


def look(place: int, score: float, **more: float) -> dict[str, float]:
    named = {f"samples/{name.replace('_', '-')}": value for name, value in more.items()}
    return line(place, **{"score/swd": score, "score/floor": 0.02, **named})


def told(
    lines: list[dict[str, float]], scale: Scale | None = None, resets: tuple[int, ...] = ()
) -> list[str]:
    """What begins (+) and ends (−), in order."""
    watch = Watch(Situation({"lr": 1e-3}), scale, resets)
    return [f"{'+' if n.begins else '−'}{n.diagnosis}" for each in lines for n in watch(each)]


def test_a_healthy_series_is_passed_over_in_silence() -> None:
    lines = []
    for place in range(90):
        part = place // 10
        noise = 1 + 0.2 * math.sin(place * place)
        critic, generator = (
            {"critic/adversarial": LOSSES[part] * noise},
            {"generator/gradient": GRADIENTS[part]},
        )
        readings = {"critic/real": 0.65 + 0.05 * math.sin(3 * place * place), "generator/fake": 0.25 * noise}
        seen = {**critic, **generator, **readings}
        if place % 10 == 9:
            seen |= look(
                place, SCORES[part], spread=SPREADS[part], shift=0.1, contrast=0.9, copied_p=0.5, copied=0.1
            )
        lines.append({**seen, **line(place)})
    assert told(lines, Scale(0.0, 1.386)) == []


def test_a_diagnosis_is_told_once_and_its_end_once() -> None:
    losses = [1.0] * 12 + [0.01] * 15 + [0.05] * 3 + [0.01] * 15 + [0.7] * 20  # .05 lies between the bounds
    lines = [line(i, **{"critic/adversarial": loss}) for i, loss in enumerate(losses)]
    assert told(lines, Scale(0.0, 1.386)) == ["+critic saturated", "−critic saturated"]


def test_a_wasserstein_critic_is_not_accused_of_its_loss() -> None:
    lines = [
        line(i, **{"critic/adversarial": -50.0, "critic/real": 40.0, "critic/fake": -10.0}) for i in range(40)
    ]
    assert told(lines, scale_of(wasserstein().critic)) == []


@pytest.mark.parametrize("decided", [False, True])
def test_a_small_gradient_is_harmless_where_the_critic_knows_no_better(decided: bool) -> None:
    gradients = [1.0] * 12 + [1e-4] * 20
    seen = {"critic/adversarial": 0.3 if decided else 1.38}
    lines = [line(i, **seen, **{"generator/gradient": g}) for i, g in enumerate(gradients)]
    assert told(lines, Scale(0.0, 1.386)) == (["+generator's gradient vanished"] if decided else [])


def test_a_spread_that_grows_is_on_its_way() -> None:
    growing = [look(i, 0.3 / (i + 1), spread=0.2 * 1.2**i) for i in range(5)]
    assert told(growing) == []
    falling = [look(i, 0.3 / (i + 1), spread=0.45 - 0.05 * i) for i in range(4)]
    back = [look(9, 0.05, spread=0.55), look(10, 0.04, spread=0.7)]
    assert told(falling + back) == ["+diversity falling", "−diversity falling"]


@pytest.mark.parametrize(
    "off",
    [
        {"clipped": 0.4, "clipped_real": 0.03},
        {"clipped": 0.99, "clipped_real": 0.85},
        {"outside": 0.2},
        {"shift": -0.9},
        {"contrast": 1.9},
    ],
)
def test_each_way_off_range_is_told_after_two_looks(off: dict[str, float]) -> None:
    usual = {"clipped": 0.8, "clipped_real": 0.83, "outside": 0.02, "shift": 0.3, "contrast": 1.0}
    looks = [look(i, 0.3 / (i + 1), **usual) for i in range(2)]
    looks += [look(i, 0.3 / (i + 1), **{**usual, **off}) for i in (2, 3)]
    assert told(looks[:3]) == []
    assert told(looks) == ["+samples off range"]
    assert told([*looks, look(4, 0.05, **usual)]) == ["+samples off range", "−samples off range"]


def test_no_progress_is_told_by_looks_and_not_near_the_floor() -> None:
    still = [look(i, 0.2 if i else 0.3) for i in range(9)]
    assert told(still) == ["+no progress"]
    assert told([*still, look(9, 0.15)]) == ["+no progress", "−no progress"]
    assert told([look(i, 0.025) for i in range(20)]) == []  # 1.25 of what real samples score


def test_a_phase_of_nets_that_grow_is_judged_by_itself() -> None:
    scores = [0.3, *[0.1] * 5, *[0.4] * 6]  # a new size scores worse, and is no halt
    looks = [look(i, score) for i, score in enumerate(scores)]
    assert told(looks) == ["+no progress"]
    assert told(looks, resets=(int(6400 * 5.5),)) == []


def test_looks_of_nets_that_have_just_begun_do_not_count() -> None:
    looks = [{**look(i, 0.3 / (i + 1), shift=2.0, contrast=1.0), "step": 20.0 * i} for i in range(5)]
    assert told(looks[:4]) == []  # steps 0, 20, 40, 60
    assert told(looks) == ["+samples off range"]


def test_noise_does_not_swing_and_a_sine_does() -> None:
    draw = torch.Generator().manual_seed(0)
    noise = [swing(torch.randn(40, generator=draw).tolist())[0] for _ in range(200)]
    assert max(noise) < 0.7
    walk = [swing(torch.randn(40, generator=draw).cumsum(0).tolist())[0] for _ in range(200)]
    assert max(walk) < 0.7
    sine = [math.sin(2 * math.pi * i / 9) + 0.2 * (-1) ** (i * i // 3) for i in range(40)]
    assert swing(sine)[0] > 0.7
    assert swing(sine)[1] == 9
    assert swing([10 + x / 50 for x in sine]) == (0.0, 0)


@pytest.mark.parametrize(
    ("objective", "undecided"),
    [
        (non_saturating(), 2 * math.log(2)),
        (hinge(), 2.0),
        (least_squares(), 0.25),
        (least_squares(-1.0, 1.0, 0.0), 1.0),
        (relativistic(), math.log(2)),
        (relativistic_average(), 2 * math.log(2)),
        (weighted(0.25), 0.25 * math.log(4) + 0.75 * math.log(4 / 3)),
    ],
)
def test_the_scale_of_a_loss_is_found_by_trying(objective, undecided: float) -> None:
    scale = scale_of(objective.critic)
    assert scale is not None
    assert scale.least == pytest.approx(0, abs=1e-3)
    assert scale.undecided == pytest.approx(undecided, rel=0.02)


def test_a_smoothed_target_has_a_least_loss_above_nought() -> None:
    scale = scale_of(non_saturating(0.1).critic)
    assert scale is not None
    entropy = -0.9 * math.log(0.9) - 0.1 * math.log(0.1)
    assert scale.least == pytest.approx(entropy, abs=0.01)


def test_flat_is_the_loss_that_saturates() -> None:
    assert [flattens(o.generator) for o in (minimax(), weighted(), non_saturating(), wasserstein())] == [
        *(True, True),
        *(False, False),
    ]


def test_spread_counts_variety_within_classes_alone() -> None:
    labels = torch.arange(64) % 2
    apart = labels.float().unsqueeze(1) * 10
    draw = torch.Generator().manual_seed(0)
    real = apart + torch.randn(64, 1, generator=draw)
    assert spread(apart) == pytest.approx(5.0)
    assert spread(apart, labels) == 0.0
    assert beside(real, apart, labels)["samples/spread"] == 0.0
    assert beside(real, apart)["samples/spread"] > 0.9


def test_copies_among_originals_are_told_and_originals_are_not() -> None:
    draw = torch.Generator().manual_seed(0)
    images = torch.rand(400, 1, 8, 8, generator=draw) * 2 - 1
    shelf = Shelf(images)
    assert shelf.copies(torch.rand(100, 1, 8, 8, generator=draw) * 2 - 1)["samples/copied-p"] > 1e-2
    half = torch.cat([shelf.reference[:50].flip(3), torch.rand(50, 1, 8, 8, generator=draw) * 2 - 1])
    assert shelf.copies(half)["samples/copied-p"] < 1e-4


@pytest.mark.parametrize("diagnosis", CHECKS)
@pytest.mark.parametrize("recipe", [name for name, r in RECIPES.items() if "critic_lr" in r.settings])
def test_two_remedies_by_flags_that_the_recipe_takes(recipe: str, diagnosis: str) -> None:
    found = RECIPES[recipe]
    for preset in (None, *found.presets):
        settings = arguments_of(found, {}, preset)
        for objective in (settings["objective"], "minimax", "wasserstein"):
            given = {**settings, "images": settings["images"] or 1000, "objective": objective}
            flat, bounded = objective == "minimax", objective != "wasserstein"
            tried = remedies(diagnosis, Situation(given, bounded=bounded, flat=flat))
            assert len(tried) == 2, (preset, objective)
            for remedy in tried:
                words = remedy.partition(" (")[0].split()
                _, bound, _ = train.parse_args([recipe, "--data", "mnist", *words])
                settings_given = {k: v for k, v in bound.kwargs.items() if k in found.settings}
                found.check(settings_given)


def test_every_diagnosis_has_remedies() -> None:
    assert set(REMEDIES) == set(CHECKS)
