"""Work on many things side by side, on threads that share the processors."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from ..types import Progress


def side_by_side(work: Callable[[int], None], count: int, threads: int, engine: str, progress: Progress | None) -> None:
    """Calls work(k) for k < count, on threads that share the processors. Raises the first error."""
    from ..nets import engines

    share = max(1, engines.processors() // threads)

    def alone(k: int) -> None:
        with engines.at_most(share):
            work(k)

    with engines.one_thread_each(engine, threads), ThreadPoolExecutor(threads) as pool:
        for done, _ in enumerate(pool.map(alone, range(count)), 1):
            if progress:
                progress(done, count)
