"""Engines: ways to run the exact layers of `layers.py`. They differ in speed only, never in a bit.

    numba   int8 products in vector code of our own (`products.py`), the fastest on a processor with VNNI or AVX2
    numpy   float32 matrix products of integers (BLAS), exact because no partial sum exceeds 2^24
    torch   int8 products on the CPU by `torch._int_mm` (VNNI where the processor has it)
    cuda    the same on a GPU's int8 tensor cores, in `models/local/device.py` with all else that a time step takes

A runner holds a network's weights in its engine's form and buffers for up to `rows` inputs; there is none for `cuda`.
"""

import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import no_engine
from ..kernels import VECTOR, blank
from . import network
from .convolution import ALONE, Neighbourhood, columns, convolved
from .layers import Dense, requantize, requantize_and_add
from .processors import at_most as at_most
from .processors import processors, sharing
from .products import is_fast

LARGE = 1 << 22
"""Subpixels from which `auto` finds importing torch (about two seconds) worth its speed."""


class Runner:
    """The numpy engine, and what the engines share: write `inputs[:n]`, call `run(n)`.

    With convolutions, write `neighbourhood.places[:n]`, too. Several runners may share the levels.
    """

    dtype: type = np.float32
    """The type of activations."""

    def __init__(self, layers: tuple[Dense, ...], rows: int, neighbourhood: Neighbourhood = ALONE) -> None:
        self.layers, self.neighbourhood = layers, neighbourhood
        self.inputs = blank((rows, layers[0].weight.shape[0]), np.int8)
        self._first = columns(layers)
        self._seen: list[NDArray[Any]] = [
            np.empty((rows if layer.convolution else 0, len(layer.weight)), self.dtype) for layer in layers
        ]
        self._values: NDArray[Any] = np.empty(self.inputs.shape, self.dtype)
        self._sums = np.empty((rows, layers[-1].bias.size + VECTOR), np.int32)
        self._prepare(rows)

    def _prepare(self, rows: int) -> None:
        self._weights: list[Any] = [layer.weight.astype(np.float32) for layer in self.layers]
        self._products = [np.empty((rows, layer.weight.shape[1]), np.float32) for layer in self.layers]
        self._activations = [np.empty_like(sums) for sums in self._products[:-1]]

    def _product(self, k: int, inputs: NDArray[Any], n: int) -> NDArray[Any]:
        return np.matmul(inputs, self._weights[k], out=self._products[k][:n])

    def run(self, n: int) -> NDArray[np.int32]:
        """The last layer's products, int32 [n, >= outputs + VECTOR], without its bias. Further columns hold anything.

        The array belongs to the runner and changes with the next call.
        """
        values = self._values[:n]
        values[...] = self.inputs[:n]
        for k, layer in enumerate(self.layers[:-1]):
            if layer.convolution:
                convolved(self.neighbourhood, n, self._first[k], values, self._seen[k])
                values = self._seen[k][:n]
            sums = self._product(k, values, n)
            values = self._activations[k][:n]
            if layer.skip:
                earlier = self._activations[k - layer.skip][:n]
                requantize_and_add(sums, layer.bias, layer.multiplier, layer.shift, earlier, values)
            else:
                requantize(sums, layer.bias, layer.multiplier, layer.shift, values)
        self._sums[:n, :-VECTOR] = self._product(len(self.layers) - 1, values, n)
        return self._sums[:n]


class NumbaRunner(Runner):
    """Our own int8 products. The inputs may have more columns than there are features, which may hold anything."""

    def __init__(self, layers: tuple[Dense, ...], rows: int, neighbourhood: Neighbourhood = ALONE) -> None:
        self.network, self.neighbourhood = network.packed(layers), neighbourhood
        self.inputs = blank((rows, self.network.features), np.int8)
        self.buffers = network.buffers(self.network)
        self._sums = np.empty((rows, self.network.outputs), np.int32)

    def run(self, n: int) -> NDArray[Any]:
        """As `Runner.run`."""
        network.run(self.network, self.inputs, n, self.neighbourhood, self.buffers, self._sums)
        return self._sums[:n]


@cache
def _torch_is_exact() -> bool:
    """Whether `torch._int_mm` keeps its largest sums. Without VNNI, int8 kernels may saturate pairs at 16 bits."""
    import torch

    inputs, weight = np.full((32, 64), -128, np.int8), np.full((64, 32), 127, np.int8)
    inputs[::2] = 127
    exact = inputs.astype(np.int64) @ weight.astype(np.int64)
    return bool((torch._int_mm(torch.from_numpy(inputs), torch.from_numpy(weight)).numpy() == exact).all())


class TorchRunner(Runner):
    """int8 products on the CPU."""

    dtype = np.int8

    def _prepare(self, rows: int) -> None:
        import torch

        if not _torch_is_exact():
            raise RuntimeError("torch's int8 product is not exact on this processor")
        self._torch = torch
        self._weights = [torch.from_numpy(layer.weight) for layer in self.layers]
        self._products = [np.empty((rows, layer.weight.shape[1]), np.int32) for layer in self.layers]
        self._activations = [np.empty(sums.shape, np.int8) for sums in self._products[:-1]]
        inputs = [self._values, *self._activations]
        inputs = [seen if len(seen) else plain for seen, plain in zip(self._seen, inputs, strict=True)]
        self._tensors = [
            (torch.from_numpy(a), torch.from_numpy(b)) for a, b in zip(inputs, self._products, strict=True)
        ]

    def _product(self, k: int, inputs: NDArray[Any], n: int) -> NDArray[Any]:
        source, target = self._tensors[k]
        self._torch._int_mm(source[:n], self._weights[k], out=target[:n])
        return self._products[k][:n]


Product = Callable[[NDArray[Any], NDArray[Any]], NDArray[np.int64]]


def integer_product(engine: str) -> Product:
    """Matrix products of integers, int64, by "numpy" or "torch": exact where no partial sum exceeds 2^53.

    ShearlocError where torch is not installed.
    """
    if engine == "numpy":
        return lambda left, right: (left.astype(np.float64) @ right.astype(np.float64)).astype(np.int64)
    try:
        import torch
    except ImportError as error:
        raise no_engine("torch", error) from error

    def product(left: NDArray[Any], right: NDArray[Any]) -> NDArray[np.int64]:
        one, two = (torch.from_numpy(side.astype(np.float64)) for side in (left, right))
        return np.asarray((one @ two).numpy().astype(np.int64))

    return product


def choose(engine: str, samples: int) -> str:
    """The engine that `auto` means for an image of this many subpixels.

    numba where the processor has an instruction that makes it the fastest; else torch, if it is exact, and loaded or
    worth loading; else numpy.
    """
    if engine != "auto":
        return engine
    if is_fast():
        return "numba"
    at_hand = sys.modules.get("torch") is not None or (
        samples >= LARGE and importlib.util.find_spec("torch") is not None
    )
    return "torch" if at_hand and _torch_works() else "numpy"


def _torch_works() -> bool:
    """Whether torch can be loaded, has the product, and computes it exactly. Without it, numpy serves."""
    try:
        return _torch_is_exact()
    except Exception:  # a broken installation may raise anything
        return False


def workers(engine: str, most: int) -> int:
    """Threads that may run the engine side by side, at most `most`. NumPy's products use all processors themselves."""
    return max(1, min(most, processors())) if engine in ("torch", "numba") else 1


@contextmanager
def one_thread_each(engine: str, count: int) -> Iterator[None]:
    """Has `count` threads that run the engine share the processors; torch's products use all of them themselves."""
    with sharing(count, torch=engine == "torch"):
        yield


def runner(engine: str, layers: tuple[Dense, ...], rows: int, neighbourhood: Neighbourhood = ALONE) -> Runner:
    """A runner for up to `rows` inputs at a time. ImportError where the engine is not installed."""
    if engine == "numpy":
        return Runner(layers, rows, neighbourhood)
    if engine == "numba":
        return NumbaRunner(layers, rows, neighbourhood)
    if engine == "torch":
        return TorchRunner(layers, rows, neighbourhood)
    raise ValueError(f"no engine is called {engine!r}")
