"""Fuzzing of the decoder: broken `.shl` files, most of them with their checksums put right again.

Run by hand: `python -m tests.fuzz --seconds 60 --seed 1 --jobs 1` in the repository's root; `--help` tells the rest.

    seeds.py    sound files to start from: the golden ones
    mutate.py   what is done to them
    worker.py   the process that decodes, with its memory limited
    watch.py    feeds a worker, notices when it dies or hangs, and judges what it says

Whatever a file holds, the decoder must give the exact pixels or a ShearlocError.
"""
