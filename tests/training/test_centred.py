"""Centred steps are those of a network that subtracts the means itself."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from shearloc.training.fitting import centred  # noqa: E402
from shearloc.training.images import PixelSet  # noqa: E402
from shearloc.training.local_float import LocalNet, linears, nelloc  # noqa: E402
from shearloc.training.pixelcnn import CnnShape, PixelCNN  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_step_is_that_of_the_layer_with_the_mean_taken_away() -> None:
    torch.manual_seed(1)
    layer, twin = nn.Linear(5, 3), nn.Linear(5, 3)
    inputs, targets = torch.randn(40, 5) + 2, torch.randn(40, 3)
    mean = inputs.mean(0)
    with torch.no_grad():
        twin.weight.copy_(layer.weight)
        twin.bias.copy_(layer.bias + layer.weight @ mean)
    for net, x in ((layer, inputs), (twin, inputs - mean)):
        stepper = torch.optim.AdamW(net.parameters(), lr=0.1, weight_decay=0)
        (net(x) - targets).square().mean().backward()
        with centred({layer: mean} if net is layer else {}):
            stepper.step()
    assert torch.allclose(layer.weight, twin.weight, atol=1e-6)
    assert torch.allclose(layer(inputs), twin(inputs - mean), atol=1e-5)


def test_a_frozen_layer_stays() -> None:
    layer = nn.Linear(5, 3).requires_grad_(False)
    before = layer.bias.clone()
    with centred({layer: torch.ones(5)}):
        pass
    assert torch.equal(layer.bias, before)


@pytest.mark.parametrize("whole", [False, True], ids=["local", "pixelcnn"])
def test_every_layer_with_a_bias_tells_its_mean_input(whole: bool) -> None:
    rng = np.random.default_rng(1)
    pixels = PixelSet.of([rng.integers(0, 256, (16, 16, 3), np.uint8)] * 2)
    net = PixelCNN(CnnShape(3, 2, 16, 1, 2)) if whole else LocalNet(replace(nelloc(1), width=16, components=2))
    with torch.no_grad():
        net(*map(torch.from_numpy, net.draw(pixels, rng, 256)))
    assert not net.means
    net(*map(torch.from_numpy, net.draw(pixels, rng, 256)))
    layers = [layer for layer in net.modules() if isinstance(layer, nn.Linear) and layer.bias is not None]
    assert set(net.means) == set(layers)
    for layer, mean in net.means.items():
        assert mean.shape == (layer.in_features,)


def test_the_mean_is_of_what_the_layer_sees() -> None:
    net = LocalNet(replace(nelloc(0), width=16, components=2))
    inputs = torch.randn(30, net.first.in_features)
    net.outputs(inputs, torch.zeros(30, 3))
    assert torch.allclose(net.means[net.first], inputs.mean(0) * net.shape.input_step)
    hidden = net.first(inputs * net.shape.input_step).clamp(0, 255 / 64)
    assert torch.allclose(net.means[linears(net.hidden)[0]], hidden.mean(0), atol=1e-6)
