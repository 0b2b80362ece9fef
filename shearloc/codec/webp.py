"""Lossless WebP, through Pillow, as one way to store planes: fast first, then with more time where it may win.

docs/DECISIONS.md has the measurements behind the methods and qualities (Kodak, `photos/` and `screens/`).
"""

from io import BytesIO

import numpy as np

from ..errors import CorruptError, UnsupportedImageError
from .pictures import pillow
from .pictures.picture import Planes

THOROUGH_EFFORT = 5
"""From this effort on, WebP gets all the time it wants where it may win."""

ALWAYS_EFFORT = 6
"""From here on WebP is tried on photographs, too."""
_BAND, _EVERY, _PHOTO_BITS = 16, 128, 2.0
"""Rows of a band, rows from band to band, and bits a sample of a photograph's bands in WebP, at least."""

FAST, _THOROUGH = (1, 75), (6, 100)
_MIDDLE, _MIDDLE_GRAY = (4, 75), (5, 100)
_FLAT_BITS = 1.0
"""Bits a sample below which a picture is drawn rather than photographed, and the thorough method may gain a lot."""
_FLAT_GAIN = 1.5
"""What the thorough method can gain on drawn or small pictures."""
_GAINS, _GRAY_GAINS = (1.1, 1.035), (1.15, 1.06)
"""What it can gain on photographs: over the fast method, and over the middle one."""
_SMALL_PIXELS, _FLAT_PIXELS, _PHOTO_PIXELS = 1 << 14, 1 << 24, 1 << 20
"""Largest pictures it is tried on; it takes about 1.5 microseconds a drawn pixel, 25 a photographed one."""


def may_win(planes: Planes, effort: int) -> bool:
    """Whether to try WebP on uint8 [H, W, 1 to 4]: below effort 4 not on what an eighth of the rows shows to be a
    photograph, which a model codes in fewer bytes."""
    if effort >= ALWAYS_EFFORT or planes.shape[0] < 2 * _EVERY:
        return True
    bands = np.concatenate([planes[row : row + _BAND] for row in range(0, planes.shape[0] - _BAND, _EVERY)])
    return 8 * len(encode(bands, *FAST)) < _PHOTO_BITS * bands.size


def encode(planes: Planes, method: int, quality: int) -> bytes:
    """uint8 [H, W, 1 to 4] as a lossless WebP: gray as three equal planes, the second or fourth plane as alpha."""
    from PIL import Image

    file = BytesIO()
    image = Image.fromarray(planes[:, :, 0] if planes.shape[2] == 1 else planes)
    image.save(file, "WEBP", lossless=True, exact=True, method=method, quality=quality)
    return file.getvalue()


def refined(planes: Planes, fast: bytes, rival: int, effort: int) -> bytes:
    """`fast`, or a smaller WebP where one may beat `rival` bytes in a bounded time."""
    pixels, size = planes.shape[0] * planes.shape[1], len(fast)
    if effort < THOROUGH_EFFORT:
        return fast
    if 8 * size < _FLAT_BITS * planes.size or pixels <= _SMALL_PIXELS:
        worth = size < _FLAT_GAIN * rival and pixels <= _FLAT_PIXELS
        return min(fast, encode(planes, *_THOROUGH), key=len) if worth else fast
    gray = planes.shape[2] == 1
    fast_gain, middle_gain = _GRAY_GAINS if gray else _GAINS
    if size >= fast_gain * rival:
        return fast
    middle = min(fast, encode(planes, *(_MIDDLE_GRAY if gray else _MIDDLE)), key=len)
    worth = len(middle) < middle_gain * rival and pixels <= _PHOTO_PIXELS
    return min(middle, encode(planes, *_THOROUGH), key=len) if worth else middle


def decode(payload: bytes, height: int, width: int, planes: int) -> Planes:
    """Contiguous uint8 [H, W, planes]. CorruptError where the payload is no WebP, or has another size."""
    try:
        with pillow.opened(payload, "WEBP", height * width) as image:
            if image.size != (width, height):  # before Pillow allocates what the payload claims
                raise CorruptError("the file's WebP payload has another size than its header says")
            pixels = np.array(image.convert("RGB" if planes % 2 else "RGBA"))
    except UnsupportedImageError as error:
        raise CorruptError(f"the file's WebP payload does not decode ({error})") from error
    return pixels if planes > 2 else pixels[:, :, ::3].copy()
