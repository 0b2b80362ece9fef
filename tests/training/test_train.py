"""Training on tiny synthetic pictures: it learns, resumes and ends with a model; and the reading of its images.

How well a trained model does is measured in bench/ and written in the model cards, not tested here. Time is a
counter in most tests, so that they do the same number of updates on any machine.
"""

import gzip
import json
import math
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count, pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numba
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from shearloc.errors import ShearlocError
from shearloc.models.local.model import load
from shearloc.models.wavefront.context import causal_offsets
from shearloc.training.images import (
    JPEG_REDUCTIONS,
    Batch,
    PixelSet,
    _load_file,
    camera_like,
    channels_of,
    fingerprint,
    load_data,
    load_folder,
    read_idx,
    split,
    tiles,
)

Picture = Callable[..., NDArray[np.uint8]]
WriteIdx = Callable[[Path, NDArray[np.uint8]], None]
ROOT = Path(__file__).parents[2]


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every update takes one second of the clock that `fit` looks at; one thread, which is quicker for so little."""
    torch = pytest.importorskip("torch")
    from shearloc.training import fitting

    threads = torch.get_num_threads(), numba.get_num_threads()
    torch.set_num_threads(1)
    numba.set_num_threads(1)
    monkeypatch.setattr(fitting, "time", SimpleNamespace(perf_counter=count().__next__))
    yield
    torch.set_num_threads(threads[0])
    numba.set_num_threads(threads[1])


@pytest.fixture
def pixels(picture: Picture) -> PixelSet:
    """Three small pictures."""
    return PixelSet.of([picture(height, 40, 3) for height in (30, 40, 50)])


def small_net(seed: int = 0):  # type: ignore[no-untyped-def]
    """An untrained network; its type needs torch."""
    import torch

    from shearloc.training.local_float import LocalNet, Shape

    torch.manual_seed(seed)
    return LocalNet(Shape(width=16, layers=1, head_width=8, components=3))


def same_weights(one, other) -> bool:  # type: ignore[no-untyped-def]
    """Whether two networks hold the same numbers."""
    return all(bool((a == b).all()) for a, b in zip(one.parameters(), other.parameters(), strict=True))


@pytest.mark.usefixtures("ticking")
def test_bits_fall(pixels: PixelSet, tmp_path: Path) -> None:
    from shearloc.training.fitting import Schedule, fit, mean_bits

    net = small_net()
    before = mean_bits(net, pixels, 2000)
    progress = fit(net, pixels, pixels, Schedule(minutes=1.5, batch=512, learning_rate=1e-2), tmp_path)
    assert progress.updates == 90
    after = mean_bits(net, pixels, 2000)
    assert after < before - 0.2


@pytest.mark.usefixtures("ticking")
def test_a_stopped_run_goes_on_where_it_was_saved(pixels: PixelSet, tmp_path: Path) -> None:
    """Stopped by an exception after the save at two minutes, and again at its end; then nothing is left to do."""
    from shearloc.training.fitting import Progress, Schedule, fit

    schedule = Schedule(minutes=2.5, batch=64)
    seen: list[Progress] = []

    def stop(progress: Progress, bits: float) -> None:
        seen.append(replace(progress))
        assert 0 < bits < 9
        raise KeyboardInterrupt

    stopped = small_net()
    with pytest.raises(KeyboardInterrupt):
        fit(stopped, pixels, pixels, schedule, tmp_path, stop)
    assert [p.updates for p in seen] == [121]
    resumed = small_net(seed=1)
    progress = fit(resumed, pixels, pixels, schedule, tmp_path)
    assert (progress.updates, progress.seconds) == (149, 150)  # a look takes a second of this clock, too
    assert not same_weights(resumed, stopped)
    assert resumed.quantized
    again = small_net(seed=2)
    assert fit(again, pixels, pixels, schedule, tmp_path) == progress
    assert same_weights(again, resumed) and again.quantized


def test_training_ends_with_an_average_of_its_latest_weights(pixels: PixelSet, tmp_path: Path) -> None:
    """Of so few that it is the last ones at first; then each update moves it by 1 / (a tenth of the updates)."""
    import torch

    from shearloc.training import fitting

    net = small_net()
    seen: list[dict[str, torch.Tensor]] = []

    def draw(*arguments: object) -> object:
        seen.append({name: weight.clone() for name, weight in net.state_dict().items()})
        return type(net).draw(net, *arguments)

    net.draw = draw  # type: ignore[method-assign]
    fitting.fit(net, pixels, pixels, fitting.Schedule(batch=64, finish=0.0, updates=30), tmp_path)
    kept = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    expected = seen[1]
    for k, weights in enumerate([*seen[2:], kept["net"]], 2):
        share = 1 / max(1, fitting.AVERAGED * k)
        expected = {name: old + share * (weights[name] - old) for name, old in expected.items()}
    for name, weight in net.state_dict().items():
        assert torch.equal(weight, kept["average"][name])
        assert torch.allclose(weight, expected[name], atol=1e-6)
    assert not same_weights(net, small_net()) and not torch.equal(kept["net"]["first.weight"], net.first.weight)


@pytest.mark.usefixtures("ticking")
def test_a_stop_changes_nothing_where_there_is_nothing_to_draw(tmp_path: Path) -> None:
    """A single pixel makes every batch the same: net and optimisers come back to the bit."""
    from shearloc.training.fitting import Progress, Schedule, fit

    pixel, schedule = PixelSet.of([np.full((1, 1, 3), 99, np.uint8)]), Schedule(minutes=2.2, batch=4)

    def stop(progress: Progress, bits: float) -> None:
        raise KeyboardInterrupt

    whole, resumed = small_net(), small_net(seed=1)
    progress = fit(whole, pixel, pixel, schedule, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        fit(small_net(), pixel, pixel, schedule, tmp_path / "stopped", stop)
    assert fit(resumed, pixel, pixel, schedule, tmp_path / "stopped") == progress
    assert same_weights(whole, resumed)


@pytest.mark.usefixtures("ticking")
def test_a_resumed_run_draws_other_pixels(pixels: PixelSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from shearloc.training.fitting import Schedule, fit

    drawn: list[bytes] = []
    sample = PixelSet.sample

    def spy(self: PixelSet, *arguments: Any) -> Batch:
        batch = sample(self, *arguments)
        drawn.append(batch[0].tobytes())
        return batch

    monkeypatch.setattr(PixelSet, "sample", spy)
    for minutes in (0.2, 0.4):
        fit(small_net(), pixels, pixels, Schedule(minutes=minutes, batch=64), tmp_path)
    assert len(drawn) == len(set(drawn)) == 24


@pytest.mark.usefixtures("ticking")
def test_the_float_parent_is_kept_before_the_quantised_finish(pixels: PixelSet, tmp_path: Path) -> None:
    import torch

    from shearloc.training.fitting import Schedule, fit

    net = small_net()
    schedule = Schedule(minutes=0.5, batch=64, finish=0.5)
    fit(net, pixels, pixels, schedule, tmp_path)
    parent = small_net()
    parent.load_state_dict(torch.load(tmp_path / "float.pt", weights_only=True))
    assert net.quantized and not same_weights(parent, net)
    float_only = small_net()
    fit(float_only, pixels, pixels, replace(schedule, finish=0.0), tmp_path / "float")
    assert not float_only.quantized and not (tmp_path / "float" / "float.pt").exists()


def test_a_run_can_have_so_many_updates(pixels: PixelSet, tmp_path: Path) -> None:
    """However long they take; a stopped run has the others when it goes on, and a quarter of all at the finish."""
    pytest.importorskip("torch")
    from shearloc.training.fitting import Progress, Schedule, fit, rate_factor

    schedule = Schedule(batch=64, finish=0.25, updates=8)
    assert fit(small_net(), pixels, pixels, replace(schedule, updates=4, finish=0.0), tmp_path).updates == 4
    net = small_net()
    assert fit(net, pixels, pixels, schedule, tmp_path).updates == 8 and net.quantized
    assert (tmp_path / "float.pt").exists()
    long = Schedule(updates=1000, finish=0.0)
    assert rate_factor(long, Progress(1e9, 500)) == pytest.approx(0.55)


def test_the_first_layer_is_rounded_before_the_others_are_done(pixels: PixelSet, tmp_path: Path) -> None:
    """At 70% of the updates, and for good: also in a run that goes on."""
    import torch

    from shearloc.training.fitting import Schedule, fit
    from shearloc.training.rounding import round_weights

    schedule = Schedule(batch=64, finish=0.0, updates=20)
    net = small_net()
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []

    def draw(*arguments: object) -> object:
        seen.append((net.first.weight.detach().clone(), net.first_scale.clone()))
        return type(net).draw(net, *arguments)

    net.draw = draw  # type: ignore[method-assign]
    fit(net, pixels, pixels, schedule, tmp_path, to_round=True)
    moved = [not torch.equal(old[0], new[0]) for old, new in pairwise(seen)]
    # The fifteenth batch is the sample that the layer is rounded by.
    assert moved == [True] * 14 + [True] + [False] * 5 and not seen[14][1].any()
    units = net.first.weight / net.first_scale[:, None]
    assert torch.allclose(units, units.round(), atol=1e-3)
    resumed = small_net(seed=1)
    progress = fit(resumed, pixels, pixels, replace(schedule, updates=40), tmp_path, to_round=True)
    assert progress.updates == 40 and not same_weights(net, resumed)
    assert torch.equal(resumed.first.weight, net.first.weight) and not torch.equal(resumed.first.bias, net.first.bias)
    sample = torch.from_numpy(resumed.draw(pixels, np.random.default_rng(1), 500)[0])
    assert torch.equal(round_weights(resumed, sample)[resumed.first], net.first_scale)
    assert torch.equal(resumed.first.weight, net.first.weight)


def test_learning_rate_warms_up_and_falls() -> None:
    pytest.importorskip("torch")
    from shearloc.training.fitting import Progress, Schedule, rate_factor

    schedule = Schedule(minutes=10, finish=0.2)
    warm = [rate_factor(schedule, Progress(0, updates)) for updates in (0, 50, 99, 1000)]
    assert warm[0] < warm[1] < warm[2] == warm[3] == 1
    main = [rate_factor(schedule, Progress(seconds, 1000)) for seconds in range(0, 480, 10)]
    finish = [rate_factor(schedule, Progress(seconds, 1000)) for seconds in range(480, 600, 10)]
    for part in (main, finish):
        assert part == sorted(part, reverse=True) and part[-1] > 0
    assert main[-1] < 0.11 and finish[0] < 0.2 and finish[-1] < 0.02


@pytest.mark.slow
def test_the_command(picture: Picture, tmp_path: Path) -> None:
    """A real process, a few updates: what it writes is a model with its card."""
    pytest.importorskip("torch")
    folder = tmp_path / "images"
    folder.mkdir()
    for k in range(9):
        Image.fromarray(picture(40 + k, 48, 3)).save(folder / f"{k}.png")
    options = {"name": "t", "out": str(tmp_path / "run"), "updates": "40", "batch": "1024", "threads": "1"}
    shape = {"width": "16", "layers": "1", "head-width": "8"}
    command = [sys.executable, "-m", "shearloc.training.train", str(folder)]
    command += [word for name, value in (options | shape).items() for word in (f"--{name}", value)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    model = load(tmp_path / "run" / "t.safetensors", "t")
    card = json.loads((tmp_path / "run" / "t.json").read_text())
    assert (model.channels, model.layers[0].weight.shape) == (3, (66, 16))
    assert (card["name"], card["data"], card["shape"]["width"]) == ("t", ["images"], 16)
    assert card["training_pixels"] == sum((40 + k) * 48 for k in range(9) if k != 7)
    assert card["updates"] == card["schedule"]["updates"] == 40
    assert card["training_images"] == [fingerprint(picture(40 + k, 48, 3)) for k in range(9) if k != 7]
    assert 0 < card["held_out_bits_per_dimension"] < 8
    assert card["scores"]["images"] == 1 and len(card["scores"]["quantiles"]["bits"]) > 10
    assert (tmp_path / "run" / "checkpoint.pt").exists()


def test_lossless_images_come_whole_and_jpegs_reduced(picture: Picture, tmp_path: Path) -> None:
    """By name; other files are passed over."""
    image = picture(62, 93, 3)
    for name in ("b.png", "c.ppm", "a.jpg"):
        Image.fromarray(image).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("not an image")
    loaded = list(load_folder(tmp_path, 3))
    sizes = [(int(62 / factor), int(93 / factor), 3) for factor, _ in JPEG_REDUCTIONS]
    assert [array.shape for array in loaded] == [*sizes, image.shape, image.shape]
    assert sizes == [(31, 46, 3), (20, 30, 3)]
    assert np.array_equal(loaded[2], image) and np.array_equal(loaded[3], image)


def test_grids_are_cut_into_their_tiles(tmp_path: Path) -> None:
    """Row by row, by file name; the test part is apart."""
    rng = np.random.default_rng(0)
    grids = {name: rng.integers(0, 256, (64, 96, 3), dtype=np.uint8) for name in ("train_01", "train_00", "test_00")}
    for name, grid in grids.items():
        Image.fromarray(grid).save(tmp_path / f"{name}.webp", lossless=True)
    for part, names in (("train", ["train_00", "train_01"]), ("test", ["test_00"])):
        loaded = load_data(tmp_path, 3, part)
        expected = [
            grids[name][i : i + 32, j : j + 32] for name in names for i in range(0, 64, 32) for j in range(0, 96, 32)
        ]
        assert len(loaded) == len(expected)
        assert all(np.array_equal(a, b) for a, b in zip(loaded, expected, strict=True))
    assert load_data(tmp_path, 1)[0].shape == (32, 32, 1)


def test_idx_files(tmp_path: Path, write_idx: WriteIdx) -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 4, 3), dtype=np.uint8)
    write_idx(tmp_path / "train-images-idx3-ubyte.gz", images)
    write_idx(tmp_path / "t10k-images-idx3-ubyte.gz", images[:2])
    assert np.array_equal(np.stack(load_data(tmp_path, 1)), images[..., None])
    assert np.array_equal(np.stack(load_data(tmp_path, 1, "test")), images[:2, ..., None])
    with pytest.raises(ShearlocError, match="gray"):
        load_data(tmp_path, 3)


def test_broken_idx_files_are_refused(tmp_path: Path, write_idx: WriteIdx) -> None:
    path = tmp_path / "train-images-idx3-ubyte.gz"
    write_idx(path, np.zeros((5, 4, 3), np.uint8))
    whole = path.read_bytes()
    raw = gzip.decompress(whole)
    contents = [b"", whole[:-9], b"no gzip", gzip.compress(b""), gzip.compress(raw[:-1]), gzip.compress(raw[:7])]
    for content in [*contents, gzip.compress(b"\0\0\x0d" + raw[3:])]:
        path.write_bytes(content)
        with pytest.raises(ShearlocError, match="IDX"):
            read_idx(path)


def test_other_folders_have_no_test_part(picture: Picture, tmp_path: Path) -> None:
    Image.fromarray(picture(20, 20, 3)).save(tmp_path / "a.png")
    assert len(load_data(tmp_path, 3)) == 1 and load_data(tmp_path, 3, "test") == []
    (tmp_path / "b.png").write_bytes(b"not read, and so no error")
    assert len(load_data(tmp_path, 3, count=1)) == 1
    with pytest.raises(ShearlocError, match="no folder"):
        load_data(tmp_path / "none", 3)


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "channels", "part", "shape"),
    [
        ("cifar10", 3, "test", (1000, 32, 32, 3)),
        ("mnist", 1, "test", (10000, 28, 28, 1)),
        ("fashion-mnist", 1, "train", (60000, 28, 28, 1)),
    ],
)
def test_the_data_sets(data_folder: Path, name: str, channels: int, part: str, shape: tuple[int, ...]) -> None:
    images = load_data(data_folder / name, channels, part)
    assert (len(images), *images[0].shape) == shape
    assert np.array_equal(load_data(data_folder / name, channels, part, count=3), images[:3])


def test_tiles_must_fill_the_grid() -> None:
    with pytest.raises(ValueError, match="fill"):
        tiles(np.zeros((32, 33, 3), np.uint8), 32)


def test_jpegs_are_told_by_content(picture: Picture, tmp_path: Path) -> None:
    Image.fromarray(picture(62, 93, 3)).save(tmp_path / "a.png", "JPEG")
    assert max(array.shape for array in load_folder(tmp_path, 3)) == (31, 46, 3)


def test_gray(picture: Picture, tmp_path: Path) -> None:
    colour, gray = picture(20, 30, 3), picture(21, 30, 1)
    Image.fromarray(colour).save(tmp_path / "a.png")
    Image.fromarray(gray).save(tmp_path / "b.png")
    first, second = load_folder(tmp_path, 1)
    assert np.array_equal(first[:, :, 0], np.asarray(Image.fromarray(colour).convert("L")))
    assert np.array_equal(second[:, :, 0], gray)
    assert np.array_equal(list(load_folder(tmp_path, 3))[1], np.repeat(gray[:, :, None], 3, 2))


def test_split_holds_out_every_20th() -> None:
    images = [np.full((1, 1, 1), k, np.uint8) for k in range(50)]
    training, held_out = split(images)
    assert [int(image[0, 0, 0]) for image in held_out] == [7, 27, 47]
    assert len(training) == 47 and not any(image is other for image in training for other in held_out)


def test_sampling_is_even_repeatable_and_mirrors_half(picture: Picture) -> None:
    images = [picture(5, 4, 3), picture(3, 7, 3)]
    pixels = PixelSet.of(images)
    offsets = causal_offsets(2, 1)
    inputs, predictions, values = pixels.sample(np.random.default_rng(3), 4000, offsets)
    again = pixels.sample(np.random.default_rng(3), 4000, offsets)
    assert all(np.array_equal(a, b) for a, b in zip((inputs, predictions, values), again, strict=True))
    index = np.arange(41)
    straight = set(map(tuple, np.hstack(pixels.contexts(index, np.zeros_like(index), offsets)).tolist()))
    mirrored = set(map(tuple, np.hstack(pixels.contexts(index, np.ones_like(index), offsets)).tolist()))
    drawn = [*map(tuple, np.hstack([inputs, predictions, values]).tolist())]
    assert set(drawn) == straight | mirrored
    sides = [row in straight for row in drawn if (row in straight) != (row in mirrored)]
    assert 0.4 < np.mean(sides) < 0.6


def test_windows_are_all_their_pixels_mirrored_or_not(picture: Picture) -> None:
    images = [picture(5, 7, 3), picture(9, 8, 3)]
    pixels, offsets = PixelSet.of(images), causal_offsets(2, 1)
    picks = np.array([[1, 3, 1, 0], [0, 0, 0, 1]])
    inputs, predictions, values = pixels.windows(picks, (5, 7), offsets)
    assert inputs.shape == (2, 5, 7, len(offsets) * 3)
    mirrored = np.ascontiguousarray(images[0][:, ::-1])
    assert np.array_equal(values.reshape(2, 5, 7, 3), np.stack([images[1][3:8, 1:], mirrored]))
    # Their contexts see beyond the window.
    inside = (35 + (np.arange(3, 8)[:, None] * 8 + np.arange(1, 8))).ravel()
    expected = [pixels.contexts(inside, np.zeros_like(inside), offsets)]
    expected.append(PixelSet.of([mirrored]).contexts(np.arange(35), np.zeros(35, np.int64), offsets))
    assert np.array_equal(inputs.reshape(70, -1), np.concatenate([batch[0] for batch in expected]))
    assert np.array_equal(predictions, np.concatenate([batch[1] for batch in expected]))


def test_windows_lie_in_their_images(picture: Picture) -> None:
    pixels = PixelSet.of([picture(50, 70, 1).reshape(50, 70, 1), picture(40, 30, 1).reshape(40, 30, 1)])
    assert pixels.window(64) == (40, 30) and pixels.window(20) == (20, 20)
    drawn = pixels.random_windows(np.random.default_rng(0), 2000, (20, 25))
    spread = pixels.spread_windows(40, (20, 25))
    assert len({tuple(pick) for pick in spread.tolist()}) == len(spread) > 20
    for picks in (drawn, spread):
        image, top, left, mirror = picks.T
        assert (top >= 0).all() and (left >= 0).all() and set(mirror.tolist()) <= {0, 1}
        assert (top + 20 <= pixels.heights[image]).all() and (left + 25 <= pixels.widths[image]).all()
    in_the_first = drawn[:, 0] == 0
    assert in_the_first.mean() == pytest.approx(3500 / 4700, abs=0.04)
    assert drawn[:, 3].mean() == pytest.approx(0.5, abs=0.04) and not spread[:, 3].any()
    assert drawn[in_the_first, 1].max() == 30 and drawn[in_the_first, 2].max() == 45


@pytest.mark.usefixtures("one_thread")
def test_a_network_with_neighbours_learns_from_images_of_any_size(picture: Picture, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from shearloc.training.fitting import Schedule, fit, mean_bits, mean_bits_of
    from shearloc.training.local_float import LocalNet, Shape, image_bits

    torch.manual_seed(0)
    net = LocalNet(Shape(width=16, layers=0, blocks=1, neighbours=4, narrow=8, components=2))
    pixels = PixelSet.of([picture(90, 70, 3), picture(66, 100, 3)])
    batch = net.draw(pixels, np.random.default_rng(0), 8192)
    assert batch[0].shape[:3] == (2, 64, 64)
    for drawn in [batch, *net.batches(pixels, 10_000)]:
        bits = net(*map(torch.from_numpy, drawn))
        assert bits.shape == drawn[2].shape and (bits > 0).all()
    # An image that is one window has the bits that it has as a whole.
    small = picture(30, 20, 3)
    assert mean_bits_of(net, [small]) == pytest.approx(image_bits(net, small) / small.size)
    assert mean_bits(net, PixelSet.of([small]), 600) == pytest.approx(mean_bits_of(net, [small]))
    before = mean_bits(net, pixels, 10_000)
    schedule = Schedule(finish=0.0, batch=4096, learning_rate=1e-2, updates=3)
    assert fit(net, pixels, pixels, schedule, tmp_path).updates == 3
    assert mean_bits(net, pixels, 10_000) < before


def test_neighbours_must_lie_in_the_context() -> None:
    pytest.importorskip("torch")
    from shearloc.training.local_float import Shape

    assert len(Shape(horizon=2, reach=2, blocks=2, layers=1, neighbours=10).hidden) == 2 * 3 + 1
    with pytest.raises(ShearlocError, match="8 neighbours do not lie in a context of horizon 3 and reach 1"):
        Shape(horizon=3, reach=1, neighbours=8)


def test_a_camera_like_copy_has_smoother_colour_and_the_same_size() -> None:
    rng = np.random.default_rng(3)
    for height, width in ((2, 2), (7, 9), (64, 48)):
        image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        copy = camera_like(image, np.random.default_rng(1))
        assert copy.shape == image.shape and copy.dtype == np.uint8
    red_less_green = [np.diff(a[..., 0].astype(int) - a[..., 1], axis=1).std() for a in (image, copy)]
    assert red_less_green[1] < red_less_green[0] / 2


def test_a_flat_image_stays_flat_but_for_grain() -> None:
    image = np.full((16, 16, 3), 90, np.uint8)
    copies = [camera_like(image, np.random.default_rng(seed)) for seed in range(12)]
    assert any((copy == image).all() for copy in copies)
    assert all(np.abs(copy.astype(int) - 90).max() < 20 for copy in copies)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        ["--nelloc", "1"],
        ["--pixelcnn", "1", "--horizon", "1"],
        ["--neighbours", "4", "--narrow", "8", "--blocks", "1", "--finish", "0"],
    ],
    ids=lambda o: o[0],
)
def test_the_command_on_a_data_set(tmp_path: Path, write_idx: WriteIdx, options: list[str]) -> None:
    """The thesis's networks on gray images: a card with the test images' rate, and the weights."""
    pytest.importorskip("torch")
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8), dtype=np.uint8) // 64 * 64
    write_idx(tmp_path / "train-images-idx3-ubyte.gz", images)
    write_idx(tmp_path / "t10k-images-idx3-ubyte.gz", images[:3])
    command = [sys.executable, "-m", "shearloc.training.train", str(tmp_path), "--name", "t", "--channels", "1"]
    command += [*options, "--width", "16", "--batch", "1024", "--rate", "5e-3", "--updates", "300", "--threads", "1"]
    command += ["--out", str(tmp_path / "run")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    card = json.loads((tmp_path / "run" / "t.json").read_text())
    assert card["test_images"] == 3 and 0 < card["test_bits_per_dimension"] < 8
    assert (card["kind"] == "local") == (tmp_path / "run" / "t.safetensors").exists()
    assert (card["kind"] == "pixelcnn") == (tmp_path / "run" / "t.pt").exists()


@pytest.mark.slow
def test_training_goes_on_from_a_base(tmp_path: Path) -> None:
    """The command, with a model file as its base: the result has the base's shape and knows it."""
    torch = pytest.importorskip("torch")
    from shearloc.training.export import export
    from shearloc.training.local_float import LocalNet, Shape

    rng = np.random.default_rng(0)
    folder = tmp_path / "images"
    folder.mkdir()
    for k in range(3):
        Image.fromarray(rng.integers(0, 256, (24, 24, 3), dtype=np.uint8)).save(folder / f"{k}.png")
    torch.manual_seed(0)
    base = export(LocalNet(Shape(width=8, layers=1, head_width=4, components=2)), "base")
    base.save(tmp_path / "base.safetensors")
    command = [sys.executable, "-m", "shearloc.training.train", str(folder), "--name", "more", "--updates", "20"]
    command += ["--base", str(tmp_path / "base.safetensors"), "--camera-like", "--out", str(tmp_path / "out")]
    command += ["--finish", "0", "--batch", "1024", "--threads", "1"]
    subprocess.run(command, check=True, timeout=600)
    card = json.loads((tmp_path / "out" / "more.json").read_text())
    assert (card["updates"], card["base"]) == (20, "base.safetensors")
    assert card["shape"]["width"] == 8 and card["camera_like_copies"] is True
    assert load(tmp_path / "out" / "more.safetensors", "more").components == 2
    assert (tmp_path / "out" / "float.pt").exists()


@pytest.mark.usefixtures("ticking")
def test_training_stops_when_it_is_told_to(pixels: PixelSet, tmp_path: Path) -> None:
    """Between two updates, with a checkpoint; then it goes on as if nothing had been."""
    from shearloc.training.fitting import Schedule, fit

    schedule, calls = Schedule(minutes=0.5, batch=64, finish=0.0), iter(range(99))
    stopped = fit(small_net(), pixels, pixels, schedule, tmp_path, stop=lambda: next(calls) == 7)
    assert stopped.updates == 7
    net = small_net(seed=1)
    assert fit(net, pixels, pixels, schedule, tmp_path).updates == 30


def test_training_and_rounding_keep_a_deadline(pixels: PixelSet, tmp_path: Path) -> None:
    """Whatever the minutes say: nothing is learnt when it is over, and rounding takes few pixels and no adapting."""
    torch = pytest.importorskip("torch")
    from shearloc.training import fitting, train

    net = small_net()
    over = time.perf_counter() - 1
    progress = fitting.fit(net, pixels, pixels, fitting.Schedule(minutes=60, finish=0), tmp_path, deadline=over)
    assert progress.updates == 0
    before = net.out.bias.clone()
    rng = np.random.default_rng(0)
    fitting.adapt(net, pixels, 64, 5, rng, seconds=0.0)
    assert torch.equal(net.out.bias, before)
    fitting.adapt(net, pixels, 64, 5, rng, seconds=60.0)
    assert not torch.equal(net.out.bias, before)
    assert train._pixels_for(net, pixels, 3, -1.0) == train.FEWEST_PIXELS
    assert train._pixels_for(net, pixels, 3, math.inf) == train.ROUNDING_PIXELS


@pytest.mark.usefixtures("ticking")
def test_training_ends_when_the_held_out_images_gain_no_more(
    pixels: PixelSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After `patience` looks without a new best, with the weights that had it; a call after that trains no further."""
    import torch

    from shearloc.training import fitting

    looks: list[tuple[float, dict[str, Any]]] = []
    net = small_net()
    seen = [5.0, 4.0, 4.5, 3.0, 3.1, 3.2, 3.0]

    def mean_bits(net: Any, *_: object, **__: object) -> float:
        looks.append((seen[len(looks)], {key: value.clone() for key, value in net.state_dict().items()}))
        return looks[-1][0]

    monkeypatch.setattr(fitting, "mean_bits", mean_bits)
    monkeypatch.setattr(fitting, "LOOK_APART", 0)
    schedule = fitting.Schedule(minutes=5, batch=64, finish=0.0)
    progress = fitting.fit(net, pixels, pixels, schedule, tmp_path, every=2, patience=3)
    assert (progress.updates, progress.best_bits) == (7 * 3, 3.0)
    assert all(torch.equal(value, looks[3][1][key]) for key, value in net.state_dict().items())
    again = fitting.fit(small_net(seed=1), pixels, pixels, schedule, tmp_path, every=2, patience=3)
    assert again.updates == progress.updates


def test_fingerprints_tell_images(picture: Picture) -> None:
    """Pinned: cards keep them. The size counts, a third axis of one channel does not."""
    gray = np.arange(6, dtype=np.uint8).reshape(2, 3)
    assert fingerprint(gray) == fingerprint(gray[..., None]) == fingerprint(np.asfortranarray(gray)) == "aa098345"
    others = [gray.T, gray.reshape(3, 2), gray.reshape(1, 2, 3), gray + np.uint8(1)]
    assert len({fingerprint(one) for one in [gray, *others]}) == 5


def test_files_that_cannot_be_read(picture: Picture, tmp_path: Path) -> None:
    """They stop a reading, or are told and left out; so are samples that would be cut to 8 bits."""
    Image.fromarray(picture(5, 6, 3)).save(tmp_path / "a.png")
    Image.fromarray(picture(5, 6, 1).astype(np.uint16) * 99).save(tmp_path / "deep.png")
    (tmp_path / "text.png").write_text("hello")
    told: list[str] = []
    assert len(list(load_folder(tmp_path, 3, told.append))) == 1
    assert [line.split(": left out (")[0] for line in told] == [str(tmp_path / "deep.png"), str(tmp_path / "text.png")]
    with pytest.raises(ShearlocError, match="more than 8 bits"):
        list(load_folder(tmp_path, 3))


def test_gray_or_colour(picture: Picture, tmp_path: Path, write_idx: WriteIdx) -> None:
    gray, colour, digits = (tmp_path / name for name in ("gray", "colour", "digits"))
    for folder in (gray, colour, digits):
        folder.mkdir()
    Image.fromarray(picture(5, 6, 1)).save(gray / "a.png")
    Image.fromarray(picture(5, 6, 1)).convert("1").save(gray / "b.png")
    (gray / "text.png").write_text("hello")
    Image.fromarray(picture(5, 6, 1)).save(colour / "a.png")
    Image.fromarray(picture(5, 6, 3)).save(colour / "b.png")
    write_idx(digits / "train-images-idx3-ubyte.gz", np.zeros((2, 4, 4), np.uint8))
    assert [channels_of(folders) for folders in ([gray], [digits], [gray, digits])] == [1, 1, 1]
    assert [channels_of(folders) for folders in ([colour], [gray, colour])] == [3, 3]


def test_a_card_comes_back_and_lists_images_on_one_line(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from shearloc.training.train import write_card

    for card in ({"name": "training_images", "training_images": ["00000000", "ffffffff"]}, {"name": "n"}):
        write_card(tmp_path / "card.json", card)
        assert json.loads((tmp_path / "card.json").read_text()) == card
    write_card(tmp_path / "card.json", {"training_images": ["0" * 8] * 99, "shape": {"width": 8}})
    assert (tmp_path / "card.json").read_text().count("\n") == 6


@pytest.mark.data
def test_shipped_cards_know_their_training_images(data_folder: Path) -> None:
    """A photograph is in the cards as it was trained on; those of Kodak are in none."""
    from shearloc.models import zoo

    for name, channels in (("photo", 3), ("gray", 1)):
        known = zoo.card(name)["training_images"]
        kodak = load_folder_of(sorted((data_folder / "kodak").iterdir())[:3], channels)
        trained = load_folder_of(sorted((data_folder / "photos").iterdir())[:3], channels)
        assert {fingerprint(image) for image in trained} <= set(known)
        assert not {fingerprint(image) for image in kodak} & set(known)


def load_folder_of(paths: list[Path], channels: int) -> list[NDArray[np.uint8]]:
    return [image for path in paths for image in _load_file(path, channels)]
