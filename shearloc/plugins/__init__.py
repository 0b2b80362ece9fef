"""Plugins for Pillow, imageio, numcodecs and Zarr. Each library is imported only when someone uses it."""

SIGNATURES = (b"\x89SHL\r\n\x1a\n", b"\x89SHA\r\n\x1a\n")
"""Signatures of pictures and archives; repeated here because their home imports NumPy."""

PILLOW_FORMAT = "SHL"
"""What Pillow calls the format; the hook and the code behind it (`pillow.py`, `pillow_format.py`) both say it."""
