"""Exact networks in fixed point: integers held in float64, the same on every machine.

    activations   units of 2^-16, saturated at +-2^24 (+-256)
    weights       units of 2^-12, int16
    y = clamp(floor(x @ weight / 2^12 + 1/2) + bias)

Whoever makes a network proves that no sum can reach 2^53. Then neither the order of summation, nor the library, thread
count or device that forms the product, can matter. Between the products there is only + - *, floor and comparisons.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple
from weakref import ref

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ..errors import no_engine

ACTIVATION_BITS = 16
WEIGHT_BITS = 12
LIMIT = float(1 << 24)
"""Activations, posterior and likelihood parameters and gradients stay within this."""
EXACT = 1 << 53
"""Integers below it are exact in float64, and so are their sums in any order."""

_MOST_HELD = 256
"""Weights that stay on a device: more than any model has."""

Numbers = NDArray[np.float64]
Product = Callable[[Numbers, Numbers], Numbers]
"""x [n, in] @ weight [in, out], exact."""


class Affine(NamedTuple):
    """weight [in, out] in 2^-12 and bias [out] in 2^-16, float64 holding integers."""

    weight: Numbers
    bias: Numbers


class Part(NamedTuple):
    """A step and its numbers: dense, relu, block, fold or unfold, on activations [n, side, side, channels].

    `size`: of fold and unfold. `relu`: a dense step that the next one makes non-negative.
    """

    kind: str
    size: int
    maps: tuple[Affine, ...] = ()
    relu: bool = False


def forward(parts: tuple[Part, ...], x: Numbers, product: Product, tape: list[Numbers] | None) -> Numbers:
    """The network's output; appends to `tape` the outputs of every relu, in order."""
    for part in parts:
        if part.kind == "dense":
            x = affine_of(x, part.maps[0], product, part.relu)
        elif part.kind == "block":
            inner = np.maximum(x, 0)
            hidden = affine_of(neighbours(inner), part.maps[0], product, True)
            x = np.clip(x + affine_of(hidden, part.maps[1], product, False), -LIMIT, LIMIT)
            if tape is not None:
                tape += [inner, hidden]
        elif part.kind == "relu":
            x = np.maximum(x, 0)
        else:
            x = fold(x, part.size) if part.kind == "fold" else unfold(x, part.size)
        if tape is not None and (part.relu or part.kind == "relu"):
            tape.append(x)
    return x


def backward(part: Part, gradient: Numbers, tape: list[Numbers], product: Product) -> Numbers:
    """The gradient with respect to a part's input, from that of its output; takes what it needs off the tape."""
    if part.kind == "dense":
        masked = np.where(tape.pop() > 0, gradient, 0) if part.relu else gradient
        return transposed(masked, part.maps[0], product)
    if part.kind == "block":
        hidden, inner = tape.pop(), tape.pop()
        through = np.where(hidden > 0, transposed(gradient, part.maps[1], product), 0)
        through = from_neighbours(transposed(through, part.maps[0], product))
        return np.clip(gradient + np.where(inner > 0, through, 0), -LIMIT, LIMIT)
    if part.kind == "relu":
        return np.where(tape.pop() > 0, gradient, 0)
    return unfold(gradient, part.size) if part.kind == "fold" else fold(gradient, part.size)


def affine_of(x: Numbers, affine: Affine, product: Product, relu: bool) -> Numbers:
    """x @ weight + bias, rounded and saturated; of [..., in]."""
    sums = product(x.reshape(-1, x.shape[-1]), affine.weight)
    _settle(sums, affine.bias, 0.0 if relu else -LIMIT)
    return sums.reshape(*x.shape[:-1], -1)


def transposed(gradient: Numbers, affine: Affine, product: Product) -> Numbers:
    """The gradient of an affine map's input, from that of its output."""
    sums = product(gradient.reshape(-1, gradient.shape[-1]), affine.weight.T)
    _settle(sums, np.zeros(sums.shape[1]), -LIMIT)
    return sums.reshape(*gradient.shape[:-1], -1)


@njit(cache=True, nogil=True)
def _settle(sums, bias, lowest) -> None:  # type: ignore[no-untyped-def]
    """sums [n, out] become clamp(floor(sums / 2^12 + 1/2) + bias, lowest, 2^24), in place."""
    for i in range(sums.shape[0]):
        for j in range(sums.shape[1]):
            # A power of two, and fewer than 53 bits with the half: nothing is rounded before floor.
            value = np.floor(sums[i, j] * (1.0 / (1 << WEIGHT_BITS)) + 0.5) + bias[j]
            value = lowest if value < lowest else value
            sums[i, j] = LIMIT if value > LIMIT else value


def fold(x: Numbers, s: int) -> Numbers:
    """[n, a*s, b*s, c] to [n, a, b, s*s*c]: row, column, channel."""
    n, height, width, channels = x.shape
    parts = x.reshape(n, height // s, s, width // s, s, channels).transpose(0, 1, 3, 2, 4, 5)
    return parts.reshape(n, height // s, width // s, s * s * channels)


def unfold(x: Numbers, s: int) -> Numbers:
    """The inverse of `fold`."""
    n, height, width, channels = x.shape
    parts = x.reshape(n, height, width, s, s, channels // (s * s)).transpose(0, 1, 3, 2, 4, 5)
    return parts.reshape(n, height * s, width * s, channels // (s * s))


def neighbours(x: Numbers) -> Numbers:
    """[n, a, b, c] to [n, a, b, 9 c]: the 3 x 3 positions around each (row, column, channel), zero outside."""
    n, height, width, channels = x.shape
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    out = np.empty((n, height, width, 9, channels))
    for k in range(9):
        out[:, :, :, k] = padded[:, k // 3 : k // 3 + height, k % 3 : k % 3 + width]
    return out.reshape(n, height, width, 9 * channels)


def from_neighbours(gradient: Numbers) -> Numbers:
    """The adjoint of `neighbours`."""
    n, height, width, count = gradient.shape
    parts = gradient.reshape(n, height, width, 9, count // 9)
    padded = np.zeros((n, height + 2, width + 2, count // 9))
    for k in range(9):
        padded[:, k // 3 : k // 3 + height, k % 3 : k % 3 + width] += parts[:, :, :, k]
    return padded[:, 1:-1, 1:-1]


# --- Engines: who forms the product; never a different integer -----------------------------------------------


@cache
def product_of(engine: str) -> Product:
    """The product of an engine: numpy (also "auto"), torch, cuda or numba (plain loops, the reference).

    ShearlocError where it is not available, ValueError for an unknown name.
    """
    if engine in ("auto", "numpy"):
        return np.matmul
    if engine == "numba":
        return plain_product
    if engine not in ("torch", "cuda"):
        raise ValueError(f"no engine is called {engine!r}")
    try:
        return _torch_product("cuda" if engine == "cuda" else "cpu")
    except (ImportError, RuntimeError, AssertionError) as error:  # torch raises the latter two without CUDA
        raise no_engine(engine, error) from error


def plain_product(x: Numbers, weight: Numbers) -> Numbers:
    """Plain loops that skip zeros: the reference, and the quickest for inputs that are mostly 0."""
    return _multiply(np.ascontiguousarray(x), np.ascontiguousarray(weight))


@njit(cache=True, nogil=True)
def _multiply(x, weight):  # type: ignore[no-untyped-def]
    out = np.zeros((x.shape[0], weight.shape[1]))
    for i in range(x.shape[0]):
        row = out[i]
        for k in range(x.shape[1]):
            factor, weights = x[i, k], weight[k]
            if factor != 0:
                for j in range(row.size):
                    row[j] += factor * weights[j]
    return out


def _torch_product(device: str) -> Product:
    """torch's product on a device. RuntimeError where the device is missing or does not multiply exactly."""
    import torch

    held: dict[tuple[int, tuple[int, ...]], tuple[ref[Numbers], Any]] = {}

    def on_device(weight: Numbers) -> Any:
        """The weight on the device, where it stays: every batch needs the same ones."""
        owner = weight if weight.base is None else weight.base
        key = id(owner), weight.strides
        kept, tensor = held.get(key, (None, None))
        if kept is None or kept() is not owner:
            tensor = torch.from_numpy(np.ascontiguousarray(weight)).to(device)
            if len(held) >= _MOST_HELD:
                held.clear()
            held[key] = ref(owner), tensor
        return tensor

    def product(x: Numbers, weight: Numbers) -> Numbers:
        result: Numbers = (torch.from_numpy(np.ascontiguousarray(x)).to(device) @ on_device(weight)).cpu().numpy()
        return result

    _check_exact(product, device)
    return product


def _check_exact(product: Product, device: str) -> None:
    """RuntimeError unless the product keeps every bit of the largest sums that `EXACT` allows."""
    x = np.full((3, 64), LIMIT)
    x[:, ::2] -= np.arange(1, 33)
    weight = np.full((64, 5), 32767.0)
    weight[1::3] = -32766
    sums = x.astype(np.int64) @ weight.astype(np.int64)
    if not (product(x, weight) == sums).all():
        raise RuntimeError(f"torch's float64 product is not exact on {device}")
