"""A wavefront over a local model as a codec: images of one size are pushed onto a message, and popped, as one value.

The message may hold symbols already, so a latent-variable model can have a wavefront as its likelihood or its prior.
"""

from dataclasses import dataclass

import numpy as np

from ...coding.intervals import check_values
from ...coding.message import Message
from ...types import Pixels, Size
from .coder import pop_images, push_images
from .model import LocalModel


@dataclass(frozen=True)
class Wavefront:
    """The codec of uint8 images [N, H, W, C] of size (N, H, W) under a local model, in the sheared order.

    The message's lanes have tails of their own (or it has one lane), at most as many as `MAX_LANES`; threads share the
    lanes. `engine` changes no bit of the message.
    """

    model: LocalModel
    size: Size
    engine: str = "auto"

    def push(self, message: Message, values: Pixels) -> None:
        """Pushes images. ValueError for others than the codec's, or a message whose lanes share a tail."""
        shape = (*self.size, self.model.channels)
        push_images(message, self.model, check_values(values, shape, 255, np.uint8), self.engine)

    def pop(self, message: Message) -> Pixels:
        """Pops images. CorruptError, and the message unchanged, where it has too few bits."""
        return pop_images(message, self.model, self.size, self.engine)
