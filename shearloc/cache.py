"""Where Numba keeps compiled code: a temporary folder if neither the package's nor the user's is writable.

Numba itself tries NUMBA_CACHE_DIR, the package's folder and the user's cache, and raises an error without any of them:
in a container or a service with a read-only installation and no home.
"""

import os
import stat
from contextlib import suppress
from pathlib import Path

note = ""
"""What was done, in words; empty where Numba finds a folder."""


def prepare() -> None:
    """Sets NUMBA_CACHE_DIR if that is needed. Call it before Numba is imported."""
    global note
    if os.environ.get("NUMBA_CACHE_DIR") or any(map(_is_writable, _usual_folders())):
        return
    import tempfile

    with suppress(OSError):
        folder = Path(tempfile.gettempdir()) / f"shearloc-numba-{os.getuid() if hasattr(os, 'getuid') else 0}"
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        # The code in there is run, so nobody else may have put it there.
        mine = not hasattr(os, "getuid") or (found.st_uid == os.getuid() and not found.st_mode & 0o022)
        if stat.S_ISDIR(found.st_mode) and mine:
            os.environ["NUMBA_CACHE_DIR"] = str(folder)
            note = (
                f"compiled code goes to {folder}, as no other folder can be written; NUMBA_CACHE_DIR names a better one"
            )


def _usual_folders() -> list[Path]:
    """Where Numba looks without NUMBA_CACHE_DIR."""
    inside = Path(__file__).parent / "coding"
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return [inside / "__pycache__", Path(home) / "numba"]


def _is_writable(folder: Path) -> bool:
    """Whether a folder exists, or can be made, and files can be written in it."""
    there = next((one for one in (folder, *folder.parents) if one.exists()), None)
    return there is not None and there.is_dir() and os.access(there, os.W_OK | os.X_OK)
