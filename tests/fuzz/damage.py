"""Damage: bytes changed without a look at what they mean. Everything is drawn from one `random.Random`."""

from random import Random

NUMBERS = [0, 1, 2, 3, 5, 15, 16, 17, 64, 127, 128, 255, 256, 1000, 16383, 16384, 65535, 65536, 65537]
NUMBERS += [2**k + d for k in (24, 28, 31, 32, 48, 62, 63) for d in (-1, 0)]


def bit_flip(data: bytes, position: int) -> bytes:
    """The file with one bit changed: 0 is the lowest bit of the first byte."""
    flipped = bytearray(data)
    flipped[position // 8] ^= 1 << position % 8
    return bytes(flipped)


def damage(data: bytes, other: bytes, draw: Random, story: list[str]) -> bytes:
    """Bytes changed without a look at what they mean; `other` is what a splice takes its second half from."""
    kind = draw.choice(("flip", "flip", "set", "cut", "head cut", "insert", "delete", "repeat", "splice", "fill"))
    story.append(kind)
    if not data:
        return draw.randbytes(draw.randrange(1, 20))
    at = draw.randrange(len(data))
    length = min(draw.choice((1, 1, 2, 4, 8, 64)), len(data) - at)
    if kind == "flip":
        return bit_flip(data, draw.randrange(8 * len(data)))
    if kind == "set":
        return data[:at] + bytes([draw.randrange(256)]) + data[at + 1 :]
    if kind == "cut":
        return data[:at]
    if kind == "head cut":
        return data[at:]
    if kind == "insert":
        return data[:at] + draw.randbytes(length) + data[at:]
    if kind == "delete":
        return data[:at] + data[at + length :]
    if kind == "repeat":
        return data[: at + length] + data[at:]
    if kind == "splice":
        return data[:at] + other[draw.randrange(len(other) + 1) :]
    return data[:at] + bytes([draw.choice((0, 0x7F, 0x80, 0xFF))]) * length + data[at + length :]


def varint(value: int) -> bytes:
    """LEB128 of any length."""
    groups = bytearray()
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*groups, value])
