"""Training uses as many processors as it is told to, and no more."""

import subprocess
import sys

import pytest

pytest.importorskip("torch")

WORK = """
import sys, time, numba, torch
from shearloc.training.fitting import use_processors
from shearloc.training.likelihoods import linear_mixture_bits

use_processors(int(sys.argv[1]))
assert numba.get_num_threads() == min(int(sys.argv[1]), numba.config.NUMBA_NUM_THREADS)
predictions, values, params = torch.full((20000, 1), 100.0), torch.full((20000, 1), 90.0), torch.randn(20000, 15)
linear_mixture_bits(params, predictions, values, 64.0)
wall, processor = time.perf_counter(), time.process_time()
for _ in range(30):
    linear_mixture_bits(params, predictions, values, 64.0)
print((time.process_time() - processor) / (time.perf_counter() - wall))
"""


def processors_used(count: int) -> float:
    """By a process of its own: Numba's threads, once awake, look for work all the time."""
    run = [sys.executable, "-c", WORK, str(count)]
    return float(subprocess.run(run, capture_output=True, text=True, check=True).stdout)


def test_one_is_one() -> None:
    assert processors_used(1) < 1.3


def test_more_than_there_are() -> None:
    assert processors_used(999) > 0
