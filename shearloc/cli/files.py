"""The commands for image files and archives: encode, archive, decode, verify, info.

Options and printing only; the work is in `jobs/`.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer

from ..errors import ShearlocError
from ..jobs import archives, collections, images, inout, models, plan
from ..jobs import verify as verifying
from ..jobs.options import Decoding, Encoding, Outputs
from ..jobs.plan import SHL, Job
from .app import (
    Engine,
    Force,
    KeepTime,
    MaxSamples,
    NoVerify,
    Out,
    OutDir,
    Quiet,
    Recursive,
    Threads,
    Verbose,
    Verify,
    checker,
    command,
    computing,
    printable,
    tell_left_out,
)
from .arguments import IMAGES, check_options, encoded, jobs_of, lend, no_folder
from .progress import run

Model = Annotated[
    str, typer.Option(help="One of `shearloc models`, or the path of a model file. Auto takes what is smallest.")
]
Weights = Annotated[
    list[Path] | None,
    typer.Option("--model", metavar="FILE", help="A model file to look for weights in, too. May be repeated."),
]
Steps = Annotated[
    int, typer.Option("--steps", min=0, metavar="K", help="Steps of optimal inference, of autoencoders only.")
]
Embed = Annotated[
    bool,
    typer.Option("--embed", help="Put the model's weights into the file: it decodes where they are not installed."),
]
Images = Annotated[
    list[Path],
    typer.Argument(
        metavar="IN... [OUT]",
        readable=False,
        help="PNG, PBM, PGM, PPM, TIFF, BMP or WebP images, patterns in quotes, folders with -r, or - for standard "
        "input. The second of two is OUT if it ends in .shl or is -; else each IN is written to its name with "
        ".shl.",
    ),
]
Order = Annotated[
    Literal["sheared", "parallel", "sequential"],
    typer.Option(help="Order of a model's pixels. Sheared and parallel write the same; sequential decodes slowly."),
]
Strip = Annotated[bool, typer.Option("--strip", help="Drop metadata: colour profile, Exif, XMP, text, resolution.")]
SkipExisting = Annotated[
    bool,
    typer.Option(
        "--skip-existing",
        help="Leave out an IN whose output is there and complete: whole, its checksums right, and the one of its "
        "pixels that of IN. A half output is replaced, any other file kept.",
    ),
]
ForceLossy = Annotated[
    bool, typer.Option("--force", "-f", help="Overwrite outputs that exist, and take lossy WebP images.")
]

EFFORT = """\b
Default: 5.
1-3  the smallest model that learns, deflate,
     raw, and fast WebP on drawings: the
     smallest file is kept
4    as 3, with the middle model
5    as 4, with slow WebP where it may win
6    as 5, lying in the better of 2 ways, as
     the smallest model finds
7    as 5, with the largest model: 4 times
     slower
8    as 7, in the better of 2 ways
9    as 7, in the best of 4 ways

A local model named by --model is adapted to
the picture at 7, 8 and 9: by 100, 200 or 400
steps, which take seconds to minutes and torch.
"""
"""What each level of effort adds, for pictures (docs/effort.md)."""

ARCHIVE_EFFORT = """\b
Default: 5.
1-6  images as they lie
7    the better of 2 orientations, 2 times
     slower to encode
8    the best of 4, 4 times slower
9    the best of 8, 8 times slower

Local models only; autoencoders have --steps.
"""
"""The same for archives."""


@command(
    epilog="\b\nExamples:\n  shearloc encode photo.png\n  shearloc encode scan.tif scans/scan.shl --force\n"
    "  shearloc encode *.png --out-dir out --skip-existing\n  shearloc encode -r photos/ --out-dir out\n"
    "  cat photo.png | shearloc encode - - > photo.shl"
)
def encode(
    files: Images,
    out: Out = None,
    out_dir: OutDir = None,
    recursive: Recursive = False,
    model: Model = "auto",
    effort: Annotated[int | None, typer.Option(min=1, max=9, help=EFFORT)] = None,
    engine: Engine = "auto",
    order: Order = "sheared",
    steps: Steps = 0,
    embed: Embed = False,
    strip: Strip = False,
    verify: Verify = "auto",
    no_verify: NoVerify = False,
    skip_existing: SkipExisting = False,
    max_samples: MaxSamples = None,
    force: ForceLossy = False,
    keep_time: KeepTime = False,
    threads: Threads = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Compress image files of any common kind, palette, bit depth and metadata included.

    Each image becomes a .shl file with the permissions of the image. One that cannot be encoded does not stop the
    others; the last line lists those that failed, with exit code 1.
    """
    models.use(model)
    archived = models.makes_archives(model)
    check_options(model, effort, steps, order)
    if steps and not archived:
        raise ShearlocError("--steps is for archives and for models that make them")
    if skip_existing and archived:
        raise ShearlocError(f"--skip-existing is for pictures; '{model}' makes archives")
    jobs = jobs_of(files, out, out_dir, recursive, IMAGES)
    if recursive and not quiet:
        folders = [file for file in files if file.is_dir()]
        tell_left_out(plan.left_out(folders), plan.hidden_images(folders))
    how = Encoding(model, effort or 5, engine, order, strip, checker(verify, no_verify), embed, steps, max_samples)
    outputs = Outputs(skip_existing, force, keep_time, details=verbose)
    work = archives.encode_archive if archived else images.encode_file
    with computing(threads):
        run(jobs, lambda job, begin: work(no_folder(job), how, outputs, begin), quiet)


@command(
    epilog="\b\nExamples:\n  shearloc archive digits/ digits.shl\n  shearloc archive digits.npy\n"
    "  shearloc archive faces/ faces.shl --model vae-cifar10 --steps 5"
)
def archive(
    source: Annotated[
        Path, typer.Argument(metavar="IN", readable=False, help="A folder of images of one size, or a .npy file.")
    ],
    target: Annotated[
        Path | None, typer.Argument(metavar="OUT", help="The archive. Default: the name of IN with .shl, beside it.")
    ] = None,
    out: Out = None,
    model: Model = "auto",
    effort: Annotated[int | None, typer.Option(min=1, max=9, help=ARCHIVE_EFFORT)] = None,
    engine: Engine = "auto",
    steps: Steps = 0,
    embed: Embed = False,
    strip: Annotated[bool, typer.Option("--strip", help="Drop metadata, which an archive does not keep.")] = False,
    verify: Verify = "auto",
    no_verify: NoVerify = False,
    max_samples: MaxSamples = None,
    force: Force = False,
    keep_time: KeepTime = False,
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Compress many images of one size to one .shl file, smaller than files of their own.

    The images are 8-bit gray or RGB without transparency. `shearloc pack` takes images of any sizes and kinds.
    """
    models.use(model)
    check_options(model, effort, steps)
    if target and out:
        raise ShearlocError(f"OUT is given twice, {target} and {out}")
    whole = source.absolute()
    job = Job(source, out or target or whole.with_name(whole.stem + SHL))
    if source.is_file() and source.suffix.lower() != ".npy":
        raise ShearlocError(
            f"{source}: is one file; `shearloc encode` encodes images, `archive` takes a folder of them"
        )
    how = Encoding(
        model,
        effort or 5,
        engine,
        strip=strip,
        verify=checker(verify, no_verify),
        embed=embed,
        steps=steps,
        max_samples=max_samples,
    )
    outputs = Outputs(force=force, keep_time=keep_time)
    with computing(threads):
        run([job], lambda job, begin: archives.encode_archive(job, how, outputs, begin), quiet)


@command(
    epilog="\b\nExamples:\n  shearloc decode photo.shl\n  shearloc decode photo.shl back.tif\n"
    "  shearloc decode -r out/ --out-dir pictures --format tif\n  shearloc decode digits.shl digits/\n"
    "  shearloc decode photo.shl - --format ppm | convert - photo.jpg"
)
def decode(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="IN... [OUT]",
            readable=False,
            help=".shl files, patterns in quotes, folders with -r, or - for standard input. The second of two is OUT "
            "if it does not end in .shl, and its suffix says which kind of image; an archive's OUT is a folder, or a "
            ".npy file.",
        ),
    ],
    out: Out = None,
    out_dir: OutDir = None,
    recursive: Recursive = False,
    form: Annotated[
        Literal["png", "pnm", "pbm", "pgm", "ppm", "tif", "bmp", "webp"] | None,
        typer.Option(
            "--format", help="The kind of image where no OUT's suffix says it; pnm: pbm, pgm or ppm. Default: png."
        ),
    ] = None,
    weights: Weights = None,
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
    keep_time: KeepTime = False,
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Restore the images of .shl files, every pixel as it was.

    A file that cannot be decoded does not stop the others; the last line lists those that failed, with exit code 1.
    """
    lend(weights)
    jobs = jobs_of(files, out, out_dir, recursive, encoded(form or "png"))
    how = Decoding(engine, max_samples, order)
    outputs = Outputs(skip_existing, force, keep_time)
    suffix = f".{form}" if form else ""
    with computing(threads):
        run(jobs, lambda job, begin: images.decode_file(job, how, suffix, outputs, begin), quiet)


@command(
    epilog="\b\nExamples:\n  shearloc verify photo.shl\n  shearloc verify -r out/\n  shearloc verify photos.shards"
)
def verify(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            readable=False,
            help=".shl files, patterns in quotes, folders with -r, collections or shards of them, or - for standard "
            "input.",
        ),
    ],
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="Take all .shl files in folders.")] = False,
    weights: Weights = None,
    engine: Engine = "auto",
    max_samples: MaxSamples = None,
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Decode .shl files and check structure, checksums and pixels, writing nothing. One line for each file.

    Of a collection every image is decoded, and the index compared with the shards. Exit code 1 if anything is not
    sound.
    """
    lend(weights)
    how = Decoding(engine, max_samples)
    jobs = []
    for file in files:
        whole = collections.is_collection(file)
        found = [plan.Input(file, file)] if whole else plan.expand([file], {SHL}, recursive)
        jobs += [Job(one.path, one.path, one.problem) for one in found]
    with computing(threads):
        run(jobs, lambda job, begin: verifying.verify_file(job.source, how, begin), quiet, writes=False)


@command(epilog="\b\nExamples:\n  shearloc info photo.shl\n  shearloc info photo.shl --json")
def info(
    file: Annotated[Path, typer.Argument(metavar="FILE", readable=False, help="A .shl file, or - for standard input.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for programs.")] = False,
) -> None:
    """Say what a .shl file holds, without decoding it."""
    from ..codec import api

    if file.is_dir():
        what = "a collection; `shearloc list` lists its images" if collections.is_collection(file) else "a folder"
        raise ShearlocError(f"{file}: is {what}")
    with _naming(file):
        fields = api.info(inout.read(file)).to_dict()
    if as_json:
        typer.echo(json.dumps(fields))
        return
    for name, value in fields.items():
        if name == "parts":
            for part in value:
                typer.echo(f"{'part':<18}{_plain_part(part)}")
        elif value not in (None, ()):
            typer.echo(f"{name.replace('_', ' '):<18}{_plain(value)}")


# --- Printing ---------------------------------------------------------------------------------------------------


def _plain(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    return printable(" ".join(value) if isinstance(value, tuple) else str(value))


def _plain_part(part: dict[str, object]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in part.items() if value is not None)


@contextmanager
def _naming(file: Path) -> Iterator[None]:
    """Put the file's name before what is wrong with it."""
    try:
        yield
    except ShearlocError as error:
        raise ShearlocError(f"{inout.shown(file, 'input')}: {error}") from error
