"""Codecs of arrays of independent symbols, by integer distributions.

Each function returns a codec of values of one shape. Its arguments are integers: frequencies, tables, or parameters in
fixed units. So a message made on one machine can be read on every other.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..errors import CorruptError
from . import bins, logistic, symbols
from .intervals import Integers, are_between, buckets, check_precision, check_table, check_values, read_only
from .loops import Kernels
from .message import Message

Shape = int | tuple[int, ...]


@dataclass(eq=False, slots=True)
class Symbols:
    """A codec of integers from 0 to `highest`, an array of `shape` and `dtype`, pushed in C order.

    `kernels` and `parameters`: a distribution as `loops.py` describes it, at `precision` bits. `scratch`: how many
    int64 its functions need. `least_bits`: the fewest bits of a symbol; from a message that has less for all of them,
    nothing is popped.
    """

    kernels: Kernels
    parameters: tuple[Any, ...]
    precision: int
    shape: tuple[int, ...]
    highest: int
    dtype: DTypeLike = np.int32
    scratch: int = 0
    least_bits: int = 0

    def push(self, message: Message, values: Integers) -> None:
        """Pushes values; the last one is on top. ValueError for another shape or type, or values out of range."""
        flat = self._checked(values)
        message.reserve(-(-flat.size // message.lanes) if not message.shared else flat.size)
        stack = message.heads, message.words, message.bases, message.tops
        self.kernels.push(*stack, flat, self.parameters, np.empty(self.scratch, np.int64), self.precision)

    def pop(self, message: Message) -> NDArray[Any]:
        """The values. CorruptError, and the message unchanged, where it has too few bits."""
        count = math.prod(self.shape)
        if self.least_bits and count * self.least_bits > 64 * message.lanes + 32 * message.size:
            raise CorruptError(_TOO_FEW)
        flat = np.empty(count, self.dtype)
        heads, tops = message.heads.copy(), message.tops.copy()
        stack = heads, message.words, message.bases, tops
        if not self.kernels.pop(*stack, flat, self.parameters, np.empty(self.scratch, np.int64), self.precision):
            raise CorruptError(_TOO_FEW)
        message.heads, message.tops = heads, tops
        return flat.reshape(self.shape)

    def intervals(self, values: Integers) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
        """start and freq of every value out of 2^precision, uint64 of `shape`: for the range coder, or code lengths."""
        flat = self._checked(values)
        starts, freqs = np.empty(flat.size, np.uint64), np.empty(flat.size, np.uint64)
        self.kernels.measure(flat, self.parameters, np.empty(self.scratch, np.int64), starts, freqs)
        return starts.reshape(self.shape), freqs.reshape(self.shape)

    def _checked(self, values: Integers) -> NDArray[Any]:
        return check_values(values, self.shape, self.highest, self.dtype).reshape(-1)


_TOO_FEW = "the message has too few bits: cut short, damaged, or not made with these distributions"


def uniform(bits: int, shape: Shape) -> Symbols:
    """Integers from 0 to 2^bits - 1, all equally likely: int32 of `shape`, `bits` from 1 to 31."""
    if not 1 <= bits <= 31:
        raise ValueError(f"uniform integers have from 1 to 31 bits, not {bits}")
    return Symbols(symbols.UNIFORM, (), bits, _tuple(shape), (1 << bits) - 1, least_bits=bits)


def categorical(cdf: Integers, shape: Shape | None = None) -> Symbols:
    """Symbols from 0 to K - 1, int32, by tables of cumulative frequencies.

    `cdf` integers, strictly increasing from 0 to 2^precision, precision from 1 to 32: [K+1], one table for all symbols
    of `shape`; or [..., K+1], a table for each of symbols [...]. uint32 goes fastest. ValueError for anything else.
    """
    given = np.asarray(cdf)
    rows = given if given.ndim < 2 else given.reshape(-1, given.shape[-1])
    table, precision = check_table(rows)
    if precision < 32:  # of one type, so that Numba compiles one kernel
        table = read_only(table.astype(np.uint32, copy=False))
    highest = table.shape[-1] - 2
    if given.ndim > 1:
        own = given.shape[:-1]
        if shape is not None and _tuple(shape) != own:
            raise ValueError(f"tables of shape {list(given.shape)} for symbols of shape {list(_tuple(shape))}")
        return Symbols(symbols.TABLES, (table,), precision, own, highest)
    if shape is None:
        raise ValueError("one table for all symbols does not tell how many there are: give their shape")
    first, shift = buckets(table, precision, math.prod(_tuple(shape)))
    return Symbols(symbols.SHARED_TABLE, (table, first, shift), precision, _tuple(shape), highest)


def bernoulli(ones: Integers, precision: int) -> Symbols:
    """Values 0 and 1, uint8 of the shape of `ones`: frequencies of 1, from 1 to 2^precision - 1.

    `precision` from 1 to 31 bits. ValueError for anything else.
    """
    check_precision(precision)
    if precision > 31:
        raise ValueError("a Bernoulli distribution has at most 31 bits")
    freqs = check_values(ones, np.shape(ones), (1 << precision) - 1, np.uint32, lowest=1)
    parameters = freqs.reshape(-1), np.int64(1 << precision)
    return Symbols(symbols.BERNOULLI, parameters, precision, freqs.shape, 1, np.uint8)


def logistic_mixture(parameters: NDArray[np.int32]) -> Symbols:
    """Grey levels, uint8 [...], by mixtures of K discretised logistics and a little of the uniform, at 24 bits.

    `parameters` int32 [..., 3K]: K logits in 1/32 nat, K means in 1/64 grey level, K log-scales in 1/32 nat (clamped
    to -3.5 .. 6 nats), as `logistic.py` has them. Magnitudes below 2^20. ValueError for anything else.
    """
    *shape, width = parameters.shape
    if parameters.dtype != np.int32 or not width or width % 3:
        raise ValueError(f"a mixture's parameters are int32 [..., 3K], not {parameters.dtype} {parameters.shape}")
    if not are_between(parameters, 1 - (1 << 20), (1 << 20) - 1):
        raise ValueError("a mixture's parameters are below 2^20")
    sigmoid, exponential, inverse = logistic.tables()
    rows = read_only(np.ascontiguousarray(parameters).reshape(-1, width))
    known = (rows, sigmoid, exponential, inverse)
    top = logistic.LEVELS - 1
    return Symbols(symbols.MIXTURE, known, logistic.PRECISION, tuple(shape), top, np.uint8, scratch=width)


def gaussian(means: NDArray[np.int64], log_sigmas: NDArray[np.int64]) -> Symbols:
    """Bins from 0 to 2^16 - 1, int32, of N(mean, sigma^2); each has the same mass under N(0, 1), which is uniform(16).

    `means` int64 in 2^-16, from -256 to 256; `log_sigmas` int64 of the same shape in 1/64 nat, from -6 to 2 nats.
    ValueError for anything else. `centres` gives the numbers that bins stand for.
    """
    if means.shape != log_sigmas.shape or means.dtype != np.int64 or log_sigmas.dtype != np.int64:
        raise ValueError("means and log standard deviations are int64 of one shape")
    if not are_between(means, -bins.MEAN_LIMIT, bins.MEAN_LIMIT):
        raise ValueError("a mean is from -256 to 256")
    if not are_between(log_sigmas, bins.SIGMA_LOW, bins.SIGMA_HIGH):
        raise ValueError("a log standard deviation is from -6 to 2 nats")
    known = bins.tables()
    inverses = bins.inverses(np.ascontiguousarray(log_sigmas).reshape(-1))
    parameters = (read_only(np.ascontiguousarray(means).reshape(-1)), inverses, known.edges, known.phi)
    return Symbols(symbols.GAUSSIAN, parameters, bins.PRECISION, means.shape, bins.BINS - 1)


def _tuple(shape: Shape) -> tuple[int, ...]:
    """A shape as a tuple. ValueError for negative sizes."""
    sizes = (shape,) if isinstance(shape, int) else tuple(shape)
    if min(sizes, default=0) < 0:
        raise ValueError(f"a shape has no negative sizes: {sizes}")
    return sizes
