"""Builds the training and held-out pixels once, as .npy files that processes share by mapping them."""
import os, sys
os.environ.setdefault("NUMBA_CACHE_DIR", "/work/scratch/learn/.numba")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")
from functools import partial
from pathlib import Path
import numpy as np
from shearloc.models.images import PixelSet, camera_like, load_folder, split

HERE = Path("/work/scratch/learn")
DATA = Path("/work/shared/data")
FIELDS = ("pixels", "starts", "heights", "widths", "ends")

def build():
    rng = np.random.default_rng(1)
    training, held = [], {}
    for folder in ("photos", "imagenet-jpeg", "web", "camera"):
        images = list(load_folder(DATA / folder, 3))
        keep, out = split(images)
        print(folder, len(images), sum(i.shape[0]*i.shape[1] for i in keep) / 1e6, flush=True)
        training += keep
        held[folder] = out
    copies = [camera_like(image, rng) for image in training]
    save("train", PixelSet.of(training + copies))
    mixed = held["photos"] + held["web"] + held["camera"]
    save("held_mixed", PixelSet.of(mixed))
    save("held_photos", PixelSet.of(held["photos"]))
    rng = np.random.default_rng(2)
    save("held_copies", PixelSet.of([camera_like(image, rng) for image in held["photos"]]))
    save("held_camera", PixelSet.of(held["camera"]))

def save(name, pixels):
    for f in FIELDS:
        np.save(HERE / f"cache/{name}.{f}.npy", getattr(pixels, f))

def load(name):
    arrays = [np.load(HERE / f"cache/{name}.{f}.npy", mmap_mode="r" if f == "pixels" else None) for f in FIELDS]
    arrays[0] = np.asarray(arrays[0])
    return PixelSet(*arrays, 3)

def images(name):
    s = load(name)
    return [np.array(s.pixels[a:a + h*w*3]).reshape(h, w, 3) for a, h, w in zip(s.starts, s.heights, s.widths)]

if __name__ == "__main__":
    (HERE / "cache").mkdir(exist_ok=True)
    build()
