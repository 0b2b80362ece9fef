"""The integer gradient against autograd: cosine for each kind of parameter."""
import numpy as np, torch
from numba import njit
from shearloc.codec.cdf import mixture, tables
from shearloc.models.likelihoods import logistic_mixture_bits_plain
from learning.gradient import mixture_gradient
@njit
def run(params, values, sigmoid, exponential, inverse, out):
    k = params.shape[1] // 3
    w, m, v = np.empty(k, np.int64), np.empty(k, np.int64), np.empty(k, np.int64); s = np.empty((k, 3), np.int64)
    for i in range(values.size):
        mixture(params[i], exponential, inverse, w, m, v)
        mixture_gradient(np.int64(values[i]), params[i, 2*k:], w, m, v, sigmoid, s, out[i])
rng = np.random.default_rng(0); n, K = 20000, 5
for spread, low, high in ((2, -20, 60), (20, -20, 60), (60, -112, 128), (1, -112, -40)):
    values = rng.integers(0, 256, n); values[:500] = 0; values[500:1000] = 255
    params = np.empty((n, 3*K), np.int32)
    params[:, :K] = rng.normal(0, 40, (n, K)); params[:, K:2*K] = np.clip(64*values[:, None] + 64*spread*rng.normal(0, 1, (n, K)), -64*300, 64*500)
    params[:, 2*K:] = rng.integers(low, high, (n, K))
    out = np.empty((n, 3*K), np.float32); run(params, values, *tables(), out)
    t = torch.from_numpy(params).double()
    parts = [(t[:, :K]/32).requires_grad_(), (t[:, K:2*K]/64/16).requires_grad_(), (t[:, 2*K:]/32).requires_grad_()]
    bits = logistic_mixture_bits_plain(parts[0], parts[1]*16, parts[2], torch.from_numpy(values).double())
    (bits.sum() * np.log(2)).backward()
    ref = np.concatenate([p.grad.numpy() for p in parts], 1)
    cos = [float((ref[:, s] * out[:, s]).sum() / np.sqrt((ref[:, s]**2).sum() * (out[:, s].astype(float)**2).sum())) for s in (slice(0,K), slice(K,2*K), slice(2*K,None))]
    print(spread, low, high, "cosines: logits, means, log-scales", [f"{c:.6f}" for c in cos], "bits", float(bits.detach().mean()))
    assert np.isfinite(out).all() and min(cos) > .999
