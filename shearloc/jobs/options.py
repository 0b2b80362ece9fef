"""How jobs are done: one field for each option of the commands, and the callbacks that report progress."""

from collections.abc import Callable
from dataclasses import dataclass

Progress = Callable[[int, int], None]
"""Called now and then with (done, total)."""
Begin = Callable[[str], Progress | None]
"""Called with the name of what begins; returns its progress callback, or None where nobody is watching."""


@dataclass(frozen=True)
class Outputs:
    """What to do where an output exists, whether it gets its input's modification time, and how much to report.

    Without `skip` and `force`, an output that exists is kept, and the job fails. `details`: also report what a reader
    left out, and how the file is coded.
    """

    skip: bool = False
    force: bool = False
    keep_time: bool = False
    details: bool = False


@dataclass(frozen=True)
class Encoding:
    """How to encode. `steps` is K of an autoencoder's optimal inference, `max_samples` the limit on an image's samples.

    `verify`: the engine that decodes the new file, to compare it; None for no comparison.
    """

    model: str = "auto"
    effort: int = 5
    engine: str = "auto"
    order: str = "sheared"
    strip: bool = False
    verify: str | None = "auto"
    embed: bool = False
    steps: int = 0
    max_samples: int | None = None


@dataclass(frozen=True)
class Decoding:
    """How to decode."""

    engine: str = "auto"
    max_samples: int | None = None
    order: str = "auto"
