"""Rounding by data: on the grid, better than to the nearest on correlated inputs, and exported as it is."""

from collections.abc import Callable
from copy import deepcopy

import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch")

from shearloc.models.export import export, restore  # noqa: E402
from shearloc.models.images import PixelSet  # noqa: E402
from shearloc.models.local_float import LocalNet, Shape, linears, weight_scale  # noqa: E402
from shearloc.models.rounding import round_weights  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")


def network(shape: Shape) -> LocalNet:
    torch.manual_seed(3)
    net = LocalNet(shape)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.2)
    return net


SHAPES = [
    Shape(width=24, layers=2, head_width=4, components=2),
    Shape(channels=1, width=16, layers=1, head_width=4, components=3),
    Shape(horizon=2, reach=2, width=24, layers=0, head_width=4, components=2, blocks=2, neighbours=6, narrow=9),
]


@pytest.fixture(scope="module", params=SHAPES, ids=["rgb", "gray", "convolutions"])
def rounded(
    request: pytest.FixtureRequest, picture: Callable[..., NDArray[np.uint8]]
) -> tuple[LocalNet, LocalNet, dict, torch.Tensor]:
    """The network as it was, rounded, its scales, and the inputs it was rounded on; none of them is to be changed."""
    shape, threads = request.param, torch.get_num_threads()
    torch.set_num_threads(1)  # as `one_thread`, which is each test's own
    net = network(shape)
    pixels = PixelSet.of([picture(64, 64, shape.channels).reshape(64, 64, shape.channels)])
    inputs = torch.from_numpy(net.draw(pixels, np.random.default_rng(1), 4000)[0])
    before = deepcopy(net)
    scales = round_weights(net, inputs)
    torch.set_num_threads(threads)
    return before, net, scales, inputs


def test_weights_are_on_the_grid(rounded: tuple) -> None:
    _, net, scales, _ = rounded
    for layer in (net.first, *linears(net.hidden), net.out):
        units = layer.weight.double() / scales[layer][:, None].double()
        assert torch.allclose(units, units.round(), atol=1e-4)
        assert units.abs().max() <= 127.001


def test_first_layer_s_error_is_smaller_than_to_the_nearest(rounded: tuple) -> None:
    before, net, _, inputs = rounded
    x = inputs.flatten(0, -2) * before.shape.input_step
    scale = weight_scale(before.first.weight)[:, None]
    with torch.no_grad():
        expected = before.first(x)
        nearest = torch.nn.functional.linear(x, torch.round(before.first.weight / scale) * scale, before.first.bias)
        error, nearest_error = (net.first(x) - expected).square().mean(), (nearest - expected).square().mean()
        shift = (net.first(x) - expected).mean(0).abs().max()
    assert error < 0.6 * nearest_error
    assert shift < 1e-3


def test_export_keeps_every_weight(rounded: tuple) -> None:
    _, net, scales, _ = rounded
    back = restore(export(net, "rounded", scales))
    layers = zip((net.first, *linears(net.hidden), net.out), (back.first, *linears(back.hidden), back.out), strict=True)
    for ours, theirs in layers:
        assert torch.allclose(ours.weight, theirs.weight, rtol=1e-6, atol=1e-7)


def test_later_layers_may_adapt(rounded: tuple) -> None:
    before, _, _, inputs = rounded
    net, turns = deepcopy(before), []

    def adapt(done: int) -> None:
        assert done == len(turns) + 1
        turns.append([layer.weight.requires_grad for layer in (net.first, *linears(net.hidden), net.out)])

    round_weights(net, inputs, adapt)
    count = len(net.hidden) + 2
    assert turns == [[False] * (k + 1) + [True] * (count - k - 1) for k in range(count - 1)]
    assert all(parameter.requires_grad for parameter in net.parameters())


def test_a_layer_whose_inputs_are_all_dead(rounded: tuple) -> None:
    before, _, _, inputs = rounded
    net = deepcopy(before)
    with torch.no_grad():
        net.first.weight.zero_()
        net.first.bias.fill_(-1.0)
    scales = round_weights(net, inputs)
    assert all(bool(layer.weight.isfinite().all()) for layer in scales)
