"""`python -m tests.fuzz`: run it, tell what was found, keep the files that did it. Exit code 1 if there are any."""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

from .damage import bit_flip
from .mutate import Case, case
from .seeds import KINDS, Seed, kind_of, seeds
from .watch import Worker, judge, outcome, summary

DESCRIPTION = "Read broken files of every kind. Each must give the exact pixels or a ShearlocError."

Count = Counter[tuple[str, str]]
"""Files by kind and outcome."""
Slowest = dict[str, float]
"""Seconds by kind."""


def main() -> None:
    """The command (SystemExit)."""
    options = _options()
    files = [_seed_of(options.all_bit_flips)] if options.all_bit_flips else seeds()
    start = time.monotonic()

    def job(first: int) -> tuple[Count, int, Slowest]:
        if options.all_bit_flips:
            return _try_all(_bit_flips(files[0], first, options.jobs), files, options)
        return _try_all(_cases(files, first, options), files, options)

    with ThreadPoolExecutor(options.jobs) as pool:  # the work is the worker processes'
        results = list(pool.map(job, range(options.jobs)))
    counts = sum((counts for counts, _, _ in results), Count())
    findings = sum(findings for _, findings, _ in results)
    slowest = {kind: max(times[kind] for _, _, times in results) for kind in KINDS}
    seconds = time.monotonic() - start
    rate = counts.total() / seconds
    print(f"{counts.total():,} files in {seconds:.0f} s ({rate:.0f}/s); findings: {findings}")
    for kind in KINDS:
        outcomes = Counter({what: count for (one, what), count in counts.items() if one == kind})
        if outcomes:
            print(f"  {kind}: {outcomes.total():,}, the slowest {slowest[kind]:.2f} s: {summary(outcomes)}")
    sys.exit(1 if findings else 0)


def _seed_of(path: Path) -> Seed:
    return Seed(path.name, data := path.read_bytes(), kind_of(data))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.fuzz", description=DESCRIPTION)
    extent = parser.add_mutually_exclusive_group()
    extent.add_argument("--seconds", type=float, default=60.0, help="how long (default: %(default)s)")
    extent.add_argument("--cases", type=int, metavar="N", help="so many cases instead")
    parser.add_argument("--seed", type=int, default=1, help="of the random numbers; same seed, same cases")
    parser.add_argument("--first", type=int, default=0, help="number of the first case, to repeat a finding")
    parser.add_argument("--jobs", type=int, default=1, help="worker processes")
    parser.add_argument(
        "--all-bit-flips", type=Path, metavar="FILE", help="instead: every single bit of this file of ours"
    )
    parser.add_argument(
        "--keep", type=Path, default=Path("runs/fuzz"), help="folder for findings (default: %(default)s)"
    )
    return parser.parse_args()


def _cases(files: list[Seed], first: int, options: argparse.Namespace) -> Iterator[tuple[int, Case]]:
    """Every `jobs`-th case, numbered: so many, or until the time is over, which counts from the first one on."""
    deadline = time.monotonic() + options.seconds
    end = None if options.cases is None else options.first + options.cases
    number = options.first + first
    while time.monotonic() < deadline if end is None else number < end:
        yield number, case(files, Random(f"{options.seed} {number}"))
        number += options.jobs


def _bit_flips(file: Seed, first: int, step: int) -> Iterator[tuple[int, Case]]:
    for position in range(first, 8 * len(file.data), step):
        yield position, Case(file.kind, bit_flip(file.data, position), (0,), False, f"bit {position} of {file.name}")


def _try_all(
    cases: Iterable[tuple[int, Case]], files: list[Seed], options: argparse.Namespace
) -> tuple[Count, int, Slowest]:
    """Outcomes, the number of findings (each of which is told), and the seconds of the slowest case of each kind."""
    worker = Worker(files)
    counts = Count()
    findings, slowest = 0, dict.fromkeys(KINDS, 0.0)
    try:
        for number, one in cases:
            start = time.monotonic()
            answer = worker.ask(one.kind, one.data)
            slowest[one.kind] = max(slowest[one.kind], time.monotonic() - start)
            counts[one.kind, outcome(answer)] += 1
            if wrong := judge(one, answer, worker.digests):
                findings += 1
                print(f"case {number} ({one.story}), kept as {_keep(one, number, options)}: {wrong}", flush=True)
    finally:
        worker.close()
    return counts, findings, slowest


def _keep(one: Case, number: int, options: argparse.Namespace) -> Path:
    options.keep.mkdir(parents=True, exist_ok=True)
    path: Path = options.keep / f"seed-{options.seed}-case-{number}.{one.kind}"
    path.write_bytes(one.data)
    return path


if __name__ == "__main__":
    main()
