"""The head's kernel against plain Python."""

from collections.abc import Callable
from types import ModuleType

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from shearloc.kernels import VECTOR
from shearloc.models.local.head import Head, channel_parameters, packed_head
from shearloc.models.local.model import LocalModel
from shearloc.models.wavefront.context import compand

Numbers = NDArray[np.int32]


def run_head(head: Head, sums: Numbers, channel: int, predictions: Numbers, differences: Numbers) -> Numbers:
    """`channel_parameters` of all pixels but the first into fresh arrays: int32 [n, (3 + channel) K]."""
    n, channels = len(sums), len(predictions)
    seen = np.array([[compand(d) for d in row] for row in differences.tolist()], np.int32).reshape(channels, n)
    packed = packed_head(head, channels)
    levels, params = (
        np.full((2, packed.units.shape[2]), 77, np.int32),
        np.full((n, packed.outputs.shape[2]), 77, np.int32),
    )
    # One pixel more before them, and anything behind the sums.
    before = np.pad(sums, ((1, 0), (0, VECTOR)), constant_values=-(1 << 31))
    known = np.pad(predictions, ((0, 0), (1, 0)))
    channel_parameters(packed, before, 1, n, channel, known, differences, seen, levels, params)
    return params[:, : (3 + channel) * head.components]


@st.composite
def heads(draw: st.DrawFn) -> tuple[Head, Numbers, Numbers, Numbers]:
    """A head of 1 or 3 channels; sums, predictions and differences of some pixels; as large as `prove` lets them be."""
    channels, components, units = draw(st.sampled_from([1, 3])), draw(st.integers(1, 3)), draw(st.integers(0, 9))
    outputs = sum((3 + c) * components for c in range(channels)) + (channels - 1) * units
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n = draw(st.integers(0, 5))
    size = 2 ** draw(st.integers(4, 23))
    weight = 2 ** draw(st.integers(2, 18))
    low_shift = draw(st.integers(1, 20))
    adjust = rng.integers(-weight, weight + 1, (channels - 1, units, (2 + channels) * components), np.int32)
    head = Head(
        components,
        rng.integers(-size, size + 1, outputs, np.int32),
        rng.integers(64, 128, outputs, np.int32),
        rng.integers(low_shift, low_shift + 10, outputs, np.int32),
        rng.integers(-weight, weight + 1, (channels - 1, channels - 1, units), np.int32),
        adjust,
        draw(st.integers(7, 12)),
    )
    sums = rng.integers(-size, size + 1, (n, outputs), np.int32)
    predictions = rng.integers(0, 256, (channels, n), np.int32)
    return head, sums, predictions, rng.integers(-255, 256, (channels, n), np.int32)


@given(heads())
def test_head_agrees_with_python(plain: ModuleType, drawn: tuple[Head, Numbers, Numbers, Numbers]) -> None:
    head, sums, predictions, differences = drawn
    for channel in range(len(predictions)):
        found = run_head(head, sums, channel, predictions, differences)
        for i, row in enumerate(sums.tolist()):
            earlier = differences[:, i].tolist()
            seen = [plain.compand(difference) for difference in earlier]
            expected = plain.parameters(head, row, channel, int(predictions[channel, i]), earlier, seen)
            assert found[i].tolist() == expected


def test_later_channels_see_earlier_ones_and_not_themselves(tiny_model: Callable[..., LocalModel]) -> None:
    head = tiny_model(3).head
    sums = np.random.default_rng(0).integers(-(2**15), 2**15, (1, head.bias.size), np.int32)
    predictions = np.full((3, 1), 100, np.int32)
    for channel in range(3):
        base = run_head(head, sums, channel, predictions, np.zeros((3, 1), np.int32))
        for other in range(3):
            moved = np.array([[40 * (c == other)] for c in range(3)], np.int32)
            found = run_head(head, sums, channel, predictions, moved)
            assert np.array_equal(found, base) == (other >= channel)
