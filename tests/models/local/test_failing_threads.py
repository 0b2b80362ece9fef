"""Where one of several threads fails, or never starts, the others do not wait for ever, and the error is seen."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Thread
from typing import Any

import numpy as np
import pytest

from shearloc.models.local import wavefront
from shearloc.models.local.coder import frequencies
from shearloc.models.local.model import LocalModel
from shearloc.nets import barrier, engines

Models = Callable[..., LocalModel]
IMAGES = np.random.default_rng(0).integers(0, 256, (64, 8, 8, 1), np.uint8)


def error_of(work: Callable[[], object]) -> BaseException | None:
    """What `work` raises, in a thread of its own; fails if it has not ended after five minutes."""
    found: list[BaseException | None] = []

    def run() -> None:
        try:
            work()
            found.append(None)
        except BaseException as error:
            found.append(error)

    thread = Thread(target=run, daemon=True)
    thread.start()
    thread.join(300)
    assert found, "it waits for ever"
    return found[0]


def test_who_waits_goes_on() -> None:
    arrived = np.zeros(1, np.int64)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(barrier.wait, arrived, 2)
        with pytest.raises(KeyboardInterrupt), barrier.all_together(arrived):
            raise KeyboardInterrupt
        assert waiting.result(timeout=60) is None
    with barrier.all_together(arrived := np.zeros(1, np.int64)):
        pass
    assert arrived[0] == 0


class OneThreadLess(ThreadPoolExecutor):
    """The second thread cannot be started."""

    def submit(self, *arguments: Any, **options: Any) -> Future[Any]:
        if self._threads:
            raise RuntimeError("can't start new thread")
        return super().submit(*arguments, **options)


@pytest.fixture
def three_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(barrier, "most_parts", lambda wanted: 3)


@pytest.mark.usefixtures("three_parts")
def test_a_thread_that_does_not_start(tiny_model: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model(1)
    monkeypatch.setattr(wavefront.stream, "lane_count", lambda *_: 3)
    assert error_of(lambda: frequencies(model, IMAGES, "numba")) is None
    monkeypatch.setattr(barrier, "ThreadPoolExecutor", OneThreadLess)
    assert "can't start" in str(error_of(lambda: frequencies(model, IMAGES, "numba")))


@pytest.mark.usefixtures("three_parts")
@pytest.mark.parametrize("first_lane", [0, 1])
def test_a_thread_that_fails(tiny_model: Models, monkeypatch: pytest.MonkeyPatch, first_lane: int) -> None:
    """The caller's own, and one of the others."""
    steps = wavefront.walk_steps

    def failing(*given: Any) -> None:
        if given[9][0] == first_lane:
            raise MemoryError
        steps(*given)

    monkeypatch.setattr(wavefront, "walk_steps", failing)
    monkeypatch.setattr(wavefront.stream, "lane_count", lambda *_: 3)
    assert isinstance(error_of(lambda: frequencies(tiny_model(1), IMAGES, "numba")), MemoryError)


@pytest.mark.usefixtures("one_thread")
def test_a_batch_that_fails(tiny_model: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the engine that has several batches at work."""
    pytest.importorskip("torch")
    monkeypatch.setattr(engines, "processors", lambda: 2)
    monkeypatch.setattr(wavefront, "BATCH", 64)
    monkeypatch.setattr(wavefront, "SPAN", 1)

    def failing(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(wavefront.coding, "code", failing)
    assert isinstance(error_of(lambda: frequencies(tiny_model(1), IMAGES, "torch")), MemoryError)
