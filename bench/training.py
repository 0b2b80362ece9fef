"""Times updates of `photo` in training, products in float32 and in bfloat16 by turns: pixels a second on one thread.

    python bench/training.py FOLDER_OF_IMAGES
    ATEN_CPU_CAPABILITY=avx2 python bench/training.py FOLDER_OF_IMAGES --plain

torch multiplies bfloat16 by oneDNN where the processor has AVX-512, and by plain code elsewhere (its
ATen/native/mkldnn/Matmul.cpp, `mkldnn_bf16_device_check`). `--plain` switches oneDNN off, and so shows on a processor
with AVX-512 what others do. Products of float32 are MKL's either way.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch

from shearloc.training import number_types
from shearloc.training.fitting import _update, keep_freed_memory, optimizers, use_processors
from shearloc.training.images import PixelSet, load_data
from shearloc.training.train import start_from

BATCH, ROUNDS = 8192, 5


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--plain", action="store_true")
    args = parser.parse_args()
    use_processors(1)
    keep_freed_memory()
    torch.backends.mkldnn.enabled = not args.plain
    pixels, rng = PixelSet.of(list(load_data(args.folder, 3))), np.random.default_rng(1)
    runs = {kind: start_from("photo") for kind in (torch.float32, torch.bfloat16)}
    steppers = {kind: optimizers(net, 1e-4) for kind, net in runs.items()}
    seconds: dict[torch.dtype, list[float]] = {kind: [] for kind in runs}
    for _ in range(ROUNDS + 1):
        for kind, net in runs.items():
            number_types.products = lambda has=None, kind=kind: kind
            batch, began = net.draw(pixels, rng, BATCH), time.perf_counter()
            _update(net, steppers[kind], batch)
            seconds[kind].append(time.perf_counter() - began)
    speeds = [BATCH / float(np.median(times[1:])) for times in seconds.values()]
    print("float32 {:,.0f}, bfloat16 {:,.0f} pixels a second: {:.2f} times".format(*speeds, speeds[0] / speeds[1]))


if __name__ == "__main__":
    main()
