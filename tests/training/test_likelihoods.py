"""The float likelihood: a distribution over the 256 levels, and the formula it is said to be.

That the integer CDFs agree with it is tested in codec/test_cdf.py.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from shearloc.nets.quantize import LOG_SCALE_MAX, LOG_SCALE_MIN, LOG_SCALE_OFFSET, UNIFORM_WEIGHT

torch = pytest.importorskip("torch")

from shearloc.training.likelihoods import (  # noqa: E402
    channel_counts,
    linear_mixture_bits,
    linear_mixture_bits_plain,
    logistic_mixture_bits_plain,
)

Mixture = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]


@st.composite
def mixtures(draw: st.DrawFn, spread: float = 1.0) -> Mixture:
    """Logits, means and log-scales of 1 to 5 components; far outside of what is sensible with spread > 1."""
    count = draw(st.integers(1, 5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    logits = rng.normal(0, 3 * spread, count)
    means = rng.uniform(128 - 150 * spread, 128 + 150 * spread, count)
    return logits, means, rng.uniform(-3.5 * spread, 6 * spread, count)


def pmf(mixture: Mixture, double: bool = False) -> NDArray[np.float64]:
    """Probabilities of the 256 levels, computed in single or double precision."""
    if double:
        parts = (torch.from_numpy(part).expand(256, -1) for part in mixture)
        return np.exp2(-logistic_mixture_bits_plain(*parts, torch.arange(256.0).double()).numpy())
    return np.exp2(-fast_bits(*(torch.from_numpy(part).float().expand(256, -1) for part in mixture)).double().numpy())


def fast_bits(logits: torch.Tensor, means: torch.Tensor, log_scales: torch.Tensor) -> torch.Tensor:
    """Bits of the 256 levels, each under its row of float32 [256, K]: `linear_mixture_bits` of one channel."""
    values = torch.arange(256.0)[:, None]
    params = torch.cat([logits, means / 16, log_scales - LOG_SCALE_OFFSET], 1)
    return linear_mixture_bits(params, torch.zeros(256, 1), values, 16.0)[:, 0]


def twin(mixture: Mixture) -> NDArray[np.float64]:
    """Equation 5.7 by its definition, as differences of the mixture's distribution function, in float64."""
    logits, means, log_scales = mixture
    share = np.exp(logits - logits.max())
    edges = np.concatenate([[-np.inf], np.arange(1, 256) - 0.5, [np.inf]])
    scales = np.exp(np.clip(log_scales, LOG_SCALE_MIN, LOG_SCALE_MAX))
    below = 0.5 * (1 + np.tanh((edges[:, None] - means) / (2 * scales)))
    return (1 - UNIFORM_WEIGHT) * np.diff(below @ (share / share.sum())) + UNIFORM_WEIGHT / 256


@given(mixtures())
def test_agrees_with_its_definition(mixture: Mixture) -> None:
    expected = twin(mixture)
    assert np.allclose(pmf(mixture, double=True), expected, rtol=1e-9, atol=1e-14)
    assert np.allclose(pmf(mixture), expected, rtol=1e-3, atol=1e-6)


@given(mixtures(spread=8.0))
def test_wild_parameters_still_make_a_distribution(mixture: Mixture) -> None:
    probabilities = pmf(mixture)
    assert np.isfinite(probabilities).all()
    assert abs(probabilities.sum() - 1) < 1e-4
    assert probabilities.min() >= UNIFORM_WEIGHT / 256 * (1 - 1e-4)


def test_only_the_uniform_reaches_what_the_mixture_does_not() -> None:
    probabilities = pmf((np.zeros(1), np.full(1, 10.0), np.full(1, -3.5)))
    assert np.isclose(probabilities[200], UNIFORM_WEIGHT / 256, rtol=1e-4)
    assert probabilities[10] > 0.99


def test_end_bins_take_the_tails() -> None:
    for mean, end in ((-40.0, 0), (295.0, 255)):
        probabilities = pmf((np.zeros(1), np.full(1, mean), np.zeros(1)))
        assert probabilities[end] > 0.9998
        assert probabilities.argmax() == end


def test_gradients_are_finite_in_the_tails() -> None:
    """Training meets values far from every component, at first all the time."""
    parameters = [torch.zeros(256, 2, requires_grad=True) for _ in range(3)]
    logits, means, log_scales = parameters
    fast_bits(logits, means - 1000.0, log_scales - 9.0).sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in parameters)


@given(st.integers(0, 2**32), st.sampled_from([1, 3]), st.integers(1, 10), st.sampled_from([16.0, 64.0]))
def test_value_and_gradients_are_those_of_the_plain_twin(
    seed: int, channels: int, components: int, gain: float
) -> None:
    """Also at the ends of the grey levels, and where the earlier channels are far from their prediction."""
    rng = np.random.default_rng(seed)
    values = rng.choice([0, 1, 100, 254, 255], (64, channels)).astype(np.float32)
    predictions = rng.integers(0, 256, (64, channels)).astype(np.float32)
    counts = channel_counts(channels, components)
    fast = torch.tensor(rng.normal(0, 1.5, (64, sum(counts))), dtype=torch.float32, requires_grad=True)
    plain = fast.detach().double().requires_grad_()
    factors = torch.from_numpy(rng.uniform(-1, 2, (64, channels)))
    pixels = torch.from_numpy(predictions), torch.from_numpy(values)
    bits = linear_mixture_bits(fast, *pixels, gain)
    expected = linear_mixture_bits_plain(plain, *(part.double() for part in pixels), gain)
    (bits * factors).sum().backward()
    (expected * factors).sum().backward()
    assert torch.allclose(bits.double(), expected, rtol=1e-3, atol=1e-3)
    assert fast.grad is not None and plain.grad is not None
    error = (fast.grad.double() - plain.grad).abs() / (1 + plain.grad.abs())
    assert error.max() < 2e-2
