"""The second decoder's part for models that learn, written from docs/FORMAT.md alone. Slow, and it trusts its input.

Integers are Python's, or NumPy's int64 where the text has matrices; float32 and float64 are NumPy's, one operation at a
time.
"""

from pathlib import Path
from typing import Any

import numpy as np

from .second import (
    Array,
    Model,
    Reader,
    Stack,
    clamp,
    compand,
    fingerprint,
    mixture,
    prediction,
    safetensors,
    search,
    sigma,
    steps_of,
    weights_of,
)
from .second import at as value_at

F32, F64 = np.float32, np.float64


def learning_model(name: str, wanted: bytes, chunks: list[tuple[bytes, bytes]], models: Path) -> Model:
    for data in weights_of(wanted, chunks, models):
        metadata, arrays = safetensors(data)
        if metadata["format"] != "shearloc-learning-1":
            continue
        count = sum(key.endswith(".rates") for key in arrays)
        keys = [f"expert{number}.{part}" for number in range(count) for part in ("components", "bits")]
        edges = ["edges"] if "edges" in metadata else []
        text = "".join(f" {key} {metadata[key]}" for key in ("channels", "every", "predictor", *edges, *keys))
        if fingerprint("shearloc-learning-1" + text, arrays) == wanted:
            break
    else:
        raise LookupError(name)
    experts = []
    for number in range(count):
        prefix = f"expert{number}."
        own: Model = {key[len(prefix) :]: array for key, array in arrays.items() if key.startswith(prefix)}
        own["K"], own["C"] = int(metadata[f"{prefix}components"]), int(metadata["channels"])
        own["bits"] = [int(bits) for bits in metadata[f"{prefix}bits"].split()]
        experts.append(own)
    return {
        "C": int(metadata["channels"]), "every": int(metadata["every"]), "offsets": arrays["offsets"],
        "relative": metadata["predictor"] == "med", "experts": experts, "edges": int(metadata.get("edges", "0")),
    }  # fmt: skip


class Edges:
    """The edges of grey levels."""

    def __init__(self, model: Model) -> None:
        self.B, self.C = model["edges"], model["C"]
        self.u = [[F64(x) - F64(0.5) for x in range(257)] for _ in range(self.C)]
        self.n = [[F64(0)] * 257 for _ in range(self.C)]
        self.begin()

    def begin(self) -> None:
        self.e = [[int(np.rint(u * 64)) for u in row] for row in self.u]
        self.G, self.Q = ([[0] * 257 for _ in range(self.C)] for _ in range(2))

    def middle(self, c: int, x: int) -> int:
        return self.e[c][x] + self.e[c][x + 1] >> 1

    def observe(self, c: int, x: int, a: Any, b: Any) -> None:
        for edge, slope, sign in ((x, a, 1), (x + 1, b, -1)):
            if 1 <= edge <= 255:
                slope = min(slope, F64(8))
                self.G[c][edge] += sign * int(slope * 4096)
                self.Q[c][edge] += int(slope * slope * 4096)

    def update(self) -> None:
        if self.B == 0:
            return
        for c in range(self.C):
            u, n = self.u[c], self.n[c]
            for x in range(1, 256):
                if self.Q[c][x] > 0:
                    n[x] = n[x] + F64(self.Q[c][x]) / 4096
                    moved = u[x] - (F64(2) * (F64(self.G[c][x]) / 4096)) / (F64(self.B) + n[x])
                    u[x] = min(max(moved, F64(x) - 0.5 - 2), F64(x) - 0.5 + 2)
            for x in range(1, 257):
                u[x] = max(u[x], u[x - 1] + F64(0.03125))
        self.begin()


class Network:
    """An expert's state, and what the text does with it."""

    def __init__(self, expert: Model) -> None:
        self.expert, self.K, self.C, self.bits = expert, expert["K"], expert["C"], expert["bits"]
        self.last = len(self.bits) - 1
        self.U = expert["learn"].shape[2] if self.C > 1 else 0
        self.sizes = [(3 + c) * self.K for c in range(self.C)]
        self.wide = {k: expert[f"layer{k}.weight"].astype(np.int64) for k in range(self.last + 1)}
        self.starts = {k: expert[f"layer{k}.start"].astype(np.int64) for k in range(self.last + 1)}
        self.W = {k: np.vstack([self.wide[k], 0 * self.wide[k][:1]]).astype(F32) for k in range(1, self.last + 1)}
        self.m, self.v = ({k: 0 * w for k, w in self.W.items()} for _ in range(2))
        self.peak = {k: expert[f"layer{k}.peaks"] for k in self.W}
        self.p = self.q = F64(1)
        self.begin()

    def begin(self) -> None:
        self.S = {k: np.zeros(w.shape, np.int64) for k, w in self.W.items()}
        self.seen = {k: 0 * peak for k, peak in self.peak.items()}
        self.scale = {k: F32(256) / F32(2) ** np.floor(np.log2(peak)) for k, peak in self.peak.items()}
        self.unit = {k: F32(4) * max(F32(1) / scale) for k, scale in self.scale.items()}
        self.forward = {k: np.rint(w).astype(np.int64) for k, w in self.W.items()}
        self.back = {k: self.backward(k, w[:-1], self.scale[k]) for k, w in self.W.items()}
        self.heads: list[Array] = []
        for c in range(1, self.C):
            first = sum(self.sizes[:c])
            scale = self.scale[self.last][first : first + self.sizes[c]]
            adjust = self.expert["adjust"][c - 1, :, : self.sizes[c]].astype(F32)
            self.heads.append(self.backward(self.last, adjust, scale))

    def backward(self, k: int, weights: Array, scale: Array) -> Array:
        return np.clip(np.rint(weights * ((F32(1) / scale) / self.unit[k])), -8191, 8191).astype(np.int64)

    def forwards(self, x: Array) -> None:
        self.levels = {}
        for k in range(self.last + 1):
            sums = (x @ self.wide[0] if k == 0 else x @ self.forward[k]) + self.starts[k]
            x = np.append(levels(sums, self.bits[k] - 2 if k == 0 else self.bits[k]), 64)
            self.levels[k + 1] = x
        self.sums, self.head_levels = sums, list[Array]()
        self.parameters: list[Array] = []
        self.gradients: list[Array] = []

    def distribution(
        self, c: int, middle: int, d: list[int], shown: list[int]
    ) -> tuple[list[int], list[int], list[int]]:
        K, b = self.K, self.bits[self.last]
        first = sum(self.sizes[:c])
        sums = self.sums[first : first + self.sizes[c]]
        if c:
            place = sum(self.sizes) + (c - 1) * self.U
            seen = sum(self.expert["learn"][c - 1, e].astype(np.int64) * shown[e] for e in range(c))
            self.head_levels.append(levels(self.sums[place : place + self.U] + seen, b))
            sums = sums + self.head_levels[-1] @ self.expert["adjust"][c - 1, :, : self.sizes[c]].astype(np.int64)
        shifts = np.repeat([b + 1, b - 4, b + 1] + [b - 2] * c, K)
        p = [int(v) for v in np.clip(sums + 2 ** (shifts - 1) >> shifts, -32768, 32768)]
        moved = [
            sum(clamp(p[(3 + e) * K + k], -2048, 2048) * d[e] + 2 >> 2 for e in range(c)) + middle for k in range(K)
        ]
        self.scales_before = p[2 * K : 3 * K]
        return mixture(p[:K], [p[K + k] + moved[k] for k in range(K)], self.scales_before)

    def learn_from(
        self, x: int, found: tuple[list[int], list[int], list[int]], d: list[int], places: list[int]
    ) -> tuple[Any, Any]:
        """The parameters' gradients of the next channel; what is said of the level's two edges."""
        rows: list[list[Any]] = []
        slopes: list[tuple[int, int]] = []
        for mean, inverse in zip(*found[1:], strict=True):
            edges = []
            for edge in (x, x + 1):
                argument = clamp((places[edge] - mean) * inverse >> 12, -262144, 262144)
                edges.append((argument, sigma(argument + 262144)))
            (a_l, low), (a_h, high) = edges
            a_l, low = (0, 0) if x == 0 else (a_l, low)
            a_h, high = (0, 2**22) if x == 255 else (a_h, high)
            l_, h_ = low * (2**22 - low), high * (2**22 - high)
            rows.append([high - low, h_ - l_, a_h * h_ - a_l * l_])
            slopes.append((l_, h_))
        T = sum(w * row[0] for w, row in zip(found[0], rows, strict=True))
        share = F64(1) / (F64(T) + F64(6 * 2**22))
        known = F64(1) - F64(6 * 2**22) * share
        out: list[list[Any]] = [[], [], []]
        for w, inverse, p, (A, B, D) in zip(found[0], found[2], self.scales_before, rows, strict=True):
            part = F64(w) * share
            out[0].append(F32((F64(w) * (F64(1) / F64(16775680))) * known - part * F64(A)))
            out[1].append(F32((part * F64(B)) * (F64(inverse) * F64(2.0**-38))))
            out[2].append(F32((part * F64(D)) * F64(2.0**-36)) if -112 <= p <= 192 else F32(0))
        for difference in d:
            out.append([mean * F32(2.0**-4) * F32(difference) for mean in out[1]])
        self.gradients.append(np.array(out, F32).ravel())
        a = b = F64(0)
        for w, inverse, (l_, h_) in zip(found[0], found[2], slopes, strict=True):
            a, b = a + (F64(w) * F64(l_)) * F64(inverse), b + (F64(w) * F64(h_)) * F64(inverse)
        return a * (share * F64(2.0**-42)), b * (share * F64(2.0**-42))

    def rounded(self, k: int, y: Array, first: int) -> Array:
        here = slice(first, first + len(y))
        self.seen[k][here] = np.maximum(self.seen[k][here], abs(y))
        return np.clip(np.rint(y * self.scale[k][here]), -1023, 1023).astype(np.int64)

    def backwards(self) -> None:
        last, total = self.last, sum(self.sizes)
        r = self.rounded(last, np.concatenate(self.gradients), 0)
        for c in range(1, self.C):
            first = sum(self.sizes[:c])
            y = self.through(last, self.heads[c - 1] @ r[first : first + self.sizes[c]], self.head_levels[c - 1])
            r = np.append(r, self.rounded(last, y, total + (c - 1) * self.U))
        for k in range(last, 0, -1):
            self.S[k] += np.outer(self.levels[k], r)
            if k > 1:
                y = self.through(k, self.back[k] @ r, self.levels[k][:-1])
                r = self.rounded(k - 1, y, 0)

    def through(self, k: int, products: Array, x: Array) -> Array:
        alive = (x >= 1) & (x <= 254)
        return np.where(alive, products, 0).astype(F32) * (self.unit[k] / F32(2 ** self.bits[k]))

    def update(self) -> None:
        f, g = self.expert["forget"]
        self.p, self.q = self.p * (F64(1) - F64(f)), self.q * (F64(1) - F64(g))
        c = np.sqrt(F64(1) - self.q) / (F64(1) - self.p)
        for k in self.W:
            inputs = len(self.W[k]) - 1 + (self.U if k == self.last else 0)
            limit = F32(min(32767, (2**31 - 1 - 2**24) // (255 * inputs + 64)))
            rate = F32(F64(self.expert["rates"][k - 1] * F32(2 ** self.bits[k])) * c)
            y = self.S[k].astype(F32) * (F32(1) / self.scale[k])
            self.m[k] = self.m[k] + f * (y - self.m[k])
            self.m[k] = np.where(abs(self.m[k]) <= F32(2.0**-40), F32(0), self.m[k])
            self.v[k] = self.v[k] + g * (y * y - self.v[k])
            step = rate * (self.m[k] / (np.sqrt(self.v[k]) + self.expert["epsilon"][0]))
            self.W[k] = np.clip(self.W[k] - step, -limit, limit)
            peak = np.maximum(np.maximum(self.peak[k] * F32(0.75), self.seen[k]), F32(2.0**-20))
            self.peak[k] = np.minimum(peak, F32(2.0**20))
        self.begin()


def levels(sums: Array, s: int) -> Array:
    return np.clip(sums + 2 ** (s - 1) >> s, 0, 255)


def learning(model: Model, payload: bytes, lanes: int, size: tuple[int, int, int]) -> Array:
    """int64 [N, H, W, C]."""
    file, stacks = Reader(payload), []
    counts = [file.u32() for _ in range(lanes - 1)]
    for lane in range(lanes):
        x = int.from_bytes(file.take(8), "little")
        count = counts[lane] if lane < lanes - 1 else (len(payload) - file.at) // 4
        stacks.append(Stack(x, [file.u32() for _ in range(count)]))
    pixels, C = np.full((*size, model["C"]), -1, np.int64), model["C"]
    networks = [Network(expert) for expert in model["experts"]]
    edges = Edges(model)
    used, count, steps = 0, 0, list(steps_of(model, size, True))
    for t, step in enumerate(steps):
        n, updates = len(step), []
        for lane, stack in enumerate(stacks):
            for number in range(n * lane // lanes, n * (lane + 1) // lanes):
                updates.append((number, stack, step[number]))
        before = pixels.copy()
        # A lane's pixels channel by channel; each pixel is coded as if it were alone, so pixels wait for their turn.
        for lane in range(lanes):
            mine = [one for one in updates if n * lane // lanes <= one[0] < n * (lane + 1) // lanes]
            opened = [[inputs(model, before[image], i, j) for _, _, (image, i, j) in mine] for _ in networks]
            states = [[forwarded(network, x) for x, _ in rows] for network, rows in zip(networks, opened, strict=True)]
            for c in range(C):
                for k, (_, stack, (image, i, j)) in enumerate(mine):
                    base = opened[0][k][1]
                    d = [int(pixels[image, i, j, e]) - base[e] for e in range(c)]
                    shown, parts, all_of = [compand(model, one) for one in d], [], ([], [], [])
                    for network, rows in zip(networks, states, strict=True):
                        network.__dict__.update(rows[k])
                        parts.append(network.distribution(c, edges.middle(c, base[c]), d, shown))
                        rows[k] = saved(network)
                        shares = [w // len(networks) for w in parts[-1][0]]
                        for target, new in zip(all_of, (shares, *parts[-1][1:]), strict=True):
                            target.extend(new)
                    value = pixels[image, i, j, c] = stack.pop(24, search(*all_of, edges.e[c]))
                    for network, rows, part in zip(networks, states, parts, strict=True):
                        network.__dict__.update(rows[k])
                        edges.observe(c, int(value), *network.learn_from(int(value), part, d, edges.e[c]))
                        rows[k] = saved(network)
            for network, rows in zip(networks, states, strict=True):
                for (number, _, _), row in zip(mine, rows, strict=True):
                    if used + number < 8192:
                        network.__dict__.update(row)
                        network.backwards()
        used += n
        if (t + 1) % model["every"] == 0 or t == len(steps) - 1:
            used = 0
            for network in networks:
                network.update()
            count += 1
            if count % 4 == 0:
                edges.update()
    assert all(stack.x == 2**32 and not stack.words for stack in stacks)
    return pixels


OF_A_PIXEL = ("levels", "sums", "head_levels", "parameters", "gradients", "scales_before")


def saved(network: Network) -> dict[str, Any]:
    return {key: value for key, value in network.__dict__.items() if key in OF_A_PIXEL}


def forwarded(network: Network, x: Array) -> dict[str, Any]:
    network.forwards(x)
    return saved(network)


def inputs(model: Model, image: Array, i: int, j: int) -> tuple[Array, list[int]]:
    """A pixel's inputs, and its predictions."""
    base = [prediction(model, image, i, j, c) for c in range(model["C"])]
    found = []
    for dy, dx in model["offsets"].tolist():
        for c in range(model["C"]):
            value = value_at(image, i + dy, j + dx, c)
            if (dy, dx) == (0, 0):
                found.append(base[c] - 128)
            else:
                found.append(compand(model, value - base[c]) if value >= 0 else 0)
    return np.array(found, np.int64), base
