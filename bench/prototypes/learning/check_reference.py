"""The kernels against the reference, threads against each other, on photographs, noise and hostile pictures."""
import sys, numpy as np
from dataclasses import replace
from online import load, held
from learning.export import export
from learning.codec import Codec
from learning.reference import Reference
rng = np.random.default_rng(0)
photo = held((0,))[0]
pictures = {
    "photo": photo[200:240, 200:231], "row": photo[100:101, :40], "column": photo[:40, 100:101], "pixel": photo[:1, :1],
    "noise": rng.integers(0, 256, (30, 33, 3)).astype(np.uint8), "flat": np.full((25, 20, 3), 255, np.uint8),
    "black and white": (255 * rng.integers(0, 2, (31, 20, 3))).astype(np.uint8), "stripes": np.tile(np.uint8([0, 255]), (30, 15))[..., None].repeat(3, 2),
}
for name in sys.argv[1:]:
    for every in (1, 3):
        start = export(load(name), name, every=every); start = replace(start, steps=replace(start.steps, second=.02))
        for label, image in pictures.items():
            image = np.ascontiguousarray(image)
            theirs = Reference(start, image).run(); ours = Codec(start, threads=1).frequencies(image[None])
            assert all((a == b).all() for a, b in zip(theirs, ours)), (name, every, label, (theirs[1] != ours[1]).sum(), np.argwhere(theirs[1] != ours[1])[:3])
            for threads in (1, 2, 3):
                c = Codec(start, threads=threads); p = c.encode(image[None]); assert (c.decode(p, (1, *image.shape[:2]))[0] == image).all()
                assert threads == 1 or p == before; before = p
            print(name, every, label, "equal", f"{8 * len(p) / image.size:.3f}", flush=True)
