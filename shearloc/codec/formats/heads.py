"""Sealed heads, which begin every kind of our files: signature, version, fields, and a CRC-32C of all that."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ...coding.fields import take, take_varint, u32, varint
from ...errors import CorruptError, FormatError
from .crc32c import crc32c


@dataclass(frozen=True)
class Head:
    """A kind of head: its signature, its version, what file it begins (in words), and the bytes of its fields.

    Without `size` the fields may have any length, and a varint before them says which.
    """

    magic: bytes
    version: int
    what: str
    size: int | None = None

    @property
    def length(self) -> int:
        """Bytes of a whole head whose fields have a fixed size."""
        return len(self.magic) + 1 + (self.size or 0) + 4

    def seal(self, fields: bytes) -> bytes:
        """The bytes of a head."""
        length = varint(len(fields)) if self.size is None else b""
        head = self.magic + bytes([self.version]) + length + fields
        return head + u32(crc32c(head))

    def begin(self, data: bytes) -> tuple[int, int]:
        """Where the fields of the head at the beginning of `data` start, and how long they are.

        `data` is at least the signature, the version and the length. Raises FormatError (empty, not ours, another
        version), CorruptError (cut short).
        """
        if not data:
            raise FormatError(f"the {self.what} is empty")
        if not data.startswith(self.magic[: len(data)]):
            raise FormatError(f"not a Shearloc {self.what}: it does not begin with the signature of one")
        if len(data) <= len(self.magic):
            raise CorruptError(f"the {self.what} is cut short")
        version = data[len(self.magic)]
        if version != self.version:
            raise FormatError(
                f"the {self.what} has version {version}; this Shearloc reads version {self.version}: get a newer one"
            )
        stream = io.BytesIO(data)
        stream.seek(len(self.magic) + 1)
        with self._whole():
            length = take_varint(stream) if self.size is None else self.size
        return stream.tell(), length

    def open(self, data: bytes) -> tuple[bytes, int]:
        """The fields of the head at the beginning of `data`, and where it ends. Raises as `begin`, also for damage."""
        start, length = self.begin(data)
        stream = io.BytesIO(data)
        stream.seek(start)
        with self._whole():
            fields = take(stream, length)
            end = stream.tell()
            checksum = int.from_bytes(take(stream, 4), "little")
        if crc32c(data[:end]) != checksum:
            raise CorruptError(f"the {self.what} is damaged: its header's checksum does not match")
        return fields, end + 4

    @contextmanager
    def _whole(self) -> Iterator[None]:
        try:
            yield
        except CorruptError:
            raise CorruptError(f"the {self.what} is cut short inside its header") from None
