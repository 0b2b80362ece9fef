"""Lanes: how a step's items are shared out, and what a message of them looks like.

That damage to a payload is found is tested where payloads are decoded: test_wavefront.py.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shearloc.coding import Message
from shearloc.coding.lanes import MAX_LANES, lane_count, lane_sizes, push
from shearloc.coding.logistic import PRECISION
from shearloc.coding.rans import LOWEST, pop_advance, pop_target

from .messages import random_message


@given(st.lists(st.integers(0, 300), min_size=1, max_size=20), st.integers(1, 40))
def test_lanes_share_every_step(sizes: list[int], lanes: int) -> None:
    expected = [sum(n * (lane + 1) // lanes - n * lane // lanes for n in sizes) for lane in range(lanes)]
    assert lane_sizes(np.array(sizes), lanes).tolist() == expected
    assert sum(expected) == sum(sizes)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=30), st.integers(1, 5), st.sampled_from([1, 3]), st.data())
def test_every_lane_pops_its_items_in_order(sizes: list[int], lanes: int, channels: int, data: st.DataObject) -> None:
    """Onto a message that holds something, which is left in the end."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    count = sum(sizes)
    freqs = rng.integers(6, 1 << data.draw(st.integers(3, 23)), (channels, count)).astype(np.uint32)
    starts = rng.integers(0, (1 << PRECISION) - freqs.astype(np.int64)).astype(np.uint32).reshape(channels, count)
    message = random_message(rng, lanes, data.draw(st.integers(0, 5)), shared=False)
    before = message.to_bytes()
    push(message, starts, freqs, np.array(sizes))
    message = Message.from_bytes(message.to_bytes(), lanes, shared=False)
    heads, words, tops = message.arrays
    done = 0
    for n in sizes:
        for lane in range(lanes):
            for c in range(channels):
                for item in range(done + n * lane // lanes, done + n * (lane + 1) // lanes):
                    target = pop_target(heads[lane], PRECISION)
                    start, freq = int(starts[c, item]), int(freqs[c, item])
                    assert start <= target < start + freq
                    heads[lane], tops[lane] = pop_advance(heads[lane], words, tops[lane], start, freq, PRECISION)
        done += n
    assert message.to_bytes() == before


def test_a_payload_byte_by_byte() -> None:
    """Two lanes, one step of three items: the first lane codes item 0, the second items 1 and 2, last pushed first."""
    freqs = np.array([[1 << 23, 1 << 22, 1 << 22]], np.uint32)
    starts = np.array([[0, 1 << 23, 3 << 22]], np.uint32)
    first = (int(LOWEST) >> 23 << 24).to_bytes(8, "little")
    state = (int(LOWEST) >> 22 << 24) + (3 << 22)
    state = ((state >> 22) << 24) + state % (1 << 22) + (1 << 23)
    message = Message.empty(2, shared=False)
    push(message, starts, freqs, np.array([3]))
    assert message.to_bytes() == bytes(4) + first + state.to_bytes(8, "little")


def test_lanes_that_share_a_tail_are_refused() -> None:
    message = Message.empty(2)
    with pytest.raises(ValueError, match="share a tail"):
        push(message, np.zeros((1, 1), np.uint32), np.ones((1, 1), np.uint32), np.array([1]))
    assert message.is_empty


@pytest.mark.parametrize(
    ("rows", "samples", "lanes"),
    [(512, 512 * 768 * 3, 18), (1, 1 << 22, 1), (32000, 3072000, 46), (1 << 16, 1 << 30, MAX_LANES), (9, 27, 1)],
)
def test_lane_count(rows: int, samples: int, lanes: int) -> None:
    assert lane_count(rows, samples) == lanes
