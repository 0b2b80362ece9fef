"""The second decoder's part for least squares, written from docs/FORMAT.md alone. Slow, and it trusts its input.

Reals are Python's floats, which are IEEE 754's float64, one operation at a time.
"""

import zlib
from collections.abc import Sequence
from decimal import Decimal, localcontext
from functools import cache
from pathlib import Path

import numpy as np

from .second import Array, Reader, bisect, clamp, fingerprint, rounded, safetensors, weights_of

Field = dict[tuple[int, int], float]
Sums = dict[tuple[int, int], float]

NEAR = [(0, -1), (-1, 0)]
MIDDLE = [(-1, -1), (-1, 1), (0, -2), (-2, 0)]
FAR = [(-1, -2), (-1, 2), (-2, -1), (-2, 1), (-2, -2), (-2, 2), (0, -3), (-3, 0)]
OWN = [
    (0, -1), (-1, 0), (-1, -1), (-1, 1), (0, -2), (-2, 0), (-1, -2), (-1, 2), (-2, -1), (-2, 1),
    (0, -3), (-3, 0), (-2, -2), (-2, 2), (-1, 3), (-1, -3), (-2, 3), (-2, -3), (-3, -1), (-3, 1),
]  # fmt: skip
OTHER = [(0, 0), (0, -1), (-1, 0), (-1, 1)]
PREDICTORS = [(8, 2, 0.65625), (14, 3, 0.890625), (20, 4, 1 - 2**-12)]


def squares_model(wanted: bytes, chunks: list[tuple[bytes, bytes]], models: Path) -> dict[str, Array]:
    for data in weights_of(wanted, chunks, models):
        metadata, arrays = safetensors(data)
        if metadata["format"] == "shearloc-squares-1" and fingerprint("shearloc-squares-1", arrays) == wanted:
            return arrays
    raise LookupError(wanted)


def squares(model: dict[str, Array], payload: bytes, tiles: int, height: int, width: int) -> Array:
    """int64 [H, W, C]."""
    file = Reader(payload)
    channels, least, levels, table = file.u8(), file.varint(), file.varint(), file.string()
    values = list(range(least, least + levels))
    if table:
        used = zlib.decompress(table)
        values = [v for v in range(65536) if used[v // 8] >> 7 - v % 8 & 1]
        assert len(used) == 8192 and len(values) == levels
    starts = [(file.varint(), file.varint()) for _ in range(channels)]
    lengths = [file.varint() for _ in range(tiles - 1)]
    lengths.append((len(payload) - file.at) // 4 - sum(lengths))
    samples = np.zeros((height, width, channels), np.int64)
    m, n = max(1, height // 1024), max(1, width // 1024)
    assert m * n == tiles
    for number, length in enumerate(lengths):
        i, j = divmod(number, n)
        rows, columns = range(height * i // m, height * (i + 1) // m), range(width * j // n, width * (j + 1) // n)
        tile = SquaresTile(model, levels, starts, len(columns), [file.u32() for _ in range(length)])
        for y in range(len(rows)):
            for x in range(len(columns)):
                for c in range(channels):
                    samples[rows[y], columns[x], c] = values[tile.sample(y, x, c)]
            tile.end_row(y)
        assert tile.place == length + 1 and tile.offset < 2**32
    return samples


def add(sums: Sums, decay: float, weight: float, z: Sequence[float]) -> None:
    n = len(z) - 1
    for i in range(n):
        for j in range(i, n + 1):
            sums[i, j] = decay * sums.get((i, j), 0.0) + weight * z[i] * z[j]


def solve(sums: Sums, n: int) -> list[float]:
    A = {(i, j): sums.get((i, j), 0.0) + (1.0 if i == j else 0.0) for i in range(n) for j in range(i, n + 1)}
    A[0, n] += 0.5
    A[1, n] += 0.5
    r, w = [0.0] * n, [0.0] * n
    for j in range(n):
        r[j] = 1.0 / (A[j, j] if A[j, j] > 0.5 else 0.5)
        for i in range(j + 1, n):
            f = A[j, i] * r[j]
            for q in range(i, n + 1):
                A[i, q] -= f * A[j, q]
    for i in reversed(range(n)):
        w[i] = A[i, n] * r[i]
        for q in range(i):
            A[q, n] -= A[q, i] * w[i]
    return w


@cache
def squares_tables() -> tuple[list[int], list[int], list[int]]:
    """T, U and G."""
    with localcontext() as precise:
        precise.prec = 50
        two = Decimal(2).ln()
        pi = Decimal("3.14159265358979323846264338327950288419716939937510582")
        T = [rounded(256 * (1 + Decimal(k) / 256).ln() / two) for k in range(256)]
        U = [rounded(2**24 * (two * k / 256).exp()) for k in range(256)]
        G = []
        for k in range(2049):
            z = Decimal(k - 1024) / 64
            x = z * (2 / pi).sqrt()
            term = total = x
            n = 1
            while abs(term) > Decimal("1e-45"):
                n += 2
                term *= x * x / n
                total += term
            normal = Decimal("0.5") + total * (-x * x / 2).exp() / (2 * pi).sqrt()
            G.append(rounded(2**32 * (1 / (1 + (-2 * two * z).exp()) + normal) / 2))
    return T, U, G


def logarithm(x: float) -> float:
    m, b = int(1024 * x) + 256, 0
    while m >> b >= 512:
        b += 1
    return (b * 256 + squares_tables()[0][(m >> b) - 256]) / 256 - 2


class SquaresTile:
    """A tile's samples, one after another, and what is learned of them."""

    def __init__(
        self, model: dict[str, Array], levels: int, starts: list[tuple[int, int]], width: int, words: list[int]
    ) -> None:
        C = len(starts)
        self.levels, self.starts, self.width, self.words, self.place = levels, starts, width, words, 2
        self.offset = (words + [0, 0])[0] * 2**32 + (words + [0, 0])[1]
        self.range = 2**64 - 1
        self.v: list[Field] = [{} for _ in range(C)]
        self.e: list[Field] = [{} for _ in range(C)]
        self.squares: list[list[Field]] = [[{} for _ in range(3)] for _ in range(C)]
        self.above: list[list[list[Sums]]] = [[[{} for _ in range(width)] for _ in range(2)] for _ in range(C)]
        self.left: list[list[list[Sums]]] = [[[] for _ in range(2)] for _ in range(C)]
        self.all: list[Sums] = [{} for _ in range(C)]
        self.added = [0] * C
        self.w2 = [[0.5, 0.5] + [0.0] * (18 + 4 * c) for c in range(C)]
        self.weights = [[int(w) / 65536 for w in model["weights"]] for _ in range(C)]
        self.centres = [[0.0] * 3 for _ in range(C)]
        self.ratios = [[[20.0, 20.0] for _ in range(160)] for _ in range(C)]
        self.shapes = [[[int(s) for s in row] for row in model["shapes"]] for _ in range(C)]
        self.of_class = [[0] * 20 for _ in range(C)]
        self.coded = [0] * C
        self.flags = [[2**15] * 4 for _ in range(C)]

    def get(self, field: Field, around: float, y: int, x: int) -> float:
        if y < 0:
            return around
        if x < 0:
            return self.get(field, around, y - 1, 0)
        return field[y, min(x, self.width - 1)]

    def means(self, field: Field, around: float, y: int, x: int) -> list[float]:
        found = []
        for places, factor in ((NEAR, 0.5), (MIDDLE, 0.25), (FAR, 0.125)):
            total = 0.0
            for dy, dx in places:
                total += self.get(field, around, y + dy, x + dx)
            found.append(factor * total)
        return found

    def interval(self, start: int, end: int) -> None:
        part = self.range >> 26
        self.offset -= part * start
        self.range = part * (end - start)
        if self.range < 2**32:
            self.range *= 2**32
            self.offset = self.offset * 2**32 + (self.words + [0])[self.place]
            self.place += 1

    def target(self) -> int:
        return min(self.offset // (self.range >> 26), 2**26 - 1)

    def base(self, c: int, y: int, x: int) -> float:
        W, N, NW, NE = (self.get(self.v[c], float(self.starts[c][0]), y + dy, x + dx) for dy, dx in OWN[:4])
        return 0.25 * (W + N + NW + NE)

    def inputs(self, c: int, y: int, x: int, own: int, other: int) -> list[float]:
        base = self.base(c, y, x)
        found = [self.get(self.v[c], float(self.starts[c][0]), y + dy, x + dx) - base for dy, dx in OWN[:own]]
        for d in range(c):
            its = self.base(d, y, x)
            found += [self.get(self.v[d], float(self.starts[d][0]), y + dy, x + dx) - its for dy, dx in OTHER[:other]]
        return found

    def sample(self, y: int, x: int, c: int) -> int:
        base, around = self.base(c, y, x), float(self.starts[c][1])
        if x == 0:
            self.left[c] = [[], []]
        said, weights, inputs = [], [], []
        for k, (own, other, _) in enumerate(PREDICTORS):
            u = self.inputs(c, y, x, own, other)
            n = len(u)
            if k < 2:
                left = self.left[c][k][-1] if x else {}
                above = self.above[c][k][x]
                pairs = [(i, j) for i in range(n) for j in range(i, n + 1)]
                w = solve({pair: left.get(pair, 0.0) + above.get(pair, 0.0) for pair in pairs}, n)
            else:
                if self.added[c] == 32:
                    self.added[c] = 0
                    self.w2[c] = solve(self.all[c], n)
                w = self.w2[c]
            total = 0.0
            for one, value in zip(w, u, strict=True):
                total += one * value
            word = base + total
            word = word if word > 0 else 0.0
            said.append(min(word, float(self.levels - 1)))
            near, middle, far = self.means(self.squares[c][k], around * around, y, x)
            q = 4 * near + 4 * middle + 4 * far + 1
            weights.append(1 / (q * q))
            inputs.append(u)
        P = (weights[0] * said[0] + weights[1] * said[1] + weights[2] * said[2]) / (
            weights[0] + weights[1] + weights[2]
        )
        apart = (abs(said[0] - P) + abs(said[1] - P) + abs(said[2] - P)) / 3
        value = self.value(y, x, c, P, apart)
        near, middle, _ = self.means(self.e[c], around, y, x)
        s = (2 * near + 4 * middle) / 6
        for k, (_, _, decay) in enumerate(PREDICTORS):
            z = [*inputs[k], value - base]
            if k < 2:
                sums = dict(self.left[c][k][-1]) if x else {}
                add(sums, decay, 1 / (s * s + 1), z)
                self.left[c][k].append(sums)
            else:
                add(self.all[c], decay, 1 / (s * s + 1), z)
            self.squares[c][k][y, x] = (value - said[k]) * (value - said[k])
        self.added[c] += 1
        self.v[c][y, x], self.e[c][y, x] = float(value), abs(value - P)
        return value

    def end_row(self, y: int) -> None:
        for c in range(len(self.v)):
            for k in range(2):
                decay, row, right = PREDICTORS[k][2], self.left[c][k], dict[tuple[int, int], float]()
                for x in reversed(range(self.width)):
                    above = self.above[c][k][x]
                    for pair in row[x]:
                        before = decay * row[x - 1][pair] if x else 0.0
                        known = right.get(pair, 0.0)
                        above[pair] = decay * (above.get(pair, 0.0) + row[x][pair] + known)
                        right[pair] = decay * (known + (row[x][pair] - before))

    def value(self, y: int, x: int, c: int, P: float, apart: float) -> int:
        at = [self.get(self.v[c], float(self.starts[c][0]), y + dy, x + dx) for dy, dx in OWN[:6]]
        W, N, NW, NE, WW, NN = at
        if W == N == NW == NE:
            kind = 2 * (WW == W) + (NN == W)
            chance = self.flags[c][kind]
            same = self.target() < chance << 10
            self.interval(*((0, chance << 10) if same else (chance << 10, 2**26)))
            self.flags[c][kind] += ((65504 if same else 32) - chance) >> 5
            if same:
                return int(W)
        near, middle, far = self.means(self.e[c], float(self.starts[c][1]), y, x)
        f = [
            1.0,
            logarithm(0.6 * near + 0.25 * middle + 0.15 * far),
            logarithm(0.6 * middle + 0.4 * far),
            logarithm(0.2 * middle + 0.8 * far),
            logarithm(apart),
            logarithm((abs(W - NW) + abs(N - NE) + abs(N - NW)) / 3),
            0.5 * logarithm(P),
        ]
        total = 0.0
        for k in range(7):
            if k > 3:
                f[k] -= self.centres[c][k - 4]
                self.centres[c][k - 4] += 2**-9 * f[k]
            total += self.weights[c][k] * f[k]
        h = int((clamp(total, -4.0, 16 - 1 / 256) + 4) * 256)
        raw, bucket = 2.0 ** ((h >> 8) - 4) * (squares_tables()[1][h & 255] / 2**24), h >> 5
        ratio = self.ratios[c][bucket]
        inverse = 1 / max(raw * (ratio[0] / ratio[1]), 2**-6)
        value = self.by_shape(c, bucket >> 3, P, inverse)
        d = abs(value - P)
        ratio[0] += d / raw
        ratio[1] += 1
        if ratio[1] > 1000:
            ratio[:] = [ratio[0] / 2, ratio[1] / 2]
        self.coded[c] += 1
        step = 3 * 2**-14 * (1 + 8000 / (self.coded[c] + 1000)) * (min(d / raw, 4.0) - 1)
        for k in range(7):
            self.weights[c][k] += step * f[k]
        return value

    def by_shape(self, c: int, kind: int, P: float, inverse: float) -> int:
        G, shape = squares_tables()[2], self.shapes[c][kind]

        def edge(x: float) -> int:
            g = int(clamp((x - P) * inverse, -16.0, 16.0) * 2**24) + 2**28
            k = g >> 18
            return G[k] + ((G[k + 1] - G[k]) * (g % 2**18) >> 18) if k < 2048 else G[2048]

        def F(v: int) -> int:
            if v in (0, self.levels):
                return 2**26 if v else 0
            y = edge(v - 0.5)
            k = min(y >> 27, 31)
            inside = shape[k] + ((shape[k + 1] - shape[k]) * (y - k * 2**27) >> 27)
            return (inside * (2**26 - self.levels) >> 26) + v

        value = bisect(F, self.levels, self.target())
        self.interval(F(value), F(value + 1))
        low = edge(value - 0.5) - 2**27
        m = 2**42 // (edge(value + 0.5) + 2**27 - low >> 10)
        self.of_class[c][kind] += 1
        r = 6 + sum(self.of_class[c][kind] > most for most in (128, 512, 2048, 8192))
        for k in range(1, 32):
            shape[k] += clamp((k * 2**27 - low) * m >> 26, 0, 2**26) - shape[k] >> r
        return value
