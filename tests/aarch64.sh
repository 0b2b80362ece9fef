#!/bin/bash
# Runs the golden files' tests on an emulated aarch64 processor: a Debian machine with qemu-user, apt and pip.
#
#     tests/aarch64.sh FOLDER [pytest's arguments]
#
# FOLDER gets Debian's Python for arm64 and the wheels, about 300 MB; what is there already is used again.
set -eu
folder=$(realpath -m "$1"); shift
here=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$folder"/{debs,root,wheels,site}

if [ ! -e "$folder/root/usr/bin/python3.11" ]; then
    dpkg --add-architecture arm64
    apt-get update -q
    packages="python3.11-minimal libpython3.11-minimal libpython3.11-stdlib libc6 libgcc-s1 libstdc++6 zlib1g libexpat1"
    packages="$packages libssl3 libffi8 libbz2-1.0 liblzma5 libuuid1 libcrypt1 libgomp1"
    (cd "$folder/debs" && apt-get download -q $(printf '%s:arm64 ' $packages))
    dpkg --remove-architecture arm64
    for package in "$folder"/debs/*.deb; do dpkg-deb -x "$package" "$folder/root"; done
fi
if [ ! -e "$folder/site/pytest" ]; then
    platforms=$(printf -- '--platform manylinux%s_aarch64 ' 2014 _2_17 _2_27 _2_28)
    pip download -q $platforms --python-version 3.11 --only-binary=:all: -d "$folder/wheels" -c "$here/constraints.txt" \
        numpy numba pillow safetensors platformdirs typer rich threadpoolctl pytest hypothesis
    for wheel in "$folder"/wheels/*.whl; do (cd "$folder/site" && unzip -qo "$wheel"); done
fi

cd "$here"
PYTHONPATH="$here:$folder/site" PYTHONDONTWRITEBYTECODE=1 NUMBA_CACHE_DIR="$folder/numba" \
    exec qemu-aarch64 -L "$folder/root" "$folder/root/usr/bin/python3.11" \
    -m pytest -q -p no:cacheprovider tests/golden/test_golden.py \
    --deselect tests/golden/test_golden.py::test_nothing_is_missing "$@"  # it starts Python by itself
