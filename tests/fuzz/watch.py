"""Feeds a worker, notices when it dies or takes too long, and judges what it says."""

import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from .mutate import Case
from .seeds import GOLDEN, KINDS, OURS, Seed
from .worker import LIMIT_NOW

ROOT = Path(__file__).parents[2]

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")

TIME_LIMIT = 20.0
"""Seconds of a processor for one case. The slowest, autoencoders with a thousand steps, take about four."""
START_LIMIT = 300.0
"""Seconds for the first cases, which may compile."""

Answer = dict[str, str]


class Worker:
    """A worker process and the pixels' digests of the seeds; started again where it died.

    RuntimeError if a seed is not sound. Image files that are no seeds of ours may be refused.
    """

    def __init__(self, seeds: list[Seed], command: tuple[str, ...] = ("-m", "tests.fuzz.worker")) -> None:
        self.seeds = seeds
        self.command = command
        self.digests: list[str] = []
        self._printed = tempfile.TemporaryFile()  # noqa: SIM115  # as long as the process
        self._start()

    def ask(self, kind: str, data: bytes, limit: float = TIME_LIMIT) -> Answer:
        """What became of a file: the worker's answer, or `wrong` where it died, had to be killed, or printed."""
        answer = self._ask(kind, data, limit)
        if printed := self._take_printed():
            return {"wrong": f"{answer.get('wrong', 'it')} printed {printed!r}"}
        return answer

    def _take_printed(self) -> str:
        """What the process, or a library in it, has printed since."""
        if not os.fstat(self._printed.fileno()).st_size:
            return ""
        self._printed.seek(0)
        text = self._printed.read(2000).decode(errors="replace")
        self._printed.seek(0)  # the process shares the place
        self._printed.truncate()
        return text

    def _ask(self, kind: str, data: bytes, limit: float) -> Answer:
        assert self._process.stdin and self._process.stdout
        try:
            self._process.stdin.write(len(data).to_bytes(4, "little") + bytes([KINDS.index(kind)]) + data)
            self._process.stdin.flush()
            if not self._answers(limit):
                self._restart()
                return {"wrong": f"still at work after {limit:.0f} seconds"}
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = b""
        if not line:
            code = self._process.wait()
            self._restart()
            return {"wrong": f"the process died with exit code {code}"}
        answer: Answer = json.loads(line)
        return answer

    def _answers(self, limit: float) -> bool:
        """Waits for an answer; False where the process computes for longer than `limit`, or does nothing for so long.

        What others compute meanwhile does not count: the machine may be busy.
        """
        start = used = _seconds_used(self._process.pid)
        idle_since = time.monotonic()
        while not select.select([self._process.stdout], [], [], limit / 10)[0]:
            before, used = used, _seconds_used(self._process.pid)
            if used > before:
                idle_since = time.monotonic()
            if used - start > limit or time.monotonic() - idle_since > limit:
                return False
        return True

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()

    def _restart(self) -> None:
        self.close()
        self._start()

    def _start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, *self.command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._printed,
            cwd=ROOT,
            env={**os.environ, "SHEARLOC_MODELS": str(GOLDEN / "models"), **ONE_THREAD},
        )
        answers = [self.ask(seed.kind, seed.data, START_LIMIT) for seed in self.seeds]
        assert self._process.stdin
        self._process.stdin.write(LIMIT_NOW)
        for seed, answer in zip(self.seeds, answers, strict=True):
            if "wrong" in answer or (seed.kind in OURS and "pixels" not in answer):
                raise RuntimeError(f"the seed {seed.name} cannot be read: {answer}")
        self.digests = [answer.get("pixels", "") for answer in answers]


def _seconds_used(pid: int) -> float:
    """Processor time of a process so far; wall-clock time where that cannot be had."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return time.monotonic()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def judge(case: Case, answer: Answer, digests: list[str]) -> str | None:
    """What is wrong with an answer; None if nothing.

    The pixels of a file that is merely damaged must be the original's. A forged file may be another image's sound one.
    """
    if "wrong" in answer:
        return answer["wrong"]
    if "pixels" in answer and not case.forged:
        originals = {digest for parent in case.parents for digest in digests[parent].split()}
        if not originals.issuperset(answer["pixels"].split()):
            return "wrong pixels"
    return None


def outcome(answer: Answer) -> str:
    """A word for the statistics."""
    return "pixels" if "pixels" in answer else answer.get("refused", "WRONG")


def summary(counts: Counter[str]) -> str:
    """Outcomes and how many of each."""
    return ", ".join(f"{name} {count:,}" for name, count in counts.most_common())
