"""The worked example of docs/FORMAT.md, computed: `python -m tests.golden.example` prints it.

A test holds the text there equal to this; what is computed is `second.py`'s.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from . import second

HERE = Path(__file__).parent
FILE = HERE / "example.shl"


def lines() -> Iterator[str]:
    """The file's bytes, and then its pixels' integers."""
    data = FILE.read_bytes()
    yield from _bytes(data)
    yield ""
    yield from _pixels(data)


def _bytes(data: bytes) -> Iterator[str]:
    file = second.Reader(data)

    def line(count: int, meaning: str) -> str:
        start, taken = file.at, file.take(count)
        return f"{start:3}  {taken.hex(' ').upper()}  {meaning}"

    yield line(8, "signature")
    yield line(1, "version")
    yield line(1, f"header length: {data[9]} bytes, up to the pixel checksum")
    yield line(3, "content kind: a picture; colour type: RGB; bit depth: 8")
    yield line(2, "height: 2; width: 2")
    yield line(1, "parts: 1")
    yield line(2, "planes: 3; method: local")
    length = data[file.at]
    yield line(1, f"payload length: {length}")
    yield line(1, "order: sheared")
    name = data[file.at]
    yield line(1 + name, f"model name: {data[file.at + 1 : file.at + 1 + name].decode()}")
    yield line(8, "weight fingerprint")
    yield line(2, "precision: 24; lanes: 1")
    yield line(1, "side information: none")
    yield line(1, "chunks: none")
    yield line(4, f"pixel checksum: {int.from_bytes(data[file.at : file.at + 4], 'little'):08X}")
    yield line(4, "header checksum")
    yield line(8, f"payload: x = {int.from_bytes(data[file.at : file.at + 8], 'little')}")
    for _ in range((length - 8) // 4):
        yield line(4, f"a word: {int.from_bytes(data[file.at : file.at + 4], 'little')}")
    yield line(4, "payload checksum")
    assert file.at == len(data)


def _pixels(data: bytes) -> Iterator[str]:
    head, _ = second.safetensors((HERE / "models" / "golden-example.safetensors").read_bytes())
    model = second.local_model("golden-example", data[35:43], [], HERE / "models")
    yield f"offsets {model['offsets'].tolist()}; C = {head['channels']}, K = {head['components']}, U = 2; shear 2"
    payload = data[55:-4]
    words = [int.from_bytes(payload[k : k + 4], "little") for k in range(8, len(payload), 4)]
    stack = second.Stack(int.from_bytes(payload[:8], "little"), words)
    image = np.full((2, 2, 3), -1, np.int64)
    for t, step in enumerate(second.steps_of(model, (1, 2, 2), True)):
        yield f"step {t}"
        sums = {}
        for _, i, j in step:
            given = second.layers(model, image, i, j, {})
            sums[i, j] = given[-1]
            yield f" row {i}, column {j}"
            predictions = [second.prediction(model, image, i, j, c) for c in range(3)]
            yield f"  predictions {_row(predictions)}; inputs {_row(given[0])}"
            yield f"  layer 0 gives {_row(given[1])}"
            yield f"  layer 1, a + bias: {_row(given[2])}"
        for c in range(3):
            for (i, j), row in sums.items():
                yield from _subpixel(model, stack, image, (i, j, c), row)
    assert stack.x == 2**32 and not stack.words
    yield "end: x = 2^32, no words left"


def _subpixel(
    model: second.Model,
    stack: second.Stack,
    image: second.Array,
    place: tuple[int, int, int],
    row: second.Array,
) -> Iterator[str]:
    i, j, c = place
    found = second.parameters(model, row, image, i, j, c)
    logits, means, scales = (_row(numbers) for numbers in found)
    mixed = second.mixture(*found)
    find = second.search(*mixed)
    target, before = stack.x % 2**24, len(stack.words)
    value, start, frequency = find(target)
    image[i, j, c] = stack.pop(24, find)
    yield f" {('red', 'green', 'blue')[c]} of row {i}, column {j}"
    yield f"  logits {logits}; means {means}; log-scales {scales}"
    yield f"  weights {_row(mixed[0])}; inverses {_row(mixed[2])}"
    popped = ", after a word" if len(stack.words) < before else ""
    yield f"  target {target}: F({value}) = {start}, F({value + 1}) = {start + frequency}; x = {stack.x}{popped}"


def _row(numbers: Iterable[int]) -> str:
    return " ".join(str(int(number)) for number in numbers)


if __name__ == "__main__":
    print("\n".join(lines()))
