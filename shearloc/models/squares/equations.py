"""Least squares in float64: sums of products, and their solution, by operations that every machine rounds alike.

Only + - * / of IEEE 754, in the order written here; Numba neither fuses nor reorders them. `sums` is the upper triangle
of a symmetric matrix of n inputs and the target, row by row, without the target's own square: n (n + 3) / 2 numbers.
"""

import numpy as np
from numba import njit

from ...kernels import KERNEL

RIDGE = 1.0
"""Added to the diagonal, as if the weights had been seen to be those of the start ..."""
START = 0.5
"""... which is this for the first two inputs and zero for the others."""


@njit(**KERNEL)
def add(sums, decay, weight, values, count) -> None:  # type: ignore[no-untyped-def]
    """sums = decay * sums + weight * (products of values), where values has `count` inputs and then the target."""
    k = 0
    for i in range(count):
        factor = weight * values[i]
        width = count + 1 - i
        for j in range(width):
            sums[k + j] = decay * sums[k + j] + factor * values[i + j]
        k += width


@njit(**KERNEL)
def solve(sums, more, count, work, weights) -> None:  # type: ignore[no-untyped-def]
    """Weights for `sums` + `more`, by elimination without pivots; work float64 [count, > count + 1]."""
    k = 0
    end = (count + 8) & ~7
    for i in range(count):
        width = count + 1 - i
        for j in range(width):
            work[i, i + j] = sums[k + j] + more[k + j]
        work[i, i] += RIDGE
        if i < 2:
            work[i, count] += RIDGE * START
        k += width
    for j in range(count):
        pivot = work[j, j]
        if not pivot > RIDGE / 2:
            pivot = RIDGE / 2
        inverse = 1.0 / pivot
        work[j, j] = inverse
        for i in range(j + 1, count):
            factor = work[j, i] * inverse
            for q in range(np.uint64(i) & np.uint64(0xFFFFFFFFFFFFFFF8), np.uint64(end)):
                work[np.uint64(i), q] -= factor * work[np.uint64(j), q]
    for i in range(count - 1, -1, -1):
        value = work[i, count] * work[i, i]
        weights[i] = value
        for q in range(i):
            work[q, count] -= work[q, i] * value


@njit(**KERNEL)
def dot(weights, values, count):  # type: ignore[no-untyped-def]
    """The sum of products, in order."""
    total = 0.0
    for i in range(count):
        total += weights[i] * values[i]
    return total
