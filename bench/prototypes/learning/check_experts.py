import numpy as np
from online import load, held
from learning.export import export
from learning.codec import Codec
photo = held((0,))[0][100:228, 100:260]
a, b = export(load("f64x1"), "f"), export(load("e64x1"), "e")
for starts in ((a,), (b,), (a, b)):
    before = None
    for threads in (1, 2, 3):
        c = Codec(*starts, threads=threads); p = c.encode(photo[None]); assert before in (None, p); before = p
        assert (c.decode(p, (1, *photo.shape[:2]))[0] == photo).all()
    print([s.name for s in starts], 8 * len(p) / photo.size, flush=True)
