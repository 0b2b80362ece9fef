"""What arguments mean: which files are inputs, which one is the output, and which options have an effect."""

import glob
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ..errors import ShearlocError
from ..jobs import archives, images, inout, models, plan
from ..jobs.plan import SHL, Job


@dataclass(frozen=True)
class Kind:
    """A kind of input: its name, suffixes, a hint for folders, how to know it and its OUT, the suffix of outputs."""

    name: str
    suffixes: frozenset[str]
    hint: str
    is_input: Callable[[Path], bool]
    is_output: Callable[[Path], bool]
    suffix: Callable[[Path], str]


def _is_encoded(path: Path) -> bool:
    """Whether a second argument is the output of `encode`."""
    return path.suffix.lower() == SHL or inout.is_standard(path) or inout.is_special(path)


IMAGES = Kind(
    "image",
    plan.IMAGE_SUFFIXES | plan.REFUSED_SUFFIXES,
    "-r encodes each of its images, `shearloc archive` makes one file of them",
    images.may_be_image,
    _is_encoded,
    lambda path: SHL,
)


def encoded(form: str) -> Kind:
    """.shl files, which decode to images of this format; archives decode to folders."""
    return Kind(
        SHL,
        frozenset((SHL,)),
        "-r decodes all .shl files in it",
        lambda path: True,
        lambda path: path.suffix.lower() != SHL,
        lambda path: "" if _is_archive(path) else f".{form}",
    )


def jobs_of(files: list[Path], out: Path | None, out_dir: Path | None, recursive: bool, kind: Kind) -> list[Job]:
    """The jobs of IN... [OUT]. The last of two is OUT only if it looks like one: a pattern may match two files."""
    if out is None and out_dir is None and len(files) == 2:
        if kind.is_output(files[1]):
            files, out = files[:1], files[1]
        elif files[1].is_dir() and not recursive:
            raise ShearlocError(f"{files[1]}: is a folder; --out-dir {files[1]} writes there")
        else:
            _check_second(files[1], recursive)
    if out is None:
        found = plan.expand(files, kind.suffixes, recursive, kind.hint, kind.name)
        return plan.plan(found, out_dir, kind.suffix, kind.is_input)
    if out_dir is not None:
        raise ShearlocError("give an OUT or --out-dir, not both")
    if len(files) > 1:
        raise ShearlocError(f"{out} is one OUT for {len(files)} files; --out-dir takes a folder for all of them")
    return [Job(files[0], out)]


def _check_second(path: Path, recursive: bool) -> None:
    """ShearlocError for a second argument that is neither a file nor like an OUT, and so most likely meant as one."""
    if path.exists() or path.suffix.lower() == SHL or glob.has_magic(str(path)):
        return
    if recursive:
        raise ShearlocError(f"{path}: no such file or folder; --out-dir {path} writes there")
    raise ShearlocError(f"{path}: no such file; OUT must end in {SHL}, or use -o {path}")


def no_folder(job: Job) -> Job:
    """The job, if its input is an image. ShearlocError for what makes an archive."""
    if job.source.is_dir() or job.source.suffix.lower() == ".npy":
        kind = "a folder" if job.source.is_dir() else "an array of images"
        each = "; `shearloc encode -r` encodes each of its images" if job.source.is_dir() else ""
        raise ShearlocError(f"is {kind}: `shearloc archive {job.source}` makes an archive of it{each}")
    return job


def check_options(model: str, effort: int | None, steps: int, order: str = "sheared") -> None:
    """ShearlocError for options that have no effect with this model."""
    given = {"effort": effort is not None, "steps": steps > 0, "order": order != "sheared"}
    known = models.options_of(model)
    for option, is_given in given.items():
        if is_given and option not in known:
            others = f"; it has --{' and --'.join(sorted(known))}" if known else ""
            raise ShearlocError(f"--{option} does nothing for '{model}'{others}")


def lend(weights: list[Path] | None) -> None:
    """Lets decoders find the models in these files."""
    for file in weights or ():
        models.use(str(file))


def _is_archive(file: Path) -> bool:
    """Whether the file exists and is an archive."""
    if not file.is_file():
        return False
    with suppress(OSError), file.open("rb") as opened:
        return archives.is_archive(opened.read(16))
    return False
