"""Gray and headless models against the reference; damaged payloads; several images at once; a saved model."""
import numpy as np, torch
from pathlib import Path
from online import load, held
from shearloc.models.local_float import LocalNet, Shape
from shearloc.errors import ShearlocError
from learning import model
from learning.export import export
from learning.codec import Codec
from learning.reference import Reference
torch.manual_seed(0); rng = np.random.default_rng(0)
photo = held((0,))[0]
def check(start, image, label):
    a, b = Reference(start, image).run(), Codec(start, threads=1).frequencies(image[None])
    assert all((x == y).all() for x, y in zip(a, b)), label
    p = Codec(start, threads=2).encode(image[None]); assert (Codec(start, threads=1).decode(p, (1, *image.shape[:2]))[0] == image).all()
    print(label, "equal", 8 * len(p) / image.size, flush=True)
gray = export(LocalNet(Shape(1, 3, 1, 64, 1, 0, 5, level=True)), "gray")
check(gray, np.ascontiguousarray(photo[100:140, 100:150, 1:2]), "gray")
check(export(LocalNet(Shape(3, 2, 1, 32, 1, 0, 3)), "headless"), np.ascontiguousarray(photo[100:130, 100:140]), "headless")
start = export(load("f64x1"), "f")
start.save(Path("/tmp/f.safetensors")); again = model.load(Path("/tmp/f.safetensors"))
images = np.stack([photo[:40, :30], photo[200:240, 100:130], photo[300:340, 100:130]])
p = Codec(start, threads=1).encode(images); assert Codec(again, threads=3).encode(images) == p
assert (Codec(again, threads=2).decode(p, images.shape[:3]) == images).all(); print("three images, saved model: equal", flush=True)
errors = 0
for k in range(40):
    bad = bytearray(p)
    if k % 2: bad[rng.integers(0, len(bad)) ] ^= 1 << rng.integers(0, 8)
    else: bad[8:] = rng.bytes(len(bad) - 8)
    try: Codec(start, threads=1).decode(bytes(bad), images.shape[:3])
    except ShearlocError: errors += 1
print("damaged:", errors, "of 40 refused", flush=True)
from learning import learner
kept = []
old = learner.begin
learner.begin = lambda s, n: kept.append(old(s, n)) or kept[-1]
for label, im in {"noise": rng.integers(0, 256, (1, 64, 64, 3)).astype(np.uint8), "ends": (255 * rng.integers(0, 2, (1, 64, 64, 3))).astype(np.uint8)}.items():
    Codec(start, threads=1).frequencies(im); s = kept[-1]
    assert all(np.isfinite(getattr(s, k)).all() for k in ("weights", "mean", "square", "peaks", "scales", "back")), label
    print(label, "finite; largest weight", np.abs(s.weights).max(), "largest square", s.square.max(), "peak", s.peaks.max(), flush=True)
