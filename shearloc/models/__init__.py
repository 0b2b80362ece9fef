"""Families of models, a folder each, and the zoo that finds them by name."""
