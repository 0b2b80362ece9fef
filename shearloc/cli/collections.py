"""The commands for collections of images: pack, unpack, list, reindex.

Options and printing only; the work is `jobs/pack.py`'s.
"""

import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import ShearlocError
from ..jobs import batch
from .app import Engine, Force, MaxSamples, app, complain, printable
from .progress import progress_bars

if TYPE_CHECKING:
    from ..codec.collection import Collection
    from ..jobs.pack import Outcome, Task

Archive = Annotated[Path, typer.Argument(metavar="ARCHIVE", help="A folder that `shearloc pack` wrote.")]
Names = "Names or patterns ('cats/*'); an image is taken if one of them fits. Default: all images."


@app.command(
    epilog="\b\nExamples:\n  shearloc pack photos/ photos.shards\n  shearloc pack t10k-images-idx3-ubyte.gz digits\n"
    "  shearloc pack train-*.tar train.shards --workers 8\n"
    "  shearloc pack /shared/train /shared/train.shards --scheduler tcp://head:8786"
)
def pack(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="SOURCE... OUT",
            help="Folders, patterns in quotes ('photos/**/*.png'), image files, IDX files (.gz too), .npy, .npz and "
            "tar files of images; then the folder to write to.",
        ),
    ],
    model: Annotated[str, typer.Option(help="One of `shearloc models`; auto takes what is smallest.")] = "auto",
    effort: Annotated[
        int, typer.Option(min=1, max=9, help="As for `encode`; chunks of small images are archives.")
    ] = 5,
    engine: Engine = "auto",
    strip: Annotated[
        bool, typer.Option("--strip", help="Drop metadata. Small images without any share a chunk and take less.")
    ] = False,
    verify: Annotated[
        bool, typer.Option("--verify/--no-verify", help="Decode what was encoded, with another engine, and compare.")
    ] = True,
    workers: Annotated[
        int, typer.Option(min=1, metavar="N", help="Processes that share the work, a shard at a time, on this machine.")
    ] = 1,
    scheduler: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Of a Dask cluster that does the work. Its workers need Shearloc, and the files at the same paths.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace other shards in OUT.")] = False,
) -> None:
    """Compress a collection of images into shards with an index: any image can be read by itself.

    The same command again goes on where it stopped: complete shards are checked and kept, others replaced. What cannot
    be read is told and left out, with exit code 1 at the end.
    """
    from ..jobs import pack as packing
    from ..jobs import sources

    if len(paths) < 2:
        raise ShearlocError("name what to pack, and last the folder to write to")
    *given, out = paths
    how = batch.Encoding(model, effort, engine, strip=strip, verify=verify)
    _check_model(model)
    found = sources.find(given)
    failed = _complain_all(found.problems)
    if found.left_out:
        complain(f"{_some(found.left_out)} left out: no image by its suffix")
    if not found.items:
        raise ShearlocError("no images to pack")
    tasks = packing.plan(found.items, out, how, workers > 1 or scheduler is not None)
    packing.prepare(tasks, out, force)
    done = 0
    with progress_bars(len(tasks)) as begin:
        for task, outcome in _outcomes(tasks, workers, scheduler, begin):
            if isinstance(outcome, Exception):
                failed += _complain_all([batch.message(outcome, batch.Job(task.target, task.target))])
                continue
            done += outcome.images
            failed += _complain_all(outcome.failures)
            state = "kept, it is complete" if outcome.kept else f"{outcome.seconds:.1f} s"
            typer.echo(f"{task.target.name}: {outcome.images:,} images, {outcome.stored:,} bytes, {state}")
    indexed = packing.write_index(out, [task.target for task in tasks if task.target.exists()], check=False)
    packing.remove_others(out, tasks)
    failed += _complain_all(indexed.problems)
    typer.echo(
        f"{out}: {indexed.images:,} images in {indexed.shards:,} shards, {indexed.stored:,} bytes with the index"
    )
    if indexed.images < done:
        failed += _complain_all([f"{out}: the workers wrote {done:,} images; is it the same folder for all of them?"])
    if failed:
        complain(f"{len(found.items) - indexed.images:,} of {len(found.items):,} images are missing; see above")
        sys.exit(1)


@app.command(
    epilog="\b\nExamples:\n  shearloc unpack photos.shards photos\n  shearloc unpack photos.shards some 'cats/*'"
)
def unpack(
    archive: Archive,
    out: Annotated[
        Path | None,
        typer.Argument(metavar="OUT", help="Folder to write to. Default: ARCHIVE's name and -images, beside it."),
    ] = None,
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME", help=Names)] = None,
    engine: Engine = "auto",
    max_samples: MaxSamples = None,
    force: Force = False,
) -> None:
    """Restore images of a collection to files of their names.

    What cannot be restored is told and left out, with exit code 1 at the end.
    """
    from ..jobs import pack as packing

    collection = _open(archive, engine, max_samples)
    folder = out or archive.resolve().with_name(archive.resolve().name + "-images")
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir()) and not force):
        raise ShearlocError(f"{folder}: exists already; give an empty or a new folder, or --force")
    entries, unknown = packing.choose(collection, names or [])
    failed = _complain_all(f"{archive}: no image fits '{pattern}'" for pattern in unknown)
    folder.mkdir(parents=True, exist_ok=True)
    with progress_bars(1) as begin:
        written, failures = packing.unpack(collection, entries, folder, begin(0, f"unpack {archive.name}"))
    failed += _complain_all(f"{archive}: {line}" for line in failures)
    typer.echo(f"{archive} -> {folder} {written:,} images")
    if failed:
        sys.exit(1)


@app.command(
    name="list", epilog="\b\nExamples:\n  shearloc list photos.shards\n  shearloc list photos.shards 'cats/*' --long"
)
def list_images(
    archive: Archive,
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME", help=Names)] = None,
    long: Annotated[
        bool,
        typer.Option(
            "--long", help="Also where each is: shard, offset, bytes and checksum of its stream, place in it."
        ),
    ] = False,
) -> None:
    """List the images of a collection, by name; nothing is decoded."""
    from ..codec.collection import shard_name
    from ..jobs import pack as packing

    collection = _open(archive)
    entries, unknown = packing.choose(collection, names or [])
    for entry in entries:
        stream = entry.stream
        where = (shard_name(stream.shard), stream.offset, stream.length, f"{stream.checksum:08x}", entry.position)
        name = printable(entry.name)
        typer.echo("\t".join(map(str, (name, *where))) if long else name)
    if _complain_all(f"{archive}: no image fits '{pattern}'" for pattern in unknown):
        sys.exit(1)


@app.command(epilog="\b\nExample:\n  shearloc reindex photos.shards")
def reindex(archive: Archive) -> None:
    """Make a collection's index anew from its shards, of which each knows its images' names.

    What is damaged is told and left out, with exit code 1 at the end.
    """
    from ..jobs import pack as packing

    indexed = packing.write_index(archive, packing.shards_of(archive))
    typer.echo(f"{archive}: {indexed.images:,} images in {indexed.shards:,} shards")
    if _complain_all(indexed.problems):
        sys.exit(1)


def _outcomes(
    tasks: "list[Task]", workers: int, scheduler: str | None, begin: Callable[[int, str], batch.Progress | None]
) -> "Iterator[tuple[Task, Outcome | Exception]]":
    """Each task with its outcome or error, while a bar shows how far it is."""
    from ..jobs import spread
    from ..jobs.pack import pack_shard

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


def _open(archive: Path, engine: str = "auto", max_samples: int | None = None) -> "Collection":
    from ..codec.api import MAX_SAMPLES
    from ..codec.collection import Collection

    return Collection(archive, engine=engine, max_samples=max_samples or MAX_SAMPLES)


def _check_model(model: str) -> None:
    """UnknownModelError before any work."""
    from ..models import zoo

    if model not in ("auto", "raw"):
        zoo.family_of(model)


def _complain_all(lines: Iterable[str]) -> int:
    """Complain about each; how many there were."""
    count = 0
    for line in lines:
        complain(line)
        count += 1
    return count


def _some(names: list[str]) -> str:
    """A few of the names, and how many there are."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3:,} more" if len(names) > 3 else "")
