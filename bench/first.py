"""The first `shearloc encode` and `decode` of an image, with nothing compiled yet, and later ones.

    python bench/first.py IMAGE [MODEL]

Prints processor seconds of the first, and the median of seven wall times of the later ones. Also how much two
processors do together: twice as much as one, or hardly more where they share a core.
"""

import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from statistics import median

import numpy as np
from numba import njit

COMMAND = Path(sys.executable).with_name("shearloc")
LATER = 7


def run(*arguments: str) -> tuple[float, float]:
    """Processor and wall seconds of a `shearloc` command."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([COMMAND, *arguments], check=True, capture_output=True)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


@njit(nogil=True)
def work(numbers, more):  # type: ignore[no-untyped-def]
    """A second or so of multiplying and adding vectors."""
    for _ in range(500_000):
        for k in range(numbers.size):
            numbers[k] += more[k] * np.int32(3)


def seconds(threads: int) -> float:
    """How long so many threads of `work` take."""
    running = [threading.Thread(target=work, args=np.ones((2, 1024), np.int32)) for _ in range(threads)]
    start = time.perf_counter()
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return time.perf_counter() - start


def main() -> None:
    """Prints a line of each."""
    image, model = sys.argv[1], (sys.argv[2:] or ["auto"])[0]
    work(*np.ones((2, 1), np.int32))
    together = median(2 * seconds(1) / seconds(2) for _ in range(5))
    print(f"two threads do {together:.2f} times the work of one")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NUMBA_CACHE_DIR"] = f"{folder}/cache"
        encode = ["encode", "-f", image, f"{folder}/k.shl", "--model", model]
        decode = ["decode", "-f", f"{folder}/k.shl", f"{folder}/k.png"]
        for name, command in (("encode", encode), ("decode", decode)):
            first, _ = run(*command)
            print(f"first {name}: {first:.1f} processor seconds")
        turns = [[run(*command)[1] for command in (encode, decode)] for _ in range(LATER)]
        print("later: encode {:.2f} s, decode {:.2f} s".format(*map(median, zip(*turns, strict=True))))


if __name__ == "__main__":
    main()
