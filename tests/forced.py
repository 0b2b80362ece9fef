"""Archives by one model, whatever `encode_images` would choose, and its header as bytes."""

from typing import Any

from shearloc.codec import archive
from shearloc.models import orientation
from shearloc.models.family import How


def archive_with(
    images: Any, names: list[str] | None, model: str, steps: int = 0, engine: str = "auto", effort: int = 5, **more: Any
) -> bytes:
    """The archive of uint8 [N, H, W, C] by this model. `more`: embed, chunk_samples."""
    how = How(engine, steps=steps, orientations=orientation.tried(effort, images.shape[:3]))
    return archive._encode_with(images, names, model, how, **more)
