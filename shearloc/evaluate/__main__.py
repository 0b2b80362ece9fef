"""`python -m shearloc.evaluate`: measures rates over a folder, or speeds on one image; a table, and JSON if asked.

    python -m shearloc.evaluate rates ../shared/data/kodak --json bench/results/rates-kodak.json
    python -m shearloc.evaluate speed ../shared/data/kodak/kodim01.png --json bench/results/speed-kodim01.json

Arguments and printing only; the measuring is in the files beside this one. Exit code 1: refused, or a file
did not come back exactly.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from ..codec import planes
from ..codec.parts import DEFAULT_MODELS
from ..errors import ShearlocError
from ..models import small_images, zoo
from . import archives as archives_
from . import rates as rates_
from . import speed as speed_
from .peers import Peer, peers
from .report import circumstances, show_table, write_json

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None)

JsonFile = Annotated[Path | None, typer.Option("--json", metavar="OUT", help="Write everything measured there too.")]


@app.command()
def rates(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="8-bit gray or RGB images.")],
    model: Annotated[str, typer.Option(help="One of `shearloc models`; auto is photo, or gray with --gray.")] = "auto",
    float_parent: Annotated[Path | None, typer.Option(help="The training run's float.pt, to compare with.")] = None,
    gray: Annotated[bool, typer.Option("--gray", help="Turn the images to gray first.")] = False,
    effort: Annotated[int | None, typer.Option(min=7, max=9, help="Also files of this effort (adapted model).")] = None,
    json_file: JsonFile = None,
) -> None:
    """Real file bytes of a model over a folder, its code length, its float parent, and other codecs."""
    about = _begin(json_file)
    coder = zoo.load(DEFAULT_MODELS[1 if gray else 3] if model == "auto" else model)
    parent = rates_.load_parent(float_parent, coder) if float_parent else None
    paths = rates_.image_paths(folder)
    others = _peers_here() | ({f"files, effort {effort}": rates_.at_effort(coder, effort)} if effort else {})
    with _bar("rates", len(paths)) as advance:
        rows = []
        for row in rates_.measure(paths, coder, others, parent, gray):
            rows.append(row)
            advance()
    summary = rates_.summary(rows)
    identity = {"model": coder.name, "fingerprint": coder.fingerprint.hex(), "gray": gray}
    if json_file:
        write_json(json_file, about | identity | {"summary": summary, "rows": [row.to_dict() for row in rows]})
    _show_rates(f"{folder}, {len(rows)} images, model '{coder.name}'", summary)
    if summary["exact"] < len(rows):
        raise ShearlocError(f"only {summary['exact']} of {len(rows)} files came back exactly")


@app.command()
def speed(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="An 8-bit gray or RGB image.")],
    json_file: JsonFile = None,
) -> None:
    """Warm encoding and decoding by engine, other codecs beside them, and `shearloc decode` as a command."""
    about = _begin(json_file)
    pixels = planes.load_image(image)
    with _bar("speed", speed_.ROUNDS + 1 + speed_.LATER_RUNS + 1) as advance:
        timings, missing = speed_.measure(pixels, _peers_here(), advance)
        command = speed_.measure_command(pixels, advance).to_dict()
    height, width, channels = (*pixels.shape, 1)[:3]
    size = {"image": image.name, "height": height, "width": width, "channels": channels}
    rows = [timing.to_dict(pixels.size) for timing in timings]
    if json_file:
        write_json(json_file, about | size | {"rows": rows, "missing_engines": missing, "decode_command": command})
    _show_speed(f"{image}, {width} x {height} x {channels}, {speed_.ROUNDS} rounds", rows, missing, command)


@app.command()
def archives(
    dataset: Annotated[str, typer.Argument(help="mnist-binary, mnist or cifar10.")],
    data: Annotated[Path, typer.Option(help="The folder that has it.")] = Path("../shared/data"),
    weights: Annotated[Path | None, typer.Option(help="A training run's .pt file instead of the zoo's model.")] = None,
    steps: Annotated[list[int] | None, typer.Option(help="K of optimal inference; may be repeated.")] = None,
    count: Annotated[int | None, typer.Option(min=1, help="Only so many test images.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Timed rounds.")] = 3,
    json_file: JsonFile = None,
) -> None:
    """Rates and times of an autoencoder's archives of test images, for each K."""
    about = _begin(json_file)
    images = small_images.load_dataset(dataset, data)[1][:count]
    model = archives_.model_for(dataset, weights)
    ks = steps or [0]
    archives_.measure(model, images[:100], 0, 1)  # compiles
    with _bar("archives", len(ks)) as advance:
        rows = []
        for k in ks:
            rows.append(archives_.measure(model, images, k, rounds).to_dict())
            advance()
    identity = {"dataset": dataset, "model": model.name, "fingerprint": model.fingerprint.hex(), "images": len(images)}
    identity["weights"] = weights.name if weights else "zoo"
    if json_file:
        write_json(json_file, about | identity | {"rows": rows})
    columns = ("K", "gross", "net", "-ELBO", "gross/net", "net/-ELBO", "encode s", "decode s", "exact")
    keys = ("gross", "net", "negative_elbo", "gross_over_net", "net_over_negative_elbo")
    times = ("encode_seconds", "decode_seconds")
    cells = [
        (str(r["steps"]), *(f"{r[k]:.4f}" for k in keys), *(f"{r[k]:.2f}" for k in times), str(r["exact"]))
        for r in rows
    ]
    show_table(f"{dataset}, {len(images)} test images, bits per dimension", columns, cells)
    if not all(row["exact"] for row in rows):
        raise ShearlocError("not every archive came back exactly")


@app.command()
def gaps(
    dataset: Annotated[str, typer.Argument(help="mnist-binary, mnist or cifar10.")],
    out: Annotated[Path, typer.Option(help="Folder for the trained encoder; what is there is used.")],
    data: Annotated[Path, typer.Option(help="The folder that has it.")] = Path("../shared/data"),
    weights: Annotated[Path | None, typer.Option(help="A training run's .pt file instead of the zoo's model.")] = None,
    epochs: Annotated[float, typer.Option(help="Epochs of inference on the test images.")] = 100,
    rate: Annotated[float, typer.Option(help="Its learning rate at first.")] = 5e-4,
    count: Annotated[int | None, typer.Option(min=1, help="Only so many test images.")] = None,
    json_file: JsonFile = None,
) -> None:
    """The generalization gaps of section 4.2: of the ELBO, of the generative model, of amortized inference.

    Needs torch."""
    from . import chapter4 as chapter4_

    about = _begin(json_file)
    budget = chapter4_.Budget(0, 0, epochs, test=count, inference_rate=rate)
    study = chapter4_.Study.of(dataset, budget, data, out, lambda text: typer.echo(text, err=True))
    net, name = chapter4_.network(dataset, weights)
    found = study.gaps(net, name)
    rows = [(chapter4_.GAPS[key], f"{value:.4f}") for key, value in found.items()]
    show_table(f"{dataset}, {name}, {len(study.test)} test images, bits per dimension", ("", "here"), rows)
    identity = {"dataset": dataset, "weights": name, "images": len(study.test), "epochs": epochs, "rate": rate}
    if json_file:
        write_json(json_file, about | identity | {"gaps": found, "training_seconds": study.seconds()})


@app.command()
def chapter4(
    out: Annotated[Path, typer.Option(help="Folder for trained networks and plots; what is there is used.")],
    dataset: Annotated[list[str] | None, typer.Option(help="mnist-binary, mnist, cifar10; may be repeated.")] = None,
    data: Annotated[Path, typer.Option(help="The folder that has them.")] = Path("../shared/data"),
    budget: Annotated[str, typer.Option(help="full (the thesis's) or small (minutes a data set).")] = "full",
    quick: Annotated[bool, typer.Option("--quick", help="Seconds, to see that it works.")] = False,
    json_file: JsonFile = None,
) -> None:
    """The thesis's chapter 4: gaps, inference objectives, K steps; its own figures beside ours. Needs torch."""
    from . import chapter4 as chapter4_
    from . import plots

    about = _begin(json_file)
    if budget not in chapter4_.BUDGETS:
        raise ShearlocError(f"no budget '{budget}'; there are {', '.join(chapter4_.BUDGETS)}")
    budget = "quick" if quick else budget
    out.mkdir(parents=True, exist_ok=True)
    results = {}
    for name in dataset or small_images.DATASETS:
        allowed = chapter4_.BUDGETS[budget][name]
        results[name] = chapter4_.run(name, allowed, data, out, lambda text: typer.echo(text, err=True))
        plots.draw(name, results[name], out)
        _show_chapter4(name, results[name], chapter4_.THESIS)
        if json_file:
            write_json(json_file, about | {"results": results, "thesis": chapter4_.THESIS})


def _show_chapter4(name: str, result: dict[str, Any], thesis: dict[str, Any]) -> None:
    for table in ("table_4_1", "table_4_2"):
        published = thesis[table].get(name, {})
        rows = [(k, _number(v), _number(published.get(k))) for k, v in result[table].items()]
        show_table(f"{name}, {table.replace('_', ' ')}, bits per dimension", ("", "here", "thesis"), rows)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _begin(json_file: Path | None) -> dict[str, Any]:
    """The circumstances; OSError for an output that cannot be written, before minutes of measuring, not after."""
    if json_file:
        planes.check_writable(json_file)
    return circumstances()


def _peers_here() -> dict[str, Peer]:
    """The peers; none, and a line that says so, without imagecodecs."""
    try:
        return peers()
    except ShearlocError as error:
        typer.echo(f"shearloc.evaluate: {error}", err=True)
        return {}


@contextmanager
def _bar(label: str, total: int) -> Iterator[speed_.Advance]:
    """A progress bar on stderr, which goes away; yields what moves it by one. Nothing where stderr is no terminal."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(label, total=total)
        yield lambda: bar.advance(task)


def _show_rates(title: str, summary: dict[str, Any]) -> None:
    means = summary["mean_bits_per_subpixel"]
    files = means["files"]
    rows = [(name, f"{mean:.4f}", f"{100 * (files / mean - 1):+.2f} %") for name, mean in means.items()]
    show_table(title, ("", "bits per subpixel", "files against it"), rows)
    typer.echo(f"decoded exactly: {summary['exact']} of {summary['images']}")
    for key in ("files_over_code_length", "code_length_over_float_parent"):
        if key in summary:
            loss = summary[key]
            typer.echo(
                f"{key.replace('_', ' ')}: {loss['mean_percent']:+.3f} %, worst image {loss['worst_percent']:+.3f} %"
            )


def _show_speed(title: str, rows: list[dict[str, Any]], missing: dict[str, str], command: dict[str, Any]) -> None:
    columns = ("MB/s: median (min - max)", "encode", "decode")
    show_table(title, columns, [(row["name"], *map(_spread, (row["encode_mb_s"], row["decode_mb_s"]))) for row in rows])
    for engine, reason in missing.items():
        typer.echo(f"not measured: {engine} ({reason})")
    typer.echo(
        f"shearloc decode, {command['width']} x {command['height']}, whole command: "
        f"first {command['first_seconds']:.1f} s, later {command['later_median_seconds']:.2f} s"
    )


def _spread(mb_s: dict[str, float]) -> str:
    return f"{mb_s['median']:.3g} ({mb_s['minimum']:.3g} - {mb_s['maximum']:.3g})"


def main() -> None:
    """Run the command line and exit (SystemExit)."""
    try:
        app(prog_name="python -m shearloc.evaluate")
    except (ShearlocError, OSError) as error:
        typer.echo(f"shearloc.evaluate: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
