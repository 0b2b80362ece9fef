"""The application that all commands register with: shared options, exit codes, one line for each error.

The commands are in the files beside it; the work on files is in `jobs/`. Exit code 0: done; 1: an error, printed in one
line; 2: wrong usage; 130: interrupted (Ctrl-C).
"""

import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

import typer
from typer.core import TyperCommand

from .. import __version__, cache
from ..errors import ShearlocError

INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 and the signal's number, as shells have it."""

app = typer.Typer(
    add_completion=True,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Lossless image compression with small neural networks: the same pixels on any machine.",
    epilog="\b\nExamples:\n  shearloc demo\n  shearloc encode photo.png\n  shearloc decode photo.shl back.png",
)


class Command(TyperCommand):
    """A command whose usage line shows plain names of arguments: IN, not {IN}."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """The parts of the usage line."""
        return [re.sub(r"^\{(.*)\}$", r"\1", piece) for piece in super().collect_usage_pieces(ctx)]


command = partial(app.command, cls=Command)

Engine = Annotated[
    Literal["auto", "numpy", "torch", "cuda", "numba"],
    typer.Option(help="What computes. It changes the speed, never a byte."),
]
Verify = Annotated[
    Literal["auto", "numpy", "torch", "cuda", "numba"],
    typer.Option(help="Decode what is new with this engine, and compare. Numpy is slow, and a second opinion."),
]
NoVerify = Annotated[bool, typer.Option("--no-verify", help="Do not decode what is new.")]
MaxSamples = Annotated[
    int | None, typer.Option(min=1, help="Largest height x width x channels to accept. Default: 2^28.")
]
Out = Annotated[
    Path | None, typer.Option("--out", "-o", metavar="OUT", help="The output of one IN; - is standard output.")
]
OutDir = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Folder for the outputs, made if missing. Default: beside each IN."),
]
Recursive = Annotated[
    bool,
    typer.Option(
        "--recursive",
        "-r",
        help="Take all images in folders (decode: .shl files) by their suffix; --out-dir mirrors the subfolders.",
    ),
]
Force = Annotated[bool, typer.Option("--force", "-f", help="Overwrite outputs that exist.")]
KeepTime = Annotated[bool, typer.Option("--keep-time", help="Give each output its input's time of change.")]
Threads = Annotated[
    int | None,
    typer.Option("--threads", "-t", min=1, metavar="N", help="Most processors to use. Default: all that are free."),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Also print what the reader left out, and how the file is coded.")
]


def checker(verify: str, no_verify: bool) -> str | None:
    """The value of `Encoding.verify` for these two options."""
    return None if no_verify else verify


def main() -> None:
    """Run the command line and exit (SystemExit)."""
    try:
        app(prog_name="shearloc")
    except SystemExit as done:
        if cache.note and "numba" in sys.modules:
            complain(cache.note)
        if done.code == INTERRUPTED:  # typer turns Ctrl-C into this, without a word
            complain("interrupted")
        raise
    except KeyboardInterrupt:
        fail("interrupted", INTERRUPTED)
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error))
    except (ShearlocError, MemoryError) as error:
        fail(str(error) or "not enough memory")
    except RuntimeError as error:
        if "cannot cache function" not in str(error):
            raise
        fail("compiled code needs a folder that can be written: set NUMBA_CACHE_DIR to one")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"shearloc {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", "-V", is_eager=True, callback=_show_version, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


@contextmanager
def computing(threads: int | None, told: bool = True) -> Iterator[None]:
    """Limits what runs inside to this many processors; without a number, to all there are.

    If `told`, a terminal gets one line when something takes long to compile. ShearlocError where Numba's compiler is
    turned off.
    """
    if os.environ.get("NUMBA_DISABLE_JIT", "0").strip("0"):
        raise ShearlocError("Shearloc needs Numba's compiler, and NUMBA_DISABLE_JIT turns it off: unset it")
    with ExitStack() as stack:
        if told and sys.stderr.isatty():
            from ..compiling import watched

            stack.enter_context(watched(_say_why, lambda seconds: None))
        if threads is not None:
            from ..nets import engines

            stack.enter_context(engines.at_most(threads))
        yield


def _say_why() -> None:
    typer.echo("compiling what this kind of picture and model needs, once; later runs skip this", err=True)


def printable(text: str) -> str:
    """Text from a file, safe for a terminal: characters that are not printable, and may steer it, become escapes."""
    if text.isprintable():
        return text
    pieces = (text[k : k + 4096] for k in range(0, len(text), 4096))  # not all characters as strings at once
    return "".join("".join(c if c.isprintable() else ascii(c)[1:-1] for c in piece) for piece in pieces)


def complain(message: str) -> None:
    """Prints an error in one line on stderr."""
    typer.echo(f"shearloc: {printable(' '.join(message.split()))}", err=True)


def complain_all(lines: Iterable[str]) -> int:
    """Complains about each line; returns how many there were."""
    count = 0
    for line in lines:
        complain(line)
        count += 1
    return count


def some(names: Sequence[str], most: int = 3) -> str:
    """A few of the names, and how many more there are."""
    return ", ".join(names[:most]) + (f" and {len(names) - most:,} more" if len(names) > most else "")


def tell_left_out(others: Sequence[str | Path], hidden: Sequence[str | Path]) -> None:
    """Names files of folders that are not taken: those that are no images by their suffix, and hidden images."""
    if others:
        complain(f"{some([*map(str, others)])} left out: no image by its suffix")
    if hidden:
        complain(f"{some([*map(str, hidden)])} left out: hidden")


def fail(message: str, code: int = 1) -> NoReturn:
    """Complain and exit."""
    complain(message)
    sys.exit(code)
