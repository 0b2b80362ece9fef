"""A network grown by residual blocks starts close to the one it grew from, and can learn."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from shearloc.training.images import PixelSet  # noqa: E402
from shearloc.training.local_float import LocalNet, grown, linears, nelloc, revive  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")


def _small(blocks: int, shared: bool) -> LocalNet:
    return LocalNet(replace(nelloc(blocks), width=32, components=2, shared_logits=shared))


def test_without_new_blocks_it_computes_the_same() -> None:
    net = _small(1, shared=True)
    again = grown(net, 1, shared_logits=True)
    unshared = grown(net, 1, shared_logits=False)
    inputs, differences = torch.randn(50, net.first.in_features), torch.zeros(50, 3)
    assert torch.equal(again.outputs(inputs, differences), net.outputs(inputs, differences))
    assert torch.equal(unshared.outputs(inputs, differences), net.outputs(inputs, differences))
    assert unshared.out.out_features == again.out.out_features + 2 * 2


def test_new_blocks_come_after_the_old_ones_and_learn() -> None:
    net = _small(1, shared=True)
    larger = grown(net, 3, shared_logits=True)
    old, new = linears(net.hidden), linears(larger.hidden)
    assert len(new) == 3 * 3 + 1
    for ours, theirs in [*zip(old[:3], new[:3], strict=True), (old[3], new[9])]:
        assert torch.equal(ours.weight, theirs.weight)
    rng = np.random.default_rng(1)
    pixels = PixelSet.of([rng.integers(0, 256, (40, 40, 3), np.uint8)])
    larger(*[torch.from_numpy(part) for part in net.draw(pixels, rng, 500)]).mean().backward()
    for layer in new:
        assert layer.weight.grad is not None and layer.weight.grad.abs().max() > 0


def test_dead_units_begin_anew_and_the_outputs_stay() -> None:
    torch.manual_seed(1)
    net = _small(1, shared=True)
    inputs, differences = 20 * torch.randn(500, net.first.in_features), torch.zeros(500, 3)
    with torch.no_grad():
        # Dead, in this order: some that a block adds to others, some inside it, some of the last layer.
        for layer, units in ((net.first, 2), (net.hidden[1], 7), (net.hidden[3], 5)):
            layer.bias[:units] = -1000
    before = net.outputs(inputs, differences)
    first = net.first.bias.clone()
    dead = {layer: net.means[layer] == 0 for layer in (net.hidden[2], net.out)}
    assert revive(net, inputs) >= 7 + 5
    after = net.outputs(inputs, differences)
    assert torch.allclose(after, before, atol=1e-5)
    assert torch.equal(net.first.bias, first)
    assert (net.means[net.hidden[2]] > 0).all() and (net.means[net.out] > 0).all()
    assert revive(net, inputs) == 0
    after.square().mean().backward()
    assert (net.out.weight.grad[:, dead[net.out]] != 0).any(0).all()


def test_a_grown_network_begins_about_as_the_one_before() -> None:
    torch.manual_seed(2)
    net = _small(1, shared=True)
    inputs, differences = 20 * torch.randn(500, net.first.in_features), torch.zeros(500, 3)
    before = net.outputs(inputs, differences)
    after = grown(net, 3, shared_logits=True).outputs(inputs, differences)
    assert 0 < (after - before).abs().mean() < 0.2 * before.std(0).mean()
