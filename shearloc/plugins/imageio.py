"""Makes `.shl` one of imageio's formats, at the cost of two dictionary entries; the code is in `imageio_format.py`."""

from .waiting import when_imported

NAME = "shearloc"
"""What imageio calls the plugin."""


def register() -> None:
    """Register with imageio, now if it is imported, else as soon as it is."""
    when_imported("imageio.config", _register)


def _register() -> None:
    from imageio.config import known_extensions, known_plugins
    from imageio.config.extensions import FileExtension, extension_list
    from imageio.config.plugins import PluginConfig

    known_plugins[NAME] = PluginConfig(NAME, "ShearlocPlugin", f"{__package__}.imageio_format")
    if ".shl" not in known_extensions:
        format_ = FileExtension(name="Shearloc", extension=".shl", priority=[NAME])
        extension_list.append(format_)
        known_extensions[".shl"] = [format_]
