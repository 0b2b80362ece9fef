"""Muon takes torch's steps in bfloat16, and as good ones in float32."""

from copy import deepcopy

import pytest

torch = pytest.importorskip("torch")

from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from shearloc.training import number_types  # noqa: E402
from shearloc.training.muon import Muon, orthogonal  # noqa: E402

SIDES = st.integers(1, 40)


def weights(rows: int, columns: int) -> list[torch.Tensor]:
    torch.manual_seed(0)
    return [torch.nn.Parameter(torch.randn(rows, columns)), torch.nn.Parameter(torch.randn(columns, rows))]


@pytest.mark.parametrize("resumed", [False, True])
def test_steps_are_torchs(monkeypatch: pytest.MonkeyPatch, resumed: bool) -> None:
    monkeypatch.setattr(number_types, "products", lambda: torch.bfloat16)
    ours, theirs = weights(24, 10), weights(24, 10)
    mine = Muon(ours, 0.01)
    other = torch.optim.Muon(theirs, lr=0.01, weight_decay=0.0, adjust_lr_fn="match_rms_adamw")
    for step in range(4):
        for one, two in zip(ours, theirs, strict=True):
            one.grad = torch.randn(one.shape, generator=torch.Generator().manual_seed(step))
            two.grad = one.grad.clone()
        mine.step()
        other.step()
        if resumed:  # a checkpoint of a run with torch's goes on with ours
            mine.load_state_dict(deepcopy(other.state_dict()))
        for one, two in zip(ours, theirs, strict=True):
            assert torch.equal(one, two)


def test_what_has_no_gradient_stays() -> None:
    first, second = weights(3, 4)
    before = second.detach().clone()
    first.grad = torch.ones(3, 4)
    Muon([first, second], 0.1).step()
    assert torch.equal(second, before)


@given(SIDES, SIDES, st.integers(0, 99))
def test_float32_and_bfloat16_agree(rows: int, columns: int, seed: int) -> None:
    matrix = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))
    exact, coarse = (orthogonal(matrix, kind) for kind in (torch.float32, torch.bfloat16))
    assert (exact.dtype, coarse.dtype) == (torch.float32, torch.bfloat16)
    assert exact.shape == coarse.shape == matrix.shape
    u, s, v = torch.linalg.svd(matrix, full_matrices=False)
    # Along the singular vectors, and of no others.
    turned = u.T @ exact @ v.T
    assert torch.allclose(turned, torch.diag(turned.diagonal()), atol=1e-3)
    assert turned.diagonal()[s > 0.05 * s[0]].min() > 0.5
    assert turned.diagonal().max() < 1.3


def test_nothing_is_divided_by_zero() -> None:
    assert torch.equal(orthogonal(torch.zeros(3, 5), torch.float32), torch.zeros(3, 5))
