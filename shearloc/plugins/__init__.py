"""Plugins for Pillow, numcodecs and Zarr. Each library is imported only when someone uses it."""

PILLOW_FORMAT = "SHL"
"""What Pillow calls the format; the hook and the code behind it (`pillow.py`, `pillow_format.py`) both say it."""
