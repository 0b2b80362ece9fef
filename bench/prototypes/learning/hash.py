"""The payload's hash by the classes: the same on every processor."""
import hashlib, numpy as np
from pathlib import Path
from online import held
from learning import model, tiles
from learning.codec import Codec
im = np.ascontiguousarray(held((0,))[0][100:196, 100:228]); S = {n: model.load(Path(f"final/{n}.safetensors")) for n in ("fast", "default", "max")}
print(tiles.KIND)
for names in (("fast",), ("default",), ("max", "default")):
    for threads in (1, 2):
        c = Codec(*[S[n] for n in names], threads=threads); p = c.encode(im[None]); assert (c.decode(p, (1, *im.shape[:2]))[0] == im).all()
        print(names, threads, len(p), hashlib.sha256(p).hexdigest()[:16], flush=True)
