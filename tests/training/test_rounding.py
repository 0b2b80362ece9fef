"""Rounding by data: on the grid, better than to the nearest on correlated inputs, and exported as it is."""

from collections.abc import Callable
from copy import deepcopy

import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch")

from shearloc.nets.quantize import ACTIVATION_STEP  # noqa: E402
from shearloc.training.export import export, restore  # noqa: E402
from shearloc.training.images import PixelSet  # noqa: E402
from shearloc.training.local_float import LocalNet, Shape, linears, weight_scale  # noqa: E402
from shearloc.training.rounding import round_first, round_weights  # noqa: E402

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


def test_layers_that_are_left_may_adapt_to_rounded_activations(rounded: tuple) -> None:
    """The first layer is rounded before the others, which come from the last one on; biases may adapt throughout."""
    before, _, _, inputs = rounded
    net, turns = deepcopy(before), []
    layers = [net.first, net.out, *reversed(linears(net.hidden))]

    def adapt(done: int) -> None:
        assert done == len(turns) + 1 and net.rounded_activations
        assert all(layer.bias.requires_grad for layer in layers)
        turns.append([layer.weight.requires_grad for layer in layers])

    round_weights(net, inputs, adapt)
    assert turns == [[False] * k + [True] * (len(layers) - k) for k in range(1, len(layers))]
    assert all(parameter.requires_grad for parameter in net.parameters()) and net.rounded_activations


def test_a_first_layer_that_is_rounded_stays(rounded: tuple) -> None:
    """Whatever comes after it; and its scale is the one that it was rounded with."""
    net, inputs = deepcopy(rounded[0]), rounded[3]
    round_first(net, inputs)
    first, scale = net.first.weight.clone(), net.first_scale.clone()
    assert not net.first.weight.requires_grad and net.first.bias.requires_grad
    scales = round_weights(net, inputs + 1)
    assert torch.equal(net.first.weight, first) and torch.equal(scales[net.first], scale)


def test_activations_alone_may_be_rounded(rounded: tuple) -> None:
    net, inputs = deepcopy(rounded[0]), rounded[3]
    for net.rounded_activations in (False, True):
        seen: list[torch.Tensor] = []
        net.watch = lambda layer, x: seen.append(x)  # noqa: B023
        net.outputs(inputs, torch.zeros(inputs[..., 0].numel(), net.shape.channels))
        on_grid = [bool((x / ACTIVATION_STEP % 1 == 0).all()) for x in seen[1:]]
        assert on_grid == [net.rounded_activations] * (len(net.hidden) + 1)


def test_a_layer_whose_inputs_are_all_dead(rounded: tuple) -> None:
    before, _, _, inputs = rounded
    net = deepcopy(before)
    with torch.no_grad():
        net.first.weight.zero_()
        net.first.bias.fill_(-1.0)
    scales = round_weights(net, inputs)
    assert all(bool(layer.weight.isfinite().all()) for layer in scales)
