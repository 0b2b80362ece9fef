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
from shearloc.models.vae import FAMILY
from shearloc.models.vae.model import VaeModel

ROOT = Path(__file__).parents[3]
NAMES = ("vae-cifar10", "vae-mnist", "vae-mnist-binary")

DECODE = """
import sys
sys.modules["torch"] = None
from pathlib import Path
import numpy as np
from shearloc.codec.archive import decode_images
for path in sorted(Path(sys.argv[1]).glob("*.shl")):
    np.save(Path(sys.argv[2]) / f"{path.stem}.npy", decode_images(path.read_bytes())[0])
"""


def test_they_are_there() -> None:
    assert set(NAMES) <= set(zoo.names()) and {zoo.family_of(name) for name in NAMES} == {FAMILY}
    for name in NAMES:
        assert zoo.card(name)["kind"] == "vae" and zoo.load_as(VaeModel, name).fingerprint != bytes(8)


Archives = dict[str, NDArray[np.uint8]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("archives")


@pytest.fixture(scope="module")
def archives(folder: Path, small_images: Callable[..., NDArray[np.uint8]]) -> Archives:
    """An archive in `folder` of each model, without steps and with three; the images of each by its name."""
    found = {}
    for name in NAMES:
        model = zoo.load_as(VaeModel, name)
        images = small_images(model, 20)
        for steps in (0, 3):
            (folder / f"{name}-{steps}.shl").write_bytes(encode_images(images, model=name, steps=steps))
            found[f"{name}-{steps}"] = images[..., 0] if model.channels == 1 else images
    return found


@pytest.mark.slow
@pytest.mark.parametrize("threads", ["1", "2", "3"])
def test_any_process_decodes(threads: str, folder: Path, archives: Archives, tmp_path: Path) -> None:
    environment = os.environ | {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
    command = [sys.executable, "-c", DECODE, str(folder), str(tmp_path)]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, timeout=900)
    found = {path.stem: np.load(path) for path in tmp_path.iterdir()}
    assert found.keys() == archives.keys()
    assert [name for name, images in archives.items() if not np.array_equal(found[name], images)] == []


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["numba", "torch"])
@pytest.mark.parametrize("steps", [0, 3])
@pytest.mark.parametrize("name", NAMES)
def test_any_engine_decodes(name: str, steps: int, engine: str, folder: Path, archives: Archives) -> None:
    if engine == "torch":
        pytest.importorskip("torch")
    data = (folder / f"{name}-{steps}.shl").read_bytes()
    assert np.array_equal(decode_images(data, engine=engine)[0], archives[f"{name}-{steps}"])
