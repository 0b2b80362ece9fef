"""Runs tasks one after another here, in processes of our own, or on the workers of a Dask cluster.

A task is a function and one argument, both picklable. Its result must not depend on how often it runs: if a worker
dies, another one repeats its task.
"""

import logging
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from ..errors import ShearlocError

Task = TypeVar("Task")
Result = TypeVar("Result")

CONNECT_SECONDS = 5
"""Seconds that a scheduler, and then its first worker, may take to answer."""
GENTLE_SECONDS = 3
"""Seconds that a worker may take to end after Ctrl-C."""
ATTEMPTS = 3
"""How often our own processes are started again because one died."""

_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def on_processes(
    work: Callable[[Task], Result], tasks: list[Task], workers: int
) -> Iterator[tuple[Task, Result | Exception]]:
    """Each task with its result or error, as it finishes on one of our own processes."""
    waiting = list(enumerate(tasks))
    for _ in range(ATTEMPTS):
        died = []
        others = set(multiprocessing.active_children())
        spawn = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(min(workers, len(waiting)), spawn, _begin_worker)
        try:
            with _one_thread_each():
                futures = {pool.submit(_until_stopped, work, task): (k, task) for k, task in waiting}
            for future in as_completed(futures):
                error = future.exception()
                if isinstance(error, BrokenProcessPool):
                    died.append(futures[future])
                else:
                    yield futures[future][1], _outcome(error) if error else future.result()
        except BaseException:
            _stop([*set(multiprocessing.active_children()) - others])  # else the pool waits until they finish
            raise
        finally:
            pool.shutdown(cancel_futures=True)
        waiting = sorted(died, key=lambda one: one[0])
        if not waiting:
            return
    for _, task in waiting:
        yield task, ShearlocError(f"a worker process died, {ATTEMPTS} times; is there enough memory?")


class _Stopped(BaseException):
    """A worker process is to end, and to leave nothing behind."""


def _begin_worker() -> None:
    """Only the parent handles Ctrl-C; it sends SIGTERM."""

    def stop(*_: object) -> None:
        raise _Stopped

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, stop)


def _until_stopped(work: Callable[[Task], Result], task: Task) -> Result:
    try:
        return work(task)
    except _Stopped:
        os._exit(1)  # the pool would give this process the next task


def _stop(processes: list[BaseProcess]) -> None:
    """Ends processes: gently, so that they remove what is half written; after some seconds, not."""
    for process in processes:
        process.terminate()
    for process in processes:
        process.join(GENTLE_SECONDS)
        process.kill()


def on_cluster(
    work: Callable[[Task], Result], tasks: list[Task], address: str
) -> Iterator[tuple[Task, Result | Exception]]:
    """Like `on_processes`, on the workers of the Dask cluster whose scheduler has this address.

    Raises ShearlocError where there is no such scheduler, it has no workers, or the connection is lost.
    """
    with _client(address) as client:
        from distributed import KilledWorker
        from distributed import as_completed as as_done

        futures = {client.submit(work, task, pure=False): task for task in tasks}
        try:
            for future in as_done(list(futures), loop=client.loop):
                task = futures.pop(future)
                error = future.exception()
                if isinstance(error, KilledWorker):
                    yield task, ShearlocError("the workers that were to do this died, one after the other")
                elif isinstance(error, CancelledError) or future.status in ("cancelled", "lost"):
                    raise ShearlocError(
                        f"the connection to the scheduler at {address} was lost; run the same command again"
                    )
                else:
                    yield task, _outcome(error) if error else future.result()
        finally:
            client.cancel(list(futures))


@contextmanager
def _client(address: str) -> Iterator[Any]:
    """A connection to a scheduler that has workers, or ShearlocError in a few seconds."""
    try:
        from distributed import Client
    except ImportError as error:
        raise ShearlocError('--scheduler needs Dask: pip install "dask[distributed]"') from error
    for name in ("distributed", "distributed.client"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # errors are reported in one line, here
    try:
        client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise ShearlocError(f"no Dask scheduler answers at {address} within {CONNECT_SECONDS} s") from error
    try:
        try:
            client.wait_for_workers(1, timeout=CONNECT_SECONDS)
        except TimeoutError as error:
            raise ShearlocError(f"the Dask scheduler at {address} has no workers; start some (dask worker)") from error
        yield client
    finally:
        client.close()


def _outcome(error: BaseException) -> Exception:
    """The error that a task ended with, for its own line. Raises errors that are not the task's."""
    if isinstance(error, (ShearlocError, OSError, MemoryError, ImportError)):
        return error
    raise error


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Limits the libraries of processes that are started inside to one thread each."""
    before = {name: os.environ.get(name) for name in _ONE_THREAD}
    os.environ.update(dict.fromkeys(_ONE_THREAD, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
