"""Masked convolutions against torch's own gradients of padded copies."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from shearloc.models.wavefront.context import nearest  # noqa: E402
from shearloc.training.convolution import gathered, masked_convolution, neighbourhood  # noqa: E402

DTYPES = [torch.float32, torch.bfloat16]


def offsets_of(count: int) -> list[tuple[int, int]]:
    return [*((dy, dx) for dy, dx in nearest(count).tolist()), (0, 0)]


@settings(max_examples=30)
@given(st.integers(1, 3), st.integers(1, 6), st.integers(1, 6), st.integers(1, 5), st.integers(1, 24))
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_gathered_is_the_neighbourhood(
    dtype: torch.dtype, images: int, height: int, width: int, channels: int, count: int
) -> None:
    x = torch.rand(images, height, width, channels).to(dtype)
    assert torch.equal(gathered(x, offsets_of(count)), neighbourhood(x, offsets_of(count)))


def test_gathered_from_below() -> None:
    x = torch.arange(1.0, 7).view(1, 2, 3, 1)
    assert gathered(x, [(1, -1), (0, 1)])[0].tolist() == [[[0, 2], [4, 3], [5, 0]], [[0, 5], [0, 6], [0, 0]]]


def test_a_view_is_gathered_as_it_looks() -> None:
    x = torch.rand(2, 4, 5, 6).transpose(1, 2)
    assert torch.equal(gathered(x, offsets_of(4)), neighbourhood(x, offsets_of(4)))


@pytest.mark.parametrize(("dtype", "close"), [(torch.float32, 1e-5), (torch.bfloat16, 0.02)], ids=str)
def test_values_and_gradients(dtype: torch.dtype, close: float) -> None:
    """As a linear layer of the neighbourhood has them."""
    torch.manual_seed(1)
    offsets = offsets_of(8)
    x, weight, bias = torch.rand(2, 5, 7, 4), torch.randn(3, 9 * 4), torch.randn(3)
    loss = torch.randn(2, 5, 7, 3)
    found = []
    for ours in (True, False):
        leaves = [tensor.clone().requires_grad_() for tensor in (x, weight, bias)]
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
            if ours:
                around = gathered(leaves[0], offsets)
                out = masked_convolution(leaves[0], around, leaves[1], leaves[2], offsets)
            else:
                out = torch.nn.functional.linear(neighbourhood(leaves[0], offsets), *leaves[1:])
        assert out.dtype == dtype
        found.append([out, *torch.autograd.grad(out, leaves, loss.to(dtype))])
    for mine, plain in zip(*found, strict=True):
        assert mine.shape == plain.shape and mine.dtype == plain.dtype
        scale = float(plain.detach().float().abs().max())
        assert np.abs((mine - plain).detach().float().numpy()).max() < close * scale


def test_frozen_weights_get_no_gradient() -> None:
    x, weight, bias = torch.rand(1, 4, 4, 2, requires_grad=True), torch.rand(3, 10), torch.rand(3, requires_grad=True)
    offsets = offsets_of(4)
    masked_convolution(x, gathered(x, offsets), weight, bias, offsets).sum().backward()
    assert weight.grad is None and x.grad is not None and bias.grad is not None
