"""Least squares, solved anew for every sample: pictures of 16 bits. Nearly all is learned while decoding.

A sample's prediction is linear in its neighbours, and noise is what remains. docs/FORMAT.md gives every operation.
"""

from ..family import Family

FAMILY = Family(
    name="squares",
    method=7,
    format="shearloc-squares-1",
    precision=26,
    module=f"{__name__}.model",
    deep=True,
)
