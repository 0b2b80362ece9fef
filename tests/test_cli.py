"""The command line: what it prints, how it exits, and what it leaves behind.

In real processes, but for the refusals after the first of each kind: those come from the same `main` in this process.
"""

import json
import os
import select
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import shearloc
from shearloc.cli import progress
from shearloc.codec.formats import container
from shearloc.codec.pictures import files
from shearloc.codec.pictures.picture import Picture as Kept

from .processes import run, start

Picture = Callable[..., NDArray[np.uint8]]
Command = Callable[..., Any]


@pytest.fixture(scope="module")
def small(picture: Picture) -> bytes:
    """A `.shl` file that uses the photo model."""
    return shearloc.encode(picture(24, 32, 3))


@pytest.mark.parametrize("channels", [1, 3])
def test_there_and_back(tmp_path: Path, picture: Picture, channels: int) -> None:
    image = picture(24, 32, channels)
    Image.fromarray(image).save(tmp_path / "in.png")
    encoded = run("encode", "in.png", folder=tmp_path)
    assert (encoded.returncode, encoded.stderr) == (0, "")
    assert encoded.stdout.startswith("in.png ") and "bits per subpixel" in encoded.stdout
    assert encoded.stdout.count("\n") == 1
    decoded = run("decode", "in.shl", "back.tif", folder=tmp_path)
    assert (decoded.returncode, decoded.stderr) == (0, "")
    with Image.open(tmp_path / "back.tif") as back:
        assert np.array_equal(np.array(back), image)
    assert sorted(os.listdir(tmp_path)) == ["back.tif", "in.png", "in.shl"]
    assert (tmp_path / "in.shl").read_bytes() == shearloc.encode(image)


def test_every_kind_of_picture_comes_back(tmp_path: Path, picture: Picture) -> None:
    """A 16-bit RGBA with metadata, through real processes: the file that comes back has the same picture."""
    samples = picture(8, 9, 4).astype(np.uint16) * 201
    before = Kept(samples, 16, chunks=((b"gAMA", b"\0\0\xb1\x8f"), (b"tEXt", b"Title\0text")))
    files.save(tmp_path / "in.png", before)
    assert run("encode", "in.png", folder=tmp_path).returncode == 0
    decoded = run("decode", "in.shl", "back.png", folder=tmp_path)
    assert decoded.returncode == 0 and "9 x 8 16-bit RGBA" in decoded.stdout
    assert files.load(tmp_path / "back.png") == before
    refused = run("decode", "in.shl", "back.bmp", folder=tmp_path)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith("shearloc: back.bmp: .bmp does not keep 16-bit RGBA")
    assert refused.stderr.count("\n") == 1


def test_existing_output_is_kept_unless_forced(tmp_path: Path, small: bytes) -> None:
    (tmp_path / "a.shl").write_bytes(small)
    (tmp_path / "a.png").write_bytes(b"precious")
    refused = run("decode", "a.shl", folder=tmp_path)
    assert refused.returncode == 1 and "--force" in refused.stderr
    assert (tmp_path / "a.png").read_bytes() == b"precious"
    assert run("decode", "a.shl", "--force", folder=tmp_path).returncode == 0
    with Image.open(tmp_path / "a.png") as back:
        assert np.array_equal(np.array(back), shearloc.decode(small))


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["decode", "bad.shl", "out.png"], 1, "shearloc: bad.shl: "),
        (["info", "bad.shl"], 1, "shearloc: bad.shl: "),
        (["encode", "none.png"], 1, "shearloc: none.png: No such file"),
        (["paint"], 2, "Usage: shearloc "),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_refusals_of_real_processes(tmp_path: Path, small: bytes, arguments: list[str], code: int, told: str) -> None:
    """One of each kind; more of them are below, in this process."""
    (tmp_path / "bad.shl").write_bytes(small[:30])
    refused = run(*arguments, folder=tmp_path)
    assert (refused.returncode, refused.stdout) == (code, "")
    assert refused.stderr.startswith(told) and "Traceback" not in refused.stderr
    assert code == 2 or refused.stderr.count("\n") == 1
    assert os.listdir(tmp_path) == ["bad.shl"]


def test_input_is_never_overwritten(tmp_path: Path, command: Command, picture: Picture) -> None:
    Image.fromarray(picture(4, 4, 1)).save(tmp_path / "a.png")
    (tmp_path / "link.shl").symlink_to(tmp_path / "a.png")
    before = (tmp_path / "a.png").read_bytes()
    for arguments in (["a.png", "link.shl"], ["link.shl"]):
        assert_refused(command("encode", *arguments, "--force"), "link.shl: IN and OUT are the same file")
    assert len(command("encode", "a.png", "./a.png").out) == 1, "named twice is done once"
    assert (tmp_path / "a.png").read_bytes() == before and (tmp_path / "link.shl").is_symlink()


def other_model(data: bytes) -> bytes:
    from dataclasses import replace

    header, payloads = container.unpack(data)
    return container.pack(replace(header, parts=(replace(header.parts[0], fingerprint=b"elsewher"),)), payloads)


BAD_FILES: dict[str, tuple[Callable[[bytes], bytes], type[shearloc.ShearlocError]]] = {
    "not ours": (lambda data: b"GIF89a" + data, shearloc.FormatError),
    "empty": (lambda data: b"", shearloc.FormatError),
    "newer version": (lambda data: data[:8] + b"\x02" + data[9:], shearloc.FormatError),
    "newline translation": (lambda data: data.replace(b"\r\n", b"\n"), shearloc.FormatError),
    "cut in the signature": (lambda data: data[:5], shearloc.CorruptError),
    "cut in the header": (lambda data: data[:20], shearloc.CorruptError),
    "cut in the payload": (lambda data: data[:-40], shearloc.CorruptError),
    "bit in the header": (lambda data: data[:12] + bytes([data[12] ^ 1]) + data[13:], shearloc.CorruptError),
    "bit in the payload": (lambda data: data[:-9] + bytes([data[-9] ^ 8]) + data[-8:], shearloc.CorruptError),
    "bytes after the end": (lambda data: data + b"\0", shearloc.CorruptError),
    "wrong model": (other_model, shearloc.UnknownModelError),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_files(tmp_path: Path, command: Command, small: bytes, case: str) -> None:
    spoil, error = BAD_FILES[case]
    bad = spoil(small)
    with pytest.raises(error):
        shearloc.decode(bad)
    (tmp_path / "bad.shl").write_bytes(bad)
    assert_refused(command("decode", "bad.shl", "out.png"), "bad.shl: ")
    assert os.listdir(tmp_path) == ["bad.shl"]


def test_info_of_bad_files(tmp_path: Path, command: Command, small: bytes) -> None:
    for name, data in (("cut.shl", small[:30]), ("other.shl", b"hello")):
        (tmp_path / name).write_bytes(data)
        assert_refused(command("info", name), f"{name}: ")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["encode", "none.png"], "none.png: No such file"),
        (["decode", "none.shl"], "none.shl: No such file"),
        (["info", "none.shl"], "none.shl: No such file"),
        (["encode", "."], ".: is a folder; -r encodes each"),
        (["encode", ".", "out.shl"], ".: is a folder: `shearloc archive"),
        (["archive", "."], ".: empty.png: the file is empty"),
        (["encode", "in.png", "."], ".: is a folder; --out-dir . writes there"),
        (["encode", "in.png", "text.png/out.shl"], "text.png: is a file, not a folder"),
        (["encode", "in.shl", "out.shl"], "in.shl: a Shearloc file already: decode it"),
        (["encode", "empty.png"], "empty.png: the file is empty"),
        (["decode", "empty.png", "out.png"], "empty.png: the file is empty"),
        (["encode", "in.png", "a.shl", "-o", "b.shl"], "b.shl is one OUT for 2 files"),
        (["encode", "in.png", "-o", "b.shl", "--out-dir", "c"], "give an OUT or --out-dir, not both"),
        (["archive", "in.png"], "in.png: is one file"),
        (["encode", "*.gif"], "*.gif: no file has such a name"),
        (["verify", "*.gif"], "*.gif: no file has such a name"),
        (["verify", "."], ".: is a folder; -r takes all files in it"),
        (["encode", "in.png", "--model", "gray", "--steps", "3"], "--steps does nothing for 'gray'"),
        (
            ["encode", "in.png", "--model", "vae-cifar10", "--effort", "9"],
            "--effort does nothing for 'vae-cifar10'; it has --steps",
        ),
        (
            ["archive", "in.png", "--model", "vae-cifar10", "--effort", "9"],
            "--effort does nothing for 'vae-cifar10'; it has --steps",
        ),
        (["decode", "in.shl", "."], ".: is a folder; --out-dir . writes there"),
        (["decode", "in.shl", "folder.png", "--force"], "folder.png: is a folder; --out-dir"),
        (["decode", "in.shl", "out.jpg"], "out.jpg: write to one of"),
        (["decode", "in.shl", "out.pgm"], "out.pgm: .pgm does not keep"),
        (["decode", "in.shl", "--max-samples", "5", "out.png"], "in.shl: the image has"),
        (["encode", "in.jpg", "out.shl"], "in.jpg: a JPEG"),
        (["encode", "text.png", "out.shl"], "text.png: not an image"),
        (["encode", "in.png", "out.shl", "--model", "none"], "model 'none' is not installed"),
        (["encode", "in.png", "out.shl", "--model", "gray"], "in.png: model 'gray' is for"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_paths_and_images(
    tmp_path: Path, command: Command, small: bytes, picture: Picture, arguments: list[str], told: str
) -> None:
    Image.fromarray(picture(8, 8, 3)).save(tmp_path / "in.png")
    Image.fromarray(picture(8, 8, 3)).save(tmp_path / "in.jpg")
    (tmp_path / "in.shl").write_bytes(small)
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "empty.png").touch()
    (tmp_path / "folder.png").mkdir()
    before = sorted(os.listdir(tmp_path))
    assert_refused(command(*arguments), told)
    assert sorted(os.listdir(tmp_path)) == before


def assert_refused(done: Any, told: str) -> None:
    """Exit code 1, nothing on stdout, one line on stderr."""
    assert (done.code, done.out, len(done.err)) == (1, [], 1)
    assert done.err[0].startswith(f"shearloc: {told}")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["paint"],
        ["encode"],
        ["verify"],
        ["encode", "a", "--effort", "10"],
        ["decode", "a", "--engine", "abacus"],
    ],
)
def test_wrong_usage_exits_2(command: Command, arguments: list[str]) -> None:
    assert command(*arguments).code == 2


def test_info(tmp_path: Path, small: bytes) -> None:
    (tmp_path / "a.shl").write_bytes(small)
    listed = run("info", "a.shl", "--json", folder=tmp_path).stdout
    assert json.loads(listed) == json.loads(json.dumps(shearloc.info(small).to_dict()))
    plain = run("info", "a.shl", folder=tmp_path).stdout
    assert "method learning" in plain and "model colour-default-3" in plain and "bits per subpixel" in plain


def test_models(tmp_path: Path) -> None:
    listed = run("models", folder=tmp_path).stdout.splitlines()
    assert {"photo", "gray"} <= {line.split()[0] for line in listed}


def test_version_and_help(tmp_path: Path, command: Command) -> None:
    assert run("--version", folder=tmp_path).stdout == f"shearloc {shearloc.__version__}\n"
    for arguments in ([], ["encode"], ["decode"], ["info"], ["verify"]):
        shown = command(*arguments, "--help")
        assert (shown.code, shown.err) == (0, []) and "Examples:" in "\n".join(shown.out)


def test_help_and_info_stay_light(tmp_path: Path, small: bytes) -> None:
    (tmp_path / "a.shl").write_bytes(small)
    for arguments in (["--help"], ["info", "a.shl"]):
        done = run(*arguments, folder=tmp_path, options=("-X", "importtime"))
        assert done.returncode == 0
        imported = {line.split("|")[-1].strip().split(".")[0] for line in done.stderr.splitlines()}
        assert "shearloc" in imported
        assert not {"numba", "torch", "llvmlite", "PIL", "matplotlib", "rich", "platformdirs"} & imported
        # About 160 and 375 modules, of typer and NumPy nearly all: what would make them slow comes as modules.
        assert len(done.stderr.splitlines()) < (250 if arguments == ["--help"] else 480)


@pytest.mark.parametrize(
    ("words", "found"),
    [("shearloc dec", ["decode"]), ("shearloc bench --pe", ["--peer"]), ("shearloc encode --no-v", ["--no-verify"])],
)
def test_shell_completion(words: str, found: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As bash asks for it, after `shearloc --install-completion`."""
    monkeypatch.setenv("_SHEARLOC_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(words.count(" ")))
    assert run(folder=tmp_path).stdout.split() == found


def test_shell_completion_can_be_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_SHEARLOC_COMPLETE", "source_zsh")
    done = run(folder=tmp_path)
    assert done.returncode == 0 and done.stdout.lstrip().startswith("#compdef shearloc")


class Terminal:
    """A stderr that says it is a terminal, and remembers."""

    def __init__(self) -> None:
        self.text = ""

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None:
        pass


@pytest.mark.parametrize(("delay", "shown"), [(0.0, True), (60.0, False)])
@pytest.mark.parametrize("files", [1, 3])
def test_progress_bars_wait(monkeypatch: pytest.MonkeyPatch, delay: float, shown: bool, files: int) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(progress, "PROGRESS_AFTER", delay)
    with progress.progress_bars(files) as begin:
        for index in range(files):
            report = begin(index, f"decode [b]{index}.shl")
            assert report is not None
            for done in range(5):
                report(done, 4)
    assert (f"decode [b]{files - 1}.shl" in terminal.text) == shown
    assert ("files" in terminal.text) == (shown and files > 1)


def test_no_progress_bar_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.progress_bars(2) as begin:
        assert begin(0, "decode") is None


@pytest.mark.skipif(sys.platform == "win32", reason="pty is for Unix")
def test_lines_and_bars_share_a_terminal(tmp_path: Path, picture: Picture) -> None:
    """The lines go to stdout, whole, and the bars to the terminal that stderr is."""
    import pty

    for name in "ab":
        Image.fromarray(picture(40, 50, 3)).save(tmp_path / f"{name}.png")
    code = "from shearloc import cli; from shearloc.cli import progress; progress.PROGRESS_AFTER = 0; cli.main()"
    leader, follower = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-c", code, "encode", "a.png", "b.png"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=follower, text=True,
    )  # fmt: skip
    os.close(follower)
    parts = []
    try:
        with suppress(OSError):  # what Linux gives where the other end is closed
            while select.select([leader], [], [], 300)[0] and (part := os.read(leader, 1 << 16)):
                parts.append(part)
        out, _ = child.communicate(timeout=300)
    finally:
        child.kill()
        os.close(leader)
    drawn = b"".join(parts).decode()
    assert child.returncode == 0
    assert [line.split()[0] for line in out.splitlines()] == ["a.png", "b.png"]
    # The last file's name is drawn at the end at the latest, behind what is done with it last.
    assert "b.png" in drawn and "files" in drawn and "bits per subpixel" not in drawn


TELLS_OF_COMPILING = """
import sys
from numba.core import event

class Tell(event.Listener):
    def on_start(self, event):
        print("compiles", event.data["dispatcher"].py_func, file=sys.stderr)

    def on_end(self, event):
        pass

event.register("numba:compile", Tell())
"""


@pytest.mark.parametrize("model", ["photo", "vae-cifar10"])
def test_what_was_compiled_once_is_loaded(tmp_path: Path, picture: Picture, model: str) -> None:
    """A kernel that is not in Numba's cache would cost every command a fifth of a second."""
    if model == "photo":
        Image.fromarray(picture(80, 90, 3)).save(tmp_path / "in.png")
    else:
        np.save(tmp_path / "in.npy", np.stack([picture(32, 32, 3)] * 2))
    verb, source, back = ("encode", "in.png", "back.png") if model == "photo" else ("archive", "in.npy", "back.npy")
    for run_of in range(2):
        for arguments in ((verb, source, "in.shl", "--model", model), ("decode", "in.shl", back)):
            child = start(*arguments, "--force", folder=tmp_path, before=TELLS_OF_COMPILING)
            _, told = child.communicate(timeout=300)
            assert child.returncode == 0, told
            assert run_of == 0 or "compiles" not in told, told
