"""What every test may use: the measuring data, small pictures and models, plain twins, the command in this process.

Hypothesis has no deadlines, and torch the same random numbers in every test.
"""

import gzip
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from numpy.typing import NDArray

if TYPE_CHECKING:
    from shearloc.codec.pictures.picture import Picture
    from shearloc.models.local.model import LocalModel
    from shearloc.models.vae.model import VaeModel
    from shearloc.training.local_float import LocalNet

DATA = Path(__file__).parents[2] / "shared" / "data"

# The first example may compile a kernel, and the machine may be busy. What fails can be tried again by its blob.
settings.register_profile("shearloc", deadline=None, max_examples=60, print_blob=True)
settings.load_profile("shearloc")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if DATA.is_dir():
        return
    for item in items:
        if item.get_closest_marker("data"):
            item.add_marker(pytest.mark.skip(reason=f"needs {DATA}"))


@pytest.fixture(autouse=True)
def seeded_torch() -> None:
    """Where torch is loaded, a test's random numbers are the same whichever tests came before it."""
    if torch := sys.modules.get("torch"):
        torch.manual_seed(0)


class Done(NamedTuple):
    code: int
    out: list[str]
    err: list[str]


SILENT = (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning)
"""Warnings that Python does not show."""


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """command("encode", "a.png") runs `shearloc encode a.png` in `tmp_path`, in this process: code, out and err.

    A warning, which a process of its own would show among its lines on stderr, is an error, as any exception is.
    """
    from shearloc import cli

    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["shearloc", *map(str, arguments)])
        with warnings.catch_warnings(record=True) as warned, pytest.raises(SystemExit) as exit_:
            cli.main()
        assert not [one for one in warned if not issubclass(one.category, SILENT)]
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return Done(int(exit_.value.code or 0), out.splitlines(), err.splitlines())

    return run


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of images, for tests marked `data`."""
    return DATA


@pytest.fixture(scope="session")
def picture() -> Callable[..., NDArray[np.uint8]]:
    """picture(height, width, channels): smooth with a little noise, so that a model beats raw pixels."""

    def make(height: int, width: int, channels: int) -> NDArray[np.uint8]:
        y, x, c = np.mgrid[:height, :width, :channels]
        noise = np.random.default_rng([height, width, channels]).integers(-2, 3, y.shape)
        pixels = (96 + 64 * np.sin(x / 9 + c) + 64 * np.cos(y / 7) + noise).clip(0, 255).astype(np.uint8)
        return pixels[:, :, 0] if channels == 1 else pixels

    return make


@pytest.fixture(scope="session")
def write_idx() -> Callable[[Path, NDArray[np.uint8]], None]:
    """write_idx(path, array): the array as a gzipped IDX file, which MNIST's are."""

    def write(path: Path, array: NDArray[np.uint8]) -> None:
        header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
        path.write_bytes(gzip.compress(header + array.tobytes()))

    return write


@pytest.fixture(scope="session")
def any_picture() -> "st.SearchStrategy[Picture]":
    """Small pictures of every colour type and depth, some of one value, with palette, transparency and metadata."""
    from shearloc.codec.pictures.picture import CHANNELS, DEPTHS, GRAY, PALETTE, RGB, Picture

    @st.composite
    def draw_picture(draw: st.DrawFn) -> Picture:
        colour, depth = draw(st.sampled_from([(c, depth) for c, depths in DEPTHS.items() for depth in depths]))
        height, width = draw(st.tuples(st.integers(1, 12), st.integers(1, 12)))
        rng = np.random.default_rng(draw(st.integers(0, 99)))
        shape = (height, width) if CHANNELS[colour] == 1 else (height, width, CHANNELS[colour])
        top = draw(st.sampled_from([1, 2**depth]))
        samples = rng.integers(0, top, shape).astype(np.uint16 if depth == 16 else np.uint8)
        entries = draw(st.integers(1, 2**depth if colour == PALETTE else 256))
        has_palette = colour == PALETTE or (colour == RGB and draw(st.booleans()))
        palette = rng.integers(0, 256, (entries, 3), np.uint8) if has_palette else None
        length = {GRAY: 2, RGB: 6, PALETTE: entries}.get(colour, 0)
        transparency = rng.bytes(length) if draw(st.booleans()) else b""
        kinds = st.sampled_from([b"gAMA", b"tEXt", b"iCCP", b"bKGD", b"eXIf"])
        chunks = draw(st.lists(st.tuples(kinds, st.binary(max_size=40)), max_size=3))
        return Picture(samples, depth, palette, transparency, tuple(chunks))

    return draw_picture()


@pytest.fixture(scope="session")
def plain() -> ModuleType:
    """The module tests/plain.py: the codec once more in plain Python."""
    spec = spec_from_file_location("plain", Path(__file__).with_name("plain.py"))
    assert spec and spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def tiny_net() -> "Callable[..., LocalNet]":
    """tiny_net(channels, horizon=3, reach=1, spread=0.2, level=False): a small untrained float network, cached.

    Its weights are on the grid. `spread` is the deviation of the last layer's weights: 0.2 predicts about as well as an
    untrained network, 2 drives the distributions' parameters far beyond what training gives.
    """
    torch = pytest.importorskip("torch")
    from shearloc.nets.quantize import ACTIVATION_STEP, INPUT_STEP
    from shearloc.training.local_float import LocalNet, Shape, linears, weight_scale

    @cache
    def make(channels: int, horizon: int = 3, reach: int = 1, spread: float = 0.2, level: bool = False) -> LocalNet:
        shape = Shape(channels, horizon, reach, width=16, layers=1, head_width=8, components=3, level=level)
        draw = torch.Generator().manual_seed(channels)
        with torch.random.fork_rng(devices=[]):  # a test's own numbers do not depend on who asked first
            net = LocalNet(shape)
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.normal_(0, spread, generator=draw)
            for layer in [net.first, *linears(net.hidden), net.out]:
                step = INPUT_STEP if layer is net.first else ACTIVATION_STEP
                if layer is not net.out:
                    layer.weight.mul_(layer.in_features**-0.5 / spread)
                scale = weight_scale(layer.weight)
                units = torch.round(layer.weight / scale[:, None])
                units.scatter_(1, units.abs().argmax(1, keepdim=True), 127.0)  # makes `scale` the scale of these, too
                layer.weight.copy_(units * scale[:, None])
                layer.bias.copy_(torch.round(layer.bias / (scale * step)) * (scale * step))
            units = (weight_scale(net.out.weight) * ACTIVATION_STEP).split(net.counts)
            for c in range(1, channels):
                grids = (units[channels + c - 1] / INPUT_STEP, units[c] / ACTIVATION_STEP)
                for layer, grid in zip((linears(net.learn)[c - 1], linears(net.adjust)[c - 1]), grids, strict=True):
                    layer.weight.copy_(torch.round(layer.weight / grid[:, None]) * grid[:, None])
        return net

    return make


@pytest.fixture(scope="session")
def tiny_model(tiny_net: "Callable[..., LocalNet]") -> "Callable[..., LocalModel]":
    """The integer model, cached, of the `tiny_net` with these arguments."""
    from shearloc.training.export import export

    @cache
    def make(*arguments: float) -> "LocalModel":
        return export(tiny_net(*arguments), "tiny")

    return make


@pytest.fixture(scope="session")
def tiny_nelloc() -> "Callable[..., LocalModel]":
    """tiny_nelloc(channels, horizon=3, blocks=1, **shape): a small untrained model as the thesis has them, cached.

    `shape`: fields of `local_float.Shape` to change.
    """
    torch = pytest.importorskip("torch")
    from shearloc.training.export import export
    from shearloc.training.local_float import LocalNet, nelloc

    @cache
    def make(channels: int, horizon: int = 3, blocks: int = 1, **shape: Any) -> "LocalModel":
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(channels)
            net = LocalNet(replace(nelloc(blocks, channels, horizon), **({"width": 16, "components": 3} | shape)))
            for layer in [net.first, *net.hidden]:
                layer.weight.mul_(3)
                layer.bias.mul_(3)
            net.out.weight.normal_(0, 0.1)
        return export(net, "tiny")

    return make


@pytest.fixture(scope="session", autouse=True)
def every_processor() -> Iterator[None]:
    """Threads that wait for each other run, however busy the tests beside this one keep the machine."""
    from shearloc.nets import barrier

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(barrier, "free", lambda wanted: wanted)
        yield


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Torch's idle threads spin, which takes seconds where the machine is busy."""
    torch = sys.modules.get("torch")
    before = torch.get_num_threads() if torch else 1
    if torch:
        torch.set_num_threads(1)
    yield
    if torch:
        torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny_vae() -> "Callable[[str], VaeModel]":
    """tiny_vae("bernoulli"): fully connected, 6 x 6 x 1; tiny_vae("logistic"): the same for grey levels;
    tiny_vae("colour"): residual, 8 x 8 x 3. Random integer weights of a sensible size."""
    from shearloc.models.vae.model import VaeModel, array_shapes
    from shearloc.models.vae.shape import VaeShape

    shapes = {
        "bernoulli": VaeShape(6, 1, "bernoulli", latents=3, width=10),
        "logistic": VaeShape(6, 1, "logistic", latents=3, width=10),
        "colour": VaeShape(8, 3, "logistic", latents=8, width=6, blocks=1),
    }

    @cache
    def make(kind: str) -> VaeModel:
        draw = np.random.default_rng(len(kind))
        arrays = {}
        for key, size in array_shapes(shapes[kind]).items():
            spread = 6000 / size[0] ** 0.5 if key.endswith("weight") else 6000
            kept = np.int16 if key.endswith("weight") else np.int32
            arrays[key] = np.rint(draw.normal(0, spread, size)).clip(-32000, 32000).astype(kept)
        return VaeModel(f"tiny-{kind}", shapes[kind], arrays)

    return make


@pytest.fixture(scope="session")
def small_images() -> Callable[..., NDArray[np.uint8]]:
    """small_images(model, count, seed): images that an autoencoder can code, [count, H, W, C], blobs with noise."""

    def make(model: "VaeModel", count: int, seed: int = 0) -> NDArray[np.uint8]:
        draw = np.random.default_rng(seed)
        side, _, channels = model.image_shape
        y, x = np.mgrid[:side, :side] / side
        centre = draw.random((2, count, 1, 1))
        blobs = np.exp(-8 * ((y - centre[0]) ** 2 + (x - centre[1]) ** 2))[..., None]
        levels = 255 * blobs + draw.normal(0, 8, (count, side, side, channels))
        if model.levels == 2:
            return (levels > 100).astype(np.uint8)
        return levels.clip(0, 255).astype(np.uint8)

    return make
