"""Units that are active together become neighbours."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from shearloc.models.local.model import LocalModel, load

from ..golden import make

arrange = pytest.importorskip("shearloc.training.arrange")


@given(st.integers(0, 30), st.integers(1, 17), st.floats(0, 1), st.integers(0, 99))
def test_an_order_names_each_unit_once(rows: int, units: int, share: float, seed: int) -> None:
    active = np.random.default_rng(seed).random((rows, units)) < share
    assert sorted(arrange.paired(active).tolist()) == list(range(units))


@given(st.integers(1, 12), st.integers(0, 99))
def test_twins_are_neighbours(pairs: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    active, order = rng.random((200, pairs)) < 0.4, rng.permutation(2 * pairs)
    twins = np.concatenate([active, active], 1)[:, order]
    found = twins[:, arrange.paired(twins)]
    assert np.array_equal(found[:, ::2], found[:, 1::2])


def test_command(tiny_model: Callable[..., LocalModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, after = tmp_path / "before.safetensors", tmp_path / "after.safetensors"
    model = tiny_model(3)
    model.save(before)
    (tmp_path / "pictures").mkdir()
    Image.fromarray(make.smooth(160, 130, 3)).save(tmp_path / "pictures" / "one.png")
    monkeypatch.setattr(sys, "argv", ["arrange", str(before), str(tmp_path / "pictures"), "--out", str(after)])
    arrange.main()
    found = load(after, "after")
    assert found.fingerprint == model.fingerprint
    assert any(not np.array_equal(order, np.arange(order.size)) for order in found.orders)
