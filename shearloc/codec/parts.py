"""A picture's planes as parts of a file: each stored by whichever method is smallest, and back.

A method is a model of some family, or needs none: lossless WebP, deflated or raw samples.
"""

import math
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from types import ModuleType

import numpy as np

from ..errors import CorruptError, FormatError, ShearlocError, UnsupportedImageError
from ..models import defaults, orientation, zoo
from ..models.family import Coded, How, Model, Order, share_of, with_progress
from ..types import Samples
from . import embedded, turning, webp
from .formats import chunks, container
from .formats.container import Header, Method, Part
from .pictures import png
from .pictures.picture import (
    CHANNELS,
    PALETTE,
    Chunk,
    Picture,
    Planes,
    plane_groups,
    put_planes,
    take_planes,
)

EFFORTS = range(1, 10)
ADAPTING_UPDATES = {7: 100, 8: 200, 9: 400}
"""Gradient steps that each effort takes to adapt the model to the image."""

_MODEL_FLOOR = 0.005
"""Bits a sample that no shipped model gets below: even a single colour takes 0.006."""
_HOPELESS = 1.15
"""A model this many times larger than another method is not adapted to the image: that gains 3 to 5%."""
_CARE = 1.15
"""How many times smaller than a quick WebP planes of a 16-bit picture may become ..."""
_MOSTLY_NOISE = 0.85
"""... unless it leaves them this large."""
_NOISE = 0.98
"""Low bytes that stay this large in WebP are noise to a model, too."""
_DEFLATE_LEVEL = 9


@dataclass(frozen=True)
class CodedPart:
    """A part and its payload, and the model's weights if they are to be embedded."""

    part: Part
    payload: bytes
    weights: tuple[Chunk, ...] = ()

    @property
    def size(self) -> int:
        """Bytes it takes in a file."""
        return container.part_bytes(self.part, len(self.payload)) + len(chunks.pack(self.weights)) - 1


@dataclass(frozen=True)
class Options:
    """The options of `api.encode`."""

    model: str
    effort: int
    how: How
    embed: bool = False


def check_effort(effort: int) -> None:
    """ValueError for an effort that is not one of EFFORTS, for pictures or archives."""
    if effort not in EFFORTS:
        raise ValueError(f"effort is a whole number from 1 to 9, not {effort!r}")


# --- Encoding -----------------------------------------------------------------------------------------------------


def encode(picture: Picture, options: Options) -> list[CodedPart]:
    """The parts that take the fewest bytes; with a named model, those that it makes of the first planes.

    Raises as `api.encode`.
    """
    deep = _by_deep_model(picture, options) if picture.depth == 16 else None
    if deep is None:
        return _best_split(picture, options)
    if options.model != "auto":
        return [deep]
    quiet = replace(options, how=with_progress(options.how, None))
    if _split_is_hopeless(picture, deep.size):
        return min([[deep], *_wholes(picture, deep.size, quiet)], key=_total)
    return min([deep], _best_split(picture, quiet), key=_total)


def _by_deep_model(picture: Picture, options: Options) -> CodedPart | None:
    """All planes of a picture of 16 bits by the named model, if that is for them, or by the default one."""
    name = defaults.DEEP if options.model == "auto" else options.model
    if not zoo.family_of(name).deep:
        return None
    return _by_model(picture.samples.reshape(*picture.samples.shape[:2], -1), name, options)


def _split_is_hopeless(picture: Picture, rival: int) -> bool:
    """Whether high and low bytes, each by a quick WebP, take so much more than `rival` bytes that no care helps."""
    channels = CHANNELS[picture.colour]
    high, low = (take_planes(picture.samples, first, channels) for first in (0, channels))
    if (high == low).all():  # 8 bits, doubled
        return False
    if not container.webp_holds(*high.shape):
        return True
    quick = [len(webp.encode(planes, *webp.FAST)) for planes in (high, low)]
    return sum(size if size > _MOSTLY_NOISE * high.size else size / _CARE for size in quick) > rival


def _best_split(picture: Picture, options: Options) -> list[CodedPart]:
    """The least of parts for planes that go together, and of all planes in one part; none by a model of 16 bits."""
    groups = plane_groups(picture.colour, picture.depth)
    split: list[CodedPart] = []
    for index, count in enumerate(groups):
        first = sum(groups[:index])
        planes = take_planes(picture.samples, first, count)
        low = first >= CHANNELS[picture.colour]
        share = _share(options, first, count, sum(groups))
        if low and (planes == take_planes(picture.samples, first - CHANNELS[picture.colour], count)).all():
            split.append(CodedPart(Part(count, Method.SAME), b""))
        elif options.model != "auto" and index == 0:
            split.append(_by_model(planes, options.model, share))
        else:
            plain = picture if len(groups) == 1 else Picture(planes[:, :, 0] if count == 1 else planes)
            split.append(_smallest(planes, plain, low, share))
        del planes
    if options.model != "auto" or len(groups) == 1:
        return split
    return min([split, *_wholes(picture, _total(split), options)], key=_total)


def _total(coded: Sequence[CodedPart]) -> int:
    return sum(one.size for one in coded)


def _share(options: Options, first: int, count: int, planes: int) -> Options:
    """The options for a part that begins after `first` of so many planes."""
    return replace(options, how=with_progress(options.how, share_of(options.how.progress, first, count, planes)))


def _smallest(planes: Planes, plain: Picture, low: bool, options: Options) -> CodedPart:
    """The smallest of raw, WebP, the default model, and deflate where WebP does not apply.

    `plain`: what raw and deflated rows are made from: the planes, or the picture if it has no others.
    """
    found, fast = [], b""
    raw = Part(planes.shape[2], Method.RAW)
    raw_size = container.part_bytes(raw, _raw_bytes(plain))
    holds = container.webp_holds(*planes.shape)
    if holds and webp.may_win(planes, options.effort):
        fast = webp.encode(planes, *webp.FAST)
        found.append(CodedPart(Part(planes.shape[2], Method.WEBP), fast))
    if low or not holds or plain.depth < 8 or plain.colour == PALETTE:
        found.append(CodedPart(Part(planes.shape[2], Method.DEFLATE), png.compress(plain, _DEFLATE_LEVEL)))
    least = min([raw_size, *(coded.size for coded in found)])
    if 8 * least > _MODEL_FLOOR * planes.size and not (low and least > _NOISE * planes.size):
        found.append(
            _by_model(
                planes, defaults.picture(planes.shape[2], options.effort, options.how), options, _HOPELESS * least
            )
        )
    if fast:
        rival = min([raw_size, *(coded.size for coded in found if coded.part.method != Method.WEBP)])
        refined = webp.refined(planes, fast, rival, options.effort)
        found.append(CodedPart(Part(planes.shape[2], Method.WEBP), refined))
    best = min(found, key=lambda coded: coded.size)
    return best if best.size < raw_size else CodedPart(raw, _raw(plain))


def _wholes(picture: Picture, rival: int, options: Options) -> Iterator[list[CodedPart]]:
    """All planes of several groups in one part: WebP, deflate where WebP does not apply, or raw.

    `rival`: bytes of the best so far.
    """
    count = sum(plane_groups(picture.colour, picture.depth))
    raw = Part(count, Method.RAW)
    if container.part_bytes(raw, _raw_bytes(picture)) < rival:
        yield [CodedPart(raw, _raw(picture))]
    if picture.depth == 8 and container.webp_holds(*picture.samples.shape):
        fast = webp.encode(picture.samples, *webp.FAST)
        yield [CodedPart(Part(count, Method.WEBP), webp.refined(picture.samples, fast, rival, options.effort))]
    else:
        yield [CodedPart(Part(count, Method.DEFLATE), png.compress(picture, _DEFLATE_LEVEL))]


def _raw_bytes(picture: Picture) -> int:
    height, width = picture.samples.shape[:2]
    return height * png.row_bytes(width, picture.colour, picture.depth)


def _raw(picture: Picture) -> bytes:
    return png.pack_rows(picture.samples, picture.depth).tobytes()


def _by_model(planes: Samples, name: str, options: Options, hopeless: float = math.inf) -> CodedPart:
    """By a model; adapted, if the effort says so and that can win: `hopeless` bytes are too many to begin with."""
    model = _model_for(planes, name)
    updates = ADAPTING_UPDATES.get(options.effort, 0) if model.adaptable else 0
    adapt = _adapter() if updates else None
    weights = (embedded.weights(name, model),) if options.embed else ()
    if model.family.turns:
        return replace(_turned(model, planes, options), weights=weights)
    coded = _model_part(model, planes, model.encode(planes[None], options.how))
    if adapt and coded.size < hopeless:
        adjustments = adapt.side_information(model, planes, updates, options.how.progress)
        adapted = _model_part(model, planes, model.encode(planes[None], options.how, adjustments))
        coded = min(coded, adapted, key=lambda coded: coded.size)
    return replace(coded, weights=weights)


def _turned(model: Model, planes: Samples, options: Options) -> CodedPart:
    """By a model whose pictures may lie another way: in the one that a quick model likes best."""
    quick = zoo.load(defaults.quick(planes.shape[2])) if planes.shape[2] in defaults.LEARNING else model
    number = turning.chosen(quick, planes, options.effort, options.how)
    coded = model.encode(orientation.laid(planes[None], number), turning.coding(options.how, options.effort))
    return _model_part(model, planes, replace(coded, side_information=turning.side_information(number)))


def _model_for(planes: Samples, name: str) -> Model:
    """The model of this name or path, for these planes. UnsupportedImageError where it is for others."""
    model = zoo.load(name)
    if not model.family.pictures:
        raise UnsupportedImageError(f"model '{name}' codes archives only: use `encode_images`, or `shearloc archive`")
    if problem := model.refuses(planes.shape, 1 << 8 * planes.itemsize):
        raise UnsupportedImageError(
            f"{problem}; use '{defaults.STATIC[planes.shape[2]]}' or leave the choice to 'auto'"
        )
    return model


def _adapter() -> ModuleType:
    """The function that adapts models to an image. ShearlocError where torch is not installed."""
    try:
        from ..training import adapt
    except ImportError as error:
        raise ShearlocError(
            f'a model that does not learn needs torch from effort 7 on ({error}): pip install "torch>=2.9"'
        ) from error
    return adapt


def _model_part(model: Model, planes: Samples, coded: Coded) -> CodedPart:
    part = Part(
        planes.shape[2] * planes.itemsize,
        model.family.method,
        order=coded.order,
        model=model.name,
        fingerprint=model.fingerprint,
        precision=model.family.precision,
        lanes=coded.lanes,
        side_information=coded.side_information,
    )
    return CodedPart(part, coded.payload)


# --- Decoding -----------------------------------------------------------------------------------------------------


def decode(header: Header, payloads: Sequence[bytes], how: How) -> Samples:
    """Samples [H, W] or [H, W, C], before the check of the pixel checksum. Raises as `api.decode`."""
    channels = CHANNELS[header.colour]
    shape = (header.height, header.width) if channels == 1 else (header.height, header.width, channels)
    samples = np.zeros((*shape[:2], channels), np.uint16 if header.depth == 16 else np.uint8)
    models = embedded.models(chunks.weights_in(header.chunks), {part.fingerprint for part in header.parts})
    first = 0
    for part, payload in zip(header.parts, payloads, strict=True):
        tell = share_of(how.progress, first, part.planes, header.planes)
        if part.method in (Method.RAW, Method.DEFLATE):
            found = _decode_plain(header, part, payload)
            if part.planes == header.planes:
                return found
            planes = found.reshape(header.height, header.width, part.planes)
        elif part.method == Method.WEBP:
            planes = webp.decode(payload, header.height, header.width, part.planes)
        elif part.method == Method.SAME:
            planes = take_planes(samples, first - channels, part.planes)
        else:
            planes = _decode_by_model(header, part, payload, models, with_progress(how, tell))
        if part.planes == header.planes:
            return planes.reshape(shape)
        put_planes(samples, first, planes)
        first += part.planes
        if tell and not part.family:
            tell(1, 1)
    return samples.reshape(shape)


def _decode_plain(header: Header, part: Part, payload: bytes) -> Samples:
    """A raw or deflated part: [H, W] or [H, W, channels]."""
    colour, depth = container.part_format(header, part)
    if part.method == Method.RAW:
        rows = np.frombuffer(payload, np.uint8).reshape(header.height, -1)
        samples = png.unpack_rows(rows, header.width, colour, depth)
        return samples if samples.flags.writeable else samples.copy()
    try:
        return png.decompress(payload, header.height, header.width, colour, depth)
    except zlib.error as error:
        raise CorruptError(f"a deflated part of the file is damaged ({error})") from error


def _decode_by_model(header: Header, part: Part, payload: bytes, models: dict[bytes, Model], how: How) -> Samples:
    """Contiguous uint8 [H, W, planes], or of a model of 16 bits uint16 [H, W, channels]."""
    if part.family is None or part.precision != part.family.precision:
        raise FormatError("the file's coder parameters need a newer version of Shearloc")
    model = models.get(part.fingerprint) or zoo.find(part.model, part.fingerprint)
    wide = 2 if part.family.deep else 1
    shape = (header.height, header.width, part.planes // wide)
    if model.family is not part.family or model.refuses(shape, 1 << 8 * wide):
        raise CorruptError(f"the file's {part.planes} channels do not fit its model '{part.model}'")
    coded = Coded(payload, part.lanes, Order(part.order), part.side_information)
    number = turning.way_of(part)
    size = turning.size_of((1, header.height, header.width), number)
    planes = orientation.picked_up(model.decode(coded, size, how), number)[0]
    if planes.shape != shape:
        raise CorruptError(f"the file's part by '{part.model}' holds {planes.shape[2]} channels, not {shape[2]}")
    return planes
