"""A recurrence's steps in C, compiled when it is first used, where the machine has a C compiler."""

import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from asrnn.ops.recurrence import Recurrence, Tensors
from asrnn.ops.runner import Backward, Forward, Runner

_SCAN = Path(__file__).with_name("scan.c")
# Floats in a vector, rows whose sums fit the registers, and the compiler's flags, by what torch calls the processor.
_PROCESSORS = {
    "AVX512": (16, 12, ("-mavx512f", "-mavx512dq", "-mavx512vl", "-mfma")),
    "AVX2": (8, 6, ("-mavx2", "-mfma")),
}
_OTHER = (4, 6, ())  # four floats are a vector of any processor: SSE2, NEON, or what the compiler makes of it
_STRETCH = 2**18  # numbers of a buffer that stay in the second-level cache from pass to pass; measured, 2^17 to 2^19


class CompiledRunner(Runner):
    """Runs steps in C, float32 on the CPU, a tile of the batch per thread."""

    name = "compiled"
    tiled = True

    def __init__(self, library: ctypes.CDLL, panel: int) -> None:
        self.panel = panel
        size, pointer = ctypes.c_long, ctypes.c_void_p
        self._forward, self._backward = library.scan_forward, library.scan_backward
        self._forward.argtypes = [size] * 3 + [pointer] * 4
        self._backward.argtypes = [size] * 3 + [pointer] * 6
        self._forward.restype = self._backward.restype = None

    def width(self, hidden_size: int) -> int:
        """Return H, rounded up to whole panels."""
        return -(-hidden_size // self.panel) * self.panel

    def stretch(self, state: Tensor, num_steps: int) -> int:
        """Return so many steps that a stretch stays in a core's cache between its passes."""
        return max(1, min(num_steps, _STRETCH // state.numel()))

    def forward(self, recurrence: Recurrence, weights: Tensors) -> Forward:
        """See :meth:`Runner.forward`."""
        (M,), scalars = weights, torch.tensor(recurrence.scalars, dtype=torch.float32)
        packed = self._pack(M.t())

        def run(u: Tensor, states: Tensors) -> None:
            (h,), (steps, batch, width) = states, states[0][1:].shape
            self._forward(steps, batch, width, packed.data_ptr(), u.data_ptr(), h.data_ptr(), scalars.data_ptr())

        return run

    def backward(self, recurrence: Recurrence, weights: Tensors) -> Backward:
        """See :meth:`Runner.backward`."""
        (M,), scalars = weights, torch.tensor(recurrence.scalars, dtype=torch.float32)
        packed = self._pack(M)

        def run(u: Tensor, states: Tensors, grads: Tensors, delta: Tensor, more: Tensor | None) -> None:
            (g,), (steps, batch, width) = grads, states[0][1:].shape
            self._backward(
                steps,
                batch,
                width,
                packed.data_ptr(),
                u.data_ptr(),
                g.data_ptr(),
                None if more is None else more.data_ptr(),
                delta.data_ptr() if recurrence.has_delta else None,
                scalars.data_ptr(),
            )

        return run

    def _pack(self, matrix: Tensor) -> Tensor:
        """Cut a matrix ``[W, W]`` that rows are multiplied by into panels of columns, ``[W / P, W, P]``."""
        return matrix.reshape(len(matrix), -1, self.panel).transpose(0, 1).contiguous()


@cache
def compiled_runner(recurrence: type[Recurrence]) -> CompiledRunner | str:
    """Compile a recurrence's steps, once a process, or say in a sentence why they cannot be."""
    if recurrence.compiled is None:
        return f"{recurrence.__name__} has no compiled steps"
    words, version = compiler()
    if not words:
        return version
    lanes, rows, flags = _PROCESSORS.get(torch.backends.cpu.get_cpu_capability(), _OTHER)
    command = [
        *(*words, "-std=gnu11", "-O3", "-shared", "-fPIC", *flags, f"-DLANES={lanes}", f"-DROWS={rows}"),
        f'-DRECURRENCE="{recurrence.compiled}"',
        str(_SCAN),
    ]
    try:
        library = ctypes.CDLL(str(_build(command, version, recurrence.compiled)))
    except (OSError, subprocess.SubprocessError) as error:
        return f"{words[0]} failed: {_first_error(error)}"
    return CompiledRunner(library, panel=2 * lanes)


@cache
def compiler() -> tuple[list[str], str]:
    """Return how the C compiler is called, and its version; or nothing, and in a sentence why there is none."""
    named = shlex.split(os.environ.get("CC", ""))
    found = next(filter(shutil.which, [named[0]] if named else ("cc", "gcc", "clang")), None)
    if found is None:
        return [], f"there is no C compiler{f' {named[0]}' if named else ''}: install one, or name it in CC"
    words = [found, *named[1:]]
    try:
        asked = subprocess.run([*words, "--version"], capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        return [], f"{found} --version failed: {_first_error(error)}"
    return words, asked.stdout.partition("\n")[0]


def _build(command: list[str], version: str, recurrence: Path) -> Path:
    """Compile into the user's cache, unless the same compiler has compiled the same text for the same processor."""
    identity = [*command, version, platform.machine(), _SCAN.read_text(), recurrence.read_text()]
    name = f"{recurrence.stem}-{hashlib.sha256(chr(0).join(identity).encode()).hexdigest()[:16]}.so"
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "asrnn-bench"
    library = folder / name
    if not library.exists():
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryDirectory(dir=folder) as work:
            built = Path(work) / name
            subprocess.run([*command, "-o", str(built)], check=True, capture_output=True, text=True, timeout=300)
            built.replace(library)  # whole or not at all, whoever else compiles it now
    return library


def _first_error(error: Exception) -> str:
    lines = str(getattr(error, "stderr", None) or error).split("\n")
    return next((line for line in lines if "error" in line), lines[0])
