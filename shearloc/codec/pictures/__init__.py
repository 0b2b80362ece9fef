"""Pictures and their files: PNG, PNM, TIFF, BMP and WebP."""
