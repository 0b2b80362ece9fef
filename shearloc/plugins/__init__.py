"""Shearloc in other people's libraries: Pillow, numcodecs, Zarr. None of them is imported before someone uses it."""
