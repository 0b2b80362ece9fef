"""Objectives: the limits in which they are one another, and bounds in the right order."""

import json
import math
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch")

from shearloc.models.vae.model import VaeModel  # noqa: E402
from shearloc.models.vae.shape import VaeShape  # noqa: E402
from shearloc.training import objectives, small_images, train_vae  # noqa: E402
from shearloc.training.likelihoods import logistic_mixture_bits_plain  # noqa: E402
from shearloc.training.vae_float import Fold, Vae, divergence_bits, load_float  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")

KINDS = {
    "bernoulli": VaeShape(6, 1, "bernoulli", latents=3, width=10),
    "logistic": VaeShape(6, 1, "logistic", latents=3, width=10),
    "colour": VaeShape(8, 3, "logistic", latents=8, width=6, blocks=1),
}


@pytest.fixture(params=list(KINDS))
def net_and_pixels(request: pytest.FixtureRequest) -> tuple[Vae, torch.Tensor]:
    torch.manual_seed(0)
    shape = KINDS[request.param]
    levels = 2 if shape.likelihood == "bernoulli" else 256
    return Vae(shape), torch.randint(0, levels, (40, shape.side, shape.side, shape.channels), dtype=torch.uint8)


def seeded(objective: Callable[..., torch.Tensor], *arguments: object, **named: object) -> torch.Tensor:
    torch.manual_seed(1)
    return objective(*arguments, **named).detach()


def test_limits(net_and_pixels: tuple[Vae, torch.Tensor]) -> None:
    net, pixels = net_and_pixels
    elbo = seeded(objectives.negative_elbo, net, pixels)
    assert elbo.shape == (40,)
    assert torch.equal(seeded(objectives.reverse_half_asleep, net, pixels, 0.0), elbo)
    asleep = seeded(objectives.reverse_sleep, net, pixels)
    assert torch.equal(seeded(objectives.reverse_half_asleep, net, pixels, 1.0), asleep)
    assert seeded(objectives.denoising, net, pixels, 0.0).mean() == pytest.approx(float(elbo.mean()), rel=0.05)
    one = seeded(objectives.importance_weighted, net, pixels, 1).mean()
    many = seeded(objectives.importance_weighted, net, pixels, 50).mean()
    assert one == pytest.approx(float(elbo.mean()), rel=0.05) and many <= one + 0.01


@pytest.mark.parametrize("aggregate", [False, True])
def test_only_the_encoder_learns_from_dreams(net_and_pixels: tuple[Vae, torch.Tensor], aggregate: bool) -> None:
    """The samples themselves carry no gradient; sleep reaches the encoder alone."""
    net, pixels = net_and_pixels
    objectives.sleep(net, pixels, aggregate).mean().backward()
    assert all(p.grad is None for p in net.decoder.parameters())
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in net.encoder.parameters())
    z, dreamt = objectives.dream(net, pixels, aggregate)
    assert dreamt.shape == pixels.shape and dreamt.dtype == torch.uint8 and not z.requires_grad


def test_samples_follow_the_likelihood() -> None:
    """The mean code length of the model's own samples is close to its entropy's estimate on fresh ones."""
    for shape in KINDS.values():
        torch.manual_seed(3)
        net = Vae(shape)
        outputs = (0.3 * torch.randn(1, shape.side, shape.side, shape.outputs)).expand(400, -1, -1, -1)
        bits = [net.pixel_bits(outputs, net.sample_pixels(outputs)).mean() for _ in range(2)]
        others = net.pixel_bits(outputs, net.sample_pixels(-outputs)).mean()
        assert bits[0] == pytest.approx(float(bits[1]), rel=0.02) and others > 1.02 * bits[0]


@pytest.mark.parametrize("kind", ["logistic", "colour"])
def test_pixel_bits_are_the_plain_likelihoods(kind: str) -> None:
    shape = KINDS[kind]
    torch.manual_seed(4)
    net = Vae(shape)
    outputs = torch.randn(9, shape.side, shape.side, shape.outputs)
    pixels = torch.randint(0, 256, (9, shape.side, shape.side, shape.channels), dtype=torch.uint8)
    means, log_scales = (t.unsqueeze(-1) for t in net.logistics(outputs, pixels))
    plain = logistic_mixture_bits_plain(torch.zeros_like(means), means, log_scales, pixels.float())
    assert torch.allclose(net.pixel_bits(outputs, pixels), plain.flatten(1).sum(1), rtol=1e-4)


def with_a_silent_latent() -> Vae:
    """A colour network of two latents a position; the first one's posterior is the prior, and nobody listens to it."""
    torch.manual_seed(5)
    net = Vae(KINDS["colour"])
    with torch.no_grad():
        for row in (0, 2):  # its mean and log standard deviation
            net.encoder[-1].weight[row], net.encoder[-1].bias[row] = 0.0, 0.0
        net.decoder[0].weight[:, 0] = 0.0
        net.encoder[-1].bias[1] = 1.0
    return net


def test_a_silent_latent_is_revived_and_no_other() -> None:
    net = with_a_silent_latent()
    pixels = np.random.default_rng(0).integers(0, 256, (30, 8, 8, 3), dtype=np.uint8)
    before = train_vae.latent_bits(net, pixels)
    assert before[0] == 0 and before[1] > 0.02
    assert train_vae.revive(net, pixels) == 1
    after = train_vae.latent_bits(net, pixels)
    assert after[0] > 0.02 and after[1] == before[1]
    assert train_vae.revive(net, pixels) == 0


def test_fewer_latents_are_the_ones_that_say_most() -> None:
    net = with_a_silent_latent()
    pixels = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)
    small = train_vae.with_fewer_latents(net, 4, pixels)
    mean, log_sigma = (part.view(5, 4, 2) for part in net.posterior(torch.from_numpy(pixels)))
    found = small.posterior(torch.from_numpy(pixels))
    assert torch.allclose(found[0], mean[:, :, 1]) and torch.allclose(found[1], log_sigma[:, :, 1])
    z = torch.randn(5, 4, 2)
    assert torch.allclose(small.parameters_of(z[:, :, 1].flatten(1)), net.parameters_of(z.flatten(1)), atol=1e-6)


def test_only_the_given_parameters_are_trained_and_the_divergence_warms_up(tmp_path: Path) -> None:
    torch.manual_seed(6)
    net = Vae(KINDS["colour"])
    before = {key: value.clone() for key, value in net.state_dict().items()}
    pixels = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)
    weights = []

    def objective(net: Vae, batch: torch.Tensor, weight: float = 1.0) -> torch.Tensor:
        weights.append(weight)
        return objectives.negative_elbo(net, batch, weight)

    schedule = train_vae.Schedule(epochs=4, learning_rate=1e-3, batch=20, warm_up=2)
    train_vae.fit(net, list(net.encoder.parameters()), objective, pixels, schedule, tmp_path, "x", snapshots=False)
    assert weights == pytest.approx([0.1, 0.325, 0.55, 0.775, 1, 1, 1, 1])
    changed = {key.split(".")[0] for key, value in net.state_dict().items() if not torch.equal(value, before[key])}
    assert changed == {"encoder"} and all(p.requires_grad for p in net.parameters())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x-checkpoint.pt", "x.pt"]


def test_a_base_goes_on(tiny_vae: Callable[[str], VaeModel], tmp_path: Path) -> None:
    from shearloc.training.export_vae import export, restore

    model = export(restore(tiny_vae("colour")), "tiny")
    again = export(restore(model), "tiny")
    assert all((array == again.arrays[key]).all() for key, array in model.arrays.items())
    model.save(tmp_path / "base.safetensors")
    pixels = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)
    net = train_vae._start(str(tmp_path / "base.safetensors"), model.shape, pixels)
    assert (export(net, "tiny").arrays["encoder0.weight"] == model.arrays["encoder0.weight"]).all()
    with pytest.raises(ValueError, match="the base is of"):
        train_vae._start(str(tmp_path / "base.safetensors"), replace(model.shape, width=99), pixels)


def test_divergence() -> None:
    mean, log_sigma = torch.tensor([[0.0, 1.0]]), torch.tensor([[0.0, math.log(0.5)]])
    expected = (0.5 * (1 + 0.25 - 1) + math.log(2)) / math.log(2)
    assert float(divergence_bits(mean, log_sigma)) == pytest.approx(expected)


def test_fold_is_the_exact_models() -> None:
    from shearloc.nets import fixed_point

    x = torch.arange(2 * 4 * 4 * 3).reshape(2, 4, 4, 3)
    folded = Fold(2)(x)
    assert (folded.numpy() == fixed_point.fold(x.numpy(), 2)).all()
    assert torch.equal(Fold(2, inverse=True)(folded), x)


def test_training_learns_resumes_and_exports(tmp_path: Path) -> None:
    from shearloc.training.export_vae import export

    draw = np.random.default_rng(0)
    stripes = (np.arange(36).reshape(6, 6) // 6 + draw.integers(0, 6, (600, 1, 1))) % 6 < 3
    pixels: NDArray[np.uint8] = stripes[..., None].astype(np.uint8)
    net = Vae(KINDS["bernoulli"])
    before = train_vae.negative_elbo_of(net, pixels)
    schedule = train_vae.Schedule(epochs=20, learning_rate=5e-3, batch=50)
    parameters = list(net.parameters())
    train_vae.fit(net, parameters, objectives.negative_elbo, pixels, schedule, tmp_path, "baseline")
    after = train_vae.negative_elbo_of(net, pixels)
    assert after < 0.7 * before
    again = load_float(tmp_path / "baseline.pt", KINDS["bernoulli"])
    assert train_vae.negative_elbo_of(again, pixels) == after
    # Nothing is left to do, so that going on changes nothing.
    train_vae.fit(again, list(again.parameters()), objectives.negative_elbo, pixels, schedule, tmp_path, "baseline")
    assert train_vae.negative_elbo_of(again, pixels) == after
    model: VaeModel = export(again, "tiny")
    assert model.shape == net.shape
    with torch.no_grad():
        again.decoder[0].weight[0, 0] = 9
    with pytest.raises(ValueError, match="decoder0 is beyond 8"):
        export(again, "tiny")


def test_the_commands_that_train_and_export(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_idx: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    """Two phases, of which the second leaves the decoder alone; then the exact model of its weights, and the card."""
    from shearloc.models.vae import model as vae
    from shearloc.training import export_vae

    shape = KINDS["logistic"]
    monkeypatch.setitem(train_vae.SHAPES, "mnist", shape)
    monkeypatch.setattr(train_vae, "HELD_OUT", 10)
    monkeypatch.setattr(train_vae, "keep_freed_memory", lambda: None)  # it would last as long as this process
    draw = np.random.default_rng(0)
    (tmp_path / "mnist").mkdir()
    for file, count in (("train-images-idx3-ubyte.gz", 50), ("t10k-images-idx3-ubyte.gz", 12)):
        write_idx(tmp_path / "mnist" / file, draw.integers(0, 99, (count, 6, 6), np.uint8))
    run = tmp_path / "run"
    options = {"epochs": 3, "asleep-epochs": 2, "batch": 20, "rate": 0.01, "asleep-rate": 0.01, "alpha": 0.25}
    words = [f"--{name}={value}" for name, value in (options | {"data": tmp_path, "out": run}).items()]
    monkeypatch.setattr(sys, "argv", ["train_vae", "mnist", *words])
    train_vae.main()
    told = capsys.readouterr().out
    results = json.loads((run / "results.json").read_text())
    assert results["arguments"]["alpha"] == "0.25" and VaeShape(**results["shape"]) == shape
    nets = {}
    for name, epochs in (("baseline", 3), ("half-asleep", 2)):
        nets[name] = load_float(run / f"{name}.pt", shape)
        assert results[name]["schedule"]["epochs"] == epochs and f"{name}: epoch {epochs:.1f}: " in told
        test = train_vae.negative_elbo_of(nets[name], small_images.load_dataset("mnist", tmp_path)[1])
        assert results[name]["test_bits_per_dimension"] == pytest.approx(test)
    before, after = (net.state_dict() for net in nets.values())
    changed = {key.split(".")[0] for key, value in after.items() if not torch.equal(value, before[key])}
    assert changed == {"encoder"}

    weights = run / "half-asleep.pt"
    monkeypatch.setattr(sys, "argv", ["export_vae", "mnist", str(weights), "--out", str(tmp_path)])
    export_vae.main()
    model = vae.load(tmp_path / "vae-mnist.safetensors", "vae-mnist")
    assert model.fingerprint == export_vae.export(nets["half-asleep"], "vae-mnist").fingerprint
    card = json.loads((tmp_path / "vae-mnist.json").read_text())
    assert (card["name"], card["kind"], card["data"]) == ("vae-mnist", "vae", ["mnist"])
    assert VaeShape(**card["shape"]) == shape and card["training"] == results | {"weights": "half-asleep.pt"}
