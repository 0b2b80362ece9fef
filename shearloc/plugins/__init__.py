"""Shearloc in other people's libraries: Pillow, numcodecs, Zarr. None of them is imported before someone uses it."""

PILLOW_FORMAT = "SHL"
"""What Pillow calls the format; the hook and the code behind it (`pillow.py`, `pillow_format.py`) both say it."""
