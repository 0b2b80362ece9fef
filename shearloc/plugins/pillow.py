"""Makes `.shl` one of Pillow's formats, at the cost of a dictionary entry; the code is in `pillow_format.py`.

Pillow has no entry points: a plugin is known once its code has run. So that `import shearloc` is enough, before or
after `from PIL import Image`, and stays cheap where Pillow is not used, an import hook waits for Pillow.
"""

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import IO, TYPE_CHECKING, Any

from . import PILLOW_FORMAT

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

SIGNATURES = (b"\x89SHL\r\n\x1a\n", b"\x89SHA\r\n\x1a\n")
"""Signatures of pictures and archives; repeated here because their home imports NumPy."""

_PILLOW = "PIL.Image"


def register() -> None:
    """Register with Pillow, now if it is imported, else as soon as it is."""
    if _PILLOW in sys.modules:
        _register()
    elif not any(isinstance(finder, _Waiting) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Waiting())


def _register() -> None:
    from PIL import Image

    Image.register_open(PILLOW_FORMAT, _open, _accept)
    Image.register_save(PILLOW_FORMAT, _save)
    Image.register_extension(PILLOW_FORMAT, ".shl")
    Image.register_mime(PILLOW_FORMAT, "image/x-shearloc")


def _accept(prefix: bytes) -> bool:
    return prefix.startswith(SIGNATURES)


def _open(file: IO[bytes], name: str | bytes) -> "ImageFile":
    from . import pillow_format

    return pillow_format.open_image(file, name)


def _save(image: "Image", file: IO[bytes], name: str | bytes) -> None:
    from . import pillow_format

    pillow_format.save(image, file)


class _Waiting:
    """Finds no module itself: it wraps the loader that others find for Pillow, to register afterwards."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != _PILLOW:
            return None
        for finder in sys.meta_path:
            spec = None if isinstance(finder, _Waiting) else finder.find_spec(name, path, target)
            if spec is not None:
                spec.loader = _Registering(spec.loader)  # type: ignore[assignment]  # a loader by its methods
                return spec
        return None


class _Registering:
    """Pillow's loader, which registers when it is done and leaves no trace."""

    def __init__(self, loader: Any) -> None:
        self.loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        module: ModuleType | None = self.loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self.loader
        if module.__spec__ is not None:
            module.__spec__.loader = self.loader
        self.loader.exec_module(module)
        sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, _Waiting)]
        _register()
