"""The halvings from any size inwards."""

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zerosum.nets.plan import even_halvings, stages

sides = st.integers(8, 512)


@given(sides, sides)
def test_every_size_goes_down_to_four_to_seven_in_steps_of_two(height, width):
    plan = stages((height, width))
    assert plan[0].outer == (height, width)
    for stage, inner in pairwise(plan):
        assert stage.inner == inner.outer
    for stage in plan:
        for outer, inner, stride in zip(*stage, strict=True):
            assert inner == -(-outer // stride)
            assert (stride == 2) == (outer >= 7)
    assert all(4 <= side <= 6 for side in plan[-1].inner)


@given(sides, sides)
def test_axes_are_planned_alike(height, width):
    turned = [stage.inner[::-1] for stage in stages((width, height))]
    assert [stage.inner for stage in stages((height, width))] == turned


@pytest.mark.parametrize(("size", "named"), [((7, 64), "height"), ((64, 7), "width"), ((64, 513), "width")])
def test_sizes_out_of_range_are_refused_by_name(size, named):
    for plan in (stages, even_halvings):
        with pytest.raises(ValueError, match=named):
            plan(size)


@given(st.integers(4, 7), st.integers(4, 70), st.integers(1, 6))
def test_sizes_that_halve_evenly_do_so_down_to_four_to_seven(short, long, k):
    for base in ((short, max(short, long)), (max(short, long), short)):
        size = (base[0] << k, base[1] << k)
        if max(size) <= 512:
            assert even_halvings(size) == k


@given(sides, sides)
def test_other_sizes_are_refused_with_the_nearest_on_either_side(height, width):
    try:
        even_halvings((height, width))
    except ValueError as error:
        named = re.findall(r"(\d+)(?:x(\d+))?", str(error).split("--size ")[1])
        below, above = ((int(h), int(w or h)) for h, w in named)
        assert even_halvings(below) >= 1
        assert even_halvings(above) >= 1
        step = 2 ** even_halvings(below)
        for side, less, more in zip((height, width), below, above, strict=True):
            assert less <= side <= more
            assert side - less < step
            assert more - side < 2 * step
