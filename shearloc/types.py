"""Types that every room uses: pixels, samples, sizes, and how progress is reported."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
"""8-bit images: uint8 [N, H, W, C], unless a docstring says otherwise."""

Samples = NDArray[Any]
"""uint8 or uint16."""

Size = tuple[int, int, int]
"""Images of one size: (N, H, W)."""

Progress = Callable[[int, int], None]
"""Called now and then with (done, total)."""
