"""The halvings from any size inwards."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zerosum.nets.plan import stages

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
    with pytest.raises(ValueError, match=named):
        stages(size)
