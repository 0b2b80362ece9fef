"""The results of `shearloc bench`: trials, results of an image, rows of contenders, and the whole contest."""

from dataclasses import dataclass, field
from statistics import fmean, median
from typing import Any


@dataclass(frozen=True)
class Trial:
    """One encoding and decoding. `peak_bytes`: the process's peak memory, None where the system does not say."""

    file_bytes: int
    exact: bool
    encode_seconds: float
    decode_seconds: float
    peak_bytes: int | None


@dataclass
class Result:
    """A contender's result on one image, or on all of them in one archive, with a time for each round."""

    image: str
    raw_bytes: int
    file_bytes: int
    exact: bool
    encode_seconds: list[float] = field(default_factory=list)
    decode_seconds: list[float] = field(default_factory=list)

    @property
    def bits_per_dimension(self) -> float:
        """Of the whole file."""
        return 8 * self.file_bytes / self.raw_bytes


@dataclass
class Row:
    """A contender and its results; `failures`: why it has none, by image."""

    name: str
    ours: bool
    results: dict[str, Result] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    peak_bytes: int | None = None

    @property
    def bits_per_dimension(self) -> float:
        """Mean over the images."""
        return fmean(result.bits_per_dimension for result in self.results.values())

    @property
    def encode_mb_s(self) -> float:
        """10^6 bytes of raw pixels a second: all images over the sum of their median times."""
        return self._raw_bytes / 1e6 / sum(median(result.encode_seconds) for result in self.results.values())

    @property
    def decode_mb_s(self) -> float:
        """As `encode_mb_s`."""
        return self._raw_bytes / 1e6 / sum(median(result.decode_seconds) for result in self.results.values())

    @property
    def inexact(self) -> list[str]:
        """The images that did not decode to the same pixels."""
        return [name for name, result in self.results.items() if not result.exact]

    @property
    def _raw_bytes(self) -> int:
        return sum(result.raw_bytes for result in self.results.values())

    def to_dict(self) -> dict[str, Any]:
        """All fields, ready for JSON."""
        summary: dict[str, Any] = {"name": self.name, "ours": self.ours, "peak_bytes": self.peak_bytes}
        if self.results:
            summary |= {
                "bits_per_dimension": self.bits_per_dimension,
                "encode_mb_s": self.encode_mb_s,
                "decode_mb_s": self.decode_mb_s,
                "inexact": self.inexact,
            }
        images = [vars(result) | {"bits_per_dimension": result.bits_per_dimension} for result in self.results.values()]
        return summary | {"failures": self.failures, "images": images}


YARDSTICKS = "JPEG XL effort 7", "JPEG XL effort 9"
"""Codecs that speeds are compared with: a ratio says more about another machine than megabytes a second do."""


@dataclass(frozen=True)
class Ratio:
    """How many times as fast a contender is as a yardstick, on the images that both coded."""

    name: str
    yardstick: str
    encode: float
    decode: float


@dataclass
class Contest:
    """One run: a row for each contender, and the files left out, with the reason."""

    rows: list[Row]
    images: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def ratios(self) -> list[Ratio]:
        """Each of our contenders against each yardstick that is there."""
        others = {row.name: row for row in self.rows if not row.ours}
        return [
            Ratio(row.name, name, *_times_as_fast(row, others[name]))
            for row in self.rows
            for name in YARDSTICKS
            if row.ours and name in others and row.results.keys() & others[name].results.keys()
        ]


def _times_as_fast(row: Row, other: Row) -> tuple[float, float]:
    """The other's time over the row's, encoding and decoding, summed over the images that both coded."""
    shared = row.results.keys() & other.results.keys()

    def seconds(of: Row, what: str) -> float:
        return sum(median(getattr(of.results[image], what)) for image in shared)

    both = "encode_seconds", "decode_seconds"
    encode, decode = (seconds(other, what) / seconds(row, what) for what in both)
    return encode, decode
