"""A training run's checkpoint: what is saved comes back, and a save that fails leaves the one before."""

from pathlib import Path

import pytest

pytest.importorskip("torch")


def run(seed: int):  # type: ignore[no-untyped-def]
    """A network after a step of its optimizer; its type needs torch."""
    import torch

    torch.manual_seed(seed)
    net = torch.nn.Linear(3, 2)
    stepper = torch.optim.Adam(net.parameters(), lr=0.1)
    net(torch.ones(1, 3)).sum().backward()
    stepper.step()
    return net, stepper


def test_a_run_comes_back(tmp_path: Path) -> None:
    import torch

    from shearloc.training import checkpoints

    net, stepper = run(1)
    other, other_stepper = run(2)
    path = tmp_path / "x.pt"
    assert checkpoints.load(path, {"net": other}, [other_stepper]) == {}
    assert not torch.equal(net.weight, other.weight)
    checkpoints.save(path, {"net": net}, [stepper], {"updates": 1, "seconds": 0.5})
    assert checkpoints.load(path, {"net": other}, [other_stepper]) == {"updates": 1, "seconds": 0.5}
    for a, b in ((net, stepper), (other, other_stepper)):
        a(torch.ones(1, 3)).square().sum().backward()
        b.step()
    assert torch.equal(net.weight, other.weight) and torch.equal(net.bias, other.bias)


def test_a_save_that_fails_leaves_the_one_before(tmp_path: Path) -> None:
    from shearloc.training import checkpoints

    net, stepper = run(1)
    path = tmp_path / "x.pt"
    checkpoints.save(path, {"net": net}, [stepper], {"updates": 1})
    with pytest.raises(Exception, match="pickle"):
        checkpoints.save(path, {"net": net}, [stepper], {"updates": lambda: 2})
    assert checkpoints.load(path, {"net": net}, [stepper]) == {"updates": 1}
    assert [file.name for file in tmp_path.iterdir() if file.suffix == ".pt"] == ["x.pt"]
