"""What a comparison asks for and the cells it becomes; every mistake is refused before anything trains."""

from typing import Any

import pytest

from zerosum.compare.page import command_of
from zerosum.compare.plan import Plan, Request, plan_of, read_plan, write_plan
from zerosum.rundir import DataOptions

DIGITS = (DataOptions("digits"),)


def planned(**asked: Any) -> Plan:
    usual = {"data": DIGITS, "recipe": ("dcgan",), "images": 1000}
    return plan_of(Request(**{**usual, **asked}))


def test_the_product_of_axes_is_a_table_whose_columns_are_the_last_of_them():
    plan = planned(
        recipe=("dcgan", "wgan-gp"),
        objective=("hinge", "least-squares:a=-1,b=1,c=0"),
        vary=("width=8", "width=16", "lr=1e-3", "lr=1e-4"),
        set=("batch=50", "critic-steps=1"),
        seeds="3-4",
    )
    assert plan.columns == ("lr=1e-3", "lr=1e-4")
    assert len(plan.rows) == 8
    assert plan.rows[1] == "dcgan · hinge · width=16"
    assert len(plan.cells) == 2 * 8 * 2 == len({cell.name for cell in plan.cells})
    assert [cell.seed for cell in plan.cells] == [3] * 16 + [4] * 16, "one whole table first"
    cell = next(c for c in plan.cells if (c.row, c.column) == ("wgan-gp · hinge · width=16", "lr=1e-4"))
    assert cell.recipe == "wgan-gp"
    given = cell.arguments
    assert (given["objective"], given["width"], given["lr"], given["batch"]) == ("hinge", 16, 1e-4, 50)
    assert given["penalty"] == ["wgan-gp:weight=10"], "what is not set is the recipe's"


def test_networks_are_named_bundles_and_settings_may_be_lists():
    plan = planned(
        net=("plain norm=batch", "mlp hidden=32 hidden=16 norm=none"),
        data=(DataOptions("digits"), DataOptions("mnist")),
        set=("penalty=r1:weight=1", "penalty=drift", "schedule=none"),
        preset="small",
    )
    assert plan.columns == ("plain", "mlp")
    assert plan.rows == ("digits", "mnist")
    assert plan.cells[1].arguments["hidden"] == [32, 16]
    assert plan.cells[1].arguments["penalty"] == ["r1:weight=1", "drift"]
    assert plan.cells[1].arguments["width"] == 32, "the preset's"
    assert [cell.data.where for cell in plan.cells] == ["digits", "digits", "mnist", "mnist"]


def test_a_single_axis_makes_rows_and_one_cell_is_a_table_too():
    plan = planned(objective=("hinge", "minimax"))
    assert (plan.rows, plan.columns) == (("hinge", "minimax"), ("digits · dcgan",))
    plan = planned(set=("width=4",))
    assert (plan.rows, plan.columns, len(plan.cells)) == (("dcgan",), ("digits · dcgan",), 1)
    assert plan.about == "In all cells: digits, dcgan, width=4."


def test_data_of_one_name_are_told_apart_by_their_paths():
    plan = planned(data=(DataOptions("a/photos"), DataOptions("b/photos"), DataOptions("mnist")))
    assert plan.rows == ("a/photos", "b/photos", "mnist")


def test_every_cell_is_shown_the_same_number_of_images():
    plan = planned(recipe=("dcgan", "wgan-gp"), set=("batch=64",), images=1000)
    assert {cell.arguments["images"] for cell in plan.cells} == {1280} == {plan.images}, "4 steps of 5 × 64"


def test_a_plan_is_read_as_it_was_written(tmp_path):
    plan = planned(objective=("hinge", "minimax"), data=(DataOptions("digits", size=(16, 16), flip=True),))
    write_plan(plan, tmp_path / "plan.json")
    assert read_plan(tmp_path / "plan.json") == plan == plan_of(plan.request)
    assert command_of(plan.request) == (
        "zerosum compare --data digits --size 16x16 --flip --recipe dcgan --objective hinge "
        "--objective minimax --images 1000"
    )


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"data": ()}, "--data is missing"),
        ({"recipe": ()}, "give at least one --recipe, or a --grid"),
        ({"recipe": ("dcgna",)}, "unknown recipe 'dcgna': did you mean 'dcgan'"),
        ({"recipe": ("dcgan", "dcgan")}, "--recipe dcgan is given twice"),
        ({"recipe": ("gan", "dcgan"), "set": ("width=8",)}, "unknown setting of recipe gan 'width'"),
        ({"set": ("widht=8",)}, "unknown setting of recipe dcgan 'widht': did you mean 'width'"),
        ({"set": ("width",)}, "--set 'width' should be NAME=VALUE"),
        ({"set": ("width=wide",)}, "width='wide' is not usable"),
        ({"set": ("width=8", "width=9")}, "width takes one value, not 8, 9"),
        ({"set": ("images=8",)}, "give --images"),
        ({"set": ("penalty=r3",)}, "unknown penalty 'r3': did you mean"),
        ({"set": ("objective=least-squares:z=1",)}, "unknown setting of objective least-squares 'z'"),
        ({"set": ("lr=1",), "vary": ("lr=2", "lr=3")}, "lr is set by two axes"),
        ({"objective": ("hinge", "minimax"), "net": ("a objective=hinge",)}, "objective is set by two axes"),
        ({"objective": ("hing",)}, "unknown objective 'hing': did you mean 'hinge'"),
        ({"net": ("norm=none",)}, "--net 'norm=none' should be a name and settings"),
        ({"net": ("bare",)}, "--net 'bare' should be a name and settings"),
        ({"vary": ("lr=1", "lr=1")}, "--vary lr=1 is given twice"),
        ({"set": ("batch=0",)}, "--set batch and --set critic_steps must be at least 1"),
        ({"data": 2 * DIGITS}, "--data digits is given twice"),
        ({"images": 0}, "--images must be at least 1, not 0"),
        ({"images": None}, "--images is missing"),
        ({"seeds": ""}, "--seeds is empty"),
        ({"seeds": "2-1"}, "--seeds 2-1 should go upwards"),
        ({"seeds": "0,0"}, "a seed comes twice"),
        ({"seeds": "zero"}, "should be numbers and ranges"),
        ({"grid": "robustnes", "recipe": ()}, "unknown grid 'robustnes': did you mean 'robustness'"),
        ({"grid": "robustness"}, "leave --recipe out"),
        ({"preset": "smal"}, "unknown preset of dcgan 'smal'"),
    ],
)
def test_what_cannot_be_compared_is_refused_with_advice(asked, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        planned(**asked)
