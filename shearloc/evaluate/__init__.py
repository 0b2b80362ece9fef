"""How good and how fast: our models and other codecs over images, with tables and JSON.

It measures what `codec` and `models` do and changes nothing in them; they never import it.
"""
