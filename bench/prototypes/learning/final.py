"""Exports the three starts with the settings that `tune.py` chose: final/{fast,default,max}.safetensors, and the floats."""
import shutil
from online import load, RUNS
from pathlib import Path
from learning.export import export
CHOSEN = {"fast": ("f64x1", (1e-3, 3e-4)), "default": ("d192x1", (6e-4, 1.5e-4)), "max": ("m256x2", (3e-4, 6e-4, 1.5e-4))}
if __name__ == "__main__":
    out = Path("final"); out.mkdir(exist_ok=True)
    for name, (run, rates) in CHOSEN.items():
        from dataclasses import replace
        start = export(load(run), name); start = replace(start, steps=replace(start.steps, rates=rates)); start.save(out / f"{name}.safetensors")
        shutil.copy(RUNS / run / "float.pt", out / f"{name}.pt"); shutil.copy(RUNS / run / "shape.json", out / f"{name}.shape.json")
        print(name, run, [l.weight.shape for l in start.layers], [l.bits for l in start.layers], (out / f"{name}.safetensors").stat().st_size)
