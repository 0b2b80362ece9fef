import numpy as np, time
from numba import njit
from learning.tiles import *
from learning import tiles
@njit
def fwd(x, w, s, out, k):
    sums_into(np.int64(x.ctypes.data), 2*x.shape[1], 4, np.int64(w.ctypes.data), 4*w.shape[1], x.shape[1]//2, x.shape[0], w.shape[1], np.int64(out.ctypes.data), 4*out.shape[1], np.int64(s.ctypes.data), 0)
@njit
def lev(x, w, s, out, k):
    levels_into(np.int64(x.ctypes.data), 2*x.shape[1], 4, np.int64(w.ctypes.data), 4*w.shape[1], x.shape[1]//2, x.shape[0], w.shape[1], np.int64(out.ctypes.data), 2*out.shape[1], np.int64(s.ctypes.data), k)
@njit
def dw(x, y, out):  # x [n/2][H][2], y [n/2][O][2]
    sums_onto(np.int64(x.ctypes.data), 4, 4*x.shape[1], np.int64(y.ctypes.data), 4*y.shape[1], x.shape[0], out.shape[0], out.shape[1], np.int64(out.ctypes.data), 4*out.shape[1], 0, 0)
rng = np.random.default_rng(0)
print(tiles.KIND)
n, I, O = 110, 194, 128
x = rng.integers(0, 256, (n, I)).astype(np.int16); W = rng.integers(-20000, 20000, (I, O)).astype(np.int16)
w = np.ascontiguousarray(W.reshape(I//2, 2, O).transpose(0, 2, 1)); s = rng.integers(-1000, 1000, O).astype(np.int32)
out = np.empty((n, O), np.int32); fwd(x, w, s, out, 0)
ref = x.astype(np.int64) @ W + s; assert (out == ref).all()
l = np.empty((n, O), np.int16); lev(x, w, s, l, 14); assert (l == np.clip((ref + 8192) >> 14, 0, 255)).all()
xi = np.ascontiguousarray(x.reshape(n//2, 2, I).transpose(0, 2, 1)); y = rng.integers(-1023, 1024, (n, O)).astype(np.int16)
yi = np.ascontiguousarray(y.reshape(n//2, 2, O).transpose(0, 2, 1)); g = np.zeros((I, O), np.int32); dw(xi, yi, g)
assert (g == x.T.astype(np.int64) @ y).all()
for f, a in ((fwd, (x, w, s, out, 0)), (lev, (x, w, s, l, 14)), (dw, (xi, yi, g))):
    best = 1e9
    for _ in range(20):
        t = time.perf_counter()
        for _ in range(50): f(*a)
        best = min(best, (time.perf_counter()-t)/50)
    print(f"{2*n*I*O/best/1e9:.0f} Gop/s")
