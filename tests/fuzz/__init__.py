"""Fuzzing of all readers: broken files of our formats and images, most of them with their checksums put right again.

Run by hand: `python -m tests.fuzz --seconds 60 --seed 1 --jobs 1` in the repository's root; `--help` tells the rest.

    seeds.py    files to start from: golden ones, a collection, images of every format
    mutate.py   draws what is done to them:
    damage.py       bytes changed as a bad disk does
    shl.py          pictures and archives forged
    shards.py       shards and indexes of collections forged
    images.py       image files changed
    worker.py   the process that reads, with its memory limited
    watch.py    feeds a worker, notices when it dies, hangs or prints, and judges what it says

Whatever a file holds, its reader must give the exact pixels or a ShearlocError, in little time and memory.
"""
