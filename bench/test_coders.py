"""Speed of our coders against other libraries', on the same symbols and tables; `pytest bench/test_coders.py`.

`shearloc bench --coder` measures the same in turns; this is for watching a change of the code. "ns/symbol" in the
saved results (extra_info) is the fastest round.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from shearloc.evaluate.coders import Case, Coder, cases, coders

CODERS = coders()


@pytest.fixture(scope="module", params=[0, 1], ids=["shared", "rows"])
def case(request: pytest.FixtureRequest) -> Case:
    return cases()[request.param]


@pytest.mark.parametrize("name", CODERS)
def test_encode(benchmark: BenchmarkFixture, case: Case, name: str) -> None:
    coder = able(name, case)
    measure(benchmark, case, lambda: coder.encode(case))


@pytest.mark.parametrize("name", CODERS)
def test_decode(benchmark: BenchmarkFixture, case: Case, name: str) -> None:
    coder = able(name, case)
    words = coder.encode(case)
    assert np.array_equal(measure(benchmark, case, lambda: coder.decode(words, case)), case.symbols)


def able(name: str, case: Case) -> Coder:
    if not CODERS[name].codes(case):
        pytest.skip(f"{name} has no call for this")
    return CODERS[name]


def measure(benchmark: BenchmarkFixture, case: Case, call: Callable[[], Any]) -> Any:
    """Time a call; its result. The first round, which may compile, does not count."""
    result = benchmark.pedantic(call, rounds=15, warmup_rounds=1)
    if benchmark.stats:
        benchmark.extra_info["ns/symbol"] = round(benchmark.stats.stats.min / case.symbols.size * 1e9, 2)
    return result
