"""What a local model sees: offsets, the predictor, the companding, and the sampler, against plain twins.

That encoder and decoder see the same is tested in codec/test_wavefront.py.
"""

from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import njit
from numpy.typing import NDArray

from shearloc.kernels import blank
from shearloc.models.wavefront.context import (
    CONSTANT,
    MEDIAN_EDGE,
    OUTSIDE_PREDICTION,
    causal_offsets,
    compand,
    context,
    look,
    look_along_runs,
    nearest,
    predict,
    predict_at_edge,
    side_by_side,
)
from shearloc.training.images import PixelSet

levels = st.integers(0, 255)
neighbours = st.integers(-1, 255)


@pytest.mark.parametrize(("horizon", "reach", "count"), [(1, 0, 3), (1, 1, 4), (2, 1, 11), (3, 1, 22), (3, 3, 24)])
def test_offset_counts(horizon: int, reach: int, count: int) -> None:
    assert len(causal_offsets(horizon, reach)) == count


@pytest.mark.parametrize("horizon", range(1, 6))
@pytest.mark.parametrize("reach", range(6))
def test_offsets_are_sorted_causal_and_hold_the_predictors(horizon: int, reach: int) -> None:
    offsets = [tuple(offset) for offset in causal_offsets(horizon, reach).tolist()]
    assert offsets == sorted(set(offsets), key=lambda offset: (-offset[0], offset[1]))
    assert {(0, -1), (-1, 0), (-1, -1)} <= set(offsets)
    assert all(dy < 0 or (dy == 0 and dx < 0) for dy, dx in offsets)
    assert all(abs(dy) <= horizon and abs(dx) <= horizon for dy, dx in offsets)
    assert max(dx for dy, dx in offsets if dy == -1) == min(reach, horizon)


@pytest.mark.parametrize("h", range(1, 6))
def test_full_reach_is_the_thesis_context(h: int) -> None:
    whole = [[dy, dx] for dy in range(0, -h - 1, -1) for dx in range(-h, h + 1) if dy < 0 or dx < 0]
    assert causal_offsets(h, h).tolist() == whole


def test_the_prediction_itself_comes_last() -> None:
    assert causal_offsets(2, 1, level=True).tolist() == [*causal_offsets(2, 1).tolist(), [0, 0]]


def test_nearest_pixels() -> None:
    assert nearest(0).shape == (0, 2)
    assert nearest(4).tolist() == [[0, -1], [-1, 0], [-1, -1], [-1, 1]]
    distances = (nearest(24).astype(int) ** 2).sum(1).tolist()
    assert distances == sorted(distances) and len({tuple(at) for at in nearest(24).tolist()}) == 24
    assert nearest(10).tolist() == nearest(24).tolist()[:10]


@given(levels, levels, levels)
def test_predict_is_the_median_edge_detector(plain: ModuleType, west: int, north: int, northwest: int) -> None:
    assert predict(west, north, northwest) == plain.median_edge(west, north, northwest)
    assert predict(west, north, northwest) == sorted([west, north, west + north - northwest])[1]


@given(neighbours, neighbours, neighbours)
def test_predict_at_edge(plain: ModuleType, west: int, north: int, northwest: int) -> None:
    if west >= 0 and north >= 0:
        northwest = abs(northwest)
    prediction = predict_at_edge(west, north, northwest)
    assert prediction == plain.median_edge(west, north, northwest)
    assert 0 <= prediction <= 255


def test_predict_without_neighbours() -> None:
    assert predict_at_edge(-1, -1, -1) == OUTSIDE_PREDICTION == 128
    assert predict_at_edge(7, -1, -1) == predict_at_edge(-1, 7, -1) == 7


def test_compand(plain: ModuleType) -> None:
    found = [compand(difference) for difference in range(-255, 256)]
    assert found == [plain.compand(difference) for difference in range(-255, 256)]
    assert found == [-value for value in reversed(found)]
    assert found == sorted(found)
    assert found[255 - 64 : 255 + 65] == list(range(-64, 65))
    assert (found[0], found[-1]) == (-127, 127)


def test_compand_of_the_float_network_is_the_same() -> None:
    torch = pytest.importorskip("torch")
    from shearloc.training.local_float import compand as compand_float

    differences = torch.arange(-255, 256)
    assert compand_float(differences.float()).tolist() == [compand(d) for d in differences.tolist()]


@st.composite
def image_lists(draw: st.DrawFn) -> list[NDArray[np.uint8]]:
    """One to three small noisy images of the same channel count, 1x1 and single rows and columns among them."""
    channels = draw(st.sampled_from([1, 3]))
    sizes = draw(st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6)), min_size=1, max_size=3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    spread = draw(st.sampled_from([1, 20, 256]))
    return [rng.integers(0, spread, (*size, channels)).astype(np.uint8) for size in sizes]


CONTEXTS = st.builds(causal_offsets, st.integers(1, 3), st.integers(0, 3), st.booleans())


@given(image_lists(), CONTEXTS, st.booleans(), st.sampled_from([CONSTANT, MEDIAN_EDGE]))
def test_sampler_agrees_with_its_plain_twin(
    plain: ModuleType, images: list[NDArray[np.uint8]], offsets: NDArray[np.int32], mirror: bool, predictor: int
) -> None:
    """Every pixel of every image, at the borders too; a mirrored one is that of the mirrored image."""
    pixels = PixelSet.of(images)
    index = np.arange(pixels.ends[-1])
    inputs, predictions, values = pixels.contexts(index, np.full_like(index, mirror), offsets, predictor)
    k = 0
    for image in images:
        height, width = image.shape[:2]
        seen = image[:, ::-1] if mirror else image
        for i in range(height):
            for j in range(width):
                column = width - 1 - j if mirror else j
                expected, expected_predictions = plain.context(seen, i, column, offsets, bool(predictor))
                assert inputs[k].tolist() == expected
                assert predictions[k].tolist() == expected_predictions
                assert values[k].tolist() == image[i, j].tolist()
                k += 1
    assert k == len(index)


@njit
def look_around(pixels, seen, inputs, predictions):  # type: ignore[no-untyped-def]
    """`look` at every pixel of one image, uint8 [H, W, C]."""
    height, width, channels = pixels.shape
    for i in range(height):
        for j in range(width):
            q, below = i * width + j, width * channels
            look(pixels.ravel(), q * channels, below, i, j, width, seen, inputs, predictions, np.uint64(q))


@njit
def look_around_along_runs(canvas, margin, size, seen, inputs, predictions):  # type: ignore[no-untyped-def]
    """`look_along_runs` at every pixel of an image of this size that lies inside a larger one, uint8 [H, W, C]."""
    height, width = size
    _, row, channels = canvas.shape
    for i in range(height):
        for j in range(width):
            place = ((i + margin) * row + j + margin) * channels
            q = np.uint64(i * width + j)
            look_along_runs(canvas.reshape(-1), place, row * channels, i, j, width, seen, inputs, predictions, q)


def test_runs_of_offsets() -> None:
    assert side_by_side(causal_offsets(2, 1, level=True)).tolist() == [[0, -2, 2], [-1, -2, 4], [-2, -2, 5], [0, 0, 1]]
    scattered = np.array([(0, -1), (0, 0), (-1, -1), (-1, 0), (-1, 2), (-1, 3), (-2, 4), (0, -2)], np.int32)
    found = [[0, -1, 1], [0, 0, 1], [-1, -1, 2], [-1, 2, 2], [-2, 4, 1], [0, -2, 1]]
    assert side_by_side(scattered).tolist() == found


SCATTERED = st.permutations([(0, -1), (-1, 0), (-1, -1), (-1, 1), (-2, 7), (-2, 8), (-3, -9), (0, 0), (0, -5)])


@given(
    image_lists(),
    st.one_of(CONTEXTS, SCATTERED.map(lambda offsets: np.array(offsets, np.int32))),
    st.sampled_from([CONSTANT, MEDIAN_EDGE]),
)
def test_look_agrees_with_the_plain_twin(
    plain: ModuleType, images: list[NDArray[np.uint8]], offsets: NDArray[np.int32], predictor: int
) -> None:
    """What codecs show the network: every pixel of an image, wherever its offsets lead, and nothing beside it."""
    image = images[0]
    height, width, channels = image.shape
    count = len(offsets) * channels
    inputs = np.full((height * width, count + 1), 99, np.int8)
    predictions = np.full((channels, height * width), -1, np.int32)
    look_around(image, context(offsets, predictor, channels), inputs, predictions)
    for q in range(height * width):
        expected, expected_predictions = plain.context(image, q // width, q % width, offsets, bool(predictor))
        assert inputs[q].tolist() == [*expected, 99]
        assert predictions[:, q].tolist() == expected_predictions


@given(
    image_lists(),
    st.one_of(CONTEXTS, SCATTERED.map(lambda offsets: np.array(offsets, np.int32)), st.just(causal_offsets(9, 9))),
    st.sampled_from([CONSTANT, MEDIAN_EDGE]),
    st.sampled_from([np.int8, np.int16]),
)
def test_looking_along_runs_sees_the_same(
    images: list[NDArray[np.uint8]], offsets: NDArray[np.int32], predictor: int, kind: type[np.integer]
) -> None:
    """Whatever lies around the image: nothing of that is seen, and what surplus inputs there are is 0."""
    image, margin = images[0], 10
    height, width, channels = image.shape
    around = ((margin, margin), (margin, margin), (0, 0))
    canvas = blank((height + 2 * margin, width + 2 * margin, channels), np.uint8)
    canvas[...] = np.pad(image, around, constant_values=77)
    count, surplus = len(offsets) * channels, 3
    seen = context(offsets, predictor, channels)
    expected = np.zeros((height * width, count + surplus), np.int8), np.zeros((channels, height * width), np.int32)
    look_around(image, seen, *expected)
    inputs = blank(expected[0].shape, kind)
    inputs[...] = 99
    predictions = np.full_like(expected[1], -1)
    look_around_along_runs(canvas, margin, (height, width), seen, inputs, predictions)
    assert (inputs == expected[0]).all()
    assert (predictions == expected[1]).all()
