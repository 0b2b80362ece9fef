"""Has Numba compile every kernel for this processor, so that later runs find them in its cache.

This is for container images, and before tests. Numba keeps compiled code beside the package, or where NUMBA_CACHE_DIR
says. Nothing here lists the kernels: it encodes small images of every kind, and decodes them.
"""

from collections.abc import Callable

import numpy as np

from ..models import defaults, zoo
from ..types import Pixels, Progress, Samples
from . import api

SIDE = 40
"""Side of the pictures, in pixels."""
SHAPES = ((SIDE, 3, 256), (SIDE, 1, 256), (32, 3, 256), (28, 1, 256), (28, 1, 2))
"""Side, channels and levels of images in archives: every shipped model takes some of them."""
COUNT = 8
"""Images in an archive."""


def warm_up(progress: Progress | None = None) -> None:
    """Compiles what is not compiled yet. Calls progress(done, total) now and then."""
    tasks = _tasks()
    for done, task in enumerate(tasks):
        if progress:
            progress(done, len(tasks))
        task()
    if progress:
        progress(len(tasks), len(tasks))


def _tasks() -> list[Callable[[], None]]:
    """A picture for each engine and order, one of 16 bits, and an archive by each model."""
    colour = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    pictures = [
        (planes, engine, order)
        for planes in (colour, colour[:, :, :1].copy())
        for engine, order in (("numba", "sheared"), ("numba", "sequential"), ("numpy", "sheared"))
    ]
    return [
        *(lambda given=given: _picture(*given) for given in pictures),
        lambda: _deep_picture(colour[:, :, 0] * np.uint16(257)),
        *(lambda name=name: _archive(name) for name in zoo.names()),
    ]


def _picture(planes: Pixels, engine: str, order: str) -> None:
    model = "photo" if planes.shape[2] == 3 else "gray"
    image = planes if planes.shape[2] == 3 else planes[:, :, 0]
    api.decode(api.encode(image, model=model, engine=engine, order=order), engine=engine)


def _deep_picture(image: Samples) -> None:
    api.decode(api.encode(image, model=defaults.DEEP))


def _archive(name: str) -> None:
    """Images of a shape that the model takes."""
    model = zoo.load(name)
    for side, channels, levels in SHAPES:
        if model.refuses((side, side, channels), levels) is None:
            images = np.random.default_rng(1).integers(0, levels, (COUNT, side, side, channels), np.uint8)
            api.decode(api.encode_images(images if channels > 1 else images[..., 0], model=name))
            return
