"""The bytes of our own formats: the container, its chunks and checksums."""
