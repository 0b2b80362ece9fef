"""The local model's codec once more, in plain Python integers: slow, and written without looking at speed.

Kernels are tested against it, up to a whole payload. It is not a test itself; tests get it as the fixture `plain`.
Nothing here uses a kernel of the package; only the sizes of a model's arrays are taken from it.
"""

from collections.abc import Sequence
from decimal import Decimal, localcontext
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Offsets = Sequence[tuple[int, int]] | NDArray[np.int32]


def median_edge(west: int, north: int, northwest: int) -> int:
    """LOCO-I's predictor, by its definition; negative neighbours are outside the image."""
    if west < 0 and north < 0:
        return 128
    if north < 0 or west < 0:
        return max(west, north)
    if northwest >= max(west, north):
        return min(west, north)
    if northwest <= min(west, north):
        return max(west, north)
    return west + north - northwest


def compand(difference: int) -> int:
    size = abs(difference)
    squeezed = size if size <= 64 else 64 + (size - 64) // 3
    return -squeezed if difference < 0 else squeezed


def shown(relative: bool, difference: int) -> int:
    """What the network sees of a difference."""
    return compand(difference) if relative else difference


def context(
    image: NDArray[np.uint8], i: int, j: int, offsets: Offsets, relative: bool = True
) -> tuple[list[int], list[int]]:
    """A pixel's inputs (offset by offset, channels together) and its predictions, for uint8 [H, W, C].

    `relative`: to the median edge detector; else to 128 throughout.
    """
    height, width, channels = image.shape

    def at(dy: int, dx: int, c: int) -> int:
        y, x = i + dy, j + dx
        return int(image[y, x, c]) if 0 <= y < height and 0 <= x < width else -1

    predictions = [median_edge(at(0, -1, c), at(-1, 0, c), at(-1, -1, c)) if relative else 128 for c in range(channels)]
    inputs = []
    for dy, dx in np.asarray(offsets).tolist():
        for c in range(channels):
            if (dy, dx) == (0, 0):
                inputs.append(predictions[c] - 128)
            else:
                inputs.append(shown(relative, at(dy, dx, c) - predictions[c]) if at(dy, dx, c) >= 0 else 0)
    return inputs, predictions


def rescale(total: int, multiplier: int, shift: int) -> int:
    """total * multiplier / 2^shift to the nearest integer, halves upwards."""
    return (2 * total * multiplier + (1 << shift)) // (1 << shift + 1)


def clamp(value: int, limit: int) -> int:
    return min(max(value, -limit), limit)


def activation(total: int, multiplier: int, shift: int) -> int:
    """A hidden unit's int8 level."""
    return min(max(rescale(total, multiplier, shift), 0), 255) - 128


def neighbours_of(size: tuple[int, int], offsets: Offsets) -> list[list[int]]:
    """Of every pixel of an image, in raster order, those at the offsets and itself, as they are counted; -1 outside."""
    height, width = size
    return [
        [
            (i + dy) * width + j + dx if i + dy >= 0 and 0 <= j + dx < width else -1
            for dy, dx in [*np.asarray(offsets).tolist(), (0, 0)]
        ]
        for i in range(height)
        for j in range(width)
    ]


def around(values: NDArray[np.int64], near: Sequence[Sequence[int]]) -> NDArray[np.int64]:
    """What a convolution sees: the levels of each pixel's neighbours one after the other, -128 outside."""
    nothing = [-128] * values.shape[1]
    return np.array([[v for k in row for v in (values[k].tolist() if k >= 0 else nothing)] for row in near])


def network(
    layers: Sequence[Any], inputs: NDArray[np.integer], near: Sequence[Sequence[int]] = ()
) -> NDArray[np.int64]:
    """The last layer's products, its bias not added, for inputs [n, in]. `near`: `neighbours_of`, for convolutions."""
    values = inputs.astype(np.int64)
    found: list[NDArray[np.int64]] = []
    for k, layer in enumerate(layers[:-1]):
        values = around(values, near) if layer.convolution else values
        totals = values @ layer.weight.astype(np.int64) + layer.bias
        scaled = (totals * layer.multiplier + (1 << (layer.shift.astype(np.int64) - 1))) >> layer.shift
        levels = scaled.clip(0, 255)
        if layer.skip:
            levels = (levels + found[k - layer.skip] + 128).clip(0, 255)
        values = levels - 128
        found.append(values)
    return values @ layers[-1].weight.astype(np.int64)


def parameters(
    head: Any, sums: Sequence[int], channel: int, prediction: int, differences: Sequence[int], seen: Sequence[int]
) -> list[int]:
    """Channel c's (3 + c) K mixture parameters. `differences`, `seen`: of the channels before it."""
    components, channels = head.components, len(head.adjust) + 1
    counts = [(3 + c) * components for c in range(channels)]
    units = [head.adjust.shape[1]] * (channels - 1)
    starts = np.cumsum([0, *counts, *units]).tolist()
    totals = [int(total) + bias for total, bias in zip(sums, head.bias.tolist(), strict=True)]
    scales = list(zip(head.multiplier.tolist(), head.shift.tolist(), strict=True))
    mine = totals[starts[channel] : starts[channel + 1]]
    if channel:
        learn, adjust = head.learn[channel - 1].tolist(), head.adjust[channel - 1].tolist()
        for u in range(head.adjust.shape[1]):
            at = starts[channels + channel - 1] + u
            total = totals[at] + sum(learn[e][u] * seen[e] for e in range(channel))
            level = activation(total, *scales[at]) + 128
            mine = [value + adjust[u][j] * level for j, value in enumerate(mine)]
    found = [clamp(rescale(value, *scales[starts[channel] + j]), 2**15) for j, value in enumerate(mine)]
    for k in range(components):
        found[components + k] += 64 * prediction
        for e in range(channel):
            coefficient = clamp(found[(3 + e) * components + k], 8 * 2**head.coefficient_bits)
            unit = 2 ** (head.coefficient_bits - 6)
            found[components + k] += (coefficient * differences[e] + unit // 2) // unit
    return found


@cache
def tables() -> tuple[list[int], list[int], list[int]]:
    """Rounded sigmoid * 2^22 of k/64 - 16, 2^24 e^(-k/32), and 2^20 e^(3.5 - k/32)."""
    with localcontext() as precise:
        precise.prec = 40
        sigmoid = [round(2**22 / (1 + (Decimal(16) - Decimal(k) / 64).exp())) for k in range(2049)]
        exponential = [round(2**24 * (-Decimal(k) / 32).exp()) for k in range(513)]
        inverse = [round(2**20 * ((112 - Decimal(k)) / 32).exp()) for k in range(305)]
    return sigmoid, exponential, inverse


def cumulative(logits: Sequence[int], means: Sequence[int], log_scales: Sequence[int], x: int) -> int:
    """F(x) of the mixture, x in 0 .. 256."""
    sigmoid, exponential, inverse = tables()
    if x in (0, 256):
        return x << 16
    raw = [exponential[min(max(logits) - logit, 512)] for logit in logits]
    total = 0
    for share, mean, log_scale in zip(raw, means, log_scales, strict=True):
        weight = share * (2**24 - 6 * 256) // sum(raw)
        # 14 bits a unit, so 8 bits between entries of the table.
        argument = (64 * x - 32 - mean) * inverse[min(max(log_scale, -112), 192) + 112] // 2**12
        index, fraction = divmod(min(max(argument + 2**18, 0), 2**19), 2**8)
        rise = sigmoid[min(index + 1, 2048)] - sigmoid[index]
        total += weight * (sigmoid[index] + rise * fraction // 2**8)
    return total // 2**22 + 6 * x


def interval(parameters: Sequence[int], components: int, value: int) -> tuple[int, int]:
    """start and freq of a value, of 2^24."""
    logits, means, log_scales = (parameters[k * components : (k + 1) * components] for k in range(3))
    start = cumulative(logits, means, log_scales, value)
    return start, cumulative(logits, means, log_scales, value + 1) - start


def intervals(model: Any, image: NDArray[np.uint8]) -> dict[tuple[int, int], list[tuple[int, int]]]:
    """Each pixel's intervals, a channel after the other, for uint8 [H, W, C]."""
    height, width, channels = image.shape
    pixels = [(i, j) for i in range(height) for j in range(width)]
    contexts = [context(image, i, j, model.offsets, bool(model.predictor)) for i, j in pixels]
    near = neighbours_of((height, width), model.neighbours)
    sums = network(model.layers, np.array([inputs for inputs, _ in contexts]), near).tolist()
    found = {}
    for pixel, row, (_, predictions) in zip(pixels, sums, contexts, strict=True):
        values = image[pixel].tolist()
        differences = [value - prediction for value, prediction in zip(values, predictions, strict=True)]
        seen = [shown(bool(model.predictor), difference) for difference in differences]
        found[pixel] = [
            interval(parameters(model.head, row, c, predictions[c], differences, seen), model.components, values[c])
            for c in range(channels)
        ]
    return found


def payload(model: Any, image: NDArray[np.uint8], lanes: int, o: int) -> bytes:
    """The bytes of an image with shear o: by time step, lane, channel, row, last pushed first.

    Of a step's n pixels, from the top down, lane l codes those from n l // lanes to n (l + 1) // lanes - 1.
    """
    found = intervals(model, image)
    heads = [2**32] * lanes
    words: list[list[int]] = [[] for _ in range(lanes)]
    steps: dict[int, list[tuple[int, int]]] = {}
    for i, j in sorted(found):
        steps.setdefault(j + i * o, []).append((i, j))
    order = [
        (t, lane, c, i, j)
        for t, pixels in steps.items()
        for lane in range(lanes)
        for i, j in pixels[len(pixels) * lane // lanes : len(pixels) * (lane + 1) // lanes]
        for c in range(image.shape[2])
    ]
    for _, lane, c, i, j in sorted(order, reverse=True):
        start, freq = found[i, j][c]
        if heads[lane] >= freq << 40:
            words[lane].append(heads[lane] % 2**32)
            heads[lane] >>= 32
        heads[lane] = (heads[lane] // freq << 24) + heads[lane] % freq + start
    lengths = b"".join(len(stack).to_bytes(4, "little") for stack in words[:-1])
    stacks = [
        head.to_bytes(8, "little") + b"".join(word.to_bytes(4, "little") for word in stack)
        for head, stack in zip(heads, words, strict=True)
    ]
    return lengths + b"".join(stacks)
