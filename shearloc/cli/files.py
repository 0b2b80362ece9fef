"""The commands for image files and archives: encode, decode, verify, info.

Options and printing only; the work is `jobs/batch.py`'s.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer

from ..errors import ShearlocError
from ..jobs import batch
from .app import Engine, Force, MaxSamples, OutDir, app, printable
from .progress import run


@app.command(
    epilog="\b\nExamples:\n  shearloc encode photo.png\n  shearloc encode scan.tif archive/scan.shl --force\n"
    "  shearloc encode *.png --out-dir archive --skip-existing\n  shearloc encode digits/ digits.shl"
)
def encode(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="IN",
            help="PNG, PBM, PGM, PPM, TIFF, BMP or WebP images, or a folder or .npy file of equal ones for an archive. "
            "The second of two is OUT if it ends in .shl; else each IN is written to the same name with .shl.",
        ),
    ],
    out_dir: OutDir = None,
    model: Annotated[str, typer.Option(help="One of `shearloc models`, or a file; auto: by colour.")] = "auto",
    effort: Annotated[
        int,
        typer.Option(
            min=1,
            max=9,
            help="From 7 on, adapt the model to the image: slow, needs torch, smaller files. In an archive, choose "
            "each image's orientation instead, of 2, 4 (effort 8) or 8 (effort 9): as many times slower.",
        ),
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
    embed: Annotated[
        bool,
        typer.Option("--embed", help="Put the model's weights into the file: it decodes where they are not installed."),
    ] = False,
    strip: Annotated[
        bool, typer.Option("--strip", help="Drop metadata: colour profile, Exif, XMP, text, resolution.")
    ] = False,
    verify: Annotated[
        bool,
        typer.Option("--verify/--no-verify", help="Decode each new file, with another engine, and compare."),
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
    if files[0].is_dir() or files[0].suffix.lower() == ".npy" or batch.is_autoencoder(model):
        if len(files) > 2 or out_dir is not None:
            raise ShearlocError(f"{files[0]} makes an archive: name it, and one OUT at most")
        given = {"--order": order != "sheared", "--skip-existing": skip_existing}
        _refuse([option for option, is_given in given.items() if is_given], "pictures, not archives")
        whole = files[0].resolve()
        target = files[1] if len(files) == 2 else whole.with_name(whole.stem + ".shl")
        pack = batch.Encoding(model, effort, engine, order, strip, verify, embed)
        existing = batch.Existing(False, force)
        job = batch.Job(files[0], target)
        return run([job], lambda job, begin: batch.encode_archive(job, pack, steps, existing, begin))
    _refuse(["--steps"] if steps else [], "archives")
    jobs = _jobs(files, out_dir, ".shl", lambda out: out.suffix.lower() == ".shl")
    how = batch.Encoding(model, effort, engine, order, strip, verify, embed)
    existing = batch.Existing(skip_existing, force)
    run(jobs, lambda job, begin: batch.encode_file(job, how, existing, begin))


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
        given = {"--order": order != "auto", "--skip-existing": skip_existing}
        _refuse([option for option, is_given in given.items() if is_given], "pictures, not archives")
        unpack, existing = batch.Decoding(engine, max_samples), batch.Existing(False, force)
        job = batch.Job(files[0], files[1] if len(files) == 2 else files[0].with_suffix(""))
        return run([job], lambda job, begin: batch.decode_archive(job, unpack, existing, begin))
    jobs = _jobs(files, out_dir, ".png", lambda out: out.suffix.lower() != ".shl")
    how = batch.Decoding(engine, max_samples, order)
    existing = batch.Existing(skip_existing, force)
    run(jobs, lambda job, begin: batch.decode_file(job, how, existing, begin))


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
    run(jobs, lambda job, begin: batch.verify_file(job.source, how, begin))


@app.command(epilog="\b\nExamples:\n  shearloc info photo.shl\n  shearloc info photo.shl --json")
def info(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .shl file.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for programs.")] = False,
) -> None:
    """Say what a .shl file holds, without decoding it."""
    from ..codec import api

    with _naming(file):
        fields = api.info(file).to_dict()
    if as_json:
        typer.echo(json.dumps(fields))
        return
    for name, value in fields.items():
        if name == "parts":
            for part in value:
                typer.echo(f"{'part':<18}{_plain_part(part)}")
        elif value not in (None, ()):
            typer.echo(f"{name.replace('_', ' '):<18}{_plain(value)}")


def _refuse(options: list[str], kind: str) -> None:
    """ShearlocError for options that would do nothing here: they are for another kind of thing."""
    if options:
        raise ShearlocError(f"{' and '.join(options)} {'are' if len(options) > 1 else 'is'} for {kind}")


def _begins_as_archive(file: Path) -> bool:
    """Whether there is such a file and it is an archive."""
    if not file.is_file():
        return False
    with file.open("rb") as opened:
        return batch.is_archive(opened.read(16))


def _plain(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    return printable(" ".join(value) if isinstance(value, tuple) else str(value))


def _plain_part(part: dict[str, object]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in part.items() if value is not None)


def _jobs(files: list[Path], out_dir: Path | None, suffix: str, is_output: Callable[[Path], bool]) -> list[batch.Job]:
    """IN... [OUT]: the last of two is OUT if it looks like one, so that a pattern that matches two files is no trap."""
    if len(files) == 2 and out_dir is None and is_output(files[1]):
        return [batch.Job(*files)]
    return batch.plan(files, out_dir, suffix)


@contextmanager
def _naming(file: Path) -> Iterator[None]:
    """Put the file's name before what is wrong with it."""
    try:
        yield
    except ShearlocError as error:
        raise ShearlocError(f"{file}: {error}") from error
