"""Products are trained in bfloat16 only where the processor multiplies it."""

import pytest

torch = pytest.importorskip("torch")

from shearloc.training import number_types  # noqa: E402


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        ("avx2 fma", torch.float32),
        ("avx2 avx512f avx512bw avx512vnni", torch.float32),
        ("avx512bf16", torch.bfloat16),
        ("amx-tile amx-bf16", torch.bfloat16),
        ("neon bf16", torch.bfloat16),
        ("", torch.float32),
    ],
)
def test_by_the_processor(features: str, expected: torch.dtype) -> None:
    has = dict.fromkeys(features.split(), True) | {"avx10.1": False}
    assert number_types.products(has) == expected


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_products_have_it(monkeypatch: pytest.MonkeyPatch, kind: torch.dtype) -> None:
    monkeypatch.setattr(number_types, "products", lambda: kind)
    with number_types.quick():
        assert torch.nn.functional.linear(torch.ones(2, 3), torch.ones(4, 3)).dtype == kind
    assert number_types.name() == {torch.float32: "float32", torch.bfloat16: "bfloat16"}[kind]
