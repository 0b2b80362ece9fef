"""Which shipped models are tried where nobody names one."""

PICTURES = {1: "gray", 3: "photo"}
"""By the number of planes that go together."""

DEEP = "linear16"
"""Of pictures of 16 bits, whatever their channels."""

SMALL_IMAGES = {3: ("small", "nelloc-r1")}
"""Also tried on archives of small images, by the channels. Not `nelloc-gray`: one image out of a chunk would take
100 ms instead of 35."""

SMALL_SIDE = 64
"""Images of at most this many pixels a side are small."""


def candidates(shape: tuple[int, ...]) -> tuple[str, ...]:
    """Models to try on images [H, W, C]."""
    height, width, channels = shape
    small = SMALL_IMAGES.get(channels, ()) if max(height, width) <= SMALL_SIDE else ()
    return (PICTURES[channels], *small)
