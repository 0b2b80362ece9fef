"""The application all commands register with: options they share, exit codes, one line for each error.

The commands are in the files beside it; the work on files is `jobs/`'s. Exit code 0: done; 1: refused, with one line
on stderr; 2: wrong usage; 130: interrupted (Ctrl-C).
"""

import sys
from pathlib import Path
from typing import Annotated, Literal, NoReturn

import typer

from .. import __version__
from ..errors import ShearlocError

INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 and the signal's number, as shells have it."""

app = typer.Typer(
    add_completion=True,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Lossless image compression with small neural networks: the same pixels on any machine.",
    epilog="\b\nExamples:\n  shearloc encode photo.png\n  shearloc decode photo.shl back.png",
)

Engine = Annotated[
    Literal["auto", "numpy", "torch", "cuda", "numba"],
    typer.Option(help="What computes. It changes the speed, never a byte."),
]
MaxSamples = Annotated[
    int | None, typer.Option(min=1, help="Largest height x width x channels to accept. Default: 2^28.")
]
OutDir = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Folder for the outputs, made if missing. Default: beside each IN.")
]
Force = Annotated[bool, typer.Option("--force", help="Overwrite outputs that exist.")]


def main() -> None:
    """Run the command line and exit (SystemExit)."""
    try:
        app(prog_name="shearloc")
    except SystemExit as done:
        if done.code == INTERRUPTED:  # what typer makes of Ctrl-C, without a word
            complain("interrupted")
        raise
    except KeyboardInterrupt:
        fail("interrupted", INTERRUPTED)
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error))
    except (ShearlocError, MemoryError) as error:
        fail(str(error) or "not enough memory")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"shearloc {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


def printable(text: str) -> str:
    """Text that came with a file, for a terminal: what is not printable (and may steer it) as an escape."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def complain(message: str) -> None:
    """Say in one line on stderr what is wrong."""
    typer.echo(f"shearloc: {printable(' '.join(message.split()))}", err=True)


def fail(message: str, code: int = 1) -> NoReturn:
    """Complain and exit."""
    complain(message)
    sys.exit(code)
