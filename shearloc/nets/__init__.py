"""Exact integer networks: layers, products, engines. Knows no coder and no image file."""
