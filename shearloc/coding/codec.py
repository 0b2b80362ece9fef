"""The Codec: push and pop, each the other's inverse, and how codecs make codecs.

A codec of a distribution takes about -log2 of the values' probability to push them. Popping from random bits samples
the distribution, at the price of as many bits; that is all that bits-back coding needs. A codec that raises leaves the
message as it was; popping what a message does not have raises CorruptError.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from .message import Message, unchanged_on_error

V = TypeVar("V")
W = TypeVar("W")
X = TypeVar("X")
Z = TypeVar("Z")


class Codec(Protocol[V]):
    """Pushes values, often arrays, onto a message, and pops them off again."""

    def push(self, message: Message, values: V) -> None:
        """Puts values on top of the message. ValueError for values the codec cannot have."""
        ...

    def pop(self, message: Message) -> V:
        """Takes off what `push` put on top. CorruptError where the message has too few bits."""
        ...


@dataclass(slots=True)
class Serial:
    """A value for each codec, pushed in turn. The last codec's value is on top, so it is popped first."""

    codecs: Sequence[Codec[Any]]

    def push(self, message: Message, values: Sequence[Any]) -> None:
        """Pushes as many values as there are codecs. ValueError for more or fewer."""
        with unchanged_on_error(message):
            for codec, value in zip(self.codecs, values, strict=True):
                codec.push(message, value)

    def pop(self, message: Message) -> list[Any]:
        """The values in the order they were pushed."""
        with unchanged_on_error(message):
            return [codec.pop(message) for codec in reversed(self.codecs)][::-1]


@dataclass(slots=True)
class Substack(Generic[V]):
    """A codec that uses only the message's lanes in a slice. Each call costs a copy of the message."""

    codec: Codec[V]
    lanes: slice

    def push(self, message: Message, values: V) -> None:
        """Pushes as the codec does. ValueError also where the slice has no lanes."""
        with self._part(message) as part:
            self.codec.push(part, values)

    def pop(self, message: Message) -> V:
        """Pops as the codec does. ValueError where the slice has no lanes."""
        with self._part(message) as part:
            return self.codec.pop(part)

    @contextmanager
    def _part(self, message: Message) -> Iterator[Message]:
        heads, tails = message.heads.copy(), message.tails
        theirs = slice(None) if message.shared else self.lanes
        part = Message.of(heads[self.lanes], tails[theirs])
        yield part
        heads[self.lanes], tails[theirs] = part.heads, part.tails
        message.replace(Message.of(heads, tails))


@dataclass(slots=True)
class Transformed(Generic[V, W]):
    """A codec of other values: `forward` turns them into those that `codec` pushes, and `inverse` undoes it exactly."""

    codec: Codec[W]
    forward: Callable[[V], W]
    inverse: Callable[[W], V]

    def push(self, message: Message, values: V) -> None:
        """Pushes `forward` of the values."""
        self.codec.push(message, self.forward(values))

    def pop(self, message: Message) -> V:
        """`inverse` of what the codec pops."""
        return self.inverse(self.codec.pop(message))


@dataclass(slots=True)
class Joint(Generic[X, Z]):
    """Codes pairs (x, z) by p(x, z) = p(z) p(x|z), in -log2 p(x, z) bits."""

    prior: Codec[Z]
    likelihood: Callable[[Z], Codec[X]]

    def push(self, message: Message, values: tuple[X, Z]) -> None:
        """Pushes x, then z."""
        x, z = values
        with unchanged_on_error(message):
            self.likelihood(z).push(message, x)
            self.prior.push(message, z)

    def pop(self, message: Message) -> tuple[X, Z]:
        """The pair (x, z); z is popped first, as x depends on it."""
        with unchanged_on_error(message):
            z = self.prior.pop(message)
            return self.likelihood(z).pop(message), z


@dataclass(slots=True)
class BitsBack(Generic[X, Z]):
    """Codes x by a model with latents z (thesis, algorithm 1), in -log2 p(x|z) - log2 p(z) + log2 q(z|x) bits.

    `posterior(x)` is a codec of z, `likelihood(z)` one of x, `prior` one of z. Both functions must always give the same
    codec for the same argument, on every machine. Any of the three may itself be a BitsBack.
    """

    prior: Codec[Z]
    likelihood: Callable[[Z], Codec[X]]
    posterior: Callable[[X], Codec[Z]]

    def push(self, message: Message, x: X) -> None:
        """CorruptError where the message has too few bits to pop z from."""
        with unchanged_on_error(message):
            z = self.posterior(x).pop(message)
            self.likelihood(z).push(message, x)
            self.prior.push(message, z)

    def pop(self, message: Message) -> X:
        """x; the bits that z was popped from are back on the message."""
        with unchanged_on_error(message):
            z = self.prior.pop(message)
            x = self.likelihood(z).pop(message)
            self.posterior(x).push(message, z)
            return x
