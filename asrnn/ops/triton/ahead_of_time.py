"""Compile the Triton kernels for each chip, without a GPU, and compare the resources they use with the chip's.

``python -m asrnn.ops.triton.ahead_of_time`` prints the table of ``docs/kernels.md``. ``--check docs/kernels.md``
compares it with that page, and ``--write docs/kernels.md`` replaces it there.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import unified_diff
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

from asrnn.errors import UsageError
from asrnn.ops.triton import kernels as triton_kernels
from asrnn.ops.triton.reach import CHIPS, ROWS, Chip, Precision, num_warps, padded_width, precision_for, shared_bytes
from asrnn.ops.triton.runner import constants, launch_options

HIDDEN_SIZES = (64, 128, 256, 512)
KERNELS = ("forward", "backward")

MOST_REGISTERS = 255
"""The most registers of a thread that an instruction of these chips can address."""

REGISTERS = 65_536
"""The registers of a block on these chips. Each thread gets a multiple of eight."""

MOST_SPILLED = 128
"""The most bytes a thread may spill: 32 KiB for 8 warps, which fit sm_80's cache beside 160 KiB of shared memory."""

BEGIN, END = "<!-- python -m asrnn.ops.triton.ahead_of_time -->\n", "<!-- end -->\n"


@dataclass(frozen=True, slots=True)
class Compiled:
    """The resources of a compiled kernel on a chip. Registers and spilled bytes are per thread."""

    kernel: str
    chip: Chip
    hidden_size: int
    gated: bool
    precision: Precision
    shared: int
    registers: int
    spilled: int
    reloads: bool

    def problem(self) -> str | None:
        """Return why the kernel does not fit the chip, or None."""
        if self.shared > self.chip.shared_bytes:
            return f"{self.shared} bytes of shared memory, where {self.chip.name} has {self.chip.shared_bytes}"
        if self.shared > shared_bytes(self.hidden_size, self.precision):
            return f"{self.shared} bytes of shared memory, more than asrnn.ops.triton.reach expects"
        in_all = -(-self.registers // 8) * 8 * 32 * num_warps(self.hidden_size)
        if self.registers > MOST_REGISTERS or in_all > REGISTERS:
            return f"{self.registers} registers a thread, {in_all} in all"
        if self.spilled > MOST_SPILLED:
            return f"{self.spilled} bytes spilled"
        return "loads the weight at every step" if self.reloads else None


def compile_kernel(kernel: str, chip: Chip, hidden_size: int, *, gated: bool, sequence: bool = True) -> Compiled:
    """Compile a kernel as a launch on a chip would.

    Args:
        kernel: ``forward`` or ``backward``.
        chip: the chip to compile for; it need not be present.
        hidden_size: the hidden size H.
        gated: whether the recurrence has a gate.
        sequence: whether each state has an additional gradient, which needs a few more registers.

    Raises:
        UsageError: triton is missing or runs its interpreter, or the size does not fit the chip.
    """
    precision = precision_for(hidden_size, chip)
    if precision is None:
        raise UsageError(f"a hidden size of {hidden_size} does not fit on {chip.name}")
    if not triton_kernels.INSTALLED or triton_kernels.interpreted():
        raise UsageError("compiling takes triton, and no TRITON_INTERPRET in the environment")
    from triton import compile as triton_compile
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    function = getattr(triton_kernels, kernel)
    fixed: dict[str, Any] = {**constants(hidden_size, gated=gated, precision=precision), "INTERPRETED": False}
    if kernel == "backward":
        fixed |= ({} if sequence else {"sequence_grad": None}) | ({} if gated else {"product_grad": None})
    types = {"epsilon": "fp32", "batch_size": "i32", "num_steps": "i32"}
    types |= {"weight": "*bf16" if precision == "bfloat16" else "*fp32"} | dict.fromkeys(fixed, "constexpr")
    signature = {name: types.get(name, "*fp32") for name in function.arg_names}
    # torch's allocator starts every buffer at a multiple of 16 bytes.
    pointers = [at for at, name in enumerate(signature) if signature[name].startswith("*")]
    source = ASTSource(function, signature, fixed, {(at,): [["tt.divisibility", 16]] for at in pointers})
    target = GPUTarget("cuda", chip.capability[0] * 10 + chip.capability[1], 32)
    binary = triton_compile(source, target=target, options=launch_options(hidden_size))
    registers, spilled = _registers(binary.asm["cubin"])
    width = padded_width(hidden_size)
    loop = binary.asm["ttgir"].partition("scf.for")[2]
    # At W = 16 a tile of the batch has the weight's shape.
    reloads = f"tensor<{width}x{width}x!tt.ptr" in loop and width > ROWS
    return Compiled(
        kernel, chip, hidden_size, gated, precision, binary.metadata.shared, registers, spilled, reloads or not loop
    )


def _registers(cubin: bytes) -> tuple[int, int]:
    """Return the registers of a thread and its bytes of stack, which the kernels use only to spill registers."""
    import triton

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "kernel.cubin")
        path.write_bytes(cubin)
        tool = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
        shown = subprocess.run([tool, "--dump-resource-usage", path], check=True, capture_output=True, text=True)
    found = re.search(r"REG:(\d+) STACK:(\d+)", shown.stdout)
    if found is None:
        raise UsageError(f"cuobjdump shows no registers: {shown.stdout}")
    return int(found[1]), int(found[2])


def table(chips: Iterable[Chip] = CHIPS, hidden_sizes: Iterable[int] = HIDDEN_SIZES) -> str:
    """Compile all kernels, and return their resources as a Markdown table."""
    lines = [
        f"Compiled by triton {version('triton')}.",
        "",
        "| chip | H | gate | kernel | weight | warps | shared, KiB | registers | spilled, bytes | fits |",
        "| --- | ---: | --- | --- | --- | ---: | ---: | ---: | ---: | --- |",
    ]
    for chip, hidden_size in product(chips, hidden_sizes):
        limit = chip.shared_bytes // 1024
        if precision_for(hidden_size, chip) is None:
            least = shared_bytes(hidden_size, "bfloat16") // 1024
            lines.append(f"| {chip.name} | {hidden_size} | | | bfloat16 | | {least} of {limit} | | | no |")
            continue
        for gated, kernel in product((False, True), KERNELS):
            found = compile_kernel(kernel, chip, hidden_size, gated=gated)
            cells = [chip.name, hidden_size, "yes" if gated else "no", kernel, found.precision, num_warps(hidden_size)]
            cells += [f"{found.shared / 1024:g} of {limit}", f"{found.registers} of {MOST_REGISTERS}", found.spilled]
            lines.append(f"| {' | '.join(map(str, cells))} | {found.problem() or 'yes'} |")
    return "\n".join(lines) + "\n"


def replace_table(page: str, text: str) -> str:
    """Return the page with the table between its marks replaced."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise UsageError(f"the page has no place for the table, between {BEGIN.strip()} and {END.strip()}")
    return before + begin + text + end + after


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table, write it to a page, or compare it with a page. Return 1 if the page has another table."""
    parser = argparse.ArgumentParser(
        prog="python -m asrnn.ops.triton.ahead_of_time", description="Compile the kernels."
    )
    parser.add_argument("--check", type=Path, metavar="PAGE", help="compare with the table on this page")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="replace the table on this page")
    asked = parser.parse_args(arguments)
    try:
        return _run(asked.check, asked.write)
    except UsageError as error:
        parser.error(str(error))


def _run(check: Path | None, write: Path | None) -> int:
    text = table()
    if write:
        write.write_text(replace_table(write.read_text(), text))
    elif check:
        page = check.read_text()
        difference = [
            *unified_diff(page.splitlines(), replace_table(page, text).splitlines(), "page", "compiled", lineterm="")
        ]
        sys.stdout.write("".join(line + "\n" for line in difference))
        return 1 if difference else 0
    else:
        sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
