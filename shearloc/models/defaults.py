"""Which shipped models are tried where nobody names one."""

from .family import How

STATIC = {1: "gray", 3: "photo"}
"""Models that do not learn while they code, by the number of planes that go together."""

LEARNING = {
    1: ("gray-fast-2", "gray-default-2", "gray-default-2"),
    3: ("colour-fast-2", "colour-default-3", "colour-max-2"),
}
"""Models that do, for the efforts 1 to 3, 4 to 6, and 7 to 9."""

DEEP = "linear16"
"""Of pictures of 16 bits, whatever their channels."""

SMALL_IMAGES = {3: ("small", "nelloc-r1")}
"""Also tried on archives of small images, by the channels. Not `nelloc-gray`: one image out of a chunk would take
100 ms instead of 35."""

SMALL_SIDE = 64
"""Images of at most this many pixels a side are small."""


def picture(planes: int, effort: int, how: How) -> str:
    """The model of so many planes of a picture. What learns has no order but the sheared one, and no GPU."""
    if planes not in LEARNING or how.engine == "cuda" or how.order == "sequential":
        return STATIC[planes]
    return LEARNING[planes][(effort - 1) // 3]


def quick(planes: int) -> str:
    """The model that learns quickest, of so many planes: for choices that a large one follows."""
    return LEARNING[planes][0]


def pictures() -> tuple[str, ...]:
    """Every model that `picture` may give."""
    return (*STATIC.values(), *(name for names in LEARNING.values() for name in names))


def candidates(shape: tuple[int, ...], effort: int, engine: str) -> tuple[str, ...]:
    """Models to try on an archive of images [H, W, C]."""
    height, width, channels = shape
    if max(height, width) <= SMALL_SIDE:
        return (STATIC[channels], *SMALL_IMAGES.get(channels, ()))
    return tuple(dict.fromkeys((STATIC[channels], picture(channels, effort, How(engine)))))
