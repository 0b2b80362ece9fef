"""The command that measures: our models and other codecs over images, or entropy coders (`--coder`).

Options and printing only; `evaluate/bench.py` measures.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import ShearlocError
from ..jobs.message import counted
from .app import command, complain

if TYPE_CHECKING:
    from ..evaluate.results import Contest, Row


@command(
    epilog="\b\nExamples:\n  shearloc bench photos/\n  shearloc bench a.png b.png --model photo --effort 5 --effort 7\n"
    "  shearloc bench photos/ --json bench.json --plot bench.svg\n  shearloc bench --coder"
)
def bench(
    paths: Annotated[
        list[Path] | None, typer.Argument(metavar="PATHS...", help="8-bit gray or RGB images, or folders of them.")
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(help="One of `shearloc models`, the path of a model file, or auto. May be repeated."),
    ] = None,
    effort: Annotated[list[int] | None, typer.Option(min=1, max=9, help="Of ours. May be repeated.")] = None,
    engine: Annotated[
        list[str] | None, typer.Option(help="What computes in ours: auto, numba, numpy, torch, cuda. May be repeated.")
    ] = None,
    peer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help='Only other codecs that begin so, as in "JPEG XL"; none: none. May be repeated.'
        ),
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Times that every image is coded; medians count.")] = 1,
    held_out: Annotated[
        bool, typer.Option("--held-out", help="Warn of images that one of the models was trained on.")
    ] = False,
    coder: Annotated[
        bool, typer.Option("--coder", help="Time the entropy coders against constriction's; takes no PATHS.")
    ] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="OUT", help="Write everything measured there too.")
    ] = None,
    csv_file: Annotated[
        Path | None, typer.Option("--csv", metavar="OUT", help="Write the table there too, for a spreadsheet.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="OUT", help="Draw rate against speed: .png or .svg. Needs matplotlib.")
    ] = None,
) -> None:
    """Measure bits per dimension, speed and memory of our models and of every other codec that is installed.

    All code the same images in one run, in turns, each in a process of its own. Sizes are of real files, and every file
    is decoded and compared. The other codecs come with the extra "bench". Exit code 1 if a file cannot be
    used, or one of ours did not come back exactly.
    """
    from ..codec.pictures import files

    for out in (json_file, csv_file, plot):
        if out:
            files.check_writable(out)
    if coder:
        if paths or plot or csv_file:
            raise ShearlocError("--coder codes symbols of its own: give neither PATHS nor --plot or --csv")
        return _bench_coders(json_file)
    if not paths:
        raise ShearlocError("name images or folders of them, or --coder")
    _bench_images(
        paths,
        model or ["auto"],
        effort or [5],
        list(engine or ["auto"]),
        peer,
        rounds,
        held_out,
        json_file,
        csv_file,
        plot,
    )


def _bench_images(
    paths: list[Path],
    models: list[str],
    efforts: list[int],
    engines: list[str],
    peer: list[str] | None,
    rounds: int,
    held_out: bool,
    json_file: Path | None,
    csv_file: Path | None,
    plot: Path | None,
) -> None:
    from ..evaluate import bench as bench_
    from ..evaluate import plots, report
    from ..evaluate.peers import INSTALL, missing_peers

    if plot:
        plots.check_suffix(plot)
    about = report.circumstances()
    images = bench_.find_images(paths)
    contenders: list[bench_.Contender] = [*bench_.our_contenders(models, efforts, engines)]
    if peer != ["none"]:
        contenders += bench_.other_contenders(peer or ())
        if not peer and missing_peers():
            complain(f"not installed, so not measured: {', '.join(missing_peers())} ({INSTALL})")
    if held_out:
        _warn_of_training_images(images, models)
    with report.progress("bench", bench_.steps(len(images), len(contenders), rounds)) as advance:
        contest = bench_.measure(images, contenders, rounds, advance)
    for reason in contest.left_out.values():
        complain(f"left out: {reason}")
    if json_file:
        rows = [row.to_dict() for row in contest.rows]
        what = {"rounds": rounds, "images": contest.images, "left_out": contest.left_out}
        result = what | {"ratios": [vars(ratio) for ratio in contest.ratios], "rows": rows}
        report.write_json(json_file, about | result)
    if csv_file:
        report.write_csv(csv_file, COLUMNS, [_measured(row) for row in contest.rows if row.results])
    typer.echo(report.headline(about))
    _show(contest, rounds)
    if plot:
        plots.rate_against_speed(contest.rows, plot)
    broken = [row.name for row in contest.rows if row.ours and (row.inexact or row.failures)]
    if broken:
        raise ShearlocError(f"not every image was coded and came back exactly by {', '.join(broken)}")
    if contest.left_out:
        raise ShearlocError(f"{len(contest.left_out)} of {len(images)} files were left out")


def _warn_of_training_images(images: list[Path], models: list[str]) -> None:
    from ..evaluate.bench import seen_in_training

    seen, unknown = seen_in_training(images, models)
    for model, names in seen.items():
        if names:
            complain(f"warning: model '{model}' was trained on {', '.join(names)}")
    for model in unknown:
        complain(f"warning: nobody recorded what model '{model}' was trained on")


COLUMNS = ("name", "bits_per_dimension", "encode_mb_s", "decode_mb_s", "peak_bytes", "not_lossless", "images")


def _measured(row: "Row") -> tuple[object, ...]:
    """A row of the CSV file."""
    rates = row.bits_per_dimension, row.encode_mb_s, row.decode_mb_s
    return (row.name, *rates, row.peak_bytes, len(row.inexact), len(row.results))


def _show(contest: "Contest", rounds: int) -> None:
    from ..evaluate.report import show_table

    done = sorted((row for row in contest.rows if row.results), key=lambda row: row.bits_per_dimension)
    columns = ("", "bits/dim", "enc MB/s", "dec MB/s", "MiB", "exact")
    cells = [
        (
            row.name,
            f"{row.bits_per_dimension:.4f}",
            f"{row.encode_mb_s:.3g}",
            f"{row.decode_mb_s:.3g}",
            f"{row.peak_bytes / 2**20:.0f}" if row.peak_bytes else "",
            f"{len(row.results) - len(row.inexact)}/{len(row.results)}",
        )
        for row in done
    ]
    times = "" if rounds == 1 else f", median of {rounds} rounds"
    show_table(f"{counted(len(contest.images), 'image')}{times}", columns, cells)
    _show_ratios(contest)
    for row in contest.rows:
        if row.failures:
            image, reason = next(iter(row.failures.items()))
            more = f" and {len(row.failures) - 1} more" if len(row.failures) > 1 else ""
            complain(f"{row.name} could not code {image}{more}: {reason}")


def _show_ratios(contest: "Contest") -> None:
    """How many times as fast ours are as JPEG XL, a line for each effort of its."""
    from ..evaluate.report import show_table

    cells = [(f"{one.name} / {one.yardstick}", f"{one.encode:.2f}", f"{one.decode:.2f}") for one in contest.ratios]
    if cells:
        show_table("times as fast as JPEG XL, which uses one thread", ("", "encoding", "decoding"), cells)


def _bench_coders(json_file: Path | None) -> None:
    from ..evaluate import coders, report

    about = report.circumstances()
    missing = coders.missing_coders()
    if missing:
        complain(f"not installed, so not measured: {', '.join(missing)}")
    cases = coders.cases()
    with report.progress("coders", len(cases) * (coders.ROUNDS + 1)) as advance:
        rows = coders.measure(cases, coders.coders(), coders.ROUNDS, advance)
    if json_file:
        report.write_json(json_file, about | {"rounds": coders.ROUNDS, "rows": [row.to_dict() for row in rows]})
    for case in cases:
        cells = [
            (row.coder, f"{row.encode_ns:.1f}", f"{row.decode_ns:.1f}", f"{row.bits_per_symbol:.5f}")
            for row in rows
            if row.case == case.name
        ]
        title = f"{case.name}, {coders.entropy(case):.5f} bits each by the tables"
        report.show_table(title, ("", "encode ns", "decode ns", "bits/symbol"), cells)
    if not all(row.exact for row in rows):
        raise ShearlocError("a coder did not give the symbols back")
