"""Measures rate, speed and memory of our models and other codecs, with tables and JSON.

`codec` and `models` never import this room.
"""
