"""Models that learn: engines, threads and directions agree; learning helps; damage and hostile models are refused."""

import hashlib
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from shearloc.codec import api
from shearloc.errors import CorruptError, ShearlocError
from shearloc.models.family import Coded, How, Order
from shearloc.models.learning import coder, images, walk
from shearloc.models.learning.model import Expert, LearningModel
from shearloc.nets import barrier

from ..golden import make

Pixels = NDArray[np.uint8]
ROOT = Path(__file__).parents[2]
MODELS = make.learning_models()
RGB, GRAY, EXPERTS, EDGES = (MODELS[f"golden-learning{name}"] for name in ("", "-gray", "-experts", "-edges"))


def model_of(found: LearningModel, **changes: Any) -> images.Learning:
    fields = {key: getattr(found, key) for key in ("channels", "offsets", "experts", "every", "predictor", "edges")}
    return images.Learning("tiny", **(fields | changes))


def with_rates(found: LearningModel, rate: float) -> images.Learning:
    experts = tuple(replace(expert, rates=np.full_like(expert.rates, rate)) for expert in found.experts)
    return model_of(found, experts=experts)


def hostile() -> dict[str, Pixels]:
    """Pictures that drive gradients and weights to their ends."""
    draw = np.random.default_rng(0)
    return {
        "noise": draw.integers(0, 256, (30, 33, 3), np.uint8),
        "black and white": (255 * draw.integers(0, 2, (31, 20, 3))).astype(np.uint8),
        "flat": np.full((25, 20, 3), 255, np.uint8),
        "stripes": np.tile(np.array([0, 255], np.uint8), (30, 15))[..., None].repeat(3, 2),
        "row": make.smooth(1, 40, 3),
        "column": make.smooth(40, 1, 3),
        "pixel": make.smooth(1, 1, 3),
        "waves": make.smooth(64, 40, 3),
        "comb": make.comb(40, 50, 3),
    }


KINDS = [*((name, 1, 0) for name in hostile()), ("noise", 3, 0), ("waves", 3, 0)]
LEARNING_EDGES = [("noise", 1, 1), ("black and white", 1, 1), ("stripes", 2, 16), ("comb", 1, 16), ("waves", 3, 1)]


@pytest.mark.parametrize(("name", "every", "edges"), KINDS + LEARNING_EDGES)
def test_engines_and_threads_write_the_same_bytes(
    name: str, every: int, edges: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels, model = hostile()[name], model_of(EXPERTS, every=every, edges=edges)
    pixels = np.stack([pixels, pixels[::-1]])
    payload, lanes = coder.encode_images(model, pixels, "numpy")
    monkeypatch.setattr(walk, "LEAST", 1)
    for threads in (1, 2, 3):
        monkeypatch.setattr(barrier, "processors", lambda threads=threads: threads)
        assert coder.encode_images(model, pixels, "numba") == (payload, lanes)
        assert np.array_equal(coder.decode_images(model, payload, lanes, pixels.shape[:3], "numba"), pixels)
    assert np.array_equal(coder.decode_images(model, payload, lanes, pixels.shape[:3], "numpy"), pixels)


def test_what_lies_around_the_pixels_is_not_seen(among_noise: None) -> None:
    pixels, model = make.smooth(9, 12, 3)[None], model_of(RGB)
    expected = coder.encode_images(model, pixels, "numpy")
    assert coder.encode_images(model, pixels, "numba") == expected
    assert np.array_equal(coder.decode_images(model, *expected, pixels.shape[:3], "numba"), pixels)


@pytest.mark.parametrize("edges", [0, 16])
def test_threads_share_lanes(edges: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture of several lanes: each thread has some of them."""
    pixels = make.smooth(180, 260, 3)[None]
    found = []
    for threads in (1, 2, 3):
        monkeypatch.setattr(barrier, "processors", lambda threads=threads: threads)
        found.append(coder.encode_images(model_of(RGB, edges=edges), pixels, "numba"))
    assert found[0] == found[1] == found[2] and found[0][1] > 1


def test_torch_writes_them_too() -> None:
    pytest.importorskip("torch")
    pixels = make.smooth(20, 24, 3)[None]
    assert coder.encode_images(model_of(EXPERTS), pixels, "torch") == coder.encode_images(
        model_of(EXPERTS), pixels, "numba"
    )


@settings(max_examples=25)
@given(
    st.integers(1, 3),
    st.integers(1, 24),
    st.integers(1, 24),
    st.sampled_from([RGB, GRAY, EXPERTS, EDGES]),
    st.integers(0, 99),
)
def test_decodes_what_was_encoded(count: int, height: int, width: int, found: LearningModel, seed: int) -> None:
    model, draw = model_of(found), np.random.default_rng(seed)
    pixels = draw.integers(0, 1 + draw.integers(1, 256), (count, height, width, model.channels)).astype(np.uint8)
    coded = model.encode(pixels, How())
    assert np.array_equal(model.decode(coded, (count, height, width), How()), pixels)


def test_learning_shortens_what_repeats() -> None:
    """The same model with rates near 0 cannot learn."""
    draw = np.random.default_rng(3)
    pattern = np.tile(draw.integers(0, 256, (5, 7, 3), np.uint8), (12, 10, 1))
    learns, stays = (model.lengths(pattern[None], How()).images[0] for model in (model_of(RGB), with_rates(RGB, 1e-9)))
    assert learns < 0.6 * stays


def test_edges_shorten_a_comb() -> None:
    """Of a picture that lacks every third level, whose noise a mixture cannot tell from others'."""
    pixels = make.comb(90, 120, 3)[None]
    learn, stay = (model_of(RGB, edges=edges).lengths(pixels, How()).images[0] for edges in (64, 0))
    assert learn < 0.95 * stay


def test_lengths_are_those_of_the_payload() -> None:
    model, pixels = model_of(RGB), np.stack([make.smooth(33, 40, 3), make.smooth(40, 33, 3).swapaxes(0, 1)])
    found = model.lengths(pixels, How())
    for engine in ("numpy", "numba"):
        assert np.array_equal(model.lengths(pixels, How(engine)).pixels, found.pixels)
    for image, bits in zip(pixels, found.images / 2**16, strict=True):
        assert 0 <= 8 * len(model.encode(image[None], How()).payload) - bits < 130


def test_samples_are_the_same_everywhere() -> None:
    model = model_of(EXPERTS)
    first = model.sample((2, 9, 11), 7, How("numba"))
    assert np.array_equal(first, model.sample((2, 9, 11), 7, How("numpy")))
    assert not np.array_equal(first, model.sample((2, 9, 11), 8, How("numba")))


# --- Bad input ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(8))
def test_damage_is_told_alike_by_all_engines(seed: int) -> None:
    model, pixels, draw = model_of(RGB), make.smooth(30, 40, 3)[None], np.random.default_rng(seed)
    coded = model.encode(pixels, How())
    damaged = bytearray(coded.payload)
    for place in draw.integers(0, len(damaged), 1 + 20 * (seed % 3)):
        damaged[place] ^= 1 + draw.integers(0, 255)
    if seed == 7:
        del damaged[-40:]
    told = set()
    for engine in ("numba", "numpy"):
        with pytest.raises(CorruptError) as error:
            model.decode(replace(coded, payload=bytes(damaged)), (1, 30, 40), How(engine))
        told.add(str(error.value))
    assert len(told) == 1


def test_numbers_stay_finite_however_fast_it_learns() -> None:
    model, pixels = with_rates(EDGES, 2.0**20), hostile()["noise"][None]
    coded = model.encode(pixels, How("numba"))
    assert coded.payload == model.encode(pixels, How("numpy")).payload
    assert np.array_equal(model.decode(coded, pixels.shape[:3], How()), pixels)


def change(expert: Expert, **changes: Any) -> Expert:
    return replace(expert, **changes)


def nan_of(array: NDArray[Any]) -> NDArray[Any]:
    return np.full_like(array, np.nan)


HOSTILE: dict[str, Callable[[Expert], Expert]] = {
    "rates that are no numbers": lambda e: change(e, rates=nan_of(e.rates)),
    "rates without end": lambda e: change(e, rates=np.full_like(e.rates, np.inf)),
    "rates of another type": lambda e: change(e, rates=e.rates.astype(np.float64)),
    "an epsilon of 0": lambda e: change(e, epsilon=np.zeros(1, np.float32)),
    "forgetting more than all": lambda e: change(e, forget=np.array([1.5, 0.01], np.float32)),
    "peaks of 0": lambda e: change(e, peaks=tuple(0 * peaks for peaks in e.peaks)),
    "a shift of 30": lambda e: change(e, layers=(replace(e.layers[0], bits=30), *e.layers[1:])),
    "a bias without bounds": lambda e: change(
        e, layers=(*e.layers[:-1], replace(e.layers[-1], start=e.layers[-1].start + (1 << 24)))
    ),
    "weights beyond their limit": lambda e: change(
        e, layers=(replace(e.layers[0], weight=np.full_like(e.layers[0].weight, -32768)), *e.layers[1:])
    ),
    "a missing layer": lambda e: change(e, layers=e.layers[:1]),
    "layers that do not fit": lambda e: change(e, layers=(e.layers[1], e.layers[0])),
    "a head too few": lambda e: change(e, learn=e.learn[:1], adjust=e.adjust[:1]),
    "heads whose sums overflow": lambda e: change(e, learn=np.full_like(e.learn, 1 << 30)),
    "more components than outputs": lambda e: change(e, components=9),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_models_are_refused(what: str) -> None:
    model = model_of(RGB, experts=tuple(HOSTILE[what](expert) for expert in RGB.experts))
    with pytest.raises(ValueError, match=r"\w"):
        model.prove()


SETTINGS: list[dict[str, Any]] = [{"every": 0}, {"every": 65}, {"channels": 2}, {"predictor": 7}, {"experts": ()}]


@pytest.mark.parametrize("changes", [*SETTINGS, {"edges": -1}, {"edges": 1 << 21}])
def test_hostile_settings_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        model_of(RGB, **changes).prove()


def test_a_model_file_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "tiny.safetensors"
    for found in MODELS.values():
        found.save(path)
        again = images.parse(path.read_bytes(), "tiny", str(path))
        assert again.fingerprint == found.fingerprint
        broken = path.read_bytes().replace(b'"every":"', b'"every":"x')
        with pytest.raises(ShearlocError, match="not a sound model"):
            images.parse(broken, "tiny", str(path))


def test_what_it_cannot_do_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHEARLOC_MODELS", str(make.MODELS))
    pixels = make.smooth(9, 12, 3)
    with pytest.raises(ShearlocError, match="no engine 'cuda'"):
        api.encode(pixels, model="golden-learning", engine="cuda")
    data = api.encode(pixels, model="golden-learning")
    with pytest.raises(ShearlocError, match="cannot be decoded in parallel order"):
        api.decode(data, order="parallel")
    with pytest.raises(ShearlocError, match="3 channels, not 1"):
        api.encode(pixels[:, :, 0], model="golden-learning")
    model = model_of(RGB)
    coded = model.encode(pixels[None], How())
    with pytest.raises(CorruptError):
        model.decode(Coded(coded.payload, 1, Order.SEQUENTIAL), (1, 9, 12), How())


# --- Processors ---------------------------------------------------------------------------------------------------

OTHER = {
    "haswell": "+sse,+sse2,+sse3,+ssse3,+sse4.1,+sse4.2,+popcnt,+avx,+avx2,+fma,+bmi,+bmi2,+lzcnt,+movbe,+f16c,+cx16",
    "x86-64": "+sse,+sse2",
}
PROGRAM = """
import hashlib
from shearloc.nets import shorts
from shearloc.models.learning import coder
from tests.golden import make
from tests.models.test_learning import EDGES, model_of
payload, _ = coder.encode_images(model_of(EDGES), make.smooth(40, 50, 3)[None], "numba")
print(shorts.KIND.lanes, shorts.KIND.dot, hashlib.sha256(payload).hexdigest())
"""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="these are its processors")
@pytest.mark.parametrize("processor", ["haswell", pytest.param("x86-64", marks=pytest.mark.slow)])
def test_other_processors_write_the_same_bytes(processor: str, tmp_path: Path) -> None:
    """Numba compiles for processors with other vectors, which this one has, too; FMA must not fuse anything."""
    asked = {"NUMBA_CPU_NAME": processor, "NUMBA_CPU_FEATURES": OTHER[processor], "NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, env=os.environ | asked, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    payload, _ = coder.encode_images(model_of(EDGES), make.smooth(40, 50, 3)[None], "numba")
    assert done.stdout.split() == ["8", "None", hashlib.sha256(payload).hexdigest()]
