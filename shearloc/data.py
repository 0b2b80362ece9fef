"""A collection as a `torch.utils.data.Dataset`. Importing this module imports torch, which comes with an extra."""

import os
from collections.abc import Callable
from typing import Any

from .codec.collections.collection import CACHE_BYTES, Collection
from .errors import ShearlocError
from .nets.engines import at_most, processors

try:
    import torch
    from torch.utils.data import Dataset, get_worker_info
except ImportError as error:
    raise ShearlocError('shearloc.data needs torch: pip install "torch>=2.9"') from error


class CollectionDataset(Dataset[Any]):
    """The images of a collection in the order of their names, each a tensor [C, H, W], uint8 or uint16.

    `transform(image, name)` returns an item made from an image and its name, for example a pair with a label. Each
    worker of a DataLoader opens the files itself, decodes on one processor, and keeps up to `cache_bytes` of decoded
    chunks; if all fit, later epochs decode nothing. Raises as `Collection` and its `[]`.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        transform: Callable[[torch.Tensor, str], Any] | None = None,
        *,
        model: str | os.PathLike[str] | None = None,
        engine: str = "auto",
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        """Read the index's header."""
        self.collection = Collection(path, model=model, engine=engine, cache_bytes=cache_bytes)
        self.transform = transform

    def __len__(self) -> int:
        """How many images there are."""
        return len(self.collection)

    def __getitem__(self, number: int) -> Any:
        """The image of this number, transformed."""
        with at_most(processors() if get_worker_info() is None else 1):
            pixels = self.collection[number]
        image = torch.from_numpy(pixels if pixels.ndim == 3 else pixels[..., None]).permute(2, 0, 1).contiguous()
        return image if self.transform is None else self.transform(image, self.collection.entry(number).name)
