"""The float likelihood: a distribution over the 256 levels, and the formula it is said to be.

That the integer CDFs agree with it is tested in codec/test_cdf.py.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from shearloc.models.quantize import LOG_SCALE_MAX, LOG_SCALE_MIN, UNIFORM_WEIGHT

torch = pytest.importorskip("torch")

from shearloc.models.likelihoods import logistic_mixture_bits, logistic_mixture_bits_plain  # noqa: E402

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
    dtype = torch.float64 if double else torch.float32
    logits, means, log_scales = (torch.from_numpy(part).to(dtype).expand(256, -1) for part in mixture)
    bits = logistic_mixture_bits_plain if double else logistic_mixture_bits
    return np.exp2(-bits(logits, means, log_scales, torch.arange(256, dtype=dtype)).double().numpy())


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
    logistic_mixture_bits(logits, means - 1000.0, log_scales - 9.0, torch.arange(256.0)).sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in parameters)


@given(mixtures())
def test_value_and_gradients_are_those_of_the_plain_twin(mixture: Mixture) -> None:
    values = torch.arange(256.0)
    fast = [torch.tensor(part, dtype=torch.float32).repeat(256, 1).requires_grad_() for part in mixture]
    plain = [part.detach().double().requires_grad_() for part in fast]
    weights = torch.linspace(-1, 2, 256)
    bits, expected = logistic_mixture_bits(*fast, values), logistic_mixture_bits_plain(*plain, values.double())
    (bits * weights).sum().backward()
    (expected * weights.double()).sum().backward()
    assert torch.allclose(bits.double(), expected, rtol=1e-3, atol=1e-3)
    for ours, theirs in zip(fast, plain, strict=True):
        assert ours.grad is not None and theirs.grad is not None
        assert torch.allclose(ours.grad.double(), theirs.grad, rtol=2e-2, atol=2e-3)
