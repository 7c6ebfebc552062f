"""Cells that are linear in their state, element by element: scanned step by step in C, and in parallel elsewhere."""

from typing import ClassVar

from torch import Tensor

from asrnn.cells.base import State
from asrnn.cells.once_a_scan import scanning
from asrnn.cells.parts.fused import FusedCell
from asrnn.cells.parts.parallel import ParallelCell
from asrnn.ops import other_takes_scan


class ElementwiseCell(ParallelCell, FusedCell):
    """A cell with a parallel scan and with a fused recurrence, both of which give the numbers of its ``step``.

    Steps in C read and write each number a few times, and keep no more of them than the gradient needs. They run in
    float32 on the CPU, and the parallel scan elsewhere: also where something was replaced that only the fused
    recurrence takes for granted. A subclass that replaces what ``step`` computes without a parallel scan of its own is
    scanned by the loop; see :class:`asrnn.cells.parts.fast.FastCell`.
    """

    usual_backend: ClassVar[str] = FusedCell.usual_backend

    def scan_fast(self, x: Tensor, state: State, *, return_sequence: bool) -> tuple[str, Tensor, State] | None:
        """Run the fused recurrence or the parallel scan; see :meth:`FastCell.scan_fast`."""
        with scanning():  # the operands are read twice
            recurrence = self.recurrence()
            replaced = self.replaced_since(FusedCell.fast_attribute, FusedCell.fast_reads)
            if replaced or recurrence is None or other_takes_scan("parallel", recurrence, self.operands(x, state)):
                return ParallelCell.scan_fast(self, x, state, return_sequence=return_sequence)
            return FusedCell.scan_fast(self, x, state, return_sequence=return_sequence)
