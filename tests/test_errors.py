"""Errors say what to do."""

from shearloc.errors import no_engine


def test_a_missing_engine() -> None:
    missing = str(no_engine("torch", ImportError("No module named 'torch'")))
    assert missing.endswith("(No module named 'torch'): pip install torch, or choose the engine numpy")
    assert str(no_engine("cuda", RuntimeError("no CUDA"))).endswith("(no CUDA): choose the engine numpy")
