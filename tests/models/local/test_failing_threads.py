"""Where one of several threads fails, or never starts, the others do not wait for ever, and the error is seen."""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Thread
from typing import Any

import numpy as np
import pytest

from shearloc.coding import lanes as stream
from shearloc.models.local import wavefront
from shearloc.models.local.coder import decode_images, encode_images, frequencies
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
        waiting = pool.submit(barrier.until, arrived.ctypes.data, 2)
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


Payload = tuple[LocalModel, bytes]


@pytest.fixture
def payload(tiny_model: Models, monkeypatch: pytest.MonkeyPatch) -> Payload:
    """Of three lanes."""
    monkeypatch.setattr(stream, "lane_count", lambda *_: 3)
    monkeypatch.setattr(stream, "check_count", lambda *_: None)
    return tiny_model(1), encode_images(tiny_model(1), IMAGES, "numpy")[0]


def decoded(payload: Payload) -> BaseException | None:
    """The error of decoding on three threads, or None."""
    return error_of(lambda: decode_images(*payload, 3, IMAGES.shape[:3], "numba"))


@pytest.mark.usefixtures("three_parts")
def test_a_thread_that_does_not_start(payload: Payload, monkeypatch: pytest.MonkeyPatch) -> None:
    assert decoded(payload) is None
    monkeypatch.setattr(barrier, "ThreadPoolExecutor", OneThreadLess)
    assert "can't start" in str(decoded(payload))


@pytest.fixture(params=[0, 1])
def failing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What walks from the caller's own first lane, or from another thread's."""
    steps = wavefront.walk_steps

    def walk_steps(*given: Any) -> None:
        if given[9][0] == request.param:
            raise MemoryError
        steps(*given)

    monkeypatch.setattr(wavefront, "walk_steps", walk_steps)


@pytest.mark.usefixtures("three_parts", "failing")
def test_a_thread_that_fails(payload: Payload) -> None:
    assert isinstance(decoded(payload), MemoryError)


@pytest.mark.usefixtures("failing")
@pytest.mark.parametrize("processors", [1, 3])
def test_a_task_that_fails(tiny_model: Models, processors: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of an encoder's three."""
    monkeypatch.setattr(wavefront, "processors", lambda: processors)
    monkeypatch.setattr(wavefront, "BLOCK", 100)
    monkeypatch.setattr(wavefront, "TASK_PIXELS", 400)
    assert isinstance(error_of(lambda: frequencies(tiny_model(1), IMAGES, "numba")), MemoryError)


def test_an_encoder_that_is_interrupted(tiny_model: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    """No thread begins another task."""
    monkeypatch.setattr(wavefront, "processors", lambda: 3)
    monkeypatch.setattr(wavefront, "TASK_PIXELS", 4 * wavefront.BLOCK)
    steps, begun = wavefront.walk_steps, []

    def counted(*given: Any) -> None:
        begun.append(given[2])
        time.sleep(0.005)
        steps(*given)

    def interrupt(done: int, count: int) -> None:
        assert count > 20
        raise KeyboardInterrupt

    monkeypatch.setattr(wavefront, "walk_steps", counted)
    images = np.zeros((1, 600, 90, 1), np.uint8)
    assert isinstance(error_of(lambda: frequencies(tiny_model(1), images, "numba", interrupt)), KeyboardInterrupt)
    assert len(begun) < 20


@pytest.mark.usefixtures("one_thread")
def test_a_batch_that_fails(tiny_model: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the engine that has several batches at work."""
    pytest.importorskip("torch")
    monkeypatch.setattr(engines, "processors", lambda: 2)
    monkeypatch.setattr(wavefront, "BATCH", 64)

    def failing(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(wavefront.coding, "code", failing)
    assert isinstance(error_of(lambda: frequencies(tiny_model(1), IMAGES, "torch")), MemoryError)
