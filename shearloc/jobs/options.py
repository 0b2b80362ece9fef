"""How jobs are done: one field for each option of the commands, and the callbacks that report progress."""

from collections.abc import Callable
from dataclasses import dataclass

Progress = Callable[[int, int], None]
"""Called now and then with (done, total)."""
Begin = Callable[[str], Progress | None]
"""Called with what begins now; gives the callback for it, or None where nobody looks."""


@dataclass(frozen=True)
class Outputs:
    """What to do where an output exists, whether it gets its input's time of change, and how much to report.

    Without `skip` and `force` an output that exists is kept, and the job fails. `details`: report also what a reader
    left out, and how the file is coded.
    """

    skip: bool = False
    force: bool = False
    keep_time: bool = False
    details: bool = False


@dataclass(frozen=True)
class Encoding:
    """How to encode; `steps` is K of an autoencoder's optimal inference, `max_samples` the limit on an image's.

    `verify`: the engine that decodes what is new, to compare it; None for no comparison.
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
