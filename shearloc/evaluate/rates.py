"""Measures what a model's files lose: real bytes beside the model's code length and its float parent's.

A rate is in bits per subpixel, 8 * bytes / (H * W * C), and the mean over images is the mean of these: every
image counts the same, whatever its size. `bench.py` measures speeds and other codecs.
"""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np

from ..codec import api
from ..codec.info import picture_info
from ..codec.pictures import files
from ..coding import logistic
from ..errors import CorruptError, ShearlocError
from ..models.local import coder as local
from ..models.local.model import LocalModel
from ..types import Pixels

if TYPE_CHECKING:
    from ..training.local_float import LocalNet


@dataclass(frozen=True)
class ImageRates:
    """What one image costs. `header_bytes` (all of the file but the payload) are among `file_bytes`.

    `exact`: the file decoded to the same pixels. `code_bits`: the quantised model's own code length; `float_bits`: the
    float parent's ideal one, None if not asked for.
    """

    image: str
    height: int
    width: int
    channels: int
    method: str
    file_bytes: int
    header_bytes: int
    exact: bool
    code_bits: float
    float_bits: float | None

    def bits(self) -> dict[str, float]:
        """Bits of the image by what codes it."""
        parent = {} if self.float_bits is None else {"float parent": self.float_bits}
        return {"files": 8.0 * self.file_bytes, "code length": self.code_bits, **parent}

    def rates(self) -> dict[str, float]:
        """Bits per subpixel by what codes the image."""
        return {name: bits / (self.height * self.width * self.channels) for name, bits in self.bits().items()}

    def to_dict(self) -> dict[str, Any]:
        """The fields and the rates, ready for JSON."""
        return asdict(self) | {"bits_per_subpixel": self.rates()}


def load_image(path: Path, gray: bool) -> Pixels:
    """uint8 [H, W] or [H, W, 3]; `gray` turns colour into Pillow's "L". Errors as `files.load_image`."""
    from PIL import Image

    pixels = files.load_image(path)
    return np.array(Image.fromarray(pixels).convert("L")) if gray else pixels


def measure(paths: Iterable[Path], model: LocalModel, parent: "LocalNet | None", gray: bool) -> Iterator[ImageRates]:
    """Measures image after image. Raises ShearlocError for an image that the model is not for; OSError."""
    for path in paths:
        pixels = load_image(path, gray)
        yield image_rates(path.name, pixels, model, parent)


def image_rates(name: str, pixels: Pixels, model: LocalModel, parent: "LocalNet | None" = None) -> ImageRates:
    """All rates of one image, uint8 [H, W] or [H, W, 3]. `model` is one of the zoo's."""
    data = api.encode(pixels, model=model.name)
    info = picture_info(data)
    return ImageRates(
        image=name,
        height=info.height,
        width=info.width,
        channels=info.channels,
        method=info.method,
        file_bytes=len(data),
        header_bytes=len(data) - info.payload_bytes,
        exact=_comes_back(data, pixels),
        code_bits=code_length(model, pixels),
        float_bits=None if parent is None else float_code_length(parent, pixels),
    )


def _comes_back(data: bytes, pixels: Pixels) -> bool:
    try:
        return np.array_equal(api.decode(data), pixels)
    except CorruptError:
        return False


def code_length(model: LocalModel, pixels: Pixels) -> float:
    """Bits of the image under the quantised model: the sum of -log2(freq / 2^24) over its subpixels."""
    _, freqs = local.frequencies(model, _channels_last(pixels)[None], "auto")
    return float((logistic.PRECISION - np.log2(freqs)).sum())


def load_parent(path: Path, model: LocalModel) -> "LocalNet":
    """The float network that `model` was quantised from, from a training run's `float.pt`.

    ShearlocError if torch is not installed, or the file's network is not of the model's shape; OSError.
    """
    import pickle

    try:
        from ..training.checkpoints import load_weights
        from ..training.export import shape_of
        from ..training.local_float import LocalNet
    except ImportError as error:
        raise ShearlocError(f'the float parent needs torch ({error}): pip install "torch>=2.9"') from error
    net = LocalNet(shape_of(model))
    try:
        load_weights(net, path)
    except (RuntimeError, TypeError, AttributeError, EOFError, pickle.UnpicklingError) as error:
        reason = (str(error).splitlines() or ["empty"])[0]
        raise ShearlocError(f"{path}: not the float weights of model '{model.name}' ({reason})") from error
    return net


def float_code_length(net: "LocalNet", pixels: Pixels) -> float:
    """Bits of the image under the float network, as `local_float.image_bits`."""
    from ..training.local_float import image_bits

    return image_bits(net, _channels_last(pixels))


def _channels_last(pixels: Pixels) -> Pixels:
    return np.ascontiguousarray(pixels).reshape(*pixels.shape[:2], -1)


def mean_rates(rows: list[ImageRates]) -> dict[str, float]:
    """Mean over images of the bits per subpixel, by what codes them."""
    return {name: fmean(row.rates()[name] for row in rows) for name in rows[0].bits()}


def excess(rows: list[ImageRates], what: str, over: str) -> dict[str, float]:
    """How much larger `what` is than `over`, in percent: of their mean rates, and of the worst image."""
    means = mean_rates(rows)
    worst = max(row.bits()[what] / row.bits()[over] for row in rows)
    return {"mean_percent": 100 * (means[what] / means[over] - 1), "worst_percent": 100 * (worst - 1)}


def summary(rows: list[ImageRates]) -> dict[str, Any]:
    """The mean rates, the losses on the way from the float parent to the files, and how many images came back."""
    result = {
        "images": len(rows),
        "exact": sum(row.exact for row in rows),
        "mean_bits_per_subpixel": mean_rates(rows),
        "files_over_code_length": excess(rows, "files", "code length"),
    }
    if rows[0].float_bits is not None:
        result["code_length_over_float_parent"] = excess(rows, "code length", "float parent")
    return result
