"""The `shearloc` command: arguments, messages, exit codes. The work on files is `batch.py`'s.

Exit code 0: done; 1: refused, with one line on stderr; 2: wrong usage; 130: interrupted (Ctrl-C).
`--help` and `info` import neither Numba nor torch, so heavy imports are inside the commands.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Literal, NoReturn

import typer

from . import __version__, batch
from .errors import ShearlocError

INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 and the signal's number, as shells have it."""
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
MaxSamples = Annotated[
    int | None, typer.Option(min=1, help="Largest height x width x channels to accept. Default: 2^28.")
]
OutDir = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Folder for the outputs, made if missing. Default: beside each IN.")
]
Force = Annotated[bool, typer.Option("--force", help="Overwrite outputs that exist.")]


def main() -> None:
    """Run the command line and exit (SystemExit)."""
    try:
        app(prog_name="shearloc")
    except SystemExit as done:
        if done.code == INTERRUPTED:  # what typer makes of Ctrl-C, without a word
            _complain("interrupted")
        raise
    except KeyboardInterrupt:
        _fail("interrupted", INTERRUPTED)
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


@app.command(
    epilog="\b\nExamples:\n  shearloc encode photo.png\n  shearloc encode scan.tif archive/scan.shl --force\n"
    "  shearloc encode *.png --out-dir archive --skip-existing\n  shearloc encode digits/ digits.shl"
)
def encode(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="IN",
            help="PNG, PPM, TIFF, BMP or WebP images. The second of two is OUT if it ends in .shl; else each IN is "
            "written to the same name with .shl.",
        ),
    ],
    out_dir: OutDir = None,
    model: Annotated[str, typer.Option(help="One of `shearloc models`; auto chooses by colour.")] = "auto",
    effort: Annotated[
        int,
        typer.Option(min=1, max=9, help="From 7 on, adapt the model to the image: slow, needs torch, smaller files."),
    ] = 5,
    engine: Engine = "auto",
    order: Annotated[
        Literal["sheared", "parallel", "sequential"],
        typer.Option(help="Order of a model's pixels. Sheared and parallel write the same; sequential decodes slowly."),
    ] = "sheared",
    steps: Annotated[
        int,
        typer.Option("--steps", min=0, metavar="K", help="Of optimal inference, for archives by autoencoders."),
    ] = 0,
    strip: Annotated[
        bool, typer.Option("--strip", help="Drop metadata: colour profile, Exif, XMP, text, resolution.")
    ] = False,
    verify: Annotated[
        bool,
        typer.Option(
            "--verify/--no-verify", help="Decode each new file, with another engine if that is quick, and compare."
        ),
    ] = True,
    skip_existing: Annotated[
        bool,
        typer.Option(
            "--skip-existing",
            help="Leave out an IN whose output is there and complete: whole, its checksums right, and the one of its "
            "pixels that of IN. A half output is replaced, any other file kept.",
        ),
    ] = False,
    force: Force = False,
) -> None:
    """Compress image files of any common kind, palette, bit depth and metadata included.

    A file that cannot be encoded does not stop the others; those that failed are listed at the end, with exit code 1.
    """
    if files[0].is_dir() or files[0].suffix.lower() == ".npy":
        if len(files) > 2 or out_dir is not None:
            raise ShearlocError(f"{files[0]} makes an archive: name it, and one OUT at most")
        whole = files[0].resolve()
        target = files[1] if len(files) == 2 else whole.with_name(whole.stem + ".shl")
        pack = batch.Encoding(model, effort, engine, order, strip, verify)
        existing = batch.Existing(False, force)
        job = batch.Job(files[0], target)
        return _run([job], lambda job, begin: batch.encode_archive(job, pack, steps, existing, begin))
    jobs = _jobs(files, out_dir, ".shl", lambda out: out.suffix.lower() == ".shl")
    how = batch.Encoding(model, effort, engine, order, strip, verify)
    existing = batch.Existing(skip_existing, force)
    _run(jobs, lambda job, begin: batch.encode_file(job, how, existing, begin))


@app.command(
    epilog="\b\nExamples:\n  shearloc decode photo.shl\n  shearloc decode photo.shl back.tif\n"
    "  shearloc decode archive/*.shl --out-dir pictures"
)
def decode(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="IN",
            help=".shl files. The second of two is OUT if it does not end in .shl, and its suffix says which kind of "
            "image; else every IN is written to the same name with .png.",
        ),
    ],
    out_dir: OutDir = None,
    engine: Engine = "auto",
    order: Annotated[
        Literal["auto", "sheared", "parallel", "sequential"],
        typer.Option(help="How to walk over a model's pixels. Auto: the fastest way that the file allows."),
    ] = "auto",
    max_samples: MaxSamples = None,
    skip_existing: Annotated[
        bool,
        typer.Option(
            "--skip-existing",
            help="Leave out an IN whose output is there and complete: an image of the size and with the pixel "
            "checksum that IN says. A half output is replaced, any other file kept.",
        ),
    ] = False,
    force: Force = False,
) -> None:
    """Restore the images of .shl files, every pixel as it was.

    A file that cannot be decoded does not stop the others; those that failed are listed at the end, with exit code 1.
    """
    if len(files) <= 2 and out_dir is None and _begins_as_archive(files[0]):
        unpack, existing = batch.Decoding(engine, max_samples), batch.Existing(False, force)
        job = batch.Job(files[0], files[1] if len(files) == 2 else files[0].with_suffix(""))
        return _run([job], lambda job, begin: batch.decode_archive(job, unpack, existing, begin))
    jobs = _jobs(files, out_dir, ".png", lambda out: out.suffix.lower() != ".shl")
    how = batch.Decoding(engine, max_samples, order)
    existing = batch.Existing(skip_existing, force)
    _run(jobs, lambda job, begin: batch.decode_file(job, how, existing, begin))


@app.command(epilog="\b\nExamples:\n  shearloc verify photo.shl\n  shearloc verify archive/*.shl")
def verify(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help=".shl files.")],
    engine: Engine = "auto",
    max_samples: MaxSamples = None,
) -> None:
    """Decode .shl files and check structure, checksums and pixels, writing nothing. One line for each file.

    Exit code 1 if any of them is not sound.
    """
    how = batch.Decoding(engine, max_samples)
    jobs = [batch.Job(file, file) for file in files]
    _run(jobs, lambda job, begin: batch.verify_file(job.source, how, begin))


@app.command(epilog="\b\nExamples:\n  shearloc info photo.shl\n  shearloc info photo.shl --json")
def info(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .shl file.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for programs.")] = False,
) -> None:
    """Say what a .shl file holds, without decoding it."""
    from .codec import api, archive

    with _naming(file):
        data = file.read_bytes()
        fields = (archive if archive.is_archive(data) else api).info(data).to_dict()
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


def _begins_as_archive(file: Path) -> bool:
    """Whether there is such a file and it is an archive."""
    if not file.is_file():
        return False
    with file.open("rb") as opened:
        return batch.is_archive(opened.read(16))


def _plain(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    return " ".join(value) if isinstance(value, tuple) else str(value)


def _plain_part(part: dict[str, object]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in part.items() if value is not None)


def _jobs(files: list[Path], out_dir: Path | None, suffix: str, is_output: Callable[[Path], bool]) -> list[batch.Job]:
    """IN... [OUT]: the last of two is OUT if it looks like one, so that a pattern that matches two files is no trap."""
    if len(files) == 2 and out_dir is None and is_output(files[1]):
        return [batch.Job(*files)]
    return batch.plan(files, out_dir, suffix)


def _run(jobs: list[batch.Job], work: Callable[[batch.Job, batch.Begin], str]) -> None:
    """Do one job after the other, a line for each. Goes on after one that fails; then exits 1 at the end."""
    failed: list[Path] = []
    with _progress(len(jobs)) as progress:
        for i, job in enumerate(jobs):
            try:
                typer.echo(work(job, partial(progress, i)))
            except (ShearlocError, OSError, MemoryError) as error:
                if isinstance(error, BrokenPipeError):
                    raise
                _complain(batch.message(error, job))
                failed.append(job.source)
    if failed and len(jobs) > 1:
        _complain(f"{len(failed)} of {len(jobs)} files failed: {', '.join(map(str, failed))}")
    if failed:
        sys.exit(1)


@contextmanager
def _naming(file: Path) -> Iterator[None]:
    """Put the file's name before what is wrong with it."""
    try:
        yield
    except ShearlocError as error:
        raise ShearlocError(f"{file}: {error}") from error


@contextmanager
def _progress(files: int) -> Iterator[Callable[[int, str], batch.Progress | None]]:
    """Function (number of files done, what begins now) -> (done, total) callback for that.

    Bars, one for the files and one for what is being done, appear on stderr `PROGRESS_AFTER` seconds from now.
    Where stderr is no terminal the callbacks are None.
    """
    if not sys.stderr.isatty():
        yield lambda index, label: None
        return
    due = time.monotonic() + PROGRESS_AFTER
    show: Callable[[int, str, int, int], None] | None = None
    with ExitStack() as stack:

        def begin(index: int, label: str) -> batch.Progress:
            def report(done: int, total: int) -> None:
                nonlocal show
                if show is None and time.monotonic() >= due:
                    show = _open_bars(stack, files)
                if show is not None:
                    show(index, label, done, total)

            return report

        yield begin


def _open_bars(stack: ExitStack, files: int) -> Callable[[int, str, int, int], None]:
    """Draw bars that go away when `stack` closes; returns what moves them."""
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import Progress

    # Lines printed meanwhile go above the bars, but never from a redirected stdout to stderr.
    console = Console(stderr=True)
    bars = stack.enter_context(Progress(console=console, transient=True, redirect_stdout=sys.stdout.isatty()))
    every = bars.add_task("files", total=files, visible=files > 1)
    this = bars.add_task("", total=None)

    def show(index: int, label: str, done: int, total: int) -> None:
        bars.update(every, completed=index)
        bars.update(this, description=escape(label), completed=done, total=total)

    return show


def _complain(message: str) -> None:
    typer.echo(f"shearloc: {' '.join(message.split())}", err=True)


def _fail(message: str, code: int = 1) -> NoReturn:
    _complain(message)
    sys.exit(code)
