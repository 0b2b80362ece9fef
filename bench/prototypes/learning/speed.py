"""Processor time of one thread to encode and decode a held-out photo, and its code length: speed.py NAME..."""
import sys, time, numpy as np
from online import *
from learning.export import export
from learning.codec import Codec
from learning import tiles
im = held((0,))[0]
print(tiles.KIND)
for name in sys.argv[1:]:
    c = Codec(*[export(load(n), n) for n in name.split('+')], threads=1)
    c.encode(im[None,:16,:16])
    c.decode(c.encode(im[None,:16,:16]), (1,16,16))
    a = time.process_time(); p = c.encode(im[None]); b = time.process_time(); d = c.decode(p, (1, 512, 512)); e = time.process_time()
    assert (d[0] == im).all()
    us = lambda t: t * 1e6 / (512 * 512)
    print(f"{name}: {8*len(p)/im.size:.4f} bits, encode {us(b-a):.2f} decode {us(e-b):.2f} us of a core a pixel; decode on two cores at best {2*3/us(e-b):.2f} MB/s", flush=True)
