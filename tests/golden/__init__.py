"""Files of version 1 that every later decoder must read: what they hold is in `golden.json`, by checksum.

    *.shl             files: pictures and archives
    models/           the tiny models that they were coded with, which SHEARLOC_MODELS names when they are decoded
    golden.json       for each file: its own checksum, what it holds, and the checksum of that
    make.py           made them, and adds new ones; it never writes over an existing one
    second.py         another decoder, written from docs/FORMAT.md alone
    example.py        the worked example in docs/FORMAT.md, computed

Changing a file, or its line in `golden.json`, is never the way to make a test pass: the decoder is wrong then, or the
format needs a new version.
"""
