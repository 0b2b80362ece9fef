"""The commands about models at hand: list, add and remove."""

from pathlib import Path
from typing import Annotated

import typer

from ..errors import ShearlocError
from ..jobs.plan import Job
from .app import Command, app, complain
from .progress import run

models_app = typer.Typer(invoke_without_command=True, rich_markup_mode=None)
app.add_typer(models_app, name="models")


@models_app.callback(epilog="\b\nExamples:\n  shearloc models\n  shearloc models add scans.safetensors")
def models(context: typer.Context) -> None:
    """List the installed models: name, kind, channels, fingerprint of the weights, and what the card says of it.

    Your own are installed with `add`; then files made with them decode, and their names do for --model.
    """
    if context.invoked_subcommand is None:
        _list()


@models_app.command(cls=Command, epilog="\b\nExample:\n  shearloc models add scans.safetensors")
def add(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", readable=False, help="Model files, .safetensors, with their cards."),
    ],
    force: Annotated[bool, typer.Option("--force", "-f", help="Replace a model of the same name.")] = False,
) -> None:
    """Copy models and their cards to your own folder of models."""
    from ..jobs import models as installing

    run([Job(file, file) for file in files], lambda job, _: f"{job.source} -> {installing.add(job.source, force)}")


@models_app.command(cls=Command, epilog="\b\nExample:\n  shearloc models remove scans")
def remove(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Models that `add` installed.")],
) -> None:
    """Remove models and their cards from your own folder of models."""
    from ..jobs import models as installing

    for name in names:
        typer.echo(f"{installing.remove(name)} removed")


def _list() -> None:
    """A line for each model."""
    from ..models import zoo

    names = zoo.names()
    width = max(map(len, names), default=0)
    for name in names:
        try:
            model = zoo.load(name)
        except ShearlocError as error:
            complain(str(error))
            continue
        count = f"1 to {model.channels}" if model.family.deep else str(model.channels)
        channels = f"{count} channel{'' if count == '1' else 's'}"
        summary = zoo.card(name).get("summary", "")
        typer.echo(
            f"{name:<{width}}  {model.family.name:<7}  {channels:<15}  {model.fingerprint.hex()}  {summary}".rstrip()
        )
    typer.echo(
        f"`shearloc models add FILE` puts your own into {zoo.user_folder()}; SHEARLOC_MODELS may name more folders"
    )
