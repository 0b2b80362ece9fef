"""Codecs made of codecs: each the inverse of itself, at the bits its parts take, and never half done."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from shearloc.coding import BitsBack, Codec, Joint, Message, Serial, Substack, Transformed, categorical, uniform
from shearloc.errors import CorruptError

from .messages import random_message

SEEDS = st.integers(0, 2**32 - 1)
LANES = st.integers(1, 9)

PRIOR = [0, 3, 9, 14, 16]
LIKELIHOODS = np.array([[0, 1, 2, 16], [0, 1, 15, 16], [0, 14, 15, 16], [0, 5, 10, 16]])
"""p(x|z) for four latents z: cumulative, of three values x."""
COUNT = 12


def joint() -> NDArray[np.int64]:
    """p(z) p(x|z) in 2^-8, int [4, 3]."""
    return np.diff(PRIOR)[:, None] * np.diff(LIKELIHOODS)


def toy() -> BitsBack[NDArray[Any], NDArray[Any]]:
    """Four latents, three values, and the true posterior, rounded to 12 bits."""
    weights = joint().T / joint().sum(0)[:, None]
    freqs = 1 + (weights * (4096 - 4)).astype(int)
    freqs[:, 0] += 4096 - freqs.sum(1)
    posterior = np.pad(freqs.cumsum(1), ((0, 0), (1, 0)))
    return BitsBack(
        prior=categorical(PRIOR, COUNT),
        likelihood=lambda z: categorical(LIKELIHOODS[z]),
        posterior=lambda x: categorical(posterior[x]),
    )


def nested() -> BitsBack[Any, Any]:
    """A hierarchy: the prior of eight integers of four bits is a bits-back code itself."""
    digits = Transformed(
        Serial([toy(), uniform(2, COUNT)]),
        forward=lambda z: [z % 3, z // 3],
        inverse=lambda parts: parts[0] + 3 * parts[1],
    )
    return BitsBack(
        prior=digits,
        likelihood=lambda z: categorical(LIKELIHOODS[z % 4]),
        posterior=lambda x: Transformed(
            Serial([uniform(2, COUNT), categorical([0, 3, 6, 8], COUNT)]),
            forward=lambda z: [z // 3, z % 3],
            inverse=lambda parts: parts[1] + 3 * parts[0],
        ),
    )


def serial() -> Serial:
    return Serial([uniform(7, (3, 2)), categorical(PRIOR, 5), uniform(1, 0), uniform(3, 4)])


CODECS: dict[str, tuple[Callable[[], Codec[Any]], Callable[[np.random.Generator], Any]]] = {
    "serial": (
        serial,
        lambda rng: [rng.integers(0, 128, (3, 2)), rng.integers(0, 4, 5), np.empty(0, int), rng.integers(0, 8, 4)],
    ),
    "transformed": (
        lambda: Transformed(uniform(8, 9), lambda v: v ^ 85, lambda v: v ^ 85),
        lambda rng: rng.integers(0, 256, 9),
    ),
    "joint": (
        lambda: Joint(categorical(PRIOR, COUNT), lambda z: categorical(LIKELIHOODS[z])),
        lambda rng: (rng.integers(0, 3, COUNT), rng.integers(0, 4, COUNT)),
    ),
    "bits-back": (toy, lambda rng: rng.integers(0, 3, COUNT)),
    "nested bits-back": (nested, lambda rng: rng.integers(0, 3, COUNT)),
    "substack": (lambda: Substack(serial(), slice(-1, None)), lambda rng: CODECS["serial"][1](rng)),
    "substack bits-back": (lambda: Substack(toy(), slice(0, None, 2)), lambda rng: rng.integers(0, 3, COUNT)),
}


def same(one: Any, other: Any) -> bool:
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    return np.array_equal(one, other)


@pytest.mark.parametrize("name", CODECS)
@given(seed=SEEDS, lanes=LANES, shared=st.booleans())
def test_push_and_pop_are_inverse(name: str, seed: int, lanes: int, shared: bool) -> None:
    """Both ways, on random bits."""
    make, draw = CODECS[name]
    codec, rng = make(), np.random.default_rng(seed)
    message = random_message(rng, lanes, 60, shared)
    before, values = message.to_bytes(), draw(rng)
    codec.push(message, values)
    assert same(codec.pop(message), values) and message.to_bytes() == before
    codec.push(message, codec.pop(message))
    assert message.to_bytes() == before


def test_serial_is_one_after_the_other() -> None:
    one, other = Message.empty(3), Message.empty(3)
    values = CODECS["serial"][1](np.random.default_rng(0))
    serial().push(one, values)
    for codec, value in zip(serial().codecs, values, strict=True):
        codec.push(other, value)
    assert one.to_bytes() == other.to_bytes()


@given(seed=SEEDS, lanes=st.integers(2, 9), shared=st.booleans())
def test_a_substack_touches_its_lanes_only(seed: int, lanes: int, shared: bool) -> None:
    rng = np.random.default_rng(seed)
    message = random_message(rng, lanes, 30, shared)
    before = message.copy()
    Substack(uniform(11, 20), slice(1, 2)).push(message, rng.integers(0, 2048, 20))
    others = np.arange(lanes) != 1
    assert (message.heads[others] == before.heads[others]).all() and message.heads[1] != before.heads[1]
    if not shared:
        pairs = zip(message.tails, before.tails, others, strict=True)
        assert all(np.array_equal(now, then) for now, then, other in pairs if other)
    alone = Message.of(before.heads[1:2], before.tails if shared else before.tails[1:2])
    uniform(11, 20).push(alone, Substack(uniform(11, 20), slice(1, 2)).pop(message))
    assert message.to_bytes() == before.to_bytes() and alone.size > before.tails[0].size


def test_bits_back_takes_the_likelihoods_bits_of_the_whole() -> None:
    """With the true posterior that is -log2 p(x), though the latents alone take more."""
    rng = np.random.default_rng(5)
    evidence = joint().sum(0) / 256
    x = rng.choice(3, (400, COUNT), p=evidence)
    message = random_message(rng, 2, 100)
    before = message.bits
    for part in x:
        toy().push(message, part)
    assert message.bits - before == pytest.approx(-np.log2(evidence)[x].sum(), rel=0.002)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("name", ["bits-back", "nested bits-back", "substack bits-back"])
def test_nothing_to_pop_is_an_error_and_nothing_changes(name: str, shared: bool) -> None:
    make, draw = CODECS[name]
    message = Message.empty(2, shared=shared)
    with pytest.raises(CorruptError, match="too few bits"):
        make().push(message, draw(np.random.default_rng(0)))
    assert message.is_empty


@pytest.mark.parametrize("name", CODECS)
def test_too_short_a_message_is_an_error_and_nothing_changes(name: str) -> None:
    """Whichever part runs dry."""
    make, draw = CODECS[name]
    rng = np.random.default_rng(3)
    failures = 0
    for words in range(4):
        message = random_message(rng, 1, words)
        before = message.to_bytes()
        for action in (lambda message=message: make().pop(message),) * 9:
            try:
                action()
            except CorruptError:
                failures += 1
                break
            before = message.to_bytes()
        assert message.to_bytes() == before
    assert failures


class Refusing:
    """A codec that has nothing."""

    def push(self, message: Message, values: Any) -> None:
        raise ValueError("refused")

    def pop(self, message: Message) -> Any:
        raise ValueError("refused")


@pytest.mark.parametrize(
    "codec",
    [
        Serial([uniform(20, 9), uniform(20, 9), Refusing()]),
        Serial([toy(), Refusing()]),
        BitsBack(Refusing(), lambda z: uniform(20, 9), lambda x: uniform(30, 9)),
        BitsBack(uniform(30, 9), lambda z: Refusing(), lambda x: uniform(30, 9)),
        BitsBack(uniform(30, 9), lambda z: uniform(20, 9), lambda x: Refusing()),
        Joint(Refusing(), lambda z: uniform(20, 9)),
        Joint(uniform(20, 9), lambda z: Refusing()),
        Substack(Serial([uniform(20, 9), Refusing()]), slice(1)),
        Transformed(Refusing(), lambda v: v, lambda v: v),
    ],
)
@pytest.mark.parametrize("shared", [True, False])
def test_a_part_that_refuses_leaves_the_message(codec: Codec[Any], shared: bool) -> None:
    message = random_message(np.random.default_rng(2), 3, 60, shared)
    before = message.to_bytes()
    values: dict[type, Any] = {Serial: [np.zeros(9, int)] * 3, Joint: (np.zeros(9, int), np.zeros(9, int))}
    if isinstance(codec, Serial) and len(codec.codecs) == 2:
        values[Serial] = [np.zeros(COUNT, int)] * 2
    if isinstance(codec, Substack):
        values[Substack] = [np.zeros(9, int)] * 2
    for action in (lambda: codec.push(message, values.get(type(codec), np.zeros(9, int))), lambda: codec.pop(message)):
        with pytest.raises(ValueError, match="refused"):
            action()
        assert message.to_bytes() == before


def test_a_slice_without_lanes_and_another_number_of_values() -> None:
    message = Message.empty(2)
    with pytest.raises(ValueError, match="heads"):
        Substack(uniform(1, 1), slice(5, 6)).push(message, [0])
    with pytest.raises(ValueError, match="zip"):
        Serial([uniform(1, 1)]).push(message, [[0], [1]])
    assert message.is_empty
