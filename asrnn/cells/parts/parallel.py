"""Scan cells that are linear in their state: in parallel over time, or step by step in C."""

from abc import abstractmethod
from contextlib import AbstractContextManager
from typing import ClassVar

import torch
from torch import Tensor

from asrnn.cells.parts.fast import FastCell
from asrnn.cells.parts.fused import FusedCell
from asrnn.cells.parts.once_a_scan import scanning
from asrnn.cells.parts.recurrent_cell import State
from asrnn.ops import other_takes_scan, takes_scan


class ParallelCell(FastCell):
    """A cell with a parallel scan that gives the numbers of its ``step``.

    A subclass that changes what ``step`` computes must bring its own parallel scan; otherwise the loop scans it. See
    :class:`asrnn.cells.parts.fast.FastCell`. Both scans compute in the parameters' precision, also under autocast:
    transitions near 1 that are rounded to 8 or 11 bits would forget at another rate.
    """

    fast_attribute: ClassVar[str] = "scan_in_parallel"
    fast_reads: ClassVar[tuple[str, ...]] = ("scan_in_parallel",)
    usual_backend: ClassVar[str] = "parallel"

    @abstractmethod
    def scan_in_parallel(self, x: Tensor, state: State, *, return_sequence: bool) -> tuple[Tensor, State]:
        """Run the cell over a sequence.

        Args:
            x: the input, time first, ``[T, B, I]``.
            state: the state before the first step.
            return_sequence: compute the output of every step.

        Returns:
            the output of every step ``[T, B, H]`` (any tensor if they were not asked for), and the state after the last
            step.
        """

    def scan_fast(self, x: Tensor, state: State, *, return_sequence: bool) -> tuple[str, Tensor, State] | None:
        """Run the parallel scan; see :meth:`asrnn.cells.parts.fast.FastCell.scan_fast`."""
        if not takes_scan("parallel", type(self).__name__):
            return None
        with scanning():
            sequence, final = self.scan_in_parallel(x.transpose(0, 1), state, return_sequence=return_sequence)
            return "parallel", sequence.transpose(0, 1) if return_sequence else self.output(final), final

    def _in_precision(self, x: Tensor) -> tuple[Tensor, AbstractContextManager[None]]:
        """Return the input in the parameters' precision, and a context in which products are not rounded."""
        device = x.device.type
        if device not in ("cpu", "cuda") or not torch.is_autocast_enabled(device):
            return super()._in_precision(x)
        return x.to(next(self.parameters()).dtype), torch.autocast(device, enabled=False)


class ElementwiseCell(ParallelCell, FusedCell):
    """A cell with a parallel scan and a fused recurrence, both of which give the numbers of its ``step``.

    Steps in C read and write each number a few times, and keep only what the gradient needs. They run in float32 on the
    CPU. The parallel scan runs elsewhere, and also if something was replaced on which only the fused recurrence relies.
    A subclass that changes what ``step`` computes must bring its own parallel scan; otherwise the loop scans it. See
    :class:`asrnn.cells.parts.fast.FastCell`.
    """

    usual_backend: ClassVar[str] = FusedCell.usual_backend

    def scan_fast(self, x: Tensor, state: State, *, return_sequence: bool) -> tuple[str, Tensor, State] | None:
        """Run the fused recurrence or the parallel scan; see :meth:`asrnn.cells.parts.fast.FastCell.scan_fast`."""
        with scanning():  # the operands are read twice
            recurrence = self.recurrence()
            replaced = self.replaced_since(FusedCell.fast_attribute, FusedCell.fast_reads)
            if replaced or recurrence is None or other_takes_scan("parallel", recurrence, self.operands(x, state)):
                return ParallelCell.scan_fast(self, x, state, return_sequence=return_sequence)
            return FusedCell.scan_fast(self, x, state, return_sequence=return_sequence)
