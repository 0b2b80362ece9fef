"""Settings of the learner on held-out images, by the exact codec: tune.py NAME KEY=VALUE,... ..."""
import sys, time, numpy as np
from dataclasses import replace
from online import load, held
import data
from learning.export import export
from learning.codec import Codec
def pictures():
    photos = data.images("held_photos"); copies = data.images("held_copies"); camera = data.images("held_camera")
    return [photos[k] for k in (0, 1, 4, 6, 9)] + [photos[8]] + [copies[k][:384, :384] for k in (0, 4)] + [camera[0][:512, :512], camera[1][:512, :512]]
def rate(start, im):
    s, f = Codec(start, threads=1).frequencies(np.ascontiguousarray(im)[None]); return (24 - np.log2(f.astype(float))).sum() / im.size
if __name__ == "__main__":
    name = sys.argv[1]; base = export(load(name), name); ims = pictures(); first = None
    for setting in ["", *sys.argv[2:]]:
        k = {}
        for part in filter(None, setting.split(",")):
            a, b = part.split("="); k[a] = tuple(map(float, b.split("/"))) if a == "rates" else int(b) if a == "every" else float(b)
        start = replace(base, steps=replace(base.steps, **k))
        r = np.array([rate(start, i) for i in ims]); first = r if first is None else first
        d = 100 * np.log(r / first)
        print(f"{name} {setting or 'as it is'}: {r.mean():.4f}, photos {d[:5].mean():+.2f}% chart {d[5]:+.2f}% copies {d[6:8].mean():+.2f}% camera {d[8:].mean():+.2f}%", flush=True)
