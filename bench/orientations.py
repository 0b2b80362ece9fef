"""What orientations are worth to models that learn: code lengths of pictures in all eight, as a Markdown table.

    python bench/orientations.py FOLDER... [--model colour-default] [--quick colour-fast]

Of each folder, the images held out of training; of each, the upper 512 x 768 pixels. The gain of a set of orientations
is that of the one in which the quick model takes the fewest bits.
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shearloc.models import orientation, zoo
from shearloc.models.family import How
from shearloc.training.images import load_folder, split

SETS = ((0,), (0, 5), (0, 1, 4, 5), tuple(range(8)))


def bits(name: str, images: list[NDArray[np.uint8]]) -> NDArray[np.int64]:
    """Code lengths of each image in each orientation, int64 [images, 8]."""
    model = zoo.load(name)
    return np.array([[model.lengths(orientation.laid(i[None], k), How()).images[0] for k in range(8)] for i in images])


def main() -> None:
    """Reads the arguments, and prints the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--model", default="colour-default")
    parser.add_argument("--quick", default="colour-fast")
    args = parser.parse_args()
    images = [image[:512, :768] for folder in args.folders for image in split(list(load_folder(folder, 3)))[1]]
    large, quick = bits(args.model, images), bits(args.quick, images)
    gains = 100 * np.log(large / large[:, :1])
    print("| tried | gain, % of each image | mean | median |\n|---|---|---|---|")
    for ways in SETS:
        choice = np.array(ways)[quick[:, ways].argmin(1)]
        gain = gains[np.arange(len(images)), choice]
        print(f"| {ways} | {' '.join(f'{-one:.2f}' for one in gain)} | {-gain.mean():.2f} | {-np.median(gain):.2f} |")
    print(f"| best for {args.model} | | {-gains.min(1).mean():.2f} | {-np.median(gains.min(1)):.2f} |")


if __name__ == "__main__":
    main()
