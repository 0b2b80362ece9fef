"""Errors a caller may want to tell apart. All are `ShearlocError`, which is a ValueError.

The operating system's own errors stay OSError.
"""


class ShearlocError(ValueError):
    """An input that Shearloc cannot use. The base of all other errors here."""


class FormatError(ShearlocError):
    """Not a Shearloc file, or one that needs a newer version of Shearloc."""


class CorruptError(ShearlocError):
    """A Shearloc file that is cut short or damaged: a checksum or the structure is wrong."""


class UnknownModelError(ShearlocError):
    """A model that is not installed: `name`, and `fingerprint` (8 bytes) if a file asked for those weights."""

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
            f"model '{self.name}' with weights {self.fingerprint.hex()} is not installed: `--model FILE` "
            "takes it from its .safetensors file, and `shearloc models add FILE` installs that"
        )


class UnsupportedImageError(ShearlocError):
    """An image that Shearloc does not store, or not in the form asked for; the message says what to do."""


def no_engine(engine: str, reason: Exception) -> ShearlocError:
    """What to raise where an engine is not installed, or has no device."""
    install = "pip install torch, or " if isinstance(reason, ImportError) else ""
    return ShearlocError(f"the engine '{engine}' is not available here ({reason}): {install}choose the engine numpy")
