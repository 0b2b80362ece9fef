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
        """One line that says what is missing and where it belongs."""
        if self.fingerprint is None:
            return (
                f"model '{self.name}' is not installed; `shearloc models` lists the installed ones, "
                "and any other is named by the path of its .safetensors file"
            )
        return (
            f"model '{self.name}' with weights {self.fingerprint.hex()} is not installed: put its .safetensors file "
            "into a folder that `shearloc models` or SHEARLOC_MODELS names, or have it encoded again with --embed"
        )


class UnsupportedImageError(ShearlocError):
    """An image that Shearloc does not store, or not in the asked form; the message says what to do."""
