"""Integer code lengths: close to the logarithm, and the same integers everywhere."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from shearloc.coding.lengths import LENGTH_BITS, code_lengths, logarithms
from shearloc.coding.logistic import PRECISION


@given(st.lists(st.integers(1, 1 << PRECISION), min_size=1, max_size=20))
def test_close_to_the_logarithm(freqs: list[int]) -> None:
    found = code_lengths(np.array(freqs, np.uint32))
    assert found.dtype == np.int64
    for length, freq in zip(found.tolist(), freqs, strict=True):
        assert abs(length / (1 << LENGTH_BITS) - (PRECISION - math.log2(freq))) < 2e-4


def test_pinned() -> None:
    """Literal numbers: files show what is chosen by them."""
    freqs = np.array([[1, 2, 3], [255, 65537, 16777216]], np.uint32)
    assert code_lengths(freqs).tolist() == [[1572852, 1507316, 1468984], [1048940, 524276, -12]]


@given(st.integers(1, 2**64 - 1))
def test_a_logarithm_is_that_of_the_leading_bits(value: int) -> None:
    """By `frexp`, as older versions had it: choices that files show must not change."""
    fraction, exponent = math.frexp(float(value))
    index = math.floor((2 * fraction - 1) * 4096)
    found = logarithms(np.array([value], np.uint64))[0]
    assert abs(found - 65536 * (exponent - 1 + math.log2(1 + (index + 0.5) / 4096))) <= 1
