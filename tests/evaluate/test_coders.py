"""The comparison of entropy coders: same symbols and tables for all, rates near the tables' own."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from shearloc.evaluate import coders


@pytest.fixture(scope="module", params=[1, 3000], ids=["shared", "rows"])
def case(request: pytest.FixtureRequest) -> coders.Case:
    return coders.make_case(3000, request.param)


def test_every_coder_gives_the_symbols_back_near_the_entropy(case: coders.Case) -> None:
    able = {name: coder for name, coder in coders.coders().items() if coder.codes(case)}
    rounds: list[int] = []
    rows = coders.measure([case], able, 2, lambda: rounds.append(1))
    assert len(rounds) == 3 and [row.coder for row in rows] == list(able)
    for row in rows:
        lanes = 32 if "32" in row.coder else 4
        assert row.exact and row.encode_ns > 0 and row.decode_ns > 0
        assert 0 <= row.bits_per_symbol - coders.entropy(case) < (64 * lanes + 64) / 3000, row.coder


def test_constriction_is_there_unless_it_is_told(case: coders.Case) -> None:
    pytest.importorskip("constriction")
    assert "constriction" not in coders.missing_coders()
    assert {"constriction, ANS", "constriction, range coder"} <= set(coders.coders())


def test_what_loses_symbols_is_seen(case: coders.Case) -> None:
    liar = coders.Coder(lambda case: np.zeros(1, np.uint32), lambda words, case: np.zeros(3000, np.int32))
    (row,) = coders.measure([case], {"liar": liar}, 1, lambda: None)
    assert not row.exact


def test_the_command(tmp_path: Path, command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """`shearloc bench --coder`: a table of each case, with all who can code it; wrong symbols are refused after it."""
    cases = [coders.make_case(1000, 1), coders.make_case(1000, 1000)]
    monkeypatch.setattr(coders, "cases", lambda: cases)
    monkeypatch.setattr(coders, "ROUNDS", 2)
    done = command("bench", "--coder", "--json", "a.json")
    missing = ", ".join(coders.missing_coders())
    assert (done.code, done.err) == (0, [f"shearloc: not installed, so not measured: {missing}"] if missing else [])
    found = json.loads((tmp_path / "a.json").read_text())
    able = [(case.name, name) for case in cases for name, coder in coders.coders().items() if coder.codes(case)]
    assert [(row["case"], row["coder"]) for row in found["rows"]] == able and found["rounds"] == 2
    told = [line for line in done.out if line.startswith(tuple(name for _, name in able))]
    assert len(told) == len(able)
    for row, line in zip(found["rows"], told, strict=True):
        assert line.startswith(row["coder"]) and line.endswith(f"{row['bits_per_symbol']:.5f}")
    for case in cases:
        assert any(line.startswith(f"{case.name}, {coders.entropy(case):.5f} bits each") for line in done.out)
    monkeypatch.setattr(coders, "_range_decode", lambda words, case: np.zeros_like(case.symbols))
    wrong = command("bench", "--coder")
    assert wrong.code == 1 and wrong.err[-1] == "shearloc: a coder did not give the symbols back"
    assert wrong.out[0] == done.out[0]


def test_adapter_for_craystack(case: coders.Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against a plain stand-in with craystack's interface: vectors of heads, one word out where a head is full."""
    monkeypatch.setattr(coders, "find_spec", lambda name: name == "craystack" or None)
    monkeypatch.setitem(__import__("sys").modules, "craystack", SimpleNamespace(rans=stand_in()))
    (name,) = [name for name in coders.coders() if name.startswith("craystack")]
    (row,) = coders.measure([case], {name: coders.coders()[name]}, 1, lambda: None)
    assert row.exact and row.bits_per_symbol < coders.entropy(case) + 64 * coders.CRAYSTACK_LANES / 3000


def stand_in() -> SimpleNamespace:
    """craystack.rans with messages as lists of (start, freq) and no compression."""

    def pop(message, precision):  # type: ignore[no-untyped-def]
        start, freq = message[-1]

        def rest(starts, freqs):  # type: ignore[no-untyped-def]
            assert (starts == start).all() and (freqs == freq).all()
            return message[:-1]

        return start + freq - 1, rest

    kept = []

    def flatten(message):  # type: ignore[no-untyped-def]
        kept[:] = message
        return np.zeros(1, np.uint32)

    return SimpleNamespace(
        base_message=lambda shape: [],
        push=lambda message, start, freq, precision: [*message, (start, freq)],
        pop=pop,
        flatten=flatten,
        unflatten=lambda words, shape: list(kept),
    )
