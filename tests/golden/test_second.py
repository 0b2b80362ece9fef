"""The decoder that was written from docs/FORMAT.md reads the golden files, too."""

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from shearloc.codec import api, archive

from . import example, make, second, second_learning, second_squares

SMALL = 20_000
"""Bytes: it is slow."""

FILES = [path for path in sorted(make.HERE.glob("*.shl")) if path.stat().st_size < SMALL]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_text_is_enough(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHEARLOC_MODELS", str(make.MODELS))
    data = path.read_bytes()
    if archive.is_archive(data):
        found, names = second.archive(data, make.MODELS)
        expected, given = archive.decode_images(data, engine="numpy")
        assert names == given
    else:
        found, expected = second.picture(data, make.MODELS), api.decode_picture(data, engine="numpy").samples
    assert np.array_equal(found.reshape(expected.shape), expected)


@pytest.mark.parametrize("module", [second, second_learning, second_squares], ids=lambda module: module.__name__)
def test_it_stands_alone(module: ModuleType) -> None:
    imports = [
        line for line in Path(str(module.__file__)).read_text().splitlines() if line.startswith(("import", "from"))
    ]
    assert imports and not any("shearloc" in line or "from . import" in line for line in imports)


def test_the_worked_example() -> None:
    text = (make.HERE.parents[1] / "docs" / "FORMAT.md").read_text(encoding="utf-8")
    assert "```\n" + "\n".join(example.lines()) + "\n```" in text
    samples = second.picture(example.FILE.read_bytes(), make.MODELS)
    assert ", ".join(f"({', '.join(map(str, pixel))})" for pixel in samples.reshape(-1, 3).tolist()) in text
