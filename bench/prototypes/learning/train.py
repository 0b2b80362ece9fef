"""Trains a start network: resumes by the same command. The learning rate follows the clock until --until.

    . ./env.sh; $PY train.py --name d192 --width 192 --layers 1 --until 10:40
"""
import os
os.environ.setdefault("NUMBA_CACHE_DIR", "/work/scratch/learn/.numba")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")
import argparse, math, time, json
from copy import deepcopy
from datetime import datetime
from pathlib import Path
import numpy as np, torch
import data
from shearloc.models import checkpoints
from shearloc.models.fitting import _update, _average, keep_freed_memory, mean_bits, optimizers, set_rates
from shearloc.models.local_float import LocalNet, Shape

HERE = Path("/work/scratch/learn/runs")

def parse():
    p = argparse.ArgumentParser()
    p.add_argument("--name", required=True)
    for f, d in dict(width=192, layers=1, components=5, head_width=32, horizon=3, reach=1, batch=8192).items():
        p.add_argument("--" + f.replace("_", "-"), type=int, default=d)
    p.add_argument("--rate", type=float, default=2e-3)
    p.add_argument("--until", help="HH:MM, when it ends")
    p.add_argument("--minutes", type=float)
    p.add_argument("--base", help="a .pt of a state dict, or 'photo'")
    p.add_argument("--no-level", action="store_true")
    p.add_argument("--exact", action="store_true", help="float32 products")
    return p.parse_args()

def main():
    a = parse()
    torch.set_num_threads(1); keep_freed_memory(); torch.manual_seed(1)
    shape = Shape(3, a.horizon, a.reach, a.width, a.layers, a.head_width, a.components, level=not a.no_level)
    net = LocalNet(shape)
    if a.base == "photo":
        net = from_photo(shape)
    elif a.base:
        net.load_state_dict(torch.load(a.base, weights_only=True))
    folder = HERE / a.name; folder.mkdir(parents=True, exist_ok=True)
    average, steppers = deepcopy(net), optimizers(net, a.rate)
    nets = {"net": net, "average": average}
    peaks = [g["lr"] for s in steppers for g in s.param_groups]
    progress = {"updates": 0, "start": time.time(), "done": 0.0, "bits": 8.0}
    progress |= checkpoints.load(folder / "checkpoint.pt", nets, steppers)
    if a.until:
        end = datetime.combine(datetime.now().date(), datetime.strptime(a.until, "%H:%M").time()).timestamp()
    else:
        end = time.time() + 60 * a.minutes
    training, held = data.load("train"), {k: data.load(k) for k in ("held_photos", "held_copies", "held_camera")}
    rng = np.random.default_rng([1, progress["updates"]])
    done0, began = progress["done"], time.time()
    saved = time.time()
    log = open(folder / "log.txt", "a")
    while True:
        # From where the run was, linear in time to 1 at the end.
        done = done0 + (1 - done0) * (time.time() - began) / max(1e-6, end - began)
        if done >= 1 or end <= began: break
        factor = min(1.0, (progress["updates"] + 1) / 100) * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * done)))
        set_rates(steppers, peaks, factor)
        bits = _update(net, steppers, net.draw(training, rng, a.batch), exact=a.exact)
        progress["updates"] += 1
        progress["done"] = done
        progress["bits"] += (bits - progress["bits"]) * max(0.01, 1 / progress["updates"])
        _average(average, net, progress["updates"])
        if time.time() - saved > 150 or progress["updates"] == 200:
            saved = time.time()
            report(log, progress, average, held, folder, nets, steppers)
    report(log, progress, average, held, folder, nets, steppers, 1 << 17)

def report(log, progress, average, held, folder, nets, steppers, count=1 << 15):
    checkpoints.save(folder / "checkpoint.pt", nets, steppers, progress)
    torch.save(average.state_dict(), folder / "float.tmp"); os.replace(folder / "float.tmp", folder / "float.pt")
    json.dump(average.shape.__dict__, open(folder / "shape.json", "w"))
    rates = " ".join(f"{k[5:]} {mean_bits(average, v, count):.4f}" for k, v in held.items())
    print(f"{time.strftime('%H:%M:%S')} {progress['done']:.3f} {progress['updates']} train {progress['bits']:.4f} {rates}", file=log, flush=True)

def from_photo(shape):
    """The shipped photo, restored, with the level inputs new where the shape has them."""
    from shearloc.models.train import start_from
    old = start_from("photo")
    net = LocalNet(shape)
    state = old.state_dict()
    first = torch.zeros_like(net.first.weight); first[:, :state["first.weight"].shape[1]] = state["first.weight"]
    state["first.weight"] = first; state["first_scale"] = torch.zeros(shape.width)
    net.load_state_dict(state)
    return net

if __name__ == "__main__":
    main()
