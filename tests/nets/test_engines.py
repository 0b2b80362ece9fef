"""Every engine gives the reference's very integers, for any input, batch size and thread count.

The proof that this must be so is tested in test_layers.py; coding with engines in codec/test_wavefront.py.
CUDA itself is tested only where there is a device; its code also runs on the CPU.
"""

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray

from shearloc.models.local.model import LocalModel
from shearloc.nets import engines
from shearloc.nets.convolution import ALONE, OUTSIDE_LEVEL, Neighbourhood, columns
from shearloc.nets.engines import NumbaRunner, Runner, TorchRunner
from shearloc.nets.layers import Dense, prove
from shearloc.training.images import PixelSet

Picture = Callable[..., NDArray[np.uint8]]
Layers = tuple[Dense, ...]

ROOT = Path(__file__).parents[2]
SHAPES = [(66, 16, 16, 61), (66, 96, 64), (22, 13, 7, 5), (3, 1)]
"""Widths from inputs to outputs; multiples of 8 and not, deep and shallow."""

INPUTS: dict[str, Callable[[tuple[int, int]], NDArray[np.integer]]] = {
    "random": lambda shape: np.random.default_rng(shape).integers(-128, 128, shape),
    "lowest": lambda shape: np.full(shape, -128),
    "highest": lambda shape: np.full(shape, 127),
    "alternating": lambda shape: np.where(np.indices(shape).sum(0) % 2, 127, -128),
    "zero": lambda shape: np.zeros(shape, np.int64),
}


class OnDevice:
    """The network of `device_arithmetic.py` as if it were a runner; on the CPU where there is no other device."""

    def __init__(self, layers: Layers, rows: int, neighbourhood: Neighbourhood = ALONE) -> None:
        import torch

        from shearloc.models.local import device_arithmetic as device

        self._network, self._from_numpy = device.network, torch.from_numpy
        self._neighbourhood = neighbourhood
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._layers = device.device_layers(layers, self._device)
        self.inputs = np.zeros((rows, layers[0].weight.shape[0]), np.int8)

    def run(self, n: int) -> NDArray[np.int32]:
        """As `Runner.run`."""
        places = np.zeros((n, 1), np.int64) if self._neighbourhood is ALONE else self._neighbourhood.places[:n]
        arrays = (self.inputs[:n], self._neighbourhood.levels, places[:, -1], places[:, :-1])
        tensors = [self._from_numpy(array).to(self._device) for array in arrays]
        return self._network(self._layers, *tensors).cpu().numpy()


def make(kind: str, layers: Layers, rows: int, neighbourhood: Neighbourhood = ALONE) -> Runner | OnDevice:
    """A runner. Skips the test where torch is needed and missing."""
    if kind == "numpy":
        return Runner(layers, rows, neighbourhood)
    if kind == "numba":
        return NumbaRunner(layers, rows, neighbourhood)
    pytest.importorskip("torch")
    return TorchRunner(layers, rows, neighbourhood) if kind == "torch" else OnDevice(layers, rows, neighbourhood)


every_engine = pytest.mark.parametrize("kind", ["numpy", "numba", "torch", "device"])


def random_layers(widths: tuple[int, ...], extreme: bool) -> Layers:
    """Layers that `prove` accepts, whose activations neither die nor all saturate."""
    rng = np.random.default_rng([*widths, extreme])
    layers = []
    for inputs, outputs in zip(widths, widths[1:], strict=False):
        weight = rng.integers(-127, 128, (inputs, outputs))
        if extreme:
            weight = np.where(weight > 0, 127, -127)
        bias = rng.integers(-200000, 200000, outputs)
        multiplier = rng.integers(64, 128, outputs)
        shift = rng.integers(15, 18, outputs)
        layers.append(Dense(weight.astype(np.int8), *(v.astype(np.int32) for v in (bias, multiplier, shift))))
        prove(layers[-1])
    return tuple(layers)


pytestmark = pytest.mark.usefixtures("one_thread")


@every_engine
@pytest.mark.parametrize("extreme", [False, True])
@pytest.mark.parametrize("widths", SHAPES, ids=str)
@pytest.mark.parametrize("inputs", INPUTS)
def test_engines_give_the_reference(
    plain: ModuleType, kind: str, widths: tuple[int, ...], extreme: bool, inputs: str
) -> None:
    layers = random_layers(widths, extreme)
    run = make(kind, layers, 100)
    values = INPUTS[inputs]((100, widths[0]))
    run.inputs[:100, : widths[0]] = values
    assert np.array_equal(run.run(100)[:, : widths[-1]], plain.network(layers, values))


@every_engine
@pytest.mark.parametrize("extreme", [False, True])
@pytest.mark.parametrize("inputs", ["random", "lowest", "alternating"])
def test_residual_blocks_too(plain: ModuleType, kind: str, extreme: bool, inputs: str) -> None:
    """Two blocks, of three layers and of one, and layers without a skip before, between and after them."""
    layers = list(random_layers((66, 24, 24, 24, 24, 13, 13, 13, 61), extreme))
    layers[3], layers[6] = replace(layers[3], skip=3), replace(layers[6], skip=1)
    values = INPUTS[inputs]((100, 66))
    expected = plain.network(layers, values)
    assert not np.array_equal(expected, plain.network([replace(layer, skip=0) for layer in layers], values))
    run = make(kind, tuple(layers), 100)
    for _ in range(2):
        run.inputs[:100, :66] = values
        assert np.array_equal(run.run(100)[:, : layers[-1].bias.size], expected)


@every_engine
@pytest.mark.parametrize("extreme", [False, True])
@pytest.mark.parametrize("inputs", ["random", "lowest", "alternating"])
def test_convolutions_too(plain: ModuleType, kind: str, extreme: bool, inputs: str) -> None:
    """Two of them, in and after a residual block, over a row of 100 pixels whose neighbours are the two before each."""
    layers = list(random_layers((66, 24, 7, 13, 24, 10, 61), extreme))
    wide = random_layers((21, 13), extreme)[0], random_layers((72, 10), extreme)[0]
    layers[2], layers[4] = (replace(layer, convolution=True) for layer in wide)
    layers[3] = replace(layers[3], skip=3)
    values = INPUTS[inputs]((100, 66))
    expected = plain.network(layers, values, plain.neighbours_of((1, 100), [(0, -2), (0, -1)]))
    levels = np.full((101, columns(tuple(layers))[-1]), OUTSIDE_LEVEL, np.int8)
    neighbourhood = Neighbourhood(levels, np.zeros((1, 3), np.int64))
    run = make(kind, tuple(layers), 1, neighbourhood)
    for j in range(100):
        neighbourhood.places[0] = max(0, j - 1), j, j + 1
        run.inputs[:1, :66] = values[j]
        assert np.array_equal(run.run(1)[0, :61], expected[j])


@every_engine
@pytest.mark.parametrize("batch", [1, 7, 64, 200])
def test_batch_size_changes_nothing(plain: ModuleType, kind: str, batch: int) -> None:
    """Also that a small batch after a large one does not see what the large one left behind."""
    layers = random_layers((66, 16, 16, 61), False)
    values = INPUTS["random"]((200, 66))
    expected = plain.network(layers, values)
    run = make(kind, layers, 200)
    run.inputs[:200] = 127
    run.run(200)
    for start in range(0, 200, batch):
        part = values[start : start + batch]
        run.inputs[: len(part), :66] = part
        found = run.run(len(part))[:, :61]
        assert found.shape == (len(part), 61)
        assert np.array_equal(found, expected[start : start + batch])


def model_inputs(model: LocalModel, image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The contexts of all pixels."""
    pixels = PixelSet.of([image.reshape(*image.shape[:2], -1)])
    index = np.arange(pixels.ends[-1])
    return pixels.contexts(index, np.zeros_like(index), model.offsets)[0]


def check_real(plain: ModuleType, kind: str, model: LocalModel, image: NDArray[np.uint8]) -> None:
    values = model_inputs(model, image)
    run = make(kind, model.layers, len(values))
    run.inputs[: len(values), : values.shape[1]] = values
    outputs = model.layers[-1].bias.size
    assert np.array_equal(run.run(len(values))[:, :outputs], plain.network(model.layers, values.astype(np.int64)))


@every_engine
@pytest.mark.parametrize("channels", [1, 3])
def test_engines_agree_on_a_picture(
    plain: ModuleType, tiny_model: Callable[..., LocalModel], picture: Picture, kind: str, channels: int
) -> None:
    check_real(plain, kind, tiny_model(channels), picture(40, 50, channels))


@pytest.mark.data
@every_engine
def test_engines_agree_on_a_photo(
    plain: ModuleType, tiny_model: Callable[..., LocalModel], data_folder: Path, kind: str
) -> None:
    from PIL import Image

    with Image.open(sorted((data_folder / "kodak").iterdir())[0]) as photo:
        crop = np.asarray(photo.convert("RGB"))[100:228, 100:228]
    check_real(plain, kind, tiny_model(3), crop)


THREADED = (256, 256, 256, 91)


def threaded_hash(kind: str) -> str:
    """Of what a large network gives for large batches, where BLAS and torch do use all their threads."""
    run = make(kind, random_layers(THREADED, False), 2048)
    run.inputs[:2048] = INPUTS["random"]((2048, 256))
    return hashlib.sha256(run.run(2048)[:, : THREADED[-1]].astype(np.int32).tobytes()).hexdigest()


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("kind", ["torch", "device"])
def test_torch_threads_change_nothing(kind: str, threads: int) -> None:
    torch = pytest.importorskip("torch")
    expected = threaded_hash("numba")
    torch.set_num_threads(threads)
    assert torch.get_num_threads() == threads
    assert threaded_hash(kind) == expected


def test_blas_threads_change_nothing() -> None:
    """BLAS reads its thread count when it is loaded, so each count takes a process."""
    code = f"""
import runpy
print(runpy.run_path({str(__file__)!r})["threaded_hash"]("numpy"))
"""
    hashes = {threaded_hash("numba")}
    for threads in ("1", "2"):
        names = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
        run = [sys.executable, "-c", code]
        environment = os.environ | dict.fromkeys(names, threads)
        hashes.add(subprocess.check_output(run, env=environment, cwd=ROOT, text=True, timeout=300).strip())
    assert len(hashes) == 1


@pytest.mark.parametrize(
    ("fast", "loaded", "installed", "samples", "chosen"),
    [
        (True, True, True, 1, "numba"),
        (True, False, False, 1, "numba"),
        (False, True, True, 1, "torch"),
        (False, False, True, engines.LARGE - 1, "numpy"),
        (False, False, True, engines.LARGE, "torch"),
        (False, False, False, engines.LARGE, "numpy"),
    ],
)
def test_auto(
    monkeypatch: pytest.MonkeyPatch, fast: bool, loaded: bool, installed: bool, samples: int, chosen: str
) -> None:
    monkeypatch.setattr(engines, "is_fast", lambda: fast)
    monkeypatch.setattr(engines, "sys", SimpleNamespace(modules={"torch": object()} if loaded else {}))
    find = SimpleNamespace(find_spec=lambda name: name if installed else None)
    monkeypatch.setattr(engines, "importlib", SimpleNamespace(util=find))
    assert engines.choose("auto", samples) == chosen
    assert all(engines.choose(name, samples) == name for name in ("numpy", "torch", "cuda", "numba"))


def test_runner_by_name() -> None:
    layers = random_layers((3, 1), False)
    assert type(engines.runner("numpy", layers, 1)) is Runner
    assert type(engines.runner("numba", layers, 1)) is NumbaRunner
    with pytest.raises(ValueError, match="abacus"):
        engines.runner("abacus", layers, 1)


def test_torch_by_name_or_import_error(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    layers = random_layers((3, 1), False)
    assert type(engines.runner("torch", layers, 1)) is TorchRunner
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError):
        engines.runner("torch", layers, 1)


@pytest.mark.parametrize("error", [ImportError, NotImplementedError, AttributeError, OSError])
def test_auto_does_without_a_torch_that_fails(monkeypatch: pytest.MonkeyPatch, error: type[Exception]) -> None:
    def broken() -> bool:
        raise error("broken")

    monkeypatch.setattr(engines, "is_fast", lambda: False)
    monkeypatch.setattr(engines, "_torch_is_exact", broken)
    monkeypatch.setattr(engines, "sys", SimpleNamespace(modules={"torch": object()}))
    assert engines.choose("auto", 1) == "numpy"
