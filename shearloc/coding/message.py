"""The message: a stack of symbols, which codecs push onto and pop from.

A message has *lanes*, each a head: a rANS state that takes one symbol at a time. What a head cannot hold leaves it, as
a word of 32 bits, for the tail. All lanes share one tail, or each has its own:

    shared     heads  h0 h1 h2      tail   w w w w w w        smallest: 8 bytes a lane, and 4 a word
    own tails  heads  h0 h1 h2      tails  w w | w w w | w    lanes are independent: threads may take some each

Pushing n symbols at once gives symbol k to lane k mod lanes. Pop in reverse: the last call first, with as many symbols.

Source: lanes that share a tail are from F. Giesen, "Interleaved entropy coders", 2014 (arXiv:1402.3392).
"""

import numpy as np
from numpy.typing import NDArray

from ..errors import CorruptError
from .lengths import LENGTH_BITS, logarithms
from .rans import LOWEST

Heads = NDArray[np.uint64]
Words = NDArray[np.uint32]
Places = NDArray[np.int64]


class Message:
    """Heads uint64 [lanes], each in [2^32, 2^64), and tails: tail t is words[bases[t] : tops[t]], uint32.

    bases and tops are int64 [1] where all lanes share the tail, or [lanes]. Words outside of tails are room to grow.
    Make a message with `empty`, `from_bytes` or `of`. ValueError for arrays of other kinds.
    """

    __slots__ = ("bases", "heads", "tops", "words")

    def __init__(self, heads: Heads, words: Words, bases: Places, tops: Places) -> None:
        """Takes over the arrays: pushing and popping change them."""
        if heads.ndim != 1 or heads.dtype != np.uint64 or not heads.size or heads.min() < LOWEST:
            raise ValueError("heads is a uint64 array of one dimension, not empty, with nothing below 2^32")
        if words.ndim != 1 or words.dtype != np.uint32:
            raise ValueError("words is a uint32 array of one dimension")
        if bases.shape != tops.shape or tops.shape not in ((1,), heads.shape):
            raise ValueError(f"{heads.size} lanes have one tail together or one each, not {tops.shape}")
        edges = np.stack([bases, tops], 1).ravel()
        if edges[0] < 0 or edges[-1] > words.size or (np.diff(edges) < 0).any():
            raise ValueError("the tails overlap, or leave the words")
        self.heads, self.bases, self.tops = heads, bases, tops
        self.words = words if words.flags.writeable else words.copy()

    @classmethod
    def empty(cls, lanes: int = 1, *, shared: bool = True) -> "Message":
        """A message without symbols: heads of 2^32, no words. `shared`: one tail for all lanes, or one each.

        ValueError for fewer than one lane.
        """
        if lanes < 1:
            raise ValueError(f"a message has at least one lane, not {lanes}")
        tails = 1 if shared else lanes
        zeros = np.zeros(tails, np.int64)
        return cls(np.full(lanes, LOWEST), np.empty(0, np.uint32), zeros, zeros.copy())

    @classmethod
    def of(cls, heads: Heads, tails: list[Words]) -> "Message":
        """A message with copies of these heads and tails, one for all or one each. ValueError as the class."""
        tops = np.cumsum([len(tail) for tail in tails])
        bases = tops - [len(tail) for tail in tails]
        return cls(heads.copy(), np.concatenate(tails), bases, tops)

    @property
    def lanes(self) -> int:
        """Number of heads."""
        return self.heads.size

    @property
    def shared(self) -> bool:
        """Whether all lanes have one tail. With a single lane, its tail counts as shared and as its own."""
        return self.tops.size == 1

    @property
    def tails(self) -> list[Words]:
        """The words in use of each tail, the next one to be popped last; views, valid until the next push."""
        return [self.words[base:top] for base, top in zip(self.bases.tolist(), self.tops.tolist(), strict=True)]

    @property
    def size(self) -> int:
        """The number of words in all tails."""
        return int(self.tops[0] - self.bases[0]) if self.shared else int((self.tops - self.bases).sum())

    @property
    def length(self) -> int:
        """Length in 2^-16 bits: 32 bits for each word, and log2 of every head, which is right to 2^-13 bits or so.

        An empty message has 32 bits a lane; subtract them for the cost of its symbols. The same on every machine.
        """
        return (32 * self.size << LENGTH_BITS) + int(logarithms(self.heads).sum())

    @property
    def bits(self) -> float:
        """`length` in bits."""
        return self.length / (1 << LENGTH_BITS)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left, as after every symbol of an undamaged message is popped."""
        return self.size == 0 and bool((self.heads == LOWEST).all())

    @property
    def dry(self) -> bool:
        """Whether a kernel popped more words from a tail than it has. Symbols popped since then mean nothing."""
        return bool((self.tops < self.bases).any())

    @property
    def arrays(self) -> tuple[Heads, Words, Places]:
        """Heads, words and tops, for a kernel that codes on lanes with tails of their own."""
        return self.heads, self.words, self.tops

    def check_empty(self) -> None:
        """CorruptError unless every symbol has been popped and nothing is left."""
        if self.dry or not self.is_empty:
            raise CorruptError("the message ends too early or too late: damaged, or made otherwise")

    def copy(self) -> "Message":
        """A message with the same content that shares no memory with this one."""
        other = Message.__new__(Message)
        other.heads, other.words = self.heads.copy(), self.words[: self.tops[-1]].copy()
        other.bases, other.tops = self.bases.copy(), self.tops.copy()
        return other

    def replace(self, other: "Message") -> None:
        """Takes over another message's arrays."""
        self.heads, self.words, self.bases, self.tops = other.heads, other.words, other.bases, other.tops

    def reserve(self, counts: int | Places) -> None:
        """Makes room for so many more words on every tail; at least doubles it, so that small pushes copy little."""
        if self.shared:
            top, count = int(self.tops[0]), counts if isinstance(counts, int) else int(counts.sum())
            if self.words.size - top < count:
                words = np.empty(top + max(count, top), np.uint32)
                words[:top] = self.words[:top]
                self.words = words
        elif (np.append(self.bases[1:], self.words.size) - self.tops < counts).any():
            sizes = self.tops - self.bases
            ends = np.cumsum(sizes + np.maximum(counts, sizes))
            bases, words = np.append(0, ends[:-1]), np.empty(ends[-1], np.uint32)
            for base, tail in zip(bases.tolist(), self.tails, strict=True):
                words[base : base + tail.size] = tail
            self.words, self.bases, self.tops = words, bases, bases + sizes

    def to_bytes(self) -> bytes:
        """The message as bytes, all little-endian. They do not say how many lanes there are.

        Shared: the heads, 8 bytes each, then the words, 4 each. Own tails: the number of words of each lane but the
        last (4 bytes each), then each lane: its head, its words.
        """
        heads = self.heads.astype("<u8")
        if self.shared:
            return heads.tobytes() + self.tails[0].astype("<u4").tobytes()
        sizes = (self.tops - self.bases)[:-1].astype("<u4").tobytes()
        pairs = zip(heads, self.tails, strict=True)
        return sizes + b"".join(head.tobytes() + tail.astype("<u4").tobytes() for head, tail in pairs)

    @classmethod
    def from_bytes(cls, data: bytes, lanes: int = 1, *, shared: bool = True) -> "Message":
        """The message that `to_bytes` wrote, with this many lanes, whose tail is shared or their own.

        CorruptError where the bytes cannot be a message, ValueError for fewer than one lane.
        """
        if lanes < 1:
            raise ValueError(f"a message has at least one lane, not {lanes}")
        at = 0 if shared else 4 * (lanes - 1)
        count, odd = divmod(len(data) - at - 8 * lanes, 4)
        if count < 0 or odd:
            raise CorruptError(f"{len(data)} bytes cannot be a message of {lanes} lanes: cut short")
        sizes = np.frombuffer(data, "<u4", at // 4).astype(np.int64)
        sizes = np.append(sizes, count - sizes.sum())
        if sizes[-1] < 0:
            raise CorruptError("the message's lanes are longer than the message: damaged")
        heads, words = np.empty(lanes, np.uint64), np.empty(count, np.uint32)
        tops = np.cumsum(sizes)
        bases = tops - sizes
        each = lanes if shared else 1
        for lane, (base, size) in enumerate(zip(bases.tolist(), sizes.tolist(), strict=True)):
            heads[lane : lane + each] = np.frombuffer(data, "<u8", each, at)
            words[base : base + size] = np.frombuffer(data, "<u4", size, at + 8 * each)
            at += 8 * each + 4 * size
        if heads.min() < LOWEST:
            raise CorruptError("a head of the message is too small: damaged")
        return cls(heads, words, bases, tops)


class unchanged_on_error:
    """An error inside `with` leaves the message as it was. Costs a copy of the message."""

    __slots__ = ("_before", "_message")

    def __init__(self, message: Message) -> None:
        self._message, self._before = message, message.copy()

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._message.replace(self._before)
