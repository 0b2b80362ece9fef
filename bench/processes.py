"""Throughput of 8 processes that encode at once, over that of one: do threads that wait leave processors to others?

python bench/processes.py IMAGE [MODEL]
"""

import subprocess
import sys
import time

COUNT, SECONDS, START = 8, 12.0, 25.0
WORK = """
import sys, time, numpy as np, shearloc
from PIL import Image
name, model, begin, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4])
image = np.asarray(Image.open(name).convert("RGB"))
shearloc.encode(image, model=model)
time.sleep(max(0.0, begin - time.time()))
done, last = 0, time.time()
while last < begin + seconds:
    shearloc.encode(image, model=model)
    done, last = done + 1, time.time()
print(done * image.size / 1e6 / (last - begin))
"""


def rate(image: str, model: str, count: int) -> float:
    """MB/s of so many processes together. They begin at one time, after all have loaded their kernels."""
    arguments = [sys.executable, "-c", WORK, image, model, str(time.time() + START), str(SECONDS)]
    running = [subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) for _ in range(count)]
    return sum(float(process.communicate()[0]) for process in running)


def main() -> None:
    """Prints both, and the ratio."""
    image, model = sys.argv[1], (sys.argv[2:] or ["auto"])[0]
    one, many = rate(image, model, 1), rate(image, model, COUNT)
    print(f"{model}: 1 process {one:.2f} MB/s, {COUNT} processes {many:.2f} MB/s: {many / one:.2f} times")


if __name__ == "__main__":
    main()
