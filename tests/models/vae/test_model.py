"""The exact autoencoder: the same integers from every engine, the float network's values, and torch's gradients."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from shearloc.errors import ShearlocError
from shearloc.models.vae import model as vae
from shearloc.models.vae.model import VaeModel
from shearloc.nets import fixed_point
from shearloc.nets.fixed_point import ACTIVATION_BITS, product_of

KINDS = ("bernoulli", "logistic", "colour")
UNIT = 1 << ACTIVATION_BITS

Vaes = Callable[[str], VaeModel]
Images = Callable[..., NDArray[np.uint8]]


def latents_of(model: VaeModel, count: int) -> NDArray[np.float64]:
    """Latents on the integer grid, spread as the prior is."""
    return np.rint(np.random.default_rng(1).normal(0, UNIT, (count, model.shape.latents)))


def float_net(model: VaeModel):  # type: ignore[no-untyped-def]
    """The torch network, in double precision, with the integer model's weights."""
    pytest.importorskip("torch")
    from shearloc.training.export_vae import restore

    return restore(model).double()


@pytest.mark.parametrize("engine", ["numba", "torch"])
@pytest.mark.parametrize("kind", KINDS)
def test_engines_give_the_same_integers(kind: str, engine: str, tiny_vae: Vaes, small_images: Images) -> None:
    if engine == "torch":
        pytest.importorskip("torch")
    model, plain, other = tiny_vae(kind), product_of("numpy"), product_of(engine)
    images = small_images(model, 5)
    for ours, theirs in zip(vae.posterior(model, images, plain), vae.posterior(model, images, other), strict=True):
        assert (ours == theirs).all() and (ours == np.rint(ours)).all()
    z = latents_of(model, 5)
    outputs, tape = vae.likelihood_and_tape(model, z, plain)
    others, other_tape = vae.likelihood_and_tape(model, z, other)
    assert (outputs == others).all()
    gradient = np.rint(1000 * np.sin(np.arange(outputs.size))).reshape(outputs.shape)
    assert (
        vae.latent_gradient(model, tape, gradient, plain) == vae.latent_gradient(model, other_tape, gradient, other)
    ).all()


@pytest.mark.parametrize("kind", KINDS)
def test_batches_do_not_matter(kind: str, tiny_vae: Vaes, small_images: Images) -> None:
    model, product = tiny_vae(kind), product_of("numpy")
    images = small_images(model, model.batch + 3)
    means, log_sigmas = vae.posterior(model, images, product)
    for k in (0, model.batch, len(images) - 1):
        mean, log_sigma = vae.posterior(model, images[k : k + 1], product)
        assert (mean == means[k]).all() and (log_sigma == log_sigmas[k]).all()


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_the_float_network_on_a_grid(kind: str, tiny_vae: Vaes, small_images: Images) -> None:
    model, product = tiny_vae(kind), product_of("numpy")
    net = float_net(model)
    torch = pytest.importorskip("torch")
    images = small_images(model, 4)
    x = torch.from_numpy(images).double()
    if kind != "bernoulli":
        x = (x - model.shape.offset) / 128
    with torch.no_grad():
        mean, log_sigma = net.encoder(x).chunk(2, -1)
        z = latents_of(model, 4)
        side = vae.latent_side(model.shape)
        outputs = net.decoder(torch.from_numpy(z / UNIT).view(4, side, side, -1)).numpy()
    found = vae.posterior(model, images, product)
    low, high = (limit / UNIT for limit in vae.LOG_SIGMA_RANGE)
    # Roundings of 2^-17 a layer, times the layers after it.
    assert np.abs(found[0] / UNIT - mean.reshape(4, -1).numpy()).max() < 1e-3
    assert np.abs(found[1] / UNIT - log_sigma.reshape(4, -1).numpy().clip(low, high)).max() < 1e-3
    assert np.abs(vae.likelihood(model, z, product) / UNIT - outputs).max() < 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_the_gradient_is_torchs(kind: str, tiny_vae: Vaes) -> None:
    torch = pytest.importorskip("torch")
    model, product = tiny_vae(kind), product_of("numpy")
    net, z = float_net(model), latents_of(model, 3)
    outputs, tape = vae.likelihood_and_tape(model, z, product)
    gradient = np.rint(10000 * np.cos(np.arange(outputs.size))).reshape(outputs.shape)
    found = vae.latent_gradient(model, tape, gradient, product)
    latent = torch.from_numpy(z / UNIT).requires_grad_(True)
    side = vae.latent_side(model.shape)
    (net.decoder(latent.view(3, side, side, -1)) * torch.from_numpy(gradient)).sum().backward()
    assert not tape
    assert np.abs(found - latent.grad.numpy()).max() < 1e-3 * np.abs(found).max()


@pytest.mark.parametrize("kind", KINDS)
def test_file_and_fingerprint(kind: str, tiny_vae: Vaes, tmp_path: Path) -> None:
    model = tiny_vae(kind)
    model.save(tmp_path / "m.safetensors")
    back = vae.load(tmp_path / "m.safetensors", model.name)
    assert back.fingerprint == model.fingerprint and back.shape == model.shape
    changed = {key: array.copy() for key, array in model.arrays.items()}
    changed["decoder0.weight"][0, 0] += 1
    assert VaeModel("x", model.shape, changed).fingerprint != model.fingerprint
    assert VaeModel("x", replace(model.shape, latents=99), model.arrays).fingerprint != model.fingerprint


def test_what_cannot_be_proved_is_refused(tiny_vae: Vaes, tmp_path: Path) -> None:
    model = tiny_vae("bernoulli")
    for key, array in (
        ("encoder0.weight", model.arrays["encoder0.weight"][:, :-1]),
        ("encoder0.weight", model.arrays["encoder0.weight"].astype(np.int32)),
        ("encoder0.bias", np.full_like(model.arrays["encoder0.bias"], 1 << 25)),
    ):
        with pytest.raises(ValueError, match=key):
            VaeModel("x", model.shape, model.arrays | {key: array}).prove()
    with pytest.raises(ValueError, match="not those"):
        VaeModel("x", model.shape, {"encoder0.weight": model.arrays["encoder0.weight"]}).prove()
    with pytest.raises(ValueError, match="out of range"):
        VaeModel("x", replace(model.shape, width=20000), model.arrays).prove()
    (tmp_path / "m.safetensors").write_bytes(b"nonsense")
    with pytest.raises(ShearlocError, match="not a sound model"):
        vae.load(tmp_path / "m.safetensors", "m")


def test_sums_that_could_leave_float64_are_refused(tiny_vae: Vaes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vae, "EXACT", 1 << 30)
    with pytest.raises(ValueError, match=r"2\^53"):
        tiny_vae("bernoulli").prove()


def test_largest_inputs_stay_exact(tiny_vae: Vaes) -> None:
    """Saturated activations and the largest weights, against Python's integers."""
    x = np.full((2, 40), fixed_point.LIMIT)
    weight = np.full((40, 3), 32767.0)
    sums = product_of("numpy")(x, weight)
    assert sums[0, 0] == 40 * (1 << 24) * 32767
    fixed_point._settle(sums, np.zeros(3), -fixed_point.LIMIT)
    assert (sums == fixed_point.LIMIT).all()
    below = np.array([[-(1 << 11) - 1.0, -(1 << 11), (1 << 11) - 1, 1 << 11]])
    fixed_point._settle(below, np.zeros(4), -fixed_point.LIMIT)
    assert below.tolist() == [[-1, 0, 0, 1]]


def test_neighbours_and_their_adjoint() -> None:
    draw = np.random.default_rng(0)
    x, y = draw.integers(-9, 9, (2, 4, 4, 3)).astype(float), draw.integers(-9, 9, (2, 4, 4, 27)).astype(float)
    assert (fixed_point.neighbours(x) * y).sum() == (x * fixed_point.from_neighbours(y)).sum()
    assert (fixed_point.unfold(fixed_point.fold(x, 2), 2) == x).all()
    assert fixed_point.neighbours(x)[0, 0, 0, :12].tolist() == [0] * 12


def test_cuda_that_is_not_there_is_refused() -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    with pytest.raises(ShearlocError, match="'cuda' is not available"):
        product_of("cuda")


@pytest.mark.parametrize("engine", ["torch", "cuda"])
def test_without_torch_its_engines_are_refused(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ShearlocError, match=f"'{engine}' is not available"):
        product_of.__wrapped__(engine)  # it keeps what it gave before


def test_an_unknown_engine_is_refused() -> None:
    with pytest.raises(ValueError, match="abacus"):
        product_of("abacus")
