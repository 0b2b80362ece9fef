"""The sheared order: what is seen is decoded before, and no pixel is missed or done twice.

Models and coders are not in it; that they keep to the order is tested in test_wavefront.py.
"""

from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shearloc.models.wavefront.context import causal_offsets
from shearloc.models.wavefront.orders import (
    pixels_before,
    shear,
    step_count,
    step_positions,
    step_rows,
    step_sizes,
    wavefront_positions,
)

sizes = st.one_of(
    st.tuples(st.integers(1, 30), st.integers(1, 30)),
    st.tuples(st.just(1), st.integers(1, 90)),
    st.tuples(st.integers(1, 90), st.just(1)),
)
left = st.tuples(st.just(0), st.integers(-9, -1))
above = st.tuples(st.integers(-6, -1), st.integers(-9, 9))


@given(st.lists(st.one_of(left, above), min_size=1, max_size=12))
def test_shear_is_the_smallest_that_puts_all_into_the_past(offsets: list[tuple[int, int]]) -> None:
    o = shear(np.array(offsets, np.int32))
    assert o >= 1
    assert all(dx + dy * o < 0 for dy, dx in offsets)
    assert o == 1 or any(dx + dy * (o - 1) >= 0 for dy, dx in offsets)


@pytest.mark.parametrize("horizon", range(1, 8))
def test_shear_of_the_thesis(horizon: int) -> None:
    assert shear(causal_offsets(horizon, horizon)) == horizon + 1


@pytest.mark.parametrize("horizon", range(1, 6))
@pytest.mark.parametrize("reach", range(6))
def test_reach_alone_decides_the_shear(horizon: int, reach: int) -> None:
    assert shear(causal_offsets(horizon, reach)) == min(horizon, reach) + 1


@given(sizes, st.integers(1, 7))
def test_steps_hold_every_pixel_once(size: tuple[int, int], o: int) -> None:
    height, width = size
    found = []
    for t in range(step_count(height, width, o)):
        first, last = step_rows(t, height, width, o)
        assert first >= 0 and last <= height
        found += [(i, t - i * o) for i in range(first, last)]
    assert sorted(found) == [(i, j) for i in range(height) for j in range(width)]


@given(sizes, st.integers(1, 7))
def test_step_count_wastes_no_step_at_the_ends(size: tuple[int, int], o: int) -> None:
    height, width = size
    steps = step_count(height, width, o)
    assert steps == width + (height - 1) * o
    for t in (0, steps - 1):
        first, last = step_rows(t, height, width, o)
        assert first < last


@given(st.tuples(st.integers(1, 9), st.integers(1, 9)), st.integers(1, 3), st.integers(0, 4))
def test_what_a_pixel_sees_was_decoded_in_an_earlier_step(size: tuple[int, int], horizon: int, reach: int) -> None:
    height, width = size
    offsets = causal_offsets(horizon, reach)
    o = shear(offsets)
    times = np.full(size, -1)
    for t in range(step_count(height, width, o)):
        first, last = step_rows(t, height, width, o)
        for i in range(first, last):
            times[i, t - i * o] = t
    for i, j in np.ndindex(size):
        for dy, dx in offsets.tolist():
            y, x = i + dy, j + dx
            assert not (0 <= y < height and 0 <= x < width) or times[y, x] < times[i, j]


@given(st.integers(1, 3), sizes, st.integers(1, 7))
def test_sizes_and_positions_say_the_same(images: int, size: tuple[int, int], o: int) -> None:
    height, width = size
    steps = step_count(height, width, o)
    found = [step_positions(t, images, height, width, o) for t in range(steps)]
    sizes = step_sizes(images, height, width, o).tolist()
    assert [len(positions) for positions in found] == sizes
    before = [pixels_before(t, images, height, width, o) for t in range(len(sizes) + 1)]
    assert before == [0, *accumulate(sizes)]
    expected = []
    for t in range(steps):
        rows = range(*step_rows(t, height, width, o))
        expected += [(k * height + i) * width + t - i * o for k in range(images) for i in rows]
    assert np.concatenate(found).tolist() == wavefront_positions(images, height, width, o).tolist() == expected
