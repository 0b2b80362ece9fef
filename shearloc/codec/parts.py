"""A picture's planes as parts of a file: by which method each is stored smallest, and back.

Which bytes a method writes is `local.py`'s, `png.py`'s or Pillow's work, how parts lie in a file `container.py`'s.
"""

import math
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CorruptError, FormatError, ShearlocError, UnsupportedImageError
from .formats import chunks, container
from .formats.container import DEFLATE, LOCAL, ORDERS, RAW, SAME, SEQUENTIAL, SHEARED, WEBP, Header, Part
from .pictures import png
from .pictures.picture import CHANNELS, PALETTE, Chunk, Picture, Planes, Samples, plane_groups, put_planes, take_planes

if TYPE_CHECKING:
    from ..models.local.model import LocalModel

DEFAULT_MODELS = {1: "gray", 3: "photo"}
"""What model="auto" tries, by the number of planes that go together."""
PARALLEL = "parallel"
"""The order whose stream is the sheared one: another decoder of the same file."""
EFFORTS = range(1, 10)
ADAPTING_UPDATES = {7: 100, 8: 200, 9: 400}
"""Gradient steps by which an effort adapts the model to the image."""
THOROUGH_EFFORT = 5
"""From here on WebP gets the time it wants where it may win."""

# WebP's methods and qualities, and when each is worth its time: measured on kodak, photos and screens (DECISIONS.md).
_FAST, _THOROUGH = (1, 75), (6, 100)
_MIDDLE, _MIDDLE_GRAY = (4, 75), (5, 100)
_FLAT_BITS = 1.0
"""Bits a sample below which a picture is drawn rather than photographed, and the thorough method may gain a lot."""
_FLAT_GAIN = 1.5
"""What the thorough method can gain on drawn or small pictures."""
_GAINS, _GRAY_GAINS = (1.1, 1.035), (1.15, 1.06)
"""What it can gain on photographs: over the fast method, and over the middle one."""
_SMALL_PIXELS, _FLAT_PIXELS, _PHOTO_PIXELS = 1 << 14, 1 << 24, 1 << 20
"""Largest pictures it is tried on; it takes about 1.5 microseconds a drawn pixel, 25 a photographed one."""

_MODEL_FLOOR = 0.005
"""Bits a sample that no shipped model reaches, not even on a single colour (0.006 there)."""
_HOPELESS = 1.15
"""A model this many times larger than another method is not adapted to the image: that gains 3 to 5%."""
_NOISE = 0.98
"""Low bytes that WebP leaves this large are noise, to a model too."""
_DEFLATE_LEVEL = 9

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Coded:
    """A part and its payload, and the model's weights where they are to be embedded."""

    part: Part
    payload: bytes
    weights: tuple[Chunk, ...] = ()

    @property
    def size(self) -> int:
        """Bytes it takes in a file."""
        return container.part_bytes(self.part, len(self.payload)) + len(chunks.pack(self.weights)) - 1


@dataclass(frozen=True)
class Options:
    """What `api.encode` was told."""

    model: str
    effort: int
    engine: str
    order: str
    embed: bool = False
    progress: Progress | None = None


def check_effort(effort: int) -> None:
    """ValueError for what is not one of EFFORTS, of pictures or archives."""
    if effort not in EFFORTS:
        raise ValueError(f"effort is a whole number from 1 to 9, not {effort!r}")


def encode(picture: Picture, options: Options) -> list[Coded]:
    """The parts that take the least bytes, or with a named model, those it makes of the first planes.

    Raises as `api.encode`.
    """
    groups = plane_groups(picture.colour, picture.depth)
    split: list[Coded] = []
    for index, count in enumerate(groups):
        first = sum(groups[:index])
        planes = take_planes(picture.samples, first, count)
        low = first >= CHANNELS[picture.colour]
        if low and (planes == take_planes(picture.samples, first - CHANNELS[picture.colour], count)).all():
            split.append(Coded(Part(count, SAME), b""))
        elif options.model != "auto" and index == 0:
            split.append(_forced(planes, _share(options, first, count, sum(groups))))
        else:
            plain = picture if len(groups) == 1 else Picture(planes[:, :, 0] if count == 1 else planes)
            split.append(_smallest(planes, plain, low, _share(options, first, count, sum(groups))))
        del planes
    if options.model != "auto" or len(groups) == 1:
        return split
    return min([split, *_wholes(picture, _total(split), options)], key=_total)


def _total(coded: Sequence[Coded]) -> int:
    return sum(one.size for one in coded)


def decode(header: Header, payloads: Sequence[bytes], engine: str, order: str, progress: Progress | None) -> Samples:
    """Samples [H, W] or [H, W, C], not yet compared with the pixel checksum. Raises as `api.decode`."""
    channels = CHANNELS[header.colour]
    shape = (header.height, header.width) if channels == 1 else (header.height, header.width, channels)
    samples: Samples | None = None
    first = 0
    models = _embedded(header)
    for part, payload in zip(header.parts, payloads, strict=True):
        tell = _shared(progress, first, part.planes, header.planes)
        if part.method in (RAW, DEFLATE):
            found = _decode_plain(header, part, payload)
            if part.planes == header.planes:
                return found
            planes = found.reshape(header.height, header.width, part.planes)
        elif part.method == WEBP:
            planes = _decode_webp(header, part, payload)
        elif part.method == LOCAL:
            planes = _decode_local(header, part, payload, models, engine, order, tell)
        else:
            assert samples is not None
            planes = take_planes(samples, first - channels, part.planes)
        if part.planes == header.planes:
            return planes.reshape(shape)
        if samples is None:
            samples = np.zeros((*shape[:2], channels), np.uint16 if header.depth == 16 else np.uint8)
        put_planes(samples, first, planes)
        first += part.planes
        if tell and part.method != LOCAL:
            tell(1, 1)
    assert samples is not None
    return samples.reshape(shape)


def _share(options: Options, first: int, count: int, planes: int) -> Options:
    tell = _shared(options.progress, first, count, planes)
    return replace(options, progress=tell)


def _shared(progress: Progress | None, first: int, count: int, planes: int) -> Progress | None:
    """`progress` for a part that begins behind `first` of so many planes."""
    if progress is None or count == planes:
        return progress
    return lambda done, total: progress(first * total + count * done, planes * total)


def _forced(planes: Planes, options: Options) -> Coded:
    """By the named model, adapted if the effort says so."""
    return _by_model(planes, options.model, options)


def _smallest(planes: Planes, plain: Picture, low: bool, options: Options) -> Coded:
    """The least of raw, WebP, the default model, and deflate where WebP is not at home.

    `plain` is what the raw and deflated rows are of: the planes, or the picture if it has no others.
    """
    found, fast = [], b""
    raw = Part(planes.shape[2], RAW)
    raw_size = container.part_bytes(raw, _raw_bytes(plain))
    if container.webp_holds(*planes.shape):
        fast = webp(planes, *_FAST)
        found.append(Coded(Part(planes.shape[2], WEBP), fast))
    if low or not fast or plain.depth < 8 or plain.colour == PALETTE:
        found.append(Coded(Part(planes.shape[2], DEFLATE), png.compress(plain, _DEFLATE_LEVEL)))
    least = min([raw_size, *(coded.size for coded in found)])
    if 8 * least > _MODEL_FLOOR * planes.size and not (low and least > _NOISE * planes.size):
        found.append(_by_model(planes, DEFAULT_MODELS[planes.shape[2]], options, _HOPELESS * least))
    if fast:
        rival = min([raw_size, *(coded.size for coded in found if coded.part.method != WEBP)])
        found.append(Coded(Part(planes.shape[2], WEBP), _refined(planes, fast, rival, options.effort)))
    best = min(found, key=lambda coded: coded.size)
    return best if best.size < raw_size else Coded(raw, _raw(plain))


def _by_model(planes: Planes, name: str, options: Options, hopeless: float = math.inf) -> Coded:
    """By a model; adapted, if the effort says so and that can win: `hopeless` bytes are too many to begin with."""
    model = _model_for(planes, name)
    adapt = _adapter(options.effort)
    weights = _weights(name, model) if options.embed else ()
    coded = _encode_local(model, planes, options)
    # Convolutions see whole images, whose updates would take minutes.
    if adapt and not len(model.neighbours) and coded.size < hopeless:
        adjustments = adapt.bias_adjustments(model, planes, ADAPTING_UPDATES[options.effort], options.progress)
        coded = min(coded, _encode_local(model, planes, options, adjustments), key=lambda coded: coded.size)
    return replace(coded, weights=weights)


def _wholes(picture: Picture, rival: int, options: Options) -> Iterator[list[Coded]]:
    """All planes of several groups in one part: WebP, or deflate where WebP is not at home, or raw.

    `rival` is the bytes of the best so far.
    """
    count = sum(plane_groups(picture.colour, picture.depth))
    raw = Part(count, RAW)
    if container.part_bytes(raw, _raw_bytes(picture)) < rival:
        yield [Coded(raw, _raw(picture))]
    if picture.depth == 8 and container.webp_holds(*picture.samples.shape):
        fast = webp(picture.samples, *_FAST)
        yield [Coded(Part(count, WEBP), _refined(picture.samples, fast, rival, options.effort))]
    else:
        yield [Coded(Part(count, DEFLATE), png.compress(picture, _DEFLATE_LEVEL))]


def _raw_bytes(picture: Picture) -> int:
    height, width = picture.samples.shape[:2]
    return height * png.row_bytes(width, picture.colour, picture.depth)


def _raw(picture: Picture) -> bytes:
    return png.pack_rows(picture.samples, picture.depth).tobytes()


def webp(planes: Planes, method: int, quality: int) -> bytes:
    """uint8 [H, W, 1 to 4] as a lossless WebP: gray as three equal planes, the second or fourth plane as alpha."""
    from PIL import Image

    file = BytesIO()
    image = Image.fromarray(planes[:, :, 0] if planes.shape[2] == 1 else planes)
    image.save(file, "WEBP", lossless=True, exact=True, method=method, quality=quality)
    return file.getvalue()


def _refined(planes: Planes, fast: bytes, rival: int, effort: int) -> bytes:
    """`fast`, or a smaller WebP where that may win against `rival` bytes and the time it takes is bounded."""
    pixels, size = planes.shape[0] * planes.shape[1], len(fast)
    if effort < THOROUGH_EFFORT:
        return fast
    if 8 * size < _FLAT_BITS * planes.size or pixels <= _SMALL_PIXELS:
        worth = size < _FLAT_GAIN * rival and pixels <= _FLAT_PIXELS
        return min(fast, webp(planes, *_THOROUGH), key=len) if worth else fast
    gray = planes.shape[2] == 1
    fast_gain, middle_gain = _GRAY_GAINS if gray else _GAINS
    if size >= fast_gain * rival:
        return fast
    middle = min(fast, webp(planes, *(_MIDDLE_GRAY if gray else _MIDDLE)), key=len)
    worth = len(middle) < middle_gain * rival and pixels <= _PHOTO_PIXELS
    return min(middle, webp(planes, *_THOROUGH), key=len) if worth else middle


def _model_for(planes: Planes, name: str) -> "LocalModel":
    from ..models import zoo

    model = zoo.load(name)
    channels = planes.shape[2]
    if model.channels != channels:
        raise UnsupportedImageError(
            f"model '{name}' is for images of {model.channels} channels, this one has {channels}; "
            f"use '{DEFAULT_MODELS[channels]}' or leave the choice to 'auto'"
        )
    return model


def _weights(name: str, model: "LocalModel") -> tuple[Chunk, ...]:
    from . import embedded

    return (embedded.weights(name, model),)


def _encode_local(
    model: "LocalModel", planes: Planes, options: Options, adjustments: NDArray[np.int8] | None = None
) -> Coded:
    from ..coding import logistic
    from ..models.local import adaptation
    from ..models.local import coder as local

    adapted = model if adjustments is None else model.adjusted(adjustments)
    sequential = options.order == ORDERS[SEQUENTIAL]
    encode_images = local.encode_sequential if sequential else local.encode_images
    payload, lanes = encode_images(adapted, planes[None], options.engine, options.progress)
    part = Part(
        planes.shape[2],
        LOCAL,
        order=SEQUENTIAL if sequential else SHEARED,
        model=model.name,
        fingerprint=model.fingerprint,
        precision=logistic.PRECISION,
        lanes=lanes,
        side_information=b"" if adjustments is None else adaptation.pack(adjustments),
    )
    return Coded(part, payload)


def _adapter(effort: int) -> Any:
    """The module `training/adapt.py` if the effort needs it; ShearlocError where torch is not installed."""
    if effort not in ADAPTING_UPDATES:
        return None
    try:
        from ..training import adapt
    except ImportError as error:
        raise ShearlocError(f'effort 7 and more need torch ({error}): pip install "shearloc[torch]"') from error
    return adapt


def _decode_plain(header: Header, part: Part, payload: bytes) -> Samples:
    """A raw or deflated part: [H, W] or [H, W, channels]."""
    colour, depth = container.part_format(header, part)
    if part.method == RAW:
        rows = np.frombuffer(payload, np.uint8).reshape(header.height, -1)
        samples = png.unpack_rows(rows, header.width, colour, depth)
        return samples if samples.flags.writeable else samples.copy()
    try:
        return png.decompress(payload, header.height, header.width, colour, depth)
    except zlib.error as error:
        raise CorruptError(f"a deflated part of the file is damaged ({error})") from error


def _decode_webp(header: Header, part: Part, payload: bytes) -> Planes:
    """Contiguous uint8 [H, W, planes]."""
    from PIL import Image

    try:
        with Image.open(BytesIO(payload), formats=["WEBP"]) as image:
            if image.size != (header.width, header.height):  # before Pillow allocates what the payload claims
                raise CorruptError("the file's WebP payload has another size than its header says")
            pixels = np.array(image.convert("RGB" if part.planes % 2 else "RGBA"))
    except CorruptError:
        raise
    except Exception as error:  # Pillow's decoders raise many kinds for damaged data
        raise CorruptError(f"the file's WebP payload does not decode ({error})") from error
    return pixels if part.planes > 2 else pixels[:, :, ::3].copy()


def _embedded(header: Header) -> dict[bytes, "LocalModel"]:
    """The models in the file, by fingerprint."""
    found = chunks.weights_in(header.chunks)
    if not found:
        return {}
    from ..models.local.model import LocalModel
    from . import embedded

    return embedded.models(found, {part.fingerprint for part in header.parts}, LocalModel)


def _decode_local(
    header: Header,
    part: Part,
    payload: bytes,
    models: dict[bytes, "LocalModel"],
    engine: str,
    order: str,
    progress: Progress | None,
) -> Planes:
    """Contiguous uint8 [H, W, planes]."""
    from ..coding import logistic
    from ..models import zoo

    if part.precision != logistic.PRECISION:
        raise FormatError("the file's coder parameters need a newer version of Shearloc")
    model = models.get(part.fingerprint) or zoo.find(part.model, part.fingerprint)
    if model.channels != part.planes:
        raise CorruptError(f"the file's {part.planes} channels do not fit its model '{part.model}'")
    if part.side_information:
        model = _adjusted(model, part.side_information)
    decode_images = _decoder(part, order)
    return decode_images(model, payload, part.lanes, (1, header.height, header.width), engine, progress)[0]


def _decoder(part: Part, order: str) -> Callable[..., Planes]:
    """The decoder that the part needs, or that of its two which is asked for. ShearlocError for any other."""
    from ..models.local import coder as local

    name = ORDERS[part.order]
    if part.order == SEQUENTIAL and order in ("auto", name):
        return local.decode_sequential
    if part.order == SHEARED and order == PARALLEL:
        return local.decode_parallel
    if part.order == SHEARED and order in ("auto", name):
        return local.decode_images
    raise ShearlocError(f"the file is coded in {name} order, so it cannot be decoded in {order} order")


def _adjusted(model: "LocalModel", side_information: bytes) -> "LocalModel":
    from ..models.local import adaptation

    try:
        return model.adjusted(adaptation.unpack(side_information, model.bias_count))
    except CorruptError:
        raise
    except ValueError as error:
        raise CorruptError(f"the file's side information does not fit its model ({error})") from error
