"""The integer gradient of a mixture's code length is that of the float likelihood."""

import numpy as np
import pytest

from shearloc.coding.logistic import EDGES, mixture, tables
from shearloc.models.learning.gradient import mixture_gradient

COMPONENTS, COUNT = 5, 2000


@pytest.mark.parametrize(("spread", "low", "high"), [(2, -20, 60), (20, -20, 60), (60, 0, 128), (1, -112, -40)])
def test_it_points_where_autograd_does(spread: int, low: int, high: int) -> None:
    """Cosine of at least 0.999 for logits, means and log-scales; values at both ends of the range among them.

    Not where sharp components lie far off: there the table of the sigmoid ends, and the uniform part has all mass.
    """
    torch = pytest.importorskip("torch")
    from shearloc.training.likelihoods import logistic_mixture_bits_plain

    k, draw = COMPONENTS, np.random.default_rng(spread)
    values = draw.integers(0, 256, COUNT)
    values[:100], values[100:200] = 0, 255
    params = np.empty((COUNT, 3 * k), np.int32)
    params[:, :k] = draw.normal(0, 40, (COUNT, k))
    means = 64 * (values[:, None] + spread * draw.normal(0, 1, (COUNT, k)))
    params[:, k : 2 * k] = np.clip(means, -64 * 300, 64 * 500)
    params[:, 2 * k :] = draw.integers(low, high, (COUNT, k))
    found = integer_gradients(params, values)
    units = torch.from_numpy(params).double()
    parts = [units[:, :k] / 32, units[:, k : 2 * k] / 64 / 16, units[:, 2 * k :] / 32]
    for part in parts:
        part.requires_grad_()
    bits = logistic_mixture_bits_plain(parts[0], parts[1] * 16, parts[2], torch.from_numpy(values).double())
    (bits.sum() * np.log(2)).backward()
    for index, part in enumerate(parts):
        ours, theirs = found[:, index * k : (index + 1) * k], part.grad.numpy()
        cosine = (ours * theirs).sum() / np.sqrt((ours**2).sum() * (theirs**2).sum())
        assert cosine >= 0.999


def integer_gradients(params: np.ndarray, values: np.ndarray) -> np.ndarray:
    """By the kernels' own Python, row by row."""
    sigmoid, exponential, inverse = tables()
    out = np.empty(params.shape, np.float32)
    weights, means, inverses = (np.empty(COMPONENTS, np.int64) for _ in range(3))
    masses = np.empty((COMPONENTS, 3), np.int64)
    run = kernel()
    for row, value, gradient in zip(params, values, out, strict=True):
        run(row, value, exponential, inverse, sigmoid, weights, means, inverses, masses, gradient)
    return out.astype(np.float64)


def kernel():  # type: ignore[no-untyped-def]
    from numba import njit

    @njit(error_model="numpy")
    def run(row, value, exponential, inverse, sigmoid, weights, means, inverses, masses, out):  # type: ignore[no-untyped-def]
        mixture(row, exponential, inverse, weights, means, inverses)
        mixture_gradient(value, EDGES, row[2 * COMPONENTS :], weights, means, inverses, sigmoid, masses, out)

    return run
