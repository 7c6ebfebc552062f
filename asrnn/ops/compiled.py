"""Run the steps of a recurrence in C, compiled on first use, where the machine has a C compiler."""

import ctypes
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from asrnn.compiling import load_library
from asrnn.ops.recurrence import Operands, Recurrence, Tensors
from asrnn.ops.runner import Backward, Forward, Project, Runner

_SCAN, _PRODUCTS = (Path(__file__).with_name(name) for name in ("scan.c", "products.c"))
# By torch's name of the processor: the floats in a vector, the rows whose sums fit the registers, the compiler's flags.
_PROCESSORS: dict[str, tuple[int, int, tuple[str, ...]]] = {
    "AVX512": (16, 12, ("-mavx512f", "-mavx512dq", "-mavx512vl", "-mfma")),
    "AVX2": (8, 6, ("-mavx2", "-mfma")),
}
# Any processor has vectors of four floats: SSE2, NEON, or the compiler's emulation.
_OTHER: tuple[int, int, tuple[str, ...]] = (4, 6, ())
_CHUNK = 2**18  # numbers of a buffer that stay in the second-level cache between passes; 2^17 to 2^19 measured the same


class CompiledRunner(Runner):
    """Run steps in C, in float32 on the CPU, with one tile of the batch per thread.

    Args:
        library: the compiled ``scan.c`` of one recurrence.
        panel: the units that the C code computes together, two vectors; rows have whole panels.
        rows: the samples that the C code computes together.
    """

    name = "compiled"
    tiled = True

    def __init__(self, library: ctypes.CDLL, panel: int, rows: int) -> None:
        self.panel = panel
        # Two and a half panels, and three blocks of rows with a short last one. The C code is the same for all sizes.
        self.first_size, self.first_batch = 5 * panel // 2, 2 * rows + 7
        size, pointer = ctypes.c_long, ctypes.c_void_p
        self._forward, self._backward = library.scan_forward, library.scan_backward
        self._forward.argtypes = [size] * 3 + [pointer] * 5
        self._backward.argtypes = [size] * 3 + [pointer] * 10
        self._replay = library.scan_replay
        self._replay.argtypes = [size] * 3 + [pointer] * 4
        self._project, self._sum_over_rows = library.project, library.sum_over_rows
        self._project.argtypes = [*[size] * 4, pointer, size, size, *[pointer] * 3, size]
        self._sum_over_rows.argtypes = [*[size] * 4, pointer, size, size, pointer, size, pointer]
        for function in (self._forward, self._backward, self._replay, self._project, self._sum_over_rows):
            function.restype = None

    def width(self, hidden_size: int) -> int:
        """Return H, rounded up to whole panels."""
        return -(-hidden_size // self.panel) * self.panel

    def chunk_length(self, state: Tensor, num_steps: int) -> int:
        """Return how many steps fit a core's cache from one pass over a chunk to the next."""
        return max(1, min(num_steps, _CHUNK // state.numel()))

    def project(self, operands: Operands) -> Project:
        """Project the inputs of a chunk; see :meth:`Runner.project`."""
        packed, bias = self._pack(operands.weight_ih.t()), operands.bias.contiguous()

        def run(x: Tensor, u: Tensor) -> None:
            x = _contiguous_rows(x)
            batch, steps, inputs = x.shape
            arguments = (x.data_ptr(), x.stride(1), x.stride(0), packed.data_ptr(), bias.data_ptr(), u.data_ptr())
            self._project(steps, batch, inputs, len(bias), *arguments, u.stride(1))

        return run

    def input_weight_grads(self, x: Tensor, inputs: Tensor, projection_grad: Tensor) -> Tensor:
        """Compute the gradients of the input weights; see :meth:`Runner.input_weight_grads`."""
        x, (steps, batch, outputs) = _contiguous_rows(x), projection_grad.shape
        size = x.shape[2]
        grads, one = projection_grad.new_zeros(size + 1, outputs), projection_grad.new_ones(1)
        y = (projection_grad.data_ptr(), projection_grad.stride(1))
        sum_over_rows = self._sum_over_rows
        sum_over_rows(steps, batch, size, outputs, x.data_ptr(), x.stride(1), x.stride(0), *y, grads.data_ptr())
        sum_over_rows(steps, batch, 1, outputs, one.data_ptr(), 0, 0, *y, grads[size:].data_ptr())
        return grads

    def add_product(self, left: Tensor, right: Tensor, out: Tensor) -> None:
        """Add a matrix product; see :meth:`Runner.add_product`."""
        rows, x, y = len(left), left.stride(0), right.stride(0)
        sizes = (1, rows, left.shape[1], right.shape[1])
        self._sum_over_rows(*sizes, left.data_ptr(), 0, x, right.data_ptr(), y, out.data_ptr())

    def forward(self, recurrence: Recurrence, weights: Tensors, vectors: Tensors) -> Forward:
        """Take the steps of a chunk forward; see :meth:`Runner.forward`."""
        packed, vectors = [self._pack(weight.t()) for weight in weights], [vector.contiguous() for vector in vectors]
        scalars = _floats(recurrence.scalars)

        def run(u: Tensor, states: Tensors) -> None:
            steps, batch, width = states[0][1:].shape
            self._forward(
                steps, batch, width, _pointers(packed), _pointers(vectors), u.data_ptr(), _pointers(states), scalars
            )

        return run

    def replay(self, recurrence: Recurrence, vectors: Tensors) -> Forward:
        """Return the function that recomputes the states of a chunk; see :meth:`Runner.replay`."""
        vectors, scalars = [vector.contiguous() for vector in vectors], _floats(recurrence.scalars)

        def run(u: Tensor, states: Tensors) -> None:
            steps, batch, width = states[0][1:].shape
            self._replay(steps, batch, width, _pointers(vectors), u.data_ptr(), _pointers(states), scalars)

        return run

    def backward(self, recurrence: Recurrence, weights: Tensors, vectors: Tensors) -> Backward:
        """Take the steps of a chunk backward; see :meth:`Runner.backward`."""
        packed, vectors = [self._pack(weight) for weight in weights], [vector.contiguous() for vector in vectors]
        partial = [torch.zeros_like(vector) for vector in vectors]
        scalars = _floats(recurrence.scalars)

        def run(
            u: Tensor,
            states: Tensors,
            grads: Tensors,
            product_grad: Tensor,
            output_grads: Tensors,
            vector_grads: Tensors,
        ) -> None:
            steps, batch, width = states[0][1:].shape
            self._backward(
                steps,
                batch,
                width,
                _pointers(packed),
                _pointers(vectors),
                u.data_ptr(),
                _pointers(states),
                _pointers(grads),
                _pointers(output_grads) if output_grads else None,
                product_grad.data_ptr(),
                _pointers(vector_grads),
                _pointers(partial),
                scalars,
            )

        return run

    def _pack(self, matrix: Tensor) -> Tensor:
        """Copy a right factor ``[K, W]`` into panels of columns, ``[W / P, K, P]``."""
        return matrix.reshape(len(matrix), -1, self.panel).transpose(0, 1).contiguous()


def _contiguous_rows(x: Tensor) -> Tensor:
    """Return an input in which the I numbers of a step are contiguous. Samples and steps may have any order."""
    x = x.resolve_neg()  # the imaginary part of a conjugate is a view that only torch negates
    return x if x.shape[2] == 1 or x.stride(2) == 1 else x.contiguous()


def _pointers(tensors: Tensors) -> ctypes.Array[ctypes.c_void_p]:
    return (ctypes.c_void_p * len(tensors))(*(tensor.data_ptr() for tensor in tensors))


def _floats(scalars: Sequence[float]) -> ctypes.Array[ctypes.c_float]:
    return (ctypes.c_float * len(scalars))(*scalars)


@cache
def compiled_runner(recurrence: type[Recurrence]) -> CompiledRunner | str:
    """Compile the steps of a recurrence, once per process. Return the runner, or a sentence that says why not."""
    if recurrence.compiled is None:
        return f"{recurrence.__name__} has no compiled steps"
    lanes, rows, flags = _PROCESSORS.get(torch.backends.cpu.get_cpu_capability(), _OTHER)
    products = ", ".join(f"{{{p.weight}, {p.state}, {p.slot}, {int(p.after)}}}" for p in recurrence.products)
    defines = {
        "LANES": lanes,
        "ROWS": rows,
        "RECURRENCE": f'"{recurrence.compiled}"',
        "STATES": recurrence.num_states,
        "OUTPUTS": recurrence.num_outputs,
        "SLOTS": recurrence.num_slots,
        "VECTORS": recurrence.num_vectors,
        "HALVES": 1 + any(product.after for product in recurrence.products),
        "PRODUCT_GRAD": int(recurrence.has_product_grad()),
        "PRODUCTS": products,
    } | dict.fromkeys(recurrence.defines, 1)
    # Without this flag the compiler computes square roots one by one, to set errno.
    flags = (*flags, "-fno-math-errno", *(f"-D{name}={value}" for name, value in defines.items()))
    name = f"{recurrence.compiled.stem}-{recurrence.__name__.lower()}"
    library = load_library(name, _SCAN, flags, [_PRODUCTS, recurrence.compiled])
    return library if isinstance(library, str) else CompiledRunner(library, panel=2 * lanes, rows=rows)
