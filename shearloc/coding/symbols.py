"""One symbol of each distribution: its interval, and the search for the value that an interval belongs to.

`loops.py` says what these functions are and makes kernels of them; `distributions.py` makes codecs of the kernels.
"""

# mypy: disallow_untyped_defs = False

import numpy as np
from numba.extending import register_jitable

from .bins import bin_cdf, bin_search
from .intervals import find_in_bucket, find_symbol
from .logistic import EDGES, mixture, mixture_cdf, mixture_search
from .loops import kernels


@register_jitable(inline="always")
def _uniform_interval(k, values, parameters, scratch):
    return values[k], 1


@register_jitable(inline="always")
def _uniform_search(k, target, values, parameters, scratch):
    return target, target, 1


@register_jitable(inline="always")
def _shared_interval(k, values, parameters, scratch):
    cdf = parameters[0]
    start = cdf[values[k]]
    return start, cdf[values[k] + 1] - start


@register_jitable(inline="always")
def _shared_search(k, target, values, parameters, scratch):
    cdf, first, shift = parameters
    value = find_in_bucket(cdf, first, shift, target)
    return value, cdf[value], cdf[value + 1] - cdf[value]


@register_jitable(inline="always")
def _row_interval(k, values, parameters, scratch):
    rows = parameters[0]
    start = rows[k, values[k]]
    return start, rows[k, values[k] + 1] - start


@register_jitable(inline="always")
def _row_search(k, target, values, parameters, scratch):
    row = parameters[0][k]
    value = find_symbol(row, target)
    return value, row[value], row[value + 1] - row[value]


@register_jitable(inline="always")
def _bernoulli_interval(k, values, parameters, scratch):
    ones, total = parameters
    one = np.int64(ones[k])
    zeros = total - one
    return zeros if values[k] else np.int64(0), one if values[k] else zeros


@register_jitable(inline="always")
def _bernoulli_search(k, target, values, parameters, scratch):
    ones, total = parameters
    zeros = total - np.int64(ones[k])
    # A branch, because it is mostly predicted right: then the next symbol need not wait.
    one = target >= zeros
    start, freq = (zeros, np.int64(ones[k])) if one else (np.int64(0), zeros)
    return one, start, freq


@register_jitable(inline="always")
def _unpacked(k, parameters, scratch):
    """Weights, means and inverse scales of a mixture, int64 [K] each, in `scratch` [3K]; the table of the sigmoid."""
    rows, sigmoid, exponential, inverse = parameters
    components = scratch.size // 3
    weights, means = scratch[:components], scratch[components : 2 * components]
    inverses = scratch[2 * components :]
    mixture(rows[k], exponential, inverse, weights, means, inverses)
    return weights, means, inverses, sigmoid


@register_jitable(inline="always")
def _mixture_interval(k, values, parameters, scratch):
    weights, means, inverses, sigmoid = _unpacked(k, parameters, scratch)
    value = np.int64(values[k])
    start = mixture_cdf(value, EDGES, weights, means, inverses, sigmoid)
    return start, mixture_cdf(value + 1, EDGES, weights, means, inverses, sigmoid) - start


@register_jitable(inline="always")
def _mixture_search(k, target, values, parameters, scratch):
    weights, means, inverses, sigmoid = _unpacked(k, parameters, scratch)
    return mixture_search(target, EDGES, weights, means, inverses, sigmoid)


@register_jitable(inline="always")
def _gaussian_interval(k, values, parameters, scratch):
    means, inverses, edges, phi = parameters
    start = bin_cdf(np.int64(values[k]), means[k], inverses[k], edges, phi)
    return start, bin_cdf(np.int64(values[k]) + 1, means[k], inverses[k], edges, phi) - start


@register_jitable(inline="always")
def _gaussian_search(k, target, values, parameters, scratch):
    means, inverses, edges, phi = parameters
    return bin_search(target, means[k], inverses[k], edges, phi)


UNIFORM = kernels(_uniform_interval, _uniform_search)
SHARED_TABLE = kernels(_shared_interval, _shared_search)
TABLES = kernels(_row_interval, _row_search)
BERNOULLI = kernels(_bernoulli_interval, _bernoulli_search)
MIXTURE = kernels(_mixture_interval, _mixture_search)
GAUSSIAN = kernels(_gaussian_interval, _gaussian_search)
