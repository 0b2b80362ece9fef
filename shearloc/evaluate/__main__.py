"""`python -m shearloc.evaluate`: measurements for those who work on Shearloc; for all others there is `shearloc bench`.

    python -m shearloc.evaluate rates ../shared/data/kodak --float-parent RUN/float.pt
    python -m shearloc.evaluate command ../shared/data/kodak/kodim01.png

Arguments and printing only; the measuring is in the files beside it. Exit code 1: refused, or a file did not come
back exactly.
"""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from ..codec import planes
from ..codec.parts import DEFAULT_MODELS
from ..errors import ShearlocError
from ..models import small_images, zoo
from . import archives as archives_
from . import rates as rates_
from . import startup
from .bench import find_images
from .report import circumstances, progress, show_table, write_json

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None)

JsonFile = Annotated[Path | None, typer.Option("--json", metavar="OUT", help="Write everything measured there too.")]


@app.command()
def rates(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="8-bit gray or RGB images.")],
    model: Annotated[str, typer.Option(help="One of `shearloc models`; auto is photo, or gray with --gray.")] = "auto",
    float_parent: Annotated[Path | None, typer.Option(help="The training run's float.pt, to compare with.")] = None,
    gray: Annotated[bool, typer.Option("--gray", help="Turn the images to gray first.")] = False,
    json_file: JsonFile = None,
) -> None:
    """Real file bytes of a model over a folder, its code length, and its float parent."""
    about = _begin(json_file)
    coder = zoo.load(DEFAULT_MODELS[1 if gray else 3] if model == "auto" else model)
    parent = rates_.load_parent(float_parent, coder) if float_parent else None
    paths = find_images([folder])
    with progress("rates", len(paths)) as advance:
        rows = []
        for row in rates_.measure(paths, coder, parent, gray):
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
def command(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="An 8-bit gray or RGB image.")],
    json_file: JsonFile = None,
) -> None:
    """`shearloc decode` as a whole command: the first time ever, when kernels compile, and later."""
    about = _begin(json_file)
    pixels = planes.load_image(image)
    with progress("command", startup.LATER_RUNS + 1) as advance:
        found = startup.measure_command(pixels, advance).to_dict()
    if json_file:
        write_json(json_file, about | {"image": image.name} | found)
    typer.echo(
        f"shearloc decode, {found['width']} x {found['height']}, whole command: "
        f"first {found['first_seconds']:.1f} s, later {found['later_median_seconds']:.2f} s"
    )


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
    with progress("archives", len(ks)) as advance:
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
def chapter4(
    out: Annotated[Path, typer.Option(help="Folder for trained networks and plots; what is there is used.")],
    dataset: Annotated[list[str] | None, typer.Option(help="mnist-binary, mnist, cifar10; may be repeated.")] = None,
    data: Annotated[Path, typer.Option(help="The folder that has them.")] = Path("../shared/data"),
    quick: Annotated[bool, typer.Option("--quick", help="Seconds, to see that it works.")] = False,
    epochs: Annotated[float | None, typer.Option(help="Epochs of the baselines, instead of the thesis's.")] = None,
    inference_epochs: Annotated[float | None, typer.Option(help="Epochs of the encoder alone.")] = None,
    json_file: JsonFile = None,
) -> None:
    """The thesis's chapter 4: gaps, inference objectives, K steps; its own figures beside ours. Needs torch."""
    from dataclasses import replace

    from . import chapter4 as chapter4_
    from . import plots

    about = _begin(json_file)
    out.mkdir(parents=True, exist_ok=True)
    results = {}
    for name in dataset or small_images.DATASETS:
        budget = chapter4_.QUICK if quick else chapter4_.FULL[name]
        if epochs is not None:
            budget = replace(budget, epochs=epochs)
        if inference_epochs is not None:
            budget = replace(budget, inference_epochs=inference_epochs, optimal_epochs=inference_epochs)
        results[name] = chapter4_.run(name, budget, data, out, lambda text: typer.echo(text, err=True))
        results[name]["table_4_2"] = chapter4_.table_4_2(results[name])
        plots.draw(name, results[name], out)
        _show_chapter4(name, results[name], chapter4_.THESIS)
        if json_file:
            write_json(json_file, about | {"results": results, "thesis": chapter4_.THESIS})


def _show_chapter4(name: str, result: dict[str, Any], thesis: dict[str, Any]) -> None:
    for table in ("table_4_1", "table_4_2"):
        published = thesis[table].get(name, {})
        rows = [(k, _number(v), _number(published.get(k))) for k, v in result[table].items() if not isinstance(v, dict)]
        show_table(f"{name}, {table.replace('_', ' ')}, bits per dimension", ("", "here", "thesis"), rows)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _begin(json_file: Path | None) -> dict[str, Any]:
    """The circumstances; OSError for an output that cannot be written, before minutes of measuring, not after."""
    if json_file:
        planes.check_writable(json_file)
    return circumstances()


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


def main() -> None:
    """Run the command line and exit (SystemExit)."""
    try:
        app(prog_name="python -m shearloc.evaluate")
    except (ShearlocError, OSError) as error:
        typer.echo(f"shearloc.evaluate: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
