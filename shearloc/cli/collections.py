"""The commands for collections of images: pack, unpack, list, reindex.

Options and printing only; the work is in `jobs/`.
"""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import ShearlocError
from ..jobs import collections, models
from ..jobs.message import counted, message
from ..jobs.options import Encoding, Progress
from ..jobs.plan import Job
from .app import (
    Engine,
    Force,
    MaxSamples,
    NoVerify,
    Quiet,
    Threads,
    Verify,
    checker,
    command,
    complain,
    complain_all,
    computing,
    printable,
    tell_left_out,
)
from .progress import progress_bars

if TYPE_CHECKING:
    from ..codec.collections.collection import Collection
    from ..jobs.shards import Outcome, Task
    from ..jobs.sources import Found

Where = Annotated[
    Path, typer.Argument(metavar="COLLECTION", readable=False, help="A folder that `shearloc pack` wrote.")
]
Sources = Annotated[
    list[Path],
    typer.Argument(
        metavar="SOURCE... OUT",
        readable=False,
        help="Folders, patterns in quotes ('photos/**/*.png'), image files, IDX files (.gz too), .npy, .npz and "
        "tar files of images; then the folder to write to.",
    ),
]
Model = Annotated[
    str, typer.Option(help="One of `shearloc models`, or the path of a model file; auto takes what is smallest.")
]
Strip = Annotated[
    bool, typer.Option("--strip", help="Drop metadata. Small images without any share a chunk and take less.")
]
Workers = Annotated[
    int, typer.Option(min=1, metavar="N", help="Processes that share the work, a shard at a time, on this machine.")
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Of a Dask cluster that does the work. Its workers need Shearloc, and the files at the same paths.",
    ),
]
Names = "Names or patterns ('cats/*'); an image is taken if one of them fits. Default: all images."


@command(
    epilog="\b\nExamples:\n  shearloc pack photos/ photos.shards\n  shearloc pack t10k-images-idx3-ubyte.gz digits\n"
    "  shearloc pack train-*.tar train.shards --workers 8\n"
    "  shearloc pack /shared/train /shared/train.shards --scheduler tcp://head:8786"
)
def pack(
    paths: Sources,
    model: Model = "auto",
    effort: Annotated[
        int, typer.Option(min=1, max=9, help="As for `encode`; chunks of small images are archives.")
    ] = 5,
    engine: Engine = "auto",
    strip: Strip = False,
    verify: Verify = "auto",
    no_verify: NoVerify = False,
    workers: Workers = 1,
    scheduler: Scheduler = None,
    force: Annotated[bool, typer.Option("--force", "-f", help="Replace other shards in OUT.")] = False,
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Compress a collection of images into shards with an index: any image can be read by itself.

    The same command again goes on where it stopped: complete shards are checked and kept, others replaced. What cannot
    be read is left out, with a line that says why, and exit code 1 at the end.
    """
    from ..jobs import shards

    if len(paths) < 2:
        raise ShearlocError("name what to pack, and last the folder to write to")
    *given, out = paths
    if out.exists() and not out.is_dir():
        raise ShearlocError(f"{out}: exists and is a file; the last argument is the folder to write to")
    models.use(model)
    found, failed = _found(given)
    how = Encoding(model, effort, engine, strip=strip, verify=checker(verify, no_verify))
    with computing(threads):
        tasks = shards.plan(found.items, out, how, workers > 1 or scheduler is not None)
        shards.prepare(tasks, out, force)
        done, failures = _pack_all(tasks, workers, scheduler, quiet)
    _index_all(out, tasks, done, failed + failures, found, quiet)


def _found(given: list[Path]) -> "tuple[Found, int]":
    """The images in these sources, and how many problems there are. ShearlocError if there are no images."""
    from ..jobs import sources

    found = sources.find(given)
    failed = complain_all(found.problems)
    tell_left_out(found.left_out, found.hidden)
    if not found.items:
        raise ShearlocError("no images to pack")
    return found, failed


def _pack_all(tasks: "list[Task]", workers: int, scheduler: str | None, quiet: bool) -> tuple[int, int]:
    """Packs shards, a line for each. Returns how many images they have, and how many problems there were."""
    done = failed = 0
    with progress_bars(len(tasks)) as begin:
        for task, outcome in _outcomes(tasks, workers, scheduler, begin):
            if isinstance(outcome, Exception):
                failed += complain_all([message(outcome, Job(task.target, task.target))])
                continue
            done += outcome.images
            failed += complain_all(outcome.failures)
            state = "kept, it is complete" if outcome.kept else f"{outcome.seconds:.1f} s"
            if not quiet:
                typer.echo(f"{task.target.name}: {counted(outcome.images, 'image')}, {outcome.stored:,} bytes, {state}")
    return done, failed


def _index_all(out: Path, tasks: "list[Task]", done: int, failed: int, found: "Found", quiet: bool) -> None:
    """Writes the index over all shards, and exits with 1 if anything is missing."""
    indexed = collections.write_index(out, [task.target for task in tasks if task.target.exists()], check=False)
    collections.remove_others(out, tasks)
    failed += complain_all(indexed.problems)
    images = f"{counted(indexed.images, 'image')} in {counted(indexed.shards, 'shard')}"
    if not quiet:
        typer.echo(f"{out}: {images}, {indexed.stored:,} bytes with the index")
    if indexed.images < done:
        written = counted(done, "image")
        failed += complain_all([f"{out}: the workers wrote {written}; is it the same folder for all of them?"])
    missing = len(found.items) - indexed.images
    if missing:
        verb = "is" if missing == 1 else "are"
        complain(f"{missing:,} of {counted(len(found.items), 'image')} {verb} missing; see above")
    elif failed:
        complain(f"{counted(failed, 'source')} could not be read, at least in part; see above")
    if failed or missing:
        sys.exit(1)


@command(epilog="\b\nExamples:\n  shearloc unpack photos.shards photos\n  shearloc unpack photos.shards some 'cats/*'")
def unpack(
    folder: Where,
    out: Annotated[
        Path | None,
        typer.Argument(metavar="OUT", help="Folder to write to. Default: COLLECTION's name and -images, beside it."),
    ] = None,
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME", help=Names)] = None,
    weights: Annotated[
        list[Path] | None,
        typer.Option("--model", metavar="FILE", help="A model file to look for weights in, too. May be repeated."),
    ] = None,
    engine: Engine = "auto",
    max_samples: MaxSamples = None,
    force: Force = False,
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Restore images of a collection to files of their names.

    What cannot be restored is left out, with a line that says why, and exit code 1 at the end.
    """
    for file in weights or ():
        models.use(str(file))
    collection = _open(folder, engine, max_samples)
    target = out or folder.resolve().with_name(folder.resolve().name + "-images")
    if target.is_file() or (target.is_dir() and any(target.iterdir()) and not force):
        raise ShearlocError(f"{target}: exists already; give an empty or a new folder, or --force")
    entries, unknown = collections.choose(collection, names or [])
    failed = complain_all(f"{folder}: no image fits '{pattern}'" for pattern in unknown)
    if unknown and not entries:
        sys.exit(1)
    target.mkdir(parents=True, exist_ok=True)
    with computing(threads), progress_bars(1) as begin:
        written, failures = collections.unpack(collection, entries, target, begin(0, f"unpack {folder.name}"))
    failed += complain_all(f"{folder}: {line}" for line in failures)
    if not quiet:
        typer.echo(f"{folder} -> {target} {counted(written, 'image')}")
    if failed:
        sys.exit(1)


@command(
    name="list", epilog="\b\nExamples:\n  shearloc list photos.shards\n  shearloc list photos.shards 'cats/*' --long"
)
def list_images(
    folder: Where,
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME", help=Names)] = None,
    long: Annotated[
        bool,
        typer.Option(
            "--long", help="Also where each is: shard, offset, bytes and checksum of its stream, place in it."
        ),
    ] = False,
) -> None:
    """List the images of a collection, by name; nothing is decoded."""
    from ..codec.collections.shards import shard_name

    collection = _open(folder)
    entries, unknown = collections.choose(collection, names or [])
    for entry in entries:
        stream = entry.stream
        where = (shard_name(stream.shard), stream.offset, stream.length, f"{stream.checksum:08x}", entry.position)
        name = printable(entry.name)
        typer.echo("\t".join(map(str, (name, *where))) if long else name)
    if complain_all(f"{folder}: no image fits '{pattern}'" for pattern in unknown):
        sys.exit(1)


@command(epilog="\b\nExample:\n  shearloc reindex photos.shards")
def reindex(folder: Where) -> None:
    """Make a collection's index anew from its shards, of which each knows its images' names.

    What is damaged is left out, with a line that says so, and exit code 1 at the end.
    """
    indexed = collections.write_index(folder, collections.shards_of(folder))
    typer.echo(f"{folder}: {counted(indexed.images, 'image')} in {counted(indexed.shards, 'shard')}")
    if complain_all(indexed.problems):
        sys.exit(1)


def _outcomes(
    tasks: "list[Task]", workers: int, scheduler: str | None, begin: Callable[[int, str], Progress | None]
) -> "Iterator[tuple[Task, Outcome | Exception]]":
    """Each task with its outcome or error, while a bar shows progress."""
    from ..jobs import spread
    from ..jobs.shards import pack_shard

    if scheduler is None and workers == 1:
        for k, task in enumerate(tasks):
            try:
                yield task, pack_shard(task, begin(k, f"pack {task.target.name}"))
            except (ShearlocError, OSError, MemoryError) as error:
                yield task, error
        return
    report = begin(0, "pack")
    pairs = (
        spread.on_processes(pack_shard, tasks, workers)
        if scheduler is None
        else spread.on_cluster(pack_shard, tasks, scheduler)
    )
    for done, pair in enumerate(pairs, 1):
        if report:
            report(done, len(tasks))
        yield pair


def _open(folder: Path, engine: str = "auto", max_samples: int | None = None) -> "Collection":
    from ..codec.api import MAX_SAMPLES
    from ..codec.collections.collection import Collection

    return Collection(folder, engine=engine, max_samples=max_samples or MAX_SAMPLES)
