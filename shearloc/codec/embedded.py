"""Models inside a file: their weights, so that it decodes where they are not installed.

The chunk of a model is its .safetensors file, unchanged. It is read like any model file: it runs no code, and its
bounds are proved before it is used.
"""

from collections.abc import Collection, Iterable

from ..errors import CorruptError, ShearlocError
from ..models import zoo
from ..models.family import Model
from .formats.chunks import MAX_WEIGHTS, WEIGHTS
from .pictures.picture import Chunk


def weights(name: str, model: Model) -> Chunk:
    """The chunk for the model of this name or path.

    ShearlocError where its file is too large or has changed since it was loaded.
    """
    data = zoo.weights(name)
    if len(data) > MAX_WEIGHTS:
        raise ShearlocError(f"model '{model.name}' takes {len(data)} bytes; at most {MAX_WEIGHTS} can be embedded")
    if zoo.parse(data, model.name).fingerprint != model.fingerprint:
        raise ShearlocError(f"the file of model '{model.name}' has changed in the meantime; start again")
    return WEIGHTS, data


def models(found: Iterable[bytes], used: Collection[bytes]) -> dict[bytes, Model]:
    """The models in these embedded files, by fingerprint; the file must use each of them (`used`).

    CorruptError for anything else.
    """
    sound: dict[bytes, Model] = {}
    for data in found:
        try:
            model = zoo.parse(data, "embedded")
        except ShearlocError as error:
            raise CorruptError(f"the file's weights are damaged: {error}") from error
        if model.fingerprint not in used or model.fingerprint in sound:
            raise CorruptError("the file has the weights of a model that it does not use")
        sound[model.fingerprint] = model
    return sound
