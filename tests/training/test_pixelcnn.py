"""The full PixelCNN: what it may see, that it is a distribution, and that it learns.

How well it does when trained is measured in bench/.
"""

from itertools import count
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from shearloc.errors import ShearlocError
from shearloc.training.images import PixelSet

torch = pytest.importorskip("torch")

from shearloc.training import fitting  # noqa: E402
from shearloc.training.convolution import neighbourhood  # noqa: E402
from shearloc.training.local_float import LocalNet, Shape  # noqa: E402
from shearloc.training.pixelcnn import CnnShape, PixelCNN, from_local  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")


def tiny_cnn(channels: int, horizon: int = 2, blocks: int = 2) -> PixelCNN:
    """An untrained network whose outputs differ from pixel to pixel."""
    torch.manual_seed(channels)
    net = PixelCNN(CnnShape(channels, horizon, width=12, blocks=blocks, components=3))
    with torch.no_grad():
        net.out.weight.normal_(0, 0.3)
    return net


def noise(n: int, height: int, width: int, channels: int) -> "torch.Tensor":
    """Images of noise, float32 [n, H, W, C]."""
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.integers(0, 256, (n, height, width, channels)).astype(np.float32))


@pytest.mark.parametrize("channels", [1, 3])
def test_no_pixel_sees_a_later_one(channels: int) -> None:
    """Changing a subpixel changes no earlier likelihood, and does change its own and a later one."""
    net, images = tiny_cnn(channels), noise(1, 5, 6, channels)
    with torch.no_grad():
        before = net(images).flatten()
        for at in range(images.numel()):
            changed = images.clone()
            changed.view(-1)[at] = 255 - changed.view(-1)[at]
            same = (net(changed).flatten() == before).tolist()
            assert all(same[:at]) and not same[at]
            assert at > images.numel() - 2 * channels or not all(same[at + 1 :])


def test_the_receptive_field_grows_with_the_blocks() -> None:
    """The last pixel sees the first one only through enough blocks: each adds one row and column."""
    for blocks in (1, 2, 4, 5, 6):
        images = noise(1, 8, 8, 1).requires_grad_()
        tiny_cnn(1, blocks=blocks)(images)[0, 7, 7, 0].backward()
        assert images.grad is not None
        assert bool(images.grad[0, 0, 0, 0] != 0) == (2 + blocks >= 7)


@pytest.mark.parametrize("channels", [1, 3])
def test_probabilities_of_every_subpixel_sum_to_one(channels: int) -> None:
    net, image = tiny_cnn(channels), noise(1, 4, 4, channels)
    for c in range(channels):
        images = image.repeat(256, 1, 1, 1)
        images[:, 2, 1, c] = torch.arange(256.0)
        with torch.no_grad():
            bits = net(images)[:, 2, 1, c]
        assert float(torch.exp2(-bits).sum()) == pytest.approx(1, abs=1e-4)


def test_a_masked_convolution_is_a_product_over_the_neighbourhood() -> None:
    """Against torch's convolution with mask B."""
    x, convolution = noise(2, 5, 6, 4), torch.nn.Conv2d(4, 3, 3, padding=1)
    offsets = [(0, -1), (-1, -1), (-1, 0), (-1, 1), (0, 0)]
    with torch.no_grad():
        convolution.weight[:, :, 2] = 0
        convolution.weight[:, :, 1, 2] = 0
        expected = convolution(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        weight = torch.cat([convolution.weight[:, :, 1 + dy, 1 + dx] for dy, dx in offsets], 1)
        found = torch.nn.functional.linear(neighbourhood(x, offsets), weight, convolution.bias)
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("channels", [1, 3])
def test_it_can_start_as_a_local_model(channels: int) -> None:
    """As many blocks: the same bits, also where activations reach the ceiling. More: almost, until trained."""
    torch.manual_seed(channels)
    shape = Shape(channels, 2, 2, 12, 1, 0, 3, "none", 2, shared_logits=channels > 1)
    local, images = LocalNet(shape), noise(2, 6, 5, channels).byte().numpy()
    with torch.no_grad():
        local.out.weight.normal_(0, 0.3)
        local.first.weight.mul_(20)
        (batch,) = local.batches(PixelSet.of(list(images)), 60)
        expected = local(*map(torch.from_numpy, batch)).view(images.shape)
        whole = torch.from_numpy(images).float()
        assert torch.allclose(from_local(local, 2)(whole), expected, atol=1e-3)
        grown = from_local(local, 4)
        assert torch.allclose(grown(whole), expected, atol=0.05) and len(grown.blocks) == 4
    grown(whole).sum().backward()
    assert all(p.grad is not None and bool((p.grad != 0).any()) for p in grown.parameters())


def test_outputs_are_as_many_as_the_thesis_says() -> None:
    assert PixelCNN(CnnShape(3, blocks=1)).out.weight.shape == (100, 256)
    assert PixelCNN(CnnShape(1, blocks=1)).out.weight.shape == (30, 256)


def test_it_learns(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Stripes of two levels; and a stopped run's checkpoint is read again."""
    monkeypatch.setattr(fitting, "time", SimpleNamespace(perf_counter=count().__next__))
    stripes = np.indices((8, 8, 1)).sum(0)[None] + np.arange(20)[:, None, None, None]
    pixels = PixelSet.of(list((90 + 60 * (stripes % 2)).astype(np.uint8)))
    net = tiny_cnn(1)
    before = fitting.mean_bits(net, pixels, 1280)
    schedule = fitting.Schedule(minutes=1, finish=0.0, batch=256, learning_rate=1e-2)
    assert fitting.fit(net, pixels, pixels, schedule, tmp_path).updates == 60
    after = fitting.mean_bits(net, pixels, 1280)
    assert after < before - 1
    again = tiny_cnn(1)
    fitting.fit(again, pixels, pixels, schedule, tmp_path)
    assert fitting.mean_bits(again, pixels, 1280) == after


def test_images_of_several_sizes_are_refused() -> None:
    pixels = PixelSet.of([np.zeros((4, 4, 1), np.uint8), np.zeros((4, 5, 1), np.uint8)])
    with pytest.raises(ShearlocError, match="size"):
        fitting.mean_bits(tiny_cnn(1), pixels, 32)
