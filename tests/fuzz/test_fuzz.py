"""A few hundred cases of fuzzing, and that the harness would notice what it is there for."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

import numpy as np
import pytest

import shearloc
from shearloc.codec import archive
from shearloc.codec.formats import archive_header, container
from shearloc.codec.formats.container import Method
from shearloc.errors import CorruptError
from shearloc.models.registry import FAMILIES

from .mutate import Case, case, damage, join, split, varint
from .seeds import GOLDEN, Seed, seeds
from .watch import ROOT, TIME_LIMIT, Worker, judge


def fuzz(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.fuzz", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)


def test_a_few_cases(tmp_path: Path) -> None:
    done = fuzz("--cases", 300, "--seed", 20, "--jobs", 1, "--keep", tmp_path / "findings")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("300 files in ")
    assert done.stdout.endswith("findings: 0\n") and "CorruptError" in done.stdout and "pixels" in done.stdout
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["example", "archive-one"])
def test_all_bit_flips_of_a_golden_file(tmp_path: Path, name: str) -> None:
    """A local model's picture and an autoencoder's chain: every bit is covered by a checksum."""
    file = GOLDEN / f"{name}.shl"
    done = fuzz("--all-bit-flips", file, "--keep", tmp_path / "findings")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith(f"{8 * file.stat().st_size:,} files") and "pixels" not in done.stdout


def test_a_case_is_known_by_its_number() -> None:
    files = seeds()
    cases = [case(files, Random(f"3 {number}")) for number in range(300)]
    assert cases == [case(seeds(), Random(f"3 {number}")) for number in range(300)]
    assert len({one.data for one in cases}) > 280
    assert sum(one.forged for one in cases) > 150


def test_parts_make_the_file_again() -> None:
    for seed in seeds():
        parts, payloads = split(seed.data)
        assert join(seed.data[:9], parts, payloads) == seed.data
        is_archive = archive.is_archive(seed.data)
        header = archive_header.read(seed.data)[0] if is_archive else container.unpack_header(seed.data)[0]
        assert [part.content for part in parts if part.name == "height"] == [varint(header.height)]


def test_seeds_are_of_every_kind() -> None:
    """All model families, archives of each method, embedded weights."""
    headers = [archive_header.read(seed.data)[0] for seed in seeds() if archive.is_archive(seed.data)]
    assert {header.method for header in headers} == {Method.RAW, *(f.method for f in FAMILIES)}
    names = " ".join(seed.name for seed in seeds())
    for kind in (
        "local-rgb",
        "nelloc",
        "bernoulli-3",
        "logistic-3",
        "colour-3",
        "blocks",
        "adapted",
        "embedded",
        "convolution",
    ):
        assert kind in names


def test_forged_checksums_hold() -> None:
    """Most forged files are refused for what is in them, not for their checksums."""
    files = seeds()
    forged = [one for one in (case(files, Random(number)) for number in range(400)) if one.forged]
    reasons = [reason(one.data) for one in forged]
    assert sum("checksum" in text for text in reasons) < 0.1 * len(reasons)
    assert len(set(reasons)) > 15


def reason(data: bytes) -> str:
    try:
        if archive.is_archive(data):
            archive_header.read(data)
        else:
            container.unpack(data)
    except shearloc.ShearlocError as error:
        return str(error)
    return ""


def test_damage_is_found() -> None:
    seed, draw = seeds()[0], Random(5)
    for _ in range(300):
        broken = damage(seed.data, seed.data, draw, [])
        if broken != seed.data:
            with pytest.raises((CorruptError, shearloc.FormatError)):
                container.unpack(broken)


MISBEHAVIOUR = {
    "crash": ("os.kill(os.getpid(), signal.SIGSEGV)", "exit code -11"),
    "exit": ("os._exit(0)", "exit code 0"),
    "hang": ("time.sleep(60)", "still at work"),
    "another exception": ("1 / 0", "ZeroDivisionError"),
    "memory": ("bytearray(1 << 30)", "MemoryError"),
    "no message": ("raise shearloc.CorruptError", "without a message"),
    "wrong pixels": ("return Picture(~decode(sound).samples)", "wrong pixels"),
}


BROKEN_WORKER = """
import os, signal, time, shearloc
from shearloc.codec import api
from shearloc.codec.pictures.picture import Picture
from tests.fuzz.worker import main
sound, decode, info = {sound!r}, api.decode_picture, api.info
def broken(data, **options):
    if data == sound:
        return decode(data)
{actions}
api.decode_picture, api.info = broken, lambda data: info(sound)
main()
"""
"""What comes behind the sound file in a question is the kind of misbehaviour."""


@pytest.fixture(scope="module")
def broken_worker() -> Iterator[Worker]:
    """It has one seed, which it decodes; all else makes it misbehave."""
    sound = shearloc.encode(np.arange(12, dtype=np.uint8).reshape(3, 4))
    kinds = [
        f"    if data == sound + {kind.encode()!r}:\n        {action}" for kind, (action, _) in MISBEHAVIOUR.items()
    ]
    code = BROKEN_WORKER.format(sound=sound, actions="\n".join(kinds))
    worker = Worker([Seed("sound", sound)], ("-c", code))
    yield worker
    worker.close()


@pytest.mark.parametrize("kind", MISBEHAVIOUR)
def test_misbehaviour_is_noticed(broken_worker: Worker, kind: str) -> None:
    (seed,), worker = broken_worker.seeds, broken_worker
    broken = seed.data + kind.encode()
    limit = 2.0 if kind == "hang" else TIME_LIMIT
    wrong = judge(Case(broken, (0,), False, ""), worker.ask(broken, limit), worker.digests)
    assert wrong and MISBEHAVIOUR[kind][1] in wrong
    assert judge(Case(seed.data, (0,), False, ""), worker.ask(seed.data), worker.digests) is None  # it works again
