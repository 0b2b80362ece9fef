"""Float networks become experts and come back, up to rounding; what they predict stays the same."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from shearloc.models.family import How  # noqa: E402
from shearloc.models.learning.images import Learning  # noqa: E402
from shearloc.models.learning.model import LearningModel  # noqa: E402
from shearloc.training import export_learning  # noqa: E402
from shearloc.training.fitting import mean_bits  # noqa: E402
from shearloc.training.images import PixelSet  # noqa: E402
from shearloc.training.local_float import LocalNet, Shape, linears  # noqa: E402

from ..golden import make  # noqa: E402


def net_of(channels: int) -> LocalNet:
    torch.manual_seed(channels)
    return LocalNet(Shape(channels, 2, 1, 32, 1, 4 if channels > 1 else 0, 3, level=True))


@pytest.mark.parametrize("channels", [1, 3])
def test_code_length_is_the_float_network_s(channels: int) -> None:
    net = net_of(channels)
    model = export_learning.export("tiny", [net], [(2.0**-40, 2.0**-40)])
    image = make.smooth(40, 48, channels).reshape(40, 48, channels)
    learning = Learning("tiny", model.channels, model.offsets, model.experts)
    bits = learning.lengths(image[None], How()).images[0] / 2**16 / image.size
    assert np.isclose(bits, mean_bits(net, PixelSet.of([image]), image.size), rtol=0.01)


def test_restored_networks_are_those_that_were_exported() -> None:
    net, other = net_of(3), net_of(3)
    model = export_learning.export("two", [net, other], [(1e-3, 1e-3), (1e-3, 1e-4)])
    for number, given in enumerate((net, other)):
        back = export_learning.restore(model, number)
        for name, tensor in given.state_dict().items():
            if tensor.is_floating_point() and "scale" not in name:
                assert torch.allclose(back.state_dict()[name], tensor, atol=2e-3), name
    assert len(linears(back.hidden)) == 1


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="2 rates"):
        export_learning.expert(net_of(3), (1e-3,))
    with pytest.raises(ValueError, match="same channels"):
        export_learning.export("two", [net_of(1), net_of(3)], [(1e-3, 1e-3)] * 2)
    assert isinstance(export_learning.export("one", [net_of(1)], [(1e-3, 1e-3)]), LearningModel)


def test_training_starts_from_a_model_that_learns(monkeypatch: pytest.MonkeyPatch) -> None:
    from shearloc.training.train import start_from

    monkeypatch.setenv("SHEARLOC_MODELS", str(make.MODELS))
    net = start_from("golden-learning")
    assert (net.shape.width, net.shape.layers, net.shape.level) == (32, 0, True)
