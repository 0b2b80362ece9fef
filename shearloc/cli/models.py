"""The commands about models: which there are."""

import typer

from .app import app


@app.command()
def models() -> None:
    """List the installed models: name, channels, fingerprint of the weights, and what the card says of it."""
    from ..models import zoo

    for name in zoo.names():
        model = zoo.load(name)
        summary = zoo.card(name).get("summary", "")
        typer.echo(f"{name:<12}{model.channels} channels  {model.fingerprint.hex()}  {summary}".rstrip())
