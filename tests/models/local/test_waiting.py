"""Threads that decode wait only for those whose pixels theirs may see: that is enough, and the pixels come back."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shearloc.coding import lanes as stream
from shearloc.models.local.coder import decode_images, encode_images
from shearloc.models.local.model import LocalModel
from shearloc.models.local.steps import edge_row
from shearloc.models.wavefront.orders import step_count, step_rows
from shearloc.nets import barrier

from ...golden import make

Models = Callable[..., LocalModel]


def first_pixel(part: int, parts: int, lanes: int, size: int) -> int:
    """Of a thread's pixels in a step of this size."""
    return size * (lanes * part // parts) // lanes


@given(*[st.integers(1, most) for most in (3, 12, 14, 4, 9, 4)])
def test_nobody_sees_a_pixel_that_may_not_be_decoded(
    images: int, height: int, width: int, o: int, lanes: int, parts: int
) -> None:
    """A pixel sees no other rows than its own and those above, in earlier steps. Plain Python, after `steps._wait`."""
    parts = min(parts, lanes)
    owners: list[dict[tuple[int, int], int]] = []
    known, edges = np.zeros((parts, parts), int), [-1] * parts
    for t in range(step_count(height, width, o)):
        first, last = step_rows(t, height, width, o)
        size, owner = images * (last - first), {}
        for part in range(parts):
            begin, stop = (first_pixel(k, parts, lanes, size) for k in (part, part + 1))
            before, edges[part] = edges[part], edge_row.py_func(stop, first, last, height)
            known[part, : parts if edges[part] != before else part] = t
            known[part, part] = t
            for pixel in range(begin, stop):
                image, row = pixel // (last - first), first + pixel % (last - first)
                owner[image, row] = part
                for step, of in enumerate(owners):
                    for above in range(row + 1):
                        other = of.get((image, above), part)
                        assert known[part, other] > step
        owners.append(owner)


@pytest.mark.parametrize("parts", [2, 3, 5])
@pytest.mark.parametrize("shape", [(1, 70, 90), (1, 150, 40), (4, 33, 29)])
def test_more_threads_than_processors(
    tiny_model: Models, monkeypatch: pytest.MonkeyPatch, shape: tuple[int, int, int], parts: int
) -> None:
    monkeypatch.setattr(stream, "lane_count", lambda *_: 9)
    pixels = make.smooth(shape[0] * shape[1], shape[2], 1).reshape(*shape, 1)
    model = tiny_model(1)
    payload, lanes = encode_images(model, pixels, "numba")
    monkeypatch.setattr(barrier, "most_parts", lambda wanted: parts)
    for _ in range(5):
        assert np.array_equal(decode_images(model, payload, lanes, shape, "numba"), pixels)
