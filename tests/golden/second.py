"""A second decoder, written from docs/FORMAT.md alone: it shows that the text is enough. Slow, and it trusts its input.

Nothing of the package is used here. Python's integers do what the text says, NumPy's int64 the products of matrices;
Pillow reads WebP, zlib inflates. Function names are the text's words.
"""

import hashlib
import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal, localcontext
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

Array = np.ndarray[Any, Any]
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


# --- The container ----------------------------------------------------------------------------------------------


def crc(data: bytes) -> int:
    register = 0xFFFFFFFF
    for octet in data:
        register ^= octet
        for _ in range(8):
            register = register >> 1 ^ (0x82F63B78 if register & 1 else 0)
    return register ^ 0xFFFFFFFF


class Reader:
    """Fields from the start of some bytes on."""

    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data, self.at = data, at

    def take(self, count: int) -> bytes:
        self.at += count
        return self.data[self.at - count : self.at]

    def u8(self) -> int:
        return self.take(1)[0]

    def u32(self) -> int:
        return int.from_bytes(self.take(4), "little")

    def varint(self) -> int:
        octet = self.u8()
        return octet if octet < 128 else octet - 128 + 128 * self.varint()

    def string(self) -> bytes:
        return self.take(self.varint())


def chunks_of(packed: bytes) -> list[tuple[bytes, bytes]]:
    if not packed:
        return []
    body = Reader(packed, 1)
    if packed[0] == 1:
        body.varint()
        body = Reader(zlib.decompress(body.data[body.at :]))
    found = []
    while body.at < len(body.data):
        found.append((body.take(4), body.string()))
    return found


def picture(data: bytes, models: Path) -> Array:
    """The samples [H, W, C] of a picture's file."""
    file = Reader(data)
    assert file.take(9) == b"\x89SHL\r\n\x1a\n\x01"
    end = file.varint() + file.at
    kind, colour, depth = file.take(3)
    height, width = file.varint(), file.varint()
    parts = [part_fields(file) for _ in range(file.u8())]
    chunks = chunks_of(file.string())
    pixel_checksum = file.u32()
    assert kind == 0 and file.at == end and file.u32() == crc(data[:end])
    planes: list[Array] = []
    count = CHANNELS[colour] * (2 if depth == 16 else 1)
    for part in parts:
        payload = file.take(part["length"])
        assert file.u32() == crc(payload)
        whole = part["planes"] == count and part["method"] in (0, 4, 7)
        own_colour, own_depth = (colour, depth) if whole else ({1: 0, 2: 4, 3: 2, 4: 6}[part["planes"]], 8)
        if part["method"] in (0, 4):
            found = rows_of(payload, part["method"], height, width, CHANNELS[own_colour], own_depth)
        elif part["method"] == 1:
            found = webp(payload, part["planes"])
        elif part["method"] == 5:
            first = len(planes) - CHANNELS[colour]
            found = np.stack(planes[first : first + part["planes"]], 2)
        elif part["method"] == 7:
            from .second_squares import squares, squares_model

            found = squares(squares_model(part["fingerprint"], chunks, models), payload, part["lanes"], height, width)
        else:
            wanted = part["name"], part["fingerprint"], chunks, models
            found = by_model(part["method"], payload, part, wanted, (1, height, width))[0]
        if whole:
            planes = [found[:, :, c] for c in range(CHANNELS[colour])]
            depth = 8 if depth < 16 else depth
            break
        planes += [found[:, :, k] for k in range(part["planes"])]
    samples = np.stack(planes, 2)
    if len(planes) == 2 * CHANNELS[colour]:
        samples = samples[:, :, : CHANNELS[colour]] * 256 + samples[:, :, CHANNELS[colour] :]
    assert file.at == len(data)
    assert pixel_checksum == crc(samples.astype("<u2" if depth == 16 else "u1").tobytes())
    return samples


def part_fields(file: Reader) -> dict[str, Any]:
    part: dict[str, Any] = {"planes": file.u8(), "method": file.u8(), "length": file.varint()}
    if part["method"] in (2, 6, 7):
        part |= {"order": file.u8(), "name": file.string().decode(), "fingerprint": file.take(8)}
        part |= {"precision": file.u8(), "lanes": file.varint(), "side": file.string()}
        assert part["precision"] == (26 if part["method"] == 7 else 24)
    return part


def by_model(method: int, payload: bytes, part: dict[str, Any], wanted: Any, size: tuple[int, int, int]) -> Array:
    """int64 [N, H, W, C] of a local model, or one that learns."""
    if method == 6:
        from .second_learning import learning, learning_model

        assert part["order"] == 1
        way = part["side"][0] if part["side"] else 0
        laid = (size[0], size[2], size[1]) if way & 4 else size
        found = learning(learning_model(*wanted), payload, part["lanes"], laid)
        found = found.swapaxes(1, 2) if way & 4 else found
        found = found[:, ::-1] if way & 2 else found
        return found[:, :, ::-1] if way & 1 else found
    model = local_model(*wanted)
    adjust(model, part["side"])
    return local(model, payload, part["lanes"], size, part["order"] == 1)


def rows_of(payload: bytes, method: int, height: int, width: int, channels: int, depth: int) -> Array:
    """Rows as PNG packs them, and with method 4 filters them; int64 [H, W, C]."""
    stride = (width * channels * depth + 7) // 8
    if method == 4:
        payload = unfiltered(zlib.decompress(payload), height, stride, max(1, channels * depth // 8))
    rows = np.frombuffer(payload, np.uint8).reshape(height, stride).astype(np.int64)
    if depth == 16:
        rows = rows[:, ::2] * 256 + rows[:, 1::2]
    elif depth < 8:
        shifts = np.arange(8 - depth, -1, -depth)
        rows = (rows[:, :, None] >> shifts & 2**depth - 1).reshape(height, -1)[:, :width]
    return rows.reshape(height, width, channels)


def unfiltered(data: bytes, height: int, stride: int, step: int) -> bytes:
    """PNG's filter method 0 undone (PNG specification, section 9)."""
    above, rows = bytearray(stride), bytearray()
    for i in range(height):
        kind, row = data[i * (stride + 1)], bytearray(data[i * (stride + 1) + 1 : (i + 1) * (stride + 1)])
        for k in range(stride):
            a, c = (row[k - step], above[k - step]) if k >= step else (0, 0)
            b = above[k]
            distances = (abs(b - c), abs(a - c), abs(a + b - 2 * c))
            paeth = (a, b, c)[distances.index(min(distances))]
            row[k] = row[k] + (0, a, b, (a + b) // 2, paeth)[kind] & 255
        rows += row
        above = row
    return bytes(rows)


def webp(payload: bytes, planes: int) -> Array:
    with Image.open(BytesIO(payload)) as image:
        pixels = np.array(image.convert("RGBA")).astype(np.int64)
    return pixels[:, :, {1: [0], 2: [0, 3], 3: [0, 1, 2], 4: [0, 1, 2, 3]}[planes]]


# --- The local model's payload ----------------------------------------------------------------------------------

Model = dict[str, Any]
Find = Callable[[int], tuple[int, int, int]]
"""From a target to the value whose interval holds it, the interval's start and its frequency."""
Mixture = tuple[list[int], list[int], list[int]]
"""Logits, means and log-scales, or what comes of them: weights, means and inverse scales."""


def safetensors(data: bytes) -> tuple[dict[str, str], dict[str, Array]]:
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    types = {"I8": np.int8, "I16": np.int16, "I32": np.int32, "U8": np.uint8, "F32": np.float32}
    metadata = header.pop("__metadata__")
    arrays = {}
    for name, entry in header.items():
        first, last = entry["data_offsets"]
        content = data[8 + length + first : 8 + length + last]
        kind, shape = entry["dtype"], entry["shape"]
        if name in metadata:
            kind, *shape = metadata[name].split()
            planes = np.frombuffer(zlib.decompress(content), np.uint8).reshape(int(kind[1:]) // 8, -1)
            content = planes.T.tobytes()
        arrays[name] = np.frombuffer(content, types[kind]).reshape([int(size) for size in shape])
    return metadata, arrays


def fingerprint(text: str, arrays: dict[str, Array]) -> bytes:
    digest = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        kind = {np.int8: "|i1", np.int16: "<i2", np.int32: "<i4", np.float32: "<f4"}[arrays[name].dtype.type]
        digest.update(f" {name} {kind} {arrays[name].shape}".encode() + arrays[name].tobytes())
    return digest.digest()[:8]


def weights_of(wanted: bytes, chunks: list[tuple[bytes, bytes]], models: Path) -> Iterator[bytes]:
    yield from (content for kind, content in chunks if kind == b"MODL")
    yield from (path.read_bytes() for path in sorted(models.glob("*.safetensors")))


def local_model(name: str, wanted: bytes, chunks: list[tuple[bytes, bytes]], models: Path) -> Model:
    for data in weights_of(wanted, chunks, models):
        metadata, arrays = safetensors(data)
        if metadata["format"] != "shearloc-local-1":
            continue
        text = f"shearloc-local-1 {metadata['channels']} {metadata['components']}"
        text += "".join(
            f" {key} {metadata[key]}"
            for key in ("predictor", "skips", "convolutions", "coefficient_bits")
            if key in metadata
        )
        if fingerprint(text, arrays) == wanted:
            break
    else:
        raise LookupError(name)
    layers = sum(key.endswith("weight") for key in arrays)
    wide = {key: array.astype(np.int64) for key, array in arrays.items()}
    skips, convolutions = (metadata.get(key, "0 " * layers).split() for key in ("skips", "convolutions"))
    return wide | {
        "C": int(metadata["channels"]), "K": int(metadata["components"]), "layers": layers,
        "skips": [int(skip) for skip in skips], "convolutions": [one == "1" for one in convolutions],
        "relative": metadata.get("predictor") != "none",
        "b": int(metadata.get("coefficient_bits", "8")),
    }  # fmt: skip


def adjust(model: Model, side: bytes) -> None:
    adjustments = np.frombuffer(zlib.decompress(side), np.int8).astype(np.int64) if side else None
    at = 0
    for k in range(model["layers"] if adjustments is not None else 0):
        bias = model[f"layer{k}.bias"]
        part = adjustments[at : at + len(bias)]
        model[f"layer{k}.bias"] = bias + (part * 2 ** model[f"layer{k}.shift"]) // model[f"layer{k}.multiplier"]
        at += len(bias)


def rescale(a: Any, m: Any, s: Any) -> Any:
    return a * m + 2 ** (s - 1) >> s


def clamp(value: Any, low: Any, high: Any) -> Any:
    return min(max(value, low), high)


class Stack:
    """A rANS state and its words, the last one popped first."""

    def __init__(self, x: int, words: list[int]) -> None:
        self.x, self.words = x, words

    def pop(self, precision: int, find: "Find") -> int:
        """The symbol whose interval holds the target."""
        target = self.x % 2**precision
        symbol, start, frequency = find(target)
        self.x = frequency * (self.x >> precision) + target - start
        if self.x < 2**32:
            self.x = self.x * 2**32 + self.words.pop()
        return symbol


def local(model: Model, payload: bytes, lanes: int, size: tuple[int, int, int], sheared: bool) -> Array:
    """int64 [N, H, W, C]."""
    images, height, width = size
    file = Reader(payload)
    counts = [file.u32() for _ in range(lanes - 1)]
    stacks = []
    for lane in range(lanes):
        x = int.from_bytes(file.take(8), "little")
        count = counts[lane] if lane < lanes - 1 else (len(payload) - file.at) // 4
        stacks.append(Stack(x, [file.u32() for _ in range(count)]))
    pixels = np.full((*size, model["C"]), -1, np.int64)
    given: list[Given] = [{} for _ in range(images)]
    for step in steps_of(model, size, sheared):
        n = len(step)
        for lane, stack in enumerate(stacks):
            mine = step[n * lane // lanes : n * (lane + 1) // lanes]
            sums = [outputs(model, pixels[image], i, j, given[image]) for image, i, j in mine]
            for c in range(model["C"]):
                for (image, i, j), row in zip(mine, sums, strict=True):
                    found = parameters(model, row, pixels[image], i, j, c)
                    pixels[image, i, j, c] = stack.pop(24, search(*mixture(*found)))
    assert all(stack.x == 2**32 and not stack.words for stack in stacks)
    return pixels


def steps_of(model: Model, size: tuple[int, int, int], sheared: bool) -> Iterator[list[tuple[int, int, int]]]:
    images, height, width = size
    if not sheared:
        yield from ([(k, i, j)] for k in range(images) for i in range(height) for j in range(width))
        return
    o = 1
    while any(dx + dy * o >= 0 for dy, dx in model["offsets"].tolist() if (dy, dx) != (0, 0)):
        o += 1
    for t in range(width + (height - 1) * o):
        yield [(k, i, t - i * o) for k in range(images) for i in range(height) if 0 <= t - i * o < width]


def at(image: Array, i: int, j: int, c: int) -> int:
    """A value, or -1 outside the image."""
    return int(image[i, j, c]) if 0 <= i < image.shape[0] and 0 <= j < image.shape[1] else -1


def prediction(model: Model, image: Array, i: int, j: int, c: int) -> int:
    w, n, nw = at(image, i, j - 1, c), at(image, i - 1, j, c), at(image, i - 1, j - 1, c)
    if not model["relative"] or (w < 0 and n < 0):
        return 128
    if w < 0 or n < 0:
        return max(w, n)
    return max(min(w, n), min(max(w, n), w + n - nw))


def compand(model: Model, d: int) -> int:
    if not model["relative"] or abs(d) <= 64:
        return d
    return (1 if d > 0 else -1) * (64 + (abs(d) - 64) // 3)


def outputs(model: Model, image: Array, i: int, j: int, earlier: "Given") -> Array:
    """The last layer's sums with their biases."""
    return layers(model, image, i, j, earlier)[-1]


Given = dict[tuple[int, int], list[Array]]
"""What `layers` returned for each pixel."""


def layers(model: Model, image: Array, i: int, j: int, earlier: Given) -> list[Array]:
    """The inputs, what each layer gives to the next, and the last layer's sums with their biases; kept in `earlier`."""
    predictions = [prediction(model, image, i, j, c) for c in range(model["C"])]
    inputs = []
    for dy, dx in model["offsets"].tolist():
        for c in range(model["C"]):
            value = at(image, i + dy, j + dx, c)
            if (dy, dx) == (0, 0):
                inputs.append(predictions[c] - 128)
            else:
                inputs.append(compand(model, value - predictions[c]) if value >= 0 else 0)
    given = earlier[i, j] = [np.array(inputs, np.int64)]
    for k in range(model["layers"]):
        x = given[-1]
        if model["convolutions"][k]:
            near = [earlier.get((i + dy, j + dx)) for dy, dx in model["neighbours"].tolist()]
            x = np.concatenate([*(np.full_like(x, -128) if one is None else one[k] for one in near), x])
        a = x @ model[f"layer{k}.weight"] + model[f"layer{k}.bias"]
        if k == model["layers"] - 1:
            given.append(a)
            break
        y = np.clip(rescale(a, model[f"layer{k}.multiplier"], model[f"layer{k}.shift"]), 0, 255) - 128
        if skip := model["skips"][k]:
            y = np.minimum(y + given[k - skip + 1] + 128, 127)
        given.append(y)
    return given


def parameters(model: Model, row: Array, image: Array, i: int, j: int, c: int) -> Mixture:
    """Of channel c, given the pixel's earlier ones."""
    K, C, b, last = model["K"], model["C"], model["b"], model["layers"] - 1
    U = model["adjust"].shape[1] if C > 1 else 0
    multiplier, shift = model[f"layer{last}.multiplier"], model[f"layer{last}.shift"]
    base = [prediction(model, image, i, j, e) for e in range(C)]
    d = [int(image[i, j, e]) - base[e] for e in range(c)]
    first = sum((3 + e) * K for e in range(c))
    units = sum((3 + e) * K for e in range(C)) + (c - 1) * U
    own = row[first : first + (3 + c) * K].copy()
    for u in range(U if c else 0):
        total = row[units + u] + sum(int(model["learn"][c - 1, e, u]) * compand(model, d[e]) for e in range(c))
        level = clamp(rescale(total, multiplier[units + u], shift[units + u]), 0, 255)
        own += model["adjust"][c - 1, u, : (3 + c) * K] * level
    mine = slice(first, first + (3 + c) * K)
    p = [int(v) for v in np.clip(rescale(own, multiplier[mine], shift[mine]), -32768, 32768)]
    means = []
    for k in range(K):
        moved = sum(clamp(p[(3 + e) * K + k], -8 << b, 8 << b) * d[e] + (1 << b - 7) >> b - 6 for e in range(c))
        means.append(p[K + k] + moved + 64 * base[c])
    return p[:K], means, p[2 * K : 3 * K]


def rounded(value: Decimal) -> int:
    return int(value.to_integral_value())


@cache
def tables() -> tuple[list[int], list[int], list[int]]:
    """E, R and S."""
    with localcontext() as precise:
        precise.prec = 50
        E = [rounded(2**24 * (-Decimal(k) / 32).exp()) for k in range(513)]
        R = [rounded(2**20 * (Decimal("3.5") - Decimal(k) / 32).exp()) for k in range(305)]
        S = [rounded(2**22 / (1 + (16 - Decimal(k) / 64).exp())) for k in range(2049)]
    return E, R, S


def sigma(z: int) -> int:
    S = tables()[2]
    q, f = divmod(clamp(z, 0, 524288), 256)
    return S[q] + ((S[q + 1] - S[q]) * f >> 8) if q < 2048 else S[2048]


def mixture(logits: Sequence[int], means: Sequence[int], log_scales: Sequence[int]) -> Mixture:
    """Weights, means and inverse scales."""
    E, R, _ = tables()
    e = [E[min(max(logits) - logit, 512)] for logit in logits]
    weights = [one * (2**24 - 1536) // sum(e) for one in e]
    return weights, list(means), [R[clamp(scale, -112, 192) + 112] for scale in log_scales]


EDGES = [64 * x - 32 for x in range(257)]


def search(weights: Sequence[int], means: Sequence[int], inverses: Sequence[int], edges: Sequence[int] = EDGES) -> Find:
    def F(x: int) -> int:
        if x in (0, 256):
            return x << 16
        terms = zip(weights, means, inverses, strict=True)
        total = sum(w * sigma(((edges[x] - m) * r >> 12) + 262144) for w, m, r in terms)
        return (total >> 22) + 6 * x

    def find(target: int) -> tuple[int, int, int]:
        v = bisect(F, 256, target)
        return v, F(v), F(v + 1) - F(v)

    return find


def bisect(F: Callable[[int], int], end: int, target: int) -> int:
    """The v with F(v) <= target < F(v + 1)."""
    low, high = 0, end
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if F(middle) <= target else (low, middle)
    return low


# --- Archives ---------------------------------------------------------------------------------------------------


def archive(data: bytes, models: Path) -> tuple[Array, tuple[str, ...]]:
    """int64 [N, H, W, C], and the names."""
    file = Reader(data)
    assert file.take(9) == b"\x89SHA\r\n\x1a\n\x01"
    end = file.varint() + file.at
    method, depth, channels = file.take(3)
    images, height, width = (file.varint() for _ in range(3))
    name, wanted = file.string().decode(), file.take(8)
    precision, steps, _ = file.u8(), file.varint(), file.varint()
    packed, in_chunk = file.string(), file.varint()
    lengths = [file.varint() for _ in range(-(-images // in_chunk))]
    chunks = chunks_of(file.string()) if file.at < end else []
    assert depth == 8 and precision == {0: 0, 2: 24, 3: 28, 6: 24}[method]
    assert file.at == end and file.u32() == crc(data[:end])
    found = []
    for number, length in enumerate(lengths):
        chunk = file.take(length)
        count = min(in_chunk, images - number * in_chunk)
        assert int.from_bytes(chunk[-4:], "little") == crc(chunk[:-4])
        payload = chunk[4:-4]
        if method == 0:
            pixels = np.frombuffer(payload, np.uint8).reshape(count, height, width, channels)
        elif method in (2, 6):
            inner = Reader(payload)
            lanes = inner.varint()
            fields = {"lanes": lanes, "order": 1, "side": b""}
            size = count, height, width
            pixels = by_model(method, payload[inner.at :], fields, (name, wanted, chunks, models), size)
            pixels = turned(pixels, dict(chunks).get(b"TURN"), number * in_chunk)
        else:
            pixels = chain(vae_model(name, wanted, chunks, models), payload, count, steps)
        assert int.from_bytes(chunk[:4], "little") == crc(pixels.astype(np.uint8).tobytes())
        found.append(pixels)
    names = tuple(zlib.decompress(packed).decode().split("\n")) if packed else ()
    return np.concatenate(found), names


def turned(pixels: Array, packed: bytes | None, first: int) -> Array:
    """Coded images [n, H, W, C], the archive's from number `first` on, as they were before they were laid down."""
    if packed is None:
        return pixels
    digits = "".join(f"{octet:08b}" for octet in packed)
    back = []
    for k, image in enumerate(pixels, first):
        transposed, upside_down, mirrored = (digit == "1" for digit in digits[3 * k : 3 * k + 3])
        image = np.transpose(image, (1, 0, 2)) if transposed else image
        image = np.flipud(image) if upside_down else image
        back.append(np.fliplr(image) if mirrored else image)
    return np.stack(back)


# --- Autoencoders -----------------------------------------------------------------------------------------------

LIMIT = 2**24


def vae_model(name: str, wanted: bytes, chunks: list[tuple[bytes, bytes]], models: Path) -> Model:
    for data in weights_of(wanted, chunks, models):
        metadata, arrays = safetensors(data)
        if metadata["format"] != "shearloc-vae-1":
            continue
        shape = json.loads(metadata["shape"])
        text = f"shearloc-vae-1 {json.dumps(shape, sort_keys=True)}"
        if fingerprint(text, arrays) == wanted:
            return {key: array.astype(np.int64) for key, array in arrays.items()} | shape
    raise LookupError(name)


class Net:
    """A network's pass forwards, keeping what the way back needs; x is int64 [n, rows, columns, channels]."""

    def __init__(self, model: Model, which: str) -> None:
        self.model, self.which = model, which
        self.back: list[Callable[[Array], Array]] = []
        self.next = 0

    def map(self) -> tuple[Array, Array]:
        name = f"{self.which}{self.next}"
        self.next += 1
        return self.model[f"{name}.weight"], self.model[f"{name}.bias"]

    def dense(self, x: Array) -> Array:
        weight, bias = self.map()
        self.back.append(lambda g: np.clip(g @ weight.T + 2**11 >> 12, -LIMIT, LIMIT))
        return np.clip((x @ weight + 2**11 >> 12) + bias, -LIMIT, LIMIT)

    def relu(self, x: Array) -> Array:
        self.back.append(lambda g: np.where(x > 0, g, 0))
        return np.maximum(x, 0)

    def block(self, x: Array) -> Array:
        outer, self.back = self.back, []
        inner = self.dense(self.relu(self.dense(self.around(self.relu(x)))))
        steps, self.back = self.back, outer

        def backwards(g: Array) -> Array:
            through = g
            for step in reversed(steps):
                through = step(through)
            return np.clip(g + through, -LIMIT, LIMIT)

        self.back.append(backwards)
        return np.clip(x + inner, -LIMIT, LIMIT)

    def around(self, x: Array) -> Array:
        """N: the 3 x 3 positions around each one side by side."""
        n, rows, columns, c = x.shape
        padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        places = [(dy, dx) for dy in range(3) for dx in range(3)]

        def adjoint(g: Array) -> Array:
            total = np.zeros_like(padded)
            for k, (dy, dx) in enumerate(places):
                total[:, dy : dy + rows, dx : dx + columns] += g[..., k * c : (k + 1) * c]
            return total[:, 1:-1, 1:-1]

        self.back.append(adjoint)
        return np.concatenate([padded[:, dy : dy + rows, dx : dx + columns] for dy, dx in places], 3)

    def fold(self, x: Array, s: int) -> Array:
        self.back.append(lambda g: unfolded(g, s))
        return folded(x, s)

    def unfold(self, x: Array, s: int) -> Array:
        self.back.append(lambda g: folded(g, s))
        return unfolded(x, s)

    def backwards(self, g: Array) -> Array:
        for step in reversed(self.back):
            g = step(g)
        return g


def folded(x: Array, s: int) -> Array:
    rows = [np.concatenate([x[:, dy::s, dx::s] for dx in range(s)], 3) for dy in range(s)]
    return np.concatenate(rows, 3)


def unfolded(x: Array, s: int) -> Array:
    n, rows, columns, channels = x.shape
    out = np.empty((n, rows * s, columns * s, channels // s**2), np.int64)
    for k in range(s * s):
        out[:, k // s :: s, k % s :: s] = x[..., k * channels // s**2 : (k + 1) * channels // s**2]
    return out


def encoder(model: Model, pixels: Array) -> tuple[Array, Array]:
    """Means and log standard deviations [n, L]."""
    net, B = Net(model, "encoder"), model["blocks"]
    if model["likelihood"] == "bernoulli":
        x = pixels * 2**16
    else:
        x = (pixels - (128 if model["channels"] == 3 else 0)) * 2**9
    x = net.dense(net.fold(x, 4 if B else model["side"]))
    if B:
        for _ in range(B):
            x = net.block(x)
        x = net.relu(x)
        x = net.dense(net.fold(x, model["side"] // 4) if model.get("pooled") else x)
    else:
        x = net.dense(net.relu(net.dense(net.relu(x))))
    half = x.shape[3] // 2
    return x[..., :half].reshape(len(x), -1), np.clip(x[..., half:].reshape(len(x), -1), -6 * 2**16, 2 * 2**16)


def decoder(model: Model, z: Array) -> tuple[Array, Net]:
    """Likelihood parameters [n, side, side, outputs], and the pass."""
    net, B = Net(model, "decoder"), model["blocks"]
    p = model["side"] // 4 if B and not model.get("pooled") else 1
    x = net.dense(z.reshape(len(z), p, p, -1))
    if B:
        x = net.unfold(x, model["side"] // 4) if model.get("pooled") else x
        for _ in range(B):
            x = net.block(x)
        return net.unfold(net.dense(net.relu(x)), 4), net
    return net.unfold(net.dense(net.relu(net.dense(net.relu(x)))), model["side"]), net


@cache
def latent_tables() -> tuple[list[int], list[int]]:
    """phi and Q."""
    with localcontext() as precise:
        precise.prec = 60
        total = 2**40 - 2**28
        above = [normal(Decimal(k) / 256) for k in range(2049)]
        phi = [rounded(total * (1 - v)) for v in above[:0:-1]] + [rounded(total * v) for v in above]
    Q, k = [0], 0
    for i in range(1, 2**17):
        t = i * total // 2**17
        while phi[k + 1] <= t:
            k += 1
        Q.append((k - 2048) * 2**16 + ((t - phi[k]) * 2**16) // (phi[k + 1] - phi[k]))
    return phi, Q


def normal(x: Decimal) -> Decimal:
    """The standard normal distribution function, by its series."""
    pi = Decimal("3.14159265358979323846264338327950288419716939937510582097494459")
    term, total, k = x, x, 1
    while abs(term) > Decimal("1e-50"):
        k += 2
        term = term * x * x / k
        total += term
    return Decimal("0.5") + total * (-x * x / 2).exp() / (2 * pi).sqrt()


def medians(bins: Array, bits: int) -> Array:
    Q = latent_tables()[1]
    return np.array([Q[(2 * int(j) + 1) * 2 ** (16 - bits)] + 128 >> 8 for j in bins.ravel()]).reshape(bins.shape)


@cache
def exponentials(sign: int) -> list[int]:
    """round(2^16 e^(sign s / 64)) for s = -384 .. 128."""
    with localcontext() as precise:
        precise.prec = 50
        return [rounded(2**16 * (sign * Decimal(s) / 64).exp()) for s in range(-384, 129)]


def scale(log_sigma: int) -> int:
    """s + 384."""
    return clamp(log_sigma + 512 >> 10, -384, 128) + 384


def posterior(mean: int, log_sigma: int) -> Callable[[int], int]:
    """F of a latent's bins."""
    phi, Q = latent_tables()
    inverse = exponentials(-1)[scale(log_sigma)]

    def F(i: int) -> int:
        if i in (0, 2**16):
            return i << 12
        z = clamp(((Q[2 * i] - 256 * mean) * inverse >> 16) + 2**27, 0, 2**28)
        k, f = divmod(z, 2**16)
        rise = (phi[k + 1] - phi[k]) * f >> 16 if k < 4096 else 0
        return (phi[k] + rise >> 12) + i

    return F


def chain(model: Model, payload: bytes, count: int, steps: int) -> Array:
    file = Reader(payload)
    coarse, lanes = file.take(2)
    rounds = [file.varint() for _ in range(file.varint())]
    heads = [int.from_bytes(file.take(8), "little") for _ in range(lanes)]
    words = [file.u32() for _ in range((len(payload) - file.at) // 4)]
    stacks = [Stack(x, words) for x in heads]  # the words are shared
    L, side, C = model["latents"], model["side"], model["channels"]
    pixels = np.zeros((count, side, side, C), np.int64)
    end = count
    for m in reversed(rounds):
        part = pixels[end - max(m, 1) : end]
        end -= len(part)
        bits = 16 if m else coarse
        n = len(part) * L
        bins = np.empty(n, np.int64)
        for k in reversed(range(n)):
            bins[k] = stacks[k % lanes].pop(bits, lambda target: (target, target, 1))
        bins = bins.reshape(len(part), L)
        z = medians(bins, bits)
        pop_pixels(model, decoder(model, z)[0], stacks, part)
        if m:
            means, logs = encoder(model, part)
            for j in range(steps):
                means, logs = step_of(model, part, means, logs, j)
            for k, (bin_, mean, log) in enumerate(zip(bins.ravel(), means.ravel(), logs.ravel(), strict=True)):
                F = posterior(int(mean), int(log))
                push(stacks[k % lanes], F(int(bin_)), F(int(bin_) + 1) - F(int(bin_)), 28)
    assert end == 0 and not words and all(stack.x == 2**32 for stack in stacks)
    return pixels


def push(stack: Stack, start: int, frequency: int, precision: int) -> None:
    if stack.x >> 64 - precision >= frequency:
        stack.words.append(stack.x % 2**32)
        stack.x >>= 32
    stack.x = (stack.x // frequency << precision) + stack.x % frequency + start


def pop_pixels(model: Model, found: Array, stacks: list[Stack], pixels: Array) -> None:
    C = model["channels"]
    rows, values = found.reshape(-1, found.shape[3]), pixels.reshape(-1, C)
    for k in reversed(range(len(rows))):
        for c in range(C):
            stack = stacks[(k * C + C - 1 - c) % len(stacks)]
            if model["likelihood"] == "bernoulli":
                ones = probability(int(rows[k, 0]))
                zeros = 2**22 - ones
                below, above = (0, 0, zeros), (1, zeros, ones)
                values[k, c] = stack.pop(22, lambda t, z=zeros, b=below, a=above: a if t >= z else b)
            else:
                mean, inverse = logistic(rows[k].tolist(), values[k].tolist(), c, C)
                values[k, c] = stack.pop(24, search([2**24 - 1536], [mean], [inverse]))


def probability(logit: int) -> int:
    S = tables()[2]
    return clamp(S[clamp((logit + 512 >> 10) + 1024, 0, 2048)], 1, 2**22 - 1)


def logistic(row: list[int], values: list[int], c: int, C: int) -> tuple[int, int]:
    """Mean and R of channel c."""
    first = 2 * C + c * (c - 1) // 2
    mean = (row[c] + 4 >> 3) + 8192
    mean += sum(row[first + e] * (values[e] - 128) + 512 >> 10 for e in range(c))
    return mean, tables()[1][clamp((row[C + c] + 1024 >> 11) + 64, -112, 192) + 112]


# --- K steps ----------------------------------------------------------------------------------------------------


def sign(j: int, latent: int) -> int:
    mask = 2**64 - 1
    x = (j * 2**20 + latent) * 0x9E3779B97F4A7C15 & mask
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & mask
    x = (x ^ x >> 27) * 0x94D049BB133111EB & mask
    return 1 if (x ^ x >> 31) >> 63 else -1


def step_of(model: Model, pixels: Array, means: Array, logs: Array, j: int) -> tuple[Array, Array]:
    e = np.array([sign(j, latent) for latent in range(means.shape[1])])
    table = np.array(exponentials(1))
    deviation = table[np.clip(logs + 512 >> 10, -384, 128) + 384]
    plus, minus = (gradient_at(model, pixels, np.clip(means + side * e * deviation, -LIMIT, LIMIT)) for side in (1, -1))
    v = deviation * deviation + 2**15 >> 16
    moved = means - np.clip(v * (plus + minus + (means >> 1)) >> 16, -deviation, deviation)
    bend = np.clip(((plus - minus) * e * deviation >> 15) + v - 2**16 >> 3, -(2**14), 2**14)
    return moved, np.clip(logs - bend, -6 * 2**16, 2 * 2**16)


def gradient_at(model: Model, pixels: Array, z: Array) -> Array:
    found, net = decoder(model, z)
    rows, values = found.reshape(-1, found.shape[3]), pixels.reshape(-1, model["channels"])
    g = np.zeros_like(rows)
    for k in range(len(rows)):
        if model["likelihood"] == "bernoulli":
            g[k, 0] = probability(int(rows[k, 0])) - int(values[k, 0]) * 2**22 + 128 >> 8
        else:
            g[k] = logistic_gradient(rows[k].tolist(), values[k].tolist(), model["channels"])
    return net.backwards(g.reshape(found.shape)).reshape(len(z), -1)


@cache
def width_slope(k: int) -> int:
    """D for the log-scale k."""
    with localcontext() as precise:
        precise.prec = 50
        d = (-Decimal(k) / 32).exp()
        return rounded(2**14 * d / (d.exp() - 1))


def logistic_gradient(row: list[int], values: list[int], C: int) -> list[int]:
    g = [0] * len(row)
    for c, value in enumerate(values):
        mean, R = logistic(row, values, c, C)
        a, b = (clamp((64 * value + edge - mean) * R >> 12, -262144, 262144) for edge in (32, -32))
        upper, lower = sigma(a + 262144), sigma(b + 262144)
        D = width_slope(clamp((row[C + c] + 1024 >> 11) + 64, -112, 192))
        if value == 0:
            b, lower, D = 0, 0, 0
        elif value == 255:
            a, upper, D = 0, 2**22, 0
        slope = (2**22 - upper - lower) * R
        g[c] = clamp(slope >> 21, -LIMIT, LIMIT)
        g[C + c] = clamp((a * (2**22 - upper) - b * lower >> 22) + D, -LIMIT, LIMIT)
        for e in range(c):
            coefficient = (slope >> 14) * (values[e] - 128) >> 14
            g[2 * C + c * (c - 1) // 2 + e] = clamp(coefficient, -LIMIT, LIMIT)
    return g
