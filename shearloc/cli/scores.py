"""The commands that judge images by a model, and a model by its latents.

Options and printing only; `evaluate/scoring.py` and `evaluate/latents.py` measure.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..jobs import models
from ..jobs.message import counted
from .app import Threads, command, complain_all, computing, printable
from .progress import progress_bars

if TYPE_CHECKING:
    from ..evaluate.scoring import Scored

COLUMNS = ("file", "size", "bits", "bits per dimension", "score", "p", "")


@command(
    epilog="\b\nExamples:\n  shearloc score scans/ --model scans\n"
    "  shearloc score new/ --model scans --against gray --reference scans/\n"
    "  shearloc score photos/ --model photo --against png --csv scores.csv"
)
def score(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATHS...", readable=False, help="8-bit gray or RGB images, folders, .npy, .npz, IDX or tar files."
        ),
    ],
    model: Annotated[str, typer.Option(help="One of `shearloc models`, or the path of a model file.")],
    against: Annotated[
        str | None,
        typer.Option(
            metavar="OTHER",
            help="Subtract the bits of another: a model (a local one, or one for any images), or png, webp, jxl, jp2.",
        ),
    ] = None,
    regret: Annotated[
        int | None,
        typer.Option(min=1, metavar="K", help="Bits that K steps of optimal inference save, of autoencoders only."),
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Usual images. Default: the held-out images of the model's card."),
    ] = None,
    top: Annotated[int, typer.Option(min=1, metavar="N", help="Print so many of the most unusual.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object with all images, for programs.")] = False,
    csv_file: Annotated[
        Path | None, typer.Option("--csv", metavar="OUT", help="Write all images there too, for a spreadsheet.")
    ] = None,
    threads: Threads = None,
) -> None:
    """Say how unlike a model's training images each image is, the most unusual first.

    The score is what an image costs under the model in bits per dimension, or what it costs more than under another. p
    is the share of usual images whose score is as unusual. What cannot be scored is skipped, with a reason.
    """
    from ..codec.pictures import files
    from ..evaluate import report, scoring

    if csv_file:
        files.check_writable(csv_file)
    for name in (model, *((against,) if against else ())):
        if name not in scoring.scores.CODECS:
            models.use(name)
    with computing(threads), progress_bars(1) as begin:
        found = scoring.score(paths, model, against, regret, reference, begin(0, "score"))
    complain_all(f"skipped: {line}" for line in found.skipped)
    if csv_file:
        columns = tuple(found.rows[0].to_dict())
        report.write_csv(csv_file, columns, (tuple(row.to_dict().values()) for row in found.rows))
    if as_json:
        about = {key: value for key, value in vars(found).items() if key != "rows"}
        typer.echo(json.dumps(about | {"images": [row.to_dict() for row in found.rows]}))
        return
    _show(found, top)


def _show(found: "Scored", top: int) -> None:
    """The most unusual images, and in words what that means."""
    from ..evaluate.report import show_table

    cells = [
        (
            printable(row.name),
            f"{row.height} x {row.width}",
            f"{row.bits:,.0f}",
            f"{row.bits_per_dimension:.4f}",
            f"{row.score:.4f}",
            "" if row.p is None else f"{row.p:.2g}",
            row.words,
        )
        for row in found.rows[:top]
    ]
    title = f"'{found.model}', score: {found.score}, {counted(len(found.rows), 'image')}, the most unusual first"
    show_table(title, COLUMNS, cells)
    for line in _words(found):
        typer.echo(line)


def _words(found: "Scored") -> list[str]:
    lines = []
    if len(found.sizes) > 1:
        lines.append(f"The images have {len(found.sizes)} sizes: compare bits per dimension, not bits.")
    if not found.reference_images:
        lines.append(
            f"Nothing to compare with: the model's card has no quantiles of '{found.score}'. Name usual images by "
            "--reference."
        )
        return lines
    least = (2 if found.score == "bits" else 1) / (found.reference_images + 1)
    lines.append(
        f"Compared with {counted(found.reference_images, 'image')}: {found.reference}. p is never below {least:.2g}."
    )
    count = len(found.rows)
    for p, word in ((0.001, "unlike them"), (0.05, "unusual")):
        if p > least:
            chance = f"{count * p:,.0f}" if count * p >= 1 else f"{count * p:.2g}"
            lines.append(f"{found.below(p):,} of {count:,} are {word} (p < {p}); by chance {chance} would be.")
    return lines
