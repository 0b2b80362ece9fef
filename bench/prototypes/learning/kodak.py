"""Measures (never tunes): real payload bytes of Kodak with the exact learner. kodak.py CHECKPOINT..."""
import sys, time, numpy as np
from pathlib import Path
from PIL import Image
from learning import model
E = lambda m: model.load(Path(f"final/{m}.safetensors"), m)
from learning.codec import Codec
HEADER = 40
files = sorted(Path("/work/shared/data/kodak").glob("*.png"))
files = [files[k] for k in (0, 3, 7, 12, 18, 22)] + [f for i, f in enumerate(files) if i not in (0, 3, 7, 12, 18, 22)]
todo = {n: Codec(*[E(m) for m in n.split("+")], threads=1) for n in sys.argv[1:]}
got = {n: [] for n in todo}
for k, f in enumerate(files):
    im = np.asarray(Image.open(f).convert("RGB"))
    for n, c in todo.items():
        a = time.process_time(); p = c.encode(im[None]); b = time.process_time() - a
        got[n].append((8 * (len(p) + HEADER) / im.size, im.size / b / 1e6))
    print(k + 1, f.stem, " ".join(f"{n} {g[-1][0]:.4f} (mean {np.mean([x[0] for x in g]):.4f}, {g[-1][1]:.2f} MB/s of a core)" for n, g in got.items()), flush=True)
