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


@command(
    epilog="\b\nExamples:\n  shearloc latents vae-mnist digits/\n"
    "  shearloc latents vae-mnist digits.npy --json --plot latents.png"
)
def latents(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="An autoencoder: its name, or the path of its file.")],
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="IMAGES...", readable=False, help="Images of the model's size: files, folders, arrays."),
    ],
    steps: Annotated[int, typer.Option(min=0, metavar="K", help="Steps of optimal inference.")] = 0,
    samples: Annotated[int, typer.Option(min=1, help="Draws of the importance-weighted bound.")] = 100,
    count: Annotated[int, typer.Option(min=2, metavar="N", help="Take so many of the images at most.")] = 1000,
    population: Annotated[
        int | None,
        typer.Option(min=2, metavar="N", help="The images are a sample of so many. Default: they are all there are."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the draws.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for programs.")] = False,
    plot: Annotated[
        Path | None, typer.Option(metavar="OUT", help="Draw every latent: .png or .svg. Needs matplotlib.")
    ] = None,
    threads: Threads = None,
) -> None:
    """Say what an autoencoder's latents do: which are in use, what they cost, what a better prior could save.

    All figures are bits an image. Mutual information and total correlation are minibatch-weighted estimates over the
    images that are given.
    """
    from ..evaluate import latents as latents_
    from ..evaluate import plots, report, scoring

    if plot:
        plots.check_suffix(plot)
    models.use(model)
    latents_.check_model(model)
    with computing(threads):
        images, skipped = scoring.stack_of(paths, model, count)
        complain_all(f"skipped: {line}" for line in skipped)
        found = latents_.diagnose(images, model, steps=steps, samples=samples, population=population, seed=seed)
    if plot:
        plots.draw_latents(found, plot)
    if as_json:
        typer.echo(json.dumps({"model": model, "steps": steps, "seed": seed} | found.to_dict()))
        return
    size = images[0].size
    rows = [
        (name, f"{bits:.2f}", f"{bits / size:.4f}")
        for name, bits in (
            ("-ELBO", found.negative_elbo),
            ("  distortion, -log2 p(x|z)", found.distortion),
            ("  rate, KL to the prior", found.rate),
            ("    mutual information (minibatch-weighted)", found.mutual_information),
            ("    total correlation (minibatch-weighted)", found.total_correlation),
            ("    divergence of each latent (minibatch-weighted)", found.dimension_divergence),
            (f"-log2 p(x), {samples} importance-weighted draws", found.importance_weighted),
            ("a perfect prior saves at most", found.of_a_prior),
        )
    ]
    report.show_table(f"'{model}', {counted(found.images, 'image')}", ("", "bits an image", "per dimension"), rows)
    if found.saturated:
        typer.echo(
            f"Too few images: no more mutual information than log2 of {found.population:,} can be found, the rest "
            "counts as total correlation. Give more, or --population."
        )
    active = int(found.active.sum())
    typer.echo(f"{active} of {len(found.variances)} latents are in use: their means vary by more than 0.01.")
