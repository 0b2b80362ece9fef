"""The commands for image files and archives: encode, archive, decode, verify, info.

Options and printing only; the work is in `jobs/`.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from ..errors import FormatError, ShearlocError
from ..jobs import archives, collections, images, inout, models, plan
from ..jobs import verify as verifying
from ..jobs.options import Decoding, Encoding, Outputs
from ..jobs.plan import SHL, Job
from .app import (
    Engine,
    Force,
    KeepTime,
    MaxSamples,
    Out,
    OutDir,
    Quiet,
    Recursive,
    Threads,
    Verbose,
    command,
    computing,
    printable,
)
from .progress import Talk, run

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
Verify = Annotated[
    bool, typer.Option("--verify/--no-verify", help="Decode each new file, with another engine, and compare.")
]


@command(
    epilog="\b\nExamples:\n  shearloc encode photo.png\n  shearloc encode scan.tif scans/scan.shl --force\n"
    "  shearloc encode *.png --out-dir out --skip-existing\n  shearloc encode -r photos/ --out-dir out\n"
    "  cat photo.png | shearloc encode - - > photo.shl"
)
def encode(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="IN...",
            readable=False,
            help="PNG, PBM, PGM, PPM, TIFF, BMP or WebP images, patterns in quotes, folders with -r, or - for standard "
            "input. The second of two is OUT if it ends in .shl or is -; else each IN is written to its name with "
            ".shl.",
        ),
    ],
    out: Out = None,
    out_dir: OutDir = None,
    recursive: Recursive = False,
    model: Model = "auto",
    effort: Annotated[
        int | None,
        typer.Option(
            min=1, max=9, help="Default: 5. From 7 on, adapt the model to the image: slow, needs torch, smaller files."
        ),
    ] = None,
    engine: Engine = "auto",
    order: Annotated[
        Literal["sheared", "parallel", "sequential"],
        typer.Option(help="Order of a model's pixels. Sheared and parallel write the same; sequential decodes slowly."),
    ] = "sheared",
    steps: Steps = 0,
    embed: Embed = False,
    strip: Annotated[
        bool, typer.Option("--strip", help="Drop metadata: colour profile, Exif, XMP, text, resolution.")
    ] = False,
    verify: Verify = True,
    skip_existing: Annotated[
        bool,
        typer.Option(
            "--skip-existing",
            help="Leave out an IN whose output is there and complete: whole, its checksums right, and the one of its "
            "pixels that of IN. A half output is replaced, any other file kept.",
        ),
    ] = False,
    force: Force = False,
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
    alone = models.is_autoencoder(model)
    _check_options(model, alone, effort, steps)
    _refuse(
        {"--order": order != "sheared", "--skip-existing": skip_existing} if alone else {}, "pictures, not archives"
    )
    jobs = _jobs(files, out, out_dir, recursive, _IMAGES)
    how = Encoding(model, effort or 5, engine, order, strip, verify, embed, steps)
    outputs = Outputs(skip_existing, force, keep_time)
    work = archives.encode_archive if alone else images.encode_file
    with computing(threads):
        run(jobs, lambda job, begin: work(_no_folder(job), how, outputs, begin), Talk(quiet, verbose))


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
    effort: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=9,
            help="Default: 5. From 7 on, choose each image's orientation, of 2, 4 (effort 8) or 8 (effort 9): as many "
            "times slower.",
        ),
    ] = None,
    engine: Engine = "auto",
    steps: Steps = 0,
    embed: Embed = False,
    strip: Annotated[bool, typer.Option("--strip", help="Drop metadata, which an archive does not keep.")] = False,
    verify: Verify = True,
    force: Force = False,
    keep_time: KeepTime = False,
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Compress many images of one size to one .shl file, smaller than files of their own.

    The images are 8-bit gray or RGB without transparency. `shearloc pack` takes images of any sizes and kinds.
    """
    models.use(model)
    _check_options(model, models.is_autoencoder(model), effort, steps)
    if target and out:
        raise ShearlocError(f"OUT is given twice, {target} and {out}")
    whole = source.absolute()
    job = Job(source, out or target or whole.with_name(whole.stem + SHL))
    if source.is_file() and source.suffix.lower() != ".npy":
        raise ShearlocError(
            f"{source}: is one file; `shearloc encode` encodes images, `archive` takes a folder of them"
        )
    how = Encoding(model, effort or 5, engine, strip=strip, verify=verify, embed=embed, steps=steps)
    outputs = Outputs(force=force, keep_time=keep_time)
    with computing(threads):
        run([job], lambda job, begin: archives.encode_archive(job, how, outputs, begin), Talk(quiet))


@command(
    epilog="\b\nExamples:\n  shearloc decode photo.shl\n  shearloc decode photo.shl back.tif\n"
    "  shearloc decode -r out/ --out-dir pictures --format tif\n  shearloc decode digits.shl digits/\n"
    "  shearloc decode photo.shl - --format ppm | convert - photo.jpg"
)
def decode(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="IN...",
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
        Literal["png", "pnm", "pbm", "pgm", "ppm", "tif", "bmp", "webp"],
        typer.Option("--format", help="The kind of image where no OUT's suffix says it; pnm: pbm, pgm or ppm."),
    ] = "png",
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
    _lend(weights)
    jobs = _jobs(files, out, out_dir, recursive, _encoded(form))
    how = Decoding(engine, max_samples, order)
    outputs = Outputs(skip_existing, force, keep_time)
    with computing(threads):
        run(jobs, lambda job, begin: images.decode_file(job, how, f".{form}", outputs, begin), Talk(quiet))


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
    _lend(weights)
    how = Decoding(engine, max_samples)
    jobs = []
    for file in files:
        whole = collections.is_collection(file)
        found = [plan.Input(file, file)] if whole else plan.expand([file], {SHL}, recursive)
        jobs += [Job(one.path, one.path, one.problem) for one in found]
    with computing(threads):
        run(jobs, lambda job, begin: verifying.verify_file(job.source, how, begin), Talk(quiet), writes=False)


@command(epilog="\b\nExamples:\n  shearloc info photo.shl\n  shearloc info photo.shl --json")
def info(
    file: Annotated[Path, typer.Argument(metavar="FILE", readable=False, help="A .shl file, or - for standard input.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for programs.")] = False,
) -> None:
    """Say what a .shl file holds, without decoding it."""
    from ..codec import api

    with _naming(file):
        data = inout.read(file)
        try:
            fields = api.info(data).to_dict()
        except FormatError:
            from ..codec import archive  # only for archives, as it costs some time

            if not archive.is_archive(data):
                raise
            fields = archive.info(data).to_dict()
    if as_json:
        typer.echo(json.dumps(fields))
        return
    for name, value in fields.items():
        if name == "parts":
            for part in value:
                typer.echo(f"{'part':<18}{_plain_part(part)}")
        elif value not in (None, ()):
            typer.echo(f"{name.replace('_', ' '):<18}{_plain(value)}")


# --- Arguments --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Kind:
    """A kind of inputs: their suffixes, what to do with a folder of them, which OUT they have, and its suffix."""

    suffixes: frozenset[str]
    hint: str
    is_output: Callable[[Path], bool]
    suffix: Callable[[Path], str]


def _is_encoded(path: Path) -> bool:
    """Whether a second argument is the output of `encode`."""
    return path.suffix.lower() == SHL or inout.is_standard(path) or inout.is_special(path)


_IMAGES = _Kind(
    plan.IMAGE_SUFFIXES | plan.REFUSED_SUFFIXES,
    "-r encodes each of its images, `shearloc archive` makes one file of them",
    _is_encoded,
    lambda path: SHL,
)


def _encoded(form: str) -> _Kind:
    """.shl files, decoded to images of a form; archives to folders."""
    return _Kind(
        frozenset((SHL,)),
        "-r decodes all .shl files in it",
        lambda path: path.suffix.lower() != SHL,
        lambda path: "" if _is_archive(path) else f".{form}",
    )


def _jobs(files: list[Path], out: Path | None, out_dir: Path | None, recursive: bool, kind: _Kind) -> list[Job]:
    """IN... [OUT]: the last of two is OUT if it looks like one, so that a pattern that matches two files is no trap."""
    if out is None and out_dir is None and len(files) == 2:
        if kind.is_output(files[1]):
            files, out = files[:1], files[1]
        elif files[1].is_dir() and not recursive:
            raise ShearlocError(f"{files[1]}: is a folder; --out-dir {files[1]} writes there")
    if out is None:
        return plan.plan(plan.expand(files, kind.suffixes, recursive, kind.hint), out_dir, kind.suffix)
    if out_dir is not None:
        raise ShearlocError("give an OUT or --out-dir, not both")
    if len(files) > 1:
        raise ShearlocError(f"{out} is one OUT for {len(files)} files; --out-dir takes a folder for all of them")
    return [Job(files[0], out)]


def _no_folder(job: Job) -> Job:
    """The job, if it is an image's. ShearlocError for what makes an archive."""
    if job.source.is_dir() or job.source.suffix.lower() == ".npy":
        kind = "a folder" if job.source.is_dir() else "an array of images"
        each = "; `shearloc encode -r` encodes each of its images" if job.source.is_dir() else ""
        raise ShearlocError(f"is {kind}: `shearloc archive {job.source}` makes an archive of it{each}")
    return job


def _check_options(model: str, alone: bool, effort: int | None, steps: int) -> None:
    """ShearlocError for options that do nothing for this model; `alone`: it is an autoencoder."""
    if alone and effort is not None:
        raise ShearlocError(f"--effort does nothing for '{model}': an autoencoder has --steps instead")
    if steps and not alone and model != "auto":
        raise ShearlocError(f"--steps does nothing for '{model}': it is for autoencoders")


def _refuse(options: dict[str, bool], kind: str) -> None:
    """ShearlocError for those options that are given: they are for another kind of thing."""
    given = [option for option, is_given in options.items() if is_given]
    if given:
        raise ShearlocError(f"{' and '.join(given)} {'are' if len(given) > 1 else 'is'} for {kind}")


def _lend(weights: list[Path] | None) -> None:
    """Let decoders find the models in these files."""
    for file in weights or ():
        models.use(str(file))


def _is_archive(file: Path) -> bool:
    """Whether there is such a file and it is an archive."""
    if not file.is_file():
        return False
    with suppress(OSError), file.open("rb") as opened:
        return archives.is_archive(opened.read(16))
    return False


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
