"""Readers and writers of image files, against known samples and second readers."""
