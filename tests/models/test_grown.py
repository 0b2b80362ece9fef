"""A network grown by residual blocks starts close to the one it grew from, and can learn."""

from dataclasses import replace

import numpy as np
import torch

from shearloc.models.images import PixelSet
from shearloc.models.local_float import LocalNet, grown, linears, with_horizon
from shearloc.models.train import nelloc


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


def test_new_blocks_add_little_and_learn() -> None:
    net = _small(0, shared=True)
    larger = grown(net, 2, shared_logits=True)
    rng = np.random.default_rng(1)
    pixels = PixelSet.of([rng.integers(0, 256, (40, 40, 3), np.uint8)])
    batch = [torch.from_numpy(part) for part in net.draw(pixels, rng, 500)]
    before, after = net(*batch).mean(), larger(*batch).mean()
    assert abs(float(before.detach() - after.detach())) < 0.05
    after.backward()
    for layer in linears(larger.hidden):
        assert layer.weight.grad is not None and layer.weight.grad.abs().max() > 0


def test_a_wider_horizon_changes_nothing_until_trained() -> None:
    """Likelihoods are the same; narrowed again the weights are; and the new pixels' weights have a gradient."""
    rng = np.random.default_rng(1)
    pixels = PixelSet.of([rng.integers(0, 256, (9, 12, 3), np.uint8)])
    net = LocalNet(replace(nelloc(1, horizon=2), width=16, components=2))
    wider = with_horizon(net, 4)
    ((before, after),) = zip(net.batches(pixels, 108), wider.batches(pixels, 108), strict=True)
    bits = wider(*map(torch.from_numpy, after))
    assert torch.allclose(bits, net(*map(torch.from_numpy, before)), atol=1e-4)
    bits.sum().backward()
    assert wider.first.weight.grad is not None and (wider.first.weight.grad[:, :12] != 0).any()
    back = with_horizon(wider, 2)
    assert all(torch.equal(a, b) for a, b in zip(back.parameters(), net.parameters(), strict=True))


def test_a_narrower_horizon_sees_less() -> None:
    net = LocalNet(replace(nelloc(0, channels=1, horizon=3), width=16))
    images = [np.full((8, 8, 1), 50, np.uint8), np.full((8, 8, 1), 50, np.uint8)]
    images[1][3, 5] = 200  # three rows above the pixel that is looked at
    bits = {}
    for horizon in (2, 3):
        other = with_horizon(net, horizon)
        torch.nn.init.normal_(other.out.weight)
        ((inputs, *rest),) = other.batches(PixelSet.of(images), 128)
        found = other(*map(torch.from_numpy, (inputs, *rest))).view(2, 8, 8)
        bits[horizon] = found[:, 6, 5].tolist()
    assert bits[2][0] == bits[2][1] and bits[3][0] != bits[3][1]
