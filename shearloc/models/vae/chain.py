"""Chains: images coded by an autoencoder with bits-back coding, one after another on one message, as bytes.

`codecs.py` has the bits-back code of a round of images, `startup.py` how a chain starts. A chain is stored as

    u8: coarse bits | u8: lanes | varint: rounds | each round's images, varint, 0 for one plain image | message

where the message's lanes share a tail.
"""

import io
from dataclasses import dataclass

import numpy as np

from ...coding.bins import BIN_BITS
from ...coding.fields import take, take_varint, varint
from ...coding.lengths import LENGTH_BITS
from ...coding.message import Message
from ...errors import CorruptError
from ...nets.fixed_point import product_of
from ...types import Pixels
from .codecs import bits_back, posterior
from .model import VaeModel
from .startup import ROUND, plain, push_images

LANES = 8
"""Lanes of a chain of at least MANY images, 4 bytes each; shorter ones have one."""
MANY = 64


@dataclass(frozen=True)
class Chain:
    """A coded chain: its bytes; `net_bits`, what bits-back coding alone cost; `plain` images, and `initial_bits`,
    their extra cost because there were no bits to pop. Bits are in 2^-16."""

    data: bytes
    net_bits: int
    initial_bits: int
    plain: int


def encode_chain(model: VaeModel, images: Pixels, steps: int, engine: str) -> Chain:
    """Codes uint8 [n, side, side, channels], n >= 1, with K = `steps` steps of optimal inference for every image."""
    message = Message.empty(LANES if len(images) >= MANY else 1)
    done = push_images(message, model, np.ascontiguousarray(images), steps, product_of(engine))
    head = bytes([done.coarse, message.lanes]) + b"".join(map(varint, [len(done.rounds), *done.rounds]))
    net_bits = message.length - (32 * message.lanes << LENGTH_BITS) - done.initial_bits
    return Chain(head + message.to_bytes(), net_bits, done.initial_bits, done.rounds.count(0))


def decode_chain(model: VaeModel, data: bytes, count: int, steps: int, engine: str) -> Pixels:
    """The uint8 [count, side, side, channels] that `encode_chain` coded. CorruptError for any other `data`."""
    product = product_of(engine)
    q = posterior(model, steps, product)
    stream = io.BytesIO(data)
    coarse, lanes = take(stream, 2)
    length = take_varint(stream)
    rounds = [take_varint(stream) for _ in range(length)] if length <= count else []
    if sum(max(r, 1) for r in rounds) != count or not lanes or not 0 < coarse < BIN_BITS:
        raise CorruptError(f"the chain's rounds do not hold its {count} images")
    if max(rounds) > ROUND:
        raise CorruptError(f"a round of the chain has {max(rounds)} images; there are at most {ROUND}")
    message = Message.from_bytes(stream.read(), lanes)
    images = np.empty((count, *model.image_shape), np.uint8)
    end = count
    for size in reversed(rounds):
        if size:
            part = bits_back(model, size, product, q).pop(message)
        else:
            part, _ = plain(model, coarse, product).pop(message)
        images[end - len(part) : end] = part
        end -= len(part)
    message.check_empty()
    return images
