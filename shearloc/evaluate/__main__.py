"""`python -m shearloc.evaluate`: measurements for people who work on Shearloc. For everyone else, `shearloc bench`.

    python -m shearloc.evaluate rates ../shared/data/kodak --float-parent RUN/float.pt
    python -m shearloc.evaluate learning photo.png docs/images/learning.svg
    python -m shearloc.evaluate command ../shared/data/kodak/kodim01.png
    python -m shearloc.evaluate batches cifar10 --model nelloc-r0 --json bench/results/batches-cifar10.json
    python -m shearloc.evaluate chapter5 --out runs/chapter5 --json bench/results/chapter5.json

Arguments and printing only; the files beside it measure. Exit code 1: an error, or a file did not decode to the same
pixels.
"""

import sys
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from ..codec.pictures import files
from ..errors import ShearlocError
from ..models import defaults, zoo
from ..models.learning.images import Learning
from ..models.local.model import LocalModel
from ..training import small_images
from ..training.images import load_data
from . import archives as archives_
from . import batches as batches_
from . import learning as learning_
from . import plots as plots_
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
    coder = zoo.load_as(LocalModel, defaults.STATIC[1 if gray else 3] if model == "auto" else model)
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
def learning(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="An 8-bit gray or RGB image.")],
    plot: Annotated[Path, typer.Argument(metavar="PLOT", help="The figure, .svg or .png.")],
    model: Annotated[list[str] | None, typer.Option(help="A model that learns; may be repeated.")] = None,
) -> None:
    """Code length along an image, with the model as it learns and as it starts."""
    pixels = files.load_image(image)
    pixels = pixels[:, :, None] if pixels.ndim == 2 else pixels
    names = model or list(defaults.LEARNING[pixels.shape[2]])
    lines = {}
    with progress("learning", len(names)) as advance:
        for name in names:
            found = learning_.along(zoo.load_as(Learning, name), pixels)
            lines[name] = {"static": found.starts, "learning": found.learns}
            advance()
    plots_.draw_along(lines, plot)
    cells = [(name, *(f"{values.mean():.4f}" for values in ways.values())) for name, ways in lines.items()]
    show_table(f"{image.name}, bits per subpixel", ("", "static", "learning"), cells)


@app.command()
def command(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="An 8-bit gray or RGB image.")],
    json_file: JsonFile = None,
) -> None:
    """`shearloc decode` as a whole command: the first time ever, when kernels compile, and later."""
    about = _begin(json_file)
    pixels = files.load_image(image)
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
    """The thesis's chapter 4: gaps, inference objectives, K steps, with its figures beside ours. Needs torch."""
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


@app.command()
def chapter5(
    out: Annotated[Path, typer.Option(help="Folder for trained networks; what is there is used.")],
    tables: Annotated[str, typer.Option(help="Only these, such as 5.6,5.7.")] = "5.1,5.2,5.3,5.4,5.6,5.7",
    model: Annotated[list[str] | None, typer.Option(help="Of tables 5.6 and 5.7; may be repeated.")] = None,
    data: Annotated[Path, typer.Option(help="The folder of the data sets.")] = Path("../shared/data"),
    quick: Annotated[bool, typer.Option("--quick", help="A minute, to see that it works.")] = False,
    updates: Annotated[int | None, typer.Option(min=1, help="Of 4,096 pixels, of each local model.")] = None,
    full_updates: Annotated[int | None, typer.Option(min=1, help="Of each full PixelCNN, beyond those.")] = None,
    warm: Annotated[
        bool, typer.Option("--warm", help="Go on from nelloc-gray and nelloc-r1, not from nothing.")
    ] = False,
    images: Annotated[int | None, typer.Option(min=1, help="Test images of a set for likelihoods.")] = None,
    json_file: JsonFile = None,
    markdown: Annotated[Path | None, typer.Option(metavar="OUT", help="Write the tables there too.")] = None,
) -> None:
    """The thesis's chapter 5: local models, their rates and decoders, with its figures beside ours. Needs torch."""
    from dataclasses import asdict

    from . import chapter5 as chapter5_

    names = chapter5_.chosen(tables)
    about = _begin(json_file)
    if markdown:
        files.check_writable(markdown)

    def notice(text: str) -> None:
        typer.echo(text, err=True)

    trained, coded = ([name for name in names if (name in chapter5_.TRAINED) == which] for which in (True, False))
    asked = {"updates": updates, "full_updates": full_updates, "warm": warm, "test": images}
    study = chapter5_.study(data, out, quick, asked, notice) if trained else None
    extent = chapter5_.QUICK if quick else chapter5_.Extent()
    models = chapter5_.at_hand(model or list(chapter5_.NELLOC), notice) if coded else []
    others = chapter5_.rivals() if "5.6" in coded else {}
    budgets: dict[str, Any] = {"budget": asdict(study.budget)} if study else {}
    budgets |= {"extent": asdict(extent), "models": models} if coded else {}
    results = {}
    for name in names:
        notice(f"table {name}")
        if study and name in trained:
            results[name] = study.table(name)
            budgets["networks"] = study.networks
        else:
            results[name] = chapter5_.coding_table(name, data, models, extent, others)
        if json_file:
            write_json(json_file, about | budgets | {"tables": results, "thesis": chapter5_.THESIS})
    text = chapter5_.markdown(results)
    if markdown:
        markdown.write_text(text, encoding="utf-8")
    typer.echo(text)


@app.command()
def batches(
    dataset: Annotated[str, typer.Argument(help="mnist, fashion-mnist or cifar10: test images of the data folder.")],
    model: Annotated[list[str] | None, typer.Option(help="May be repeated; auto: as `shearloc encode`.")] = None,
    effort: Annotated[list[int] | None, typer.Option(min=1, max=9, help="May be repeated.")] = None,
    data: Annotated[Path, typer.Option(help="The folder that has it.")] = Path("../shared/data"),
    count: Annotated[int, typer.Option(min=1, help="So many images at most.")] = 5000,
    rounds: Annotated[int, typer.Option(min=1, help="Timed rounds.")] = 5,
    json_file: JsonFile = None,
) -> None:
    """Rate and speed of a data set's test images as one archive, by model and effort."""
    about = _begin(json_file)
    images = np.stack(load_data(data / dataset, 3 if dataset == "cifar10" else 1, "test", count=count))
    chosen = [(name, number) for name in model or ["auto"] for number in effort or [5]]
    with progress("batches", len(chosen)) as advance:
        rows = []
        for name, number in chosen:
            rows.append(batches_.measure(images, name, rounds, number).to_dict(images.size))
            advance()
    if json_file:
        write_json(json_file, about | {"dataset": dataset, "rows": rows})
    speeds = ("encode_mb_s", "decode_mb_s")
    cells = [
        (row["model"], str(row["effort"]), f"{row['bits_per_dimension']:.4f}", *(_range(row[key]) for key in speeds))
        for row in rows
    ]
    columns = ("", "effort", "bits per dimension", "encode MB/s: median (min - max)", "decode")
    show_table(f"{dataset}, {len(images)} test images in one archive, {rounds} rounds", columns, cells)
    if not all(row["exact"] for row in rows):
        raise ShearlocError("not every archive came back exactly")


@app.command()
def quantiles(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model's name, or the path of its file.")],
    folders: Annotated[list[Path], typer.Argument(metavar="FOLDER...", help="What it was trained on.")],
    against: Annotated[list[str] | None, typer.Option(help="A model, png, webp, jxl or jp2; may be repeated.")] = None,
    regret: Annotated[list[int] | None, typer.Option(min=1, help="K of a regret; may be repeated.")] = None,
    count: Annotated[int, typer.Option(min=1, help="So many images at most.")] = 5000,
) -> None:
    """Write the quantiles of a model's scores of held-out images into its card."""
    from . import cards, scores

    coder = zoo.load(model)
    images, what = cards.held_out(folders, coder.channels, count)
    kinds = [scores.chosen(other) for other in (None, *(against or ()))]
    kinds += [scores.chosen(None, steps) for steps in regret or ()]
    found = cards.measured(model, images, what, kinds)
    cards.add(zoo.file_of(model).with_suffix(".json"), found)
    for name, pairs in found["quantiles"].items():
        middle = next(value for share, value in pairs if share == 0.5)
        typer.echo(f"{coder.name}, {name}: median {middle:.4f} bits per dimension of {found['images']} {what}")


@app.command()
def ood(
    source: Annotated[str, typer.Argument(help="fashion-mnist or cifar10: what the models were trained on.")],
    data: Annotated[Path, typer.Option(help="The folder that has the data.")] = Path("../shared/data"),
    images: Annotated[int, typer.Option(min=2, help="Of each set.")] = 2000,
    seed: Annotated[int, typer.Option(min=0, help="Of which images, and of noise.")] = 1,
    steps: Annotated[int, typer.Option(min=1, help="K of the likelihood regret.")] = 5,
    part: Annotated[
        list[str] | None, typer.Option(metavar="PART=MODEL", help="Another model, as in full=mine. May be repeated.")
    ] = None,
    tuned: Annotated[int, typer.Option(min=0, help="Images of each set for the encoder's regret; needs torch.")] = 0,
    json_file: JsonFile = None,
    markdown: Annotated[Path | None, typer.Option(metavar="OUT", help="Write the tables there too.")] = None,
    plot: Annotated[Path | None, typer.Option(metavar="OUT", help="Draw histograms: .png or .svg.")] = None,
) -> None:
    """How well scores tell a training set from others: AUROC, AUPRC and FPR80, beside published figures."""
    from dataclasses import asdict

    from . import ood as ood_
    from . import plots

    if source not in ood_.SOURCES:
        raise ShearlocError(f"no models for '{source}'; there are {', '.join(ood_.SOURCES)}")
    about = _begin(json_file)
    for out in (markdown, plot):
        if out:
            files.check_writable(out)
    budget = ood_.Budget(images, seed, steps, tuned)
    others = {name: model for name, _, model in (one.partition("=") for one in part or ())}
    found = ood_.measure(source, data, budget, others, lambda text: typer.echo(text, err=True))
    tables = found.tables(source)
    if json_file:
        measured = {"source": source, "budget": asdict(budget), "models": found.models, "tables": tables}
        published = {"published": ood_.PUBLISHED[source], "quantiles_of_bits": ood_.summary(found)}
        write_json(json_file, about | measured | published)
    if plot:
        plots.draw_histograms(found.scores, plot)
    text = ood_.markdown(source, tables)
    if markdown:
        markdown.write_text(text, encoding="utf-8")
    typer.echo(text)


def _show_chapter4(name: str, result: dict[str, Any], thesis: dict[str, Any]) -> None:
    for table in ("table_4_1", "table_4_2"):
        published = thesis[table].get(name, {})
        rows = [(k, _number(v), _number(published.get(k))) for k, v in result[table].items()]
        show_table(f"{name}, {table.replace('_', ' ')}, bits per dimension", ("", "here", "thesis"), rows)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _begin(json_file: Path | None) -> dict[str, Any]:
    """The circumstances of the run. OSError for an output that cannot be written, before minutes of measuring."""
    if json_file:
        files.check_writable(json_file)
    return circumstances()


def _range(mb_s: dict[str, float]) -> str:
    return f"{mb_s['median']:.3g} ({mb_s['minimum']:.3g} - {mb_s['maximum']:.3g})"


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
