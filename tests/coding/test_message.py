"""The message: what it takes, its bytes, room to grow, and how long it is."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shearloc.coding import Message, categorical, uniform
from shearloc.coding.message import unchanged_on_error
from shearloc.coding.rans import LOWEST
from shearloc.errors import CorruptError

from .messages import PINNED_CDF, PINNED_SYMBOLS, random_message

SEEDS = st.integers(0, 2**32 - 1)
LANES = st.integers(1, 20)


@given(LANES, st.integers(0, 50), SEEDS, st.booleans())
def test_bytes_round_trip(lanes: int, words: int, seed: int, shared: bool) -> None:
    message = random_message(np.random.default_rng(seed), lanes, words, shared)
    data = message.to_bytes()
    tails = 1 if shared else lanes
    assert len(data) == 8 * lanes + 4 * words * tails + 4 * (tails - 1)
    again = Message.from_bytes(data, lanes, shared=shared)
    assert again.to_bytes() == data and again.shared == message.shared
    uniform(9, 30).push(again, np.arange(30))
    assert uniform(9, 30).pop(again).tolist() == list(range(30))
    assert again.to_bytes() == data


def test_pinned_bytes() -> None:
    """What version 1 files hold: these bytes may never change."""
    message = Message.empty(2)
    codec = categorical(PINNED_CDF, len(PINNED_SYMBOLS))
    codec.push(message, np.array(PINNED_SYMBOLS) % 4)
    assert message.to_bytes().hex(" ", 4) == "f86b1906 1d040000 681831d1 2a000000 3096c463 4e92ed0f 1caf1be5 bdaf05a6"
    codec.pop(message)
    message.check_empty()


def test_pinned_bytes_of_own_tails() -> None:
    """Two lanes, each with its words behind its head; first how many words the first lane has."""
    message = Message.of(
        np.array([5 << 32, 7 << 40], np.uint64), [np.array([1, 2], np.uint32), np.array([3], np.uint32)]
    )
    assert message.to_bytes().hex(" ", 4) == "02000000 00000000 05000000 01000000 02000000 00000000 00070000 03000000"


def test_a_single_lanes_tail_is_shared_and_its_own() -> None:
    message = random_message(np.random.default_rng(0), 1, 5)
    assert Message.from_bytes(message.to_bytes(), 1, shared=False).to_bytes() == message.to_bytes()


@given(st.binary(max_size=64), st.integers(1, 4), st.booleans())
def test_any_bytes_are_a_message_or_corrupt(data: bytes, lanes: int, shared: bool) -> None:
    try:
        message = Message.from_bytes(data, lanes, shared=shared)
    except CorruptError:
        return
    assert message.lanes == lanes and message.to_bytes() == data


@pytest.mark.parametrize(
    ("data", "lanes", "shared", "words"),
    [
        (bytes(7), 1, True, "cut short"),
        (b"\xff" * 17, 2, True, "cut short"),
        (b"\xff" * 16, 2, False, "cut short"),
        (bytes(16), 2, True, "too small"),
        (b"\xff" * 20, 2, False, "longer"),
    ],
)
def test_bytes_that_cannot_be(data: bytes, lanes: int, shared: bool, words: str) -> None:
    with pytest.raises(CorruptError, match=words):
        Message.from_bytes(data, lanes, shared=shared)


@given(LANES, st.integers(0, 9), st.lists(st.integers(0, 40), max_size=6), SEEDS, st.booleans())
def test_room_to_grow_changes_nothing(lanes: int, words: int, counts: list[int], seed: int, shared: bool) -> None:
    message = random_message(np.random.default_rng(seed), lanes, words, shared)
    before = message.to_bytes()
    for count in counts:
        message.reserve(count)
        assert (np.append(message.bases[1:], message.words.size) - message.tops >= count).all()
    assert message.to_bytes() == message.copy().to_bytes() == before


def test_many_small_pushes_copy_little() -> None:
    """Room doubles: the words are new some ten times, not a thousand."""
    message, rooms = Message.empty(2, shared=False), set()
    for _ in range(1000):
        uniform(31, 4).push(message, [2**31 - 1] * 4)
        rooms.add(message.words.size)
    assert len(rooms) < 20


@given(LANES, st.integers(0, 50), SEEDS, st.booleans())
def test_length_is_that_of_the_numbers(lanes: int, words: int, seed: int, shared: bool) -> None:
    message = random_message(np.random.default_rng(seed), lanes, words, shared)
    exact = 32 * message.size + float(np.log2(message.heads.astype(np.float64)).sum())
    assert message.bits == pytest.approx(exact, abs=lanes * 2**-12)
    assert message.length == message.bits * 2**16
    assert abs(Message.empty(lanes).bits - 32 * lanes) <= lanes * 2**-12


def test_what_raises_leaves_the_message() -> None:
    """Also where words below the top were popped, and others written over them."""
    message = random_message(np.random.default_rng(1), 3, 20)
    before = message.to_bytes()

    def work() -> None:
        uniform(20, 30).pop(message)
        uniform(20, 25).push(message, np.zeros(25, int))
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="middle"), unchanged_on_error(message):
        work()
    assert message.to_bytes() == before


@pytest.mark.parametrize("shared", [True, False])
def test_check_empty(shared: bool) -> None:
    message = Message.empty(2, shared=shared)
    message.check_empty()
    uniform(1, 1).push(message, [1])
    assert not message.is_empty
    with pytest.raises(CorruptError, match="too early or too late"):
        message.check_empty()
    dry = Message.empty(2, shared=shared)
    dry.tops[0] = -1
    assert dry.dry
    with pytest.raises(CorruptError):
        dry.check_empty()


ZERO = np.zeros(1, np.int64)


@pytest.mark.parametrize(
    "call",
    [
        lambda: Message.empty(0),
        lambda: Message.from_bytes(b"", 0),
        lambda: Message.of(np.zeros(1, np.uint64), [np.empty(0, np.uint32)]),
        lambda: Message.of(np.full(1, 2**32), [np.empty(0, np.uint32)]),
        lambda: Message.of(np.full((1, 1), LOWEST), [np.empty(0, np.uint32)]),
        lambda: Message.of(np.full(1, LOWEST), [np.empty(0, np.int64)]),  # type: ignore[list-item]
        lambda: Message.of(np.full(3, LOWEST), [np.empty(0, np.uint32)] * 2),
        lambda: Message(np.full(1, LOWEST), np.empty(0, np.uint32), ZERO, ZERO + 1),
        lambda: Message(np.full(1, LOWEST), np.empty(3, np.uint32), ZERO + 2, ZERO + 1),
        lambda: Message(np.full(2, LOWEST), np.empty(3, np.uint32), np.array([0, 1]), np.array([2, 3])),
    ],
)
def test_what_is_no_message(call: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"\w") as caught:
        call()
    assert not isinstance(caught.value, CorruptError)
