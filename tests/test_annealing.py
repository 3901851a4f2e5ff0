"""The cosine law of settings that change while images are shown."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zerosum.annealing import cosine


@given(st.floats(-10, 10), st.floats(-10, 10), st.integers(1, 10**9), st.floats(0, 1))
def test_it_goes_from_start_to_stop_and_stays(start, stop, over, share):
    assert cosine(0, start, stop, over) == pytest.approx(start, abs=1e-12)
    assert cosine(over, start, stop, over) == cosine(7 * over, start, stop, over) == stop
    now, low, high = cosine(round(share * over), start, stop, over), min(start, stop), max(start, stop)
    assert low - 1e-9 <= now <= high + 1e-9


def test_its_third_and_its_slope():
    assert cosine(100, 3.0, 1.0, 300) == pytest.approx(1 + 2 * 0.75)
    steepest = cosine(1501, 0.0, 1.0, 3000) - cosine(1500, 0.0, 1.0, 3000)
    assert steepest == pytest.approx(math.pi / 2 / 3000, rel=1e-4)


def test_no_images_are_refused():
    with pytest.raises(ValueError, match="at least 1 image, not 0"):
        cosine(0, 1.0, 0.0, 0)
