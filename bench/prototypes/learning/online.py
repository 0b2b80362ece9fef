"""Float prototype of a network that learns along the wavefront: ideal code lengths of held-out photos."""
import os
os.environ.setdefault("NUMBA_CACHE_DIR", "/work/scratch/learn/.numba"); os.environ.setdefault("NUMBA_NUM_THREADS", "1")
import json, math, time
from copy import deepcopy
from pathlib import Path
import numpy as np, torch
import data
from shearloc.codec.orders import shear, step_sizes, wavefront_positions
from shearloc.models.images import PixelSet
from shearloc.models.local_float import LocalNet, Shape, compand, linears
from shearloc.models.likelihoods import linear_mixture_bits
from shearloc.models.quantize import ACTIVATION_MAX

torch.set_num_threads(1)
RUNS = Path("/work/scratch/learn/runs")

def load(name):
    if name == "photo":
        from train import from_photo
        return from_photo(Shape(3, 3, 1, 256, 2, 32, 5))
    s = json.load(open(RUNS / name / "shape.json")); net = LocalNet(Shape(**s))
    net.load_state_dict(torch.load(RUNS / name / "float.pt", weights_only=True)); return net

def walk(net, image):
    """Inputs, predictions, values in the order of coding, and the sizes of the steps."""
    h, w, _ = image.shape; o = shear(net.offsets)
    order = np.argsort(np.empty(0)) if False else wavefront_positions(1, h, w, o)
    pos = order  # where each pixel of the coding order lies
    s = PixelSet.of([image])
    x, p, v = s.contexts(pos, np.zeros_like(pos), net.offsets, net.predictor)
    return torch.from_numpy(x), torch.from_numpy(p), torch.from_numpy(v), step_sizes(1, h, w, o)

def groups(net, which):
    """Parameters that learn: 'last' (out), 'all', 'all-nohead', 'biases'."""
    named = dict(net.named_parameters())
    if which == "last": keep = [k for k in named if k.startswith("out")]
    elif which == "last+adjust": keep = [k for k in named if k.startswith(("out", "adjust", "learn"))]
    elif which == "all": keep = list(named)
    elif which == "nohead": keep = [k for k in named if not k.startswith(("learn", "adjust"))]
    elif which == "nofirst": keep = [k for k in named if not k.startswith("first")]
    else: raise ValueError(which)
    return {k: named[k] for k in keep}

class Adam:
    """Element-wise float32, as the format would have it."""
    slow = None
    def __init__(self, ps, rate, b1, b2, eps=1e-8, v0=None):
        self.ps, self.rate, self.b1, self.b2, self.eps = ps, rate, b1, b2, eps
        self.m = [torch.zeros_like(p) for p in ps]; self.v = [torch.zeros_like(p) for p in ps] if v0 is None else [x.clone() for x in v0]
        self.t = 0; self.warm = v0 is not None
    def step(self, gs, factor=1.0):
        self.t += 1
        before = {i: self.ps[i].clone() for i in self.slow} if self.slow else {}
        c1 = 1 - self.b1 ** self.t; c2 = 1.0 if self.warm else 1 - self.b2 ** self.t
        torch._foreach_lerp_(self.m, gs, 1 - self.b1)
        torch._foreach_mul_(self.v, self.b2); torch._foreach_addcmul_(self.v, gs, gs, 1 - self.b2)
        d = torch._foreach_div(self.v, c2); torch._foreach_sqrt_(d); torch._foreach_add_(d, self.eps)
        torch._foreach_addcdiv_(self.ps, self.m, d, -self.rate * factor / c1)
        for i, b in before.items(): self.ps[i].lerp_(b, 1 - self.slow[i])

def learn(net, image, which="all", rate=3e-4, b1=0.8, b2=0.99, every=1, use=1.0, floor=300, schedule=None, clip=None, static=False, scales=None, trace=None, optimiser=Adam, v0=None, skip=None, slow=None, keep=None, replay=0, recent=None):
    """Bits per subpixel of a learning walk. `every`: steps per update; `use`: share of steps whose gradient counts."""
    net = deepcopy(net)
    x, p, v, sizes = walk(net, image)
    named = groups(net, which)
    for k, q in net.named_parameters(): q.requires_grad_(k in named and not static)
    ps = list(named.values()); opt = optimiser([q.data for q in ps], rate, b1, b2, v0=v0 and [v0[k] for k in named]) if not static else None
    if skip is not None: opt.slow = {i: skip for i, k in enumerate(named) if 'skip' in k}
    if slow: opt.slow = {i: f for i, k in enumerate(named) for s, f in slow.items() if k.startswith(s)}
    ends = np.cumsum(sizes); n = len(ends); total = 0.0; begin = 0; t = 0
    per = []
    if static: every = 40
    while t < n:
        stop = min(n, t + every); end = int(ends[stop - 1])
        part = slice(begin, end)
        if static:
            with torch.no_grad(): total += float(net(x[part], p[part], v[part]).double().sum())
        else:
            bits = net(x[part], p[part], v[part])
            total += float(bits.detach().double().sum())
            if keep is not None: keep.append(bits.detach())
            if use >= 1 or (t // every) % round(1 / use) == 0:
                (bits.sum() / 3 / max(floor, end - begin)).backward()
                gs = [q.grad for q in ps]
                if scales: 
                    for g, k in zip(gs, named): g.mul_(scales.get(k, 1.0))
                opt.step(gs, schedule(end / x.shape[0], opt.t) if schedule else 1.0)
                for q in ps: q.grad = None
                for _ in range(replay):
                    first = max(0, end - recent) if recent else 0
                    index = torch.randint(first, end, (max(64, end - begin),))
                    (net(x[index], p[index], v[index]).sum() / 3 / max(floor, end - begin)).backward()
                    opt.step([q.grad for q in ps], 1.0)
                    for q in ps: q.grad = None
        if trace is not None: per.append((end, total))
        begin, t = end, stop
    if trace is not None: trace.append(per)
    return total / (3 * x.shape[0])

PICK = (0, 2, 4, 6, 8)
def held(k=PICK): 
    im = data.images("held_photos"); return [im[i] for i in k]

def report(label, net, images, **kw):
    t = time.time(); r = [learn(net, i, **kw) for i in images]
    line = f"{label}: {np.mean(r):.4f}  " + " ".join(f"{a:.3f}" for a in r) + f"  ({time.time()-t:.0f} s)"
    print(line, flush=True); return np.mean(r)
