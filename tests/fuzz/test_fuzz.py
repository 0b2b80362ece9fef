"""A few hundred cases of fuzzing, and that the harness would notice what it is there for."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

import numpy as np
import pytest

import shearloc
from shearloc.codec.collections.index import HEAD as INDEX_HEAD
from shearloc.codec.collections.shards import HEAD as SHARD_HEAD
from shearloc.codec.formats import archive_header, container
from shearloc.codec.formats.container import Method
from shearloc.codec.formats.heads import Head
from shearloc.errors import CorruptError
from shearloc.models.registry import FAMILIES

from .damage import damage, varint
from .mutate import Case, case
from .seeds import GOLDEN, KINDS, Seed, collection_files, kind_of, seeds, shl_files
from .shards import join_index, join_shard, put_right, split_index, split_shard
from .shl import join, split
from .watch import ROOT, TIME_LIMIT, Worker, judge


def fuzz(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.fuzz", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)


def test_a_few_cases(tmp_path: Path) -> None:
    done = fuzz("--cases", 300, "--seed", 21, "--jobs", 1, "--keep", tmp_path / "findings")
    assert done.returncode == 0, done.stdout + done.stderr
    first, *kinds = done.stdout.splitlines()
    assert first.startswith("300 files in ") and first.endswith("findings: 0")
    assert [line.split(":")[0].strip() for line in kinds] == [*KINDS]
    assert all("Error" in line and "pixels" in line for line in kinds)
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
    for seed in shl_files():
        parts, payloads = split(seed.data)
        assert join(seed.data[:9], parts, payloads) == seed.data
        is_archive = seed.kind == "archive"
        header = archive_header.read(seed.data)[0] if is_archive else container.unpack_header(seed.data)[0]
        assert [part.content for part in parts if part.name == "height"] == [varint(header.height)]


def test_parts_make_the_collection_again() -> None:
    *shards, index = collection_files()
    assert [join_shard(split_shard(shard.data)) for shard in shards] == [shard.data for shard in shards]
    parts = split_index(index.data)
    put_right(*parts)
    assert join_index(*parts) == index.data


def test_seeds_are_of_every_kind() -> None:
    """All kinds of files, model families, archives of each method, embedded weights."""
    assert {seed.kind for seed in seeds()} == {*KINDS}
    headers = [archive_header.read(seed.data)[0] for seed in seeds() if seed.kind == "archive"]
    assert {header.method for header in headers} == {Method.RAW, *(f.method for f in FAMILIES if not f.deep)}
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
    files = shl_files()
    forged = [one for one in (case(files, Random(number)) for number in range(400)) if one.forged]
    reasons = [reason(one.data) for one in forged]
    assert sum("checksum" in text for text in reasons) < 0.1 * len(reasons)
    assert len(set(reasons)) > 15


def reason(data: bytes) -> str:
    try:
        if kind_of(data) == "archive":
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


@pytest.mark.parametrize("kind", ["shard", "index"])
def test_forged_collections_are_looked_at_closely(kind: str) -> None:
    """Most forgeries pass the checksums of heads, so that what is behind them is read."""
    files = [seed for seed in collection_files() if seed.kind == kind]
    head = INDEX_HEAD if kind == "index" else SHARD_HEAD
    forged = [one for one in (case(files, Random(number)) for number in range(200)) if one.forged]
    assert sum(opens(head, one.data) for one in forged) > 0.9 * len(forged)


def opens(head: Head, data: bytes) -> bool:
    try:
        head.open(data[: head.length])
    except shearloc.ShearlocError:
        return False
    return True


def test_images_too_large_for_the_worker_are_noticed() -> None:
    """Memory that a reader takes for a while counts, too."""
    code = "from shearloc.codec.pictures import files\nfrom shearloc.errors import UnsupportedImageError\n"
    code += "from tests.fuzz.worker import main\ndef parse(data, **options):\n"
    code += "    if data == b'much':\n        bytearray(b'x') * (60 << 20)\n"
    code += "    raise UnsupportedImageError('no')\nfiles.parse = parse\nmain()"
    worker = Worker([Seed("none", b"", "PNG")], ("-c", code))
    try:
        assert worker.ask("PNG", b"little") == {"refused": "UnsupportedImageError"}
        assert "MiB of memory" in worker.ask("PNG", b"much")["wrong"]
    finally:
        worker.close()


MISBEHAVIOUR = {
    "crash": ("os.kill(os.getpid(), signal.SIGSEGV)", "exit code -11"),
    "exit": ("os._exit(0)", "exit code 0"),
    "hang": ("time.sleep(60)", "still at work"),
    "another exception": ("1 / 0", "ZeroDivisionError"),
    "memory": ("bytearray(1 << 30)", "MemoryError"),
    "no message": ("raise shearloc.CorruptError", "without a message"),
    "wrong pixels": ("return Picture(~decode(sound).samples)", "wrong pixels"),
    "a message of two lines": ("raise shearloc.CorruptError('a\\nb')", "with a message"),
    "a print": ("os.write(1, b'beside'); raise shearloc.CorruptError('damaged')", "printed 'beside'"),
    "a warning": ("import warnings; warnings.warn('odd'); raise shearloc.CorruptError('damaged')", "UserWarning: odd"),
    "a hidden MemoryError": (
        "try:\n            bytearray(1 << 30)\n        except Exception as error:\n            "
        "raise shearloc.CorruptError('damaged') from error",
        "out of memory",
    ),
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
    wrong = judge(Case("picture", broken, (0,), False, ""), worker.ask("picture", broken, limit), worker.digests)
    assert wrong and MISBEHAVIOUR[kind][1] in wrong
    again = worker.ask("picture", seed.data)
    assert judge(Case("picture", seed.data, (0,), False, ""), again, worker.digests) is None
