"""The tiles for ARM: compiled for it here, and run where qemu and a compiler for ARM are installed (Debian: qemu-user,
gcc-aarch64-linux-gnu, libc6-dev-arm64-cross).
"""

import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from llvmlite import binding, ir
from numba import types

from shearloc.nets.layers import Dense, requantize
from shearloc.nets.products import ROWS, kind_for, rounding
from shearloc.nets.tiles import Kind, tile

KIND = Kind(4, 4, "llvm.aarch64.neon.sdot.v4i32.v16i8", signed=True)


@pytest.fixture(scope="module")
def machine() -> binding.TargetMachine:
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    try:
        target = binding.Target.from_triple("aarch64-linux-gnu")
    except RuntimeError:
        pytest.skip("this LLVM does not compile for ARM")
    return target.create_target_machine(features="+neon,+dotprod", opt=3, reloc="pic")


def compiled(machine: binding.TargetMachine, rows: int) -> binding.ModuleRef:
    """The functions `sums` and `levels`: tiles of so many rows."""
    module = ir.Module()
    module.triple = "aarch64-linux-gnu"
    number = ir.IntType(64)
    for name in ("sums", "levels"):
        function = ir.Function(module, ir.FunctionType(ir.VoidType(), [number] * 10), name)
        builder = ir.IRBuilder(function.append_basic_block())
        _, generate = tile(rows, name == "levels", KIND)._defn(None, *[types.int64] * 10)
        generate(SimpleNamespace(get_dummy_value=lambda: None), builder, None, function.args)
        builder.ret_void()
    whole = binding.parse_assembly(str(module))
    whole.verify()
    return whole


def test_the_kind_for_arm() -> None:
    assert kind_for({"neon": True, "dotprod": True}) == KIND
    assert kind_for({"neon": True}).dot is None


def test_one_instruction_for_four_products(machine: binding.TargetMachine) -> None:
    """A step of a tile: a `sdot` for each vector of sums, and little beside."""
    assembly = machine.emit_assembly(compiled(machine, ROWS))
    body = assembly.split("sums:")[1].split("ret")[0].splitlines()
    at = [k for k, line in enumerate(body) if "sdot" in line]
    assert len(at) == ROWS * KIND.vectors
    # from the step's first instruction to its branch back
    first = max(k for k, line in enumerate(body) if line.startswith(".LBB") and k < at[0])
    last = next(k for k, line in enumerate(body) if k > at[-1] and line.strip().startswith("b."))
    instructions = [line for line in body[first:last] if line.startswith("\t") and not line.strip().startswith(".")]
    assert len(instructions) <= 2 * ROWS * KIND.vectors


@pytest.mark.parametrize("rows", [1, ROWS])
def test_what_it_computes(machine: binding.TargetMachine, rows: int, tmp_path: Path) -> None:
    compiler, qemu = shutil.which("aarch64-linux-gnu-gcc"), shutil.which("qemu-aarch64")
    if not compiler or not qemu:
        pytest.skip("qemu-aarch64 and aarch64-linux-gnu-gcc are not both installed")
    (tmp_path / "tiles.o").write_bytes(machine.emit_object(compiled(machine, rows)))
    source, program = Path(__file__).with_name("arm.c"), tmp_path / "program"
    subprocess.run([compiler, "-static", "-o", program, source, tmp_path / "tiles.o"], check=True)
    rng = np.random.default_rng(rows)
    size, columns = 52, KIND.columns
    x = rng.integers(-128, 128, (rows, size)).astype(np.int8)
    x[0], weight = -128, rng.integers(-128, 128, (size, columns)).astype(np.int8)
    weight[:, 0] = -128
    starts = rng.integers(-(1 << 16), 1 << 16, columns).astype(np.int32)
    multiplier, shift = (rng.integers(*ends, columns).astype(np.int32) for ends in ((1, 100), (8, 20)))
    packed = weight.reshape(size // 4, 4, columns).transpose(0, 2, 1)
    arrays = (x, packed, starts, multiplier, shift, rounding(shift))
    files = [tmp_path / str(k) for k in range(len(arrays))]
    for file, array in zip(files, arrays, strict=True):
        file.write_bytes(np.ascontiguousarray(array).tobytes())
    sizes = map(str, (rows, size, size // 4, columns))
    subprocess.run([qemu, "-cpu", "max", program, *files, tmp_path / "out", *sizes], check=True)
    data = (tmp_path / "out").read_bytes()
    sums = x.astype(np.int64) @ weight + starts
    assert np.array_equal(np.frombuffer(data, np.int32, rows * columns).reshape(rows, -1), sums)
    expected = np.empty((rows, columns), np.int8)
    layer = Dense(weight, starts, multiplier, shift)
    requantize((sums - starts).astype(np.int32), layer.bias, layer.multiplier, layer.shift, expected)
    assert np.array_equal(np.frombuffer(data, np.int8, offset=4 * rows * columns).reshape(rows, -1), expected)
