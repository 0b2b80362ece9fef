"""The command that shows in under a minute what the others do, on a picture made by code."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import typer

from ..errors import ShearlocError
from ..jobs import images
from ..jobs import verify as verifying
from ..jobs.options import Decoding, Encoding, Outputs
from ..jobs.plan import Job
from .app import Threads, command, computing


@command(epilog="\b\nExample:\n  shearloc demo")
def demo(threads: Threads = None) -> None:
    """Encode, verify and decode a picture made by code, and compare the size with other codecs'.

    It takes under a minute; the first time, most of that is compiling. Nothing is left behind.
    """
    import numpy as np

    from ..codec.pictures import files
    from ..codec.pictures.picture import from_array
    from ..evaluate import demo as demo_
    from ..evaluate.report import show_table

    pixels = demo_.picture()
    with computing(threads), TemporaryDirectory() as name:
        original, encoded, back = (Path(name) / one for one in ("demo.png", "demo.shl", "back.png"))
        files.save(original, from_array(pixels))
        steps = _steps(original, encoded, back)
        for work in steps.values():
            work()  # what is compiled now is there from here on
        seconds = []
        for line, work in steps.items():
            start = time.perf_counter()
            report = work().replace(f"{name}{os.sep}", "")
            seconds.append(time.perf_counter() - start)
            typer.echo(f"$ shearloc {line}\n{report}")
        if not np.array_equal(files.load(back).samples, pixels):
            raise ShearlocError("the picture did not come back; please report it")
        typer.echo("Every pixel came back.\n")
        size = encoded.stat().st_size
    rows = [*demo_.compare(pixels), ("shearloc", size, seconds[0], seconds[1])]
    cells = [
        (codec, f"{count:,}", f"{count / size:.2f}", f"{encoding:.2f}", f"{decoding:.2f}")
        for codec, count, encoding, decoding in sorted(rows, key=lambda row: row[1], reverse=True)
    ]
    height, width, _ = pixels.shape
    title = f"{width} x {height} RGB, {pixels.size:,} bytes of pixels"
    show_table(title, ("", "bytes", "of ours", "encode s", "decode s"), cells)
    typer.echo("\nNow your own: shearloc encode photo.png")


def _steps(original: Path, encoded: Path, back: Path) -> dict[str, Callable[[], str]]:
    """Commands, and functions that do the same here and return the report."""
    outputs = Outputs(force=True)
    how = Encoding(verify=None)
    return {
        "encode demo.png --no-verify": lambda: images.encode_file(Job(original, encoded), how, outputs, _silent),
        "decode demo.shl back.png": lambda: images.decode_file(Job(encoded, back), Decoding(), "", outputs, _silent),
        "verify demo.shl": lambda: verifying.verify_file(encoded, Decoding(), _silent),
    }


def _silent(label: str) -> None:
    """No progress."""
