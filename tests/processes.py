"""`shearloc` as a process of its own, for what only that shows: exit codes, both streams, signals, what is imported.

It is not a test itself. The same command in the test's process is the fixture `command`, which is quicker.
"""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

Child = subprocess.Popen[str]


def run(*arguments: object, folder: Path, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """The command to its end, in this folder; `options` are Python's."""
    command = [sys.executable, *options, "-m", "shearloc", *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)


def start(*arguments: object, folder: Path, before: str = "", prefix: tuple[str, ...] = (), **options: Any) -> Child:
    """The command after the Python lines `before`, with another command in front of it; `options` are Popen's."""
    code = f"{before}\nfrom shearloc.cli import main\nif __name__ == '__main__':\n    main()"
    return subprocess.Popen(
        [*prefix, sys.executable, "-c", code, *map(str, arguments)],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
        **options,
    )


def contents(folder: Path) -> dict[str, bytes]:
    """The files in a folder, without what killed processes leave."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.match(".shearloc-*.part")}
