"""Products in fixed point: torch's are exact, and keep the weights of this call, not of another."""

import numpy as np
import pytest

from shearloc.nets import fixed_point
from shearloc.nets.fixed_point import product_of

pytest.importorskip("torch")


def test_torch_keeps_weights_by_the_array_they_are() -> None:
    """The transposed view of a weight is another weight; one that is gone may leave its number to another."""
    draw = np.random.default_rng(0)
    product = product_of("torch")
    square = draw.integers(-99, 99, (6, 6)).astype(np.float64)
    x = draw.integers(-99, 99, (4, 6)).astype(np.float64)
    for _ in range(2):
        assert (product(x, square) == x @ square).all()
        assert (product(x, square.T) == x @ square.T).all()
    for _ in range(50):
        weight = draw.integers(-99, 99, (6, 3)).astype(np.float64)
        assert (product(x, weight) == x @ weight).all()


def test_a_product_that_rounds_is_refused() -> None:
    def in_float32(x: fixed_point.Numbers, weight: fixed_point.Numbers) -> fixed_point.Numbers:
        return (x.astype(np.float32) @ weight.astype(np.float32)).astype(np.float64)

    with pytest.raises(RuntimeError, match="not exact on here"):
        fixed_point._check_exact(in_float32, "here")
    fixed_point._check_exact(np.matmul, "here")
