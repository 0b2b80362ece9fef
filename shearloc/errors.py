"""Errors a caller may want to tell apart. All are `ShearlocError`, which is a ValueError.

Not here: OSError, which the operating system's refusals keep.
"""


class ShearlocError(ValueError):
    """Whatever Shearloc refuses about its input."""


class FormatError(ShearlocError):
    """Not a Shearloc file, or one that needs a newer version of Shearloc."""


class CorruptError(ShearlocError):
    """A Shearloc file that is cut short or damaged: a checksum or the structure does not hold."""


class UnknownModelError(ShearlocError):
    """A model that is not installed: `name`, and `fingerprint` (8 bytes) where a file asked for those weights."""

    def __init__(self, name: str, fingerprint: bytes | None = None) -> None:
        """Keep both as arguments too, so that the error survives pickling between processes."""
        super().__init__(name, fingerprint)
        self.name = name
        self.fingerprint = fingerprint

    def __str__(self) -> str:
        """One line that says what is missing and where to look."""
        weights = f" with weights {self.fingerprint.hex()}" if self.fingerprint is not None else ""
        return f"model '{self.name}'{weights} is not installed; `shearloc models` lists the installed ones"


class UnsupportedImageError(ShearlocError):
    """An image that Shearloc does not store, or not in the asked form; the message says what to do."""
