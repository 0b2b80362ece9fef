"""The `shearloc` command: arguments, messages, exit codes. `jobs/` does the work.

`--help` and `info` import neither Numba nor torch, so heavy imports are inside the commands.
"""

from . import bench, collections, demo, files, models, samples, scores, train, warmup
from .app import main

__all__ = ["bench", "collections", "demo", "files", "main", "models", "samples", "scores", "train", "warmup"]
