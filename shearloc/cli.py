"""The `shearloc` command: arguments, messages, exit codes. The work is done by `codec`.

Exit code 0: done; 1: refused, with one line on stderr; 2: wrong usage. `--help` and `info` import neither Numba
nor torch, so heavy imports are inside the commands.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Literal, NoReturn

import typer

from . import __version__
from .errors import ShearlocError

PROGRESS_AFTER = 2.0
"""Seconds before a progress bar appears."""

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Lossless image compression with small neural networks: the same pixels on any machine.",
    epilog="\b\nExamples:\n  shearloc encode photo.png\n  shearloc decode photo.shl back.png",
)

Engine = Annotated[
    Literal["auto", "numpy", "torch", "cuda", "numba"],
    typer.Option(help="What computes. It changes the speed, never a byte."),
]
Force = Annotated[bool, typer.Option("--force", help="Overwrite OUT if it exists.")]


def main() -> None:
    """Run the command line and exit (SystemExit)."""
    try:
        app(prog_name="shearloc")
    except OSError as error:
        _fail(f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error))
    except (ShearlocError, MemoryError) as error:
        _fail(str(error) or "not enough memory")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"shearloc {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


@app.command(epilog="\b\nExamples:\n  shearloc encode photo.png\n  shearloc encode scan.tif archive/scan.shl --force")
def encode(
    source: Annotated[Path, typer.Argument(metavar="IN", help="A PNG, PPM, TIFF, BMP or WebP image.")],
    target: Annotated[Path | None, typer.Argument(metavar="OUT", help="Default: IN with .shl.")] = None,
    model: Annotated[str, typer.Option(help="One of `shearloc models`; auto chooses by colour.")] = "auto",
    effort: Annotated[
        int,
        typer.Option(min=1, max=9, help="From 7 on, adapt the model to the image: slow, needs torch, smaller files."),
    ] = 5,
    engine: Engine = "auto",
    force: Force = False,
) -> None:
    """Compress an image file of any common kind, its palette, bit depth and metadata included."""
    from .codec import api, planes

    out = _choose_output(source, target, ".shl", force)
    start = time.perf_counter()
    picture = planes.load(source)
    with _naming(source), _progress("encode") as progress:
        data = api.encode_picture(picture, model=model, effort=effort, engine=engine, progress=progress)
    planes.write_atomic(out, data)
    seconds = time.perf_counter() - start
    before, after = source.stat().st_size, len(data)
    typer.echo(
        f"{source} {before:,} bytes -> {out} {after:,} bytes ({after / before:.1%}), "
        f"{8 * after / picture.samples.size:.3f} bits per subpixel, {seconds:.1f} s"
    )


@app.command(epilog="\b\nExamples:\n  shearloc decode photo.shl\n  shearloc decode photo.shl back.tif")
def decode(
    source: Annotated[Path, typer.Argument(metavar="IN", help="A .shl file.")],
    target: Annotated[
        Path | None,
        typer.Argument(metavar="OUT", help="An image; the suffix says which kind. Default: IN with .png."),
    ] = None,
    engine: Engine = "auto",
    max_samples: Annotated[
        int | None, typer.Option(min=1, help="Largest height x width x channels to accept. Default: 2^28.")
    ] = None,
    force: Force = False,
) -> None:
    """Restore the image of a .shl file, every pixel as it was."""
    from .codec import api, planes

    out = _choose_output(source, target, ".png", force)
    start = time.perf_counter()
    data = source.read_bytes()
    with _naming(source):
        mode = api.info(data).mode
    planes.check_output(out, mode)  # refuses before minutes of decoding, not after
    with _naming(source), _progress("decode") as progress:
        picture = api.decode_picture(data, engine=engine, max_samples=max_samples or api.MAX_SAMPLES, progress=progress)
    planes.save(out, picture)
    seconds = time.perf_counter() - start
    height, width = picture.samples.shape[:2]
    typer.echo(f"{source} -> {out} {width} x {height} {picture.mode}, {seconds:.1f} s")


@app.command(epilog="\b\nExamples:\n  shearloc info photo.shl\n  shearloc info photo.shl --json")
def info(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .shl file.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for programs.")] = False,
) -> None:
    """Say what a .shl file holds, without decoding it."""
    from .codec import api

    with _naming(file):
        fields = api.info(file.read_bytes()).to_dict()
    if as_json:
        typer.echo(json.dumps(fields))
        return
    for name, value in fields.items():
        if name == "parts":
            for part in value:
                typer.echo(f"{'part':<18}{_plain_part(part)}")
        elif value not in (None, ()):
            typer.echo(f"{name.replace('_', ' '):<18}{_plain(value)}")


@app.command()
def models() -> None:
    """List the installed models: name, channels, fingerprint of the weights, and what the card says of it."""
    from .models import zoo

    for name in zoo.names():
        model = zoo.load(name)
        summary = zoo.card(name).get("summary", "")
        typer.echo(f"{name:<12}{model.channels} channels  {model.fingerprint.hex()}  {summary}".rstrip())


def _plain(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    return " ".join(value) if isinstance(value, tuple) else str(value)


def _plain_part(part: dict[str, object]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in part.items() if value is not None)


def _choose_output(source: Path, target: Path | None, suffix: str, force: bool) -> Path:
    """OUT, or IN with another suffix; a bad one is refused before any work.

    Raises OSError, and ShearlocError where a file would be overwritten unasked.
    """
    from .codec import planes

    with open(source, "rb"):  # IN's own trouble comes first
        pass
    out = target or source.with_suffix(suffix)
    planes.check_writable(out)
    if out.exists() and os.path.samefile(source, out):
        raise ShearlocError(f"{out}: IN and OUT are the same file")
    if out.exists() and not force:
        raise ShearlocError(f"{out}: exists already; give another OUT, or --force to overwrite it")
    return out


@contextmanager
def _naming(file: Path) -> Iterator[None]:
    """Put the file's name before what is wrong with it."""
    try:
        yield
    except ShearlocError as error:
        raise ShearlocError(f"{file}: {error}") from error


@contextmanager
def _progress(label: str) -> Iterator[Callable[[int, int], None] | None]:
    """A (done, total) callback that shows a bar on stderr once a job has run for `PROGRESS_AFTER` seconds.

    None where stderr is no terminal.
    """
    if not sys.stderr.isatty():
        yield None
        return
    due = time.monotonic() + PROGRESS_AFTER
    with ExitStack() as stack:
        show: Callable[[int, int], None] | None = None

        def report(done: int, total: int) -> None:
            nonlocal show
            if show is None and time.monotonic() >= due:
                show = _open_bar(stack, label)
            if show is not None:
                show(done, total)

        yield report


def _open_bar(stack: ExitStack, label: str) -> Callable[[int, int], None]:
    """Draw a bar that goes away when `stack` closes; returns what moves it."""
    from rich.console import Console
    from rich.progress import Progress

    bar = stack.enter_context(Progress(console=Console(stderr=True), transient=True))
    task = bar.add_task(label, total=None)
    return lambda done, total: bar.update(task, completed=done, total=total)


def _fail(message: str) -> NoReturn:
    typer.echo(f"shearloc: {' '.join(message.split())}", err=True)
    sys.exit(1)
