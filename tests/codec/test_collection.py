"""Collections: names, shards and the index against plain models of them; damage; how little one image reads."""

import io
import os
import pickle
import random
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

import shearloc
from shearloc.codec import api, archive
from shearloc.codec.collections import collection as reading
from shearloc.codec.collections import index as indexes
from shearloc.codec.collections import names as packed_names
from shearloc.codec.collections import shards
from shearloc.codec.collections.cache import Cache
from shearloc.codec.collections.collection import Collection
from shearloc.codec.collections.shards import Record, ShardHead, Stream
from shearloc.coding.fields import varint
from shearloc.errors import CorruptError, FormatError, ShearlocError
from shearloc.jobs import collections
from shearloc.jobs import shards as packing
from shearloc.jobs.options import Encoding
from shearloc.jobs.sources import find

names_lists = st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=20), min_size=1, max_size=20)
HEAD = ShardHead(0, 5, bytes(range(16)))


@given(names_lists)
def test_names_come_back(names: list[str]) -> None:
    assert packed_names.unpack_names(packed_names.pack_names(names), len(names)) == names


@given(st.lists(st.integers(0, 1 << 40), min_size=1, max_size=50))
def test_differences_come_back(values: list[int]) -> None:
    packed = indexes._pack_differences(values)
    assert indexes._take_differences(io.BytesIO(packed), len(values)) == values


@given(st.binary(max_size=60), st.integers(0, 9))
def test_bytes_that_are_no_zlib_stream_are_refused(packed: bytes, count: int) -> None:
    with pytest.raises(CorruptError):
        packed_names.unpack_names(packed, count)


@given(st.lists(st.integers(0, 3), max_size=9).map(bytes), st.binary(max_size=30), st.integers(0, 4))
@example(b"\0\1\1\1", b"ab", 2)
def test_any_deflated_bytes_are_names_or_refused(lengths: bytes, text: bytes, count: int) -> None:
    """Lengths, most of them such as names have, and what follows them."""
    try:
        names = packed_names.unpack_names(zlib.compress(lengths + text), count)
    except CorruptError:
        return
    assert len(names) == count
    assert packed_names.unpack_names(packed_names.pack_names(names), count) == names


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"\0\1\xff", "UTF-8"),
        (b"\1\1a", "shares more"),
        (b"\0\1ab", "other bytes"),
        (b"\0\2a", "short"),
        (b"\0", "short"),
    ],
    ids=str,
)
def test_what_is_not_one_name_is_refused(content: bytes, told: str) -> None:
    assert packed_names.unpack_names(zlib.compress(b"\0\1a"), 1) == ["a"]
    with pytest.raises(CorruptError, match=told):
        packed_names.unpack_names(zlib.compress(content), 1)


def test_a_bomb_of_names_is_refused() -> None:
    with pytest.raises(CorruptError):
        packed_names.unpack_names(zlib.compress(bytes(1 << 24), 9), 2)


def test_the_cache_of_an_index_is_bounded(tmp_path: Path) -> None:
    """In bytes: 80 blocks of names of a kilobyte are 20 MB."""
    names = tuple(f"{k:05}" * 200 for k in range(80 * indexes.BLOCK_IMAGES))
    images = write_index(tmp_path, [Record(Stream(0, 37, 9, 1), names)])
    tracemalloc.start()
    try:
        assert sum(1 for _ in images.entries()) == len(names)
        assert tracemalloc.get_traced_memory()[1] < 12 << 20
    finally:
        tracemalloc.stop()


def write_index(folder: Path, records: list[Record]) -> Collection:
    folder.mkdir(exist_ok=True)
    (folder / indexes.INDEX).write_bytes(indexes.build_index(records))
    return Collection(folder)


@given(
    names=st.sets(st.text(st.characters(codec="utf-8"), min_size=1, max_size=6), min_size=1), seed=st.integers(0, 99)
)
def test_the_index_finds_every_image(names: set[str], seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Against a dictionary: names in any order, in streams of any size, in shards in any order."""
    draw = random.Random(seed)
    names |= {f"{name}/{k:03}" for name in list(names)[:2] for k in range(draw.choice([0, 300]))}
    shuffled = sorted(names)
    draw.shuffle(shuffled)
    records, expected, offset = [], {}, 37
    while shuffled:
        take, shuffled = shuffled[: (size := draw.randrange(1, 100))], shuffled[size:]
        stream = Stream(draw.randrange(3), offset, draw.randrange(1, 1 << 40), draw.randrange(1 << 32))
        offset += 1000
        records.append(Record(stream, tuple(take)))
        expected.update({name: (stream, k) for k, name in enumerate(take)})
    images = write_index(tmp_path_factory.mktemp("index"), records)
    assert indexes.build_index(records[::-1]) == indexes.build_index(records)
    assert len(images) == len(expected) and images.names == sorted(expected)
    entries = list(images.entries())
    assert [(entry.name, entry.stream, entry.position) for entry in entries] == [
        (name, *expected[name]) for name in sorted(expected)
    ]
    fresh = Collection(images.path)
    for number in draw.sample(range(len(images)), min(20, len(images))):
        assert fresh.entry(number) == fresh.entry(entries[number].name) == fresh.entry(number - len(images))
        assert fresh.entry(number) == entries[number]
    for other in ("", "no such name", "\U0010ffff", *(name + "\0" for name in list(names)[:3])):
        assert (other in fresh) == (other in names)


def test_numbers_and_names_that_are_not_there(tmp_path: Path) -> None:
    images = write_index(tmp_path, [Record(Stream(0, 37, 9, 1), ("a", "b"))])
    for number in (2, -3):
        with pytest.raises(IndexError, match="2 images"):
            images.entry(number)
    with pytest.raises(KeyError, match="no image 'c'"):
        images.entry("c")
    assert 3 not in images


def test_two_images_of_one_name_are_refused() -> None:
    records = [Record(Stream(k, 37, 9, 1), ("a",)) for k in range(2)]
    with pytest.raises(ShearlocError, match=r"'a', in shard-000000.shs and shard-000001.shs"):
        indexes.build_index(records)


SHARD_HEX = (
    "895348440d0a1a0a" "01" "00000000" "05000000" "000102030405060708090a0b0c0d0e0f" "600cc5f6"
    "53484c72" "02" "03" "67ba8eeb" "0f" "78da636064624c3434020001d200c9" "0065adfd" "78797a"
    "53484c65" "02" "e147b5b5"
)  # fmt: skip
INDEX_HEX = (
    "895348580d0a1a0a" "01" "0300000000000000" "0200000000000000" "00010000" "006e25e6"
    "00000000" "2500000000000000" "0900000000000000" "01000000"
    "01000000" "2500000000000000" "2c01000000000000" "02000000"
    "6500000000000000" "07000000" "21000000" "68fae8bc"
    "026131" "b486bd7e" "12" "78da6360646062644c34344a02000309012c" "78da636060626062040000130006"
)  # fmt: skip


def test_pinned_bytes(tmp_path: Path) -> None:
    """What was written once is read for ever, whatever today's zlib would write."""
    data = bytes.fromhex(SHARD_HEX)
    shard = read(tmp_path, data)
    assert shard == shards.Shard(HEAD, (Record(Stream(0, 67, 3, 0xEB8EBA67), ("a1", "a2")),), ())
    assert data.startswith(shards.pack_shard_head(HEAD)) and data.endswith(shards.pack_shard_end(2))
    (tmp_path / indexes.INDEX).write_bytes(bytes.fromhex(INDEX_HEX))
    streams = Stream(0, 37, 9, 1), Stream(1, 37, 300, 2)
    assert [(entry.name, entry.stream, entry.position) for entry in Collection(tmp_path).entries()] == [
        ("a1", streams[0], 0),
        ("a2", streams[0], 1),
        ("b", streams[1], 0),
    ]


# --- Shards -----------------------------------------------------------------------------------------------------


def gray(value: int, side: int = 4) -> NDArray[np.uint8]:
    return np.full((side, side), value, np.uint8)


@pytest.fixture(scope="module")
def shard() -> bytes:
    """A shard of an archive of three images, an image by itself, and another."""
    pieces = [shards.pack_shard_head(HEAD)]
    archived = archive.encode_images(np.stack([gray(k) for k in range(3)]), model="raw")
    pieces.append(shards.pack_record(["a", "b", "c"], archived))
    pieces += [shards.pack_record([name], api.encode(gray(9, 5))) for name in ("d", "e")]
    return b"".join([*pieces, shards.pack_shard_end(5)])


def read(folder: Path, data: bytes) -> shards.Shard:
    path = folder / shards.shard_name(0)
    path.write_bytes(data)
    return shards.read_shard(path)


def test_a_shard_is_read_without_an_index(tmp_path: Path, shard: bytes) -> None:
    found = read(tmp_path, shard)
    assert found.head == HEAD and not found.problems
    assert [record.names for record in found.records] == [("a", "b", "c"), ("d",), ("e",)]
    images = write_index(tmp_path, list(found.records))
    assert [image[0, 0] for image in images] == [0, 1, 2, 9, 9]
    assert images["e"].shape == (5, 5) and images[-1].flags.writeable
    assert images.picture("b").samples[0, 0] == 1 and images.picture("d").mode == "8-bit gray"


def test_a_shard_cut_anywhere_keeps_what_is_before(tmp_path: Path, shard: bytes) -> None:
    whole = read(tmp_path, shard).records
    for length in range(len(shard)):
        if length < len(shards.pack_shard_head(HEAD)):
            with pytest.raises(CorruptError, match="cut short"):
                read(tmp_path, shard[:length])
            continue
        found = read(tmp_path, shard[:length])
        kept = [record for record in whole if record.stream.offset + record.stream.length <= length]
        assert list(found.records) == kept
        assert found.problems and "cut short" in found.problems[-1]


def test_a_damaged_byte_costs_one_stream_at_most(tmp_path: Path, shard: bytes) -> None:
    whole = read(tmp_path, shard).records
    for at in range(len(shards.pack_shard_head(HEAD)), len(shard)):
        data = bytearray(shard)
        data[at] ^= 0x41
        found = read(tmp_path, bytes(data))
        assert found.problems
        assert set(found.records) <= set(whole) and len(found.records) >= len(whole) - 1
    for at in range(len(shards.pack_shard_head(HEAD))):
        data = bytearray(shard)
        data[at] ^= 0x41
        with pytest.raises((FormatError, CorruptError)):
            read(tmp_path, bytes(data))


def test_long_names(tmp_path: Path) -> None:
    """More of them than a reader looks at first."""
    names = sorted("ä" * 300 + random.Random(k).randbytes(200).hex() for k in range(300))
    pieces = [shards.pack_record(names, b"stream"), shards.pack_record(["b" * packed_names.NAME_BYTES], b"s")]
    data = b"".join([shards.pack_shard_head(HEAD), *pieces, shards.pack_shard_end(301)])
    found = read(tmp_path, data)
    assert not found.problems and [len(record.names) for record in found.records] == [300, 1]
    assert shards.read_shard(tmp_path / shards.shard_name(0), check=False) == found
    images = write_index(tmp_path, list(found.records))
    assert images.names == ["b" * packed_names.NAME_BYTES, *names] and images.entry(names[280]).position == 280


def test_bytes_after_the_end_are_told(tmp_path: Path, shard: bytes) -> None:
    assert "followed" in read(tmp_path, shard + b"more").problems[0]


def test_a_newer_version_is_told(tmp_path: Path, shard: bytes) -> None:
    data = bytearray(shard)
    data[8] = 2
    with pytest.raises(FormatError, match="newer"):
        read(tmp_path, bytes(data))


def test_a_damaged_index_is_told_and_never_gives_another_image(tmp_path: Path, shard: bytes) -> None:
    found = read(tmp_path, shard)
    values = dict(zip("abcde", (0, 1, 2, 9, 9), strict=True))
    index = indexes.build_index(found.records)
    path = tmp_path / indexes.INDEX
    for at in range(len(index)):
        data = bytearray(index)
        data[at] ^= 0x41
        path.write_bytes(data)
        told = 0
        for name, value in values.items():
            try:
                assert Collection(tmp_path)[name][0, 0] == value
            except (CorruptError, FormatError):
                told += 1
        assert told
    for length in range(len(index)):
        path.write_bytes(index[:length])
        with pytest.raises((CorruptError, FormatError)):
            list(Collection(tmp_path))


# --- Reading ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, NDArray[np.uint8]]:
    """10,000 images of 28 x 28 of noise, stored raw: the largest chunks that there are."""
    folder = tmp_path_factory.mktemp("many")
    images = np.random.default_rng(0).integers(0, 256, (10_000, 28, 28), np.uint8)
    np.save(folder / "noise.npy", images)
    tasks = packing.plan(find([folder / "noise.npy"]).items, folder / "out", Encoding("raw", verify=False), share=False)
    packing.prepare(tasks, folder / "out", force=False)
    assert sum(packing.pack_shard(task).images for task in tasks) == 10_000
    collections.write_index(folder / "out", [task.target for task in tasks])
    return folder / "out", images


class Counting:
    """A file that counts what is read from it."""

    total = 0

    def __init__(self, file: BinaryIO) -> None:
        self.file = file

    def read(self, size: int = -1) -> bytes:
        data = self.file.read(size)
        Counting.total += len(data)
        return data

    def seek(self, *where: int) -> int:
        return self.file.seek(*where)

    def __enter__(self) -> "Counting":
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()


def test_one_of_10_000_small_images_reads_at_most_64_kib(
    many: tuple[Path, NDArray[np.uint8]], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, images = many
    opened: Callable[[Path], BinaryIO] = indexes.open_file
    assert opened(folder / indexes.INDEX).read(1) == b"\x89"
    for module in (indexes, reading):
        monkeypatch.setattr(module, "open_file", lambda path: Counting(opened(path)))
    for number in random.Random(1).sample(range(10_000), 50):
        Counting.total = 0
        assert np.array_equal(Collection(folder)[f"{number:04}"], images[number])
        assert 28 * 28 < Counting.total <= 1 << 16
        Counting.total = 0
        assert np.array_equal(Collection(folder)[number], images[number])
        assert 28 * 28 < Counting.total <= 1 << 16


def test_what_is_decoded_is_kept_within_bounds(many: tuple[Path, NDArray[np.uint8]]) -> None:
    folder, images = many
    some = Collection(folder, cache_bytes=200_000)
    for number in (0, 3000, 6000, 9000, 1):
        assert np.array_equal(some[number], images[number])
        assert sum(one.result().nbytes for one in some._decoded._values.values()) == some._decoded._bytes <= 200_000
    some[1][:] = 0
    assert np.array_equal(some[1], images[1])


def test_pickled_forked_and_from_threads(many: tuple[Path, NDArray[np.uint8]]) -> None:
    folder, images = many
    first = Collection(folder, cache_bytes=123)
    assert np.array_equal(first[5], images[5])
    copy = pickle.loads(pickle.dumps(first))
    assert np.array_equal(copy["0005"], images[5]) and copy._options == first._options
    wrong: list[int] = []

    def look(seed: int) -> None:
        numbers = random.Random(seed).sample(range(10_000), 40)
        wrong.extend(k for k in numbers if not np.array_equal(first[k], images[k]))

    threads = [threading.Thread(target=look, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    if hasattr(os, "fork"):
        child = os.fork()
        if not child:
            code = 1
            try:
                code = 0 if np.array_equal(first[77], images[77]) else 1
            finally:
                os._exit(code)  # whatever was raised: the child must not go on as a second pytest
        assert os.waitpid(child, 0)[1] == 0


def test_no_collection_is_told(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="reindex"):
        shearloc.Collection(tmp_path)
    with pytest.raises(FileNotFoundError):
        shearloc.Collection(tmp_path / "missing")


def test_marks_are_found_across_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against `bytes.find`, with marks that lie across the ends of what is read at a time."""
    monkeypatch.setattr(shards, "_SEARCHED", 16)
    monkeypatch.setattr(shards, "_WINDOW", 8)
    draw = random.Random(3)
    for _ in range(200):
        data = b"".join(draw.choice([b"SHLr", b"SHLe", b"SHLx", b"S", b"0123"]) for _ in range(draw.randrange(1, 30)))
        start = draw.randrange(len(data))
        expected = [k for k in range(start, len(data)) if data[k : k + 4] in (shards.RECORD, shards.END)]
        found = list(shards._marks(io.BytesIO(data), start, len(data)))
        assert [at for at, _ in found] == expected
        assert all(data[at : at + 4] == window[:4] for at, window in found)


def false_marks(size: int) -> bytes:
    """A shard of so many bytes of what looks like records whose names go on to the end."""
    fields = shards.RECORD + b"\x01" + b"\x05" + bytes(4) + varint(1 << 26)
    return shards.pack_shard_head(HEAD) + (fields + b"\0" * 8) * (size // (len(fields) + 8))


def test_false_marks_are_read_in_linear_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is read, and what goes into messages, grows with the file and not with its square."""
    opened = shards.open_file
    monkeypatch.setattr(shards, "open_file", lambda path: Counting(opened(path)))
    for size in (1 << 20, 1 << 22):
        Counting.total = 0
        found = read(tmp_path, false_marks(size))
        assert not found.records and len(found.problems) == 2 and "cut short" in found.problems[-1]
        assert sum(map(len, found.problems)) < 300
        assert Counting.total <= 6 * size + (1 << 22)


def test_a_record_behind_false_marks_is_found(tmp_path: Path, shard: bytes) -> None:
    whole = read(tmp_path, shard).records
    junk = false_marks(10_000)[shards.HEAD.length :]
    found = read(tmp_path, shard[: shards.HEAD.length] + junk + shard[shards.HEAD.length :])
    assert [record.names for record in found.records] == [record.names for record in whole]
    assert found.problems[0].startswith(f"damaged from byte {shards.HEAD.length} to {shards.HEAD.length + len(junk):,}")


def test_an_index_of_bad_names_or_streams_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = write_index(tmp_path, [Record(Stream(0, 37, 9, 1), ("a", "b"))])._index
    with open(images.path, "rb") as file:
        for number in (-2, 1):
            with pytest.raises(CorruptError, match="index is damaged"):
                images._stream(file, number)
        monkeypatch.setattr(indexes, "crc32c", lambda data: 0)
        monkeypatch.setattr(indexes, "read_u32", lambda data, at: 0)
        monkeypatch.setattr(images, "_block_place", lambda file, block: (0, 7, 0, 0))
        for first in (b"\2\xff\xfe\0\0\0\0", b"\x09ab\0\0\0\0"):
            monkeypatch.setattr(indexes, "read_at", lambda file, at, size, first=first: first)
            with pytest.raises(CorruptError, match="index is damaged"):
                images._first_name(file, 0)


def test_a_picture_is_the_callers_own(many: tuple[Path, NDArray[np.uint8]]) -> None:
    folder, images = many
    some = Collection(folder)
    some.picture(7).samples[...] = 0
    assert np.array_equal(some[7], images[7]) and np.array_equal(some.picture(7).samples, images[7])


# --- As people use it -------------------------------------------------------------------------------------------


def test_as_a_list_and_as_a_dictionary(tmp_path: Path, shard: bytes) -> None:
    images = write_index(tmp_path, list(read(tmp_path, shard).records))
    values = [0, 1, 2, 9, 9]
    assert [image[0, 0] for image in images] == values and [image[0, 0] for image in reversed(images)] == values[::-1]
    for part in (slice(1, 3), slice(None, None, -1), slice(-2, None), slice(7, 9)):
        assert [image[0, 0] for image in images[part]] == values[part]
    assert images[np.int64(-1)].shape == (5, 5)
    assert images.keys() == images.names == list("abcde")
    assert [(name, image[0, 0]) for name, image in images.items()] == list(zip("abcde", values, strict=True))
    assert [image[0, 0] for image in images.values()] == values
    assert {name: image[0, 0] for name, image in dict(images).items()} == dict(zip("abcde", values, strict=True))
    assert images.get("b") is not None and images.get("nowhere") is None and images.get("nowhere", 7) == 7
    assert repr(images) == f"Collection('{tmp_path}', 5 images)"
    with pytest.raises(TypeError):
        images[1.5]  # type: ignore[call-overload]


def test_many_at_once_decode_each_stream_once(tmp_path: Path, shard: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    images = write_index(tmp_path, list(read(tmp_path, shard).records))
    images._decoded._most = 0  # nothing is kept but what is asked for at once
    decoded: list[Stream] = []
    real = Collection._decode
    monkeypatch.setattr(Collection, "_decode", lambda self, stream: decoded.append(stream) or real(self, stream))
    found = images.read_many(["d", 0, "b", -1, "c"])
    assert [image[0, 0] for image in found] == [9, 0, 1, 9, 2] and len(decoded) == 5
    images._decoded._most = 1 << 20
    decoded.clear()
    assert len(images.read_many(["d", 0, "b", -1, "c"])) == 5 and len(decoded) == 3


def test_a_negative_cache_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cache_bytes is 0 or more"):
        Collection(tmp_path, cache_bytes=-1)


def test_threads_never_make_a_value_twice() -> None:
    made: list[int] = []
    cache: Cache[int, bytes] = Cache(100, len)

    def make(key: int) -> bytes:
        made.append(key)
        time.sleep(0.05)
        if key < 0:
            raise KeyError(key)
        return bytes(40)

    with ThreadPoolExecutor(8) as pool:
        assert len({id(value) for value in pool.map(lambda _: cache.get(1, lambda: make(1)), range(8))}) == 1
        assert made == [1]
        failures = [pool.submit(cache.get, -1, lambda: make(-1)) for _ in range(8)]
        assert all(isinstance(one.exception(), KeyError) for one in failures)
    for key in (2, 3, 2, 1):
        cache.get(key, lambda key=key: make(key))  # type: ignore[misc]
    assert [key for key in made if key > 0] == [1, 2, 3, 1], "the oldest went when the third came"
    assert len(cache.get(9, lambda: bytes(101))) == 101 and list(cache._values) == [2, 1] and cache._bytes == 80
