"""Entropy coding for people's own models: a stack with push and pop, bits-back coding, and a range coder.

`Message` is the stack. A `Codec` pushes values onto it and pops them off again: `uniform`, `categorical`, `bernoulli`,
`gaussian` and `logistic_mixture` give codecs of arrays; `Serial`, `Substack`, `Transformed`, `Joint` and `BitsBack`
make codecs of codecs. `Encoder` and `Decoder` are the range coder: first in, first out. docs/coding.md shows how.

Importing this is cheap: Numba is imported when the first name is used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ..cache import prepare

if TYPE_CHECKING:
    from .bins import bins_of, centres
    from .codec import BitsBack, Codec, Joint, Serial, Substack, Transformed
    from .distributions import Symbols, bernoulli, categorical, gaussian, logistic_mixture, uniform
    from .message import Message
    from .range_coder import Decoder, Encoder

prepare()

_HOMES = {
    "bins": ("bins_of", "centres"),
    "codec": ("BitsBack", "Codec", "Joint", "Serial", "Substack", "Transformed"),
    "distributions": ("Symbols", "bernoulli", "categorical", "gaussian", "logistic_mixture", "uniform"),
    "message": ("Message",),
    "range_coder": ("Decoder", "Encoder"),
}

__all__ = [
    "BitsBack",
    "Codec",
    "Decoder",
    "Encoder",
    "Joint",
    "Message",
    "Serial",
    "Substack",
    "Symbols",
    "Transformed",
    "bernoulli",
    "bins_of",
    "categorical",
    "centres",
    "gaussian",
    "logistic_mixture",
    "uniform",
]


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f".{home}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
