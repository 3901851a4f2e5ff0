"""Names and settings: an unknown one is answered with the nearest, a wrong one with what would do."""

from typing import Any

import pytest
import torch

from zerosum.names import build_part, check_arguments, look_up, unknown
from zerosum.recipes.parts import CONSTRAINTS, OBJECTIVES, OPTIMISERS, PENALTIES, SCHEDULES
from zerosum.recipes.table import RECIPES, arguments_of

TABLES = {
    "objective": OBJECTIVES,
    "penalty": PENALTIES,
    "constraint": CONSTRAINTS,
    "optimiser": OPTIMISERS,
    "schedule": SCHEDULES,
    "recipe": RECIPES,
}


@pytest.mark.parametrize("what", TABLES)
def test_a_slip_in_any_known_name_is_answered_with_it(what: str) -> None:
    table: Any = TABLES[what]
    for name in table:
        for slip in (name[1:] + name[:1], name + name[-1], name.upper().lower() + "s"):
            if slip in table or len(name) < 4:
                continue
            with pytest.raises(ValueError, match=f"unknown {what} {slip!r}: did you mean '") as caught:
                look_up(table, slip, what)
            assert all(known in str(caught.value) for known in table)


@pytest.mark.parametrize(
    "name", ["os.system", "__import__('os').system", "zerosum.objectives.hinge", "", "ö" * 9]
)
def test_an_import_path_is_a_name_like_any_other(name: str) -> None:
    for what, table in TABLES.items():
        with pytest.raises(ValueError, match=f"unknown {what}"):
            look_up(table, name, what)


def test_a_far_name_gets_no_wrong_hint() -> None:
    assert str(unknown("recipe", "zzz", ["dcgan"])) == "unknown recipe 'zzz': There are dcgan"
    assert str(unknown("recipe", "zzz", [])).endswith("There are none")


@pytest.mark.parametrize(
    ("table", "text", "message"),
    [
        ("penalty", "r1:wieght=1", "unknown setting of penalty r1 'wieght': did you mean 'weight'"),
        ("penalty", "r1:weight", "penalty r1: weight='weight' is not usable: Expected `float`, got `str`"),
        ("penalty", "r1:1,weight=2", "'weight' is given twice"),
        ("penalty", "r1:weight=1,2", "'r1:weight=1,2': '2' comes after a key=value, so it needs its key"),
        ("penalty", "zero-centred:1,2,3", "'3' is too much, zero-centred takes only weight, every"),
        ("objective", "hinge:1", "objective 'hinge:1': '1' is too much, hinge takes no settings"),
        ("objective", "f", "objective 'f': needs name, as in f:name=…"),
        ("objective", "f:helinger", "unknown divergence 'helinger': did you mean 'hellinger'"),
        (
            "objective",
            "f:kl,generator=sat",
            "generator='sat' is not usable: choose saturating, non-saturating",
        ),
        ("objective", "f:kl,alhpa=1", "unknown setting of objective f 'alhpa': did you mean 'alpha'"),
        ("penalty", "r1:weight=1,weight=2", "'weight' is given twice"),
        ("penalty", "r1:weight=much", "weight='much' is not usable: Expected `float`, got `str`"),
        ("penalty", "r1:every=1.5", "every='1.5' is not usable: Expected `int`"),
        ("penalty", "r1:every=0", "r1: every must be at least 1 step, not 0"),
        ("penalty", "r1:weight=-1", "r1: weight must not be negative"),
        ("penalty", "r1:weight==1", "weight='=1' is not usable"),
        ("penalty", "r1:=1", "unknown setting of penalty r1 ''"),
        ("objective", "hinge:margin=1", "unknown setting of objective hinge 'margin'"),
        ("constraint", "clip:bound=0", "clip: bound must be positive"),
        ("constraint", "spectralnorm", "did you mean 'spectral-norm'"),
        ("optimiser", "adam:beta_1=0", "did you mean 'beta1'"),
    ],
)
def test_a_part_that_cannot_be_built_says_why(table: str, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_part(TABLES[table], text, table)  # type: ignore[arg-type]


def test_spaces_and_an_empty_list_of_parameters_do_no_harm() -> None:
    part = build_part(PENALTIES, " r1 : weight = 2 , every = 4 ", "penalty")
    assert (part.weight, part.every) == (2.0, 4)
    assert build_part(PENALTIES, "r1:", "penalty").weight == 10.0


def test_values_without_a_key_come_first_in_the_order_of_the_signature() -> None:
    part = build_part(PENALTIES, "r1: 5, 16", "penalty")
    assert (part.weight, part.every) == (5.0, 16)
    part = build_part(PENALTIES, "r1:5,every=4", "penalty")
    assert (part.weight, part.every) == (5.0, 4)
    one, two = torch.tensor([0.5]), torch.tensor([-1.0])
    named = build_part(OBJECTIVES, "f:name=alpha,alpha=0.5,generator=non-saturating", "objective")
    bare = build_part(OBJECTIVES, "f:alpha,0.5,non-saturating", "objective")
    assert torch.equal(named.critic(one, two), bare.critic(one, two))
    assert torch.equal(named.generator(None, two), bare.generator(None, two))


@pytest.mark.parametrize("recipe", RECIPES)
def test_each_setting_of_each_recipe_is_checked_by_its_type(recipe: str) -> None:
    defaults = arguments_of(RECIPES[recipe], {})
    assert "shape" not in defaults
    for name, value in defaults.items():
        assert arguments_of(RECIPES[recipe], {name: value})[name] == value
        with pytest.raises(ValueError, match=rf"recipe {recipe}: {name}=.* is not usable"):
            arguments_of(RECIPES[recipe], {name: {"a": object}})
        with pytest.raises(ValueError, match=f"unknown setting of recipe {recipe} '{name}x': did you mean"):
            arguments_of(RECIPES[recipe], {f"{name}x": value})
    for preset in RECIPES[recipe].presets:
        assert arguments_of(RECIPES[recipe], {}, preset).keys() == defaults.keys()


def test_text_is_not_a_number_where_types_are_strict() -> None:
    def part(*, weight: float = 1.0, names: tuple[str, ...] = ()) -> None: ...

    assert check_arguments(part, {"weight": "3"}, "part", strict=False) == {"weight": 3.0}
    with pytest.raises(ValueError, match="weight='3' is not usable"):
        check_arguments(part, {"weight": "3"}, "part")
    assert check_arguments(part, {"names": ["a"]}, "part") == {"names": ("a",)}
    assert check_arguments(part, {}, "part") == {}
