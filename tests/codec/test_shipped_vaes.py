"""The shipped autoencoders in real processes: other thread counts, other engines, torch not there, the same pixels."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from shearloc.codec.archive import decode_images, encode_images
from shearloc.models import zoo

ROOT = Path(__file__).parents[2]
NAMES = ("vae-cifar10", "vae-mnist", "vae-mnist-binary")

DECODE = """
import sys
sys.modules["torch"] = None
import numpy as np
from shearloc.codec.archive import decode_images
np.save(sys.argv[2], decode_images(open(sys.argv[1], "rb").read())[0])
"""


def test_they_are_there() -> None:
    assert set(NAMES) <= set(zoo.names("vae")) and not set(NAMES) & set(zoo.names())
    for name in NAMES:
        assert zoo.card(name)["kind"] == "vae" and zoo.load_vae(name).fingerprint != bytes(8)


@pytest.mark.slow
@pytest.mark.parametrize("steps", [0, 3])
@pytest.mark.parametrize("name", NAMES)
def test_any_process_decodes(
    name: str, steps: int, tmp_path: Path, small_images: Callable[..., NDArray[np.uint8]]
) -> None:
    model = zoo.load_vae(name)
    images = small_images(model, 20)
    data = encode_images(images, model=name, steps=steps)
    (tmp_path / "a.shl").write_bytes(data)
    expected = images[..., 0] if model.channels == 1 else images
    for threads in ("1", "2", "3"):
        environment = os.environ | {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
        command = [sys.executable, "-c", DECODE, str(tmp_path / "a.shl"), str(tmp_path / "out.npy")]
        subprocess.run(command, cwd=ROOT, env=environment, check=True, timeout=300)
        assert (np.load(tmp_path / "out.npy") == expected).all()
    assert (decode_images(data, engine="numba")[0] == expected).all()
    pytest.importorskip("torch")
    assert (decode_images(data, engine="torch")[0] == expected).all()
