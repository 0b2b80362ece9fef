"""CRC-32C against published vectors, and its two implementations against each other."""

import random

import numpy as np
import pytest

from shearloc.codec.formats import crc32c as module
from shearloc.codec.formats.crc32c import SHORT, crc32c


# RFC 3720, appendix B.4, and the usual check value.
@pytest.mark.parametrize(
    ("data", "crc"),
    [
        (b"", 0),
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
    ],
)
def test_vectors(data: bytes, crc: int) -> None:
    assert crc32c(data) == crc
    assert module._by_eight(memoryview(data), 0xFFFFFFFF) ^ 0xFFFFFFFF == crc


@pytest.mark.parametrize("length", [1, 7, 8, 9, 1000, 1007])
def test_implementations_agree(length: int) -> None:
    data = memoryview(random.Random(length).randbytes(length))
    assert module._by_byte(data, 12345) == module._by_eight(data, 12345)


def test_long_and_arrays() -> None:
    data = random.Random(0).randbytes(SHORT + 3)
    expected = module._by_byte(memoryview(data), 0xFFFFFFFF) ^ 0xFFFFFFFF
    assert crc32c(data) == crc32c(bytearray(data)) == crc32c(np.frombuffer(data, np.uint8).copy()) == expected
    assert crc32c(np.frombuffer(data[:60], np.uint8).reshape(4, 5, 3)) == crc32c(data[:60])
