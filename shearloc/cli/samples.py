"""The commands that show what a model knows: samples of it, and where an image's bits go.

Options and printing only; the work is in `jobs/lengths.py`.
"""

from pathlib import Path
from typing import Annotated

import typer

from ..jobs import lengths, models
from ..jobs.plan import Job
from .app import Engine, Threads, command, computing
from .progress import run

OneModel = Annotated[
    str, typer.Argument(metavar="MODEL", help="One of `shearloc models`, or the path of a model file.")
]
Overwrite = Annotated[bool, typer.Option("--force", "-f", help="Overwrite OUT if it exists.")]


@command(
    epilog="\b\nExamples:\n  shearloc sample photo sheet.png --size 64 64 --count 9\n"
    "  shearloc sample vae-mnist digits.png --count 100 --seed 7"
)
def sample(
    model: OneModel,
    out: Annotated[
        Path,
        typer.Argument(metavar="OUT", help="An image file for a sheet of all samples, a .npy file, or a folder."),
    ],
    size: Annotated[
        tuple[int, int] | None,
        typer.Option(metavar="H W", help="Height and width. Default: the model's own, or 64 64."),
    ] = None,
    count: Annotated[int, typer.Option(min=1, metavar="N", help="How many samples.")] = 1,
    seed: Annotated[int, typer.Option(min=0, max=2**64 - 1, metavar="S", help="Another gives other samples.")] = 0,
    engine: Engine = "auto",
    threads: Threads = None,
    force: Overwrite = False,
) -> None:
    """Draw images from a model by decoding pseudo-random bits: exact samples, the same on every machine.

    They show what a model takes for likely. A local model has samples of any size, an autoencoder of its own.
    """
    models.use(model)
    with computing(threads):
        run([Job(Path(model), out)], lambda job, _: lengths.draw_samples(model, size, count, seed, engine, out, force))


@command(
    epilog="\b\nExamples:\n  shearloc inspect photo.png bits.png\n  shearloc inspect photo.shl bits.png\n"
    "  shearloc inspect digit.png bits.png --model vae-mnist"
)
def inspect(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", readable=False, help="An 8-bit gray or RGB image, or a .shl picture.")
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The drawing, an image file such as bits.png.")],
    model: Annotated[
        str,
        typer.Option(
            help="One of `shearloc models`, or the path of a model file. Auto: the one that the .shl file was coded "
            "with, or else photo or gray."
        ),
    ] = "auto",
    steps: Annotated[
        int, typer.Option("--steps", min=0, metavar="K", help="Steps of optimal inference, of autoencoders only.")
    ] = 0,
    engine: Engine = "auto",
    threads: Threads = None,
    force: Overwrite = False,
) -> None:
    """Draw where an image's bits go: the picture, and beside it what every pixel costs under a model.

    Also prints the sum, and that of each channel. Light pixels are those that the model did not expect.
    """
    models.use(model)
    with computing(threads):
        run(
            [Job(file, out)],
            lambda job, _: "\n".join(lengths.draw_lengths(file, out, model, steps, engine, force)),
        )
