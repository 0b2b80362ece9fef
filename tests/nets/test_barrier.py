"""Meetings of threads: nobody goes on before all have come, whatever the number of processors."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numba import njit

from shearloc.kernels import address
from shearloc.nets import barrier
from shearloc.nets.barrier import arrive, until


@njit(nogil=True)
def _walk(part, parts, steps, seen, arrived):  # type: ignore[no-untyped-def]
    """Writes each step's number to its own place, meets the others, and notes who was not there yet."""
    late, count = 0, address(arrived)
    for step in range(steps):
        seen[part] = step
        arrive(count)
        until(count, parts * (2 * step + 1))
        for other in range(parts):
            late += seen[other] != step
        arrive(count)
        until(count, parts * (2 * step + 2))
    return late


@pytest.mark.parametrize("parts", [1, 2, 5])
def test_all_meet_at_every_step(parts: int) -> None:
    """Also more threads than processors: they must let each other run."""
    steps = 300
    seen, arrived = np.full(parts, -1), np.zeros(1, np.int64)
    with ThreadPoolExecutor(parts) as pool:
        jobs = [pool.submit(_walk, part, parts, steps, seen, arrived) for part in range(parts)]
        assert [job.result(timeout=60) for job in jobs] == [0] * parts
    assert arrived[0] == 2 * parts * steps


@pytest.mark.parametrize(("can_yield", "expected"), [(True, 5), (False, 1)])
def test_parts_fit_the_machine(monkeypatch: pytest.MonkeyPatch, can_yield: bool, expected: int) -> None:
    """A waiting thread that cannot let others run would keep them from it."""
    monkeypatch.setattr(barrier, "processors", lambda: 7)
    monkeypatch.setattr(barrier, "free", lambda wanted: wanted - 2)
    monkeypatch.setattr(barrier, "_CAN_YIELD", can_yield)
    assert barrier.most_parts(9) == expected
