"""Tables are the same whatever the process's own `decimal` context says."""

from collections.abc import Callable
from decimal import MAX_EMAX, ROUND_DOWN, ROUND_UP, Context, Decimal, Inexact, Rounded, localcontext
from typing import Any

import numpy as np
import pytest

from shearloc.coding import bins, logistic
from shearloc.coding.decimals import digits, rounded
from shearloc.models.vae import inference

CONTEXTS = {
    "rounding down": Context(prec=28, rounding=ROUND_DOWN),
    "few digits": Context(prec=5, rounding=ROUND_UP),
    "traps": Context(traps=[Inexact, Rounded]),
    "small exponents": Context(Emin=-3, Emax=3),
}


@pytest.mark.parametrize("context", CONTEXTS.values(), ids=CONTEXTS)
@pytest.mark.parametrize("tables", [logistic.tables, bins.tables, inference._width_slopes])
def test_tables_do_not_depend_on_the_context(tables: Callable[[], Any], context: Context) -> None:
    fresh = tables.__wrapped__  # type: ignore[attr-defined]
    expected = fresh()
    with localcontext(context):
        found = fresh()
    pairs = [(expected, found)] if isinstance(expected, np.ndarray) else list(zip(expected, found, strict=True))
    assert pairs and all(np.array_equal(one, other) for one, other in pairs)


def test_the_callers_context_comes_back() -> None:
    with localcontext(Context(prec=7, rounding=ROUND_DOWN)) as own:
        with digits(30) as inside:
            assert (inside.prec, inside.Emax, len(str(Decimal(1) / 3))) == (30, MAX_EMAX, 32)
        assert Decimal(2) / 3 == Decimal("0.6666666") and own.prec == 7


def test_rounded_to_the_nearest() -> None:
    with localcontext(Context(prec=3, rounding=ROUND_UP)):
        assert rounded(map(Decimal, ["0.4", "0.5", "1.5", "-2.6", "123456789.49"])).tolist() == [0, 0, 2, -3, 123456789]
