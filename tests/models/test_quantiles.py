"""p-values beside other images' scores: of all of them, and of a card's quantiles."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shearloc.models import quantiles, zoo
from shearloc.models.quantiles import Reference

SCORES = st.lists(st.integers(-20, 20), min_size=1, max_size=30)


@given(kept=SCORES, scores=SCORES)
def test_p_values_count_the_images_that_are_as_unusual(kept: list[int], scores: list[int]) -> None:
    values = np.array(kept, np.float64)
    found = Reference.of(values).p_values(np.array(scores, np.float64))
    whole = [score for score in scores if score in kept or score > max(kept) or score < min(kept)]
    for score, p in zip(scores, found.tolist(), strict=True):
        assert 1 / (len(kept) + 1) <= p <= 1
        if score in whole:  # between two of them it is between theirs
            assert p == pytest.approx((1 + sum(other >= score for other in kept)) / (len(kept) + 1))


@given(kept=SCORES, scores=SCORES)
def test_two_sided_is_twice_the_rarer_side(kept: list[int], scores: list[int]) -> None:
    values = np.array(kept, np.float64)
    both = Reference.of(values, two_sided=True).p_values(np.array(scores, np.float64))
    mirrored = Reference.of(-values, two_sided=True).p_values(-np.array(scores, np.float64))
    assert np.allclose(both, mirrored)
    assert (both >= np.minimum(1, 2 / (len(kept) + 1)) - 1e-12).all() and (both <= 1).all()


@given(kept=SCORES, scores=SCORES, shift=st.integers(-5, 5))
def test_p_values_fall_with_the_score_and_do_not_know_the_zero(kept: list[int], scores: list[int], shift: int) -> None:
    values, ordered = np.array(kept, np.float64), np.sort(np.array(scores, np.float64))
    p = Reference.of(values).p_values(ordered)
    assert (np.diff(p) <= 1e-12).all()
    assert np.allclose(p, Reference.of(values + shift).p_values(ordered + shift))


def test_a_card_says_nearly_what_the_images_say() -> None:
    values = np.random.default_rng(3).normal(2, 0.3, 1000)
    card = {"scores": {"of": "x", "images": 1000, "quantiles": {"bits": quantiles.table(values)}}}
    kept = quantiles.from_card(card, "bits")
    assert kept is not None and kept.two_sided and kept.count == 1000
    scores = np.linspace(0.5, 3.5, 50)
    assert np.abs(kept.p_values(scores) - Reference.of(values, True).p_values(scores)).max() < 0.03
    assert kept.p_values(np.array([9.0]))[0] == pytest.approx(2 / 1001)
    assert quantiles.from_card(card, "against png") is None and quantiles.from_card({}, "bits") is None


def test_equal_scores_are_as_usual_as_can_be() -> None:
    card = {"scores": {"of": "x", "images": 9, "quantiles": {"against png": [[0, 1.0], [0.5, 1.0], [1, 1.0]]}}}
    kept = quantiles.from_card(card, "against png")
    assert kept is not None
    assert kept.p_values(np.array([1.0, 2.0])).tolist() == pytest.approx([1.0, 0.1])


def test_quantiles_of_images_of_several_sizes() -> None:
    images = [np.full((k, 4, 1), 10 * k, np.uint8) for k in (3, 5, 8)]
    found = quantiles.of_images(zoo.load("gray"), images)
    assert found["images"] == 3 and found["of"] == "held-out images"
    shares, values = zip(*found["quantiles"]["bits"], strict=True)
    assert shares[0] == 0 and shares[-1] == 1 and list(values) == sorted(values) and len(set(shares)) == len(shares)
