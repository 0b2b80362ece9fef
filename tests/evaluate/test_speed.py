"""The measuring of speed: who is timed, in which process, and that the JSON says it."""

import json
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from shearloc.evaluate import speed
from shearloc.evaluate.peers import Peer

Picture = Callable[..., NDArray[np.uint8]]


def test_throughput_is_of_raw_pixels() -> None:
    timing = speed.Timing("a", [1.0, 4.0, 2.0], [0.5, 0.5, 0.25])
    found = timing.to_dict(8_000_000)
    assert found["encode_mb_s"] == {"median": 4.0, "minimum": 2.0, "maximum": 8.0}
    assert found["decode_mb_s"] == {"median": 16.0, "minimum": 16.0, "maximum": 32.0}
    assert found["encode_seconds"] == [1.0, 4.0, 2.0]


def test_middle_is_cut_out(picture: Picture) -> None:
    image = picture(20, 7, 3)
    assert np.array_equal(speed.crop_middle(image, 10), image[5:15])
    assert np.array_equal(speed.crop_middle(image, 4), image[8:12, 1:5])


def test_numpy_worker_has_no_torch() -> None:
    with speed._worker("numpy") as worker, pytest.raises(ImportError):
        worker.submit(import_module, "torch").result()


def test_blocking_torch_comes_first_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", sys)
    with pytest.raises(RuntimeError, match="already"):
        speed.block_torch()


def test_rounds_are_counted_for_everyone(picture: Picture, monkeypatch: pytest.MonkeyPatch) -> None:
    """One warm round, then the counted ones, engines and peers alike; a missing engine is named with the reason."""
    monkeypatch.setattr(speed, "ENGINES", ("numpy", "cuda"))
    monkeypatch.setattr(speed, "ROUNDS", 2)
    steps: list[str] = []

    def encode(pixels: NDArray[np.uint8]) -> bytes:
        steps.append("encode")
        return pixels.tobytes()

    def decode(data: bytes | bytearray) -> NDArray[np.uint8]:
        steps.append("decode")
        return np.frombuffer(data, np.uint8)

    timings, missing = speed.measure(picture(16, 16, 1), {"peer": Peer(encode, decode)}, lambda: steps.append("round"))
    assert steps == ["encode"] + 3 * ["encode", "decode", "round"]
    names = {"shearloc numpy", "shearloc cuda", "peer"}
    assert {timing.name for timing in timings} == names - {f"shearloc {engine}" for engine in missing}
    for timing in timings:
        assert len(timing.encode_seconds) == len(timing.decode_seconds) == 2
        assert min(timing.encode_seconds + timing.decode_seconds) >= 0
    assert all(engine == "cuda" and "not available" in reason for engine, reason in missing.items())


@pytest.mark.slow
def test_command_writes_what_it_measured(tmp_path: Path, picture: Picture) -> None:
    Image.fromarray(picture(48, 64, 3)).save(tmp_path / "a.png")
    arguments = ["speed", str(tmp_path / "a.png"), "--json", str(tmp_path / "a.json")]
    command = [sys.executable, "-m", "shearloc.evaluate", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "a.json").read_text())
    assert (found["image"], found["height"], found["width"], found["channels"]) == ("a.png", 48, 64, 3)
    assert found["command"].endswith(" ".join(arguments))
    assert len(found["machine"]["load_average"]) == 3
    names = [row["name"] for row in found["rows"]]
    assert names[0] == "shearloc numba" and all(name in done.stdout for name in names)
    for row in found["rows"]:
        seconds = row["encode_seconds"]
        assert len(seconds) == speed.ROUNDS
        assert row["encode_mb_s"]["maximum"] == pytest.approx(48 * 64 * 3 / 1e6 / min(seconds))
    decode = found["decode_command"]
    assert (decode["height"], decode["width"]) == (48, 64)
    assert len(decode["later_seconds"]) == speed.LATER_RUNS
    # The first run compiles, so its cache really was empty.
    assert decode["first_seconds"] > min(decode["later_seconds"])
