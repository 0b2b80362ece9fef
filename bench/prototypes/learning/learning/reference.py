"""The same learning walk in plain NumPy, step by step as FORMAT would say it: slow, for tests and for readers.

Every product of integers is formed in int64, so it does not matter how the sums are split; every float operation is one
NumPy call on float32 or float64 arrays.
"""

import numpy as np
from shearloc.codec.cdf import (
    ARGUMENT_LIMIT,
    ARGUMENT_SHIFT,
    FLOOR,
    FRACTION_BITS,
    LOGIT_RANGE,
    LOGIT_STEPS,
    MIXTURE_TOTAL,
    SCALE_HIGH,
    SCALE_LOW,
    SIGMOID_BITS,
    tables,
)
from shearloc.codec.orders import shear, step_count, step_rows

from . import gradient as g
from .learner import COEFFICIENT_BITS, HIGHEST_PEAK, LOGIT_BITS, LOWEST_PEAK, MEAN_BITS, PEAK_FALL, SCALE_BITS, SETTLED
from .model import BACKWARD_LIMIT, GRADIENT_LIMIT, INPUT_BITS, LEVEL_BITS, MOST_PIXELS, ONE, Start

F32, F64 = np.float32, np.float64


class Reference:
    """One image, one step after the other."""

    def __init__(self, start: Start, image) -> None:
        self.start, self.image = start, image.astype(np.int64)
        self.layers = start.layers[1:]
        self.weights = [
            np.vstack([layer.weight, np.zeros((1, layer.weight.shape[1]))]).astype(F32) for layer in self.layers
        ]
        self.mean, self.square = ([np.zeros_like(w) for w in self.weights] for _ in range(2))
        self.peaks = [peaks.copy() for peaks in start.peaks]
        self.seen = [np.zeros_like(peaks) for peaks in self.peaks]
        self.powers = [1.0, 1.0]
        self.begin_update()
        bits, k = start.layers[-1].bits, start.components
        units = np.repeat([LOGIT_BITS, MEAN_BITS, SCALE_BITS] + [COEFFICIENT_BITS] * (start.channels - 1), k)
        self.shifts = [bits + LEVEL_BITS - units[:count] for count in start.counts]

    def begin_update(self) -> None:
        """The weights rounded both ways, and sums at 0."""
        self.scales = [F32(256) / _power(peaks) for peaks in self.peaks]
        self.forward = [np.rint(w).astype(np.int64) for w in self.weights]
        self.sums = [np.zeros(w.shape, np.int64) for w in self.weights]
        self.units, self.backward, self.heads = [], [], []
        for w, scales in zip(self.weights, self.scales, strict=True):
            inverse = F32(1) / scales
            unit = F32(4) * inverse.max()
            self.units.append(unit)
            rounded = np.rint(w[:-1] * (inverse / unit)[None])
            self.backward.append(np.clip(rounded, -BACKWARD_LIMIT, BACKWARD_LIMIT).astype(np.int64))
        first = 0
        for c, count in enumerate(self.start.counts):
            if c and self.start.units:
                inverse = (F32(1) / self.scales[-1][first : first + count]) / self.units[-1]
                rounded = np.rint(self.start.adjust[c - 1].astype(F32) * inverse[None])
                self.heads.append(np.clip(rounded, -BACKWARD_LIMIT, BACKWARD_LIMIT).astype(np.int64))
            first += count
        self.used = 0

    def contexts(self, places):
        """Inputs [n, features], predictions and values [n, C]."""
        height, width, channels = self.image.shape
        inputs, predictions = [], []
        for i, j in places:
            def at(dy, dx, i=i, j=j):
                inside = 0 <= i + dy and 0 <= j + dx < width
                return self.image[i + dy, j + dx] if inside else None
            west, north, corner = at(0, -1), at(-1, 0), at(-1, -1)
            if west is not None and north is not None:
                low, high = np.minimum(west, north), np.maximum(west, north)
                predicted = np.clip(west + north - corner, low, high)
            else:
                given = [side for side in (west, north) if side is not None]
                predicted = given[0] if given else np.full(channels, 128)
            row = []
            for dy, dx in self.start.offsets.tolist():
                if dy == 0 and dx == 0:
                    row.append(predicted - 128)
                else:
                    level = at(dy, dx)
                    row.append(np.zeros(channels, np.int64) if level is None else _compand(level - predicted))
            inputs.append(np.concatenate(row))
            predictions.append(predicted)
        return np.array(inputs), np.array(predictions), np.array([self.image[i, j] for i, j in places])

    def run(self):
        """start and freq, uint32 [C, pixels] in the order of coding."""
        height, width, _ = self.image.shape
        o, every = shear(self.start.offsets), self.start.steps.every
        found, steps = [], step_count(height, width, o)
        for t in range(steps):
            places = [(i, t - i * o) for i in range(*step_rows(t, height, width, o))]
            if places:
                found.append(self.step(places))
            # Updates are counted anew at every 64th.
            if t % every == every - 1 or t == steps - 1:
                self.update()
        return tuple(np.concatenate([part[k] for part in found], 1).astype(np.uint32) for k in range(2))

    def step(self, places):
        """One step's intervals; its gradients go into the sums."""
        start, n = self.start, len(places)
        inputs, predictions, values = self.contexts(places)
        first = start.layers[0]
        levels = [_levels(inputs @ first.weight.astype(np.int64) + first.start, first.bits + INPUT_BITS - LEVEL_BITS)]
        sums = None
        for k, layer in enumerate(self.layers):
            sums = np.hstack([levels[k], np.full((n, 1), ONE)]) @ self.forward[k] + layer.start
            if k < len(self.layers) - 1:
                levels.append(_levels(sums, layer.bits))
        assert np.abs(sums).max() < 2**31
        differences = values - predictions
        count, total = sum(start.counts), 0
        parts, gradients, units = [], [], []
        for c, size in enumerate(start.counts):
            params = sums[:, total : total + size]
            if c and start.units:
                base = count + (c - 1) * start.units
                unit = sums[:, base : base + start.units] + _compand(differences[:, :c]) @ start.learn[c - 1].astype(np.int64)
                units.append(_levels(unit, start.layers[-1].bits))
                params = params + units[-1] @ start.adjust[c - 1].astype(np.int64)
            interval, gradient = self.channel(c, params, predictions[:, c], differences[:, :c], values[:, c])
            parts.append(interval)
            gradients.append(gradient)
            total += size
        keep = max(0, min(n, MOST_PIXELS - self.used))
        self.used += keep
        self.backwards(levels, units, np.hstack(gradients), keep)
        return np.stack([part[0] for part in parts]), np.stack([part[1] for part in parts])

    def channel(self, c, params, prediction, differences, values):
        """(start, freq), and the parameters' gradients, of one channel."""
        k = self.start.components
        shifts = self.shifts[c]
        params = np.clip((params + (1 << (shifts - 1))) >> shifts, -32768, 32768)
        means = params[:, k : 2 * k] + 64 * prediction[:, None]
        for e in range(c):
            coefficients = np.clip(params[:, (3 + e) * k : (4 + e) * k], -8 << COEFFICIENT_BITS, 8 << COEFFICIENT_BITS)
            means = means + ((coefficients * differences[:, e, None] + 2) >> 2)
        sigmoid, exponential, inverse = tables()
        below = np.minimum(params[:, :k].max(1, keepdims=True) - params[:, :k], LOGIT_RANGE * LOGIT_STEPS)
        weights = exponential[below]
        weights = weights * MIXTURE_TOTAL // weights.sum(1, keepdims=True)
        inverses = inverse[np.clip(params[:, 2 * k : 3 * k], SCALE_LOW, SCALE_HIGH) - SCALE_LOW]

        def look(x):
            argument = np.clip(((64 * x[:, None] - 32 - means) * inverses) >> ARGUMENT_SHIFT, -ARGUMENT_LIMIT, ARGUMENT_LIMIT)
            index = argument + ARGUMENT_LIMIT
            entry = sigmoid[index >> FRACTION_BITS]
            return argument, entry[..., 0] + (entry[..., 1] * (index & ((1 << FRACTION_BITS) - 1)) >> FRACTION_BITS)

        def cdf(x):
            inside = ((weights * look(x)[1]).sum(1) >> SIGMOID_BITS) + FLOOR * x
            return np.where(x <= 0, 0, np.where(x >= 256, 1 << 24, inside))

        start = cdf(values)
        interval = start, cdf(values + 1) - start
        one = np.int64(1) << SIGMOID_BITS
        (low_at, low), (high_at, high) = look(values), look(values + 1)
        low, high = np.where(values[:, None] == 0, 0, low), np.where(values[:, None] == 255, one, high)
        low_slope, high_slope = low * (one - low), high * (one - high)
        mass, rise = high - low, high_slope - low_slope
        spread = high_at * high_slope - low_at * low_slope
        share = 1.0 / ((weights * mass).sum(1, keepdims=True).astype(F64) + g.FLOOR_MASS)
        known = 1.0 - g.FLOOR_MASS * share
        part = weights.astype(F64) * share
        logit = (weights.astype(F64) * g.PRIOR * known - part * mass.astype(F64)).astype(F32)
        mean = (part * rise.astype(F64) * (inverses.astype(F64) * g.MEAN_UNIT)).astype(F32)
        clamped = (params[:, 2 * k : 3 * k] < SCALE_LOW) | (params[:, 2 * k : 3 * k] > SCALE_HIGH)
        scale = np.where(clamped, F32(0), (part * spread.astype(F64) * g.SCALE_UNIT).astype(F32))
        shifted = [mean * F32(0.0625) * differences[:, e, None].astype(F32) for e in range(c)]
        return interval, np.hstack([logit, mean, scale, *shifted])

    def rounded(self, k, values, begin):
        """Gradients of some outputs of layer k as integers; what was the largest is kept."""
        here = slice(begin, begin + values.shape[1])
        if len(values):
            self.seen[k][here] = np.maximum(self.seen[k][here], np.abs(values).max(0))
        return np.clip(np.rint(values * self.scales[k][here]), -GRADIENT_LIMIT, GRADIENT_LIMIT).astype(np.int64)

    def backwards(self, levels, units, gradients, keep):
        """Adds the first `keep` pixels' products to the sums."""
        start, last = self.start, len(self.layers) - 1
        at = self.rounded(last, gradients[:keep], 0)
        first, columns = start.counts[0], [at]
        for c, levels_of in enumerate(units):
            size = start.counts[c + 1]
            back = at[:, first : first + size] @ self.heads[c].T
            alive = (levels_of[:keep] > 0) & (levels_of[:keep] < 255)
            unit = self.units[last] / F32(1 << self.layers[last].bits)
            values = np.where(alive, back, 0).astype(F32) * unit
            columns.append(self.rounded(last, values, sum(start.counts) + c * start.units))
            first += size
        at = np.hstack(columns)
        for k in range(last, -1, -1):
            self.sums[k] += np.hstack([levels[k][:keep], np.full((keep, 1), ONE)]).T @ at
            if k:
                back = at @ self.backward[k].T
                alive = (levels[k][:keep] > 0) & (levels[k][:keep] < 255)
                unit = self.units[k] / F32(1 << self.layers[k].bits)
                at = self.rounded(k - 1, np.where(alive, back, 0).astype(F32) * unit, 0)

    def update(self) -> None:
        """Adam, with the scales that the sums were made with; then peaks and everything rounded anew."""
        steps = self.start.steps
        forget, forget_square = F32(steps.first), F32(steps.second)
        self.powers[0] *= 1.0 - F64(forget)
        self.powers[1] *= 1.0 - F64(forget_square)
        factor = np.sqrt(1.0 - self.powers[1]) / (1.0 - self.powers[0])
        for k, layer in enumerate(self.layers):
            assert np.abs(self.sums[k]).max() < 2**31
            rate = F32(F64(F32(steps.rates[k] * 2.0**layer.bits)) * factor)
            gradient = self.sums[k].astype(F32) * (F32(1) / self.scales[k])[None]
            m = self.mean[k] + forget * (gradient - self.mean[k])
            m = np.where(np.abs(m) > SETTLED, m, F32(0))
            v = self.square[k] + forget_square * (gradient * gradient - self.square[k])
            self.mean[k], self.square[k] = m, v
            step = rate * (m / (np.sqrt(v) + F32(steps.epsilon)))
            limit = F32(self.start.limits[k + 1])
            self.weights[k] = np.clip(self.weights[k] - step, -limit, limit)
            assert all(a.dtype == F32 for a in (gradient, m, v, step, self.weights[k]))
            peaks = np.maximum(self.peaks[k] * PEAK_FALL, self.seen[k])
            self.peaks[k] = np.clip(peaks, LOWEST_PEAK, HIGHEST_PEAK)
            self.seen[k][:] = 0
        self.begin_update()


def _power(values):
    """The powers of two in (value / 2, value]."""
    return (values.view(np.int32) & np.int32(0x7F800000)).view(F32)


def _levels(sums, shift):
    assert np.abs(sums).max() < 2**31
    return np.clip((sums + (1 << (shift - 1))) >> shift, 0, 255)


def _compand(difference):
    size = np.abs(difference)
    return np.sign(difference) * np.where(size > 64, 64 + (size - 64) // 3, size)
